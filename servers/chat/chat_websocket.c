/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Connections over WebSocket: frames in binary messages. */

#include <stdlib.h>
#include <string.h>

#include "servers/chat/chat_internal.h"

#define NANOSECONDS_PER_MS UINT64_C(1000000)
#define MESSAGE_MAX        (128u << 10)
#define IN_MAX             (256u << 10) /* of messages that wait */
#define OUTPUT_MAX         (4u << 20)   /* far above where members are slow */
#define PIECES_MAX         64           /* that those lie in: put together they are 17 at most */

struct gy_ws_limits gy_chat_websocket_limits(const struct gy_chat_server *server)
{
    struct gy_ws_limits limits = gy_websocket_limits_default();
    limits.frame_max = MESSAGE_MAX;
    limits.message_max = MESSAGE_MAX;
    limits.output_high = 2 * server->hub.low_bytes; /* half of it is room */
    limits.output_max = OUTPUT_MAX;
    limits.ping_ms = 0; /* the chat has its own */
    return limits;
}

struct socket {
    struct chat_connection connection; /* first */
    struct gy_chain in;                /* frames, out of their messages */
    struct gy_timer timer;
};

static struct socket *socket_of(struct chat_connection *connection)
{
    gy_assert(connection->stream == NULL);
    return (struct socket *)connection;
}

/* The last that is done to a connection: it may be gone when this returns. */
static void end(struct chat_connection *connection, uint16_t code, const char *reason)
{
    chat_connection_detach(connection);
    if (!connection->ended) {
        connection->ended = true;
        gy_websocket_close(connection->socket, code, reason);
    }
}

static void follow_deadline(struct chat_connection *connection)
{
    struct socket *own = socket_of(connection);
    struct gy_wheel *wheel = &connection->worker->worker->wheel;
    uint64_t due_ns = gy_chat_session_deadline(&connection->session);
    if (due_ns == GY_CHAT_NO_DEADLINE || connection->ended) {
        gy_timer_disarm(wheel, &own->timer);
    } else {
        uint64_t due_ms = due_ns / NANOSECONDS_PER_MS + 1;
        if (!gy_timer_armed(&own->timer) || own->timer.due_ms > due_ms) {
            gy_timer_arm(wheel, &own->timer, due_ms); /* early, it asks again */
        }
    }
}

/* Each piece of what is left beyond the turn may be all that its block of output is held for. Where
 * they are many, they are put together: not for each message, which may be small. */
static void keep_in(struct chat_connection *connection)
{
    struct gy_chain *in = &socket_of(connection)->in;
    struct gy_bump *bump = &connection->worker->worker->bump;
    struct gy_chain copy;
    if (in->count <= PIECES_MAX) {
        return;
    }
    gy_chain_init(&copy, in->links);
    for (const struct gy_link *link = in->head; link != NULL; link = link->next) {
        if (gy_bump_copy(bump, &copy, gy_slice_data(link->slice), link->slice.length) != 0) {
            gy_chain_clear(&copy);
            return;
        }
    }
    gy_chain_clear(in);
    *in = copy;
}

/* `whole`: what is in `in` ends with a message. The connection may be gone when this returns. */
static void run(struct chat_connection *connection, bool whole)
{
    struct socket *own = socket_of(connection);
    if (connection->ended) {
        chat_connection_detach(connection);
        return;
    }
    int code = chat_connection_read(connection, &own->in);
    if (code == 0 && whole) {
        gy_chat_session_end_message(&connection->session, &own->in);
    }
    follow_deadline(connection);
    if (gy_chat_session_is_over(&connection->session)) {
        end(connection, connection->worker->draining ? GY_WS_GOING_AWAY : GY_WS_NORMAL, "");
        return;
    }
    if (own->in.length > IN_MAX) {
        end(connection, GY_WS_TRY_LATER, "too much at once");
        return;
    }
    keep_in(connection);
    bool lags = connection->attached && connection->member.lagging > 0;
    bool full = connection->socket->out.length > connection->worker->server->limits.output_high;
    if (lags || full || code == GY_ENOBUFS) {
        gy_websocket_await_room(connection->socket); /* what was read and not done waits for it */
    }
    gy_websocket_appended(connection->socket);
}

void chat_socket_run(struct chat_connection *connection)
{
    run(connection, true);
}

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    struct chat_connection *connection =
        (struct chat_connection *)(void *)((char *)timer - offsetof(struct socket, timer));
    (void)now_ms;
    chat_clock(connection->worker);
    gy_chat_session_expire(&connection->session, connection->worker->worker->now_ns);
    run(connection, false);
}

static void on_open(struct gy_websocket_connection *socket, int subprotocol)
{
    struct gy_chat_server *server = socket->socket->context;
    struct gy_stream *stream = gy_http_stream(socket->exchange);
    struct gy_worker *worker = stream->worker;
    struct socket *own = subprotocol < 0 ? NULL : calloc(1, sizeof *own);
    if (own == NULL) {
        gy_websocket_close(socket, subprotocol < 0 ? GY_WS_POLICY : GY_WS_TRY_LATER,
                           subprotocol < 0 ? "the subprotocol is " GY_CHAT_SUBPROTOCOL
                                           : "no memory now");
        return;
    }
    struct chat_connection *connection = &own->connection;
    gy_chain_init(&own->in, &worker->links);
    gy_timer_init(&own->timer, on_timer);
    connection->socket = socket;
    socket->state = own;
    chat_connection_open(server->workers[worker->options.number], connection, &socket->out, true);
    if (gy_chat_session_is_over(&connection->session)) {
        chat_connection_wake(connection);
    }
    follow_deadline(connection);
}

static void on_message(struct gy_websocket_connection *socket, enum gy_ws_kind kind,
                       struct gy_chain *bytes)
{
    struct socket *own = socket->state;
    if (own == NULL || own->connection.ended) {
        return;
    }
    if (kind != GY_WS_BINARY) {
        end(&own->connection, GY_WS_UNSUPPORTED, "frames come in binary messages");
        return;
    }
    int code = gy_chain_move(bytes, &own->in, bytes->length);
    gy_assert(code == 0); /* nothing is cut */
    run(&own->connection, true);
}

static void on_writable(struct gy_websocket_connection *socket)
{
    struct socket *own = socket->state;
    if (own == NULL || own->connection.ended) {
        return;
    }
    struct chat_connection *connection = &own->connection;
    if (connection->attached && connection->member.lagging > 0) {
        chat_clock(connection->worker);
        gy_chat_hub_room(&connection->member);
        chat_touch(connection->worker);
    }
    chat_connection_wake(connection);
}

static void on_closed(struct gy_websocket_connection *socket, uint16_t code)
{
    struct socket *own = socket->state;
    (void)code;
    if (own == NULL) {
        return;
    }
    socket->state = NULL;
    own->connection.ended = true;
    chat_connection_close(&own->connection);
    gy_timer_disarm(&own->connection.worker->worker->wheel, &own->timer);
    gy_chain_clear(&own->in);
    free(own);
}

const struct gy_websocket_handler gy_chat_websocket_handler = {
    .open = on_open, .message = on_message, .writable = on_writable, .closed = on_closed};
