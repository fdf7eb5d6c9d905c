/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_METRICS_H
#define GY_CORE_METRICS_H

/*
 * Counters, and their rendering as Prometheus text (exposition format 0.0.4).
 *
 * A worker owns one `struct gy_counters` and is the only thread that writes it: a count is a plain
 * load, add and store, with no locked instruction. Any thread may read; a reader sees each counter
 * whole, but not all of them at one instant.
 *
 * Counters are described by tables, so a protocol brings its own: a struct of `_Atomic uint64_t`
 * members and a `struct gy_metric_description` row for each. Both come from one list, a line a
 * counter, with rows of one name next to each other:
 *
 *     #define PING_COUNTERS(X)                                                                   \
 *         X(answered, "pings", "how=\"answered\"", COUNTER, "Pings.")                            \
 *         X(refused, "pings", "how=\"refused\"", COUNTER, "Pings.")
 *
 *     struct ping_counts {
 *         PING_COUNTERS(GY_METRIC_MEMBER)
 *     };
 *     #define ROW(...) GY_METRIC_ROW(struct ping_counts, __VA_ARGS__)
 *     static const struct gy_metric_description rows[] = {PING_COUNTERS(ROW)};
 *
 * Rendering takes any table, and the structs of all workers.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"
#include "error.h"

enum gy_metric_kind {
    GY_METRIC_COUNTER,   /* only grows; workers are added up; "_total" is appended to its name */
    GY_METRIC_GAUGE,     /* goes up and down; workers are added up */
    GY_METRIC_GAUGE_MAX, /* the highest of the workers (a high-water mark) */
    GY_METRIC_GAUGE_MIN, /* the lowest of the workers (a low-water mark) */
};

/* One row: one sample. Rows of the same name lie next to each other, differ in their label, and
 * have the same help and kind. */
struct gy_metric_description {
    const char *name;  /* without "gyre_" before it and "_total" after it */
    const char *label; /* written as it is: `reason="peer"`; "" for none */
    const char *help;
    enum gy_metric_kind kind;
    size_t offset; /* of an _Atomic uint64_t in the struct */
};

/* What a list of counters is for: members of a struct, an element of its table, how many there are
 * (0 LIST(GY_METRIC_ONE)). */
#define GY_METRIC_MEMBER(member, name, label, kind, help) _Atomic uint64_t member;
#define GY_METRIC_ROW(type, member, name, label, kind, help)                                       \
    {name, label, help, GY_METRIC_##kind, offsetof(type, member)},
#define GY_METRIC_ONE(member, name, label, kind, help) +1

struct gy_metric_label {
    const char *name;
    const char *value; /* any text: it is escaped */
};

/* Structs whose values are joined into one sample, by kind, and the labels that tell the sample
 * from those of other sets. All workers in one set gives the sum; a set for each, labelled
 * worker="0", worker="1", gives the detail. */
struct gy_metric_set {
    const void *const *instances;
    size_t instance_count;
    const struct gy_metric_label *labels;
    size_t label_count;
};

/* Writes `# HELP`, `# TYPE` and the samples of every row, for every set. 0, or GY_ENOBUFS when the
 * writer has no room: then what it holds is incomplete. */
int gy_metrics_render(struct gy_writer *writer, const struct gy_metric_description *rows,
                      size_t row_count, const struct gy_metric_set *sets, size_t set_count);

/* One row's value over the instances. Without instances 0, and UINT64_MAX for a GAUGE_MIN; a
 * GAUGE_MIN at UINT64_MAX has not been set, and is not rendered. */
uint64_t gy_metric_value(const struct gy_metric_description *row, const void *const *instances,
                         size_t instance_count);

/* The owner counts n more. */
static inline void gy_count(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

/* The owner lowers a gauge; it holds at least n. */
static inline void gy_uncount(_Atomic uint64_t *gauge, uint64_t n)
{
    uint64_t value = atomic_load_explicit(gauge, memory_order_relaxed);
    gy_assert(value >= n);
    atomic_store_explicit(gauge, value - n, memory_order_relaxed);
}

/* The owner sets a gauge. */
static inline void gy_gauge_set(_Atomic uint64_t *gauge, uint64_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}

/* The owner moves a high-water (low-water) mark, if value is beyond it. */
static inline void gy_gauge_raise(_Atomic uint64_t *gauge, uint64_t value)
{
    if (value > atomic_load_explicit(gauge, memory_order_relaxed)) {
        gy_gauge_set(gauge, value);
    }
}

static inline void gy_gauge_lower(_Atomic uint64_t *gauge, uint64_t value)
{
    if (value < atomic_load_explicit(gauge, memory_order_relaxed)) {
        gy_gauge_set(gauge, value);
    }
}

static inline uint64_t gy_counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/*
 * How long things took, as a Prometheus histogram. Buckets are log-linear: two for each doubling,
 * so that a quantile read from them is off by a third at most, up to bucket GY_HISTOGRAM_BUCKETS-1,
 * which holds what took longer than 8.6 s. The bounds are constants, so that histograms of any
 * workers, processes and hosts add up.
 */
#define GY_HISTOGRAM_BUCKETS   48
#define GY_HISTOGRAM_FIRST_LOG 10 /* bucket 0: up to 2^10 ns */

struct gy_histogram {
    _Atomic uint64_t counts[GY_HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_ns;
};

/* The bucket that a time falls into: the first whose bound is not below it. */
static inline uint32_t gy_histogram_bucket(uint64_t ns)
{
    if (ns <= (uint64_t)1 << GY_HISTOGRAM_FIRST_LOG) {
        return 0;
    }
    uint64_t below = ns - 1;
    uint32_t log = 63 - (uint32_t)__builtin_clzll(below);
    uint32_t bucket = 1 + 2 * (log - GY_HISTOGRAM_FIRST_LOG) + (uint32_t)(below >> (log - 1) & 1);
    return bucket < GY_HISTOGRAM_BUCKETS ? bucket : GY_HISTOGRAM_BUCKETS - 1;
}

/* The largest time in ns that falls into the bucket; UINT64_MAX for the last one. */
uint64_t gy_histogram_bound(uint32_t bucket);

/* The owner adds `n` things that took `ns` each. */
static inline void gy_histogram_add(struct gy_histogram *histogram, uint64_t ns, uint64_t n)
{
    gy_count(&histogram->counts[gy_histogram_bucket(ns)], n);
    gy_count(&histogram->sum_ns, ns * n);
}

/* Writes `# HELP`, `# TYPE` and, for every set, the cumulative buckets, the sum in seconds and the
 * count. `offset` is where the histogram lies in an instance; `name` is without "gyre_" and ends in
 * "_seconds". 0 or GY_ENOBUFS. */
int gy_histogram_render(struct gy_writer *writer, const char *name, const char *help, size_t offset,
                        const struct gy_metric_set *sets, size_t set_count);

/* What a worker of core counts: X(member, name, label, kind, help). */
#define GY_COUNTERS(X)                                                                             \
    X(connections_accepted, "connections_accepted", "", COUNTER, "Connections accepted.")          \
    X(connections_dialled, "connections_dialled", "", COUNTER, "Connections begun by this side.")  \
    X(connections_open, "connections_open", "", GAUGE, "Connections open now.")                    \
    X(connections_limit, "connections_limit", "", GAUGE,                                           \
      "Connections that may be open: as configured, or as the limit on open files allows.")        \
    X(connections_refused, "connections_refused", "", COUNTER,                                     \
      "Connections closed at once because a limit was reached.")                                   \
    X(closed_local, "connections_closed", "reason=\"local\"", COUNTER, "Connections closed.")      \
    X(closed_peer, "connections_closed", "reason=\"peer\"", COUNTER, "Connections closed.")        \
    X(closed_reset, "connections_closed", "reason=\"reset\"", COUNTER, "Connections closed.")      \
    X(closed_unreached, "connections_closed", "reason=\"unreached\"", COUNTER,                     \
      "Connections closed.")                                                                       \
    X(closed_timeout, "connections_closed", "reason=\"timeout\"", COUNTER, "Connections closed.")  \
    X(closed_protocol, "connections_closed", "reason=\"protocol\"", COUNTER,                       \
      "Connections closed.")                                                                       \
    X(closed_limit, "connections_closed", "reason=\"limit\"", COUNTER, "Connections closed.")      \
    X(closed_drain, "connections_closed", "reason=\"drain\"", COUNTER, "Connections closed.")      \
    X(closed_error, "connections_closed", "reason=\"error\"", COUNTER, "Connections closed.")      \
    X(received_bytes, "received_bytes", "", COUNTER, "Bytes received from peers.")                 \
    X(sent_bytes, "sent_bytes", "", COUNTER, "Bytes that the kernel took for peers.")              \
    X(copied_bytes, "copied_bytes", "", COUNTER, "Payload bytes copied in user space.")            \
    X(turns, "turns", "", COUNTER, "Turns of the worker's loop.")                                  \
    X(enters, "enters", "", COUNTER, "System calls that entered the ring.")                        \
    X(submissions, "submissions", "", COUNTER, "Operations submitted to the ring.")                \
    X(completions, "completions", "", COUNTER, "Completions taken from the ring.")                 \
    X(completions_stale, "completions_stale", "", COUNTER,                                         \
      "Completions dropped because what they were for is gone.")                                   \
    X(cq_overflows, "cq_overflows", "", COUNTER, "Times that the completion queue overflowed.")    \
    X(enobufs, "enobufs", "", COUNTER, "Receives that ended because no buffer was posted.")        \
    X(buffers_posted, "buffers_posted", "", GAUGE, "Receive buffers that the kernel may fill.")    \
    X(buffers_free_min, "buffers_free_low", "", GAUGE_MIN,                                         \
      "The fewest receive buffers that were free at once.")                                        \
    X(paused_high_water, "streams_paused", "cause=\"high_water\"", COUNTER,                        \
      "Times that a stream stopped reading.")                                                      \
    X(paused_quota, "streams_paused", "cause=\"quota\"", COUNTER,                                  \
      "Times that a stream stopped reading.")                                                      \
    X(put_off, "put_off", "", COUNTER,                                                             \
      "Times that a session or a send waited for the next turn, for the sake of other servers.")   \
    X(floods, "floods", "", COUNTER,                                                               \
      "Times that a server was flooded, and its streams received a few at a time from then on.")   \
    X(flood_passes, "flood_passes", "", COUNTER,                                                   \
      "Receives that were let through, a few a turn, while a server was flooded.")                 \
    X(streams_evicted, "streams_evicted", "", COUNTER,                                             \
      "Streams ended because their peers held the output memory.")                                 \
    X(short_sends, "short_sends", "", COUNTER, "Sends of which the kernel took a part.")           \
    X(file_sends, "file_sends", "", COUNTER, "Sends of files by reference to the page cache.")     \
    X(file_sent_bytes, "file_sent_bytes", "", COUNTER, "Bytes of files sent by reference.")        \
    X(file_waits, "file_send_waits", "", COUNTER,                                                  \
      "Times that such a send waited for room in the socket.")                                     \
    X(file_cold_reads, "file_cold_reads", "", COUNTER,                                             \
      "Reads of parts of files that were to be sent and not in the page cache.")                   \
    X(file_failures, "file_failures", "", COUNTER,                                                 \
      "Files that got shorter, or could not be read, while they were sent.")                       \
    X(accept_pauses, "accept_pauses", "", COUNTER,                                                 \
      "Times that accepting paused for want of descriptors.")                                      \
    X(timeouts_connect, "timeouts", "kind=\"connect\"", COUNTER, "Deadlines that passed.")         \
    X(timeouts_handshake, "timeouts", "kind=\"handshake\"", COUNTER, "Deadlines that passed.")     \
    X(timeouts_header, "timeouts", "kind=\"header\"", COUNTER, "Deadlines that passed.")           \
    X(timeouts_idle, "timeouts", "kind=\"idle\"", COUNTER, "Deadlines that passed.")               \
    X(timeouts_write, "timeouts", "kind=\"write\"", COUNTER, "Deadlines that passed.")             \
    X(timeouts_linger, "timeouts", "kind=\"linger\"", COUNTER, "Deadlines that passed.")           \
    X(tls_full, "tls_handshakes", "kind=\"full\"", COUNTER, "TLS handshakes done.")                \
    X(tls_resumed, "tls_handshakes", "kind=\"resumed\"", COUNTER, "TLS handshakes done.")          \
    X(tls_failures, "tls_failures", "", COUNTER, "TLS connections ended by an error in TLS.")      \
    X(datagrams_received, "datagrams_received", "", COUNTER, "Datagrams received.")                \
    X(datagram_receives, "datagram_receives", "", COUNTER,                                         \
      "Buffers that datagrams came in: fewer than datagrams where trains were taken whole.")       \
    X(datagrams_truncated, "datagrams_truncated", "", COUNTER,                                     \
      "Datagrams received that were longer than the server takes.")                                \
    X(datagrams_malformed, "datagrams_malformed", "", COUNTER,                                     \
      "Datagrams dropped because the kernel's account of them made no sense.")                     \
    X(datagrams_lost, "datagrams_lost", "", COUNTER,                                               \
      "Datagrams received and dropped for want of memory.")                                        \
    X(datagram_receive_errors, "datagram_receive_errors", "", COUNTER,                             \
      "Receives that ended with an error, such as a peer that is not there.")                      \
    X(datagrams_sent, "datagrams_sent", "", COUNTER, "Datagrams that the kernel took.")            \
    X(datagram_sends, "datagram_sends", "", COUNTER,                                               \
      "Sends that carried them: fewer than datagrams where trains were sent.")                     \
    X(datagram_trains_split, "datagram_trains_split", "", COUNTER,                                 \
      "Trains that the path did not take, sent again one by one.")                                 \
    X(unsent_queue, "datagrams_unsent", "reason=\"queue\"", COUNTER, "Datagrams not sent.")        \
    X(unsent_too_long, "datagrams_unsent", "reason=\"too_long\"", COUNTER, "Datagrams not sent.")  \
    X(unsent_no_buffers, "datagrams_unsent", "reason=\"no_buffers\"", COUNTER,                     \
      "Datagrams not sent.")                                                                       \
    X(unsent_again, "datagrams_unsent", "reason=\"again\"", COUNTER, "Datagrams not sent.")        \
    X(unsent_forbidden, "datagrams_unsent", "reason=\"forbidden\"", COUNTER,                       \
      "Datagrams not sent.")                                                                       \
    X(unsent_refused, "datagrams_unsent", "reason=\"refused\"", COUNTER, "Datagrams not sent.")    \
    X(unsent_unreachable, "datagrams_unsent", "reason=\"unreachable\"", COUNTER,                   \
      "Datagrams not sent.")                                                                       \
    X(unsent_closed, "datagrams_unsent", "reason=\"closed\"", COUNTER, "Datagrams not sent.")      \
    X(unsent_error, "datagrams_unsent", "reason=\"error\"", COUNTER, "Datagrams not sent.")        \
    X(mailbox_refused, "mailbox_refused", "", COUNTER,                                             \
      "Messages to another worker that found its mailbox full.")

struct gy_counters {
    GY_COUNTERS(GY_METRIC_MEMBER)
} __attribute__((aligned(64))); /* no line shared with another worker's */

extern const struct gy_metric_description gy_counters_rows[];
extern const size_t gy_counters_row_count;

/* Zeros, and marks that are lowered start at UINT64_MAX (not rendered until one is set). */
void gy_counters_init(struct gy_counters *counters);

#endif
