/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The client's side of chat: logging in, rooms, ids that come once, deadlines. */

#include "tests/chat/client_tools.h"

/* ---- logging in ---- */

static void it_greets_logs_in_and_joins(void **state)
{
    (void)state;
    client_rig_open(&rig);
    assert_int_equal(
        gy_chat_client_join(&rig.client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 20),
        0);
    client_rig_connect(&rig);
    assert_string_equal(client_rig_asked(&rig), "HELLO|");
    client_rig_welcome(&rig);
    assert_string_equal(client_rig_asked(&rig), "LOGIN Ann by 0 |");
    assert_false(gy_chat_client_is_in(&rig.client));
    client_rig_identity(&rig, "t0ken");
    assert_true(gy_chat_client_is_in(&rig.client));
    assert_string_equal(client_rig_asked(&rig), "JOIN lobby 20|");
    assert_string_equal(rig.told, "in|");
    client_rig_close(&rig);
}

static void its_hello_is_as_the_page_says(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0, 0, 0, 0x13, 0x01, 0x01, 0, 1,   1,   1,   0,  0,
                                       0, 0, 0, 1,    0,    0,    4, 'g', 'y', 'r', 'e'};
    uint8_t bytes[sizeof expected];
    client_rig_open(&rig);
    client_rig_connect(&rig);
    assert_int_equal(rig.out.length, sizeof expected);
    gy_chain_copy(&rig.out, 0, sizeof expected, bytes);
    assert_memory_equal(bytes, expected, sizeof expected);
    client_rig_close(&rig);
}

static void it_comes_back_by_its_token(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "t0ken");
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    assert_string_equal(client_rig_asked(&rig), "HELLO|LOGIN Ann by 3 t0ken|");
    /* And as at first, where the token is refused. */
    client_rig_error(&rig, 2, GY_CHAT_REFUSED, false, 0);
    assert_string_equal(client_rig_asked(&rig), "LOGIN Ann by 0 |");
    client_rig_identity(&rig, "");
    assert_string_equal(rig.told, "in|in|");
    client_rig_close(&rig);
}

static void a_token_that_is_too_long_is_not_kept(void **state)
{
    (void)state;
    client_rig_prepare(&rig);
    rig.options.token_max = 4;
    gy_chat_client_init(&rig.client, &rig.env, &rig.options);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "t0ken");
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    assert_string_equal(client_rig_asked(&rig), "HELLO|LOGIN Ann by 0 |");
    client_rig_close(&rig);
}

static void it_registers_or_logs_in_where_it_did_before(void **state)
{
    (void)state;
    client_rig_prepare(&rig);
    rig.options.registers = true;
    rig.options.secret = gy_chat_text_of("secret");
    gy_chat_client_init(&rig.client, &rig.env, &rig.options);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    assert_string_equal(client_rig_asked(&rig), "HELLO|REGISTER|");
    client_rig_error(&rig, 2, GY_CHAT_TAKEN, false, 0);
    assert_string_equal(client_rig_asked(&rig), "LOGIN Ann by 1 secret|");
    client_rig_error(&rig, 2, GY_CHAT_REFUSED, false, 0);
    assert_string_equal(rig.told, "not-in refused|");
    client_rig_close(&rig);
}

static void a_server_that_ends_it_is_told_with_its_reason(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_connect(&rig);
    client_rig_error(&rig, 0, GY_CHAT_VERSION, true, 0);
    assert_string_equal(rig.told, "ended version|");
    client_rig_welcome(&rig);
    assert_string_equal(rig.told, "ended version|"); /* nothing more is read */
    client_rig_close(&rig);
}

static void a_server_that_breaks_the_protocol_is_left(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } bad[] = {
        {"\0\1\0\1", 4},                          /* a length beyond everything */
        {"\0\0\0\3", 4},                          /* less than a head */
        {"\0\0\0\4\x42\0\0\0", 8},                /* OK before WELCOME */
        {"\0\0\0\5\x41\0\0\0\1", 9},              /* WELCOME that is cut */
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28}, /* another protocol */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        client_rig_open(&rig);
        client_rig_connect(&rig);
        client_rig_say(&rig, bad[i].bytes, bad[i].length);
        assert_string_equal(rig.told, "broken|");
        assert_int_equal(rig.last, 0);
        client_rig_close(&rig);
    }
}

static void frames_that_are_not_known_are_skipped_unless_they_must_be(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    client_rig_say(&rig, "\0\0\0\5\x7f\0\0\0x", 9);
    client_rig_message(&rig, 1, 0);
    assert_string_equal(rig.told, "1 x|");
    client_rig_say(&rig, "\0\0\0\5\x7f\1\0\0x", 9);
    assert_string_equal(rig.told, "1 x|broken|");
    client_rig_close(&rig);
}

/* ---- rooms and ids ---- */

static void history_comes_before_what_is_said_now(void **state)
{
    (void)state;
    for (uint32_t piece = 0; piece < 8; piece++) {
        client_rig_open(&rig);
        rig.piece = piece;
        gy_chat_client_join(&rig.client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 2);
        client_rig_connect(&rig);
        client_rig_welcome(&rig);
        client_rig_identity(&rig, "");
        client_rig_asked(&rig);
        client_rig_joined(&rig, 1, 10);
        client_rig_message(&rig, 9, rig.tag);
        client_rig_message(&rig, 11, 0); /* said meanwhile */
        client_rig_message(&rig, 10, rig.tag);
        client_rig_end(&rig, rig.tag);
        client_rig_message(&rig, 12, 0);
        assert_string_equal(rig.told, "in|joined|-9 x|11 x|-10 x|up|12 x|");
        client_rig_close(&rig);
    }
}

static void it_resumes_from_the_last_id(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 10);
    client_rig_message(&rig, 11, 0);
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    assert_string_equal(client_rig_asked(&rig), "HELLO|LOGIN Ann by 0 |JOIN lobby since 11|");
    client_rig_joined(&rig, 1, 13);
    client_rig_message(&rig, 12, rig.tag);
    client_rig_message(&rig, 12, rig.tag); /* a server that repeats itself */
    client_rig_message(&rig, 13, rig.tag);
    client_rig_message(&rig, 11, 0);
    client_rig_end(&rig, rig.tag);
    assert_string_equal(rig.told, "11 x|in|joined|-12 x|-13 x|up|");
    assert_int_equal(rig.client.counters.duplicates, 2);
    client_rig_close(&rig);
}

static void a_connection_that_breaks_within_the_history_resumes_there(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 10);
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    client_rig_asked(&rig);
    client_rig_joined(&rig, 1, 20);
    client_rig_message(&rig, 11, rig.tag);
    client_rig_message(&rig, 12, rig.tag);
    client_rig_message(&rig, 21, 0); /* live: 13 to 20 are still to come */
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    assert_string_equal(client_rig_asked(&rig), "HELLO|LOGIN Ann by 0 |JOIN lobby since 12|");
    client_rig_close(&rig);
}

static void an_empty_room_is_resumed_from_its_beginning(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    assert_string_equal(client_rig_asked(&rig), "HELLO|LOGIN Ann by 0 |JOIN lobby since 0|");
    client_rig_close(&rig);
}

static void a_gap_that_the_server_reports_is_one_event(void **state)
{
    (void)state;
    static const struct gy_chat_frame gap = {
        .type = GY_CHAT_GAP, .body.gap = {.room = 7, .first = 11, .last = 20, .why = 1}};
    client_rig_open(&rig);
    client_rig_enter(&rig, 10);
    client_rig_answer(&rig, &gap);
    client_rig_message(&rig, 21, 0);
    client_rig_answer(&rig, &gap);
    rig.now_ns += 10000 * MS;
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 0);
    assert_string_equal(rig.told, "gap 11-20 1|21 x|");
    client_rig_close(&rig);
}

static void a_hole_in_the_ids_is_reported_after_a_while(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 10);
    client_rig_message(&rig, 14, 0);
    uint64_t deadline = gy_chat_client_deadline(&rig.client);
    assert_true(deadline == rig.now_ns + 3000 * MS);
    client_rig_message(&rig, 12, 0);
    assert_int_equal(gy_chat_client_expire(&rig.client, deadline - 1, &rig.event), 0);
    assert_int_equal(gy_chat_client_expire(&rig.client, deadline, &rig.event), 1);
    client_rig_note(&rig);
    rig.now_ns = deadline + 3000 * MS;
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 1);
    client_rig_note(&rig);
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 0);
    assert_string_equal(rig.told, "14 x|12 x|gap 11-11 0|gap 13-13 0|");
    /* Given up is given up: no duplicate, though. */
    client_rig_message(&rig, 13, 0);
    assert_int_equal(rig.client.counters.duplicates, 1);
    client_rig_close(&rig);
}

static void many_holes_are_bounded_and_nothing_comes_twice(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    for (uint64_t id = 2; id <= 40; id += 2) {
        client_rig_message(&rig, id, 0);
        client_rig_message(&rig, id, 0);
    }
    assert_int_equal(rig.rooms[0].hole_count, GY_CHAT_CLIENT_HOLES);
    /* Those beyond the bound are one range, in which what was seen may come again. */
    for (uint64_t id = 1; id <= 13; id += 2) {
        client_rig_message(&rig, id, 0);
        client_rig_message(&rig, id, 0);
    }
    assert_int_equal(rig.client.counters.messages, 20 + 7);
    client_rig_close(&rig);
}

static void a_server_with_another_history_is_no_end_of_messages(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 1000);
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    client_rig_asked(&rig);
    client_rig_joined(&rig, 1, 3);
    client_rig_end(&rig, rig.tag);
    client_rig_message(&rig, 4, 0);
    assert_string_equal(rig.told, "in|reset|up|4 x|");
    client_rig_close(&rig);
}

static void a_room_that_is_refused_refuses_what_is_said_there(void **state)
{
    (void)state;
    client_rig_open(&rig);
    gy_chat_client_join(&rig.client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    assert_int_equal(say("one"), 0);
    assert_int_equal(say("two"), 0);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    client_rig_asked(&rig);
    client_rig_error(&rig, rig.tag, GY_CHAT_FORBIDDEN, false, 0);
    client_rig_turn(&rig);
    assert_string_equal(rig.told, "in|not-joined forbidden|refused 100|refused 101|");
    assert_int_equal(say("three"), GY_ENOTFOUND);
    assert_int_equal(gy_chat_client_waiting(&rig.client), 0);
    /* It is asked for again only when somebody says so. */
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    assert_string_equal(client_rig_asked(&rig), "HELLO|LOGIN Ann by 0 |");
    gy_chat_client_join(&rig.client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    gy_chat_client_flush(&rig.client, rig.now_ns);
    assert_string_equal(client_rig_asked(&rig), "JOIN lobby 0|");
    client_rig_close(&rig);
}

static void a_join_that_is_too_fast_is_tried_again(void **state)
{
    (void)state;
    client_rig_open(&rig);
    gy_chat_client_join(&rig.client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    client_rig_asked(&rig);
    client_rig_error(&rig, rig.tag, GY_CHAT_TOO_FAST, false, 500);
    assert_string_equal(client_rig_asked(&rig), "");
    rig.now_ns += 500 * MS;
    assert_true(gy_chat_client_deadline(&rig.client) == rig.now_ns);
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 0);
    assert_string_equal(client_rig_asked(&rig), "JOIN lobby 0|");
    client_rig_close(&rig);
}

static void who_is_kicked_does_not_come_back_by_itself(void **state)
{
    (void)state;
    static const struct gy_chat_frame came = {
        .type = GY_CHAT_CAME,
        .body.came = {.room = 7, .what = 3, .nick = {"Ann", 3}, .other = {"Eve", 3}}};
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    client_rig_answer(&rig, &came);
    assert_string_equal(rig.told, "not-joined forbidden|");
    client_rig_drop(&rig);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    assert_null(strstr(client_rig_asked(&rig), "JOIN"));
    client_rig_close(&rig);
}

static void places_are_bounded_and_given_back(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    client_rig_open(&rig);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(gy_chat_client_join(&rig.client, gy_chat_text_of(names[i]), GY_CHAT_SPILL,
                                             GY_CHAT_NONE, 0),
                         i);
    }
    assert_int_equal(gy_chat_client_join(&rig.client, gy_chat_text_of("e"), 0, 0, 0), GY_ELIMIT);
    assert_int_equal(gy_chat_client_join(&rig.client, gy_chat_text_of("b"), 0, 0, 0), 1);
    assert_int_equal(gy_chat_client_leave(&rig.client, 1), 0);
    assert_int_equal(gy_chat_client_leave(&rig.client, 1), GY_ENOTFOUND);
    assert_int_equal(gy_chat_client_join(&rig.client, gy_chat_text_of("e"), 0, 0, 0), 1);
    assert_int_equal(gy_chat_client_join(&rig.client, gy_chat_text_of(""), 0, 0, 0), GY_EINVAL);
    client_rig_close(&rig);
}

/* ---- asking ---- */

static void what_is_asked_is_answered_with_its_tag(void **state)
{
    (void)state;
    struct gy_chat_frame ask = {.type = GY_CHAT_HISTORY,
                                .body.history = {.by = 2, .point = 5, .max = 2}};
    uint16_t tag;
    client_rig_open(&rig);
    assert_int_equal(gy_chat_client_ask(&rig.client, &ask, &tag), GY_ESTATE);
    client_rig_enter(&rig, 10);
    ask.body.history.room = gy_chat_client_number(&rig.client, 0);
    assert_int_equal(ask.body.history.room, 7);
    assert_int_equal(gy_chat_client_ask(&rig.client, &ask, &tag), 0);
    client_rig_message(&rig, 4, tag);
    client_rig_message(&rig, 3, tag);
    client_rig_end(&rig, tag);
    client_rig_error(&rig, tag, GY_CHAT_ABSENT, false, 0);
    assert_string_equal(rig.told, "answer MESSAGE|answer MESSAGE|answer END|answer ERROR|");
    assert_true(rig.rooms[0].seen == 10);
    client_rig_close(&rig);
}

/* ---- deadlines ---- */

static void a_server_that_does_not_let_us_in_is_left(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_connect(&rig);
    rig.now_ns = gy_chat_client_deadline(&rig.client);
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 1);
    client_rig_note(&rig);
    assert_string_equal(rig.told, "broken|");
    client_rig_close(&rig);
}

static void a_silent_server_is_asked_and_then_left(void **state)
{
    (void)state;
    static const struct gy_chat_frame pong = {.type = GY_CHAT_PONG, .tag = 1};
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    rig.now_ns += 45000 * MS;
    assert_true(gy_chat_client_deadline(&rig.client) == rig.now_ns);
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 0);
    assert_string_equal(client_rig_asked(&rig), "PING|");
    client_rig_answer(&rig, &pong);
    rig.now_ns += 45000 * MS;
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 0);
    rig.now_ns += 15000 * MS;
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 1);
    client_rig_note(&rig);
    assert_string_equal(rig.told, "broken|");
    client_rig_close(&rig);
}

static void the_servers_ping_is_answered(void **state)
{
    (void)state;
    static const struct gy_chat_frame probe = {.type = GY_CHAT_PROBE, .body.probe.any = {"abc", 3}};
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    client_rig_answer(&rig, &probe);
    assert_string_equal(client_rig_asked(&rig), "PONG|");
    client_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_greets_logs_in_and_joins),
        cmocka_unit_test(its_hello_is_as_the_page_says),
        cmocka_unit_test(it_comes_back_by_its_token),
        cmocka_unit_test(a_token_that_is_too_long_is_not_kept),
        cmocka_unit_test(it_registers_or_logs_in_where_it_did_before),
        cmocka_unit_test(a_server_that_ends_it_is_told_with_its_reason),
        cmocka_unit_test(a_server_that_breaks_the_protocol_is_left),
        cmocka_unit_test(frames_that_are_not_known_are_skipped_unless_they_must_be),
        cmocka_unit_test(history_comes_before_what_is_said_now),
        cmocka_unit_test(it_resumes_from_the_last_id),
        cmocka_unit_test(a_connection_that_breaks_within_the_history_resumes_there),
        cmocka_unit_test(an_empty_room_is_resumed_from_its_beginning),
        cmocka_unit_test(a_gap_that_the_server_reports_is_one_event),
        cmocka_unit_test(a_hole_in_the_ids_is_reported_after_a_while),
        cmocka_unit_test(many_holes_are_bounded_and_nothing_comes_twice),
        cmocka_unit_test(a_server_with_another_history_is_no_end_of_messages),
        cmocka_unit_test(a_room_that_is_refused_refuses_what_is_said_there),
        cmocka_unit_test(a_join_that_is_too_fast_is_tried_again),
        cmocka_unit_test(who_is_kicked_does_not_come_back_by_itself),
        cmocka_unit_test(places_are_bounded_and_given_back),
        cmocka_unit_test(what_is_asked_is_answered_with_its_tag),
        cmocka_unit_test(a_server_that_does_not_let_us_in_is_left),
        cmocka_unit_test(a_silent_server_is_asked_and_then_left),
        cmocka_unit_test(the_servers_ping_is_answered),
    };
    return cmocka_run_group_tests_name("chat client", tests, NULL, NULL);
}
