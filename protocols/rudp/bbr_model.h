/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_BBR_MODEL_H
#define GY_PROTOCOLS_RUDP_BBR_MODEL_H

/* What BBR takes the path for, from what was acknowledged and lost; bbr.c decides what to do by
 * that. Sections are those of draft-ietf-ccwg-bbr. */

#include "congestion.h"

#define MS           1000000ull
#define BETA         0.7
#define LOSS_PACKETS 6 /* lost at once that may mean congestion */
#define CLEAR_PACKETS                                                                              \
    24 /* the same where no queue is seen, of half a datagram: fewer are chance                    \
        */
#define MIN_PACKETS 4
#define NONE        UINT64_MAX

static inline double max_double(double a, double b)
{
    return a > b ? a : b;
}

static inline uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t window_min(const struct gy_rudp_congestion *at)
{
    return MIN_PACKETS * (uint64_t)at->datagram_bytes;
}

/* Bytes that fill the path `gain` times; ten datagrams while no round trip was measured. */
uint64_t gy_rudp_bbr_product(const struct gy_rudp_congestion *at, double bandwidth, double gain);
/* `bytes`, with room for what leaves and is acknowledged at a time. */
uint64_t gy_rudp_bbr_budget(const struct gy_rudp_congestion *at, uint64_t bytes);
/* The two together. */
uint64_t gy_rudp_bbr_inflight(const struct gy_rudp_congestion *at, double bandwidth, double gain);
/* What fills the path once, but not more than the window. */
uint64_t gy_rudp_bbr_target_inflight(const struct gy_rudp_congestion *at);
/* Of the most that went well, what leaves room for others; NONE: nothing is known. */
uint64_t gy_rudp_bbr_with_headroom(const struct gy_rudp_congestion *at);

/* Whether so much lost of so much in flight is a sign of congestion, see bbr.h. */
bool gy_rudp_bbr_too_high(const struct gy_rudp_congestion *at, uint64_t lost, uint64_t in_flight);

void gy_rudp_bbr_bounds_reset(struct gy_rudp_bbr *bbr);
void gy_rudp_bbr_signals_reset(struct gy_rudp_bbr *bbr);
void gy_rudp_bbr_full_reset(struct gy_rudp_bbr *bbr);
void gy_rudp_bbr_round_begin(struct gy_rudp_bbr *bbr);

/* With every acknowledgement. */
void gy_rudp_bbr_update_latest(struct gy_rudp_bbr *bbr);
void gy_rudp_bbr_update_round(struct gy_rudp_bbr *bbr);
void gy_rudp_bbr_update_bandwidth(struct gy_rudp_bbr *bbr);
void gy_rudp_bbr_update_extra(struct gy_rudp_bbr *bbr, uint64_t now_ns);
/* At the end of a round: what was reached bounds what is tried, if something was lost. */
void gy_rudp_bbr_adapt_short_term(struct gy_rudp_congestion *at);

#endif
