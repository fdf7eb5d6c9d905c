/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <hdr/hdr_histogram_log.h>

#include "bench/load/histogram.h"
#include "bench/load/load.h"

static void values_are_kept_to_three_digits(void **state)
{
    (void)state;
    struct hdr_histogram *histogram = gy_load_histogram_open();
    assert_non_null(histogram);
    for (uint64_t ns = 10; ns < 1000000000000; ns *= 10) {
        hdr_reset(histogram);
        gy_load_record(histogram, ns, 1);
        int64_t back = hdr_value_at_percentile(histogram, 100);
        assert_true(llabs(back - (int64_t)ns) <= (int64_t)(ns / 1000));
    }
    hdr_close(histogram);
}

static void one_in_a_hundred_thousand_shows(void **state)
{
    (void)state;
    struct hdr_histogram *histogram = gy_load_histogram_open();
    gy_load_record(histogram, 100000, 999980);
    gy_load_record(histogram, 50000000, 20);
    assert_true(hdr_value_at_percentile(histogram, 99.99) < 101000);
    assert_true(hdr_value_at_percentile(histogram, 99.999) > 49900000);
    hdr_close(histogram);
}

static void what_is_longer_than_an_hour_counts_as_an_hour(void **state)
{
    (void)state;
    struct hdr_histogram *histogram = gy_load_histogram_open();
    gy_load_record(histogram, UINT64_MAX, 3);
    assert_int_equal(histogram->total_count, 3);
    assert_true(hdr_max(histogram) >= GY_LOAD_LATENCY_MAX_NS);
    hdr_close(histogram);
}

/* What is written is read again by the library's own reader: both entries, their counts and
 * percentiles. */
static void the_log_reads_back(void **state)
{
    (void)state;
    char path[] = "/tmp/gyre-load-test-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    struct gy_load_options options = {.hdr_file = path};
    struct gy_load_result result = {
        .latency = gy_load_histogram_open(),
        .service = gy_load_histogram_open(),
        .began_wall_ms = 1700000000123,
        .seconds = 2.5,
    };
    gy_load_record(result.latency, 2000000, 7);
    gy_load_record(result.service, 1000000, 5);
    struct gy_error error = {0};
    assert_int_equal(gy_load_write_hdr(&options, &result, &error), 0);

    FILE *file = fdopen(descriptor, "r");
    struct hdr_log_reader reader;
    assert_int_equal(hdr_log_reader_init(&reader), 0);
    assert_int_equal(hdr_log_read_header(&reader, file), 0);
    char tag[32] = "";
    struct hdr_log_entry entry = {.tag = tag, .tag_len = sizeof tag};
    struct hdr_histogram *read = NULL;
    assert_int_equal(hdr_log_read_entry(&reader, file, &entry, &read), 0);
    assert_int_equal(read->total_count, 7);
    assert_int_equal(entry.interval.tv_sec, 2);
    assert_int_equal(hdr_value_at_percentile(read, 50),
                     hdr_value_at_percentile(result.latency, 50));
    hdr_close(read);
    read = NULL;
    entry.tag_len = sizeof tag;
    assert_int_equal(hdr_log_read_entry(&reader, file, &entry, &read), 0);
    assert_int_equal(read->total_count, 5);
    assert_memory_equal(tag, "service", 7);
    hdr_close(read);
    fclose(file);
    unlink(path);
    gy_load_result_free(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_kept_to_three_digits),
        cmocka_unit_test(one_in_a_hundred_thousand_shows),
        cmocka_unit_test(what_is_longer_than_an_hour_counts_as_an_hour),
        cmocka_unit_test(the_log_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
