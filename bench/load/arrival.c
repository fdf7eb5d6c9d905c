/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/arrival.h"

#include <math.h>

#include "core/error.h"

/* splitmix64: any seed will do, 0 as well. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Mean 1. The uniform number is of (0, 1]: its logarithm is finite. */
static double exponential(uint64_t *state)
{
    double uniform = ((double)(random_next(state) >> 11) + 1.0) * 0x1p-53;
    return -log(uniform);
}

void gy_load_schedule_init(struct gy_load_schedule *schedule, double rate, bool poisson,
                           uint64_t seed, double phase, uint64_t start_ns)
{
    gy_assert(rate > 0 && phase >= 0 && phase <= 1);
    *schedule = (struct gy_load_schedule){
        .gap_ns = 1e9 / rate,
        .start_ns = start_ns,
        .random = seed,
        .poisson = poisson,
    };
    schedule->phase = phase;
    schedule->at_ns = schedule->gap_ns * (poisson ? exponential(&schedule->random) : phase);
}

/* An even schedule is counted, not added up: it does not drift. */
void gy_load_schedule_take(struct gy_load_schedule *schedule)
{
    schedule->count++;
    if (schedule->poisson) {
        schedule->at_ns += schedule->gap_ns * exponential(&schedule->random);
    } else {
        schedule->at_ns = schedule->gap_ns * ((double)schedule->count + schedule->phase);
    }
}
