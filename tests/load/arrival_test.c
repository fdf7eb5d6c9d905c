/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <math.h>

#include "bench/load/arrival.h"

#define START UINT64_C(5000000000)

static void an_even_schedule_does_not_drift(void **state)
{
    (void)state;
    struct gy_load_schedule schedule;
    gy_load_schedule_init(&schedule, 30000, false, 1, 0, START);
    assert_true(gy_load_schedule_next_ns(&schedule) == START);
    for (int i = 0; i < 30000 * 60; i++) {
        gy_load_schedule_take(&schedule);
    }
    uint64_t after = gy_load_schedule_next_ns(&schedule) - START;
    assert_true(after + 1 >= UINT64_C(60000000000) && after <= UINT64_C(60000000000));
}

static void phases_interleave_the_schedules_of_threads(void **state)
{
    (void)state;
    struct gy_load_schedule one, two;
    gy_load_schedule_init(&one, 1000, false, 1, 0, START);
    gy_load_schedule_init(&two, 1000, false, 1, 0.5, START);
    assert_true(gy_load_schedule_next_ns(&two) - gy_load_schedule_next_ns(&one) == 500000);
    gy_load_schedule_take(&one);
    assert_true(gy_load_schedule_next_ns(&one) - gy_load_schedule_next_ns(&two) == 500000);
}

static void the_same_seed_gives_the_same_arrivals(void **state)
{
    (void)state;
    struct gy_load_schedule one, two, other;
    gy_load_schedule_init(&one, 5000, true, 42, 0, START);
    gy_load_schedule_init(&two, 5000, true, 42, 0, START);
    gy_load_schedule_init(&other, 5000, true, 43, 0, START);
    int differing = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(gy_load_schedule_next_ns(&one) == gy_load_schedule_next_ns(&two));
        differing += gy_load_schedule_next_ns(&one) != gy_load_schedule_next_ns(&other);
        gy_load_schedule_take(&one);
        gy_load_schedule_take(&two);
        gy_load_schedule_take(&other);
    }
    assert_true(differing > 990);
}

/* Of an exponential distribution: mean and standard deviation are the same, e^-1 of the gaps are
 * longer than the mean, and they never go back. */
static void gaps_of_a_poisson_process_are_exponential(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    const double mean_ns = 50000;
    struct gy_load_schedule schedule;
    gy_load_schedule_init(&schedule, 1e9 / mean_ns, true, 7, 0, START);
    double sum = 0, squares = 0;
    int longer = 0;
    uint64_t last = START;
    for (int i = 0; i < COUNT; i++) {
        uint64_t at = gy_load_schedule_next_ns(&schedule);
        assert_true(at >= last);
        double gap = (double)(at - last);
        sum += gap;
        squares += gap * gap;
        longer += gap > mean_ns;
        last = at;
        gy_load_schedule_take(&schedule);
    }
    double mean = sum / COUNT;
    double deviation = sqrt(squares / COUNT - mean * mean);
    assert_true(fabs(mean / mean_ns - 1) < 0.01);
    assert_true(fabs(deviation / mean_ns - 1) < 0.02);
    assert_true(fabs((double)longer / COUNT - exp(-1)) < 0.005);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_even_schedule_does_not_drift),
        cmocka_unit_test(phases_interleave_the_schedules_of_threads),
        cmocka_unit_test(the_same_seed_gives_the_same_arrivals),
        cmocka_unit_test(gaps_of_a_poisson_process_are_exponential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
