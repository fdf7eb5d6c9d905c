/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "tests/sim/rudp_world_plan.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static double upto(struct world *world, double most)
{
    return most * (double)sim_below(&world->random, 1001) / 1000;
}

static void plan_link(struct world *world, struct sim_link *link)
{
    struct sim_random *random = &world->random;
    memset(link, 0, sizeof *link);
    link->delay_ns = sim_below(random, 100 * MS);
    link->jitter_ns = sim_chance(random, 0.5) ? sim_below(random, 20 * MS) : 0;
    link->loss = sim_chance(random, 0.6) ? upto(world, 0.15) : 0;
    if (sim_chance(random, 0.3)) {
        link->to_bad = upto(world, 0.02);
        link->to_good = 0.3 + upto(world, 0.5);
        link->loss_bad = 0.3 + upto(world, 0.7);
    }
    if (sim_chance(random, 0.4)) {
        link->reorder = upto(world, 0.2);
        link->reorder_ns = sim_below(random, 80 * MS);
    }
    link->duplicate = sim_chance(random, 0.4) ? upto(world, 0.1) : 0;
    link->corrupt = sim_chance(random, 0.4) ? upto(world, 0.05) : 0;
    if (sim_chance(random, 0.4)) {
        link->rate = 50000 + sim_below(random, sim_chance(random, 0.5) ? 200000 : 5000000);
        link->queue_bytes = 4000 + sim_below(random, sim_chance(random, 0.5) ? 10000 : 200000);
        link->mark_bytes = sim_chance(random, 0.5) ? 1 + sim_below(random, 20000) : 0;
    }
    if (sim_chance(random, 0.3)) {
        link->cut_ns = SECOND + sim_below(random, 4 * SECOND);
        link->heal_ns = link->cut_ns + sim_below(random, 8 * SECOND);
    }
    if (sim_chance(random, 0.2)) {
        link->bleach = sim_chance(random, 0.5) ? 1 : upto(world, 0.2);
    } else if (sim_chance(random, 0.1)) {
        link->drop_ect = sim_chance(random, 0.5) ? 1 : upto(world, 0.2);
    }
    if (sim_chance(random, 0.3)) {
        link->mtu = 1200 + sim_below(random, 252);
        link->mtu_ns = SECOND + sim_below(random, 4 * SECOND);
    }
    uint64_t longest = sim_link_longest_ns(link);
    world->longest_ns = longest > world->longest_ns ? longest : world->longest_ns;
}

static uint32_t plan_length(struct world *world)
{
    struct sim_random *random = &world->random;
    uint64_t most = world->config.message_max;
    uint64_t kind = sim_below(random, 100);
    uint64_t length = HEAD + sim_below(random, kind < 75 ? 300 : kind < 95 ? 5000 : 40000);
    return (uint32_t)(length < most ? length : most);
}

static void plan_messages(struct world *world, struct side *side)
{
    struct sim_random *random = &world->random;
    uint64_t at_ns = world->now_ns, gap_ns = sim_below(random, 30 * MS) + 1;
    side->planned = 20 + (uint32_t)sim_below(random, WORLD_MESSAGES_MAX - 20);
    for (uint32_t i = 0; i < side->planned; i++) {
        struct record *record = &side->records[i];
        struct gy_rudp_message *message = &record->message;
        at_ns += sim_chance(random, 0.5) ? 0 : sim_below(random, gap_ns);
        record->at_ns = at_ns;
        message->length = plan_length(world);
        message->channel = (uint8_t)sim_below(random, world->config.channels);
        message->guarantee = (enum gy_rudp_guarantee)sim_below(random, 4);
        if (sim_chance(random, 0.2)) {
            message->deadline_ns = at_ns + MS + sim_below(random, SECOND);
            record->limited = true;
        } else if (sim_chance(random, 0.1)) {
            message->tries_max = 1 + (uint32_t)sim_below(random, 3);
            record->limited = true;
        }
        uint8_t *data = malloc(message->length);
        gy_assert(data != NULL);
        struct gy_writer writer = gy_writer_on(data, message->length);
        gy_writer_u32(&writer, i);
        gy_writer_u16(&writer, side->flow);
        for (uint32_t at = HEAD; at < message->length; at++) {
            data[at] = world_pattern(i, at);
        }
        message->data = data;
    }
}

void world_plan_config(struct world *world)
{
    struct sim_random *random = &world->random;
    uint64_t window = UINT64_C(16384) << sim_below(random, 7);
    world->config = (struct gy_rudp_config){
        .datagram_bytes = 1200,
        .datagram_max = sim_chance(random, 0.6) ? 1452 : 0,
        .channels = 1 + (uint32_t)sim_below(random, WORLD_CHANNELS),
        .packets = 64u << sim_below(random, 5),
        .pieces = 8u << sim_below(random, 7),
        .assemblies = 8u << sim_below(random, 5),
        .window_bytes = window,
        .message_max = window / 2,
        .channel_window_bytes = sim_chance(random, 0.6) ? window - window / 4 : 0,
        .idle_timeout_ns = 120 * SECOND,
        .keepalive_ns = sim_chance(random, 0.3) ? 2 * SECOND : 0,
        .fixed_rate = sim_chance(random, 0.15) ? 20000 + sim_below(random, 1000000) : 0,
        .seal = &gy_rudp_seal_check,
        .seed = sim_random(random),
        .congestion = sim_chance(random, 0.4) ? GY_RUDP_BBR : GY_RUDP_CUBIC,
        .ecn = sim_chance(random, 0.7),
        .fec_packets = sim_chance(random, 0.3) ? 2 + (uint32_t)sim_below(random, 15) : 0,
    };
    world->memory_fails = sim_chance(random, 0.3) ? upto(world, 0.1) : 0;
    world->gate = (struct gy_rudp_gate){
        .key = {{sim_random(random), sim_random(random)}},
        .cookie_ns = 10 * SECOND,
        .cid_bytes = sim_below(random, GY_RUDP_CID_MAX + 1),
        .version = world_crypto.sealer != NULL ? GY_RUDP_VERSION : GY_RUDP_VERSION_PLAIN,
    };
    world->config.key_packets = world_crypto.sealer != NULL ? 10 + sim_below(random, 300) : 0;
}

void world_plan_side(struct world *world, struct side *side, struct side *other,
                     struct sim_link *link, uint32_t endpoint, uint32_t to, uint16_t flow)
{
    side->world = world;
    side->other = other;
    side->link = link;
    side->endpoint = endpoint;
    side->to = to;
    side->flow = flow;
    side->memory = aligned_alloc(16, (gy_rudp_memory_bytes(&world->config) + 15) / 16 * 16);
    gy_assert(side->memory != NULL);
    plan_link(world, link);
    plan_messages(world, side);
    side->stall_ns =
        sim_chance(&world->random, 0.2) ? 2 * SECOND + sim_below(&world->random, 20 * SECOND) : 0;
}
