/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The client's side of HTTP/1.1: what it sends, and what it makes of what comes back. What becomes
 * of the connection: client_connection_test.c. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/http/client_rig.h"

/* RFC 9112 §2.2's and RFC 9110 §3.9's example. */
#define RFC_RESPONSE                                                                               \
    "HTTP/1.1 200 OK\r\n"                                                                          \
    "Date: Mon, 27 Jul 2009 12:28:53 GMT\r\n"                                                      \
    "Server: Apache\r\n"                                                                           \
    "Last-Modified: Wed, 22 Jul 2009 19:15:56 GMT\r\n"                                             \
    "ETag: \"34aa387-d-1568eb00\"\r\n"                                                             \
    "Accept-Ranges: bytes\r\n"                                                                     \
    "Content-Length: 51\r\n"                                                                       \
    "Vary: Accept-Encoding\r\n"                                                                    \
    "Content-Type: text/plain\r\n"                                                                 \
    "\r\n"                                                                                         \
    "Hello World! My content includes a trailing CRLF.\r\n"

#define CHUNKED                                                                                    \
    "HTTP/1.1 200 OK\r\n"                                                                          \
    "Transfer-Encoding: chunked\r\n"                                                               \
    "\r\n"                                                                                         \
    "7\r\nMozilla\r\n"                                                                             \
    "11;name=\"va\\\"lue\"\r\nDeveloper Network\r\n"                                               \
    "0\r\n"                                                                                        \
    "Digest: x\r\n"                                                                                \
    "Content-Length: 4\r\n"                                                                        \
    "\r\n"

#define OK "HTTP/1.1 200 OK\r\n"

/* ---- requests -------------------------------------------------------------------------------- */

static void a_get_is_written_as_the_rfc_has_it(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_http_header headers[] = {
        GY_HTTP_HEADER("User-Agent", "curl/7.64.1"),
        GY_HTTP_HEADER("Accept-Language", "en, mi"),
    };
    struct gy_h1_request request = crig_request("GET");
    request.headers = headers;
    request.header_count = 2;
    assert_int_equal(crig_send(rig, &request), 0);
    assert_string_equal(rig->sent, "GET /hello.txt HTTP/1.1\r\n"
                                   "Host: www.example.com\r\n"
                                   "User-Agent: curl/7.64.1\r\n"
                                   "Accept-Language: en, mi\r\n\r\n");
    crig_close(rig);
}

static void a_body_is_sent_with_its_length(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("POST");
    request.kind = GY_HTTP_BODY_TEXT;
    request.body.text = GY_HTTP_TEXT("hello");
    assert_int_equal(crig_send(rig, &request), 0);
    assert_string_equal(rig->sent, "POST /hello.txt HTTP/1.1\r\nHost: www.example.com\r\n"
                                   "Content-Length: 5\r\n\r\nhello");
    crig_close(rig);
}

static void a_post_without_a_body_says_so(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    assert_int_equal(crig_ask(rig, "POST"), 0);
    assert_non_null(strstr(rig->sent, "\r\nContent-Length: 0\r\n\r\n"));
    crig_close(rig);
}

static void a_pulled_body_of_unknown_length_goes_in_chunks(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("PUT");
    request.kind = GY_HTTP_BODY_PULL;
    request.body.length = GY_HTTP_UNKNOWN;
    rig->pulls = "abcdefghij";
    assert_int_equal(crig_send(rig, &request), 0);
    assert_non_null(strstr(rig->sent, "Transfer-Encoding: chunked\r\n\r\n"
                                      "4\r\nabcd\r\n4\r\nefgh\r\n2\r\nij\r\n0\r\n\r\n"));
    crig_hear(rig, OK "Content-Length: 0\r\n\r\n");
    assert_string_equal(rig->told, "<200 OK{Content-Length=0}>done; ");
    assert_true(rig->wants & GY_H1_IDLE);
    crig_close(rig);
}

static void a_pulled_body_of_known_length_goes_as_it_is(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("PUT");
    request.kind = GY_HTTP_BODY_PULL;
    request.body.length = 6;
    rig->pulls = "abcdef";
    assert_int_equal(crig_send(rig, &request), 0);
    assert_non_null(strstr(rig->sent, "Content-Length: 6\r\n\r\nabcdef"));
    crig_close(rig);
}

static void a_pulled_body_that_falls_short_ends_the_connection(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("PUT");
    request.kind = GY_HTTP_BODY_PULL;
    request.body.length = 7;
    rig->pulls = "abcdef";
    assert_int_equal(crig_send(rig, &request), 0);
    assert_int_equal(rig->last_reason, GY_EINVAL);
    assert_true(rig->wants & GY_H1_CLOSE);
    crig_close(rig);
}

static void an_answer_before_all_was_sent_is_the_last(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("PUT");
    request.kind = GY_HTTP_BODY_PULL;
    request.body.length = 7;
    rig->pull_waits = true;
    assert_int_equal(crig_send(rig, &request), 0);
    crig_hear(rig, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_string_equal(rig->told, "<413 Too Large{Content-Length=0}>done; ");
    assert_true(rig->wants & GY_H1_CLOSE);
    crig_close(rig);
}

static void what_would_split_a_request_is_not_sent(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    struct gy_h1_request request = crig_request("GET");
    request.target = GY_HTTP_TEXT("/a b");
    assert_int_equal(crig_send(rig, &request), GY_EINVAL);
    request.target = GY_HTTP_TEXT("/a\r\nX: y");
    assert_int_equal(crig_send(rig, &request), GY_EINVAL);
    request.target = GY_HTTP_TEXT("a");
    assert_int_equal(crig_send(rig, &request), GY_EINVAL);
    request = crig_request("G ET");
    assert_int_equal(crig_send(rig, &request), GY_EINVAL);
    request = crig_request("GET");
    request.authority = GY_HTTP_TEXT("a@b");
    assert_int_equal(crig_send(rig, &request), GY_EINVAL);
    request = crig_request("GET");
    struct gy_http_header split = GY_HTTP_HEADER("X", "a\r\nY: b");
    request.headers = &split;
    request.header_count = 1;
    assert_int_equal(crig_send(rig, &request), GY_EINVAL);
    split = GY_HTTP_HEADER("Content-Length", "5");
    assert_int_equal(crig_send(rig, &request), GY_EINVAL);
    assert_int_equal(rig->sent_bytes, 0);
    crig_close(rig);
}

static void a_head_too_large_is_refused(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    static char target[20000];
    memset(target, 'a', sizeof target);
    target[0] = '/';
    struct gy_h1_request request = crig_request("GET");
    request.target = (struct gy_http_text){target, sizeof target};
    assert_int_equal(crig_send(rig, &request), GY_ELIMIT);
    crig_close(rig);
}

/* ---- responses ------------------------------------------------------------------------------- */

static void the_example_of_the_rfc_is_read(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, RFC_RESPONSE);
    assert_non_null(strstr(rig->told, "<200 OK{Date=Mon, 27 Jul 2009 12:28:53 GMT|Server=Apache|"));
    assert_non_null(strstr(rig->told, "|ETag=\"34aa387-d-1568eb00\"|"));
    assert_non_null(
        strstr(rig->told, "[Hello World! My content includes a trailing CRLF.\r\n]end done; "));
    assert_int_equal(rig->wants, GY_H1_READ | GY_H1_IDLE);
    crig_close(rig);
}

static const char *const whole[] = {
    RFC_RESPONSE,
    CHUNKED,
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" RFC_RESPONSE,
    OK "Content-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304\r\nETag: \"x\"\r\n\r\n",
    OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    OK "Content-Length: 5\nX: y\r\n\r\nhello",
    OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
    "HTTP/1.1 2x0 OK\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
};

static void tell_cut(const char *bytes, size_t first, size_t second, char *told, size_t room)
{
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    size_t length = strlen(bytes);
    crig_feed(rig, bytes, first);
    crig_feed(rig, bytes + first, second - first);
    crig_feed(rig, bytes + second, length - second);
    crig_end(rig);
    snprintf(told, room, "%.3000s%.500s", rig->told, gy_h1_client_breach(&rig->client));
    crig_close(rig);
}

static void where_a_response_is_cut_changes_nothing(void **state)
{
    (void)state;
    static char expected[4096], told[4096];
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        size_t length = strlen(whole[i]);
        tell_cut(whole[i], length, length, expected, sizeof expected);
        for (size_t first = 0; first <= length; first++) {
            for (size_t second = first; second <= length && second < first + 3; second++) {
                tell_cut(whole[i], first, second, told, sizeof told);
                assert_string_equal(told, expected);
            }
        }
    }
}

static void every_byte_may_come_alone(void **state)
{
    (void)state;
    static char expected[4096];
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        size_t length = strlen(whole[i]);
        tell_cut(whole[i], length, length, expected, sizeof expected);
        struct crig *rig = crig_open();
        crig_ask(rig, "GET");
        for (size_t at = 0; at < length; at++) {
            crig_feed(rig, whole[i] + at, 1);
        }
        crig_end(rig);
        assert_memory_equal(rig->told, expected, rig->told_bytes);
        crig_close(rig);
    }
}

static void each_parser_reads_alike(void **state)
{
    (void)state;
    static char expected[4096], told[4096];
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        tell_cut(whole[i], 1, 2, expected, sizeof expected);
        for (uint32_t nth = 0; gy_h1_parser_nth(nth) != NULL; nth++) {
            struct crig *rig = crig_open();
            rig->env.parser = gy_h1_parser_nth(nth);
            crig_ask(rig, "GET");
            crig_hear(rig, whole[i]);
            crig_end(rig);
            snprintf(told, sizeof told, "%.3000s%.500s", rig->told,
                     gy_h1_client_breach(&rig->client));
            assert_string_equal(told, expected);
            crig_close(rig);
        }
    }
}

static void chunks_and_trailers_are_read(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, CHUNKED);
    assert_string_equal(rig->told, "<200 OK{Transfer-Encoding=chunked}>[MozillaDeveloper Network]"
                                   "+Digest=x+[]end done; ");
    assert_true(rig->wants & GY_H1_IDLE);
    crig_close(rig);
}

static void without_a_length_the_body_ends_with_the_connection(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, OK "\r\nsome");
    crig_hear(rig, "thing");
    assert_false(gy_h1_client_ready(&rig->client, GY_HTTP_GET, false));
    crig_end(rig);
    assert_string_equal(rig->told, "<200 OK>[something]end done; ");
    assert_true(rig->wants & GY_H1_CLOSE);
    crig_close(rig);
}

static void responses_without_bodies_have_none(void **state)
{
    (void)state;
    static const struct {
        const char *method, *response;
    } cases[] = {
        {"HEAD", OK "Content-Length: 51\r\n\r\n"},
        {"HEAD", OK "Transfer-Encoding: chunked\r\n\r\n"},
        {"HEAD", OK "\r\n"},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n"},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 51\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct crig *rig = crig_open();
        crig_ask(rig, cases[i].method);
        crig_hear(rig, cases[i].response);
        assert_non_null(strstr(rig->told, ">done; "));
        assert_true(rig->wants & GY_H1_IDLE);
        crig_close(rig);
    }
}

static void informational_responses_come_before_the_final_one(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    crig_hear(rig, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" OK
                   "Content-Length: 1\r\n\r\nx");
    assert_string_equal(rig->told, "(100) (103) <200 OK{Content-Length=1}>[x]end done; ");
    crig_close(rig);
}

static void informational_responses_are_bounded(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    crig_ask(rig, "GET");
    for (int i = 0; i < 17; i++) {
        crig_hear(rig, "HTTP/1.1 102 Processing\r\n\r\n");
    }
    assert_int_equal(rig->last_reason, GY_ELIMIT);
    crig_close(rig);
}

static void the_servers_breaches_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *sentence;
    } cases[] = {
        {"HTTP/1.1 20 OK\r\n\r\n", "The status line is not"},
        {"HTTP/1.1 200OK\r\n\r\n", "The status line is not"},
        {"HTTP/1.1 099 OK\r\n\r\n", "The status is not between"},
        {"HTTP/1.1 600 OK\r\n\r\n", "The status is not between"},
        {"HTTP/1.2 200 OK\r\n\r\n", "Only HTTP/1.0 and HTTP/1.1"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "The status line is not"},
        {"HTTP/1.1 200 OK\n\n", "A line ends in LF"},
        {OK "A: b\r\n folded\r\n\r\n", "folded"},
        {OK "A : b\r\n\r\n", "whitespace"},
        {OK "Content-Length: 5, 5\r\n\r\n", "not one decimal"},
        {OK "Content-Length: -5\r\n\r\n", "not one decimal"},
        {OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "more than one Content-Length"},
        {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both Transfer-Encoding"},
        {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", "Only the transfer coding chunked"},
        {OK "Transfer-Encoding: chunked, chunked\r\n\r\n", "not chunked, or it is applied twice"},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "needs HTTP/1.1"},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "switched without being asked"},
        {OK "Transfer-Encoding: chunked\r\n\r\n12345678901234567\r\n", "chunk size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct crig *rig = crig_open();
        crig_ask(rig, "GET");
        crig_hear(rig, cases[i].bytes);
        if (strstr(gy_h1_client_breach(&rig->client), cases[i].sentence) == NULL) {
            fail_msg("%s: \"%s\"", cases[i].bytes, gy_h1_client_breach(&rig->client));
        }
        assert_int_equal(rig->last_reason, GY_EPROTO);
        assert_true(rig->wants & GY_H1_CLOSE);
        crig_close(rig);
    }
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct crig *rig = crig_open();
    rig->env.limits.body_bytes = 4;
    crig_ask(rig, "GET");
    crig_hear(rig, OK "Content-Length: 5\r\n\r\n");
    assert_int_equal(rig->last_reason, GY_ELIMIT);
    crig_close(rig);
    rig = crig_open();
    rig->env.limits.body_bytes = 4;
    crig_ask(rig, "GET");
    crig_hear(rig, OK "\r\n12345");
    assert_int_equal(rig->last_reason, GY_ELIMIT);
    crig_close(rig);
    rig = crig_open();
    rig->env.limits.fields = 2;
    crig_ask(rig, "GET");
    crig_hear(rig, OK "A: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    assert_int_equal(rig->last_reason, GY_ELIMIT);
    crig_close(rig);
    rig = crig_open();
    rig->env.limits.head_bytes = 40;
    crig_ask(rig, "GET");
    crig_hear(rig, OK "A: 111111111111111111111111111111111111111\r\n\r\n");
    assert_int_equal(rig->last_reason, GY_ELIMIT);
    crig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_is_written_as_the_rfc_has_it),
        cmocka_unit_test(a_body_is_sent_with_its_length),
        cmocka_unit_test(a_post_without_a_body_says_so),
        cmocka_unit_test(a_pulled_body_of_unknown_length_goes_in_chunks),
        cmocka_unit_test(a_pulled_body_of_known_length_goes_as_it_is),
        cmocka_unit_test(a_pulled_body_that_falls_short_ends_the_connection),
        cmocka_unit_test(an_answer_before_all_was_sent_is_the_last),
        cmocka_unit_test(what_would_split_a_request_is_not_sent),
        cmocka_unit_test(a_head_too_large_is_refused),
        cmocka_unit_test(the_example_of_the_rfc_is_read),
        cmocka_unit_test(where_a_response_is_cut_changes_nothing),
        cmocka_unit_test(every_byte_may_come_alone),
        cmocka_unit_test(each_parser_reads_alike),
        cmocka_unit_test(chunks_and_trailers_are_read),
        cmocka_unit_test(without_a_length_the_body_ends_with_the_connection),
        cmocka_unit_test(responses_without_bodies_have_none),
        cmocka_unit_test(informational_responses_come_before_the_final_one),
        cmocka_unit_test(informational_responses_are_bounded),
        cmocka_unit_test(the_servers_breaches_are_named),
        cmocka_unit_test(limits_are_kept),
    };
    return cmocka_run_group_tests_name("http client", tests, NULL, NULL);
}
