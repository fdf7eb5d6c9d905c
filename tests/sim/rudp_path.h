/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_RUDP_PATH_H
#define GY_TESTS_SIM_RUDP_PATH_H

/*
 * What reliable UDP makes of a path: flows of messages, one way each, over one link in simulated
 * time, and how long each message took. The same options and seed give the same figures. `gyre rudp
 * sim` draws what `trace` collects.
 */

#include "protocols/rudp/gate.h"
#include "protocols/rudp/rudp.h"
#include "tests/sim/network.h"
#include "tests/sim/tcp_model.h"

#define PATH_FLOWS_MAX 4
#define PATH_TRACE_MAX 4000

struct path_flow_options {
    enum gy_rudp_congestion_kind congestion;
    bool tcp; /* no reliable UDP, but the model of a TCP sender; the rest does not matter then */
    enum gy_rudp_guarantee guarantee;
    uint32_t message_bytes; /* 16 or more */
    uint64_t interval_ns;   /* between two messages; 0: as many as there is room for */
    uint64_t lifetime_ns;   /* 0: without a deadline */
    uint32_t channels;      /* taken in turn; 0: one */
    uint32_t fec_packets;   /* one repair for so many; 0: none */
    bool ecn;
    uint64_t start_ns; /* after the run's beginning */
};

struct path_options {
    uint64_t seed;
    struct sim_link forward, back; /* as they are to be; forward is shared by all flows */
    uint64_t duration_ns;          /* messages are sent so long; then 2 s for the rest */
    uint64_t measure_ns;           /* delivered_bytes are counted from then on */
    uint32_t flow_count;
    struct path_flow_options flows[PATH_FLOWS_MAX];
    uint64_t trace_ns;                   /* between two samples of the first flow; 0: none */
    const struct gy_rudp_config *config; /* NULL: what path_config() says */
};

/* One moment of the first flow. */
struct path_sample {
    uint64_t at_ns, window_bytes, in_flight, srtt_ns, rate, delivered_bytes, lost;
};

struct path_flow_result {
    uint64_t sent, delivered, expired, lost;
    uint64_t delivered_bytes;      /* from measure_ns to duration_ns */
    uint64_t late;                 /* delivered after their deadlines and the way there */
    uint64_t *delays_ns;           /* of `delivered`, sorted; NULL of a flood and of TCP */
    struct gy_rudp_stats stats;    /* of the sender's connection */
    struct gy_rudp_stats received; /* of the receiver's */
};

struct path_result {
    struct path_flow_result flows[PATH_FLOWS_MAX];
    struct sim_counts network;
    struct path_sample trace[PATH_TRACE_MAX];
    uint32_t trace_count;
    char failure[128]; /* empty: none */
};

/* 16 channels, windows of 16 MiB, 4,096 packets. */
struct gy_rudp_config path_config(void);

/* 0, or -1 with result->failure. path_free() afterwards in either case. */
int path_run(const struct path_options *options, struct path_result *result);
void path_free(struct path_result *result);

/* Of the delays, nanoseconds; 0 where there are none. */
uint64_t path_quantile(const struct path_flow_result *flow, double quantile);

#endif
