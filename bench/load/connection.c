/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a connection has in flight, and what is counted of it; session.c is its life. */

#include "bench/load/connection.h"
#include "bench/load/fan.h"

#include <stdarg.h>
#include <stdio.h>

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
        gy_load_connection_set_deadline(engine, connection);
    }
    return count;
}

/* ---- answers ---- */

static bool within_window(const struct gy_load_engine *engine, uint64_t ns)
{
    return ns - engine->from_ns < engine->until_ns - engine->from_ns;
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

void gy_load_count_loss(struct gy_load_engine *engine, struct gy_load_stamp stamp,
                        enum gy_load_error error)
{
    engine->errors[error]++;
    if (error == GY_LOAD_ERROR_TIMEOUT && within_window(engine, stamp.intended_ns)) {
        gy_load_record(engine->latency, engine->worker->now_ns - stamp.intended_ns, 1);
    }
}
