/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_HTTP_METRICS_H
#define GY_SERVERS_HTTP_HTTP_METRICS_H

/*
 * What an HTTP server counts, where other threads can read it.
 *
 * The protocol counts in plain numbers of its own (struct gy_h1_counters). After each turn of a
 * connection the worker mirrors them here, which is a few stores, no locked instruction.
 *
 * The latency of a request begins with the worker's clock of the turn that parsed its head, which
 * was read as that turn's completions were taken, and ends when its response was handed to the
 * stream for sending. So it has in it the wait behind other connections of the same turn, and
 * the handler's time; not the time in the kernel's queues, nor the sending. Requests that are
 * answered in the turn that parsed them (pipelined ones too) share one reading of the clock, after
 * the last of them: the earlier ones of a pipeline look as slow as the last, never faster than they
 * were.
 */

#include "../../core/metrics.h"
#include "../../protocols/http/h1.h"
#include "../kind.h"

/* X(member, h1 counter, name, label, help): all of them only grow. */
#define GY_HTTP_COUNTERS(X)                                                                        \
    X(requests, requests, "http_requests", "", "Requests given to the handler.")                   \
    X(connections, connections, "http_connections", "", "Connections that speak HTTP.")            \
    X(informed, responses[1], "http_responses", "class=\"1xx\"", "Responses by class.")            \
    X(succeeded, responses[2], "http_responses", "class=\"2xx\"", "Responses by class.")           \
    X(redirected, responses[3], "http_responses", "class=\"3xx\"", "Responses by class.")          \
    X(client_erred, responses[4], "http_responses", "class=\"4xx\"", "Responses by class.")        \
    X(server_erred, responses[5], "http_responses", "class=\"5xx\"", "Responses by class.")        \
    X(copied_bytes, copied_bytes, "http_copied_bytes", "",                                         \
      "Bytes of heads and small bodies that were copied.")                                         \
    X(body_bytes_in, body_bytes_in, "http_request_body_bytes", "", "Bytes of requests' bodies.")   \
    X(cancelled, cancelled, "http_cancelled", "", "Requests that ended without a whole response.") \
    X(starved, starved, "http_starved", "", "Turns cut short for want of memory.")                 \
    X(tunnels, tunnels, "http_tunnels", "", "Requests that became tunnels.")

/* What compressing as files are asked for counts: X(member, name, label, kind, help). */
#define GY_COMPRESS_COUNTERS(X)                                                                    \
    X(responses_br, "compressed_responses", "coding=\"br\"", COUNTER,                              \
      "Responses in a content coding that was made here.")                                         \
    X(responses_zstd, "compressed_responses", "coding=\"zstd\"", COUNTER,                          \
      "Responses in a content coding that was made here.")                                         \
    X(responses_gzip, "compressed_responses", "coding=\"gzip\"", COUNTER,                          \
      "Responses in a content coding that was made here.")                                         \
    X(in_bytes, "compress_in_bytes", "", COUNTER, "Bytes of files that were compressed.")          \
    X(out_bytes, "compress_out_bytes", "", COUNTER, "Bytes that they were compressed to.")         \
    X(hits, "compress_cache_hits", "", COUNTER,                                                    \
      "Answers from the cache, also to those who had waited for it.")                              \
    X(misses, "compress_cache_misses", "", COUNTER, "Files that were compressed for the cache.")   \
    X(evictions, "compress_cache_evictions", "", COUNTER,                                          \
      "Codings given up for others: the cache was full.")                                          \
    X(cache_bytes, "compress_cache_bytes", "", GAUGE, "Memory that codings take.")                 \
    X(streams, "compress_streams", "", COUNTER,                                                    \
      "Responses compressed while they were sent: too long for the cache.")                        \
    X(useless, "compress_useless", "", COUNTER, "Files that a coding makes no smaller.")           \
    X(refused_queue, "compress_refused", "reason=\"queue\"", COUNTER,                              \
      "Files sent as they are for want of a helper's time or of memory.")                          \
    X(refused_streams, "compress_refused", "reason=\"streams\"", COUNTER,                          \
      "Files sent as they are for want of a helper's time or of memory.")                          \
    X(refused_memory, "compress_refused", "reason=\"memory\"", COUNTER,                            \
      "Files sent as they are for want of a helper's time or of memory.")

struct gy_compress_counts {
    GY_COMPRESS_COUNTERS(GY_METRIC_MEMBER)
};

/* Of all WebSockets of a server (websocket.h): member, name, label, kind, help. */
#define GY_WEBSOCKET_COUNTERS(X)                                                                   \
    X(connections, "websocket_connections", "", GAUGE, "WebSockets that are open.")                \
    X(messages_in, "websocket_messages", "direction=\"in\"", COUNTER, "Whole messages.")           \
    X(messages_out, "websocket_messages", "direction=\"out\"", COUNTER, "Whole messages.")         \
    X(bytes_in, "websocket_message_bytes", "direction=\"in\"", COUNTER,                            \
      "Bytes of messages, as they are without compression.")                                       \
    X(bytes_out, "websocket_message_bytes", "direction=\"out\"", COUNTER,                          \
      "Bytes of messages, as they are without compression.")                                       \
    X(packed_in, "websocket_compressed_messages", "direction=\"in\"", COUNTER,                     \
      "Messages that were compressed.")                                                            \
    X(packed_out, "websocket_compressed_messages", "direction=\"out\"", COUNTER,                   \
      "Messages that were compressed.")                                                            \
    X(packed_bytes_in, "websocket_compressed_bytes", "direction=\"in\"", COUNTER,                  \
      "Bytes of compressed messages on the wire.")                                                 \
    X(packed_bytes_out, "websocket_compressed_bytes", "direction=\"out\"", COUNTER,                \
      "Bytes of compressed messages on the wire.")                                                 \
    X(reserved_bytes, "websocket_compression_memory_bytes", "", GAUGE,                             \
      "What connections that are compressed for may take.")                                        \
    X(declined, "websocket_compression_declined", "", COUNTER,                                     \
      "Connections not compressed for: compress-memory was used up.")                              \
    X(pings_in, "websocket_pings", "direction=\"in\"", COUNTER, "Pings.")                          \
    X(pings_out, "websocket_pings", "direction=\"out\"", COUNTER, "Pings.")                        \
    X(breaches, "websocket_failures", "reason=\"protocol\"", COUNTER,                              \
      "Connections ended because of what the client did, or did not do.")                          \
    X(not_text, "websocket_failures", "reason=\"not_text\"", COUNTER,                              \
      "Connections ended because of what the client did, or did not do.")                          \
    X(too_big, "websocket_failures", "reason=\"too_big\"", COUNTER,                                \
      "Connections ended because of what the client did, or did not do.")                          \
    X(timeouts, "websocket_failures", "reason=\"timeout\"", COUNTER,                               \
      "Connections ended because of what the client did, or did not do.")                          \
    X(refused, "websocket_messages_refused", "", COUNTER,                                          \
      "Messages not sent to clients that were too far behind.")                                    \
    X(relayed, "websocket_relayed_messages", "", COUNTER,                                          \
      "Broadcasts that went to other workers.")                                                    \
    X(relay_delays, "websocket_relay_delays", "", COUNTER,                                         \
      "Broadcasts that found another worker's mailbox full, and waited.")                          \
    X(relay_pauses, "websocket_relay_pauses", "", COUNTER,                                         \
      "Times that clients were not read from, because other workers were behind.")

struct gy_websocket_counts {
    GY_WEBSOCKET_COUNTERS(GY_METRIC_MEMBER)
};

/* One worker's, written by that worker. */
struct gy_http_counts {
#define GY_HTTP_COUNTS_MEMBER(member, from, name, label, help) _Atomic uint64_t member;
    GY_HTTP_COUNTERS(GY_HTTP_COUNTS_MEMBER)
#undef GY_HTTP_COUNTS_MEMBER
    _Atomic uint64_t refused[GY_H1_REFUSAL_COUNT];
    _Atomic uint64_t limited_connections; /* closed: their address had as many as it may */
    _Atomic uint64_t limited_requests;    /* 429: their address asked too often */
    _Atomic uint64_t limited_not;         /* let in uncounted: the table of addresses was full */
    _Atomic uint64_t log_lines;           /* given to the access log */
    _Atomic uint64_t log_dropped;         /* not taken by it: its queue was full */
    struct gy_compress_counts compress;
    struct gy_websocket_counts websocket;
    struct gy_histogram latency;
} __attribute__((aligned(64)));

/* All of it. */
extern const struct gy_server_metrics gy_http_metrics;

/* Mirrors what changes with every request. */
void gy_http_counts_publish(struct gy_http_counts *counts, const struct gy_h1_counters *counters);

/* And what changes as connections end. */
void gy_http_counts_publish_refusals(struct gy_http_counts *counts,
                                     const struct gy_h1_counters *counters);

#endif
