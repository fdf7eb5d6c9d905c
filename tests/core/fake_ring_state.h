/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_FAKE_RING_STATE_H
#define GY_TESTS_CORE_FAKE_RING_STATE_H

/* What fake_ring.c and fake_buffers.c know of each other. */

#include "tests/core/fake_ring.h"

#define FAKE_COMPLETIONS_MAX 4096

struct gy_ring {
    uint32_t features;
    struct gy_ring_counters counters;
    struct gy_ring_buffers *buffers;
    struct fake_operation *first;
    struct fake_operation **last;
    uint32_t totals[FAKE_KIND_COUNT];
    struct gy_completion completions[FAKE_COMPLETIONS_MAX];
    uint32_t completion_head;
    uint32_t completion_count;
    uint32_t room;
    uint32_t room_left;
    bool hold;
    bool cancels;
    uint64_t last_wait_ns;
    uint32_t waits;
    void (*on_wait)(struct gy_ring *ring, void *context);
    void *on_wait_context;
};

/* Makes the completion of an operation in flight, which is over unless it says GY_COMPLETION_MORE.
 */
void fake_settle(struct gy_ring *ring, struct fake_operation *operation,
                 struct gy_completion completion);

#endif
