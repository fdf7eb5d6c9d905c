/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Pings, and what is not waited for any longer. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/websocket/ws_rig.h"

#define MS UINT64_C(1000000)

static struct ws_rig rig;
static struct gy_ws_event event;

static void a_silent_peer_is_pinged_then_given_up(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    assert_int_equal(gy_ws_deadline(&rig.ws), 30000 * MS);
    assert_int_equal(gy_ws_expire(&rig.ws, 30000 * MS - 1, &event), 0);
    assert_int_equal(rig.out.length, 0);
    assert_int_equal(gy_ws_expire(&rig.ws, 30000 * MS, &event), 0);
    ws_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, 2);
    assert_memory_equal(rig.sent, "\x89\x00", 2);
    assert_int_equal(gy_ws_deadline(&rig.ws), 50000 * MS);
    assert_int_equal(gy_ws_expire(&rig.ws, 50000 * MS, &event), 1);
    assert_int_equal(event.type, GY_WS_CLOSED);
    assert_int_equal(event.code, GY_WS_ABNORMAL);
    assert_true(event.failed);
    assert_true(gy_ws_wants(&rig.ws) & GY_WS_WANT_CLOSE);
    assert_int_equal(gy_ws_deadline(&rig.ws), GY_WS_NO_DEADLINE);
    ws_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, 2);
    ws_rig_close(&rig);
}

static void whatever_the_peer_says_shows_that_it_is_there(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    gy_ws_expire(&rig.ws, 30000 * MS, &event);
    rig.now_ns = 40000 * MS;
    ws_rig_say(&rig, "\x8a", 1); /* the first byte of a Pong */
    assert_int_equal(gy_ws_deadline(&rig.ws), 70000 * MS);
    ws_rig_close(&rig);
}

static void no_pings_without_a_time_for_them(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    rig.env.limits.ping_ms = 0;
    assert_int_equal(gy_ws_deadline(&rig.ws), GY_WS_NO_DEADLINE);
    ws_rig_close(&rig);
}

static void a_message_must_come_within_its_time(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    uint8_t wire[16];
    size_t bytes = ws_rig_frame(wire, 0x01, "a", 1, true);
    rig.now_ns = 1000 * MS;
    ws_rig_say(&rig, wire, bytes);
    for (uint64_t at = 2000; at < 61000; at += 5000) {
        rig.now_ns = at * MS;
        bytes = ws_rig_frame(wire, 0x00, "b", 1, true);
        ws_rig_say(&rig, wire, bytes);
        assert_int_equal(gy_ws_expire(&rig.ws, at * MS, &event), 0);
    }
    assert_int_equal(gy_ws_deadline(&rig.ws), 61000 * MS);
    assert_int_equal(gy_ws_expire(&rig.ws, 61000 * MS, &event), 1);
    assert_int_equal(event.code, GY_WS_POLICY);
    ws_rig_flush(&rig);
    assert_memory_equal(rig.sent + 2, "\x03\xf0", 2);
    assert_int_equal(rig.links.used, 0);
    ws_rig_close(&rig);
}

static void a_close_that_is_not_answered(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    assert_int_equal(gy_ws_close(&rig.ws, 1000, NULL, 7000 * MS), 0);
    assert_int_equal(gy_ws_deadline(&rig.ws), 12000 * MS);
    assert_int_equal(gy_ws_expire(&rig.ws, 12000 * MS, &event), 1);
    assert_int_equal(event.code, GY_WS_ABNORMAL);
    assert_true(gy_ws_wants(&rig.ws) & GY_WS_WANT_CLOSE);
    assert_int_equal(rig.env.counters.timeouts, 1);
    ws_rig_close(&rig);
}

static void a_peer_that_keeps_the_stream_open(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    rig.now_ns = 1000 * MS;
    ws_rig_say(&rig, "\x88\x80\0\0\0\0", 6);
    assert_string_equal(rig.told, "close 1005 |");
    assert_int_equal(gy_ws_wants(&rig.ws), GY_WS_WANT_END);
    assert_int_equal(gy_ws_expire(&rig.ws, 6000 * MS, &event), 0);
    assert_int_equal(gy_ws_wants(&rig.ws), GY_WS_WANT_END | GY_WS_WANT_CLOSE);
    ws_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_peer_is_pinged_then_given_up),
        cmocka_unit_test(whatever_the_peer_says_shows_that_it_is_there),
        cmocka_unit_test(no_pings_without_a_time_for_them),
        cmocka_unit_test(a_message_must_come_within_its_time),
        cmocka_unit_test(a_close_that_is_not_answered),
        cmocka_unit_test(a_peer_that_keeps_the_stream_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
