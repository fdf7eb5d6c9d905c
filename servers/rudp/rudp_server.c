/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/rudp_server.h"

#include <stdlib.h>
#include <string.h>

/* A message on its way back; its data lie behind it. */
struct echo {
    struct gy_rudp_message message;
    uint8_t data[];
};

void gy_rudp_server_init(struct gy_rudp_server *server)
{
    server->service = GY_RUDP_ECHO;
    server->host.config = gy_rudp_host_config();
    server->host.connections_max = 1024;
    server->host.memory_bytes = 64u << 20;
}

size_t gy_rudp_server_connection_bytes(const struct gy_rudp_server *server)
{
    return sizeof(struct gy_rudp_session) + gy_rudp_memory_bytes(&server->host.config);
}

static void opened(struct gy_rudp_session *session)
{
    (void)session;
}

static bool is_reliable(enum gy_rudp_guarantee guarantee)
{
    return guarantee == GY_RUDP_UNORDERED || guarantee == GY_RUDP_ORDERED;
}

static bool echo(struct gy_rudp_session *session, uint8_t channel, enum gy_rudp_guarantee guarantee,
                 const uint8_t *data, size_t length)
{
    struct gy_rudp_memory *memory = &session->host->memory;
    struct echo *echo = gy_rudp_memory_take(memory, sizeof *echo + length);
    if (echo == NULL && is_reliable(guarantee)) {
        gy_rudp_host_end(session, GY_RUDP_HOST_NO_MEMORY, "no memory for the message");
    }
    if (echo == NULL) {
        return true;
    }
    memcpy(echo->data, data, length);
    echo->message = (struct gy_rudp_message){
        .data = echo->data,
        .length = (uint32_t)length,
        .channel = channel,
        .guarantee = guarantee,
    };
    if (gy_rudp_host_send(session, &echo->message) !=
        0) { /* longer than the peer takes, or closing */
        gy_rudp_memory_give(memory, echo);
        return true;
    }
    gy_count(&session->host->worker->counters.copied_bytes, length);
    return !is_reliable(guarantee);
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    const struct gy_rudp_server *server = session->host->options.context;
    return server->service == GY_RUDP_SINK || echo(session, channel, guarantee, data, length);
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    struct echo *echo = (struct echo *)message;
    if (is_reliable(message->guarantee)) {
        gy_rudp_host_consumed(session, message->length);
    }
    gy_rudp_memory_give(&session->host->memory, echo);
}

static const struct gy_rudp_host_ops ops = {
    .opened = opened, .received = received, .finished = finished};

int gy_rudp_server_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                               struct gy_error *error)
{
    struct gy_rudp_server *server = core->context;
    struct gy_rudp_host_options options = server->host;
    uint32_t number = worker->options.number;
    gy_assert(number < server->workers && server->workers <= GY_RUDP_WORKERS_MAX);
    options.ops = &ops;
    options.context = server;
    options.counts = &server->counts[number];
    options.hosts = server->hosts;
    struct gy_rudp_host *host = aligned_alloc(64, (sizeof *host + 63) & ~(size_t)63);
    if (host == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing %s: out of memory", core->name);
    }
    int code = gy_rudp_host_open(host, worker, &options, error);
    if (code != 0) {
        free(host);
        return code;
    }
    if (number == 0 && server->workers > 1 && !server->host.unsteered) {
        gy_rudp_host_steer(core->descriptors[0]);
    }
    *state = host;
    return 0;
}

void gy_rudp_server_worker_close(struct gy_worker *worker, void *state)
{
    (void)worker;
    gy_rudp_host_close(state);
    free(state);
}
