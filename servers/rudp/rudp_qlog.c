/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/rudp_qlog.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORD "\x1e" /* RFC 7464 §2.2 */

struct gy_rudp_qlog {
    FILE *file;
    uint64_t from_ns, bytes;
    bool full;
    uint64_t window_bytes, srtt_ns, in_flight, rate; /* as they were last written */
};

static atomic_uint open_files, names;

static double ms(const struct gy_rudp_qlog *log, uint64_t now_ns)
{
    return (double)(now_ns - log->from_ns) / 1e6;
}

/* Adds what fprintf returned. */
static void wrote(struct gy_rudp_qlog *log, int bytes)
{
    log->bytes += bytes > 0 ? (uint64_t)bytes : 0;
    log->full = bytes < 0 || log->bytes > GY_RUDP_QLOG_BYTES_MAX;
}

struct gy_rudp_qlog *gy_rudp_qlog_open(const char *folder, bool client, uint64_t now_ns)
{
    char path[4096];
    const char *side = client ? "client" : "server";
    if (atomic_fetch_add(&open_files, 1) >= GY_RUDP_QLOG_FILES_MAX) {
        atomic_fetch_sub(&open_files, 1);
        return NULL;
    }
    struct gy_rudp_qlog *log = calloc(1, sizeof *log);
    int length = snprintf(path, sizeof path, "%s/%s-%d-%u.sqlog", folder, side, (int)getpid(),
                          atomic_fetch_add(&names, 1) + 1);
    if (log != NULL && length > 0 && (size_t)length < sizeof path) {
        log->file = fopen(path, "we");
    }
    if (log == NULL || log->file == NULL) {
        atomic_fetch_sub(&open_files, 1);
        free(log);
        return NULL;
    }
    log->from_ns = now_ns;
    wrote(log,
          fprintf(log->file,
                  RECORD "{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\","
                         "\"serialization_format\":\"application/qlog+json-seq\","
                         "\"title\":\"reliable UDP\",\"trace\":{\"common_fields\":{\"time_format\":"
                         "\"relative_to_epoch\",\"reference_time\":{\"clock_type\":\"monotonic\","
                         "\"epoch\":\"unknown\"}},\"vantage_point\":{\"type\":\"%s\"},"
                         "\"event_schemas\":[\"urn:ietf:params:qlog:events:quic\"]}}\n",
                  side));
    return log;
}

static void packet(struct gy_rudp_qlog *log, const char *name, const struct gy_rudp_event *event)
{
    wrote(log, fprintf(log->file,
                       RECORD "{\"time\":%.6f,\"name\":\"quic:%s\",\"data\":{\"header\":"
                              "{\"packet_type\":\"1RTT\",\"packet_number\":%" PRIu64
                              "},\"raw\":{\"length\":%u}}}\n",
                       ms(log, event->now_ns), name, event->number, event->bytes));
}

static void metrics(struct gy_rudp_qlog *log, const struct gy_rudp_conn *conn, uint64_t now_ns)
{
    const struct gy_rudp_congestion *congestion = &conn->congestion;
    if (congestion->window_bytes == log->window_bytes && conn->srtt_ns == log->srtt_ns &&
        conn->in_flight == log->in_flight && congestion->rate == log->rate) {
        return;
    }
    log->window_bytes = congestion->window_bytes;
    log->srtt_ns = conn->srtt_ns;
    log->in_flight = conn->in_flight;
    log->rate = congestion->rate;
    wrote(log,
          fprintf(log->file,
                  RECORD "{\"time\":%.6f,\"name\":\"quic:recovery_metrics_updated\",\"data\":"
                         "{\"min_rtt\":%.3f,\"smoothed_rtt\":%.3f,\"latest_rtt\":%.3f,"
                         "\"rtt_variance\":%.3f,\"pto_count\":%u,\"congestion_window\":%" PRIu64
                         ",\"bytes_in_flight\":%" PRIu64 ",\"pacing_rate\":%" PRIu64 "}}\n",
                  ms(log, now_ns), (double)conn->rtt_min_ns / 1e6, (double)conn->srtt_ns / 1e6,
                  (double)conn->rtt_latest_ns / 1e6, (double)conn->rttvar_ns / 1e6, conn->pto_count,
                  log->window_bytes, log->in_flight, 8 * log->rate));
}

void gy_rudp_qlog_event(struct gy_rudp_qlog *log, const struct gy_rudp_conn *conn,
                        const struct gy_rudp_event *event)
{
    if (log->full) {
        return;
    }
    switch (event->type) {
    case GY_RUDP_EVENT_SENT:
        packet(log, "packet_sent", event);
        break;
    case GY_RUDP_EVENT_RECEIVED:
        packet(log, "packet_received", event);
        break;
    case GY_RUDP_EVENT_LOST:
        packet(log, "packet_lost", event);
        break;
    }
    metrics(log, conn, event->now_ns);
}

void gy_rudp_qlog_close(struct gy_rudp_qlog *log, const struct gy_rudp_conn *conn, uint64_t now_ns)
{
    if (log == NULL) {
        return;
    }
    const struct gy_rudp_stats *stats = &conn->stats;
    fprintf(log->file,
            RECORD "{\"time\":%.6f,\"name\":\"quic:connection_closed\",\"data\":{\"initiator\":"
                   "\"%s\",\"application_error\":%" PRIu64 "}}\n",
            ms(log, now_ns), conn->closed_by_peer ? "remote" : "local", conn->close_code);
    fprintf(log->file,
            RECORD "{\"time\":%.6f,\"name\":\"rudp:statistics\",\"data\":{\"packets_sent\":%" PRIu64
                   ",\"packets_received\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"spurious\":%" PRIu64
                   ",\"probes\":%" PRIu64 ",\"repairs_sent\":%" PRIu64 ",\"recovered\":%" PRIu64
                   ",\"mtu_probes\":%" PRIu64 ",\"black_holes\":%" PRIu64 "}}\n",
            ms(log, now_ns), stats->packets_sent, stats->packets_received, stats->lost,
            stats->spurious, stats->probes, stats->repairs_sent, stats->recovered,
            stats->mtu_probes, stats->black_holes);
    for (uint32_t i = 0; i < conn->config.channels; i++) {
        struct gy_rudp_channel_stats channel;
        gy_rudp_channel_stats(conn, (uint8_t)i, &channel);
        if (channel.sent + channel.delivered > 0) {
            fprintf(log->file,
                    RECORD "{\"time\":%.6f,\"name\":\"rudp:channel\",\"data\":{\"channel\":%u,"
                           "\"sent\":%" PRIu64 ",\"sent_bytes\":%" PRIu64 ",\"delivered\":%" PRIu64
                           ",\"delivered_bytes\":%" PRIu64 "}}\n",
                    ms(log, now_ns), i, channel.sent, channel.sent_bytes, channel.delivered,
                    channel.delivered_bytes);
        }
    }
    fclose(log->file);
    atomic_fetch_sub(&open_files, 1);
    free(log);
}
