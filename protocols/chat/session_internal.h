/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_SESSION_INTERNAL_H
#define GY_PROTOCOLS_CHAT_SESSION_INTERNAL_H

/* Between session.c (what is read), session_write.c (what is sent, deadlines) and session_book.c
 * (the book's messages). */

#include "protocols/chat/session.h"

enum state {
    FRESH,   /* no HELLO, or the book's register, yet */
    GREETED, /* no identity yet */
    NAMED,   /* the book: its JOIN is next */
    JOINING, /* the book: its JOIN is asked */
    IN,
    OVER,
};

enum flag {
    HELD_FOR_ANSWER = 1 << 0, /* to held_tag */
    HELD_BY_OWNER = 1 << 1,
    IN_WEBSOCKET = 1 << 2,
};

/* What reading says, beside a request (1), nothing (0) and errors. */
enum {
    NEED_MORE = 0,
    REQUEST = 1,
    GO_ON = 2,
};

struct reading {
    struct gy_chat_session *session;
    struct gy_chain *in;
    uint64_t now_ns;
    struct gy_chat_frame *request;
};

/* The tags of a book client's requests, so that their answers are known. */
enum {
    BOOK_LOGIN = 1,
    BOOK_JOIN = 2,
    BOOK_SEND = 3,
};

static inline bool session_is_held(const struct gy_chat_session *session)
{
    return (session->flags & (HELD_FOR_ANSWER | HELD_BY_OWNER)) != 0;
}

/* The first `bytes` (<= in->length) in one piece: in place, or copied to scratch memory. */
const uint8_t *gy_chat_in_one_piece(struct gy_chat_env *env, const struct gy_chain *in,
                                    uint32_t bytes);

/* What has come is not whole: NEED_MORE, and when it began is noted. */
int gy_chat_partial(const struct reading *reading);

/* Takes a request of so many bytes from the rates. Returns 0, or how long until it may be (ns), and
 * then takes nothing. */
uint64_t gy_chat_rate(struct gy_chat_session *session, uint32_t bytes, uint64_t now_ns);

/* Holds the session until the question with that tag is answered. */
void gy_chat_hold_for(struct gy_chat_session *session, uint16_t tag);

int gy_chat_book_read(const struct reading *reading);
int gy_chat_book_write(struct gy_chat_session *session, const struct gy_chat_frame *frame);

#endif
