/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What is to be served, before there are sockets. */

#include <stdlib.h>

#include "servers/http/http_server.h"
#include "servers/serve.h"

struct gy_serve_server *gy_serve_plan_add(struct gy_serve_plan *plan, const char *name,
                                          void (*fill)(struct gy_server *, void *, const int *),
                                          void *context)
{
    if (plan->server_count == GY_SERVE_SERVERS_MAX) {
        return NULL;
    }
    struct gy_serve_server *server = &plan->servers[plan->server_count++];
    *server = (struct gy_serve_server){.name = name, .fill = fill, .context = context};
    return server;
}

static void fill_http(struct gy_server *server, void *context, const int *descriptors)
{
    gy_http_server_init(server, context, descriptors);
}

struct gy_serve_server *gy_serve_plan_http(struct gy_serve_plan *plan, const char *name,
                                           struct gy_http_server *http)
{
    struct gy_serve_server *server = gy_serve_plan_add(plan, name, fill_http, http);
    if (server != NULL) {
        server->kind = "http";
        server->metrics = &gy_http_metrics;
        server->counts = http->counts;
    }
    return server;
}

static int prepare(const struct gy_serve_plan *plan, struct gy_serve_server *server,
                   struct gy_error *error)
{
    int code = server->prepare != NULL ? server->prepare(server, error) : 0;
    if (code != 0 || server->metrics == NULL) {
        return code;
    }
    gy_assert(server->counts != NULL && plan->workers > 0);
    server->instances = calloc(plan->workers, sizeof *server->instances);
    if (server->instances == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < plan->workers; i++) {
        server->instances[i] = (const char *)server->counts + i * server->metrics->counts_bytes;
    }
    return 0;
}

int gy_serve_plan_prepare(struct gy_serve_plan *plan, struct gy_error *error)
{
    for (uint32_t s = 0; s < plan->server_count; s++) {
        int code = prepare(plan, &plan->servers[s], error);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

int gy_serve_plan_load(struct gy_serve_plan *plan, struct gy_error *error)
{
    int code = 0;
    for (uint32_t s = 0; s < plan->server_count && code == 0; s++) {
        struct gy_serve_server *server = &plan->servers[s];
        code = server->load != NULL ? server->load(server, error) : 0;
    }
    return code;
}

int gy_serve_plan_log(struct gy_serve_plan *plan, struct gy_error *error)
{
    if (plan->workers == 0) {
        plan->workers = gy_runtime_workers(plan->options.workers);
    }
    struct gy_access_options options = {
        .path = plan->options.access_log,
        .format = (enum gy_access_format)plan->options.access_format,
        .workers = plan->workers,
    };
    gy_assert(plan->access_log == NULL);
    return options.path == NULL ? 0 : gy_access_log_open(&plan->access_log, &options, error);
}

void gy_serve_plan_free(struct gy_serve_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    if (plan->release != NULL) {
        plan->release(plan);
    }
    gy_access_log_close(plan->access_log);
    for (uint32_t s = 0; s < plan->server_count; s++) {
        free(plan->servers[s].instances);
    }
    free(plan);
}
