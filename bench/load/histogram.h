/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_HISTOGRAM_H
#define GY_BENCH_LOAD_HISTOGRAM_H

/*
 * Latencies, by HdrHistogram: nanoseconds up to an hour, to three digits. What is longer counts as
 * an hour: a value is never left out.
 */

#include <stdint.h>

#include <hdr/hdr_histogram.h>

#define GY_LOAD_LATENCY_MAX_NS INT64_C(3600000000000)

/* NULL when out of memory; closed by hdr_close. */
static inline struct hdr_histogram *gy_load_histogram_open(void)
{
    struct hdr_histogram *histogram = NULL;
    return hdr_init(1, GY_LOAD_LATENCY_MAX_NS, 3, &histogram) == 0 ? histogram : NULL;
}

static inline void gy_load_record(struct hdr_histogram *histogram, uint64_t ns, uint64_t count)
{
    int64_t value = ns < (uint64_t)GY_LOAD_LATENCY_MAX_NS ? (int64_t)ns : GY_LOAD_LATENCY_MAX_NS;
    hdr_record_values(histogram, value, (int64_t)count);
}

#endif
