/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_SESSION_RIG_H
#define GY_TESTS_CHAT_SESSION_RIG_H

/*
 * A chat session with the memory it needs: bytes in; requests and what was sent as text.
 *
 *     session_rig_open(&rig)
 *     session_rig_say(&rig, bytes, length)  the peer's bytes, in pieces of rig.piece
 *     rig.told                              "LOGIN Ann|JOIN lobby|SEND 7 Hello|"
 *     session_rig_sent(&rig)                "WELCOME|IDENTITY|ERROR 3|", of what was sent
 *     rig.sent, rig.sent_bytes              its bytes
 *
 * The rig answers LOGIN, REGISTER and NICK with IDENTITY and JOIN with JOINED of room 7 unless
 * rig.answers_nothing; the rest it only notes.
 */

#include <stdio.h>

#include "protocols/chat/session.h"
#include "tests/chain_rig.h"

#define SESSION_RIG_BYTES (1u << 18)

struct session_rig {
    struct gy_chat_session session;
    struct gy_chat_env env;
    struct gy_slab links, blocks;
    struct gy_bump bump;
    struct gy_chain in, out;
    uint32_t piece; /* 0: whole */
    uint64_t now_ns;
    bool answers_nothing;
    bool holds_output;
    bool in_websocket;
    int last; /* what gy_chat_session_read() last said */
    uint32_t buffers;
    uint32_t told_bytes, sent_bytes;
    char told[SESSION_RIG_BYTES]; /* from here on nothing is zeroed: a fuzzer opens many */
    uint8_t sent[SESSION_RIG_BYTES];
    char text[4096];
};

/* Memory and the env; limits may be changed before session_rig_begin(). */
static inline void session_rig_prepare(struct session_rig *rig, uint32_t blocks, uint32_t links)
{
    memset(rig, 0, offsetof(struct session_rig, told));
    rig->told[0] = 0;
    chain_rig_open(CHAIN_RIG(rig), blocks, links);
    gy_chat_env_init(&rig->env, &rig->bump, &rig->links);
    rig->now_ns = UINT64_C(1000000000);
    rig->env.wall_ms = UINT64_C(0x19a0d2e1f00);
}

static inline void session_rig_begin(struct session_rig *rig)
{
    gy_chat_session_init(&rig->session, &rig->env, &rig->out, rig->in_websocket, rig->now_ns);
}

static inline void session_rig_open(struct session_rig *rig)
{
    session_rig_prepare(rig, 64, 8192);
    session_rig_begin(rig);
}

static inline void session_rig_tell(struct session_rig *rig, const void *bytes, size_t length)
{
    size_t room = SESSION_RIG_BYTES - 1 - rig->told_bytes;
    length = length < room ? length : room;
    if (length > 0) {
        memcpy(rig->told + rig->told_bytes, bytes, length);
    }
    rig->told_bytes += (uint32_t)length;
    rig->told[rig->told_bytes] = 0;
}

static inline void session_rig_tell_text(struct session_rig *rig, struct gy_chat_text text)
{
    session_rig_tell(rig, " ", 1);
    session_rig_tell(rig, text.bytes, text.length);
}

static inline void session_rig_answer(struct session_rig *rig, const struct gy_chat_frame *request)
{
    struct gy_chat_frame answer = {.tag = request->tag};
    switch (request->type) {
    case GY_CHAT_LOGIN:
    case GY_CHAT_REGISTER:
    case GY_CHAT_NICK:
        answer.type = GY_CHAT_IDENTITY;
        answer.body.identity.user = 42;
        answer.body.identity.nick = gy_chat_text_of("Ann");
        answer.body.identity.token = gy_chat_text_of("");
        break;
    case GY_CHAT_JOIN:
        answer.type = GY_CHAT_JOINED;
        answer.body.joined.room = 7;
        answer.body.joined.name = gy_chat_text_of("lobby");
        answer.body.joined.topic = gy_chat_text_of("");
        break;
    default:
        return;
    }
    int error = gy_chat_session_write(&rig->session, &answer);
    gy_assert(error == 0 || error == GY_ENOBUFS);
}

static inline void session_rig_note(struct session_rig *rig, const struct gy_chat_frame *request)
{
    char number[32];
    const char *name = gy_chat_type_name(request->type);
    session_rig_tell(rig, name, strlen(name));
    switch (request->type) {
    case GY_CHAT_REGISTER:
        session_rig_tell_text(rig, request->body.registration.nick);
        break;
    case GY_CHAT_LOGIN:
        session_rig_tell_text(rig, request->body.login.nick);
        break;
    case GY_CHAT_JOIN:
        session_rig_tell_text(rig, request->body.join.room);
        break;
    case GY_CHAT_SEND:
        session_rig_tell(rig, number,
                         (size_t)snprintf(number, sizeof number, " %u", request->body.send.room));
        session_rig_tell_text(rig, request->body.send.contents);
        break;
    case GY_CHAT_TELL:
        session_rig_tell_text(rig, request->body.tell.nick);
        session_rig_tell_text(rig, request->body.tell.contents);
        break;
    case GY_CHAT_QUIT:
        session_rig_tell_text(rig, request->body.quit.reason);
        break;
    default:
        break;
    }
    session_rig_tell(rig, "|", 1);
    if (!rig->answers_nothing) {
        session_rig_answer(rig, request);
    }
}

static inline void session_rig_flush(struct session_rig *rig)
{
    uint32_t room = SESSION_RIG_BYTES - rig->sent_bytes;
    uint32_t length = rig->out.length < room ? rig->out.length : room;
    gy_chain_copy(&rig->out, 0, length, rig->sent + rig->sent_bytes);
    rig->sent_bytes += length;
    gy_chain_clear(&rig->out);
}

static inline void session_rig_turn(struct session_rig *rig)
{
    struct gy_chat_frame request;
    for (uint32_t turns = 0;; turns++) {
        gy_assert(turns < 1000000);
        rig->last = gy_chat_session_read(&rig->session, &rig->in, rig->now_ns, &request);
        if (rig->last == 1) {
            session_rig_note(rig, &request);
        }
        bool more = rig->last == GY_EAGAIN && !rig->holds_output && rig->out.length > 0;
        if (!rig->holds_output) {
            session_rig_flush(rig);
        }
        if (rig->last != 1 && !more) {
            return;
        }
    }
}

static inline void session_rig_say(struct session_rig *rig, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint32_t piece = rig->piece != 0 ? rig->piece : (uint32_t)length;
    for (size_t done = 0; done < length; done += piece) {
        uint32_t now = length - done < piece ? (uint32_t)(length - done) : piece;
        chain_rig_append(CHAIN_RIG(rig), at + done, now);
        session_rig_turn(rig);
    }
}

static inline void session_rig_say_frame(struct session_rig *rig, const struct gy_chat_frame *frame)
{
    static uint8_t bytes[GY_CHAT_FRAME_MAX + 4];
    session_rig_say(rig, bytes, gy_chat_encode(frame, bytes));
}

/* What was sent, as text; ERRORs with their code, and `!` when they are fatal. */
static inline const char *session_rig_sent(struct session_rig *rig)
{
    size_t at = 0;
    size_t length = 0;
    rig->text[0] = 0;
    while (at < rig->sent_bytes && length < sizeof rig->text) {
        struct gy_chat_frame frame;
        int64_t bytes =
            gy_chat_frame_bytes(rig->sent + at, rig->sent_bytes - (uint32_t)at, GY_CHAT_FRAME_MAX);
        gy_assert(bytes > 0 && at + (size_t)bytes <= rig->sent_bytes);
        int error = gy_chat_decode(rig->sent + at, (uint32_t)bytes, &frame, NULL);
        gy_assert(error == 0);
        char *to = rig->text + length;
        size_t room = sizeof rig->text - length;
        int put;
        if (frame.type == GY_CHAT_ERROR) {
            put = snprintf(to, room, "ERROR %s%s|", gy_chat_code_name(frame.body.error.code),
                           frame.body.error.fatal != 0 ? "!" : "");
        } else {
            put = snprintf(to, room, "%s|", gy_chat_type_name(frame.type));
        }
        length += (size_t)put;
        at += (size_t)bytes;
    }
    return rig->text;
}

static inline void session_rig_close(struct session_rig *rig)
{
    chain_rig_close(CHAIN_RIG(rig));
}

#endif
