/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages: reading, and building within a budget. */

#include "tests/dns/probe.h"

static int read_all(const char *bytes, size_t length)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    uint8_t *copy = exact(bytes, length);
    int more = gy_dns_message_open(&message, copy, length), count = 0;
    while (more == 0 && (more = gy_dns_message_next(&message, &record)) > 0) {
        count++;
        more = 0;
    }
    free(copy);
    return more < 0 ? more : count;
}

#define READ(bytes) read_all(bytes, sizeof bytes - 1)

static void counts_that_lie_are_refused(void **state)
{
    (void)state;
    assert_int_equal(READ("\0\1\0\0\0\0\0\0\0\0\0\0"), 0);
    assert_int_equal(READ("\0\1\0\0\0\0\0\0\0\0\0"), GY_EPROTO);
    assert_int_equal(READ("\0\1\0\0\0\1\0\0\0\0\0\0"), GY_EPROTO);
    assert_int_equal(READ("\0\1\0\0\0\1\0\0\0\0\0\0\0\0\1\0\1"), 1);
    assert_int_equal(READ("\0\1\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1"), GY_EPROTO);
    assert_int_equal(READ("\0\1\0\0\0\0\0\1\0\0\0\0\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4"), 1);
    assert_int_equal(READ("\0\1\0\0\0\0\0\1\0\0\0\0\0\0\1\0\1\0\0\0\0\0\5\1\2\3\4"), GY_EPROTO);
    assert_int_equal(READ("\0\1\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), GY_EPROTO);
}

static void names_are_compressed_on_output(void **state)
{
    uint8_t bytes[512];
    struct gy_dns_builder builder;
    (void)state;
    gy_dns_builder_open(&builder, bytes, sizeof bytes, 7, GY_DNS_FLAG_QR);
    gy_dns_builder_question(&builder, rig_name("example.com."), GY_DNS_TYPE_MX, 1);
    assert_int_equal(gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name("example.com."),
                                           GY_DNS_TYPE_MX, 1, 60, "\0\12\4mail\7example\3com", 20),
                     0);
    size_t length = gy_dns_builder_close(&builder);
    /* Header, question 17, then a pointer, ten bytes, preference, "mail" and a pointer. */
    assert_int_equal(length, 12 + 17 + 2 + 10 + 2 + 5 + 2);
    assert_memory_equal(bytes + 29, "\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\x09\0\x0a\4mail\xc0\x0c", 21);
    assert_string_equal(rig_text(bytes, length), "NOERROR\n? example.com. MX\n"
                                                 "= example.com. MX 10 mail.example.com.\n");
}

static void names_that_repeat_themselves_are_not_pointed_into_themselves(void **state)
{
    uint8_t bytes[512];
    struct gy_dns_builder builder;
    (void)state;
    gy_dns_builder_open(&builder, bytes, sizeof bytes, 7, 0);
    gy_dns_builder_question(&builder, rig_name("a.a.a."), GY_DNS_TYPE_A, 1);
    assert_int_equal(gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name("a.a."),
                                           GY_DNS_TYPE_SRV, 1, 1, "\0\1\0\2\0\3\1a\0", 9),
                     0);
    size_t length = gy_dns_builder_close(&builder);
    assert_string_equal(rig_text(bytes, length), "NOERROR\n? a.a.a. A\n= a.a. SRV 1 2 3 a.\n");
}

static void a_record_that_does_not_fit_leaves_no_trace(void **state)
{
    uint8_t bytes[512], before[512];
    struct gy_dns_builder builder;
    (void)state;
    for (size_t limit = 12; limit < 110; limit++) {
        uint8_t *room = malloc(limit);
        gy_dns_builder_open(&builder, room, limit, 7, 0);
        int question = gy_dns_builder_question(&builder, rig_name("www.example."), 1, 1);
        size_t at = builder.at;
        memcpy(before, room, at);
        int record = gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name("other.name."),
                                           GY_DNS_TYPE_CNAME, 1, 1, "\5third\4name", 12);
        assert_int_equal(question, limit >= 12 + 17 ? 0 : GY_ELIMIT);
        if (record != 0) {
            assert_int_equal(record, GY_ELIMIT);
            assert_int_equal(builder.at, at);
            assert_memory_equal(room + 12, before + 12, at - 12);
        }
        size_t length = gy_dns_builder_close(&builder);
        assert_true(length <= limit);
        rig_text(room, length);
        free(room);
    }
    (void)bytes;
}

static void an_rrset_can_be_taken_back(void **state)
{
    uint8_t bytes[512];
    struct gy_dns_builder builder;
    (void)state;
    gy_dns_builder_open(&builder, bytes, sizeof bytes, 7, 0);
    gy_dns_builder_question(&builder, rig_name("x."), 1, 1);
    size_t mark = builder.at;
    gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name("y.z."), 1, 1, 1, "abcd", 4);
    gy_dns_builder_rewind(&builder, mark, GY_DNS_ANSWER, 1);
    gy_dns_builder_truncate(&builder);
    gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name("q.z."), 1, 1, 1, "abcd", 4);
    size_t length = gy_dns_builder_close(&builder);
    assert_string_equal(rig_text(bytes, length), "NOERROR tc\n? x. A\n= q.z. A 97.98.99.100\n");
}

static void many_names_fill_the_table_and_go_on(void **state)
{
    static uint8_t bytes[GY_DNS_MESSAGE_MAX];
    struct gy_dns_builder builder;
    char name[64];
    unsigned count = 0;
    (void)state;
    gy_dns_builder_open(&builder, bytes, sizeof bytes, 7, 0);
    for (;; count++) {
        snprintf(name, sizeof name, "n%u.d%u.example.", count, count % 50);
        if (gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name(name), 1, 1, 1, "abcd", 4) !=
            0) {
            break;
        }
    }
    assert_true(count > 2000);
    size_t length = gy_dns_builder_close(&builder);
    struct gy_dns_message message;
    struct gy_dns_record record;
    gy_dns_message_open(&message, bytes, length);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "n%u.d%u.example.", i, i % 50);
        assert_int_equal(gy_dns_message_next(&message, &record), 1);
        assert_true(gy_dns_name_equal(record.owner, rig_name(name)));
    }
    assert_int_equal(gy_dns_message_next(&message, &record), 0);
}

static void data_that_is_not_its_types_is_refused(void **state)
{
    uint8_t bytes[512];
    struct gy_dns_builder builder;
    (void)state;
    gy_dns_builder_open(&builder, bytes, sizeof bytes, 7, 0);
    assert_int_equal(gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name("x."), GY_DNS_TYPE_MX,
                                           1, 1, "\0\1\5cut", 6),
                     GY_EPROTO);
    assert_int_equal(builder.at, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_that_lie_are_refused),
        cmocka_unit_test(names_are_compressed_on_output),
        cmocka_unit_test(names_that_repeat_themselves_are_not_pointed_into_themselves),
        cmocka_unit_test(a_record_that_does_not_fit_leaves_no_trace),
        cmocka_unit_test(an_rrset_can_be_taken_back),
        cmocka_unit_test(many_names_fill_the_table_and_go_on),
        cmocka_unit_test(data_that_is_not_its_types_is_refused),
    };
    return cmocka_run_group_tests_name("dns messages", tests, NULL, NULL);
}
