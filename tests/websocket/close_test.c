/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Closing (RFC 6455 §7), of either side, with the input whole and cut at every byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/websocket/frames_rig.h"

static void a_close_is_answered(void **state)
{
    (void)state;
    begin();
    FRAME(0x81, "a");
    FRAME(0x88, "\x03\xe8"
                "bye");
    FRAME(0x81, "never read");
    FRAME(0x89, "nor this");
    EXPECT("text a|close 1000 bye|", "\x88\x02\x03\xe8");
}

static void a_close_without_a_code(void **state)
{
    (void)state;
    begin();
    FRAME(0x88, "");
    EXPECT("close 1005 |", "\x88\x00");
}

static void a_close_within_a_message(void **state)
{
    (void)state;
    begin();
    FRAME(0x01, "half");
    FRAME(0x88, "\x03\xe9");
    EXPECT("close 1001 |", "\x88\x02\x03\xe9");
}

static void half_a_code_is_refused(void **state)
{
    (void)state;
    begin();
    FRAME(0x88, "\x03");
    expect_failure("fail 1002 |", 1002);
}

static void codes_that_may_not_be_sent(void **state)
{
    (void)state;
    static const uint16_t bad[] = {0,    999,  1004, 1005, 1006, 1015,
                                   1016, 1100, 2000, 2999, 5000, 65535};
    static const uint16_t good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                    1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t code[2] = {(uint8_t)(bad[i] >> 8), (uint8_t)bad[i]};
        begin();
        frame(0x88, code, 2);
        expect_failure("fail 1002 |", 1002);
        assert_false(gy_ws_code_may_be_sent(bad[i]));
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint8_t sent[4] = {0x88, 2, (uint8_t)(good[i] >> 8), (uint8_t)good[i]};
        char told[32];
        snprintf(told, sizeof told, "close %u |", good[i]);
        begin();
        frame(0x88, sent + 2, 2);
        expect_bytes(told, sent, 4);
    }
}

static void a_reason_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    begin();
    FRAME(0x88, "\x03\xe8\xce\xba\xed\xa0\x80");
    expect_failure("fail 1007 |", 1007);
}

static void a_reason_of_123_bytes(void **state)
{
    (void)state;
    char payload[126] = "\x03\xe8";
    memset(payload + 2, '*', 124);
    begin();
    frame(0x88, payload, 125);
    ws_rig_open(&rig, false);
    ws_rig_say(&rig, wire, wire_bytes);
    assert_memory_equal(rig.told, "close 1000 *", 12);
    assert_int_equal(rig.told_bytes, 11 + 123 + 1);
    ws_rig_close(&rig);
    begin();
    frame(0x88, payload, 126);
    expect_failure("fail 1002 |", 1002);
}

static void our_close_waits_for_theirs(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    assert_int_equal(gy_ws_close(&rig.ws, 1001, "going", 0), 0);
    assert_int_equal(gy_ws_close(&rig.ws, 1001, "going", 0), GY_ESTATE);
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "no", 2), GY_ESTATE);
    assert_int_equal(gy_ws_wants(&rig.ws), 0);
    begin();
    FRAME(0x81, "too late");
    FRAME(0x89, "not answered");
    FRAME(0x88, "\x03\xe9");
    ws_rig_say(&rig, wire, wire_bytes);
    assert_string_equal(rig.told, "ping not answered|close 1001 |");
    assert_int_equal(rig.sent_bytes, 9);
    assert_memory_equal(rig.sent, "\x88\x07\x03\xe9going", 9);
    assert_int_equal(gy_ws_wants(&rig.ws), GY_WS_WANT_END);
    ws_rig_close(&rig);
}

static void a_close_of_ours_must_make_sense(void **state)
{
    (void)state;
    char reason[125];
    memset(reason, 'r', 124);
    reason[124] = 0;
    ws_rig_open(&rig, false);
    assert_int_equal(gy_ws_close(&rig.ws, 1006, NULL, 0), GY_EINVAL);
    assert_int_equal(gy_ws_close(&rig.ws, 1000, reason, 0), GY_EINVAL);
    assert_int_equal(gy_ws_close(&rig.ws, GY_WS_NO_CODE, "why", 0), GY_EINVAL);
    assert_int_equal(gy_ws_close(&rig.ws, 1000, reason + 1, 0), 0);
    ws_rig_close(&rig);
}

static void a_client_lets_the_server_end_the_stream(void **state)
{
    (void)state;
    ws_rig_open(&rig, true);
    assert_int_equal(gy_ws_close(&rig.ws, GY_WS_NO_CODE, NULL, 0), 0);
    ws_rig_say(&rig, "\x88\x00", 2);
    assert_string_equal(rig.told, "close 1005 |");
    assert_int_equal(gy_ws_wants(&rig.ws), 0);
    assert_int_equal(gy_ws_deadline(&rig.ws), UINT64_C(5000000000));
    ws_rig_close(&rig);
}

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_close_is_answered),
        CASE(a_close_without_a_code),
        CASE(a_close_within_a_message),
        CASE(half_a_code_is_refused),
        CASE(codes_that_may_not_be_sent),
        CASE(a_reason_that_is_not_utf8_is_refused),
        CASE(a_reason_of_123_bytes),
        CASE(our_close_waits_for_theirs),
        CASE(a_close_of_ours_must_make_sense),
        CASE(a_client_lets_the_server_end_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
