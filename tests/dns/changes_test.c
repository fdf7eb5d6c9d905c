/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Differences between versions of a zone: compared, sent, fetched, applied, kept. */

#include <stdio.h>
#include <stdlib.h>

#include "protocols/dns/transfer_in.h"
#include "protocols/dns/transfer_out.h"
#include "protocols/dns/zonefile.h"
#include "servers/dns/dns_changes.h"
#include "tests/dns/probe.h"

#define NOW       1795369022u
#define SEED      7
#define TEXT_ROOM ((size_t)1 << 20)
#define KEEP      ((uint64_t)1 << 20)

static const uint8_t apex[] = "\4JAIN\2AD\2JP";
static const char head[] = "$TTL 60\n@ SOA NS h %u 600 600 3600000 604800\n@ NS NS\n";

/* ---- zones ---- */

static int add(void *context, struct gy_dns_zonefile *file, const struct gy_dns_record *record,
               struct gy_error *error)
{
    (void)file;
    return gy_dns_zone_add(gy_dns_zone_maker_builder(context), record, error);
}

static const struct gy_dns_zone *make(uint32_t serial, const char *records)
{
    static char text[TEXT_ROOM];
    const struct gy_dns_zone *zone = NULL;
    struct gy_dns_zonefile file;
    struct gy_error error = {0};
    size_t used = 0;
    int bytes = snprintf(text, sizeof text, head, serial);
    bytes += snprintf(text + bytes, sizeof text - (size_t)bytes, "%s", records);
    struct gy_dns_zone_maker *maker = gy_dns_zone_maker_open(apex, SEED, 0);
    const struct gy_dns_zonefile_settings settings = {.context = maker, .record = add};
    gy_dns_zonefile_init(&file, &settings, "zone", apex);
    if (gy_dns_zonefile_feed(&file, text, (size_t)bytes, true, &used, &error) != 0 ||
        gy_dns_zone_maker_finish(maker, &zone, &error) != 0) {
        fail_msg("%s", error.message);
    }
    gy_dns_zone_maker_close(maker);
    return zone;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All records as sorted lines. */
static char *print(const struct gy_dns_zone *zone)
{
    static struct gy_dns_zone_walk walk;
    static char line[GY_DNS_RDATA_TEXT_BYTES];
    char **lines = calloc(TEXT_ROOM / 16, sizeof *lines);
    char *all = calloc(1, TEXT_ROOM);
    struct gy_dns_record record;
    size_t count = 0;
    size_t at = 0;
    assert_non_null(lines);
    assert_non_null(all);
    gy_dns_zone_walk(&walk, zone);
    while (gy_dns_zone_walk_next(&walk, &record)) {
        int length = gy_dns_record_to_text(record.owner, record.type, record.class, record.ttl,
                                           record.rdata, record.rdata_bytes, line, sizeof line);
        assert_true(length > 0);
        lines[count++] = strdup(line);
    }
    qsort(lines, count, sizeof *lines, by_text);
    for (size_t i = 0; i < count; i++) {
        at += (size_t)snprintf(all + at, TEXT_ROOM - at, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    return all;
}

static void assert_same(const struct gy_dns_zone *a, const struct gy_dns_zone *b)
{
    char *one = print(a);
    char *other = print(b);
    assert_string_equal(one, other);
    free(one);
    free(other);
}

static int collect(void *context, enum gy_dns_change change, const struct gy_dns_record *record)
{
    return gy_dns_changes_take(context, change, record);
}

static void compare(struct gy_dns_changes *changes, const struct gy_dns_zone *from,
                    const struct gy_dns_zone *to)
{
    static struct gy_dns_zone_walk walk;
    assert_int_equal(gy_dns_zone_compare(from, to, &walk, collect, changes), 0);
}

/* What the zone becomes; NULL with why it does not. */
static const struct gy_dns_zone *apply(const struct gy_dns_changes *changes,
                                       const struct gy_dns_zone *zone, struct gy_error *error)
{
    struct gy_dns_zone_maker *maker = gy_dns_zone_maker_open(apex, SEED, 0);
    const struct gy_dns_zone *made = NULL;
    int code = gy_dns_changes_apply(changes, zone, maker, error);
    if (code == 0) {
        code = gy_dns_zone_maker_finish(maker, &made, error);
    }
    assert_true((code == 0) == (made != NULL));
    gy_dns_zone_maker_close(maker);
    return made;
}

/* ---- a transfer from one side to the other ---- */

static struct gy_dns_transfer_out out;
static struct gy_dns_transfer_in in;
static struct gy_dns_changes came;
static uint8_t message[GY_DNS_MESSAGE_MAX];

static int take(void *context, enum gy_dns_change change, const struct gy_dns_record *record,
                struct gy_error *error)
{
    (void)error;
    return change == GY_DNS_WHOLE ? 0 : gy_dns_changes_take(context, change, record);
}

/* Asks for what has come after `have`. */
static void fetch(const struct gy_dns_zone *zone, uint32_t have)
{
    struct gy_error error = {0};
    uint32_t serial = 0;
    memset(&in, 0, sizeof in);
    in.record = take;
    in.context = &came;
    in.have = have;
    gy_dns_changes_close(&came);
    size_t bytes =
        gy_dns_transfer_in_begin(&in, apex, GY_DNS_TYPE_IXFR, 99, NULL, NULL, message, NOW);
    assert_int_equal(gy_dns_transfer_serial(message, bytes, &serial), 0);
    assert_int_equal(serial, have);
    const struct gy_dns_transfer_query query = {
        .name = apex, .id = 99, .type = GY_DNS_TYPE_IXFR, .serial = serial};
    gy_dns_transfer_out_begin(&out, zone, gy_dns_journal_of(zone), &query, NULL);
    int code = 0;
    while ((bytes = gy_dns_transfer_out_next(&out, message, NOW)) > 0) {
        uint8_t *copy = exact(message, bytes);
        assert_int_equal(code, 0);
        code = gy_dns_transfer_in_take(&in, copy, bytes, NOW, &error);
        free(copy);
    }
    assert_int_equal(code, 1);
}

/* ---- the RFC's example (RFC 1995 §7) ---- */

static const char first_records[] = "NS A 133.69.136.1\nNEZU A 133.69.136.5\n";
static const char third_records[] =
    "NS A 133.69.136.1\nJAIN-BB A 133.69.136.3\nJAIN-BB A 192.41.197.2\n";

struct line {
    const char *owner;
    const char *address; /* NULL: a SOA */
    uint32_t serial;
};

static int feed(const struct line *lines, size_t count, struct gy_error *error)
{
    struct gy_dns_builder builder;
    uint8_t rdata[GY_DNS_RDATA_MAX];
    memset(&in, 0, sizeof in);
    in.record = take;
    in.context = &came;
    in.have = 1;
    gy_dns_changes_close(&came);
    gy_dns_transfer_in_begin(&in, apex, GY_DNS_TYPE_IXFR, 99, NULL, NULL, message, NOW);
    gy_dns_builder_open(&builder, message, sizeof message, 99, 0x8400);
    for (size_t i = 0; i < count; i++) {
        char text[128];
        uint16_t type = lines[i].address == NULL ? GY_DNS_TYPE_SOA : GY_DNS_TYPE_A;
        snprintf(text, sizeof text, "NS.jain.ad.jp. h.jain.ad.jp. %u 600 600 3600000 604800",
                 lines[i].serial);
        const char *data = lines[i].address == NULL ? text : lines[i].address;
        int bytes =
            gy_dns_rdata_from_text(type, data, strlen(data), NULL, rdata, sizeof rdata, NULL);
        assert_true(bytes > 0);
        assert_int_equal(gy_dns_builder_record(&builder, GY_DNS_ANSWER, rig_name(lines[i].owner),
                                               type, 1, 60, rdata, (size_t)bytes),
                         0);
    }
    return gy_dns_transfer_in_take(&in, message, gy_dns_builder_close(&builder), NOW, error);
}

#define ZONE "JAIN.AD.JP."

static void the_rfcs_differences_make_the_third_version_of_the_first(void **state)
{
    static const struct line separate[] = {
        {ZONE, NULL, 3},
        {ZONE, NULL, 1},
        {"NEZU." ZONE, "133.69.136.5", 0},
        {ZONE, NULL, 2},
        {"JAIN-BB." ZONE, "133.69.136.4", 0},
        {"JAIN-BB." ZONE, "192.41.197.2", 0},
        {ZONE, NULL, 2},
        {"JAIN-BB." ZONE, "133.69.136.4", 0},
        {ZONE, NULL, 3},
        {"JAIN-BB." ZONE, "133.69.136.3", 0},
        {ZONE, NULL, 3},
    };
    static const struct line condensed[] = {
        {ZONE, NULL, 3},
        {ZONE, NULL, 1},
        {"NEZU." ZONE, "133.69.136.5", 0},
        {ZONE, NULL, 3},
        {"JAIN-BB." ZONE, "133.69.136.3", 0},
        {"JAIN-BB." ZONE, "192.41.197.2", 0},
        {ZONE, NULL, 3},
    };
    const struct gy_dns_zone *first = make(1, first_records);
    const struct gy_dns_zone *third = make(3, third_records);
    struct gy_error error = {0};
    (void)state;
    assert_int_equal(feed(separate, sizeof separate / sizeof separate[0], &error), 1);
    assert_true(in.incremental);
    assert_int_equal(came.count, 2);
    const struct gy_dns_zone *made = apply(&came, first, &error);
    assert_same(made, third);
    gy_dns_zone_free(made);
    assert_int_equal(feed(condensed, sizeof condensed / sizeof condensed[0], &error), 1);
    assert_int_equal(came.count, 1);
    made = apply(&came, first, &error);
    assert_same(made, third);
    gy_dns_zone_free(made);
    gy_dns_zone_free(first);
    gy_dns_zone_free(third);
}

#define FEED(...)                                                                                  \
    feed((const struct line[]){__VA_ARGS__},                                                       \
         sizeof(const struct line[]){__VA_ARGS__} / sizeof(struct line), &error)

static void an_answer_to_ixfr_is_told_by_its_second_record(void **state)
{
    struct gy_error error = {0};
    (void)state;
    assert_int_equal(FEED({ZONE, NULL, 1}), 1); /* it has no more than we */
    assert_true(in.current);
    assert_int_equal(FEED({ZONE, NULL, 3}), 0); /* more has to come */
    assert_int_equal(FEED({ZONE, NULL, 3}, {ZONE, "192.0.2.1", 0}, {ZONE, NULL, 3}), 1);
    assert_false(in.incremental || in.current);
    assert_int_equal(came.count, 0);
    assert_int_equal(FEED({ZONE, NULL, 3}, {ZONE, NULL, 1}, {ZONE, NULL, 3}, {ZONE, NULL, 3}), 1);
    assert_true(in.incremental);
}

static void differences_that_do_not_follow_each_other_are_not_taken(void **state)
{
    struct gy_error error = {0};
    (void)state;
    assert_int_equal(FEED({ZONE, NULL, 3}, {ZONE, NULL, 2}), GY_EPROTO);
    assert_non_null(strstr(error.message, "serial 2 behind 1"));
    assert_int_equal(FEED({ZONE, NULL, 4}, {ZONE, NULL, 1}, {ZONE, NULL, 2}, {ZONE, NULL, 3}),
                     GY_EPROTO);
    assert_int_equal(FEED({ZONE, NULL, 3}, {ZONE, NULL, 1}, {ZONE, NULL, 3}, {ZONE, NULL, 3},
                          {ZONE, "192.0.2.1", 0}),
                     GY_EPROTO);
    assert_non_null(strstr(error.message, "follow the zone's end"));
}

/* ---- comparing and applying ---- */

static void what_was_removed_and_added_is_found_and_made_again(void **state)
{
    const struct gy_dns_zone *old = make(1, "NS A 192.0.2.1\n"
                                            "gone A 192.0.2.2\ngone TXT x\n"
                                            "some A 192.0.2.3\nsome A 192.0.2.4\n"
                                            "ttl 60 A 192.0.2.5\nttl A 192.0.2.6\n"
                                            "deep.down.there A 192.0.2.7\n"
                                            "mx MX 1 NS\nmx MX 2 other.example.\n");
    const struct gy_dns_zone *new = make(2, "NS A 192.0.2.1\n"
                                            "some A 192.0.2.4\nsome A 192.0.2.9\n"
                                            "ttl 90 A 192.0.2.5\nttl 90 A 192.0.2.6\n"
                                            "there A 192.0.2.7\n"
                                            "mx MX 1 NS\nmx MX 3 other.example.\n"
                                            "* A 192.0.2.8\n");
    struct gy_dns_changes changes = {0};
    struct gy_error error = {0};
    (void)state;
    compare(&changes, old, new);
    /* Two SOAs; gone 2, some 1 and 1, ttl 2 and 2, deep 1, there 1, mx 1 and 1, "*" 1. */
    assert_int_equal(changes.starts[0].records, 15);
    assert_int_equal(changes.starts[0].from, 1);
    assert_int_equal(changes.starts[0].to, 2);
    const struct gy_dns_zone *made = apply(&changes, old, &error);
    assert_same(made, new);
    gy_dns_zone_free(made);
    made = apply(&changes, new, &error); /* of another version */
    assert_null(made);
    assert_non_null(strstr(error.message, "does not have"));
    gy_dns_changes_close(&changes);
    gy_dns_zone_free(old);
    gy_dns_zone_free(new);
}

static void names_within_data_may_be_spelled_in_another_case(void **state)
{
    const struct gy_dns_zone *old = make(1, "NS A 192.0.2.1\nmx MX 1 Mail.Example.\n");
    const struct gy_dns_zone *other = make(1, "NS A 192.0.2.1\nmx MX 1 mail.EXAMPLE.\n");
    const struct gy_dns_zone *new = make(2, "NS A 192.0.2.1\n");
    struct gy_dns_changes changes = {0};
    struct gy_error error = {0};
    (void)state;
    compare(&changes, other, new);
    const struct gy_dns_zone *made = apply(&changes, old, &error);
    assert_same(made, new);
    gy_dns_zone_free(made);
    gy_dns_changes_close(&changes);
    gy_dns_zone_free(old);
    gy_dns_zone_free(other);
    gy_dns_zone_free(new);
}

/* Records by chance: few names and data, so that versions share many. */
static const struct gy_dns_zone *chance(uint32_t serial, uint32_t *seed)
{
    static char text[TEXT_ROOM / 2];
    static const char *const names[] = {"@", "a", "b", "x.a", "*.b", "c.d.e", "e", "f"};
    size_t at = (size_t)snprintf(text, sizeof text, "NS A 192.0.2.1\n");
    for (uint32_t i = 0; i < 128; i++) { /* a name, a type, one of eight values */
        const char *form = (i & 1) != 0 ? "%s A 192.0.2.%u\n" : "%s TXT \"%u\"\n";
        *seed = *seed * 1664525u + 1013904223u;
        if (*seed >> 30 == 0) {
            at += (size_t)snprintf(text + at, sizeof text - at, form, names[i >> 4], i >> 1 & 7);
        }
    }
    return make(serial, text);
}

static void a_secondary_follows_any_versions_by_their_differences(void **state)
{
    uint32_t seed = 20261122;
    (void)state;
    for (uint32_t round = 0; round < 50; round++) {
        const struct gy_dns_zone *versions[6];
        struct gy_error error = {0};
        for (uint32_t i = 0; i < 6; i++) {
            versions[i] = chance(i + 1, &seed);
            if (i > 0) {
                gy_dns_journal_follow(versions[i], versions[i - 1], NULL, KEEP);
            }
        }
        for (uint32_t i = 3; i < 6; i++) {
            fetch(versions[5], i);
            if (!in.incremental) { /* they are larger than the zone by chance */
                continue;
            }
            assert_int_equal(came.count, 6 - i);
            const struct gy_dns_zone *made = apply(&came, versions[i - 1], &error);
            if (made == NULL) {
                fail_msg("round %u, from %u: %s", round, i, error.message);
            }
            assert_same(made, versions[5]);
            gy_dns_zone_free(made);
        }
        for (uint32_t i = 0; i < 6; i++) {
            gy_dns_zone_free(versions[i]);
        }
    }
}

/* ---- journals ---- */

/* 100 names; `changed` of them have another address in each version. */
static const struct gy_dns_zone *version(uint32_t serial, uint32_t changed)
{
    static char text[TEXT_ROOM / 2];
    size_t at = (size_t)snprintf(text, sizeof text, "NS A 192.0.2.1\n");
    for (uint32_t i = 0; i < 100; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "h%u A 192.0.%u.2\n", i,
                               i < changed ? serial & 255 : 0);
    }
    return make(serial, text);
}

static void an_old_serial_or_many_changes_get_the_whole_zone(void **state)
{
    const struct gy_dns_zone *zone = version(1, 1);
    (void)state;
    for (uint32_t serial = 2; serial < 6; serial++) {
        const struct gy_dns_zone *next = version(serial, serial == 3 ? 100 : 1);
        gy_dns_journal_follow(next, zone, NULL, KEEP);
        gy_dns_zone_free(zone);
        zone = next;
    }
    fetch(zone, 4);
    assert_true(in.incremental);
    fetch(zone, 2); /* across the change of everything */
    assert_false(in.incremental);
    fetch(zone, 77); /* which never was */
    assert_true(in.current);
    fetch(zone, 0xfffffff0u);
    assert_false(in.incremental || in.current);
    gy_dns_zone_free(zone);
}

static void a_journal_is_bounded_by_count_and_bytes(void **state)
{
    const struct gy_dns_zone *zone = version(1, 1);
    (void)state;
    for (uint32_t serial = 2; serial < GY_DNS_JOURNAL_MAX + 10; serial++) {
        const struct gy_dns_zone *next = version(serial, 1);
        gy_dns_journal_follow(next, zone, NULL, KEEP);
        gy_dns_zone_free(zone);
        zone = next;
    }
    const struct gy_dns_differences *kept = gy_dns_journal_of(zone);
    uint64_t bytes = 0;
    struct gy_dns_zone_facts facts;
    gy_dns_zone_facts(zone, &facts);
    for (uint32_t i = 0; i < kept->count; i++) {
        bytes += kept->list[i]->bytes;
    }
    assert_true(kept->count > 10 && kept->count <= GY_DNS_JOURNAL_MAX && bytes <= facts.bytes);
    const struct gy_dns_zone *next = version(1000, 1);
    gy_dns_journal_follow(next, zone, NULL, 1000);
    assert_uint_in_range(gy_dns_journal_of(next)->count, 1, 1000 / 100);
    const struct gy_dns_zone *last = version(1001, 1);
    gy_dns_journal_follow(last, next, NULL, 0);
    assert_int_equal(gy_dns_journal_of(last)->count, 0);
    gy_dns_zone_free(zone);
    gy_dns_zone_free(next);
    gy_dns_zone_free(last);
}

static void a_serial_that_is_not_newer_begins_anew(void **state)
{
    const struct gy_dns_zone *first = version(5, 1);
    const struct gy_dns_zone *second = version(6, 1);
    const struct gy_dns_zone *third = version(6, 2);
    (void)state;
    gy_dns_journal_follow(second, first, NULL, KEEP);
    assert_int_equal(gy_dns_journal_of(second)->count, 1);
    gy_dns_journal_follow(third, second, NULL, KEEP);
    assert_int_equal(gy_dns_journal_of(third)->count, 0);
    gy_dns_zone_free(first);
    gy_dns_zone_free(second);
    gy_dns_zone_free(third);
}

static int leave(void **state)
{
    (void)state;
    gy_dns_changes_close(&came);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_differences_make_the_third_version_of_the_first),
        cmocka_unit_test(an_answer_to_ixfr_is_told_by_its_second_record),
        cmocka_unit_test(differences_that_do_not_follow_each_other_are_not_taken),
        cmocka_unit_test(what_was_removed_and_added_is_found_and_made_again),
        cmocka_unit_test(names_within_data_may_be_spelled_in_another_case),
        cmocka_unit_test(a_secondary_follows_any_versions_by_their_differences),
        cmocka_unit_test(an_old_serial_or_many_changes_get_the_whole_zone),
        cmocka_unit_test(a_journal_is_bounded_by_count_and_bytes),
        cmocka_unit_test(a_serial_that_is_not_newer_begins_anew),
    };
    return cmocka_run_group_tests_name("dns_changes", tests, NULL, leave);
}
