/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_SHARE_RIG_H
#define GY_TESTS_CORE_SHARE_RIG_H

/* A worker on the fake ring whose servers share its turns, and bytes for its streams. */

#include <errno.h>

#include "core/share.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

/* As much as a session is shown in three pieces. */
static uint8_t input[3 * GY_SHARE_INPUT_BYTES];

static int set_up(void **state)
{
    struct stage_options options = {
        .buffer_bytes = sizeof input, .buffers = 128, .posted = 128, .streams_max = 128};
    deadline(program_invocation_short_name, 20);
    pattern_fill(input, sizeof input, 1, 0);
    struct stage *stage = stage_open(&options);
    stage->worker.options.shares = true; /* of time alone: the fake ring has one set of buffers */
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    stage->worker.options.shares = false;
    stage_close(stage);
    return 0;
}

/* Bytes arrive, and no turn has been taken yet. */
static void arrive(struct stage *stage, struct gy_stream *stream, uint32_t bytes)
{
    fake_receive(stage->worker.ring, stage_receive_of(stage, stream), input, bytes,
                 GY_COMPLETION_MORE);
}

#endif
