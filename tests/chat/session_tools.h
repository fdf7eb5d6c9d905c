/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_SESSION_TOOLS_H
#define GY_TESTS_CHAT_SESSION_TOOLS_H

/* For session_test.c, session_book_test.c and session_limits_test.c: a session, and what is said to
 * it, whole and cut anywhere. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/chat/session_rig.h"

#define MS UINT64_C(1000000)

static struct session_rig rig;
static uint8_t wire[1u << 17];
static size_t wire_bytes;

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct gy_chat_frame hello = {
    .type = GY_CHAT_HELLO,
    .tag = 1,
    .body.hello = {.version_min = 1,
                   .version_max = 3,
                   .features = 0xff,
                   .frame_max = 65536,
                   .agent = TEXT("test")},
};

static const struct gy_chat_frame login = {
    .type = GY_CHAT_LOGIN,
    .tag = 2,
    .body.login = {.nick = TEXT("Ann"), .secret = TEXT("")},
};

static const struct gy_chat_frame sending = {
    .type = GY_CHAT_SEND,
    .tag = 4,
    .body.send = {.room = 7, .client_id = 1, .contents = TEXT("Hello")},
};

static const struct gy_chat_frame ping = {
    .type = GY_CHAT_PING, .tag = 5, .body.ping = {.any = TEXT("x")}};

static inline void begin(void)
{
    wire_bytes = 0;
}

static inline void add(const void *bytes, size_t length)
{
    assert_true(wire_bytes + length <= sizeof wire);
    memcpy(wire + wire_bytes, bytes, length);
    wire_bytes += length;
}

#define ADD(literal) add(literal, sizeof(literal) - 1)

static inline void add_frame(const struct gy_chat_frame *frame)
{
    assert_true(wire_bytes + gy_chat_encoded_bytes(frame) <= sizeof wire);
    wire_bytes += gy_chat_encode(frame, wire + wire_bytes);
}

/* A session that has logged in. */
static inline void open_in(void)
{
    session_rig_open(&rig);
    session_rig_say_frame(&rig, &hello);
    session_rig_say_frame(&rig, &login);
    assert_true(gy_chat_session_is_in(&rig.session));
    rig.told_bytes = 0;
    rig.told[0] = 0;
    rig.sent_bytes = 0;
}

/* Whatever the wire is cut into, it tells and sends the same. */
static inline void expect(const char *told, const char *sent)
{
    for (uint32_t piece = 0; piece < 12; piece++) {
        session_rig_open(&rig);
        rig.piece = piece;
        session_rig_say(&rig, wire, wire_bytes);
        assert_string_equal(rig.told, told);
        assert_string_equal(session_rig_sent(&rig), sent);
        session_rig_close(&rig);
    }
}

/* The same of a session of the book, whose output is compared as bytes, cut in two anywhere. */
static inline void expect_book(const char *told, bool over)
{
    for (size_t cut = 0; cut <= wire_bytes; cut++) {
        session_rig_open(&rig);
        session_rig_say(&rig, wire, cut);
        session_rig_say(&rig, wire + cut, wire_bytes - cut);
        assert_string_equal(rig.told, told);
        assert_int_equal(gy_chat_session_is_over(&rig.session), over);
        assert_int_equal(rig.sent_bytes, 0);
        session_rig_close(&rig);
    }
    for (uint32_t piece = 1; piece < 4; piece++) {
        session_rig_open(&rig);
        rig.piece = piece;
        session_rig_say(&rig, wire, wire_bytes);
        assert_string_equal(rig.told, told);
        session_rig_close(&rig);
    }
}

#define BOOK_REGISTER                                                                              \
    "\x01\x00\x03"                                                                                 \
    "Ann"
#define BOOK_HELLO                                                                                 \
    "\x02\x00\x02"                                                                                 \
    "me"                                                                                           \
    "\x00\x05"                                                                                     \
    "Hello"

/* A session of the book that has registered. */
static inline void open_book(void)
{
    session_rig_open(&rig);
    session_rig_say(&rig, BOOK_REGISTER, sizeof BOOK_REGISTER - 1);
    assert_true(gy_chat_session_is_in(&rig.session));
    rig.told_bytes = 0;
    rig.told[0] = 0;
}

#endif
