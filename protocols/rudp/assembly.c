/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Received messages: put together, put in order, delivered once. */

#include "protocols/rudp/internal.h"

static size_t bitmap_bytes(uint64_t total)
{
    return (size_t)((total / GY_RUDP_UNIT + 8) / 8);
}

static size_t memory_bytes(const struct gy_rudp_assembly *assembly)
{
    return assembly->total + bitmap_bytes(assembly->total);
}

static struct gy_rudp_assembly **slot_of(struct gy_rudp_conn *conn, uint8_t channel,
                                         enum gy_rudp_guarantee guarantee, uint64_t id)
{
    /* Keyed: the peer chooses the ids, and is not to know which lie in one list. */
    struct gy_siphash_key key = {{conn->config.seed, ~conn->config.seed}};
    uint64_t of[2] = {id, (uint64_t)channel << 2 | guarantee};
    uint64_t hash = gy_siphash(&key, of, sizeof of);
    struct gy_rudp_assembly **at = &conn->table[hash & conn->table_mask];
    while (*at != NULL &&
           ((*at)->id != id || (*at)->channel != channel || (*at)->guarantee != guarantee)) {
        at = &(*at)->next;
    }
    return at;
}

static void assembly_free(struct gy_rudp_conn *conn, struct gy_rudp_assembly **slot)
{
    struct gy_rudp_assembly *assembly = *slot;
    gy_assert(assembly != NULL);
    *slot = assembly->next;
    if (!is_reliable(assembly->guarantee)) {
        conn->passing_bytes -= memory_bytes(assembly);
    }
    conn->early -= assembly->early;
    list_remove(&assembly->passing);
    conn->env.give(conn->env.owner, assembly->memory, memory_bytes(assembly));
    gy_slab_give(&conn->assemblies, assembly);
}

/* The oldest unreliable message that is still incomplete gives way. */
static bool evict(struct gy_rudp_conn *conn)
{
    if (list_empty(&conn->passing)) {
        return false;
    }
    struct gy_rudp_assembly *oldest =
        CONTAINER(conn->passing.next, struct gy_rudp_assembly, passing);
    conn->stats.evicted++;
    assembly_free(conn, slot_of(conn, oldest->channel, oldest->guarantee, oldest->id));
    return true;
}

static void grant(struct gy_rudp_conn *conn)
{
    uint64_t window = conn->config.window_bytes;
    gy_assert(conn->consumed <= conn->received);
    if (conn->consumed + window - conn->granted >= window / 4) {
        conn->granted = conn->consumed + window;
        conn->grant_due = true;
    }
}

static void grant_channel(struct gy_rudp_conn *conn, struct gy_rudp_channel *channel)
{
    uint64_t window = conn->config.channel_window_bytes;
    gy_assert(channel->consumed <= channel->received);
    if (channel->consumed + window - channel->granted >= window / 4) {
        channel->granted = channel->consumed + window;
        list_remove(&channel->granting);
        list_add(&conn->granting, &channel->granting);
    }
}

void gy_rudp_grants_lost(struct gy_rudp_conn *conn, uint64_t number)
{
    for (uint32_t i = 0; i < conn->config.channels; i++) {
        struct gy_rudp_channel *channel = &conn->channels[i];
        if (channel->grant_number == number &&
            channel->granted > conn->config.channel_window_bytes) {
            list_remove(&channel->granting);
            list_add(&conn->granting, &channel->granting);
        }
    }
}

/* The connection needs no memory for them any more: they are the reader's, or nobody's. */
static void leave(struct gy_rudp_conn *conn, uint64_t bytes)
{
    conn->consumed += bytes;
    grant(conn);
}

void gy_rudp_consumed(struct gy_rudp_conn *conn, uint8_t channel, uint64_t bytes)
{
    gy_assert(channel < conn->config.channels);
    if (has_channel_credit(conn)) {
        conn->channels[channel].consumed += bytes;
        grant_channel(conn, &conn->channels[channel]);
    } else {
        leave(conn, bytes);
    }
}

static void deliver(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                    const uint8_t *data, size_t length)
{
    conn->stats.delivered++;
    conn->channels[channel].stats.delivered++;
    conn->channels[channel].stats.delivered_bytes += length;
    bool now = conn->env.received(conn, channel, guarantee, data, length);
    if (!is_reliable(guarantee)) {
        return;
    }
    if (has_channel_credit(conn)) {
        leave(conn, length);
    }
    if (now) {
        gy_rudp_consumed(conn, channel, length);
    }
}

static struct gy_rudp_window *in_window(struct gy_rudp_conn *conn, uint8_t channel,
                                        enum gy_rudp_guarantee guarantee)
{
    return &conn->channels[channel].in[guarantee - GY_RUDP_UNORDERED];
}

/* What had come early and is next now. An assembly that is next is no longer early. */
static void drain(struct gy_rudp_conn *conn, uint8_t channel)
{
    struct gy_rudp_window *window = in_window(conn, channel, GY_RUDP_ORDERED);
    while (conn->assemblies.used > 0) {
        struct gy_rudp_assembly **slot = slot_of(conn, channel, GY_RUDP_ORDERED, window->base);
        struct gy_rudp_assembly *assembly = *slot;
        if (assembly == NULL) {
            return;
        }
        conn->early -= assembly->early;
        assembly->early = false;
        if (assembly->have < assembly->total) {
            return;
        }
        /* Marked first: what `received` does sees a connection that is whole. */
        window_mark(window, assembly->id);
        deliver(conn, channel, GY_RUDP_ORDERED, assembly->memory, assembly->total);
        assembly_free(conn, slot_of(conn, channel, GY_RUDP_ORDERED, assembly->id));
    }
}

static void finish(struct gy_rudp_conn *conn, struct gy_rudp_assembly *assembly)
{
    struct gy_rudp_channel *channel = &conn->channels[assembly->channel];
    uint8_t number = assembly->channel;
    switch (assembly->guarantee) {
    case GY_RUDP_ORDERED:
        drain(conn, number);
        return;
    case GY_RUDP_UNORDERED:
        window_mark(in_window(conn, number, GY_RUDP_UNORDERED), assembly->id);
        break;
    case GY_RUDP_SEQUENCED:
        if (assembly->id < channel->newest) {
            assembly_free(conn, slot_of(conn, number, assembly->guarantee, assembly->id));
            return;
        }
        channel->newest = assembly->id + 1;
        break;
    default:
        break;
    }
    deliver(conn, number, assembly->guarantee, assembly->memory, assembly->total);
    assembly_free(conn, slot_of(conn, number, assembly->guarantee, assembly->id));
}

/* Memory for a message; NULL if there is none, and the frame is then refused or dropped. */
static struct gy_rudp_assembly *assembly_begin(struct gy_rudp_conn *conn,
                                               const struct gy_rudp_frame *frame)
{
    bool reliable = is_reliable(frame->message.guarantee);
    uint64_t bytes = frame->message.total + bitmap_bytes(frame->message.total);
    bool early =
        frame->message.guarantee == GY_RUDP_ORDERED &&
        in_window(conn, frame->message.channel, GY_RUDP_ORDERED)->base != frame->message.id;
    /* So that those that hold up the others always find a place. */
    if (early && conn->early >= conn->assemblies.capacity / 2) {
        return NULL;
    }
    while ((!reliable && conn->passing_bytes + bytes > conn->config.window_bytes) ||
           conn->assemblies.used == conn->assemblies.capacity) {
        if (!evict(conn)) {
            return NULL;
        }
    }
    void *memory = conn->env.take(conn->env.owner, bytes);
    if (memory == NULL) {
        return NULL;
    }
    struct gy_rudp_assembly *assembly = gy_slab_take(&conn->assemblies);
    gy_assert(assembly != NULL);
    *assembly = (struct gy_rudp_assembly){
        .channel = frame->message.channel,
        .guarantee = frame->message.guarantee,
        .id = frame->message.id,
        .total = (uint32_t)frame->message.total,
        .early = early,
        .memory = memory,
    };
    memset(assembly->memory + assembly->total, 0, bitmap_bytes(assembly->total));
    conn->early += early;
    list_init(&assembly->passing);
    if (!reliable) {
        conn->passing_bytes += bytes;
        list_add(&conn->passing, &assembly->passing);
    }
    struct gy_rudp_assembly **slot =
        slot_of(conn, assembly->channel, assembly->guarantee, assembly->id);
    gy_assert(*slot == NULL);
    *slot = assembly;
    return assembly;
}

static void assembly_add(struct gy_rudp_conn *conn, struct gy_rudp_assembly *assembly,
                         const struct gy_rudp_frame *frame)
{
    uint8_t *bits = assembly->memory + assembly->total;
    uint64_t offset = frame->message.offset;
    uint64_t end = offset + frame->message.length;
    if (frame->message.total != assembly->total || assembly->have == assembly->total) {
        return; /* complete already; or it lies, and its message never ends */
    }
    gy_assert(end <= assembly->total);
    memcpy(assembly->memory + offset, frame->message.data, frame->message.length);
    for (uint64_t at = offset; at < end; at += GY_RUDP_UNIT) {
        uint64_t unit = at / GY_RUDP_UNIT;
        if ((bits[unit / 8] >> (unit % 8) & 1) == 0) {
            bits[unit / 8] |= (uint8_t)(1u << (unit % 8));
            assembly->have += (uint32_t)(end - at < GY_RUDP_UNIT ? end - at : GY_RUDP_UNIT);
        }
    }
    if (assembly->have == assembly->total) {
        finish(conn, assembly);
    }
}

static bool is_too_much(const struct gy_rudp_conn *conn, uint8_t channel, uint64_t total)
{
    const struct gy_rudp_channel *at = &conn->channels[channel];
    return total > conn->config.message_max || conn->received + total > conn->granted ||
           (has_channel_credit(conn) && at->received + total > at->granted);
}

/* Counts a reliable message that was not known yet. */
static bool count(struct gy_rudp_conn *conn, uint8_t channel, uint64_t total, uint64_t now_ns)
{
    if (is_too_much(conn, channel, total)) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_FLOW, "more than the window allows", now_ns);
        return false;
    }
    conn->received += total;
    conn->channels[channel].received += total;
    return true;
}

static bool take_reliable(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                          uint64_t now_ns)
{
    uint8_t channel = frame->message.channel;
    enum gy_rudp_guarantee guarantee = frame->message.guarantee;
    struct gy_rudp_window *window = in_window(conn, channel, guarantee);
    uint64_t id = frame->message.id;
    if (id >= window->base + GY_RUDP_WINDOW_MESSAGES) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_FLOW, "a message too far ahead", now_ns);
        return true;
    }
    if (window_has(window, id)) {
        return true;
    }
    struct gy_rudp_assembly *assembly =
        conn->assemblies.used > 0 ? *slot_of(conn, channel, guarantee, id) : NULL;
    bool whole = frame->message.length == frame->message.total;
    if (assembly == NULL && whole && (guarantee == GY_RUDP_UNORDERED || id == window->base)) {
        if (count(conn, channel, frame->message.total, now_ns)) {
            window_mark(window, id);
            deliver(conn, channel, guarantee, frame->message.data, frame->message.length);
            if (guarantee == GY_RUDP_ORDERED) {
                drain(conn, channel);
            }
        }
        return true;
    }
    if (assembly == NULL) {
        if (is_too_much(conn, channel, frame->message.total)) {
            return count(conn, channel, frame->message.total, now_ns);
        }
        assembly = assembly_begin(conn, frame);
        if (assembly == NULL) {
            return false;
        }
        count(conn, channel, frame->message.total, now_ns);
    }
    assembly_add(conn, assembly, frame);
    return true;
}

static void take_unreliable(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame)
{
    struct gy_rudp_channel *channel = &conn->channels[frame->message.channel];
    bool sequenced = frame->message.guarantee == GY_RUDP_SEQUENCED;
    if (frame->message.total > conn->config.message_max ||
        (sequenced && frame->message.id < channel->newest)) {
        return;
    }
    if (frame->message.length == frame->message.total) {
        if (sequenced) {
            channel->newest = frame->message.id + 1;
        }
        deliver(conn, frame->message.channel, frame->message.guarantee, frame->message.data,
                frame->message.length);
        return;
    }
    struct gy_rudp_assembly *assembly =
        *slot_of(conn, frame->message.channel, frame->message.guarantee, frame->message.id);
    if (assembly == NULL) {
        assembly = assembly_begin(conn, frame);
    }
    if (assembly != NULL) {
        assembly_add(conn, assembly, frame);
    }
}

bool gy_rudp_message_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                          uint64_t now_ns)
{
    if (frame->message.channel >= conn->config.channels) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "no such channel", now_ns);
        return true;
    }
    if (is_reliable(frame->message.guarantee)) {
        return take_reliable(conn, frame, now_ns);
    }
    take_unreliable(conn, frame);
    return true;
}

void gy_rudp_skip_take(struct gy_rudp_conn *conn, const struct gy_rudp_frame *frame,
                       uint64_t now_ns)
{
    if (frame->skip.channel >= conn->config.channels) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_PROTOCOL, "no such channel", now_ns);
        return;
    }
    struct gy_rudp_window *window = in_window(conn, frame->skip.channel, frame->skip.guarantee);
    uint64_t id = frame->skip.id;
    if (id >= window->base + GY_RUDP_WINDOW_MESSAGES) {
        gy_rudp_fail(conn, GY_RUDP_CLOSE_FLOW, "a message too far ahead", now_ns);
        return;
    }
    if (window_has(window, id)) {
        return;
    }
    struct gy_rudp_assembly **slot = slot_of(conn, frame->skip.channel, frame->skip.guarantee, id);
    uint64_t total = frame->skip.total;
    if (*slot != NULL) {
        if ((*slot)->have == (*slot)->total) {
            return; /* it is all here, and only waits for its turn */
        }
        total = (*slot)->total;
        assembly_free(conn, slot);
    } else if (!count(conn, frame->skip.channel, total, now_ns)) {
        return;
    }
    window_mark(window, id);
    if (has_channel_credit(conn)) {
        leave(conn, total);
    }
    gy_rudp_consumed(conn, frame->skip.channel, total);
    if (frame->skip.guarantee == GY_RUDP_ORDERED) {
        drain(conn, frame->skip.channel);
    }
}

void gy_rudp_assemblies_free(struct gy_rudp_conn *conn)
{
    for (uint32_t i = 0; i <= conn->table_mask; i++) {
        while (conn->table[i] != NULL) {
            assembly_free(conn, &conn->table[i]);
        }
    }
    gy_assert(conn->assemblies.used == 0 && conn->early == 0 && conn->passing_bytes == 0);
}
