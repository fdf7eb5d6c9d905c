/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Zone files: text in, records out. */

#include "tests/dns/probe.h"

static char seen[1 << 16];
static size_t seen_bytes;
static unsigned include_calls;

static int record(void *context, struct gy_dns_zonefile *file, const struct gy_dns_record *one,
                  struct gy_error *error)
{
    (void)context;
    (void)file;
    (void)error;
    assert_int_equal(gy_dns_rdata_check(one->type, one->rdata, one->rdata_bytes), 0);
    int length =
        gy_dns_record_to_text(one->owner, one->type, one->class, one->ttl, one->rdata,
                              one->rdata_bytes, seen + seen_bytes, sizeof seen - seen_bytes - 2);
    assert_true(length > 0);
    seen_bytes += (size_t)length;
    seen[seen_bytes++] = '\n';
    seen[seen_bytes] = 0;
    return 0;
}

static int include(void *context, struct gy_dns_zonefile *file, const char *name, size_t name_bytes,
                   const uint8_t *origin, struct gy_error *error)
{
    static const char inner[] = "inner A 192.0.2.9\n$ORIGIN sub\nx A 192.0.2.8\n";
    struct gy_dns_zonefile child;
    size_t used;
    (void)context;
    include_calls++;
    int code = gy_dns_zonefile_include(&child, file, "inner", origin, error);
    if (code != 0) {
        return code;
    }
    if (name_bytes == 4 && memcmp(name, "self", 4) == 0) {
        return gy_dns_zonefile_feed(&child, "$INCLUDE self\n", 14, true, &used, error);
    }
    assert_memory_equal(name, "a b", 3);
    return gy_dns_zonefile_feed(&child, inner, sizeof inner - 1, true, &used, error);
}

static int feed(const char *text, size_t bytes, size_t piece, struct gy_error *error)
{
    static const struct gy_dns_zonefile_settings settings = {
        .record = record, .include = include, .generate_max = 300};
    struct gy_dns_zonefile file;
    size_t at = 0, have = piece == 0 ? bytes : piece, used;
    seen_bytes = 0;
    seen[0] = 0;
    memset(error, 0, sizeof *error);
    gy_dns_zonefile_init(&file, &settings, "test.zone", rig_name("example."));
    for (;;) {
        have = have < bytes ? have : bytes;
        uint8_t *copy = exact(text + at, have - at);
        int code =
            gy_dns_zonefile_feed(&file, (char *)copy, have - at, have == bytes, &used, error);
        free(copy);
        at += used;
        if (code != 0 || have == bytes) {
            return code;
        }
        have += piece;
    }
}

/* Whole, and in pieces of every small size: the same records. */
static void expect(const char *text, const char *records)
{
    struct gy_error error;
    for (size_t piece = 0; piece < 12; piece++) {
        int code = feed(text, strlen(text), piece, &error);
        assert_string_equal(error.message, "");
        assert_int_equal(code, 0);
        assert_string_equal(seen, records);
    }
}

static void expect_error(const char *text, const char *message)
{
    struct gy_error error;
    for (size_t piece = 0; piece < 3; piece++) {
        assert_true(feed(text, strlen(text), piece, &error) < 0);
        if (strncmp(error.message, message, strlen(message)) != 0) {
            assert_string_equal(error.message, message);
        }
    }
}

/* RFC 1035 §5.3 */
static void the_example_of_rfc_1035(void **state)
{
    (void)state;
    expect(
        "$ORIGIN ISI.EDU.\n$TTL 60\n"
        "@   IN  SOA     VENERA      Action\\.domains (\n"
        "                                 20     ; SERIAL\n"
        "                                 7200   ; REFRESH\n"
        "                                 600    ; RETRY\n"
        "                                 3600000; EXPIRE\n"
        "                                 60)    ; MINIMUM\n"
        "\n"
        "        NS      A.ISI.EDU.\n"
        "        NS      VAXA\n"
        "        MX      10      VENERA\n"
        "A       A       26.3.0.103\n"
        "VENERA  A       10.1.0.52\n"
        "        A       128.9.0.32\n",
        "ISI.EDU.\t60\tIN\tSOA\tVENERA.ISI.EDU. Action\\.domains.ISI.EDU. 20 7200 600 3600000 60\n"
        "ISI.EDU.\t60\tIN\tNS\tA.ISI.EDU.\nISI.EDU.\t60\tIN\tNS\tVAXA.ISI.EDU.\n"
        "ISI.EDU.\t60\tIN\tMX\t10 VENERA.ISI.EDU.\nA.ISI.EDU.\t60\tIN\tA\t26.3.0.103\n"
        "VENERA.ISI.EDU.\t60\tIN\tA\t10.1.0.52\nVENERA.ISI.EDU.\t60\tIN\tA\t128.9.0.32\n");
}

static void ttl_and_class_in_any_order_or_left_out(void **state)
{
    (void)state;
    expect(
        "$TTL 1h\na A 1.2.3.4\na 5 A 1.2.3.5\na IN 6 A 1.2.3.6\na 1m30s in A 1.2.3.7\n\ta\t1.2.3.8",
        "a.example.\t3600\tIN\tA\t1.2.3.4\na.example.\t5\tIN\tA\t1.2.3.5\n"
        "a.example.\t6\tIN\tA\t1.2.3.6\na.example.\t90\tIN\tA\t1.2.3.7\n"
        "a.example.\t3600\tIN\tA\t1.2.3.8\n");
    /* Without $TTL: that of the record before; an SOA's minimum. */
    expect("a 7 A 1.2.3.4\nb A 1.2.3.5\n",
           "a.example.\t7\tIN\tA\t1.2.3.4\nb.example.\t7\tIN\tA\t1.2.3.5\n");
    expect("@ SOA . . 1 2 3 4 77\nb A 1.2.3.5\n",
           "example.\t77\tIN\tSOA\t. . 1 2 3 4 77\nb.example.\t77\tIN\tA\t1.2.3.5\n");
}

static void odd_files_are_read(void **state)
{
    (void)state;
    expect("", "");
    expect("; only a comment", "");
    expect("\xef\xbb\xbf$TTL 1\r\na A 1.2.3.4 ; comment\r\n\r\n   \t \r\n(\r\n)\r\n",
           "a.example.\t1\tIN\tA\t1.2.3.4\n");
    expect("$TTL 1\na TXT \"; no comment ( )\" plain\\;x\n",
           "a.example.\t1\tIN\tTXT\t\"; no comment ( )\" \"plain;x\"\n");
    expect("$TTL 1\nA A 1.2.3.4\nNS NS NS\nIN IN A 1.2.3.4\n3600 A 1.2.3.4\n",
           "A.example.\t1\tIN\tA\t1.2.3.4\nNS.example.\t1\tIN\tNS\tNS.example.\n"
           "IN.example.\t1\tIN\tA\t1.2.3.4\n3600.example.\t1\tIN\tA\t1.2.3.4\n");
    expect("$TTL 1\na ( A\n1.2.3.4\n)\nb SVCB 1 . alpn=\"h2 x\" ; c\n",
           "a.example.\t1\tIN\tA\t1.2.3.4\nb.example.\t1\tIN\tSVCB\t1 . alpn=\"h2 x\"\n");
    expect("$TTL 1\na TYPE65280 \\# 2 ABCD\na CLASS1 TYPE1 \\# 4 01020304\n",
           "a.example.\t1\tIN\tTYPE65280\t\\# 2 ABCD\na.example.\t1\tIN\tA\t1.2.3.4\n");
}

static void generate_makes_records(void **state)
{
    (void)state;
    expect("$TTL 1\n$GENERATE 1-5/2 host$ A 10.0.0.$\n",
           "host1.example.\t1\tIN\tA\t10.0.0.1\nhost3.example.\t1\tIN\tA\t10.0.0.3\n"
           "host5.example.\t1\tIN\tA\t10.0.0.5\n");
    expect("$TTL 1\n$GENERATE 9-10 h${1,3}-${-9,0,x}.\\$$ 60 IN CNAME ${0,4,X}.x\n",
           "h010-0.\\$9.example.\t60\tIN\tCNAME\t0009.x.example.\n"
           "h011-1.\\$10.example.\t60\tIN\tCNAME\t000A.x.example.\n");
    expect("$TTL 1\n$GENERATE 18-18 ${0,7,n} PTR a\n",
           "2.1.0.0.example.\t1\tIN\tPTR\ta.example.\n");
    expect_error("$TTL 1\n\n$GENERATE 1-301 a$ A 10.0.0.1\n",
                 "test.zone:3:11: \"1-301\": the range");
    expect_error("$GENERATE 2-1 a$ A 10.0.0.1\n", "test.zone:1:11: \"2-1\": this is not a range");
    expect_error("$TTL 1\n$GENERATE 1-300 a$ A 10.0.0.$\n",
                 "test.zone:2: a record of $GENERATE, \"a256 A 10.0.0.256\"");
    expect_error("$GENERATE 1-2 ${ A 10.0.0.$\n", "test.zone:1:");
    expect_error("$GENERATE 1-2 $GENERATE 1-2 a\n", "test.zone:1");
}

static void includes_have_their_own_origin(void **state)
{
    (void)state;
    expect("$TTL 1\n$INCLUDE \"a b\" in\nx A 1.2.3.4\n",
           "inner.in.example.\t1\tIN\tA\t192.0.2.9\nx.sub.in.example.\t1\tIN\tA\t192.0.2.8\n"
           "x.example.\t1\tIN\tA\t1.2.3.4\n");
    include_calls = 0;
    expect_error("$INCLUDE self\n", "inner:1: files include each other");
    assert_int_equal(include_calls, 3 * GY_DNS_INCLUDE_DEPTH_MAX);
}

static void errors_say_where_and_what(void **state)
{
    (void)state;
    expect_error("$TTL 1\na A 1.2.3\n", "test.zone:2:5: \"1.2.3\": this is not an IPv4 address");
    expect_error("$TTL 1\na MX (\n10\n\n 1..2 )\n",
                 "test.zone:5:2: \"1..2\": it has an empty label");
    expect_error("a A 1.2.3.4\n", "test.zone:1:3: \"A\": the record has no TTL");
    expect_error("  A 1.2.3.4\n", "test.zone:1:3: \"A\": the first record has no owner");
    expect_error("$TTL 1\na BOGUS x\n", "test.zone:2:3: \"BOGUS\": this is no TTL");
    expect_error("$TTL 1\na CH TXT x\nb IN TXT y\n", "test.zone:3");
    expect_error("$TTL 1\na A 1.2.3.4 5\n", "test.zone:2:13: \"5\": this is one word too many");
    expect_error("$TTL 1\na TXT \"open\nb A 1.2.3.4\n", "test.zone:2");
    expect_error("$TTL 1\na TXT ( x\n", "test.zone:2:7: \"(\"");
    expect_error("$TTL 1\na A 1.2.3.4 )\n", "test.zone:2:13: a parenthesis is closed");
    expect_error("$TTL 1\na TXT (x\n( y )\nb A 1.2.3.4\n",
                 "test.zone:2:7: \"(\": this parenthesis is not closed");
    expect_error("$TTL 4294967295\n", "test.zone:1:6: \"4294967295\": this is not a TTL");
    expect_error("$BOGUS 1\n", "test.zone:1:1: \"$BOGUS\": this directive is not known");
    expect_error("$TTL 1\na OPT \\# 0\n", "test.zone:2");
    expect_error("$TTL 1\na CLASS0 A 1.2.3.4\n", "test.zone:2:3: \"CLASS0\"");
    expect_error("$TTL 1\na ANY A 1.2.3.4\n", "test.zone:2");
    expect_error("$TTL 1\na\n", "test.zone:2");
    expect_error("$ORIGIN\n", "test.zone:1");
    expect_error("$TTL 1\na\\999 A 1.2.3.4\n", "test.zone:2:1");
}

static void bytes_that_are_no_text_do_no_harm(void **state)
{
    struct gy_error error;
    char text[256];
    uint64_t seed = 88172645463325252u;
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        static const char alphabet[] = "a.\\\"();$@ \t\n\r01\0\xff=TXT IN A";
        size_t bytes = 0;
        memcpy(text, "$TTL 1\n", 7);
        for (bytes = 7; bytes < 7 + round % 60; bytes++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text[bytes] = alphabet[(seed >> 33) % (sizeof alphabet - 1)];
        }
        int code = feed(text, bytes, 0, &error);
        assert_true(code == 0 ? error.message[0] == 0
                              : strncmp(error.message, "test.zone:", 10) == 0 ||
                                    strncmp(error.message, "inner:", 6) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_1035),
        cmocka_unit_test(ttl_and_class_in_any_order_or_left_out),
        cmocka_unit_test(odd_files_are_read),
        cmocka_unit_test(generate_makes_records),
        cmocka_unit_test(includes_have_their_own_origin),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(bytes_that_are_no_text_do_no_harm),
    };
    return cmocka_run_group_tests_name("dns zone files", tests, NULL, NULL);
}
