/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_EVICT_H
#define GY_CORE_EVICT_H

/*
 * Output memory and receive buffers are bounded and shared, so peers who do not read what they
 * asked for, and go on asking, could hold all of them until their write deadlines. While streams
 * wait for memory or buffers that are used up, those whose sends have been stalled the longest are
 * ended: at least GY_EVICT_STALLED_MS long, oldest first, at most GY_EVICT_BATCH at a time.
 */

#include <stdint.h>

struct gy_worker;

#define GY_EVICT_STALLED_MS  1000
#define GY_EVICT_INTERVAL_MS 100
#define GY_EVICT_BATCH       64

/* Looks at most once per interval; returns how many streams it ended (counted in streams_evicted).
 */
uint32_t gy_evict_stalled(struct gy_worker *worker);

#endif
