/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Echo over UDP (RFC 862) for gyre-load: datagrams of one size, each to come back as it was.
 *
 * Answers may come in another order, twice, or never. So each datagram carries the number of its
 * place among those in flight on its socket, and how often that place was used before: an answer
 * that is not waited for (any more) is no answer. A datagram without an answer in time is lost, and
 * its place is free again. */

#include "bench/load/udp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES    8 /* the place's number, and its use */
#define COPIED_MAX    2048
#define GONE_AFTER_NS UINT64_C(1000000000)
#define SOCKETS_APART 64
#define NOBODY        UINT32_MAX

/* ---- the protocol ---- */

struct udp_plan {
    uint32_t bytes;
    uint8_t pattern[];
};

static int udp_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    if (options->size_bytes < HEAD_BYTES || options->size_bytes > GY_DATAGRAM_BYTES_MAX) {
        return gy_error_set(error, GY_EINVAL, "--size %u: a datagram has from %d to %d bytes",
                            options->size_bytes, HEAD_BYTES, GY_DATAGRAM_BYTES_MAX);
    }
    struct udp_plan *made = malloc(sizeof *made + options->size_bytes);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making a datagram: out of memory");
    }
    made->bytes = options->size_bytes;
    for (uint32_t i = 0; i < made->bytes; i++) {
        made->pattern[i] = (uint8_t)(' ' + i % 89);
    }
    *plan = made;
    return 0;
}

static const void *udp_requests(const void *plan, uint32_t *request_bytes)
{
    const struct udp_plan *made = plan;
    *request_bytes = made->bytes;
    return made->pattern;
}

static void udp_state_open(void *state, const void *plan, const struct gy_load_options *options)
{
    (void)options;
    *(const struct udp_plan **)state = plan;
}

static void udp_state_close(void *state)
{
    (void)state;
}

const struct gy_load_protocol gy_load_udp = {
    .scheme = "udp",
    .help = "datagrams to an echo server",
    .datagrams = true,
    .prepare = udp_prepare,
    .finish = free,
    .requests = udp_requests,
    .state_bytes = sizeof(const struct udp_plan *),
    .state_open = udp_state_open,
    .state_close = udp_state_close,
};

/* ---- places in flight ---- */

struct place {
    uint32_t use;
    uint32_t before, after; /* in the order of sending; of a free one: `after` is the next free */
    bool waits;
};

/* Lies in a connection's `session`. */
struct window {
    uint32_t oldest, newest, free;
    struct place places[];
};

static struct window *window_of(const struct gy_load_connection *connection)
{
    return connection->session;
}

static void window_open(struct window *window, uint32_t count)
{
    window->oldest = window->newest = NOBODY;
    window->free = 0;
    for (uint32_t i = 0; i < count; i++) {
        window->places[i] = (struct place){.after = i + 1 < count ? i + 1 : NOBODY};
    }
}

static uint32_t place_take(struct window *window)
{
    uint32_t number = window->free;
    struct place *place = &window->places[number];
    window->free = place->after;
    place->use++;
    place->waits = true;
    place->before = window->newest;
    place->after = NOBODY;
    if (window->newest != NOBODY) {
        window->places[window->newest].after = number;
    } else {
        window->oldest = number;
    }
    window->newest = number;
    return number;
}

static void place_give(struct window *window, uint32_t number)
{
    struct place *place = &window->places[number];
    gy_assert(place->waits);
    place->waits = false;
    *(place->before != NOBODY ? &window->places[place->before].after : &window->oldest) =
        place->after;
    *(place->after != NOBODY ? &window->places[place->after].before : &window->newest) =
        place->before;
    place->after = window->free;
    window->free = number;
}

static struct gy_load_stamp settle(struct gy_load_engine *engine,
                                   struct gy_load_connection *connection, uint32_t number)
{
    gy_assert(connection->in_flight > 0 && engine->in_flight > 0);
    place_give(window_of(connection), number);
    connection->in_flight--;
    engine->in_flight--;
    return connection->stamps[number];
}

/* ---- sending ---- */

/* The timer is set once for many: where it finds the oldest not due yet, it is set again. */
static void set_deadline(const struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    const struct window *window = window_of(connection);
    if (window->oldest != NOBODY && !gy_timer_armed(&connection->socket->timer)) {
        uint64_t due_ns = connection->stamps[window->oldest].sent_ns + engine->options->timeout_ns;
        gy_datagram_set_deadline(connection->socket, due_ns / 1000000 + 1);
    }
}

/* Makes one datagram and queues it. False: there is no memory for it now. */
static bool send_one(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     uint32_t number)
{
    struct gy_bump *bump = &engine->worker->bump;
    uint32_t head[2] = {number, window_of(connection)->places[number].use};
    bool copied = engine->request_bytes <= COPIED_MAX;
    uint8_t *room = gy_bump_reserve(bump, copied ? engine->request_bytes : HEAD_BYTES);
    if (room == NULL) {
        return false;
    }
    memcpy(room, head, HEAD_BYTES);
    if (copied) {
        memcpy(room + HEAD_BYTES, engine->requests.data + HEAD_BYTES,
               engine->request_bytes - HEAD_BYTES);
        return gy_datagram_send(connection->socket, NULL,
                                gy_bump_slice(bump, engine->request_bytes)) == 0;
    }
    struct gy_chain chain;
    gy_chain_init(&chain, &engine->worker->links);
    struct gy_slice rest =
        gy_slice_of(&engine->requests, HEAD_BYTES, engine->request_bytes - HEAD_BYTES);
    if (gy_bump_commit(bump, &chain, HEAD_BYTES) != 0) {
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

uint32_t gy_load_udp_send(struct gy_load_engine *engine, struct gy_load_connection *connection,
                          uint32_t count, uint64_t intended_ns, uint64_t now_ns)
{
    uint32_t sent = 0;
    struct window *window = window_of(connection);
    while (sent < count && engine->budget > 0 && window->free != NOBODY &&
           engine->datagrams.sends < engine->datagrams.options.sends_max) {
        uint32_t number = place_take(window);
        if (!send_one(engine, connection, number)) {
            place_give(window, number);
            break;
        }
        connection->stamps[number] = (struct gy_load_stamp){intended_ns, now_ns};
        connection->in_flight++;
        engine->in_flight++;
        engine->budget--;
        engine->sent_total++;
        sent++;
    }
    set_deadline(engine, connection);
    return sent;
}

static void fill(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    uint32_t room = engine->options->pipeline - connection->in_flight;
    uint64_t now_ns = engine->worker->now_ns;
    bool closed_loop = engine->rate == 0 && engine->running && !engine->ending;
    if (closed_loop && gy_load_udp_send(engine, connection, room, now_ns, now_ns) == room) {
        return;
    }
    if (!engine->ending) {
        gy_load_connection_rest(engine, connection); /* for the schedule, or the next try */
    }
}

/* ---- answers ---- */

static bool is_right(const struct gy_load_engine *engine, const struct gy_datagram *datagram)
{
    return datagram->slice.length == engine->request_bytes &&
           memcmp(gy_slice_data(datagram->slice) + HEAD_BYTES, engine->requests.data + HEAD_BYTES,
                  engine->request_bytes - HEAD_BYTES) == 0;
}

static void take_answer(struct gy_load_engine *engine, struct gy_load_connection *connection,
                        const struct gy_datagram *datagram)
{
    uint32_t head[2];
    if (datagram->slice.length < HEAD_BYTES) {
        engine->errors[GY_LOAD_ERROR_PROTOCOL]++;
        return;
    }
    memcpy(head, gy_slice_data(datagram->slice), HEAD_BYTES);
    const struct window *window = window_of(connection);
    if (head[0] >= engine->options->pipeline) {
        engine->errors[GY_LOAD_ERROR_PROTOCOL]++;
        return;
    }
    const struct place *place = &window->places[head[0]];
    if (!place->waits || place->use != head[1]) {
        return; /* late, and counted as lost already; or a second time */
    }
    bool right = is_right(engine, datagram);
    gy_load_count_answer(engine, settle(engine, connection, head[0]),
                         right ? GY_LOAD_ANSWER : GY_LOAD_BAD_BODY);
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
    const struct window *window = window_of(connection);
    uint64_t now_ns = engine->worker->now_ns;
    while (window->oldest != NOBODY &&
           connection->stamps[window->oldest].sent_ns + engine->options->timeout_ns <= now_ns) {
        gy_load_count_loss(engine, settle(engine, connection, window->oldest),
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
    const struct window *window = window_of(connection);
    uint64_t now_ns = engine->worker->now_ns;
    char peer[GY_ADDRESS_TEXT_BYTES];
    gy_address_format(&engine->options->address, peer, sizeof peer);
    while (window->oldest != NOBODY) {
        gy_load_count_loss(engine, settle(engine, connection, window->oldest), GY_LOAD_ERROR_RESET);
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
                   sizeof(struct window) + pipeline * sizeof(struct place);
    return (bytes + 63) & ~(size_t)63;
}

int gy_load_udp_open(struct gy_load_engine *engine)
{
    bool large = engine->request_bytes > COPIED_MAX - 256;
    struct gy_datagram_options options = {
        .name = "udp",
        .ops = &udp_ops,
        .context = engine,
        .gro = engine->options->trains,
        .gso = engine->options->trains,
        .message_bytes = large ? engine->request_bytes : 0,
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
    connection->session = &connection->stamps[engine->options->pipeline];
    window_open(window_of(connection), engine->options->pipeline);
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
