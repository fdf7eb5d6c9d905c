/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Zones: what is checked, and what comes back out. */

#include "tests/dns/probe.h"

static struct rig_zone zone;

static int shut(void **state)
{
    (void)state;
    rig_zone_free(&zone);
    return 0;
}

#define TOP "$TTL 1h\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"

static void load(const char *text)
{
    rig_zone_free(&zone);
    rig_zone_load(&zone, "example.", text, strlen(text), 0);
}

/* One report that begins so. */
static void reports(const char *text, const char *report)
{
    load(text);
    assert_int_equal(zone.code, report[0] == 'E' ? GY_EINVAL : 0);
    for (uint32_t i = 0; i < zone.report_count; i++) {
        if (strncmp(zone.reports[i], report, strlen(report)) == 0) {
            return;
        }
    }
    assert_string_equal(zone.report_count > 0 ? zone.reports[0] : "", report);
}

static void what_is_wrong_with_a_zone_is_reported(void **state)
{
    (void)state;
    load(TOP);
    assert_int_equal(zone.report_count, 0);
    reports("$TTL 1\n@ NS ns\nns A 1.2.3.4\n", "E example. SOA: the zone has no SOA");
    reports("$TTL 1\n@ SOA a b 1 2 3 4 5\n", "E example. NS: the zone has no name servers");
    reports(TOP "@ SOA ns h 2 2 3 4 5\n", "E example. SOA: a zone has exactly one");
    reports(TOP "x SOA ns h 2 2 3 4 5\n", "E x.example. SOA: a zone has exactly one");
    reports(TOP "x CNAME y\nx A 1.2.3.4\n", "E x.example. A: the name has a CNAME");
    reports(TOP "x A 1.2.3.4\nx CNAME y\n", "E x.example. A: the name has a CNAME");
    reports(TOP "x CNAME y\nx CNAME z\n", "E x.example. CNAME: there can be only one");
    reports(TOP "x DNAME y\nx DNAME z\n", "E x.example. DNAME: there can be only one");
    reports(TOP "x.example.net. A 1.2.3.4\n", "W x.example.net. A: the name is not in the zone");
    reports(TOP "xexample. A 1.2.3.4\n", "W xexample. A: the name is not in the zone");
    reports(TOP "x A 1.2.3.4\nx A 1.2.3.4\n", "W x.example. A: a record stands there twice");
    reports(TOP "x A 1.2.3.4\nx 5 A 1.2.3.5\n", "W x.example. A: the records of an rrset");
    reports(TOP "x NS ns.x\n", "W x.example. NS: the name server is in the zone, but");
    reports(TOP "@ NS ns2\n", "W example. NS: the name server is in the zone, but");
    reports(TOP "@ NS ns2.example\n",
            "W example. NS: the name server is in the zone, but has no address there: "
            "ns2.example.example.; add glue, or the dot");
    reports(TOP "x MX 1 y\ny CNAME ns\n", "W x.example. MX: it leads to a name that is an alias");
    reports(TOP "x DS 1 8 2 AB\n", "W x.example. DS: there is a DS record, but no delegation");
    reports(TOP "x RRSIG A 5 3 1 20200101000000 20200101000000 1 a. AQID\n",
            "W x.example. A: there are signatures for records");
    reports(TOP "@ NSEC3PARAM 1 0 501 -\n", "E example. NSEC3PARAM: NSEC3 with another hash");
}

static void a_cname_may_have_its_signatures_and_nsec(void **state)
{
    (void)state;
    load(TOP "x CNAME ns\nx NSEC example. CNAME RRSIG NSEC\n"
             "x RRSIG CNAME 5 2 1 20200101000000 20200101000000 1 a. AQID\n"
             "x RRSIG NSEC 5 2 1 20200101000000 20200101000000 1 a. AQID\n");
    assert_string_equal(zone.error.message, "");
}

static void other_classes_are_refused(void **state)
{
    (void)state;
    load("$TTL 1h\n@ CH SOA ns h 1 2 3 4 5\n@ NS ns\n");
    assert_int_equal(zone.code, GY_ENOTSUP);
}

static void an_rrset_has_a_bound(void **state)
{
    char *text = malloc(300000);
    int length = sprintf(text, TOP);
    (void)state;
    for (int i = 0; i <= GY_DNS_RRSET_MAX; i++) {
        length += sprintf(text + length, "x A 10.0.%d.%d\n", i >> 8, i & 255);
    }
    load(text);
    assert_int_equal(zone.code, GY_ELIMIT);
    assert_string_equal(zone.error.message, "an rrset has more than 4096 records");
    free(text);
}

static const char everything[] =
    TOP "@ MX 10 mail\n@ TXT \"v=spf1 -all\"\nmail A 192.0.2.2\nMixed.Case CNAME Other.Case\n"
        "a.b.c.d SRV 1 2 3 mail\nsub NS ns.sub\nsub NS ns.example.net.\nns.sub A 192.0.2.3\n"
        "sub DS 1 8 2 ABCD\nwww HTTPS 1 . alpn=h2\n*.w TXT x\nd DNAME e\n"
        "mail RRSIG A 5 2 3600 20200101000000 20200101000000 1 example. AQID\n"
        "x TYPE65280 \\# 3 010203\n";

/* Names that come again at once, after some others, after many, in another case, and above others
 * that came before: each is one. */
static void names_may_come_in_any_order(void **state)
{
    static const char *const data[] = {"A 192.0.2.9", "TXT b", "AAAA ::3", "A 192.0.2.10"};
    static struct rig rig;
    struct gy_dns_zone_facts facts;
    char *text = malloc(1 << 16);
    (void)state;
    for (uint32_t stride = 1; stride <= 40; stride++) {
        int length = sprintf(text, TOP);
        for (uint32_t i = 0; i < 160; i++) { /* 40 names, `stride` of them at a time */
            uint32_t group = i / (4 * stride), within = i % (4 * stride);
            uint32_t names = 40 - group * stride < stride ? 40 - group * stride : stride;
            uint32_t name = group * stride + within % names, which = within / names;
            char below[16] = "";
            if (name % 8 != 7) {
                snprintf(below, sizeof below, ".a%u.z", name / 8);
            }
            length += sprintf(text + length, "%s%u%s %s\n", which % 2 == 0 ? "n" : "N", name, below,
                              data[which]);
        }
        sprintf(text + length, "z A 192.0.2.11\na1.Z A 192.0.2.12\n");
        load(text);
        assert_string_equal(zone.error.message, "");
        assert_int_equal(zone.report_count, 0);
        gy_dns_zone_facts(zone.zone, &facts);
        assert_int_equal(facts.records, 3 + 160 + 2);
        assert_int_equal(facts.rrsets, 3 + 120 + 2);
        assert_int_equal(facts.names, 2 + 40 + 6);
        rig_init(&rig, 1);
        rig_add(&rig, &zone);
        rig_ask(&rig, "n9.a1.z.example.", GY_DNS_TYPE_A, 0);
        assert_int_equal(rig.answer[7], 2);
        rig_ask(&rig, "a1.z.example.", GY_DNS_TYPE_A, 0);
        assert_int_equal(rig.answer[7], 1);
        rig_free(&rig);
    }
    free(text);
}

static void what_is_reported_is_in_the_order_of_the_file(void **state)
{
    (void)state;
    load(TOP "x A 1.2.3.4\nx A 1.2.3.4\nother.test. A 1.2.3.4\nx 5 A 1.2.3.5\ny A 1.2.3.4\n"
             "more.test. A 1.2.3.4\ny A 1.2.3.4\n");
    assert_int_equal(zone.report_count, 5);
    assert_non_null(strstr(zone.reports[0], "W x.example. A: a record stands there twice"));
    assert_non_null(strstr(zone.reports[1], "W other.test. A: the name is not in the zone"));
    assert_non_null(strstr(zone.reports[2], "W x.example. A: the records of an rrset"));
    assert_non_null(strstr(zone.reports[3], "W more.test. A: the name is not in the zone"));
    assert_non_null(strstr(zone.reports[4], "W y.example. A: a record stands there twice"));
}

static void all_records_come_back(void **state)
{
    struct gy_dns_zone_walk *walk = malloc(sizeof *walk);
    struct gy_dns_record record;
    struct gy_dns_zone_facts facts;
    char line[2048];
    char *text = calloc(1, 65536);
    (void)state;
    load(everything);
    assert_string_equal(zone.error.message, "");
    gy_dns_zone_facts(zone.zone, &facts);
    uint64_t count = 0;
    gy_dns_zone_walk(walk, zone.zone);
    while (gy_dns_zone_walk_next(walk, &record)) {
        assert_int_equal(gy_dns_rdata_check(record.type, record.rdata, record.rdata_bytes), 0);
        assert_true(count > 0 || record.type == GY_DNS_TYPE_SOA);
        assert_true(gy_dns_record_to_text(record.owner, record.type, record.class, record.ttl,
                                          record.rdata, record.rdata_bytes, line, sizeof line) > 0);
        size_t used = strlen(text);
        snprintf(text + used, 65536 - used, "%s\n", line);
        count++;
    }
    assert_int_equal(count, facts.records);
    assert_int_equal(facts.serial, 1);
    assert_int_equal(facts.minimum, 5);
    assert_non_null(strstr(text, "mixed.case.example.\t3600\tIN\tCNAME\tOther.Case.example.\n"));
    assert_non_null(strstr(text, "a.b.c.d.example.\t3600\tIN\tSRV\t1 2 3 mail.example.\n"));
    /* Read again, it is the same zone. */
    static struct rig_zone again;
    rig_zone_load(&again, "example.", text, strlen(text), 0);
    assert_int_equal(again.block_bytes, zone.block_bytes);
    rig_zone_free(&again);
    free(text);
    free(walk);
}

static void a_zone_may_be_moved(void **state)
{
    static struct rig rig;
    (void)state;
    load(everything);
    void *moved = aligned_alloc(64, zone.block_bytes);
    memcpy(moved, zone.block, zone.block_bytes);
    memset(zone.block, 0xff, zone.block_bytes);
    zone.zone = moved;
    rig_init(&rig, 1);
    rig_add(&rig, &zone);
    rig_ask(&rig, "mail.example.", GY_DNS_TYPE_A, 0);
    assert_int_equal(rig.query.rcode, 0);
    assert_int_equal(rig.answer[7], 1);
    rig_free(&rig);
    free(moved);
}

static void a_small_record_costs_what_is_said(void **state)
{
    char *text = malloc(1 << 20);
    int length = sprintf(text, TOP);
    struct gy_dns_zone_facts facts;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        length += sprintf(text + length, "host%d A 10.0.%d.%d\n", i, i >> 8, i & 255);
    }
    load(text);
    gy_dns_zone_facts(zone.zone, &facts);
    /* 56 and the name (18 or less, in eights), and of the table 8 to 0.375 of one. */
    assert_true(facts.bytes / 20000 <= 56 + 24 + 22);
    free(text);
}

static void zones_in_pieces_are_the_same(void **state)
{
    static struct rig_zone again;
    (void)state;
    load(everything);
    for (size_t piece = 1; piece < 100; piece += 7) {
        rig_zone_load(&again, "example.", everything, sizeof everything - 1, piece);
        assert_int_equal(again.block_bytes, zone.block_bytes);
        assert_memory_equal(again.block, zone.block, zone.block_bytes);
        rig_zone_free(&again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_wrong_with_a_zone_is_reported, shut),
        cmocka_unit_test_teardown(a_cname_may_have_its_signatures_and_nsec, shut),
        cmocka_unit_test_teardown(other_classes_are_refused, shut),
        cmocka_unit_test_teardown(an_rrset_has_a_bound, shut),
        cmocka_unit_test_teardown(names_may_come_in_any_order, shut),
        cmocka_unit_test_teardown(what_is_reported_is_in_the_order_of_the_file, shut),
        cmocka_unit_test_teardown(all_records_come_back, shut),
        cmocka_unit_test_teardown(a_zone_may_be_moved, shut),
        cmocka_unit_test_teardown(a_small_record_costs_what_is_said, shut),
        cmocka_unit_test_teardown(zones_in_pieces_are_the_same, shut),
    };
    return cmocka_run_group_tests_name("dns zones", tests, NULL, NULL);
}
