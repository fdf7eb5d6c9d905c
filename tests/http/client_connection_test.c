/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The client's connection over HTTP/1.1: kept, pipelined, given up, turned into a tunnel. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/http/client_rig.h"

#define OK "HTTP/1.1 200 OK\r\n"

/* ---- the connection -------------------------------------------------------------------------- */

static void the_connection_is_kept_when_both_sides_will(void **state)
{
    (void)state;
    static const struct {
        const char *response;
        bool kept;
    } cases[] = {
        {OK "Content-Length: 0\r\n\r\n", true},
        {OK "Content-Length: 0\r\nConnection: close\r\n\r\n", false},
        {OK "Content-Length: 0\r\nConnection: foo, CLOSE\r\n\r\n", false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct crig *rig = crig_open();
        crig_ask(rig, "GET");
        crig_hear(rig, cases[i].response);
        assert_int_equal(rig->last_reason, 0);
        assert_int_equal(gy_h1_client_ready(&rig->client, GY_HTTP_GET, false), cases[i].kept);
        assert_int_equal((rig->wants & GY_H1_CLOSE) == 0, cases[i].kept);
        crig_close(rig);
    }
}

static void a_second_request_follows_on_the_same_connection(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    assert_int_equal(crig_ask(rig, "GET"), GY_ESTATE);
    crig_hear(rig, OK "Content-Length: 1\r\n\r\na");
    assert_int_equal(crig_ask(rig, "POST"), 0);
    crig_hear(rig, OK "Content-Length: 1\r\n\r\nb");
    assert_string_equal(rig->told, "<200 OK{Content-Length=1}>[a]end done; "
                                   "<200 OK{Content-Length=1}>[b]end done; ");
    crig_close(rig);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    rig->env.pipeline = 3;
    assert_int_equal(crig_ask(rig, "GET"), 0);
    assert_int_equal(crig_ask(rig, "HEAD"), 0);
    assert_int_equal(crig_ask(rig, "GET"), 0);
    assert_int_equal(crig_ask(rig, "GET"), GY_ESTATE);
    crig_hear(rig, OK "Content-Length: 1\r\n\r\na" OK "Content-Length: 9\r\n\r\n" OK
                      "Content-Length: 1\r\n\r\nc");
    assert_string_equal(rig->told, "<200 OK{Content-Length=1}>[a]end done; "
                                   "<200 OK{Content-Length=9}>done; "
                                   "<200 OK{Content-Length=1}>[c]end done; ");
    crig_close(rig);
}

static void only_idempotent_requests_are_pipelined(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    rig->env.pipeline = 3;
    crig_ask(rig, "GET");
    assert_false(gy_h1_client_ready(&rig->client, GY_HTTP_POST, false));
    assert_true(gy_h1_client_ready(&rig->client, GY_HTTP_PUT, false));
    assert_false(gy_h1_client_ready(&rig->client, GY_HTTP_PUT, true));
    crig_close(rig);
}

static void what_was_not_answered_can_be_told(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    rig->env.pipeline = 2;
    crig_ask(rig, "GET");
    crig_ask(rig, "GET");
    crig_hear(rig, OK "Content-Length: 1\r\nConnection: close\r\n\r\na");
    assert_string_equal(rig->told, "<200 OK{Content-Length=1|Connection=close}>[a]end done; "
                                   "failed 6; ");
    assert_true(rig->last_unanswered);
    crig_close(rig);
    rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, "H");
    crig_end(rig);
    assert_int_equal(rig->last_reason, GY_ECLOSED);
    assert_false(rig->last_unanswered);
    crig_close(rig);
}

static void a_body_cut_short_is_no_whole_response(void **state)
{
    (void)state;
    static const char *const cases[] = {
        OK "Content-Length: 5\r\n\r\nhell",
        OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    };
    for (size_t i = 0; i < 3; i++) {
        struct crig *rig = crig_open();
        crig_ask(rig, "GET");
        crig_hear(rig, cases[i]);
        crig_end(rig);
        assert_int_equal(rig->last_reason, GY_ECLOSED);
        assert_string_equal(gy_h1_client_breach(&rig->client),
                            "The connection ended within the body of a response.");
        crig_close(rig);
    }
}

static void bytes_that_nobody_asked_for_end_the_connection(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, OK "Content-Length: 1\r\n\r\nabc");
    assert_string_equal(rig->told, "<200 OK{Content-Length=1}>[a]end done; ");
    assert_true(rig->wants & GY_H1_CLOSE);
    assert_string_equal(gy_h1_client_breach(&rig->client),
                        "There are bytes that no request asked for.");
    crig_close(rig);
}

static void an_idle_connection_that_the_server_ends_closes(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    assert_true(crig_turn(rig) & GY_H1_IDLE);
    crig_end(rig);
    assert_true(rig->wants & GY_H1_CLOSE);
    assert_string_equal(rig->told, "");
    crig_close(rig);
}

static void a_paused_call_is_told_nothing(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    rig->pauses = true;
    crig_ask(rig, "GET");
    crig_hear(rig, OK "Content-Length: 3\r\n\r\nabc");
    assert_string_equal(rig->told, "<200 OK{Content-Length=3}>");
    assert_false(rig->wants & GY_H1_READ);
    assert_int_equal(gy_h1_client_deadline(&rig->client), GY_H1_NO_DEADLINE);
    crig_end(rig);
    gy_h1_call_pause(&rig->calls[0], false);
    crig_turn(rig);
    assert_string_equal(rig->told, "<200 OK{Content-Length=3}>[abc]end done; ");
    crig_close(rig);
}

static void a_cancelled_call_ends_with_its_reason(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, OK "Content-Length: 3\r\n\r\na");
    gy_h1_call_cancel(&rig->calls[0], GY_EIO);
    assert_true(rig->woken);
    crig_turn(rig);
    assert_int_equal(rig->last_reason, GY_EIO);
    assert_true(rig->wants & GY_H1_CLOSE);
    crig_close(rig);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void a_silent_server_is_given_up(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    rig->now_ns = CRIG_SECOND;
    assert_int_equal(gy_h1_client_deadline(&rig->client), GY_H1_NO_DEADLINE);
    crig_ask(rig, "GET");
    assert_int_equal(gy_h1_client_deadline(&rig->client), 31 * CRIG_SECOND);
    gy_h1_client_expire(&rig->client, 31 * CRIG_SECOND - 1);
    assert_string_equal(rig->told, "");
    gy_h1_client_expire(&rig->client, 31 * CRIG_SECOND);
    assert_int_equal(rig->last_reason, GY_ETIMEOUT);
    assert_true(gy_h1_client_wants(&rig->client) & GY_H1_CLOSE);
    crig_close(rig);
}

static void a_trickled_body_does_not_move_the_deadline(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, OK "Content-Length: 3000\r\n\r\n");
    uint64_t before = gy_h1_client_deadline(&rig->client);
    rig->now_ns = CRIG_SECOND;
    crig_hear(rig, "x");
    assert_int_equal(gy_h1_client_deadline(&rig->client), before);
    char much[256];
    memset(much, 'x', sizeof much);
    crig_feed(rig, much, sizeof much);
    assert_int_equal(gy_h1_client_deadline(&rig->client), before + CRIG_SECOND);
    crig_close(rig);
}

/* ---- tunnels --------------------------------------------------------------------------------- */

static void an_upgrade_becomes_a_tunnel(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("GET");
    request.upgrade = GY_HTTP_TEXT("websocket");
    rig->pulls = "ping";
    assert_int_equal(crig_send(rig, &request), 0);
    assert_non_null(strstr(rig->sent, "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"));
    crig_hear(rig, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello");
    assert_true(gy_h1_call_is_tunnel(&rig->calls[0]));
    assert_non_null(strstr(rig->sent, "\r\n\r\nping"));
    assert_true(rig->wants & GY_H1_SHUTDOWN);
    crig_end(rig);
    assert_string_equal(rig->told, "<101 Switching Protocols{Upgrade=websocket}>[hello]end done; ");
    crig_close(rig);
}

static void an_upgrade_that_is_not_taken_is_an_ordinary_response(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("GET");
    request.upgrade = GY_HTTP_TEXT("websocket");
    crig_send(rig, &request);
    crig_hear(rig, OK "Content-Length: 1\r\n\r\nx");
    assert_int_equal(rig->last_reason, 0);
    assert_true(rig->wants & GY_H1_IDLE);
    crig_close(rig);
}

static void connect_becomes_a_tunnel_by_any_success(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("CONNECT");
    request.target = request.authority = GY_HTTP_TEXT("server.example.com:80");
    rig->pull_waits = true;
    assert_int_equal(crig_send(rig, &request), 0);
    crig_hear(rig, OK "Content-Length: 3\r\n\r\nabcd");
    assert_true(gy_h1_call_is_tunnel(&rig->calls[0]));
    assert_non_null(strstr(rig->told, "[abcd"));
    crig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_connection_is_kept_when_both_sides_will),
        cmocka_unit_test(a_second_request_follows_on_the_same_connection),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(only_idempotent_requests_are_pipelined),
        cmocka_unit_test(what_was_not_answered_can_be_told),
        cmocka_unit_test(a_body_cut_short_is_no_whole_response),
        cmocka_unit_test(bytes_that_nobody_asked_for_end_the_connection),
        cmocka_unit_test(an_idle_connection_that_the_server_ends_closes),
        cmocka_unit_test(a_paused_call_is_told_nothing),
        cmocka_unit_test(a_cancelled_call_ends_with_its_reason),
        cmocka_unit_test(a_silent_server_is_given_up),
        cmocka_unit_test(a_trickled_body_does_not_move_the_deadline),
        cmocka_unit_test(an_upgrade_becomes_a_tunnel),
        cmocka_unit_test(an_upgrade_that_is_not_taken_is_an_ordinary_response),
        cmocka_unit_test(connect_becomes_a_tunnel_by_any_success),
    };
    return cmocka_run_group_tests_name("http client connection", tests, NULL, NULL);
}
