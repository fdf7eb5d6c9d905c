/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reliable UDP over simulated networks once more, encrypted: TLS's handshake, and keys that change
 * all the time. Randomness follows from the seed, so that a failure can be had again. */

#include "core/tls.h"
#include "servers/rudp/rudp_tls.h"
#include "tests/sim/rudp_tls_world.h"
#include "tests/unit/unit.h"

#define SEEDS 60

static struct world world;
static struct world_totals totals;

static void every_guarantee_holds_encrypted_over_any_network(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (world_tls_run(&world, seed, &totals) != 0) {
            fail_msg("seed %llu: %s", (unsigned long long)seed, world.failure);
        }
    }
}

static void keys_were_changed_and_packets_lost_and_damaged(void **state)
{
    (void)state;
    assert_true(totals.rudp.updates > SEEDS);
    assert_true(totals.network.lost > 0 && totals.network.corrupted > 0);
    assert_true(totals.network.duplicated > 0 && totals.network.reordered > 0);
    assert_true(totals.rudp.probes > 0 && totals.rudp.dropped > 0 && totals.rudp.duplicates > 0);
    assert_true(totals.rudp.mtu_probes > SEEDS && totals.network.too_long > 0);
    assert_true(totals.rudp.black_holes > 0);
    assert_true(totals.rudp.repairs_sent > SEEDS && totals.rudp.recovered > 0);
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    struct world_totals first = {0}, second = {0};
    assert_int_equal(world_tls_run(&world, 7, &first), 0);
    uint64_t end_ns = world.now_ns;
    assert_int_equal(world_tls_run(&world, 7, &second), 0);
    assert_true(end_ns == world.now_ns);
    assert_memory_equal(&first, &second, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_guarantee_holds_encrypted_over_any_network),
        cmocka_unit_test(keys_were_changed_and_packets_lost_and_damaged),
        cmocka_unit_test(the_same_seed_is_the_same_run),
    };
    world_tell_seed();
    if (world_tls_open() != 0) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("rudp_tls_sim", tests, NULL, NULL);
    world_tls_close();
    return failed;
}
