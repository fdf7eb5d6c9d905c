/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Rates, output and deadlines of a chat connection. */

#include "tests/chat/session_tools.h"

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

/* ---- refusing ---- */

static void who_has_said_nothing_yet_is_refused_in_frames(void **state)
{
    (void)state;
    session_rig_open(&rig);
    gy_chat_session_refuse(&rig.session, GY_CHAT_FULL, 3000, "%d are here", 9);
    assert_true(gy_chat_session_is_over(&rig.session));
    session_rig_say_frame(&rig, &hello);
    session_rig_flush(&rig);
    assert_string_equal(session_rig_sent(&rig), "ERROR full!|");
    assert_non_null(memmem(rig.sent, rig.sent_bytes, "9 are here", 10));
    session_rig_close(&rig);
}

static void a_client_of_the_book_is_refused_without_a_word(void **state)
{
    (void)state;
    session_rig_open(&rig);
    session_rig_say(&rig, "\x01\x00", 2);
    gy_chat_session_refuse(&rig.session, GY_CHAT_FULL, 3000, "too many");
    assert_true(gy_chat_session_is_over(&rig.session));
    session_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, 0);
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
        cmocka_unit_test(who_has_said_nothing_yet_is_refused_in_frames),
        cmocka_unit_test(a_client_of_the_book_is_refused_without_a_word),
        cmocka_unit_test(silence_is_asked_after_and_then_ended),
        cmocka_unit_test(who_has_much_to_read_is_not_taken_for_dead),
        cmocka_unit_test(the_book_is_not_pinged),
    };
    return cmocka_run_group_tests_name("limits of chat sessions", tests, NULL, NULL);
}
