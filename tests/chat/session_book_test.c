/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The book's messages: the bytes of section 7. */

#include "tests/chat/session_tools.h"

/* ---- the book: the bytes of section 7 ---- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_books_messages_are_requests),
        cmocka_unit_test(the_books_second_register_ends_it),
        cmocka_unit_test(the_books_broadcast_before_register_ends_it),
        cmocka_unit_test(what_the_book_does_not_know_ends_it),
        cmocka_unit_test(a_message_is_the_books_broadcast),
        cmocka_unit_test(the_book_is_encoded_for_many_as_for_one),
        cmocka_unit_test(a_name_of_the_book_that_is_refused_ends_it_silently),
        cmocka_unit_test(the_book_waits_for_its_room),
        cmocka_unit_test(the_book_is_put_off_when_it_is_too_fast),
    };
    return cmocka_run_group_tests_name("chat sessions of the book", tests, NULL, NULL);
}
