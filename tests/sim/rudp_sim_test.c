/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reliable UDP over simulated networks, a few hundred seeds; more: tests/sim/rudp-seeds --help. */

#include "tests/sim/rudp_world.h"
#include "tests/unit/unit.h"

#define SEEDS 200

static struct world world;
static struct world_totals totals;

static void every_guarantee_holds_over_any_network(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (world_run(&world, seed, &totals) != 0) {
            fail_msg("seed %llu: %s", (unsigned long long)seed, world.failure);
        }
    }
}

static void every_kind_of_fault_was_met(void **state)
{
    (void)state;
    assert_true(totals.network.lost > 0 && totals.network.lost_in_burst > 0);
    assert_true(totals.network.reordered > 0 && totals.network.duplicated > 0);
    assert_true(totals.network.corrupted > 0 && totals.network.queue_full > 0);
    assert_true(totals.network.cut > 0);
    assert_true(totals.rudp.lost > 0 && totals.rudp.spurious > 0 && totals.rudp.probes > 0);
    assert_true(totals.rudp.duplicates > 0 && totals.rudp.dropped > 0);
    assert_true(totals.rudp.refused > 0);
    assert_true(totals.network.too_long > 0 && totals.rudp.black_holes > 0);
    assert_true(totals.rudp.repairs_sent > 0 && totals.rudp.recovered > 0);
    assert_true(totals.expired > 0 && totals.lost > 0);
    assert_true(totals.rudp.blocked > 0 && totals.rudp.blocked_received > 0);
    assert_true(totals.network.marked > 0 && totals.network.bleached > 0);
    assert_true(totals.network.dropped_ect > 0 && totals.rudp.ecn_lost > 0);
    assert_true(totals.rudp.ecn_reported > 0 && totals.rudp.ecn_bleached > 0);
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    struct world_totals first = {0}, second = {0};
    assert_int_equal(world_run(&world, 7, &first), 0);
    uint64_t end_ns = world.now_ns;
    assert_int_equal(world_run(&world, 7, &second), 0);
    assert_true(end_ns == world.now_ns);
    assert_memory_equal(&first, &second, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_guarantee_holds_over_any_network),
        cmocka_unit_test(every_kind_of_fault_was_met),
        cmocka_unit_test(the_same_seed_is_the_same_run),
    };
    world_tell_seed();
    return cmocka_run_group_tests_name("rudp_sim", tests, NULL, NULL);
}
