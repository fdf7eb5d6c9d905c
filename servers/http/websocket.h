/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_WEBSOCKET_H
#define GY_SERVERS_HTTP_WEBSOCKET_H

/*
 * WebSockets of an HTTP server: a path whose requests become connections of messages. A handler is
 * all that is needed:
 *
 *     static void message(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
 *                         struct gy_chain *bytes)
 *     {
 *         gy_websocket_send(connection, kind, bytes);
 *     }
 *     static const struct gy_websocket_handler echo = {.message = message};
 *     struct gy_websocket socket = {.path = "/echo", .handler = &echo, .rules.sha1 = sha1};
 *
 * The socket is opened for each worker, then given the exchanges of requests for its path
 * (gy_websocket_take); the exchange's `body`, `pull` and `closed` are from then on
 * gy_websocket_body() and so on. servers/http/vhosts.h does all of this for a host's sockets.
 *
 * Handlers run on the worker that has the connection, and may send to any connection of that
 * worker at any time between `open` and the return of `closed`.
 */

#include "../../core/relay.h"
#include "../../core/timer.h"
#include "../../protocols/websocket/handshake.h"
#include "../../protocols/websocket/websocket.h"
#include "http_server.h"

struct gy_websocket_connection;

/* All but `message` may be NULL. */
struct gy_websocket_handler {
    /* The handshake is done. `subprotocol`: index of the one agreed on, or -1. */
    void (*open)(struct gy_websocket_connection *connection, int subprotocol);
    /* A message is whole. What is left in `bytes` is dropped. */
    void (*message)(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
                    struct gy_chain *bytes);
    /* A gy_websocket_send() was refused with GY_ELIMIT, and there is room again. */
    void (*writable)(struct gy_websocket_connection *connection);
    /* It is over; called once. `code`: of the peer's Close, or GY_WS_ABNORMAL without one. */
    void (*closed)(struct gy_websocket_connection *connection, uint16_t code);
};

/* One path. Zero it, fill the first part, keep it until the end. */
struct gy_websocket {
    const char *path; /* without a query; requests are compared byte for byte */
    const struct gy_websocket_handler *handler;
    void *context; /* the handler's, the same for all workers */
    struct gy_ws_rules rules;
    struct gy_ws_limits limits; /* message_max 0: gy_websocket_limits_default() */
    bool compress;              /* permessage-deflate (RFC 7692), for who asks for it */
    struct gy_ws_terms terms;   /* what of it is allowed */
    uint64_t compress_bytes;    /* for it, per worker; past it no more is agreed on */
    uint32_t connections_max;   /* at once, per worker; 0: 65536; more get 503 */

    struct gy_relay relay; /* for broadcasts */
    struct gy_websocket_worker *workers[GY_HTTP_WORKERS_MAX];
};

/* The members up to `state` may be read. */
struct gy_websocket_connection {
    struct gy_websocket *socket;
    struct gy_websocket_worker *worker;
    struct gy_http_exchange *exchange;
    void *state; /* the handler's own, NULL at first */

    struct gy_websocket_connection *next, **link; /* of the worker's, for a broadcast */
    struct gy_ws ws;
    struct gy_chain in, out;
    struct gy_timer timer;
    uint32_t flags;
    uint32_t reserved_bytes; /* of the worker's, for compression */
};

/* The protocol's defaults with messages of 1 MiB. */
struct gy_ws_limits gy_websocket_limits_default(void);

/* What it keeps for each worker; once for each address that is listened on. */
int gy_websocket_worker_open(struct gy_websocket *socket, struct gy_worker *worker,
                             struct gy_error *error);
void gy_websocket_worker_close(struct gy_websocket *socket, struct gy_worker *worker);

/* Whether a request is for this path. */
bool gy_websocket_fits(const struct gy_websocket *socket, struct gy_http_text target);

/* Answers a request: false when it was refused, true when the exchange is a connection now. */
bool gy_websocket_take(struct gy_websocket *socket, struct gy_http_exchange *exchange);

/* The rest of the exchange's handler, once it was taken. */
void gy_websocket_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end);
int gy_websocket_pull(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget);
void gy_websocket_drain(struct gy_http_exchange *exchange); /* says 1001 (RFC 6455 §7.4.1) */
void gy_websocket_closed(struct gy_http_exchange *exchange, int reason);

/* ---- for handlers; returns as gy_ws_send() and so on ---- */

int gy_websocket_send(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
                      struct gy_chain *payload);
int gy_websocket_send_copy(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
                           const void *data, uint32_t bytes);
int gy_websocket_close(struct gy_websocket_connection *connection, uint16_t code,
                       const char *reason);

/* For a handler that has appended whole frames to connection->out itself (one encoding for many, in
 * a slice of its own): they are sent. */
void gy_websocket_appended(struct gy_websocket_connection *connection);

/* `writable` is called when `out` has drained to half of limits.output_high, also without a send
 * that was refused. */
void gy_websocket_await_room(struct gy_websocket_connection *connection);

/* Sends a message to all connections of the socket, in one order for all of them, encoded once on
 * each worker. Who is too slow to follow (limits.output_max bytes behind) is closed with 1013, as
 * are all on a worker that has no memory for the message. While too many messages are under way to
 * other workers (core/relay.h) nothing is read from this worker's connections, so that their peers
 * wait. 0, or GY_ENOBUFS (nobody gets it; `payload` is as it was). */
int gy_websocket_broadcast(struct gy_websocket_connection *from, enum gy_ws_kind kind,
                           struct gy_chain *payload);

/* ---- services ---- */

/* Every message goes back to whom it came from; to everybody on the socket. */
extern const struct gy_websocket_handler gy_websocket_echo;
extern const struct gy_websocket_handler gy_websocket_room;

#endif
