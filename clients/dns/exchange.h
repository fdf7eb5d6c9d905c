/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_DNS_EXCHANGE_H
#define GY_CLIENTS_DNS_EXCHANGE_H

/*
 * One query to a name server and the messages that come back: by UDP from a socket of its own, by
 * TCP (RFC 7766) or TLS (RFC 7858) over a connection of its own. What the messages mean is the
 * caller's business, and so is how long to wait.
 *
 *     gy_dns_exchange_begin(&exchange, &transports, GY_DNS_BY_UDP, &server, NULL, query, bytes,
 * &e);
 *
 * All calls are for the worker's thread.
 */

#include "../../core/datagram.h"
#include "../../core/endpoint.h"
#include "../../core/error.h"

#define GY_DNS_EXCHANGE_QUERY_BYTES 1232

enum gy_dns_transport {
    GY_DNS_BY_UDP,
    GY_DNS_BY_TCP,
    GY_DNS_BY_TLS,
};

/* What the exchanges of a worker share. */
struct gy_dns_transports {
    struct gy_worker *worker;
    struct gy_datagram_endpoint datagrams;
    struct gy_endpoint streams;
    struct gy_endpoint secure;
    bool has_secure;
    const struct gy_address *local; /* where queries leave from; NULL: the kernel chooses. May be
                                       set between two exchanges, and stays */
    uint8_t *gather;                /* a message that came in pieces */
};

struct gy_dns_exchange {
    void *context; /* the caller's */

    /* A message; UDP: what the server sent, cut or forged ones too. May end the exchange, and begin
     * it anew. */
    void (*received)(struct gy_dns_exchange *exchange, const uint8_t *message, size_t bytes);

    /* It is over without having been ended: "connection refused", "end of file", why TLS failed.
     * The text is for the call. */
    void (*failed)(struct gy_dns_exchange *exchange, const char *why);

    /* private */
    struct gy_dns_transports *transports;
    struct gy_address peer;
    struct gy_datagram_socket *socket;
    struct gy_stream *stream;
    uint32_t query_bytes;
    uint8_t query[2 + GY_DNS_EXCHANGE_QUERY_BYTES]; /* behind its length */
};

/* `datagram_bytes` is the most that is taken of a datagram, longer ones are dropped; 0: 1904, more
 * than what a resolver asks for. `secure` is what TLS is done by (gy_tls_layer, with its
 * configuration); NULL: there is none. 0, or a GY_E… with a sentence. Must not move while it is
 * open. */
int gy_dns_transports_open(struct gy_dns_transports *transports, struct gy_worker *worker,
                           uint32_t datagram_bytes, const struct gy_layer_ops *secure,
                           const void *secure_context, struct gy_error *error);

/* After gy_worker_finish(). */
void gy_dns_transports_close(struct gy_dns_transports *transports);

/*
 * Begins: `received`, `failed` and `context` are set by the caller, the rest is zeros or was ended.
 * `host` is who the server's certificate has to be for; NULL: whoever it is. The query is copied.
 * The exchange stays where it is until the worker's turn after its end. 0, or a GY_E… with a
 * sentence (then nothing is called).
 */
int gy_dns_exchange_begin(struct gy_dns_exchange *exchange, struct gy_dns_transports *transports,
                          enum gy_dns_transport transport, const struct gy_address *peer,
                          const char *host, const void *query, size_t bytes,
                          struct gy_error *error);

/* Nothing is called any more. Harmless when it is over. */
void gy_dns_exchange_end(struct gy_dns_exchange *exchange);

#endif
