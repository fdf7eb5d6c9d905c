/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The server's side of a chat connection: levels, order, bounds, rates and deadlines, with the
 * input whole and cut anywhere. */

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

static void begin(void)
{
    wire_bytes = 0;
}

static void add(const void *bytes, size_t length)
{
    assert_true(wire_bytes + length <= sizeof wire);
    memcpy(wire + wire_bytes, bytes, length);
    wire_bytes += length;
}

#define ADD(literal) add(literal, sizeof(literal) - 1)

static void add_frame(const struct gy_chat_frame *frame)
{
    assert_true(wire_bytes + gy_chat_encoded_bytes(frame) <= sizeof wire);
    wire_bytes += gy_chat_encode(frame, wire + wire_bytes);
}

/* A session that has logged in. */
static void open_in(void)
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
static void expect(const char *told, const char *sent)
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
static void expect_book(const char *told, bool over)
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

/* ---- frames ---- */

static void hello_is_answered_by_what_both_have(void **state)
{
    (void)state;
    static const uint8_t welcome[] = "\0\0\0\x1e\x41\0\0\x01\x01\0\0\0\x0f\0\0\x3f\xa3\0\0\xea\x60"
                                     "\0\0\x01\x9a\x0d\x2e\x1f\0\x04gyre";
    session_rig_open(&rig);
    session_rig_say_frame(&rig, &hello);
    assert_int_equal(GY_CHAT_FRAME_SENT_MAX, 0x3fa3);
    assert_int_equal(rig.sent_bytes, sizeof welcome - 1);
    assert_memory_equal(rig.sent, welcome, sizeof welcome - 1);
    assert_true(gy_chat_session_has(&rig.session, GY_CHAT_FEATURE_TYPING));
    session_rig_close(&rig);
}

static void features_are_those_of_both(void **state)
{
    (void)state;
    struct gy_chat_frame frame = hello;
    session_rig_prepare(&rig, 16, 1024);
    rig.env.features = GY_CHAT_FEATURE_TYPING;
    session_rig_begin(&rig);
    frame.body.hello.features = GY_CHAT_FEATURE_PRESENCE | 0xf0;
    session_rig_say_frame(&rig, &frame);
    assert_int_equal(rig.session.features, 0);
    session_rig_close(&rig);
}

static void everything_may_be_sent_at_once(void **state)
{
    (void)state;
    static const struct gy_chat_frame join = {
        .type = GY_CHAT_JOIN, .tag = 3, .body.join = {.room = TEXT("lobby"), .since = 0}};
    begin();
    add_frame(&hello);
    add_frame(&login);
    add_frame(&join);
    add_frame(&sending);
    add_frame(&ping);
    expect("LOGIN Ann|JOIN lobby|SEND 7 Hello|", "WELCOME|IDENTITY|JOINED|PONG|");
}

static void a_login_holds_what_comes_behind_it_until_it_is_answered(void **state)
{
    (void)state;
    begin();
    add_frame(&hello);
    add_frame(&login);
    add_frame(&sending);
    session_rig_open(&rig);
    rig.answers_nothing = true;
    session_rig_say(&rig, wire, wire_bytes);
    assert_string_equal(rig.told, "LOGIN Ann|");
    assert_int_equal(rig.last, GY_EAGAIN);
    assert_true(gy_chat_session_is_held(&rig.session));
    assert_true(gy_chat_session_deadline(&rig.session) == GY_CHAT_NO_DEADLINE);
    session_rig_answer(&rig, &login);
    assert_false(gy_chat_session_is_held(&rig.session));
    session_rig_turn(&rig);
    assert_string_equal(rig.told, "LOGIN Ann|SEND 7 Hello|");
    session_rig_close(&rig);
}

static void a_login_that_was_refused_may_be_tried_again(void **state)
{
    (void)state;
    session_rig_open(&rig);
    rig.answers_nothing = true;
    session_rig_say_frame(&rig, &hello);
    session_rig_say_frame(&rig, &login);
    assert_int_equal(gy_chat_session_write_error(&rig.session, login.tag, GY_CHAT_REFUSED, 0,
                                                 "the password is not that of %s", "Ann"),
                     0);
    session_rig_say_frame(&rig, &sending);
    rig.answers_nothing = false;
    session_rig_say_frame(&rig, &login);
    session_rig_say_frame(&rig, &sending);
    assert_string_equal(rig.told, "LOGIN Ann|LOGIN Ann|SEND 7 Hello|");
    assert_string_equal(session_rig_sent(&rig), "WELCOME|ERROR refused|ERROR order|IDENTITY|");
    session_rig_close(&rig);
}

static void the_owner_may_hold_it_too(void **state)
{
    (void)state;
    open_in();
    gy_chat_session_hold(&rig.session);
    session_rig_say_frame(&rig, &sending);
    assert_string_equal(rig.told, "");
    gy_chat_session_let_go(&rig.session);
    session_rig_turn(&rig);
    assert_string_equal(rig.told, "SEND 7 Hello|");
    session_rig_close(&rig);
}

static void before_hello_there_is_nothing(void **state)
{
    (void)state;
    begin();
    add_frame(&login);
    add_frame(&hello);
    expect("", "ERROR order!|");
}

static void hello_is_said_once(void **state)
{
    (void)state;
    begin();
    add_frame(&hello);
    add_frame(&hello);
    add_frame(&ping);
    expect("", "WELCOME|ERROR order!|");
}

static void requests_wait_for_a_login(void **state)
{
    (void)state;
    begin();
    add_frame(&hello);
    add_frame(&sending);
    add_frame(&ping);
    add_frame(&login);
    add_frame(&login);
    add_frame(&sending);
    expect("LOGIN Ann|SEND 7 Hello|", "WELCOME|ERROR order|PONG|IDENTITY|ERROR order|");
}

static void versions_without_one_in_common_end_it(void **state)
{
    (void)state;
    struct gy_chat_frame frame = hello;
    frame.body.hello.version_min = 2;
    begin();
    add_frame(&frame);
    expect("", "ERROR version!|");
    frame.body.hello.version_min = 0;
    frame.body.hello.version_max = 0;
    begin();
    add_frame(&frame);
    expect("", "ERROR version!|");
}

static void a_client_that_cannot_take_our_frames_is_told_at_once(void **state)
{
    (void)state;
    struct gy_chat_frame frame = hello;
    frame.body.hello.frame_max = GY_CHAT_FRAME_SENT_MAX - 1;
    begin();
    add_frame(&frame);
    expect("", "ERROR too-big!|");
    frame.body.hello.frame_max = GY_CHAT_FRAME_SENT_MAX;
    begin();
    add_frame(&frame);
    expect("", "WELCOME|");
}

static void unknown_frames_are_skipped_or_refused_by_name(void **state)
{
    (void)state;
    begin();
    add_frame(&hello);
    ADD("\0\0\0\x07\x7f\0\0\x09"
        "abc");
    ADD("\0\0\0\x06\x7e\x01\0\x0a"
        "de");
    add_frame(&ping);
    expect("", "WELCOME|ERROR unsupported|PONG|");
    session_rig_open(&rig);
    session_rig_say(&rig, wire, wire_bytes);
    assert_non_null(memmem(rig.sent, rig.sent_bytes, "type 0x7e", 9));
    assert_int_equal(rig.env.counters.skipped, 1);
    assert_int_equal(rig.env.counters.unsupported, 1);
    session_rig_close(&rig);
}

static void a_frame_of_servers_is_malformed_from_a_client(void **state)
{
    (void)state;
    static const struct gy_chat_frame ok = {.type = GY_CHAT_OK};
    begin();
    add_frame(&hello);
    add_frame(&ok);
    expect("", "WELCOME|ERROR malformed!|");
}

static void what_is_malformed_ends_it_with_the_fields_name(void **state)
{
    (void)state;
    begin();
    add_frame(&hello);
    ADD("\0\0\0\x06\x0a\0\0\x01\0\0"); /* SEND without a client_id */
    expect("", "WELCOME|ERROR malformed!|");
    session_rig_open(&rig);
    session_rig_say(&rig, wire, wire_bytes);
    assert_non_null(memmem(rig.sent, rig.sent_bytes, "SEND", 4));
    assert_non_null(memmem(rig.sent, rig.sent_bytes, "`room`", 6));
    session_rig_close(&rig);
    begin();
    add_frame(&hello);
    ADD("\0\0\0\x07\x12\0\0\x01\x02\xc3("); /* PING with what is not UTF-8 */
    expect("", "WELCOME|ERROR malformed!|");
    begin();
    ADD("\0\0\0\x03\x01\0\0");
    expect("", "ERROR malformed!|");
}

static void a_frame_beyond_the_bound_is_refused_by_its_length_alone(void **state)
{
    (void)state;
    begin();
    add_frame(&hello);
    ADD("\0\0\x3f\xa4"); /* one more than GY_CHAT_FRAME_SENT_MAX */
    expect("", "WELCOME|ERROR too-big!|");
    begin();
    ADD("\0\xff\xff\xff");
    expect("", "ERROR too-big!|");
}

static void another_protocol_is_told_what_this_is(void **state)
{
    (void)state;
    begin();
    ADD("GET / HTTP/1.1\r\n\r\n");
    expect("", "ERROR malformed!|");
    session_rig_open(&rig);
    session_rig_say(&rig, wire, wire_bytes);
    assert_non_null(memmem(rig.sent, rig.sent_bytes, "chat server", 11));
    session_rig_close(&rig);
}

static void values_that_are_not_known_are_refused_without_an_end(void **state)
{
    (void)state;
    struct gy_chat_frame frame = sending;
    open_in();
    frame.body.send.contents.length = 0;
    session_rig_say_frame(&rig, &frame);
    frame = (struct gy_chat_frame){.type = GY_CHAT_LOGIN,
                                   .body.login = {.nick = TEXT("a"), .secret = TEXT("")}};
    frame.type = GY_CHAT_JOIN;
    frame.body.join.room = gy_chat_text_of("lobby");
    frame.body.join.policy = 4;
    session_rig_say_frame(&rig, &frame);
    frame.body.join.policy = 0;
    frame.body.join.room.length = 0;
    session_rig_say_frame(&rig, &frame);
    frame = (struct gy_chat_frame){.type = GY_CHAT_HISTORY, .body.history.by = 3};
    session_rig_say_frame(&rig, &frame);
    frame = (struct gy_chat_frame){.type = GY_CHAT_PRESENCE,
                                   .body.presence = {.status = 3, .note = TEXT("")}};
    session_rig_say_frame(&rig, &frame);
    frame = (struct gy_chat_frame){
        .type = GY_CHAT_MODERATE,
        .body.moderate = {.action = 10, .nick = TEXT("Eve"), .reason = TEXT("")}};
    session_rig_say_frame(&rig, &frame);
    frame.body.moderate.action = GY_CHAT_BAN;
    frame.body.moderate.nick.length = 0;
    session_rig_say_frame(&rig, &frame);
    frame.body.moderate.action = GY_CHAT_SLOW_MODE;
    session_rig_say_frame(&rig, &frame);
    assert_string_equal(rig.told, "MODERATE|");
    assert_string_equal(session_rig_sent(&rig),
                        "ERROR malformed|ERROR unsupported|ERROR name|ERROR unsupported|"
                        "ERROR unsupported|ERROR unsupported|ERROR name|");
    session_rig_close(&rig);
}

static void contents_are_bounded_by_what_the_server_allows(void **state)
{
    (void)state;
    static char long_one[1001];
    struct gy_chat_frame frame = sending;
    memset(long_one, 'x', sizeof long_one);
    session_rig_prepare(&rig, 16, 1024);
    rig.env.limits.contents_max = 1000;
    session_rig_begin(&rig);
    session_rig_say_frame(&rig, &hello);
    session_rig_say_frame(&rig, &login);
    frame.body.send.contents = (struct gy_chat_text){long_one, 1000};
    session_rig_say_frame(&rig, &frame);
    frame.body.send.contents.length = 1001;
    session_rig_say_frame(&rig, &frame);
    assert_string_equal(session_rig_sent(&rig), "WELCOME|IDENTITY|ERROR too-big|");
    assert_int_equal(rig.told_bytes, strlen("LOGIN Ann|SEND 7 |") + 1000);
    session_rig_close(&rig);
}

static void quit_is_told_and_is_the_end(void **state)
{
    (void)state;
    static const struct gy_chat_frame quit = {.type = GY_CHAT_QUIT,
                                              .body.quit = {.reason = TEXT("bye")}};
    begin();
    add_frame(&hello);
    add_frame(&quit);
    add_frame(&ping);
    expect("QUIT bye|", "WELCOME|");
    session_rig_open(&rig);
    session_rig_say(&rig, wire, wire_bytes);
    assert_true(gy_chat_session_is_over(&rig.session));
    assert_int_equal(gy_chat_session_write(&rig.session, &ping), GY_ESTATE);
    session_rig_close(&rig);
}

static void a_frame_in_pieces_is_copied_and_one_in_a_piece_is_not(void **state)
{
    (void)state;
    uint8_t bytes[64];
    open_in();
    assert_int_equal(rig.env.counters.copied_bytes, 0);
    uint32_t length = gy_chat_encode(&sending, bytes);
    session_rig_append(&rig, bytes, 10);
    session_rig_append(&rig, bytes + 10, length - 10);
    session_rig_turn(&rig);
    assert_string_equal(rig.told, "SEND 7 Hello|");
    assert_int_equal(rig.env.counters.copied_bytes, length);
    session_rig_close(&rig);
}

static void a_websocket_message_holds_whole_frames(void **state)
{
    (void)state;
    session_rig_prepare(&rig, 16, 1024);
    rig.in_websocket = true;
    session_rig_begin(&rig);
    begin();
    add_frame(&hello);
    add_frame(&login);
    session_rig_say(&rig, wire, wire_bytes);
    gy_chat_session_end_message(&rig.session, &rig.in);
    assert_false(gy_chat_session_is_over(&rig.session));
    session_rig_say(&rig, wire, 5);
    gy_chat_session_end_message(&rig.session, &rig.in);
    assert_true(gy_chat_session_is_over(&rig.session));
    session_rig_close(&rig);
}

static void inside_websocket_each_frame_is_a_binary_message(void **state)
{
    (void)state;
    static const char short_head[] = "\x82\x22\0\0\0\x1e\x41"; /* RFC 6455 §5.2 */
    static const char long_head[] = "\x82\x7e";
    struct gy_chat_frame frame = {.type = GY_CHAT_PONG};
    char any[250];
    memset(any, 'x', sizeof any);
    session_rig_prepare(&rig, 16, 1024);
    rig.in_websocket = true;
    session_rig_begin(&rig);
    session_rig_say_frame(&rig, &hello);
    assert_memory_equal(rig.sent, short_head, sizeof short_head - 1);
    assert_int_equal(rig.sent_bytes, 2 + 34);
    frame.body.pong.any = (struct gy_chat_text){any, sizeof any};
    rig.sent_bytes = 0;
    assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    session_rig_flush(&rig);
    /* 8 + 1 + 250 = 259 bytes, of which the length field counts 255. */
    assert_int_equal(rig.sent_bytes, 4 + 259);
    assert_memory_equal(rig.sent, long_head, 2);
    assert_int_equal(rig.sent[2] << 8 | rig.sent[3], 259);
    assert_int_equal(rig.sent[7], 255);
    session_rig_close(&rig);
}

static void inside_websocket_there_is_no_book(void **state)
{
    (void)state;
    session_rig_prepare(&rig, 16, 1024);
    rig.in_websocket = true;
    session_rig_begin(&rig);
    session_rig_say(&rig,
                    "\x01\0\x03"
                    "Ann",
                    6);
    assert_string_equal(rig.told, "");
    assert_true(gy_chat_session_is_over(&rig.session));
    session_rig_close(&rig);
}

/* ---- the book: the bytes of section 7 ---- */

#define BOOK_REGISTER                                                                              \
    "\x01\x00\x03"                                                                                 \
    "Ann"
#define BOOK_HELLO                                                                                 \
    "\x02\x00\x02"                                                                                 \
    "me"                                                                                           \
    "\x00\x05"                                                                                     \
    "Hello"

static void the_books_messages_are_requests(void **state)
{
    (void)state;
    begin();
    ADD(BOOK_REGISTER);
    ADD(BOOK_HELLO);
    ADD("\x02\x00\x00\x00\x02"
        "hi");
    expect_book("LOGIN Ann|JOIN lobby|SEND 7 Hello|SEND 7 hi|", false);
}

static void the_books_second_register_ends_it(void **state)
{
    (void)state;
    begin();
    ADD(BOOK_REGISTER);
    ADD(BOOK_HELLO);
    ADD(BOOK_REGISTER);
    ADD(BOOK_HELLO);
    expect_book("LOGIN Ann|JOIN lobby|SEND 7 Hello|", true);
}

static void the_books_broadcast_before_register_ends_it(void **state)
{
    (void)state;
    begin();
    ADD(BOOK_HELLO);
    ADD(BOOK_REGISTER);
    for (size_t cut = 1; cut <= wire_bytes; cut++) {
        session_rig_open(&rig);
        session_rig_say(&rig, wire, cut);
        assert_string_equal(rig.told, "");
        assert_true(gy_chat_session_is_over(&rig.session));
        session_rig_close(&rig);
    }
}

static void what_the_book_does_not_know_ends_it(void **state)
{
    (void)state;
    begin();
    ADD(BOOK_REGISTER);
    ADD("\x03\x00\x01x");
    expect_book("LOGIN Ann|JOIN lobby|", true);
    begin();
    ADD("\x01\x00\x00"); /* no name */
    expect_book("", true);
    begin();
    ADD("\x01\x00\x41"); /* 65 bytes of it */
    expect_book("", true);
    begin();
    ADD("\x01\x00\x02\xc3("); /* no text */
    expect_book("", true);
    begin();
    ADD(BOOK_REGISTER);
    ADD("\x02\x00\x00\x00\x00"); /* no contents */
    expect_book("LOGIN Ann|JOIN lobby|", true);
    begin();
    ADD(BOOK_REGISTER);
    ADD("\x02\x00\x00\x3e\x81"); /* 16,001 bytes of them */
    expect_book("LOGIN Ann|JOIN lobby|", true);
    begin();
    ADD(BOOK_REGISTER);
    ADD("\x02\x01\x00"); /* `from` of 256 bytes */
    expect_book("LOGIN Ann|JOIN lobby|", true);
}

/* A session of the book that has registered. */
static void open_book(void)
{
    session_rig_open(&rig);
    session_rig_say(&rig, BOOK_REGISTER, sizeof BOOK_REGISTER - 1);
    assert_true(gy_chat_session_is_in(&rig.session));
    rig.told_bytes = 0;
    rig.told[0] = 0;
}

static void a_message_is_the_books_broadcast(void **state)
{
    (void)state;
    static const char expected[] = "\x02\x00\x03"
                                   "Bob"
                                   "\x00\x05"
                                   "Hello";
    struct gy_chat_frame frame = {
        .type = GY_CHAT_MESSAGE,
        .body.message = {.room = 7, .id = 9, .from = TEXT("Bob"), .contents = TEXT("Hello")},
    };
    open_book();
    assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    session_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, sizeof expected - 1);
    assert_memory_equal(rig.sent, expected, sizeof expected - 1);
    /* And nothing else is anything to it. */
    frame.body.message.kind = GY_CHAT_EDITED;
    assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    frame.body.message.kind = GY_CHAT_SAID;
    frame.flags = GY_CHAT_PAST;
    assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    frame.flags = 0;
    frame.body.message.room = 8;
    assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    frame = (struct gy_chat_frame){.type = GY_CHAT_ACK, .tag = 3};
    assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    assert_int_equal(gy_chat_session_write_error(&rig.session, 3, GY_CHAT_STORAGE, 0, "full"), 0);
    assert_false(gy_chat_session_is_over(&rig.session));
    session_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, sizeof expected - 1);
    session_rig_close(&rig);
}

static void the_book_is_encoded_for_many_as_for_one(void **state)
{
    (void)state;
    static const char expected[] = "\x02\x00\x03"
                                   "Bob"
                                   "\x00\x05"
                                   "Hello";
    uint8_t bytes[32];
    const struct gy_chat_text from = TEXT("Bob");
    const struct gy_chat_text contents = TEXT("Hello");
    assert_int_equal(gy_chat_book_bytes(from, contents), sizeof expected - 1);
    assert_int_equal(gy_chat_book_encode(from, contents, bytes), sizeof expected - 1);
    assert_memory_equal(bytes, expected, sizeof expected - 1);
}

static void a_name_of_the_book_that_is_refused_ends_it_silently(void **state)
{
    (void)state;
    session_rig_open(&rig);
    rig.answers_nothing = true;
    session_rig_say(&rig, BOOK_REGISTER BOOK_HELLO, sizeof BOOK_REGISTER BOOK_HELLO - 1);
    assert_string_equal(rig.told, "LOGIN Ann|");
    gy_chat_session_write_error(&rig.session, 1, GY_CHAT_TAKEN, 0, "taken");
    assert_true(gy_chat_session_is_over(&rig.session));
    session_rig_turn(&rig);
    assert_string_equal(rig.told, "LOGIN Ann|");
    assert_int_equal(rig.sent_bytes, 0);
    session_rig_close(&rig);
}

static void the_book_waits_for_its_room(void **state)
{
    (void)state;
    static const struct gy_chat_frame identity = {
        .type = GY_CHAT_IDENTITY,
        .tag = 1,
        .body.identity = {.user = 1, .nick = TEXT("Ann"), .token = TEXT("")}};
    session_rig_open(&rig);
    rig.answers_nothing = true;
    session_rig_say(&rig, BOOK_REGISTER BOOK_HELLO, sizeof BOOK_REGISTER BOOK_HELLO - 1);
    gy_chat_session_write(&rig.session, &identity);
    session_rig_turn(&rig);
    assert_string_equal(rig.told, "LOGIN Ann|JOIN lobby|");
    assert_int_equal(rig.last, GY_EAGAIN);
    gy_chat_session_write_error(&rig.session, 2, GY_CHAT_FORBIDDEN, 0, "banned");
    assert_true(gy_chat_session_is_over(&rig.session));
    session_rig_close(&rig);
}

static void the_book_is_put_off_when_it_is_too_fast(void **state)
{
    (void)state;
    session_rig_prepare(&rig, 16, 1024);
    rig.env.limits.requests_per_s = 10;
    rig.env.limits.requests_burst = 2;
    session_rig_begin(&rig);
    session_rig_say(&rig, BOOK_REGISTER BOOK_HELLO BOOK_HELLO BOOK_HELLO,
                    sizeof BOOK_REGISTER BOOK_HELLO BOOK_HELLO BOOK_HELLO - 1);
    assert_string_equal(rig.told, "LOGIN Ann|JOIN lobby|SEND 7 Hello|SEND 7 Hello|");
    assert_int_equal(rig.last, GY_EAGAIN);
    uint64_t deadline = gy_chat_session_deadline(&rig.session);
    assert_true(deadline == rig.now_ns + 100 * MS);
    rig.now_ns = deadline - 1;
    assert_false(gy_chat_session_expire(&rig.session, rig.now_ns));
    session_rig_turn(&rig);
    assert_int_equal(rig.last, GY_EAGAIN);
    rig.now_ns = deadline;
    assert_true(gy_chat_session_expire(&rig.session, rig.now_ns));
    session_rig_turn(&rig);
    assert_int_equal(rig.last, 0);
    assert_string_equal(rig.told, "LOGIN Ann|JOIN lobby|SEND 7 Hello|SEND 7 Hello|SEND 7 Hello|");
    session_rig_close(&rig);
}

/* ---- rates ---- */

static void a_flood_is_refused_with_when_to_try_again(void **state)
{
    (void)state;
    session_rig_prepare(&rig, 16, 1024);
    rig.env.limits.requests_per_s = 10;
    rig.env.limits.requests_burst = 4;
    session_rig_begin(&rig);
    session_rig_say_frame(&rig, &hello);
    session_rig_say_frame(&rig, &login);
    session_rig_say_frame(&rig, &sending);
    session_rig_say_frame(&rig, &sending);
    session_rig_say_frame(&rig, &sending);
    assert_string_equal(rig.told, "LOGIN Ann|SEND 7 Hello|SEND 7 Hello|");
    assert_string_equal(session_rig_sent(&rig), "WELCOME|IDENTITY|ERROR too-fast|");
    assert_non_null(memmem(rig.sent, rig.sent_bytes, "wait 101 ms", 11));
    rig.now_ns += 100 * MS;
    session_rig_say_frame(&rig, &sending);
    session_rig_say_frame(&rig, &sending);
    assert_string_equal(rig.told, "LOGIN Ann|SEND 7 Hello|SEND 7 Hello|SEND 7 Hello|");
    rig.now_ns += 10000 * MS;
    for (int i = 0; i < 5; i++) {
        session_rig_say_frame(&rig, &ping);
    }
    assert_string_equal(session_rig_sent(&rig),
                        "WELCOME|IDENTITY|ERROR too-fast|ERROR too-fast|PONG|PONG|PONG|PONG|"
                        "ERROR too-fast|");
    session_rig_close(&rig);
}

static void bytes_are_counted_too(void **state)
{
    (void)state;
    static char contents[16000];
    struct gy_chat_frame frame = sending;
    memset(contents, 'x', sizeof contents);
    frame.body.send.contents = (struct gy_chat_text){contents, sizeof contents};
    session_rig_prepare(&rig, 16, 1024);
    rig.env.limits.bytes_per_s = 16000;
    rig.env.limits.bytes_burst = 1; /* at least the longest frame all the same */
    session_rig_begin(&rig);
    session_rig_say_frame(&rig, &hello);
    session_rig_say_frame(&rig, &login);
    session_rig_say_frame(&rig, &frame);
    session_rig_say_frame(&rig, &frame);
    assert_string_equal(session_rig_sent(&rig), "WELCOME|IDENTITY|ERROR too-fast|");
    rig.now_ns += 1002 * MS;
    session_rig_say_frame(&rig, &frame);
    assert_string_equal(session_rig_sent(&rig), "WELCOME|IDENTITY|ERROR too-fast|");
    session_rig_close(&rig);
}

static void a_flood_that_goes_on_ends_the_connection(void **state)
{
    (void)state;
    session_rig_prepare(&rig, 64, 4096);
    rig.env.limits.requests_burst = 2;
    rig.env.limits.refusals_max = 10;
    session_rig_begin(&rig);
    session_rig_say_frame(&rig, &hello);
    for (int i = 0; i < 12; i++) {
        assert_false(gy_chat_session_is_over(&rig.session));
        session_rig_say_frame(&rig, &ping);
    }
    assert_true(gy_chat_session_is_over(&rig.session));
    assert_int_equal(rig.env.counters.floods, 1);
    session_rig_close(&rig);
}

/* ---- output ---- */

static void who_does_not_read_is_not_read_from(void **state)
{
    (void)state;
    static char topic[1000];
    struct gy_chat_frame frame = {.type = GY_CHAT_ROOM,
                                  .body.room = {.name = TEXT("r"), .topic = {topic, 1000}}};
    memset(topic, 't', sizeof topic);
    open_in();
    rig.env.limits.output_max = 131072;
    rig.holds_output = true;
    while (rig.out.length <= rig.env.limits.output_high) {
        assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    }
    session_rig_say_frame(&rig, &sending);
    assert_int_equal(rig.last, GY_EAGAIN);
    assert_string_equal(rig.told, "");
    while (rig.out.length <= rig.env.limits.output_max) {
        assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    }
    assert_int_equal(gy_chat_session_write(&rig.session, &frame), GY_ELIMIT);
    assert_int_equal(gy_chat_session_share(&rig.session, rig.out.head->slice), GY_ELIMIT);
    assert_int_equal(rig.env.counters.output_full, 2);
    /* It is told why it is put out. */
    gy_chat_session_end(&rig.session, GY_CHAT_TOO_SLOW, 0, "too slow");
    session_rig_flush(&rig);
    assert_non_null(memmem(rig.sent, rig.sent_bytes, "too slow", 8));
    session_rig_close(&rig);
}

static void what_is_shared_is_not_copied(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct gy_buffer buffer;
    open_in();
    uint32_t length = gy_chat_encode(&ping, bytes);
    gy_buffer_wrap_constant(&buffer, bytes, length);
    assert_int_equal(gy_chat_session_share(&rig.session, (struct gy_slice){&buffer, 0, length}), 0);
    assert_ptr_equal(rig.out.tail->slice.buffer, &buffer);
    assert_int_equal(buffer.refs, 2);
    session_rig_flush(&rig);
    assert_int_equal(buffer.refs, 1);
    session_rig_close(&rig);
}

static void without_memory_nothing_is_lost(void **state)
{
    (void)state;
    begin();
    add_frame(&hello);
    add_frame(&ping);
    session_rig_prepare(&rig, 1, 64);
    session_rig_begin(&rig);
    /* The only block is full and held. */
    struct gy_chain other;
    gy_chain_init(&other, &rig.links);
    assert_non_null(gy_bump_reserve(&rig.bump, GY_BUMP_BLOCK_BYTES));
    assert_int_equal(gy_bump_commit(&rig.bump, &other, GY_BUMP_BLOCK_BYTES), 0);
    session_rig_say(&rig, wire, wire_bytes);
    assert_int_equal(rig.last, GY_ENOBUFS);
    assert_int_equal(rig.sent_bytes, 0);
    gy_chain_clear(&other);
    session_rig_turn(&rig);
    assert_string_equal(session_rig_sent(&rig), "WELCOME|PONG|");
    session_rig_close(&rig);
}

static void a_sentence_that_is_too_long_is_cut_between_characters(void **state)
{
    (void)state;
    static char sentence[700];
    for (int i = 0; i < 690; i += 2) {
        memcpy(sentence + i, "\xc3\xa4", 2);
    }
    open_in();
    assert_int_equal(
        gy_chat_session_write_error(&rig.session, 9, GY_CHAT_ABSENT, 0, "x%s", sentence), 0);
    assert_int_equal(
        gy_chat_session_write_error(&rig.session, 9, GY_CHAT_ABSENT, 0, "%s", sentence), 0);
    session_rig_flush(&rig);
    /* Which the rig's decoder would refuse otherwise. */
    assert_string_equal(session_rig_sent(&rig), "ERROR absent|ERROR absent|");
    session_rig_close(&rig);
}

/* ---- deadlines ---- */

static void who_does_not_log_in_is_ended(void **state)
{
    (void)state;
    session_rig_open(&rig);
    uint64_t deadline = gy_chat_session_deadline(&rig.session);
    assert_true(deadline == rig.now_ns + 30000 * MS);
    session_rig_say_frame(&rig, &hello);
    gy_chat_session_expire(&rig.session, deadline - 1);
    assert_false(gy_chat_session_is_over(&rig.session));
    gy_chat_session_expire(&rig.session, deadline);
    assert_true(gy_chat_session_is_over(&rig.session));
    assert_int_equal(rig.env.counters.late, 1);
    session_rig_flush(&rig);
    assert_string_equal(session_rig_sent(&rig), "WELCOME|ERROR idle!|");
    session_rig_close(&rig);
}

static void who_says_nothing_at_all_gets_no_bytes(void **state)
{
    (void)state;
    session_rig_open(&rig);
    gy_chat_session_expire(&rig.session, rig.now_ns + 30000 * MS);
    assert_true(gy_chat_session_is_over(&rig.session));
    assert_int_equal(rig.out.length, 0);
    session_rig_close(&rig);
}

static void half_a_frame_is_given_so_long(void **state)
{
    (void)state;
    uint8_t bytes[64];
    uint32_t length = gy_chat_encode(&sending, bytes);
    open_in();
    session_rig_say(&rig, bytes, 5);
    uint64_t deadline = rig.now_ns + 30000 * MS;
    for (uint32_t i = 5; i + 1 < length; i++) {
        rig.now_ns += 1000 * MS;
        session_rig_say(&rig, bytes + i, 1);
        assert_true(gy_chat_session_deadline(&rig.session) == deadline);
    }
    gy_chat_session_expire(&rig.session, deadline);
    assert_true(gy_chat_session_is_over(&rig.session));
    session_rig_close(&rig);
}

static void silence_is_asked_after_and_then_ended(void **state)
{
    (void)state;
    static const struct gy_chat_frame pong = {.type = GY_CHAT_PONG, .body.pong = {.any = TEXT("")}};
    open_in();
    uint64_t deadline = rig.now_ns + 60000 * MS;
    assert_true(gy_chat_session_deadline(&rig.session) == deadline);
    gy_chat_session_expire(&rig.session, deadline);
    session_rig_flush(&rig);
    assert_string_equal(session_rig_sent(&rig), "PROBE|");
    assert_true(gy_chat_session_deadline(&rig.session) == deadline + 20000 * MS);
    rig.now_ns = deadline + 1;
    session_rig_say_frame(&rig, &pong);
    assert_true(gy_chat_session_deadline(&rig.session) == rig.now_ns + 60000 * MS);
    deadline = gy_chat_session_deadline(&rig.session);
    gy_chat_session_expire(&rig.session, deadline);
    gy_chat_session_expire(&rig.session, deadline + 20000 * MS - 1);
    assert_false(gy_chat_session_is_over(&rig.session));
    gy_chat_session_expire(&rig.session, deadline + 20000 * MS);
    assert_true(gy_chat_session_is_over(&rig.session));
    assert_int_equal(rig.env.counters.idle, 1);
    session_rig_flush(&rig);
    assert_string_equal(session_rig_sent(&rig), "PROBE|PROBE|ERROR idle!|");
    session_rig_close(&rig);
}

static void who_has_much_to_read_is_not_taken_for_dead(void **state)
{
    (void)state;
    static char topic[1000];
    struct gy_chat_frame frame = {.type = GY_CHAT_ROOM,
                                  .body.room = {.name = TEXT("r"), .topic = {topic, 1000}}};
    memset(topic, 't', sizeof topic);
    open_in();
    rig.holds_output = true;
    while (rig.out.length <= rig.env.limits.output_high) {
        assert_int_equal(gy_chat_session_write(&rig.session, &frame), 0);
    }
    for (int i = 0; i < 5; i++) {
        rig.now_ns = gy_chat_session_deadline(&rig.session);
        gy_chat_session_expire(&rig.session, rig.now_ns);
        assert_false(gy_chat_session_is_over(&rig.session));
    }
    assert_int_equal(rig.env.counters.pings_out, 0);
    session_rig_close(&rig);
}

static void the_book_is_not_pinged(void **state)
{
    (void)state;
    open_book();
    assert_true(gy_chat_session_deadline(&rig.session) == GY_CHAT_NO_DEADLINE);
    session_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_is_answered_by_what_both_have),
        cmocka_unit_test(features_are_those_of_both),
        cmocka_unit_test(everything_may_be_sent_at_once),
        cmocka_unit_test(a_login_holds_what_comes_behind_it_until_it_is_answered),
        cmocka_unit_test(a_login_that_was_refused_may_be_tried_again),
        cmocka_unit_test(the_owner_may_hold_it_too),
        cmocka_unit_test(before_hello_there_is_nothing),
        cmocka_unit_test(hello_is_said_once),
        cmocka_unit_test(requests_wait_for_a_login),
        cmocka_unit_test(versions_without_one_in_common_end_it),
        cmocka_unit_test(a_client_that_cannot_take_our_frames_is_told_at_once),
        cmocka_unit_test(unknown_frames_are_skipped_or_refused_by_name),
        cmocka_unit_test(a_frame_of_servers_is_malformed_from_a_client),
        cmocka_unit_test(what_is_malformed_ends_it_with_the_fields_name),
        cmocka_unit_test(a_frame_beyond_the_bound_is_refused_by_its_length_alone),
        cmocka_unit_test(another_protocol_is_told_what_this_is),
        cmocka_unit_test(values_that_are_not_known_are_refused_without_an_end),
        cmocka_unit_test(contents_are_bounded_by_what_the_server_allows),
        cmocka_unit_test(quit_is_told_and_is_the_end),
        cmocka_unit_test(a_frame_in_pieces_is_copied_and_one_in_a_piece_is_not),
        cmocka_unit_test(a_websocket_message_holds_whole_frames),
        cmocka_unit_test(inside_websocket_each_frame_is_a_binary_message),
        cmocka_unit_test(inside_websocket_there_is_no_book),
        cmocka_unit_test(the_books_messages_are_requests),
        cmocka_unit_test(the_books_second_register_ends_it),
        cmocka_unit_test(the_books_broadcast_before_register_ends_it),
        cmocka_unit_test(what_the_book_does_not_know_ends_it),
        cmocka_unit_test(a_message_is_the_books_broadcast),
        cmocka_unit_test(the_book_is_encoded_for_many_as_for_one),
        cmocka_unit_test(a_name_of_the_book_that_is_refused_ends_it_silently),
        cmocka_unit_test(the_book_waits_for_its_room),
        cmocka_unit_test(the_book_is_put_off_when_it_is_too_fast),
        cmocka_unit_test(a_flood_is_refused_with_when_to_try_again),
        cmocka_unit_test(bytes_are_counted_too),
        cmocka_unit_test(a_flood_that_goes_on_ends_the_connection),
        cmocka_unit_test(who_does_not_read_is_not_read_from),
        cmocka_unit_test(what_is_shared_is_not_copied),
        cmocka_unit_test(without_memory_nothing_is_lost),
        cmocka_unit_test(a_sentence_that_is_too_long_is_cut_between_characters),
        cmocka_unit_test(who_does_not_log_in_is_ended),
        cmocka_unit_test(who_says_nothing_at_all_gets_no_bytes),
        cmocka_unit_test(half_a_frame_is_given_so_long),
        cmocka_unit_test(silence_is_asked_after_and_then_ended),
        cmocka_unit_test(who_has_much_to_read_is_not_taken_for_dead),
        cmocka_unit_test(the_book_is_not_pinged),
    };
    return cmocka_run_group_tests_name("chat sessions", tests, NULL, NULL);
}
