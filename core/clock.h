/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_CLOCK_H
#define GY_CORE_CLOCK_H

/* The clock that goes on at its own pace whatever the date is set to (CLOCK_MONOTONIC), from some
 * point in the past. Protocols do not read it: they are told. */

#include <stdint.h>
#include <time.h>

static inline uint64_t gy_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t gy_clock_ms(void)
{
    return gy_clock_ns() / 1000000;
}

#endif
