/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The stub resolver: which names it asks for, where aliases lead, and what it keeps. */

#include "tests/dns/stub_probe.h"

/* ---- names ---- */

static void few_dots_search_first_and_the_name_itself_last(void **state)
{
    (void)state;
    begin("search a.example b.example");
    static const char *const asked[] = {"www.a.example.", "www.b.example.", "www."};
    ask("www");
    for (size_t i = 0; i < COUNT(asked); i++) {
        assert_string_equal(stub_rig_open(rig, A)->name, asked[i]);
        stub_rig_reply(rig, A, NXDOMAIN, NULL);
        stub_rig_reply(rig, AAAA, NXDOMAIN, NULL);
    }
    assert_told(GY_DNS_STUB_NO_NAME, 0, false);
}

static void many_dots_take_the_name_itself_first(void **state)
{
    (void)state;
    begin("search a.example\noptions ndots:2");
    static const char *const asked[] = {"x.y.z.", "x.y.z.a.example."};
    ask("x.y.z");
    for (size_t i = 0; i < COUNT(asked); i++) {
        assert_string_equal(stub_rig_open(rig, A)->name, asked[i]);
        stub_rig_reply(rig, A, NXDOMAIN, NULL);
        stub_rig_reply(rig, AAAA, NXDOMAIN, NULL);
    }
    assert_told(GY_DNS_STUB_NO_NAME, 0, false);
    ask("p.q");
    assert_string_equal(stub_rig_open(rig, A)->name, "p.q.a.example.");
}

static void a_final_dot_searches_nowhere(void **state)
{
    (void)state;
    begin("search a.example");
    ask("www.");
    assert_string_equal(stub_rig_open(rig, A)->name, "www.");
    stub_rig_reply(rig, A, NXDOMAIN, NULL);
    stub_rig_reply(rig, AAAA, NXDOMAIN, NULL);
    assert_told(GY_DNS_STUB_NO_NAME, 0, false);
}

static void a_name_without_addresses_is_not_one_that_does_not_exist(void **state)
{
    (void)state;
    begin("search a.example");
    ask("www");
    stub_rig_reply(rig, A, 0, NULL);
    stub_rig_reply(rig, AAAA, 0, NULL);
    stub_rig_reply(rig, A, NXDOMAIN, NULL);
    stub_rig_reply(rig, AAAA, NXDOMAIN, NULL);
    assert_told(GY_DNS_STUB_NO_ADDRESS, 0, false);
}

/* ---- aliases ---- */

static void a_chain_in_any_order_is_followed(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_answer(sent, &builder, room, 0);
    stub_rig_add(&builder, GY_DNS_ANSWER, "c.example.", A, 60, "192.0.2.80");
    stub_rig_add(&builder, GY_DNS_ANSWER, "b.example.", GY_DNS_TYPE_CNAME, 60, "c.example.");
    stub_rig_add(&builder, GY_DNS_ANSWER, "www.example.", GY_DNS_TYPE_CNAME, 60, "b.example.");
    stub_rig_add(&builder, GY_DNS_ANSWER, "evil.example.", A, 60, "198.51.100.66");
    stub_rig_deliver(rig, sent, &builder);
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    assert_int_equal(lookup.addresses[0].bytes[3], 80);
}

static void an_alias_that_the_server_did_not_follow_is_asked_for(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\noptions attempts:1");
    ask("www.example");
    stub_rig_reply(rig, AAAA, 0, NULL);
    for (int i = 0; i < 9; i++) {
        char target[32];
        struct gy_dns_builder builder;
        struct stub_sent *sent = stub_rig_open(rig, A);
        snprintf(target, sizeof target, "n%d.example.", i);
        assert_non_null(sent);
        stub_rig_answer(sent, &builder, room, 0);
        stub_rig_add(&builder, GY_DNS_ANSWER, sent->name, GY_DNS_TYPE_CNAME, 60, target);
        stub_rig_deliver(rig, sent, &builder);
        if (i < 8) {
            assert_string_equal(sent->name, target);
        }
    }
    assert_told(GY_DNS_STUB_FAILED, 0, false);
}

static void aliases_in_a_circle_end(void **state)
{
    (void)state;
    begin("options attempts:1");
    ask("a.example");
    stub_rig_reply(rig, AAAA, 0, NULL);
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_answer(sent, &builder, room, 0);
    stub_rig_add(&builder, GY_DNS_ANSWER, "a.example.", GY_DNS_TYPE_CNAME, 60, "b.example.");
    stub_rig_add(&builder, GY_DNS_ANSWER, "b.example.", GY_DNS_TYPE_CNAME, 60, "a.example.");
    stub_rig_deliver(rig, sent, &builder);
    assert_told(GY_DNS_STUB_FAILED, 0, false);
}

/* ---- the cache ---- */

static void answers_are_kept_as_long_as_they_say(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    stub_rig_reply(rig, A, 0, "192.0.2.80"); /* for 300 s */
    stub_rig_reply(rig, AAAA, 0, "2001:db8::80");
    assert_told(GY_DNS_STUB_FOUND, 2, false);
    stub_rig_wait(rig, 299999);
    assert_int_equal(ask("WWW.example"), 0);
    assert_told(GY_DNS_STUB_FOUND, 2, false);
    assert_int_equal(lookup.addresses[1].bytes[3], 80);
    stub_rig_wait(rig, 1);
    assert_int_equal(ask("www.example"), 2);
}

/* RFC 2308 §5: the lesser of the SOA's TTL and its last field. */
static void absence_is_kept_as_long_as_the_soa_says(void **state)
{
    (void)state;
    begin("");
    ask("no.example");
    stub_rig_reply(rig, A, NXDOMAIN, NULL); /* 900, 60 */
    stub_rig_reply(rig, AAAA, NXDOMAIN, NULL);
    assert_told(GY_DNS_STUB_NO_NAME, 0, false);
    stub_rig_wait(rig, 59999);
    assert_int_equal(ask("no.example"), 0);
    assert_told(GY_DNS_STUB_NO_NAME, 0, false);
    stub_rig_wait(rig, 1);
    assert_int_equal(ask("no.example"), 2);
}

/* Balancers are seen to say NXDOMAIN for AAAA of names that have an A. */
static void an_address_stays_known_beside_a_denial_for_the_other_type(void **state)
{
    (void)state;
    for (int four_first = 0; four_first < 2; four_first++) {
        begin("");
        ask("www.example");
        stub_rig_reply(rig, four_first ? A : AAAA, four_first ? 0 : NXDOMAIN,
                       four_first ? "192.0.2.80" : NULL);
        stub_rig_reply(rig, four_first ? AAAA : A, four_first ? NXDOMAIN : 0,
                       four_first ? NULL : "192.0.2.80");
        assert_told(GY_DNS_STUB_FOUND, 1, false);
        assert_int_equal(ask("www.example"), 0);
        assert_told(GY_DNS_STUB_FOUND, 1, false);
        assert_int_equal(lookup.addresses[0].bytes[3], 80);
        tear_down(state);
    }
}

static void the_least_ttl_of_a_chain_counts(void **state)
{
    (void)state;
    begin("options no-aaaa");
    ask("www.example");
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_answer(sent, &builder, room, 0);
    stub_rig_add(&builder, GY_DNS_ANSWER, "www.example.", GY_DNS_TYPE_CNAME, 10, "b.example.");
    stub_rig_add(&builder, GY_DNS_ANSWER, "b.example.", A, 600, "192.0.2.80");
    stub_rig_deliver(rig, sent, &builder);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    stub_rig_wait(rig, 9999);
    assert_int_equal(ask("www.example"), 0);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    stub_rig_wait(rig, 1);
    assert_int_equal(ask("www.example"), 1);
}

static void an_absence_without_soa_and_a_ttl_of_zero_are_not_kept(void **state)
{
    (void)state;
    begin("options no-aaaa");
    for (int i = 0; i < 2; i++) {
        struct gy_dns_builder builder;
        assert_int_equal(ask("www.example"), 1);
        struct stub_sent *sent = stub_rig_open(rig, A);
        stub_rig_answer(sent, &builder, room, 0);
        stub_rig_deliver(rig, sent, &builder);
        assert_told(GY_DNS_STUB_NO_ADDRESS, 0, false);
    }
    for (int i = 0; i < 2; i++) {
        struct gy_dns_builder builder;
        assert_int_equal(ask("www.example"), 1);
        struct stub_sent *sent = stub_rig_open(rig, A);
        stub_rig_answer(sent, &builder, room, 0);
        stub_rig_add(&builder, GY_DNS_ANSWER, "www.example.", A, i == 0 ? 0 : 0x80000000,
                     "192.0.2.80");
        stub_rig_deliver(rig, sent, &builder);
        assert_told(GY_DNS_STUB_FOUND, 1, false);
    }
}

static void a_soa_of_another_zone_says_nothing(void **state)
{
    (void)state;
    begin("options no-aaaa");
    for (int i = 0; i < 2; i++) {
        struct gy_dns_builder builder;
        assert_int_equal(ask("www.example"), 1);
        struct stub_sent *sent = stub_rig_open(rig, A);
        stub_rig_answer(sent, &builder, room, NXDOMAIN);
        stub_rig_add(&builder, GY_DNS_AUTHORITY, "elsewhere.", GY_DNS_TYPE_SOA, 900,
                     ". . 1 2 3 4 60");
        stub_rig_deliver(rig, sent, &builder);
        assert_told(GY_DNS_STUB_NO_NAME, 0, false);
    }
}

static void the_cache_is_bounded_and_lets_the_shortest_go(void **state)
{
    (void)state;
    begin("options no-aaaa");
    for (int i = 0; i < 2000; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        assert_int_equal(ask(name), 1);
        stub_rig_reply(rig, A, 0, "192.0.2.80");
        assert_told(GY_DNS_STUB_FOUND, 1, false);
    }
    assert_true(rig->stub.counts.evicted >= 2000 - GY_DNS_STUB_CACHED);
    assert_int_equal(ask("n1999.example"), 0);
}

/* By hand, from RFC 1035 §4.1: what another's encoder would send. */
static void an_answer_is_read_from_its_bytes(void **state)
{
    (void)state;
    begin("options use-vc no-aaaa");
    ask("a.example");
    struct stub_sent *sent = stub_rig_open(rig, A);
    uint8_t answer[] = {
        0,    0,   0x81, 0x80, 0,   1,   0, 2, 0, 0,  0, 0, 1,   'a', 7,    'e',
        'x',  'a', 'm',  'p',  'l', 'e', 0, 0, 1, 0,  1,                        /* question */
        0xc0, 12,  0,    5,    0,   1,   0, 0, 0, 60, 0, 4, 1,   'b', 0xc0, 14, /* b.example */
        0xc0, 39,  0,    1,    0,   1,   0, 0, 0, 60, 0, 4, 192, 0,   2,    80};
    memcpy(answer, sent->query, 2);
    gy_dns_stub_receive(&rig->stub, stub_rig_number(rig, sent), &sent->server, answer,
                        sizeof answer, rig->now_ms);
    stub_rig_pull(rig);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    assert_int_equal(lookup.addresses[0].bytes[0], 192);
    assert_int_equal(lookup.addresses[0].bytes[3], 80);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_teardown(test, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(few_dots_search_first_and_the_name_itself_last),
        CASE(many_dots_take_the_name_itself_first),
        CASE(a_final_dot_searches_nowhere),
        CASE(a_name_without_addresses_is_not_one_that_does_not_exist),
        CASE(a_chain_in_any_order_is_followed),
        CASE(an_alias_that_the_server_did_not_follow_is_asked_for),
        CASE(aliases_in_a_circle_end),
        CASE(answers_are_kept_as_long_as_they_say),
        CASE(absence_is_kept_as_long_as_the_soa_says),
        CASE(an_address_stays_known_beside_a_denial_for_the_other_type),
        CASE(the_least_ttl_of_a_chain_counts),
        CASE(an_absence_without_soa_and_a_ttl_of_zero_are_not_kept),
        CASE(a_soa_of_another_zone_says_nothing),
        CASE(the_cache_is_bounded_and_lets_the_shortest_go),
        CASE(an_answer_is_read_from_its_bytes),
    };
    return cmocka_run_group_tests_name("dns stub resolver, names", tests, NULL, NULL);
}
