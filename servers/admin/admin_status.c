/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/admin/admin_status.h"

#include "core/child.h"
#include "core/json.h"
#include "core/log.h"
#include "core/worker.h"
#include "servers/http/site_status.h"

uint64_t gy_admin_requests(const struct gy_site *site, uint32_t worker)
{
    const struct gy_admin *admin = (const struct gy_admin *)site; /* its first member */
    const struct gy_serve_plan *plan = admin->plan;
    uint64_t sum = 0;
    for (uint32_t s = 0; s < plan->server_count; s++) {
        const struct gy_serve_server *server = &plan->servers[s];
        if (server->metrics != NULL && server->counts != admin->http.counts) {
            sum += gy_metric_value(&server->metrics->rows[0], &server->instances[worker], 1);
        }
    }
    return sum;
}

/* A listener carries the name that its server has in the plan, the very same text. */
uint64_t gy_admin_connections(const struct gy_serve_server *server, const struct gy_worker *worker)
{
    uint64_t sum = 0;
    for (uint32_t w = 0; w < worker->options.workers; w++) {
        const struct gy_worker *peer = worker->peers[w];
        for (uint32_t i = 0; i < peer->listener_count; i++) {
            const struct gy_endpoint *endpoint = &peer->listeners[i].endpoint;
            if (endpoint->name == server->name) {
                sum += gy_endpoint_connections(endpoint);
            }
        }
    }
    return sum;
}

static void write_latency(struct gy_writer *writer, const struct gy_serve_plan *plan,
                          const struct gy_serve_server *server)
{
    const struct gy_server_metrics *metrics = server->metrics;
    uint64_t counts[GY_HISTOGRAM_BUCKETS] = {0};
    uint64_t sum_ns = 0;
    for (uint32_t w = 0; w < plan->workers; w++) {
        const struct gy_histogram *histogram =
            (const void *)((const char *)server->instances[w] + metrics->latency_offset);
        for (uint32_t i = 0; i < GY_HISTOGRAM_BUCKETS; i++) {
            counts[i] += gy_counter_read(&histogram->counts[i]);
        }
        sum_ns += gy_counter_read(&histogram->sum_ns);
    }
    gy_json_member(writer, "latency");
    gy_writer_u8(writer, '{');
    gy_json_text(writer, "name", metrics->latency_name);
    gy_json_number(writer, "sum_ns", sum_ns);
    gy_json_member(writer, "counts");
    gy_writer_u8(writer, '[');
    for (uint32_t i = 0; i < GY_HISTOGRAM_BUCKETS; i++) {
        gy_json_next(writer);
        gy_writer_decimal(writer, counts[i]);
    }
    gy_writer_text(writer, "]}");
}

static void write_server(struct gy_writer *writer, const struct gy_serve_plan *plan,
                         const struct gy_serve_server *server, const struct gy_worker *worker)
{
    const struct gy_server_metrics *metrics = server->metrics;
    gy_json_next(writer);
    gy_writer_u8(writer, '{');
    gy_json_text(writer, "name", server->name);
    gy_json_text(writer, "kind", server->kind);
    gy_json_member(writer, "listen");
    gy_writer_u8(writer, '[');
    for (uint32_t a = 0; a < server->address_count; a++) {
        gy_json_next(writer);
        gy_json_string(writer, server->addresses[a], strlen(server->addresses[a]));
    }
    gy_writer_u8(writer, ']');
    gy_json_number(writer, "connections_open", gy_admin_connections(server, worker));
    if (metrics != NULL) {
        gy_json_text(writer, "rate", metrics->rows[0].name);
        gy_json_member(writer, "counters");
        gy_site_status_rows(writer, metrics->rows, metrics->row_count, server->instances,
                            plan->workers);
    }
    if (metrics != NULL && metrics->latency_name != NULL) {
        write_latency(writer, plan, server);
    }
    gy_writer_u8(writer, '}');
}

static void write_process(struct gy_writer *writer, const struct gy_serve_plan *plan)
{
    if (plan->child != NULL) {
        gy_json_number(writer, "generation", plan->child->generation);
        gy_json_number(writer, "restarts", plan->child->restarts);
        gy_json_number(writer, "replacements", plan->child->replacements);
    }
    gy_json_number(writer, "log_dropped", gy_log_dropped());
}

int gy_admin_status(struct gy_writer *writer, struct gy_admin *admin,
                    const struct gy_worker *worker)
{
    const struct gy_serve_plan *plan = admin->plan;
    gy_writer_u8(writer, '{');
    gy_site_status_members(writer, &admin->site, worker);
    write_process(writer, plan);
    gy_json_member(writer, "latency_bounds_ns");
    gy_writer_u8(writer, '[');
    for (uint32_t i = 0; i + 1 < GY_HISTOGRAM_BUCKETS; i++) {
        gy_json_next(writer);
        gy_writer_decimal(writer, gy_histogram_bound(i));
    }
    gy_writer_text(writer, ",null]");
    gy_json_member(writer, "servers");
    gy_writer_u8(writer, '[');
    for (uint32_t s = 0; s < plan->server_count; s++) {
        if (!plan->servers[s].twin) {
            write_server(writer, plan, &plan->servers[s], worker);
        }
    }
    gy_writer_text(writer, "]}\n");
    return writer->failed ? GY_ENOBUFS : 0;
}
