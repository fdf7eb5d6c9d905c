/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "clients/get/url.h"

static void assert_url(const char *text, const char *expected)
{
    struct gy_url url;
    struct gy_error error = {0};
    char out[GY_URL_BYTES];
    if (gy_url_parse(&url, text, &error) != 0) {
        fail_msg("%s: %s", text, error.message);
    }
    assert_string_equal(gy_url_format(&url, out, sizeof out), expected);
}

static void urls_are_read_as_people_type_them(void **state)
{
    (void)state;
    assert_url("http://example.org", "http://example.org/");
    assert_url("HTTP://Example.org:80/a", "http://Example.org/a");
    assert_url("example.org/a?b#c", "http://example.org/a?b");
    assert_url("localhost:8080", "http://localhost:8080/");
    assert_url("http://a?q", "http://a/?q");
    assert_url("http://a:/", "http://a/");
    assert_url("http://[2001:db8::1]:8080/x", "http://[2001:db8::1]:8080/x");
    assert_url("https://a:443/", "https://a/");
    assert_url("https://a:80/", "https://a:80/");
    assert_url("http://a/b c\x7f\xc3\xa4", "http://a/b%20c%7F%C3%A4");
}

static void a_zone_is_dialled_but_not_told(void **state)
{
    (void)state;
    struct gy_url url;
    assert_int_equal(gy_url_parse(&url, "http://[fe80::1%lo]:81/", NULL), 0);
    assert_string_equal(url.host, "fe80::1%lo");
    assert_string_equal(url.authority, "[fe80::1]:81");
    assert_int_equal(url.port, 81);
}

static void what_is_no_http_url_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",           "http://",          "http:///a",     "ftp://a/",    "mailto:a",
        "http:a",     "http://a@b/",      "http://a:b@c/", "http://a:0/", "http://a:65536/",
        "http://a:x", "http://[::1",      "http://[::1]x", "http://a b/", "http://a\r\nb/",
        "http://a\"", "http://[zz]:1/x ", "http://::1/",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct gy_url url;
        struct gy_error error = {0};
        bool odd = strcmp(wrong[i], "http://[zz]:1/x ") == 0; /* the dialler's to refuse */
        if (gy_url_parse(&url, wrong[i], &error) != (odd ? 0 : GY_EINVAL)) {
            fail_msg("\"%s\" was read otherwise", wrong[i]);
        }
        assert_true(odd || error.message[0] != '\0');
    }
}

static void a_url_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[3 * GY_URL_TARGET_BYTES];
    struct gy_url url;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "http://a/", 9);
    assert_int_equal(gy_url_parse(&url, text, NULL), GY_EINVAL);
    memset(text + 7, 'a', 300);
    text[307] = '\0';
    assert_int_equal(gy_url_parse(&url, text, NULL), GY_EINVAL);
    assert_int_equal(gy_url_parse(&url, "http://a/", NULL), 0);
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(gy_url_resolve(&url, &url, text, sizeof text - 1, NULL), GY_EINVAL);
}

/* RFC 3986 §5.4, as far as the scheme is http. */
static void references_are_resolved_as_the_rfc_has_it(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"http:///g", NULL},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
    };
    struct gy_url base;
    assert_int_equal(gy_url_parse(&base, "http://a/b/c/d;p?q", NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_url url;
        char out[GY_URL_BYTES];
        int code = gy_url_resolve(&url, &base, cases[i][0], strlen(cases[i][0]), NULL);
        if (cases[i][1] == NULL) {
            assert_int_equal(code, GY_EINVAL);
            continue;
        }
        assert_int_equal(code, 0);
        if (strcmp(gy_url_format(&url, out, sizeof out), cases[i][1]) != 0) {
            fail_msg("\"%s\" is %s, not %s", cases[i][0], out, cases[i][1]);
        }
    }
}

static void file_names_lead_nowhere_else(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"http://a/b/file.iso?x", "file.iso"},
        {"http://a/", "index.html"},
        {"http://a/b/", "index.html"},
        {"http://a/some%20file", "some file"},
        {"http://a/..%2f..%2fetc", "_._.._etc"},
        {"http://a/.bashrc", "_bashrc"},
        {"http://a/-rf", "_rf"},
        {"http://a/a%00b%0a", "a_b_"},
        {"http://a/%zz%4", "%zz%4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_url url;
        char name[64];
        assert_int_equal(gy_url_parse(&url, cases[i][0], NULL), 0);
        gy_url_file_name(&url, name, sizeof name);
        assert_string_equal(name, cases[i][1]);
    }
}

static void origins_are_compared(void **state)
{
    (void)state;
    struct gy_url a, b;
    gy_url_parse(&a, "http://Example.org/a", NULL);
    gy_url_parse(&b, "http://example.ORG:80/b", NULL);
    assert_true(gy_url_same_origin(&a, &b));
    gy_url_parse(&b, "https://example.org:80/b", NULL);
    assert_false(gy_url_same_origin(&a, &b));
    gy_url_parse(&b, "http://example.org:81/b", NULL);
    assert_false(gy_url_same_origin(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read_as_people_type_them),
        cmocka_unit_test(a_zone_is_dialled_but_not_told),
        cmocka_unit_test(what_is_no_http_url_is_refused),
        cmocka_unit_test(a_url_that_is_too_long_is_refused),
        cmocka_unit_test(references_are_resolved_as_the_rfc_has_it),
        cmocka_unit_test(file_names_lead_nowhere_else),
        cmocka_unit_test(origins_are_compared),
    };
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
