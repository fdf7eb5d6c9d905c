/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_KIND_H
#define GY_SERVERS_KIND_H

/*
 * A kind of server: how a block of the configuration becomes something that serves. There is one
 * way to add a server to `gyre serve`: a constant of this type, which lies either in the program's
 * own table (servers/plan.c) or in a shared object that the line
 *
 *     load /usr/lib/gyre/echo.so;
 *
 * names (plugin.h). From then on
 *
 *     echo { listen :7; idle 1m; }
 *
 * makes a server. `listen` is the host's; every other key is the kind's. What happens, in order:
 *
 *     begin          its memory is there, zeroed: put defaults in
 *     keys           each directive of the block, by struct gy_config_key
 *     open           all keys are read: check them together, open what is needed
 *     load           of the program's kinds
 *     prepare        in the serving process, of the program's kinds
 *     fill           once for each address: what goes into the core's server
 *     worker_open    on each worker's thread, once for each address, before it accepts
 *     ops            streams come and go (core/stream.h); `drain` asks each to finish
 *     worker_close   no stream of the worker is left
 *     close          the end; also where open failed, and where nothing was served (--check)
 *
 * A kind of the program goes up to `open` in the process that keeps the sockets, with its rights,
 * and again for each reload; one of a shared object only in the process that is going to serve,
 * before it drops its rights, so that a reload takes what lies at the path by then.
 *
 * Code of a kind runs on the workers' threads and must not block them. What goes wrong before
 * serving is reported through `error`, by gy_config_error within a key and gy_error_set elsewhere;
 * the host puts file, line and key before it.
 */

#include "../core/config.h"
#include "../core/listener.h"
#include "../core/metrics.h"

/*
 * What a server counts, each worker for itself: a struct of `_Atomic uint64_t` members that only
 * the worker writes (core/metrics.h), and the table that names them. The names of rows begin with
 * the kind's name and an underscore, hyphens as underscores ("echo_bytes"), so that kinds cannot
 * take each other's. The first row is what the status page shows the rate of.
 */
struct gy_server_metrics {
    const struct gy_metric_description *rows;
    size_t row_count;    /* 1 to GY_SERVER_ROWS_MAX */
    size_t counts_bytes; /* of one worker's struct: a multiple of 64 (GY_COUNTS), so that no line is
                            shared */

    /* Where in it a struct gy_histogram of latencies lies; without one the name is NULL. The name
     * begins as those of rows do and ends in "_seconds". */
    const char *latency_name;
    const char *latency_help;
    size_t latency_offset;
};

#define GY_SERVER_ROWS_MAX   64
#define GY_SERVER_COUNTS_MAX 65536 /* bytes */

/* Behind the closing brace of a struct of counts. */
#define GY_COUNTS __attribute__((aligned(64)))

/* What `open` is told of the server that it opens. Valid until `close`. */
struct gy_server_setup {
    const char *name;             /* of this server: the label `server` of its metrics */
    uint32_t workers;             /* that will serve it */
    const char *const *addresses; /* where it listens */
    uint32_t address_count;
    void *counts; /* the counts of each worker, by its number, one after the other, zeroed; NULL
                     for a kind without metrics */
};

struct gy_server_kind {
    const char *name; /* the key of its block: a to z, 0 to 9 and hyphens, a letter first */

    size_t server_bytes;              /* memory of one server, `server` below; at least 1 */
    const struct gy_config_key *keys; /* of its block, without `listen`; `take` gets the server */
    uint32_t key_count;

    /* Defaults into zeroed memory. 0 or GY_ENOMEM. May be NULL. `owner` is the program's, for kinds
     * of its own; NULL in a plug-in. `close` follows even where it failed. */
    int (*begin)(void *server, void *owner);
    /* All keys of its block, which is `at`, are read: do they make sense together? 0, or GY_EINVAL
     * with a sentence by gy_config_error. Not called for a server without a block. May be NULL. */
    int (*settle)(void *server, const struct gy_server_setup *setup,
                  const struct gy_config_directive *at, struct gy_error *error);
    /* 0, or a GY_E… code with a sentence in `error`. May be NULL. */
    int (*open)(void *server, const struct gy_server_setup *setup, struct gy_error *error);
    void (*close)(void *server); /* may be NULL */

    /* The core's server (core/listener.h): its context is `server`. */
    const struct gy_stream_ops *ops;
    uint32_t session_bytes;
    int (*worker_open)(struct gy_worker *worker, const struct gy_server *core, void **state,
                       struct gy_error *error);                  /* may be NULL */
    void (*worker_close)(struct gy_worker *worker, void *state); /* may be NULL */
    /* The core's server, with all of the above in it, may be changed: limits, quotas. May be NULL.
     */
    void (*fill)(void *server, struct gy_server *core);

    /* A server of datagrams besides, on UDP sockets of the same addresses: what the core's server
     * has as `datagrams` (core/datagram.h), whose ops and context are the kind's business. NULL:
     * streams alone. With `ops` of NULL there are no streams, and the calls above are those of the
     * server of datagrams. Only for kinds of the program. */
    const struct gy_datagram_options *(*datagrams)(void *server);

    /* In the process that keeps the sockets, before it opens any and forks the one that serves, and
     * again for each reload; and for --check: reads what is large and changes in parts, so that
     * both share it. 0, or a GY_E… code with a sentence. May be NULL. Only for kinds of the
     * program. */
    int (*load)(void *server, struct gy_error *error);

    /* In the process that is going to serve, with all its rights, before `fill`; and for --check:
     * reads what is not to be kept by the process that keeps the sockets. 0, or a GY_E… code with a
     * sentence. May be NULL. Only for kinds of the program: those of plug-ins have `open` there. */
    int (*prepare)(void *server, struct gy_error *error);

    const struct gy_server_metrics *metrics; /* NULL: none */
    /* Where the counts of its workers lie, if that is memory of its own; NULL: in the host's. */
    const void *(*counts)(const void *server);
};

/* What the worker of number `worker` counts: for `open`, and for worker_open. */
static inline void *gy_server_counts(const struct gy_server_setup *setup,
                                     const struct gy_server_kind *kind, uint32_t worker)
{
    gy_assert(setup->counts != NULL && worker < setup->workers);
    return (char *)setup->counts + worker * kind->metrics->counts_bytes;
}

#endif
