/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/chat_life.h"

/* Another seed, or more hours: chat-seeds FIRST [COUNT [HOURS]]. */

static struct chat_life_result live(uint64_t seed, uint32_t workers, uint64_t hours)
{
    const struct chat_life_options options = {.seed = seed, .hours = hours, .workers = workers};
    struct chat_life_result result;
    if (!chat_life(&options, &result)) {
        fail_msg("seed %llu with %u workers: %s", (unsigned long long)seed, workers, result.broken);
    }
    assert_true(result.acknowledged >= result.said);
    assert_true(result.crashes > 0 && result.spilled > 0 && result.resumed > 0);
    return result;
}

static void an_hour_on_one_worker_loses_and_doubles_nothing(void **state)
{
    (void)state;
    live(1, 1, 1);
}

static void ten_hours_on_three_workers_lose_and_double_nothing(void **state)
{
    (void)state;
    struct chat_life_result result = live(2, 3, 10);
    assert_true(result.behind > 0);
}

static void a_seed_repeats_its_life(void **state)
{
    (void)state;
    struct chat_life_result once = live(3, 4, 1);
    struct chat_life_result again = live(3, 4, 1);
    assert_memory_equal(&once, &again, sizeof once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hour_on_one_worker_loses_and_doubles_nothing),
        cmocka_unit_test(ten_hours_on_three_workers_lose_and_double_nothing),
        cmocka_unit_test(a_seed_repeats_its_life),
    };
    return cmocka_run_group_tests_name("chat_sim", tests, NULL, NULL);
}
