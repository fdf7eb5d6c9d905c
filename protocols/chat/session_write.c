/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The server's side of a connection: what is sent, and when something is due. */

#include <stdio.h>

#include "protocols/chat/session_internal.h"

#define NS_PER_MS UINT64_C(1000000)

/* ---- frames out ---- */

uint32_t gy_chat_ws_head(uint32_t bytes, uint8_t *head)
{
    gy_assert(bytes < 65536);
    head[0] = 0x82; /* FIN, binary */
    if (bytes < 126) {
        head[1] = (uint8_t)bytes;
        return 2;
    }
    head[1] = 126;
    head[2] = (uint8_t)(bytes >> 8);
    head[3] = (uint8_t)bytes;
    return 4;
}

static int put(struct gy_chat_session *session, const struct gy_chat_frame *frame)
{
    struct gy_bump *bump = session->env->bump;
    uint32_t bytes = gy_chat_encoded_bytes(frame);
    gy_assert(bytes <= GY_BUMP_BLOCK_BYTES - GY_CHAT_WS_HEAD_MAX);
    uint8_t *room = gy_bump_reserve(bump, bytes + GY_CHAT_WS_HEAD_MAX);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint32_t head = (session->flags & IN_WEBSOCKET) != 0 ? gy_chat_ws_head(bytes, room) : 0;
    gy_chat_encode(frame, room + head);
    if (gy_bump_commit(bump, session->out, head + bytes) != 0) {
        return GY_ENOBUFS;
    }
    session->env->counters.frames_out++;
    return 0;
}

/* What an answer that was sent means to the session. */
static void note_answer(struct gy_chat_session *session, const struct gy_chat_frame *frame)
{
    if (frame->type == GY_CHAT_ERROR && frame->body.error.fatal != 0) {
        session->state = OVER;
        return;
    }
    if (frame->type != GY_CHAT_IDENTITY && frame->type != GY_CHAT_ERROR) {
        return;
    }
    if (frame->tag == session->held_tag) {
        session->flags &= (uint16_t)~HELD_FOR_ANSWER;
    }
    if (frame->type == GY_CHAT_IDENTITY && session->state == GREETED) {
        session->state = IN;
    }
}

int gy_chat_session_write(struct gy_chat_session *session, const struct gy_chat_frame *frame)
{
    if (session->state == OVER) {
        return GY_ESTATE;
    }
    bool bound = frame->type != GY_CHAT_ERROR && frame->type != GY_CHAT_IDENTITY;
    if (bound && session->out->length > session->env->limits.output_max) {
        session->env->counters.output_full++;
        return GY_ELIMIT;
    }
    if (session->level == GY_CHAT_LEVEL_BOOK) {
        return gy_chat_book_write(session, frame);
    }
    /* Who has said nothing yet may be of the book: it gets no bytes that it would not know. */
    bool knows = session->level == GY_CHAT_LEVEL_FRAMES || (session->flags & IN_WEBSOCKET) != 0;
    int error = knows ? put(session, frame) : 0;
    if (error == 0) {
        note_answer(session, frame);
    }
    return error;
}

int gy_chat_session_share(struct gy_chat_session *session, struct gy_slice slice)
{
    if (session->state == OVER) {
        return GY_ESTATE;
    }
    if (session->out->length > session->env->limits.output_max) {
        session->env->counters.output_full++;
        return GY_ELIMIT;
    }
    gy_buffer_hold(slice.buffer);
    int error = gy_chain_append(session->out, slice);
    if (error != 0) {
        gy_slice_drop(slice);
        return error;
    }
    session->env->counters.frames_out++;
    return 0;
}

/* ---- errors ---- */

struct refusal {
    uint16_t tag;
    enum gy_chat_code code;
    bool fatal;
    uint32_t retry_ms;
};

__attribute__((format(printf, 3, 0))) static int write_refusal(struct gy_chat_session *session,
                                                               struct refusal refusal,
                                                               const char *format, va_list values)
{
    char sentence[GY_CHAT_SENTENCE_MAX + 1];
    int length = vsnprintf(sentence, sizeof sentence, format, values);
    gy_assert(length >= 0);
    if ((size_t)length >= sizeof sentence) {
        /* Not within a character. */
        length = (int)sizeof sentence - 1;
        while (length > 0 && !gy_chat_is_text(sentence, (size_t)length)) {
            length--;
        }
    }
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_ERROR,
        .tag = refusal.tag,
        .body.error = {.code = (uint16_t)refusal.code,
                       .fatal = refusal.fatal,
                       .retry_ms = refusal.retry_ms,
                       .sentence = {sentence, (uint32_t)length}},
    };
    return gy_chat_session_write(session, &frame);
}

int gy_chat_session_write_error(struct gy_chat_session *session, uint16_t tag,
                                enum gy_chat_code code, uint32_t retry_ms, const char *format, ...)
{
    const struct refusal refusal = {tag, code, false, retry_ms};
    va_list values;
    va_start(values, format);
    int error = write_refusal(session, refusal, format, values);
    va_end(values);
    return error;
}

void gy_chat_session_refuse(struct gy_chat_session *session, enum gy_chat_code code,
                            uint32_t retry_ms, const char *format, ...)
{
    const struct refusal refusal = {0, code, true, retry_ms};
    va_list values;
    if (session->level == GY_CHAT_LEVEL_UNKNOWN) {
        session->level = GY_CHAT_LEVEL_FRAMES;
    }
    va_start(values, format);
    (void)write_refusal(session, refusal, format, values);
    va_end(values);
    session->state = OVER;
}

void gy_chat_session_end(struct gy_chat_session *session, enum gy_chat_code code, uint32_t retry_ms,
                         const char *format, ...)
{
    const struct refusal refusal = {0, code, true, retry_ms};
    va_list values;
    va_start(values, format);
    (void)write_refusal(session, refusal, format, values);
    va_end(values);
    session->state = OVER; /* also without memory to say so */
}

/* ---- deadlines ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_pinged(const struct gy_chat_session *session)
{
    return session->level == GY_CHAT_LEVEL_FRAMES && session->state >= GREETED &&
           session->env->limits.ping_ms > 0;
}

static uint64_t login_deadline(const struct gy_chat_session *session)
{
    return session->state < NAMED ? session->opened_ns + session->env->limits.login_ms * NS_PER_MS
                                  : GY_CHAT_NO_DEADLINE;
}

static uint64_t frame_deadline(const struct gy_chat_session *session)
{
    const struct gy_chat_limits *limits = &session->env->limits;
    return session->frame_ns != 0 && limits->frame_ms > 0
               ? session->frame_ns + limits->frame_ms * NS_PER_MS
               : GY_CHAT_NO_DEADLINE;
}

static uint64_t ping_deadline(const struct gy_chat_session *session)
{
    const struct gy_chat_limits *limits = &session->env->limits;
    if (!is_pinged(session)) {
        return GY_CHAT_NO_DEADLINE;
    }
    return session->probe_ns != 0 ? session->probe_ns + limits->pong_ms * NS_PER_MS
                                  : session->heard_ns + limits->ping_ms * NS_PER_MS;
}

uint64_t gy_chat_session_deadline(const struct gy_chat_session *session)
{
    if (session->state == OVER || session_is_held(session)) {
        return GY_CHAT_NO_DEADLINE; /* the owner ends it, or answers */
    }
    uint64_t resume = session->resume_ns != 0 ? session->resume_ns : GY_CHAT_NO_DEADLINE;
    return sooner(sooner(login_deadline(session), frame_deadline(session)),
                  sooner(ping_deadline(session), resume));
}

static void late(struct gy_chat_session *session, const char *sentence)
{
    session->env->counters.late++;
    gy_chat_session_end(session, GY_CHAT_IDLE, 0, "%s", sentence);
}

static void expire_ping(struct gy_chat_session *session, uint64_t now_ns)
{
    const struct gy_chat_limits *limits = &session->env->limits;
    const struct gy_chat_frame probe = {.type = GY_CHAT_PROBE};
    if (session->out->length > limits->output_high) {
        /* It is not read from, so that its PONG would not be seen; the stream's own deadline ends
         * who takes nothing at all. */
        session->heard_ns = now_ns;
        session->probe_ns = 0;
    } else if (session->probe_ns != 0) {
        session->env->counters.idle++;
        gy_chat_session_end(session, GY_CHAT_IDLE, 0, "a PING was not answered within %u ms",
                            limits->pong_ms);
    } else if (gy_chat_session_write(session, &probe) == 0) {
        session->env->counters.pings_out++;
        session->probe_ns = now_ns;
    } else {
        /* No memory: again in a second. */
        session->heard_ns += 1000 * NS_PER_MS;
    }
}

bool gy_chat_session_expire(struct gy_chat_session *session, uint64_t now_ns)
{
    if (now_ns < gy_chat_session_deadline(session)) {
        return false;
    }
    if (session->state == OVER || session_is_held(session)) {
        return false;
    }
    if (now_ns >= login_deadline(session)) {
        late(session, "nobody logged in here in time");
    } else if (now_ns >= frame_deadline(session)) {
        late(session, "a frame that had begun did not become whole in time");
    } else if (now_ns >= ping_deadline(session)) {
        expire_ping(session, now_ns);
    }
    bool resumes = session->resume_ns != 0 && now_ns >= session->resume_ns;
    if (resumes) {
        session->resume_ns = 0;
    }
    return resumes;
}
