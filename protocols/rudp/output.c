/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The next datagram: whether there is one now, its header, its seal; build.c fills it. */

#include "protocols/rudp/build.h"

#define BURST 10 /* packets that may go out at once, RFC 9002 §7.7 */

static uint64_t pace_rate(const struct gy_rudp_conn *conn)
{
    const struct gy_rudp_congestion *congestion = &conn->congestion;
    if (congestion->rate != 0) {
        return congestion->rate;
    }
    if (conn->srtt_ns == 0) {
        return 0;
    }
    double gain = congestion->window_bytes < congestion->threshold ? 2 : 1.25;
    return (uint64_t)(gain * (double)congestion->window_bytes * 1e9 / (double)conn->srtt_ns) + 1;
}

static void pace(struct gy_rudp_conn *conn, uint64_t bytes, uint64_t now_ns)
{
    uint64_t rate = pace_rate(conn);
    if (rate == 0) {
        return;
    }
    uint64_t burst = (uint64_t)((double)BURST * conn->config.datagram_bytes * 1e9 / (double)rate);
    burst = burst > 2 * conn->config.timer_ns ? burst : 2 * conn->config.timer_ns;
    if (conn->pace_ns + burst < now_ns) {
        conn->pace_ns = now_ns - burst;
    }
    conn->pace_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
}

static bool may_send(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    if (conn->number - conn->unacked >= conn->config.packets - PACKETS_SPARE) {
        return false;
    }
    if (conn->probes > 0) {
        return true;
    }
    if (conn->in_flight + conn->config.datagram_bytes > conn->congestion.window_bytes) {
        return false;
    }
    conn->paced = conn->pace_ns > now_ns;
    return !conn->paced;
}

/* The number to use; now and then one is left out, so that who acknowledges without having
 * received gives himself away (RFC 9000 §21.4). */
static uint64_t number_take(struct gy_rudp_conn *conn)
{
    if (conn->number == conn->skip_number) {
        *packet_at(conn, conn->number) =
            (struct gy_rudp_packet){.number = conn->number, .state = PACKET_OMITTED};
        conn->skipped = conn->number;
        conn->number++;
        conn->random = conn->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        conn->skip_number = conn->number + 16 + (conn->random >> 33) % 512;
    }
    return conn->number++;
}

/* How many bytes of the number: so many that a packet that is overtaken by twice as many as were
 * ever on their way is not taken for another one. Without a seal that would find that out, its
 * messages would be lost with nobody knowing: there, more. */
static unsigned number_bytes(struct gy_rudp_conn *conn, uint64_t number)
{
    uint64_t unacked =
        conn->largest_acked == UINT64_MAX ? number + 1 : number - conn->largest_acked;
    conn->unacked_most = unacked > conn->unacked_most ? unacked : conn->unacked_most;
    unsigned bytes = gy_rudp_number_bytes(2 * conn->unacked_most, 0);
    return bytes < 3 && conn->config.seal->tag_bytes == 0 ? 3 : bytes;
}

static size_t header(struct gy_rudp_conn *conn, enum gy_rudp_level level, uint8_t *out,
                     uint64_t number)
{
    uint8_t phase =
        level == GY_RUDP_APPLICATION && (conn->key_out & 1) != 0 ? GY_RUDP_KEY_PHASE : 0;
    unsigned bytes = number_bytes(conn, number);
    struct gy_writer writer = gy_writer_on(out, 16);
    gy_writer_u8(&writer, (uint8_t)(0x40 | level << 4 | phase | (bytes - 1)));
    gy_writer_bytes(&writer, conn->peer.bytes, conn->peer.length);
    for (unsigned i = bytes; i-- > 0;) {
        gy_writer_u8(&writer, (uint8_t)(number >> (8 * i)));
    }
    return gy_writer_length(&writer);
}

/* Seals the frames behind their header, and protects that; the packet's length. */
static size_t protect(struct gy_rudp_conn *conn, uint64_t number, uint8_t *out, size_t head_bytes,
                      size_t body)
{
    const struct gy_rudp_seal *seal = conn->config.seal;
    unsigned number_bytes = (out[0] & 3u) + 1;
    enum gy_rudp_level level = gy_rudp_level_of(out[0]);
    seal->seal(seal->keys, number, out, head_bytes, out + head_bytes, body);
    if (seal->mask != NULL) {
        uint8_t mask[5];
        uint8_t *at = out + head_bytes - number_bytes;
        bool masked = seal->mask(seal->keys, level, true, at + 4, mask);
        gy_assert(masked);
        out[0] ^= mask[0] & 0x0f;
        for (unsigned i = 0; i < number_bytes; i++) {
            at[i] ^= mask[1 + i];
        }
    }
    return head_bytes + body + seal->tag_bytes;
}

/* An eliciting packet is on its way. */
static void fly(struct gy_rudp_conn *conn, const struct build *build, struct gy_rudp_packet *packet,
                uint64_t now_ns)
{
    conn->in_flight += packet->bytes;
    conn->eliciting++;
    gy_assert(build->pieces == NULL || build->probing ||
              conn->in_flight <= conn->congestion.window_bytes);
    conn->eliciting_ns = now_ns;
    packet->limited = conn->in_flight >= conn->congestion.window_bytes / 2;
    if (conn->in_flight > conn->stats.in_flight_max) {
        conn->stats.in_flight_max = conn->in_flight;
    }
    conn->probes -= conn->probes > 0;
    if (conn->congestion.ops->sent != NULL) {
        conn->congestion.ops->sent(&conn->congestion, flight_at(conn, packet->number),
                                   packet->bytes, conn->in_flight, now_ns);
    }
    pace(conn, packet->bytes, now_ns);
}

/* Records what was built, seals it behind its header. The frames begin 16 bytes into `out`. */
static size_t finish(struct gy_rudp_conn *conn, struct build *build, uint8_t *out, uint64_t now_ns)
{
    while (gy_writer_length(&build->writer) < 4) {
        gy_writer_u8(&build->writer, GY_RUDP_FRAME_PADDING);
        build->last = NULL;
    }
    /* Without its length, the last message may not make the packet too short. */
    if (build->last != NULL &&
        gy_writer_length(&build->writer) >= 4 + gy_rudp_varint_bytes(build->last->length)) {
        struct gy_rudp_frame frame;
        gy_rudp_frame_of(conn, build->last, &frame);
        build->writer = build->before_last;
        gy_rudp_frame_write(&build->writer, &frame, true);
    }
    size_t body = gy_writer_length(&build->writer);
    uint64_t number = number_take(conn);
    uint8_t head[16];
    size_t head_bytes = header(conn, build->level, head, number);
    uint8_t *start = build->writer.start;
    if (build->fec) {
        gy_rudp_fec_sent(conn, number, start, body, now_ns);
    }
    memmove(out + head_bytes, start, body);
    memcpy(out, head, head_bytes);
    size_t bytes = protect(conn, number, out, head_bytes, body);
    conn->ecn.mark = build->elsewhere ? 0 : gy_rudp_ecn_next(conn, number, build->fec);
    for (unsigned i = 0; i < build->grant_count; i++) {
        conn->channels[build->grants[i]].grant_number = number;
    }
    struct gy_rudp_packet *packet = packet_at(conn, number);
    gy_assert(number < conn->config.packets || packet->pieces == NULL);
    gy_assert(conn->number - conn->unacked <= conn->config.packets);
    *packet = (struct gy_rudp_packet){
        .number = number,
        .sent_ns = now_ns,
        .bytes = (uint32_t)bytes,
        .state = build->eliciting ? PACKET_FLYING : PACKET_DONE,
        .credit = build->credit,
        .done = build->done,
        .channel_credit = build->grant_count > 0,
        .blocked = build->blocked,
        .level = build->level,
        .trial = build->trial,
        .covered = build->fec,
        .ecn = conn->ecn.mark,
        .acks = build->ack ? conn->seen[0].high : UINT64_MAX,
        .pieces = build->pieces,
    };
    if (build->eliciting) {
        fly(conn, build, packet, now_ns);
    }
    gy_rudp_recovery_advance(conn); /* over mere acknowledgements, which nobody acknowledges */
    conn->spoken_ns = now_ns;
    conn->stats.packets_sent++;
    conn->stats.bytes_sent += bytes;
    event(conn, GY_RUDP_EVENT_SENT, number, bytes, now_ns);
    return bytes;
}

/* Frames are built behind the longest header, then moved up to the real one. */
static void build_begin(struct gy_rudp_conn *conn, struct build *build, enum gy_rudp_level level,
                        uint8_t *out, size_t room)
{
    size_t head = (size_t)(1 + conn->peer.length + 4);
    size_t tag = conn->config.seal->tag_bytes;
    size_t kept = conn->config.fec_packets != 0 && level == GY_RUDP_APPLICATION ? FEC_OVERHEAD : 0;
    memset(build, 0, sizeof *build);
    build->level = level;
    build->tail = &build->pieces;
    build->writer = gy_writer_on(out + head, room - head - tag - kept);
}

/* What the next packet is under. */
static enum gy_rudp_level level_now(struct gy_rudp_conn *conn, bool ack_due)
{
    if (!is_sealed(conn) || conn->confirmed) {
        return GY_RUDP_APPLICATION;
    }
    /* Until it has said so, the other end may have no other keys. */
    return gy_rudp_crypto_due(conn) || ack_due || !gy_rudp_crypto_may_send(conn)
               ? GY_RUDP_HANDSHAKE
               : GY_RUDP_APPLICATION;
}

size_t gy_rudp_output_close(struct gy_rudp_conn *conn, uint8_t *out, uint64_t now_ns)
{
    struct build build;
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_CLOSE};
    enum gy_rudp_level level = GY_RUDP_APPLICATION;
    /* Which keys the other end has is not known: both, if there are both. */
    if (is_sealed(conn) && !conn->confirmed && !conn->close_half) {
        level = GY_RUDP_HANDSHAKE;
        conn->close_half = gy_rudp_crypto_may_send(conn);
    } else {
        conn->close_half = false;
    }
    conn->close_due = conn->close_half;
    if (level == GY_RUDP_APPLICATION && !gy_rudp_keys_ready(conn, now_ns)) {
        return 0;
    }
    build_begin(conn, &build, level, out, conn->config.datagram_bytes);
    frame.close.code = conn->close_code;
    frame.close.reason = (const uint8_t *)conn->close_reason;
    frame.close.reason_bytes = strlen(conn->close_reason);
    if (frame.close.reason_bytes > GY_RUDP_REASON_MAX) {
        frame.close.reason_bytes = GY_RUDP_REASON_MAX;
    }
    gy_rudp_put(&build, &frame);
    return finish(conn, &build, out, now_ns);
}

/* A packet of `bytes`, to see whether it arrives. */
static size_t output_trial(struct gy_rudp_conn *conn, uint8_t *out, uint32_t bytes, uint64_t now_ns)
{
    struct build build;
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_PING};
    if (!gy_rudp_keys_ready(conn, now_ns)) {
        return 0;
    }
    build_begin(conn, &build, GY_RUDP_APPLICATION, out, conn->config.datagram_bytes);
    build.trial = true;
    gy_rudp_put(&build, &frame);
    size_t head = (size_t)(1 + conn->peer.length) + number_bytes(conn, conn->number + 1);
    build.writer.end = build.writer.start + (bytes - head - conn->config.seal->tag_bytes);
    memset(build.writer.at, GY_RUDP_FRAME_PADDING, (size_t)(build.writer.end - build.writer.at));
    build.writer.at = build.writer.end;
    size_t sent = finish(conn, &build, out, now_ns);
    gy_rudp_mtu_sent(conn, (uint32_t)sent);
    return sent;
}

static size_t output_repair(struct gy_rudp_conn *conn, uint8_t *out, uint64_t now_ns)
{
    struct build build;
    struct gy_rudp_frame frame;
    if (!gy_rudp_keys_ready(conn, now_ns)) {
        return 0;
    }
    build_begin(conn, &build, GY_RUDP_APPLICATION, out, conn->config.datagram_bytes);
    build.writer.end += FEC_OVERHEAD;
    gy_rudp_fec_frame(conn, &frame);
    if (!gy_rudp_put(&build, &frame)) { /* the path takes less than when its packets were sent */
        return 0;
    }
    conn->stats.repairs_sent++;
    return finish(conn, &build, out, now_ns);
}

size_t gy_rudp_output_challenge(struct gy_rudp_conn *conn, uint8_t *out, uint64_t now_ns)
{
    struct build build;
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_CHALLENGE, .proof = conn->path_proof};
    if (!gy_rudp_keys_ready(conn, now_ns)) {
        return 0;
    }
    build_begin(conn, &build, GY_RUDP_APPLICATION, out, conn->config.datagram_bytes);
    build.elsewhere = true;
    gy_rudp_put(&build, &frame);
    return finish(conn, &build, out, now_ns);
}

size_t gy_rudp_output_early(struct gy_rudp_conn *conn, uint8_t *out, size_t room, uint64_t now_ns)
{
    struct build build;
    build_begin(conn, &build, GY_RUDP_EARLY, out, room);
    for (unsigned i = 0; i < GY_RUDP_PRIORITIES; i++) {
        struct gy_rudp_link *head = &conn->active[i], *next;
        for (struct gy_rudp_link *at = head->next; at != head; at = next) {
            next = at->next;
            gy_rudp_put_early(conn, &build, CONTAINER(at, struct gy_rudp_channel, active));
        }
    }
    return build.eliciting ? finish(conn, &build, out, now_ns) : 0;
}

bool gy_rudp_output_has_number(const struct gy_rudp_conn *conn)
{
    /* Two: one may be left out. */
    return conn->number - conn->unacked < conn->config.packets - 2;
}

/* What goes into a packet of the level APPLICATION beside acknowledgements. */
static void put_application(struct gy_rudp_conn *conn, struct build *build, bool may)
{
    bool room = conn->number - conn->unacked < conn->config.packets - PACKETS_SPARE;
    if (conn->grant_due && room) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_CREDIT, .credit = conn->granted};
        build->credit = gy_rudp_put(build, &frame);
        conn->grant_due = !build->credit;
    }
    if (room && !list_empty(&conn->granting)) {
        gy_rudp_put_grants(conn, build);
    }
    if (conn->done_due && room) {
        struct gy_rudp_frame token = {.type = GY_RUDP_FRAME_ADDRESS_TOKEN,
                                      .address_token = conn->config.address_token};
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_DONE};
        bool given =
            conn->config.has_address_token && (conn->theirs.features & GY_RUDP_FEATURE_TOKENS) != 0;
        /* One packet has both, so that one acknowledgement is of both. */
        build->done = (!given || gy_rudp_put(build, &token)) && gy_rudp_put(build, &frame);
        conn->done_due = !build->done;
    }
    if (conn->response_due) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_RESPONSE, .proof = conn->response};
        conn->response_due = !gy_rudp_put(build, &frame);
    }
    if (may) {
        gy_rudp_put_repeats(conn, build, &conn->repeat);
        if (!build->full) {
            gy_rudp_put_crypto(conn, build, CRYPTO_APPLICATION);
        }
        if (!build->full) {
            gy_rudp_put_messages(conn, build);
            if (conn->blocked_due || !list_empty(&conn->blocked)) {
                gy_rudp_put_blocked(conn, build);
            }
        }
        if (!build->full && conn->congestion.ops->idle != NULL) {
            conn->congestion.ops->idle(&conn->congestion, conn->in_flight);
        }
    }
}

size_t gy_rudp_output_frames(struct gy_rudp_conn *conn, uint8_t *out, uint64_t now_ns)
{
    struct build build;
    bool ack_due = conn->ack_now || (conn->ack_pending > 0 && now_ns >= conn->ack_ns);
    conn->paced = false;
    if (ack_due) {
        gy_rudp_recovery_make_room(conn, now_ns);
    }
    if (!gy_rudp_output_has_number(conn)) {
        return 0;
    }
    bool may = may_send(conn, now_ns);
    if (!may && !ack_due && !conn->grant_due && list_empty(&conn->granting) &&
        !conn->response_due && !conn->done_due) {
        return 0;
    }
    enum gy_rudp_level level = level_now(conn, ack_due);
    bool more = may && conn->probes == 0 && level == GY_RUDP_APPLICATION;
    if (more && gy_rudp_fec_due(conn, now_ns)) {
        size_t bytes = output_repair(conn, out, now_ns);
        if (bytes > 0) {
            return bytes;
        }
    }
    uint32_t trial =
        more && (!is_sealed(conn) || conn->confirmed) ? gy_rudp_mtu_due(conn, now_ns) : 0;
    if (trial != 0) {
        return output_trial(conn, out, trial, now_ns);
    }
    build_begin(conn, &build, level, out, conn->config.datagram_bytes);
    build.probing = may && conn->probes > 0;
    if (conn->ack_pending > 0 || ack_due) {
        if (level == GY_RUDP_APPLICATION) {
            gy_rudp_put_recovered(conn, &build);
        }
        build.ack = gy_rudp_put_ack(conn, &build, now_ns);
    }
    if (build.level == GY_RUDP_APPLICATION) {
        put_application(conn, &build, may);
    } else if (may) {
        gy_rudp_put_repeats(conn, &build, &conn->crypto[CRYPTO_HANDSHAKE].repeat);
        gy_rudp_put_crypto(conn, &build, CRYPTO_HANDSHAKE);
    }
    if (build.probing && !build.eliciting) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_PING};
        gy_rudp_put(&build, &frame);
    }
    if (!build.eliciting && !(ack_due && build.ack) && !(build.ack && build.full)) {
        return 0;
    }
    if (build.level == GY_RUDP_APPLICATION && !gy_rudp_keys_ready(conn, now_ns)) {
        return 0;
    }
    if (build.ack) {
        conn->ack_pending = 0;
        conn->ack_now = false;
    }
    return finish(conn, &build, out, now_ns);
}
