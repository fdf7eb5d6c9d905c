/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What lies beside the handshake: responses to staple, and the tickets that were used for early
 * data. */

#include <stdlib.h>
#include <string.h>

#include "core/tls_internal.h"
#include "tests/core/core_harness.h"

/* ---- responses (RFC 6960 §4.2.1), in DER ---- */

struct der {
    uint8_t bytes[512];
    size_t count;
};

/* What is there from `from` on becomes the content of one element. */
static void wrap(struct der *der, size_t from, uint8_t tag)
{
    size_t length = der->count - from;
    size_t head = length < 128 ? 2 : 3;
    memmove(der->bytes + from + head, der->bytes + from, length);
    der->bytes[from] = tag;
    if (head == 3) {
        der->bytes[from + 1] = 0x81;
    }
    der->bytes[from + head - 1] = (uint8_t)length;
    der->count += head;
}

static void put(struct der *der, uint8_t tag, const void *content, size_t bytes)
{
    size_t from = der->count;
    memcpy(der->bytes + from, content, bytes);
    der->count += bytes;
    wrap(der, from, tag);
}

static void put_time(struct der *der, const char *text)
{
    put(der, 0x18, text, strlen(text));
}

struct response {
    uint8_t outcome; /* of the response: successful(0) */
    uint8_t status;  /* of the certificate: its tag */
    const char *from;
    const char *until; /* NULL: none */
};

static void make_response(struct der *der, const struct response *with)
{
    static const uint8_t basic[] = {0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1};
    static const uint8_t sha1[] = {0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a};
    der->count = 0;
    put(der, 0x0a, &with->outcome, 1);
    size_t explicit_bytes = der->count;
    put(der, 0x06, basic, sizeof basic);
    size_t octets = der->count; /* of BasicOCSPResponse, of which ResponseData is the first */
    put(der, 0x04, "key", 3);
    wrap(der, octets, 0xa2); /* byKey */
    put_time(der, "20261122000000Z");
    size_t single = der->count;
    put(der, 0x30, sha1, sizeof sha1);
    put(der, 0x04, "name", 4);
    put(der, 0x04, "key", 3);
    put(der, 0x02, "\0\x9f\x01", 3);
    wrap(der, single, 0x30); /* CertID */
    put(der, with->status, "", 0);
    put_time(der, with->from);
    if (with->until != NULL) {
        size_t next = der->count;
        put_time(der, with->until);
        wrap(der, next, 0xa0);
    }
    wrap(der, single, 0x30); /* SingleResponse */
    wrap(der, single, 0x30); /* responses */
    wrap(der, octets, 0x30); /* ResponseData */
    put(der, 0x30, sha1, sizeof sha1);
    put(der, 0x03, "\0signature", 10);
    wrap(der, octets, 0x30); /* BasicOCSPResponse */
    wrap(der, octets, 0x04);
    wrap(der, explicit_bytes, 0x30); /* ResponseBytes */
    wrap(der, explicit_bytes, 0xa0);
    wrap(der, 0, 0x30);
}

static const struct response usual = {0, 0x80, "20261122000000Z", "20261129000000Z"};

static void a_response_says_which_certificate_and_until_when(void **state)
{
    (void)state;
    struct der der;
    struct gy_tls_staple_facts facts;
    make_response(&der, &usual);
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count, &facts), 0);
    assert_int_equal(facts.status, GY_TLS_STAPLE_GOOD);
    assert_int_equal(facts.serial_bytes, 2);
    assert_memory_equal(facts.serial, "\x9f\x01", 2);
    assert_int_equal(facts.from_s, 1795305600); /* date -d 2026-11-22T00:00:00Z +%s */
    assert_int_equal(facts.until_s, 1795305600 + 7 * 86400);
}

static void a_response_may_have_no_end(void **state)
{
    (void)state;
    struct der der;
    struct gy_tls_staple_facts facts;
    struct response endless = usual;
    endless.until = NULL;
    make_response(&der, &endless);
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count, &facts), 0);
    assert_int_equal(facts.until_s, 0);
}

static void what_is_revoked_or_unknown_is_told_from_what_is_good(void **state)
{
    (void)state;
    struct der der;
    struct gy_tls_staple_facts facts;
    struct response other = usual;
    other.status = 0xa1;
    make_response(&der, &other);
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count, &facts), 0);
    assert_int_equal(facts.status, GY_TLS_STAPLE_REVOKED);
    other.status = 0x82;
    make_response(&der, &other);
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count, &facts), 0);
    assert_int_equal(facts.status, GY_TLS_STAPLE_UNKNOWN);
}

static void what_is_no_successful_response_is_refused(void **state)
{
    (void)state;
    struct der der;
    struct gy_tls_staple_facts facts;
    struct response wrong = usual;
    wrong.outcome = 6; /* unauthorized */
    make_response(&der, &wrong);
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count, &facts), GY_EINVAL);
    wrong = usual;
    wrong.until = "2026112900000Z";
    make_response(&der, &wrong);
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count, &facts), GY_EINVAL);
    wrong.until = "20261329000000Z";
    make_response(&der, &wrong);
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count, &facts), GY_EINVAL);
    make_response(&der, &usual);
    der.bytes[der.count] = 0;
    assert_int_equal(gy_tls_staple_read(der.bytes, der.count + 1, &facts), GY_EINVAL);
}

/* In memory of its own, so that the sanitizer sees each byte that is read behind it. */
static int read_copy(const uint8_t *bytes, size_t count)
{
    struct gy_tls_staple_facts facts;
    uint8_t *copy = malloc(count + (count == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    int code = gy_tls_staple_read(copy, count, &facts);
    free(copy);
    return code;
}

static void a_broken_response_is_never_read_beyond_its_end(void **state)
{
    (void)state;
    struct der der;
    make_response(&der, &usual);
    for (size_t count = 0; count < der.count; count++) {
        assert_int_equal(read_copy(der.bytes, count), GY_EINVAL);
    }
    for (size_t at = 0; at < der.count; at++) {
        uint8_t before = der.bytes[at];
        for (uint32_t value = 0; value < 256; value++) {
            der.bytes[at] = (uint8_t)value;
            read_copy(der.bytes, der.count);
        }
        der.bytes[at] = before;
    }
    assert_int_equal(read_copy(der.bytes, der.count), 0);
}

/* ---- early data (RFC 8446 §8) ---- */

#define START 1000000
#define MAKER 77

static void a_ticket_is_good_once(void **state)
{
    (void)state;
    struct gy_tls_strikes strikes;
    assert_int_equal(gy_tls_strikes_open(&strikes, MAKER, START), 0);
    int64_t now = START + 100;
    assert_true(gy_tls_strikes_allow(&strikes, 7, MAKER, now));
    assert_true(gy_tls_strikes_allow(&strikes, 7, MAKER, now)); /* it was not used */
    assert_true(gy_tls_strikes_take(&strikes, 7, now));
    assert_false(gy_tls_strikes_allow(&strikes, 7, MAKER, now));
    assert_false(gy_tls_strikes_take(&strikes, 7, now)); /* two workers at a time: one gets it */
    assert_true(gy_tls_strikes_take(&strikes, 9, now));
    gy_tls_strikes_close(&strikes);
}

/* wolfSSL refuses a hello that is 12 s older than it says: so long it must be known. */
static void a_ticket_is_remembered_for_a_window_and_then_forgotten(void **state)
{
    (void)state;
    struct gy_tls_strikes strikes;
    assert_int_equal(gy_tls_strikes_open(&strikes, MAKER, START), 0);
    for (int64_t began = START + 100; began < START + 100 + GY_TLS_STRIKES_WINDOW_S; began++) {
        uint64_t ticket = (uint64_t)began;
        assert_true(gy_tls_strikes_take(&strikes, ticket, began));
        assert_false(gy_tls_strikes_allow(&strikes, ticket, MAKER, began + 1));
    }
    for (int64_t began = START + 100; began < START + 100 + GY_TLS_STRIKES_WINDOW_S; began++) {
        assert_false(gy_tls_strikes_allow(&strikes, (uint64_t)began, MAKER,
                                          START + 100 + GY_TLS_STRIKES_WINDOW_S));
    }
    int64_t later = START + 100 + 3 * GY_TLS_STRIKES_WINDOW_S;
    assert_true(gy_tls_strikes_take(&strikes, START + 100, later));
    gy_tls_strikes_close(&strikes);
}

static void after_a_start_tickets_of_others_wait_for_a_window(void **state)
{
    (void)state;
    struct gy_tls_strikes strikes;
    assert_int_equal(gy_tls_strikes_open(&strikes, MAKER, START), 0);
    assert_false(gy_tls_strikes_allow(&strikes, 7, 5, START));
    assert_false(gy_tls_strikes_allow(&strikes, 7, 5, START + GY_TLS_STRIKES_WINDOW_S - 1));
    assert_true(gy_tls_strikes_allow(&strikes, 7, MAKER, START)); /* it is our own */
    assert_true(gy_tls_strikes_allow(&strikes, 7, 5, START + GY_TLS_STRIKES_WINDOW_S));
    gy_tls_strikes_close(&strikes);
}

static void a_full_window_takes_no_more(void **state)
{
    (void)state;
    struct gy_tls_strikes strikes;
    assert_int_equal(gy_tls_strikes_open(&strikes, MAKER, START), 0);
    int64_t now = START + 100;
    for (uint64_t i = 1; i <= GY_TLS_STRIKES_MAX; i++) {
        assert_true(gy_tls_strikes_take(&strikes, i * UINT64_C(0x9e3779b97f4a7c15), now));
    }
    assert_false(gy_tls_strikes_allow(&strikes, 7, MAKER, now));
    assert_false(gy_tls_strikes_take(&strikes, 7, now));
    assert_true(gy_tls_strikes_take(&strikes, 7, now + GY_TLS_STRIKES_WINDOW_S));
    gy_tls_strikes_close(&strikes);
}

static void memory_goes_with_the_connections(void **state)
{
    (void)state;
    assert_true(gy_tls_memory_for(1) >= 1u << 20);
    assert_true(gy_tls_memory_for(10000) > gy_tls_memory_for(1000));
    assert_true(gy_tls_memory_for(1000000) / 1000000 < 16384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_says_which_certificate_and_until_when),
        cmocka_unit_test(a_response_may_have_no_end),
        cmocka_unit_test(what_is_revoked_or_unknown_is_told_from_what_is_good),
        cmocka_unit_test(what_is_no_successful_response_is_refused),
        cmocka_unit_test(a_broken_response_is_never_read_beyond_its_end),
        cmocka_unit_test(a_ticket_is_good_once),
        cmocka_unit_test(a_ticket_is_remembered_for_a_window_and_then_forgotten),
        cmocka_unit_test(after_a_start_tickets_of_others_wait_for_a_window),
        cmocka_unit_test(a_full_window_takes_no_more),
        cmocka_unit_test(memory_goes_with_the_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
