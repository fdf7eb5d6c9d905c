/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_CONNECTION_H
#define GY_BENCH_LOAD_CONNECTION_H

/* One connection of an engine, with what it has in flight (connection.c); over TCP it is the
 * session of a dialled stream (session.c). */

#include "engine.h"

/* When a request was due, and when it was sent. */
struct gy_load_stamp {
    uint64_t intended_ns;
    uint64_t sent_ns;
};

/* --broadcast: of one message, how many connections it has yet to come to. */
struct gy_load_wait {
    uint32_t left;
    bool differed; /* it came to one of them with other bytes */
};

struct gy_load_connection {
    struct gy_stream *stream;          /* NULL over UDP */
    struct gy_datagram_socket *socket; /* over UDP */
    TAILQ_ENTRY(gy_load_connection) entry;
    struct gy_load_connection *next_touched;
    void *session;                 /* the protocol's */
    struct gy_load_window *window; /* NULL: answers come in order, and the stamps are a queue */
    uint32_t first;                /* in stamps, without a window: the oldest request in flight */
    uint32_t in_flight;
    uint64_t *got;      /* --broadcast: messages, from each sender */
    uint32_t publisher; /* likewise: one more than its number; 0: it does not send */
    bool opened;        /* it takes requests */
    bool rejected;      /* instead, its greeting was answered with a no */
    bool idle;          /* in engine->idle */
    bool touched;       /* in engine->touched */
    /* options->pipeline; then the protocol's session, or the window */
    struct gy_load_stamp stamps[];
};

extern const struct gy_stream_ops gy_load_connection_ops;

/* Bytes of one, for the endpoint. */
uint32_t gy_load_connection_bytes(const struct gy_load_engine *engine);

/* Puts `count` requests into the stream's output (what there is room for, within the budget);
 * returns how many. The stream has yet to be flushed. */
uint32_t gy_load_connection_send(struct gy_load_engine *engine,
                                 struct gy_load_connection *connection, uint32_t count,
                                 uint64_t intended_ns, uint64_t now_ns);

/* Has it flushed before the next turn. */
void gy_load_connection_touch(struct gy_load_engine *engine, struct gy_load_connection *connection);

/* Takes it off engine->idle, or puts it there at the end while it has room. */
void gy_load_connection_busy(struct gy_load_engine *engine, struct gy_load_connection *connection);
void gy_load_connection_rest(struct gy_load_engine *engine, struct gy_load_connection *connection);

/* Of what is in flight, the number of what was sent first; of what is not empty. */
static inline uint32_t gy_load_connection_oldest(const struct gy_load_connection *connection)
{
    return connection->window != NULL ? connection->window->oldest : connection->first;
}

/* For a stream: the first millisecond by which `ns` has passed. */
static inline uint64_t gy_load_deadline_ms(uint64_t ns)
{
    return ns / 1000000 + 1;
}

/* The stream's deadline is that of the oldest request; none while there is none. In every turn: it
 * is inlined. */
static inline void gy_load_connection_set_deadline(const struct gy_load_engine *engine,
                                                   struct gy_load_connection *connection)
{
    uint64_t deadline_ms = 0;
    if (connection->in_flight > 0) {
        uint32_t oldest = gy_load_connection_oldest(connection);
        deadline_ms =
            gy_load_deadline_ms(connection->stamps[oldest].sent_ns + engine->options->timeout_ns);
    }
    gy_stream_set_deadline(connection->stream, deadline_ms);
}

/* The request with this number (without a window: the oldest) was sent; it is not in flight any
 * more. */
void gy_load_connection_sent(struct gy_load_engine *engine, struct gy_load_connection *connection,
                             uint32_t number, struct gy_load_stamp stamp);
struct gy_load_stamp gy_load_connection_settle(struct gy_load_engine *engine,
                                               struct gy_load_connection *connection,
                                               uint32_t number);

/* A whole answer to what was sent at `stamp`; or none. */
void gy_load_count_answer(struct gy_load_engine *engine, struct gy_load_stamp stamp,
                          enum gy_load_progress progress);
void gy_load_count_loss(struct gy_load_engine *engine, struct gy_load_stamp stamp,
                        enum gy_load_error error);

/* Ends the run: the server is not there. */
void gy_load_give_up(struct gy_load_engine *engine, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
