/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Acknowledgements, loss and probes: RFC 9002 §5 and §6. */

#include "protocols/rudp/internal.h"

#define GRANULARITY_NS  MS         /* §6.1.2 */
#define INITIAL_RTT_NS  (333 * MS) /* §6.2.2 */
#define ACK_DELAY_NS    (25 * MS)  /* what a peer may wait for, README.md */
#define THRESHOLD       3          /* §6.1.1 */
#define THRESHOLD_MAX   64         /* more than that is a matter of time, not of count */
#define REORDER_STEPS   255
#define REORDER_PERSIST 16 /* RFC 8985 §6.2 */
#define PTO_SHIFT_MAX   10
#define PTO_MAX_NS      (10000 * MS) /* so that a healed network is found soon */

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void gy_rudp_recovery_begin(struct gy_rudp_conn *conn)
{
    conn->reordering = THRESHOLD;
    conn->reorder_steps = conn->reorder_persist = 0;
    conn->reorder_number = conn->recovery_number = conn->number;
}

uint64_t gy_rudp_pto_ns(const struct gy_rudp_conn *conn)
{
    if (conn->srtt_ns == 0) {
        return 3 * INITIAL_RTT_NS;
    }
    return conn->srtt_ns + max64(4 * conn->rttvar_ns, GRANULARITY_NS) + ACK_DELAY_NS;
}

/* RFC 9002 §5.3 */
static void rtt_sample(struct gy_rudp_conn *conn, uint64_t sample, uint64_t delay)
{
    sample = max64(sample, 1);
    conn->rtt_latest_ns = sample;
    if (conn->srtt_ns == 0) {
        conn->rtt_min_ns = conn->srtt_ns = sample;
        conn->rttvar_ns = sample / 2;
        return;
    }
    conn->rtt_min_ns = sample < conn->rtt_min_ns ? sample : conn->rtt_min_ns;
    delay = delay < ACK_DELAY_NS ? delay : ACK_DELAY_NS;
    uint64_t adjusted = sample >= conn->rtt_min_ns + delay ? sample - delay : sample;
    uint64_t off = conn->srtt_ns > adjusted ? conn->srtt_ns - adjusted : adjusted - conn->srtt_ns;
    conn->rttvar_ns = (3 * conn->rttvar_ns + off) / 4;
    conn->srtt_ns = (7 * conn->srtt_ns + adjusted) / 8;
}

void gy_rudp_recovery_rtt(struct gy_rudp_conn *conn, uint64_t sample_ns)
{
    rtt_sample(conn, sample_ns, 0);
}

/* Takes a packet out of flight. */
static void packet_land(struct gy_rudp_conn *conn, struct gy_rudp_packet *packet,
                        enum packet_state state)
{
    gy_assert(packet->state == PACKET_FLYING && conn->eliciting > 0);
    gy_assert(conn->in_flight >= packet->bytes);
    conn->in_flight -= packet->bytes;
    conn->eliciting--;
    packet->state = state;
}

/* What left on another path says nothing of this one's room and time: RFC 9000 §9.4. Its flights
 * are of a congestion control that is no more. */
static bool is_of_path(const struct gy_rudp_conn *conn, const struct gy_rudp_packet *packet)
{
    return packet->number >= conn->path_number;
}

static void congestion_acked(struct gy_rudp_conn *conn, const struct gy_rudp_packet *packet,
                             uint64_t now_ns)
{
    if (packet->recovered) {
        /* Mended, but lost: RFC 9265 §4. */
        conn->congestion.ops->lost(&conn->congestion, packet->sent_ns, now_ns);
    } else {
        conn->congestion.ops->acked(&conn->congestion, packet->bytes, packet->sent_ns,
                                    conn->srtt_ns, packet->limited, now_ns);
    }
    if (conn->congestion.ops->sent != NULL) {
        (packet->recovered ? conn->congestion.ops->flight_lost
                           : conn->congestion.ops->flight_acked)(
            &conn->congestion, flight_at(conn, packet->number), packet->bytes, now_ns);
    }
}

static void packet_acked(struct gy_rudp_conn *conn, struct gy_rudp_packet *packet, uint64_t now_ns)
{
    packet_land(conn, packet, PACKET_DONE);
    gy_rudp_mtu_acked(conn, packet->bytes, packet->trial, now_ns);
    if (is_of_path(conn, packet)) {
        congestion_acked(conn, packet, now_ns);
    }
    conn->done_acked |= packet->done;
    gy_rudp_ecn_acked(conn, packet);
    if (packet->acks != UINT64_MAX) {
        gy_rudp_seen_forget(conn, packet->acks);
    }
    struct gy_rudp_piece *piece = packet->pieces;
    packet->pieces = NULL;
    while (piece != NULL) {
        struct gy_rudp_piece *next = piece->next;
        gy_rudp_piece_acked(conn, piece);
        piece = next;
    }
}

static void packet_lost(struct gy_rudp_conn *conn, struct gy_rudp_packet *packet, uint64_t now_ns)
{
    packet_land(conn, packet, PACKET_LOST);
    gy_rudp_mtu_lost(conn, packet->bytes, packet->trial, now_ns);
    if (conn->congestion.ops->flight_lost != NULL && !packet->trial && is_of_path(conn, packet)) {
        conn->congestion.ops->flight_lost(&conn->congestion, flight_at(conn, packet->number),
                                          packet->bytes, now_ns);
    }
    conn->lost_low = packet->number < conn->lost_low ? packet->number : conn->lost_low;
    conn->lost_high = max64(conn->lost_high, packet->number);
    conn->stats.lost++;
    event(conn, GY_RUDP_EVENT_LOST, packet->number, packet->bytes, now_ns);
    if (packet->ecn != GY_RUDP_NOT_ECT) {
        gy_rudp_ecn_lost(conn);
    }
    conn->grant_due |= packet->credit;
    if (packet->channel_credit) {
        gy_rudp_grants_lost(conn, packet->number);
    }
    if (packet->blocked) {
        gy_rudp_blocked_lost(conn);
    }
    conn->done_due |= packet->done;
    struct gy_rudp_piece *piece = packet->pieces;
    packet->pieces = NULL;
    while (piece != NULL) {
        struct gy_rudp_piece *next = piece->next;
        gy_rudp_piece_lost(conn, piece);
        piece = next;
    }
}

void gy_rudp_recovery_advance(struct gy_rudp_conn *conn)
{
    while (conn->unacked < conn->number && packet_at(conn, conn->unacked)->state != PACKET_FLYING) {
        conn->unacked++;
    }
}

void gy_rudp_recovery_drop(struct gy_rudp_conn *conn, enum gy_rudp_level level, bool arrived)
{
    for (uint64_t number = conn->unacked; number < conn->number; number++) {
        struct gy_rudp_packet *packet = packet_at(conn, number);
        if (packet->state != PACKET_FLYING || packet->level != level) {
            continue;
        }
        packet_land(conn, packet, PACKET_DONE);
        struct gy_rudp_piece *piece = packet->pieces, *next;
        packet->pieces = NULL;
        for (; piece != NULL; piece = next) {
            next = piece->next;
            (arrived ? gy_rudp_piece_acked : gy_rudp_piece_lost)(conn, piece);
        }
    }
    gy_rudp_recovery_advance(conn);
}

/* How long after it was sent a packet is late, if a later one has arrived: RFC 9002 §6.1.2, and
 * where packets were taken for lost that were not, RFC 8985 §6.2 (RACK_update_reo_wnd). */
static uint64_t late_after(const struct gy_rudp_conn *conn)
{
    uint64_t rtt_ns = max64(conn->srtt_ns, conn->rtt_latest_ns);
    uint64_t window_ns = conn->reorder_steps * (conn->rtt_min_ns / 4);
    window_ns = window_ns < conn->srtt_ns ? window_ns : conn->srtt_ns;
    return max64(rtt_ns + max64(rtt_ns / 8, window_ns), GRANULARITY_NS);
}

/* A loss that belongs to no recovery under way begins one. After enough of them without a mistake
 * the path is taken to reorder less than it did. */
static void recovery_enter(struct gy_rudp_conn *conn, uint64_t number)
{
    if (number < conn->recovery_number) {
        return;
    }
    conn->recovery_number = conn->number;
    if (conn->reorder_persist > 0 && --conn->reorder_persist == 0) {
        conn->reorder_steps = 1;
    }
}

/* What was sent before something that arrived, and is late by count or by time: §6.1. */
static void detect_loss(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    uint64_t late = late_after(conn);
    uint64_t last_ns = 0, run_ns = 0, longest = 0;
    conn->loss_ns = 0;
    for (uint64_t number = conn->unacked; number <= conn->largest_acked; number++) {
        struct gy_rudp_packet *packet = packet_at(conn, number);
        if (packet->state != PACKET_FLYING) {
            run_ns = packet->state == PACKET_DONE ? 0 : run_ns;
            continue;
        }
        if (conn->largest_acked - number < conn->reordering && packet->sent_ns + late > now_ns) {
            if (conn->loss_ns == 0 || packet->sent_ns + late < conn->loss_ns) {
                conn->loss_ns = packet->sent_ns + late;
            }
            run_ns = 0;
            continue;
        }
        if (packet->trial || !is_of_path(conn, packet)) { /* says nothing of congestion */
            packet_lost(conn, packet, now_ns);
            continue;
        }
        last_ns = packet->sent_ns;
        run_ns = run_ns == 0 ? last_ns : run_ns;
        longest = max64(longest, last_ns - run_ns);
        recovery_enter(conn, number);
        packet_lost(conn, packet, now_ns);
    }
    if (last_ns != 0) {
        conn->congestion.ops->lost(&conn->congestion, last_ns, now_ns);
        if (conn->srtt_ns != 0 && longest > 3 * gy_rudp_pto_ns(conn)) {
            conn->congestion.ops->persistent(&conn->congestion);
        }
    }
    gy_rudp_recovery_advance(conn);
}

/* More reordering than thought: the threshold by count grows at once, the one by time once a round
 * trip, as what is sent until then has met the old one. */
static void reorder_more(struct gy_rudp_conn *conn, uint64_t number, uint64_t now_ns)
{
    uint64_t distance = conn->largest_acked - number + 1;
    if (distance > conn->reordering) {
        conn->reordering = distance < THRESHOLD_MAX ? (uint32_t)distance : UINT32_MAX;
    }
    if (packet_at(conn, number)->recovered) {
        return;
    }
    conn->reorder_persist = REORDER_PERSIST;
    if (now_ns - packet_at(conn, number)->sent_ns > late_after(conn) &&
        number >= conn->reorder_number && conn->reorder_steps < REORDER_STEPS) {
        conn->reorder_steps++;
        conn->reorder_number = conn->number;
    }
}

/* A lost packet that arrived. */
static void packet_spurious(struct gy_rudp_conn *conn, struct gy_rudp_packet *packet,
                            uint64_t now_ns)
{
    packet->state = PACKET_DONE;
    gy_rudp_ecn_acked(conn, packet);
    reorder_more(conn, packet->number, now_ns);
    if (!packet->recovered) { /* that one was lost, and only mended later than thought */
        conn->stats.spurious++;
        if (is_of_path(conn, packet)) {
            conn->congestion.ops->spurious(&conn->congestion, packet->sent_ns);
        }
    }
}

/* The lowest number that an acknowledgement can say anything new about: below, all are done with.
 * `before` is the largest that was acknowledged until now. */
static uint64_t news_from(struct gy_rudp_conn *conn, uint64_t before)
{
    uint64_t ring = conn->config.packets;
    uint64_t oldest = conn->number > ring ? conn->number - ring : 0;
    uint64_t from = before + 1 < conn->unacked ? before + 1 : conn->unacked; /* UINT64_MAX: none */
    if (conn->lost_high < oldest) {
        conn->lost_low = UINT64_MAX;
    }
    from = conn->lost_low < from ? conn->lost_low : from;
    return max64(from, oldest);
}

int gy_rudp_acked(struct gy_rudp_conn *conn, const struct gy_rudp_ack *ack, uint64_t now_ns)
{
    uint64_t oldest = news_from(conn, conn->largest_acked);
    uint64_t largest = ack->ranges[0].high, rtt_ns = 0;
    bool any = false;
    if (largest >= conn->number) {
        return GY_EPROTO;
    }
    bool newest = conn->largest_acked == UINT64_MAX || largest > conn->largest_acked;
    conn->largest_acked =
        conn->largest_acked == UINT64_MAX ? largest : max64(conn->largest_acked, largest);
    for (uint32_t i = 0; i < ack->count; i++) {
        uint64_t low = max64(ack->ranges[i].low, oldest);
        if (conn->skipped >= ack->ranges[i].low && conn->skipped <= ack->ranges[i].high) {
            return GY_EPROTO;
        }
        for (uint64_t number = ack->ranges[i].high; number >= low && number != UINT64_MAX;
             number--) {
            struct gy_rudp_packet *packet = packet_at(conn, number);
            gy_assert(packet->number == number);
            if (packet->state == PACKET_OMITTED) {
                return GY_EPROTO;
            }
            if (packet->state == PACKET_LOST) {
                packet_spurious(conn, packet, now_ns);
            } else if (packet->state == PACKET_FLYING) {
                if (number == largest && !packet->recovered && is_of_path(conn, packet)) {
                    uint64_t delay = ack->delay_us < 1000000 ? ack->delay_us * 1000 : 1000 * MS;
                    rtt_ns = max64(now_ns - packet->sent_ns, 1);
                    rtt_sample(conn, rtt_ns, delay);
                }
                packet_acked(conn, packet, now_ns);
                any = true;
            }
        }
    }
    conn->pto_count = 0; /* even without news: the peer hears us, but may have no room */
    gy_rudp_ecn_ack(conn, ack, newest, now_ns);
    if (any) {
        detect_loss(conn, now_ns);
    }
    if (any && conn->congestion.ops->ack_done != NULL) {
        conn->congestion.ops->ack_done(&conn->congestion, conn->in_flight, rtt_ns, now_ns);
    }
    gy_rudp_recovery_advance(conn);
    return 0;
}

void gy_rudp_recovery_make_room(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    while (conn->number - conn->unacked >= conn->config.packets - PACKETS_SPARE &&
           conn->eliciting < conn->config.packets / 8) {
        packet_lost(conn, packet_at(conn, conn->unacked), now_ns);
        gy_rudp_recovery_advance(conn);
    }
}

uint64_t gy_rudp_recovery_timeout(const struct gy_rudp_conn *conn)
{
    if (conn->loss_ns != 0) {
        return conn->loss_ns;
    }
    if (conn->eliciting == 0) {
        return UINT64_MAX;
    }
    unsigned shift = conn->pto_count < PTO_SHIFT_MAX ? conn->pto_count : PTO_SHIFT_MAX;
    uint64_t wait = gy_rudp_pto_ns(conn) << shift;
    return conn->eliciting_ns + (wait < PTO_MAX_NS ? wait : PTO_MAX_NS);
}

static bool repeat_handshake(struct gy_rudp_conn *conn)
{
    bool any = !list_empty(&conn->crypto[CRYPTO_HANDSHAKE].repeat);
    for (uint64_t number = conn->unacked; number < conn->number && !conn->confirmed; number++) {
        struct gy_rudp_packet *packet = packet_at(conn, number);
        struct gy_rudp_piece *piece = packet->pieces, *next;
        if (packet->state != PACKET_FLYING || packet->level != GY_RUDP_HANDSHAKE) {
            continue;
        }
        any |= piece != NULL;
        packet->pieces = NULL;
        for (; piece != NULL; piece = next) {
            next = piece->next;
            gy_rudp_piece_lost(conn, piece);
        }
    }
    return any;
}

/* The oldest packets' reliable pieces go out once more, in packets of new numbers: §6.2.4. */
static void probe(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    conn->pto_count++;
    gy_rudp_mtu_silent(conn, now_ns);
    gy_rudp_ecn_silent(conn);
    conn->probes = 2;
    conn->stats.probes++;
    /* Until it has that, the client acknowledges in a way that we cannot read any more. */
    conn->done_due |= is_sealed(conn) && !conn->client && conn->confirmed && !conn->done_acked;
    /* Without the handshake, the other end can make nothing of anything else. */
    uint32_t found = repeat_handshake(conn) ? 2 : 0;
    for (uint64_t number = conn->unacked; number < conn->number && found < 2; number++) {
        struct gy_rudp_packet *packet = packet_at(conn, number);
        if (packet->state != PACKET_FLYING || packet->pieces == NULL) {
            continue;
        }
        struct gy_rudp_piece **at = &packet->pieces;
        found++;
        while (*at != NULL) {
            struct gy_rudp_piece *piece = *at;
            if (piece->message != NULL && !is_reliable(piece->message->guarantee)) {
                at = &piece->next;
                continue;
            }
            *at = piece->next;
            gy_rudp_piece_lost(conn, piece);
        }
    }
    /* With the ring full there would be no number for a probe. */
    gy_rudp_recovery_advance(conn);
    while (conn->number - conn->unacked >= conn->config.packets - PACKETS_SPARE) {
        packet_lost(conn, packet_at(conn, conn->unacked), now_ns);
        gy_rudp_recovery_advance(conn);
    }
}

void gy_rudp_recovery_expire(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    if (gy_rudp_recovery_timeout(conn) > now_ns) {
        return;
    }
    if (conn->loss_ns != 0) {
        detect_loss(conn, now_ns);
        return;
    }
    probe(conn, now_ns);
    conn->eliciting_ns = now_ns;
}
