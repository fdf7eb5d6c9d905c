/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Signatures: a request as kdig 3.2 makes it, answers to it computed from RFC 8945 §4.3 apart. */

#include "protocols/dns/tsig.h"
#include "servers/dns/dns_hmac.h"
#include "tests/dns/probe.h"

#define NOW 1795369022u

static const uint8_t request[] = {
    0x70, 0xef, 0x01, 0x20, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x07, 0x65, 0x78, 0x61,
    0x6d, 0x70, 0x6c, 0x65, 0x03, 0x63, 0x6f, 0x6d, 0x00, 0x00, 0x06, 0x00, 0x01, 0x04, 0x74, 0x6b,
    0x65, 0x79, 0x00, 0x00, 0xfa, 0x00, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3d, 0x0b, 0x68, 0x6d,
    0x61, 0x63, 0x2d, 0x73, 0x68, 0x61, 0x32, 0x35, 0x36, 0x00, 0x00, 0x00, 0x6b, 0x03, 0x28, 0x3e,
    0x01, 0x2c, 0x00, 0x20, 0xfd, 0x57, 0x01, 0xc4, 0x35, 0xc5, 0xbb, 0xb1, 0xe0, 0x0f, 0x56, 0x64,
    0xff, 0x54, 0x35, 0xcf, 0xd8, 0x23, 0xa2, 0x86, 0x8b, 0xa2, 0x48, 0x68, 0xaf, 0xf5, 0xf2, 0x97,
    0x5b, 0xa2, 0xea, 0x69, 0x70, 0xef, 0x00, 0x00, 0x00, 0x00};
#define TSIG_AT     29
#define QUESTION    29 /* bytes of the message without its TSIG */
#define MAC_REQUEST 68

/* To the request, a second later: header and question, NOERROR. */
static const uint8_t answer_mac[32] = {
    0xd0, 0x11, 0xd6, 0xb6, 0xa6, 0x42, 0x9c, 0x3c, 0x9d, 0x6e, 0x58, 0x73, 0x21, 0xd4, 0x65, 0x96,
    0x15, 0x67, 0x36, 0x95, 0x9a, 0x9d, 0xdc, 0x59, 0x8d, 0xf0, 0x45, 0xb3, 0x4b, 0xc4, 0x1c, 0x55};

/* Of the third message of an answer whose second is not signed; all three are the same. */
static const uint8_t third_mac[32] = {
    0x01, 0x3e, 0x2d, 0x93, 0x24, 0x06, 0xe3, 0x42, 0x95, 0x29, 0x48, 0xdd, 0x79, 0xe4, 0x41, 0xff,
    0x66, 0xe3, 0x3c, 0x60, 0x6d, 0x75, 0xcd, 0xe8, 0x78, 0xb4, 0x87, 0x5b, 0xf5, 0x40, 0x6f, 0x0d};

static struct gy_dns_key key;
static struct gy_dns_tsig tsig, other;

static const struct gy_dns_key *find(const void *keys, const uint8_t *name)
{
    (void)keys;
    return memcmp(name, key.name, key.name_bytes) == 0 ? &key : NULL;
}

static int set_up(void **state)
{
    (void)state;
    memset(&key, 0, sizeof key);
    key.algorithm = GY_DNS_TSIG_SHA256;
    key.name_bytes = 6;
    memcpy(key.name, "\4tkey", 6);
    key.secret_bytes = 24;
    memcpy(key.secret, "secretsecretsecretsecret", 24);
    return 0;
}

static uint16_t check_at(const uint8_t *message, size_t bytes, uint64_t now)
{
    uint8_t *copy = exact(message, bytes);
    int at = gy_dns_tsig_find(copy, bytes);
    uint16_t code = GY_DNS_RCODE_FORMERR;
    if (at > 0) {
        code = gy_dns_tsig_check_request(&tsig, &gy_dns_hmac_wolfcrypt, find, NULL, copy, bytes,
                                         (size_t)at, now);
    }
    free(copy);
    return code;
}

static size_t make_answer(uint8_t *bytes)
{
    memcpy(bytes, request, QUESTION);
    bytes[2] = 0x84;
    bytes[3] = 0;
    bytes[11] = 0;
    return QUESTION;
}

static void a_request_of_kdig_is_right(void **state)
{
    (void)state;
    assert_int_equal(gy_dns_tsig_find(request, sizeof request), TSIG_AT);
    assert_int_equal(check_at(request, sizeof request, NOW), 0);
    assert_ptr_equal(tsig.key, &key);
}

static void an_answer_is_signed_as_the_standard_says(void **state)
{
    uint8_t bytes[512];
    (void)state;
    assert_int_equal(check_at(request, sizeof request, NOW), 0);
    size_t length = make_answer(bytes);
    assert_int_equal(gy_dns_tsig_sign_answer(&tsig, bytes, length, length + 10, NOW + 1),
                     GY_ELIMIT);
    int all = gy_dns_tsig_sign_answer(&tsig, bytes, length, sizeof bytes, NOW + 1);
    assert_int_equal(all, sizeof request);
    assert_int_equal(bytes[11], 1);
    assert_memory_equal(bytes + MAC_REQUEST, answer_mac, sizeof answer_mac);
}

static void what_was_touched_is_not_right(void **state)
{
    uint8_t bytes[sizeof request];
    (void)state;
    for (size_t i = 0; i < sizeof request; i++) {
        memcpy(bytes, request, sizeof bytes);
        bytes[i] ^= 0x01;
        uint16_t code = check_at(bytes, sizeof bytes, NOW);
        /* The id on the wire may change on the way; the one that counts is in the record. */
        assert_true(code != 0 || i < 2);
    }
    for (size_t i = 0; i < sizeof request; i++) {
        assert_int_equal(check_at(request, i, NOW), GY_DNS_RCODE_FORMERR);
    }
}

static void names_of_keys_have_no_case(void **state)
{
    uint8_t bytes[sizeof request];
    (void)state;
    memcpy(bytes, request, sizeof bytes);
    bytes[TSIG_AT + 1] = 'T';
    bytes[TSIG_AT + 17] = 'H';
    assert_int_equal(check_at(bytes, sizeof bytes, NOW), 0);
}

static void a_clock_that_is_off_is_told_the_time(void **state)
{
    uint8_t bytes[512];
    (void)state;
    assert_int_equal(check_at(request, sizeof request, NOW + 300), 0);
    assert_int_equal(check_at(request, sizeof request, NOW - 300), 0);
    assert_int_equal(check_at(request, sizeof request, NOW - 301), GY_DNS_RCODE_BADTIME);
    assert_int_equal(check_at(request, sizeof request, NOW + 301), GY_DNS_RCODE_BADTIME);
    assert_int_equal(gy_dns_tsig_rcode(GY_DNS_RCODE_BADTIME), GY_DNS_RCODE_NOTAUTH);
    size_t length = make_answer(bytes);
    int all = gy_dns_tsig_sign_answer(&tsig, bytes, length, sizeof bytes, NOW + 301);
    assert_int_equal(all, sizeof request + 6);
    /* Signed; the client's time, our time as other data. */
    assert_memory_equal(bytes + 58, request + 58, 6);
    assert_memory_equal(bytes + all - 6, "\0\0\x6b\x03\x29\x6b", 6);
    assert_memory_equal(bytes + all - 10, "\0\x12\0\6", 4);
}

static void errors_of_keys_are_not_signed(void **state)
{
    uint8_t bytes[512];
    (void)state;
    key.name[1] = 'x';
    assert_int_equal(check_at(request, sizeof request, NOW), GY_DNS_RCODE_BADKEY);
    size_t length = make_answer(bytes);
    int all = gy_dns_tsig_sign_answer(&tsig, bytes, length, sizeof bytes, NOW);
    assert_int_equal(all, sizeof request - 32);
    assert_memory_equal(bytes + all - 4, "\0\x11\0\0", 4);
    set_up(state);
    key.secret[0] ^= 1;
    assert_int_equal(check_at(request, sizeof request, NOW), GY_DNS_RCODE_BADSIG);
    length = make_answer(bytes);
    all = gy_dns_tsig_sign_answer(&tsig, bytes, length, sizeof bytes, NOW);
    assert_int_equal(all, sizeof request - 32);
    assert_memory_equal(bytes + all - 4, "\0\x10\0\0", 4);
    key.algorithm = GY_DNS_TSIG_SHA512;
    assert_int_equal(check_at(request, sizeof request, NOW), GY_DNS_RCODE_BADKEY);
}

static void a_shortened_mac_is_refused(void **state)
{
    uint8_t bytes[sizeof request];
    size_t length = sizeof request - 16;
    (void)state;
    memcpy(bytes, request, MAC_REQUEST + 16);
    memcpy(bytes + MAC_REQUEST + 16, request + MAC_REQUEST + 32, 6);
    bytes[44] = 0x2d;
    bytes[67] = 16;
    assert_int_equal(check_at(bytes, length, NOW), GY_DNS_RCODE_BADTRUNC);
    memmove(bytes + MAC_REQUEST + 8, bytes + MAC_REQUEST + 16, 6);
    bytes[44] = 0x25;
    bytes[67] = 8;
    assert_int_equal(check_at(bytes, length - 8, NOW), GY_DNS_RCODE_FORMERR);
}

static void the_record_is_the_last_and_the_only_one(void **state)
{
    uint8_t bytes[2 * sizeof request];
    (void)state;
    memcpy(bytes, request, sizeof request);
    memcpy(bytes + sizeof request, request + TSIG_AT, sizeof request - TSIG_AT);
    bytes[11] = 2;
    assert_int_equal(gy_dns_tsig_find(bytes, 2 * sizeof request - TSIG_AT), GY_EPROTO);
    bytes[11] = 0;
    bytes[7] = 1; /* in the answer section */
    assert_int_equal(gy_dns_tsig_find(bytes, sizeof request), GY_EPROTO);
    assert_int_equal(gy_dns_tsig_find(bytes, 11), GY_EPROTO);
    assert_int_equal(gy_dns_tsig_find((const uint8_t *)"\0\1\0\0\0\0\0\0\0\0\0\0", 12), 0);
}

/* What we ask, as kdig does: the same bytes but for the flags. */
static size_t ask(uint8_t *bytes, size_t room)
{
    memcpy(bytes, request, QUESTION);
    bytes[11] = 0;
    int all =
        gy_dns_tsig_sign_request(&other, &gy_dns_hmac_wolfcrypt, &key, bytes, QUESTION, room, NOW);
    assert_int_equal(all, sizeof request);
    return (size_t)all;
}

static void a_request_of_ours_is_that_of_kdig(void **state)
{
    uint8_t bytes[512];
    (void)state;
    assert_int_equal(ask(bytes, sizeof bytes), sizeof request);
    assert_memory_equal(bytes, request, sizeof request);
}

static void answers_of_several_messages_are_checked_as_one(void **state)
{
    uint8_t bytes[512], first[512], plain[64], third[512];
    (void)state;
    ask(bytes, sizeof bytes);
    assert_int_equal(check_at(bytes, sizeof request, NOW), 0);
    size_t length = make_answer(first);
    int all = gy_dns_tsig_sign_answer(&tsig, first, length, sizeof first, NOW + 1);
    assert_int_equal(gy_dns_tsig_check_answer(&other, first, (size_t)all, NOW), 1);
    make_answer(plain);
    assert_int_equal(gy_dns_tsig_check_answer(&other, plain, length, NOW), 0);
    memcpy(third, first, (size_t)all);
    memcpy(third + MAC_REQUEST, third_mac, sizeof third_mac);
    assert_int_equal(gy_dns_tsig_check_answer(&other, third, (size_t)all, NOW), 1);
    third[14] ^= 1;
    assert_int_equal(gy_dns_tsig_check_answer(&other, third, (size_t)all, NOW), GY_EREFUSED);
    gy_dns_tsig_close(&other);
}

static void an_answer_without_signature_is_none(void **state)
{
    uint8_t bytes[512], answer[512];
    (void)state;
    ask(bytes, sizeof bytes);
    size_t length = make_answer(answer);
    assert_int_equal(gy_dns_tsig_check_answer(&other, answer, length, NOW), GY_EREFUSED);
    /* And no more than 99 in a row. */
    assert_int_equal(check_at(bytes, sizeof request, NOW), 0);
    int all = gy_dns_tsig_sign_answer(&tsig, bytes, make_answer(bytes), sizeof bytes, NOW);
    assert_int_equal(gy_dns_tsig_check_answer(&other, bytes, (size_t)all, NOW), 1);
    for (int i = 0; i < GY_DNS_TSIG_UNSIGNED_MAX; i++) {
        assert_int_equal(gy_dns_tsig_check_answer(&other, answer, length, NOW), 0);
    }
    assert_int_equal(gy_dns_tsig_check_answer(&other, answer, length, NOW), GY_EPROTO);
    gy_dns_tsig_close(&other);
}

static void every_algorithm_signs_and_checks(void **state)
{
    uint8_t bytes[512];
    (void)state;
    for (int i = 0; i < GY_DNS_TSIG_ALGORITHM_COUNT; i++) {
        key.algorithm = (enum gy_dns_tsig_algorithm)i;
        assert_int_equal(gy_dns_tsig_algorithm_parse(gy_dns_tsig_algorithm_text(key.algorithm)), i);
        size_t length = make_answer(bytes);
        int all = gy_dns_tsig_sign_request(&other, &gy_dns_hmac_wolfcrypt, &key, bytes, length,
                                           sizeof bytes, NOW);
        assert_int_equal(all, length + gy_dns_tsig_bytes(&key) - 6);
        assert_int_equal(check_at(bytes, (size_t)all, NOW), 0);
    }
    assert_int_equal(gy_dns_tsig_algorithm_parse("HMAC-SHA256"), GY_DNS_TSIG_SHA256);
    assert_int_equal(gy_dns_tsig_algorithm_parse("hmac-md5"), GY_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_request_of_kdig_is_right, set_up),
        cmocka_unit_test_setup(an_answer_is_signed_as_the_standard_says, set_up),
        cmocka_unit_test_setup(what_was_touched_is_not_right, set_up),
        cmocka_unit_test_setup(names_of_keys_have_no_case, set_up),
        cmocka_unit_test_setup(a_clock_that_is_off_is_told_the_time, set_up),
        cmocka_unit_test_setup(errors_of_keys_are_not_signed, set_up),
        cmocka_unit_test_setup(a_shortened_mac_is_refused, set_up),
        cmocka_unit_test_setup(the_record_is_the_last_and_the_only_one, set_up),
        cmocka_unit_test_setup(a_request_of_ours_is_that_of_kdig, set_up),
        cmocka_unit_test_setup(answers_of_several_messages_are_checked_as_one, set_up),
        cmocka_unit_test_setup(an_answer_without_signature_is_none, set_up),
        cmocka_unit_test_setup(every_algorithm_signs_and_checks, set_up),
    };
    return cmocka_run_group_tests_name("dns_tsig", tests, NULL, NULL);
}
