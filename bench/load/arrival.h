/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_ARRIVAL_H
#define GY_BENCH_LOAD_ARRIVAL_H

/*
 * When requests are due in an open loop: evenly spaced, or as a Poisson process (independent,
 * exponentially distributed gaps). The schedule is fixed by rate, start and seed before the first
 * request is sent, and never waits for an answer: that is what makes latencies free of coordinated
 * omission.
 */

#include <stdbool.h>
#include <stdint.h>

struct gy_load_schedule {
    double gap_ns; /* mean */
    double at_ns;  /* of the next arrival, from `start_ns` */
    double phase;
    uint64_t start_ns;
    uint64_t count; /* arrivals taken */
    uint64_t random;
    bool poisson;
};

/* `rate` > 0, arrivals a second. `phase` (0 to 1) shifts an even schedule by a part of the gap, so
 * that the workers' schedules interleave. The same seed gives the same arrivals. */
void gy_load_schedule_init(struct gy_load_schedule *schedule, double rate, bool poisson,
                           uint64_t seed, double phase, uint64_t start_ns);

/* When the next request is due. */
static inline uint64_t gy_load_schedule_next_ns(const struct gy_load_schedule *schedule)
{
    return schedule->start_ns + (uint64_t)schedule->at_ns;
}

/* Goes on to the one after it. */
void gy_load_schedule_take(struct gy_load_schedule *schedule);

#endif
