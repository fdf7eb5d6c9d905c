/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The helpers of http.h, and the grammars that every version shares. */

#include <time.h>

#include "protocols/http/syntax.h"
#include "tests/http/probe.h"

static void date_is(uint64_t seconds, const char *expected)
{
    char date[GY_HTTP_DATE_BYTES + 1] = {0};
    gy_http_date(seconds, date);
    assert_string_equal(date, expected);
}

static void date_as_the_standard_writes_it(void **state)
{
    (void)state;
    date_is(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 §5.6.7 */
    date_is(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    date_is(951782399, "Mon, 28 Feb 2000 23:59:59 GMT");
    date_is(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    date_is(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
    date_is(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
    date_is(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void date_agrees_with_the_c_library(void **state)
{
    (void)state;
    for (uint64_t seconds = 0; seconds < UINT64_C(253402300800); seconds += 86400 * 7 + 12345) {
        char expected[64];
        time_t when = (time_t)seconds;
        struct tm parts;
        gmtime_r(&when, &parts);
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        date_is(seconds, expected);
    }
}

static void reason_of_a_status(void **state)
{
    (void)state;
    assert_string_equal(gy_http_reason(200), "OK");
    assert_string_equal(gy_http_reason(413), "Content Too Large");
    assert_string_equal(gy_http_reason(511), "Network Authentication Required");
    assert_string_equal(gy_http_reason(299), "");
    assert_string_equal(gy_http_reason(99), "");
    assert_string_equal(gy_http_reason(999), "");
}

static void text_equality_with_and_without_case(void **state)
{
    (void)state;
    assert_true(gy_http_text_equal(GY_HTTP_TEXT("abc"), GY_HTTP_TEXT("abc")));
    assert_false(gy_http_text_equal(GY_HTTP_TEXT("abc"), GY_HTTP_TEXT("abC")));
    assert_false(gy_http_text_equal(GY_HTTP_TEXT("abc"), GY_HTTP_TEXT("ab")));
    assert_true(gy_http_text_equal((struct gy_http_text){NULL, 0}, GY_HTTP_TEXT("")));
    assert_true(gy_http_text_equal_nocase(GY_HTTP_TEXT("aBc-1"), GY_HTTP_TEXT("AbC-1")));
    assert_false(gy_http_text_equal_nocase(GY_HTTP_TEXT("a{"), GY_HTTP_TEXT("a[")));
    assert_false(gy_http_text_equal_nocase(GY_HTTP_TEXT("@"), GY_HTTP_TEXT("`")));
}

static void list_has_a_token(void **state)
{
    (void)state;
    struct gy_http_text list = GY_HTTP_TEXT(" gzip;q=1.0 ,\tBR, , deflate");
    assert_true(gy_http_list_has(list, "gzip"));
    assert_true(gy_http_list_has(list, "br"));
    assert_true(gy_http_list_has(list, "deflate"));
    assert_false(gy_http_list_has(list, "zip"));
    assert_false(gy_http_list_has(list, "q"));
    assert_false(gy_http_list_has(GY_HTTP_TEXT(""), "gzip"));
    assert_false(gy_http_list_has((struct gy_http_text){NULL, 0}, "gzip"));
}

static void classes_agree_with_the_grammar(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool digit = byte >= '0' && byte <= '9';
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        bool in_range = byte > 0 && byte < 128;
        bool token = digit || letter || (in_range && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
        bool host = digit || letter || (in_range && strchr("-._~!$&'()*+,;=", byte) != NULL);
        bool target = byte > 0x20 && byte < 0x7f && byte != '#';
        bool value = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        bool hex = digit || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
        uint8_t at = (uint8_t)byte;
        assert_int_equal(gy_http_is(at, GY_HTTP_CLASS_TOKEN), token);
        assert_int_equal(gy_http_is(at, GY_HTTP_CLASS_HOST), host);
        assert_int_equal(gy_http_is(at, GY_HTTP_CLASS_TARGET), target);
        assert_int_equal(gy_http_is(at, GY_HTTP_CLASS_VALUE), value);
        assert_int_equal(gy_http_is(at, GY_HTTP_CLASS_HEX), hex);
        assert_int_equal(gy_http_is(at, GY_HTTP_CLASS_DIGIT), digit);
        assert_int_equal(gy_http_hex(at) != 255, hex);
    }
    assert_int_equal(gy_http_hex('0'), 0);
    assert_int_equal(gy_http_hex('9'), 9);
    assert_int_equal(gy_http_hex('a'), 10);
    assert_int_equal(gy_http_hex('F'), 15);
}

static void authority_grammar(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a",     "a.example",         "a.example:80",     "127.0.0.1:8080", "a.example:",
        "[::1]", "[2001:db8::1]:443", "[::ffff:1.2.3.4]", "a%2Fb",          "a_b~c!$&'()*+,;="};
    static const char *const bad[] = {"",        ":80",  "a b",     "a/b",     "a@b",   "a:b",
                                      "a:65536", "[::1", "[::1]x",  "[1]",     "[g::]", "a%2",
                                      "a%",      "a%gg", "[::1]:x", "a:80:80", "a\\b",  "[]",
                                      "[:]",     "a#",   "a?b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(gy_http_authority_valid(gy_http_text_of(good[i]), false));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(gy_http_authority_valid(gy_http_text_of(bad[i]), false));
    }
    assert_true(gy_http_authority_valid(GY_HTTP_TEXT("a:80"), true));
    assert_true(gy_http_authority_valid(GY_HTTP_TEXT("[::1]:80"), true));
    assert_false(gy_http_authority_valid(GY_HTTP_TEXT("a"), true));
    assert_false(gy_http_authority_valid(GY_HTTP_TEXT("a:"), true));
}

static void token_comparison_folds_only_case(void **state)
{
    (void)state;
    const uint8_t *text = (const uint8_t *)"Transfer-ENCODING";
    assert_true(gy_http_token_is(text, "transfer-encoding", 17));
    assert_false(gy_http_token_is((const uint8_t *)"Transfer_Encoding", "transfer-encoding", 17));
    assert_false(gy_http_token_is((const uint8_t *)"Transfer-Encodinh", "transfer-encoding", 17));
    assert_true(gy_http_token_is((const uint8_t *)"HoSt", "host", 4));
    assert_false(gy_http_token_is((const uint8_t *)"HoSu", "host", 4));
    assert_true(gy_http_token_is((const uint8_t *)"Expect", "expect", 6));
    assert_false(gy_http_token_is((const uint8_t *)"Expecs", "expect", 6));
    assert_true(gy_http_token_is((const uint8_t *)"CONTENT-length", "content-length", 14));
}

static void trailers_that_are_forbidden(void **state)
{
    (void)state;
    assert_true(gy_http_trailer_forbidden(GY_HTTP_TEXT("Content-LENGTH")));
    assert_true(gy_http_trailer_forbidden(GY_HTTP_TEXT("host")));
    assert_true(gy_http_trailer_forbidden(GY_HTTP_TEXT("Set-Cookie")));
    assert_false(gy_http_trailer_forbidden(GY_HTTP_TEXT("ETag")));
    assert_false(gy_http_trailer_forbidden(GY_HTTP_TEXT("Digest")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(date_as_the_standard_writes_it),
        cmocka_unit_test(date_agrees_with_the_c_library),
        cmocka_unit_test(reason_of_a_status),
        cmocka_unit_test(text_equality_with_and_without_case),
        cmocka_unit_test(list_has_a_token),
        cmocka_unit_test(classes_agree_with_the_grammar),
        cmocka_unit_test(authority_grammar),
        cmocka_unit_test(token_comparison_folds_only_case),
        cmocka_unit_test(trailers_that_are_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
