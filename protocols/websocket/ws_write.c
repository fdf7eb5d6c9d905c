/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Frames out. */

#include "protocols/websocket/ws_internal.h"

/* Payload up to this is copied behind its head: one slice instead of two, which joins those of
 * other frames. */
#define COPY_BYTES 512

#define FIN    0x80
#define PACKED 0x40 /* RSV1 (RFC 7692 §6) */

/* Writes a frame's head, with the key of a client (0: none). Returns its bytes. */
static uint32_t put_head(uint8_t *at, uint8_t first, uint64_t length, const uint32_t *key)
{
    uint8_t masked = key != NULL ? 0x80 : 0;
    uint32_t bytes = 2;
    at[0] = first;
    if (length < 126) {
        at[1] = (uint8_t)(masked | length);
    } else if (length < 65536) {
        at[1] = masked | 126;
        at[2] = (uint8_t)(length >> 8);
        at[3] = (uint8_t)length;
        bytes = 4;
    } else {
        at[1] = masked | 127;
        for (uint32_t i = 0; i < 8; i++) {
            at[2 + i] = (uint8_t)(length >> (56 - 8 * i));
        }
        bytes = 10;
    }
    if (key != NULL) {
        memcpy(at + bytes, key, 4);
        bytes += 4;
    }
    return bytes;
}

/* A frame whose payload is copied: at most GY_WS_COPY_MAX bytes. */
static int put_copied(struct gy_ws *ws, uint8_t first, const void *data, uint32_t bytes)
{
    struct gy_ws_env *env = ws->env;
    gy_assert(bytes <= GY_WS_COPY_MAX);
    uint8_t *room = gy_bump_reserve(env->bump, GY_WS_HEAD_MAX + bytes);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    bool client = (ws->flags & WS_CLIENT) != 0;
    uint32_t key = client ? env->random(env->random_context) : 0;
    uint32_t head = put_head(room, first, bytes, client ? &key : NULL);
    if (client) {
        env->vector->mask(room + head, data, bytes, key);
    } else if (bytes > 0) {
        memcpy(room + head, data, bytes);
    }
    return gy_bump_commit(env->bump, ws->out, head + bytes);
}

int gy_ws_send_control(struct gy_ws *ws, enum ws_opcode opcode, const void *data, uint32_t bytes)
{
    static const uint8_t nothing[1];
    gy_assert(bytes <= GY_WS_CONTROL_MAX);
    return put_copied(ws, FIN | (uint8_t)opcode, data != NULL ? data : nothing, bytes);
}

/* Whether a message can be sent now. */
static int check(struct gy_ws *ws)
{
    if (!gy_ws_is_open(ws)) {
        return GY_ESTATE;
    }
    if (ws->out->length > ws->env->limits.output_max) {
        ws->env->counters.refused++;
        return GY_ELIMIT;
    }
    return 0;
}

static void count_message(struct gy_ws_counters *counters, uint64_t bytes)
{
    counters->messages_out++;
    counters->bytes_out += bytes;
}

int gy_ws_send_part(struct gy_ws *ws, uint32_t kind, bool last, const void *data, uint32_t bytes)
{
    bool within = (ws->flags & WS_PARTS) != 0;
    if (bytes > GY_WS_COPY_MAX || kind > GY_WS_BINARY || (kind == 0) != within) {
        return GY_EINVAL;
    }
    int code = check(ws);
    if (code == 0) {
        code = put_copied(ws, (uint8_t)((last ? FIN : 0) | kind), data, bytes);
    }
    if (code != 0) {
        return code;
    }
    ws->flags = (uint16_t)(last ? ws->flags & ~WS_PARTS : ws->flags | WS_PARTS);
    ws->env->counters.copied_bytes += bytes;
    ws->env->counters.bytes_out += bytes;
    ws->env->counters.messages_out += last;
    return 0;
}

int gy_ws_send_copy(struct gy_ws *ws, enum gy_ws_kind kind, const void *data, uint32_t bytes)
{
    bool packs = ws->deflate != NULL && bytes >= ws->env->limits.deflate_min;
    if (!packs || bytes > GY_WS_COPY_MAX || (ws->flags & WS_PARTS) != 0) {
        return gy_ws_send_part(ws, kind, true, data, bytes);
    }
    struct gy_chain payload;
    gy_chain_init(&payload, ws->env->links);
    int code = gy_bump_copy(ws->env->bump, &payload, data, bytes);
    code = code == 0 ? gy_ws_send(ws, kind, &payload) : code;
    gy_chain_clear(&payload);
    return code;
}

/* Appends payload to `out`, masked. 0, or GY_ENOBUFS. */
static int put_masked(struct gy_ws_env *env, struct gy_chain *out, uint32_t key,
                      const struct gy_slice *slice)
{
    const uint8_t *data = gy_slice_data(*slice);
    uint32_t left = slice->length;
    while (left > 0) {
        uint32_t now = left < GY_BUMP_BLOCK_BYTES ? left : GY_BUMP_BLOCK_BYTES;
        uint8_t *room = gy_bump_reserve(env->bump, now);
        if (room == NULL) {
            return GY_ENOBUFS;
        }
        env->vector->mask(room, data, now, key);
        if (gy_bump_commit(env->bump, out, now) != 0) {
            return GY_ENOBUFS;
        }
        key = gy_ws_key_turn(key, now);
        data += now;
        left -= now;
    }
    return 0;
}

static int send_masked(struct gy_ws *ws, uint8_t kind, struct gy_chain *payload)
{
    struct gy_ws_env *env = ws->env;
    struct gy_chain frame;
    uint8_t head[GY_WS_HEAD_MAX];
    uint32_t key = env->random(env->random_context);
    uint32_t head_bytes = put_head(head, (uint8_t)(FIN | kind), payload->length, &key);
    gy_chain_init(&frame, env->links);
    uint8_t *room = gy_bump_reserve(env->bump, head_bytes);
    int code = room == NULL ? GY_ENOBUFS : 0;
    if (code == 0) {
        memcpy(room, head, head_bytes);
        code = gy_bump_commit(env->bump, &frame, head_bytes);
    }
    for (const struct gy_link *link = payload->head; link != NULL && code == 0; link = link->next) {
        code = put_masked(env, &frame, key, &link->slice);
        key = gy_ws_key_turn(key, link->slice.length);
    }
    if (code != 0) {
        gy_chain_clear(&frame);
        return code;
    }
    env->counters.copied_bytes += payload->length;
    gy_chain_clear(payload);
    return gy_chain_move(&frame, ws->out, frame.length);
}

/* A server's frame at the end of `out`. */
static int put_frame(struct gy_ws_env *env, struct gy_chain *out, uint8_t kind,
                     struct gy_chain *payload)
{
    uint32_t length = payload->length;
    uint32_t copied = length <= COPY_BYTES ? length : 0;
    uint8_t *room = gy_bump_reserve(env->bump, GY_WS_HEAD_MAX + copied);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint32_t head = put_head(room, (uint8_t)(FIN | kind), length, NULL);
    gy_chain_copy(payload, 0, copied, room + head);
    int code = gy_bump_commit(env->bump, out, head + copied);
    if (code != 0) {
        return code;
    }
    env->counters.copied_bytes += copied;
    gy_chain_consume(payload, copied);
    return gy_chain_move(payload, out, payload->length); /* whole: it cannot fail */
}

static int send_frame(struct gy_ws *ws, uint8_t first, struct gy_chain *payload)
{
    return (ws->flags & WS_CLIENT) != 0 ? send_masked(ws, first, payload)
                                        : put_frame(ws->env, ws->out, first, payload);
}

static int send_packed(struct gy_ws *ws, enum gy_ws_kind kind, struct gy_chain *payload)
{
    struct gy_ws_env *env = ws->env;
    struct gy_chain packed;
    gy_chain_init(&packed, env->links);
    int code = gy_ws_deflate_pack(ws->deflate, env->bump, payload, 0, &packed);
    uint32_t bytes = packed.length;
    code = code == 0 ? send_frame(ws, (uint8_t)(PACKED | kind), &packed) : code;
    if (code != 0) {
        /* It was compressed, and is not sent: the next must not refer to it. */
        gy_ws_deflate_forget(ws->deflate);
        gy_chain_clear(&packed);
        return code == GY_ENOMEM ? GY_ENOBUFS : code;
    }
    env->counters.packed_out++;
    env->counters.packed_bytes_out += bytes;
    gy_chain_clear(payload);
    return 0;
}

int gy_ws_send(struct gy_ws *ws, enum gy_ws_kind kind, struct gy_chain *payload)
{
    uint64_t bytes = payload->length;
    gy_assert(payload->links == ws->env->links && (kind == GY_WS_TEXT || kind == GY_WS_BINARY));
    if ((ws->flags & WS_PARTS) != 0) {
        return GY_EINVAL;
    }
    int code = check(ws);
    if (code != 0) {
        return code;
    }
    bool packs = ws->deflate != NULL && bytes >= ws->env->limits.deflate_min;
    code = packs ? send_packed(ws, kind, payload) : send_frame(ws, kind, payload);
    if (code == 0) {
        count_message(&ws->env->counters, bytes);
    }
    return code;
}

int gy_ws_encode(struct gy_ws_env *env, enum gy_ws_kind kind, struct gy_chain *payload,
                 struct gy_ws_encoded *encoded)
{
    uint32_t bytes = payload->length;
    encoded->kind = kind;
    gy_chain_init(&encoded->plain, env->links);
    for (uint32_t i = 0; i < GY_WS_BITS_MAX - GY_WS_BITS_MIN + 1; i++) {
        gy_chain_init(&encoded->packed[i], env->links);
    }
    int code = put_frame(env, &encoded->plain, kind, payload);
    encoded->head_bytes = code == 0 ? encoded->plain.length - bytes : 0;
    return code;
}

void gy_ws_encoded_end(struct gy_ws_encoded *encoded)
{
    gy_chain_clear(&encoded->plain);
    for (uint32_t i = 0; i < GY_WS_BITS_MAX - GY_WS_BITS_MIN + 1; i++) {
        gy_chain_clear(&encoded->packed[i]);
    }
}

/* The frame for connections with this window; NULL: no memory for it. */
static const struct gy_chain *packed_for(struct gy_ws_env *env, struct gy_ws_encoded *encoded,
                                         uint8_t bits)
{
    struct gy_chain *frame = &encoded->packed[bits - GY_WS_BITS_MIN];
    struct gy_chain payload;
    if (!gy_chain_empty(frame)) {
        return frame;
    }
    gy_chain_init(&payload, env->links);
    int code = gy_ws_deflate_pack_alone(&env->memory, bits, env->bump, &encoded->plain,
                                        encoded->head_bytes, &payload);
    code = code == 0 ? put_frame(env, frame, (uint8_t)(PACKED | encoded->kind), &payload) : code;
    gy_chain_clear(&payload);
    return code == 0 ? frame : NULL;
}

/* Which of its frames a connection gets. Compressed alone, it is in the peer's window and not in
 * ours: what follows must not refer to anything. */
static const struct gy_chain *frame_for(struct gy_ws *ws, struct gy_ws_encoded *encoded)
{
    struct gy_ws_env *env = ws->env;
    if (ws->deflate == NULL ||
        encoded->plain.length - encoded->head_bytes < env->limits.deflate_min) {
        return &encoded->plain;
    }
    const struct gy_chain *frame = packed_for(env, encoded, gy_ws_deflate_bits(ws->deflate));
    if (frame == NULL) {
        return &encoded->plain;
    }
    gy_ws_deflate_forget(ws->deflate);
    env->counters.packed_out++;
    env->counters.packed_bytes_out += frame->length;
    return frame;
}

int gy_ws_send_encoded(struct gy_ws *ws, struct gy_ws_encoded *encoded)
{
    gy_assert((ws->flags & WS_CLIENT) == 0);
    if ((ws->flags & WS_PARTS) != 0) {
        return GY_EINVAL;
    }
    int code = check(ws);
    if (code != 0) {
        return code;
    }
    const struct gy_chain *frame = frame_for(ws, encoded);
    struct gy_slab *links = ws->env->links;
    if (links->capacity - links->used < frame->count) {
        return GY_ENOBUFS;
    }
    for (const struct gy_link *link = frame->head; link != NULL; link = link->next) {
        gy_buffer_hold(link->slice.buffer);
        code = gy_chain_append(ws->out, link->slice);
        gy_assert(code == 0); /* there were links */
    }
    count_message(&ws->env->counters, encoded->plain.length - encoded->head_bytes);
    return 0;
}

int gy_ws_ping(struct gy_ws *ws, const void *data, uint32_t bytes)
{
    if (bytes > GY_WS_CONTROL_MAX) {
        return GY_EINVAL;
    }
    int code = check(ws);
    if (code == 0) {
        code = gy_ws_send_control(ws, WS_OPCODE_PING, data, bytes);
    }
    ws->env->counters.pings_out += code == 0;
    return code;
}
