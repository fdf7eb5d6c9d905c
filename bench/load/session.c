/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The session of a dialled stream: what its peer sends, and how it ends. */

#include "bench/load/dial.h"
#include "bench/load/fan.h"

#include <stdio.h>

#define PREFIX_BYTES 2u

static struct gy_load_engine *engine_of(const struct gy_stream *stream)
{
    return stream->endpoint->context;
}

/* ---- answers ---- */

static struct gy_load_stamp take_stamp(struct gy_load_engine *engine,
                                       struct gy_load_connection *connection)
{
    return gy_load_connection_settle(engine, connection, gy_load_connection_oldest(connection));
}

static void count_answer(struct gy_load_engine *engine, struct gy_load_connection *connection,
                         enum gy_load_progress progress)
{
    gy_load_count_answer(engine, take_stamp(engine, connection), progress);
}

/* Everything in flight on this connection is lost. */
static void lose_all(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     enum gy_load_error error)
{
    while (connection->in_flight > 0) {
        gy_load_count_loss(engine, take_stamp(engine, connection), error);
    }
}

static void lose_one(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     enum gy_load_error error)
{
    take_stamp(engine, connection);
    engine->errors[error]++;
}

static uint32_t fill(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    uint32_t room = engine->options->pipeline - connection->in_flight;
    if (engine->options->broadcast && connection->publisher == 0) {
        return GY_WANT_READ;
    }
    if (engine->rate > 0 || engine->outstanding > 0 || !engine->running) {
        gy_load_connection_rest(engine, connection);
    } else if (!engine->ending && room > 0) {
        uint64_t now_ns = engine->worker->now_ns;
        if (gy_load_connection_send(engine, connection, room, now_ns, now_ns) == 0 &&
            engine->budget > 0) {
            return GY_WANT_READ | GY_WANT_RETRY;
        }
    }
    return GY_WANT_READ;
}

/* All have got a message of sender `from`. Its turn is not now: what it sends is flushed before the
 * next. */
static void fan_answered(struct gy_load_engine *engine, uint32_t from,
                         enum gy_load_progress progress)
{
    struct gy_load_connection *sender = engine->fan.senders[from];
    if (sender == NULL || sender->in_flight == 0) {
        return; /* it is being closed, and what it had sent is lost already */
    }
    count_answer(engine, sender, progress);
    fill(engine, sender);
    gy_load_connection_set_deadline(engine, sender);
    gy_load_connection_touch(engine, sender);
}

/* It takes requests from now on. */
static void be_ready(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    connection->opened = true;
    if (engine->options->broadcast) {
        gy_load_fan_join(engine, connection);
    }
    gy_load_dial_worked(engine);
    gy_stream_set_deadline(connection->stream, 0);
}

/* One message of those that come to all. false: to nothing. */
static bool take_broadcast(struct gy_load_engine *engine, struct gy_load_connection *connection,
                           enum gy_load_progress progress)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    if (progress == GY_LOAD_BAD_STATUS) { /* so nobody will get it */
        char said[192];
        protocol->refusal(connection->session, said, sizeof said);
        engine->errors[GY_LOAD_ERROR_STATUS]++;
        gy_load_give_up(engine, GY_EREFUSED, "a message was refused: %s", said);
        return true;
    }
    uint32_t from = protocol->publisher != NULL ? protocol->publisher(connection->session) : 0;
    if (!gy_load_fan_got(engine, connection, from, progress, &progress)) {
        return false;
    }
    if (progress != GY_LOAD_MORE) {
        fan_answered(engine, from, progress);
    }
    return true;
}

/* One whole answer, or with --broadcast one message of many. false: to nothing. */
static bool take_answer(struct gy_load_engine *engine, struct gy_load_connection *connection,
                        enum gy_load_progress progress)
{
    if (engine->options->broadcast) {
        return take_broadcast(engine, connection, progress);
    }
    if (connection->in_flight == 0) {
        return false;
    }
    count_answer(engine, connection, progress);
    return true;
}

static bool break_off(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    if (connection->in_flight > 0) {
        lose_one(engine, connection, GY_LOAD_ERROR_PROTOCOL);
    } else {
        engine->errors[GY_LOAD_ERROR_PROTOCOL]++;
    }
    lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
    return false;
}

/* One message; false: the connection is of no more use. */
static bool take_message(struct gy_load_engine *engine, struct gy_load_connection *connection,
                         const uint8_t *message, uint32_t bytes)
{
    uint32_t number;
    enum gy_load_progress progress =
        engine->protocol->match(engine->state, connection->window, message, bytes, &number);
    if (progress == GY_LOAD_STRAY || progress == GY_LOAD_BAD_BYTES) {
        engine->errors[GY_LOAD_ERROR_PROTOCOL]++; /* no stream brings one late, or twice */
        lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
        return false;
    }
    gy_load_count_answer(engine, gy_load_connection_settle(engine, connection, number), progress);
    return true;
}

/* Messages, each behind its length. A part of one waits in the stream. */
static bool take_messages(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    struct gy_chain *in = &connection->stream->in;
    while (in->length >= PREFIX_BYTES) {
        uint8_t prefix[PREFIX_BYTES];
        gy_chain_copy(in, 0, PREFIX_BYTES, prefix);
        uint32_t bytes = (uint32_t)prefix[0] << 8 | prefix[1];
        if (in->length - PREFIX_BYTES < bytes) {
            break;
        }
        uint32_t front_bytes;
        const uint8_t *message = gy_chain_front(in, &front_bytes) + PREFIX_BYTES;
        if (front_bytes < PREFIX_BYTES + bytes) {
            gy_chain_copy(in, PREFIX_BYTES, bytes, engine->gather);
            message = engine->gather;
        }
        if (!take_message(engine, connection, message, bytes)) {
            return false;
        }
        gy_chain_consume(in, PREFIX_BYTES + bytes);
    }
    return true;
}

/* Beside answers. false: the connection is of no more use. */
static bool take_other(struct gy_load_engine *engine, struct gy_load_connection *connection,
                       enum gy_load_progress progress)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    uint8_t reply[GY_LOAD_REPLY_MAX];
    switch (progress) {
    case GY_LOAD_READY:
        be_ready(engine, connection);
        return true;
    case GY_LOAD_REFUSED:
        connection->rejected = true;
        protocol->refusal(connection->session, engine->refusal, sizeof engine->refusal);
        return false;
    case GY_LOAD_REPLY:
        return gy_bump_copy(&engine->worker->bump, &connection->stream->out, reply,
                            protocol->reply(connection->session, reply)) == 0;
    default:
        return break_off(engine, connection);
    }
}

/* false: the connection is of no more use. */
static bool take_bytes(struct gy_load_engine *engine, struct gy_load_connection *connection,
                       const uint8_t *data, uint32_t bytes)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    for (uint32_t at = 0; at < bytes;) {
        if (connection->in_flight == 0 && !protocol->unasked) {
            engine->errors[GY_LOAD_ERROR_PROTOCOL]++; /* an answer to nothing */
            return false;
        }
        uint32_t used = 0;
        enum gy_load_progress progress =
            protocol->receive(engine->state, connection->session, data + at, bytes - at, &used);
        gy_assert(progress == GY_LOAD_BAD_BYTES || (used > 0 && used <= bytes - at));
        at += used;
        if (progress == GY_LOAD_MORE) {
            continue;
        }
        if (progress >= GY_LOAD_BAD_BYTES) {
            if (!take_other(engine, connection, progress)) {
                return false;
            }
            continue;
        }
        if (!take_answer(engine, connection, progress)) {
            return break_off(engine, connection);
        }
        if (protocol->last != NULL && protocol->last(connection->session)) {
            lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
            return false;
        }
    }
    return true;
}

static bool take_input(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    struct gy_chain *in = &connection->stream->in;
    if (connection->window != NULL) {
        return take_messages(engine, connection);
    }
    uint32_t bytes;
    const uint8_t *data;
    while ((data = gy_chain_front(in, &bytes)) != NULL) {
        if (!take_bytes(engine, connection, data, bytes)) {
            return false;
        }
        gy_chain_consume(in, bytes);
    }
    return true;
}

static void take_end(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    if (connection->in_flight == 0) {
        return; /* an idle connection may be closed at any time */
    }
    if (connection->window != NULL) {
        if (connection->stream->in.length > 0) {
            lose_one(engine, connection, GY_LOAD_ERROR_SHORT);
        }
        lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
        return;
    }
    switch (engine->protocol->ended(engine->state, connection->session)) {
    case GY_LOAD_MORE:
        lose_one(engine, connection, GY_LOAD_ERROR_SHORT);
        break;
    case GY_LOAD_ANSWER:
        count_answer(engine, connection, GY_LOAD_ANSWER);
        break;
    case GY_LOAD_BAD_STATUS:
        count_answer(engine, connection, GY_LOAD_BAD_STATUS);
        break;
    case GY_LOAD_BAD_BODY:
        count_answer(engine, connection, GY_LOAD_BAD_BODY);
        break;
    case GY_LOAD_BAD_QUESTION:
    case GY_LOAD_BAD_FORM:
    case GY_LOAD_CUT:
    case GY_LOAD_STRAY:
    case GY_LOAD_BAD_BYTES:
    case GY_LOAD_READY:
    case GY_LOAD_REFUSED:
    case GY_LOAD_REPLY:
        break;
    }
    lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
}

/* ---- the stream's session ---- */

/* Says what the connection begins with. */
static bool greet(struct gy_load_engine *engine, struct gy_stream *stream)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    if (protocol->greet != NULL) {
        uint8_t *room = gy_bump_reserve(&engine->worker->bump, GY_LOAD_GREETING_MAX);
        return room != NULL &&
               gy_bump_commit(&engine->worker->bump, &stream->out,
                              protocol->greet(engine->state, engine->greeted++, room)) == 0;
    }
    struct gy_slice slice = gy_slice_of(&engine->greeting, 0, engine->greeting.capacity);
    if (gy_chain_append(&stream->out, slice) != 0) {
        gy_slice_drop(slice);
        return false;
    }
    return true;
}

static uint32_t connection_open(struct gy_stream *stream)
{
    struct gy_load_engine *engine = engine_of(stream);
    struct gy_load_connection *connection = stream->session;
    if (engine->protocol->refusal == NULL) {
        be_ready(engine, connection);
        return fill(engine, connection);
    }
    if (!greet(engine, stream)) {
        gy_stream_abort(stream, GY_CLOSE_ERROR); /* no memory now: it is dialled again */
        return 0;
    }
    gy_stream_set_deadline(
        stream, gy_load_deadline_ms(engine->worker->now_ns + engine->options->timeout_ns));
    return GY_WANT_READ;
}

static uint32_t connection_turn(struct gy_stream *stream)
{
    struct gy_load_engine *engine = engine_of(stream);
    struct gy_load_connection *connection = stream->session;
    bool usable = take_input(engine, connection);
    if (usable && stream->eof) {
        take_end(engine, connection);
        usable = false;
    }
    if (usable && !connection->opened) {
        return GY_WANT_READ; /* for the rest of what answers the greeting */
    }
    if (!usable) {
        gy_load_connection_busy(engine, connection);
        gy_stream_abort(stream, stream->eof ? GY_CLOSE_PEER : GY_CLOSE_LOCAL);
        return 0;
    }
    uint32_t wants = fill(engine, connection);
    gy_load_connection_set_deadline(engine, connection);
    return wants;
}

static uint32_t connection_expire(struct gy_stream *stream)
{
    struct gy_load_engine *engine = engine_of(stream);
    struct gy_load_connection *connection = stream->session;
    lose_all(engine, connection, GY_LOAD_ERROR_TIMEOUT);
    if (!connection->opened) {
        snprintf(engine->refusal, sizeof engine->refusal, "no answer to the handshake in time");
    }
    gy_load_connection_busy(engine, connection);
    gy_stream_abort(stream, GY_CLOSE_TIMEOUT);
    return 0;
}

static uint32_t connection_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void connection_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct gy_load_engine *engine = engine_of(stream);
    struct gy_load_connection *connection = stream->session;
    gy_load_connection_busy(engine, connection);
    gy_assert(!connection->touched);
    bool gone = engine->options->broadcast && connection->opened; /* it does not come back */
    engine->missing += !gone;
    if (connection->opened) {
        gy_assert(engine->connected > 0);
        engine->connected--;
        engine->last_connected_ns = engine->worker->now_ns;
    }
    if (engine->finishing) {
        engine->in_flight -= connection->in_flight;
        return;
    }
    if (!connection->opened) {
        gy_load_dial_failed(engine, stream, reason);
    } else {
        /* Core's own deadline is that of a send that makes no progress. */
        lose_all(engine, connection,
                 reason == GY_CLOSE_TIMEOUT    ? GY_LOAD_ERROR_TIMEOUT
                 : reason == GY_CLOSE_PROTOCOL ? GY_LOAD_ERROR_PROTOCOL /* of TLS */
                                               : GY_LOAD_ERROR_RESET);
    }
    if (gone) {
        engine->errors[GY_LOAD_ERROR_CLOSED]++;
        if (connection->publisher > 0) {
            gy_load_fan_ends(engine, connection);
        }
        for (uint32_t from = 0; from < engine->options->publishers && !engine->gave_up; from++) {
            for (uint32_t ended = gy_load_fan_lost(engine, connection, from); ended > 0; ended--) {
                fan_answered(engine, from, GY_LOAD_ANSWER);
            }
        }
    }
}

const struct gy_stream_ops gy_load_connection_ops = {
    .open = connection_open,
    .turn = connection_turn,
    .expire = connection_expire,
    .drain = connection_drain,
    .closed = connection_closed,
};
