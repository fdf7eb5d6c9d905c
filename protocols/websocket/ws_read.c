/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Frames in (RFC 6455 §5.2), and what becomes of them. */

#include "protocols/websocket/ws_internal.h"

/* What reading a piece says, beside an event (1) and an error. */
enum {
    NEED_MORE = 0,
    GO_ON = 2,
};

struct reading {
    struct gy_ws *ws;
    struct gy_chain *in;
    struct gy_ws_event *event;
    uint64_t now_ns;
};

static int fail(const struct reading *reading, uint16_t code, const char *why)
{
    return gy_ws_fail(reading->ws, code, why, reading->now_ns, reading->event);
}

static int breach(const struct reading *reading, const char *why)
{
    return fail(reading, GY_WS_PROTOCOL_ERROR, why);
}

static bool is_client(const struct gy_ws *ws)
{
    return (ws->flags & WS_CLIENT) != 0;
}

/* ---- heads ---- */

/* The first two bytes, in the order in which they come. NULL: nothing is wrong with them. */
static const char *check_first(const struct gy_ws *ws, uint8_t first, uint8_t second)
{
    uint8_t opcode = first & 0x0f;
    bool fin = (first & 0x80) != 0;
    bool packed = (first & 0x70) == 0x40 && ws->deflate != NULL &&
                  (opcode == GY_WS_TEXT || opcode == GY_WS_BINARY);
    if ((first & 0x70) != 0 && !packed) {
        return ws->deflate != NULL
                   ? "a reserved bit is set where no message begins that could be compressed"
                   : "a reserved bit is set, and no extension was agreed on";
    }
    if ((opcode > GY_WS_BINARY && opcode < WS_OPCODE_CLOSE) || opcode > WS_OPCODE_PONG) {
        return "a frame has a reserved opcode";
    }
    if (opcode >= WS_OPCODE_CLOSE && !fin) {
        return "a control frame is fragmented";
    }
    if (opcode == WS_CONTINUATION && ws->kind == 0) {
        return "there is no message to continue";
    }
    if ((opcode == GY_WS_TEXT || opcode == GY_WS_BINARY) && ws->kind != 0) {
        return "a message begins within another";
    }
    if (is_client(ws) == ((second & 0x80) != 0)) {
        return is_client(ws) ? "a frame of the server is masked"
                             : "a frame of the client is not masked";
    }
    if (opcode >= WS_OPCODE_CLOSE && (second & 0x7f) > GY_WS_CONTROL_MAX) {
        return "a control frame has more than 125 bytes";
    }
    return NULL;
}

static uint8_t head_bytes(uint8_t second)
{
    uint8_t length = second & 0x7f;
    uint8_t extended = length == 127 ? 8 : length == 126 ? 2 : 0;
    return (uint8_t)(2 + extended + ((second & 0x80) != 0 ? 4 : 0));
}

/* Takes bytes until there are `need`. */
static bool gather(const struct reading *reading, uint8_t need)
{
    struct gy_ws *ws = reading->ws;
    uint32_t missing = need - ws->have;
    uint32_t now = missing < reading->in->length ? missing : reading->in->length;
    gy_assert(ws->have <= need && need <= sizeof ws->bytes);
    gy_chain_copy(reading->in, 0, now, ws->bytes + ws->have);
    gy_chain_consume(reading->in, now);
    ws->have = (uint8_t)(ws->have + now);
    return now == missing;
}

/* The head is whole. */
static int begin_frame(const struct reading *reading, uint64_t length)
{
    struct gy_ws *ws = reading->ws;
    const struct gy_ws_limits *limits = &ws->env->limits;
    ws->opcode = ws->bytes[0] & 0x0f;
    ws->flags &= (uint16_t)~WS_FIN;
    ws->flags |= (ws->bytes[0] & 0x80) != 0 ? WS_FIN : 0;
    ws->frame_left = length;
    ws->have = 0;
    if (ws->opcode >= WS_OPCODE_CLOSE) {
        ws->state = WS_CONTROL;
        return GO_ON;
    }
    if (length > limits->frame_max) {
        return fail(reading, GY_WS_TOO_BIG, "a frame is larger than allowed here");
    }
    if (ws->opcode != WS_CONTINUATION) {
        ws->flags &= (uint16_t)~WS_PACKED;
        ws->flags |= (ws->bytes[0] & 0x40) != 0 ? WS_PACKED : 0;
    }
    /* Of a compressed one only its inflated bytes say how large it is. */
    if ((ws->flags & WS_PACKED) == 0 &&
        (length > limits->message_max || ws->message.length > limits->message_max - length)) {
        return fail(reading, GY_WS_TOO_BIG, "a message is larger than allowed here");
    }
    if (ws->opcode != WS_CONTINUATION) {
        ws->kind = ws->opcode;
        ws->text = (struct gy_ws_utf8){0};
        ws->message_ns = reading->now_ns;
    }
    ws->state = WS_DATA;
    return GO_ON;
}

static int read_head(const struct reading *reading)
{
    struct gy_ws *ws = reading->ws;
    if (ws->have < 2) {
        if (!gather(reading, 2)) {
            return NEED_MORE;
        }
        const char *wrong = check_first(ws, ws->bytes[0], ws->bytes[1]);
        if (wrong != NULL) {
            return breach(reading, wrong);
        }
    }
    uint8_t need = head_bytes(ws->bytes[1]);
    if (!gather(reading, need)) {
        return NEED_MORE;
    }
    uint64_t length = ws->bytes[1] & 0x7f;
    if (length == 126) {
        length = (uint64_t)ws->bytes[2] << 8 | ws->bytes[3];
        if (length < 126) {
            return breach(reading, "a length is not written in as few bytes as it can be");
        }
    } else if (length == 127) {
        length = 0;
        for (uint32_t i = 2; i < 10; i++) {
            length = length << 8 | ws->bytes[i];
        }
        if (length < 65536 || length >> 63 != 0) {
            return breach(reading, length < 65536
                                       ? "a length is not written in as few bytes as it can be"
                                       : "a length has its first bit set");
        }
    }
    if (!is_client(ws)) {
        memcpy(&ws->key, ws->bytes + need - 4, 4);
    }
    return begin_frame(reading, length);
}

/* ---- data ---- */

static bool check_text(const struct gy_ws *ws, struct gy_ws_utf8 *text, const uint8_t *data,
                       uint32_t bytes)
{
    return ws->kind != GY_WS_TEXT || gy_ws_utf8_take(text, ws->env->vector, data, bytes);
}

/* What the server gets: into output memory, unmasked on the way. */
static int take_masked(const struct reading *reading, const uint8_t *data, uint32_t bytes)
{
    struct gy_ws *ws = reading->ws;
    struct gy_ws_env *env = ws->env;
    uint32_t now = bytes < GY_BUMP_BLOCK_BYTES ? bytes : GY_BUMP_BLOCK_BYTES;
    uint8_t *room = gy_bump_reserve(env->bump, now);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    env->vector->mask(room, data, now, ws->key);
    struct gy_ws_utf8 text = ws->text;
    if (!check_text(ws, &text, room, now)) {
        return fail(reading, GY_WS_NOT_TEXT, "a text message is not UTF-8");
    }
    if (gy_bump_commit(env->bump, &ws->message, now) != 0) {
        return GY_ENOBUFS;
    }
    ws->text = text;
    ws->key = gy_ws_key_turn(ws->key, now);
    ws->frame_left -= now;
    env->counters.copied_bytes += now;
    gy_chain_consume(reading->in, now);
    return GO_ON;
}

#define WS_PIECE_BYTES 2048u /* half of a usual receive buffer */

/* A message of many small pieces would hold a receive buffer and a link for each, until there are
 * none left and it can never be whole: behind the first, small ones are copied together. */
static bool put_together(const struct reading *reading, const uint8_t *data, uint32_t bytes)
{
    struct gy_ws *ws = reading->ws;
    struct gy_ws_env *env = ws->env;
    if (ws->message.length == 0 || bytes >= WS_PIECE_BYTES) {
        return false;
    }
    if (gy_bump_copy(env->bump, &ws->message, data, bytes) != 0) {
        return false;
    }
    env->counters.copied_bytes += bytes;
    return true;
}

/* What the client gets: as it came, but for small pieces. */
static int take_plain(const struct reading *reading, const uint8_t *data, uint32_t bytes)
{
    struct gy_ws *ws = reading->ws;
    bool copied = put_together(reading, data, bytes);
    if (!copied && gy_chain_move(reading->in, &ws->message, bytes) != 0) {
        return GY_ENOBUFS;
    }
    ws->frame_left -= bytes;
    bool good = check_text(ws, &ws->text, data, bytes);
    if (copied) {
        gy_chain_consume(reading->in, bytes);
    }
    return good ? GO_ON : fail(reading, GY_WS_NOT_TEXT, "a text message is not UTF-8");
}

/* Inflates into output memory: `data`, or at the end of a message what is behind all of it. `used`:
 * how much of it was read; the call is for more until all was, and `over` says that all is made. */
static int inflate_some(const struct reading *reading, const uint8_t *data, uint32_t bytes,
                        bool last, uint32_t *used, bool *over)
{
    struct gy_ws *ws = reading->ws;
    struct gy_ws_env *env = ws->env;
    uint32_t made = 0;
    uint8_t *room = gy_bump_reserve(env->bump, GY_WS_INFLATE_BYTES);
    *used = 0;
    *over = false;
    if (room == NULL || env->links->capacity == env->links->used) {
        return GY_ENOBUFS;
    }
    int code = gy_ws_deflate_unpack(ws->deflate, data, bytes, last, used, room, &made);
    uint32_t left = env->limits.message_max - ws->message.length;
    /* In the order of the bytes, so that what is said does not depend on the pieces they came in.
     */
    if (!check_text(ws, &ws->text, room, made < left ? made : left)) {
        return fail(reading, GY_WS_NOT_TEXT, "a text message is not UTF-8");
    }
    if (made > left) {
        return fail(reading, GY_WS_TOO_BIG, "a message is larger than allowed here");
    }
    if (code == GY_ENOMEM) {
        return fail(reading, GY_WS_INTERNAL, "no memory for a compressed message");
    }
    if (code != 0) {
        return fail(reading, GY_WS_NOT_TEXT, "a message is not compressed as it says");
    }
    if (made > 0) {
        code = gy_bump_commit(env->bump, &ws->message, made);
        gy_assert(code == 0); /* there was a link */
    }
    *over = *used == bytes && made < GY_WS_INFLATE_BYTES;
    return GO_ON;
}

/* A piece of a frame's payload, unmasked on the way. */
static int take_packed(const struct reading *reading, const uint8_t *data, uint32_t bytes)
{
    struct gy_ws *ws = reading->ws;
    uint8_t plain[GY_WS_INFLATE_BYTES];
    uint32_t now = bytes < sizeof plain ? bytes : (uint32_t)sizeof plain;
    uint32_t used = 0;
    bool over;
    if (!is_client(ws)) {
        ws->env->vector->mask(plain, data, now, ws->key);
        data = plain;
    }
    int code = inflate_some(reading, data, now, false, &used, &over);
    if (code != GO_ON) {
        return code;
    }
    gy_chain_consume(reading->in, used);
    ws->frame_left -= used;
    ws->key = gy_ws_key_turn(ws->key, used);
    ws->env->counters.packed_bytes_in += used;
    return GO_ON;
}

/* All of a compressed message has come. */
static int end_packed(const struct reading *reading)
{
    static const uint8_t nothing[1];
    struct gy_ws *ws = reading->ws;
    bool over = false;
    while (!over) {
        uint32_t used;
        int code = inflate_some(reading, nothing, 0, true, &used, &over);
        if (code != GO_ON) {
            return code;
        }
    }
    gy_ws_deflate_end_message(ws->deflate);
    ws->flags &= (uint16_t)~WS_PACKED;
    ws->env->counters.packed_in++;
    return GO_ON;
}

static int end_data(const struct reading *reading)
{
    struct gy_ws *ws = reading->ws;
    if ((ws->flags & WS_PACKED) != 0 && (ws->flags & WS_FIN) != 0 &&
        (ws->flags & WS_CLOSE_SENT) == 0) {
        int code = end_packed(reading); /* without memory it is gone on with here */
        if (code != GO_ON) {
            return code;
        }
    }
    ws->state = WS_HEAD;
    if ((ws->flags & WS_FIN) == 0) {
        return GO_ON;
    }
    uint8_t kind = ws->kind;
    if ((ws->flags & WS_CLOSE_SENT) != 0) {
        ws->kind = 0;
        return GO_ON;
    }
    if (kind == GY_WS_TEXT && !gy_ws_utf8_whole(&ws->text)) {
        return fail(reading, GY_WS_NOT_TEXT, "a text message ends within a character");
    }
    ws->kind = 0;
    ws->flags |= WS_TAKEN;
    ws->env->counters.messages_in++;
    ws->env->counters.bytes_in += ws->message.length;
    *reading->event = (struct gy_ws_event){
        .type = GY_WS_MESSAGE, .kind = (enum gy_ws_kind)kind, .message = &ws->message};
    return 1;
}

static int read_data(const struct reading *reading)
{
    struct gy_ws *ws = reading->ws;
    while (ws->frame_left > 0) {
        uint32_t bytes;
        const uint8_t *data = gy_chain_front(reading->in, &bytes);
        if (data == NULL) {
            return NEED_MORE;
        }
        bytes = bytes < ws->frame_left ? bytes : (uint32_t)ws->frame_left;
        if ((ws->flags & WS_CLOSE_SENT) != 0) {
            gy_chain_consume(reading->in, bytes);
            ws->frame_left -= bytes;
            continue;
        }
        int code = (ws->flags & WS_PACKED) != 0 ? take_packed(reading, data, bytes)
                   : is_client(ws)              ? take_plain(reading, data, bytes)
                                                : take_masked(reading, data, bytes);
        if (code != GO_ON) {
            return code;
        }
    }
    return end_data(reading);
}

/* ---- control frames ---- */

static int got_close(const struct reading *reading)
{
    struct gy_ws *ws = reading->ws;
    uint16_t code = GY_WS_NO_CODE;
    if (ws->have == 1) {
        return breach(reading, "a Close has half a status code");
    }
    if (ws->have > 1) {
        struct gy_ws_utf8 text = {0};
        code = (uint16_t)(ws->bytes[0] << 8 | ws->bytes[1]);
        if (!gy_ws_code_may_be_sent(code)) {
            return breach(reading, "a Close has a status code that may not be sent");
        }
        if (!gy_ws_utf8_take(&text, ws->env->vector, ws->bytes + 2, ws->have - 2u) ||
            !gy_ws_utf8_whole(&text)) {
            return fail(reading, GY_WS_NOT_TEXT, "the reason of a Close is not UTF-8");
        }
    }
    if ((ws->flags & WS_CLOSE_SENT) == 0) {
        int error =
            gy_ws_send_control(ws, WS_OPCODE_CLOSE, ws->bytes, code != GY_WS_NO_CODE ? 2 : 0);
        if (error != 0) {
            return error;
        }
        ws->flags |= WS_CLOSE_SENT;
    }
    ws->since_ns = reading->now_ns;
    ws->state = WS_OVER;
    ws->kind = 0;
    gy_chain_clear(&ws->message);
    *reading->event = (struct gy_ws_event){.type = GY_WS_CLOSED,
                                           .data = ws->bytes + (code != GY_WS_NO_CODE ? 2 : 0),
                                           .bytes = code != GY_WS_NO_CODE ? ws->have - 2u : 0,
                                           .code = code};
    return 1;
}

static int read_control(const struct reading *reading)
{
    struct gy_ws *ws = reading->ws;
    uint8_t before = ws->have;
    uint8_t length = (uint8_t)(ws->have + ws->frame_left);
    bool whole = gather(reading, length);
    uint8_t got = (uint8_t)(ws->have - before);
    if (!is_client(ws)) {
        gy_ws_mask_8(ws->bytes + before, ws->bytes + before, got, ws->key);
        ws->key = gy_ws_key_turn(ws->key, got);
    }
    ws->frame_left -= got;
    if (!whole) {
        return NEED_MORE;
    }
    if (ws->opcode == WS_OPCODE_CLOSE) {
        return got_close(reading);
    }
    bool ping = ws->opcode == WS_OPCODE_PING;
    if (ping && (ws->flags & WS_CLOSE_SENT) == 0) {
        int error = gy_ws_send_control(ws, WS_OPCODE_PONG, ws->bytes, ws->have);
        if (error != 0) {
            return error;
        }
    }
    ws->env->counters.pings_in += ping;
    *reading->event = (struct gy_ws_event){
        .type = ping ? GY_WS_PING : GY_WS_PONG, .data = ws->bytes, .bytes = ws->have};
    ws->state = WS_HEAD;
    ws->have = 0;
    return 1;
}

/* ---- together ---- */

int gy_ws_read(struct gy_ws *ws, struct gy_chain *in, uint64_t now_ns, struct gy_ws_event *event)
{
    const struct reading reading = {ws, in, event, now_ns};
    gy_assert(in->links == ws->env->links);
    if ((ws->flags & WS_TAKEN) != 0) {
        gy_chain_clear(&ws->message);
        ws->flags &= (uint16_t)~WS_TAKEN;
    }
    if (in->length > 0) {
        ws->heard_ns = now_ns;
        if ((ws->flags & WS_CLOSE_SENT) == 0) {
            ws->flags &= (uint16_t)~WS_PINGED;
        }
    }
    int code = GO_ON;
    while (code == GO_ON) {
        if (ws->state == WS_OVER) {
            gy_chain_clear(in);
            return 0;
        }
        if (ws->out->length > ws->env->limits.output_high) {
            return in->length > 0 ? GY_EAGAIN : 0;
        }
        code = ws->state == WS_HEAD   ? read_head(&reading)
               : ws->state == WS_DATA ? read_data(&reading)
                                      : read_control(&reading);
    }
    return code;
}
