/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/dial.h"
#include "bench/load/fan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_BYTES 2u

static struct gy_load_engine *engine_of(const struct gy_stream *stream)
{
    return stream->endpoint->context;
}

uint32_t gy_load_connection_bytes(const struct gy_load_engine *engine)
{
    uint32_t pipeline = engine->options->pipeline;
    size_t bytes = sizeof(struct gy_load_connection) + pipeline * sizeof(struct gy_load_stamp) +
                   (engine->protocol->make != NULL ? gy_load_window_bytes(pipeline)
                                                   : engine->protocol->session_bytes);
    return (uint32_t)((bytes + 63) & ~(size_t)63);
}

void gy_load_give_up(struct gy_load_engine *engine, int code, const char *format, ...)
{
    if (engine->gave_up) {
        return;
    }
    char text[GY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    gy_error_set(&engine->error, code, "%s", text);
    engine->gave_up = true;
}

void gy_load_connection_busy(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    if (connection->idle) {
        TAILQ_REMOVE(&engine->idle, connection, entry);
        connection->idle = false;
    }
}

void gy_load_connection_rest(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    if (connection->idle || connection->in_flight == engine->options->pipeline) {
        return;
    }
    if (TAILQ_EMPTY(&engine->idle)) {
        engine->idle_since_ns = engine->worker->now_ns;
    }
    TAILQ_INSERT_TAIL(&engine->idle, connection, entry);
    connection->idle = true;
}

static uint64_t milliseconds(uint64_t ns)
{
    return ns / 1000000 + 1;
}

static uint32_t oldest_of(const struct gy_load_connection *connection)
{
    return connection->window != NULL ? connection->window->oldest : connection->first;
}

/* The oldest request's. */
static void set_deadline(const struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    uint64_t deadline_ms = 0;
    if (connection->in_flight > 0) {
        deadline_ms = milliseconds(connection->stamps[oldest_of(connection)].sent_ns +
                                   engine->options->timeout_ns);
    }
    gy_stream_set_deadline(connection->stream, deadline_ms);
}

/* ---- requests ---- */

void gy_load_connection_sent(struct gy_load_engine *engine, struct gy_load_connection *connection,
                             uint32_t number, struct gy_load_stamp stamp)
{
    gy_assert(number < engine->options->pipeline && engine->budget > 0);
    connection->stamps[number] = stamp;
    connection->in_flight++;
    engine->in_flight++;
    engine->budget--;
    engine->sent_total++;
}

struct gy_load_stamp gy_load_connection_settle(struct gy_load_engine *engine,
                                               struct gy_load_connection *connection,
                                               uint32_t number)
{
    gy_assert(connection->in_flight > 0 && engine->in_flight > 0);
    if (connection->window != NULL) {
        gy_load_window_give(connection->window, number);
    } else {
        gy_assert(number == connection->first);
        connection->first = number + 1 < engine->options->pipeline ? number + 1 : 0;
    }
    connection->in_flight--;
    engine->in_flight--;
    return connection->stamps[number];
}

/* Appends `count` requests to what is to be sent, numbered ones from `at` on. Returns how many
 * there were links for: the others are tried again when sends have ended. */
static uint32_t append_requests(struct gy_load_engine *engine,
                                struct gy_load_connection *connection, uint32_t at, uint32_t count)
{
    uint32_t bytes = engine->request_bytes;
    uint32_t done = 0;
    while (done < count) {
        uint32_t from = engine->protocol->numbered ? at : 0;
        uint32_t room = engine->options->pipeline - from;
        uint32_t now = count - done < room ? count - done : room;
        uint32_t sender = connection->publisher > 0 ? connection->publisher - 1 : 0;
        uint32_t place = sender * engine->options->pipeline + from;
        struct gy_slice slice = gy_slice_of(&engine->requests, place * bytes, now * bytes);
        if (gy_chain_append(&connection->stream->out, slice) != 0) {
            gy_slice_drop(slice);
            break;
        }
        done += now;
        at = 0;
    }
    return done;
}

/* Encoded in advance: a slice or two. Returns how many. */
static uint32_t send_alike(struct gy_load_engine *engine, struct gy_load_connection *connection,
                           uint32_t count, struct gy_load_stamp stamp)
{
    uint32_t pipeline = engine->options->pipeline;
    uint32_t first = connection->first + connection->in_flight;
    count = append_requests(engine, connection, first < pipeline ? first : first - pipeline, count);
    if (engine->options->broadcast) {
        gy_load_fan_sent(engine, connection, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = connection->first + connection->in_flight;
        gy_load_connection_sent(engine, connection, at < pipeline ? at : at - pipeline, stamp);
    }
    return count;
}

/* Each made by the protocol. Returns how many there was memory for. */
static uint32_t send_made(struct gy_load_engine *engine, struct gy_load_connection *connection,
                          uint32_t count, struct gy_load_stamp stamp)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    struct gy_load_window *window = connection->window;
    struct gy_bump *bump = &engine->worker->bump;
    uint32_t sent = 0;
    uint8_t *room;
    while (sent < count && (room = gy_bump_reserve(bump, protocol->make_room)) != NULL) {
        uint32_t number = gy_load_window_take(window);
        uint32_t bytes = protocol->make(engine->state, &window->places[number], number, room);
        gy_assert(bytes > 0 && bytes <= protocol->make_room);
        if (gy_bump_commit(bump, &connection->stream->out, bytes) != 0) {
            gy_load_window_give(window, number);
            break;
        }
        gy_load_connection_sent(engine, connection, number, stamp);
        sent++;
    }
    return sent;
}

uint32_t gy_load_connection_send(struct gy_load_engine *engine,
                                 struct gy_load_connection *connection, uint32_t count,
                                 uint64_t intended_ns, uint64_t now_ns)
{
    struct gy_load_stamp stamp = {intended_ns, now_ns};
    gy_assert(connection->in_flight + count <= engine->options->pipeline);
    if (count > engine->budget) {
        count = (uint32_t)engine->budget;
    }
    if (count > 0) {
        count = connection->window != NULL ? send_made(engine, connection, count, stamp)
                                           : send_alike(engine, connection, count, stamp);
        set_deadline(engine, connection);
    }
    return count;
}

/* ---- answers ---- */

static bool within_window(const struct gy_load_engine *engine, uint64_t ns)
{
    return ns - engine->from_ns < engine->until_ns - engine->from_ns;
}

static struct gy_load_stamp take_stamp(struct gy_load_engine *engine,
                                       struct gy_load_connection *connection)
{
    return gy_load_connection_settle(engine, connection, oldest_of(connection));
}

/* What an answer that is none to be glad of counts as; COUNT: it is right. */
static enum gy_load_error error_of(enum gy_load_progress progress)
{
    switch (progress) {
    case GY_LOAD_BAD_STATUS:
        return GY_LOAD_ERROR_STATUS;
    case GY_LOAD_BAD_BODY:
        return GY_LOAD_ERROR_WRONG_BODY;
    case GY_LOAD_BAD_QUESTION:
        return GY_LOAD_ERROR_QUESTION;
    case GY_LOAD_CUT:
        return GY_LOAD_ERROR_SHORT;
    case GY_LOAD_BAD_FORM:
        return GY_LOAD_ERROR_PROTOCOL;
    case GY_LOAD_MORE:
    case GY_LOAD_ANSWER:
    case GY_LOAD_STRAY:
    case GY_LOAD_BAD_BYTES:
    case GY_LOAD_READY:
    case GY_LOAD_REFUSED:
    case GY_LOAD_REPLY:
        break;
    }
    return GY_LOAD_ERROR_COUNT;
}

/* A whole answer. Latencies are those of right ones: an error that comes fast must not improve
 * them. */
void gy_load_count_answer(struct gy_load_engine *engine, struct gy_load_stamp stamp,
                          enum gy_load_progress progress)
{
    uint64_t now_ns = engine->worker->now_ns;
    engine->answered_total++;
    engine->answered += within_window(engine, now_ns);
    engine->last_answer_ns = now_ns;
    enum gy_load_error error = error_of(progress);
    if (error != GY_LOAD_ERROR_COUNT) {
        engine->errors[error]++;
    } else if (within_window(engine, stamp.intended_ns)) {
        gy_load_record(engine->service, now_ns - stamp.sent_ns, 1);
        if (engine->rate > 0) {
            gy_load_record(engine->latency, now_ns - stamp.intended_ns, 1);
        }
    }
}

static void count_answer(struct gy_load_engine *engine, struct gy_load_connection *connection,
                         enum gy_load_progress progress)
{
    gy_load_count_answer(engine, take_stamp(engine, connection), progress);
}

void gy_load_count_loss(struct gy_load_engine *engine, struct gy_load_stamp stamp,
                        enum gy_load_error error)
{
    engine->errors[error]++;
    if (error == GY_LOAD_ERROR_TIMEOUT && within_window(engine, stamp.intended_ns)) {
        gy_load_record(engine->latency, engine->worker->now_ns - stamp.intended_ns, 1);
    }
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
    set_deadline(engine, sender);
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
    gy_stream_set_deadline(stream,
                           milliseconds(engine->worker->now_ns + engine->options->timeout_ns));
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
    set_deadline(engine, connection);
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
        gy_load_dial_failed(engine, stream);
    } else {
        /* Core's own deadline is that of a send that makes no progress. */
        lose_all(engine, connection,
                 reason == GY_CLOSE_TIMEOUT ? GY_LOAD_ERROR_TIMEOUT : GY_LOAD_ERROR_RESET);
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
