/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_CONNECTOR_H
#define GY_CORE_CONNECTOR_H

/*
 * A connector: opens streams to peers that are given by name or by address.
 *
 * A name is handed to the resolver that the connector was given. Its addresses are raced as RFC
 * 8305 says: IPv4 and IPv6 take turns, beginning with the family that the resolver put first; the
 * next attempt starts when the last one has failed, or attempt_delay_ms after it began; the first
 * to connect is it, and the others are given up. Addresses that the resolver finds later join the
 * race. With a layer (TLS, say) its handshake is part of
 * connecting.
 *
 *     static void connected(struct gy_dial *dial, struct gy_stream *stream)
 *     {
 *         if (stream == NULL) { … dial->error.message … }
 *         else { struct session *session = stream->session; … }
 *     }
 *     gy_dial_begin(&dial, &connector, "www.example.org", 80, connected);
 *
 * The streams are of one kind (options->ops), on one worker. Session memory of a dialled stream is
 * zeros when `done` gets it; `ops->open` follows at once, and `ops->closed` for those alone for
 * which `done` was called. All calls are for the worker's thread.
 *
 * Keeping connections for the next user, bounding them, and trying again later is core/connections.
 */

#include "endpoint.h"
#include "resolver.h"

struct gy_connector;
struct gy_connection;
struct gy_dial;

struct gy_connector_options {
    const char *name; /* for log and metrics */
    const struct gy_stream_ops *ops;
    void *context; /* found again as stream->endpoint->context */
    uint32_t session_bytes;
    struct gy_stream_limits limits;
    uint32_t connections_max;         /* attempts included; 0: as many as the worker has slots */
    struct gy_resolver *resolver;     /* NULL: addresses only */
    uint32_t attempt_delay_ms;        /* 0: 250 (RFC 8305 §5); at least 10 */
    uint32_t attempt_timeout_ms;      /* of one address; 0: 10,000 */
    uint32_t timeout_ms;              /* of all together, resolving included; 0: 30,000 */
    const struct gy_layer_ops *layer; /* core/layer.h: told the host; NULL: none */
    const void *layer_context;
};

struct gy_connector {
    struct gy_endpoint endpoint;
    struct gy_stream_ops ops;         /* what the endpoint calls */
    const struct gy_stream_ops *user; /* what that passes on to */
    struct gy_resolver *resolver;
    uint32_t connection_offset; /* struct gy_connection behind the session */
    uint32_t attempt_delay_ms, attempt_timeout_ms, timeout_ms;
    /* core/connections: one of its streams is gone. */
    void (*lost)(struct gy_connection *connection);
};

/* What the connector keeps of each of its streams, behind the session. */
struct gy_connection {
    struct gy_stream *stream;
    struct gy_dial *dial; /* while it is an attempt */
    uint32_t attempt;     /* its number there */
    struct gy_address peer;
    bool open;

    /* core/connections */
    struct gy_origin *origin;
    struct gy_connection *next, **link; /* among those that idle */
    struct gy_timer idle;
    uint64_t uses;
};

struct gy_attempt {
    struct gy_stream *stream; /* NULL: not begun, or over */
    int error;                /* errno, once it is over */
};

/* One name being dialled: the caller's memory until the turn of `done`, or of gy_dial_cancel(), has
 * ended. */
struct gy_dial {
    struct gy_connector *connector;
    void (*done)(struct gy_dial *dial, struct gy_stream *stream);
    void *context;         /* the caller's; set it before gy_dial_begin() */
    struct gy_error error; /* in `done` without a stream: which name, which addresses were tried and
                              what each said */

    /* private */
    struct gy_query query;
    struct gy_timer timer;
    struct gy_attempt attempts[GY_QUERY_ADDRESSES];
    uint32_t begun;     /* attempts */
    uint32_t over;      /* of them */
    uint64_t due_ms;    /* of the next attempt */
    uint64_t until_ms;  /* of all together */
    char insecure[256]; /* why the layer of the last attempt with EPROTO failed */
    uint16_t port;
    bool resolving; /* further addresses may come */
    bool active;
};

/* 0, or GY_ENOMEM. The connector must not move while it has streams. */
int gy_connector_open(struct gy_connector *connector, struct gy_worker *worker,
                      const struct gy_connector_options *options, struct gy_error *error);

/* After the last stream is gone. */
void gy_connector_close(struct gy_connector *connector);

/*
 * Begins. `host` is a name, or an IPv4 or IPv6 address ("::1" or "[::1]"), zero-terminated; it need
 * not outlive the call. `done` is called once, later, never from within: with the stream, or with
 * NULL and dial->error (GY_EINVAL for what is no name, GY_ETIMEOUT, GY_EREFUSED, GY_ELIMIT,
 * GY_EPROTO when the layer's handshake failed, …).
 */
void gy_dial_begin(struct gy_dial *dial, struct gy_connector *connector, const char *host,
                   uint16_t port, void (*done)(struct gy_dial *dial, struct gy_stream *stream));

/* Gives it up: `done` will not be called. Harmless when it is over. The memory is the caller's
 * again when the worker's turn has ended: the ring may still have to read an address in it. */
void gy_dial_cancel(struct gy_dial *dial);

/* What the connector keeps of a stream of its own. */
struct gy_connection *gy_connection_of(struct gy_stream *stream);

#endif
