/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_RUDP_WORLD_PLAN_H
#define GY_TESTS_SIM_RUDP_WORLD_PLAN_H

/* What a world is to be, drawn from its seed: links and their faults, connections' configuration,
 * and messages with what is asked for each. rudp_world.c runs it. */

#include "tests/sim/rudp_world.h"

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HEAD   6 /* bytes of a message that say which it is */

/* Byte `at` of message `index`, behind its head. */
static inline uint8_t world_pattern(uint32_t index, uint32_t at)
{
    return (uint8_t)((index * 31 + at) * 2654435761u >> 24);
}

/* The configuration of all connections, and the door. */
void world_plan_config(struct world *world);

/* One end, its memory, the link from it, and what it will say; `flow` names that. */
void world_plan_side(struct world *world, struct side *side, struct side *other,
                     struct sim_link *link, uint32_t endpoint, uint32_t to, uint16_t flow);

#endif
