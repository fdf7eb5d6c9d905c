/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "core/metrics.h"

static void every_time_lies_within_the_bounds_of_its_bucket(void **state)
{
    (void)state;
    uint64_t seed = random_seed(7);
    for (int i = 0; i < 200000; i++) {
        uint64_t ns = random_next(&seed) >> (random_next(&seed) % 64);
        uint32_t bucket = gy_histogram_bucket(ns);
        assert_true(bucket < GY_HISTOGRAM_BUCKETS);
        assert_true(ns <= gy_histogram_bound(bucket));
        assert_true(bucket == 0 || ns > gy_histogram_bound(bucket - 1));
    }
}

static void bounds_belong_to_the_bucket_below(void **state)
{
    (void)state;
    assert_int_equal(gy_histogram_bound(0), 1024);
    assert_int_equal(gy_histogram_bound(1), 1536);
    assert_int_equal(gy_histogram_bound(2), 2048);
    for (uint32_t i = 0; i + 1 < GY_HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(gy_histogram_bucket(gy_histogram_bound(i)), i);
        assert_int_equal(gy_histogram_bucket(gy_histogram_bound(i) + 1), i + 1);
    }
    assert_int_equal(gy_histogram_bucket(0), 0);
    assert_int_equal(gy_histogram_bucket(UINT64_MAX), GY_HISTOGRAM_BUCKETS - 1);
    assert_true(gy_histogram_bound(GY_HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

static void two_buckets_to_a_doubling(void **state)
{
    (void)state;
    for (uint32_t i = 2; i + 1 < GY_HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(gy_histogram_bound(i), 2 * gy_histogram_bound(i - 2));
    }
}

static char text[32768];

static void render(const struct gy_metric_set *sets, size_t count)
{
    struct gy_writer writer = gy_writer_on(text, sizeof text - 1);
    assert_int_equal(gy_histogram_render(&writer, "x_seconds", "Times.", 0, sets, count), 0);
    text[gy_writer_length(&writer)] = '\0';
}

static void rendered_buckets_are_cumulative_and_workers_are_summed(void **state)
{
    (void)state;
    static struct gy_histogram workers[2];
    const void *both[] = {&workers[0], &workers[1]};
    struct gy_metric_label label = {"server", "http"};
    struct gy_metric_set set = {both, 2, &label, 1};
    gy_histogram_add(&workers[0], 1000, 3);
    gy_histogram_add(&workers[1], 1500, 1);
    gy_histogram_add(&workers[1], 20000000000u, 1);
    render(&set, 1);
    static const char *const expected[] = {
        "# HELP gyre_x_seconds Times.\n# TYPE gyre_x_seconds histogram\n",
        "gyre_x_seconds_bucket{le=\"0.000001024\",server=\"http\"} 3\n",
        "gyre_x_seconds_bucket{le=\"0.000001536\",server=\"http\"} 4\n",
        "gyre_x_seconds_bucket{le=\"8.589934592\",server=\"http\"} 4\n",
        "gyre_x_seconds_bucket{le=\"+Inf\",server=\"http\"} 5\n",
        "gyre_x_seconds_sum{server=\"http\"} 20.0000045\n",
        "gyre_x_seconds_count{server=\"http\"} 5\n",
    };
    const char *at = text;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        at = strstr(at, expected[i]);
        assert_non_null(at);
    }
}

static void without_labels_only_the_bound_is_one(void **state)
{
    (void)state;
    static struct gy_histogram worker;
    const void *one[] = {&worker};
    struct gy_metric_set set = {one, 1, NULL, 0};
    render(&set, 1);
    assert_non_null(strstr(text, "gyre_x_seconds_bucket{le=\"+Inf\"} 0\n"));
    assert_non_null(strstr(text, "gyre_x_seconds_sum 0.0\ngyre_x_seconds_count 0\n"));
}

static void a_buffer_that_is_too_small_is_an_error(void **state)
{
    (void)state;
    static struct gy_histogram worker;
    const void *one[] = {&worker};
    struct gy_metric_set set = {one, 1, NULL, 0};
    struct gy_writer writer = gy_writer_on(text, 100);
    assert_int_equal(gy_histogram_render(&writer, "x_seconds", "Times.", 0, &set, 1), GY_ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_time_lies_within_the_bounds_of_its_bucket),
        cmocka_unit_test(bounds_belong_to_the_bucket_below),
        cmocka_unit_test(two_buckets_to_a_doubling),
        cmocka_unit_test(rendered_buckets_are_cumulative_and_workers_are_summed),
        cmocka_unit_test(without_labels_only_the_bound_is_one),
        cmocka_unit_test(a_buffer_that_is_too_small_is_an_error),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
