/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Gyre's chat (protocols/chat/README.md) for gyre-load: guests join one room, some of them send,
 * the others get each message, and the sender its acknowledgement. Every byte of contents is
 * compared and the numbers must have no holes. What is read here is written by other code than the
 * server's, so that the two cannot share a mistake.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/pubsub.h"

enum { HEAD = 8, FIXED = 29 + 1, LENGTH = 2, SEND_HEAD = HEAD + 4 + 8 + LENGTH, GATHER = 512 };

enum type {
    HELLO = 0x01,
    LOGIN = 0x03,
    JOIN = 0x05,
    SEND = 0x0a,
    JOINED = 0x44,
    ACK = 0x47,
    MESSAGE = 0x48,
    GAP = 0x49,
    END = 0x4a,
    ERROR = 0x4f,
    PONG = 0x50,
    PROBE = 0x51,
};

/* Codes of errors that limits have. */
enum { TOO_FAST = 11, FULL = 12 };

/* Tags of what the greeting asks. */
enum { TAG_HELLO = 1, TAG_LOGIN, TAG_JOIN };

struct chat_session {
    struct gy_pubsub_message message;
    uint64_t next_id;  /* of a message */
    uint64_t next_ack; /* of an own one, where there are several publishers */
    uint32_t left;     /* of this frame's body, still to come */
    uint16_t have;     /* bytes of `bytes` */
    uint16_t need;     /* of them, before they can be looked at */
    uint8_t type;      /* of this frame; 0: its head is to come */
    uint16_t tag;
    bool payload; /* what is left are the contents of a message */
    bool ready;
    uint8_t bytes[GATHER]; /* a head, or what comes before the contents */
    uint16_t code;         /* of an error, */
    char said[128];        /* and its sentence */
};

static uint8_t *put(uint8_t *at, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
    return at + bytes;
}

static uint64_t get(const uint8_t *at, uint32_t bytes)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static uint8_t *put_text(uint8_t *at, const char *text, uint32_t bytes)
{
    size_t length = strlen(text);
    at = put(at, length, bytes);
    memcpy(at, text, length);
    return at + length;
}

/* Of a frame whose body ends at `end`, where the next begins. */
static uint8_t *put_head(uint8_t *frame, enum type type, uint32_t tag, uint8_t *end)
{
    uint8_t *at = put(frame, (uint64_t)(end - frame) - 4, 4);
    *at++ = (uint8_t)type;
    *at++ = 0;
    put(at, tag, 2);
    return end;
}

static int chat_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    uint8_t head[SEND_HEAD];
    struct gy_pubsub_plan *made = NULL;
    if (options->size_bytes > 16000) {
        return gy_error_set(error, GY_EINVAL, "--size: a chat message has at most 16,000 bytes");
    }
    put(head, SEND_HEAD - 4 + options->size_bytes, 4);
    head[4] = SEND;
    head[5] = 0;
    put(head + 6, 9, 2);  /* the tag */
    put(head + 8, 0, 4);  /* the room: take_joined() puts it in */
    put(head + 12, 0, 8); /* of no id: never sent again */
    put(head + 20, options->size_bytes, LENGTH);
    int code = gy_pubsub_prepare(options, head, SEND_HEAD, "", 0, &made, error);
    if (code != 0) {
        gy_pubsub_finish(made);
        return code;
    }
    *plan = made;
    return 0;
}

static uint32_t chat_greet(void *state, uint32_t number, uint8_t *room)
{
    const struct gy_pubsub_plan *plan = *(struct gy_pubsub_plan **)state;
    char nick[40];
    snprintf(nick, sizeof nick, "load-%d-%u", (int)getpid(), number);
    uint8_t *frame = room;
    uint8_t *at = frame + HEAD;
    at = put(at, 1, 1);     /* versions, from */
    at = put(at, 1, 1);     /* to */
    at = put(at, 0, 4);     /* no features: nobody's typing, nobody's presence */
    at = put(at, 65536, 4); /* frames of any length */
    at = put_text(at, "gyre-load", 1);
    frame = put_head(frame, HELLO, TAG_HELLO, at);
    at = frame + HEAD;
    at = put_text(at, nick, 1);
    at = put(at, 0, 1); /* a guest */
    at = put_text(at, "", 2);
    frame = put_head(frame, LOGIN, TAG_LOGIN, at);
    at = frame + HEAD;
    at = put_text(at, plan->channel, 1);
    at = put(at, 0, 1); /* whoever is too slow is disconnected, which is an error here */
    at = put(at, UINT64_MAX, 8);
    at = put(at, 0, 2);
    frame = put_head(frame, JOIN, TAG_JOIN, at);
    return (uint32_t)(frame - room);
}

static void chat_session_open(void *session)
{
    struct chat_session *chat = session;
    memset(chat, 0, sizeof *chat);
    chat->need = HEAD;
}

static void chat_refusal(const void *session, char *text, size_t bytes)
{
    const struct chat_session *chat = session;
    bool limited = chat->code == TOO_FAST || chat->code == FULL;
    snprintf(text, bytes, "the server says: %s%s", chat->said,
             limited ? " (a gyre that is measured: requests off; input off;)" : "");
}

/* The frame is read; the next begins. */
static enum gy_load_progress next(struct chat_session *chat, enum gy_load_progress progress)
{
    chat->type = 0;
    chat->have = 0;
    chat->need = HEAD;
    chat->payload = false;
    return progress;
}

/* What of a body must be there before it is looked at. */
static uint16_t needed(const struct chat_session *chat)
{
    uint32_t all = chat->left < GATHER ? chat->left : GATHER;
    if (chat->type != MESSAGE || all < FIXED) {
        return (uint16_t)all;
    }
    uint32_t fixed = chat->have < FIXED ? FIXED : FIXED + chat->bytes[FIXED - 1] + LENGTH;
    return (uint16_t)(fixed < all ? fixed : all);
}

/* The room's number goes into every request: one thread, and before the first of them is sent. */
static void take_joined(struct chat_session *chat, struct gy_pubsub_plan *plan)
{
    chat->next_id = chat->next_ack = get(chat->bytes + 12, 8) + 1;
    for (uint32_t i = 0; i < plan->count * plan->publishers; i++) {
        memcpy(plan->requests + (size_t)i * plan->request_bytes + HEAD, chat->bytes, 4);
    }
}

static enum gy_load_progress take_error(struct chat_session *chat)
{
    chat->code = chat->have > 1 ? (uint16_t)get(chat->bytes, 2) : 0;
    uint32_t length = chat->have > 9 ? (uint32_t)get(chat->bytes + 7, 2) : 0;
    uint32_t room = chat->have > 9 ? chat->have - 9u : 0;
    snprintf(chat->said, sizeof chat->said, "%.*s", (int)(length < room ? length : room),
             (const char *)chat->bytes + 9);
    return chat->ready ? GY_LOAD_BAD_STATUS : GY_LOAD_REFUSED;
}

/* Ids have no holes. A publisher among several gets its own as acknowledgements, which may come
 * before or behind the messages of others. */
static bool take_id(const struct chat_session *chat, const struct gy_pubsub_plan *plan,
                    uint64_t *next, uint64_t id)
{
    bool holes = plan->publishers > 1 && chat->message.publishes;
    bool right = holes ? id >= *next : id == *next;
    *next = id + 1;
    return right;
}

/* A body, or what comes before a message's contents. */
static enum gy_load_progress take_body(struct chat_session *chat, struct gy_pubsub_plan *plan)
{
    switch (chat->type) {
    case JOINED:
        if (chat->have < 20) {
            return GY_LOAD_BAD_BYTES;
        }
        take_joined(chat, plan);
        return next(chat, GY_LOAD_MORE);
    case END:
        if (chat->tag == TAG_JOIN && !chat->ready) {
            chat->ready = true;
            return next(chat, GY_LOAD_READY);
        }
        return next(chat, GY_LOAD_MORE);
    case MESSAGE:
        if (chat->have < FIXED || !take_id(chat, plan, &chat->next_id, get(chat->bytes + 4, 8))) {
            return GY_LOAD_BAD_BYTES;
        }
        chat->payload = true;
        return chat->left == plan->message_bytes &&
                       get(chat->bytes + chat->have - LENGTH, LENGTH) == plan->message_bytes
                   ? GY_LOAD_MORE
                   : GY_LOAD_BAD_BYTES;
    case ACK:
        if (chat->have < 28 ||
            !take_id(chat, plan, plan->publishers > 1 ? &chat->next_ack : &chat->next_id,
                     get(chat->bytes + 12, 8))) {
            return GY_LOAD_BAD_BYTES;
        }
        gy_pubsub_skip(&chat->message, plan);
        return next(chat, GY_LOAD_ANSWER);
    case ERROR:
        return next(chat, take_error(chat));
    case PROBE:
        return next(chat, GY_LOAD_REPLY);
    case GAP:
        return GY_LOAD_BAD_BYTES; /* a message that this connection does not get */
    default:
        return next(chat, GY_LOAD_MORE);
    }
}

/* As many bytes as are needed have come. */
static enum gy_load_progress take_part(struct chat_session *chat, struct gy_pubsub_plan *plan)
{
    if (chat->type == 0) {
        uint64_t length = get(chat->bytes, 4);
        if (length < 4 || length > 65536 || chat->bytes[4] == 0) {
            return GY_LOAD_BAD_BYTES;
        }
        chat->type = chat->bytes[4];
        chat->tag = (uint16_t)get(chat->bytes + 6, 2);
        chat->left = (uint32_t)length - 4;
        chat->have = 0;
    }
    chat->need = needed(chat);
    if (chat->have < chat->need) {
        return GY_LOAD_MORE;
    }
    chat->left -= chat->have;
    return take_body(chat, plan);
}

static enum gy_load_progress chat_receive(void *state, void *session, const uint8_t *data,
                                          uint32_t bytes, uint32_t *used)
{
    struct gy_pubsub_plan *plan = *(struct gy_pubsub_plan **)state;
    struct chat_session *chat = session;
    enum gy_load_progress progress = GY_LOAD_MORE;
    uint32_t at = 0;
    while (at < bytes && progress == GY_LOAD_MORE) {
        uint32_t room = bytes - at;
        if (chat->type == 0 && chat->left > 0) { /* of the last body, what nobody wants */
            uint32_t now = chat->left < room ? chat->left : room;
            at += now;
            chat->left -= now;
        } else if (chat->payload) {
            uint32_t now = gy_pubsub_take(&chat->message, plan, data + at, room);
            at += now;
            chat->left -= now;
            if (chat->left == 0) {
                progress = next(chat, gy_pubsub_end(&chat->message, plan));
            }
        } else {
            uint32_t wanted = (uint32_t)(chat->need - chat->have);
            uint32_t now = wanted < room ? wanted : room;
            memcpy(chat->bytes + chat->have, data + at, now);
            chat->have = (uint16_t)(chat->have + now);
            at += now;
            if (chat->have == chat->need) {
                progress = take_part(chat, plan);
            }
        }
    }
    *used = at;
    return progress;
}

static uint32_t chat_reply(void *session, uint8_t reply[GY_LOAD_REPLY_MAX])
{
    (void)session;
    uint8_t *end = put(reply + HEAD, 0, 1);
    put_head(reply, PONG, 0, end);
    return HEAD + 1;
}

static enum gy_load_progress chat_ended(void *state, void *session)
{
    const struct chat_session *chat = session;
    (void)state;
    return chat->type != 0 || chat->have > 0 ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
}

const struct gy_load_protocol gy_load_chat = {
    .scheme = "chat",
    .help = "messages in a room, --broadcast",
    .port = 7200,
    .numbered = true,
    .unasked = true,
    .prepare = chat_prepare,
    .finish = gy_pubsub_finish,
    .requests = gy_pubsub_requests,
    .greet = chat_greet,
    .refusal = chat_refusal,
    .reply = chat_reply,
    .appoint = gy_pubsub_appoint,
    .publisher = gy_pubsub_publisher,
    .state_bytes = sizeof(const struct gy_pubsub_plan *),
    .state_open = gy_pubsub_state_open,
    .state_close = gy_pubsub_state_close,
    .session_bytes = sizeof(struct chat_session),
    .session_open = chat_session_open,
    .receive = chat_receive,
    .ended = chat_ended,
};
