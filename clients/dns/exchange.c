/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/dns/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker.h"

#define MESSAGE_MAX     65535u
#define MESSAGE_MIN     12u
#define CONNECT_MS      30000u /* who waits less ends it */
#define DATAGRAM_BUFFER 64u
#define KERNEL_BYTES    (256u * 1024)

struct session {
    struct gy_dns_exchange *exchange; /* NULL: it was ended */
};

static void fail(struct gy_dns_exchange *exchange, const char *why)
{
    gy_dns_exchange_end(exchange);
    exchange->failed(exchange, why);
}

/* ---- UDP ---- */

static void on_datagrams(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count && socket->context != NULL; i++) {
        struct gy_dns_exchange *exchange = socket->context;
        if (!datagrams[i].truncated) {
            exchange->received(exchange, gy_slice_data(datagrams[i].slice),
                               datagrams[i].slice.length);
        }
    }
}

static void lower_first(char *text)
{
    text[0] = (char)(text[0] >= 'A' && text[0] <= 'Z' ? text[0] | 0x20 : text[0]);
}

static void on_datagram_failed(struct gy_datagram_socket *socket, int errno_value)
{
    char why[128];
    if (socket->context != NULL) {
        snprintf(why, sizeof why, "%s", strerror(errno_value));
        lower_first(why);
        fail(socket->context, why);
    }
}

/* Its answer, or who waits for that, ends it: soon, as queries have deadlines. */
static void on_socket_drain(struct gy_datagram_socket *socket)
{
    if (socket->context == NULL) {
        gy_datagram_abort(socket);
    }
}

static void on_socket_closed(struct gy_datagram_socket *socket)
{
    if (socket->context != NULL) {
        fail(socket->context, "stopped");
    }
}

static const struct gy_datagram_ops datagram_ops = {
    .receive = on_datagrams,
    .failed = on_datagram_failed,
    .drain = on_socket_drain,
    .closed = on_socket_closed,
};

static int begin_datagram(struct gy_dns_exchange *exchange, struct gy_error *error)
{
    struct gy_dns_transports *transports = exchange->transports;
    struct gy_bump *bump = &transports->worker->bump;
    uint8_t *room = gy_bump_reserve(bump, exchange->query_bytes);
    if (room == NULL) {
        return gy_error_set(error, GY_ENOBUFS, "no room for a query");
    }
    exchange->socket = gy_datagram_dial(&transports->datagrams, &exchange->peer, transports->local,
                                        exchange, error);
    if (exchange->socket == NULL) {
        return error != NULL && error->code != 0 ? error->code : GY_EIO;
    }
    memcpy(room, exchange->query + 2, exchange->query_bytes);
    /* One that is not taken is lost, as it could be on the way. */
    gy_datagram_send(exchange->socket, NULL, gy_bump_slice(bump, exchange->query_bytes));
    return 0;
}

/* ---- TCP and TLS ---- */

static uint32_t on_open(struct gy_stream *stream)
{
    struct session *session = stream->session;
    struct gy_dns_exchange *exchange = session->exchange;
    if (exchange == NULL) {
        return GY_WANT_CLOSE;
    }
    exchange->query[0] = (uint8_t)(exchange->query_bytes >> 8);
    exchange->query[1] = (uint8_t)exchange->query_bytes;
    if (gy_bump_copy(&stream->worker->bump, &stream->out, exchange->query,
                     exchange->query_bytes + 2) != 0) {
        fail(exchange, "no room for a query");
        return GY_WANT_CLOSE;
    }
    return GY_WANT_READ;
}

/* The next whole message, in one piece, and its bytes; NULL: there is none yet. */
static const uint8_t *next_message(struct gy_stream *stream, uint8_t *gather, uint32_t *bytes)
{
    uint8_t prefix[2];
    uint32_t front_bytes;
    if (stream->in.length < 2) {
        return NULL;
    }
    gy_chain_copy(&stream->in, 0, 2, prefix);
    *bytes = (uint32_t)prefix[0] << 8 | prefix[1];
    if (stream->in.length < 2 + *bytes) {
        return NULL;
    }
    const uint8_t *front = gy_chain_front(&stream->in, &front_bytes);
    if (front_bytes >= 2 + *bytes) {
        return front + 2;
    }
    gy_chain_copy(&stream->in, 2, *bytes, gather);
    return gather;
}

static uint32_t on_turn(struct gy_stream *stream)
{
    struct session *session = stream->session;
    const uint8_t *message;
    uint32_t bytes;
    while (session->exchange != NULL &&
           (message = next_message(stream, session->exchange->transports->gather, &bytes)) !=
               NULL) {
        struct gy_dns_exchange *exchange = session->exchange;
        if (bytes < MESSAGE_MIN) {
            fail(exchange, "what came is no message of DNS");
            break;
        }
        exchange->received(exchange, message, bytes);
        if (stream->in.length >= bytes + 2) { /* an aborted stream has let go of it */
            gy_chain_consume(&stream->in, bytes + 2);
        }
    }
    if (session->exchange != NULL && stream->eof) {
        fail(session->exchange,
             stream->in.length > 0 ? "end of file within a message" : "end of file");
    }
    return session->exchange == NULL || stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t on_drain(struct gy_stream *stream)
{
    const struct session *session = stream->session;
    return session->exchange == NULL ? GY_WANT_CLOSE : GY_WANT_READ;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct session *session = stream->session;
    struct gy_dns_exchange *exchange = session->exchange;
    char why[320];
    if (exchange == NULL) {
        return;
    }
    if (stream->layer != NULL && reason == GY_CLOSE_PROTOCOL) {
        stream->layer->ops->explain(stream, why, sizeof why);
    } else {
        snprintf(why, sizeof why, "%s",
                 stream->error != 0 ? strerror(stream->error) : gy_close_reason_text(reason));
        lower_first(why);
    }
    exchange->stream = NULL;
    exchange->failed(exchange, why);
}

static const struct gy_stream_ops stream_ops = {on_open, on_turn, on_drain, on_drain, on_closed};

static int begin_stream(struct gy_dns_exchange *exchange, bool secure, const char *host,
                        struct gy_error *error)
{
    struct gy_dns_transports *transports = exchange->transports;
    gy_assert(!secure || transports->has_secure);
    struct gy_endpoint *endpoint = secure ? &transports->secure : &transports->streams;
    struct gy_stream *stream =
        gy_stream_dial_from(endpoint, &exchange->peer, transports->local, CONNECT_MS, error);
    if (stream == NULL) {
        return error != NULL && error->code != 0 ? error->code : GY_EIO;
    }
    ((struct session *)stream->session)->exchange = exchange;
    exchange->stream = stream;
    if (secure && host != NULL && stream->endpoint->layer->expect(stream, host) != 0) {
        gy_dns_exchange_end(exchange);
        return gy_error_set(error, GY_EINVAL, "\"%.80s\" cannot be in a certificate", host);
    }
    return 0;
}

/* ---- either ---- */

int gy_dns_exchange_begin(struct gy_dns_exchange *exchange, struct gy_dns_transports *transports,
                          enum gy_dns_transport transport, const struct gy_address *peer,
                          const char *host, const void *query, size_t bytes, struct gy_error *error)
{
    gy_assert(bytes <= GY_DNS_EXCHANGE_QUERY_BYTES);
    gy_assert(exchange->socket == NULL && exchange->stream == NULL);
    struct gy_error unused = {0};
    error = error != NULL ? error : &unused;
    exchange->transports = transports;
    exchange->peer = *peer;
    exchange->query_bytes = (uint32_t)bytes;
    memcpy(exchange->query + 2, query, bytes);
    return transport == GY_DNS_BY_UDP
               ? begin_datagram(exchange, error)
               : begin_stream(exchange, transport == GY_DNS_BY_TLS, host, error);
}

void gy_dns_exchange_end(struct gy_dns_exchange *exchange)
{
    if (exchange->socket != NULL) {
        exchange->socket->context = NULL;
        gy_datagram_abort(exchange->socket);
        exchange->socket = NULL;
    }
    if (exchange->stream != NULL) {
        ((struct session *)exchange->stream->session)->exchange = NULL;
        gy_stream_abort(exchange->stream, GY_CLOSE_LOCAL);
        exchange->stream = NULL;
    }
}

/* ---- what they share ---- */

static int open_streams(struct gy_endpoint *endpoint, struct gy_dns_transports *transports,
                        const struct gy_layer_ops *layer, const void *layer_context,
                        struct gy_error *error)
{
    struct gy_endpoint_options options = {
        .name = "dns",
        .ops = &stream_ops,
        .session_bytes = sizeof(struct session),
        .layer = layer,
        .layer_context = layer_context,
    };
    return gy_endpoint_open(endpoint, transports->worker, &options, error);
}

int gy_dns_transports_open(struct gy_dns_transports *transports, struct gy_worker *worker,
                           uint32_t datagram_bytes, const struct gy_layer_ops *secure,
                           const void *secure_context, struct gy_error *error)
{
    struct gy_datagram_options options = {
        .name = "dns",
        .ops = &datagram_ops,
        .fragments = GY_DATAGRAM_FRAGMENT_OMIT,
        .message_bytes = datagram_bytes,
        .buffers = DATAGRAM_BUFFER,
        .posted = DATAGRAM_BUFFER / 4,
        .sends_max = 256,
        .kernel_in_bytes = KERNEL_BYTES,
    };
    *transports = (struct gy_dns_transports){.worker = worker};
    transports->gather = malloc(MESSAGE_MAX);
    if (transports->gather == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing to ask name servers: out of memory");
    }
    int code = gy_datagram_endpoint_open(&transports->datagrams, worker, &options, error);
    if (code != 0) {
        goto no_datagrams;
    }
    code = open_streams(&transports->streams, transports, NULL, NULL, error);
    if (code != 0) {
        goto no_streams;
    }
    code = secure != NULL
               ? open_streams(&transports->secure, transports, secure, secure_context, error)
               : 0;
    if (code != 0) {
        goto no_secure;
    }
    transports->has_secure = secure != NULL;
    return 0;
no_secure:
    gy_endpoint_close(&transports->streams);
no_streams:
    gy_datagram_endpoint_close(&transports->datagrams);
no_datagrams:
    free(transports->gather);
    return code;
}

void gy_dns_transports_close(struct gy_dns_transports *transports)
{
    if (transports->has_secure) {
        gy_endpoint_close(&transports->secure);
    }
    gy_endpoint_close(&transports->streams);
    gy_datagram_endpoint_close(&transports->datagrams);
    free(transports->gather);
}
