/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_RING_INTERNAL_H
#define GY_CORE_RING_INTERNAL_H

/* What ring.c (opening it, provided buffers), ring_operations.c (queueing) and ring_turn.c
 * (entering the kernel) share. */

#include <liburing.h>

#include "core/ring.h"

/* Of the ring's own completions; no operation of a caller's has such a number. */
#define GY_RING_OWN_OPERATION 0xffu
#define GY_RING_TIMER_TOKEN   ((uint64_t)GY_RING_OWN_OPERATION << 56)
#define GY_RING_MOVED_TOKEN   (GY_RING_TIMER_TOKEN | 1)

_Static_assert(GY_OPERATION_COUNT <= GY_RING_OWN_OPERATION, "tokens are told apart");

struct gy_ring {
    struct io_uring uring;
    uint32_t features;
    struct gy_ring_counters counters;
    /* The timer that stands: when it is due (CLOCK_MONOTONIC), 0 without one, and what the kernel
     * reads of it by the next enter. */
    uint64_t timer_due_ns;
    struct __kernel_timespec timer_due;
};

#endif
