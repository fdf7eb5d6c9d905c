/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_LISTENER_H
#define GY_CORE_LISTENER_H

/*
 * A listener: one listening socket of one worker, and the server whose streams it begets.
 *
 * Accepting is multishot where the kernel has it: it takes all that wait at once. Where listeners
 * share a worker, each has GY_LISTENER_ACCEPTS operations in flight that take one connection, so
 * that a turn takes no more of one listener, however many wait; and while several are at work
 * (share.h), GY_LISTENER_ACCEPTS_CROWDED: a connection costs the turn that takes it about 10 us,
 * for which the others' clients wait. When descriptors run out (EMFILE,
 * ENFILE) the waiting client is accepted on a reserve descriptor and closed, so that it learns the
 * news, and accepting pauses for a moment; other errors re-arm.
 */

#include "datagram.h"
#include "endpoint.h"

/* Connections that one listener of several takes in a turn. */
#define GY_LISTENER_ACCEPTS         8
#define GY_LISTENER_ACCEPTS_CROWDED 2 /* while others are at work */

struct gy_server {
    const char *name; /* "http"; for log and metrics */
    const struct gy_stream_ops *ops;
    void *context;          /* the server's own; read-only once workers run */
    uint32_t session_bytes; /* memory of one session */
    struct gy_stream_limits limits;
    uint64_t quota_bytes; /* kept in `in` by all its streams of one worker; 0: by the pool's size */
    uint32_t connections_max;         /* per worker; 0: as many as the worker has slots */
    const struct gy_layer_ops *layer; /* core/layer.h; NULL: none */
    const void *layer_context;

    /* What the server keeps per worker (caches, counters, a Date string): made on the worker's
     * thread before it accepts, found again as endpoint->state, and closed when no stream is left.
     * Both may be NULL. */
    int (*worker_open)(struct gy_worker *worker, const struct gy_server *server, void **state,
                       struct gy_error *error);
    void (*worker_close)(struct gy_worker *worker, void *state);

    /* Who may come in; both NULL: whoever there is room for. `admit` is asked for each connection
     * before anything is kept for it, and before a layer's handshake; its `state` is there. False:
     * it is closed at once. A ticket that is not 0 lies in stream->ticket until the connection is
     * gone, when `left` is told of it. */
    bool (*admit)(struct gy_endpoint *endpoint, int descriptor, uint32_t *ticket);
    void (*left)(struct gy_endpoint *endpoint, uint32_t ticket);

    const int *descriptors; /* listening sockets: one for each worker, by its number */

    /* A server of datagrams: its descriptors are bound UDP sockets, and this stands in place of
     * `ops`, session_bytes, limits, quota_bytes and connections_max (name and context are those
     * above). NULL: a server of streams. */
    const struct gy_datagram_options *datagrams;
};

struct gy_listener {
    struct gy_endpoint endpoint; /* its `state` is that of server->worker_open */
    const struct gy_server *server;
    struct gy_pool *pool; /* of its own; NULL: the worker's */
    struct gy_stream_queue starved;
    struct gy_timer pause;
    int descriptor; /* of the listening socket */
    uint32_t slot;
    uint32_t armed; /* accepts in flight */
    uint64_t turn;  /* that `taken` is of */
    uint32_t taken; /* connections */
    bool cancelled; /* their end was asked for */
    bool closing;   /* no more accepting */
    bool closed;
};

/* `slot` is the listener's number within the worker. 0, GY_ENOMEM, or what worker_open said. */
int gy_listener_open(struct gy_listener *listener, struct gy_worker *worker,
                     const struct gy_server *server, uint32_t slot, struct gy_error *error);

/* Accepts from the next submission on. Does nothing while paused, armed or closing. */
void gy_listener_arm(struct gy_listener *listener);

void gy_listener_accepted(struct gy_listener *listener, const struct gy_completion *completion);

/* Stops accepting. take_waiting: connections that wait in the backlog are accepted first (the
 * service ends, nobody else will). The descriptor is closed once nothing is in flight on it.
 * Calling it again repeats what the ring had no room for. */
void gy_listener_stop(struct gy_listener *listener, bool take_waiting);

/* After the last stream is gone. */
void gy_listener_close(struct gy_listener *listener);

#endif
