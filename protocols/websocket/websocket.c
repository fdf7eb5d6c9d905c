/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/websocket/ws_internal.h"

#define NANOSECONDS_PER_MS UINT64_C(1000000)

/* How long a Ping waits for output memory. */
#define PING_AGAIN_NS (1000 * NANOSECONDS_PER_MS)

const struct gy_ws_limits gy_ws_limits_default = {
    .frame_max = 16u << 20,
    .message_max = 16u << 20,
    .output_high = 65536,
    .output_max = 1u << 20,
    .deflate_min = 64,
    .message_ms = 60000,
    .ping_ms = 30000,
    .pong_ms = 20000,
    .close_ms = 5000,
};

void gy_ws_env_init(struct gy_ws_env *env, struct gy_bump *bump, struct gy_slab *links)
{
    *env = (struct gy_ws_env){.bump = bump,
                              .links = links,
                              .limits = gy_ws_limits_default,
                              .vector = gy_ws_vector_nth(0)};
}

void gy_ws_init(struct gy_ws *ws, struct gy_ws_env *env, struct gy_chain *out, bool client,
                uint64_t now_ns)
{
    gy_assert(out->links == env->links && (!client || env->random != NULL));
    /* Not the 125 bytes, which are written before they are read. */
    memset(ws, 0, offsetof(struct gy_ws, bytes));
    ws->env = env;
    ws->out = out;
    ws->heard_ns = now_ns;
    ws->flags = client ? WS_CLIENT : 0;
    ws->state = WS_HEAD;
    gy_chain_init(&ws->message, env->links);
}

void gy_ws_end(struct gy_ws *ws)
{
    gy_chain_clear(&ws->message);
    gy_ws_deflate_close(ws->deflate);
    ws->deflate = NULL;
    ws->state = WS_OVER;
    ws->kind = 0;
    ws->flags |= WS_CLOSE_SENT | WS_GONE;
}

void gy_ws_use_deflate(struct gy_ws *ws, struct gy_ws_deflate *deflate)
{
    gy_assert(ws->deflate == NULL && ws->state == WS_HEAD && ws->kind == 0);
    ws->deflate = deflate;
}

bool gy_ws_is_open(const struct gy_ws *ws)
{
    return ws->state != WS_OVER && (ws->flags & (WS_CLOSE_SENT | WS_GONE)) == 0;
}

uint32_t gy_ws_held(const struct gy_ws *ws, uint64_t until_ns)
{
    bool begun = ws->kind != 0 && (ws->flags & WS_TAKEN) == 0;
    return begun && ws->message_ns <= until_ns ? ws->message.count : 0;
}

/* The server ends the stream first, so that the client's port is free at once (§7.1.1). */
uint32_t gy_ws_wants(const struct gy_ws *ws)
{
    uint32_t wants = 0;
    if (ws->state == WS_OVER && ((ws->flags & WS_CLIENT) == 0 || (ws->flags & WS_FAILED) != 0)) {
        wants |= GY_WS_WANT_END;
    }
    return (ws->flags & WS_GONE) != 0 ? wants | GY_WS_WANT_CLOSE : wants;
}

bool gy_ws_code_may_be_sent(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != GY_WS_NO_CODE &&
            code != GY_WS_ABNORMAL) ||
           (code >= 3000 && code <= 4999);
}

int gy_ws_close(struct gy_ws *ws, uint16_t code, const char *reason, uint64_t now_ns)
{
    uint8_t payload[GY_WS_CONTROL_MAX];
    size_t length = reason != NULL ? strlen(reason) : 0;
    uint32_t bytes = 0;
    if (!gy_ws_is_open(ws)) {
        return GY_ESTATE;
    }
    if (length > GY_WS_REASON_MAX || (code == GY_WS_NO_CODE && length > 0) ||
        (code != GY_WS_NO_CODE && !gy_ws_code_may_be_sent(code))) {
        return GY_EINVAL;
    }
    if (code != GY_WS_NO_CODE) {
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        if (length > 0) {
            memcpy(payload + 2, reason, length);
        }
        bytes = 2 + (uint32_t)length;
    }
    if ((ws->flags & WS_TAKEN) == 0) {
        gy_chain_clear(&ws->message); /* nobody wants the rest; and it may be all the memory */
    }
    if (gy_ws_send_control(ws, WS_OPCODE_CLOSE, payload, bytes) != 0) {
        ws->flags |= WS_GONE;
    }
    ws->flags |= WS_CLOSE_SENT;
    ws->since_ns = now_ns;
    return 0;
}

static void count_failure(struct gy_ws_counters *counters, uint16_t code)
{
    switch (code) {
    case GY_WS_PROTOCOL_ERROR:
        counters->breaches++;
        break;
    case GY_WS_NOT_TEXT:
        counters->not_text++;
        break;
    case GY_WS_TOO_BIG:
        counters->too_big++;
        break;
    default:
        counters->timeouts++;
    }
}

int gy_ws_fail(struct gy_ws *ws, uint16_t code, const char *why, uint64_t now_ns,
               struct gy_ws_event *event)
{
    count_failure(&ws->env->counters, code);
    if (gy_ws_is_open(ws)) {
        int error = gy_ws_close(ws, code, why, now_ns);
        gy_assert(error == 0);
    }
    gy_chain_clear(&ws->message);
    ws->state = WS_OVER;
    ws->kind = 0;
    ws->flags |= WS_FAILED;
    *event = (struct gy_ws_event){.type = GY_WS_CLOSED,
                                  .data = (const uint8_t *)why,
                                  .bytes = (uint32_t)strlen(why),
                                  .code = code,
                                  .failed = true};
    return 1;
}

/* ---- deadlines ---- */

static uint64_t after(uint64_t from_ns, uint32_t ms)
{
    return from_ns + ms * NANOSECONDS_PER_MS;
}

uint64_t gy_ws_deadline(const struct gy_ws *ws)
{
    const struct gy_ws_limits *limits = &ws->env->limits;
    uint64_t due = GY_WS_NO_DEADLINE;
    if ((ws->flags & WS_GONE) != 0) {
        return due;
    }
    if (!gy_ws_is_open(ws)) {
        return after(ws->since_ns, limits->close_ms);
    }
    if ((ws->flags & WS_PINGED) != 0) {
        due = after(ws->since_ns, limits->pong_ms);
    } else if (limits->ping_ms != 0) {
        due = after(ws->heard_ns, limits->ping_ms);
    }
    if (ws->kind != 0 && limits->message_ms != 0) {
        uint64_t whole = after(ws->message_ns, limits->message_ms);
        due = whole < due ? whole : due;
    }
    return due;
}

int gy_ws_expire(struct gy_ws *ws, uint64_t now_ns, struct gy_ws_event *event)
{
    const struct gy_ws_limits *limits = &ws->env->limits;
    if (now_ns < gy_ws_deadline(ws)) {
        return 0;
    }
    if (!gy_ws_is_open(ws)) {
        bool told = ws->state == WS_OVER;
        ws->flags |= WS_GONE;
        if (told) {
            return 0;
        }
        return gy_ws_fail(ws, GY_WS_ABNORMAL, "the peer did not answer our Close", now_ns, event);
    }
    if (ws->kind != 0 && limits->message_ms != 0 &&
        now_ns >= after(ws->message_ns, limits->message_ms)) {
        return gy_ws_fail(ws, GY_WS_POLICY, "a message took too long to be whole", now_ns, event);
    }
    if ((ws->flags & WS_PINGED) != 0) {
        ws->flags |= WS_GONE;
        return gy_ws_fail(ws, GY_WS_ABNORMAL, "the peer did not answer a Ping", now_ns, event);
    }
    if (gy_ws_send_control(ws, WS_OPCODE_PING, NULL, 0) == 0) {
        ws->flags |= WS_PINGED;
        ws->since_ns = now_ns;
        ws->env->counters.pings_out++;
    } else {
        /* Not later than it is now, and not at once again. */
        ws->heard_ns = now_ns + PING_AGAIN_NS - limits->ping_ms * NANOSECONDS_PER_MS;
    }
    return 0;
}
