/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/http_metrics.h"

static const struct gy_metric_description rows[] = {
#define HTTP_ROW(member, from, name, label, help)                                                  \
    {name, label, help, GY_METRIC_COUNTER, offsetof(struct gy_http_counts, member)},
    GY_HTTP_COUNTERS(HTTP_ROW)
#undef HTTP_ROW
#define HTTP_REFUSAL(reason, status, connection, sentence)                                         \
    {"http_refused", "reason=\"" #reason "\"",                                                     \
     "Requests that the transport answered itself, because of what they were.", GY_METRIC_COUNTER, \
     offsetof(struct gy_http_counts, refused[GY_H1_REFUSED_##reason])},
        GY_H1_REFUSALS(HTTP_REFUSAL)
#undef HTTP_REFUSAL
            {"http_limited", "what=\"connections\"", "Refused: their address had its share.",
             GY_METRIC_COUNTER, offsetof(struct gy_http_counts, limited_connections)},
    {"http_limited", "what=\"requests\"", "Refused: their address had its share.",
     GY_METRIC_COUNTER, offsetof(struct gy_http_counts, limited_requests)},
    {"http_limit_overflows", "", "Connections not counted: the table of addresses was full.",
     GY_METRIC_COUNTER, offsetof(struct gy_http_counts, limited_not)},
    {"access_log_lines", "", "Lines given to the access log.", GY_METRIC_COUNTER,
     offsetof(struct gy_http_counts, log_lines)},
    {"access_log_refused", "", "Lines that found the access log's queue full.", GY_METRIC_COUNTER,
     offsetof(struct gy_http_counts, log_dropped)},
#define HTTP_COMPRESS(member, ...)                                                                 \
    GY_METRIC_ROW(struct gy_http_counts, compress.member, __VA_ARGS__)
    GY_COMPRESS_COUNTERS(HTTP_COMPRESS)
#undef HTTP_COMPRESS
#define HTTP_WEBSOCKET(member, ...)                                                                \
    GY_METRIC_ROW(struct gy_http_counts, websocket.member, __VA_ARGS__)
        GY_WEBSOCKET_COUNTERS(HTTP_WEBSOCKET)
#undef HTTP_WEBSOCKET
};

const struct gy_server_metrics gy_http_metrics = {
    .rows = rows,
    .row_count = sizeof rows / sizeof rows[0],
    .counts_bytes = sizeof(struct gy_http_counts),
    .latency_name = "http_request_seconds",
    .latency_help = "From the turn that parsed a request's head to its response being handed over "
                    "for sending.",
    .latency_offset = offsetof(struct gy_http_counts, latency),
};

void gy_http_counts_publish(struct gy_http_counts *counts, const struct gy_h1_counters *counters)
{
#define HTTP_PUBLISH(member, from, name, label, help) gy_gauge_set(&counts->member, counters->from);
    GY_HTTP_COUNTERS(HTTP_PUBLISH)
#undef HTTP_PUBLISH
}

void gy_http_counts_publish_refusals(struct gy_http_counts *counts,
                                     const struct gy_h1_counters *counters)
{
    for (uint32_t i = 0; i < GY_H1_REFUSAL_COUNT; i++) {
        gy_gauge_set(&counts->refused[i], counters->refused[i]);
    }
}
