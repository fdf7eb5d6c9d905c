/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The connection: its turn, its deadlines, its ends. */

#include "protocols/http/h1.h"

#include "core/cursor.h"
#include "protocols/http/h1_heads.h"
#include "protocols/http/h1_internal.h"

/* ---- set-up ---------------------------------------------------------------------------------- */

uint32_t gy_h1_exchange_bytes(void)
{
    return sizeof(struct gy_h1_exchange);
}

uint32_t gy_h1_tunnel_bytes(void)
{
    return offsetof(struct gy_h1_exchange, base.fields) +
           GY_H1_SMALL_FIELDS * sizeof(struct gy_http_field);
}

static const struct gy_h1_limits default_limits = {
    .line_bytes = 8192,
    .head_bytes = GY_H1_HEAD_MAX,
    .fields = GY_HTTP_FIELDS_MAX,
    .trailer_bytes = 4096,
    .chunk_extension_bytes = 256,
    .body_bytes = 1 << 20,
    .body_window = 65536,
    .drain_bytes = 65536,
    .output_high = 65536,
    .pipeline_bytes = 16384,
    .copy_bytes = 512,
    .header_timeout_ms = 10000,
    .idle_timeout_ms = 60000,
    .body_timeout_ms = 30000,
    .body_progress_bytes = 256,
};

struct gy_h1_limits gy_h1_limits_defaults(void)
{
    return default_limits;
}

int gy_h1_env_init(struct gy_h1_env *env, const struct gy_http_handler *handler, void *context,
                   struct gy_slab *exchanges, struct gy_bump *bump,
                   void (*wake)(struct gy_h1 *connection), const char *server)
{
    gy_assert(handler != NULL && handler->request != NULL && wake != NULL && bump != NULL);
    gy_assert(exchanges->item_bytes >= sizeof(struct gy_h1_exchange));
    *env = (struct gy_h1_env){
        .handler = handler,
        .context = context,
        .exchanges = exchanges,
        .bump = bump,
        .wake = wake,
        .limits = default_limits,
        .parser = gy_h1_parser_nth(0),
    };
    char epoch[GY_HTTP_DATE_BYTES];
    gy_http_date(0, epoch);
    struct gy_writer line = gy_writer_on(env->common, sizeof env->common);
    gy_writer_text(&line, "Date: ");
    gy_writer_bytes(&line, epoch, sizeof epoch);
    gy_writer_text(&line, "\r\n");
    env->date_bytes = (uint32_t)gy_writer_length(&line);
    if (server != NULL) {
        struct gy_http_text name = gy_http_text_of(server);
        if (name.length == 0 || name.length > 64 || !gy_http_all(name, GY_HTTP_CLASS_VALUE)) {
            return GY_EINVAL;
        }
        gy_writer_text(&line, "Server: ");
        gy_writer_bytes(&line, name.data, name.length);
        gy_writer_text(&line, "\r\n");
    }
    gy_assert(!line.failed);
    env->common_bytes = (uint32_t)gy_writer_length(&line);
    return 0;
}

void gy_h1_env_date(struct gy_h1_env *env, const char date[GY_HTTP_DATE_BYTES])
{
    gy_assert(env->date_bytes == 6 + GY_HTTP_DATE_BYTES + 2);
    memcpy(env->common + 6, date, GY_HTTP_DATE_BYTES);
}

void gy_h1_init(struct gy_h1 *connection, struct gy_h1_env *env, struct gy_chain *out, void *owner,
                bool secure, uint64_t now_ns)
{
    gy_assert(env->limits.head_bytes <= GY_H1_HEAD_MAX && env->limits.head_bytes > 0);
    gy_assert(env->limits.line_bytes > 0 && env->limits.trailer_bytes <= GY_H1_HEAD_MAX);
    gy_assert(env->limits.fields <= GY_HTTP_FIELDS_MAX);
    gy_assert(env->limits.copy_bytes <= GY_H1_ROOM_BYTES / 2);
    *connection = (struct gy_h1){
        .env = env,
        .out = out,
        .owner = owner,
        .since_ns = now_ns,
        .flags = secure ? GY_H1_SECURE : 0,
    };
    env->counters.connections++;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void tell_over(struct gy_h1_exchange *exchange, int reason)
{
    struct gy_h1_env *env = exchange->connection->env;
    if (env->over != NULL) {
        struct gy_h1_record record = {
            .connection = exchange->connection,
            .exchange = &exchange->base,
            .begun_ns = exchange->begun_ns,
            .body_bytes = exchange->answer_bytes,
            .status = exchange->status,
            .minor = (uint8_t)exchange->head.minor,
            .reason = reason,
        };
        env->over(env, &record);
    }
}

void gy_h1_tell_closed(struct gy_h1_exchange *exchange, int reason)
{
    if ((exchange->flags & GY_H1_X_OVER) != 0) {
        return;
    }
    exchange->flags |= GY_H1_X_OVER;
    tell_over(exchange, reason);
    if ((exchange->flags & GY_H1_X_HANDLED) == 0) {
        return;
    }
    if (reason != 0) {
        exchange->connection->env->counters.cancelled++;
    }
    if (exchange->base.handler->closed != NULL) {
        exchange->base.handler->closed(&exchange->base, reason);
    }
}

static void release(struct gy_h1_exchange *exchange)
{
    gy_assert((exchange->flags & GY_H1_X_ACTIVE) != 0);
    if (exchange->base.head_buffer != NULL) {
        gy_buffer_drop(exchange->base.head_buffer);
    }
    if (exchange->base.trailer_buffer != NULL) {
        gy_buffer_drop(exchange->base.trailer_buffer);
    }
    if (!gy_chain_empty(&exchange->trailers)) {
        gy_chain_clear(&exchange->trailers);
    }
    exchange->flags = 0;
}

void gy_h1_close_soon(struct gy_h1 *connection, bool lingers)
{
    connection->phase = GY_H1_PHASE_CLOSING;
    if (lingers && (connection->flags & GY_H1_EOF) == 0) {
        connection->flags |= GY_H1_LINGERS;
    }
    if (gy_h1_active(connection)) {
        gy_assert((connection->exchange->flags & (GY_H1_X_OVER | GY_H1_X_HANDLED)) !=
                  GY_H1_X_HANDLED);
        release(connection->exchange);
    }
}

/* The peer believes that the connection goes on: its idle deadline becomes the end of patience
 * (modulo 2^64, should that lie before the clock's start). */
static void be_patient(struct gy_h1 *connection, uint64_t now_ns)
{
    const struct gy_h1_limits *limits = &connection->env->limits;
    if (connection->patience_ms == 0) {
        gy_h1_close_soon(connection, true);
        return;
    }
    connection->since_ns = now_ns + (uint64_t)connection->patience_ms * 1000000 -
                           (uint64_t)limits->idle_timeout_ms * 1000000;
}

void gy_h1_finish(struct gy_h1 *connection, uint64_t now_ns)
{
    gy_assert(connection->exchange->body.state == GY_H1_BODY_DONE);
    release(connection->exchange);
    connection->since_ns = now_ns;
    connection->phase = GY_H1_PHASE_HEAD;
    if ((connection->flags & GY_H1_LAST) != 0) {
        gy_h1_close_soon(connection, true);
    } else if ((connection->flags & GY_H1_DRAINING) != 0) {
        be_patient(connection, now_ns);
    }
}

void gy_h1_exchange_give(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_h1_env *env = connection->env;
    gy_slab_give(exchange->small ? env->tunnels : env->exchanges, exchange);
    connection->exchange = NULL;
}

static void give_back(struct gy_h1 *connection)
{
    if (connection->exchange != NULL && !gy_h1_active(connection)) {
        gy_h1_exchange_give(connection);
    }
}

void gy_h1_close(struct gy_h1 *connection, int reason)
{
    gy_assert((connection->flags & GY_H1_IN_TURN) == 0);
    if (connection->phase == GY_H1_PHASE_CLOSED) {
        return;
    }
    connection->flags |= GY_H1_IN_TURN;
    if (gy_h1_active(connection)) {
        gy_h1_tell_closed(connection->exchange, reason != 0 ? reason : GY_ECLOSED);
        release(connection->exchange);
    }
    give_back(connection);
    connection->phase = GY_H1_PHASE_CLOSED;
    connection->flags &= (uint16_t)~GY_H1_IN_TURN;
}

/* ---- the turn -------------------------------------------------------------------------------- */

/* The handler gave the exchange up. */
static void cancelled(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    if (exchange->answer_state == GY_H1_ANSWER_NONE) {
        gy_h1_refuse(connection, GY_H1_REFUSED_HANDLER);
        return;
    }
    gy_h1_tell_closed(exchange, exchange->reason);
    gy_h1_close_soon(connection, false);
}

static bool exchange_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    if ((exchange->flags & GY_H1_X_CANCELLED) != 0 && (exchange->flags & GY_H1_X_OVER) == 0) {
        cancelled(connection);
        return true;
    }
    if (exchange->answer_state == GY_H1_ANSWER_DONE) {
        gy_h1_tell_closed(exchange, 0);
        if (exchange->body.state == GY_H1_BODY_DONE) {
            gy_h1_finish(connection, now_ns);
            return true;
        }
        if ((connection->flags & GY_H1_LAST) != 0) {
            /* No request follows for which the rest of this one would have to be read. */
            gy_h1_close_soon(connection, true);
            return true;
        }
    } else if (exchange->answer_state == GY_H1_ANSWER_TUNNEL) {
        connection->phase = GY_H1_PHASE_TUNNEL;
        connection->env->counters.tunnels++;
        return true;
    }
    if ((exchange->flags & GY_H1_X_CONTINUE) != 0) {
        gy_h1_continue(exchange);
    }
    uint8_t answer_before = exchange->answer_state;
    bool progress = false;
    if (exchange->body.state != GY_H1_BODY_DONE) {
        progress = gy_h1_body_step(connection, in, now_ns);
        if (connection->phase != GY_H1_PHASE_EXCHANGE) {
            return true;
        }
    }
    if (exchange->answer_state == GY_H1_ANSWER_PULL &&
        (exchange->flags & (GY_H1_X_WAITING | GY_H1_X_CANCELLED)) == 0) {
        progress = gy_h1_pull_step(connection) || progress;
    }
    bool cancelled_now =
        (exchange->flags & (GY_H1_X_CANCELLED | GY_H1_X_OVER)) == GY_H1_X_CANCELLED;
    if (progress || cancelled_now || exchange->answer_state != answer_before) {
        return true;
    }
    if ((connection->flags & GY_H1_EOF) != 0 && (exchange->flags & GY_H1_X_HUNGRY) != 0) {
        if (exchange->answer_state == GY_H1_ANSWER_DONE) {
            gy_h1_close_soon(connection, false);
        } else {
            gy_h1_refuse(connection, GY_H1_REFUSED_INCOMPLETE);
        }
        return true;
    }
    return false;
}

/* Copies a head to memory that may be held for long. False without any. */
static bool copy_head(struct gy_h1_env *env, const uint8_t *head, uint32_t bytes,
                      struct gy_slice *kept)
{
    if (env->heads != NULL) {
        struct gy_buffer *buffer = gy_h1_heads_keep(env->heads, head, bytes);
        *kept = (struct gy_slice){buffer, 0, bytes};
        return buffer != NULL;
    }
    uint8_t *room = gy_bump_reserve(env->bump, bytes);
    if (room == NULL) {
        return false;
    }
    memcpy(room, head, bytes);
    *kept = gy_bump_slice(env->bump, bytes);
    return true;
}

/* A head that outlives the turn leaves the receive buffer, or the output block that it was joined
 * in. Nobody reads it any more once the handler was told of the end. Without memory a request that
 * is not yet answered is refused, since memory would come back only as other peers please; one
 * whose answer has begun stays as it is, and the next turn tries again. */
static void keep_head(struct gy_h1 *connection)
{
    struct gy_h1_exchange *exchange = connection->exchange;
    struct gy_http_exchange *base = &exchange->base;
    struct gy_h1_env *env = connection->env;
    struct gy_slice kept = {0};
    if ((exchange->flags & GY_H1_X_OVER) == 0) {
        if (!copy_head(env, base->head_data, exchange->head.bytes, &kept)) {
            if (env->heads != NULL && exchange->answer_state == GY_H1_ANSWER_NONE) {
                gy_h1_refuse(connection, GY_H1_REFUSED_BUSY);
            } else {
                connection->flags |= GY_H1_STARVED;
            }
            return;
        }
        env->counters.copied_bytes += exchange->head.bytes;
        env->counters.heads_kept++;
    }
    gy_buffer_drop(base->head_buffer);
    base->head_buffer = kept.buffer;
    base->head_data = kept.buffer != NULL ? gy_slice_data(kept) : NULL;
    exchange->flags &= (uint16_t)~GY_H1_X_BORROWED;
}

uint32_t gy_h1_turn(struct gy_h1 *connection, struct gy_chain *in, bool eof, uint64_t now_ns)
{
    gy_assert((connection->flags & GY_H1_IN_TURN) == 0);
    gy_assert(in != connection->out && in->links == connection->out->links);
    if ((connection->flags & GY_H1_RETIME) != 0) {
        connection->since_ns = now_ns;
    }
    connection->flags &= (uint16_t) ~(GY_H1_STARVED | GY_H1_BLOCKED | GY_H1_RETIME);
    connection->flags |= (uint16_t)(GY_H1_IN_TURN | (eof ? GY_H1_EOF : 0));
    bool again = true;
    while (again) {
        switch ((enum gy_h1_phase)connection->phase) {
        case GY_H1_PHASE_HEAD:
            again = gy_h1_head_step(connection, in, now_ns);
            break;
        case GY_H1_PHASE_EXCHANGE:
            again = exchange_step(connection, in, now_ns);
            break;
        case GY_H1_PHASE_TUNNEL:
            again = gy_h1_tunnel_step(connection, in);
            break;
        case GY_H1_PHASE_CLOSING:
        case GY_H1_PHASE_CLOSED:
            gy_chain_clear(in);
            again = false;
            break;
        }
    }
    if (gy_h1_active(connection) && (connection->exchange->flags & GY_H1_X_BORROWED) != 0) {
        keep_head(connection);
    }
    give_back(connection);
    if ((connection->flags & GY_H1_STARVED) != 0) {
        connection->env->counters.starved++;
    }
    connection->flags &= (uint16_t)~GY_H1_IN_TURN;
    return gy_h1_wants(connection, in);
}

/* ---- questions ------------------------------------------------------------------------------- */

static bool reads(const struct gy_h1 *connection, const struct gy_chain *in)
{
    const struct gy_h1_exchange *exchange = connection->exchange;
    if ((connection->flags & GY_H1_EOF) != 0) {
        return false;
    }
    switch ((enum gy_h1_phase)connection->phase) {
    case GY_H1_PHASE_HEAD:
        return (connection->flags & (GY_H1_BLOCKED | GY_H1_STARVED)) == 0;
    case GY_H1_PHASE_EXCHANGE:
        gy_assert(exchange != NULL);
        return exchange->body.state != GY_H1_BODY_DONE
                   ? gy_h1_body_wanted(exchange)
                   : in->length < connection->env->limits.pipeline_bytes;
    case GY_H1_PHASE_TUNNEL:
        gy_assert(exchange != NULL);
        return exchange->credit > 0;
    case GY_H1_PHASE_CLOSING:
        return (connection->flags & GY_H1_LINGERS) != 0;
    case GY_H1_PHASE_CLOSED:
        break;
    }
    return false;
}

uint32_t gy_h1_wants(const struct gy_h1 *connection, const struct gy_chain *in)
{
    uint32_t wants = reads(connection, in) ? GY_H1_READ : 0;
    switch ((enum gy_h1_phase)connection->phase) {
    case GY_H1_PHASE_CLOSED:
        return GY_H1_CLOSE;
    case GY_H1_PHASE_CLOSING:
        wants |= GY_H1_CLOSE;
        return (connection->flags & GY_H1_LINGERS) != 0 ? wants | GY_H1_LINGER : wants;
    case GY_H1_PHASE_HEAD:
        if ((connection->flags & GY_H1_BEGUN) == 0 && gy_chain_empty(in)) {
            wants |= GY_H1_IDLE;
        }
        break;
    case GY_H1_PHASE_TUNNEL:
        gy_assert(connection->exchange != NULL);
        if ((connection->exchange->flags & GY_H1_X_OUT_ENDED) != 0) {
            wants |= GY_H1_SHUTDOWN;
        }
        break;
    case GY_H1_PHASE_EXCHANGE:
        break;
    }
    wants |= (connection->flags & GY_H1_BLOCKED) != 0 ? GY_H1_ROOM : 0;
    wants |= (connection->flags & GY_H1_STARVED) != 0 ? GY_H1_RETRY : 0;
    return wants;
}

/* ---- deadlines ------------------------------------------------------------------------------- */

uint64_t gy_h1_deadline(const struct gy_h1 *connection)
{
    const struct gy_h1_limits *limits = &connection->env->limits;
    uint32_t timeout_ms = 0;
    if ((connection->flags & (GY_H1_BLOCKED | GY_H1_STARVED | GY_H1_RETIME)) != 0) {
        return GY_H1_NO_DEADLINE;
    }
    if (connection->phase == GY_H1_PHASE_HEAD) {
        timeout_ms = (connection->flags & GY_H1_BEGUN) != 0 ? limits->header_timeout_ms
                                                            : limits->idle_timeout_ms;
    } else if (connection->phase == GY_H1_PHASE_EXCHANGE &&
               connection->exchange->body.state != GY_H1_BODY_DONE &&
               gy_h1_body_wanted(connection->exchange)) {
        timeout_ms = limits->body_timeout_ms;
    } else {
        return GY_H1_NO_DEADLINE;
    }
    return connection->since_ns + (uint64_t)timeout_ms * 1000000;
}

void gy_h1_expire(struct gy_h1 *connection, uint64_t now_ns)
{
    gy_assert((connection->flags & GY_H1_IN_TURN) == 0);
    if (now_ns < gy_h1_deadline(connection)) {
        return;
    }
    connection->flags |= GY_H1_IN_TURN;
    bool idle = connection->phase == GY_H1_PHASE_HEAD && (connection->flags & GY_H1_BEGUN) == 0;
    bool answered =
        gy_h1_active(connection) && connection->exchange->answer_state == GY_H1_ANSWER_DONE;
    if (idle && (connection->flags & GY_H1_DRAINING) != 0 && !gy_chain_empty(connection->out)) {
        be_patient(connection, now_ns); /* the peer has not yet got what it may think about */
    } else if (idle || answered) {
        if (answered) {
            gy_h1_tell_closed(connection->exchange, 0);
        }
        gy_h1_close_soon(connection, true);
    } else {
        gy_h1_refuse(connection, GY_H1_REFUSED_TIMEOUT);
    }
    give_back(connection);
    connection->flags &= (uint16_t)~GY_H1_IN_TURN;
}

void gy_h1_drain(struct gy_h1 *connection, uint64_t now_ns, uint32_t patience_ms)
{
    gy_assert((connection->flags & GY_H1_IN_TURN) == 0);
    connection->flags |= GY_H1_DRAINING;
    connection->patience_ms = patience_ms;
    if (connection->phase == GY_H1_PHASE_TUNNEL && gy_h1_active(connection) &&
        connection->exchange->base.handler->drain != NULL) {
        connection->exchange->base.handler->drain(&connection->exchange->base);
    }
    if (connection->phase == GY_H1_PHASE_HEAD && (connection->flags & GY_H1_BEGUN) == 0) {
        be_patient(connection, now_ns);
    }
}
