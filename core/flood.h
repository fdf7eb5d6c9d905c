/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_FLOOD_H
#define GY_CORE_FLOOD_H

/*
 * How the streams of a flooded server receive, where several share a worker (share.h).
 *
 * The kernel fills armed receives in the order in which it got the bytes, whoever they are for,
 * some twenty to an enter. Where thousands of streams of one server get bytes at one instant, those
 * of all others queue behind them, for milliseconds; no bound on what sessions may do helps, as the
 * worker has not even heard of the others' bytes.
 *
 * So a flooded server's streams have no receive armed while they wait. They wait in an epoll set of
 * that server, where being ready costs the worker nothing, and each turn lets a few of them
 * through, those first that were ready first: these receive a part of what is there, once, and wait
 * in the set again when their session has run. The ring polls the set, so it ends the worker's
 * sleep as any other completion does.
 *
 * A server is flooded after some turns in a row that were full of its receives, while others were
 * at work as well, and as long as more of its streams are ready than a turn lets through. Then its
 * streams go back to receives that stay armed, each after its next bytes.
 *
 * A listener has one, where listeners share the worker; nothing is opened before it is needed.
 */

#include <stdbool.h>
#include <stdint.h>

struct gy_endpoint;
struct gy_stream;
struct gy_worker;

/* So many turns in a row make a flood, in each of which an endpoint received so often (or has so
 * many sessions still to run, as a slice is short), if it has so many streams: fewer keep nobody
 * waiting for long. */
#define GY_FLOOD_TURNS    8
#define GY_FLOOD_RECEIVES 12
#define GY_FLOOD_READY    16
#define GY_FLOOD_STREAMS  100

/* What a turn lets through: so many streams, each for GY_SHARE_RECEIVE_BYTES. */
#define GY_FLOOD_PASSES 8

/* So long after its last sign, a flood is over. */
#define GY_FLOOD_MS 1000

struct gy_flood {
    int set;           /* epoll's; -1: there was none yet */
    uint32_t slot;     /* of the listener, for tokens */
    uint32_t members;  /* streams that are in the set */
    uint32_t waiting;  /* of them, those that it is to tell of */
    uint32_t receives; /* completed in this turn */
    uint32_t turns;    /* in a row, with many of them */
    uint64_t until_ms; /* it is a flood before then */
    bool polled;       /* by the ring */
    bool cancelled;    /* and its end was asked for */
    bool more;         /* the last look found as many as it could let through */
};

/* Nothing is opened. A listener sets its number. */
void gy_flood_init(struct gy_flood *flood);

/* When no stream is left. */
void gy_flood_close(struct gy_flood *flood);

/* Whether streams of the endpoint wait in its set. */
bool gy_flood_is_on(const struct gy_endpoint *endpoint);

/* Whether a stream of a flooded endpoint is not to receive: one whose session is still to run, or
 * whose receive would go on by itself. */
bool gy_flood_holds(const struct gy_stream *stream);

/* A stream that wants to receive: true if it waits in the set, now or already; false if it is to
 * arm a receive, as it has been let through, there is no flood, or no set can be had. */
bool gy_flood_awaits(struct gy_stream *stream);

/* A stream received. */
void gy_flood_received(struct gy_stream *stream);

/* A stream with a place in the set is about to be closed. */
void gy_flood_leave(struct gy_stream *stream);

/* Once a turn in which some wait, before what streams ask for is carried out: lets some through. */
void gy_flood_pass(struct gy_worker *worker);

/* At the end of a turn: looks at what the endpoint received in it. */
void gy_flood_judge(struct gy_endpoint *endpoint);

/* The ring's poll of the set of listener `slot` ended; false: there was none. */
bool gy_flood_polled(struct gy_worker *worker, uint32_t slot);

/* Whether streams could be let through now. */
bool gy_flood_presses(const struct gy_worker *worker);

/* The worker ends: no set is polled any more. False: one still is; to be called again after the
 * next turn. */
bool gy_flood_stop(struct gy_worker *worker);

#endif
