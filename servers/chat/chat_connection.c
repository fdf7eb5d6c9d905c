/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A connection of either kind, and those over streams. */

#include <stdlib.h>
#include <string.h>

#include "servers/chat/chat_internal.h"

#define NANOSECONDS_PER_MS UINT64_C(1000000)
#define RECEIVE_HIGH       65536u
#define LINGER_MS          2000u

void chat_list_init(struct chat_list *list)
{
    *list = (struct chat_list){.end = &list->first};
}

void chat_list_add(struct chat_list *list, struct chat_connection *connection)
{
    connection->next = NULL;
    connection->link = list->end;
    *list->end = connection;
    list->end = &connection->next;
    list->count++;
}

void chat_list_remove(struct chat_list *list, struct chat_connection *connection)
{
    gy_assert(list->count > 0 && *connection->link == connection);
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    } else {
        list->end = connection->link;
    }
    list->count--;
}

void chat_each(struct gy_chat_worker *own, void (*does)(struct chat_connection *connection))
{
    struct chat_list *const lists[] = {&own->pending, &own->known};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (struct chat_connection *at = lists[i]->first; at != NULL; at = at->next) {
            does(at);
        }
    }
}

void chat_connection_open(struct gy_chat_worker *own, struct chat_connection *connection,
                          struct gy_chain *session_out, bool in_websocket)
{
    connection->worker = own;
    chat_pending_room(own);
    chat_list_add(&own->pending, connection);
    connection->pending = true;
    own->open[connection->stream == NULL]++;
    chat_clock(own);
    gy_chat_session_init(&connection->session, &own->env, session_out, in_websocket,
                         own->worker->now_ns);
    if (own->draining) {
        gy_chat_session_end(&connection->session, GY_CHAT_DRAIN, 0,
                            "the server is leaving; connect again");
    }
}

void chat_connection_detach(struct chat_connection *connection)
{
    if (connection->attached) {
        connection->attached = false;
        connection->worker->attached--;
        chat_clock(connection->worker);
        gy_chat_hub_detach(&connection->member);
        chat_touch(connection->worker);
    }
}

void chat_connection_close(struct chat_connection *connection)
{
    struct gy_chat_worker *own = connection->worker;
    chat_connection_detach(connection);
    if (connection->visitor != GY_VISITOR_NONE) {
        gy_visitors_leave(&own->server->visitors, connection->visitor);
    }
    chat_list_remove(connection->pending ? &own->pending : &own->known, connection);
    if (connection->again) {
        struct chat_connection **at = &own->again;
        while (*at != connection) {
            at = &(*at)->next_again;
        }
        *at = connection->next_again;
    }
    own->open[connection->stream == NULL]--;
    free(connection->kept);
    connection->kept = NULL;
    chat_touch(own);
}

void chat_connection_wake(struct chat_connection *connection)
{
    struct gy_chat_worker *own = connection->worker;
    if (connection->running) {
        return; /* it sees for itself */
    }
    if (connection->stream != NULL) {
        gy_stream_wake(connection->stream);
    } else if (!connection->again) {
        connection->again = true;
        connection->next_again = own->again;
        own->again = connection;
        chat_touch(own);
    }
}

/* ---- requests ---- */

/* The hub takes no more for now: the request is kept, since the bytes that it lies in are not. */
static void keep(struct chat_connection *connection, const struct gy_chat_frame *request)
{
    uint32_t bytes = gy_chat_encoded_bytes(request);
    connection->kept = malloc(bytes);
    if (connection->kept == NULL) {
        gy_chat_session_end(&connection->session, GY_CHAT_BUSY, 1000, "there is no memory now");
        return;
    }
    connection->kept_bytes = gy_chat_encode(request, connection->kept);
}

static int attach(struct chat_connection *connection)
{
    struct gy_chat_worker *own = connection->worker;
    bool book = gy_chat_session_level(&connection->session) == GY_CHAT_LEVEL_BOOK;
    struct gy_chain *out =
        connection->stream != NULL ? &connection->stream->out : &connection->socket->out;
    enum gy_chat_encoding encoding = book                         ? GY_CHAT_OVER_BOOK
                                     : connection->stream != NULL ? GY_CHAT_OVER_STREAM
                                                                  : GY_CHAT_OVER_WEBSOCKET;
    int code = gy_chat_hub_attach(own->hub, &connection->member, out, encoding,
                                  connection->session.features);
    connection->attached = code == 0;
    own->attached += code == 0;
    if (code != 0) {
        gy_chat_session_end(&connection->session, code == GY_ENOMEM ? GY_CHAT_BUSY : GY_CHAT_FULL,
                            10000, "as many connections are here as this server takes");
    }
    return code;
}

/* 0; GY_EAGAIN: what follows has to wait. */
static int request(struct chat_connection *connection, const struct gy_chat_frame *frame)
{
    if (frame->type == GY_CHAT_QUIT || (!connection->attached && attach(connection) != 0)) {
        return 0; /* the session is over */
    }
    return gy_chat_hub_request(&connection->member, frame);
}

static int request_kept(struct chat_connection *connection)
{
    struct gy_chat_frame frame;
    int code = gy_chat_decode(connection->kept, connection->kept_bytes, &frame, NULL);
    gy_assert(code == 0); /* it was decoded before */
    code = request(connection, &frame);
    if (code == 0) {
        free(connection->kept);
        connection->kept = NULL;
    }
    return code;
}

int chat_connection_read(struct chat_connection *connection, struct gy_chain *in)
{
    struct gy_chat_worker *own = connection->worker;
    struct gy_chat_session *session = &connection->session;
    struct gy_chat_frame frame;
    int code = own->ready || gy_chat_session_is_over(session) ? 0 : GY_EAGAIN;
    gy_assert(!connection->running);
    chat_clock(own);
    connection->running = true;
    if (code == 0 && connection->kept != NULL) {
        code = request_kept(connection);
    }
    while (code == 0 &&
           (code = gy_chat_session_read(session, in, own->worker->now_ns, &frame)) > 0) {
        code = chat_rates_admit(connection, &frame) ? request(connection, &frame) : 0;
        if (code == GY_EAGAIN) {
            keep(connection, &frame);
        }
    }
    connection->running = false;
    if (gy_chat_session_is_over(session)) {
        chat_connection_detach(connection);
    }
    chat_touch(own);
    return code;
}

/* ---- streams ---- */

struct gy_stream_limits gy_chat_stream_limits(const struct gy_chat_server *server)
{
    return (struct gy_stream_limits){
        .receive_high_bytes = RECEIVE_HIGH,
        .linger_timeout_ms = LINGER_MS,
        .send_high_bytes = 2 * server->hub.low_bytes, /* half of it is room */
    };
}

static void follow_deadline(struct gy_stream *stream)
{
    const struct chat_connection *connection = stream->session;
    uint64_t due_ns = gy_chat_session_deadline(&connection->session);
    gy_stream_set_deadline(stream,
                           due_ns == GY_CHAT_NO_DEADLINE ? 0 : due_ns / NANOSECONDS_PER_MS + 1);
}

static uint32_t chat_turn(struct gy_stream *stream)
{
    struct chat_connection *connection = stream->session;
    const struct gy_chat_server *server = connection->worker->server;
    uint32_t low = server->hub.low_bytes;
    int code = chat_connection_read(connection, &stream->in);
    if (connection->attached && connection->member.lagging > 0 && stream->out.length <= low) {
        connection->running = true;
        gy_chat_hub_room(&connection->member);
        connection->running = false;
    }
    if (gy_chat_session_is_over(&connection->session) ||
        (stream->eof && code != GY_EAGAIN && code != GY_ENOBUFS)) {
        chat_connection_detach(connection);
        return GY_WANT_CLOSE | (connection->abrupt ? 0 : GY_WANT_LINGER);
    }
    follow_deadline(stream);
    bool lags = connection->attached && connection->member.lagging > 0;
    bool full = stream->out.length > server->limits.output_high;
    uint32_t wants = GY_WANT_READ | (code == GY_ENOBUFS ? GY_WANT_RETRY : 0);
    /* With nothing to be sent what it waits for is the store, which says so by itself. */
    return stream->out.length > 0 && (lags || full) ? wants | GY_WANT_ROOM : wants;
}

static uint32_t chat_open(struct gy_stream *stream)
{
    struct gy_chat_server *server = stream->endpoint->context;
    struct chat_connection *connection = stream->session;
    memset(connection, 0, sizeof *connection);
    connection->stream = stream;
    chat_connection_open(server->workers[stream->worker->options.number], connection, &stream->out,
                         false);
    if (!chat_pending_admit(connection)) {
        return GY_WANT_CLOSE;
    }
    follow_deadline(stream);
    return GY_WANT_READ;
}

static uint32_t chat_expire(struct gy_stream *stream)
{
    struct chat_connection *connection = stream->session;
    chat_clock(connection->worker);
    gy_chat_session_expire(&connection->session, stream->worker->now_ns);
    return chat_turn(stream);
}

static uint32_t chat_stream_drain(struct gy_stream *stream)
{
    struct chat_connection *connection = stream->session;
    chat_drain(connection->worker);
    return chat_turn(stream);
}

static void chat_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)reason;
    chat_connection_close(stream->session);
}

const struct gy_stream_ops gy_chat_stream_ops = {chat_open, chat_turn, chat_expire,
                                                 chat_stream_drain, chat_closed};
