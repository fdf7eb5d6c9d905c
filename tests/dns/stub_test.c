/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The stub resolver: what it asks whom, when, and which answers it believes. */

#include "tests/dns/stub_probe.h"

/* ---- without the network ---- */

static void hosts_are_looked_at_first(void **state)
{
    (void)state;
    begin("");
    assert_int_equal(ask("BOX"), 0);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    assert_int_equal(lookup.addresses[0].bytes[3], 99);
}

static void localhost_is_loopback_without_a_question(void **state)
{
    (void)state;
    begin("");
    static const char *const names[] = {"localhost", "localhost.", "LocalHost", "db.localhost"};
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(ask(names[i]), 0);
        assert_told(GY_DNS_STUB_FOUND, 2, false);
        assert_int_equal(lookup.addresses[0].length, 16);
        assert_int_equal(lookup.addresses[1].bytes[0], 127);
    }
    assert_int_equal(ask("notlocalhost"), 2);
}

static void special_and_bad_names_are_not_asked_for(void **state)
{
    (void)state;
    begin("");
    assert_int_equal(ask("x.invalid"), 0);
    assert_told(GY_DNS_STUB_NO_NAME, 0, false);
    assert_int_equal(ask("abc.onion."), 0);
    assert_told(GY_DNS_STUB_NO_NAME, 0, false);
    static const char *const bad[] = {"", ".", "a b", "a..b", "a\\.b", "\xc3\xa4", "a:80", "[::1]"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(ask(bad[i]), 0);
        assert_told(GY_DNS_STUB_BAD_NAME, 0, false);
    }
}

/* ---- both families ---- */

static void both_types_are_asked_for_at_once(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.53");
    assert_int_equal(ask("www.example."), 2);
    const struct stub_sent *six = stub_rig_open(rig, AAAA);
    assert_non_null(six);
    assert_non_null(stub_rig_open(rig, A));
    assert_string_equal(six->name, "www.example.");
    assert_int_equal(six->server.bytes[3], 53);
    assert_int_equal(six->action, GY_DNS_STUB_UDP);
}

static void ipv6_is_told_at_once_and_ipv4_behind_it(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    stub_rig_reply(rig, AAAA, 0, "2001:db8::1");
    assert_told(GY_DNS_STUB_FOUND, 1, true);
    stub_rig_reply(rig, A, 0, "192.0.2.1");
    assert_told(GY_DNS_STUB_FOUND, 2, false);
    assert_int_equal(lookup.addresses[0].length, 16);
    assert_int_equal(lookup.addresses[1].length, 4);
    assert_idle();
}

/* RFC 8305 §3 */
static void ipv4_waits_fifty_milliseconds_for_ipv6(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    stub_rig_reply(rig, A, 0, "192.0.2.1");
    stub_rig_wait(rig, 49);
    assert_nothing_yet();
    stub_rig_wait(rig, 1);
    assert_told(GY_DNS_STUB_FOUND, 1, true);
    assert_int_equal(stub_rig_open(rig, AAAA)->times, 1); /* which is still waited for */
    stub_rig_reply(rig, AAAA, 0, "2001:db8::1");
    assert_told(GY_DNS_STUB_FOUND, 2, false);
    assert_int_equal(lookup.addresses[1].length, 16);
}

static void ipv6_within_that_time_comes_first(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    stub_rig_reply(rig, A, 0, "192.0.2.1");
    stub_rig_wait(rig, 30);
    stub_rig_reply(rig, AAAA, 0, "2001:db8::1");
    assert_told(GY_DNS_STUB_FOUND, 2, false);
    assert_int_equal(lookup.addresses[0].length, 16);
}

static void one_family_without_addresses_is_no_harm(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    stub_rig_reply(rig, A, 0, "192.0.2.1");
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    assert_idle();
}

static void ipv4_keeps_half_of_the_room(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    for (int four = 0; four < 2; four++) {
        struct gy_dns_builder builder;
        struct stub_sent *sent = stub_rig_open(rig, four ? A : AAAA);
        stub_rig_answer(sent, &builder, room, 0);
        for (int i = 1; i <= 20; i++) {
            char text[32];
            snprintf(text, sizeof text, four ? "192.0.2.%d" : "2001:db8::%d", i);
            stub_rig_add(&builder, GY_DNS_ANSWER, sent->name, four ? A : AAAA, 60, text);
        }
        if (four == 0) { /* held back, so that both come at once */
            static uint8_t kept[GY_DNS_MESSAGE_MAX];
            size_t bytes = gy_dns_builder_close(&builder);
            memcpy(kept, room, bytes);
            stub_rig_reply(rig, A, 0, "192.0.2.200");
            gy_dns_stub_receive(&rig->stub, stub_rig_number(rig, sent), &sent->server, kept, bytes,
                                rig->now_ms);
            break;
        }
    }
    assert_told(GY_DNS_STUB_FOUND, GY_DNS_STUB_ADDRESSES, false);
    assert_int_equal(lookup.addresses[15].length, 4);
    assert_int_equal(lookup.addresses[14].length, 16);
}

/* ---- loss and servers ---- */

static void a_lost_query_goes_to_the_next_server(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:3");
    ask("www.example");
    uint16_t id =
        (uint16_t)(stub_rig_open(rig, A)->query[0] << 8 | stub_rig_open(rig, A)->query[1]);
    stub_rig_wait(rig, 2999);
    assert_int_equal(stub_rig_open(rig, A)->server.bytes[3], 1);
    stub_rig_wait(rig, 1);
    const struct stub_sent *sent = stub_rig_open(rig, A);
    assert_int_equal(sent->server.bytes[3], 2);
    assert_true(id != (uint16_t)(sent->query[0] << 8 | sent->query[1]));
    stub_rig_reply(rig, A, 0, "192.0.2.80");
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
}

static void silence_ends_after_all_attempts_at_all_servers(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:1 attempts:3\nsearch "
          "a.example");
    ask("www");
    const struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_wait(rig, 5999);
    assert_nothing_yet();
    assert_int_equal(sent->times, 6);
    stub_rig_wait(rig, 1);
    assert_told(GY_DNS_STUB_SILENT, 0, false);
    assert_idle();
    assert_int_equal(rig->stub.counts.timeouts, 12);
}

static void a_silent_server_is_asked_last_for_a_while(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:1");
    ask("a.example");
    stub_rig_wait(rig, 1000);
    stub_rig_reply(rig, A, 0, "192.0.2.80");
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    ask("b.example");
    assert_int_equal(stub_rig_open(rig, A)->server.bytes[3], 2);
    gy_dns_stub_cancel(&rig->stub, &lookup);
    stub_rig_pull(rig);
    stub_rig_wait(rig, 30000);
    ask("c.example");
    assert_int_equal(stub_rig_open(rig, A)->server.bytes[3], 1);
}

static void a_socket_that_fails_goes_on_at_once(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2");
    ask("www.example");
    struct stub_sent *sent = stub_rig_open(rig, A);
    gy_dns_stub_failed(&rig->stub, stub_rig_number(rig, sent), rig->now_ms);
    assert_int_equal(stub_rig_pull(rig), 1);
    assert_int_equal(sent->server.bytes[3], 2);
}

static void servers_that_cannot_say_are_passed_over(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions attempts:1");
    ask("www.example");
    stub_rig_reply(rig, A, GY_DNS_RCODE_SERVFAIL, NULL);
    assert_int_equal(stub_rig_open(rig, A)->server.bytes[3], 2);
    stub_rig_reply(rig, A, GY_DNS_RCODE_REFUSED, NULL);
    assert_null(stub_rig_open(rig, A));
    stub_rig_reply(rig, AAAA, GY_DNS_RCODE_SERVFAIL, NULL);
    stub_rig_reply(rig, AAAA, GY_DNS_RCODE_SERVFAIL, NULL);
    assert_told(GY_DNS_STUB_FAILED, 0, false);
}

/* Both types fail; then how long nobody is asked again. */
static void fail_and_wait(uint64_t quiet_ms)
{
    assert_int_equal(ask("www.example"), 2);
    stub_rig_reply(rig, A, GY_DNS_RCODE_SERVFAIL, NULL);
    stub_rig_reply(rig, AAAA, GY_DNS_RCODE_SERVFAIL, NULL);
    assert_told(GY_DNS_STUB_FAILED, 0, false);
    stub_rig_wait(rig, quiet_ms - 1);
    assert_int_equal(ask("www.example"), 0);
    assert_told(GY_DNS_STUB_FAILED, 0, false);
    stub_rig_wait(rig, 1);
}

static void a_failure_is_remembered_for_longer_each_time(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\noptions attempts:1");
    for (uint32_t seconds = 1; seconds < 30; seconds *= 2) {
        fail_and_wait(seconds * UINT64_C(1000));
    }
    fail_and_wait(30000);
    fail_and_wait(30000);
    assert_int_equal(ask("other.example"), 2); /* which is another question */
    gy_dns_stub_cancel(&rig->stub, &lookup);
    stub_rig_pull(rig);
    assert_int_equal(ask("www.example"), 2);
    stub_rig_reply(rig, A, 0, "192.0.2.80");
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
    stub_rig_wait(rig, 400000); /* past its TTL: what failed long ago counts no more */
    fail_and_wait(1000);
}

static void a_server_that_only_refers_is_passed_over(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2");
    ask("www.example");
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_answer(sent, &builder, room, 0);
    stub_rig_add(&builder, GY_DNS_AUTHORITY, "example.", GY_DNS_TYPE_NS, 60, "ns.example.");
    stub_rig_deliver(rig, sent, &builder);
    assert_int_equal(sent->server.bytes[3], 2);
}

static void rotate_begins_with_another_server_each_time(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions rotate");
    uint32_t seen[3] = {0};
    static const char *const names[] = {"a.example", "b.example", "c.example", "d.example"};
    for (size_t i = 0; i < COUNT(names); i++) {
        ask(names[i]);
        seen[stub_rig_open(rig, A)->server.bytes[3]]++;
        gy_dns_stub_cancel(&rig->stub, &lookup);
        stub_rig_pull(rig);
    }
    assert_int_equal(seen[1], 2);
    assert_int_equal(seen[2], 2);
}

/* ---- forged answers ---- */

static void forged_answers_are_dropped_and_counted(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1");
    ask("www.example");
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    uint32_t number = stub_rig_number(rig, sent);
    struct gy_dns_address stranger = sent->server;
    stranger.bytes[3] = 66;
    stub_rig_answer(sent, &builder, room, 0);
    stub_rig_add(&builder, GY_DNS_ANSWER, sent->name, A, 60, "198.51.100.66");
    size_t bytes = gy_dns_builder_close(&builder);
    gy_dns_stub_receive(&rig->stub, number, &stranger, room, bytes, rig->now_ms);
    assert_int_equal(rig->stub.counts.strangers, 1);
    room[0] ^= 1;
    gy_dns_stub_receive(&rig->stub, number, &sent->server, room, bytes, rig->now_ms);
    assert_int_equal(rig->stub.counts.wrong_id, 1);
    room[0] ^= 1;
    room[13] ^= 1; /* another name */
    gy_dns_stub_receive(&rig->stub, number, &sent->server, room, bytes, rig->now_ms);
    assert_int_equal(rig->stub.counts.wrong_question, 1);
    room[13] ^= 1;
    room[2] &= 0x7f; /* a query */
    gy_dns_stub_receive(&rig->stub, number, &sent->server, room, bytes, rig->now_ms);
    assert_int_equal(rig->stub.counts.wrong_id, 2);
    room[2] |= 0x80;
    gy_dns_stub_receive(&rig->stub, number, &sent->server, room, bytes - 1, rig->now_ms);
    assert_int_equal(rig->stub.counts.malformed, 1);
    assert_int_equal(stub_rig_pull(rig), 0);
    gy_dns_stub_receive(&rig->stub, number, &sent->server, room, bytes, rig->now_ms);
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
}

static void letters_go_out_in_random_case(void **state)
{
    (void)state;
    begin("");
    ask("abcdefghijklmnopqrstuvwxyz.example");
    const uint8_t *query = stub_rig_open(rig, A)->query;
    uint32_t upper = 0;
    for (uint32_t i = 13; i < 13 + 26; i++) {
        upper += query[i] >= 'A' && query[i] <= 'Z';
    }
    assert_true(upper >= 4 && upper <= 22);
    assert_memory_not_equal(query + 13, stub_rig_open(rig, AAAA)->query + 13, 26);
}

static void a_server_that_changes_the_case_is_asked_by_tcp(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1");
    ask("www.example");
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_answer(sent, &builder, room, 0);
    stub_rig_add(&builder, GY_DNS_ANSWER, sent->name, A, 60, "192.0.2.80");
    room[14] ^= 0x20;
    stub_rig_deliver(rig, sent, &builder);
    assert_int_equal(rig->stub.counts.wrong_case, 1);
    assert_int_equal(sent->action, GY_DNS_STUB_TCP);
    assert_memory_equal(sent->query + 12, "\3www\7example", 13);
    assert_int_equal(sent->server.bytes[3], 1);
}

static void a_port_that_draws_strange_messages_is_left_for_tcp(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    struct stub_sent *sent = stub_rig_open(rig, A);
    static const uint8_t noise[12] = {1, 2, 0x80};
    for (int i = 0; i < 16; i++) {
        assert_int_equal(sent->action, GY_DNS_STUB_UDP);
        gy_dns_stub_receive(&rig->stub, stub_rig_number(rig, sent), &sent->server, noise,
                            sizeof noise, rig->now_ms);
        stub_rig_pull(rig);
    }
    assert_int_equal(sent->action, GY_DNS_STUB_TCP);
}

/* ---- TCP, EDNS ---- */

static void a_cut_answer_is_asked_for_by_tcp(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2");
    ask("www.example");
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_answer(sent, &builder, room, GY_DNS_FLAG_TC);
    stub_rig_deliver(rig, sent, &builder);
    assert_int_equal(sent->action, GY_DNS_STUB_TCP);
    assert_int_equal(sent->server.bytes[3], 1);
    stub_rig_reply(rig, A, 0, "192.0.2.80");
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
}

static void a_server_without_tcp_is_passed_over(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2");
    ask("www.example");
    struct gy_dns_builder builder;
    struct stub_sent *sent = stub_rig_open(rig, A);
    stub_rig_answer(sent, &builder, room, GY_DNS_FLAG_TC);
    stub_rig_deliver(rig, sent, &builder);
    gy_dns_stub_failed(&rig->stub, stub_rig_number(rig, sent), rig->now_ms);
    stub_rig_pull(rig);
    assert_int_equal(sent->action, GY_DNS_STUB_UDP);
    assert_int_equal(sent->server.bytes[3], 2);
}

static void options_are_heeded_in_queries(void **state)
{
    (void)state;
    begin("options use-vc trust-ad edns0 no-aaaa");
    ask("www.example");
    assert_null(stub_rig_open(rig, AAAA));
    const struct stub_sent *sent = stub_rig_open(rig, A);
    static const uint8_t opt[] = {0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0, 0, 0};
    assert_int_equal(sent->action, GY_DNS_STUB_TCP);
    assert_int_equal(sent->query[2], 0x01); /* RD */
    assert_int_equal(sent->query[3], 0x20); /* AD */
    assert_int_equal(sent->query[11], 1);
    assert_memory_equal(sent->query + sent->bytes - sizeof opt, opt, sizeof opt);
}

static void a_server_that_knows_no_edns_is_asked_without(void **state)
{
    (void)state;
    begin("options edns0");
    ask("www.example");
    size_t bytes = stub_rig_open(rig, A)->bytes;
    stub_rig_reply(rig, A, GY_DNS_RCODE_FORMERR, NULL);
    assert_int_equal(stub_rig_open(rig, A)->bytes, bytes - 11);
    stub_rig_reply(rig, A, 0, "192.0.2.80");
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
}

/* ---- many ---- */

static void who_asks_for_the_same_name_shares_the_answer(void **state)
{
    (void)state;
    begin("");
    struct gy_dns_lookup second, late;
    ask("www.example");
    assert_int_equal(gy_dns_stub_ask(&rig->stub, &second, "www.example", rig->now_ms), 0);
    assert_int_equal(stub_rig_pull(rig), 0);
    stub_rig_reply(rig, AAAA, 0, "2001:db8::1");
    assert_int_equal(gy_dns_stub_ask(&rig->stub, &late, "www.example", rig->now_ms), 0);
    assert_told(GY_DNS_STUB_FOUND, 1, true);
    assert_ptr_equal(gy_dns_stub_next(&rig->stub), &second);
    assert_ptr_equal(gy_dns_stub_next(&rig->stub), &late);
    assert_int_equal(late.count, 1);
    gy_dns_stub_cancel(&rig->stub, &second);
    stub_rig_reply(rig, A, 0, "192.0.2.1");
    assert_told(GY_DNS_STUB_FOUND, 2, false);
    assert_ptr_equal(gy_dns_stub_next(&rig->stub), &late);
    assert_int_equal(late.count, 2);
    assert_nothing_yet();
}

static void names_at_a_time_are_bounded(void **state)
{
    (void)state;
    begin("");
    static struct gy_dns_lookup lookups[GY_DNS_STUB_NAMES];
    for (uint32_t i = 0; i < GY_DNS_STUB_NAMES; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%u.example", i);
        assert_int_equal(gy_dns_stub_ask(&rig->stub, &lookups[i], name, rig->now_ms), 0);
    }
    assert_int_equal(gy_dns_stub_ask(&rig->stub, &lookup, "one.more", rig->now_ms), GY_ELIMIT);
    assert_int_equal(stub_rig_pull(rig), GY_DNS_STUB_EXCHANGES);
    gy_dns_stub_cancel(&rig->stub, &lookups[0]);
    assert_int_equal(ask("one.more"), 2);
}

static void a_cancelled_lookup_closes_its_exchanges(void **state)
{
    (void)state;
    begin("");
    ask("www.example");
    gy_dns_stub_cancel(&rig->stub, &lookup);
    gy_dns_stub_cancel(&rig->stub, &lookup);
    stub_rig_pull(rig);
    assert_idle();
    assert_nothing_yet();
}

static void new_files_begin_again(void **state)
{
    (void)state;
    begin("nameserver 192.0.2.1\nnameserver 192.0.2.2");
    ask("www.example");
    struct gy_dns_stub_options options = rig->stub.options;
    gy_dns_resolv_parse(&rig->resolv, "nameserver 192.0.2.9", 20, NULL, NULL, NULL);
    options.resolv = &rig->resolv;
    gy_dns_stub_configure(&rig->stub, &options, rig->now_ms);
    assert_int_equal(stub_rig_pull(rig), 2);
    assert_int_equal(stub_rig_open(rig, A)->server.bytes[3], 9);
    stub_rig_reply(rig, A, 0, "192.0.2.80");
    stub_rig_reply(rig, AAAA, 0, NULL);
    assert_told(GY_DNS_STUB_FOUND, 1, false);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_teardown(test, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(hosts_are_looked_at_first),
        CASE(localhost_is_loopback_without_a_question),
        CASE(special_and_bad_names_are_not_asked_for),
        CASE(both_types_are_asked_for_at_once),
        CASE(ipv6_is_told_at_once_and_ipv4_behind_it),
        CASE(ipv4_waits_fifty_milliseconds_for_ipv6),
        CASE(ipv6_within_that_time_comes_first),
        CASE(one_family_without_addresses_is_no_harm),
        CASE(ipv4_keeps_half_of_the_room),
        CASE(a_lost_query_goes_to_the_next_server),
        CASE(silence_ends_after_all_attempts_at_all_servers),
        CASE(a_silent_server_is_asked_last_for_a_while),
        CASE(a_socket_that_fails_goes_on_at_once),
        CASE(servers_that_cannot_say_are_passed_over),
        CASE(a_failure_is_remembered_for_longer_each_time),
        CASE(a_server_that_only_refers_is_passed_over),
        CASE(rotate_begins_with_another_server_each_time),
        CASE(forged_answers_are_dropped_and_counted),
        CASE(letters_go_out_in_random_case),
        CASE(a_server_that_changes_the_case_is_asked_by_tcp),
        CASE(a_port_that_draws_strange_messages_is_left_for_tcp),
        CASE(a_cut_answer_is_asked_for_by_tcp),
        CASE(a_server_without_tcp_is_passed_over),
        CASE(options_are_heeded_in_queries),
        CASE(a_server_that_knows_no_edns_is_asked_without),
        CASE(who_asks_for_the_same_name_shares_the_answer),
        CASE(names_at_a_time_are_bounded),
        CASE(a_cancelled_lookup_closes_its_exchanges),
        CASE(new_files_begin_again),
    };
    return cmocka_run_group_tests_name("dns stub resolver", tests, NULL, NULL);
}
