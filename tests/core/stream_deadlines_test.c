/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Deadlines of a stream: that of a send in flight (DESIGN rule 17), and its session's own. */

#include <errno.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static int set_up(void **state)
{
    struct stage_options options = {
        .limits = {.send_high_bytes = 10000, .write_timeout_ms = 3000, .linger_timeout_ms = 500},
        .buffers = 64};
    deadline("stream_deadlines", 20);
    *state = stage_open(&options);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

/* 100 bytes are in flight. */
static void send_something(struct stage *stage, struct gy_stream *stream)
{
    static const uint8_t something[100];
    stage_put(stage, stream, something, sizeof something);
    gy_stream_wake(stream);
    stage_turns(stage, 2);
}

/* ---- the write deadline (rule 17) ---- */

static void a_send_without_progress_ends_the_stream_at_its_deadline(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    send_something(stage, stream);
    fake_clock_advance(2990);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    fake_clock_advance(10);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stream->reason, GY_CLOSE_TIMEOUT);
    assert_int_equal(stage_counter(stage, timeouts_write), 1);
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_send_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 2, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_reason, GY_CLOSE_TIMEOUT);
    close(client);
}

static void each_completion_begins_the_write_deadline_anew(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    send_something(stage, stream);
    for (int i = 0; i < 10; i++) {
        fake_clock_advance(2000);
        stage_sent(stage, stream, 5);
        stage_turn(stage);
        assert_int_equal(stream->state, GY_STREAM_OPEN);
    }
    stage_sent(stage, stream, 50);
    fake_clock_advance(100000); /* nothing is in flight: nothing can be late */
    stage_turns(stage, 3);
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    close(client);
}

static void the_write_deadline_holds_while_flushing_too(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_CLOSE;
    send_something(stage, stream);
    assert_int_equal(stream->state, GY_STREAM_FLUSHING);
    fake_clock_advance(3000);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stage_counter(stage, timeouts_write), 1);
    close(client);
}

/* ---- the session's deadline ---- */

static void a_deadline_that_passes_is_told_once(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    gy_stream_set_deadline(stream, stage->worker.now_ms + 50);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 50000000);
    fake_clock_advance(49);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->expired, 0);
    fake_clock_advance(1);
    stage_turns(stage, 3);
    assert_int_equal(act_of(stream)->expired, 1);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    close(client);
}

static void a_deadline_moved_later_fires_at_its_new_time_only(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    uint64_t now = stage->worker.now_ms;
    gy_stream_set_deadline(stream, now + 50);
    gy_stream_set_deadline(stream, now + 200);
    assert_int_equal(stream->timer.due_ms, now + 50); /* moving it is but a store */
    fake_clock_advance(50);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->expired, 0);
    assert_int_equal(stream->timer.due_ms, now + 200); /* early: armed again for what is due */
    fake_clock_advance(149);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->expired, 0);
    fake_clock_advance(1);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->expired, 1);
    close(client);
}

static void a_deadline_moved_earlier_fires_early(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    gy_stream_set_deadline(stream, stage->worker.now_ms + 500);
    gy_stream_set_deadline(stream, stage->worker.now_ms + 20);
    fake_clock_advance(20);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->expired, 1);
    close(client);
}

static void a_deadline_taken_back_never_fires(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    gy_stream_set_deadline(stream, stage->worker.now_ms + 20);
    gy_stream_set_deadline(stream, 0);
    fake_clock_advance(1000);
    stage_turns(stage, 2);
    assert_int_equal(act_of(stream)->expired, 0);
    assert_false(gy_timer_armed(&stream->timer));
    close(client);
}

static void the_sessions_deadline_and_that_of_a_send_do_not_hide_each_other(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    gy_stream_set_deadline(stream, stage->worker.now_ms + 1000);
    send_something(stage, stream);
    fake_clock_advance(1000);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->expired, 1);
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    fake_clock_advance(2000);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    close(client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_send_without_progress_ends_the_stream_at_its_deadline),
        TEST(each_completion_begins_the_write_deadline_anew),
        TEST(the_write_deadline_holds_while_flushing_too),
        TEST(a_deadline_that_passes_is_told_once),
        TEST(a_deadline_moved_later_fires_at_its_new_time_only),
        TEST(a_deadline_moved_earlier_fires_early),
        TEST(a_deadline_taken_back_never_fires),
        TEST(the_sessions_deadline_and_that_of_a_send_do_not_hide_each_other),
    };
    return cmocka_run_group_tests_name("stream_deadlines", tests, NULL, NULL);
}
