/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The next datagram: what goes into it, in which order, and whether now. */

#include "protocols/rudp/internal.h"

#define AHEAD_UNSAID   512
#define ROOM_TO_SPLIT  512
#define PIECE_OVERHEAD 24 /* of a part, at most: type, channel, id, total, offset, length */
#define BURST          10 /* packets that may go out at once, RFC 9002 §7.7 */

struct build {
    enum gy_rudp_level level;
    struct gy_writer writer;
    struct gy_rudp_piece *pieces, **tail; /* in their order */
    bool ack, eliciting, credit, done, full, probing;
    bool fec, trial; /* carries what a REPAIR is to cover; is as long as may be possible */
    /* The message written last, if nothing follows it: to be written again without its length. */
    struct gy_rudp_piece *last;
    struct gy_writer before_last;
};

/* What a piece may have so that it fits into a packet beside a CREDIT and a RESPONSE, however long
 * the number. */
static uint32_t piece_max(const struct gy_rudp_conn *conn)
{
    return conn->config.datagram_bytes - 1 - conn->peer.length - 4 -
           (uint32_t)conn->config.seal->tag_bytes - 9 - 9 - 24 -
           (conn->config.fec_packets != 0 ? FEC_OVERHEAD : 0);
}

static bool put(struct build *build, const struct gy_rudp_frame *frame)
{
    if (!gy_rudp_frame_write(&build->writer, frame, false)) {
        return false;
    }
    build->last = NULL;
    build->eliciting |= frame->type != GY_RUDP_FRAME_ACK && frame->type != GY_RUDP_FRAME_CLOSE &&
                        frame->type != GY_RUDP_FRAME_RECOVERED;
    return true;
}

static void frame_of(const struct gy_rudp_conn *conn, const struct gy_rudp_piece *piece,
                     struct gy_rudp_frame *frame)
{
    const struct gy_rudp_message *message = piece->message;
    if (piece->crypto != 0) {
        const struct gy_rudp_seal *seal = conn->config.seal;
        size_t said;
        const uint8_t *data = seal->handshake->said(
            seal->keys, crypto_level((enum crypto_stream)(piece->crypto - 1)), &said);
        gy_assert(piece->offset + piece->length <= said);
        frame->type = GY_RUDP_FRAME_CRYPTO;
        frame->crypto.offset = piece->offset;
        frame->crypto.data = data + piece->offset;
        frame->crypto.length = piece->length;
        return;
    }
    if (piece->skip) {
        frame->type = GY_RUDP_FRAME_SKIP;
        frame->skip.guarantee = piece->of.guarantee;
        frame->skip.channel = piece->of.channel;
        frame->skip.id = piece->of.id;
        frame->skip.total = piece->of.total;
        return;
    }
    frame->type = GY_RUDP_FRAME_MESSAGE;
    frame->message.guarantee = message->guarantee;
    frame->message.channel = message->channel;
    frame->message.id = message->id;
    frame->message.total = message->length;
    frame->message.offset = piece->offset;
    frame->message.data = message->data + piece->offset;
    frame->message.length = piece->length;
}

static bool put_piece(struct gy_rudp_conn *conn, struct build *build, struct gy_rudp_piece *piece)
{
    struct gy_rudp_frame frame;
    struct gy_writer before = build->writer;
    frame_of(conn, piece, &frame);
    if (!put(build, &frame)) {
        return false;
    }
    build->last = piece->skip || piece->crypto != 0 ? NULL : piece;
    build->before_last = before;
    /* What is repaired is of the level APPLICATION. */
    build->fec |= piece->message != NULL && !piece->skip && build->level == GY_RUDP_APPLICATION &&
                  conn->channels[piece->message->channel].fec;
    piece->tries++;
    piece->next = NULL;
    *build->tail = piece;
    build->tail = &piece->next;
    return true;
}

static bool is_too_long(const struct gy_rudp_conn *conn, const struct gy_rudp_piece *piece)
{
    return !piece->skip && piece->length > piece_max(conn);
}

/* A piece that was cut for longer datagrams than the path takes now becomes two: the second is
 * behind it in the list of what is to be repeated. false: there is no memory. */
static bool split(struct gy_rudp_conn *conn, const struct build *build, struct gy_rudp_piece *piece)
{
    size_t room = (size_t)(build->writer.end - build->writer.at);
    gy_assert(!piece->skip && room > PIECE_OVERHEAD + GY_RUDP_UNIT);
    uint32_t most = (uint32_t)(room - PIECE_OVERHEAD) / GY_RUDP_UNIT * GY_RUDP_UNIT;
    struct gy_rudp_piece *rest = most < piece->length ? gy_slab_take(&conn->pieces) : NULL;
    if (rest == NULL) {
        return false;
    }
    *rest = *piece;
    list_init(&rest->repeat);
    list_init(&rest->of_message);
    rest->offset += most;
    rest->length -= most;
    piece->length = most;
    if (piece->message != NULL) {
        list_add(&piece->message->pieces, &rest->of_message);
    }
    list_add(piece->repeat.next, &rest->repeat);
    return true;
}

static void put_repeats(struct gy_rudp_conn *conn, struct build *build, struct gy_rudp_link *repeat)
{
    const struct gy_rudp_piece *stuck = NULL;
    while (!list_empty(repeat)) {
        struct gy_rudp_piece *piece = CONTAINER(repeat->next, struct gy_rudp_piece, repeat);
        gy_assert(piece->skip || piece->crypto != 0 || piece->message != NULL);
        if (!put_piece(conn, build, piece)) {
            if (piece == stuck || !is_too_long(conn, piece)) {
                build->full = true;
                return;
            }
            if (build->writer.end - build->writer.at >= ROOM_TO_SPLIT &&
                split(conn, build, piece)) {
                continue;
            }
            /* There is no memory for it now; others may fit, and once acknowledged make room. */
            stuck = stuck == NULL ? piece : stuck;
            list_remove(&piece->repeat);
            list_add(repeat, &piece->repeat);
            continue;
        }
        list_remove(&piece->repeat);
        conn->stats.repeated++;
    }
}

/* What TLS says and was not sent yet. */
static void put_crypto(struct gy_rudp_conn *conn, struct build *build, enum crypto_stream stream)
{
    struct gy_rudp_crypto *crypto = &conn->crypto[stream];
    const struct gy_rudp_seal *seal = conn->config.seal;
    size_t said;
    if (!is_sealed(conn)) {
        return;
    }
    seal->handshake->said(seal->keys, crypto_level(stream), &said);
    while (crypto->sent < said && !build->full) {
        size_t room = (size_t)(build->writer.end - build->writer.at);
        size_t most = piece_max(conn);
        size_t head = 1 + gy_rudp_varint_bytes(crypto->sent) + 2;
        room = room > head ? room - head : 0;
        room = room < most ? room : most;
        room = room < said - crypto->sent ? room : said - crypto->sent;
        struct gy_rudp_piece *piece = room > 0 ? gy_slab_take(&conn->pieces) : NULL;
        if (piece == NULL) {
            build->full = true;
            return;
        }
        memset(piece, 0, sizeof *piece);
        list_init(&piece->repeat);
        list_init(&piece->of_message);
        piece->crypto = (uint8_t)(1 + stream);
        piece->offset = crypto->sent;
        piece->length = (uint32_t)room;
        bool fits = put_piece(conn, build, piece);
        gy_assert(fits);
        crypto->sent += (uint32_t)room;
    }
}

/* Whether the peer has places for one more that may come ahead of its turn. What one channel has to
 * wait for does not keep the others from a few of their own. */
static bool has_place(const struct gy_rudp_conn *conn, const struct gy_rudp_channel *channel)
{
    uint64_t most = conn->theirs.ahead != 0 ? conn->theirs.ahead : AHEAD_UNSAID;
    uint64_t own = channel->next_id[GY_RUDP_ORDERED] - channel->out[1].base;
    return conn->ahead < most || own < most / 16 + 1;
}

/* Gives a message its number. false: it may not begin yet. */
static bool begin(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel,
                  struct gy_rudp_message *message)
{
    uint64_t *next = &channel->next_id[message->guarantee];
    if (is_reliable(message->guarantee)) {
        if (*next >= channel->out[message->guarantee - GY_RUDP_UNORDERED].base +
                         GY_RUDP_WINDOW_MESSAGES ||
            conn->credit_used + message->length > conn->credit ||
            (message->guarantee == GY_RUDP_ORDERED && !has_place(conn, channel))) {
            return false;
        }
        conn->credit_used += message->length;
        conn->ahead += message->guarantee == GY_RUDP_ORDERED;
    }
    message->begun = true;
    message->id = (*next)++;
    return true;
}

/* How much of the message goes into this packet: GY_EAGAIN for none of it. */
static int64_t cut(struct gy_rudp_conn *conn, const struct build *build,
                   const struct gy_rudp_message *message)
{
    uint32_t left = message->length - message->sent;
    uint32_t most = piece_max(conn);
    size_t room = (size_t)(build->writer.end - build->writer.at);
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_MESSAGE};
    frame.message.guarantee = message->guarantee;
    frame.message.id =
        message->begun ? message->id : conn->channels[message->channel].next_id[message->guarantee];
    frame.message.total = message->length;
    frame.message.offset = message->sent;
    frame.message.length = left;
    if (left <= most && gy_rudp_message_overhead(&frame) + left <= room) {
        return left;
    }
    bool empty = !build->ack && !build->eliciting;
    if (message->length <= most && !empty) {
        return GY_EAGAIN; /* the next packet takes it whole */
    }
    frame.message.length = 1;
    size_t overhead = gy_rudp_message_overhead(&frame) + 3;
    room = room > overhead ? room - overhead : 0;
    room = room < most ? room : most;
    room = room < left ? room : left - 1;
    room = room / GY_RUDP_UNIT * GY_RUDP_UNIT;
    return room < (empty ? GY_RUDP_UNIT : 4 * GY_RUDP_UNIT) ? GY_EAGAIN : (int64_t)room;
}

/* The next `length` bytes of a message, which fit. false: it may not begin yet. */
static bool put_message(struct gy_rudp_conn *conn, struct build *build,
                        struct gy_rudp_channel *channel, struct gy_rudp_message *message,
                        uint32_t length)
{
    if (!message->begun && !begin(conn, channel, message)) {
        return false;
    }
    struct gy_rudp_piece *piece = gy_slab_take(&conn->pieces);
    gy_assert(piece != NULL);
    memset(piece, 0, sizeof *piece);
    list_init(&piece->repeat);
    piece->message = message;
    piece->offset = message->sent;
    piece->length = length;
    list_add(&message->pieces, &piece->of_message);
    bool fits = put_piece(conn, build, piece);
    gy_assert(fits);
    message->sent += length;
    if (message->sent == message->length) {
        channel->stats.sent++;
        channel->stats.sent_bytes += message->length;
        list_remove(&message->queue);
        gy_rudp_channel_settle(conn, channel);
    }
    return true;
}

/* Messages of one channel until the packet is full (true) or it has nothing that may go. */
static bool put_channel(struct gy_rudp_conn *conn, struct build *build,
                        struct gy_rudp_channel *channel)
{
    while (!list_empty(&channel->queue)) {
        struct gy_rudp_message *message =
            CONTAINER(channel->queue.next, struct gy_rudp_message, queue);
        if (message->length > conn->theirs.message_max ||
            message->channel >= conn->theirs.channels) {
            gy_rudp_message_end(conn, message, GY_RUDP_REFUSED);
            continue;
        }
        int64_t length = cut(conn, build, message);
        if (length < 0 || conn->pieces.used + PIECES_SPARE >= conn->pieces.capacity) {
            return true;
        }
        if (!put_message(conn, build, channel, message, (uint32_t)length)) {
            return false;
        }
    }
    return false;
}

/* Of one channel what may be taken twice, whole, as long as nothing else is before it. */
static void put_early(struct gy_rudp_conn *conn, struct build *build,
                      struct gy_rudp_channel *channel)
{
    while (!list_empty(&channel->queue)) {
        struct gy_rudp_message *message =
            CONTAINER(channel->queue.next, struct gy_rudp_message, queue);
        if (!message->replayable || message->length > conn->theirs.message_max ||
            message->channel >= conn->theirs.channels ||
            cut(conn, build, message) != message->length ||
            !put_message(conn, build, channel, message, message->length)) {
            return;
        }
    }
}

static void put_messages(struct gy_rudp_conn *conn, struct build *build)
{
    for (unsigned i = 0; i < GY_RUDP_PRIORITIES && !build->full; i++) {
        struct gy_rudp_link *head = &conn->active[i];
        struct gy_rudp_link *next;
        for (struct gy_rudp_link *at = head->next; at != head && !build->full; at = next) {
            struct gy_rudp_channel *channel = CONTAINER(at, struct gy_rudp_channel, active);
            next = at->next;
            build->full = put_channel(conn, build, channel);
            if (build->full && !list_empty(&channel->queue) && --channel->turn == 0) {
                list_remove(&channel->active); /* the others' turn */
                list_add(head, &channel->active);
                channel->turn = channel->weight;
            }
        }
    }
}

static bool put_ack(struct gy_rudp_conn *conn, struct build *build, uint64_t now_ns)
{
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_ACK};
    frame.ack.delay_us = (now_ns - conn->largest_ns) / 1000;
    frame.ack.count = conn->seen_count;
    memcpy(frame.ack.ranges, conn->seen, conn->seen_count * sizeof conn->seen[0]);
    return put(build, &frame);
}

/* In front of the acknowledgement, so that the sender knows in time what it is worth. */
static void put_recovered(struct gy_rudp_conn *conn, struct build *build)
{
    for (uint32_t i = 0; i < conn->recovered_count; i++) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_RECOVERED,
                                      .recovered = conn->recovered[i]};
        put(build, &frame);
    }
    conn->recovered_count = 0;
}

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

static size_t header(struct gy_rudp_conn *conn, enum gy_rudp_level level, uint8_t *out,
                     uint64_t number, unsigned *bytes)
{
    uint8_t phase =
        level == GY_RUDP_APPLICATION && (conn->key_out & 1) != 0 ? GY_RUDP_KEY_PHASE : 0;
    *bytes = gy_rudp_number_bytes(number, conn->largest_acked);
    struct gy_writer writer = gy_writer_on(out, 16);
    gy_writer_u8(&writer, (uint8_t)(0x40 | level << 4 | phase | (*bytes - 1)));
    gy_writer_bytes(&writer, conn->peer.bytes, conn->peer.length);
    for (unsigned i = *bytes; i-- > 0;) {
        gy_writer_u8(&writer, (uint8_t)(number >> (8 * i)));
    }
    return gy_writer_length(&writer);
}

/* Records what was built, seals it behind its header. The frames begin 16 bytes into `out`. */
static size_t finish(struct gy_rudp_conn *conn, struct build *build, uint8_t *out, uint64_t now_ns)
{
    const struct gy_rudp_seal *seal = conn->config.seal;
    while (gy_writer_length(&build->writer) < 4) {
        gy_writer_u8(&build->writer, GY_RUDP_FRAME_PADDING);
        build->last = NULL;
    }
    /* Without its length, the last message may not make the packet too short. */
    if (build->last != NULL &&
        gy_writer_length(&build->writer) >= 4 + gy_rudp_varint_bytes(build->last->length)) {
        struct gy_rudp_frame frame;
        frame_of(conn, build->last, &frame);
        build->writer = build->before_last;
        gy_rudp_frame_write(&build->writer, &frame, true);
    }
    size_t body = gy_writer_length(&build->writer);
    uint64_t number = number_take(conn);
    unsigned number_bytes;
    uint8_t head[16];
    size_t head_bytes = header(conn, build->level, head, number, &number_bytes);
    uint8_t *start = build->writer.start;
    if (build->fec) {
        gy_rudp_fec_sent(conn, number, start, body, now_ns);
    }
    memmove(out + head_bytes, start, body);
    memcpy(out, head, head_bytes);
    seal->seal(seal->keys, number, out, head_bytes, out + head_bytes, body);
    size_t bytes = head_bytes + body + seal->tag_bytes;
    if (seal->mask != NULL) {
        uint8_t mask[5];
        uint8_t *at = out + head_bytes - number_bytes;
        bool masked = seal->mask(seal->keys, build->level, true, at + 4, mask);
        gy_assert(masked);
        out[0] ^= mask[0] & 0x0f;
        for (unsigned i = 0; i < number_bytes; i++) {
            at[i] ^= mask[1 + i];
        }
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
        .level = build->level,
        .trial = build->trial,
        .acks = build->ack ? conn->seen[0].high : UINT64_MAX,
        .pieces = build->pieces,
    };
    if (build->eliciting) {
        conn->in_flight += bytes;
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
            conn->congestion.ops->sent(&conn->congestion, flight_at(conn, number), bytes,
                                       conn->in_flight, now_ns);
        }
        pace(conn, bytes, now_ns);
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
    put(&build, &frame);
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
    put(&build, &frame);
    size_t head = (size_t)(1 + conn->peer.length) +
                  gy_rudp_number_bytes(conn->number + 1, conn->largest_acked);
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
    if (!put(&build, &frame)) { /* the path takes less than when its packets were sent */
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
    put(&build, &frame);
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
            put_early(conn, &build, CONTAINER(at, struct gy_rudp_channel, active));
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
        build->credit = put(build, &frame);
        conn->grant_due = !build->credit;
    }
    if (conn->done_due && room) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_DONE};
        build->done = put(build, &frame);
        conn->done_due = !build->done;
    }
    if (conn->response_due) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_RESPONSE, .proof = conn->response};
        conn->response_due = !put(build, &frame);
    }
    if (may) {
        put_repeats(conn, build, &conn->repeat);
        if (!build->full) {
            put_crypto(conn, build, CRYPTO_APPLICATION);
        }
        if (!build->full) {
            put_messages(conn, build);
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
    if (!gy_rudp_output_has_number(conn)) {
        return 0;
    }
    bool may = may_send(conn, now_ns);
    if (!may && !ack_due && !conn->grant_due && !conn->response_due && !conn->done_due) {
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
            put_recovered(conn, &build);
        }
        build.ack = put_ack(conn, &build, now_ns);
    }
    if (build.level == GY_RUDP_APPLICATION) {
        put_application(conn, &build, may);
    } else if (may) {
        put_repeats(conn, &build, &conn->crypto[CRYPTO_HANDSHAKE].repeat);
        put_crypto(conn, &build, CRYPTO_HANDSHAKE);
    }
    if (build.probing && !build.eliciting) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_PING};
        put(&build, &frame);
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
