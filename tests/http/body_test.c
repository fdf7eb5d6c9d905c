/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Request bodies: delivery, flow control, 100 (Continue), trailers, what is left unread. */

#include "tests/http/probe_case.h"

static void a_body_by_length_is_delivered_with_its_end(void **state)
{
    (void)state;
    rig_say(&rig, POST("Content-Length: 5\r\n") "hello");
    assert_string_equal(probe.log, "request POST / body 5 end closed 0");
    assert_string_equal(probe.bodies, "hello");
    assert_string_equal(rig.sent, OK_RESPONSE);
}

static void a_body_is_delivered_as_it_arrives(void **state)
{
    (void)state;
    rig_say(&rig, POST("Content-Length: 5\r\n") "he");
    assert_string_equal(probe.log, "request POST / body 2");
    rig_say(&rig, "llo" GET(""));
    assert_string_equal(probe.log, "request POST / body 2 body 3 end closed 0 "
                                   "request GET / closed 0");
}

static void chunks_that_came_together_are_delivered_together(void **state)
{
    (void)state;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n");
    assert_string_equal(probe.log, "request POST / body 5 end closed 0");
    assert_string_equal(probe.bodies, "hello");
}

static void body_bytes_are_not_copied(void **state)
{
    (void)state;
    char body[3000];
    memset(body, 'b', sizeof body);
    rig_say(&rig, POST("Content-Length: 3000\r\n"));
    uint64_t copied = rig.env.counters.copied_bytes;
    rig_feed(&rig, body, sizeof body);
    assert_int_equal(rig.env.counters.copied_bytes - copied, 2); /* the answer's "ok" */
    assert_int_equal(rig.env.counters.body_bytes_in, 3000);
}

static void an_empty_chunked_body_has_an_end(void **state)
{
    (void)state;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "0\r\n\r\n");
    assert_string_equal(probe.log, "request POST / end closed 0");
}

static void trailers_come_before_the_end(void **state)
{
    (void)state;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "2\r\nab\r\n0\r\nChecksum:  1 \r\nHost: "
                                                         "b\r\nTook: 5\r\n\r\n");
    assert_string_equal(probe.log,
                        "request POST / body 2 trailer Checksum=1 trailer Took=5 end closed 0");
}

static void a_handler_without_body_callback_has_it_discarded(void **state)
{
    (void)state;
    static struct gy_http_handler handler;
    handler = probe_handler;
    handler.body = NULL;
    rig.env.handler = &handler;
    probe.request = keep;
    rig_say(&rig, POST("Content-Length: 5\r\n") "hello");
    assert_string_equal(probe.log, "request POST /");
    gy_http_answer(probe.exchange, 200, "text/plain", "ok", 2);
    rig_say(&rig, GET(""));
    assert_string_equal(probe.log, "request POST / closed 0 request GET /");
}

/* ---- flow control
 * -------------------------------------------------------------------------------- */

static struct gy_chain kept;

static void keep_bytes(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *bytes,
                       bool end)
{
    (void)exchange, (void)p, (void)end;
    assert_int_equal(gy_chain_move(bytes, &kept, bytes->length), 0);
}

static void reading_stops_when_the_window_is_used_up(void **state)
{
    (void)state;
    char body[1000];
    memset(body, 'b', sizeof body);
    gy_chain_init(&kept, &rig.links);
    rig.env.limits.body_window = 300;
    probe.request = keep;
    probe.body = keep_bytes;
    rig_say(&rig, POST("Content-Length: 1000\r\n"));
    assert_true((rig.wants & GY_H1_READ) != 0);
    rig_feed(&rig, body, 1000);
    assert_string_equal(probe.log, "request POST / body 300");
    assert_true((rig.wants & GY_H1_READ) == 0);
    assert_true(gy_h1_deadline(&rig.h1) == GY_H1_NO_DEADLINE);

    gy_chain_consume(&kept, 200);
    gy_http_consume(probe.exchange, 200);
    rig_turn(&rig);
    assert_string_equal(probe.log, "request POST / body 300 body 200");
    gy_http_consume(probe.exchange, 10000);
    rig_turn(&rig);
    assert_string_equal(probe.log, "request POST / body 300 body 200 body 500 end");
    gy_chain_clear(&kept);
}

static void bytes_left_in_the_chain_give_their_credit_back(void **state)
{
    (void)state;
    char body[1000];
    memset(body, 'b', sizeof body);
    rig.env.limits.body_window = 300;
    rig_say(&rig, POST("Content-Length: 1000\r\n"));
    rig_feed(&rig, body, 1000);
    assert_string_equal(probe.log,
                        "request POST / body 300 body 300 body 300 body 100 end closed 0");
}

/* The end of a chunked body needs no credit: a handler that collects a whole window gets it. */
static void the_end_comes_through_a_window_that_is_used_up(void **state)
{
    (void)state;
    gy_chain_init(&kept, &rig.links);
    rig.env.limits.body_window = 5;
    probe.request = keep;
    probe.body = keep_bytes;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "5\r\nhello\r\n");
    assert_true((rig.wants & GY_H1_READ) != 0);
    rig_say(&rig, "0\r\n\r\n");
    assert_string_equal(probe.log, "request POST / body 5 end");
    gy_chain_clear(&kept);
}

static void defer(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)p;
    gy_http_defer_body(exchange);
}

static void a_deferred_body_is_not_read(void **state)
{
    (void)state;
    probe.request = defer;
    rig_say(&rig, POST("Content-Length: 5\r\n") "hello");
    assert_string_equal(probe.log, "request POST /");
    assert_true((rig.wants & GY_H1_READ) == 0);
    gy_http_consume(probe.exchange, 3);
    rig_turn(&rig);
    assert_string_equal(probe.log, "request POST / body 3 body 2 end");
}

static void a_deferred_chunked_body_is_not_read(void **state)
{
    (void)state;
    probe.request = defer;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "0\r\n\r\n");
    assert_string_equal(probe.log, "request POST /");
    assert_true((rig.wants & GY_H1_READ) == 0);
    gy_http_consume(probe.exchange, 3);
    rig_turn(&rig);
    assert_string_equal(probe.log, "request POST / end");
}

/* ---- 100 (Continue), RFC 9110 §10.1.1
 * ------------------------------------------------------------- */

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

static void continue_is_sent_when_the_handler_waits_for_the_body(void **state)
{
    (void)state;
    rig_say(&rig, POST("Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert_string_equal(rig.sent, CONTINUE);
    rig_say(&rig, "hello");
    assert_string_equal(rig.sent, CONTINUE OK_RESPONSE);
}

static void continue_waits_for_a_deferred_body_to_be_wanted(void **state)
{
    (void)state;
    probe.request = defer;
    rig_say(&rig, POST("Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert_int_equal(rig.sent_bytes, 0);
    gy_http_consume(probe.exchange, 100);
    rig_turn(&rig);
    assert_string_equal(rig.sent, CONTINUE);
}

static void forbid(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)p;
    gy_http_answer(exchange, 403, NULL, NULL, 0);
}

static void no_continue_when_answered_at_once_and_the_connection_closes(void **state)
{
    (void)state;
    probe.request = forbid;
    rig_say(&rig, POST("Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert_string_equal(rig.sent, "HTTP/1.1 403 Forbidden\r\n" COMMON
                                  "Content-Length: 0\r\nConnection: close\r\n\r\n");
    rig_say(&rig, GET("")); /* may be the body, may be a request: never answered */
    assert_string_equal(probe.log, "request POST / closed 0");
}

static void continue_by_the_handlers_own_hand_is_not_repeated(void **state)
{
    (void)state;
    probe.request = defer;
    rig_say(&rig, POST("Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert_int_equal(gy_http_inform(probe.exchange, 100, NULL, 0), 0);
    gy_http_consume(probe.exchange, 100);
    rig_say(&rig, "hello");
    assert_string_equal(rig.sent, CONTINUE);
}

/* ---- limits -------------------------------------------------------------------------------------
 */

static void a_handlers_own_limit_replaces_the_transports(void **state)
{
    (void)state;
    static struct gy_http_handler handler;
    handler = probe_handler;
    handler.body_max = 4;
    rig.env.handler = &handler;
    rig_say(&rig, POST("Content-Length: 5\r\n"));
    assert_memory_equal(rig.sent, "HTTP/1.1 413 Content Too Large\r\n", 32);
    assert_string_equal(probe.log, "");
}

static void a_chunked_body_over_the_limit_ends_the_exchange(void **state)
{
    (void)state;
    rig.env.limits.body_bytes = 8;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "5\r\nhello\r\n4\r\n");
    assert_memory_equal(rig.sent, "HTTP/1.1 413 ", 13);
    assert_int_equal(probe.reason, GY_ELIMIT);
}

static void a_broken_chunk_ends_the_exchange(void **state)
{
    (void)state;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "5\r\nhelloX");
    assert_memory_equal(rig.sent, "HTTP/1.1 400 ", 13);
    assert_string_equal(probe.log, "request POST / body 5 closed -5");
    assert_int_equal(probe.reason, GY_EPROTO);
    assert_int_equal(rig.wants, GY_H1_CLOSE | GY_H1_LINGER | GY_H1_READ);
}

static int pull_wait(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                     uint32_t budget)
{
    (void)exchange, (void)p, (void)out, (void)budget;
    return GY_HTTP_WAIT;
}

static void begin(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)p;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = GY_HTTP_UNKNOWN};
    gy_http_respond(exchange, &response);
}

static void a_broken_chunk_within_an_answer_cuts_it(void **state)
{
    (void)state;
    probe.request = begin;
    probe.pull = pull_wait;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "Z");
    assert_string_equal(rig.sent,
                        "HTTP/1.1 200 OK\r\n" COMMON "Transfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(probe.reason, GY_EPROTO);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void the_peer_gone_within_a_body(void **state)
{
    (void)state;
    rig_say(&rig, POST("Content-Length: 5\r\n") "he");
    rig_end(&rig);
    assert_int_equal(probe.reason, GY_ECLOSED);
    assert_int_equal(rig.env.counters.refused[GY_H1_REFUSED_INCOMPLETE], 1);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

/* ---- answers before the body's end
 * ---------------------------------------------------------------- */

static void a_short_rest_is_discarded_and_the_connection_persists(void **state)
{
    (void)state;
    probe.request = forbid;
    rig_say(&rig, POST("Content-Length: 5\r\n") "he");
    assert_string_equal(rig.sent, "HTTP/1.1 403 Forbidden\r\n" COMMON "Content-Length: 0\r\n\r\n");
    assert_string_equal(probe.log, "request POST / closed 0");
    probe.request = NULL;
    rig_say(&rig, "llo" GET(""));
    assert_string_equal(probe.log, "request POST / closed 0 request GET / closed 0");
}

static void a_short_chunked_rest_is_discarded(void **state)
{
    (void)state;
    probe.request = forbid;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "5\r\nhe");
    probe.request = NULL;
    rig_say(&rig, "llo\r\n0\r\nX: y\r\n\r\n" GET(""));
    assert_string_equal(probe.log, "request POST / closed 0 request GET / closed 0");
}

static void a_long_rest_closes_the_connection(void **state)
{
    (void)state;
    probe.request = forbid;
    rig_say(&rig, POST("Content-Length: 100000\r\n"));
    assert_string_equal(rig.sent, "HTTP/1.1 403 Forbidden\r\n" COMMON
                                  "Content-Length: 0\r\nConnection: close\r\n\r\n");
}

static void a_chunked_rest_is_discarded_up_to_a_bound(void **state)
{
    (void)state;
    rig.env.limits.drain_bytes = 100;
    probe.request = forbid;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n"));
    for (int i = 0; i < 12; i++) {
        rig_say(&rig, "a\r\n0123456789\r\n");
    }
    assert_int_equal(rig.wants, GY_H1_CLOSE | GY_H1_LINGER | GY_H1_READ);
    assert_int_equal(rig.env.counters.refused[GY_H1_REFUSED_BODY_LIMIT], 0);
}

static void answer_at_body(struct gy_http_exchange *exchange, struct probe *p,
                           struct gy_chain *bytes, bool end)
{
    (void)p, (void)bytes, (void)end;
    gy_http_answer(exchange, 200, "text/plain", "ok", 2);
}

static void an_answer_within_body_ends_delivery(void **state)
{
    (void)state;
    probe.request = keep;
    probe.body = answer_at_body;
    rig_say(&rig, POST("Content-Length: 5\r\n") "he");
    rig_say(&rig, "llo");
    assert_string_equal(probe.log, "request POST / body 2 closed 0");
    assert_true((rig.wants & GY_H1_IDLE) != 0);
}

static void cancel_at_body(struct gy_http_exchange *exchange, struct probe *p,
                           struct gy_chain *bytes, bool end)
{
    (void)p, (void)bytes, (void)end;
    gy_http_cancel(exchange, GY_ELIMIT);
}

static void a_cancel_within_body_ends_delivery(void **state)
{
    (void)state;
    probe.request = keep;
    probe.body = cancel_at_body;
    rig_say(&rig, POST("Transfer-Encoding: chunked\r\n") "2\r\nhe\r\n0\r\nX: y\r\n\r\n");
    assert_string_equal(probe.log, "request POST / body 2 closed -3");
    assert_memory_equal(rig.sent, "HTTP/1.1 500 ", 13);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_body_by_length_is_delivered_with_its_end),
        CASE(a_body_is_delivered_as_it_arrives),
        CASE(chunks_that_came_together_are_delivered_together),
        CASE(body_bytes_are_not_copied),
        CASE(an_empty_chunked_body_has_an_end),
        CASE(trailers_come_before_the_end),
        CASE(a_handler_without_body_callback_has_it_discarded),
        CASE(reading_stops_when_the_window_is_used_up),
        CASE(bytes_left_in_the_chain_give_their_credit_back),
        CASE(the_end_comes_through_a_window_that_is_used_up),
        CASE(a_deferred_body_is_not_read),
        CASE(a_deferred_chunked_body_is_not_read),
        CASE(continue_is_sent_when_the_handler_waits_for_the_body),
        CASE(continue_waits_for_a_deferred_body_to_be_wanted),
        CASE(no_continue_when_answered_at_once_and_the_connection_closes),
        CASE(continue_by_the_handlers_own_hand_is_not_repeated),
        CASE(a_handlers_own_limit_replaces_the_transports),
        CASE(a_chunked_body_over_the_limit_ends_the_exchange),
        CASE(a_broken_chunk_ends_the_exchange),
        CASE(a_broken_chunk_within_an_answer_cuts_it),
        CASE(the_peer_gone_within_a_body),
        CASE(a_short_rest_is_discarded_and_the_connection_persists),
        CASE(a_short_chunked_rest_is_discarded),
        CASE(a_long_rest_closes_the_connection),
        CASE(a_chunked_rest_is_discarded_up_to_a_bound),
        CASE(an_answer_within_body_ends_delivery),
        CASE(a_cancel_within_body_ends_delivery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
