/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * WebSocket (RFC 6455) for gyre-load: text messages of one size. Each comes back to whom it came
 * from, or with --broadcast to everybody; every frame is read and every byte compared. What is read
 * here is written by other code than the servers', so that the two cannot share a mistake.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench/load/http_request.h"
#include "bench/load/load.h"

/* The nonce and its answer that RFC 6455 §1.3 has: nothing is secret here, and it is compared. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define FIN         0x80
#define MASKED      0x80
#define TEXT        1
#define CLOSE       8
#define PING        9
#define PONG        10
#define CONTROL_MAX 125
#define HEAD_MAX    14
#define LINES_MAX   65536 /* bytes of the server's answer to the handshake */

struct ws_plan {
    char *greeting;
    size_t greeting_bytes;
    uint32_t message_bytes;
    uint32_t frame_bytes;
    uint32_t count; /* messages; each has its own bytes */
    uint8_t *expected;
    uint8_t *frames;
};

enum stage {
    STATUS, /* of the answer to the handshake, and then its lines */
    LINES,
    HEAD, /* of a frame */
    DATA,
    CONTROL,
};

enum refused {
    NOT_REFUSED,
    NOT_HTTP,
    BAD_STATUS,
    BAD_ACCEPT,
    EXTENDED,
    TOO_LONG,
};

struct ws_session {
    uint64_t left;     /* payload of this frame still to come */
    uint32_t slot;     /* of plan->expected: which message comes next */
    uint32_t received; /* of the message that is coming */
    uint32_t lines;    /* bytes of the answer to the handshake */
    uint16_t status;
    uint8_t stage;
    uint8_t refused;
    uint8_t opcode; /* of this frame */
    uint8_t have;   /* bytes of `bytes` */
    uint8_t reply;  /* bytes of a Pong to be sent; they are in `bytes` */
    bool fin;
    bool within; /* a message that has begun */
    bool differs;
    bool accepted;
    uint8_t bytes[128]; /* a line, a frame's head, a control frame's payload */
};

/* ---- what is sent ---- */

static uint32_t write_head(uint8_t *at, uint8_t opcode, uint32_t length, const uint8_t key[4])
{
    uint32_t bytes = 2;
    at[0] = (uint8_t)(FIN | opcode);
    if (length < 126) {
        at[1] = (uint8_t)(MASKED | length);
    } else if (length < 65536) {
        at[1] = MASKED | 126;
        at[2] = (uint8_t)(length >> 8);
        at[3] = (uint8_t)length;
        bytes = 4;
    } else {
        at[1] = MASKED | 127;
        memset(at + 2, 0, 4);
        for (uint32_t i = 0; i < 4; i++) {
            at[6 + i] = (uint8_t)(length >> (24 - 8 * i));
        }
        bytes = 10;
    }
    memcpy(at + bytes, key, 4);
    return bytes + 4;
}

/* Printable, each message another, and no period that divides a buffer's size: a byte or a message
 * out of place shows. */
static void write_messages(struct ws_plan *plan, uint64_t seed)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint32_t i = 0; i < plan->count; i++) {
        uint8_t *text = plan->expected + (size_t)i * plan->message_bytes;
        uint8_t *frame = plan->frames + (size_t)i * plan->frame_bytes;
        uint8_t key[4];
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        for (uint32_t k = 0; k < 4; k++) {
            key[k] = (uint8_t)(state >> (32 + 8 * k));
        }
        uint32_t head = write_head(frame, TEXT, plan->message_bytes, key);
        for (uint32_t k = 0; k < plan->message_bytes; k++) {
            text[k] = (uint8_t)(' ' + (i * 31u + k) % 89);
            frame[head + k] = text[k] ^ key[k & 3];
        }
    }
}

static void ws_finish(void *plan)
{
    struct ws_plan *made = plan;
    if (made != NULL) {
        free(made->greeting);
        free(made->expected);
        free(made->frames);
        free(made);
    }
}

static int write_greeting(struct ws_plan *plan, const struct gy_load_options *options,
                          struct gy_error *error)
{
    FILE *out = open_memstream(&plan->greeting, &plan->greeting_bytes);
    if (out == NULL) {
        return gy_error_set(error, GY_ENOMEM, "encoding the handshake: out of memory");
    }
    fprintf(out, "GET %s HTTP/1.1\r\n", options->path);
    gy_load_http_write_fields(out, options);
    fputs("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY
          "\r\nSec-WebSocket-Version: 13\r\n\r\n",
          out);
    return fclose(out) == 0
               ? 0
               : gy_error_set(error, GY_ENOMEM, "encoding the handshake: out of memory");
}

static int ws_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    static const uint8_t no_key[4];
    uint8_t head[HEAD_MAX];
    int code = gy_load_http_check_fields(options, error);
    if (code != 0) {
        return code;
    }
    struct ws_plan *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "encoding the messages: out of memory");
    }
    made->message_bytes = options->size_bytes;
    made->frame_bytes = options->size_bytes + write_head(head, TEXT, options->size_bytes, no_key);
    made->count = options->pipeline;
    made->expected = malloc((size_t)made->message_bytes * made->count);
    made->frames = malloc((size_t)made->frame_bytes * made->count);
    if (made->expected == NULL || made->frames == NULL) {
        code = gy_error_set(error, GY_ENOMEM, "making %u messages of %u bytes: out of memory",
                            made->count, made->message_bytes);
    }
    code = code == 0 ? write_greeting(made, options, error) : code;
    if (code != 0) {
        ws_finish(made);
        return code;
    }
    write_messages(made, options->seed);
    *plan = made;
    return 0;
}

static const void *ws_requests(const void *plan, uint32_t *request_bytes)
{
    const struct ws_plan *made = plan;
    *request_bytes = made->frame_bytes;
    return made->frames;
}

static const void *ws_greeting(const void *plan, uint32_t *bytes)
{
    const struct ws_plan *made = plan;
    *bytes = (uint32_t)made->greeting_bytes;
    return made->greeting;
}

static void ws_state_open(void *state, const void *plan, const struct gy_load_options *options,
                          uint32_t thread)
{
    (void)options;
    (void)thread;
    *(const struct ws_plan **)state = plan;
}

static void ws_state_close(void *state)
{
    (void)state;
}

static void ws_session_open(void *session)
{
    memset(session, 0, sizeof(struct ws_session));
}

/* ---- the answer to the handshake ---- */

static void ws_refusal(const void *session, char *text, size_t bytes)
{
    const struct ws_session *ws = session;
    switch ((enum refused)ws->refused) {
    case BAD_STATUS:
        snprintf(text, bytes,
                 "the server answered %u, where 101 opens a WebSocket; is its path right?",
                 ws->status);
        break;
    case BAD_ACCEPT:
        snprintf(text, bytes, "the server's Sec-WebSocket-Accept is not the one for our key");
        break;
    case EXTENDED:
        snprintf(text, bytes, "the server agreed on an extension that was not asked for");
        break;
    case TOO_LONG:
        snprintf(text, bytes, "the server's answer to the handshake has no end");
        break;
    case NOT_HTTP:
    case NOT_REFUSED:
        snprintf(text, bytes, "the server's answer to the handshake is not HTTP/1.1");
        break;
    }
}

static enum gy_load_progress refuse(struct ws_session *ws, enum refused why)
{
    ws->refused = why;
    return GY_LOAD_REFUSED;
}

/* The value of a field on this line, without blanks around it; NULL when it is another's. */
static const char *value_of(char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':') {
        return NULL;
    }
    char *value = line + length + 1;
    value += strspn(value, " \t");
    size_t end = strlen(value);
    while (end > 0 && (value[end - 1] == ' ' || value[end - 1] == '\t')) {
        value[--end] = '\0';
    }
    return value;
}

/* A whole line, without its end. */
static enum gy_load_progress take_line(struct ws_session *ws, char *line)
{
    if (ws->stage == STATUS) {
        if (strncmp(line, "HTTP/1.1 ", 9) != 0 || strspn(line + 9, "0123456789") != 3) {
            return refuse(ws, NOT_HTTP);
        }
        ws->status = (uint16_t)strtoul(line + 9, NULL, 10);
        ws->stage = LINES;
        return ws->status == 101 ? GY_LOAD_MORE : refuse(ws, BAD_STATUS);
    }
    if (line[0] == '\0') {
        if (!ws->accepted) {
            return refuse(ws, BAD_ACCEPT);
        }
        ws->stage = HEAD;
        return GY_LOAD_READY;
    }
    const char *accept = value_of(line, "Sec-WebSocket-Accept");
    if (accept != NULL) {
        ws->accepted = strcmp(accept, ACCEPT) == 0;
    }
    return value_of(line, "Sec-WebSocket-Extensions") != NULL ? refuse(ws, EXTENDED) : GY_LOAD_MORE;
}

static enum gy_load_progress read_lines(struct ws_session *ws, const uint8_t *data, uint32_t bytes,
                                        uint32_t *used)
{
    enum gy_load_progress progress = GY_LOAD_MORE;
    uint32_t at = 0;
    while (at < bytes && progress == GY_LOAD_MORE) {
        uint8_t byte = data[at++];
        if (byte == '\n') {
            ws->have -= ws->have > 0 && ws->bytes[ws->have - 1] == '\r';
            ws->bytes[ws->have] = '\0';
            ws->have = 0;
            progress = take_line(ws, (char *)ws->bytes);
        } else if (ws->have < sizeof ws->bytes - 1) { /* of a longer line nothing else is wanted */
            ws->bytes[ws->have++] = byte;
        }
    }
    ws->lines += at;
    *used = at;
    return progress == GY_LOAD_MORE && ws->lines > LINES_MAX ? refuse(ws, TOO_LONG) : progress;
}

/* ---- frames ---- */

/* The head is whole: false when it is none that may come now. */
static bool begin_frame(struct ws_session *ws, const struct ws_plan *plan)
{
    uint8_t length = ws->bytes[1] & 0x7f;
    ws->fin = (ws->bytes[0] & FIN) != 0;
    ws->opcode = ws->bytes[0] & 0x0f;
    ws->left = length;
    if (length >= 126) {
        ws->left = 0;
        for (uint32_t i = 2; i < ws->have; i++) {
            ws->left = ws->left << 8 | ws->bytes[i];
        }
        if (ws->left < (length == 126 ? 126u : 65536u)) {
            return false; /* not as short as it can be (§5.2) */
        }
    }
    ws->have = 0;
    if ((ws->bytes[0] & 0x70) != 0 || (ws->bytes[1] & MASKED) != 0) {
        return false;
    }
    if (ws->opcode >= CLOSE) {
        ws->stage = CONTROL;
        return ws->fin && ws->left <= CONTROL_MAX && ws->opcode <= PONG;
    }
    ws->stage = DATA;
    bool expected = ws->within ? ws->opcode == 0 : ws->opcode == TEXT;
    ws->within = true;
    return expected && ws->left <= plan->message_bytes - ws->received;
}

/* Of a head, as far as it is known. */
static uint32_t head_bytes(const struct ws_session *ws)
{
    uint8_t length = ws->have < 2 ? 0 : ws->bytes[1] & 0x7f;
    return length == 127 ? 10 : length == 126 ? 4 : 2;
}

/* A whole frame. */
static enum gy_load_progress end_frame(struct ws_session *ws, const struct ws_plan *plan)
{
    uint8_t stage = ws->stage;
    ws->stage = HEAD;
    if (stage == CONTROL) {
        ws->reply = ws->opcode == PING ? ws->have : 0;
        bool ping = ws->opcode == PING;
        ws->have = 0;
        return ping ? GY_LOAD_REPLY : ws->opcode == CLOSE ? GY_LOAD_BAD_BYTES : GY_LOAD_MORE;
    }
    if (!ws->fin) {
        return GY_LOAD_MORE;
    }
    bool right = !ws->differs && ws->received == plan->message_bytes;
    ws->within = false;
    ws->differs = false;
    ws->received = 0;
    ws->slot = ws->slot + 1 < plan->count ? ws->slot + 1 : 0;
    return right ? GY_LOAD_ANSWER : GY_LOAD_BAD_BODY;
}

/* Of the payload of this frame. */
static uint32_t take_payload(struct ws_session *ws, const struct ws_plan *plan, const uint8_t *data,
                             uint32_t bytes)
{
    uint32_t now = bytes < ws->left ? bytes : (uint32_t)ws->left;
    if (ws->stage == DATA) {
        const uint8_t *wanted =
            plan->expected + (size_t)ws->slot * plan->message_bytes + ws->received;
        ws->differs |= memcmp(data, wanted, now) != 0;
        ws->received += now;
    } else {
        memcpy(ws->bytes + ws->have, data, now);
        ws->have = (uint8_t)(ws->have + now);
    }
    ws->left -= now;
    return now;
}

static enum gy_load_progress ws_receive(void *state, void *session, const uint8_t *data,
                                        uint32_t bytes, uint32_t *used)
{
    const struct ws_plan *plan = *(const struct ws_plan **)state;
    struct ws_session *ws = session;
    if (ws->stage <= LINES) {
        return read_lines(ws, data, bytes, used);
    }
    uint32_t at = 0;
    enum gy_load_progress progress = GY_LOAD_MORE;
    while (progress == GY_LOAD_MORE && at < bytes) {
        if (ws->stage == HEAD) {
            while (at < bytes && ws->have < head_bytes(ws)) {
                ws->bytes[ws->have++] = data[at++];
            }
            if (ws->have < 2 || ws->have < head_bytes(ws)) {
                break;
            }
            if (!begin_frame(ws, plan)) {
                progress = GY_LOAD_BAD_BYTES;
                break;
            }
        }
        at += take_payload(ws, plan, data + at, bytes - at);
        if (ws->left == 0) {
            progress = end_frame(ws, plan);
        }
    }
    *used = at;
    return progress;
}

static uint32_t ws_reply(void *session, uint8_t reply[GY_LOAD_REPLY_MAX])
{
    static const uint8_t no_key[4]; /* a Pong says back what the server has said */
    struct ws_session *ws = session;
    uint32_t head = write_head(reply, PONG, ws->reply, no_key);
    memcpy(reply + head, ws->bytes, ws->reply);
    return head + ws->reply;
}

static enum gy_load_progress ws_ended(void *state, void *session)
{
    const struct ws_session *ws = session;
    (void)state;
    return ws->within || ws->stage != HEAD || ws->have > 0 ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
}

#define WS_CALLS                                                                                   \
    .numbered = true, .unasked = true, .prepare = ws_prepare, .finish = ws_finish,                 \
    .requests = ws_requests, .greeting = ws_greeting, .refusal = ws_refusal, .reply = ws_reply,    \
    .state_bytes = sizeof(const struct ws_plan *), .state_open = ws_state_open,                    \
    .state_close = ws_state_close, .session_bytes = sizeof(struct ws_session),                     \
    .session_open = ws_session_open, .receive = ws_receive, .ended = ws_ended

const struct gy_load_protocol gy_load_ws = {
    .scheme = "ws", .help = "messages to an echo, or --broadcast", .port = 80, WS_CALLS};

const struct gy_load_protocol gy_load_wss = {.scheme = "wss",
                                             .help = "likewise over TLS",
                                             .port = 443,
                                             .secure = true,
                                             .alpn = "http/1.1",
                                             WS_CALLS};
