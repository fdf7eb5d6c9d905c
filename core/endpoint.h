/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_ENDPOINT_H
#define GY_CORE_ENDPOINT_H

/*
 * An endpoint: what the streams of one kind share on one worker: their session's code and memory,
 * their bounds, their quota. A listener has one for the streams it accepts, a dialling client one
 * for those it opens.
 */

#include "flood.h"
#include "layer.h"
#include "stream.h"

TAILQ_HEAD(gy_endpoint_queue, gy_endpoint);

struct gy_endpoint_options {
    const char *name; /* "http"; for log and metrics */
    const struct gy_stream_ops *ops;
    void *context;                    /* the owner's; found again as endpoint->context */
    uint32_t session_bytes;           /* memory of one session */
    struct gy_stream_limits limits;   /* 0 means the default */
    uint64_t quota_bytes;             /* kept in `in` by all its streams; 0: by the pool's size */
    uint32_t connections_max;         /* 0: as many as the worker has slots */
    const struct gy_layer_ops *layer; /* NULL: what is on the wire is what sessions see */
    const void *layer_context;        /* for its attach */
};

struct gy_endpoint {
    struct gy_worker *worker;
    const struct gy_stream_ops *ops;
    const char *name;
    void *context;
    void *state; /* the owner's, for this worker */
    const struct gy_layer_ops *layer;
    void *layer_state;                                           /* the layer's, for this worker */
    void (*left)(struct gy_endpoint *endpoint, uint32_t ticket); /* a listener's (listener.h) */
    struct gy_slab sessions;
    struct gy_stream_limits limits; /* defaults filled in */
    struct gy_quota quota;
    struct gy_pool *pool;            /* that its streams receive into */
    struct gy_stream_queue *starved; /* of them, those that wait for a buffer of it */

    /* How it shares its worker's turns (share.h). */
    struct gy_stream *ready_head, *ready_tail; /* its sessions to run */
    uint32_t ready_count;
    uint32_t ready_left; /* of them, those that this turn may run */
    bool busy;           /* in worker->busy: as long as a turn ends with some that are ready */
    TAILQ_ENTRY(gy_endpoint) busy_entry;
    uint64_t turn;                                 /* that sent_bytes is of */
    uint64_t sent_bytes;                           /* handed to the kernel */
    uint32_t closed;                               /* of its streams, while others are at work */
    struct gy_stream *closing_head, *closing_tail; /* to be closed in later turns */
    TAILQ_ENTRY(gy_endpoint) closing_entry; /* in worker->closing: as long as there are such */
    struct gy_flood flood;

    uint32_t connections; /* written by the worker alone, by gy_endpoint_count */
    uint32_t connections_max;
};

/* Reserves the sessions' memory. 0, or GY_ENOMEM with a sentence. The endpoint must not move while
 * it has streams. */
int gy_endpoint_open(struct gy_endpoint *endpoint, struct gy_worker *worker,
                     const struct gy_endpoint_options *options, struct gy_error *error);

/* After the last stream is gone. */
void gy_endpoint_close(struct gy_endpoint *endpoint);

/* Streams that are open now. Any thread, as long as the worker's memory is there. */
static inline uint32_t gy_endpoint_connections(const struct gy_endpoint *endpoint)
{
    return __atomic_load_n(&endpoint->connections, __ATOMIC_RELAXED);
}

/* For core/stream: one more, one less. */
static inline void gy_endpoint_count(struct gy_endpoint *endpoint, int change)
{
    __atomic_store_n(&endpoint->connections, endpoint->connections + (uint32_t)change,
                     __ATOMIC_RELAXED);
}

/* Whether one more stream is within its bound. */
static inline bool gy_endpoint_has_room(const struct gy_endpoint *endpoint)
{
    return endpoint->connections < endpoint->connections_max;
}

#endif
