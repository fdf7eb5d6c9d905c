/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_HTTP_SERVER_H
#define GY_SERVERS_HTTP_HTTP_SERVER_H

/*
 * HTTP on the core: joins protocols/http to streams. A handler (protocols/http/http.h) is all that
 * is needed:
 *
 *     static void hello(struct gy_http_exchange *exchange)
 *     {
 *         gy_http_answer(exchange, 200, "text/plain", "Hello, world!\n", 14);
 *     }
 *     int main(void)
 *     {
 *         static const struct gy_http_handler handler = {.request = hello};
 *         return gy_http_serve(&handler, NULL, "127.0.0.1:8081");
 *     }
 *
 * serves it with one worker per processor under a supervisor, until SIGINT or SIGTERM drains it.
 */

#include "../../core/listener.h"
#include "../../core/metrics.h"
#include "../../core/visitors.h"
#include "../../protocols/http/h1.h"
#include "../../protocols/http/http.h"
#include "access_log.h"
#include "http_metrics.h"

/* Workers that one server can have. */
#define GY_HTTP_WORKERS_MAX 1024

/* What answers requests, with what it keeps for each worker (a cache, say): made before the worker
 * accepts, and given back when no stream is left; once for each address that is listened on. */
struct gy_http_service {
    const struct gy_http_handler *handler;
    void *context; /* the handler's */
    int (*worker_open)(void *context, struct gy_worker *worker, struct gy_error *error);
    void (*worker_close)(void *context, struct gy_worker *worker);
    /* Answers with an error page of its own; NULL: gy_http_answer_error() does. */
    void (*answer_error)(struct gy_http_exchange *exchange, uint16_t status,
                         const struct gy_http_header *extra);
};

/* One HTTP server, shared by its workers, who only read it; zero it, fill the first part, keep it
 * until the end. */
struct gy_http_server {
    const struct gy_http_handler *handler;
    void *context;                     /* the handler's, the same for all workers */
    const char *name;                  /* the Server field; NULL: "gyre"; "": none */
    const struct gy_h1_limits *limits; /* NULL: gy_http_limits_defaults() */
    const struct gy_layer_ops *layer;  /* gy_tls_layer for https; NULL: plain */
    const void *layer_context;
    bool early_data; /* the layer may hand over requests that could be copies of others' (RFC 8446
                        §8): those with another method than GET or HEAD, or for a WebSocket, are
                        answered with 425 until the handshake is done (RFC 8470 §5.2) */
    uint32_t exchanges_max;     /* requests active at once, per worker; 0: 65536 */
    uint32_t drain_patience_ms; /* how long a drain lets idle connections send one last request; 0:
                                   1000 */
    struct gy_access_log *access_log; /* a line for each request; NULL: none, at no cost */
    struct gy_stream_limits stream;   /* 0: the defaults of core/stream.h */
    struct gy_visitors *visitors;     /* limits for each client address; NULL: none, at no cost */

    /* What the handler keeps for each worker (a cache, say): made before the worker accepts, and
     * given back when no stream is left; once for each address that is listened on. Both may be
     * NULL. */
    int (*worker_open)(void *context, struct gy_worker *worker, struct gy_error *error);
    void (*worker_close)(void *context, struct gy_worker *worker);

    /* A request of that worker is over (struct gy_h1_env); NULL: nobody wants to know. */
    void (*over)(void *context, uint32_t worker, const struct gy_h1_record *record);

    /* What each worker counted; written by that worker. */
    struct gy_http_counts counts[GY_HTTP_WORKERS_MAX];
};

/* What gy_h1_limits_defaults() has, with as much output as the streams of the core send at once:
 * for those who change some of them. */
struct gy_h1_limits gy_http_limits_defaults(void);

/* Fills a core server that serves `http` on `descriptors` (a listening socket for each worker). */
void gy_http_server_init(struct gy_server *server, struct gy_http_server *http,
                         const int *descriptors);

/* The stream that carries an exchange, and so the worker it belongs to. */
struct gy_stream *gy_http_stream(const struct gy_http_exchange *exchange);

/* Answers with the built-in page of a status: an error, or a redirect. `extra` (may be NULL) is one
 * more field: Location, say. */
void gy_http_answer_error(struct gy_http_exchange *exchange, uint16_t status,
                          const struct gy_http_header *extra);

/* Takes this request from what its client's address may ask for. 0: it was there, or there is no
 * limit; otherwise milliseconds until there will be one. To be called once for a request. */
uint64_t gy_http_charge(const struct gy_http_exchange *exchange);

/* Requests answered by all workers of the server so far. Any thread. */
uint64_t gy_http_requests(const struct gy_http_server *http);

/* Listens on `address` (as gy_address_parse reads it) and serves until told to end. Prints what
 * goes wrong. Returns the exit status for main: 0 after a clean drain, 1 for a failure. */
int gy_http_serve(const struct gy_http_handler *handler, void *context, const char *address);

#endif
