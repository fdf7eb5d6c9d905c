/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The keyed hash, ranges of addresses, and the table of visitors. */

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

#include "core/siphash.h"
#include "core/visitors.h"

#define MS UINT64_C(1000000)

static struct gy_visitors visitors;
static void *memory;

static int set_up(void **state)
{
    (void)state;
    memory = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static struct gy_visitors_options defaults(void)
{
    return (struct gy_visitors_options){
        .entries = GY_VISITORS_ENTRIES_MIN, .v4_bits = 32, .v6_bits = 64, .key = {{7, 9}}};
}

static void open_table(const struct gy_visitors_options *options)
{
    size_t bytes = gy_visitors_bytes(options->entries);
    memory = aligned_alloc(64, bytes);
    assert_non_null(memory);
    memset(memory, 0, bytes);
    gy_visitors_init(&visitors, options, memory);
}

/* Enters by an address as text. */
static int enter(const char *text, uint32_t *visitor)
{
    uint8_t address[16];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(family, text, address), 1);
    return gy_visitors_enter(&visitors, family, address, visitor);
}

/* ---- the hash ---- */

/* From the table of the reference implementation: the key 00 01 … 0f, the input 00 01 … */
static void the_hash_is_siphash_2_4(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        uint64_t hash;
    } cases[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)},
    };
    struct gy_siphash_key key = {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};
    uint8_t input[16];
    for (size_t i = 0; i < sizeof input; i++) {
        input[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(gy_siphash(&key, input, cases[i].bytes) == cases[i].hash);
    }
}

/* ---- ranges ---- */

static void ranges_are_read_as_people_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t bits;
    } cases[] = {
        {"127.0.0.0/8", 104}, {"192.0.2.7", 128}, {"0.0.0.0/0", 96},
        {"::1", 128},         {"::/0", 0},        {"2001:db8::/33", 33},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_visitors_range range;
        assert_int_equal(gy_visitors_range_parse(&range, cases[i].text, NULL), 0);
        assert_int_equal(range.bits, cases[i].bits);
    }
}

static void what_is_no_range_is_refused_with_the_way_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", " is no range of addresses; write 192.0.2.0/24 or 2001:db8::/32"},
        {"localhost", "localhost is no range of addresses; write 192.0.2.0/24 or 2001:db8::/32"},
        {"10.0/8", "10.0/8 is no range of addresses; write 192.0.2.0/24 or 2001:db8::/32"},
        {"10.0.0.0/33", "10.0.0.0/33: what is behind / is a number from 0 to 32"},
        {"10.0.0.0/", "10.0.0.0/: what is behind / is a number from 0 to 32"},
        {"10.0.0.0/8x", "10.0.0.0/8x: what is behind / is a number from 0 to 32"},
        {"10.1.0.0/8", "10.1.0.0/8 is not where that range begins; write 10.0.0.0/8"},
        {"fe80::1/10", "fe80::1/10 is not where that range begins; write fe80::/10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_visitors_range range;
        struct gy_error error = {0};
        assert_int_equal(gy_visitors_range_parse(&range, cases[i].text, &error), GY_EINVAL);
        assert_string_equal(error.message, cases[i].message);
    }
}

static void exempt_addresses_are_never_limited(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.connections_max = 1;
    options.exempt_count = 2;
    assert_int_equal(gy_visitors_range_parse(&options.exempt[0], "10.0.0.0/9", NULL), 0);
    assert_int_equal(gy_visitors_range_parse(&options.exempt[1], "2001:db8::/32", NULL), 0);
    open_table(&options);
    uint32_t visitor;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter("10.127.255.255", &visitor), 0);
        assert_int_equal(visitor, GY_VISITOR_NONE);
        assert_int_equal(enter("::ffff:10.0.0.1", &visitor), 0);
        assert_int_equal(visitor, GY_VISITOR_NONE);
        assert_int_equal(enter("2001:db8:ffff::1", &visitor), 0);
        assert_int_equal(visitor, GY_VISITOR_NONE);
    }
    assert_int_equal(enter("10.128.0.0", &visitor), 0);
    assert_int_not_equal(visitor, GY_VISITOR_NONE);
    assert_int_equal(enter("10.128.0.0", &visitor), GY_ELIMIT);
}

/* ---- connections ---- */

static void an_address_holds_as_many_as_it_may(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.connections_max = 2;
    open_table(&options);
    uint32_t first, second, refused, other;
    assert_int_equal(enter("192.0.2.1", &first), 0);
    assert_int_equal(enter("192.0.2.1", &second), 0);
    assert_int_equal(enter("192.0.2.1", &refused), GY_ELIMIT);
    assert_int_equal(refused, GY_VISITOR_NONE);
    assert_int_equal(enter("192.0.2.2", &other), 0);
    gy_visitors_leave(&visitors, refused);
    assert_int_equal(enter("192.0.2.1", &refused), GY_ELIMIT);
    gy_visitors_leave(&visitors, first);
    assert_int_equal(enter("192.0.2.1", &first), 0);
    assert_int_equal(enter("192.0.2.1", &refused), GY_ELIMIT);
}

static void ipv6_is_told_apart_by_its_prefix_and_ipv4_is_one_in_both_families(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.connections_max = 1;
    open_table(&options);
    uint32_t visitor;
    assert_int_equal(enter("2001:db8:0:1::1", &visitor), 0);
    assert_int_equal(enter("2001:db8:0:1:ffff::2", &visitor), GY_ELIMIT);
    assert_int_equal(enter("2001:db8:0:2::1", &visitor), 0);
    assert_int_equal(enter("192.0.2.1", &visitor), 0);
    assert_int_equal(enter("::ffff:192.0.2.1", &visitor), GY_ELIMIT);
    assert_int_equal(enter("::ffff:192.0.2.2", &visitor), 0);
}

static void a_shorter_prefix_joins_neighbours(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.connections_max = 1;
    options.v4_bits = 20;
    open_table(&options);
    uint32_t visitor;
    assert_int_equal(enter("198.51.16.1", &visitor), 0);
    assert_int_equal(enter("198.51.31.255", &visitor), GY_ELIMIT);
    assert_int_equal(enter("198.51.32.0", &visitor), 0);
}

/* ---- the rate ---- */

static void a_rate_allows_its_burst_and_then_one_at_a_time(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.interval_ns = 100 * MS;
    options.burst = 3;
    open_table(&options);
    uint32_t visitor;
    uint64_t now = 5000 * MS;
    assert_int_equal(enter("192.0.2.1", &visitor), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(gy_visitors_charge(&visitors, visitor, now), 0);
    }
    assert_int_equal(gy_visitors_charge(&visitors, visitor, now), 100 * MS);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, now + 99 * MS), MS);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, now + 100 * MS), 0);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, now + 100 * MS), 100 * MS);
    /* A pause gives the burst back, and no more than that. */
    now += 100000 * MS;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(gy_visitors_charge(&visitors, visitor, now), 0);
    }
    assert_int_equal(gy_visitors_charge(&visitors, visitor, now), 100 * MS);
}

static void leaving_does_not_give_the_allowance_back(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.interval_ns = 1000 * MS;
    options.burst = 1;
    open_table(&options);
    uint32_t visitor;
    assert_int_equal(enter("192.0.2.1", &visitor), 0);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, MS), 0);
    gy_visitors_leave(&visitors, visitor);
    assert_int_equal(enter("192.0.2.1", &visitor), 0);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, 2 * MS), 999 * MS);
}

static void a_clock_that_lags_behind_takes_nothing_back(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.interval_ns = 10 * MS;
    options.burst = 2;
    open_table(&options);
    uint32_t visitor;
    assert_int_equal(enter("192.0.2.1", &visitor), 0);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, 100 * MS), 0);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, 95 * MS), 5 * MS);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, 100 * MS), 0);
}

/* ---- the bound ---- */

static void many_addresses(uint32_t count, bool leave, uint32_t *uncounted)
{
    *uncounted = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t address = htonl(0x0a000000 + i), visitor;
        int code = gy_visitors_enter(&visitors, AF_INET, &address, &visitor);
        assert_true(code == 0 || code == GY_ENOBUFS);
        assert_true((code == 0) == (visitor != GY_VISITOR_NONE));
        *uncounted += code == GY_ENOBUFS;
        if (leave) {
            gy_visitors_charge(&visitors, visitor, MS);
            gy_visitors_leave(&visitors, visitor);
        }
    }
}

static void addresses_that_left_make_room_for_others(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.connections_max = 1;
    options.interval_ns = 1000 * MS;
    options.burst = 1;
    open_table(&options);
    uint32_t uncounted, visitor;
    assert_int_equal(enter("192.0.2.1", &visitor), 0); /* stays */
    many_addresses(100 * GY_VISITORS_ENTRIES_MIN, true, &uncounted);
    assert_int_equal(uncounted, 0);
    assert_int_equal(enter("192.0.2.1", &visitor), GY_ELIMIT);
}

static void a_table_whose_entries_are_all_held_lets_newcomers_in_uncounted(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    open_table(&options);
    uint32_t uncounted;
    many_addresses(20 * GY_VISITORS_ENTRIES_MIN, false, &uncounted);
    assert_int_equal(uncounted, 19 * GY_VISITORS_ENTRIES_MIN);
}

static void half_a_table_of_visitors_finds_room_for_nearly_all(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    open_table(&options);
    uint32_t uncounted;
    many_addresses(GY_VISITORS_ENTRIES_MIN / 2, false, &uncounted);
    assert_true(uncounted <= GY_VISITORS_ENTRIES_MIN / 50);
}

static void the_allowance_that_is_nearest_to_whole_goes_first(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.interval_ns = 1000 * MS;
    options.burst = 1000;
    open_table(&options);
    uint32_t visitor, uncounted;
    assert_int_equal(enter("192.0.2.1", &visitor), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(gy_visitors_charge(&visitors, visitor, MS), 0);
    }
    assert_int_equal(gy_visitors_charge(&visitors, visitor, MS), 1000 * MS);
    gy_visitors_leave(&visitors, visitor);
    many_addresses(100 * GY_VISITORS_ENTRIES_MIN, true, &uncounted);
    assert_int_equal(uncounted, 0);
    assert_int_equal(enter("192.0.2.1", &visitor), 0);
    assert_int_equal(gy_visitors_charge(&visitors, visitor, MS), 1000 * MS);
}

/* ---- several workers ---- */

#define THREADS 4
#define ROUNDS  20000
#define MOST    3

static _Atomic uint32_t inside, charged;
static atomic_bool broken;

static void *hammer(void *context)
{
    uint32_t seed = (uint32_t)(uintptr_t)context;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        /* One address that all want, among others that drive each other out. */
        uint32_t other = htonl(0x0a000000 + (seed * ROUNDS + i) * 7), visitor;
        static const uint8_t wanted[4] = {192, 0, 2, 1};
        if (gy_visitors_enter(&visitors, AF_INET, &other, &visitor) == 0) {
            gy_visitors_leave(&visitors, visitor);
        }
        if (gy_visitors_enter(&visitors, AF_INET, wanted, &visitor) != 0) {
            continue;
        }
        if (atomic_fetch_add(&inside, 1) >= MOST) {
            atomic_store(&broken, true);
        }
        if (gy_visitors_charge(&visitors, visitor, MS) == 0) {
            atomic_fetch_add(&charged, 1);
        }
        atomic_fetch_sub(&inside, 1);
        gy_visitors_leave(&visitors, visitor);
    }
    return NULL;
}

static void workers_that_share_a_table_never_let_in_too_many(void **state)
{
    (void)state;
    struct gy_visitors_options options = defaults();
    options.connections_max = MOST;
    options.interval_ns = 1000 * MS;
    options.burst = 500;
    open_table(&options);
    atomic_store(&inside, 0);
    atomic_store(&charged, 0);
    atomic_store(&broken, false);
    uint32_t pinned; /* so that it stays the same entry, and the sum is exact */
    assert_int_equal(enter("192.0.2.1", &pinned), 0);
    atomic_fetch_add(&inside, 1);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_false(atomic_load(&broken));
    assert_int_equal(atomic_load(&charged), 500);
    gy_visitors_leave(&visitors, pinned);
    for (uint32_t i = 0; i < options.entries; i++) {
        assert_int_equal(atomic_load(&visitors.entries[i].held), 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_siphash_2_4),
        cmocka_unit_test(ranges_are_read_as_people_write_them),
        cmocka_unit_test(what_is_no_range_is_refused_with_the_way_out),
        cmocka_unit_test_setup_teardown(exempt_addresses_are_never_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_address_holds_as_many_as_it_may, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            ipv6_is_told_apart_by_its_prefix_and_ipv4_is_one_in_both_families, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shorter_prefix_joins_neighbours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rate_allows_its_burst_and_then_one_at_a_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(leaving_does_not_give_the_allowance_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_lags_behind_takes_nothing_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(addresses_that_left_make_room_for_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_table_whose_entries_are_all_held_lets_newcomers_in_uncounted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_table_of_visitors_finds_room_for_nearly_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_allowance_that_is_nearest_to_whole_goes_first, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(workers_that_share_a_table_never_let_in_too_many, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("visitors", tests, NULL, NULL);
}
