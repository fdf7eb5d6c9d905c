/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What goes into a packet, and in which order; see build.h. */

#include "protocols/rudp/build.h"

#define AHEAD_UNSAID   512
#define ROOM_TO_SPLIT  512
#define PIECE_OVERHEAD 24 /* of a part, at most: type, channel, id, total, offset, length */

/* What a piece may have so that it fits into a packet beside a CREDIT and a RESPONSE, however long
 * the number. */
static uint32_t piece_max(const struct gy_rudp_conn *conn)
{
    return conn->config.datagram_bytes - 1 - conn->peer.length - 4 -
           (uint32_t)conn->config.seal->tag_bytes - 9 - 9 - 24 -
           (conn->config.fec_packets != 0 ? FEC_OVERHEAD : 0);
}

bool gy_rudp_put(struct build *build, const struct gy_rudp_frame *frame)
{
    if (!gy_rudp_frame_write(&build->writer, frame, false)) {
        return false;
    }
    build->last = NULL;
    build->eliciting |= frame->type != GY_RUDP_FRAME_ACK && frame->type != GY_RUDP_FRAME_CLOSE &&
                        frame->type != GY_RUDP_FRAME_RECOVERED;
    return true;
}

void gy_rudp_frame_of(const struct gy_rudp_conn *conn, const struct gy_rudp_piece *piece,
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
    gy_rudp_frame_of(conn, piece, &frame);
    if (!gy_rudp_put(build, &frame)) {
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

void gy_rudp_put_repeats(struct gy_rudp_conn *conn, struct build *build,
                         struct gy_rudp_link *repeat)
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

void gy_rudp_put_crypto(struct gy_rudp_conn *conn, struct build *build, enum crypto_stream stream)
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

static bool credit_take(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel, uint32_t length)
{
    uint64_t limit = channel->credit > conn->theirs.channel_window ? channel->credit
                                                                   : conn->theirs.channel_window;
    if (channel->credit_used + length > limit && limit != 0) {
        gy_rudp_blocked(conn, channel, limit);
        return false;
    }
    if (conn->credit_used + length > conn->credit) {
        gy_rudp_blocked(conn, NULL, conn->credit);
        return false;
    }
    conn->credit_used += length;
    channel->credit_used += length;
    return true;
}

/* Gives a message its number. false: it may not begin yet. */
static bool begin(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel,
                  struct gy_rudp_message *message)
{
    uint64_t *next = &channel->next_id[message->guarantee];
    if (is_reliable(message->guarantee)) {
        if (*next >= channel->out[message->guarantee - GY_RUDP_UNORDERED].base +
                         GY_RUDP_WINDOW_MESSAGES ||
            (message->guarantee == GY_RUDP_ORDERED && !has_place(conn, channel)) ||
            !credit_take(conn, channel, message->length)) {
            return false;
        }
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

void gy_rudp_put_early(struct gy_rudp_conn *conn, struct build *build,
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

void gy_rudp_put_messages(struct gy_rudp_conn *conn, struct build *build)
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

void gy_rudp_put_grants(struct gy_rudp_conn *conn, struct build *build)
{
    while (!list_empty(&conn->granting) && build->grant_count < sizeof build->grants) {
        struct gy_rudp_channel *channel =
            CONTAINER(conn->granting.next, struct gy_rudp_channel, granting);
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_CHANNEL_CREDIT};
        frame.of_channel.channel = (uint8_t)(channel - conn->channels);
        frame.of_channel.credit = channel->granted;
        if (!gy_rudp_put(build, &frame)) {
            return;
        }
        list_remove(&channel->granting);
        build->grants[build->grant_count++] = frame.of_channel.channel;
    }
}

void gy_rudp_put_blocked(struct gy_rudp_conn *conn, struct build *build)
{
    struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_BLOCKED, .credit = conn->blocked_at};
    if (conn->blocked_due && gy_rudp_put(build, &frame)) {
        conn->blocked_due = false;
        conn->stats.blocked++;
        build->blocked = true;
    }
    while (!list_empty(&conn->blocked)) {
        struct gy_rudp_channel *channel =
            CONTAINER(conn->blocked.next, struct gy_rudp_channel, blocked);
        frame.type = GY_RUDP_FRAME_CHANNEL_BLOCKED;
        frame.of_channel.channel = (uint8_t)(channel - conn->channels);
        frame.of_channel.credit = channel->blocked_at;
        if (!gy_rudp_put(build, &frame)) {
            return;
        }
        list_remove(&channel->blocked);
        channel->stats.blocked++;
        conn->stats.blocked++;
        build->blocked = true;
    }
}

/* The ranges that a frame has room for: where there are more, the newest half of it, and of the
 * others one lot after the other. */
static uint32_t ranges_to_say(struct gy_rudp_conn *conn, struct gy_rudp_range *ranges)
{
    uint32_t count = conn->seen_count;
    uint32_t half = GY_RUDP_RANGES_MAX / 2;
    if (count <= GY_RUDP_RANGES_MAX) {
        memcpy(ranges, conn->seen, count * sizeof conn->seen[0]);
        return count;
    }
    uint32_t from = half + conn->seen_turn++ % ((count - 1) / half) * half;
    uint32_t more = count - from < half ? count - from : half;
    memcpy(ranges, conn->seen, half * sizeof conn->seen[0]);
    memcpy(ranges + half, conn->seen + from, more * sizeof conn->seen[0]);
    return half + more;
}

bool gy_rudp_put_ack(struct gy_rudp_conn *conn, struct build *build, uint64_t now_ns)
{
    struct gy_rudp_frame frame; /* large: only what is read is written */
    frame.type = GY_RUDP_FRAME_ACK;
    frame.ack.delay_us = (now_ns - conn->largest_ns) / 1000;
    frame.ack.count = ranges_to_say(conn, frame.ack.ranges);
    const uint64_t *in = conn->ecn.in;
    frame.ack.counted = (conn->theirs.features & GY_RUDP_FEATURE_ECN) != 0 &&
                        (in[GY_RUDP_ECT0] | in[GY_RUDP_ECT1] | in[GY_RUDP_CE]) != 0;
    if (frame.ack.counted) {
        frame.ack.ect0 = in[GY_RUDP_ECT0];
        frame.ack.ect1 = in[GY_RUDP_ECT1];
        frame.ack.ce = in[GY_RUDP_CE];
    }
    return gy_rudp_put(build, &frame);
}

void gy_rudp_put_recovered(struct gy_rudp_conn *conn, struct build *build)
{
    for (uint32_t i = 0; i < conn->recovered_count; i++) {
        struct gy_rudp_frame frame = {.type = GY_RUDP_FRAME_RECOVERED,
                                      .recovered = conn->recovered[i]};
        gy_rudp_put(build, &frame);
    }
    conn->recovered_count = 0;
}
