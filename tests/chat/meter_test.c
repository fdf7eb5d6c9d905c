/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Rates that several connections share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/siphash.h"
#include "protocols/chat/meter.h"

#define MS UINT64_C(1000000)

static struct gy_chat_meter meter;

static int set_up(void **state)
{
    (void)state;
    memset(&meter, 0, sizeof meter);
    return 0;
}

static uint64_t key_of(uint64_t number)
{
    static const struct gy_siphash_key key = {{1, 2}};
    return gy_siphash(&key, &number, sizeof number);
}

static void what_is_taken_at_once_is_bounded_and_then_the_rate_holds(void **state)
{
    (void)state;
    uint64_t now = 5000 * MS;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(gy_chat_meter_take(&meter, key_of(1), 100 * MS, 1000 * MS, now), 0);
    }
    assert_int_equal(gy_chat_meter_take(&meter, key_of(1), 100 * MS, 1000 * MS, now), 100 * MS);
    assert_int_equal(gy_chat_meter_take(&meter, key_of(1), 100 * MS, 1000 * MS, now + 99 * MS), MS);
    uint64_t taken = 0;
    for (uint64_t ms = 100; ms <= 10100; ms++) { /* refusals take nothing */
        taken += gy_chat_meter_take(&meter, key_of(1), 100 * MS, 1000 * MS, now + ms * MS) == 0;
    }
    assert_uint_in_range(taken, 100, 101);
    now += 60000 * MS;
    assert_int_equal(gy_chat_meter_take(&meter, key_of(1), 1000 * MS, 1000 * MS, now), 0);
}

static void a_cost_of_nothing_is_always_taken(void **state)
{
    (void)state;
    assert_int_equal(gy_chat_meter_take(&meter, key_of(1), 0, 0, 1), 0);
    assert_int_equal(gy_chat_meter_take(&meter, key_of(1), 2, 1, 1), 1);
}

static void ten_thousand_others_who_flood_hardly_touch_anybody(void **state)
{
    (void)state;
    uint64_t now = 5000 * MS;
    for (uint64_t i = 0; i < 10000; i++) {
        assert_true(gy_chat_meter_take(&meter, key_of(i), 1000 * MS, 1000 * MS, now) <= 1000 * MS);
    }
    uint32_t refused = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        refused += gy_chat_meter_take(&meter, key_of(1000000 + i), 100 * MS, 1000 * MS, now) != 0;
    }
    assert_true(refused < 100); /* expected: 1 in 170 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_taken_at_once_is_bounded_and_then_the_rate_holds, set_up),
        cmocka_unit_test_setup(a_cost_of_nothing_is_always_taken, set_up),
        cmocka_unit_test_setup(ten_thousand_others_who_flood_hardly_touch_anybody, set_up),
    };
    return cmocka_run_group_tests_name("chat_meter", tests, NULL, NULL);
}
