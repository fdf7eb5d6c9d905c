/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_CONGESTION_H
#define GY_PROTOCOLS_RUDP_CONGESTION_H

/*
 * Congestion control behind an interface: the connection tells what was sent, acknowledged and
 * lost, and reads `window_bytes` and `rate`. Three are here: CUBIC (RFC 9438, with the slow start
 * and the recovery period of RFC 9002 §7), BBR (bbr.h), and a fixed rate for networks that are
 * one's own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bbr.h"

struct gy_rudp_congestion;

enum gy_rudp_congestion_kind {
    GY_RUDP_CUBIC,
    GY_RUDP_BBR,
};

struct gy_rudp_congestion_ops {
    const char *name;
    /* A packet of `bytes` that was sent at `sent_ns` arrived. `limited`: the window, and not the
     * application, held the sender back; only then may it grow (RFC 9002 §7.8). */
    void (*acked)(struct gy_rudp_congestion *at, uint64_t bytes, uint64_t sent_ns, uint64_t rtt_ns,
                  bool limited, uint64_t now_ns);
    /* The last of the packets now found lost was sent at `sent_ns`; one call for all of them. */
    void (*lost)(struct gy_rudp_congestion *at, uint64_t sent_ns, uint64_t now_ns);
    /* Nothing got through for long (RFC 9002 §7.6). */
    void (*persistent)(struct gy_rudp_congestion *at);
    /* The path says that there is a queue (CE, RFC 3168): the last packet that is now known to have
     * come with that mark was sent at `sent_ns` or before. One call for all of them. */
    void (*marked)(struct gy_rudp_congestion *at, uint64_t sent_ns, uint64_t now_ns);
    /* A packet that was taken for lost and was sent at `sent_ns` has arrived after all. */
    void (*spurious)(struct gy_rudp_congestion *at, uint64_t sent_ns);

    /* Those below are of who measures rates, and NULL for the others. `flight` is what `sent` wrote
     * of that packet; `in_flight` is bytes, with this packet when it is sent, without those that
     * have just been acknowledged or lost. */
    void (*sent)(struct gy_rudp_congestion *at, struct gy_rudp_flight *flight, uint64_t bytes,
                 uint64_t in_flight, uint64_t now_ns);
    void (*flight_acked)(struct gy_rudp_congestion *at, const struct gy_rudp_flight *flight,
                         uint64_t bytes, uint64_t now_ns);
    void (*flight_lost)(struct gy_rudp_congestion *at, const struct gy_rudp_flight *flight,
                        uint64_t bytes, uint64_t now_ns);
    /* An acknowledgement was dealt with. `rtt_ns`: its sample, 0 if it gave none. */
    void (*ack_done)(struct gy_rudp_congestion *at, uint64_t in_flight, uint64_t rtt_ns,
                     uint64_t now_ns);
    /* There is nothing to send, though more might go. */
    void (*idle)(struct gy_rudp_congestion *at, uint64_t in_flight);
};

struct gy_rudp_congestion {
    const struct gy_rudp_congestion_ops *ops;
    uint64_t window_bytes;
    uint64_t rate; /* bytes a second to pace at; 0: from the window and the round-trip time */
    uint32_t datagram_bytes;
    uint64_t threshold;   /* of slow start, bytes */
    uint64_t recovery_ns; /* packets sent up to then belong to the last reduction; 0: none yet */
    /* CUBIC */
    double w_max, w_est, k; /* datagrams, datagrams, seconds */
    uint64_t epoch_ns;      /* the avoidance phase began; 0: at the next acknowledgement */
    double credit;          /* bytes of growth not yet whole */
    /* Before the last reduction, for one that was not needed. */
    struct {
        uint64_t window_bytes, threshold, epoch_ns;
        double w_max, w_est, k;
        bool valid;
    } before;
    struct gy_rudp_bbr bbr;
};

/* `datagram_bytes`: of a full packet. */
void gy_rudp_cubic_init(struct gy_rudp_congestion *at, uint32_t datagram_bytes);

/* `seed`: so that flows do not probe in step. */
void gy_rudp_bbr_init(struct gy_rudp_congestion *at, uint32_t datagram_bytes, uint64_t seed);

/* `rate` bytes a second whatever happens, at most `window_bytes` in flight. */
void gy_rudp_fixed_init(struct gy_rudp_congestion *at, uint32_t datagram_bytes, uint64_t rate,
                        uint64_t window_bytes);

#endif
