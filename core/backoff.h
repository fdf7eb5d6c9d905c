/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_BACKOFF_H
#define GY_CORE_BACKOFF_H

/*
 * How long to wait before trying again: longer after each failure, up to a bound, and never the
 * same for everybody, so that those who lost one server together do not come back together.
 *
 * After the n-th failure in a row the wait is between a half and the whole of
 * min(base_ms << (n - 1), max_ms), drawn evenly. The caller gives the seed: the same one, the same
 * waits.
 */

#include <stdint.h>

struct gy_backoff {
    uint32_t base_ms;
    uint32_t max_ms; /* at least base_ms */
    uint32_t failures;
    uint64_t random; /* never 0 */
};

void gy_backoff_init(struct gy_backoff *backoff, uint32_t base_ms, uint32_t max_ms, uint64_t seed);

/* One more failure: how long to wait now, in ms. */
uint32_t gy_backoff_failed(struct gy_backoff *backoff);

/* It worked: the next failure is the first again. */
static inline void gy_backoff_worked(struct gy_backoff *backoff)
{
    backoff->failures = 0;
}

#endif
