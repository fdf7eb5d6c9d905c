/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The texts of resolv.conf(5) and hosts(5). */

#include <string.h>

#include "core/error.h"
#include "protocols/dns/resolv.h"
#include "tests/dns/probe.h"

struct told {
    uint32_t count;
    uint32_t lines[16];
};

static void report(void *context, uint32_t line, const char *why)
{
    struct told *told = context;
    assert_true(why[0] != '\0' && told->count < 16);
    told->lines[told->count++] = line;
}

static struct told told;
static struct gy_dns_resolv resolv;

static void parse(const char *text)
{
    told.count = 0;
    gy_dns_resolv_parse(&resolv, text, strlen(text), NULL, report, &told);
}

static void assert_domain(uint32_t number, const char *domain)
{
    char text[GY_DNS_NAME_TEXT_BYTES];
    assert_true(number < resolv.search_count);
    gy_dns_name_to_text(resolv.search[number], text);
    assert_string_equal(text, domain);
}

static void nothing_at_all_means_this_host(void **state)
{
    (void)state;
    static const uint8_t loopback[] = {127, 0, 0, 1};
    gy_dns_resolv_parse(&resolv, NULL, 0, NULL, NULL, NULL);
    assert_int_equal(resolv.server_count, 1);
    assert_int_equal(resolv.servers[0].length, 4);
    assert_int_equal(resolv.servers[0].port, 53);
    assert_memory_equal(resolv.servers[0].bytes, loopback, 4);
    assert_int_equal(resolv.ndots, 1);
    assert_int_equal(resolv.timeout_s, 5);
    assert_int_equal(resolv.attempts, 2);
    assert_int_equal(resolv.search_count, 0);
}

static void a_usual_file_is_read(void **state)
{
    (void)state;
    parse("# made by something\n"
          "; and this\n"
          "nameserver 192.0.2.53\n"
          "nameserver\t2001:db8::35 \r\n"
          "nameserver fe80::1%eth0\n"
          "\n"
          "search example.org  corp.example.org.\n"
          "options ndots:2 timeout:3 attempts:4 rotate edns0 trust-ad use-vc no-tld-query # so\n");
    assert_int_equal(told.count, 0);
    assert_int_equal(resolv.server_count, 3);
    assert_int_equal(resolv.servers[1].length, 16);
    assert_int_equal(resolv.servers[1].bytes[15], 0x35);
    assert_string_equal(resolv.servers[2].scope, "eth0");
    assert_int_equal(resolv.search_count, 2);
    assert_domain(0, "example.org.");
    assert_domain(1, "corp.example.org.");
    assert_int_equal(resolv.ndots, 2);
    assert_int_equal(resolv.timeout_s, 3);
    assert_int_equal(resolv.attempts, 4);
    assert_true(resolv.rotate && resolv.edns && resolv.trust_ad && resolv.tcp &&
                resolv.no_tld_query);
}

static void bad_lines_are_skipped_and_told(void **state)
{
    (void)state;
    parse("nameserver 192.0.2.300\n"
          "nameserver\n"
          "nameserver 192.0.2.1\n"
          "sortlist 192.0.2.0\n"
          "options ndots:x frobnicate timeout:2\n"
          "nameserver 2001:db8::1::2\n"
          "search a..b good.example");
    assert_int_equal(resolv.server_count, 1);
    assert_int_equal(resolv.timeout_s, 2);
    assert_int_equal(told.count, 7);
    assert_int_equal(told.lines[0], 1);
    assert_int_equal(told.lines[1], 2);
    assert_int_equal(told.lines[2], 4);
    assert_int_equal(told.lines[3], 5);
    assert_int_equal(told.lines[5], 6);
    assert_int_equal(told.lines[6], 7);
    assert_int_equal(resolv.search_count, 1);
    assert_domain(0, "good.example.");
}

static void numbers_are_cut_to_what_the_c_library_takes(void **state)
{
    (void)state;
    parse("options ndots:99 timeout:4000 attempts:0\n");
    assert_int_equal(resolv.ndots, 15);
    assert_int_equal(resolv.timeout_s, 30);
    assert_int_equal(resolv.attempts, 1);
    assert_int_equal(told.count, 0);
}

static void the_last_of_domain_and_search_counts(void **state)
{
    (void)state;
    parse("search a.example b.example\ndomain c.example\n");
    assert_int_equal(resolv.search_count, 1);
    assert_domain(0, "c.example.");
}

static void servers_and_domains_are_bounded(void **state)
{
    (void)state;
    char text[2048];
    size_t fill = 0;
    for (int i = 0; i < GY_DNS_SERVERS_MAX + 2; i++) {
        fill += (size_t)snprintf(text + fill, sizeof text - fill, "nameserver 192.0.2.1\n");
    }
    fill += (size_t)snprintf(text + fill, sizeof text - fill, "search");
    for (int i = 0; i < GY_DNS_SEARCH_MAX + 2; i++) {
        fill += (size_t)snprintf(text + fill, sizeof text - fill, " d.example");
    }
    assert_true(fill < sizeof text);
    parse(text);
    assert_int_equal(resolv.server_count, GY_DNS_SERVERS_MAX);
    assert_int_equal(resolv.search_count, GY_DNS_SEARCH_MAX);
    assert_int_equal(told.count, 3);
}

static void the_hosts_domain_is_searched_when_nothing_is_said(void **state)
{
    (void)state;
    gy_dns_resolv_parse(&resolv, "", 0, "box.example.net", NULL, NULL);
    assert_int_equal(resolv.search_count, 1);
    assert_domain(0, "example.net.");
    gy_dns_resolv_parse(&resolv, "", 0, "box", NULL, NULL);
    assert_int_equal(resolv.search_count, 0);
    gy_dns_resolv_parse(&resolv, "search .\n", 9, "box.example.net", NULL, NULL);
    assert_int_equal(resolv.search_count, 0);
}

static const char hosts[] = "127.0.0.1 localhost\n"
                            "::1\tlocalhost ip6-localhost # the same\n"
                            "192.0.2.7   Web.Example  web w3#alias\n"
                            "192.0.2.8 other\n"
                            "nonsense web\n"
                            "192.0.2.9\n"
                            "192.0.2.7 web\n"
                            "2001:db8::7 web";

static void hosts_names_have_the_addresses_of_all_their_lines(void **state)
{
    (void)state;
    struct gy_dns_address found[4];
    assert_int_equal(gy_dns_hosts_find(hosts, sizeof hosts - 1, "web", found, 4), 2);
    assert_int_equal(found[0].length, 4);
    assert_int_equal(found[0].bytes[3], 7);
    assert_int_equal(found[1].length, 16);
    assert_int_equal(gy_dns_hosts_find(hosts, sizeof hosts - 1, "web.example.", found, 4), 1);
    assert_int_equal(gy_dns_hosts_find(hosts, sizeof hosts - 1, "WEB", found, 1), 1);
    assert_int_equal(gy_dns_hosts_find(hosts, sizeof hosts - 1, "alias", found, 4), 0);
    assert_int_equal(gy_dns_hosts_find(hosts, sizeof hosts - 1, "we", found, 4), 0);
    assert_int_equal(gy_dns_hosts_find(hosts, sizeof hosts - 1, ".", found, 4), 0);
    assert_int_equal(gy_dns_hosts_find(hosts, sizeof hosts - 1, "", found, 4), 0);
    assert_int_equal(gy_dns_hosts_find(NULL, 0, "web", found, 4), 0);
}

static void hosts_lines_that_say_nothing_are_told(void **state)
{
    (void)state;
    told.count = 0;
    gy_dns_hosts_check(hosts, sizeof hosts - 1, report, &told);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.lines[0], 5);
    assert_int_equal(told.lines[1], 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_at_all_means_this_host),
        cmocka_unit_test(a_usual_file_is_read),
        cmocka_unit_test(bad_lines_are_skipped_and_told),
        cmocka_unit_test(numbers_are_cut_to_what_the_c_library_takes),
        cmocka_unit_test(the_last_of_domain_and_search_counts),
        cmocka_unit_test(servers_and_domains_are_bounded),
        cmocka_unit_test(the_hosts_domain_is_searched_when_nothing_is_said),
        cmocka_unit_test(hosts_names_have_the_addresses_of_all_their_lines),
        cmocka_unit_test(hosts_lines_that_say_nothing_are_told),
    };
    return cmocka_run_group_tests_name("dns resolv.conf and hosts", tests, NULL, NULL);
}
