/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What handlers ask of an HTTP/1.1 exchange: response heads, and all that is not pulling. */

#include "protocols/http/h1_head_impl.h"

/* ---- helpers --------------------------------------------------------------------------------- */

static void wake(struct gy_h1_exchange *exchange)
{
    struct gy_h1 *connection = exchange->connection;
    if ((connection->flags & GY_H1_IN_TURN) == 0) {
        connection->env->wake(connection);
    }
}

static int give_up(struct gy_h1_exchange *exchange, int reason)
{
    if ((exchange->flags & GY_H1_X_CANCELLED) == 0) {
        exchange->flags |= GY_H1_X_CANCELLED;
        exchange->reason = reason;
    }
    wake(exchange);
    return reason;
}

static bool answerable(const struct gy_h1_exchange *exchange)
{
    return exchange->answer_state == GY_H1_ANSWER_NONE &&
           (exchange->flags & (GY_H1_X_OVER | GY_H1_X_CANCELLED)) == 0;
}

static uint32_t status_class(uint16_t status)
{
    return status / 100u < 6 ? status / 100u : 5;
}

/* ---- respond --------------------------------------------------------------------------------- */

static void body_drop(const struct gy_http_response *response)
{
    if (response->kind == GY_HTTP_BODY_SLICE) {
        gy_slice_drop(response->body.slice);
    } else if (response->kind == GY_HTTP_BODY_CHAIN) {
        gy_chain_clear(response->body.chain);
    }
}

static uint64_t body_length(const struct gy_http_response *response)
{
    switch ((enum gy_http_body)response->kind) {
    case GY_HTTP_BODY_TEXT:
        return response->body.text.length;
    case GY_HTTP_BODY_SLICE:
        return response->body.slice.length;
    case GY_HTTP_BODY_CHAIN:
        return response->body.chain->length;
    case GY_HTTP_BODY_PULL:
        return response->body.length;
    case GY_HTTP_BODY_NONE:
        break;
    }
    return 0;
}

/* Whether the connection persists behind this response. */
static bool persists(const struct gy_h1_exchange *exchange, bool delimited)
{
    const struct gy_h1 *connection = exchange->connection;
    if ((connection->flags & (GY_H1_LAST | GY_H1_DRAINING)) != 0 || !delimited) {
        return false;
    }
    if (exchange->body.state == GY_H1_BODY_DONE) {
        return true;
    }
    /* A peer that was not told to go on may or may not send its body: what follows this response
     * could be either. And reading on for long is dearer than a new connection. */
    return (exchange->flags & GY_H1_X_CONTINUE) == 0 &&
           (exchange->body.state != GY_H1_BODY_LENGTH ||
            exchange->body.left <= connection->env->limits.drain_bytes);
}

/* What of a response the status and the method leave (RFC 9110 §9.3.2, §15.3.5, §15.4.5). */
struct shape {
    uint64_t length;
    bool has_length; /* Content-Length is sent */
    bool sends_body;
    bool chunked;
    bool persists;
};

static struct shape shape_of(const struct gy_h1_exchange *exchange,
                             const struct gy_http_response *response)
{
    struct shape shape = {.length = body_length(response), .sends_body = true};
    bool head = exchange->base.method == GY_HTTP_HEAD;
    if (response->status == 204 || response->status == 205 || response->status == 304 || head) {
        shape.sends_body = false;
    }
    if (response->status == 204 ||
        (response->status == 304 && response->kind == GY_HTTP_BODY_NONE)) {
        shape.has_length = false;
    } else if (response->status == 205) {
        shape.length = 0;
        shape.has_length = true;
    } else {
        shape.has_length = shape.length != GY_HTTP_UNKNOWN;
    }
    if (response->status != 204 && response->status != 304 && !shape.has_length) {
        shape.chunked = exchange->head.minor == 1;
    }
    bool delimited = !shape.sends_body || shape.has_length || shape.chunked;
    shape.persists = persists(exchange, delimited);
    return shape;
}

static uint8_t *put_framing(uint8_t *at, const struct gy_h1_exchange *exchange,
                            const struct shape *shape)
{
    if (shape->has_length) {
        at = GY_H1_PUT(at, "Content-Length: ");
        at = gy_h1_put_decimal(at, shape->length);
        at = GY_H1_PUT(at, "\r\n");
    } else if (shape->chunked) {
        at = GY_H1_PUT(at, "Transfer-Encoding: chunked\r\n");
    }
    if (!shape->persists) {
        at = GY_H1_PUT(at, "Connection: close\r\n");
    } else if (exchange->head.minor == 0) {
        at = GY_H1_PUT(at, "Connection: keep-alive\r\n");
    }
    return GY_H1_PUT(at, "\r\n");
}

/* Copies a body that is small behind its head, and counts it. */
static uint8_t *put_body(uint8_t *at, struct gy_h1_env *env,
                         const struct gy_http_response *response, uint32_t length)
{
    switch ((enum gy_http_body)response->kind) {
    case GY_HTTP_BODY_TEXT:
        memcpy(at, response->body.text.data, length);
        break;
    case GY_HTTP_BODY_SLICE:
        memcpy(at, gy_slice_data(response->body.slice), length);
        break;
    default:
        gy_chain_copy(response->body.chain, 0, length, at);
        break;
    }
    env->counters.copied_bytes += length;
    return at + length;
}

/* Appends a body that was not copied. 0 or GY_ENOBUFS; slice and chain are taken over. */
static int append_body(struct gy_h1 *connection, const struct gy_http_response *response)
{
    if (response->kind == GY_HTTP_BODY_SLICE) {
        int error = gy_chain_append(connection->out, response->body.slice);
        if (error != 0) {
            gy_slice_drop(response->body.slice);
        }
        return error;
    }
    if (response->kind == GY_HTTP_BODY_CHAIN) {
        int error =
            gy_chain_move(response->body.chain, connection->out, response->body.chain->length);
        gy_chain_clear(response->body.chain);
        return error;
    }
    const char *data = response->body.text.data;
    size_t left = response->body.text.length;
    while (left > 0) {
        uint32_t piece = left < GY_BUMP_BLOCK_BYTES ? (uint32_t)left : GY_BUMP_BLOCK_BYTES;
        if (gy_bump_copy(connection->env->bump, connection->out, data, piece) != 0) {
            return GY_ENOBUFS;
        }
        connection->env->counters.copied_bytes += piece;
        data += piece;
        left -= piece;
    }
    return 0;
}

static bool response_valid(const struct gy_h1_exchange *exchange,
                           const struct gy_http_response *response)
{
    if (response->status < 200 || response->status > 599) {
        return false;
    }
    /* A 2xx to CONNECT opens a tunnel: gy_http_tunnel(). */
    if (exchange->base.method == GY_HTTP_CONNECT && response->status < 300) {
        return false;
    }
    return response->kind != GY_HTTP_BODY_PULL || exchange->base.handler->pull != NULL;
}

/* The head is in the output: what is left of the response, and of the connection. */
static int answer_begun(struct gy_h1_exchange *exchange, const struct gy_http_response *response,
                        const struct shape *shape, bool copied)
{
    struct gy_h1 *connection = exchange->connection;
    connection->env->counters.responses[status_class(response->status)]++;
    exchange->status = response->status;
    exchange->answer_bytes =
        shape->sends_body && response->kind != GY_HTTP_BODY_PULL ? shape->length : 0;
    if (!shape->persists) {
        connection->flags |= GY_H1_LAST;
    }
    exchange->answer_state = GY_H1_ANSWER_DONE;
    if (copied || !shape->sends_body || response->kind == GY_HTTP_BODY_NONE) {
        if (response->kind != GY_HTTP_BODY_PULL) {
            body_drop(response);
        }
        wake(exchange);
        return 0;
    }
    if (response->kind == GY_HTTP_BODY_PULL) {
        exchange->answer_left = shape->length;
        exchange->flags |= (shape->chunked ? GY_H1_X_CHUNKED : 0) |
                           (response->in_memory != 0 ? GY_H1_X_IN_MEMORY : 0);
        exchange->answer_state = shape->length == 0 ? GY_H1_ANSWER_DONE : GY_H1_ANSWER_PULL;
    } else if (append_body(connection, response) != 0) {
        exchange->answer_state = GY_H1_ANSWER_PULL; /* begun and cut off, not done */
        return give_up(exchange, GY_ENOBUFS);
    }
    wake(exchange);
    return 0;
}

static int respond(struct gy_http_exchange *base, const struct gy_http_response *response)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    struct gy_h1_env *env = exchange->connection->env;
    if (!answerable(exchange)) {
        body_drop(response);
        return GY_ESTATE;
    }
    if (!response_valid(exchange, response)) {
        body_drop(response);
        return give_up(exchange, GY_EINVAL);
    }
    struct shape shape = shape_of(exchange, response);
    bool copies = shape.sends_body && shape.length <= env->limits.copy_bytes && shape.length > 0 &&
                  response->kind != GY_HTTP_BODY_PULL;
    uint32_t bytes = (uint32_t)GY_H1_HEAD_ROOM +
                     gy_h1_headers_bytes(response->headers, response->header_count) +
                     (copies ? (uint32_t)shape.length : 0);
    uint8_t *room = bytes <= GY_BUMP_BLOCK_BYTES ? gy_bump_reserve(env->bump, bytes) : NULL;
    if (room == NULL) {
        body_drop(response);
        return give_up(exchange, bytes <= GY_BUMP_BLOCK_BYTES ? GY_ENOBUFS : GY_EINVAL);
    }
    uint32_t given = response->status == 426 ? 1u << GY_H1_MAY_UPGRADE : 0;
    uint8_t *at = gy_h1_put_status(room, response->status);
    at = gy_h1_put_headers(at, env, response->headers, response->header_count, &given);
    if (at == NULL) {
        body_drop(response);
        return give_up(exchange, GY_EINVAL);
    }
    at = gy_h1_put_common(at, env, given);
    if ((given & 1u << GY_H1_UPGRADE) != 0) {
        at = GY_H1_PUT(at, "Connection: upgrade\r\n");
    }
    at = put_framing(at, exchange, &shape);
    if (copies) {
        at = put_body(at, env, response, (uint32_t)shape.length);
    }
    gy_assert((uint32_t)(at - room) <= bytes);
    if (gy_bump_commit(env->bump, exchange->connection->out, (uint32_t)(at - room)) != 0) {
        body_drop(response);
        return give_up(exchange, GY_ENOBUFS);
    }
    return answer_begun(exchange, response, &shape, copies);
}

int gy_h1_answer_plain(struct gy_h1 *connection, uint16_t status, struct gy_http_text text,
                       bool close, bool head_only)
{
    struct gy_h1_env *env = connection->env;
    uint8_t *room = gy_bump_reserve(env->bump, (uint32_t)(GY_H1_HEAD_ROOM + text.length + 32));
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint8_t *at = gy_h1_put_status(room, status);
    at = gy_h1_put_common(at, env, 0);
    at = GY_H1_PUT(at, "Content-Type: text/plain\r\nContent-Length: ");
    at = gy_h1_put_decimal(at, text.length + 1);
    at = close ? GY_H1_PUT(at, "\r\nConnection: close\r\n\r\n") : GY_H1_PUT(at, "\r\n\r\n");
    if (!head_only) {
        at = gy_h1_put(at, text.data, text.length);
        *at++ = '\n';
    }
    env->counters.responses[status_class(status)]++;
    return gy_bump_commit(env->bump, connection->out, (uint32_t)(at - room));
}

/* ---- informational responses, trailers, tunnels ------------------------------------------------
 */

static int inform(struct gy_http_exchange *base, uint16_t status,
                  const struct gy_http_header *headers, uint32_t header_count)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    struct gy_h1 *connection = exchange->connection;
    if (!answerable(exchange)) {
        return GY_ESTATE;
    }
    uint32_t bytes = (uint32_t)GY_H1_HEAD_ROOM + gy_h1_headers_bytes(headers, header_count);
    if (status < 100 || status > 199 || status == 101 || bytes > GY_BUMP_BLOCK_BYTES) {
        return GY_EINVAL;
    }
    if (exchange->head.minor == 0) {
        return 0;
    }
    uint8_t *room = gy_bump_reserve(connection->env->bump, bytes);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint32_t given = 0;
    uint8_t *at = gy_h1_put_headers(gy_h1_put_status(room, status), connection->env, headers,
                                    header_count, &given);
    if (at == NULL) {
        return GY_EINVAL;
    }
    at = GY_H1_PUT(at, "\r\n");
    if (gy_bump_commit(connection->env->bump, connection->out, (uint32_t)(at - room)) != 0) {
        return GY_ENOBUFS;
    }
    connection->env->counters.responses[1]++;
    if (status == 100) {
        exchange->flags &= (uint16_t)~GY_H1_X_CONTINUE;
        base->peer_expects_more = false;
    }
    wake(exchange);
    return 0;
}

void gy_h1_continue(struct gy_h1_exchange *exchange)
{
    if (exchange->credit > 0 && answerable(exchange)) {
        inform(&exchange->base, 100, NULL, 0);
    }
}

static int trailers(struct gy_http_exchange *base, const struct gy_http_header *headers,
                    uint32_t header_count)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    struct gy_h1_env *env = exchange->connection->env;
    if (exchange->answer_state != GY_H1_ANSWER_PULL ||
        (exchange->flags & (GY_H1_X_OVER | GY_H1_X_CANCELLED)) != 0) {
        return GY_ESTATE;
    }
    uint32_t bytes = gy_h1_headers_bytes(headers, header_count);
    if (bytes > GY_BUMP_BLOCK_BYTES) {
        return GY_EINVAL;
    }
    uint8_t *room = gy_bump_reserve(env->bump, bytes);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint32_t given = 0;
    uint8_t *at = gy_h1_put_headers(room, env, headers, header_count, &given);
    if (at == NULL) {
        return GY_EINVAL;
    }
    if ((exchange->flags & GY_H1_X_CHUNKED) == 0) {
        return 0;
    }
    return gy_bump_commit(env->bump, &exchange->trailers, (uint32_t)(at - room));
}

/* Whether the peer asked for this: CONNECT, or Upgrade to a protocol it listed. */
static bool tunnel_asked(const struct gy_h1_exchange *exchange, struct gy_http_text protocol)
{
    if (protocol.length == 0) {
        return exchange->base.method == GY_HTTP_CONNECT;
    }
    struct gy_http_text list = gy_http_protocol(&exchange->base);
    struct gy_http_text element;
    while (gy_http_list_next(&list, &element)) {
        if (gy_http_text_equal_nocase(element, protocol)) {
            return true;
        }
    }
    return false;
}

static int tunnel(struct gy_http_exchange *base, struct gy_http_text protocol,
                  const struct gy_http_header *headers, uint32_t header_count)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    struct gy_h1_env *env = exchange->connection->env;
    if (!answerable(exchange) || exchange->body.state != GY_H1_BODY_DONE ||
        !tunnel_asked(exchange, protocol)) {
        return GY_ESTATE;
    }
    uint32_t bytes = (uint32_t)(GY_H1_HEAD_ROOM + gy_h1_headers_bytes(headers, header_count));
    if (bytes > GY_BUMP_BLOCK_BYTES || protocol.length > 128) {
        return give_up(exchange, GY_EINVAL);
    }
    uint8_t *room = gy_bump_reserve(env->bump, bytes);
    if (room == NULL) {
        return give_up(exchange, GY_ENOBUFS);
    }
    uint32_t given = 0;
    uint16_t status = protocol.length > 0 ? 101 : 200;
    uint8_t *at =
        gy_h1_put_headers(gy_h1_put_status(room, status), env, headers, header_count, &given);
    if (at == NULL) {
        return give_up(exchange, GY_EINVAL);
    }
    if (protocol.length > 0) {
        at = GY_H1_PUT(at, "Connection: upgrade\r\nUpgrade: ");
        at = gy_h1_put(at, protocol.data, protocol.length);
        at = GY_H1_PUT(at, "\r\n");
    }
    at = GY_H1_PUT(at, "\r\n");
    gy_assert((uint32_t)(at - room) <= bytes);
    if (gy_bump_commit(env->bump, exchange->connection->out, (uint32_t)(at - room)) != 0) {
        return give_up(exchange, GY_ENOBUFS);
    }
    env->counters.responses[status_class(status)]++;
    exchange->status = status;
    exchange->answer_state = GY_H1_ANSWER_TUNNEL;
    exchange->credit = env->limits.body_window;
    wake(exchange);
    return 0;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void wake_up(struct gy_http_exchange *base)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    exchange->flags &= (uint16_t)~GY_H1_X_WAITING;
    wake(exchange);
}

static void consume(struct gy_http_exchange *base, uint32_t bytes)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    if (bytes == 0) {
        return;
    }
    if (exchange->credit == 0) {
        exchange->connection->flags |= GY_H1_RETIME;
    }
    exchange->flags &= (uint16_t)~GY_H1_X_DEFERRED;
    exchange->credit += bytes;
    wake(exchange);
}

static void defer_body(struct gy_http_exchange *base)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    if (exchange->body.state != GY_H1_BODY_DONE && exchange->credit == 0) {
        exchange->flags |= GY_H1_X_DEFERRED;
    }
}

static void cancel(struct gy_http_exchange *base, int reason)
{
    struct gy_h1_exchange *exchange = gy_h1_exchange_of(base);
    if (exchange->answer_state != GY_H1_ANSWER_DONE) {
        give_up(exchange, reason);
    }
}

const struct gy_http_transport gy_h1_transport = {
    .under = &gy_h1_transport,
    .respond = respond,
    .inform = inform,
    .trailers = trailers,
    .tunnel = tunnel,
    .wake = wake_up,
    .consume = consume,
    .defer_body = defer_body,
    .cancel = cancel,
};
