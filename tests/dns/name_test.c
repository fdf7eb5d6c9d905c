/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Domain names. */

#include "tests/dns/probe.h"

static int read_at(const char *message, size_t bytes, size_t *at, uint8_t *name)
{
    uint8_t *copy = exact(message, bytes);
    int length = gy_dns_name_read(copy, bytes, at, name);
    free(copy);
    return length;
}

/* RFC 1035 §4.1.4: F.ISI.ARPA at 20, FOO and a pointer at 40, a pointer to ARPA at 64, the root. */
static void pointers_are_followed_as_in_rfc_1035(void **state)
{
    char message[93] = {0};
    uint8_t name[GY_DNS_NAME_MAX];
    size_t at = 20;
    (void)state;
    memcpy(message + 20, "\1F\3ISI\4ARPA\0", 12);
    memcpy(message + 40, "\3FOO\xc0\x14", 6);
    memcpy(message + 64, "\xc0\x1a", 2);
    assert_int_equal(read_at(message, sizeof message, &at, name), 12);
    assert_int_equal(at, 32);
    at = 40;
    assert_int_equal(read_at(message, sizeof message, &at, name), 16);
    assert_memory_equal(name, "\3FOO\1F\3ISI\4ARPA\0", 16);
    assert_int_equal(at, 46);
    at = 64;
    assert_int_equal(read_at(message, sizeof message, &at, name), 6);
    assert_int_equal(at, 66);
    at = 92;
    assert_int_equal(read_at(message, sizeof message, &at, name), 1);
}

static void hostile_names_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        size_t at;
    } cases[] = {
        {"\xc0\x00", 2, 0},         /* to itself */
        {"\xc0\x02\xc0\x00", 4, 0}, /* forward */
        {"\xc0\x02\xc0\x00", 4, 2}, /* back, then forward */
        {"\1a\xc0\x00", 4, 0},      /* to its own start */
        {"\xc0", 1, 0},             /* half a pointer */
        {"\5ab", 3, 0},             /* cut short */
        {"\1a", 2, 0},              /* no root */
        {"", 0, 0},                 /* nothing */
        {"\x40"
         "a",
         2, 0}, /* a label type of RFC 2673 */
        {"\x80"
         "a",
         2, 0},             /* none at all */
        {"\xff\xff", 2, 0}, /* to where there is nothing */
    };
    uint8_t name[GY_DNS_NAME_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t at = cases[i].at;
        assert_int_equal(read_at(cases[i].bytes, cases[i].length, &at, name), GY_EPROTO);
    }
}

static void a_name_has_at_most_255_bytes(void **state)
{
    char message[300] = {0};
    uint8_t name[GY_DNS_NAME_MAX];
    size_t at = 0;
    (void)state;
    for (int i = 0; i < 4; i++) {
        message[i * 64] = i < 3 ? 63 : 61;
    }
    assert_int_equal(read_at(message, 255, &at, name), 255);
    assert_int_equal(gy_dns_name_bytes(name), 255);
    message[3 * 64] = 62;
    at = 0;
    assert_int_equal(read_at(message, 256, &at, name), GY_EPROTO);
    /* A pointer that makes it too long. */
    memset(message, 0, sizeof message);
    for (int i = 0; i < 3; i++) {
        message[i * 64] = 63;
    }
    message[193] = 63;
    memcpy(message + 193 + 64, "\xc0\x00", 2);
    at = 193;
    assert_int_equal(read_at(message, sizeof message, &at, name), GY_EPROTO);
    at = 0;
    assert_int_equal(gy_dns_name_skip((const uint8_t *)message, 193, &at), 0);
}

static void text_and_wire_are_the_same_name(void **state)
{
    static const struct {
        const char *text;
        const char *wire;
        const char *back;
    } cases[] = {
        {"www.Example.", "\3www\7Example", "www.Example."},
        {".", "", "."},
        {"a\\.b.c.", "\3a.b\1c", "a\\.b.c."},
        {"a\\032b.", "\3a b", "a\\032b."},
        {"\\200\\\\.", "\2\xc8\\", "\\200\\\\."},
        {"rel", "\3rel\7example", "rel.example."},
        {"@", "\7example", "example."},
    };
    uint8_t name[GY_DNS_NAME_MAX];
    char text[GY_DNS_NAME_TEXT_BYTES];
    const uint8_t *origin = (const uint8_t *)"\7example";
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int bytes = gy_dns_name_from_text(cases[i].text, strlen(cases[i].text), origin, name, NULL);
        assert_int_equal(bytes, strlen(cases[i].wire) + 1);
        assert_memory_equal(name, cases[i].wire, bytes);
        assert_int_equal(gy_dns_name_to_text(name, text), strlen(cases[i].back));
        assert_string_equal(text, cases[i].back);
    }
}

static void text_that_is_no_name_says_why(void **state)
{
    static const char *const cases[] = {
        "",
        "a..b",
        ".a",
        "a\\",
        "a\\25",
        "a\\256",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."};
    uint8_t name[GY_DNS_NAME_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *why = NULL;
        assert_int_equal(gy_dns_name_from_text(cases[i], strlen(cases[i]), NULL, name, &why),
                         GY_EINVAL);
        assert_non_null(why);
    }
    char text[1100];
    for (int i = 0; i < 255; i++) {
        memcpy(text + i * 4, i % 60 == 59 ? ".\\09" : "\\097", 4);
    }
    assert_int_equal(gy_dns_name_from_text(text, 1020, NULL, name, NULL), GY_EINVAL);
}

/* RFC 4034 §6.1 */
static void canonical_order_is_that_of_rfc_4034(void **state)
{
    static const char *const names[] = {
        "example.",         "a.example.",      "yljkjljk.a.example.",
        "Z.a.example.",     "zABC.a.EXAMPLE.", "z.example.",
        "\\001.z.example.", "*.z.example.",    "\\200.z.example."};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        for (size_t n = 0; n < COUNT(names); n++) {
            int order = gy_dns_name_compare(rig_name(names[i]), rig_name(names[n]));
            assert_int_equal((order > 0) - (order < 0), (i > n) - (i < n));
        }
    }
}

static void case_does_not_matter(void **state)
{
    (void)state;
    assert_true(gy_dns_name_equal(rig_name("wWw.[x]."), rig_name("WwW.[X].")));
    assert_false(gy_dns_name_equal(rig_name("a{."), rig_name("a[.")));
    assert_int_equal(gy_dns_name_hash(rig_name("WWW.Example."), 5),
                     gy_dns_name_hash(rig_name("www.eXample."), 5));
    assert_int_not_equal(gy_dns_name_hash(rig_name("www.example."), 5),
                         gy_dns_name_hash(rig_name("www.example."), 6));
    assert_int_not_equal(gy_dns_name_hash(rig_name("ab.c."), 5),
                         gy_dns_name_hash(rig_name("a.bc."), 5));
    for (unsigned c = 0; c < 256; c++) {
        uint64_t word = 0x0101010101010101u * c, lower = gy_dns_lower8(word);
        assert_int_equal(lower & 255, c >= 'A' && c <= 'Z' ? c + 32 : c);
        assert_int_equal(lower >> 56, c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
}

static void suffixes_hash_as_names_do(void **state)
{
    struct gy_dns_suffixes suffixes;
    const uint8_t *name = rig_name("a.longer-label-here.example.");
    (void)state;
    gy_dns_name_suffixes(name, 9, &suffixes);
    assert_int_equal(suffixes.labels, 3);
    for (uint32_t i = 0; i <= 3; i++) {
        assert_int_equal(suffixes.hash[i], gy_dns_name_hash(name + suffixes.offset[i], 9));
        assert_int_equal(gy_dns_name_labels(name + suffixes.offset[i]), i);
    }
    assert_ptr_equal(gy_dns_name_suffix(name, rig_name("EXAMPLE.")), name + suffixes.offset[1]);
    assert_null(gy_dns_name_suffix(name, rig_name("xample.")));
    assert_null(gy_dns_name_suffix(rig_name("example."), name));
}

static void dnames_replace_the_end(void **state)
{
    uint8_t name[GY_DNS_NAME_MAX];
    (void)state;
    assert_int_equal(
        gy_dns_name_substitute(rig_name("a.b.c."), rig_name("c."), rig_name("x.y."), name), 9);
    assert_true(gy_dns_name_equal(name, rig_name("a.b.x.y.")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointers_are_followed_as_in_rfc_1035),
        cmocka_unit_test(hostile_names_are_refused),
        cmocka_unit_test(a_name_has_at_most_255_bytes),
        cmocka_unit_test(text_and_wire_are_the_same_name),
        cmocka_unit_test(text_that_is_no_name_says_why),
        cmocka_unit_test(canonical_order_is_that_of_rfc_4034),
        cmocka_unit_test(case_does_not_matter),
        cmocka_unit_test(suffixes_hash_as_names_do),
        cmocka_unit_test(dnames_replace_the_end),
    };
    return cmocka_run_group_tests_name("dns names", tests, NULL, NULL);
}
