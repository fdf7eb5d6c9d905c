/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_DIAL_RIG_H
#define GY_TESTS_CORE_DIAL_RIG_H

/* A connector on the fake ring, whose streams read what comes and end where the peer does. */

#include "core/connections.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define DIAL_RIG_DELAY_MS 250  /* between attempts */
#define DIAL_RIG_WHOLE_MS 5000 /* for all of them */

struct dial_rig {
    struct stage *stage;
    struct gy_connector connector;
    uint32_t opened, closed; /* streams */
};

/* Fills a rig of zeros, which must stay where it is. Without a resolver only addresses are dialled.
 */
void dial_rig_open(struct dial_rig *rig, struct gy_resolver *resolver);

/* Opens the connector alone, where the one that dial_rig_open() made was closed. connections_max: 0
 * for no bound of its own. */
void dial_rig_connector(struct dial_rig *rig, uint32_t connections_max,
                        struct gy_resolver *resolver);

/* Ends every stream, and checks that each that opened was closed. */
void dial_rig_end(struct dial_rig *rig);

/* After dial_rig_end(). */
void dial_rig_close(struct dial_rig *rig);

/* Time passes. */
void dial_rig_pass(struct dial_rig *rig, uint64_t ms);

#endif
