/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_CONNECTIONS_H
#define GY_CORE_CONNECTIONS_H

/*
 * A bounded pool of a connector's connections, by origin (host and port).
 *
 * Who needs a connection takes a lease: an idle one if there is one, the most recently used first;
 * else a new one is dialled, up to per_origin; else the lease waits in the origin's queue. When the
 * user is done, gy_connections_return() keeps the connection for the next one, or lets it close.
 * An idle connection ends after idle_ms, when the peer ends it, or when it has been used uses_max
 * times.
 *
 * When dialling fails every lease of the origin that waits has one try less; those with none left
 * are told. For the others the origin is dialled again after a wait that grows with each failure
 * (core/backoff.h). A handshake that failed (GY_EPROTO: a certificate that does not hold, say), and
 * a name that is not there (GY_ENOTFOUND) or none (GY_EINVAL), would fail again: all of them are
 * told at once.
 *
 * All calls are for the worker's thread. Callbacks come from the worker's loop, never from within a
 * call.
 */

#include "backoff.h"
#include "connector.h"

struct gy_lease;

struct gy_connections_options {
    uint32_t origins_max;                 /* with connections or leases; 0: 64 */
    uint32_t per_origin;                  /* connections, attempts included; 0: 6 */
    uint32_t dials_max;                   /* names dialled at once; 0: 16 */
    uint32_t waiting_max;                 /* leases that wait, all together; 0: 1024 */
    uint32_t idle_ms;                     /* 0: 15,000 */
    uint32_t uses_max;                    /* 0: without bound */
    uint32_t retry_base_ms, retry_max_ms; /* 0: 250 and 30,000 */
    uint64_t seed;                        /* of the waits */
};

/* A wish for a connection: the caller's memory until one of its callbacks, or
 * gy_connections_cancel(). */
struct gy_lease {
    /* Here it is. `used`: it has been somebody's before. A new one's session is zeros, and
     * ops->open follows at once; a used one's is as its last user left it: wake it after giving it
     * something to do. */
    void (*ready)(struct gy_lease *lease, struct gy_stream *stream, bool used);
    void (*failed)(struct gy_lease *lease, const struct gy_error *error);
    void *context;
    uint32_t tries; /* dials that may fail for it, the first included; 0: 1 */

    struct gy_origin *origin; /* private; NULL when it does not wait */
    TAILQ_ENTRY(gy_lease) entry;
};

TAILQ_HEAD(gy_lease_queue, gy_lease);

struct gy_connections_counters {
    uint64_t leased_used, leased_new;
    uint64_t leased_shared; /* gy_connections_share() */
    uint64_t dials_failed;
    uint64_t refused;    /* leases: a bound was reached */
    uint64_t idle_ended; /* connections that idled too long */
    uint64_t worn;       /* used uses_max times */
    uint64_t broken;     /* ended while they idled */
};

struct gy_origin;
struct gy_origin_dial;

struct gy_connections {
    struct gy_connector *connector;
    struct gy_connections_options options; /* defaults filled in */
    struct gy_origin *origins;             /* origins_max of them */
    struct gy_origin_dial *dials;          /* dials_max of them */
    uint32_t waiting;
    struct gy_connections_counters counters;
};

/* 0, or GY_ENOMEM. One pool for a connector; the pool must not move. */
int gy_connections_open(struct gy_connections *pool, struct gy_connector *connector,
                        const struct gy_connections_options *options, struct gy_error *error);

/* Forgets leases without telling them, gives up dials. Call it before the worker finishes, and
 * gy_connections_close() once no stream of the connector is left. */
void gy_connections_stop(struct gy_connections *pool);
void gy_connections_close(struct gy_connections *pool);

/* Asks for a connection. 0, or GY_ELIMIT / GY_EINVAL with a sentence (no callback follows). */
int gy_connections_lease(struct gy_connections *pool, struct gy_lease *lease, const char *host,
                         uint16_t port, struct gy_error *error);

/* The lease is not wanted any more. Harmless when it does not wait. */
void gy_connections_cancel(struct gy_lease *lease);

/* The user is done with a connection. `reusable`: it is between messages, and its session can be
 * used again; else it is left to close. */
void gy_connections_return(struct gy_stream *stream, bool reusable);

/* For a protocol that has more than one user on a connection at a time: takes the first lease that
 * waits for the origin of `stream`, without calling it; NULL: none waits. The stream, which
 * somebody has, is that one's too from now on; whoever is done last returns it. */
struct gy_lease *gy_connections_share(struct gy_stream *stream);

/* Connections of an origin that are open, and those of them that idle; 0 for one not known. */
uint32_t gy_connections_count(const struct gy_connections *pool, const char *host, uint16_t port,
                              uint32_t *idle);

#endif
