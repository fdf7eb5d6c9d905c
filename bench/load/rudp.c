/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reliable UDP for gyre-load: ordered messages of one size, to a server that sends each back or,
 * with --acked, to one that takes them: then a request is done when it is acknowledged.
 *
 * Echoes come in the order of the messages, so the oldest in flight is the one that is answered.
 * All messages show the same bytes, which nobody copies before they are written into a packet. What
 * is under way when a connection ends is lost; as long as it lives nothing is. */

#include "bench/load/rudp.h"

#include "bench/load/dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "servers/rudp/rudp_host.h"
#include "servers/rudp/rudp_tls.h"

#define MESSAGE_MAX (512u << 10)
/* A message's place is free once it is acknowledged, which may be after its echo. */
#define PLACES_APART 1024

struct rudp_plan {
    uint32_t bytes;
    uint8_t pattern[];
};

struct place {
    struct gy_rudp_message message;
    struct place *next;
    struct gy_load_stamp stamp;
};

/* Lies in a connection's `session`. */
struct window {
    struct gy_rudp_session *session; /* NULL: not there */
    struct place *free;
    struct place places[];
};

/* What an engine has of it. */
struct rudp {
    struct gy_rudp_host host;
    struct gy_rudp_counts counts;
};

/* ---- the protocol ---- */

static int rudp_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    if (options->size_bytes == 0 || options->size_bytes > MESSAGE_MAX) {
        return gy_error_set(error, GY_EINVAL, "--size %u: a message has from 1 to %u bytes",
                            options->size_bytes, MESSAGE_MAX);
    }
    struct rudp_plan *made = malloc(sizeof *made + options->size_bytes);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making a message: out of memory");
    }
    made->bytes = options->size_bytes;
    for (uint32_t i = 0; i < made->bytes; i++) {
        made->pattern[i] = (uint8_t)(' ' + i % 89);
    }
    *plan = made;
    return 0;
}

static const void *rudp_requests(const void *plan, uint32_t *request_bytes)
{
    const struct rudp_plan *made = plan;
    *request_bytes = made->bytes;
    return made->pattern;
}

static void rudp_state_open(void *state, const void *plan, const struct gy_load_options *options,
                            uint32_t thread)
{
    (void)options;
    (void)thread;
    *(const struct rudp_plan **)state = plan;
}

static void rudp_state_close(void *state)
{
    (void)state;
}

const struct gy_load_protocol gy_load_rudp = {
    .scheme = "rudp",
    .help = "reliable messages over UDP, to an echo server or, with --acked, any",
    .port = 7117,
    .datagrams = true,
    .reliable = true,
    .secure = true, /* without --plaintext */
    .alpn = GY_RUDP_ALPN,
    .prepare = rudp_prepare,
    .finish = free,
    .requests = rudp_requests,
    .state_bytes = sizeof(const struct rudp_plan *),
    .state_open = rudp_state_open,
    .state_close = rudp_state_close,
};

/* ---- sending ---- */

static struct window *window_of(const struct gy_load_connection *connection)
{
    return connection->session;
}

static uint32_t place_count(const struct gy_load_engine *engine)
{
    return engine->options->pipeline + PLACES_APART;
}

static void window_open(struct window *window, uint32_t count)
{
    window->free = NULL;
    for (uint32_t i = 0; i < count; i++) {
        window->places[i].next = window->free;
        window->free = &window->places[i];
    }
}

static bool send_one(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     struct gy_load_stamp stamp)
{
    struct window *window = window_of(connection);
    struct place *place = window->free;
    if (place == NULL || window->session == NULL) {
        return false;
    }
    place->message = (struct gy_rudp_message){
        .data = engine->requests.data,
        .length = engine->request_bytes,
        .guarantee = GY_RUDP_ORDERED,
    };
    place->stamp = stamp;
    if (gy_rudp_host_send(window->session, &place->message) != 0) {
        return false;
    }
    window->free = place->next;
    uint32_t last = (connection->first + connection->in_flight) % engine->options->pipeline;
    connection->stamps[last] = stamp;
    return true;
}

uint32_t gy_load_rudp_send(struct gy_load_engine *engine, struct gy_load_connection *connection,
                           uint32_t count, uint64_t intended_ns, uint64_t now_ns)
{
    uint32_t sent = 0;
    struct gy_load_stamp stamp = {intended_ns, now_ns};
    while (sent < count && engine->budget > 0 &&
           connection->in_flight < engine->options->pipeline &&
           send_one(engine, connection, stamp)) {
        connection->in_flight++;
        engine->in_flight++;
        engine->budget--;
        engine->sent_total++;
        sent++;
    }
    return sent;
}

void gy_load_rudp_flush(struct gy_load_engine *engine)
{
    gy_rudp_host_flush(&engine->rudp->host);
}

static void fill(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    uint32_t room = engine->options->pipeline - connection->in_flight;
    uint64_t now_ns = engine->worker->now_ns;
    bool closed_loop = engine->rate == 0 && engine->running && !engine->ending;
    if (closed_loop && gy_load_rudp_send(engine, connection, room, now_ns, now_ns) == room) {
        return;
    }
    if (!engine->ending) {
        gy_load_connection_rest(engine, connection);
    }
}

/* ---- the connection's calls ---- */

static struct gy_load_engine *engine_of(const struct gy_rudp_session *session)
{
    return session->host->options.context;
}

static void opened(struct gy_rudp_session *session)
{
    struct gy_load_engine *engine = engine_of(session);
    struct gy_load_connection *connection = session->context;
    connection->opened = true;
    gy_load_dial_worked(engine);
    gy_load_connection_rest(engine, connection);
}

static struct gy_load_stamp settle(struct gy_load_engine *engine,
                                   struct gy_load_connection *connection)
{
    gy_assert(connection->in_flight > 0 && engine->in_flight > 0);
    struct gy_load_stamp stamp = connection->stamps[connection->first];
    connection->first = (connection->first + 1) % engine->options->pipeline;
    connection->in_flight--;
    engine->in_flight--;
    return stamp;
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct gy_load_engine *engine = engine_of(session);
    struct gy_load_connection *connection = session->context;
    (void)channel;
    (void)guarantee;
    if (engine->finishing) {
        return true;
    }
    if (engine->options->acked || connection->in_flight == 0) {
        engine->errors[GY_LOAD_ERROR_PROTOCOL]++;
        return true;
    }
    bool right =
        length == engine->request_bytes && memcmp(data, engine->requests.data, length) == 0;
    gy_load_count_answer(engine, settle(engine, connection),
                         right ? GY_LOAD_ANSWER : GY_LOAD_BAD_BODY);
    fill(engine, connection);
    return true;
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    struct gy_load_engine *engine = engine_of(session);
    struct gy_load_connection *connection = session->context;
    struct window *window = window_of(connection);
    struct place *place = (struct place *)message;
    bool acked = message->result == GY_RUDP_ACKED;
    place->next = window->free;
    window->free = place;
    if (!acked || !engine->options->acked || engine->finishing) {
        return; /* the connection's end, or the run's, counts what was under way */
    }
    settle(engine, connection);
    gy_load_count_answer(engine, place->stamp, GY_LOAD_ANSWER);
    fill(engine, connection);
}

/* Behind why it ended. */
static const char *remedy(const struct gy_load_engine *engine, uint64_t close_code)
{
    switch (close_code) {
    case GY_RUDP_CLOSE_HANDSHAKE:
        return engine->rudp->host.unreachable == ECONNREFUSED
                   ? ", and nothing has that UDP port: is the server running, with that port?"
                   : "; does a server of reliable UDP have that port, and do datagrams get there?";
    case GY_RUDP_CLOSE_MODE:
        return engine->options->tls_config != NULL ? "; --plaintext is for servers that serve so"
                                                   : "; leave --plaintext out";
    default:
        return "";
    }
}

static void closed(struct gy_rudp_session *session)
{
    struct gy_load_engine *engine = engine_of(session);
    struct gy_load_connection *connection = session->context;
    char peer[GY_ADDRESS_TEXT_BYTES];
    window_of(connection)->session = NULL;
    gy_load_connection_busy(engine, connection);
    if (engine->finishing) {
        engine->in_flight -= connection->in_flight;
        connection->in_flight = 0;
        return;
    }
    while (connection->in_flight > 0) {
        gy_load_count_loss(engine, settle(engine, connection), GY_LOAD_ERROR_CLOSED);
    }
    gy_address_format(&engine->options->address, peer, sizeof peer);
    gy_load_give_up(engine, connection->opened ? GY_ECLOSED : GY_EREFUSED,
                    "%s %s by reliable UDP: %s%s%s",
                    connection->opened ? "talking to" : "reaching for", peer,
                    session->conn.closed_by_peer ? "the server closed the connection: " : "",
                    session->conn.close_reason, remedy(engine, session->conn.close_code));
}

static const struct gy_rudp_host_ops host_ops = {
    .opened = opened, .received = received, .finished = finished, .closed = closed};

/* ---- opening ---- */

static size_t connection_bytes(const struct gy_load_engine *engine)
{
    uint32_t pipeline = engine->options->pipeline;
    size_t bytes = sizeof(struct gy_load_connection) + pipeline * sizeof(struct gy_load_stamp) +
                   sizeof(struct window) + place_count(engine) * sizeof(struct place);
    return (bytes + 63) & ~(size_t)63;
}

int gy_load_rudp_open(struct gy_load_engine *engine)
{
    struct gy_datagram_options datagrams = gy_rudp_host_datagrams;
    struct gy_rudp_host_options options = {
        .ops = &host_ops,
        .context = engine,
        .config = gy_rudp_host_config(),
        .connections_max = engine->connections,
        .memory_bytes = 64u << 20,
    };
    if (engine->options->tls_config != NULL) {
        options.sealer = &gy_rudp_tls;
        options.sealer_context = engine->options->tls_config;
        options.peer = engine->options->host;
    }
    options.config.handshake_timeout_ns = engine->options->timeout_ns;
    if (engine->options->datagram_bytes != 0) {
        options.config.datagram_bytes = engine->options->datagram_bytes;
    }
    datagrams.receive_mode = datagrams.send_mode = (enum gy_datagram_mode)engine->options->udp_mode;
    engine->udp_connections = calloc(engine->connections, connection_bytes(engine));
    engine->rudp = aligned_alloc(64, (sizeof *engine->rudp + 63) & ~(size_t)63);
    if (engine->udp_connections == NULL || engine->rudp == NULL) {
        return gy_error_set(&engine->error, GY_ENOMEM, "starting thread %u: out of memory",
                            engine->number);
    }
    memset(engine->rudp, 0, sizeof *engine->rudp);
    options.counts = &engine->rudp->counts;
    int code = gy_rudp_host_open(&engine->rudp->host, engine->worker, &options, &engine->error);
    if (code != 0) {
        return code;
    }
    code =
        gy_datagram_endpoint_open(&engine->datagrams, engine->worker, &datagrams, &engine->error);
    engine->datagrams_open = code == 0;
    engine->datagrams.state = &engine->rudp->host;
    return code;
}

static struct gy_load_connection *connection_at(const struct gy_load_engine *engine,
                                                uint32_t number)
{
    return (struct gy_load_connection *)(void *)((uint8_t *)engine->udp_connections +
                                                 number * connection_bytes(engine));
}

void gy_load_rudp_give_up(struct gy_load_engine *engine)
{
    for (uint32_t i = 0; i < engine->connections - engine->missing; i++) {
        struct gy_load_connection *connection = connection_at(engine, i);
        while (connection->in_flight > 0) {
            gy_load_count_loss(engine, settle(engine, connection), GY_LOAD_ERROR_TIMEOUT);
        }
    }
}

int gy_load_rudp_dial(struct gy_load_engine *engine)
{
    struct gy_load_connection *connection =
        connection_at(engine, engine->connections - engine->missing);
    connection->session = &connection->stamps[engine->options->pipeline];
    window_open(window_of(connection), place_count(engine));
    struct gy_datagram_socket *socket =
        gy_datagram_dial(&engine->datagrams, &engine->options->address, NULL, NULL, &engine->error);
    if (socket == NULL) {
        return engine->error.code;
    }
    connection->socket = socket;
    window_of(connection)->session = gy_rudp_host_dial(&engine->rudp->host, socket, connection);
    if (window_of(connection)->session == NULL) {
        return gy_error_set(&engine->error, GY_ELIMIT, "thread %u: no room for a connection",
                            engine->number);
    }
    engine->missing--;
    gy_rudp_host_flush(&engine->rudp->host);
    return 0;
}

void gy_load_rudp_close(struct gy_load_engine *engine)
{
    if (engine->rudp == NULL) {
        return;
    }
    if (engine->datagrams_open && engine->datagrams.sockets == 0) {
        gy_datagram_endpoint_close(&engine->datagrams);
    }
    if (engine->rudp->host.mapped != NULL) {
        gy_rudp_host_close(&engine->rudp->host);
    }
    free(engine->rudp);
    engine->rudp = NULL;
}
