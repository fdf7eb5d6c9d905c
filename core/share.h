/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SHARE_H
#define GY_CORE_SHARE_H

/*
 * How endpoints share a worker's turn, so that a flood on one does not become the latency of all.
 *
 * On a worker with several listeners the sessions of a turn get a slice of time together. First
 * each endpoint has a little of it for its streams, in the order in which they became ready, a
 * piece of input at a time; what is left of the slice goes to those that have more to do, beginning
 * with another one each turn. What is left over keeps its place and waits for the next turn, which
 * begins with everybody's completions; it costs that turn nothing.
 *
 * Those completions come in the order in which the kernel got the bytes, whoever they are for, some
 * twenty to a turn: what follows from that for an endpoint with very many streams is in flood.h.
 *
 * A worker with one listener has nobody to share with: its sessions run as they come, and no clock
 * is read.
 */

#include "worker.h"

#define GY_SHARE_SLICE_NS 20000u

/* The same while several endpoints are at work: two turns and more pass between what a client asks
 * and its answer, so what one of them takes is in everybody's latency. */
#define GY_SHARE_CROWD_SLICE_NS 8000u

/* What each endpoint may use of it before any uses more. */
#define GY_SHARE_LEAST_NS (GY_SHARE_CROWD_SLICE_NS / 2)

/* Streams that have ended, and leave the list of those to run in one turn: each is closed in it. */
#define GY_SHARE_ENDED_MAX 8

/* Connections of one endpoint whose descriptors a turn closes while others are at work, as the
 * kernel takes them down in that turn, at 3 us and more; the rest wait, in their order, for later
 * turns. */
#define GY_SHARE_CLOSED_MAX 4

/* After so many deadlines of connections have passed in a turn, and less than twice as many, the
 * rest waits for the next one: they cause answers and closing, at 12 us each, and those of one
 * flood pass together. So it is on a worker with one listener as well. */
#define GY_SHARE_EXPIRED_MAX 8

/* Bytes that a turn's sends hand to the kernel, which copies them in that turn, and for a peer on
 * this host does the peer's part as well: 64 KiB took 20 to 40 us. Streams of endpoints that have
 * sent less than the least in this turn go first; the others send what is left of the first bound,
 * or wait for the next turn. No send is larger than what is left, so that a large one does not wait
 * for a turn without others. This is for while several endpoints are at work. */
#define GY_SHARE_SEND_BYTES       (32u << 10)
#define GY_SHARE_SEND_LEAST_BYTES (8u << 10)

/* Of streams whose socket was not emptied, while several endpoints are at work: what one of them
 * receives in a turn; the others wait for later turns. It is copied in that turn, and with it goes
 * what room for more causes: a peer on this host sends it at once, in our time. A receive that
 * stays armed took 32 KiB three times, 80 us; with two such parts a turn an upload moved others'
 * p99 from 105 to 260 us, with one from 110 to 175. */
#define GY_SHARE_RECEIVE_BYTES (8u << 10)

/* So long after another endpoint was at work, one is not taken to be alone. */
#define GY_SHARE_CROWD_MS 100

/* Input that a session is shown at a time; twice as much each time that it needs more to go on. */
#define GY_SHARE_INPUT_BYTES 1024

/* Puts a stream at the end of those of its endpoint that are to run. */
void gy_share_ready(struct gy_stream *stream);

/* Runs streams that are ready, of which there are some. */
void gy_share_run(struct gy_worker *worker);

/* Something is done for the endpoint in this turn. */
void gy_share_at_work(struct gy_endpoint *endpoint);

/* A stream of which nothing is in flight is about to be closed: true if it is to wait, and is among
 * those that do. */
bool gy_share_closes_later(struct gy_stream *stream);

/* Once a turn in which some wait: closes those whose turn it is. */
void gy_share_close(struct gy_worker *worker);

/* Fires timers that are due; of connections' deadlines that have passed, a turn's part. */
void gy_share_advance(struct gy_worker *worker, uint32_t budget);

/* Whether others were at work of late, so that what the endpoint sends has a share's bound. One
 * that is alone sends as if the worker were its own. */
bool gy_share_is_crowded(struct gy_endpoint *endpoint);

/* In a crowd: how much of a send of `bytes` may go now, which is counted; 0: it waits for the next
 * turn. */
uint32_t gy_share_send(struct gy_endpoint *endpoint, uint32_t bytes);

/* How a stream that wants to receive is to do it. Of LATER: its session is still to run on what it
 * has, and asks again; or the turn's part is taken, and the next turn asks. */
enum gy_share_receive {
    GY_SHARE_RECEIVE_ALL,
    GY_SHARE_RECEIVE_A_PART,
    GY_SHARE_RECEIVE_LATER,
};
enum gy_share_receive gy_share_receive(struct gy_stream *stream);

/* Carries out what the streams of a list ask for, linked by next_flush: those with little to send
 * first. */
void gy_share_flush(struct gy_worker *worker, struct gy_stream *head);

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
