/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How streams end: the close sequence, half-closes, drains, and races with completions (DESIGN rule
 * 7). The fake ring asserts that no descriptor is closed twice or with operations in flight. */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static uint8_t block[65536];

static int set_up(void **state)
{
    deadline("stream_close", 20);
    pattern_fill(block, sizeof block, 1, 0);
    struct stage_options options = {
        .limits = {.linger_timeout_ms = 500, .linger_bytes = 10000, .write_timeout_ms = 3000},
        .buffers = 64};
    *state = stage_open(&options);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

/* The session answers `wants` to a few bytes, with some output; then the send completes. */
static void answer_and_end(struct stage *stage, struct gy_stream *stream, uint32_t wants)
{
    act_of(stream)->wants = wants;
    stage_put(stage, stream, "answer", 6);
    stage_data(stage, stream, "ask", 3, GY_COMPLETION_MORE);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_FLUSHING);
    assert_int_equal(stage_send_of(stage, stream)->bytes, 6);
    stage_sent(stage, stream, 6);
}

static void confirm_cancel(struct stage *stage, struct gy_stream *stream)
{
    stage_turn(stage);
    struct fake_operation *cancel = stage_cancel_of(stage, stream);
    struct fake_operation *receive = stage_receive_of(stage, stream);
    struct fake_operation *send = stage_send_of(stage, stream);
    assert_non_null(cancel);
    assert_int_equal(cancel->kind, FAKE_CANCEL_TOKEN);
    fake_complete(ring_of(stage), cancel, 1, 0);
    if (receive != NULL) {
        fake_complete(ring_of(stage), receive, -ECANCELED, 0);
    }
    if (send != NULL) {
        fake_complete(ring_of(stage), send, -ECANCELED, 0);
    }
    stage_turns(stage, 2);
}

static void a_close_flushes_first_then_cancels_then_closes(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    uint32_t slot = stream->slot;
    uint32_t generation = stream->generation;
    int descriptor = stream->descriptor;
    answer_and_end(stage, stream, GY_WANT_CLOSE);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stage->closed_count, 0);
    assert_int_equal(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CLOSE), 0);
    confirm_cancel(stage, stream);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_LOCAL);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CLOSE), 1);
    assert_int_equal(fcntl(descriptor, F_GETFD), -1);
    assert_int_equal(stage->worker.generations[slot], generation + 1);
    assert_int_equal(stage->worker.streams_open, 0);
    assert_true(client_sees_end(client));
    close(client);
}

static void with_linger_the_write_side_is_shut_and_input_read_on(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    answer_and_end(stage, stream, GY_WANT_CLOSE | GY_WANT_LINGER);
    assert_int_equal(stream->state, GY_STREAM_LINGERING);
    assert_true(client_sees_end(client));
    uint32_t turns = act_of(stream)->turns;
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, stream, block, 4096, 0);      /* without MORE it is armed again */
    assert_int_equal(act_of(stream)->turns, turns); /* dropped */
    assert_int_equal(gy_pool_free(stage->worker.pool), 64);
    assert_non_null(stage_receive_of(stage, stream));
    assert_int_equal(stage->closed_count, 0);
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), 0, 0); /* the peer's end */
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_LOCAL);
    close(client);
}

static void lingering_is_bounded_in_time(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    answer_and_end(stage, stream, GY_WANT_CLOSE | GY_WANT_LINGER);
    for (int i = 0; i < 4; i++) {
        fake_clock_advance(100);
        stage_data(stage, stream, "x", 1, GY_COMPLETION_MORE);
        assert_int_equal(stream->state, GY_STREAM_LINGERING);
    }
    fake_clock_advance(100); /* what trickled in has not moved it */
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stage_counter(stage, timeouts_linger), 1);
    confirm_cancel(stage, stream);
    assert_int_equal(stage->closed_reason, GY_CLOSE_LOCAL); /* the answer was sent */
    close(client);
}

static void lingering_is_bounded_in_bytes(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    answer_and_end(stage, stream, GY_WANT_CLOSE | GY_WANT_LINGER);
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    assert_int_equal(stream->state, GY_STREAM_LINGERING);
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    close(client);
}

static void an_end_of_the_peer_while_flushing_ends_lingering_at_once(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_CLOSE | GY_WANT_LINGER;
    stage_put(stage, stream, "answer", 6);
    stage_data(stage, stream, "ask", 3, GY_COMPLETION_MORE);
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), 0, 0);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_FLUSHING); /* the answer still leaves */
    stage_sent(stage, stream, 6);
    stage_turn(stage);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CANCEL_TOKEN), 0);
    close(client);
}

static void a_reset_while_flushing_ends_the_stream(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_CLOSE;
    stage_put(stage, stream, "answer", 6);
    stage_data(stage, stream, "ask", 3, GY_COMPLETION_MORE);
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECONNRESET, 0);
    fake_complete(ring_of(stage), stage_send_of(stage, stream), -EPIPE, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 1);
    close(client);
}

static void input_left_by_a_session_that_closes_does_not_pin_the_pool(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    act_of(stream)->wants = GY_WANT_CLOSE | GY_WANT_LINGER;
    stage_put(stage, stream, "answer", 6);
    for (int i = 0; i < 4; i++) {
        fake_receive(ring_of(stage), stage_receive_of(stage, stream), block, 4096,
                     GY_COMPLETION_MORE);
    }
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_FLUSHING);
    assert_int_equal(gy_pool_free(stage->worker.pool), 64);
    assert_int_equal(stage->worker.listeners[0].endpoint.quota.used_bytes, 0);
    assert_int_equal(stage_counter(stage, copied_bytes), 0);
    close(client);
}

static void an_abort_sends_nothing_more(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, "answer", 6);
    act_of(stream)->abort_reason = 1 + GY_CLOSE_PROTOCOL;
    stage_data(stage, stream, "ask", 3, GY_COMPLETION_MORE);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 0);
    confirm_cancel(stage, stream);
    assert_int_equal(stage->closed_reason, GY_CLOSE_PROTOCOL);
    close(client);
}

static void a_send_that_completes_after_an_abort_is_taken_in(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, block, 5000);
    gy_stream_wake(stream);
    stage_turns(stage, 2);
    gy_stream_abort(stream, GY_CLOSE_LIMIT);
    stage_turn(stage);
    stage_sent(stage, stream, 5000); /* it was quicker than the cancel */
    assert_int_equal(stage->closed_count, 0);
    assert_null(stage_send_of(stage, stream));
    confirm_cancel(stage, stream);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_LIMIT);
    close(client);
}

static void bytes_that_arrive_while_the_cancel_is_in_flight_give_their_buffer_back(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    gy_stream_abort(stream, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    stage_data(stage, stream, block, 100, GY_COMPLETION_MORE);
    stage_data(stage, stream, block, 100, 0);
    assert_int_equal(gy_pool_free(stage->worker.pool), 64);
    assert_int_equal(stage->received_bytes, 0);
    assert_int_equal(stage->closed_count, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), -ENOENT, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 1);
    close(client);
}

static void a_cancel_that_comes_back_before_its_operation_is_waited_on(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    gy_stream_abort(stream, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), -EALREADY, 0);
    stage_turn(stage);
    assert_int_equal(stage->closed_count, 0);
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    stage_turns(stage, 2);
    if (stage_cancel_of(stage, stream) != NULL) {
        fake_complete(ring_of(stage), stage_cancel_of(stage, stream), -ENOENT, 0);
        stage_turns(stage, 2);
    }
    assert_int_equal(stage->closed_count, 1);
    close(client);
}

static void a_pauses_cancel_in_flight_at_an_abort_is_awaited(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_ROOM; /* does not want to read */
    stage_put(stage, stream, "slow", 4);
    stage_data(stage, stream, "x", 1, GY_COMPLETION_MORE);
    stage_turn(stage);
    assert_int_equal(stage_cancel_of(stage, stream)->kind, FAKE_CANCEL_TOKEN);
    gy_stream_abort(stream, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 0, 0);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    stage_turn(stage);
    assert_int_equal(stage->closed_count, 0); /* the send is still with the kernel */
    confirm_cancel(stage, stream);
    assert_int_equal(stage->closed_count, 1);
    close(client);
}

static void a_stream_with_nothing_in_flight_is_closed_at_once(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_CLOSE;
    stage_data(stage, stream, "x", 1, 0);
    stage_turns(stage, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CANCEL_TOKEN), 0);
    assert_int_equal(stage->closed_count, 1);
    close(client);
}

static void a_stream_that_is_woken_as_it_ends_is_freed_once(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wake_itself = true;
    act_of(stream)->wants = GY_WANT_CLOSE;
    stage_data(stage, stream, "x", 1, 0);
    stage_turns(stage, 4);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    close(client);
}

static void a_session_may_close_as_it_opens(void **state)
{
    struct stage *stage = *state;
    int client;
    stage->act.wants = GY_WANT_CLOSE;
    stage_connect(stage, 0, &client);
    stage_turn(stage);
    assert_int_equal(stage->closed_count, 1);
    assert_true(client_sees_end(client));
    close(client);
}

static void shutdown_waits_for_the_output_and_reading_goes_on(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_READ | GY_WANT_SHUTDOWN;
    stage_put(stage, stream, "answer", 6);
    stage_data(stage, stream, "ask", 3, GY_COMPLETION_MORE);
    stage_turn(stage);
    assert_false(client_sees_end(client));
    stage_sent(stage, stream, 5);
    stage_turn(stage);
    assert_false(client_sees_end(client));
    stage_sent(stage, stream, 1);
    assert_true(client_sees_end(client));
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    stage_data(stage, stream, "more", 4, GY_COMPLETION_MORE);
    assert_memory_equal(stage->received, "askmore", 7);
    /* Both sides are shut now; the session ends it. */
    act_of(stream)->wants = GY_WANT_CLOSE;
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), 0, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_PEER);
    close(client);
}

static void after_the_peers_half_close_output_still_leaves(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    fake_receive(ring_of(stage), stage_receive_of(stage, stream), "ask", 3, GY_COMPLETION_MORE);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), 0, 0);
    stage_turn(stage);
    stage_put(stage, stream, "answer", 6);
    act_of(stream)->wants = GY_WANT_CLOSE;
    gy_stream_wake(stream);
    stage_turns(stage, 2);
    assert_int_equal(stage_send_of(stage, stream)->bytes, 6);
    stage_sent(stage, stream, 6);
    stage_turn(stage);
    assert_int_equal(stage->closed_reason, GY_CLOSE_PEER);
    close(client);
}

static void wants_of_a_stream_that_is_ending_are_ignored(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    answer_and_end(stage, stream, GY_WANT_CLOSE | GY_WANT_LINGER);
    gy_stream_wake(stream);
    gy_stream_set_deadline(stream, stage->worker.now_ms + 1);
    fake_clock_advance(2);
    for (int i = 0; i < 5; i++) {
        stage_turn(stage);
    }
    assert_int_equal(act_of(stream)->expired, 0);
    assert_int_equal(act_of(stream)->turns, 1);
    assert_true(fake_last_wait_ns(ring_of(stage)) > 0);
    close(client);
}

static void every_operation_that_finds_the_ring_full_is_repeated(void **state)
{
    /* With room for `room` operations between two waits, now and then for none, a connection goes
     * through its whole life. */
    struct stage *stage = *state;
    for (uint32_t room = 1; room <= 3; room++) {
        int client;
        struct gy_stream *stream = stage_connect(stage, 0, &client);
        uint32_t closed = stage->closed_count;
        act_of(stream)->wants = GY_WANT_CLOSE | GY_WANT_LINGER;
        stage_put(stage, stream, "answer", 6);
        fake_receive(ring_of(stage), stage_receive_of(stage, stream), "ask", 3, 0);
        fake_limit_room(ring_of(stage), 0);
        stage_turns(stage, 5); /* no send */
        assert_null(stage_send_of(stage, stream));
        assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
        fake_limit_room(ring_of(stage), room);
        stage_turns(stage, 2);
        fake_limit_room(ring_of(stage), 0);
        stage_sent(stage, stream, 6);
        stage_turns(stage, 3); /* no receive */
        assert_null(stage_receive_of(stage, stream));
        assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
        fake_limit_room(ring_of(stage), room);
        stage_turns(stage, 2);
        assert_int_equal(stream->state, GY_STREAM_LINGERING);
        fake_clock_advance(500);
        fake_limit_room(ring_of(stage), 0);
        stage_turns(stage, 3);
        assert_null(stage_cancel_of(stage, stream));
        assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
        fake_limit_room(ring_of(stage), 1);
        stage_turn(stage);
        confirm_cancel(stage, stream);
        assert_int_equal(stage->closed_count, closed + 1);
        fake_limit_room(ring_of(stage), UINT32_MAX);
        close(client);
    }
}

static void a_pause_that_finds_the_ring_full_is_repeated(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_ROOM;
    fake_limit_room(ring_of(stage), 0);
    stage_put(stage, stream, "x", 1);
    stage_data(stage, stream, "x", 1, GY_COMPLETION_MORE);
    stage_turns(stage, 3);
    assert_null(stage_cancel_of(stage, stream));
    fake_limit_room(ring_of(stage), UINT32_MAX);
    stage_turns(stage, 2);
    assert_non_null(stage_cancel_of(stage, stream));
    assert_int_equal(fake_total(ring_of(stage), FAKE_CANCEL_TOKEN), 1);
    close(client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_close_flushes_first_then_cancels_then_closes),
        TEST(with_linger_the_write_side_is_shut_and_input_read_on),
        TEST(lingering_is_bounded_in_time),
        TEST(lingering_is_bounded_in_bytes),
        TEST(an_end_of_the_peer_while_flushing_ends_lingering_at_once),
        TEST(a_reset_while_flushing_ends_the_stream),
        TEST(input_left_by_a_session_that_closes_does_not_pin_the_pool),
        TEST(an_abort_sends_nothing_more),
        TEST(a_send_that_completes_after_an_abort_is_taken_in),
        TEST(bytes_that_arrive_while_the_cancel_is_in_flight_give_their_buffer_back),
        TEST(a_cancel_that_comes_back_before_its_operation_is_waited_on),
        TEST(a_pauses_cancel_in_flight_at_an_abort_is_awaited),
        TEST(a_stream_with_nothing_in_flight_is_closed_at_once),
        TEST(a_stream_that_is_woken_as_it_ends_is_freed_once),
        TEST(a_session_may_close_as_it_opens),
        TEST(shutdown_waits_for_the_output_and_reading_goes_on),
        TEST(after_the_peers_half_close_output_still_leaves),
        TEST(wants_of_a_stream_that_is_ending_are_ignored),
        TEST(every_operation_that_finds_the_ring_full_is_repeated),
        TEST(a_pause_that_finds_the_ring_full_is_repeated),
    };
    return cmocka_run_group_tests_name("stream_close", tests, NULL, NULL);
}
