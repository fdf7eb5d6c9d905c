/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Bodies that are pulled from the handler, trailers, and answers that are given up. */

#include "tests/http/probe_case.h"

#define OK_HEAD(length) "HTTP/1.1 200 OK\r\n" COMMON "Content-Length: " #length "\r\n\r\n"

static int must_not_pull(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                         uint32_t budget)
{
    (void)exchange, (void)p, (void)out, (void)budget;
    fail();
    return GY_HTTP_END;
}

/* ---- pulled bodies
 * -------------------------------------------------------------------------------- */

/* Hands out probe->number bytes, at most 1000 at a time. */
static int pull_some(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                     uint32_t budget)
{
    (void)exchange;
    char bytes[1000];
    memset(bytes, 'p', sizeof bytes);
    size_t length = p->number < sizeof bytes ? p->number : sizeof bytes;
    length = length < budget ? length : budget;
    assert_int_equal(gy_chain_append(out, rig_slice(p->rig, bytes, length)), 0);
    p->number -= length;
    return p->number == 0 ? GY_HTTP_END : GY_HTTP_MORE;
}

static void a_pulled_body_of_known_length(void **state)
{
    (void)state;
    probe.pull = pull_some;
    probe.number = 200000;
    struct gy_http_exchange *exchange = ask(GET(""));
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 200000};
    gy_http_respond(exchange, &response);
    rig_turn(&rig);
    assert_int_equal(rig.sent_bytes, strlen(OK_HEAD(200000)) + 200000);
    assert_int_equal(probe.reason, 0);
    assert_true((rig.wants & GY_H1_IDLE) != 0);
}

static void a_pulled_body_of_unknown_length_is_chunked(void **state)
{
    (void)state;
    probe.pull = pull_some;
    probe.number = 1010;
    struct gy_http_exchange *exchange = ask(GET(""));
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = GY_HTTP_UNKNOWN};
    gy_http_respond(exchange, &response);
    rig_turn(&rig);
    char body[1001];
    memset(body, 'p', 1000);
    body[1000] = 0;
    char expected[2000];
    snprintf(expected, sizeof expected,
             "HTTP/1.1 200 OK\r\n" COMMON
             "Transfer-Encoding: chunked\r\n\r\n3e8\r\n%s\r\na\r\npppppppppp\r\n0\r\n\r\n",
             body);
    assert_string_equal(rig.sent, expected);
}

static void an_unknown_length_to_http10_ends_with_the_connection(void **state)
{
    (void)state;
    probe.pull = pull_some;
    probe.number = 5;
    struct gy_http_exchange *exchange = ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = GY_HTTP_UNKNOWN};
    gy_http_respond(exchange, &response);
    rig_turn(&rig);
    assert_string_equal(rig.sent, "HTTP/1.1 200 OK\r\n" COMMON "Connection: close\r\n\r\nppppp");
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

static void a_pulled_body_waits_until_it_is_woken(void **state)
{
    (void)state;
    probe.pull = pull_when_told;
    struct gy_http_exchange *exchange = ask(GET(""));
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 5};
    gy_http_respond(exchange, &response);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_HEAD(5));
    rig_turn(&rig);
    probe.number = 1;
    rig_turn(&rig); /* not asked again: it waits */
    assert_string_equal(rig.sent, OK_HEAD(5));
    uint32_t wakes = rig.wakes;
    gy_http_wake(exchange);
    assert_int_equal(rig.wakes, wakes + 1);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_HEAD(5) "later");
}

static int pull_trailers(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                         uint32_t budget)
{
    (void)budget;
    gy_chain_append(out, rig_slice(p->rig, "body", 4));
    const struct gy_http_header trailers[] = {GY_HTTP_HEADER("Checksum", "1234"),
                                              GY_HTTP_HEADER("Took", "5ms")};
    assert_int_equal(gy_http_trailers(exchange, trailers, 2), 0);
    return GY_HTTP_END;
}

static void trailers_follow_a_chunked_body(void **state)
{
    (void)state;
    probe.pull = pull_trailers;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = GY_HTTP_UNKNOWN};
    answered(GET(""), &response,
             "HTTP/1.1 200 OK\r\n" COMMON "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"
             "Checksum: 1234\r\nTook: 5ms\r\n\r\n");
}

static void trailers_are_dropped_behind_a_known_length(void **state)
{
    (void)state;
    probe.pull = pull_trailers;
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 4};
    answered(GET(""), &response, OK_HEAD(4) "body");
}

static void trailers_without_a_pulled_body_are_refused(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET(""));
    const struct gy_http_header trailer = GY_HTTP_HEADER("Checksum", "1234");
    assert_int_equal(gy_http_trailers(exchange, &trailer, 1), GY_ESTATE);
}

static int pull_too_much(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                         uint32_t budget)
{
    (void)exchange, (void)budget;
    gy_chain_append(out, rig_slice(p->rig, "too much", 8));
    return GY_HTTP_MORE;
}

static void more_than_the_promised_length_is_never_sent(void **state)
{
    (void)state;
    probe.pull = pull_too_much;
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 5};
    answered(GET(""), &response, OK_HEAD(5));
    assert_int_equal(probe.reason, GY_EINVAL);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static void less_than_the_promised_length_cuts_the_connection(void **state)
{
    (void)state;
    probe.pull = pull_some;
    probe.number = 3;
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 5};
    answered(GET(""), &response, OK_HEAD(5) "ppp");
    assert_int_equal(probe.reason, GY_EINVAL);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static int pull_fails(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                      uint32_t budget)
{
    (void)exchange, (void)p, (void)out, (void)budget;
    return GY_EIO;
}

static void a_failing_pull_cuts_a_chunked_body_before_its_end(void **state)
{
    (void)state;
    probe.pull = pull_fails;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = GY_HTTP_UNKNOWN};
    answered(GET(""), &response, "HTTP/1.1 200 OK\r\n" COMMON "Transfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(probe.reason, GY_EIO);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static void a_pulled_body_of_length_zero_is_not_pulled(void **state)
{
    (void)state;
    probe.pull = must_not_pull;
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL};
    answered(GET(""), &response, OK_HEAD(0));
    assert_int_equal(probe.reason, 0);
}

static int pull_wakes_itself(struct gy_http_exchange *exchange, struct probe *p,
                             struct gy_chain *out, uint32_t budget)
{
    (void)budget;
    if (++p->number < 3) {
        gy_http_wake(exchange);
        return GY_HTTP_WAIT;
    }
    gy_chain_append(out, rig_slice(p->rig, "later", 5));
    return GY_HTTP_END;
}

/* A wake within `pull` is not lost, and does not keep one turn going for ever. */
static void waking_within_pull_asks_again_in_another_turn(void **state)
{
    (void)state;
    probe.pull = pull_wakes_itself;
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 5};
    answered(GET(""), &response, OK_HEAD(5) "later");
    assert_int_equal(probe.number, 3);
}

static void cancel_before_an_answer_is_a_500(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET(""));
    gy_http_cancel(exchange, GY_EIO);
    assert_int_equal(probe.closes, 0);
    rig_turn(&rig);
    assert_memory_equal(rig.sent, "HTTP/1.1 500 ", 13);
    assert_int_equal(probe.reason, GY_EIO);
    assert_int_equal(rig.env.counters.cancelled, 1);
}

static void cancel_within_an_answer_cuts_it(void **state)
{
    (void)state;
    probe.pull = pull_when_told;
    struct gy_http_exchange *exchange = ask(GET(""));
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 5};
    gy_http_respond(exchange, &response);
    rig_turn(&rig);
    gy_http_cancel(exchange, GY_EIO);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_HEAD(5));
    assert_int_equal(probe.reason, GY_EIO);
    assert_int_equal(rig.wants, GY_H1_CLOSE);
}

static void cancel_after_a_whole_answer_is_nothing(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET(""));
    gy_http_answer(exchange, 200, "text/plain", "ok", 2);
    gy_http_cancel(exchange, GY_EIO);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_RESPONSE);
    assert_int_equal(probe.reason, 0);
}

/* ---- how much is pulled ahead of the peer
 * -------------------------------------------------------- */

/* A body that is in memory: the output then has `mark` bytes, and its head at most. */
static void pulled_to(uint32_t mark, uint32_t output_memory)
{
    rig.env.limits.output_high = 4096;
    rig.env.limits.output_memory = output_memory;
    rig.holds_output = true;
    probe.pull = pull_some;
    probe.number = 200000;
    struct gy_http_exchange *exchange = ask(GET(""));
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .in_memory = 1, .body.length = 200000};
    gy_http_respond(exchange, &response);
    rig_turn(&rig);
    assert_int_equal(rig.out.length, mark);
    assert_true((rig.wants & GY_H1_ROOM) != 0);
}

static void of_a_body_in_memory_more_is_pulled_ahead(void **state)
{
    (void)state;
    pulled_to(16384, 16384);
}

static void a_lower_mark_for_a_body_in_memory_changes_nothing(void **state)
{
    (void)state;
    pulled_to(4096, 4095);
}

static void with_half_of_the_links_in_use_no_more_than_usual_is_pulled(void **state)
{
    (void)state;
    struct gy_chain other;
    gy_chain_init(&other, &rig.links);
    while (rig.links.used < rig.links.capacity / 2) {
        assert_int_equal(gy_chain_append(&other, rig_slice(&rig, "x", 1)), 0);
    }
    pulled_to(4096, 16384);
    gy_chain_clear(&other);
    rig_turn(&rig);
    assert_int_equal(rig.out.length, 16384);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_pulled_body_of_known_length),
        CASE(a_pulled_body_of_unknown_length_is_chunked),
        CASE(an_unknown_length_to_http10_ends_with_the_connection),
        CASE(a_pulled_body_waits_until_it_is_woken),
        CASE(trailers_follow_a_chunked_body),
        CASE(trailers_are_dropped_behind_a_known_length),
        CASE(trailers_without_a_pulled_body_are_refused),
        CASE(more_than_the_promised_length_is_never_sent),
        CASE(less_than_the_promised_length_cuts_the_connection),
        CASE(a_failing_pull_cuts_a_chunked_body_before_its_end),
        CASE(a_pulled_body_of_length_zero_is_not_pulled),
        CASE(of_a_body_in_memory_more_is_pulled_ahead),
        CASE(a_lower_mark_for_a_body_in_memory_changes_nothing),
        CASE(with_half_of_the_links_in_use_no_more_than_usual_is_pulled),
        CASE(waking_within_pull_asks_again_in_another_turn),
        CASE(cancel_before_an_answer_is_a_500),
        CASE(cancel_within_an_answer_cuts_it),
        CASE(cancel_after_a_whole_answer_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
