/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a handler sees of a request. */

#include "tests/http/probe_case.h"

static void parts_of_an_ordinary_request(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(
        "DELETE /a/b?c=d HTTP/1.1\r\nHost: a.example:8080\r\nAccept:  */* \r\nX-Empty:\r\n\r\n");
    assert_int_equal(gy_http_method(exchange), GY_HTTP_DELETE);
    assert_text(gy_http_method_name(exchange), "DELETE");
    assert_text(gy_http_scheme(exchange), "http");
    assert_text(gy_http_authority(exchange), "a.example:8080");
    assert_text(gy_http_target(exchange), "/a/b?c=d");
    assert_text(gy_http_protocol(exchange), "");
    assert_int_equal(gy_http_content_length(exchange), 0);
    assert_int_equal(gy_http_field_count(exchange), 3);
    assert_text(gy_http_field_name(exchange, 1), "Accept");
    assert_text(gy_http_field_value(exchange, 1), "*/*");
    assert_text(gy_http_field_value(exchange, 2), "");
    assert_ptr_equal(gy_http_connection(exchange), &rig);
    assert_ptr_equal(gy_http_context(exchange), &probe);
    assert_null(gy_http_state(exchange));
}

static void methods_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum gy_http_method method;
    } methods[] = {
        {"GET", GY_HTTP_GET},         {"HEAD", GY_HTTP_HEAD},   {"POST", GY_HTTP_POST},
        {"PUT", GY_HTTP_PUT},         {"PATCH", GY_HTTP_PATCH}, {"DELETE", GY_HTTP_DELETE},
        {"OPTIONS", GY_HTTP_OPTIONS}, {"GETS", GY_HTTP_OTHER},  {"QUERY", GY_HTTP_OTHER}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        char request[128];
        snprintf(request, sizeof request, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", methods[i].name);
        struct gy_http_exchange *exchange = ask(request);
        assert_int_equal(gy_http_method(exchange), methods[i].method);
        assert_text(gy_http_method_name(exchange), methods[i].name);
        gy_http_answer(exchange, 204, NULL, NULL, 0);
        rig_turn(&rig);
    }
}

static void fields_are_found_in_any_case_line_by_line(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange =
        ask(GET("aCCept: one\r\nAccept-Encoding: gzip\r\nACCEPT: two\r\n"));
    assert_text(gy_http_field_find(exchange, "accept", NULL), "one");
    uint32_t from = 0;
    assert_text(gy_http_field_find(exchange, "accept", &from), "one");
    assert_text(gy_http_field_find(exchange, "accept", &from), "two");
    assert_null(gy_http_field_find(exchange, "accept", &from).data);
    assert_null(gy_http_field_find(exchange, "accep", NULL).data);
}

static void authority_of_the_target_wins_over_host(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange =
        ask("GET http://b.example:81/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_text(gy_http_authority(exchange), "b.example:81");
    assert_text(gy_http_target(exchange), "/x?y");
}

static void an_empty_path_is_a_slash(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange =
        ask("GET http://b.example HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_text(gy_http_target(exchange), "/");
}

static void no_authority_in_http10_without_host(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask("GET / HTTP/1.0\r\n\r\n");
    assert_text(gy_http_authority(exchange), "");
    assert_text(gy_http_target(exchange), "/");
}

static void protocol_is_the_upgrade_field(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange =
        ask(GET("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
    assert_text(gy_http_protocol(exchange), "websocket");
}

static void no_protocol_unless_connection_names_upgrade(void **state)
{
    (void)state;
    assert_text(gy_http_protocol(ask(GET("Upgrade: websocket\r\n"))), "");
}

static void no_protocol_in_http10(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange =
        ask("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_text(gy_http_protocol(exchange), "");
}

static void content_length_of_a_body(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(POST("Content-Length: 12345\r\n"));
    assert_int_equal(gy_http_content_length(exchange), 12345);
}

static void content_length_of_a_chunked_body_is_unknown(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(POST("Transfer-Encoding: chunked\r\n"));
    assert_true(gy_http_content_length(exchange) == GY_HTTP_UNKNOWN);
}

/* RFC 9110 §9.3.6: a handler that is a proxy. */
static void connect_reaches_a_handler_that_takes_it(void **state)
{
    (void)state;
    static struct gy_http_handler handler;
    handler = probe_handler;
    handler.takes = GY_HTTP_TAKES_CONNECT;
    rig.env.handler = &handler;
    struct gy_http_exchange *exchange =
        ask("CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n");
    assert_int_equal(gy_http_method(exchange), GY_HTTP_CONNECT);
    assert_text(gy_http_authority(exchange), "b.example:443");
    assert_text(gy_http_target(exchange), "");
    gy_http_answer(exchange, 403, NULL, NULL, 0);
    rig_turn(&rig);
    assert_string_equal(probe.log, "request CONNECT  closed 0");
}

static void trace_reaches_a_handler_that_takes_it(void **state)
{
    (void)state;
    static struct gy_http_handler handler;
    handler = probe_handler;
    handler.takes = GY_HTTP_TAKES_TRACE;
    rig.env.handler = &handler;
    struct gy_http_exchange *exchange = ask("TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(gy_http_method(exchange), GY_HTTP_TRACE);
    gy_http_answer(exchange, 200, NULL, NULL, 0);
    rig_turn(&rig);
}

static void server_wide_options_reaches_a_handler_that_takes_it(void **state)
{
    (void)state;
    static struct gy_http_handler handler;
    handler = probe_handler;
    handler.takes = GY_HTTP_TAKES_SERVER_OPTIONS;
    rig.env.handler = &handler;
    struct gy_http_exchange *exchange = ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_text(gy_http_target(exchange), "*");
    gy_http_answer(exchange, 200, NULL, NULL, 0);
    rig_turn(&rig);
}

static void options_of_a_resource_is_the_handlers(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_text(gy_http_target(exchange), "/x");
}

static void https_on_a_secure_connection(void **state)
{
    (void)state;
    gy_h1_init(&rig.h1, &rig.env, &rig.out, &rig, true, 0);
    struct gy_http_exchange *exchange =
        ask("GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_text(gy_http_scheme(exchange), "https");
}

static void http_target_on_a_secure_connection_is_misdirected(void **state)
{
    (void)state;
    gy_h1_init(&rig.h1, &rig.env, &rig.out, &rig, true, 0);
    rig_say(&rig, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_int_equal(rig.env.counters.refused[GY_H1_REFUSED_SCHEME], 1);
}

static void a_head_in_one_piece_is_not_copied(void **state)
{
    (void)state;
    rig_say(&rig, GET("X: y\r\n"));
    assert_string_equal(rig.sent, OK_RESPONSE);
    assert_int_equal(rig.env.counters.heads_joined, 0);
    assert_int_equal(rig.env.counters.heads_kept, 0);
    assert_int_equal(rig.env.counters.copied_bytes, 2); /* the body "ok" */
}

static void a_head_in_pieces_is_joined_once(void **state)
{
    (void)state;
    const char *request = GET("X: y\r\n");
    for (size_t i = 0; request[i] != 0; i++) {
        rig_append(&rig, request + i, 1);
        rig_turn(&rig);
    }
    assert_string_equal(rig.sent, OK_RESPONSE);
    assert_int_equal(rig.env.counters.heads_joined, 1);
    assert_int_equal(rig.env.counters.copied_bytes, strlen(request) + 2);
}

static void a_head_that_outlives_its_turn_leaves_the_receive_buffer(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET("X: value\r\n"));
    assert_int_equal(rig.buffers, 0);
    assert_int_equal(rig.env.counters.heads_kept, 1);
    assert_text(gy_http_target(exchange), "/");
    assert_text(gy_http_field_find(exchange, "x", NULL), "value");
    assert_text(gy_http_authority(exchange), "a.example");
}

static void a_text_can_be_held_as_a_slice_beyond_the_exchange(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET("X: value\r\n"));
    struct gy_slice slice = gy_http_text_slice(exchange, gy_http_field_find(exchange, "x", NULL));
    gy_http_answer(exchange, 200, NULL, NULL, 0);
    rig_turn(&rig);
    assert_null(probe.exchange);
    assert_int_equal(slice.length, 5);
    assert_memory_equal(gy_slice_data(slice), "value", 5);
    gy_slice_drop(slice);
}

static void exchange_state_is_the_handlers_and_starts_empty(void **state)
{
    (void)state;
    struct gy_http_exchange *exchange = ask(GET(""));
    gy_http_set_state(exchange, &probe);
    assert_ptr_equal(gy_http_state(exchange), &probe);
    gy_http_answer(exchange, 200, NULL, NULL, 0);
    rig_turn(&rig);
    assert_null(gy_http_state(ask(GET(""))));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(parts_of_an_ordinary_request),
        CASE(methods_are_recognised),
        CASE(fields_are_found_in_any_case_line_by_line),
        CASE(authority_of_the_target_wins_over_host),
        CASE(an_empty_path_is_a_slash),
        CASE(no_authority_in_http10_without_host),
        CASE(protocol_is_the_upgrade_field),
        CASE(no_protocol_unless_connection_names_upgrade),
        CASE(no_protocol_in_http10),
        CASE(content_length_of_a_body),
        CASE(content_length_of_a_chunked_body_is_unknown),
        CASE(connect_reaches_a_handler_that_takes_it),
        CASE(trace_reaches_a_handler_that_takes_it),
        CASE(server_wide_options_reaches_a_handler_that_takes_it),
        CASE(options_of_a_resource_is_the_handlers),
        CASE(https_on_a_secure_connection),
        CASE(http_target_on_a_secure_connection_is_misdirected),
        CASE(a_head_in_one_piece_is_not_copied),
        CASE(a_head_in_pieces_is_joined_once),
        CASE(a_head_that_outlives_its_turn_leaves_the_receive_buffer),
        CASE(a_text_can_be_held_as_a_slice_beyond_the_exchange),
        CASE(exchange_state_is_the_handlers_and_starts_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
