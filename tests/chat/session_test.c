/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The server's side of a chat connection: levels, frames, their order and bounds. */

#include "tests/chat/session_tools.h"

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
    chain_rig_append(CHAIN_RIG(&rig), bytes, 10);
    chain_rig_append(CHAIN_RIG(&rig), bytes + 10, length - 10);
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
    };
    return cmocka_run_group_tests_name("chat sessions", tests, NULL, NULL);
}
