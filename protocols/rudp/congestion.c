/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "protocols/rudp/congestion.h"

#include <string.h>

#include "core/error.h"

#define CUBIC_C        0.4  /* RFC 9438 §5 */
#define CUBIC_BETA     0.7  /* §4.6 */
#define CUBIC_BETA_ECN 0.85 /* RFC 8511 §3.1 */

static uint64_t window_min(const struct gy_rudp_congestion *at)
{
    return 2 * (uint64_t)at->datagram_bytes;
}

/* By Newton; the argument is small and positive, and libm is not needed for it. */
static double cube_root(double value)
{
    double x = value > 1 ? value / 3 + 1 : 1;
    for (int i = 0; i < 60 && value > 0; i++) {
        x = (2 * x + value / (x * x)) / 3;
    }
    return value > 0 ? x : 0;
}

static void cubic_avoid(struct gy_rudp_congestion *at, uint64_t bytes, uint64_t rtt_ns,
                        uint64_t now_ns)
{
    double window = (double)at->window_bytes / at->datagram_bytes;
    if (at->epoch_ns == 0) {
        at->epoch_ns = now_ns;
        at->w_est = window;
        if (at->w_max <= window) {
            at->w_max = window;
            at->k = 0;
        } else {
            at->k = cube_root((at->w_max - window) / CUBIC_C); /* §4.2 */
        }
    }
    double t = (double)(now_ns - at->epoch_ns + rtt_ns) / 1e9 - at->k;
    double target = CUBIC_C * t * t * t + at->w_max;
    target = target < window ? window : target > 1.5 * window ? 1.5 * window : target;
    /* What Reno would have, §4.3. */
    double acked = (double)bytes / at->datagram_bytes;
    double alpha = at->w_est >= at->w_max ? 1 : 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA);
    at->w_est += alpha * acked / window;
    double grown = (target - window) / window * acked;
    if (window + grown < at->w_est) {
        grown = at->w_est - window;
    }
    at->credit += grown * at->datagram_bytes;
    uint64_t whole = (uint64_t)at->credit;
    at->credit -= (double)whole;
    at->window_bytes += whole;
}

static void cubic_acked(struct gy_rudp_congestion *at, uint64_t bytes, uint64_t sent_ns,
                        uint64_t rtt_ns, bool limited, uint64_t now_ns)
{
    if ((at->recovery_ns != 0 && sent_ns <= at->recovery_ns) || !limited) {
        return;
    }
    if (at->window_bytes < at->threshold) {
        at->window_bytes += bytes;
    } else {
        cubic_avoid(at, bytes, rtt_ns, now_ns);
    }
}

static bool cubic_reduce(struct gy_rudp_congestion *at, uint64_t sent_ns, double beta,
                         uint64_t now_ns)
{
    if (at->recovery_ns != 0 && sent_ns <= at->recovery_ns) {
        return false; /* one reduction for a round trip */
    }
    double window = (double)at->window_bytes / at->datagram_bytes;
    at->before.window_bytes = at->window_bytes;
    at->before.threshold = at->threshold;
    at->before.epoch_ns = at->epoch_ns;
    at->before.w_max = at->w_max;
    at->before.w_est = at->w_est;
    at->before.k = at->k;
    at->before.valid = true;
    at->recovery_ns = now_ns;
    /* Fast convergence, §4.7. */
    at->w_max = window < at->w_max ? window * (1 + CUBIC_BETA) / 2 : window;
    at->window_bytes = (uint64_t)((double)at->window_bytes * beta);
    if (at->window_bytes < window_min(at)) {
        at->window_bytes = window_min(at);
    }
    at->threshold = at->window_bytes;
    at->epoch_ns = 0;
    return true;
}

static void cubic_lost(struct gy_rudp_congestion *at, uint64_t sent_ns, uint64_t now_ns)
{
    cubic_reduce(at, sent_ns, CUBIC_BETA, now_ns);
}

/* A queue that marks is short: a smaller step is enough (RFC 8511). It is no mistake that a late
 * packet could show. */
static void cubic_marked(struct gy_rudp_congestion *at, uint64_t sent_ns, uint64_t now_ns)
{
    if (cubic_reduce(at, sent_ns, CUBIC_BETA_ECN, now_ns)) {
        at->before.valid = false;
    }
}

static void cubic_persistent(struct gy_rudp_congestion *at)
{
    at->window_bytes = window_min(at);
    at->epoch_ns = 0;
    at->recovery_ns = 0;
    at->before.valid = false;
}

static void cubic_spurious(struct gy_rudp_congestion *at, uint64_t sent_ns)
{
    if (!at->before.valid || at->recovery_ns == 0 || sent_ns > at->recovery_ns) {
        return;
    }
    if (at->window_bytes < at->before.window_bytes) {
        at->window_bytes = at->before.window_bytes; /* §4.9.2 */
    }
    at->threshold = at->before.threshold;
    at->epoch_ns = at->before.epoch_ns;
    at->w_max = at->before.w_max;
    at->w_est = at->before.w_est;
    at->k = at->before.k;
    at->before.valid = false;
}

static const struct gy_rudp_congestion_ops cubic = {
    .name = "cubic",
    .acked = cubic_acked,
    .lost = cubic_lost,
    .marked = cubic_marked,
    .persistent = cubic_persistent,
    .spurious = cubic_spurious,
};

void gy_rudp_cubic_init(struct gy_rudp_congestion *at, uint32_t datagram_bytes)
{
    gy_assert(datagram_bytes >= 576);
    memset(at, 0, sizeof *at);
    at->ops = &cubic;
    at->datagram_bytes = datagram_bytes;
    at->window_bytes = 10 * (uint64_t)datagram_bytes; /* RFC 9002 §7.2 */
    at->threshold = UINT64_MAX;
}

static void fixed_acked(struct gy_rudp_congestion *at, uint64_t bytes, uint64_t sent_ns,
                        uint64_t rtt_ns, bool limited, uint64_t now_ns)
{
    (void)at, (void)bytes, (void)sent_ns, (void)rtt_ns, (void)limited, (void)now_ns;
}

static void fixed_lost(struct gy_rudp_congestion *at, uint64_t sent_ns, uint64_t now_ns)
{
    (void)at, (void)sent_ns, (void)now_ns;
}

static void fixed_persistent(struct gy_rudp_congestion *at)
{
    (void)at;
}

static void fixed_spurious(struct gy_rudp_congestion *at, uint64_t sent_ns)
{
    (void)at, (void)sent_ns;
}

static const struct gy_rudp_congestion_ops fixed = {
    .name = "fixed",
    .acked = fixed_acked,
    .lost = fixed_lost,
    .marked = fixed_lost,
    .persistent = fixed_persistent,
    .spurious = fixed_spurious,
};

void gy_rudp_fixed_init(struct gy_rudp_congestion *at, uint32_t datagram_bytes, uint64_t rate,
                        uint64_t window_bytes)
{
    gy_assert(rate > 0 && window_bytes >= datagram_bytes);
    memset(at, 0, sizeof *at);
    at->ops = &fixed;
    at->datagram_bytes = datagram_bytes;
    at->rate = rate;
    at->window_bytes = window_bytes;
}
