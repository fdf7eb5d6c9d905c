/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The request's body: by Content-Length or chunked (RFC 9112 §6, §7), given to the handler as far
 * as its credit reaches, or discarded behind an early answer. */

#include "protocols/http/h1_internal.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool over(const struct gy_h1_exchange *exchange)
{
    return (exchange->flags & GY_H1_X_OVER) != 0;
}

/* Gives bytes to the handler, or drops them. Empties the chain. */
static void deliver(struct gy_h1 *connection, struct gy_chain *bytes, bool end, uint64_t now_ns)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    const struct gy_http_handler *handler = exchange->base.handler;
    connection->env->counters.body_bytes_in += bytes->length;
    exchange->progress += bytes->length;
    if (exchange->progress >= connection->env->limits.body_progress_bytes) {
        exchange->progress = 0;
        connection->since_ns = now_ns;
    }
    if (over(exchange)) {
        exchange->drained += bytes->length;
    } else if (handler->body != NULL && (exchange->flags & GY_H1_X_CANCELLED) == 0) {
        gy_assert(exchange->credit >= bytes->length);
        exchange->credit -= bytes->length;
        handler->body(&exchange->base, bytes, end);
        exchange->credit += bytes->length;
    }
    gy_chain_clear(bytes);
}

/* Moves what may be taken now, at most `most`, to the end of `bytes`. Returns how much. */
static uint32_t take(struct gy_h1 *connection, struct gy_chain *in, struct gy_chain *bytes,
                     uint64_t most)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint64_t allowed = over(exchange) ? UINT32_MAX : exchange->credit;
    gy_assert(bytes->length <= allowed);
    uint32_t before = bytes->length;
    uint32_t wanted = (uint32_t)smaller(smaller(most, in->length), allowed - before);
    if (gy_chain_move(in, bytes, wanted) != 0) {
        connection->flags |= GY_H1_STARVED;
    }
    return bytes->length - before;
}

static bool length_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_chain bytes;
    gy_chain_init(&bytes, in->links);
    if (in->length == 0) {
        exchange->flags |= GY_H1_X_HUNGRY;
        return false;
    }
    uint32_t taken = take(connection, in, &bytes, exchange->body.left);
    if (taken == 0) {
        return false;
    }
    exchange->body.left -= taken;
    if (exchange->body.left == 0) {
        exchange->body.state = GY_H1_BODY_DONE;
    }
    deliver(connection, &bytes, exchange->body.left == 0, now_ns);
    return true;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* Goes through framing up to data, trailers, or the end of the first slice. 0 or a refusal. */
static int frame_bytes(struct gy_h1 *connection, struct gy_chain *in)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t passed;
    int refusal = gy_h1_body_frame(&exchange->body, in, &passed);
    if (over(exchange)) {
        exchange->drained += passed;
    }
    if (exchange->body.state == GY_H1_BODY_TRAILERS) {
        connection->scan = (struct gy_h1_scan){0, GY_H1_SCAN_START};
    }
    return refusal;
}

/* 0 when the section is over or needs more input (HUNGRY), or a refusal. */
static int trailers_step(struct gy_h1 *connection, struct gy_chain *in)
{
    struct gy_h1_env *env = connection->env;
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_h1_reading reading = {env->parser, &env->limits, env->bump};
    struct gy_h1_trailers trailers = {
        .fields = exchange->base.fields + exchange->base.field_count,
        .room = env->limits.fields - exchange->base.field_count,
    };
    int result = gy_h1_trailers_read(&reading, in, &connection->scan, &trailers);
    if (result == GY_H1_INCOMPLETE) {
        exchange->flags |= GY_H1_X_HUNGRY;
        return 0;
    }
    if (result == GY_ENOBUFS) {
        connection->flags |= GY_H1_STARVED;
        return 0;
    }
    if (result != GY_H1_PARSED) {
        return result;
    }
    exchange->body.state = GY_H1_BODY_DONE;
    exchange->base.trailer_count = (uint16_t)trailers.count;
    if (trailers.count > 0) {
        exchange->base.trailer_buffer = trailers.section.buffer;
        exchange->base.trailer_data = gy_slice_data(trailers.section);
        env->counters.copied_bytes += trailers.section.length;
    }
    return 0;
}

static bool chunked_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_chain bytes;
    gy_chain_init(&bytes, in->links);
    int refusal = 0;
    bool progress = false;
    while (refusal == 0 && exchange->body.state != GY_H1_BODY_DONE &&
           (connection->flags & GY_H1_STARVED) == 0) {
        if (in->length == 0) {
            exchange->flags |= GY_H1_X_HUNGRY;
            break;
        }
        if (exchange->body.state == GY_H1_BODY_DATA) {
            uint32_t taken = take(connection, in, &bytes, exchange->body.left);
            if (taken == 0) {
                break;
            }
            exchange->body.left -= taken;
            if (exchange->body.left == 0) {
                exchange->body.state = GY_H1_BODY_DATA_CR;
            }
        } else if (exchange->body.state == GY_H1_BODY_TRAILERS) {
            refusal = trailers_step(connection, in);
            if ((exchange->flags & GY_H1_X_HUNGRY) != 0) {
                break;
            }
        } else {
            refusal = frame_bytes(connection, in);
        }
        progress = true;
    }
    bool end = refusal == 0 && exchange->body.state == GY_H1_BODY_DONE;
    bool trailers =
        end && exchange->base.trailer_count > 0 && exchange->base.handler->trailers != NULL;
    if (bytes.length > 0 || (end && !trailers)) {
        deliver(connection, &bytes, end && !trailers, now_ns);
    }
    if (refusal != 0) {
        gy_h1_refuse(connection, (enum gy_h1_refusal)refusal);
        return true;
    }
    if (trailers && !over(exchange) && (exchange->flags & GY_H1_X_CANCELLED) == 0) {
        exchange->base.handler->trailers(&exchange->base);
        deliver(connection, &bytes, true, now_ns);
    }
    return progress;
}

bool gy_h1_body_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    exchange->flags &= (uint16_t)~GY_H1_X_HUNGRY;
    if (!gy_h1_body_wanted(exchange)) {
        return false;
    }
    bool progress = exchange->body.state == GY_H1_BODY_LENGTH
                        ? length_step(connection, in, now_ns)
                        : chunked_step(connection, in, now_ns);
    /* More is left than it is worth reading: the peer finds out when the connection closes. */
    if (connection->phase == GY_H1_PHASE_EXCHANGE && over(exchange) &&
        exchange->body.state != GY_H1_BODY_DONE &&
        exchange->drained > connection->env->limits.drain_bytes) {
        gy_h1_close_soon(connection, true);
        return true;
    }
    return progress;
}
