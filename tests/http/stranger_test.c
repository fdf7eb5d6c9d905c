/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What is said of servers that speak no HTTP/1.1, by the bytes that such servers send first. */

#include "tests/http/probe.h"

#include "protocols/http/stranger.h"

static void says(const char *bytes, size_t length, const char *what)
{
    char text[GY_HTTP_STRANGER_BYTES];
    assert_string_equal(gy_http_stranger(text, (const uint8_t *)bytes, length), what);
}

#define SAYS(bytes, what) says(bytes, sizeof(bytes) - 1, what)

static void a_response_is_no_stranger(void **state)
{
    (void)state;
    SAYS("", "");
    SAYS("H", "");
    SAYS("HTTP/1.", "");
    SAYS("HTTP/1.0 404 Not Found\r\n", "");
    SAYS("HTTP/1.7 200 OK\r\n", ""); /* the parser says what is wrong with it */
}

/* The alert that wolfSSL and OpenSSL send to who speaks no TLS. */
static void tls_is_told_with_the_scheme_to_write(void **state)
{
    (void)state;
    SAYS("\x15\x03\x03\x00\x02\x02\x46", "the server speaks TLS at this port; write https://");
    SAYS("\x15\x03\x01\x00\x02\x02\x16", "the server speaks TLS at this port; write https://");
}

static void http2_is_told(void **state)
{
    (void)state;
    SAYS("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80",
         "the server speaks HTTP/2 at this port, and HTTP/1.1 was asked for; is that the port you "
         "mean?");
}

static void other_protocols_are_shown(void **state)
{
    (void)state;
    SAYS("SSH-2.0-OpenSSH_9.2p1\r\n", "the server speaks no HTTP/1.1: it said "
                                      "\"SSH-2.0-OpenSSH_9.2p1\", as SSH does; is that the port "
                                      "you mean?");
    SAYS("-ERR wrong number of arguments\r\n",
         "the server speaks no HTTP/1.1: it said \"-ERR wrong number of arguments\", as Redis "
         "does; is that the port you mean?");
    SAYS("GET / HTTP/1.1\r\n", "the server speaks no HTTP/1.1: it said \"GET / HTTP/1.1\", what "
                               "was asked; is that the port you mean?");
    SAYS("\0\x10\x1f", "the server speaks no HTTP/1.1: it said the bytes 00 10 1f; is that the "
                       "port you mean?");
    SAYS("HTTP/2 200", "the server speaks no HTTP/1.1: it said \"HTTP/2 200\"; is that the port "
                       "you mean?");
    SAYS("a\x1b[1m\r\n", "the server speaks no HTTP/1.1: it said the bytes 61 1b 5b 31 6d 0d 0a; "
                         "is that the port you mean?");
}

static void what_is_long_is_cut(void **state)
{
    (void)state;
    char text[GY_HTTP_STRANGER_BYTES];
    uint8_t line[300];
    memset(line, 'x', sizeof line);
    gy_http_stranger(text, line, sizeof line);
    assert_uint_in_range(strlen(text), GY_HTTP_STRANGER_SHOWN, GY_HTTP_STRANGER_SHOWN + 100);
    memset(line, 1, sizeof line);
    gy_http_stranger(text, line, sizeof line);
    assert_uint_in_range(strlen(text), 40, 140);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_is_no_stranger),
        cmocka_unit_test(tls_is_told_with_the_scheme_to_write),
        cmocka_unit_test(http2_is_told),
        cmocka_unit_test(other_protocols_are_shown),
        cmocka_unit_test(what_is_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
