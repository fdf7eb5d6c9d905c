/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "bench/load/histogram.h"
#include "bench/load/load.h"

static struct gy_load_result result_open(void)
{
    return (struct gy_load_result){
        .latency = gy_load_histogram_open(),
        .service = gy_load_histogram_open(),
        .lateness = gy_load_histogram_open(),
        .seconds = 10,
    };
}

static void a_generator_without_time_left_is_the_bottleneck(void **state)
{
    (void)state;
    struct gy_load_options options = {.connections = 1, .pipeline = 1};
    struct gy_load_result result = result_open();
    result.busy_max = 0.5;
    assert_null(gy_load_bottleneck(&options, &result));
    result.busy_max = 0.97;
    assert_non_null(gy_load_bottleneck(&options, &result));
    gy_load_result_free(&result);
}

static void a_generator_that_is_late_is_the_bottleneck(void **state)
{
    (void)state;
    struct gy_load_options options = {.connections = 1, .pipeline = 1, .rate = 1000};
    struct gy_load_result result = result_open();
    gy_load_record(result.lateness, 20000, 980);
    assert_null(gy_load_bottleneck(&options, &result));
    gy_load_record(result.lateness, 5000000, 20);
    assert_non_null(gy_load_bottleneck(&options, &result));
    gy_load_result_free(&result);
}

static void a_rate_is_missed_by_more_than_the_edges_and_chance(void **state)
{
    (void)state;
    struct gy_load_options options = {.connections = 64, .pipeline = 1, .rate = 1000};
    struct gy_load_result result = result_open();
    result.scheduled = 10000;
    result.answered = 9990;
    assert_true(gy_load_rate_reached(&options, &result));
    result.answered = 9000;
    result.unsent = 990;
    assert_false(gy_load_rate_reached(&options, &result));
    options.rate = 0;
    assert_true(gy_load_rate_reached(&options, &result));
    gy_load_result_free(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generator_without_time_left_is_the_bottleneck),
        cmocka_unit_test(a_generator_that_is_late_is_the_bottleneck),
        cmocka_unit_test(a_rate_is_missed_by_more_than_the_edges_and_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
