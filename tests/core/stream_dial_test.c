/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Streams that are dialled, on the fake ring. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>

#include "core/address.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static struct gy_address peer;

static int set_up(void **state)
{
    deadline("stream_dial", 20);
    assert_int_equal(gy_address_parse(&peer, "127.0.0.1:9", NULL), 0);
    struct stage_options options = {.connections_max = 2};
    *state = stage_open(&options);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

static struct gy_stream *dial(struct stage *stage)
{
    struct gy_stream *stream =
        gy_stream_dial(&stage->worker.listeners[0].endpoint, &peer, 200, NULL);
    assert_non_null(stream);
    act_of(stream)->stage = stage;
    stage_turns(stage, 2);
    return stream;
}

static struct fake_operation *connect_of(struct stage *stage, struct gy_stream *stream)
{
    return fake_of(ring_of(stage), FAKE_CONNECT, stream->descriptor);
}

static void a_dialled_stream_opens_when_it_is_connected(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *stream = dial(stage);
    assert_null(stage->opened);
    assert_null(stage_receive_of(stage, stream));
    fake_complete(ring_of(stage), connect_of(stage, stream), 0, 0);
    stage_turns(stage, 2);
    assert_ptr_equal(stage->opened, stream);
    assert_int_equal(act_of(stream)->turns, 0);
    stage_data(stage, stream, "hello", 5, GY_COMPLETION_MORE);
    assert_memory_equal(stage->received, "hello", 5);
    assert_int_equal(stage_counter(stage, connections_dialled), 1);
    assert_int_equal(stage_counter(stage, connections_accepted), 0);
}

static void a_peer_that_refuses_is_told_by_closed_alone(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *stream = dial(stage);
    int descriptor = stream->descriptor;
    fake_complete(ring_of(stage), connect_of(stage, stream), -ECONNREFUSED, 0);
    stage_turns(stage, 2);
    assert_null(stage->opened);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_UNREACHED);
    assert_int_equal(stage->closed_error, ECONNREFUSED);
    assert_int_equal(fcntl(descriptor, F_GETFD), -1);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CANCEL_TOKEN), 0);
}

static void a_dial_that_takes_too_long_is_cancelled_and_awaited(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *stream = dial(stage);
    fake_clock_advance(199);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_DIALLING);
    fake_clock_advance(1);
    stage_turns(stage, 2);
    assert_int_equal(stage_cancel_of(stage, stream)->kind, FAKE_CANCEL_TOKEN);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 1, 0);
    stage_turn(stage);
    assert_int_equal(stage->closed_count, 0);
    stage_turn(stage);
    assert_null(stage_cancel_of(stage, stream)); /* it was found: not asked for again */
    fake_complete(ring_of(stage), connect_of(stage, stream), -ECANCELED, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_TIMEOUT);
    assert_int_equal(stage_counter(stage, timeouts_connect), 1);
}

static void a_dial_that_succeeds_as_it_is_given_up_is_closed(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *stream = dial(stage);
    gy_stream_abort(stream, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    fake_complete(ring_of(stage), connect_of(stage, stream), 0, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), -ENOENT, 0);
    stage_turns(stage, 2);
    assert_null(stage->opened);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_LOCAL);
}

static void a_dial_that_finds_the_ring_full_is_told_by_closed(void **state)
{
    struct stage *stage = *state;
    fake_limit_room(ring_of(stage), 0);
    struct gy_stream *stream =
        gy_stream_dial(&stage->worker.listeners[0].endpoint, &peer, 200, NULL);
    assert_non_null(stream);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_UNREACHED);
}

static void a_dial_above_the_bound_is_refused_with_a_reason(void **state)
{
    struct stage *stage = *state;
    dial(stage);
    dial(stage);
    struct gy_error error = {0};
    uint32_t descriptors = descriptors_open();
    assert_null(gy_stream_dial(&stage->worker.listeners[0].endpoint, &peer, 200, &error));
    assert_int_equal(error.code, GY_ELIMIT);
    assert_non_null(strstr(error.message, "127.0.0.1:9"));
    assert_int_equal(descriptors_open(), descriptors);
}

static void a_deadline_set_while_dialling_counts_from_then_but_fires_when_open(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *stream = dial(stage);
    gy_stream_set_deadline(stream, stage->worker.now_ms + 50);
    fake_clock_advance(100);
    stage_turns(stage, 3);
    assert_true(fake_last_wait_ns(ring_of(stage)) > 0); /* waits for the connection, not spinning */
    assert_int_equal(act_of(stream)->expired, 0);
    fake_complete(ring_of(stage), connect_of(stage, stream), 0, 0);
    stage_turns(stage, 2);
    assert_ptr_equal(stage->opened, stream);
    assert_int_equal(act_of(stream)->expired, 1);
}

static void a_drain_gives_dials_up(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *stream = dial(stage);
    struct gy_message message = {.kind = GY_MESSAGE_DRAIN, .numbers = {1000}};
    assert_int_equal(gy_worker_post(NULL, &stage->worker, &message), 0);
    fake_cancel_by_itself(ring_of(stage));
    assert_int_equal(stream->state, GY_STREAM_DIALLING);
    stage_turns(stage, 4);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_DRAIN);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_dialled_stream_opens_when_it_is_connected),
        TEST(a_peer_that_refuses_is_told_by_closed_alone),
        TEST(a_dial_that_takes_too_long_is_cancelled_and_awaited),
        TEST(a_dial_that_succeeds_as_it_is_given_up_is_closed),
        TEST(a_dial_that_finds_the_ring_full_is_told_by_closed),
        TEST(a_dial_above_the_bound_is_refused_with_a_reason),
        TEST(a_deadline_set_while_dialling_counts_from_then_but_fires_when_open),
        TEST(a_drain_gives_dials_up),
    };
    return cmocka_run_group_tests_name("stream_dial", tests, NULL, NULL);
}
