/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The connection: pipelines, backpressure, deadlines, draining, ends, bounds. */

#include "tests/http/probe_case.h"

static void an_idle_connection_is_small_and_holds_nothing(void **state)
{
    (void)state;
    assert_true(sizeof(struct gy_h1) <= 128);
    rig_say(&rig, GET(""));
    assert_int_equal(rig.exchanges.used, 0);
    assert_int_equal(rig.links.used, 0);
    assert_int_equal(rig.buffers, 0);
    assert_null(rig.h1.exchange);
}

/* ---- pipelines ---------------------------------------------------------------------------------
 */

static void a_pipeline_is_answered_in_one_turn_as_one_slice(void **state)
{
    (void)state;
    rig.holds_output = true;
    for (int i = 0; i < 16; i++) {
        rig_append(&rig, GET(""), strlen(GET("")));
    }
    rig_turn(&rig);
    assert_int_equal(rig.env.counters.requests, 16);
    assert_int_equal(rig.out.count, 1);
    assert_int_equal(rig.out.length, 16 * strlen(OK_RESPONSE));
}

static void requests_behind_an_unanswered_one_wait_in_the_input(void **state)
{
    (void)state;
    probe.request = keep;
    rig_say(&rig, GET("") GET("") GET(""));
    assert_int_equal(rig.env.counters.requests, 1);
    assert_int_equal(rig.in.length, 2 * strlen(GET("")));
    struct gy_http_exchange *first = probe.exchange;
    probe.request = NULL;
    uint32_t wakes = rig.wakes;
    gy_http_answer(first, 200, "text/plain", "ok", 2);
    assert_int_equal(rig.wakes, wakes + 1);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_RESPONSE OK_RESPONSE OK_RESPONSE);
}

static void reading_stops_when_too_much_waits_behind_an_unanswered_request(void **state)
{
    (void)state;
    rig.env.limits.pipeline_bytes = 100;
    probe.request = keep;
    rig_say(&rig, GET(""));
    assert_true((rig.wants & GY_H1_READ) != 0);
    rig_say(&rig, GET("") GET("") GET(""));
    assert_true((rig.wants & GY_H1_READ) == 0);
}

static void a_peer_that_does_not_read_stops_the_pipeline(void **state)
{
    (void)state;
    rig.env.limits.output_high = 1000;
    rig.holds_output = true;
    for (int i = 0; i < 100; i++) {
        rig_append(&rig, GET(""), strlen(GET("")));
    }
    rig_turn(&rig);
    assert_true(rig.out.length > 1000 && rig.out.length < 1000 + 200);
    assert_int_equal(rig.wants, GY_H1_ROOM);
    assert_true(gy_h1_deadline(&rig.h1) == GY_H1_NO_DEADLINE);
    rig.holds_output = false;
    rig_turn(&rig);
    assert_int_equal(rig.env.counters.requests, 100);
    assert_int_equal(rig.wants, GY_H1_READ | GY_H1_IDLE);
}

static int pull_endless(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                        uint32_t budget)
{
    (void)exchange;
    char bytes[512];
    memset(bytes, 'e', sizeof bytes);
    uint32_t length = budget < sizeof bytes ? budget : (uint32_t)sizeof bytes;
    gy_chain_append(out, rig_slice(p->rig, bytes, length));
    p->number++;
    return GY_HTTP_MORE;
}

static void begin(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)p;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = GY_HTTP_UNKNOWN};
    gy_http_respond(exchange, &response);
}

static void pulling_stops_at_the_high_water_mark(void **state)
{
    (void)state;
    rig.env.limits.output_high = 4096;
    rig.holds_output = true;
    probe.request = begin;
    probe.pull = pull_endless;
    rig_say(&rig, GET(""));
    assert_true(rig.out.length >= 4096 && rig.out.length < 4096 + 100);
    assert_true((rig.wants & GY_H1_ROOM) != 0);
    uint64_t pulls = probe.number;
    rig_turn(&rig);
    assert_int_equal(probe.number, pulls);
    gy_chain_consume(&rig.out, rig.out.length);
    rig_turn(&rig);
    assert_true(probe.number > pulls);
}

/* ---- deadlines ----------------------------------------------------------------------------------
 */

static void expire_at(uint64_t now_ns)
{
    rig.now_ns = now_ns;
    gy_h1_expire(&rig.h1, now_ns);
    rig_turn(&rig);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    assert_true(gy_h1_deadline(&rig.h1) == 60 * RIG_SECOND);
    expire_at(60 * RIG_SECOND - 1);
    assert_true((rig.wants & GY_H1_CLOSE) == 0);
    expire_at(60 * RIG_SECOND);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
    assert_int_equal(rig.sent_bytes, 0);
}

static void the_idle_deadline_counts_from_the_last_answer(void **state)
{
    (void)state;
    rig.now_ns = 7 * RIG_SECOND;
    rig_say(&rig, GET(""));
    assert_true(gy_h1_deadline(&rig.h1) == 67 * RIG_SECOND);
}

static void a_slow_head_gets_408(void **state)
{
    (void)state;
    rig.now_ns = 5 * RIG_SECOND;
    rig_say(&rig, "GET / HT");
    assert_true(gy_h1_deadline(&rig.h1) == 15 * RIG_SECOND);
    rig.now_ns = 14 * RIG_SECOND;
    rig_say(&rig, "TP/1.1\r\n"); /* more bytes, the same deadline */
    assert_true(gy_h1_deadline(&rig.h1) == 15 * RIG_SECOND);
    expire_at(15 * RIG_SECOND);
    assert_memory_equal(rig.sent, "HTTP/1.1 408 Request Timeout\r\n", 30);
    assert_int_equal(rig.env.counters.refused[GY_H1_REFUSED_TIMEOUT], 1);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void a_body_without_progress_gets_408(void **state)
{
    (void)state;
    rig_say(&rig, POST("Content-Length: 1000\r\n"));
    assert_true(gy_h1_deadline(&rig.h1) == 30 * RIG_SECOND);
    rig.now_ns = 10 * RIG_SECOND;
    rig_say(&rig, "a trickle");
    assert_true(gy_h1_deadline(&rig.h1) == 30 * RIG_SECOND);
    expire_at(30 * RIG_SECOND);
    assert_memory_equal(rig.sent, "HTTP/1.1 408 ", 13);
    assert_int_equal(probe.reason, GY_ETIMEOUT);
}

static void a_body_with_progress_goes_on(void **state)
{
    (void)state;
    char body[256];
    memset(body, 'b', sizeof body);
    rig_say(&rig, POST("Content-Length: 1000\r\n"));
    rig.now_ns = 10 * RIG_SECOND;
    rig_feed(&rig, body, sizeof body);
    assert_true(gy_h1_deadline(&rig.h1) == 40 * RIG_SECOND);
}

static void a_waiting_handler_has_no_deadline(void **state)
{
    (void)state;
    probe.request = keep;
    rig_say(&rig, GET(""));
    assert_true(gy_h1_deadline(&rig.h1) == GY_H1_NO_DEADLINE);
}

static struct gy_chain kept;

static void keep_bytes(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *bytes,
                       bool end)
{
    (void)exchange, (void)p, (void)end;
    assert_int_equal(gy_chain_move(bytes, &kept, bytes->length), 0);
}

static void the_bodys_wait_begins_anew_when_credit_is_given(void **state)
{
    (void)state;
    gy_chain_init(&kept, &rig.links);
    rig.env.limits.body_window = 4;
    probe.request = keep;
    probe.body = keep_bytes;
    rig_say(&rig, POST("Content-Length: 1000\r\n") "1234");
    assert_true(gy_h1_deadline(&rig.h1) == GY_H1_NO_DEADLINE);
    rig.now_ns = 20 * RIG_SECOND;
    gy_http_consume(probe.exchange, 100);
    rig_turn(&rig);
    assert_true(gy_h1_deadline(&rig.h1) == 50 * RIG_SECOND);
    gy_chain_clear(&kept);
}

static void forbid(struct gy_http_exchange *exchange, struct probe *p)
{
    (void)p;
    gy_http_answer(exchange, 403, NULL, NULL, 0);
}

static void a_slow_rest_behind_an_early_answer_is_closed_without_a_word(void **state)
{
    (void)state;
    probe.request = forbid;
    rig_say(&rig, POST("Content-Length: 1000\r\n"));
    size_t sent = rig.sent_bytes;
    expire_at(30 * RIG_SECOND);
    assert_int_equal(rig.sent_bytes, sent);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
    assert_int_equal(probe.closes, 1);
}

/* ---- draining -----------------------------------------------------------------------------------
 */

static void draining_closes_an_idle_connection(void **state)
{
    (void)state;
    gy_h1_drain(&rig.h1, rig.now_ns, 0);
    assert_true((gy_h1_wants(&rig.h1, &rig.in) & GY_H1_CLOSE) != 0);
    rig_say(&rig, GET(""));
    assert_int_equal(rig.env.counters.requests, 0);
}

static void draining_with_patience_answers_one_more_request(void **state)
{
    (void)state;
    gy_h1_drain(&rig.h1, rig.now_ns, 5000);
    assert_true((gy_h1_wants(&rig.h1, &rig.in) & GY_H1_CLOSE) == 0);
    assert_true(gy_h1_deadline(&rig.h1) == rig.now_ns + 5 * RIG_SECOND);
    rig_say(&rig, GET("") GET(""));
    assert_int_equal(rig.env.counters.requests, 1);
    assert_non_null(strstr(rig.sent, "Connection: close\r\n"));
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void patience_ends(void **state)
{
    (void)state;
    gy_h1_drain(&rig.h1, rig.now_ns, 5000);
    expire_at(rig.now_ns + 5 * RIG_SECOND);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
    assert_int_equal(rig.sent_bytes, 0);
}

static void draining_lets_the_request_under_way_finish(void **state)
{
    (void)state;
    probe.request = keep;
    rig_say(&rig, GET("") GET(""));
    gy_h1_drain(&rig.h1, rig.now_ns, 0);
    assert_true((gy_h1_wants(&rig.h1, &rig.in) & GY_H1_CLOSE) == 0);
    gy_http_answer(probe.exchange, 200, "text/plain", "ok", 2);
    rig_turn(&rig);
    assert_int_equal(rig.env.counters.requests, 1);
    assert_non_null(strstr(rig.sent, "Connection: close\r\n"));
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static int pull_when_told(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                          uint32_t budget)
{
    (void)exchange, (void)budget;
    if (p->number == 0) {
        return GY_HTTP_WAIT;
    }
    gy_chain_append(out, rig_slice(p->rig, "later", 5));
    return GY_HTTP_END;
}

/* Who was told that the connection goes on may have sent the next request when the response ends.
 */
static void draining_within_a_response_answers_one_more_request(void **state)
{
    (void)state;
    probe.request = keep;
    probe.pull = pull_when_told;
    rig_say(&rig, GET(""));
    struct gy_http_exchange *exchange = probe.exchange;
    gy_http_respond(exchange, &(struct gy_http_response){
                                  .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 5});
    rig_turn(&rig);
    assert_null(strstr(rig.sent, "Connection: close\r\n"));
    gy_h1_drain(&rig.h1, rig.now_ns, 5000);
    rig.now_ns += 20 * RIG_SECOND;
    probe.number = 1;
    gy_http_wake(exchange);
    rig_turn(&rig);
    assert_non_null(strstr(rig.sent, "later"));
    assert_true((rig.wants & GY_H1_CLOSE) == 0);
    assert_true(gy_h1_deadline(&rig.h1) == rig.now_ns + 5 * RIG_SECOND);
    probe.request = NULL;
    rig_say(&rig, GET("") GET(""));
    assert_int_equal(rig.env.counters.requests, 2);
    assert_non_null(strstr(rig.sent, "Connection: close\r\n"));
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void patience_begins_when_the_response_has_left(void **state)
{
    (void)state;
    rig.holds_output = true;
    rig_say(&rig, GET(""));
    gy_h1_drain(&rig.h1, rig.now_ns, 5000);
    expire_at(rig.now_ns + 5 * RIG_SECOND);
    assert_true((gy_h1_wants(&rig.h1, &rig.in) & GY_H1_CLOSE) == 0);
    assert_true(gy_h1_deadline(&rig.h1) == rig.now_ns + 5 * RIG_SECOND);
    rig.holds_output = false;
    rig_turn(&rig);
    assert_non_null(strstr(rig.sent, "200 OK"));
    expire_at(rig.now_ns + 5 * RIG_SECOND);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void draining_waits_for_a_head_that_has_begun(void **state)
{
    (void)state;
    rig_say(&rig, "GET / HTTP/1.1\r\nHost:");
    gy_h1_drain(&rig.h1, rig.now_ns, 0);
    rig_say(&rig, " a\r\n\r\n");
    assert_non_null(strstr(rig.sent, "Connection: close\r\n"));
    assert_int_equal(rig.env.counters.responses[2], 1);
}

/* ---- ends ---------------------------------------------------------------------------------------
 */

static void a_lost_connection_ends_the_exchange_once(void **state)
{
    (void)state;
    probe.request = keep;
    rig_say(&rig, GET(""));
    gy_h1_close(&rig.h1, GY_ECLOSED);
    gy_h1_close(&rig.h1, GY_ECLOSED);
    assert_string_equal(probe.log, "request GET / closed -6");
    assert_int_equal(rig.exchanges.used, 0);
}

static void input_behind_a_close_is_discarded(void **state)
{
    (void)state;
    rig_say(&rig, "NONSENSE\r\n\r\n");
    assert_true((rig.wants & GY_H1_LINGER) != 0);
    rig_say(&rig, GET(""));
    assert_int_equal(rig.in.length, 0);
    assert_int_equal(rig.env.counters.requests, 0);
}

static void a_half_closed_peer_still_gets_a_late_answer(void **state)
{
    (void)state;
    probe.request = keep;
    rig_say(&rig, GET(""));
    rig_end(&rig);
    assert_int_equal(probe.closes, 0);
    assert_int_equal(rig.wants, 0);
    gy_http_answer(probe.exchange, 200, "text/plain", "ok", 2);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_RESPONSE);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static void a_refusal_says_in_a_sentence_what_was_wrong(void **state)
{
    (void)state;
    rig_say(&rig, GET("X : y\r\n"));
    assert_string_equal(
        rig.sent, "HTTP/1.1 400 Bad Request\r\n" COMMON
                  "Content-Type: text/plain\r\nContent-Length: 56\r\nConnection: close\r\n\r\n"
                  "There is whitespace between a field name and its colon.\n");
}

static void a_refused_head_request_has_no_body(void **state)
{
    (void)state;
    rig_say(&rig, "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n");
    size_t end = rig.sent_bytes;
    assert_memory_equal(rig.sent + end - 4, "\r\n\r\n", 4);
    assert_memory_equal(rig.sent, "HTTP/1.1 417 ", 13);
}

static void every_refusal_has_a_name_a_status_and_a_sentence(void **state)
{
    (void)state;
    for (int i = 1; i < GY_H1_REFUSAL_COUNT; i++) {
        enum gy_h1_refusal refusal = (enum gy_h1_refusal)i;
        assert_true(strlen(gy_h1_refusal_name(refusal)) > 0);
        assert_uint_in_range(gy_h1_refusal_status(refusal), 400, 505);
        const char *text = gy_h1_refusal_text(refusal);
        assert_int_equal(text[strlen(text) - 1], '.');
        assert_true(strlen(gy_http_reason(gy_h1_refusal_status(refusal))) > 0);
    }
}

/* ---- bounds of memory
 * ------------------------------------------------------------------------------ */

static void more_active_requests_than_exchanges_get_503(void **state)
{
    (void)state;
    probe.request = keep;
    void *taken[2] = {gy_slab_take(&rig.exchanges), gy_slab_take(&rig.exchanges)};
    rig_say(&rig, GET(""));
    assert_memory_equal(rig.sent, "HTTP/1.1 503 Service Unavailable\r\n", 34);
    assert_int_equal(rig.env.counters.refused[GY_H1_REFUSED_BUSY], 1);
    gy_slab_give(&rig.exchanges, taken[0]);
    gy_slab_give(&rig.exchanges, taken[1]);
}

static void without_output_memory_requests_wait(void **state)
{
    (void)state;
    rig_close(&rig);
    rig_open_sized(&rig, &probe_handler, &probe, (struct rig_size){1, 1, 64});
    /* The only block is held by somebody else's answer. */
    assert_non_null(gy_bump_reserve(&rig.bump, GY_BUMP_BLOCK_BYTES));
    struct gy_slice held = gy_bump_slice(&rig.bump, GY_BUMP_BLOCK_BYTES);
    rig_say(&rig, GET(""));
    assert_int_equal(rig.wants, GY_H1_RETRY);
    assert_int_equal(rig.env.counters.starved, 1);
    assert_true(gy_h1_deadline(&rig.h1) == GY_H1_NO_DEADLINE);
    gy_slice_drop(held);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_RESPONSE);
}

static void without_links_requests_wait(void **state)
{
    (void)state;
    rig_close(&rig);
    rig_open_sized(&rig, &probe_handler, &probe, (struct rig_size){1, 2, 8});
    struct gy_chain other;
    gy_chain_init(&other, &rig.links);
    for (int i = 0; i < 6; i++) {
        gy_chain_append(&other, rig_slice(&rig, "x", 1));
    }
    rig_say(&rig, GET(""));
    assert_int_equal(rig.wants, GY_H1_RETRY);
    gy_chain_clear(&other);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_RESPONSE);
}

static void an_answer_without_memory_ends_the_exchange(void **state)
{
    (void)state;
    rig_close(&rig);
    rig_open_sized(&rig, &probe_handler, &probe, (struct rig_size){1, 1, 64});
    probe.request = keep;
    rig_say(&rig, GET(""));
    uint32_t left = GY_BUMP_BLOCK_BYTES - rig.bump.fill;
    assert_non_null(gy_bump_reserve(&rig.bump, left));
    struct gy_slice held = gy_bump_slice(&rig.bump, left);
    assert_int_equal(gy_http_answer(probe.exchange, 200, NULL, NULL, 0), GY_ENOBUFS);
    rig_turn(&rig);
    assert_int_equal(probe.reason, GY_ENOBUFS);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
    gy_slice_drop(held);
}

static void counters_of_an_ordinary_day(void **state)
{
    (void)state;
    rig_say(&rig, GET("") POST("Content-Length: 5\r\n") "hello");
    rig_say(&rig, "NONSENSE\r\n\r\n");
    assert_int_equal(rig.env.counters.connections, 1);
    assert_int_equal(rig.env.counters.requests, 2);
    assert_int_equal(rig.env.counters.responses[2], 2);
    assert_int_equal(rig.env.counters.responses[4], 1);
    assert_int_equal(rig.env.counters.refused[GY_H1_REFUSED_REQUEST_LINE], 1);
    assert_int_equal(rig.env.counters.body_bytes_in, 5);
}

static void the_last_request_of_a_connection_says_so(void **state)
{
    (void)state;
    rig.env.limits.requests = 2;
    rig_say(&rig, GET(""));
    assert_null(strstr(rig.sent, "Connection:"));
    rig_forget(&rig);
    rig_say(&rig, GET("") GET(""));
    assert_non_null(strstr(rig.sent, "Connection: close\r\n"));
    assert_int_equal(rig.env.counters.requests, 2);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void the_date_is_the_one_that_was_set_last(void **state)
{
    (void)state;
    gy_h1_env_date(&rig.env, "Thu, 01 Jan 1970 00:00:00 GMT");
    rig_say(&rig, GET(""));
    assert_non_null(strstr(rig.sent, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: gyre\r\n"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_idle_connection_is_small_and_holds_nothing),
        CASE(a_pipeline_is_answered_in_one_turn_as_one_slice),
        CASE(requests_behind_an_unanswered_one_wait_in_the_input),
        CASE(reading_stops_when_too_much_waits_behind_an_unanswered_request),
        CASE(a_peer_that_does_not_read_stops_the_pipeline),
        CASE(pulling_stops_at_the_high_water_mark),
        CASE(an_idle_connection_is_closed_without_a_word),
        CASE(the_idle_deadline_counts_from_the_last_answer),
        CASE(a_slow_head_gets_408),
        CASE(a_body_without_progress_gets_408),
        CASE(a_body_with_progress_goes_on),
        CASE(a_waiting_handler_has_no_deadline),
        CASE(the_bodys_wait_begins_anew_when_credit_is_given),
        CASE(a_slow_rest_behind_an_early_answer_is_closed_without_a_word),
        CASE(draining_closes_an_idle_connection),
        CASE(draining_with_patience_answers_one_more_request),
        CASE(patience_ends),
        CASE(draining_lets_the_request_under_way_finish),
        CASE(draining_within_a_response_answers_one_more_request),
        CASE(patience_begins_when_the_response_has_left),
        CASE(draining_waits_for_a_head_that_has_begun),
        CASE(a_lost_connection_ends_the_exchange_once),
        CASE(input_behind_a_close_is_discarded),
        CASE(a_half_closed_peer_still_gets_a_late_answer),
        CASE(a_refusal_says_in_a_sentence_what_was_wrong),
        CASE(a_refused_head_request_has_no_body),
        CASE(every_refusal_has_a_name_a_status_and_a_sentence),
        CASE(more_active_requests_than_exchanges_get_503),
        CASE(without_output_memory_requests_wait),
        CASE(without_links_requests_wait),
        CASE(an_answer_without_memory_ends_the_exchange),
        CASE(counters_of_an_ordinary_day),
        CASE(the_last_request_of_a_connection_says_so),
        CASE(the_date_is_the_one_that_was_set_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
