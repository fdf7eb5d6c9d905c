/* SPDX-License-Identifier: GPL-3.0-or-later */

/* EDNS options and cookies. */

#include "tests/dns/probe.h"

/* The vector of the paper on SipHash, appendix A. */
static void siphash_is_that_of_its_paper(void **state)
{
    uint8_t key[16], input[15];
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        key[i] = (uint8_t)i;
    }
    for (unsigned i = 0; i < 15; i++) {
        input[i] = (uint8_t)i;
    }
    assert_true(gy_dns_siphash(key, input, 15) == 0xa129ca6149be45e5u);
}

/* RFC 9018 appendix A.1: learning a new server cookie. */
static void cookies_are_those_of_rfc_9018(void **state)
{
    static const uint8_t secret[16] = {0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f,
                                       0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf};
    static const uint8_t client[8] = {0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57};
    static const uint8_t address[4] = {198, 51, 100, 100};
    static const uint8_t expected[16] = {0x01, 0x00, 0x00, 0x00, 0x5c, 0xf7, 0x9f, 0x11,
                                         0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80};
    uint8_t whole[24];
    bool renew;
    (void)state;
    memcpy(whole, client, 8);
    gy_dns_cookie_make(secret, client, address, 4, 1559731985, whole + 8);
    assert_memory_equal(whole + 8, expected, 16);
    assert_true(gy_dns_cookie_check(secret, whole, 24, address, 4, 1559731985, &renew));
    assert_false(renew);
    assert_true(gy_dns_cookie_check(secret, whole, 24, address, 4, 1559731985 + 1801, &renew));
    assert_true(renew);
    assert_false(gy_dns_cookie_check(secret, whole, 24, address, 4, 1559731985 + 3601, &renew));
    assert_false(gy_dns_cookie_check(secret, whole, 24, address, 4, 1559731985 - 301, &renew));
    assert_false(gy_dns_cookie_check(secret, whole, 23, address, 4, 1559731985, &renew));
    whole[0] ^= 1;
    assert_false(gy_dns_cookie_check(secret, whole, 24, address, 4, 1559731985, &renew));
}

static int read_options(const char *options, size_t bytes, struct gy_dns_edns *edns)
{
    uint8_t *copy = exact(options, bytes);
    struct gy_dns_record record = {.type = GY_DNS_TYPE_OPT,
                                   .class = 1232,
                                   .ttl = 0x01008000,
                                   .rdata = copy,
                                   .rdata_bytes = (uint32_t)bytes};
    int code = gy_dns_edns_read(&record, edns);
    free(copy);
    return code;
}

#define OPTIONS(bytes, edns) read_options(bytes, sizeof bytes - 1, edns)

static void options_are_read(void **state)
{
    struct gy_dns_edns edns;
    (void)state;
    assert_int_equal(OPTIONS("\0\3\0\0\0\x0a\0\x08"
                             "clientck\0\x0b\0\0\0\x0c\0\2\0\0\0\x0f\0\4\0\x14no\xff\xff\0\0",
                             &edns),
                     0);
    assert_true(edns.present && edns.dnssec_ok && edns.wants_nsid && edns.has_padding &&
                edns.has_keepalive);
    assert_int_equal(edns.extended_rcode, 1);
    assert_int_equal(edns.version, 0);
    assert_int_equal(edns.udp_bytes, 1232);
    assert_int_equal(edns.cookie_bytes, 8);
    assert_int_equal(edns.error, GY_DNS_EDE_NOT_AUTHORITATIVE);
    assert_int_equal(edns.error_text_bytes, 2);
}

static void malformed_options_are_refused(void **state)
{
    struct gy_dns_edns edns;
    (void)state;
    assert_int_equal(OPTIONS("\0\3\0", &edns), GY_EPROTO);
    assert_int_equal(OPTIONS("\0\3\0\1", &edns), GY_EPROTO);
    assert_int_equal(OPTIONS("\0\x0a\0\7abcdefg", &edns), GY_EPROTO);
    assert_int_equal(OPTIONS("\0\x0a\0\x09"
                             "abcdefghi",
                             &edns),
                     GY_EPROTO);
    assert_int_equal(OPTIONS("\0\x0b\0\1a", &edns), GY_EPROTO);
    assert_int_equal(OPTIONS("\0\x0f\0\1a", &edns), GY_EPROTO);
    assert_true(edns.present);
}

static void options_are_written_and_padded(void **state)
{
    uint8_t out[600];
    struct gy_dns_opt opt;
    (void)state;
    gy_dns_opt_open(&opt, out, sizeof out, 1232, GY_DNS_RCODE_BADCOOKIE, GY_DNS_EDNS_DO);
    gy_dns_opt_add_error(&opt, GY_DNS_EDE_PROHIBITED, "no");
    gy_dns_opt_pad(&opt, 100, 468);
    size_t bytes = gy_dns_opt_close(&opt);
    assert_int_equal((bytes + 100) % 468, 0);
    assert_memory_equal(out, "\0\0\x29\4\xd0\1\0\x80\0", 9);
    assert_int_equal(out[9] << 8 | out[10], bytes - 11);
    assert_memory_equal(out + 11, "\0\x0f\0\4\0\x12no\0\x0c", 10);
    gy_dns_opt_open(&opt, out, 14, 1232, 0, 0);
    assert_int_equal(gy_dns_opt_add(&opt, 3, NULL, 0), GY_ELIMIT);
    gy_dns_opt_pad(&opt, 100, 468);
    assert_int_equal(gy_dns_opt_close(&opt), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_is_that_of_its_paper),
        cmocka_unit_test(cookies_are_those_of_rfc_9018),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(malformed_options_are_refused),
        cmocka_unit_test(options_are_written_and_padded),
    };
    return cmocka_run_group_tests_name("dns edns", tests, NULL, NULL);
}
