/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_CLIENT_RIG_H
#define GY_TESTS_CHAT_CLIENT_RIG_H

/*
 * A chat client with the memory it needs; the test is its server.
 *
 *     client_rig_open(&rig)            rooms for 4, an outbox of 4 KiB, a token
 *     client_rig_connect(&rig)         a connection
 *     client_rig_asked(&rig)           what the client has sent since the last call, as text
 *     client_rig_answer(&rig, &frame)  the server's frame, in pieces of rig.piece
 *     rig.told                         events, as text
 */

#include <stdio.h>

#include "protocols/chat/client.h"
#include "tests/chain_rig.h"

#define CLIENT_RIG_ROOMS 4
#define CLIENT_RIG_BYTES (1u << 16)

struct client_rig {
    struct gy_chat_client client;
    struct gy_chat_client_env env;
    struct gy_chat_client_options options;
    struct gy_chat_client_room rooms[CLIENT_RIG_ROOMS];
    uint64_t outbox[512];
    char token[64];
    struct gy_slab links, blocks;
    struct gy_bump bump;
    struct gy_chain in, out;
    uint32_t piece;
    uint64_t now_ns;
    int last;
    uint32_t buffers;
    uint16_t tag; /* of the last frame that was asked */
    uint64_t client_id;
    struct gy_chat_client_event event; /* the last one */
    uint32_t told_bytes;
    char told[CLIENT_RIG_BYTES]; /* from here on nothing is zeroed: a fuzzer opens many */
    char asked[4096];
};

static inline void client_rig_prepare(struct client_rig *rig)
{
    memset(rig, 0, offsetof(struct client_rig, told));
    rig->told[0] = 0;
    chain_rig_open(CHAIN_RIG(rig), 16, 4096);
    gy_chat_client_env_init(&rig->env, &rig->bump, &rig->links);
    rig->now_ns = UINT64_C(1000000000);
    rig->options = (struct gy_chat_client_options){
        .nick = gy_chat_text_of("Ann"),
        .secret = gy_chat_text_of(""),
        .first_client_id = 100,
        .rooms = rig->rooms,
        .rooms_max = CLIENT_RIG_ROOMS,
        .outbox = rig->outbox,
        .outbox_bytes = sizeof rig->outbox,
        .token = rig->token,
        .token_max = sizeof rig->token,
    };
}

static inline void client_rig_open(struct client_rig *rig)
{
    client_rig_prepare(rig);
    gy_chat_client_init(&rig->client, &rig->env, &rig->options);
}

static inline void client_rig_connect(struct client_rig *rig)
{
    gy_chat_client_begin(&rig->client, &rig->out, rig->now_ns);
}

static inline void client_rig_drop(struct client_rig *rig)
{
    gy_chain_clear(&rig->in);
    gy_chain_clear(&rig->out);
    gy_chat_client_lost(&rig->client);
}

/* ---- what it sends ---- */

static inline int client_rig_print_asked(const struct gy_chat_frame *frame, char *to, size_t room)
{
    const char *name = gy_chat_type_name(frame->type);
    const union gy_chat_body *body = &frame->body;
    switch (frame->type) {
    case GY_CHAT_LOGIN:
        return snprintf(to, room, "LOGIN %.*s by %u %.*s|", (int)body->login.nick.length,
                        body->login.nick.bytes, body->login.method, (int)body->login.secret.length,
                        body->login.secret.bytes);
    case GY_CHAT_JOIN:
        if (body->join.since == GY_CHAT_NONE) {
            return snprintf(to, room, "JOIN %.*s %u|", (int)body->join.room.length,
                            body->join.room.bytes, body->join.history);
        }
        return snprintf(to, room, "JOIN %.*s since %llu|", (int)body->join.room.length,
                        body->join.room.bytes, (unsigned long long)body->join.since);
    case GY_CHAT_SEND:
        return snprintf(to, room, "SEND %u %llu %.*s|", body->send.room,
                        (unsigned long long)body->send.client_id, (int)body->send.contents.length,
                        body->send.contents.bytes);
    case GY_CHAT_TELL:
        return snprintf(to, room, "TELL %llu|", (unsigned long long)body->tell.client_id);
    default:
        return snprintf(to, room, "%s|", name);
    }
}

/* Takes the next frame from `out`; false: there is none. */
static inline bool client_rig_next(struct client_rig *rig, struct gy_chat_frame *frame,
                                   uint8_t *bytes)
{
    if (rig->out.length < 4) {
        return false;
    }
    gy_chain_copy(&rig->out, 0, 4, bytes);
    int64_t length = gy_chat_frame_bytes(bytes, 4, GY_CHAT_FRAME_MAX);
    gy_assert(length > 0 && length <= rig->out.length);
    gy_chain_copy(&rig->out, 0, (uint32_t)length, bytes);
    gy_chain_consume(&rig->out, (uint32_t)length);
    int error = gy_chat_decode(bytes, (uint32_t)length, frame, NULL);
    gy_assert(error == 0);
    return true;
}

static inline const char *client_rig_asked(struct client_rig *rig)
{
    static uint8_t bytes[GY_CHAT_FRAME_MAX + 4];
    struct gy_chat_frame frame;
    size_t length = 0;
    rig->asked[0] = 0;
    while (client_rig_next(rig, &frame, bytes)) {
        length +=
            (size_t)client_rig_print_asked(&frame, rig->asked + length, sizeof rig->asked - length);
        gy_assert(length < sizeof rig->asked);
        rig->tag = frame.tag;
    }
    return rig->asked;
}

/* ---- what it is told ---- */

static inline void client_rig_note(struct client_rig *rig)
{
    static const char *const names[] = {
        [GY_CHAT_CLIENT_IN] = "in",           [GY_CHAT_CLIENT_JOINED] = "joined",
        [GY_CHAT_CLIENT_CAUGHT_UP] = "up",    [GY_CHAT_CLIENT_MESSAGE] = "message",
        [GY_CHAT_CLIENT_GAP] = "gap",         [GY_CHAT_CLIENT_RESET] = "reset",
        [GY_CHAT_CLIENT_ACKED] = "acked",     [GY_CHAT_CLIENT_DELAYED] = "delayed",
        [GY_CHAT_CLIENT_REFUSED] = "refused", [GY_CHAT_CLIENT_NOT_JOINED] = "not-joined",
        [GY_CHAT_CLIENT_NOT_IN] = "not-in",   [GY_CHAT_CLIENT_ANSWER] = "answer",
        [GY_CHAT_CLIENT_NEWS] = "news",       [GY_CHAT_CLIENT_MOVE] = "move",
        [GY_CHAT_CLIENT_ENDED] = "ended",     [GY_CHAT_CLIENT_BROKEN] = "broken",
    };
    const struct gy_chat_client_event *event = &rig->event;
    char *to = rig->told + rig->told_bytes;
    size_t room = sizeof rig->told - rig->told_bytes;
    int length;
    switch (event->type) {
    case GY_CHAT_CLIENT_MESSAGE:
        length =
            snprintf(to, room, "%s%llu %.*s|", (event->frame.flags & GY_CHAT_PAST) != 0 ? "-" : "",
                     (unsigned long long)event->frame.body.message.id,
                     (int)event->frame.body.message.contents.length,
                     event->frame.body.message.contents.bytes);
        break;
    case GY_CHAT_CLIENT_GAP:
        length = snprintf(to, room, "gap %llu-%llu %u|", (unsigned long long)event->first,
                          (unsigned long long)event->last, event->why);
        break;
    case GY_CHAT_CLIENT_ACKED:
    case GY_CHAT_CLIENT_DELAYED:
    case GY_CHAT_CLIENT_REFUSED:
        length = snprintf(to, room, "%s %llu|", names[event->type],
                          (unsigned long long)event->client_id);
        break;
    case GY_CHAT_CLIENT_NOT_IN:
    case GY_CHAT_CLIENT_ENDED:
    case GY_CHAT_CLIENT_NOT_JOINED:
        length = snprintf(to, room, "%s %s|", names[event->type], gy_chat_code_name(event->code));
        break;
    case GY_CHAT_CLIENT_ANSWER:
    case GY_CHAT_CLIENT_NEWS:
        length =
            snprintf(to, room, "%s %s|", names[event->type], gy_chat_type_name(event->frame.type));
        break;
    default:
        length = snprintf(to, room, "%s|", names[event->type]);
    }
    gy_assert(length > 0 && (size_t)length < room);
    rig->told_bytes += (uint32_t)length;
}

static inline void client_rig_turn(struct client_rig *rig)
{
    for (uint32_t turns = 0;; turns++) {
        gy_assert(turns < 1000000);
        rig->last = gy_chat_client_read(&rig->client, &rig->in, rig->now_ns, &rig->event);
        if (rig->last != 1) {
            return;
        }
        client_rig_note(rig);
    }
}

static inline void client_rig_say(struct client_rig *rig, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint32_t piece = rig->piece != 0 ? rig->piece : (uint32_t)length;
    for (size_t done = 0; done < length; done += piece) {
        uint32_t now = length - done < piece ? (uint32_t)(length - done) : piece;
        chain_rig_append(CHAIN_RIG(rig), at + done, now);
        client_rig_turn(rig);
    }
}

static inline void client_rig_answer(struct client_rig *rig, const struct gy_chat_frame *frame)
{
    static uint8_t bytes[GY_CHAT_FRAME_MAX + 4];
    client_rig_say(rig, bytes, gy_chat_encode(frame, bytes));
}

/* ---- the usual answers ---- */

static inline void client_rig_welcome(struct client_rig *rig)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_WELCOME,
        .tag = 1,
        .body.welcome = {.version = 1,
                         .frame_max = GY_CHAT_FRAME_SENT_MAX,
                         .server = gy_chat_text_of("test")},
    };
    client_rig_answer(rig, &frame);
}

static inline void client_rig_identity(struct client_rig *rig, const char *token)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_IDENTITY,
        .tag = 2,
        .body.identity = {.user = 42,
                          .nick = gy_chat_text_of("Ann"),
                          .token = gy_chat_text_of(token)},
    };
    client_rig_answer(rig, &frame);
}

static inline void client_rig_error(struct client_rig *rig, uint16_t tag, enum gy_chat_code code,
                                    bool fatal, uint32_t retry_ms)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_ERROR,
        .tag = tag,
        .body.error = {.code = (uint16_t)code,
                       .fatal = fatal,
                       .retry_ms = retry_ms,
                       .sentence = gy_chat_text_of("so it is")},
    };
    client_rig_answer(rig, &frame);
}

/* To the JOIN that was asked last: JOINED of room 7. */
static inline void client_rig_joined(struct client_rig *rig, uint64_t first, uint64_t last)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_JOINED,
        .tag = rig->tag,
        .body.joined = {.room = 7,
                        .first = first,
                        .last = last,
                        .name = gy_chat_text_of("lobby"),
                        .topic = gy_chat_text_of("")},
    };
    client_rig_answer(rig, &frame);
}

static inline void client_rig_end(struct client_rig *rig, uint16_t tag)
{
    const struct gy_chat_frame frame = {.type = GY_CHAT_END, .tag = tag};
    client_rig_answer(rig, &frame);
}

static inline void client_rig_message(struct client_rig *rig, uint64_t id, uint16_t tag)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_MESSAGE,
        .flags = tag != 0 ? GY_CHAT_PAST : 0,
        .tag = tag,
        .body.message = {.room = 7,
                         .id = id,
                         .from = gy_chat_text_of("Bob"),
                         .contents = gy_chat_text_of("x")},
    };
    client_rig_answer(rig, &frame);
}

static inline void client_rig_ack(struct client_rig *rig, uint16_t tag, uint64_t client_id,
                                  uint64_t id)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_ACK,
        .tag = tag,
        .body.ack = {.room = 7, .client_id = client_id, .id = id},
    };
    client_rig_answer(rig, &frame);
}

/* Connected, logged in, and in the lobby, whose last id is `last`. Forgets what was told. */
static inline void client_rig_enter(struct client_rig *rig, uint64_t last)
{
    gy_chat_client_join(&rig->client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    client_rig_connect(rig);
    client_rig_welcome(rig);
    client_rig_identity(rig, "");
    client_rig_asked(rig);
    client_rig_joined(rig, 1, last);
    client_rig_end(rig, rig->tag);
    rig->told_bytes = 0;
    rig->told[0] = 0;
}

static inline void client_rig_close(struct client_rig *rig)
{
    chain_rig_close(CHAIN_RIG(rig));
}

#endif
