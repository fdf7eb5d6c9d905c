/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams in: which connection's state they change, and how. */

#include "protocols/rudp/internal.h"

#define ACK_DELAY_MAX_NS (25 * MS)
#define ACK_DELAY_FIRST  (5 * MS) /* before the round trip is known */

bool gy_rudp_seen_admits(const struct gy_rudp_conn *conn, uint64_t number)
{
    if (number < conn->seen_floor) {
        return false;
    }
    for (uint32_t i = 0; i < conn->seen_count; i++) {
        if (number > conn->seen[i].high) {
            return true;
        }
        if (number >= conn->seen[i].low) {
            return false;
        }
    }
    /* Below all that is remembered: only if there is room to remember it, or it is the neighbour.
     */
    return conn->seen_count < GY_RUDP_SEEN_MAX ||
           number + 1 == conn->seen[conn->seen_count - 1].low;
}

static void seen_remove(struct gy_rudp_conn *conn, uint32_t index)
{
    conn->seen_count--;
    memmove(&conn->seen[index], &conn->seen[index + 1],
            (conn->seen_count - index) * sizeof conn->seen[0]);
}

void gy_rudp_seen_add(struct gy_rudp_conn *conn, uint64_t number)
{
    struct gy_rudp_range *seen = conn->seen;
    uint32_t i = 0;
    while (i < conn->seen_count && number < seen[i].low) {
        i++;
    }
    /* seen[i] is the first that lies below, seen[i - 1] the last above. */
    bool below = i < conn->seen_count && seen[i].high + 1 == number;
    bool above = i > 0 && number + 1 == seen[i - 1].low;
    gy_assert(i == conn->seen_count || number > seen[i].high);
    if (above && below) {
        seen[i - 1].low = seen[i].low;
        seen_remove(conn, i);
    } else if (above) {
        seen[i - 1].low = number;
    } else if (below) {
        seen[i].high = number;
    } else {
        if (conn->seen_count == GY_RUDP_SEEN_MAX) {
            gy_assert(i < conn->seen_count);
            conn->seen_floor = seen[conn->seen_count - 1].high + 1;
            seen_remove(conn, conn->seen_count - 1);
        }
        memmove(&seen[i + 1], &seen[i], (conn->seen_count - i) * sizeof seen[0]);
        seen[i] = (struct gy_rudp_range){number, number};
        conn->seen_count++;
    }
}

void gy_rudp_seen_forget(struct gy_rudp_conn *conn, uint64_t number)
{
    while (conn->seen_count > 1 && conn->seen[conn->seen_count - 1].high < number) {
        conn->seen_floor = conn->seen[conn->seen_count - 1].high + 1;
        seen_remove(conn, conn->seen_count - 1);
    }
}

static void receive_early(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint64_t now_ns);

struct from {
    uint64_t where;
    uint8_t mark;
};

static uint32_t version_of(const struct gy_rudp_conn *conn)
{
    return is_sealed(conn) ? GY_RUDP_VERSION : GY_RUDP_VERSION_PLAIN;
}

/* Ours was lost, or it is the first one, which may have something more in it. */
static void receive_hello(struct gy_rudp_conn *conn, uint8_t *data,
                          const struct gy_rudp_long *packet, uint64_t now_ns)
{
    bool alive = conn->state == GY_RUDP_OPEN || conn->state == GY_RUDP_HANDSHAKING;
    if (conn->client || !alive || !gy_rudp_cid_equal(&packet->from, &conn->peer)) {
        conn->stats.dropped++;
        return;
    }
    if (!conn->accept_due) {
        gy_rudp_crypto_again(conn);
    }
    conn->accept_due = conn->state == GY_RUDP_HANDSHAKING || !is_sealed(conn);
    if (conn->state == GY_RUDP_HANDSHAKING && packet->early_bytes > 0) {
        receive_early(conn, data + (packet->early - data), packet->early_bytes, now_ns);
    }
}

/* The server speaks other versions: never a reason to speak one of them. */
static void receive_versions(struct gy_rudp_conn *conn, const struct gy_rudp_long *packet)
{
    struct gy_reader reader = gy_reader_on(packet->versions, packet->version_count * 4);
    bool other = false;
    for (size_t i = 0; i < packet->version_count; i++) {
        uint32_t version = gy_reader_u32(&reader);
        if (version == version_of(conn)) {
            return; /* not an answer to us: RFC 9000 §6.2 */
        }
        other |= version == GY_RUDP_VERSION || version == GY_RUDP_VERSION_PLAIN;
    }
    if (other) {
        gy_rudp_dead(conn, GY_RUDP_CLOSE_MODE,
                     is_sealed(conn) ? "the peer speaks without encryption only"
                                     : "the peer speaks with encryption only");
        return;
    }
    gy_rudp_dead(conn, GY_RUDP_CLOSE_VERSION, "the peer speaks other versions only");
}

static void receive_long(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint64_t now_ns)
{
    struct gy_rudp_long packet;
    if (gy_rudp_long_read(data, bytes, &packet) != 0 ||
        (packet.type != GY_RUDP_PACKET_VERSIONS && packet.version != version_of(conn))) {
        conn->stats.dropped++;
        return;
    }
    if (packet.type == GY_RUDP_PACKET_HELLO) {
        receive_hello(conn, data, &packet, now_ns);
        return;
    }
    if (conn->state != GY_RUDP_CONNECTING || !gy_rudp_cid_equal(&packet.to, &conn->self)) {
        conn->stats.dropped++;
        return;
    }
    conn->stats.packets_received++;
    conn->stats.bytes_received += bytes;
    if (packet.type == GY_RUDP_PACKET_RETRY) {
        memcpy(conn->cookie, packet.cookie, GY_RUDP_COOKIE_BYTES);
        conn->has_cookie = true;
        /* The first is answered at once, and what waited for it waits no longer than at first;
         * later ones only renew the cookie. */
        conn->hello_ns = conn->retried ? conn->hello_ns : now_ns;
        conn->hellos = conn->retried ? conn->hellos : 0;
        conn->retried = true;
    } else if (packet.type == GY_RUDP_PACKET_VERSIONS) {
        receive_versions(conn, &packet);
    } else if (is_sealed(conn) && !conn->has_cookie) {
        conn->stats.dropped++; /* nobody answers so to a HELLO without one */
    } else if (is_sealed(conn)) {
        gy_rudp_crypto_accepted(conn, &packet, now_ns);
    } else {
        memcpy(conn->token, packet.token, GY_RUDP_TOKEN_BYTES);
        conn->has_token = true;
        conn->peer = packet.from;
        gy_rudp_opened(conn, &packet.parameters, now_ns);
    }
}

/* In constant time, so that the token cannot be guessed byte by byte. */
static bool is_reset(const struct gy_rudp_conn *conn, const uint8_t *data, size_t bytes)
{
    uint8_t differs = 0;
    if (!conn->has_token || bytes < 1 + 4 + GY_RUDP_TOKEN_BYTES) {
        return false;
    }
    for (unsigned i = 0; i < GY_RUDP_TOKEN_BYTES; i++) {
        differs |= data[bytes - GY_RUDP_TOKEN_BYTES + i] ^ conn->token[i];
    }
    return differs == 0;
}

/* Opens a short packet in place: its number and where its frames are. */
static bool open_short(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint64_t now_ns,
                       uint64_t *number, struct gy_reader *frames)
{
    const struct gy_rudp_seal *seal = conn->config.seal;
    enum gy_rudp_level level = gy_rudp_level_of(data[0]);
    /* Who sends early does not know the id yet. */
    size_t at = level == GY_RUDP_EARLY ? 1 : (size_t)(1 + conn->self.length);
    uint8_t mask[5] = {0};
    if (bytes < at + 4 + (seal->mask != NULL ? 16 : 0)) {
        return false;
    }
    if (seal->mask != NULL) {
        if (!seal->mask(seal->keys, level, false, data + at + 4, mask)) {
            return false;
        }
        data[0] ^= mask[0] & 0x0f;
    }
    unsigned number_bytes = (data[0] & 3u) + 1;
    size_t head = at + number_bytes;
    bool phase = (data[0] & GY_RUDP_KEY_PHASE) != 0;
    if ((data[0] & 0x08) != 0 || (phase && level != GY_RUDP_APPLICATION) ||
        ((phase || level != GY_RUDP_APPLICATION) && !is_sealed(conn)) ||
        bytes < head + seal->tag_bytes) {
        return false;
    }
    uint32_t truncated = 0;
    for (unsigned i = 0; i < number_bytes; i++) {
        data[at + i] ^= mask[1 + i];
        truncated = truncated << 8 | data[at + i];
    }
    uint64_t expected = conn->seen_count == 0 ? 0 : conn->seen[0].high + 1;
    *number = gy_rudp_number_expand(expected, truncated, number_bytes);
    if (*number > GY_RUDP_VARINT_MAX) { /* no acknowledgement could say it */
        return false;
    }
    uint32_t generation =
        level == GY_RUDP_APPLICATION ? gy_rudp_keys_of(conn, data[0], *number) : 0;
    if (!seal->open(seal->keys, generation, *number, data, head, data + head, bytes - head)) {
        conn->forgeries += is_sealed(conn);
        return false;
    }
    if (level == GY_RUDP_APPLICATION && is_sealed(conn)) {
        gy_rudp_keys_opened(conn, generation, *number, now_ns);
    }
    *frames = gy_reader_on(data + head, bytes - head - seal->tag_bytes);
    return true;
}

static bool is_unreliable(const struct gy_rudp_frame *frame)
{
    return frame->type == GY_RUDP_FRAME_MESSAGE && !is_reliable(frame->message.guarantee);
}

/* What may be said before the handshake is done is little. */
static bool level_allows(enum gy_rudp_level level, const struct gy_rudp_frame *frame)
{
    switch (frame->type) {
    case GY_RUDP_FRAME_PADDING:
    case GY_RUDP_FRAME_PING:
        return true;
    case GY_RUDP_FRAME_MESSAGE:
        return level != GY_RUDP_HANDSHAKE;
    case GY_RUDP_FRAME_ACK:
    case GY_RUDP_FRAME_CLOSE:
    case GY_RUDP_FRAME_CRYPTO:
        return level != GY_RUDP_EARLY;
    default:
        return level == GY_RUDP_APPLICATION;
    }
}

/* The whole packet is read before any of it counts. One acknowledgement says all there is to say,
 * and makes us look at all packets on their way: a packet full of them would cost too much. */
static int check_frames(struct gy_reader frames, enum gy_rudp_level level, bool *eliciting,
                        bool *unreliable)
{
    struct gy_rudp_frame frame;
    int code = GY_EPROTO; /* of a packet without frames */
    unsigned acks = 0;
    *eliciting = *unreliable = false;
    while (gy_reader_left(&frames) > 0) {
        code = gy_rudp_frame_read(&frames, &frame);
        if (code < 0 || !level_allows(level, &frame)) {
            return GY_EPROTO;
        }
        acks += frame.type == GY_RUDP_FRAME_ACK;
        if (acks > 1) {
            return GY_EPROTO;
        }
        *eliciting |= frame.type != GY_RUDP_FRAME_PADDING && frame.type != GY_RUDP_FRAME_ACK &&
                      frame.type != GY_RUDP_FRAME_CLOSE && frame.type != GY_RUDP_FRAME_RECOVERED;
        *unreliable |= is_unreliable(&frame);
    }
    return code < 0 ? code : 0;
}

static bool take_frame(struct gy_rudp_conn *conn, enum gy_rudp_level level,
                       const struct gy_rudp_frame *frame, uint64_t now_ns)
{
    switch (frame->type) {
    case GY_RUDP_FRAME_CRYPTO:
        return gy_rudp_crypto_take(conn, level, frame, now_ns);
    case GY_RUDP_FRAME_DONE:
        if (!conn->client || !is_sealed(conn)) {
            gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "DONE is the server's to say", now_ns);
        } else {
            gy_rudp_crypto_confirmed(conn);
        }
        return true;
    case GY_RUDP_FRAME_ADDRESS_TOKEN:
        if (!conn->client || !is_sealed(conn)) {
            gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "an address token is the server's to give",
                         now_ns);
        } else {
            memcpy(conn->address_token, frame->address_token, GY_RUDP_COOKIE_BYTES);
            conn->has_address_token = true;
        }
        return true;
    case GY_RUDP_FRAME_ACK:
        if (gy_rudp_acked(conn, &frame->ack, now_ns) != 0) {
            gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "what was never sent is acknowledged",
                         now_ns);
        }
        return true;
    case GY_RUDP_FRAME_CREDIT:
        conn->credit = frame->credit > conn->credit ? frame->credit : conn->credit;
        return true;
    case GY_RUDP_FRAME_CHANNEL_CREDIT:
        gy_rudp_channel_credit_take(conn, frame, now_ns);
        return true;
    case GY_RUDP_FRAME_BLOCKED:
    case GY_RUDP_FRAME_CHANNEL_BLOCKED:
        gy_rudp_blocked_take(conn, frame, now_ns);
        return true;
    case GY_RUDP_FRAME_SKIP:
        gy_rudp_skip_take(conn, frame, now_ns);
        return true;
    case GY_RUDP_FRAME_MESSAGE:
        return gy_rudp_message_take(conn, frame, now_ns);
    case GY_RUDP_FRAME_CHALLENGE:
        conn->response = frame->proof;
        conn->response_due = true;
        return true;
    case GY_RUDP_FRAME_RESPONSE:
        gy_rudp_path_answered(conn, frame->proof);
        return true;
    case GY_RUDP_FRAME_REPAIR:
        gy_rudp_fec_repair(conn, frame, now_ns);
        return true;
    case GY_RUDP_FRAME_RECOVERED:
        if (gy_rudp_fec_recovered(conn, frame->recovered) != 0) {
            gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "what was never sent is recovered", now_ns);
        }
        return true;
    case GY_RUDP_FRAME_CLOSE:
        gy_rudp_drain(conn, frame, now_ns);
        return true;
    default:
        return true;
    }
}

/* The unreliable messages last: they must not be delivered out of a packet that is then refused,
 * as a copy of it might be taken later. All else does nothing the second time. */
static bool take_frames(struct gy_rudp_conn *conn, enum gy_rudp_level level,
                        struct gy_reader frames, bool unreliable, uint64_t now_ns)
{
    struct gy_rudp_frame frame;
    bool all = true;
    while (conn->state <= GY_RUDP_OPEN && gy_rudp_frame_read(&frames, &frame) > 0) {
        if (is_unreliable(&frame) == unreliable) {
            /* What is behind a refused one may be just what it waits for. */
            all &= take_frame(conn, level, &frame, now_ns);
        }
    }
    return all;
}

static void note_received(struct gy_rudp_conn *conn, uint64_t number, bool eliciting,
                          uint64_t now_ns)
{
    bool in_order = conn->seen_count == 0 || number == conn->seen[0].high + 1;
    if (conn->seen_count == 0 || number > conn->seen[0].high) {
        conn->largest_ns = now_ns;
    }
    gy_rudp_seen_add(conn, number);
    if (!eliciting) {
        return;
    }
    if (conn->ack_pending++ == 0) {
        uint64_t delay = conn->srtt_ns == 0 ? ACK_DELAY_FIRST : conn->srtt_ns / 8;
        conn->ack_ns = now_ns + (delay < ACK_DELAY_MAX_NS ? delay : ACK_DELAY_MAX_NS);
    }
    conn->ack_now |= conn->ack_pending >= 2 || !in_order;
}

/* Repeats a CLOSE ever more rarely, RFC 9000 §10.2.1; or the peer has said its own. */
static void receive_closing(struct gy_rudp_conn *conn, struct gy_reader frames, uint64_t now_ns)
{
    struct gy_rudp_frame frame;
    while (gy_rudp_frame_read(&frames, &frame) > 0) {
        if (frame.type == GY_RUDP_FRAME_CLOSE) {
            gy_rudp_drain(conn, &frame, now_ns);
            return;
        }
    }
    conn->close_asked++;
    conn->close_due |= (conn->close_asked & (conn->close_asked - 1)) == 0;
}

/* `from`: the address it came from, 0 for the connection's, and the mark it has. */
static void receive_short(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, struct from from,
                          uint64_t now_ns)
{
    uint64_t number;
    struct gy_reader frames;
    bool eliciting, unreliable;
    enum gy_rudp_level level = gy_rudp_level_of(data[0]);
    if (conn->state == GY_RUDP_CONNECTING || conn->state >= GY_RUDP_DRAINING ||
        level == GY_RUDP_EARLY) {
        conn->stats.dropped++;
        return;
    }
    if (!open_short(conn, data, bytes, now_ns, &number, &frames)) {
        conn->stats.dropped++;
        if (is_sealed(conn) && conn->forgeries >= conn->config.seal->handshake->forgeries_max) {
            gy_rudp_fail(conn, GY_RUDP_CLOSE_KEYS, "too many packets were forged", now_ns);
        }
        return;
    }
    if (!gy_rudp_seen_admits(conn, number)) {
        conn->stats.duplicates++;
        return;
    }
    conn->stats.packets_received++;
    conn->stats.bytes_received += bytes;
    conn->heard_ns = now_ns;
    if (check_frames(frames, level, &eliciting, &unreliable) != 0) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "a malformed frame", now_ns);
        return;
    }
    if (conn->state == GY_RUDP_CLOSING) {
        receive_closing(conn, frames, now_ns);
        return;
    }
    conn->taking = number;
    if (!take_frames(conn, level, frames, false, now_ns)) {
        /* That we are here is worth saying: who hears nothing waits ever longer. */
        conn->stats.refused++;
        conn->ack_pending += conn->seen_count > 0 && conn->ack_pending == 0;
        conn->ack_now = conn->ack_pending > 0;
        return;
    }
    if (from.where != 0 && conn->state == GY_RUDP_OPEN &&
        (conn->seen_count == 0 || number > conn->seen[0].high)) {
        gy_rudp_path_seen(conn, from.where, bytes);
    }
    note_received(conn, number, eliciting, now_ns);
    gy_rudp_ecn_taken(conn, from.mark);
    event(conn, GY_RUDP_EVENT_RECEIVED, number, bytes, now_ns);
    if (conn->kept != NULL && level == GY_RUDP_APPLICATION) {
        gy_rudp_fec_keep(conn, number, frames.at, gy_reader_left(&frames), now_ns);
    }
    if (unreliable) {
        take_frames(conn, level, frames, true, now_ns);
    }
}

/* Whether the messages of an early packet are what may come early: whole ones, within what the
 * client was told when it was here before, as far as that still holds. */
static bool early_fits(const struct gy_rudp_conn *conn, struct gy_reader frames)
{
    struct gy_rudp_frame frame;
    uint64_t bytes = conn->received;
    while (gy_rudp_frame_read(&frames, &frame) > 0) {
        if (frame.type != GY_RUDP_FRAME_MESSAGE) {
            continue;
        }
        bytes += frame.message.length;
        if (frame.message.length != frame.message.total ||
            frame.message.channel >= conn->config.channels ||
            frame.message.length > conn->config.message_max || bytes > conn->granted ||
            (has_channel_credit(conn) && bytes > conn->config.channel_window_bytes)) {
            return false;
        }
    }
    return true;
}

/* A packet of the level EARLY, out of a HELLO. What is not taken is not acknowledged, and comes
 * again when the connection is open. */
static void receive_early(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint64_t now_ns)
{
    uint64_t number;
    struct gy_reader frames;
    bool eliciting, unreliable;
    const struct gy_rudp_handshake *tls = conn->config.seal->handshake;
    if ((data[0] & 0xf0) != (0x40 | GY_RUDP_EARLY << 4) ||
        !tls->early_taken(conn->config.seal->keys) ||
        !open_short(conn, data, bytes, now_ns, &number, &frames)) {
        conn->stats.dropped++;
        return;
    }
    if (!gy_rudp_seen_admits(conn, number)) {
        conn->stats.duplicates++;
        return;
    }
    if (check_frames(frames, GY_RUDP_EARLY, &eliciting, &unreliable) != 0 ||
        !early_fits(conn, frames)) {
        conn->stats.dropped++;
        return;
    }
    uint64_t before = conn->stats.delivered;
    conn->stats.packets_received++;
    conn->stats.bytes_received += bytes;
    conn->receiving_early = true;
    if (take_frames(conn, GY_RUDP_EARLY, frames, false, now_ns)) {
        note_received(conn, number, eliciting, now_ns);
        take_frames(conn, GY_RUDP_EARLY, frames, true, now_ns);
    }
    conn->receiving_early = false;
    conn->stats.early += conn->stats.delivered - before;
}

bool gy_rudp_recover(struct gy_rudp_conn *conn, uint64_t number, const uint8_t *data, size_t bytes,
                     uint64_t now_ns)
{
    struct gy_reader frames = gy_reader_on(data, bytes);
    bool eliciting, unreliable;
    if (conn->state != GY_RUDP_OPEN || !gy_rudp_seen_admits(conn, number) ||
        check_frames(frames, GY_RUDP_APPLICATION, &eliciting, &unreliable) != 0 ||
        !take_frames(conn, GY_RUDP_APPLICATION, frames, false, now_ns)) {
        return false;
    }
    note_received(conn, number, eliciting, now_ns);
    if (unreliable) {
        take_frames(conn, GY_RUDP_APPLICATION, frames, true, now_ns);
    }
    return true;
}

static void receive(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, struct from from,
                    uint64_t now_ns)
{
    struct gy_rudp_long packet;
    if (conn->state == GY_RUDP_DEAD ||
        gy_rudp_packet_peek(data, bytes, conn->self.length, &packet) != 0) {
        conn->stats.dropped++;
        return;
    }
    if (packet.type != GY_RUDP_PACKET_SHORT) {
        receive_long(conn, data, bytes, now_ns);
        return;
    }
    /* A reset has no connection id: what lies in its place is random. */
    if ((conn->state == GY_RUDP_OPEN || conn->state == GY_RUDP_CLOSING) &&
        is_reset(conn, data, bytes)) {
        gy_rudp_dead(conn, GY_RUDP_CLOSE_RESET, "the peer has forgotten this connection");
        return;
    }
    if (!gy_rudp_cid_equal(&packet.to, &conn->self)) {
        conn->stats.dropped++;
        return;
    }
    receive_short(conn, data, bytes, from, now_ns);
}

void gy_rudp_receive(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint64_t now_ns)
{
    receive(conn, data, bytes, (struct from){0}, now_ns);
}

void gy_rudp_receive_marked(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint8_t mark,
                            uint64_t now_ns)
{
    gy_assert(mark <= GY_RUDP_CE);
    receive(conn, data, bytes, (struct from){.mark = mark}, now_ns);
}

bool gy_rudp_receive_elsewhere(struct gy_rudp_conn *conn, uint8_t *data, size_t bytes, uint8_t mark,
                               uint64_t where, uint64_t now_ns)
{
    gy_assert(where != 0 && mark <= GY_RUDP_CE);
    uint64_t proof = conn->path_proof;
    struct from from = {.where = conn->client ? 0 : where, .mark = mark};
    receive(conn, data, bytes, from, now_ns);
    return conn->path_due && conn->path_where == where && conn->path_proof != proof;
}
