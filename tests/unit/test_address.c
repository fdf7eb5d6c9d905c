/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Addresses read, written and compared. Sockets that listen on them: test_listen.c. */

#include <arpa/inet.h>

#include "tests/unit/address_unit.h"

static void assert_formats(const char *text, const char *expected)
{
    char out[GY_ADDRESS_TEXT_BYTES];
    struct gy_address address = parsed(text);
    assert_string_equal(gy_address_format(&address, out, sizeof(out)), expected);
    struct gy_address again = parsed(out);
    assert_true(gy_address_equal(&address, &again));
}

static void assert_refused(const char *text, const char *hint)
{
    struct gy_address address;
    memset(&address, 0x5a, sizeof(address));
    struct gy_address before = address;
    struct gy_error error = {0};
    assert_int_equal(gy_address_parse(&address, text, &error), GY_EINVAL);
    assert_int_equal(error.code, GY_EINVAL);
    if (strstr(error.message, hint) == NULL)
        fail_msg("'%s': \"%s\" does not say \"%s\"", text, error.message, hint);
    assert_memory_equal(&address, &before, sizeof(address));
    assert_int_equal(gy_address_parse(&address, text, NULL), GY_EINVAL);
}

static void reads_ipv4(void **state)
{
    (void)state;
    struct gy_address address = parsed("192.0.2.7:8080");
    assert_int_equal(address.any.sa_family, AF_INET);
    assert_int_equal(address.length, sizeof(struct sockaddr_in));
    assert_int_equal(ntohl(address.v4.sin_addr.s_addr), 0xc0000207);
    assert_int_equal(ntohs(address.v4.sin_port), 8080);
    assert_false(address.every);
    assert_formats("192.0.2.7:8080", "192.0.2.7:8080");
    assert_formats("0.0.0.0:65535", "0.0.0.0:65535");
}

static void reads_ipv6(void **state)
{
    (void)state;
    struct gy_address address = parsed("[2001:DB8:0:0::1]:53");
    assert_int_equal(address.any.sa_family, AF_INET6);
    assert_int_equal(address.length, sizeof(struct sockaddr_in6));
    assert_int_equal(address.v6.sin6_addr.s6_addr[0], 0x20);
    assert_int_equal(address.v6.sin6_addr.s6_addr[15], 0x01);
    assert_formats("[2001:DB8:0:0::1]:53", "[2001:db8::1]:53");
    assert_formats("[::]:0", "[::]:0");
    assert_false(parsed("[::]:0").every);
}

static void reads_scopes_by_name_and_number(void **state)
{
    (void)state;
    assert_formats("[fe80::1%lo]:80", "[fe80::1%lo]:80");
    assert_int_equal(parsed("[fe80::1%1]:80").v6.sin6_scope_id, 1);
    assert_formats("[fe80::1%987654]:80", "[fe80::1%987654]:80");
    assert_refused("[fe80::1%nosuchinterface]:80", "not a numeric IPv6 address");
    assert_refused("[fe80::1%]:80", "not a numeric IPv6 address");
}

static void a_port_alone_is_every_address(void **state)
{
    (void)state;
    const char *texts[] = {"8080", ":8080"};
    for (unsigned i = 0; i < 2; i++) {
        struct gy_address address = parsed(texts[i]);
        assert_true(address.every);
        assert_int_equal(gy_address_port(&address), 8080);
        assert_formats(texts[i], ":8080");
    }
    assert_int_equal(gy_address_port(&(struct gy_address){.v4.sin_family = AF_INET}), 0);
    struct gy_address every = parsed(":80"), v6 = parsed("[::]:80");
    assert_false(gy_address_equal(&every, &v6));
}

static void mapped_ipv4_becomes_ipv4(void **state)
{
    (void)state;
    assert_formats("[::ffff:192.0.2.1]:80", "192.0.2.1:80");
    char out[GY_ADDRESS_TEXT_BYTES];
    struct gy_address peer;
    struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_port = htons(4000)};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &from.sin6_addr), 1);
    assert_int_equal(gy_address_from_sockaddr(&peer, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_string_equal(gy_address_format(&peer, out, sizeof(out)), "192.0.2.1:4000");
}

static void refuses_what_is_no_address_and_says_how_to_write_it(void **state)
{
    (void)state;
    assert_refused("", "ADDRESS:PORT");
    assert_refused("localhost:80", "names are not looked up");
    assert_refused("localhost", "has no port");
    assert_refused("127.0.0.1", "has no port");
    assert_refused("[::1]", "has no port");
    assert_refused("[]:80", "not a numeric IPv6 address");
    assert_refused("::1:80", "in brackets");
    assert_refused("[::1:80", "in brackets");
    assert_refused("2001:db8::1", "in brackets");
    assert_refused("[127.0.0.1]:80", "not a numeric IPv6 address");
    assert_refused("127.0.0.256:80", "not a numeric IPv4 address");
    assert_refused("127.0.0:80", "not a numeric IPv4 address");
    assert_refused(" 127.0.0.1:80", "not a numeric IPv4 address");
    assert_refused("127.0.0.1:", "end in a port");
    assert_refused(":", "end in a port");
    assert_refused("127.0.0.1:65536", "end in a port");
    assert_refused("127.0.0.1:99999999999999999999", "end in a port");
    assert_refused("127.0.0.1:+80", "end in a port");
    assert_refused("127.0.0.1:-1", "end in a port");
    assert_refused("127.0.0.1:80 ", "end in a port");
    assert_refused("127.0.0.1:http", "end in a port");
    char longest[5000];
    memset(longest, '1', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_refused(longest, "end in a port");
    memcpy(longest + sizeof(longest) - 4, ":80", 4);
    assert_refused(longest, "not a numeric IPv4 address");
}

static void takes_only_whole_internet_addresses_from_the_kernel(void **state)
{
    (void)state;
    struct gy_address address;
    struct sockaddr_storage from = {.ss_family = AF_INET6};
    const struct sockaddr *any = (struct sockaddr *)&from;
    assert_int_equal(gy_address_from_sockaddr(&address, any, sizeof(from)), 0);
    assert_int_equal(address.length, sizeof(struct sockaddr_in6));
    assert_int_equal(gy_address_from_sockaddr(&address, any, sizeof(struct sockaddr_in6) - 1),
                     GY_EINVAL);
    assert_int_equal(gy_address_from_sockaddr(&address, any, 0), GY_EINVAL);
    from.ss_family = AF_UNIX;
    assert_int_equal(gy_address_from_sockaddr(&address, any, sizeof(from)), GY_ENOTSUP);
}

static bool overlap(const char *a, const char *b)
{
    struct gy_address one = parsed(a);
    struct gy_address other = parsed(b);
    bool found = gy_address_overlap(&one, &other);
    assert_int_equal(gy_address_overlap(&other, &one), found);
    return found;
}

static void an_address_overlaps_those_that_it_stands_for(void **state)
{
    (void)state;
    assert_true(overlap("127.0.0.1:80", "127.0.0.1:80"));
    assert_true(overlap(":80", "127.0.0.1:80"));
    assert_true(overlap(":80", "[::1]:80"));
    assert_true(overlap(":80", "[::]:80"));
    assert_true(overlap("0.0.0.0:80", "127.0.0.1:80"));
    assert_true(overlap("[::]:80", "[::1]:80"));
    assert_false(overlap("[::]:80", "0.0.0.0:80"));
    assert_false(overlap("[::]:80", "127.0.0.1:80"));
    assert_false(overlap("127.0.0.1:80", "127.0.0.2:80"));
    assert_false(overlap(":80", ":81"));
    assert_false(overlap(":0", ":0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_overlaps_those_that_it_stands_for),
        cmocka_unit_test(reads_ipv4),
        cmocka_unit_test(reads_ipv6),
        cmocka_unit_test(reads_scopes_by_name_and_number),
        cmocka_unit_test(a_port_alone_is_every_address),
        cmocka_unit_test(mapped_ipv4_becomes_ipv4),
        cmocka_unit_test(refuses_what_is_no_address_and_says_how_to_write_it),
        cmocka_unit_test(takes_only_whole_internet_addresses_from_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
