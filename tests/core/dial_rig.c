/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/core/dial_rig.h"

static struct dial_rig *rig_of(struct gy_stream *stream)
{
    return stream->endpoint->context;
}

static uint32_t on_open(struct gy_stream *stream)
{
    assert_int_equal(*(uint64_t *)stream->session, 0);
    rig_of(stream)->opened++;
    return GY_WANT_READ;
}

static uint32_t on_turn(struct gy_stream *stream)
{
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t on_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)reason;
    rig_of(stream)->closed++;
}

static const struct gy_stream_ops ops = {on_open, on_turn, on_turn, on_drain, on_closed};

void dial_rig_connector(struct dial_rig *rig, uint32_t connections_max,
                        struct gy_resolver *resolver)
{
    struct gy_connector_options options = {
        .name = "test",
        .ops = &ops,
        .context = rig,
        .session_bytes = 24,
        .connections_max = connections_max,
        .resolver = resolver,
        .attempt_delay_ms = DIAL_RIG_DELAY_MS,
        .attempt_timeout_ms = 2000,
        .timeout_ms = DIAL_RIG_WHOLE_MS,
    };
    assert_int_equal(gy_connector_open(&rig->connector, &rig->stage->worker, &options, NULL), 0);
}

void dial_rig_open(struct dial_rig *rig, struct gy_resolver *resolver)
{
    rig->stage = stage_open(NULL);
    fake_cancel_by_itself(ring_of(rig->stage));
    dial_rig_connector(rig, 0, resolver);
}

void dial_rig_end(struct dial_rig *rig)
{
    struct gy_worker *worker = &rig->stage->worker;
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (worker->generations[slot] & 1) {
            gy_stream_abort(gy_slab_at(&worker->streams, slot), GY_CLOSE_DRAIN);
        }
    }
    stage_turns(rig->stage, 6);
    assert_int_equal(rig->connector.endpoint.connections, 0);
    assert_int_equal(rig->opened, rig->closed);
}

void dial_rig_close(struct dial_rig *rig)
{
    gy_connector_close(&rig->connector);
    stage_close(rig->stage);
}

void dial_rig_pass(struct dial_rig *rig, uint64_t ms)
{
    fake_clock_advance(ms);
    stage_turns(rig->stage, 3);
}
