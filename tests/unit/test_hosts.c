/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Names of hosts, redirects, rules for header fields. */

#include "tests/unit/unit.h"

#include "servers/http/header_rules.h"
#include "servers/http/host_names.h"
#include "servers/http/redirects.h"
#include "servers/http/vhosts.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- names ---- */

static uint32_t found(const struct gy_host_names *names, const char *authority)
{
    return gy_host_names_find(names, gy_http_text_of(authority));
}

static void add_name(struct gy_host_names *names, const char *name, uint32_t host)
{
    uint32_t other;
    assert_int_equal(gy_host_name_check(name, NULL), 0);
    assert_int_equal(gy_host_names_add(names, name, host, &other), 0);
}

static void names_are_found_whatever_their_case_port_and_final_dot(void **state)
{
    (void)state;
    struct gy_host_names names = {0};
    assert_int_equal(found(&names, "example.org"), GY_HOST_NONE);
    add_name(&names, "Example.org", 1);
    add_name(&names, "[2001:DB8::1]", 2);
    add_name(&names, "192.0.2.1", 3);
    add_name(&names, "xn--bcher-kva.example.", 4);
    add_name(&names, "localhost", 5);
    static const struct {
        const char *authority;
        uint32_t host;
    } cases[] = {
        {"example.org", 1},
        {"EXAMPLE.ORG", 1},
        {"example.org:8080", 1},
        {"example.org.", 1},
        {"example.org.:80", 1},
        {"example.org:", 1},
        {"[2001:db8::1]", 2},
        {"[2001:db8::1]:443", 2},
        {"192.0.2.1:80", 3},
        {"XN--bcher-KVA.example", 4},
        {"localhost", 5},
        {"", GY_HOST_NONE},
        {".", GY_HOST_NONE},
        {"example.org..", GY_HOST_NONE},
        {"www.example.org", GY_HOST_NONE},
        {"xample.org", GY_HOST_NONE},
        {"org", GY_HOST_NONE},
        {"[2001:db8::2]", GY_HOST_NONE},
        {":80", GY_HOST_NONE},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(found(&names, cases[i].authority), cases[i].host);
    }
    gy_host_names_free(&names);
}

static void patterns_stand_for_all_that_is_below(void **state)
{
    (void)state;
    struct gy_host_names names = {0};
    add_name(&names, "*.example.org", 1);
    add_name(&names, "*.deep.example.org", 2);
    add_name(&names, "exact.deep.example.org", 3);
    add_name(&names, "example.org", 4);
    static const struct {
        const char *authority;
        uint32_t host;
    } cases[] = {
        {"a.example.org", 1},
        {"a.b.c.example.org:80", 1},
        {"deep.example.org", 1},
        {"a.deep.example.org", 2},
        {"a.b.DEEP.example.org", 2},
        {"exact.deep.example.org", 3},
        {"not.exact.deep.example.org", 2},
        {"example.org", 4},
        {".example.org", GY_HOST_NONE},
        {"aexample.org", GY_HOST_NONE},
        {"example.org.evil", GY_HOST_NONE},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(found(&names, cases[i].authority), cases[i].host);
    }
    gy_host_names_free(&names);
}

static void a_name_is_of_one_host(void **state)
{
    (void)state;
    struct gy_host_names names = {0};
    uint32_t other = 0;
    add_name(&names, "example.org", 7);
    assert_int_equal(gy_host_names_add(&names, "EXAMPLE.org.", 8, &other), GY_ESTATE);
    assert_int_equal(other, 7);
    assert_int_equal(gy_host_names_add(&names, "*.example.org", 8, &other), 0);
    gy_host_names_free(&names);
}

static void names_and_authorities_of_any_length_are_within_bounds(void **state)
{
    (void)state;
    struct gy_host_names names = {0};
    char text[600];
    uint32_t other;
    add_name(&names, "*.x", 1);
    for (size_t length = 1; length < sizeof text; length++) {
        for (size_t i = 0; i < length; i++) {
            text[i] = i % 2 ? '.' : 'x';
        }
        (void)gy_host_names_find(&names, (struct gy_http_text){text, length});
    }
    for (uint32_t i = 1; i < GY_HOST_NAMES_MAX; i++) {
        snprintf(text, sizeof text, "h%u.example", i);
        add_name(&names, text, i);
    }
    assert_int_equal(gy_host_names_add(&names, "one.more", 1, &other), GY_ELIMIT);
    assert_int_equal(found(&names, "h4000.example"), 4000);
    gy_host_names_free(&names);
}

static void what_is_no_name_is_refused_with_the_way_out(void **state)
{
    (void)state;
    static const struct {
        const char *name, *part;
    } cases[] = {
        {"", "it is empty"},
        {"*", "* stands only for what is before the first dot"},
        {"a.*.org", "* stands only for"},
        {"*.", "it is empty"},
        {"example.org:80", "leave the port away"},
        {"http://example.org", "leave http:// and the path away"},
        {"example.org/x", "leave http:// and the path away"},
        {"b\xc3\xbc"
         "cher.example",
         "which begins with xn--"},
        {"a..b", "at most 63 between dots"},
        {".a", "at most 63 between dots"},
        {"a b", "at most 63 between dots"},
        {"[::1", "write [2001:db8::1]"},
        {"[::1]:80", "write [2001:db8::1]"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "at most 63"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct gy_error error = {0};
        assert_int_equal(gy_host_name_check(cases[i].name, &error), GY_EINVAL);
        assert_non_null(strstr(error.message, cases[i].part));
    }
}

/* ---- redirects ---- */

static struct gy_redirects redirects;

static void add_redirect(const char *from, const char *to)
{
    const char *values[] = {from, to};
    assert_int_equal(gy_redirects_add(&redirects, values, 2, from, NULL), 0);
}

static void leads(const char *target, const char *to)
{
    static struct gy_redirect_location location;
    enum gy_redirect_verdict verdict =
        gy_redirects_find(&redirects, gy_http_text_of(target), &location);
    if (to == NULL) {
        assert_int_equal(verdict, GY_REDIRECT_NONE);
        return;
    }
    assert_int_equal(verdict, GY_REDIRECT_FOUND);
    assert_int_equal(location.length, strlen(to));
    assert_memory_equal(location.text, to, location.length);
}

static int close_redirects(void **state)
{
    (void)state;
    gy_redirects_free(&redirects);
    return 0;
}

static void sort(void)
{
    const struct gy_redirect *other;
    assert_null(gy_redirects_sort(&redirects, &other));
}

static void a_path_and_a_prefix_lead_where_they_should(void **state)
{
    (void)state;
    add_redirect("/docs/", "/manual/");
    add_redirect("/docs/old/", "https://old.example/a/");
    add_redirect("/gone/", "/where.html");
    add_redirect("/one.html", "/two.html");
    add_redirect("/docs/one.html", "/exact");
    add_redirect("=/alone/", "/start");
    add_redirect("/q", "/r?x=1");
    add_redirect("/b\xc3\xbc", "/buecher/");
    sort();
    leads("/one.html", "/two.html");
    leads("/one.html?a=b&c", "/two.html?a=b&c");
    leads("/one.html/", NULL);
    leads("/one.htm", NULL);
    leads("/docs/", "/manual/");
    leads("/docs", NULL);
    leads("/docs/a%20b/c?q=/docs/", "/manual/a%20b/c?q=/docs/");
    leads("/docs/one.html", "/exact");
    leads("/docs/old/x", "https://old.example/a/x");
    leads("/gone/anything/below?q", "/where.html?q");
    leads("/alone/", "/start");
    leads("/alone/x", NULL);
    leads("/q?y=2", "/r?x=1");
    leads("/b%c3%bc?q", "/buecher/?q");
    leads("/%6Fne.html", "/two.html");
    leads("*", NULL);
    leads("", NULL);
}

static void no_spelling_leads_past_a_redirect(void **state)
{
    (void)state;
    add_redirect("/secret/", "https://elsewhere.example/");
    add_redirect("/a.html", "/b.html");
    sort();
    leads("//secret/x", "https://elsewhere.example/x");
    leads("/./secret/x", "https://elsewhere.example/x");
    leads("/y/../secret/x%20y", "https://elsewhere.example/x%20y");
    leads("/%73ecret/x", "https://elsewhere.example/x");
    leads("/secret%2fx", "https://elsewhere.example/x");
    leads("//a.html?q", "/b.html?q");
    leads("/x/%2e%2e/a.html", "/b.html");
    leads("/../secret/x", NULL);
    leads("/secret%", NULL);
}

/* What is kept cannot name another host (RFC 3986 §4.2: a reference that begins with two slashes
 * does), nor end the header line. */
static void what_is_kept_names_no_host_and_ends_no_line(void **state)
{
    (void)state;
    add_redirect("/a/", "/");
    sort();
    leads("/a//evil.example/x", "/evil.example/x");
    leads("/a///evil.example", "/evil.example");
    leads("/a/\\evil.example", "/evil.example");
    leads("/a/\\/evil.example", "/evil.example");
    leads("/x/../a//evil.example", "/evil.example");
    leads("/a/%0d%0aSet-Cookie:x", "/%0d%0aSet-Cookie:x");
    leads("/x/../a/%0d%0aSet-Cookie:x", "/%0D%0ASet-Cookie%3Ax");
}

static void a_location_that_would_be_too_long_is_told_so(void **state)
{
    (void)state;
    static char target[GY_REDIRECT_LOCATION_BYTES + 64];
    struct gy_redirect_location location;
    add_redirect("/a", "/bcd");
    add_redirect("/p/", "https://example.org/");
    sort();
    memset(target, 'x', sizeof target);
    memcpy(target, "/a?", 3);
    struct gy_http_text text = {target, GY_REDIRECT_LOCATION_BYTES - 2};
    assert_int_equal(gy_redirects_find(&redirects, text, &location), GY_REDIRECT_FOUND);
    assert_int_equal(location.length, GY_REDIRECT_LOCATION_BYTES);
    text.length++;
    assert_int_equal(gy_redirects_find(&redirects, text, &location), GY_REDIRECT_LONG);
    /* A path that is longer than any file's may be leads nowhere. */
    memcpy(target, "/p/", 3);
    text.length = 4000;
    assert_int_equal(gy_redirects_find(&redirects, text, &location), GY_REDIRECT_NONE);
}

static void redirects_that_cannot_be_are_refused_with_the_way_out(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *status, *part;
    } cases[] = {
        {"old", "/new", "301", "old is no path; it begins with /"},
        {"=old", "/new", "301", "old is no path; it begins with /"},
        {"", "/new", "301", "is no path"},
        {"/a?b", "/new", "301", "not what follows ?"},
        {"/a%20b", "/new", "301", "as it is decoded"},
        {"/a\r\nb", "/new", "301", "control character"},
        {"/a", "new", "301", "neither a path"},
        {"/a", "", "301", "neither a path"},
        {"/a", "ftp://x/", "301", "neither a path"},
        {"/a", "//example.org/", "301", "write http://example.org/ or https://example.org/"},
        {"/a", "https://example.org", "301", "has no path; write https://example.org/"},
        {"/a", "https://example.org?q", "301", "has no path; write https://example.org/?q"},
        {"/a", "https:///x", "301", "names no host"},
        {"/a", "https://u@h/", "301", "names no host"},
        {"/a", "/x y", "301", "cannot be sent as a URL"},
        {"/a", "/x\r\nSet-Cookie: y", "301", "cannot be sent as a URL"},
        {"/a", "/%2", "301", "cannot be sent as a URL"},
        {"/a", "/\xc3\xbc", "301", "cannot be sent as a URL"},
        {"/a", "/b", "300", "300 is no status of a redirect; write 301"},
        {"/a", "/b", "permanent", "permanent is no status of a redirect"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *values[] = {cases[i].from, cases[i].to, cases[i].status};
        struct gy_error error = {0};
        assert_int_equal(gy_redirects_add(&redirects, values, 3, NULL, &error), GY_EINVAL);
        assert_non_null(strstr(error.message, cases[i].part));
    }
    assert_int_equal(redirects.count, 0);
}

static void the_same_path_twice_is_told(void **state)
{
    (void)state;
    const struct gy_redirect *other = NULL;
    add_redirect("/a/", "/1");
    add_redirect("=/a/", "/2");
    add_redirect("/b", "/3");
    assert_null(gy_redirects_sort(&redirects, &other));
    add_redirect("=/b", "/4");
    const struct gy_redirect *twice = gy_redirects_sort(&redirects, &other);
    assert_non_null(twice);
    assert_string_equal(twice->from, "/b");
    assert_string_equal(other->from, "/b");
}

/* Here, http://here/ leads to the same redirects. */
static const struct gy_redirects *follow(void *context, const char *to, const char **path)
{
    (void)context;
    if (strncmp(to, "http://here/", 12) != 0) {
        return NULL;
    }
    *path = to + 11;
    return &redirects;
}

static void circles_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *from[3], *to[3], *chain;
    } cases[] = {
        {{"/a"}, {"/a"}, "/a -> /a"},
        {{"/a", "/b"}, {"/b", "/a"}, "/a -> /b -> /a"},
        {{"/"}, {"/start"}, "/ -> /start -> /start"},
        {{"/a/"}, {"/a/b/"}, "/a/ -> /a/b/ -> /a/b/b/"},
        {{"/a/", "/b/"}, {"/b/", "/a/"}, "/a/ -> /b/ -> /a/"},
        {{"/a/", "=/b/"}, {"/b/", "/c"}, NULL},
        {{"/a"}, {"http://here/a"}, "/a -> http://here/a"},
        {{"/"}, {"https://here/"}, NULL},
        {{"/"}, {"http://there/"}, NULL},
        {{"=/"}, {"/start"}, NULL},
        {{"/a", "/b"}, {"/b", "/c"}, NULL},
        {{"/x y"}, {"/x%20y"}, "/x%20y -> /x%20y"},
        /* Only below the prefix. */
        {{"/p/", "=/p/"}, {"/p/q/", "/done"}, "/p/x -> /p/q/x"},
    };
    static const struct gy_redirect_map map = {follow, NULL};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char chain[256];
        for (size_t r = 0; r < 3 && cases[i].from[r] != NULL; r++) {
            add_redirect(cases[i].from[r], cases[i].to[r]);
        }
        sort();
        const struct gy_redirect *round =
            gy_redirects_circle(&redirects, &map, chain, sizeof chain);
        assert_true((round != NULL) == (cases[i].chain != NULL));
        if (round != NULL) {
            assert_memory_equal(chain, cases[i].chain, strlen(cases[i].chain));
        }
        gy_redirects_free(&redirects);
    }
}

static void redirects_are_bounded(void **state)
{
    (void)state;
    static char names[GY_REDIRECTS_MAX + 1][12];
    struct gy_error error = {0};
    for (uint32_t i = 0; i <= GY_REDIRECTS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "/%u%s", i, i < GY_REDIRECT_PREFIXES_MAX ? "/" : "");
        const char *values[] = {names[i], "/x"};
        int code = gy_redirects_add(&redirects, values, 2, NULL, &error);
        assert_int_equal(code, i < GY_REDIRECTS_MAX ? 0 : GY_ELIMIT);
    }
    sort();
    leads("/4000", "/x");
    leads("/255/y", "/x");
    leads("/4096", NULL);
    gy_redirects_free(&redirects);
    for (uint32_t i = 0; i <= GY_REDIRECT_PREFIXES_MAX; i++) {
        snprintf(names[i], sizeof names[i], "/%u/", i);
        const char *values[] = {names[i], "/x"};
        int code = gy_redirects_add(&redirects, values, 2, NULL, &error);
        assert_int_equal(code, i < GY_REDIRECT_PREFIXES_MAX ? 0 : GY_ELIMIT);
    }
}

/* ---- header fields ---- */

static struct gy_header_rules rules;

static void add_rule(const char *name, const char *value, const char *always)
{
    const char *values[] = {name, value, always};
    uint32_t count = value == NULL ? 1 : always == NULL ? 2 : 3;
    struct gy_error error = {0};
    assert_int_equal(gy_header_rules_add(&rules, values, count, &error), 0);
}

/* What becomes of some fields, as "Name: value|Name: value|". */
static const char *applied(uint16_t status, const struct gy_http_header *headers, uint32_t count)
{
    static char text[512];
    struct gy_http_header to[GY_HEADER_FIELDS_MAX];
    uint32_t after = gy_header_rules_apply(&rules, status, headers, count, to);
    text[0] = '\0';
    for (uint32_t i = 0; i < after; i++) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%.*s: %.*s|", (int)to[i].name.length,
                 to[i].name.data, (int)to[i].value.length, to[i].value.data);
    }
    return text;
}

static void rules_set_add_and_remove_in_their_order(void **state)
{
    (void)state;
    rules = (struct gy_header_rules){0};
    add_rule("cache-control", "no-cache", NULL);
    add_rule("+Vary", "Origin", NULL);
    add_rule("-etag", NULL, NULL);
    add_rule("X-Frame-Options", "DENY", "always");
    add_rule("Cache-Control", "max-age=60", NULL);
    const struct gy_http_header headers[] = {
        GY_HTTP_HEADER("ETag", "\"x\""),
        GY_HTTP_HEADER("Vary", "Accept-Encoding"),
        GY_HTTP_HEADER("Cache-Control", "private"),
    };
    assert_string_equal(applied(200, headers, 3),
                        "Vary: Accept-Encoding|Vary: Origin|X-Frame-Options: DENY|"
                        "Cache-Control: max-age=60|");
    assert_string_equal(applied(304, NULL, 0),
                        "Vary: Origin|X-Frame-Options: DENY|Cache-Control: max-age=60|");
    assert_string_equal(applied(404, headers, 3),
                        "Vary: Accept-Encoding|Cache-Control: private|X-Frame-Options: DENY|");
}

/* RFC 9110 §14.6: its boundary is told nowhere else. */
static void the_type_of_a_multipart_body_stays(void **state)
{
    (void)state;
    rules = (struct gy_header_rules){0};
    add_rule("Content-Type", "text/plain", NULL);
    const struct gy_http_header one[] = {GY_HTTP_HEADER("Content-Type", "text/html")};
    const struct gy_http_header many[] = {
        GY_HTTP_HEADER("Content-Type", "multipart/byteranges; boundary=x")};
    assert_string_equal(applied(206, one, 1), "Content-Type: text/plain|");
    assert_string_equal(applied(206, many, 1), "Content-Type: multipart/byteranges; boundary=x|");
}

static void rules_that_cannot_be_are_refused_with_the_way_out(void **state)
{
    (void)state;
    static const struct {
        const char *values[3];
        uint32_t count;
        const char *part;
    } cases[] = {
        {{"Content-Length", "5"}, 2, "Content-Length cannot be changed: it frames the message"},
        {{"transfer-encoding", "x"}, 2, "Transfer-Encoding cannot be changed: it frames"},
        {{"+Connection", "close"}, 2, "Connection cannot be changed"},
        {{"-Date"}, 1, "Date cannot be changed"},
        {{"Location", "/x"}, 2, "write a redirect instead"},
        {{"Content-Encoding", "gzip"}, 2, "cannot be changed"},
        {{"-Content-Type"}, 1, "cannot be removed"},
        {{"X Y", "z"}, 2, "X Y is no name of a header field"},
        {{"X:", "z"}, 2, "X: is no name of a header field"},
        {{"", "z"}, 2, "is no name of a header field"},
        {{"-", "z"}, 2, "is no name of a header field"},
        {{"X", "a\r\nSet-Cookie: b"}, 2, "cannot be sent"},
        {{"X", "a\n"}, 2, "cannot be sent"},
        {{"X", " a"}, 2, "no blanks around it"},
        {{"X", "a\x7f"}, 2, "cannot be sent"},
        {{"X"}, 1, "X has no value; write one, or -X to remove the field"},
        {{"-X", "y"}, 2, "leave the value away"},
        {{"X", "max-age=1,", "public"}, 3, "are quotes around the value missing?"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct gy_error error = {0};
        rules = (struct gy_header_rules){0};
        assert_int_equal(gy_header_rules_add(&rules, cases[i].values, cases[i].count, &error),
                         GY_EINVAL);
        assert_non_null(strstr(error.message, cases[i].part));
        assert_int_equal(rules.count, 0);
    }
}

static void rules_are_bounded(void **state)
{
    (void)state;
    static char value[GY_HEADER_RULES_BYTES_MAX + 1];
    static const char *const rule[] = {"+X", "y"};
    struct gy_http_header headers[GY_HEADER_FIELDS_MAX - GY_HEADER_RULES_MAX];
    struct gy_http_header to[GY_HEADER_FIELDS_MAX];
    struct gy_error error = {0};
    rules = (struct gy_header_rules){0};
    for (uint32_t i = 0; i < GY_HEADER_RULES_MAX; i++) {
        assert_int_equal(gy_header_rules_add(&rules, rule, 2, &error), 0);
    }
    assert_int_equal(gy_header_rules_add(&rules, rule, 2, &error), GY_ELIMIT);
    for (uint32_t i = 0; i < COUNT(headers); i++) {
        headers[i] = GY_HTTP_HEADER("A", "b");
    }
    assert_int_equal(gy_header_rules_apply(&rules, 200, headers, COUNT(headers), to), COUNT(to));
    rules = (struct gy_header_rules){0};
    memset(value, 'v', sizeof value - 1);
    const char *large[] = {"X", value};
    assert_int_equal(gy_header_rules_add(&rules, large, 2, &error), GY_ELIMIT);
}

/* ---- paths ---- */

static void the_longest_path_has_its_rules(void **state)
{
    (void)state;
    struct gy_vhost vhost = {0};
    struct gy_vhost_path paths[] = {{.path = "/a/", .length = 3},
                                    {.path = "/a/b/", .length = 5},
                                    {.path = "/a/x", .length = 4}};
    for (uint32_t i = 0; i < COUNT(paths); i++) {
        vhost.paths[vhost.path_count++] = &paths[i];
    }
    static const struct {
        const char *target;
        int path; /* -1: the host's own */
    } cases[] = {
        {"/", -1},       {"/a", -1},       {"/a/", 0},           {"/a/c?/a/b/", 0},
        {"/a/b", 0},     {"/a/b/", 1},     {"/a/b/c/d", 1},      {"/a/x", 2},
        {"/a/x/", 0},    {"/a/xy", 0},     {"//a//b/c", 1},      {"/c/../a/x", 2},
        {"/%61/b/c", 1}, {"/a/b/../y", 0}, {"/a/b/../../y", -1}, {"/a/.git", -1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct gy_header_rules *got =
            gy_vhost_rules(&vhost, gy_http_text_of(cases[i].target));
        assert_ptr_equal(got, cases[i].path < 0 ? &vhost.headers : &paths[cases[i].path].headers);
    }
}

#define REDIRECT_TEST(name) cmocka_unit_test_teardown(name, close_redirects)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_whatever_their_case_port_and_final_dot),
        cmocka_unit_test(patterns_stand_for_all_that_is_below),
        cmocka_unit_test(a_name_is_of_one_host),
        cmocka_unit_test(names_and_authorities_of_any_length_are_within_bounds),
        cmocka_unit_test(what_is_no_name_is_refused_with_the_way_out),
        REDIRECT_TEST(a_path_and_a_prefix_lead_where_they_should),
        REDIRECT_TEST(no_spelling_leads_past_a_redirect),
        REDIRECT_TEST(what_is_kept_names_no_host_and_ends_no_line),
        REDIRECT_TEST(a_location_that_would_be_too_long_is_told_so),
        REDIRECT_TEST(redirects_that_cannot_be_are_refused_with_the_way_out),
        REDIRECT_TEST(the_same_path_twice_is_told),
        REDIRECT_TEST(circles_are_found),
        REDIRECT_TEST(redirects_are_bounded),
        cmocka_unit_test(rules_set_add_and_remove_in_their_order),
        cmocka_unit_test(the_type_of_a_multipart_body_stays),
        cmocka_unit_test(rules_that_cannot_be_are_refused_with_the_way_out),
        cmocka_unit_test(rules_are_bounded),
        cmocka_unit_test(the_longest_path_has_its_rules),
    };
    return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
