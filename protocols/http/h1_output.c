/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Bodies that are pulled from the handler, and tunnels. */

#include "protocols/http/h1_internal.h"

static void fail(struct gy_h1_exchange *exchange, int reason)
{
    if ((exchange->flags & GY_H1_X_CANCELLED) == 0) {
        exchange->flags |= GY_H1_X_CANCELLED;
        exchange->reason = reason;
    }
}

/* Asks the handler for up to `budget` bytes. WAIT unless it was woken meanwhile. */
static int ask(struct gy_h1_exchange *exchange, struct gy_chain *piece, uint32_t budget)
{
    const struct gy_http_handler *handler = exchange->base.handler;
    if (handler->pull == NULL) {
        exchange->flags |= GY_H1_X_WAITING;
        return GY_HTTP_WAIT;
    }
    /* Cleared by gy_http_wake(), which may be called from within: then it is asked again, in
     * another turn, lest a handler that always has nothing keeps this one going. */
    exchange->flags |= GY_H1_X_WAITING;
    uint64_t credit = exchange->credit;
    int said = handler->pull(&exchange->base, piece, budget);
    if (exchange->credit > credit) { /* the input that waited for it may be all that comes */
        exchange->connection->env->wake(exchange->connection);
    }
    if (said != GY_HTTP_WAIT && !(said == GY_HTTP_MORE && piece->length == 0)) {
        exchange->flags &= (uint16_t)~GY_H1_X_WAITING;
    } else if ((exchange->flags & GY_H1_X_WAITING) == 0 && piece->length == 0) {
        exchange->connection->env->wake(exchange->connection);
    }
    if (said == GY_HTTP_RETRY) {
        exchange->connection->flags |= GY_H1_STARVED;
    }
    if (said < 0) {
        fail(exchange, said);
    } else if (piece->length > budget || said < GY_HTTP_MORE || said > GY_HTTP_RETRY) {
        fail(exchange, GY_EINVAL);
    }
    return said;
}

/* How much may lie in the output. What is in memory in any case still takes links: only while they
 * are plenty. */
static uint32_t output_high(const struct gy_h1 *connection)
{
    const struct gy_h1_limits *limits = &connection->env->limits;
    const struct gy_slab *links = connection->out->links;
    bool longer = (connection->exchange->flags & GY_H1_X_IN_MEMORY) != 0 &&
                  limits->output_memory > limits->output_high && links->used < links->capacity / 2;
    return longer ? limits->output_memory : limits->output_high;
}

/* How much may be put into the output, with room for framing made sure of. 0: not now. */
static uint32_t budget_of(struct gy_h1 *connection)
{
    struct gy_h1_env *env = connection->env;
    const struct gy_slab *links = connection->out->links;
    uint32_t high = output_high(connection);
    if (connection->out->length >= high) {
        connection->flags |= GY_H1_BLOCKED;
        return 0;
    }
    if (links->capacity - links->used < GY_H1_ROOM_LINKS ||
        gy_bump_reserve(env->bump, GY_H1_CHUNK_BYTES) == NULL) {
        connection->flags |= GY_H1_STARVED;
        return 0;
    }
    return high - connection->out->length;
}

bool gy_h1_pull_step(struct gy_h1 *connection)
{
    struct gy_h1_env *env = connection->env;
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t budget = budget_of(connection);
    if (budget == 0) {
        return false;
    }
    if (exchange->answer_left < budget) {
        budget = (uint32_t)exchange->answer_left;
    }
    struct gy_chain piece;
    gy_chain_init(&piece, connection->out->links);
    int said = ask(exchange, &piece, budget);
    if ((exchange->flags & GY_H1_X_CANCELLED) != 0) {
        gy_chain_clear(&piece);
        return true;
    }
    uint32_t bytes = piece.length;
    exchange->answer_bytes += bytes;
    if (exchange->answer_left != GY_HTTP_UNKNOWN) {
        exchange->answer_left -= bytes;
        if (said == GY_HTTP_END && exchange->answer_left > 0) {
            fail(exchange, GY_EINVAL);
        }
    }
    /* A promised length that is reached ends the body, whatever else was said. */
    bool end = said == GY_HTTP_END || exchange->answer_left == 0;
    bool chunked = (exchange->flags & GY_H1_X_CHUNKED) != 0;
    if (gy_h1_piece_write(env->bump, connection->out, &piece,
                          (struct gy_h1_piece){chunked, end, &exchange->trailers}) != 0) {
        fail(exchange, GY_ENOBUFS);
        gy_chain_clear(&piece);
    } else if (end && (exchange->flags & GY_H1_X_CANCELLED) == 0) {
        exchange->answer_state = GY_H1_ANSWER_DONE;
    }
    return bytes > 0 || end || (exchange->flags & GY_H1_X_CANCELLED) != 0;
}

/* ---- tunnels --------------------------------------------------------------------------------- */

static bool tunnel_in(struct gy_h1 *connection, struct gy_chain *in)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    const struct gy_http_handler *handler = exchange->base.handler;
    struct gy_chain bytes;
    gy_chain_init(&bytes, in->links);
    uint64_t wanted = in->length < exchange->credit ? in->length : exchange->credit;
    if (gy_chain_move(in, &bytes, (uint32_t)wanted) != 0) {
        connection->flags |= GY_H1_STARVED;
    }
    bool end = in->length == 0 && (connection->flags & GY_H1_EOF) != 0;
    if (bytes.length == 0 && !end) {
        return false;
    }
    if (end) {
        exchange->flags |= GY_H1_X_IN_ENDED;
    }
    connection->env->counters.body_bytes_in += bytes.length;
    if (handler->body != NULL) {
        exchange->credit -= bytes.length;
        handler->body(&exchange->base, &bytes, end);
        exchange->credit += bytes.length;
    }
    gy_chain_clear(&bytes);
    return true;
}

static bool tunnel_out(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t budget = budget_of(connection);
    if (budget == 0) {
        return false;
    }
    struct gy_chain piece;
    gy_chain_init(&piece, connection->out->links);
    int said = ask(exchange, &piece, budget);
    uint32_t bytes = piece.length;
    if ((exchange->flags & GY_H1_X_CANCELLED) != 0) {
        gy_chain_clear(&piece);
        return true;
    }
    if (gy_chain_move(&piece, connection->out, bytes) != 0) {
        fail(exchange, GY_ENOBUFS);
        gy_chain_clear(&piece);
        return true;
    }
    exchange->answer_bytes += bytes;
    if (said == GY_HTTP_END) {
        exchange->flags |= GY_H1_X_OUT_ENDED;
    }
    return bytes > 0 || said == GY_HTTP_END;
}

bool gy_h1_tunnel_step(struct gy_h1 *connection, struct gy_chain *in)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t ended = GY_H1_X_IN_ENDED | GY_H1_X_OUT_ENDED;
    if ((exchange->flags & GY_H1_X_CANCELLED) != 0) {
        gy_h1_tell_closed(exchange, exchange->reason);
        gy_h1_close_soon(connection, false);
        return true;
    }
    if ((exchange->flags & ended) == ended) {
        gy_h1_tell_closed(exchange, 0);
        gy_h1_close_soon(connection, false);
        return true;
    }
    bool progress = false;
    if ((exchange->flags & GY_H1_X_IN_ENDED) == 0) {
        progress = tunnel_in(connection, in);
    }
    if ((exchange->flags & (GY_H1_X_OUT_ENDED | GY_H1_X_WAITING | GY_H1_X_CANCELLED)) == 0 &&
        (connection->flags & GY_H1_STARVED) == 0) {
        progress = tunnel_out(connection) || progress;
    }
    return progress || (exchange->flags & GY_H1_X_CANCELLED) != 0;
}
