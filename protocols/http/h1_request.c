/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A request's head: finding its end, parsing, and handing it to the handler. */

#include "protocols/http/h1_internal.h"

/* Skips empty lines before the request line. True when the first byte of a request is there. */
static bool skip_empty_lines(struct gy_h1 *connection, struct gy_chain *in)
{
    while (in->length > 0) {
        uint8_t two[2] = {0, '\n'};
        gy_chain_copy(in, 0, in->length >= 2 ? 2 : 1, two);
        if (two[0] != '\r' && two[0] != '\n') {
            return true;
        }
        if (two[0] == '\n' || two[1] != '\n') {
            gy_h1_refuse(connection,
                         two[0] == '\n' ? GY_H1_REFUSED_BARE_LF : GY_H1_REFUSED_BARE_CR);
            return false;
        }
        if (in->length < 2) {
            return false;
        }
        if (connection->empty_lines == GY_H1_EMPTY_LINES) {
            gy_h1_refuse(connection, GY_H1_REFUSED_EMPTY_LINES);
            return false;
        }
        connection->empty_lines++;
        gy_chain_consume(in, 2);
    }
    return false;
}

/* The exchange takes over the head's slice. */
static void hold_head(struct gy_h1_exchange *exchange, struct gy_slice head)
{
    exchange->base.head_buffer = head.buffer;
    exchange->base.head_data = gy_slice_data(head);
}

static int parse(const struct gy_h1_reading *reading, const uint8_t *data, uint32_t length,
                 struct gy_h1_found *found)
{
    struct gy_h1_exchange *exchange = found->target;
    int result =
        reading->parser->head(reading->limits, data, length, &exchange->base, &exchange->head);
    found->bytes = exchange->head.bytes;
    return result;
}

static int read_head(struct gy_h1 *connection, struct gy_chain *in)
{
    struct gy_h1_env *env = connection->env;
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_h1_reading reading = {env->parser, &env->limits, env->bump};
    struct gy_h1_found found = {.parse = parse, .target = exchange};
    int result = gy_h1_head_read(&reading, in, &connection->scan, &found);
    if (result == GY_ENOBUFS) {
        connection->flags |= GY_H1_STARVED;
        return GY_H1_INCOMPLETE;
    }
    if (result != GY_H1_PARSED) {
        return result;
    }
    hold_head(exchange, found.slice);
    exchange->flags = found.joined && env->heads == NULL ? 0 : GY_H1_X_BORROWED;
    if (found.joined) {
        env->counters.copied_bytes += found.bytes;
        env->counters.heads_joined++;
    }
    return GY_H1_PARSED;
}

static bool take_exchange(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = gy_slab_take(connection->env->exchanges);
    if (exchange == NULL) {
        return false;
    }
    exchange->flags = 0;
    exchange->small = false;
    exchange->connection = connection;
    exchange->base.transport = &gy_h1_transport;
    exchange->base.handler = connection->env->handler;
    exchange->base.context = connection->env->context;
    exchange->base.connection = connection->owner;
    exchange->base.secure = (connection->flags & GY_H1_SECURE) != 0;
    gy_chain_init(&exchange->trailers, connection->out->links);
    connection->exchange = exchange;
    return true;
}

/* Requests that are answered here, unless the handler takes them. True when this was one. */
static bool answer_here(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t takes = exchange->base.handler->takes;
    switch (gy_http_method(&exchange->base)) {
    case GY_HTTP_CONNECT:
        if ((takes & GY_HTTP_TAKES_CONNECT) == 0) {
            gy_h1_refuse(connection, GY_H1_REFUSED_METHOD_CONNECT);
            return true;
        }
        return false;
    case GY_HTTP_TRACE:
        if ((takes & GY_HTTP_TAKES_TRACE) == 0) {
            connection->env->counters.refused[GY_H1_REFUSED_METHOD_TRACE]++;
            const char *text = gy_h1_refusal_text(GY_H1_REFUSED_METHOD_TRACE);
            gy_http_answer(&exchange->base, 501, "text/plain", text, strlen(text));
            return true;
        }
        return false;
    case GY_HTTP_OPTIONS:
        if ((takes & GY_HTTP_TAKES_SERVER_OPTIONS) == 0 &&
            gy_http_target(&exchange->base).data[0] == '*') {
            gy_http_answer(&exchange->base, 204, NULL, NULL, 0);
            return true;
        }
        return false;
    default:
        return false;
    }
}

/* Sets up the exchange of a head that was parsed. 0 or a refusal. */
static int begin(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t head_flags = exchange->head.flags;
    uint64_t length = exchange->base.content_length;

    exchange->flags |= GY_H1_X_ACTIVE;
    exchange->base.state = NULL;
    exchange->base.trailer_buffer = NULL;
    exchange->base.trailer_count = 0;
    exchange->base.peer_expects_more = false;
    exchange->answer_state = GY_H1_ANSWER_NONE;
    exchange->body.state = GY_H1_BODY_DONE;
    exchange->credit = 0;
    connection->phase = GY_H1_PHASE_EXCHANGE;
    connection->empty_lines = 0;
    connection->flags &= (uint16_t)~GY_H1_BEGUN;

    bool persists =
        exchange->head.minor == 1
            ? (head_flags & GY_H1_HEAD_CLOSE) == 0
            : (head_flags & (GY_H1_HEAD_CLOSE | GY_H1_HEAD_KEEP_ALIVE)) == GY_H1_HEAD_KEEP_ALIVE;
    /* Without a limit it counts past 2^32 once in a while, and ends a connection by that. */
    if (!persists || ++connection->requests == connection->env->limits.requests) {
        connection->flags |= GY_H1_LAST;
    }
    if (__builtin_expect((head_flags & GY_H1_HEAD_EXPECT_OTHER) != 0, 0)) {
        return GY_H1_REFUSED_EXPECTATION;
    }
    if (!exchange->base.has_body) {
        return 0;
    }
    uint64_t max = exchange->base.handler->body_max != 0 ? exchange->base.handler->body_max
                                                         : connection->env->limits.body_bytes;
    exchange->drained = 0;
    exchange->progress = 0;
    if (length == GY_HTTP_UNKNOWN) {
        gy_h1_body_chunked(&exchange->body, max, connection->env->limits.chunk_extension_bytes);
    } else {
        exchange->body.state = GY_H1_BODY_LENGTH;
        exchange->body.left = length;
        if (length > max) {
            return GY_H1_REFUSED_BODY_LIMIT;
        }
    }
    /* RFC 9110 §10.1.1: not from HTTP/1.0. */
    if ((head_flags & GY_H1_HEAD_EXPECT) != 0 && exchange->head.minor == 1) {
        exchange->flags |= GY_H1_X_CONTINUE;
        exchange->base.peer_expects_more = true;
    }
    return 0;
}

/* A request that asks for a tunnel may stay for long: in as little memory as it needs. */
static void shrink(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_slab *tunnels = connection->env->tunnels;
    if (exchange->head.upgrade.length == 0 || exchange->base.has_body || tunnels == NULL ||
        exchange->base.field_count > GY_H1_SMALL_FIELDS) {
        return;
    }
    struct gy_h1_exchange *small = gy_slab_take(tunnels);
    if (small == NULL) {
        return;
    }
    memcpy(small, exchange,
           offsetof(struct gy_h1_exchange, base.fields) +
               exchange->base.field_count * sizeof exchange->base.fields[0]);
    gy_h1_exchange_give(connection);
    small->small = true;
    connection->exchange = small;
}

static void dispatch(struct gy_h1 *connection, uint64_t now_ns)
{
    if (__builtin_expect(!connection->exchange->small, 1)) {
        shrink(connection);
    }
    struct gy_h1_exchange *exchange = connection->exchange;
    exchange->begun_ns = now_ns;
    exchange->answer_bytes = 0;
    exchange->status = 0;
    int refusal = begin(connection);
    if (__builtin_expect(refusal != 0, 0)) {
        gy_h1_refuse(connection, (enum gy_h1_refusal)refusal);
        return;
    }
    connection->since_ns = now_ns;
    if (exchange->base.method >= GY_HTTP_CONNECT && answer_here(connection)) {
        return;
    }
    connection->env->counters.requests++;
    exchange->flags |= GY_H1_X_HANDLED;
    exchange->base.handler->request(&exchange->base);
    if (exchange->answer_state == GY_H1_ANSWER_DONE && exchange->body.state == GY_H1_BODY_DONE) {
        gy_h1_tell_closed(exchange, 0);
        gy_h1_finish(connection, now_ns);
        return;
    }
    if ((exchange->flags & GY_H1_X_DEFERRED) == 0) {
        exchange->credit = connection->env->limits.body_window;
    }
}

/* Whether a request that is answered at once can be answered now. */
static bool has_room(struct gy_h1 *connection)
{
    const struct gy_slab *links = connection->out->links;
    if (connection->out->length > connection->env->limits.output_high) {
        connection->flags |= GY_H1_BLOCKED;
        return false;
    }
    if (links->capacity - links->used < GY_H1_ROOM_LINKS ||
        gy_bump_reserve(connection->env->bump, GY_H1_ROOM_BYTES) == NULL) {
        connection->flags |= GY_H1_STARVED;
        return false;
    }
    return true;
}

static bool incomplete(struct gy_h1 *connection, uint64_t now_ns)
{
    if ((connection->flags & GY_H1_STARVED) != 0) {
        return false;
    }
    if ((connection->flags & GY_H1_BEGUN) == 0) {
        connection->flags |= GY_H1_BEGUN;
        connection->since_ns = now_ns;
    }
    if ((connection->flags & GY_H1_EOF) != 0) {
        gy_h1_refuse(connection, GY_H1_REFUSED_INCOMPLETE);
        return true;
    }
    return false;
}

bool gy_h1_head_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns)
{
    if (in->length == 0) {
        if ((connection->flags & GY_H1_EOF) != 0) {
            gy_h1_close_soon(connection, false);
            return true;
        }
        return false;
    }
    if (!has_room(connection)) {
        return false;
    }
    uint32_t length;
    const uint8_t *data = gy_chain_front(in, &length);
    if (__builtin_expect(data[0] == '\r' || data[0] == '\n', 0)) {
        if (!skip_empty_lines(connection, in)) {
            if (in->length == 0) {
                /* An empty line is no part of a request: the connection is idle again. */
                connection->flags &= (uint16_t)~GY_H1_BEGUN;
            }
            if (connection->phase != GY_H1_PHASE_HEAD || in->length == 0) {
                return true;
            }
            return incomplete(connection, now_ns);
        }
        (void)gy_chain_front(in, &length);
    }
    if (connection->exchange != NULL && connection->exchange->small) {
        gy_h1_exchange_give(connection);
    }
    if (connection->exchange == NULL && !take_exchange(connection)) {
        gy_h1_refuse(connection, GY_H1_REFUSED_BUSY);
        return true;
    }
    int result = read_head(connection, in);
    if (__builtin_expect(result == GY_H1_PARSED, 1)) {
        dispatch(connection, now_ns);
        return true;
    }
    if (result == GY_H1_INCOMPLETE) {
        return incomplete(connection, now_ns);
    }
    gy_h1_refuse(connection, (enum gy_h1_refusal)result);
    return true;
}
