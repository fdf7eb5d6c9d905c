/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/connection.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REDIAL_NS     UINT64_C(100000000)
#define GONE_AFTER_NS UINT64_C(1000000000)
#define PREFIX_BYTES  2u

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

/* All alike: one slice. Returns how many. */
static uint32_t send_alike(struct gy_load_engine *engine, struct gy_load_connection *connection,
                           uint32_t count, struct gy_load_stamp stamp)
{
    uint32_t pipeline = engine->options->pipeline;
    struct gy_slice slice =
        gy_slice_of(&engine->requests, 0, (uint32_t)(count * engine->request_bytes));
    if (gy_chain_append(&connection->stream->out, slice) != 0) {
        gy_slice_drop(slice); /* no link: it is tried again when sends have ended */
        return 0;
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
    case GY_LOAD_ANSWER_LAST:
    case GY_LOAD_STRAY:
    case GY_LOAD_BAD_BYTES:
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

/* false: the connection is of no more use. */
static bool take_input(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    struct gy_chain *in = &connection->stream->in;
    if (connection->window != NULL) {
        return take_messages(engine, connection);
    }
    uint32_t bytes;
    const uint8_t *data;
    while ((data = gy_chain_front(in, &bytes)) != NULL) {
        for (uint32_t at = 0; at < bytes;) {
            if (connection->in_flight == 0) {
                engine->errors[GY_LOAD_ERROR_PROTOCOL]++; /* an answer to nothing */
                return false;
            }
            uint32_t used = 0;
            enum gy_load_progress progress =
                protocol->receive(engine->state, connection->session, data + at, bytes - at, &used);
            gy_assert(progress == GY_LOAD_BAD_BYTES || (used > 0 && used <= bytes - at));
            at += used;
            if (progress == GY_LOAD_BAD_BYTES) {
                lose_one(engine, connection, GY_LOAD_ERROR_PROTOCOL);
                lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
                return false;
            }
            if (progress != GY_LOAD_MORE) {
                count_answer(engine, connection, progress);
            }
            if (progress == GY_LOAD_ANSWER_LAST) {
                lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
                return false;
            }
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
    case GY_LOAD_ANSWER_LAST:
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
        break;
    }
    lose_all(engine, connection, GY_LOAD_ERROR_CLOSED);
}

/* ---- the stream's session ---- */

static uint32_t fill(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    uint32_t room = engine->options->pipeline - connection->in_flight;
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

static uint32_t connection_open(struct gy_stream *stream)
{
    struct gy_load_engine *engine = engine_of(stream);
    struct gy_load_connection *connection = stream->session;
    connection->opened = true;
    engine->connected++;
    engine->connects++;
    engine->last_connected_ns = engine->worker->now_ns;
    return fill(engine, connection);
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
    gy_load_connection_busy(engine, connection);
    gy_stream_abort(stream, GY_CLOSE_TIMEOUT);
    return 0;
}

static uint32_t connection_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

/* A dial that failed is tried again after a while; when all connections are gone and stay so, the
 * server is taken to be gone too. */
static void not_connected(struct gy_load_engine *engine, struct gy_stream *stream)
{
    char peer[GY_ADDRESS_TEXT_BYTES];
    char insecure[256];
    uint64_t now_ns = engine->worker->now_ns;
    const char *reason = gy_tls_failure(stream, insecure, sizeof insecure);
    if (reason[0] == '\0') {
        reason = stream->error != 0 ? strerror(stream->error)
                                    : "the server closed the connection in the handshake";
    }
    engine->errors[GY_LOAD_ERROR_CONNECT]++;
    engine->redial_ns = now_ns + REDIAL_NS;
    gy_address_format(&engine->options->address, peer, sizeof peer);
    if (engine->connects == 0) {
        gy_load_give_up(engine, GY_EREFUSED, "connecting to %s: %s%s", peer, reason,
                        stream->error == ECONNREFUSED ? "; is the server running?" : "");
    } else if (engine->connected == 0 && engine->running &&
               now_ns - engine->last_connected_ns > GONE_AFTER_NS) {
        gy_load_give_up(engine, GY_ECLOSED,
                        "the server at %s went away, %.1f s after the start: connecting again: %s",
                        peer, (double)(engine->last_answer_ns - engine->start_ns) / 1e9, reason);
    }
}

static void connection_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct gy_load_engine *engine = engine_of(stream);
    struct gy_load_connection *connection = stream->session;
    gy_load_connection_busy(engine, connection);
    gy_assert(!connection->touched);
    engine->missing++;
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
        not_connected(engine, stream);
    } else {
        /* Core's own deadline is that of a send that makes no progress. */
        lose_all(engine, connection,
                 reason == GY_CLOSE_TIMEOUT ? GY_LOAD_ERROR_TIMEOUT : GY_LOAD_ERROR_RESET);
    }
}

const struct gy_stream_ops gy_load_connection_ops = {
    .open = connection_open,
    .turn = connection_turn,
    .expire = connection_expire,
    .drain = connection_drain,
    .closed = connection_closed,
};

int gy_load_connection_dial(struct gy_load_engine *engine)
{
    const struct gy_load_options *options = engine->options;
    struct gy_stream *stream =
        gy_stream_dial(&engine->endpoint, &options->address,
                       (uint32_t)milliseconds(options->timeout_ns), &engine->error);
    if (stream == NULL) {
        return engine->error.code;
    }
    struct gy_load_connection *connection = stream->session;
    *connection = (struct gy_load_connection){.stream = stream};
    void *behind = &connection->stamps[options->pipeline];
    if (engine->protocol->make != NULL) {
        connection->window = behind;
        gy_load_window_open(connection->window, options->pipeline);
    } else {
        connection->session = behind;
        engine->protocol->session_open(connection->session);
    }
    engine->missing--;
    if (engine->protocol->secure && gy_tls_expect(stream, options->host) != 0) {
        gy_stream_abort(stream, GY_CLOSE_ERROR);
    }
    return 0;
}
