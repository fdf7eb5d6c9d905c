/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Zones sent and fetched: what one side makes, the other reads; and what it does not take. */

#include "protocols/dns/transfer_in.h"
#include "protocols/dns/transfer_out.h"
#include "servers/dns/dns_hmac.h"
#include "tests/dns/probe.h"

#define NOW 1795369022u

static const char head[] = "$TTL 300\n@ SOA ns h 7 3600 60 86400 60\n@ NS ns\nns A 192.0.2.1\n";

static struct rig_zone zone;
static struct gy_dns_transfer_out out;
static struct gy_dns_transfer_in in;
static struct gy_dns_tsig tsig;
static struct gy_dns_key key = {.algorithm = GY_DNS_TSIG_SHA512,
                                .secret_bytes = 6,
                                .name_bytes = 3,
                                .name = "\1k",
                                .secret = "secret"};
static uint8_t message[GY_DNS_MESSAGE_MAX];
static uint32_t taken;

static int count(void *context, enum gy_dns_change change, const struct gy_dns_record *record,
                 struct gy_error *error)
{
    (void)context;
    (void)change;
    (void)error;
    assert_int_equal(gy_dns_rdata_check(record->type, record->rdata, record->rdata_bytes), 0);
    taken++;
    return 0;
}

static const struct gy_dns_key *find(const void *keys, const uint8_t *name)
{
    (void)keys;
    (void)name;
    return &key;
}

static void load(uint32_t names, bool wide)
{
    static char text[4 << 20];
    size_t at = (size_t)snprintf(text, sizeof text, "%s", head);
    for (uint32_t i = 0; i < names; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "n%u CNAME ns\n", i);
    }
    if (wide) { /* one record that is longer than messages are */
        at += (size_t)snprintf(text + at, sizeof text - at, "wide TYPE65280 \\# 40000 ");
        memset(text + at, 'a', 80000);
        at += 80000;
        text[at++] = '\n';
    }
    rig_zone_load(&zone, "example.", text, at, 0);
    if (zone.code != 0) {
        fail_msg("%s", zone.error.message);
    }
}

static void begin(uint16_t type, uint32_t serial)
{
    const struct gy_dns_transfer_query query = {
        .name = rig_name("Example."), .id = 99, .type = type, .serial = serial};
    gy_dns_transfer_out_begin(&out, zone.zone, NULL, &query, NULL);
}

static void ask(uint16_t type, const struct gy_dns_key *with)
{
    static uint8_t name[GY_DNS_NAME_PADDED];
    memcpy(name, rig_name("example."), 9);
    memset(&in, 0, sizeof in);
    in.record = count;
    taken = 0;
    gy_dns_transfer_in_begin(&in, name, type, 99, with, &gy_dns_hmac_wolfcrypt, message, NOW);
}

/* All messages from one to the other. */
static int carry(uint32_t *messages, size_t *most)
{
    struct gy_error error = {0};
    int code = 0;
    size_t bytes;
    *messages = 0;
    *most = 0;
    while ((bytes = gy_dns_transfer_out_next(&out, message, NOW)) > 0) {
        uint8_t *copy = exact(message, bytes);
        assert_int_equal(code, 0);
        code = gy_dns_transfer_in_take(&in, copy, bytes, NOW, &error);
        free(copy);
        assert_true(code >= 0);
        (*messages)++;
        *most = bytes > *most ? bytes : *most;
    }
    return code;
}

static void a_zone_arrives_whole_in_messages_of_16_kib(void **state)
{
    uint32_t messages;
    size_t most;
    (void)state;
    load(5000, false);
    begin(GY_DNS_TYPE_AXFR, 0);
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(carry(&messages, &most), 1);
    assert_int_equal(taken, 5003);
    assert_int_equal(in.records, 5004);
    assert_int_equal(in.serial, 7);
    assert_true(messages > 1 && most <= GY_DNS_TRANSFER_MESSAGE_BYTES);
    rig_zone_free(&zone);
}

static void a_record_longer_than_messages_gets_one_of_its_own(void **state)
{
    uint32_t messages;
    size_t most;
    (void)state;
    load(3, true);
    begin(GY_DNS_TYPE_AXFR, 0);
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(carry(&messages, &most), 1);
    assert_int_equal(taken, 7);
    assert_true(most > 40000);
    rig_zone_free(&zone);
}

static void every_message_of_a_signed_transfer_is_signed(void **state)
{
    uint32_t messages;
    size_t most;
    (void)state;
    load(5000, false);
    ask(GY_DNS_TYPE_AXFR, &key);
    size_t bytes = GY_DNS_HEADER_BYTES + 9 + 4;
    int at = gy_dns_tsig_find(message, bytes + gy_dns_tsig_bytes(&key) - 6);
    assert_int_equal(at, bytes);
    assert_int_equal(gy_dns_tsig_check_request(&tsig, &gy_dns_hmac_wolfcrypt, find, NULL, message,
                                               bytes + gy_dns_tsig_bytes(&key) - 6, bytes, NOW),
                     0);
    begin(GY_DNS_TYPE_AXFR, 0);
    out.tsig = &tsig;
    assert_int_equal(carry(&messages, &most), 1);
    assert_int_equal(taken, 5003);
    assert_true(most <= GY_DNS_TRANSFER_MESSAGE_BYTES);
    /* The same without a key on the way back is nothing worth. */
    begin(GY_DNS_TYPE_AXFR, 0);
    ask(GY_DNS_TYPE_AXFR, &key);
    bytes = gy_dns_transfer_out_next(&out, message, NOW);
    assert_int_equal(gy_dns_transfer_in_take(&in, message, bytes, NOW, NULL), GY_EREFUSED);
    rig_zone_free(&zone);
}

static void who_has_the_zone_gets_its_soa_alone(void **state)
{
    uint32_t messages;
    size_t most;
    (void)state;
    load(10, false);
    begin(GY_DNS_TYPE_IXFR, 7);
    size_t bytes = gy_dns_transfer_out_next(&out, message, NOW);
    assert_non_null(strstr(rig_text(message, bytes), "= example. SOA"));
    assert_int_equal(message[7], 1);
    assert_int_equal(gy_dns_transfer_out_next(&out, message, NOW), 0);
    begin(GY_DNS_TYPE_IXFR, 8); /* who is ahead too */
    gy_dns_transfer_out_next(&out, message, NOW);
    assert_int_equal(message[7], 1);
    begin(GY_DNS_TYPE_IXFR, 6);
    ask(GY_DNS_TYPE_AXFR, NULL);
    in.type = GY_DNS_TYPE_IXFR;
    assert_int_equal(carry(&messages, &most), 1);
    assert_int_equal(taken, 13);
    rig_zone_free(&zone);
}

static void serials_wrap(void **state)
{
    (void)state;
    assert_true(gy_dns_serial_newer(1, 0));
    assert_true(gy_dns_serial_newer(0, 0xffffffffu));
    assert_false(gy_dns_serial_newer(5, 5));
    assert_false(gy_dns_serial_newer(0xffffffffu, 0));
    assert_true(gy_dns_serial_newer(0x7fffffffu, 0));
}

static void the_serial_of_an_ixfr_request_is_read(void **state)
{
    /* RFC 1995 §7's form: the SOA in the authority section, its owner a pointer. */
    static const char asked[] = "\0\1\0\0\0\1\0\0\0\1\0\0\3foo\0\0\xfb\0\1"
                                "\xc0\x0c\0\6\0\1\0\0\0\0\0\x18\xc0\x0c\xc0\x0c\0\0\1\2"
                                "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1";
    uint32_t serial = 0;
    (void)state;
    for (size_t i = 0; i < sizeof asked - 1; i++) {
        uint8_t *copy = exact(asked, i);
        assert_int_equal(gy_dns_transfer_serial(copy, i, &serial), GY_EPROTO);
        free(copy);
    }
    assert_int_equal(gy_dns_transfer_serial((const uint8_t *)asked, sizeof asked - 1, &serial), 0);
    assert_int_equal(serial, 258);
}

/* A message for the one who asked: records as they are given. */
struct piece {
    const char *owner;
    uint16_t type;
    const char *rdata;
    size_t bytes;
};

#define SOA_RDATA "\0\0\0\0\0\7\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1"
#define PIECE(owner, type, text)                                                                   \
    {                                                                                              \
        owner, GY_DNS_TYPE_##type, text, sizeof text - 1                                           \
    }

static int take(const struct piece *pieces, size_t count_of, uint16_t flags, struct gy_error *error)
{
    struct gy_dns_builder builder;
    gy_dns_builder_open(&builder, message, sizeof message, 99, flags);
    for (size_t i = 0; i < count_of; i++) {
        assert_int_equal(gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name(pieces[i].owner),
                                               pieces[i].type, 1, 60, pieces[i].rdata,
                                               pieces[i].bytes),
                         0);
    }
    size_t bytes = gy_dns_builder_close(&builder);
    return gy_dns_transfer_in_take(&in, message, bytes, NOW, error);
}

#define TAKE(flags, ...)                                                                           \
    take((const struct piece[]){__VA_ARGS__},                                                      \
         sizeof(const struct piece[]){__VA_ARGS__} / sizeof(struct piece), flags, &error)

static void what_is_no_transfer_is_said_to_be(void **state)
{
    struct gy_error error = {0};
    (void)state;
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(TAKE(0x8000, PIECE("example.", A, "\1\2\3\4")), GY_EPROTO);
    assert_non_null(strstr(error.message, "begin with the zone's SOA"));
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(TAKE(0x8000, PIECE("other.", SOA, SOA_RDATA)), GY_EPROTO);
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(TAKE(0x8005, PIECE("example.", SOA, SOA_RDATA)), GY_EREFUSED);
    assert_non_null(strstr(error.message, "REFUSED"));
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(TAKE(0x0000, PIECE("example.", SOA, SOA_RDATA)), GY_EPROTO);
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(TAKE(0x8000, PIECE("example.", SOA, SOA_RDATA), PIECE("a.example.", OPT, "")),
                     GY_EPROTO);
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(TAKE(0x8000, PIECE("example.", SOA, SOA_RDATA),
                          PIECE("example.", SOA, SOA_RDATA), PIECE("example.", A, "\1\2\3\4")),
                     GY_EPROTO);
    assert_non_null(strstr(error.message, "follow"));
}

static void a_zone_that_changes_while_it_is_sent_is_not_taken(void **state)
{
    struct gy_error error = {0};
    (void)state;
    ask(GY_DNS_TYPE_AXFR, NULL);
    assert_int_equal(TAKE(0x8000, PIECE("example.", SOA, SOA_RDATA)), 0);
    assert_int_equal(TAKE(0x8000, PIECE("EXAMPLE.", A, "\1\2\3\4")), 0);
    assert_int_equal(
        TAKE(0x8000, PIECE("example.", SOA, "\0\0\0\0\0\x8\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1")),
        GY_EPROTO);
    assert_non_null(strstr(error.message, "changed"));
}

static void a_serial_comes_alone(void **state)
{
    struct gy_error error = {0};
    (void)state;
    ask(GY_DNS_TYPE_SOA, NULL);
    in.record = NULL;
    assert_int_equal(TAKE(0x8400, PIECE("example.", SOA, SOA_RDATA)), 1);
    assert_int_equal(in.serial, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_arrives_whole_in_messages_of_16_kib),
        cmocka_unit_test(a_record_longer_than_messages_gets_one_of_its_own),
        cmocka_unit_test(every_message_of_a_signed_transfer_is_signed),
        cmocka_unit_test(who_has_the_zone_gets_its_soa_alone),
        cmocka_unit_test(serials_wrap),
        cmocka_unit_test(the_serial_of_an_ixfr_request_is_read),
        cmocka_unit_test(what_is_no_transfer_is_said_to_be),
        cmocka_unit_test(a_zone_that_changes_while_it_is_sent_is_not_taken),
        cmocka_unit_test(a_serial_comes_alone),
    };
    return cmocka_run_group_tests_name("dns_transfer", tests, NULL, NULL);
}
