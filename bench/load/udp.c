/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Requests as datagrams, for every protocol over UDP. Answers may come in another order, twice, or
 * never (window.h): one that nobody waits for (any more) is no answer; a datagram without an answer
 * in time is lost, and its place is free again. */

#include "bench/load/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COPIED_MAX    2048
#define GONE_AFTER_NS UINT64_C(1000000000)
#define SOCKETS_APART 64

/* ---- sending ---- */

/* The timer is set once for many: where it finds the oldest not due yet, it is set again. */
static void set_deadline(const struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    const struct gy_load_window *window = connection->window;
    if (window->oldest != GY_LOAD_NOBODY && !gy_timer_armed(&connection->socket->timer)) {
        uint64_t due_ns = connection->stamps[window->oldest].sent_ns + engine->options->timeout_ns;
        gy_datagram_set_deadline(connection->socket, due_ns / 1000000 + 1);
    }
}

/* A datagram whose rest is too long to be copied. */
static bool send_in_two(struct gy_load_engine *engine, struct gy_load_connection *connection,
                        uint32_t head_bytes)
{
    struct gy_chain chain;
    gy_chain_init(&chain, &engine->worker->links);
    struct gy_slice rest =
        gy_slice_of(&engine->requests, head_bytes, engine->request_bytes - head_bytes);
    if (gy_bump_commit(&engine->worker->bump, &chain, head_bytes) != 0) {
        gy_slice_drop(rest);
        return false;
    }
    if (gy_chain_append(&chain, rest) != 0) {
        gy_slice_drop(rest);
        gy_chain_clear(&chain);
        return false;
    }
    return gy_datagram_send_chain(connection->socket, NULL, &chain) == 0;
}

/* Makes one datagram and queues it. False: there is no memory for it now. */
static bool send_one(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     uint32_t number)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    struct gy_bump *bump = &engine->worker->bump;
    uint32_t whole = engine->request_bytes; /* 0: `make` makes all of it */
    bool copied = whole <= COPIED_MAX;
    uint32_t reserved = copied && whole > protocol->make_room ? whole : protocol->make_room;
    uint8_t *room = gy_bump_reserve(bump, reserved);
    if (room == NULL) {
        return false;
    }
    uint32_t bytes =
        protocol->make(engine->state, &connection->window->places[number], number, room);
    gy_assert(bytes <= protocol->make_room && (whole == 0 || bytes <= whole));
    if (!copied) {
        return send_in_two(engine, connection, bytes);
    }
    if (bytes < whole) {
        memcpy(room + bytes, engine->requests.data + bytes, whole - bytes);
        bytes = whole;
    }
    return gy_datagram_send(connection->socket, NULL, gy_bump_slice(bump, bytes)) == 0;
}

uint32_t gy_load_udp_send(struct gy_load_engine *engine, struct gy_load_connection *connection,
                          uint32_t count, uint64_t intended_ns, uint64_t now_ns)
{
    uint32_t sent = 0;
    struct gy_load_window *window = connection->window;
    while (sent < count && engine->budget > 0 && window->free != GY_LOAD_NOBODY &&
           engine->datagrams.sends < engine->datagrams.options.sends_max) {
        uint32_t number = gy_load_window_take(window);
        if (!send_one(engine, connection, number)) {
            gy_load_window_give(window, number);
            break;
        }
        gy_load_connection_sent(engine, connection, number,
                                (struct gy_load_stamp){intended_ns, now_ns});
        sent++;
    }
    set_deadline(engine, connection);
    return sent;
}

static void fill(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    uint32_t room = engine->options->pipeline - connection->in_flight;
    uint64_t now_ns = engine->worker->now_ns;
    bool closed_loop =
        engine->rate == 0 && engine->outstanding == 0 && engine->running && !engine->ending;
    if (closed_loop && gy_load_udp_send(engine, connection, room, now_ns, now_ns) == room) {
        return;
    }
    if (!engine->ending) {
        gy_load_connection_rest(engine, connection); /* for the schedule, or the next try */
    }
}

/* ---- answers ---- */

static void take_answer(struct gy_load_engine *engine, struct gy_load_connection *connection,
                        const struct gy_datagram *datagram)
{
    uint32_t number;
    enum gy_load_progress progress =
        engine->protocol->match(engine->state, connection->window, gy_slice_data(datagram->slice),
                                datagram->slice.length, &number);
    switch (progress) {
    case GY_LOAD_STRAY: /* late, and counted as lost already; or a second time */
        break;
    case GY_LOAD_BAD_BYTES:
        engine->errors[GY_LOAD_ERROR_PROTOCOL]++;
        break;
    default:
        gy_load_count_answer(engine, gy_load_connection_settle(engine, connection, number),
                             progress);
        break;
    }
}

static struct gy_load_engine *engine_of(const struct gy_datagram_socket *socket)
{
    return socket->endpoint->context;
}

static void udp_receive(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                        uint32_t count)
{
    struct gy_load_engine *engine = engine_of(socket);
    struct gy_load_connection *connection = socket->context;
    for (uint32_t i = 0; i < count; i++) {
        take_answer(engine, connection, &datagrams[i]);
    }
    fill(engine, connection);
}

static void udp_expire(struct gy_datagram_socket *socket)
{
    struct gy_load_engine *engine = engine_of(socket);
    struct gy_load_connection *connection = socket->context;
    const struct gy_load_window *window = connection->window;
    uint64_t now_ns = engine->worker->now_ns;
    while (window->oldest != GY_LOAD_NOBODY &&
           connection->stamps[window->oldest].sent_ns + engine->options->timeout_ns <= now_ns) {
        gy_load_count_loss(engine, gy_load_connection_settle(engine, connection, window->oldest),
                           GY_LOAD_ERROR_TIMEOUT);
    }
    set_deadline(engine, connection);
    fill(engine, connection);
}

/* ICMP says that nobody is there: what is in flight on this socket will not be answered. */
static void udp_failed(struct gy_datagram_socket *socket, int errno_value)
{
    struct gy_load_engine *engine = engine_of(socket);
    struct gy_load_connection *connection = socket->context;
    const struct gy_load_window *window = connection->window;
    uint64_t now_ns = engine->worker->now_ns;
    char peer[GY_ADDRESS_TEXT_BYTES];
    gy_address_format(&engine->options->address, peer, sizeof peer);
    while (window->oldest != GY_LOAD_NOBODY) {
        gy_load_count_loss(engine, gy_load_connection_settle(engine, connection, window->oldest),
                           GY_LOAD_ERROR_REFUSED);
    }
    if (engine->answered_total == 0 && engine->running) {
        gy_load_give_up(engine, GY_EREFUSED, "sending to %s: %s%s", peer, strerror(errno_value),
                        errno_value == ECONNREFUSED ? "; is the server running?" : "");
    } else if (engine->running && now_ns - engine->last_answer_ns > GONE_AFTER_NS) {
        gy_load_give_up(
            engine, GY_ECLOSED, "the server at %s went away, %.1f s after the start: %s", peer,
            (double)(engine->last_answer_ns - engine->start_ns) / 1e9, strerror(errno_value));
    }
    if (!engine->gave_up) {
        gy_load_connection_rest(engine, connection);
    }
}

static void udp_closed(struct gy_datagram_socket *socket)
{
    struct gy_load_engine *engine = engine_of(socket);
    struct gy_load_connection *connection = socket->context;
    gy_load_connection_busy(engine, connection);
    engine->in_flight -= connection->in_flight;
    connection->socket = NULL;
}

static const struct gy_datagram_ops udp_ops = {
    .receive = udp_receive,
    .failed = udp_failed,
    .expire = udp_expire,
    .closed = udp_closed,
};

/* ---- opening ---- */

uint32_t gy_load_udp_sockets_max(const struct gy_load_engine *engine)
{
    return engine->connections + SOCKETS_APART;
}

static size_t connection_bytes(const struct gy_load_engine *engine)
{
    uint32_t pipeline = engine->options->pipeline;
    size_t bytes = sizeof(struct gy_load_connection) + pipeline * sizeof(struct gy_load_stamp) +
                   gy_load_window_bytes(pipeline);
    return (bytes + 63) & ~(size_t)63;
}

int gy_load_udp_open(struct gy_load_engine *engine)
{
    /* DNS: an answer has no more than the client takes, and 512 bytes without a word of it. */
    uint32_t longest = engine->request_bytes > engine->options->edns_bytes
                           ? engine->request_bytes
                           : engine->options->edns_bytes;
    bool large = longest > COPIED_MAX - 256;
    struct gy_datagram_options options = {
        .name = engine->protocol->scheme,
        .ops = &udp_ops,
        .context = engine,
        .gro = engine->options->trains,
        .gso = engine->options->trains,
        .message_bytes = large ? longest : 0,
        .buffers = large ? 256 : 0,
        .sends_max = 8192,
        .receive_mode = (enum gy_datagram_mode)engine->options->udp_mode,
        .send_mode = (enum gy_datagram_mode)engine->options->udp_mode,
    };
    engine->udp_connections = calloc(engine->connections, connection_bytes(engine));
    if (engine->udp_connections == NULL) {
        return gy_error_set(&engine->error, GY_ENOMEM, "starting thread %u: out of memory",
                            engine->number);
    }
    int code =
        gy_datagram_endpoint_open(&engine->datagrams, engine->worker, &options, &engine->error);
    engine->datagrams_open = code == 0;
    return code;
}

int gy_load_udp_dial(struct gy_load_engine *engine)
{
    gy_assert(engine->connected < engine->connections);
    struct gy_load_connection *connection =
        (struct gy_load_connection *)(void *)((uint8_t *)engine->udp_connections +
                                              engine->connected * connection_bytes(engine));
    connection->window = (void *)&connection->stamps[engine->options->pipeline];
    gy_load_window_open(connection->window, engine->options->pipeline);
    connection->socket = gy_datagram_dial(&engine->datagrams, &engine->options->address, NULL,
                                          connection, &engine->error);
    if (connection->socket == NULL) {
        return engine->error.code;
    }
    engine->missing--;
    engine->connected++;
    engine->connects++;
    gy_load_connection_rest(engine, connection);
    return 0;
}

void gy_load_udp_close(struct gy_load_engine *engine)
{
    if (engine->datagrams_open && engine->datagrams.sockets == 0) {
        gy_datagram_endpoint_close(&engine->datagrams);
    }
}
