/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What goes out for what a handler answers. */

#include "tests/http/probe_case.h"

static void fixed_answer(void **state)
{
    (void)state;
    rig_say(&rig, GET(""));
    assert_string_equal(rig.sent, OK_RESPONSE);
    assert_string_equal(probe.log, "request GET / closed 0");
    assert_true((rig.wants & GY_H1_IDLE) != 0);
}

static void fields_come_in_order_between_status_and_framing(void **state)
{
    (void)state;
    const struct gy_http_header headers[] = {GY_HTTP_HEADER("Location", "/x"),
                                             GY_HTTP_HEADER("X-Empty", ""),
                                             GY_HTTP_HEADER("Set-Cookie", "a=\t\"b\xe9\"")};
    answered(GET(""),
             &(struct gy_http_response){.status = 301, .headers = headers, .header_count = 3},
             "HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\nX-Empty: \r\n"
             "Set-Cookie: a=\t\"b\xe9\"\r\n" COMMON "Content-Length: 0\r\n\r\n");
}

static void a_status_without_a_reason(void **state)
{
    (void)state;
    answered(GET(""), &(struct gy_http_response){.status = 299},
             "HTTP/1.1 299 \r\n" COMMON "Content-Length: 0\r\n\r\n");
}

static void date_and_server_of_the_handler_replace_ours(void **state)
{
    (void)state;
    const struct gy_http_header headers[] = {
        GY_HTTP_HEADER("server", "origin"),
        GY_HTTP_HEADER("Date", "Thu, 01 Jan 1970 00:00:00 GMT")};
    answered(GET(""),
             &(struct gy_http_response){.status = 200, .headers = headers, .header_count = 2},
             "HTTP/1.1 200 OK\r\nserver: origin\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
             "Content-Length: 0\r\n\r\n");
}

static void only_the_date_is_replaced(void **state)
{
    (void)state;
    const struct gy_http_header header = GY_HTTP_HEADER("Date", "Thu, 01 Jan 1970 00:00:00 GMT");
    answered(GET(""),
             &(struct gy_http_response){.status = 200, .headers = &header, .header_count = 1},
             "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: gyre\r\n"
             "Content-Length: 0\r\n\r\n");
}

static void no_server_field_without_a_name(void **state)
{
    (void)state;
    struct gy_h1_env *env = &rig.env;
    struct gy_h1_env other;
    assert_int_equal(
        gy_h1_env_init(&other, env->handler, NULL, env->exchanges, env->bump, env->wake, NULL), 0);
    assert_int_equal(other.common_bytes, sizeof "Date: " RIG_DATE "\r\n" - 1);
    assert_int_equal(
        gy_h1_env_init(&other, env->handler, NULL, env->exchanges, env->bump, env->wake, "a\r\nb"),
        GY_EINVAL);
}

/* A handler's mistake must not split the response (RFC 9110 §5.5): the peer gets a 500. */
static void refused_header(struct gy_http_header header)
{
    struct gy_http_exchange *exchange = ask(GET(""));
    assert_int_equal(gy_http_respond(exchange, &(struct gy_http_response){.status = 200,
                                                                          .headers = &header,
                                                                          .header_count = 1}),
                     GY_EINVAL);
    rig_turn(&rig);
    assert_memory_equal(rig.sent, "HTTP/1.1 500 Internal Server Error\r\n", 36);
    assert_int_equal(probe.reason, GY_EINVAL);
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void a_line_end_in_a_value_is_refused(void **state)
{
    (void)state;
    refused_header(GY_HTTP_HEADER("X", "a\r\nSet-Cookie: b=c"));
}

static void a_nul_in_a_value_is_refused(void **state)
{
    (void)state;
    refused_header(GY_HTTP_HEADER("X", "a value that is long enough \0"));
}

static void a_name_that_is_no_token_is_refused(void **state)
{
    (void)state;
    refused_header(GY_HTTP_HEADER("X Y", "a"));
}

static void an_empty_name_is_refused(void **state)
{
    (void)state;
    refused_header(GY_HTTP_HEADER("", "a"));
}

static void framing_fields_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"Content-Length", "TRANSFER-ENCODING", "connection",
                                        "Keep-Alive", "Upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        refused_header((struct gy_http_header){gy_http_text_of(names[i]), GY_HTTP_TEXT("1")});
        rig_close(&rig);
        probe_open(&probe, &rig);
    }
}

static void fields_larger_than_the_output_block_are_refused(void **state)
{
    (void)state;
    char *value = malloc(GY_BUMP_BLOCK_BYTES);
    memset(value, 'v', GY_BUMP_BLOCK_BYTES);
    refused_header((struct gy_http_header){GY_HTTP_TEXT("X"), {value, GY_BUMP_BLOCK_BYTES}});
    free(value);
}

static void a_status_out_of_range_is_refused(void **state)
{
    (void)state;
    static const uint16_t statuses[] = {0, 100, 101, 199, 600, 1000};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct gy_http_exchange *exchange = ask(GET(""));
        struct gy_http_response response = {.status = statuses[i]};
        assert_int_equal(gy_http_respond(exchange, &response), GY_EINVAL);
        rig_turn(&rig);
        rig_close(&rig);
        probe_open(&probe, &rig);
    }
}

static void a_second_answer_is_refused_and_dropped(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(POST("Content-Length: 3\r\n"));
    assert_int_equal(gy_http_answer(exchange, 200, "text/plain", "ok", 2), 0);
    struct gy_http_response second = {
        .status = 200, .kind = GY_HTTP_BODY_SLICE, .body.slice = rig_slice(&rig, "no", 2)};
    assert_int_equal(gy_http_respond(exchange, &second), GY_ESTATE);
    assert_int_equal(rig.buffers, 0);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_RESPONSE);
}

/* ---- kinds of bodies ---------------------------------------------------------------------------
 */

#define OK_HEAD(length) "HTTP/1.1 200 OK\r\n" COMMON "Content-Length: " #length "\r\n\r\n"

static void a_small_slice_is_copied_behind_the_head(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET(""));
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_SLICE, .body.slice = rig_slice(&rig, "hello", 5)};
    uint64_t copied = rig.env.counters.copied_bytes;
    assert_int_equal(gy_http_respond(exchange, &response), 0);
    assert_int_equal(rig.buffers, 0);
    assert_int_equal(rig.out.count, 1);
    assert_int_equal(rig.env.counters.copied_bytes - copied, 5);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_HEAD(5) "hello");
}

static void a_large_slice_is_not_copied(void **state)
{
    (void)state;
    char body[1001];
    memset(body, 'b', 1000);
    body[1000] = 0;
    struct gy_http_exchange *exchange = ask(GET(""));
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_SLICE, .body.slice = rig_slice(&rig, body, 1000)};
    uint64_t copied = rig.env.counters.copied_bytes;
    assert_int_equal(gy_http_respond(exchange, &response), 0);
    assert_int_equal(rig.buffers, 1);
    assert_int_equal(rig.out.count, 2);
    assert_int_equal(rig.env.counters.copied_bytes, copied);
    rig_turn(&rig);
    char expected[2000];
    snprintf(expected, sizeof expected, OK_HEAD(1000) "%s", body);
    assert_string_equal(rig.sent, expected);
    assert_int_equal(rig.buffers, 0);
}

static void a_chain_is_emptied_into_the_response(void **state)
{
    (void)state;
    char body[401];
    memset(body, 'b', 400);
    body[400] = 0;
    struct gy_chain chain;
    gy_chain_init(&chain, &rig.links);
    for (int i = 0; i < 3; i++) {
        gy_chain_append(&chain, rig_slice(&rig, body, 400));
    }
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_CHAIN, .body.chain = &chain};
    char expected[2000];
    snprintf(expected, sizeof expected, OK_HEAD(1200) "%s%s%s", body, body, body);
    answered(GET(""), &response, expected);
    assert_true(gy_chain_empty(&chain));
}

static void a_small_chain_is_copied(void **state)
{
    (void)state;
    struct gy_chain chain;
    gy_chain_init(&chain, &rig.links);
    gy_chain_append(&chain, rig_slice(&rig, "hel", 3));
    gy_chain_append(&chain, rig_slice(&rig, "lo", 2));
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_CHAIN, .body.chain = &chain};
    answered(GET(""), &response, OK_HEAD(5) "hello");
    assert_true(gy_chain_empty(&chain));
    assert_int_equal(rig.buffers, 0);
}

static void a_long_text_is_copied_in_pieces(void **state)
{
    (void)state;
    size_t length = 40000;
    char *body = malloc(length);
    for (size_t i = 0; i < length; i++) {
        body[i] = (char)('a' + i % 26);
    }
    struct gy_http_exchange *exchange = ask(GET(""));
    assert_int_equal(gy_http_answer(exchange, 200, NULL, body, length), 0);
    rig_turn(&rig);
    assert_int_equal(rig.sent_bytes, strlen(OK_HEAD(40000)) + length);
    assert_memory_equal(rig.sent + strlen(OK_HEAD(40000)), body, length);
    free(body);
}

static void an_empty_slice_is_an_empty_body(void **state)
{
    (void)state;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_SLICE, .body.slice = rig_slice(&rig, "", 0)};
    answered(GET(""), &response, OK_HEAD(0));
    assert_int_equal(rig.buffers, 0);
}

/* ---- bodies that are not sent -------------------------------------------------------------------
 */

static void head_gets_the_length_and_no_body(void **state)
{
    (void)state;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_TEXT, .body.text = GY_HTTP_TEXT("hello")};
    answered("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &response, OK_HEAD(5));
    assert_int_equal(probe.closes, 1);
}

static int must_not_pull(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                         uint32_t budget)
{
    (void)exchange, (void)p, (void)out, (void)budget;
    fail();
    return GY_HTTP_END;
}

static void head_of_a_pulled_body_never_pulls(void **state)
{
    (void)state;
    probe.pull = must_not_pull;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = 123456};
    answered("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &response, OK_HEAD(123456));
    assert_int_equal(probe.closes, 1);
}

static void head_of_an_unknown_length(void **state)
{
    (void)state;
    probe.pull = must_not_pull;
    struct gy_http_response response = {
        .status = 200, .kind = GY_HTTP_BODY_PULL, .body.length = GY_HTTP_UNKNOWN};
    answered("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &response,
             "HTTP/1.1 200 OK\r\n" COMMON "Transfer-Encoding: chunked\r\n\r\n");
}

static void no_content_has_no_length_and_no_body(void **state)
{
    (void)state;
    struct gy_http_response response = {
        .status = 204, .kind = GY_HTTP_BODY_SLICE, .body.slice = rig_slice(&rig, "hello", 5)};
    answered(GET(""), &response, "HTTP/1.1 204 No Content\r\n" COMMON "\r\n");
    assert_int_equal(rig.buffers, 0);
}

static void not_modified_may_say_the_length(void **state)
{
    (void)state;
    struct gy_http_response response = {
        .status = 304, .kind = GY_HTTP_BODY_TEXT, .body.text = GY_HTTP_TEXT("hello")};
    answered(GET(""), &response,
             "HTTP/1.1 304 Not Modified\r\n" COMMON "Content-Length: 5\r\n\r\n");
}

static void not_modified_without_a_body_says_no_length(void **state)
{
    (void)state;
    answered(GET(""), &(struct gy_http_response){.status = 304},
             "HTTP/1.1 304 Not Modified\r\n" COMMON "\r\n");
}

static void reset_content_has_length_zero(void **state)
{
    (void)state;
    struct gy_http_response response = {
        .status = 205, .kind = GY_HTTP_BODY_TEXT, .body.text = GY_HTTP_TEXT("hello")};
    answered(GET(""), &response,
             "HTTP/1.1 205 Reset Content\r\n" COMMON "Content-Length: 0\r\n\r\n");
}

/* ---- persistence --------------------------------------------------------------------------------
 */

static void close_is_honoured_and_said(void **state)
{
    (void)state;
    answered(GET("Connection: close\r\n"), &(struct gy_http_response){.status = 200},
             "HTTP/1.1 200 OK\r\n" COMMON "Content-Length: 0\r\nConnection: close\r\n\r\n");
    assert_int_equal(rig.wants, GY_H1_CLOSE | GY_H1_LINGER | GY_H1_READ);
}

static void http10_closes(void **state)
{
    (void)state;
    answered("GET / HTTP/1.0\r\n\r\n", &(struct gy_http_response){.status = 200},
             "HTTP/1.1 200 OK\r\n" COMMON "Content-Length: 0\r\nConnection: close\r\n\r\n");
    assert_true((rig.wants & GY_H1_CLOSE) != 0);
}

static void http10_keeps_alive_when_asked_to(void **state)
{
    (void)state;
    answered("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
             &(struct gy_http_response){.status = 200},
             "HTTP/1.1 200 OK\r\n" COMMON "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    assert_true((rig.wants & GY_H1_IDLE) != 0);
}

/* ---- informational responses
 * --------------------------------------------------------------------- */

static void early_hints_come_before_the_answer(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET(""));
    const struct gy_http_header link = GY_HTTP_HEADER("Link", "</a.css>; rel=preload");
    assert_int_equal(gy_http_inform(exchange, 103, &link, 1), 0);
    gy_http_answer(exchange, 200, "text/plain", "ok", 2);
    rig_turn(&rig);
    assert_string_equal(
        rig.sent, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" OK_RESPONSE);
    assert_int_equal(rig.env.counters.responses[1], 1);
    assert_int_equal(rig.env.counters.responses[2], 1);
}

static void no_informational_response_to_http10(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask("GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(gy_http_inform(exchange, 103, NULL, 0), 0);
    rig_turn(&rig);
    assert_int_equal(rig.sent_bytes, 0);
}

static void informational_statuses_are_checked(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET(""));
    assert_int_equal(gy_http_inform(exchange, 101, NULL, 0), GY_EINVAL);
    assert_int_equal(gy_http_inform(exchange, 200, NULL, 0), GY_EINVAL);
    const struct gy_http_header bad = GY_HTTP_HEADER("Link", "a\nb");
    assert_int_equal(gy_http_inform(exchange, 103, &bad, 1), GY_EINVAL);
    gy_http_answer(exchange, 200, "text/plain", "ok", 2);
    assert_int_equal(gy_http_inform(exchange, 103, NULL, 0), GY_ESTATE);
    rig_turn(&rig);
    assert_string_equal(rig.sent, OK_RESPONSE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(fixed_answer),
        CASE(fields_come_in_order_between_status_and_framing),
        CASE(a_status_without_a_reason),
        CASE(date_and_server_of_the_handler_replace_ours),
        CASE(only_the_date_is_replaced),
        CASE(no_server_field_without_a_name),
        CASE(a_line_end_in_a_value_is_refused),
        CASE(a_nul_in_a_value_is_refused),
        CASE(a_name_that_is_no_token_is_refused),
        CASE(an_empty_name_is_refused),
        CASE(framing_fields_are_refused),
        CASE(fields_larger_than_the_output_block_are_refused),
        CASE(a_status_out_of_range_is_refused),
        CASE(a_second_answer_is_refused_and_dropped),
        CASE(a_small_slice_is_copied_behind_the_head),
        CASE(a_large_slice_is_not_copied),
        CASE(a_chain_is_emptied_into_the_response),
        CASE(a_small_chain_is_copied),
        CASE(a_long_text_is_copied_in_pieces),
        CASE(an_empty_slice_is_an_empty_body),
        CASE(head_gets_the_length_and_no_body),
        CASE(head_of_a_pulled_body_never_pulls),
        CASE(head_of_an_unknown_length),
        CASE(no_content_has_no_length_and_no_body),
        CASE(not_modified_may_say_the_length),
        CASE(not_modified_without_a_body_says_no_length),
        CASE(reset_content_has_length_zero),
        CASE(close_is_honoured_and_said),
        CASE(http10_closes),
        CASE(http10_keeps_alive_when_asked_to),
        CASE(early_hints_come_before_the_answer),
        CASE(no_informational_response_to_http10),
        CASE(informational_statuses_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
