/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Many seeds of the reliable UDP simulation, or one again. Not part of the tests: run by hand. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/rudp_tls_world.h"

static struct world world;
static struct world_totals totals;

static void print_totals(void)
{
    printf("%" PRIu64 " runs, %" PRIu64 " messages: %" PRIu64 " delivered, %" PRIu64
           " expired, %" PRIu64 " lost\n",
           totals.runs, totals.messages, totals.delivered, totals.expired, totals.lost);
    printf("network: %" PRIu64 " sent, %" PRIu64 " lost, %" PRIu64 " lost in bursts, %" PRIu64
           " reordered, %" PRIu64 " duplicated, %" PRIu64 " corrupted, %" PRIu64
           " over the queue, %" PRIu64 " cut off, %" PRIu64 " too long, %" PRIu64
           " marked, %" PRIu64 " bleached, %" PRIu64 " dropped for a mark\n",
           totals.network.sent, totals.network.lost, totals.network.lost_in_burst,
           totals.network.reordered, totals.network.duplicated, totals.network.corrupted,
           totals.network.queue_full, totals.network.cut, totals.network.too_long,
           totals.network.marked, totals.network.bleached, totals.network.dropped_ect);
    printf("rudp: %" PRIu64 " packets lost, %" PRIu64 " of them not really, %" PRIu64
           " probes, %" PRIu64 " pieces repeated, %" PRIu64 " duplicates, %" PRIu64
           " refused, %" PRIu64 " dropped, %" PRIu64 " evicted, %" PRIu64 " repairs, %" PRIu64
           " packets recovered, %" PRIu64 " black holes, %" PRIu64 " marks reported, %" PRIu64
           " paths without marks, %" PRIu64 " paths against marks, %" PRIu64
           " times without credit, %" PRIu64 " times told so\n",
           totals.rudp.lost, totals.rudp.spurious, totals.rudp.probes, totals.rudp.repeated,
           totals.rudp.duplicates, totals.rudp.refused, totals.rudp.dropped, totals.rudp.evicted,
           totals.rudp.repairs_sent, totals.rudp.recovered, totals.rudp.black_holes,
           totals.rudp.ecn_reported, totals.rudp.ecn_bleached, totals.rudp.ecn_lost,
           totals.rudp.blocked, totals.rudp.blocked_received);
}

int main(int argc, char **argv)
{
    bool encrypted = argc > 1 && strcmp(argv[1], "--encrypted") == 0;
    argc -= encrypted;
    argv += encrypted;
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int failed = 0;
    if (first == 0 || count == 0 || argc > 3) {
        fprintf(stderr, "usage: rudp-seeds [--encrypted] FIRST [COUNT]\n");
        return 2;
    }
    world_tell_seed();
    if (encrypted && world_tls_open() != 0) {
        return 1;
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        if ((encrypted ? world_tls_run : world_run)(&world, seed, &totals) != 0) {
            printf("seed %" PRIu64 ": %s\n", seed, world.failure);
            failed = 1;
        }
    }
    print_totals();
    if (encrypted) {
        world_tls_close();
    }
    return failed;
}
