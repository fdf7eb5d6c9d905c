/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages to send, from gy_rudp_send() to gy_rudp_finished(). */

#include "protocols/rudp/internal.h"

static struct gy_rudp_message *first_due(const struct gy_rudp_conn *conn)
{
    return list_empty(&conn->due) ? NULL : CONTAINER(conn->due.next, struct gy_rudp_message, due);
}

uint64_t gy_rudp_messages_timeout(const struct gy_rudp_conn *conn)
{
    const struct gy_rudp_message *message = first_due(conn);
    return message == NULL || message->deadline_ns <= conn->checked_ns ? UINT64_MAX
                                                                       : message->deadline_ns;
}

int gy_rudp_send(struct gy_rudp_conn *conn, struct gy_rudp_message *message)
{
    if (conn->state > GY_RUDP_OPEN) {
        return GY_ECLOSED;
    }
    if (message->channel >= conn->config.channels || message->guarantee > GY_RUDP_ORDERED) {
        return GY_EINVAL;
    }
    if (message->length > GY_RUDP_MESSAGE_LIMIT ||
        (conn->state == GY_RUDP_OPEN && message->length > conn->theirs.message_max)) {
        return GY_ELIMIT;
    }
    struct gy_rudp_channel *channel = &conn->channels[message->channel];
    message->result = message->doom = GY_RUDP_PENDING;
    message->begun = false;
    message->sent = 0;
    message->id = 0;
    list_init(&message->pieces);
    list_init(&message->due);
    list_add(&channel->queue, &message->queue);
    list_add(&conn->all, &message->all);
    if (channel->active.next == &channel->active) {
        list_add(&conn->active[channel->priority], &channel->active);
    }
    if (message->deadline_ns != 0) {
        /* Mostly they come in their order, so the place is looked for from the end. */
        struct gy_rudp_link *at = &conn->due;
        while (at->previous != &conn->due &&
               CONTAINER(at->previous, struct gy_rudp_message, due)->deadline_ns >
                   message->deadline_ns) {
            at = at->previous;
        }
        list_add(at, &message->due);
    }
    return 0;
}

void gy_rudp_channel_settle(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel)
{
    (void)conn;
    if (list_empty(&channel->queue)) {
        list_remove(&channel->active);
    }
}

/* ---- credit ---- */

void gy_rudp_blocked(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel, uint64_t limit)
{
    if ((conn->theirs.features & GY_RUDP_FEATURE_CHANNELS) == 0) {
        return;
    }
    if (channel == NULL && conn->blocked_at != limit) {
        conn->blocked_at = limit;
        conn->blocked_due = true;
    } else if (channel != NULL && channel->blocked_at != limit) {
        channel->blocked_at = limit;
        list_remove(&channel->blocked);
        list_add(&conn->blocked, &channel->blocked);
    }
}

void gy_rudp_blocked_lost(struct gy_rudp_conn *conn)
{
    conn->blocked_at = 0;
    conn->blocked_due = false;
    for (uint32_t i = 0; i < conn->config.channels; i++) {
        conn->channels[i].blocked_at = 0;
        list_remove(&conn->channels[i].blocked);
    }
}

static struct gy_rudp_channel *named(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                                     uint64_t now_ns)
{
    if (frame->of_channel.channel >= conn->config.channels) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "no such channel", now_ns);
        return NULL;
    }
    return &conn->channels[frame->of_channel.channel];
}

void gy_rudp_blocked_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                          uint64_t now_ns)
{
    conn->stats.blocked_received++;
    if (frame->type == GY_RUDP_FRAME_CHANNEL_BLOCKED) {
        struct gy_rudp_channel *channel = named(conn, frame, now_ns);
        if (channel != NULL) {
            channel->stats.blocked_received++;
        }
    }
}

void gy_rudp_channel_credit_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                                 uint64_t now_ns)
{
    struct gy_rudp_channel *channel = named(conn, frame, now_ns);
    if (channel != NULL && frame->of_channel.credit > channel->credit) {
        channel->credit = frame->of_channel.credit;
    }
}

/* ---- channels ---- */

void gy_rudp_channel_priority(struct gy_rudp_conn *conn, uint8_t number, unsigned priority)
{
    gy_assert(number < conn->config.channels && priority < GY_RUDP_PRIORITIES);
    struct gy_rudp_channel *channel = &conn->channels[number];
    channel->priority = priority;
    if (!list_empty(&channel->queue)) {
        list_remove(&channel->active);
        list_add(&conn->active[priority], &channel->active);
    }
}

void gy_rudp_channel_fec(struct gy_rudp_conn *conn, uint8_t number, bool on)
{
    gy_assert(number < conn->config.channels && (!on || conn->config.fec_packets != 0));
    conn->channels[number].fec = on;
}

void gy_rudp_channel_stats(const struct gy_rudp_conn *conn, uint8_t number,
                           struct gy_rudp_channel_stats *stats)
{
    gy_assert(number < conn->config.channels);
    *stats = conn->channels[number].stats;
}

void gy_rudp_channel_weight(struct gy_rudp_conn *conn, uint8_t number, unsigned weight)
{
    gy_assert(number < conn->config.channels && weight >= 1 && weight <= 255);
    conn->channels[number].weight = conn->channels[number].turn = weight;
}

static void piece_detach(struct gy_rudp_piece *piece)
{
    list_remove(&piece->of_message);
    piece->message = NULL;
}

void gy_rudp_message_end(struct gy_rudp_conn *conn, struct gy_rudp_message *message,
                         enum gy_rudp_result result)
{
    gy_assert(message->result == GY_RUDP_PENDING && result != GY_RUDP_PENDING);
    while (!list_empty(&message->pieces)) {
        struct gy_rudp_piece *piece =
            CONTAINER(message->pieces.next, struct gy_rudp_piece, of_message);
        piece_detach(piece);
        if (!list_empty(&piece->repeat)) {
            list_remove(&piece->repeat);
            gy_slab_give(&conn->pieces, piece);
        }
    }
    message->result = result;
    list_remove(&message->due);
    list_remove(&message->all);
    list_remove(&message->queue);
    gy_rudp_channel_settle(conn, &conn->channels[message->channel]);
    list_add(&conn->finished, &message->queue);
}

void gy_rudp_message_doom(struct gy_rudp_conn *conn, struct gy_rudp_message *message,
                          enum gy_rudp_result result)
{
    if (message->doom != GY_RUDP_PENDING) {
        return;
    }
    message->doom = result;
    message->deadline_ns = 1;
    list_remove(&message->due);
    list_add(conn->due.next, &message->due);
}

void gy_rudp_cancel(struct gy_rudp_conn *conn, struct gy_rudp_message *message)
{
    if (message->result == GY_RUDP_PENDING) {
        gy_rudp_message_doom(conn, message, GY_RUDP_CANCELLED);
    }
}

struct gy_rudp_message *gy_rudp_finished(struct gy_rudp_conn *conn)
{
    if (list_empty(&conn->finished)) {
        return NULL;
    }
    struct gy_rudp_message *message = CONTAINER(conn->finished.next, struct gy_rudp_message, queue);
    list_remove(&message->queue);
    gy_assert(message->result != GY_RUDP_PENDING && list_empty(&message->pieces));
    return message;
}

static struct gy_rudp_window *out_window(struct gy_rudp_conn *conn, uint8_t channel,
                                         enum gy_rudp_guarantee guarantee)
{
    gy_assert(is_reliable(guarantee));
    return &conn->channels[channel].out[guarantee - GY_RUDP_UNORDERED];
}

static void out_mark(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     uint64_t id)
{
    struct gy_rudp_window *window = out_window(conn, channel, guarantee);
    uint64_t before = window->base;
    window_mark(window, id);
    if (guarantee == GY_RUDP_ORDERED) {
        gy_assert(conn->ahead >= window->base - before);
        conn->ahead -= window->base - before;
    }
}

void gy_rudp_piece_acked(struct gy_rudp_conn *conn, struct gy_rudp_piece *piece)
{
    struct gy_rudp_message *message = piece->message;
    if (piece->skip) {
        out_mark(conn, piece->of.channel, piece->of.guarantee, piece->of.id);
    } else if (message != NULL) {
        piece_detach(piece);
        if (list_empty(&message->pieces) && message->sent == message->length) {
            if (is_reliable(message->guarantee)) {
                out_mark(conn, message->channel, message->guarantee, message->id);
            }
            gy_rudp_message_end(conn, message, GY_RUDP_ACKED);
        }
    }
    gy_slab_give(&conn->pieces, piece);
}

void gy_rudp_piece_lost(struct gy_rudp_conn *conn, struct gy_rudp_piece *piece)
{
    struct gy_rudp_message *message = piece->message;
    if (piece->crypto != 0) {
        gy_assert(list_empty(&piece->repeat));
        list_add(piece->crypto == 1 + CRYPTO_HANDSHAKE ? &conn->crypto[CRYPTO_HANDSHAKE].repeat
                                                       : &conn->repeat,
                 &piece->repeat);
        return;
    }
    if (!piece->skip && message == NULL) {
        gy_slab_give(&conn->pieces, piece);
        return;
    }
    if (!piece->skip && !is_reliable(message->guarantee)) {
        piece_detach(piece);
        gy_slab_give(&conn->pieces, piece);
        gy_rudp_message_end(conn, message, GY_RUDP_LOST);
        return;
    }
    gy_assert(list_empty(&piece->repeat));
    list_add(&conn->repeat, &piece->repeat);
    if (!piece->skip && message->tries_max != 0 && piece->tries >= message->tries_max) {
        gy_rudp_message_doom(conn, message, GY_RUDP_EXPIRED);
    }
}

/* A begun reliable message leaves a number behind that the receiver must not wait for. */
static bool leave_skip(struct gy_rudp_conn *conn, const struct gy_rudp_message *message)
{
    struct gy_rudp_piece *piece = conn->pieces.used + PIECES_SPARE < conn->pieces.capacity
                                      ? gy_slab_take(&conn->pieces)
                                      : NULL;
    if (piece == NULL) {
        return false;
    }
    memset(piece, 0, sizeof *piece);
    list_init(&piece->of_message);
    piece->skip = true;
    piece->of.guarantee = message->guarantee;
    piece->of.channel = message->channel;
    piece->of.id = message->id;
    piece->of.total = message->length;
    list_add(&conn->repeat, &piece->repeat);
    return true;
}

void gy_rudp_messages_expire(struct gy_rudp_conn *conn, uint64_t now_ns)
{
    struct gy_rudp_message *message;
    conn->checked_ns = now_ns;
    while ((message = first_due(conn)) != NULL &&
           (message->doom != GY_RUDP_PENDING || message->deadline_ns <= now_ns)) {
        if (message->begun && is_reliable(message->guarantee) && !leave_skip(conn, message)) {
            return; /* at the next acknowledgement or loss there is room */
        }
        gy_rudp_message_end(conn, message,
                            message->doom != GY_RUDP_PENDING ? message->doom : GY_RUDP_EXPIRED);
    }
}
