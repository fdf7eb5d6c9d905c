/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SHARE_H
#define GY_CORE_SHARE_H

/*
 * How endpoints share a worker's turn, so that a flood on one does not become the latency of all.
 *
 * On a worker with several listeners the sessions of a turn get a slice of time together. Streams
 * run in the order in which they became ready, a piece of input at a time. Once the slice is used
 * up, streams of endpoints that had their share of it wait for the next turn, which begins with
 * everybody's completions; those of the others still run. What waits keeps its place.
 *
 * A worker with one listener has nobody to share with: its sessions run as they come, and no clock
 * is read.
 */

#include "worker.h"

#define GY_SHARE_SLICE_NS 40000u

/* An endpoint that has run for less than this in a turn is not put off. */
#define GY_SHARE_LEAST_NS (GY_SHARE_SLICE_NS / 4)

/* Bytes that a turn's sends hand to the kernel, which copies them in that turn: past the first
 * bound, streams of endpoints that have sent less than the second in this turn still send, the
 * others in the next. */
#define GY_SHARE_SEND_BYTES       (128u << 10)
#define GY_SHARE_SEND_LEAST_BYTES (32u << 10)

/* Input that a session is shown at a time; all of it, where it makes nothing of that. */
#define GY_SHARE_INPUT_BYTES 2048

/* Runs the streams of a list, linked by next_ready; those that are put off are ready again. */
void gy_share_run(struct gy_worker *worker, struct gy_stream *head);

/* Whether a send of the endpoint has to wait for the next turn; if not, its bytes are counted. */
bool gy_share_defers_send(struct gy_endpoint *endpoint, uint32_t bytes);

/*
 * Receive buffers are shared as well: the first listener's streams, and those that are dialled,
 * have the worker's pool, and every other listener has one of its own (gy_worker_options.shares),
 * since the kernel gives buffers to whoever comes first, and those who find none would have to
 * queue with a flood's.
 *
 * At the end of a turn: what worker.c has done for the worker's own pool is done for those.
 * Afterwards worker->others_starved tells whether a stream waits for a buffer of one of them.
 */
void gy_share_end(struct gy_worker *worker);

/* For any pool: receives that ended for want of a buffer of it are armed again. */
void gy_share_resume(struct gy_worker *worker, struct gy_pool *pool,
                     const struct gy_stream_queue *starved);

#endif
