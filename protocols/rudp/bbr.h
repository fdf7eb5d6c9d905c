/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_BBR_H
#define GY_PROTOCOLS_RUDP_BBR_H

/*
 * The state of BBR (draft-ietf-ccwg-bbr, version 3 of the algorithm), whose calls are those of
 * congestion.h: the bandwidth that acknowledgements show and the shortest round trip make a model
 * of the path; the sender paces at the first and keeps about twice their product in flight.
 *
 * One thing is other than in the draft. There more than 2 % of loss always mean too much in flight.
 * Here that holds while round trips are longer than the path's (a queue is there that may have run
 * over); while they are not, loss is the path's own, and it takes 10 %, and twelve packets at least
 * of what was in flight (fewer are chance), to be taken for congestion. So a path that loses 5 % at
 * random is used as one that loses nothing; and a bottleneck of hardly any queue gets up to 10 %
 * too much. And a round trip that is at most an eighth longer than the shortest says that there is
 * no queue, so that none has to be emptied to find the shortest again (ProbeRTT).
 */

#include <stdbool.h>
#include <stdint.h>

/* What was so when a packet was sent. Bytes, nanoseconds. */
struct gy_rudp_flight {
    uint64_t delivered, delivered_ns, first_sent_ns, sent_ns;
    uint64_t lost, in_flight;
    bool app_limited;
};

enum gy_rudp_bbr_state {
    GY_RUDP_BBR_STARTUP,
    GY_RUDP_BBR_DRAIN,
    GY_RUDP_BBR_DOWN, /* of ProbeBW, these four */
    GY_RUDP_BBR_CRUISE,
    GY_RUDP_BBR_REFILL,
    GY_RUDP_BBR_UP,
    GY_RUDP_BBR_PROBE_RTT,
};

enum gy_rudp_bbr_phase {
    GY_RUDP_BBR_ACKS_INIT,
    GY_RUDP_BBR_ACKS_REFILLING,
    GY_RUDP_BBR_ACKS_STARTING,
    GY_RUDP_BBR_ACKS_FEEDBACK,
    GY_RUDP_BBR_ACKS_STOPPING,
};

struct gy_rudp_bbr {
    enum gy_rudp_bbr_state state;
    enum gy_rudp_bbr_phase phase;
    double pacing_gain, window_gain;

    /* What has been delivered, and the sample of the acknowledgement that is being read. */
    uint64_t delivered, delivered_ns, first_sent_ns, lost;
    uint64_t app_limited; /* what is to be delivered before samples count fully again; 0: they do */
    struct {
        bool any, app_limited;
        uint64_t prior_delivered, interval_ns, acked, delivered, in_flight, lost;
        uint64_t sent_ns;
        double rate;
    } sample;

    /* Round trips, counted by what is delivered. */
    uint64_t round_delivered, rounds;
    bool round_start, idle_restart;

    /* The model: bytes a second, bytes, nanoseconds. */
    double bandwidths[2], bandwidth_max, bandwidth_short, bandwidth;
    uint64_t cycles;
    uint64_t rtt_min_ns, rtt_min_at_ns, rtt_probe_ns, rtt_probe_at_ns, rtt_latest_ns;
    uint64_t inflight_long, inflight_short;
    double bandwidth_latest;
    uint64_t inflight_latest;
    uint64_t extra_acked[2], extra_from_ns, extra_delivered, extra_rounds;

    /* Is the pipe full? */
    double full_bandwidth;
    unsigned full_rounds;
    bool full_now, full;

    /* Loss within a round, and whether a queue was seen meanwhile. */
    uint64_t loss_round_delivered, round_lost, round_lost_packets;
    uint64_t round_rtt_ns, queue_rtt_ns; /* shortest of this round, of the last */
    bool loss_round_start, loss_in_round;
    bool marked_in_round; /* the path has marked: there is a queue, whatever is lost */

    /* Probing. */
    uint64_t cycle_ns, probe_wait_ns, rounds_since_probe;
    uint64_t up_rounds, up_acked, up_bytes;
    bool probe_samples;
    uint64_t rtt_done_ns, window_before;
    bool rtt_round_done;
    bool limited; /* the window held the sender back in this round */

    struct {
        double bandwidth_short;
        uint64_t inflight_short, inflight_long, sent_ns;
        bool valid;
    } undo;
    uint64_t random;
};

#endif
