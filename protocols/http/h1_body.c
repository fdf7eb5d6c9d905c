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
    uint32_t taken = take(connection, in, &bytes, exchange->body_left);
    if (taken == 0) {
        return false;
    }
    exchange->body_left -= taken;
    if (exchange->body_left == 0) {
        exchange->body_state = GY_H1_BODY_DONE;
    }
    deliver(connection, &bytes, exchange->body_left == 0, now_ns);
    return true;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* The size line is over. 0 or a refusal. */
static int size_known(struct gy_h1_exchange *exchange)
{
    exchange->size_digits = 0;
    exchange->extension_bytes = 0;
    if (exchange->body_left == 0) {
        exchange->body_state = GY_H1_BODY_TRAILERS;
        return 0;
    }
    if (exchange->body_left > exchange->body_max - exchange->body_seen) {
        return GY_H1_REFUSED_BODY_LIMIT;
    }
    exchange->body_seen += exchange->body_left;
    exchange->body_state = GY_H1_BODY_DATA;
    return 0;
}

static int size_byte(struct gy_h1_exchange *exchange, uint8_t byte)
{
    uint8_t digit = gy_http_hex(byte);
    if (digit != 255) {
        /* Sixteen digits, leading zeros included, are all that 64 bits need. */
        if (exchange->size_digits == 16) {
            return GY_H1_REFUSED_CHUNK_SIZE;
        }
        exchange->size_digits++;
        exchange->body_left = exchange->body_left << 4 | digit;
        return 0;
    }
    if (exchange->size_digits == 0) {
        return GY_H1_REFUSED_CHUNK_SIZE;
    }
    switch (byte) {
    case '\r':
        exchange->body_state = GY_H1_BODY_SIZE_LF;
        return 0;
    case ';':
        exchange->body_state = GY_H1_BODY_EXTENSION;
        return 0;
    case ' ':
    case '\t':
        exchange->body_state = GY_H1_BODY_SIZE_SPACE;
        return 0;
    case '\n':
        return GY_H1_REFUSED_BARE_LF;
    default:
        return GY_H1_REFUSED_CHUNK_SIZE;
    }
}

/*
 * chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), RFC 9112 §7.1.1. They
 * are skipped: what is checked is that each ';' has a name, that quoted strings are closed, and
 * that no byte could be taken for a line's end by anybody.
 */
static int extension_byte(struct gy_h1 *connection, uint8_t byte)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t max = connection->env->limits.chunk_extension_bytes;
    exchange->extension_bytes++;
    exchange->extension_total++;
    if (exchange->extension_bytes > max || exchange->extension_total > max * 16) {
        return GY_H1_REFUSED_CHUNK_EXTENSION;
    }
    if (byte == '\n') {
        return GY_H1_REFUSED_BARE_LF;
    }
    if (byte != '\r' && !gy_http_is(byte, GY_HTTP_CLASS_VALUE)) {
        return GY_H1_REFUSED_CHUNK_EXTENSION;
    }
    switch ((enum gy_h1_body_state)exchange->body_state) {
    case GY_H1_BODY_SIZE_SPACE:
        if (byte == ';') {
            exchange->body_state = GY_H1_BODY_EXTENSION;
        } else if (!gy_http_is_space(byte)) {
            return GY_H1_REFUSED_CHUNK_SIZE;
        }
        return 0;
    case GY_H1_BODY_EXTENSION:
        if (gy_http_is(byte, GY_HTTP_CLASS_TOKEN)) {
            exchange->body_state = GY_H1_BODY_EXTENSION_ON;
        } else if (!gy_http_is_space(byte)) {
            return GY_H1_REFUSED_CHUNK_EXTENSION;
        }
        return 0;
    case GY_H1_BODY_EXTENSION_ON:
        if (byte == '\r') {
            exchange->body_state = GY_H1_BODY_SIZE_LF;
        } else if (byte == ';') {
            exchange->body_state = GY_H1_BODY_EXTENSION;
        } else if (byte == '"') {
            exchange->body_state = GY_H1_BODY_QUOTED;
        }
        return 0;
    case GY_H1_BODY_QUOTED:
        if (byte == '\r') {
            return GY_H1_REFUSED_CHUNK_EXTENSION;
        }
        if (byte == '"') {
            exchange->body_state = GY_H1_BODY_EXTENSION_ON;
        } else if (byte == '\\') {
            exchange->body_state = GY_H1_BODY_QUOTED_PAIR;
        }
        return 0;
    default:
        gy_assert(exchange->body_state == GY_H1_BODY_QUOTED_PAIR);
        exchange->body_state = GY_H1_BODY_QUOTED;
        return byte == '\r' ? GY_H1_REFUSED_CHUNK_EXTENSION : 0;
    }
}

/* One byte of what frames chunks. 0 or a refusal. */
static int frame_byte(struct gy_h1 *connection, uint8_t byte)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    switch ((enum gy_h1_body_state)exchange->body_state) {
    case GY_H1_BODY_SIZE:
        return size_byte(exchange, byte);
    case GY_H1_BODY_SIZE_LF:
        return byte == '\n' ? size_known(exchange) : GY_H1_REFUSED_BARE_CR;
    case GY_H1_BODY_DATA_CR:
        exchange->body_state = GY_H1_BODY_DATA_LF;
        return byte == '\r' ? 0 : GY_H1_REFUSED_CHUNK_END;
    case GY_H1_BODY_DATA_LF:
        exchange->body_state = GY_H1_BODY_SIZE;
        return byte == '\n' ? 0 : GY_H1_REFUSED_CHUNK_END;
    default:
        return extension_byte(connection, byte);
    }
}

/* Goes through framing up to data, trailers, or the end of the first slice. 0 or a refusal. */
static int frame_bytes(struct gy_h1 *connection, struct gy_chain *in)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t length;
    const uint8_t *data = gy_chain_front(in, &length);
    uint32_t at = 0;
    int refusal = 0;
    while (at < length && refusal == 0 && exchange->body_state != GY_H1_BODY_DATA &&
           exchange->body_state != GY_H1_BODY_TRAILERS) {
        refusal = frame_byte(connection, data[at++]);
    }
    if (over(exchange)) {
        exchange->drained += at;
    }
    gy_chain_consume(in, at);
    if (exchange->body_state == GY_H1_BODY_TRAILERS) {
        connection->scanned = 0;
        connection->scan_state = GY_H1_SCAN_START;
    }
    return refusal;
}

/* ---- trailers -------------------------------------------------------------------------------- */

/* Parses the section, which ends `bytes` into the chain or cannot be right. */
static int trailers_parse(struct gy_h1 *connection, struct gy_chain *in, uint32_t bytes)
{
    struct gy_h1_env *env = connection->env;
    struct gy_h1_exchange *exchange = connection->exchange;
    uint8_t *room = gy_bump_reserve(env->bump, bytes);
    if (room == NULL) {
        connection->flags |= GY_H1_STARVED;
        return GY_H1_INCOMPLETE;
    }
    gy_chain_copy(in, 0, bytes, room);
    int result = env->parser->trailers(&env->limits, room, bytes, &exchange->base);
    if (result != GY_H1_PARSED) {
        exchange->base.trailer_count = 0;
        return result;
    }
    if (exchange->base.trailer_count > 0) {
        struct gy_slice section = gy_bump_slice(env->bump, bytes);
        exchange->base.trailer_buffer = section.buffer;
        exchange->base.trailer_data = gy_slice_data(section);
        env->counters.copied_bytes += bytes;
    }
    gy_chain_consume(in, bytes);
    return result;
}

/* 0 when the section is over or needs more input (HUNGRY), or a refusal. */
static int trailers_step(struct gy_h1 *connection, struct gy_chain *in)
{
    struct gy_h1_env *env = connection->env;
    struct gy_h1_exchange *exchange = connection->exchange;
    uint32_t max = env->limits.trailer_bytes;
    for (;;) {
        enum gy_h1_scan_result seen =
            gy_h1_scan(env->parser, in, &connection->scanned, &connection->scan_state, NULL);
        if (seen == GY_H1_SCAN_MORE && connection->scanned < max) {
            exchange->flags |= GY_H1_X_HUNGRY;
            return 0;
        }
        uint32_t bytes = connection->scanned < max ? connection->scanned : max;
        int result = trailers_parse(connection, in, bytes);
        if (result == GY_H1_PARSED) {
            exchange->body_state = GY_H1_BODY_DONE;
            connection->scanned = 0;
            connection->scan_state = GY_H1_SCAN_LINE;
            return 0;
        }
        if ((connection->flags & GY_H1_STARVED) != 0) {
            connection->scanned = 0;
            connection->scan_state = GY_H1_SCAN_START;
            return 0;
        }
        if (result > 0) {
            return result;
        }
    }
}

static bool chunked_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_chain bytes;
    gy_chain_init(&bytes, in->links);
    int refusal = 0;
    bool progress = false;
    while (refusal == 0 && exchange->body_state != GY_H1_BODY_DONE &&
           (connection->flags & GY_H1_STARVED) == 0) {
        if (in->length == 0) {
            exchange->flags |= GY_H1_X_HUNGRY;
            break;
        }
        if (exchange->body_state == GY_H1_BODY_DATA) {
            uint32_t taken = take(connection, in, &bytes, exchange->body_left);
            if (taken == 0) {
                break;
            }
            exchange->body_left -= taken;
            if (exchange->body_left == 0) {
                exchange->body_state = GY_H1_BODY_DATA_CR;
            }
        } else if (exchange->body_state == GY_H1_BODY_TRAILERS) {
            refusal = trailers_step(connection, in);
            if ((exchange->flags & GY_H1_X_HUNGRY) != 0) {
                break;
            }
        } else {
            refusal = frame_bytes(connection, in);
        }
        progress = true;
    }
    bool end = refusal == 0 && exchange->body_state == GY_H1_BODY_DONE;
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
    bool progress = exchange->body_state == GY_H1_BODY_LENGTH
                        ? length_step(connection, in, now_ns)
                        : chunked_step(connection, in, now_ns);
    /* More is left than it is worth reading: the peer finds out when the connection closes. */
    if (connection->phase == GY_H1_PHASE_EXCHANGE && over(exchange) &&
        exchange->body_state != GY_H1_BODY_DONE &&
        exchange->drained > connection->env->limits.drain_bytes) {
        gy_h1_close_soon(connection, true);
        return true;
    }
    return progress;
}
