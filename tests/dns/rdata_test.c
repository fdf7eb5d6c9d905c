/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Record data of every type, between presentation and wire format. */

#include "tests/dns/probe.h"

struct one {
    uint16_t type;
    const char *text; /* as it may be written */
    const char *back; /* as it is printed; NULL: the same */
    const char *hex;  /* on the wire; NULL: not looked at */
};

static const struct one good[] = {
    {GY_DNS_TYPE_A, "192.0.2.1", NULL, "C0000201"},
    {GY_DNS_TYPE_AAAA, "2001:0db8:0:0:0:0:0:1", "2001:db8::1", "20010DB8000000000000000000000001"},
    {GY_DNS_TYPE_AAAA, "::ffff:192.0.2.1", NULL, "00000000000000000000FFFFC0000201"},
    {GY_DNS_TYPE_AAAA, "::", NULL, "00000000000000000000000000000000"},
    {GY_DNS_TYPE_AAAA, "1:0:0:2:0:0:0:3", "1:0:0:2::3", NULL},
    {GY_DNS_TYPE_NS, "ns", "ns.example.", "026E73076578616D706C6500"},
    {GY_DNS_TYPE_CNAME, "a.b.", NULL, NULL},
    {GY_DNS_TYPE_DNAME, "a.b.", NULL, NULL},
    {GY_DNS_TYPE_PTR, "@", "example.", NULL},
    {GY_DNS_TYPE_SOA, "ns h 2024010101 1h 15m 1w2d 1d",
     "ns.example. h.example. 2024010101 3600 900 777600 86400", NULL},
    {GY_DNS_TYPE_MX, "10 mail", "10 mail.example.", NULL},
    {GY_DNS_TYPE_TXT, "\"a b\" c \"\\\"q\\\"\" \"\\001\\\\\"",
     "\"a b\" \"c\" \"\\\"q\\\"\" \"\\001\\\\\"", "0361206201630322712202015C"},
    {GY_DNS_TYPE_TXT, "\"\"", NULL, "00"},
    {GY_DNS_TYPE_SPF, "\"v=spf1 -all\"", NULL, NULL},
    {GY_DNS_TYPE_HINFO, "KLH-10 \"ITS X\"", "\"KLH-10\" \"ITS X\"", NULL},
    {GY_DNS_TYPE_SRV, "0 5 5060 sip", "0 5 5060 sip.example.", NULL},
    {GY_DNS_TYPE_NAPTR, "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" .", NULL, NULL},
    {GY_DNS_TYPE_RP, "admin.x. text.x.", NULL, NULL},
    {GY_DNS_TYPE_AFSDB, "1 afs.x.", NULL, NULL},
    {GY_DNS_TYPE_KX, "1 kx.x.", NULL, NULL},
    {GY_DNS_TYPE_LP, "10 l64.x.", NULL, NULL},
    /* RFC 1876's example, and its defaults. */
    {GY_DNS_TYPE_LOC, "42 21 54 N 71 06 18 W -24m 30m",
     "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
     "00331613 89172DD0 70BE15F0 00988D20"},
    {GY_DNS_TYPE_LOC, "52 N 4 E 0", "52 0 0.000 N 4 0 0.000 E 0.00m 1.00m 10000.00m 10.00m", NULL},
    {GY_DNS_TYPE_APL, "1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32", NULL,
     "00011503C0A82000011C83C0A82600022004 20010DB8"},
    {GY_DNS_TYPE_APL, "", NULL, ""},
    {GY_DNS_TYPE_CERT, "PGP 0 0 AQID", NULL, "0003000000010203"},
    {GY_DNS_TYPE_DS, "60485 RSASHA1 1 ( 2BB183AF5F22588179A53B0A 98631FAD1A292118 )",
     "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118", NULL},
    {GY_DNS_TYPE_CDS, "0 0 0 00", NULL, "0000000000"},
    {GY_DNS_TYPE_CDNSKEY, "0 3 0 AA==", NULL, "0000030000"},
    {GY_DNS_TYPE_DLV, "1 8 2 ABCD", NULL, NULL},
    {GY_DNS_TYPE_DNSKEY, "256 3 5 AQ ID", "256 3 5 AQID", "01000305010203"},
    {GY_DNS_TYPE_RRSIG, "A 5 3 86400 20030322173103 20030220173103 2642 example.com. AQID", NULL,
     "0001050300015180 3E7C9DD7 3E5510D7 0A52 076578616D706C6503636F6D00 010203"},
    /* RFC 4034 §4.3 */
    {GY_DNS_TYPE_NSEC, "host.example.com. A MX RRSIG NSEC TYPE1234", NULL,
     "04686F7374076578616D706C6503636F6D00 0006400100000003 041B"
     "000000000000000000000000000000000000000000000000000020"},
    {GY_DNS_TYPE_NSEC3, "1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG",
     "1 1 12 AABBCCDD 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG", NULL},
    {GY_DNS_TYPE_NSEC3, "1 0 0 - 2vptu5timamqttgl4luu9kg21e0aor3s", NULL, NULL},
    {GY_DNS_TYPE_NSEC3PARAM, "1 0 12 AABBCCDD", NULL, "0100000C04AABBCCDD"},
    {GY_DNS_TYPE_SSHFP, "2 1 123456789ABCDEF67890123456789ABCDEF67890", NULL, NULL},
    {GY_DNS_TYPE_TLSA, "3 1 1 00 11", "3 1 1 0011", "0301010011"},
    {GY_DNS_TYPE_SMIMEA, "3 1 1 AB", NULL, NULL},
    {GY_DNS_TYPE_OPENPGPKEY, "AQIDBA==", NULL, "01020304"},
    {GY_DNS_TYPE_DHCID, "AAEC", NULL, "000102"},
    {GY_DNS_TYPE_CSYNC, "66 3 A NS AAAA", NULL, "000000420003 000460000008"},
    {GY_DNS_TYPE_ZONEMD, "2018031500 1 1 616C6C6F77656420", NULL, NULL},
    {GY_DNS_TYPE_EUI48, "00-00-5e-00-53-2a", NULL, "00005E00532A"},
    {GY_DNS_TYPE_EUI64, "00-00-5e-ef-10-00-00-2a", NULL, "00005EEF1000002A"},
    {GY_DNS_TYPE_NID, "10 0014:4fff:ff20:ee64", NULL, "000A00144FFFFF20EE64"},
    {GY_DNS_TYPE_NID, "10 14:4fff:0:ee64", "10 0014:4fff:0000:ee64", "000A00144FFF0000EE64"},
    {GY_DNS_TYPE_L32, "10 10.1.2.0", NULL, NULL},
    {GY_DNS_TYPE_L64, "10 2001:0db8:1140:1000", NULL, NULL},
    {GY_DNS_TYPE_URI, "10 1 \"ftp://ftp1.example.com/public\"", NULL, NULL},
    {GY_DNS_TYPE_CAA, "0 issue \"ca1.example.net\"", NULL,
     "000569737375656361312E6578616D706C652E6E6574"},
    /* RFC 9460 appendix D. */
    {GY_DNS_TYPE_HTTPS, "0 foo.example.com.", NULL, "000003666F6F076578616D706C6503636F6D00"},
    {GY_DNS_TYPE_SVCB, "1 .", NULL, "000100"},
    {GY_DNS_TYPE_SVCB, "16 foo.example.com. port=53", NULL,
     "001003666F6F076578616D706C6503636F6D00000300020035"},
    {GY_DNS_TYPE_SVCB, "1 foo.example.com. key667=hello", "1 foo.example.com. key667=\"hello\"",
     "000103666F6F076578616D706C6503636F6D00029B000568656C6C6F"},
    {GY_DNS_TYPE_SVCB, "1 foo.example.com. key667=\"hello\\210qoo\"", NULL,
     "000103666F6F076578616D706C6503636F6D00029B000968656C6C6FD2716F6F"},
    {GY_DNS_TYPE_SVCB, "1 foo.example.com. ( ipv6hint=\"2001:db8::1,2001:db8::53:1\" )",
     "1 foo.example.com. ipv6hint=2001:db8::1,2001:db8::53:1",
     "000103666F6F076578616D706C6503636F6D0000060020"
     "20010DB800000000000000000000000120010DB8000000000000000000530001"},
    /* mandatory=port without port: as it came, and in no form that would be refused */
    {GY_DNS_TYPE_SVCB, "\\# 9 000100000000020003", NULL, "000100000000020003"},
    {GY_DNS_TYPE_SVCB,
     "16 foo.example.org. (alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1)",
     "16 foo.example.org. mandatory=alpn,ipv4hint alpn=\"h2,h3-19\" ipv4hint=192.0.2.1",
     "001003666F6F076578616D706C65036F72670000000004000100040001000902683205683 32D31390004"
     "0004C0000201"},
    {GY_DNS_TYPE_SVCB, "16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"", NULL,
     "001003666F6F076578616D706C65036F726700 0001000C08665C6F6F2C626172026832"},
    {GY_DNS_TYPE_SVCB, "16 foo.example.org. alpn=f\\\\\\092oo\\092,bar,h2",
     "16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
     "001003666F6F076578616D706C65036F726700 0001000C08665C6F6F2C626172026832"},
    /* RFC 3597 */
    {65280, "\\# 3 ABCDEF", NULL, "ABCDEF"},
    {65280, "\\# 0", NULL, ""},
    {GY_DNS_TYPE_A, "\\# 4 C0 00 02 01", "192.0.2.1", "C0000201"},
    {GY_DNS_TYPE_NULL, "\\# 1 00", NULL, "00"},
};

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t digits = 0;
    for (; *hex != 0; hex++) {
        if (*hex != ' ') {
            int value = *hex <= '9' ? *hex - '0' : *hex - 'A' + 10;
            bytes[digits / 2] = (uint8_t)(digits % 2 == 0 ? value << 4 : bytes[digits / 2] | value);
            digits++;
        }
    }
    return digits / 2;
}

static void every_type_is_read_and_printed(void **state)
{
    static uint8_t rdata[GY_DNS_RDATA_MAX], wire[1024];
    static char text[GY_DNS_RDATA_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct gy_error error = {0};
        char *copy = (char *)exact(good[i].text, strlen(good[i].text));
        int bytes = gy_dns_rdata_from_text(good[i].type, copy, strlen(good[i].text),
                                           rig_name("example."), rdata, sizeof rdata, &error);
        free(copy);
        assert_string_equal(error.message, "");
        if (good[i].hex != NULL) {
            assert_int_equal(bytes, from_hex(good[i].hex, wire));
            assert_memory_equal(rdata, wire, bytes);
        }
        assert_int_equal(gy_dns_rdata_check(good[i].type, rdata, (size_t)bytes), 0);
        gy_dns_rdata_to_text(good[i].type, rdata, (size_t)bytes, text, sizeof text);
        assert_string_equal(text, good[i].back == NULL ? good[i].text : good[i].back);
    }
}

static void what_is_no_data_is_refused_with_a_sentence(void **state)
{
    static const struct one bad[] = {
        {GY_DNS_TYPE_A, "192.0.2", NULL, NULL},
        {GY_DNS_TYPE_A, "192.0.2.256", NULL, NULL},
        {GY_DNS_TYPE_A, "192.0.2.1 x", NULL, NULL},
        {GY_DNS_TYPE_A, "", NULL, NULL},
        {GY_DNS_TYPE_AAAA, "1::2::3", NULL, NULL},
        {GY_DNS_TYPE_AAAA, "1:2:3:4:5:6:7:8:9", NULL, NULL},
        {GY_DNS_TYPE_AAAA, "1:2:3:4:5:6:7", NULL, NULL},
        {GY_DNS_TYPE_AAAA, ":1", NULL, NULL},
        {GY_DNS_TYPE_MX, "65536 a.", NULL, NULL},
        {GY_DNS_TYPE_MX, "10", NULL, NULL},
        {GY_DNS_TYPE_NS, "a..b", NULL, NULL},
        {GY_DNS_TYPE_TXT, "", NULL, NULL},
        {GY_DNS_TYPE_TXT, "\"open", NULL, NULL},
        {GY_DNS_TYPE_TXT, "\"\\999\"", NULL, NULL},
        {GY_DNS_TYPE_SOA, "a. b. 1 2 3 4", NULL, NULL},
        {GY_DNS_TYPE_SOA, "a. b. 1 2 3 4 5y", NULL, NULL},
        {GY_DNS_TYPE_DS, "1 8 2 ABC", NULL, NULL},
        {GY_DNS_TYPE_DNSKEY, "256 3 5 A", NULL, NULL},
        {GY_DNS_TYPE_DNSKEY, "256 3 5 AQ=ID", NULL, NULL},
        {GY_DNS_TYPE_RRSIG, "A 5 3 1 20031322173103 1 1 a. AQID", NULL, NULL},
        {GY_DNS_TYPE_NSEC, "a. A BOGUS", NULL, NULL},
        {GY_DNS_TYPE_NSEC3, "1 0 0 - -", NULL, NULL},
        {GY_DNS_TYPE_APL, "3:1/2", NULL, NULL},
        {GY_DNS_TYPE_APL, "1:192.0.2.0/33", NULL, NULL},
        {GY_DNS_TYPE_LOC, "91 N 4 E 0", NULL, NULL},
        {GY_DNS_TYPE_LOC, "1 60 N 4 E 0", NULL, NULL},
        {GY_DNS_TYPE_CAA, "0 is-sue x", NULL, NULL},
        {GY_DNS_TYPE_NID, "10 1:2:3", NULL, NULL},
        {GY_DNS_TYPE_NID, "10 1::2:3", NULL, NULL},
        {GY_DNS_TYPE_NID, "10 1::2", NULL, NULL},
        {GY_DNS_TYPE_EUI48, "00-00-5e-00-53", NULL, NULL},
        /* RFC 9460 appendix D.3 */
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. key123=abc key123=def", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. mandatory", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. alpn", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. port", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. ipv4hint", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. ipv6hint", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. no-default-alpn=abc", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. mandatory=key123", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. mandatory=alpn,port alpn=h2", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. no-default-alpn", NULL, NULL}, /* §7.1.1 */
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. mandatory=mandatory", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. mandatory=key123,key123 key123=abc", NULL, NULL},
        {GY_DNS_TYPE_SVCB, "1 foo.example.com. key65535=a", NULL, NULL},
        {65280, "\\# 3 ABCD", NULL, NULL},
        {65280, "ABCD", NULL, NULL},
        {GY_DNS_TYPE_A, "\\# 3 ABCDEF", NULL, NULL},
        {GY_DNS_TYPE_A, "1.2.3.4 )", NULL, NULL},
        {GY_DNS_TYPE_A, "( 1.2.3.4", NULL, NULL},
        {GY_DNS_TYPE_A, "1.2.3.4\n", NULL, NULL},
    };
    static uint8_t rdata[GY_DNS_RDATA_MAX];
    (void)state;
    for (size_t i = 0; i + 1 < COUNT(bad); i++) {
        struct gy_error error = {0};
        char *copy = (char *)exact(bad[i].text, strlen(bad[i].text));
        int bytes = gy_dns_rdata_from_text(bad[i].type, copy, strlen(bad[i].text), NULL, rdata,
                                           sizeof rdata, &error);
        free(copy);
        if (bytes != GY_EINVAL) {
            print_error("accepted: %s\n", bad[i].text);
        }
        assert_int_equal(bytes, GY_EINVAL);
        assert_true(strlen(error.message) > 20);
    }
}

static void no_room_is_said(void **state)
{
    uint8_t rdata[8];
    char text[8];
    (void)state;
    assert_int_equal(gy_dns_rdata_from_text(GY_DNS_TYPE_NS, "a.name.that.is.long.", 20, NULL, rdata,
                                            sizeof rdata, NULL),
                     GY_ELIMIT);
    assert_int_equal(gy_dns_rdata_to_text(GY_DNS_TYPE_AAAA, (const uint8_t *)"0123456789abcdef", 16,
                                          text, sizeof text),
                     GY_ELIMIT);
}

static void hostile_data_is_checked_and_printed_as_bytes(void **state)
{
    static const struct {
        uint16_t type;
        const char *bytes;
        size_t length;
    } cases[] = {
        {GY_DNS_TYPE_A, "abc", 3},
        {GY_DNS_TYPE_NS, "\3ab", 3},
        {GY_DNS_TYPE_NS, "\xc0\x0c", 2},
        {GY_DNS_TYPE_TXT, "", 0},
        {GY_DNS_TYPE_TXT, "\5ab", 3},
        {GY_DNS_TYPE_NSEC, "\0\0\0", 3},             /* a window of no bytes */
        {GY_DNS_TYPE_NSEC, "\0\0\1\0", 4},           /* with a zero at its end */
        {GY_DNS_TYPE_NSEC, "\0\1\1\x40\0\1\x40", 7}, /* not ascending */
        {GY_DNS_TYPE_NSEC, "\0\0\x21\1", 4},
        {GY_DNS_TYPE_NSEC3,
         "\1\0\0\0\x05"
         "ab",
         7},
        {GY_DNS_TYPE_SVCB,
         "\0\1\0\0\1\0\xff"
         "a",
         8}, /* a parameter longer than the data */
        {GY_DNS_TYPE_SVCB, "\0\1\0\0\3\0\2\0\x35\0\3\0\2\0\x35", 15},
        {GY_DNS_TYPE_SVCB, "\0\1\0\0\4\0\3abc", 10},
        {GY_DNS_TYPE_SVCB, "\0\1\0\0\1\0\1\5", 8},
        {GY_DNS_TYPE_APL, "\0\1\x20\5abcde", 9},
        {GY_DNS_TYPE_APL, "\0\1\x21\0", 4},
        {GY_DNS_TYPE_APL, "\0\3\0\0", 4},
        {GY_DNS_TYPE_APL, "\0\1", 2},
        {GY_DNS_TYPE_LOC, "\1aaaaaaaaaaaaaaa", 16},
        {GY_DNS_TYPE_CAA, "\0\0", 2},
        {GY_DNS_TYPE_MX, "\0\1\0x", 4},
    };
    char text[256];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t *copy = exact(cases[i].bytes, cases[i].length);
        assert_int_equal(gy_dns_rdata_check(cases[i].type, copy, cases[i].length), GY_EPROTO);
        gy_dns_rdata_to_text(cases[i].type, copy, cases[i].length, text, sizeof text);
        assert_memory_equal(text, "\\# ", 3);
        free(copy);
    }
}

static void data_of_messages_is_decompressed(void **state)
{
    static const char bytes[] = "\0\1\x80\0\0\1\0\2\0\0\0\0\7example\0\0\x0f\0\1"
                                "\xc0\x0c\0\x0f\0\1\0\0\0\1\0\7\0\5\2mx\xc0\x0c"
                                "\xc0\x0c\0\x2f\0\1\0\0\0\1\0\5\xc0\x0c\0\1\x40";
    struct gy_dns_message message;
    struct gy_dns_record record;
    uint8_t rdata[512];
    (void)state;
    gy_dns_message_open(&message, (const uint8_t *)bytes, sizeof bytes - 1);
    assert_int_equal(gy_dns_message_next(&message, &record), 1);
    assert_int_equal(gy_dns_message_next(&message, &record), 1);
    assert_int_equal(gy_dns_rdata_read(&message, &record, rdata, sizeof rdata), 14);
    assert_memory_equal(rdata, "\0\5\2mx\7example\0", 14);
    assert_int_equal(gy_dns_rdata_read(&message, &record, rdata, 13), GY_ELIMIT);
    /* NSEC's is never compressed (RFC 3597 §4). */
    assert_int_equal(gy_dns_message_next(&message, &record), 1);
    assert_int_equal(gy_dns_rdata_read(&message, &record, rdata, sizeof rdata), GY_EPROTO);
}

static void canonical_form_has_lower_case_where_it_should(void **state)
{
    uint8_t mx[] = "\0\1\2MX", nsec[] = "\2MX\0\0\1\x40";
    (void)state;
    gy_dns_rdata_canonical(GY_DNS_TYPE_MX, mx, sizeof mx);
    assert_memory_equal(mx, "\0\1\2mx", 6);
    gy_dns_rdata_canonical(GY_DNS_TYPE_NSEC, nsec, 7);
    assert_memory_equal(nsec, "\2MX", 3); /* RFC 6840 §5.1 */
}

static void words_of_types_and_classes(void **state)
{
    char text[GY_DNS_MNEMONIC_BYTES];
    (void)state;
#define SAME(name, number, fields)                                                                 \
    assert_int_equal(gy_dns_type_from_text(#name, strlen(#name)), number);                         \
    assert_string_equal(gy_dns_type_text(number, text), #name);
    GY_DNS_TYPES(SAME)
    assert_int_equal(gy_dns_type_from_text("aaaa", 4), GY_DNS_TYPE_AAAA);
    assert_int_equal(gy_dns_type_from_text("type65280", 9), 65280);
    assert_int_equal(gy_dns_type_from_text("TYPE65536", 9), GY_EINVAL);
    assert_int_equal(gy_dns_type_from_text("TYPE", 4), GY_EINVAL);
    assert_int_equal(gy_dns_type_from_text("!", 1), GY_EINVAL);
    assert_int_equal(gy_dns_type_from_text("", 0), GY_EINVAL);
    assert_string_equal(gy_dns_type_text(65280, text), "TYPE65280");
    assert_int_equal(gy_dns_class_from_text("in", 2), 1);
    assert_string_equal(gy_dns_class_text(7, text), "CLASS7");
    assert_string_equal(gy_dns_rcode_text(GY_DNS_RCODE_BADVERS, text), "BADVERS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read_and_printed),
        cmocka_unit_test(what_is_no_data_is_refused_with_a_sentence),
        cmocka_unit_test(no_room_is_said),
        cmocka_unit_test(hostile_data_is_checked_and_printed_as_bytes),
        cmocka_unit_test(data_of_messages_is_decompressed),
        cmocka_unit_test(canonical_form_has_lower_case_where_it_should),
        cmocka_unit_test(words_of_types_and_classes),
    };
    return cmocka_run_group_tests_name("dns record data", tests, NULL, NULL);
}
