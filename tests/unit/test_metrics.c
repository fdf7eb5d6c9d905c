/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <ctype.h>
#include <pthread.h>

#include "core/metrics.h"

struct sample {
    _Atomic uint64_t requests;
    _Atomic uint64_t ok;
    _Atomic uint64_t failed;
    _Atomic uint64_t open;
    _Atomic uint64_t peak;
    _Atomic uint64_t low;
};

static const struct gy_metric_description rows[] = {
    {"requests", "", "Requests.", GY_METRIC_COUNTER, offsetof(struct sample, requests)},
    {"answers", "status=\"200\"", "Answers.", GY_METRIC_COUNTER, offsetof(struct sample, ok)},
    {"answers", "status=\"500\"", "Answers.", GY_METRIC_COUNTER, offsetof(struct sample, failed)},
    {"open", "", "Open now.", GY_METRIC_GAUGE, offsetof(struct sample, open)},
    {"peak", "", "Most at once.", GY_METRIC_GAUGE_MAX, offsetof(struct sample, peak)},
    {"low", "", "Fewest at once.", GY_METRIC_GAUGE_MIN, offsetof(struct sample, low)},
};

#define ROWS (sizeof rows / sizeof rows[0])

static struct sample workers[2];
static const void *const both[] = {&workers[0], &workers[1]};

static int set_up(void **state)
{
    (void)state;
    static const uint64_t values[2][6] = {{10, 7, 3, 5, 100, 4}, {1, 1, 0, 2, 50, 9}};
    for (int w = 0; w < 2; w++) {
        workers[w].requests = values[w][0];
        workers[w].ok = values[w][1];
        workers[w].failed = values[w][2];
        workers[w].open = values[w][3];
        workers[w].peak = values[w][4];
        workers[w].low = values[w][5];
    }
    return 0;
}

static char text[65536];

static int render(const struct gy_metric_description *table, size_t count,
                  const struct gy_metric_set *sets, size_t set_count)
{
    struct gy_writer writer = gy_writer_on(text, sizeof text - 1);
    int error = gy_metrics_render(&writer, table, count, sets, set_count);
    text[gy_writer_length(&writer)] = '\0';
    return error;
}

static void workers_are_summed_and_marks_are_compared(void **state)
{
    (void)state;
    struct gy_metric_set all = {.instances = both, .instance_count = 2};
    assert_int_equal(render(rows, ROWS, &all, 1), 0);
    assert_string_equal(text, "# HELP gyre_requests_total Requests.\n"
                              "# TYPE gyre_requests_total counter\n"
                              "gyre_requests_total 11\n"
                              "# HELP gyre_answers_total Answers.\n"
                              "# TYPE gyre_answers_total counter\n"
                              "gyre_answers_total{status=\"200\"} 8\n"
                              "gyre_answers_total{status=\"500\"} 3\n"
                              "# HELP gyre_open Open now.\n"
                              "# TYPE gyre_open gauge\n"
                              "gyre_open 7\n"
                              "# HELP gyre_peak Most at once.\n"
                              "# TYPE gyre_peak gauge\n"
                              "gyre_peak 100\n"
                              "# HELP gyre_low Fewest at once.\n"
                              "# TYPE gyre_low gauge\n"
                              "gyre_low 4\n");
}

static void sets_are_told_apart_by_labels_under_one_head(void **state)
{
    (void)state;
    struct gy_metric_label first[] = {{"worker", "0"}, {"server", "http"}};
    struct gy_metric_label second[] = {{"worker", "1"}, {"server", "http"}};
    struct gy_metric_set sets[] = {{both, 1, first, 2}, {both + 1, 1, second, 2}};
    assert_int_equal(render(rows + 1, 2, sets, 2), 0);
    assert_string_equal(text,
                        "# HELP gyre_answers_total Answers.\n"
                        "# TYPE gyre_answers_total counter\n"
                        "gyre_answers_total{status=\"200\",worker=\"0\",server=\"http\"} 7\n"
                        "gyre_answers_total{status=\"200\",worker=\"1\",server=\"http\"} 1\n"
                        "gyre_answers_total{status=\"500\",worker=\"0\",server=\"http\"} 3\n"
                        "gyre_answers_total{status=\"500\",worker=\"1\",server=\"http\"} 0\n");
    assert_int_equal(render(rows + 3, 1, sets, 2), 0);
    assert_string_equal(text, "# HELP gyre_open Open now.\n"
                              "# TYPE gyre_open gauge\n"
                              "gyre_open{worker=\"0\",server=\"http\"} 5\n"
                              "gyre_open{worker=\"1\",server=\"http\"} 2\n");
}

/* Exposition format 0.0.4: in label values \ " and newline are escaped, in help \ and newline. */
static void labels_and_help_are_escaped(void **state)
{
    (void)state;
    struct gy_metric_description row = rows[3];
    row.help = "a \"path\\\nof two lines";
    struct gy_metric_label label = {"path", "C:\\\"x\"\ny"};
    struct gy_metric_set set = {both, 2, &label, 1};
    assert_int_equal(render(&row, 1, &set, 1), 0);
    assert_string_equal(text, "# HELP gyre_open a \"path\\\\\\nof two lines\n"
                              "# TYPE gyre_open gauge\n"
                              "gyre_open{path=\"C:\\\\\\\"x\\\"\\ny\"} 7\n");
}

static void the_largest_value_is_written_whole(void **state)
{
    (void)state;
    workers[0].requests = UINT64_MAX;
    struct gy_metric_set one = {.instances = both, .instance_count = 1};
    assert_int_equal(render(rows, 1, &one, 1), 0);
    assert_non_null(strstr(text, "\ngyre_requests_total 18446744073709551615\n"));
}

static void a_low_water_mark_that_was_never_set_is_not_rendered(void **state)
{
    (void)state;
    workers[0].low = UINT64_MAX;
    struct gy_metric_set all = {.instances = both, .instance_count = 2};
    assert_int_equal(render(rows + 5, 1, &all, 1), 0);
    assert_non_null(strstr(text, "\ngyre_low 9\n"));
    workers[1].low = UINT64_MAX;
    assert_int_equal(render(rows + 5, 1, &all, 1), 0);
    assert_null(strstr(text, "\ngyre_low "));
}

static void no_instances_give_zeros(void **state)
{
    (void)state;
    struct gy_metric_set none = {0};
    assert_int_equal(render(rows, ROWS, &none, 1), 0);
    assert_non_null(strstr(text, "\ngyre_requests_total 0\n"));
    assert_non_null(strstr(text, "\ngyre_peak 0\n"));
    assert_null(strstr(text, "\ngyre_low "));
}

static void a_buffer_that_is_too_small_is_an_error_and_not_overrun(void **state)
{
    (void)state;
    struct gy_metric_set all = {.instances = both, .instance_count = 2};
    assert_int_equal(render(rows, ROWS, &all, 1), 0);
    size_t whole = strlen(text);
    for (size_t bytes = 0; bytes < whole; bytes++) {
        text[bytes] = '#';
        struct gy_writer writer = gy_writer_on(text, bytes);
        assert_int_equal(gy_metrics_render(&writer, rows, ROWS, &all, 1), GY_ENOBUFS);
        assert_int_equal(text[bytes], '#');
    }
    struct gy_writer writer = gy_writer_on(text, whole);
    assert_int_equal(gy_metrics_render(&writer, rows, ROWS, &all, 1), 0);
}

static void the_owner_counts_up_down_and_marks(void **state)
{
    (void)state;
    struct sample sample = {.low = UINT64_MAX};
    gy_count(&sample.requests, 3);
    gy_count(&sample.requests, 4);
    assert_int_equal(gy_counter_read(&sample.requests), 7);
    gy_count(&sample.open, 2);
    gy_uncount(&sample.open, 2);
    assert_int_equal(gy_counter_read(&sample.open), 0);
    gy_gauge_set(&sample.open, 9);
    assert_int_equal(gy_counter_read(&sample.open), 9);
    gy_gauge_raise(&sample.peak, 5);
    gy_gauge_raise(&sample.peak, 3);
    assert_int_equal(gy_counter_read(&sample.peak), 5);
    gy_gauge_lower(&sample.low, 5);
    gy_gauge_lower(&sample.low, 8);
    assert_int_equal(gy_counter_read(&sample.low), 5);
}

static void uncount_below_zero(void *unused)
{
    (void)unused;
    _Atomic uint64_t gauge = 1;
    gy_uncount(&gauge, 2);
}

static void a_gauge_below_zero_is_asserted(void **state)
{
    (void)state;
    expect_assertion(uncount_below_zero, NULL, "value >= n");
}

static void the_core_counters_start_at_zero_and_low_marks_unset(void **state)
{
    (void)state;
    struct gy_counters counters;
    memset(&counters, 0xa5, sizeof counters);
    gy_counters_init(&counters);
    const void *const one[] = {&counters};
    for (size_t r = 0; r < gy_counters_row_count; r++) {
        uint64_t value = gy_metric_value(&gy_counters_rows[r], one, 1);
        bool low = gy_counters_rows[r].kind == GY_METRIC_GAUGE_MIN;
        assert_true(value == (low ? UINT64_MAX : 0));
    }
}

static bool is_name(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        if (!islower((unsigned char)*at) && !isdigit((unsigned char)*at) && *at != '_') {
            return false;
        }
    }
    return islower((unsigned char)name[0]);
}

static void the_core_table_describes_each_counter_once(void **state)
{
    (void)state;
#define ONE(member, name, label, kind, help) +1
    assert_int_equal(gy_counters_row_count, 0 GY_COUNTERS(ONE));
#undef ONE
    for (size_t r = 0; r < gy_counters_row_count; r++) {
        const struct gy_metric_description *row = &gy_counters_rows[r];
        assert_true(is_name(row->name));
        assert_true(strlen(row->help) > 0);
        assert_true(row->offset % sizeof(uint64_t) == 0);
        assert_true(row->offset + sizeof(uint64_t) <= sizeof(struct gy_counters));
        /* The renderer adds it. */
        assert_null(strstr(row->name, "_total"));
        for (size_t other = 0; other < r; other++) {
            const struct gy_metric_description *before = &gy_counters_rows[other];
            assert_true(before->offset != row->offset);
            if (strcmp(before->name, row->name) == 0) {
                assert_string_equal(gy_counters_rows[r - 1].name, row->name);
                assert_string_equal(before->help, row->help);
                assert_string_not_equal(before->label, row->label);
                assert_true(before->kind == row->kind);
            }
        }
    }
}

static void each_member_is_rendered_under_its_own_name(void **state)
{
    (void)state;
    struct gy_counters counters;
    gy_counters_init(&counters);
    gy_count(&counters.copied_bytes, 42);
    gy_count(&counters.closed_peer, 43);
    gy_count(&counters.timeouts_idle, 44);
    gy_gauge_lower(&counters.buffers_free_min, 45);
    const void *const one[] = {&counters};
    struct gy_metric_set set = {.instances = one, .instance_count = 1};
    assert_int_equal(render(gy_counters_rows, gy_counters_row_count, &set, 1), 0);
    assert_non_null(strstr(text, "\ngyre_copied_bytes_total 42\n"));
    assert_non_null(strstr(text, "\ngyre_connections_closed_total{reason=\"peer\"} 43\n"));
    assert_non_null(strstr(text, "\ngyre_timeouts_total{kind=\"idle\"} 44\n"));
    assert_non_null(strstr(text, "\ngyre_buffers_free_low 45\n"));
    assert_non_null(strstr(text, "\ngyre_connections_open 0\n"));
}

static void workers_share_no_cache_line(void **state)
{
    (void)state;
    assert_int_equal(_Alignof(struct gy_counters) % 64, 0);
    assert_int_equal(sizeof(struct gy_counters) % 64, 0);
}

#define COUNTS 200000

static void *count_on(void *counter)
{
    for (int i = 0; i < COUNTS; i++) {
        gy_count(counter, 1);
    }
    return NULL;
}

static void another_thread_reads_while_the_owner_counts(void **state)
{
    (void)state;
    static struct sample sample;
    pthread_t owner;
    assert_int_equal(pthread_create(&owner, NULL, count_on, &sample.requests), 0);
    uint64_t before = 0;
    while (before < COUNTS / 2) {
        uint64_t value = gy_counter_read(&sample.requests);
        assert_true(value >= before);
        before = value;
    }
    pthread_join(owner, NULL);
    assert_int_equal(gy_counter_read(&sample.requests), COUNTS);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(workers_are_summed_and_marks_are_compared),
        TEST(sets_are_told_apart_by_labels_under_one_head),
        TEST(labels_and_help_are_escaped),
        TEST(the_largest_value_is_written_whole),
        TEST(a_low_water_mark_that_was_never_set_is_not_rendered),
        TEST(no_instances_give_zeros),
        TEST(a_buffer_that_is_too_small_is_an_error_and_not_overrun),
        TEST(the_owner_counts_up_down_and_marks),
        TEST(a_gauge_below_zero_is_asserted),
        TEST(the_core_counters_start_at_zero_and_low_marks_unset),
        TEST(the_core_table_describes_each_counter_once),
        TEST(each_member_is_rendered_under_its_own_name),
        TEST(workers_share_no_cache_line),
        TEST(another_thread_reads_while_the_owner_counts),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
