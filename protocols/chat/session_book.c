/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The book's two messages (section 7), as requests and answers of the protocol:
 *
 *     register     LOGIN as a guest, then, once IDENTITY was written, JOIN of the lobby
 *     broadcast    SEND to that room, once JOINED was written
 *     MESSAGE      a broadcast
 *
 * It has no message for errors: what cannot be done ends the connection, but for single messages
 * that are refused, which are lost.
 */

#include "core/cursor.h"
#include "protocols/chat/session_internal.h"

/* `from` is ignored, so that only its own length bounds it: it is of no use to take more. */
#define FROM_MAX 255

static int end(const struct reading *reading)
{
    reading->session->env->counters.malformed++;
    reading->session->state = OVER;
    return GO_ON;
}

/* The u16 `offset` bytes into what has come; -1: it has not. */
static int32_t length_at(const struct gy_chain *in, uint32_t offset)
{
    uint8_t bytes[2];
    if (in->length < offset + sizeof bytes) {
        return -1;
    }
    gy_chain_copy(in, offset, sizeof bytes, bytes);
    return bytes[0] << 8 | bytes[1];
}

/* So many bytes as one request: REQUEST, or what else to return. */
static int take(const struct reading *reading, uint32_t bytes)
{
    struct gy_chat_session *session = reading->session;
    session->taken = bytes;
    session->heard_ns = reading->now_ns;
    session->frame_ns = 0;
    session->env->counters.frames_in++;
    return REQUEST;
}

static int read_register(const struct reading *reading)
{
    struct gy_chat_session *session = reading->session;
    int32_t length = length_at(reading->in, 1);
    if (session->state != FRESH || length == 0 || length > GY_CHAT_NICK_MAX) {
        return end(reading);
    }
    if (length < 0 || reading->in->length < 3 + (uint32_t)length) {
        return gy_chat_partial(reading);
    }
    const uint8_t *data = gy_chat_in_one_piece(session->env, reading->in, 3 + (uint32_t)length);
    const struct gy_chat_text nick = {(const char *)data + 3, (uint32_t)length};
    if (!gy_chat_is_text(nick.bytes, nick.length)) {
        return end(reading);
    }
    *reading->request = (struct gy_chat_frame){
        .type = GY_CHAT_LOGIN,
        .tag = BOOK_LOGIN,
        .bytes = 3 + (uint32_t)length,
        .body.login = {.nick = nick, .method = GY_CHAT_GUEST, .secret = {nick.bytes, 0}},
    };
    session->state = GREETED;
    gy_chat_hold_for(session, BOOK_LOGIN);
    return take(reading, 3 + (uint32_t)length);
}

static int ask_join(const struct reading *reading)
{
    struct gy_chat_session *session = reading->session;
    *reading->request = (struct gy_chat_frame){
        .type = GY_CHAT_JOIN,
        .tag = BOOK_JOIN,
        .body.join = {.room = session->env->lobby,
                      .policy = session->env->book_policy,
                      .since = GY_CHAT_NONE},
    };
    session->state = JOINING;
    gy_chat_hold_for(session, BOOK_JOIN);
    return REQUEST;
}

static int read_broadcast(const struct reading *reading)
{
    struct gy_chat_session *session = reading->session;
    struct gy_chat_env *env = session->env;
    int32_t from = length_at(reading->in, 1);
    if (session->state != IN || from > FROM_MAX) {
        return end(reading);
    }
    int32_t length = from < 0 ? -1 : length_at(reading->in, 3 + (uint32_t)from);
    if (length == 0 || length > (int32_t)env->limits.contents_max) {
        return end(reading);
    }
    uint32_t bytes = 5 + (uint32_t)from + (uint32_t)length;
    if (length < 0 || reading->in->length < bytes) {
        return gy_chat_partial(reading);
    }
    uint64_t wait_ns = gy_chat_rate(session, bytes, reading->now_ns);
    if (wait_ns > 0) {
        session->resume_ns = reading->now_ns + wait_ns;
        session->frame_ns = 0;
        return GY_EAGAIN;
    }
    const uint8_t *data = gy_chat_in_one_piece(env, reading->in, bytes);
    const struct gy_chat_text contents = {(const char *)data + 5 + from, (uint32_t)length};
    if (!gy_chat_is_text(contents.bytes, contents.length)) {
        return end(reading);
    }
    *reading->request = (struct gy_chat_frame){
        .type = GY_CHAT_SEND,
        .tag = BOOK_SEND,
        .bytes = bytes,
        .body.send = {.room = session->room, .contents = contents},
    };
    return take(reading, bytes);
}

int gy_chat_book_read(const struct reading *reading)
{
    if (reading->session->state == NAMED) {
        return ask_join(reading);
    }
    uint32_t length;
    switch (*gy_chain_front(reading->in, &length)) {
    case 0x01:
        return read_register(reading);
    case 0x02:
        return read_broadcast(reading);
    default:
        return end(reading);
    }
}

/* ---- out ---- */

uint32_t gy_chat_book_bytes(struct gy_chat_text from, struct gy_chat_text contents)
{
    gy_assert(from.length <= 255 && contents.length <= GY_CHAT_CONTENTS_MAX);
    return 5 + from.length + contents.length;
}

uint32_t gy_chat_book_encode(struct gy_chat_text from, struct gy_chat_text contents, uint8_t *out)
{
    uint32_t bytes = gy_chat_book_bytes(from, contents);
    struct gy_writer writer = gy_writer_on(out, bytes);
    gy_writer_u8(&writer, 0x02);
    gy_writer_u16(&writer, (uint16_t)from.length);
    gy_writer_bytes(&writer, from.bytes, from.length);
    gy_writer_u16(&writer, (uint16_t)contents.length);
    gy_writer_bytes(&writer, contents.bytes, contents.length);
    gy_assert(!writer.failed && writer.at == writer.end);
    return bytes;
}

static int write_message(struct gy_chat_session *session, const struct gy_chat_frame *frame)
{
    struct gy_chat_text from = frame->body.message.from;
    struct gy_chat_text contents = frame->body.message.contents;
    if (frame->body.message.kind != GY_CHAT_SAID || (frame->flags & GY_CHAT_PAST) != 0 ||
        session->state != IN || frame->body.message.room != session->room) {
        return 0;
    }
    struct gy_bump *bump = session->env->bump;
    uint8_t *room = gy_bump_reserve(bump, gy_chat_book_bytes(from, contents));
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint32_t bytes = gy_chat_book_encode(from, contents, room);
    if (gy_bump_commit(bump, session->out, bytes) != 0) {
        return GY_ENOBUFS;
    }
    session->env->counters.frames_out++;
    return 0;
}

int gy_chat_book_write(struct gy_chat_session *session, const struct gy_chat_frame *frame)
{
    bool answers = (session->flags & HELD_FOR_ANSWER) != 0 && frame->tag == session->held_tag;
    switch (frame->type) {
    case GY_CHAT_MESSAGE:
        return write_message(session, frame);
    case GY_CHAT_IDENTITY:
        if (answers && session->state == GREETED) {
            session->state = NAMED;
            session->flags &= (uint16_t)~HELD_FOR_ANSWER;
        }
        return 0;
    case GY_CHAT_JOINED:
        if (answers && session->state == JOINING) {
            session->state = IN;
            session->room = frame->body.joined.room;
            session->flags &= (uint16_t)~HELD_FOR_ANSWER;
        }
        return 0;
    case GY_CHAT_ERROR:
        if (frame->body.error.fatal != 0 || answers) {
            session->state = OVER;
        }
        return 0;
    default:
        return 0;
    }
}
