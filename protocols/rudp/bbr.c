/* SPDX-License-Identifier: GPL-3.0-or-later */

/* BBR: draft-ietf-ccwg-bbr; sections are those of its sixth revision. */

#include <string.h>

#include "core/error.h"
#include "protocols/rudp/bbr_model.h"

#define STARTUP_GAIN   2.77
#define DRAIN_GAIN     0.5
#define WINDOW_GAIN    2.0
#define UP_WINDOW_GAIN 2.25
#define MARGIN         0.99 /* of pacing, §2.4 */
#define RTT_WINDOW_NS  (10000 * MS)
#define RTT_PROBE_NS   (5000 * MS)
#define RTT_HOLD_NS    (200 * MS)
#define RENO_ROUNDS    63

static double min_double(double a, double b)
{
    return a < b ? a : b;
}

static uint64_t next_random(struct gy_rudp_bbr *bbr)
{
    bbr->random = bbr->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return bbr->random >> 33;
}

/* ---- the states ---- */

static void enter(struct gy_rudp_bbr *bbr, enum gy_rudp_bbr_state state, double pacing,
                  double window)
{
    bbr->state = state;
    bbr->pacing_gain = pacing;
    bbr->window_gain = window;
}

static void start_down(struct gy_rudp_congestion *at, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    gy_rudp_bbr_signals_reset(bbr);
    bbr->up_bytes = NONE;
    bbr->rounds_since_probe = next_random(bbr) & 1;
    bbr->probe_wait_ns = 2000 * MS + next_random(bbr) % 1000 * MS;
    bbr->cycle_ns = now_ns;
    bbr->phase = GY_RUDP_BBR_ACKS_STOPPING;
    gy_rudp_bbr_round_begin(bbr);
    enter(bbr, GY_RUDP_BBR_DOWN, 0.9, WINDOW_GAIN);
}

static void start_refill(struct gy_rudp_bbr *bbr)
{
    gy_rudp_bbr_bounds_reset(bbr);
    bbr->up_rounds = bbr->up_acked = 0;
    bbr->phase = GY_RUDP_BBR_ACKS_REFILLING;
    gy_rudp_bbr_round_begin(bbr);
    enter(bbr, GY_RUDP_BBR_REFILL, 1, WINDOW_GAIN);
}

static void raise_slope(struct gy_rudp_congestion *at)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    uint64_t growth = (uint64_t)at->datagram_bytes << bbr->up_rounds;
    bbr->up_rounds = min64(bbr->up_rounds + 1, 30);
    /* So many bytes acknowledged for one datagram more. */
    bbr->up_bytes = max64(at->window_bytes * at->datagram_bytes / growth, at->datagram_bytes);
}

static void start_up(struct gy_rudp_congestion *at, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    bbr->phase = GY_RUDP_BBR_ACKS_STARTING;
    bbr->probe_samples = true;
    gy_rudp_bbr_round_begin(bbr);
    gy_rudp_bbr_full_reset(bbr);
    bbr->full_bandwidth = bbr->sample.rate;
    bbr->cycle_ns = now_ns;
    enter(bbr, GY_RUDP_BBR_UP, 1.25, UP_WINDOW_GAIN);
    raise_slope(at);
}

static void check_full(struct gy_rudp_bbr *bbr)
{
    if (bbr->full_now || bbr->sample.app_limited || bbr->sample.rate <= 0) {
        return;
    }
    if (bbr->sample.rate >= 1.25 * bbr->full_bandwidth) {
        gy_rudp_bbr_full_reset(bbr);
        bbr->full_bandwidth = bbr->sample.rate;
        return;
    }
    if (!bbr->round_start) {
        return;
    }
    bbr->full_now = ++bbr->full_rounds >= 3;
    bbr->full |= bbr->full_now;
}

static void check_startup(struct gy_rudp_congestion *at)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    uint64_t flown = max64(bbr->inflight_latest, 1) + bbr->round_lost;
    bool high = bbr->marked_in_round || (bbr->round_lost_packets >= LOSS_PACKETS &&
                                         gy_rudp_bbr_too_high(at, bbr->round_lost, flown));
    if (!bbr->full && bbr->loss_round_start && bbr->loss_in_round && high) {
        bbr->full = true;
        bbr->inflight_long = max64(gy_rudp_bbr_product(at, bbr->bandwidth_max, 1),
                                   max64(bbr->inflight_latest, window_min(at)));
    }
    if (bbr->state == GY_RUDP_BBR_STARTUP && bbr->full) {
        enter(bbr, GY_RUDP_BBR_DRAIN, DRAIN_GAIN, WINDOW_GAIN);
    }
}

static bool time_to_probe(struct gy_rudp_congestion *at, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    uint64_t reno = gy_rudp_bbr_target_inflight(at) / at->datagram_bytes;
    if (now_ns > bbr->cycle_ns + bbr->probe_wait_ns ||
        bbr->rounds_since_probe >= min64(reno, RENO_ROUNDS)) {
        start_refill(bbr);
        return true;
    }
    return false;
}

static void probe_upward(struct gy_rudp_congestion *at)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    if (!bbr->limited || at->window_bytes < bbr->inflight_long) {
        return;
    }
    bbr->up_acked += bbr->sample.acked;
    if (bbr->up_acked >= bbr->up_bytes) {
        uint64_t more = bbr->up_acked / bbr->up_bytes;
        bbr->up_acked -= more * bbr->up_bytes;
        bbr->inflight_long += more * at->datagram_bytes;
    }
    if (bbr->round_start) {
        raise_slope(at);
    }
}

/* §5.5.10.2 */
static void adapt_long_term(struct gy_rudp_congestion *at)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    bool probing = bbr->state >= GY_RUDP_BBR_DOWN && bbr->state <= GY_RUDP_BBR_UP;
    if (bbr->phase == GY_RUDP_BBR_ACKS_STARTING && bbr->round_start) {
        bbr->phase = GY_RUDP_BBR_ACKS_FEEDBACK;
    }
    if (bbr->phase == GY_RUDP_BBR_ACKS_STOPPING && bbr->round_start) {
        bbr->phase = GY_RUDP_BBR_ACKS_INIT;
        bbr->probe_samples = false;
        if (probing && !bbr->sample.app_limited) {
            bbr->cycles++;
            bbr->bandwidths[bbr->cycles & 1] = 0;
        }
    }
    if (bbr->inflight_long == NONE || bbr->marked_in_round ||
        gy_rudp_bbr_too_high(at, bbr->sample.lost, bbr->sample.in_flight)) {
        return;
    }
    bbr->inflight_long = max64(bbr->inflight_long, bbr->sample.in_flight);
    if (bbr->state == GY_RUDP_BBR_UP) {
        probe_upward(at);
    }
}

static void update_cycle(struct gy_rudp_congestion *at, uint64_t in_flight, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    if (!bbr->full) {
        return;
    }
    adapt_long_term(at);
    switch (bbr->state) {
    case GY_RUDP_BBR_DOWN:
        if (!time_to_probe(at, now_ns) && in_flight <= gy_rudp_bbr_with_headroom(at) &&
            in_flight <= gy_rudp_bbr_inflight(at, bbr->bandwidth_max, 1)) {
            enter(bbr, GY_RUDP_BBR_CRUISE, 1, WINDOW_GAIN);
        }
        return;
    case GY_RUDP_BBR_CRUISE:
        time_to_probe(at, now_ns);
        return;
    case GY_RUDP_BBR_REFILL:
        if (bbr->round_start) {
            start_up(at, now_ns);
        }
        return;
    case GY_RUDP_BBR_UP:
        if (bbr->limited && at->window_bytes >= bbr->inflight_long) {
            gy_rudp_bbr_full_reset(bbr);
            bbr->full_bandwidth = bbr->sample.rate;
        } else if (bbr->full_now) {
            start_down(at, now_ns);
        }
        return;
    default:
        return;
    }
}

static void leave_probe_rtt(struct gy_rudp_congestion *at, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    bbr->rtt_probe_at_ns = now_ns;
    at->window_bytes = max64(at->window_bytes, bbr->window_before);
    gy_rudp_bbr_bounds_reset(bbr);
    if (bbr->full) {
        start_down(at, now_ns);
        enter(bbr, GY_RUDP_BBR_CRUISE, 1, WINDOW_GAIN);
    } else {
        enter(bbr, GY_RUDP_BBR_STARTUP, STARTUP_GAIN, WINDOW_GAIN);
    }
}

static uint64_t probe_rtt_window(const struct gy_rudp_congestion *at)
{
    return max64(gy_rudp_bbr_product(at, at->bbr.bandwidth, 0.5), window_min(at));
}

/* §5.3.4.3: the shortest round trip is only seen when the queue is empty. */
static void update_rtt(struct gy_rudp_congestion *at, uint64_t in_flight, uint64_t rtt_ns,
                       uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    bool expired = now_ns > bbr->rtt_probe_at_ns + RTT_PROBE_NS;
    if (rtt_ns != 0) {
        bbr->rtt_latest_ns = rtt_ns;
        bbr->round_rtt_ns = min64(bbr->round_rtt_ns, rtt_ns);
        if (rtt_ns < bbr->rtt_probe_ns || expired) {
            bbr->rtt_probe_ns = rtt_ns;
            bbr->rtt_probe_at_ns = now_ns;
        } else if (rtt_ns - bbr->rtt_probe_ns <= bbr->rtt_probe_ns / 8) {
            bbr->rtt_probe_at_ns = now_ns; /* so there is no queue, and no need to empty it */
        }
    }
    if (bbr->rtt_probe_ns < bbr->rtt_min_ns || now_ns > bbr->rtt_min_at_ns + RTT_WINDOW_NS) {
        bbr->rtt_min_ns = bbr->rtt_probe_ns;
        bbr->rtt_min_at_ns = bbr->rtt_probe_at_ns;
    }
    if (expired && bbr->state != GY_RUDP_BBR_PROBE_RTT && !bbr->idle_restart) {
        bbr->window_before = at->window_bytes;
        bbr->rtt_done_ns = 0;
        bbr->phase = GY_RUDP_BBR_ACKS_STOPPING;
        gy_rudp_bbr_round_begin(bbr);
        enter(bbr, GY_RUDP_BBR_PROBE_RTT, 1, 0.5);
    }
    if (bbr->state == GY_RUDP_BBR_PROBE_RTT) {
        bbr->app_limited = bbr->delivered + max64(in_flight, 1);
        if (bbr->rtt_done_ns == 0 && in_flight <= probe_rtt_window(at)) {
            bbr->rtt_done_ns = now_ns + RTT_HOLD_NS;
            bbr->rtt_round_done = false;
            gy_rudp_bbr_round_begin(bbr);
        } else if (bbr->rtt_done_ns != 0) {
            bbr->rtt_round_done |= bbr->round_start;
            if (bbr->rtt_round_done && now_ns > bbr->rtt_done_ns) {
                leave_probe_rtt(at, now_ns);
            }
        }
    }
    bbr->idle_restart = bbr->idle_restart && bbr->sample.delivered == 0;
}

/* ---- what follows from it ---- */

/* Not so slow that the smallest window takes more than a round trip: what was measured while hardly
 * anything got through, or was sent, says little, and one more packet must be able to say more. */
static uint64_t rate_of(const struct gy_rudp_congestion *at, double gain)
{
    const struct gy_rudp_bbr *bbr = &at->bbr;
    uint64_t rate = (uint64_t)(gain * bbr->bandwidth * MARGIN);
    uint64_t least = window_min(at) * 1000 * MS / max64(bbr->rtt_latest_ns, MS);
    return rate == 0 ? 0 : max64(rate, least);
}

static void set_rate(struct gy_rudp_congestion *at, uint64_t rate)
{
    if (rate > 0 && (at->bbr.full || rate > at->rate)) {
        at->rate = rate;
    }
}

static void set_window(struct gy_rudp_congestion *at)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    uint64_t most =
        gy_rudp_bbr_budget(at, gy_rudp_bbr_product(at, bbr->bandwidth, bbr->window_gain) +
                                   max64(bbr->extra_acked[0], bbr->extra_acked[1]));
    if (bbr->full) {
        at->window_bytes = min64(at->window_bytes + bbr->sample.acked, most);
    } else if (at->window_bytes < most || bbr->delivered < 10 * (uint64_t)at->datagram_bytes) {
        at->window_bytes += bbr->sample.acked;
    }
    if (bbr->state == GY_RUDP_BBR_PROBE_RTT) {
        at->window_bytes = min64(at->window_bytes, probe_rtt_window(at));
    }
    uint64_t cap = NONE;
    if (bbr->state == GY_RUDP_BBR_CRUISE || bbr->state == GY_RUDP_BBR_PROBE_RTT) {
        cap = gy_rudp_bbr_with_headroom(at);
    } else if (bbr->state >= GY_RUDP_BBR_DOWN) {
        cap = bbr->inflight_long;
    }
    cap = max64(min64(cap, bbr->inflight_short), window_min(at));
    at->window_bytes = max64(min64(at->window_bytes, cap), window_min(at));
}

/* ---- the calls ---- */

static void bbr_sent(struct gy_rudp_congestion *at, struct gy_rudp_flight *flight, uint64_t bytes,
                     uint64_t in_flight, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    gy_assert(in_flight >= bytes);
    /* The first, even if packets of a path before are still on their way. */
    if (in_flight == bytes || bbr->first_sent_ns == 0) {
        bbr->first_sent_ns = bbr->delivered_ns = now_ns;
        if (bbr->app_limited != 0) {
            bbr->idle_restart = true;
            bbr->extra_from_ns = now_ns;
            if (bbr->state >= GY_RUDP_BBR_DOWN && bbr->state <= GY_RUDP_BBR_UP) {
                set_rate(at, rate_of(at, 1));
            }
        }
    }
    bbr->limited |= in_flight + at->datagram_bytes > at->window_bytes;
    *flight = (struct gy_rudp_flight){
        .delivered = bbr->delivered,
        .delivered_ns = bbr->delivered_ns,
        .first_sent_ns = bbr->first_sent_ns,
        .sent_ns = now_ns,
        .lost = bbr->lost,
        .in_flight = in_flight,
        .app_limited = bbr->app_limited != 0,
    };
}

static void bbr_flight_acked(struct gy_rudp_congestion *at, const struct gy_rudp_flight *flight,
                             uint64_t bytes, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    bbr->delivered += bytes;
    bbr->delivered_ns = now_ns;
    bbr->sample.acked += bytes;
    /* The newest of those acknowledged together makes the sample. */
    if (!bbr->sample.any || flight->sent_ns > bbr->sample.sent_ns) {
        uint64_t send_ns = flight->sent_ns - flight->first_sent_ns;
        uint64_t ack_ns = now_ns - flight->delivered_ns;
        bbr->sample.any = true;
        bbr->sample.sent_ns = flight->sent_ns;
        bbr->sample.app_limited = flight->app_limited;
        bbr->sample.prior_delivered = flight->delivered;
        bbr->sample.interval_ns = max64(send_ns, ack_ns);
        bbr->sample.in_flight = flight->in_flight;
        bbr->sample.lost = bbr->lost - flight->lost;
        bbr->first_sent_ns = flight->sent_ns;
    }
}

static void bbr_flight_lost(struct gy_rudp_congestion *at, const struct gy_rudp_flight *flight,
                            uint64_t bytes, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    bbr->lost += bytes;
    bbr->round_lost += bytes;
    bbr->round_lost_packets++;
    if (!bbr->loss_in_round) {
        bbr->loss_in_round = true;
        bbr->loss_round_delivered = bbr->delivered;
        bbr->undo.bandwidth_short = bbr->bandwidth_short;
        bbr->undo.inflight_short = bbr->inflight_short;
        bbr->undo.inflight_long = bbr->inflight_long;
        bbr->undo.sent_ns = flight->sent_ns;
        bbr->undo.valid = true;
    }
    if (!bbr->probe_samples ||
        !gy_rudp_bbr_too_high(at, bbr->lost - flight->lost, flight->in_flight)) {
        return;
    }
    /* §5.5.10.2: one answer for each probe. */
    bbr->probe_samples = false;
    if (!flight->app_limited) {
        bbr->inflight_long =
            max64(flight->in_flight, (uint64_t)(BETA * (double)gy_rudp_bbr_target_inflight(at)));
    }
    if (bbr->state == GY_RUDP_BBR_UP) {
        start_down(at, now_ns);
    }
}

static void sample_end(struct gy_rudp_bbr *bbr)
{
    bbr->sample.delivered = bbr->delivered - bbr->sample.prior_delivered;
    bbr->sample.rate = 0;
    /* A shorter interval than a round trip is one of lumps, §4.1.2.3. */
    if (bbr->sample.interval_ns > 0 &&
        (bbr->rtt_min_ns == NONE || bbr->sample.interval_ns >= bbr->rtt_min_ns)) {
        bbr->sample.rate = (double)bbr->sample.delivered * 1e9 / (double)bbr->sample.interval_ns;
    }
    if (bbr->app_limited != 0 && bbr->delivered > bbr->app_limited) {
        bbr->app_limited = 0;
    }
}

static void bbr_ack_done(struct gy_rudp_congestion *at, uint64_t in_flight, uint64_t rtt_ns,
                         uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    if (!bbr->sample.any) {
        return;
    }
    sample_end(bbr);
    gy_rudp_bbr_update_latest(bbr);
    gy_rudp_bbr_update_round(bbr);
    gy_rudp_bbr_update_bandwidth(bbr);
    bool loss_round = bbr->loss_round_start;
    if (loss_round) {
        gy_rudp_bbr_adapt_short_term(at);
    }
    gy_rudp_bbr_update_extra(bbr, now_ns);
    check_full(bbr);
    check_startup(at);
    if (bbr->state == GY_RUDP_BBR_DRAIN &&
        in_flight <= gy_rudp_bbr_inflight(at, bbr->bandwidth_max, 1)) {
        start_down(at, now_ns);
    }
    update_cycle(at, in_flight, now_ns);
    update_rtt(at, in_flight, rtt_ns, now_ns);
    if (loss_round) {
        gy_rudp_bbr_signals_reset(bbr);
        bbr->bandwidth_latest = bbr->sample.rate;
        bbr->inflight_latest = bbr->sample.delivered;
    }
    bbr->bandwidth = min_double(bbr->bandwidth_max, bbr->bandwidth_short);
    set_rate(at, rate_of(at, bbr->pacing_gain));
    set_window(at);
    bbr->limited = bbr->limited && !bbr->round_start;
    memset(&bbr->sample, 0, sizeof bbr->sample);
    gy_assert(at->window_bytes >= window_min(at));
}

static void bbr_idle(struct gy_rudp_congestion *at, uint64_t in_flight)
{
    at->bbr.app_limited = max64(at->bbr.delivered + in_flight, 1);
}

static void bbr_acked(struct gy_rudp_congestion *at, uint64_t bytes, uint64_t sent_ns,
                      uint64_t rtt_ns, bool limited, uint64_t now_ns)
{
    (void)at, (void)bytes, (void)sent_ns, (void)rtt_ns, (void)limited, (void)now_ns;
}

static void bbr_lost(struct gy_rudp_congestion *at, uint64_t sent_ns, uint64_t now_ns)
{
    (void)at, (void)sent_ns, (void)now_ns;
}

/* As much loss as means congestion: the draft leaves marks of this kind open, and RFC 3168 §5 asks
 * for the answer that a lost packet would have had. */
static void bbr_marked(struct gy_rudp_congestion *at, uint64_t sent_ns, uint64_t now_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    (void)sent_ns;
    if (!bbr->loss_in_round) {
        bbr->loss_in_round = true;
        bbr->loss_round_delivered = bbr->delivered;
        bbr->undo.valid = false;
    }
    bbr->marked_in_round = true;
    if (!bbr->probe_samples) {
        return;
    }
    bbr->probe_samples = false;
    if (bbr->sample.any && !bbr->sample.app_limited) {
        bbr->inflight_long = max64(bbr->sample.in_flight,
                                   (uint64_t)(BETA * (double)gy_rudp_bbr_target_inflight(at)));
    }
    if (bbr->state == GY_RUDP_BBR_UP) {
        start_down(at, now_ns);
    }
}

static void bbr_persistent(struct gy_rudp_congestion *at)
{
    at->window_bytes = window_min(at); /* and up again with every acknowledgement */
}

static void bbr_spurious(struct gy_rudp_congestion *at, uint64_t sent_ns)
{
    struct gy_rudp_bbr *bbr = &at->bbr;
    if (bbr->undo.valid && sent_ns >= bbr->undo.sent_ns) {
        bbr->bandwidth_short = max_double(bbr->bandwidth_short, bbr->undo.bandwidth_short);
        bbr->inflight_short = max64(bbr->inflight_short, bbr->undo.inflight_short);
        bbr->inflight_long = max64(bbr->inflight_long, bbr->undo.inflight_long);
        bbr->undo.valid = false;
    }
}

static const struct gy_rudp_congestion_ops bbr_ops = {
    .name = "bbr",
    .acked = bbr_acked,
    .lost = bbr_lost,
    .marked = bbr_marked,
    .persistent = bbr_persistent,
    .spurious = bbr_spurious,
    .sent = bbr_sent,
    .flight_acked = bbr_flight_acked,
    .flight_lost = bbr_flight_lost,
    .ack_done = bbr_ack_done,
    .idle = bbr_idle,
};

void gy_rudp_bbr_init(struct gy_rudp_congestion *at, uint32_t datagram_bytes, uint64_t seed)
{
    gy_assert(datagram_bytes >= 576);
    memset(at, 0, sizeof *at);
    at->ops = &bbr_ops;
    at->datagram_bytes = datagram_bytes;
    at->window_bytes = 10 * (uint64_t)datagram_bytes;
    at->threshold = UINT64_MAX;
    struct gy_rudp_bbr *bbr = &at->bbr;
    bbr->rtt_min_ns = bbr->rtt_probe_ns = NONE;
    bbr->round_rtt_ns = bbr->queue_rtt_ns = NONE;
    bbr->inflight_long = NONE;
    bbr->up_bytes = NONE;
    bbr->random = seed;
    gy_rudp_bbr_bounds_reset(bbr);
    enter(bbr, GY_RUDP_BBR_STARTUP, STARTUP_GAIN, WINDOW_GAIN);
}
