/* SPDX-License-Identifier: GPL-3.0-or-later */

/* BBR's model of the path; see bbr_model.h. */

#include "protocols/rudp/bbr_model.h"

#include <float.h>

#define HEADROOM     0.85
#define LOSS_QUEUE   0.02 /* bbr.h: with a queue, and without one */
#define LOSS_CLEAR   0.10
#define EXTRA_ROUNDS 5 /* two such spans are looked back */

uint64_t gy_rudp_bbr_product(const struct gy_rudp_congestion *at, double bandwidth, double gain)
{
    const struct gy_rudp_bbr *bbr = &at->bbr;
    if (bbr->rtt_min_ns == NONE) {
        return 10 * (uint64_t)at->datagram_bytes;
    }
    return (uint64_t)(gain * bandwidth * (double)bbr->rtt_min_ns / 1e9);
}

/* With room for what leaves and is acknowledged at a time, §5.6.4.2. */
uint64_t gy_rudp_bbr_budget(const struct gy_rudp_congestion *at, uint64_t bytes)
{
    bytes = max64(bytes + 2 * (uint64_t)at->datagram_bytes, window_min(at));
    return at->bbr.state == GY_RUDP_BBR_UP ? bytes + 2 * (uint64_t)at->datagram_bytes : bytes;
}

uint64_t gy_rudp_bbr_inflight(const struct gy_rudp_congestion *at, double bandwidth, double gain)
{
    return gy_rudp_bbr_budget(at, gy_rudp_bbr_product(at, bandwidth, gain));
}

uint64_t gy_rudp_bbr_target_inflight(const struct gy_rudp_congestion *at)
{
    return min64(gy_rudp_bbr_product(at, at->bbr.bandwidth, 1), at->window_bytes);
}

uint64_t gy_rudp_bbr_with_headroom(const struct gy_rudp_congestion *at)
{
    const struct gy_rudp_bbr *bbr = &at->bbr;
    if (bbr->inflight_long == NONE) {
        return NONE;
    }
    uint64_t room =
        max64(at->datagram_bytes, (uint64_t)((1 - HEADROOM) * (double)bbr->inflight_long));
    return bbr->inflight_long > room ? max64(bbr->inflight_long - room, window_min(at))
                                     : window_min(at);
}

static bool has_queue(const struct gy_rudp_bbr *bbr)
{
    uint64_t rtt_ns = min64(bbr->round_rtt_ns, bbr->queue_rtt_ns);
    return bbr->rtt_min_ns != NONE && rtt_ns != NONE &&
           rtt_ns > bbr->rtt_min_ns + bbr->rtt_min_ns / 8 + MS;
}

/* Whether so much lost of so much in flight is a sign of congestion, see bbr.h. */
bool gy_rudp_bbr_too_high(const struct gy_rudp_congestion *at, uint64_t lost, uint64_t in_flight)
{
    const struct gy_rudp_bbr *bbr = &at->bbr;
    if (has_queue(bbr)) {
        return (double)lost > LOSS_QUEUE * (double)in_flight;
    }
    return (double)lost > LOSS_CLEAR * (double)in_flight &&
           lost >= CLEAR_PACKETS * (uint64_t)at->datagram_bytes / 2;
}

void gy_rudp_bbr_bounds_reset(struct gy_rudp_bbr *bbr)
{
    bbr->bandwidth_short = DBL_MAX;
    bbr->inflight_short = NONE;
}

void gy_rudp_bbr_signals_reset(struct gy_rudp_bbr *bbr)
{
    bbr->loss_in_round = bbr->marked_in_round = false;
    bbr->round_lost = bbr->round_lost_packets = 0;
    bbr->bandwidth_latest = 0;
    bbr->inflight_latest = 0;
}

void gy_rudp_bbr_full_reset(struct gy_rudp_bbr *bbr)
{
    bbr->full_bandwidth = 0;
    bbr->full_rounds = 0;
    bbr->full_now = false;
}

void gy_rudp_bbr_round_begin(struct gy_rudp_bbr *bbr)
{
    bbr->round_delivered = bbr->delivered;
}

void gy_rudp_bbr_update_round(struct gy_rudp_bbr *bbr)
{
    bbr->round_start = false;
    if (bbr->sample.prior_delivered >= bbr->round_delivered) {
        gy_rudp_bbr_round_begin(bbr);
        bbr->rounds++;
        bbr->rounds_since_probe++;
        bbr->round_start = true;
        bbr->queue_rtt_ns = bbr->round_rtt_ns;
        bbr->round_rtt_ns = NONE;
    }
}

void gy_rudp_bbr_update_bandwidth(struct gy_rudp_bbr *bbr)
{
    double rate = bbr->sample.rate;
    if (rate > 0 && (rate >= bbr->bandwidth_max || !bbr->sample.app_limited)) {
        double *slot = &bbr->bandwidths[bbr->cycles & 1];
        *slot = max_double(*slot, rate);
        bbr->bandwidth_max = max_double(bbr->bandwidths[0], bbr->bandwidths[1]);
    }
}

/* §5.5.10.3: what was reached lately bounds what is tried, as long as this probe does not say
 * otherwise. */
void gy_rudp_bbr_adapt_short_term(struct gy_rudp_congestion *at)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    bool probing = bbr->state == GY_RUDP_BBR_STARTUP || bbr->state == GY_RUDP_BBR_REFILL ||
                   bbr->state == GY_RUDP_BBR_UP;
    uint64_t flown = max64(bbr->inflight_latest, 1) + bbr->round_lost;
    bool high = bbr->marked_in_round || gy_rudp_bbr_too_high(at, bbr->round_lost, flown);
    if (probing || !bbr->loss_in_round || !high) {
        return;
    }
    if (bbr->bandwidth_short == DBL_MAX) {
        bbr->bandwidth_short = bbr->bandwidth_max;
    }
    if (bbr->inflight_short == NONE) {
        bbr->inflight_short = at->window_bytes;
    }
    bbr->bandwidth_short = max_double(bbr->bandwidth_latest, BETA * bbr->bandwidth_short);
    bbr->inflight_short =
        max64(bbr->inflight_latest, (uint64_t)(BETA * (double)bbr->inflight_short));
}

void gy_rudp_bbr_update_latest(struct gy_rudp_bbr *bbr)
{
    bbr->loss_round_start = false;
    bbr->bandwidth_latest = max_double(bbr->bandwidth_latest, bbr->sample.rate);
    bbr->inflight_latest = max64(bbr->inflight_latest, bbr->sample.delivered);
    if (bbr->sample.prior_delivered >= bbr->loss_round_delivered) {
        bbr->loss_round_delivered = bbr->delivered;
        bbr->loss_round_start = true;
    }
}

/* What comes acknowledged in lumps needs more in flight, §5.5.9. */
void gy_rudp_bbr_update_extra(struct gy_rudp_bbr *bbr, uint64_t now_ns)
{
    uint64_t interval_ns = now_ns - bbr->extra_from_ns;
    uint64_t expected = (uint64_t)(bbr->bandwidth * (double)interval_ns / 1e9);
    if (bbr->extra_delivered <= expected) {
        bbr->extra_delivered = 0;
        bbr->extra_from_ns = now_ns;
        expected = 0;
    }
    bbr->extra_delivered += bbr->sample.acked;
    uint64_t extra = bbr->extra_delivered - expected;
    extra = extra < (uint64_t)bbr->bandwidth / 10 ? extra : (uint64_t)bbr->bandwidth / 10;
    if (bbr->rounds >= bbr->extra_rounds + EXTRA_ROUNDS) {
        bbr->extra_rounds = bbr->rounds;
        bbr->extra_acked[1] = bbr->extra_acked[0];
        bbr->extra_acked[0] = 0;
    }
    bbr->extra_acked[0] = max64(bbr->extra_acked[0], extra);
}
