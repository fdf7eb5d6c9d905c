/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_WORKER_INTERNAL_H
#define GY_CORE_WORKER_INTERNAL_H

/* What worker.c (the turn), worker_open.c (its memory), worker_reap.c (its completions),
 * worker_post.c (messages and waking) and worker_drain.c (the end) share. */

#include "core/clock.h"
#include "core/worker.h"

static inline void gy_worker_read_clock(struct gy_worker *worker)
{
    worker->now_ns = gy_clock_ns();
    worker->now_ms = worker->now_ns / 1000000;
}

/* The worker's mailboxes, bell and eventfd. 0, GY_ENOMEM, GY_ENOFILE. */
int gy_worker_open_mailboxes(struct gy_worker *worker);

/* Wakes a worker from a thread without a ring, or when a message to its ring did not get through.
 */
void gy_worker_ring_by_eventfd(struct gy_worker *to);

/* Dispatches the completions that are there, and what the kernel still has of a message that a
 * buffer's end cut in two. 0, or GY_EIO: the ring is broken. */
int gy_worker_reap(struct gy_worker *worker);

/* Hands on what has arrived: bounded per mailbox, one message per inlet and turn. */
void gy_worker_read_mailboxes(struct gy_worker *worker);
void gy_worker_read_inlets(struct gy_worker *worker);

/* Carries one message out. */
void gy_worker_called(struct gy_worker *worker, const struct gy_message *message);
void gy_worker_take(struct gy_worker *worker, const struct gy_message *message);

/* Begins to drain, for so long; take_waiting: connections that wait in the backlog are accepted
 * first. Does nothing when it has begun already. */
void gy_worker_drain(struct gy_worker *worker, uint64_t timeout_ms, bool take_waiting);

/* In each turn of a drain: stops the worker when all is done, or it is time. */
void gy_worker_drain_step(struct gy_worker *worker);

/* The stream that a token is of; NULL when that is gone. */
static inline struct gy_stream *gy_worker_stream(struct gy_worker *worker, uint64_t token)
{
    uint32_t slot = gy_token_slot(token);
    uint32_t generation = gy_token_generation(token);
    if (slot >= worker->streams.fresh || !(generation & 1) ||
        worker->generations[slot] != generation) {
        return NULL;
    }
    return gy_slab_at(&worker->streams, slot);
}

bool gy_worker_mailboxes_empty(const struct gy_worker *worker);

/* Sees that the eventfd is being read. */
void gy_worker_arm_wake(struct gy_worker *worker);

#endif
