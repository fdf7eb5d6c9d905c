/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/rudp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "servers/serve.h"

/* A message on its way back; its data lie behind it. */
struct echo {
    struct gy_rudp_message message;
    uint8_t data[];
};

void gy_rudp_server_init(struct gy_rudp_server *server, const struct gy_rudp_host_ops *ops,
                         void *context)
{
    server->ops = ops;
    server->context = context;
    server->host.config = gy_rudp_host_config();
    server->host.connections_max = 1024;
    server->host.memory_bytes = 64u << 20;
}

/* ---- echo, and sink ---- */

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

static bool sink(struct gy_rudp_session *session, uint8_t channel, enum gy_rudp_guarantee guarantee,
                 const uint8_t *data, size_t length)
{
    (void)session, (void)channel, (void)guarantee, (void)data, (void)length;
    return true;
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    struct echo *echo = (struct echo *)message;
    if (is_reliable(message->guarantee)) {
        gy_rudp_host_consumed(session, message->channel, message->length);
    }
    gy_rudp_memory_give(&session->host->memory, echo);
}

const struct gy_rudp_host_ops gy_rudp_echo = {.received = echo, .finished = finished};
const struct gy_rudp_host_ops gy_rudp_sink = {.received = sink};

/* ---- workers ---- */

int gy_rudp_server_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                               struct gy_error *error)
{
    struct gy_rudp_server *server = core->context;
    struct gy_rudp_host_options options = server->host;
    uint32_t number = worker->options.number;
    gy_assert(worker->options.workers <= GY_RUDP_WORKERS_MAX && server->counts != NULL);
    options.ops = server->ops;
    options.context = server->context;
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
    if (number == 0 && worker->options.workers > 1 && !server->host.unsteered) {
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

/* ---- a program of its own ---- */

static void fill(struct gy_server *core, void *context, const int *descriptors)
{
    *core = (struct gy_server){
        .name = "rudp",
        .context = context,
        .worker_open = gy_rudp_server_worker_open,
        .worker_close = gy_rudp_server_worker_close,
        .descriptors = descriptors,
        .datagrams = &gy_rudp_host_datagrams,
    };
}

struct program {
    struct gy_rudp_server *server;
    const char *address;
};

static int prepare(struct gy_serve_server *served, struct gy_error *error)
{
    struct gy_rudp_server *server = served->context;
    (void)error;
    server->host.process = (uint32_t)getpid(); /* another one than its predecessor's */
    return 0;
}

static int make(void *context, struct gy_serve_plan *plan, struct gy_error *error)
{
    const struct program *program = context;
    struct gy_serve_server *served = gy_serve_plan_add(plan, "rudp", fill, program->server);
    if (served == NULL) {
        return gy_error_set(error, GY_ELIMIT, "more than %d servers", GY_SERVE_SERVERS_MAX);
    }
    served->datagrams = true;
    served->prepare = prepare;
    served->addresses[served->address_count++] = program->address;
    return 0;
}

int gy_rudp_serve(struct gy_rudp_server *server, const char *address)
{
    struct program program = {server, address};
    struct gy_serve_hooks hooks = {.make = make, .make_context = &program};
    size_t bytes = sizeof *server->counts * GY_RUDP_WORKERS_MAX;
    server->counts = aligned_alloc(64, bytes);
    if (server->counts == NULL ||
        getrandom(&server->host.key, sizeof server->host.key, 0) != sizeof server->host.key) {
        fprintf(stderr, "preparing a server of reliable UDP: out of memory or randomness\n");
        free(server->counts);
        return 1;
    }
    memset(server->counts, 0, bytes);
    int status = gy_serve(&hooks);
    free(server->counts);
    server->counts = NULL;
    return status;
}
