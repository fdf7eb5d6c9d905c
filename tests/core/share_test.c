/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How the servers of one worker share its turns (core/share.h). */

#include <errno.h>

#include "core/share.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static uint8_t input[3 * GY_SHARE_INPUT_BYTES];

static int set_up(void **state)
{
    struct stage_options options = {.buffer_bytes = sizeof input};
    deadline("share", 20);
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

static void sessions_past_the_slice_wait_and_those_of_other_servers_run(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *flood[3];
    int clients[4];
    for (int i = 0; i < 3; i++) {
        flood[i] = stage_connect(stage, 0, &clients[i]);
        act_of(flood[i])->burn_ms = 1;
    }
    struct gy_stream *other = stage_connect(stage, 1, &clients[3]);
    stage_turn(stage);
    for (int i = 0; i < 3; i++) {
        arrive(stage, flood[i], 10);
    }
    arrive(stage, other, 10);
    stage_turn(stage);
    assert_int_equal(act_of(flood[0])->turns, 1);
    assert_int_equal(act_of(other)->turns, 1); /* it came last, and its server had nothing yet */
    assert_int_equal(act_of(flood[1])->turns + act_of(flood[2])->turns, 0);
    assert_int_equal(stage_counter(stage, put_off), 2);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring),
                     0);                          /* what waits is no reason to sleep */
    assert_int_equal(act_of(flood[1])->turns, 1); /* they kept their places */
    assert_int_equal(act_of(flood[2])->turns, 0);
    arrive(stage, other, 10);
    stage_turn(stage);
    assert_int_equal(act_of(flood[2])->turns, 1);
    assert_int_equal(act_of(other)->turns, 2);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), GY_RING_FOREVER);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
}

static void one_that_is_put_off_may_end_meanwhile(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *flood[2];
    int clients[2];
    for (int i = 0; i < 2; i++) {
        flood[i] = stage_connect(stage, 0, &clients[i]);
        act_of(flood[i])->burn_ms = 1;
    }
    stage_turn(stage);
    arrive(stage, flood[0], 10);
    arrive(stage, flood[1], 10);
    stage_turn(stage);
    assert_int_equal(stage_counter(stage, put_off), 1);
    gy_stream_abort(flood[1], GY_CLOSE_LIMIT);
    fake_cancel_by_itself(stage->worker.ring);
    stage_turns(stage, 4);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->turn_count, 1);
    close(clients[0]);
    close(clients[1]);
}

static void input_is_shown_a_piece_at_a_time_and_all_of_it(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_turn(stage);
    arrive(stage, stream, sizeof input - 1);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->turns, 3);
    assert_int_equal(stage->received_bytes, sizeof input - 1);
    assert_memory_equal(stage->received, input, sizeof input - 1);
    stage_turns(stage, 2);
    assert_int_equal(act_of(stream)->turns, 3);
    close(client);
}

static void pieces_past_the_slice_wait_for_the_next_turn(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->burn_ms = 1;
    stage_turn(stage);
    arrive(stage, stream, sizeof input);
    for (uint32_t i = 1; i <= 3; i++) {
        stage_turn(stage);
        assert_int_equal(act_of(stream)->turns, i);
        assert_int_equal(stage->received_bytes, i * GY_SHARE_INPUT_BYTES);
    }
    stage_turns(stage, 2);
    assert_int_equal(act_of(stream)->turns, 3);
    assert_memory_equal(stage->received, input, sizeof input);
    close(client);
}

static void a_session_that_needs_more_than_a_piece_sees_all(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_turn(stage);
    act_of(stream)->eat_bytes = 0;
    arrive(stage, stream, sizeof input);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->turns, 2); /* a piece, then the whole */
    assert_int_equal(stream->in.length, sizeof input);
    stage_turns(stage, 2);
    assert_int_equal(act_of(stream)->turns, 2); /* and it is not asked again for nothing */
    act_of(stream)->eat_bytes = UINT32_MAX;
    gy_stream_wake(stream);
    stage_turn(stage);
    assert_memory_equal(stage->received, input, sizeof input);
    close(client);
}

static void the_end_of_the_input_is_shown_with_its_last_piece(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->burn_ms = 1;
    stage_turn(stage);
    arrive(stage, stream, 2 * GY_SHARE_INPUT_BYTES);
    fake_complete(stage->worker.ring, stage_receive_of(stage, stream), 0, 0);
    stage_turn(stage);
    assert_true(stream->eof);
    assert_false(act_of(stream)->saw_eof);
    stage_turn(stage);
    assert_true(act_of(stream)->saw_eof);
    assert_int_equal(stage->received_bytes, 2 * GY_SHARE_INPUT_BYTES);
    close(client);
}

static void a_session_that_ends_in_the_middle_of_its_input_drops_the_rest(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_turn(stage);
    act_of(stream)->wants_once = GY_WANT_CLOSE;
    arrive(stage, stream, sizeof input);
    fake_cancel_by_itself(stage->worker.ring);
    stage_turns(stage, 4);
    assert_int_equal(stage->received_bytes, GY_SHARE_INPUT_BYTES);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->worker.links.used, 0);
    close(client);
}

static void where_listeners_share_a_worker_no_send_is_long(void **state)
{
    struct stage *stage = *state;
    static uint8_t large[2 * GY_SEND_BYTES_MAX + 1];
    static struct gy_buffer buffer;
    int client;
    gy_buffer_wrap_constant(&buffer, large, sizeof large);
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    assert_int_equal(gy_chain_append(&stream->out, gy_slice_of(&buffer, 0, sizeof large)), 0);
    gy_stream_wake(stream);
    stage_turns(stage, 2);
    static const uint32_t sizes[] = {GY_SEND_BYTES_MAX, GY_SEND_BYTES_MAX, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stage_send_of(stage, stream)->bytes, sizes[i]);
        stage_sent(stage, stream, (int32_t)sizes[i]);
        stage_turn(stage);
    }
    assert_int_equal(stream->out.length, 0);
    close(client);
}

static void sends_past_the_bound_wait_and_those_of_other_servers_do_not(void **state)
{
    struct stage *stage = *state;
    enum { FLOOD = GY_SHARE_SEND_BYTES / GY_SEND_BYTES_MAX + 2 };
    static uint8_t large[GY_SEND_BYTES_MAX];
    static struct gy_buffer buffer;
    struct gy_stream *flood[FLOOD];
    int clients[FLOOD + 1];
    gy_buffer_wrap_constant(&buffer, large, sizeof large);
    for (int i = 0; i < FLOOD; i++) {
        flood[i] = stage_connect(stage, 0, &clients[i]);
    }
    struct gy_stream *other = stage_connect(stage, 1, &clients[FLOOD]);
    stage_turn(stage);
    for (int i = 0; i < FLOOD; i++) {
        assert_int_equal(gy_chain_append(&flood[i]->out, gy_slice_of(&buffer, 0, sizeof large)), 0);
        gy_stream_wake(flood[i]);
    }
    stage_put(stage, other, "small", 5);
    gy_stream_wake(other);
    stage_turn(stage);
    uint32_t sent = 0;
    for (int i = 0; i < FLOOD; i++) {
        sent += flood[i]->sending;
    }
    assert_int_equal(sent, FLOOD - 2);
    assert_true(other->sending); /* it came last, and its server had sent nothing yet */
    assert_int_equal(stage_counter(stage, put_off), 2);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), 0);
    assert_true(flood[FLOOD - 2]->sending); /* they kept their places */
    stage_turn(stage);
    assert_true(flood[FLOOD - 1]->sending);
    for (int i = 0; i < FLOOD; i++) {
        stage_sent(stage, flood[i], sizeof large);
        close(clients[i]);
    }
    stage_sent(stage, other, 5);
    close(clients[FLOOD]);
}

int main(void)
{
#define STAGED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STAGED(sessions_past_the_slice_wait_and_those_of_other_servers_run),
        STAGED(one_that_is_put_off_may_end_meanwhile),
        STAGED(input_is_shown_a_piece_at_a_time_and_all_of_it),
        STAGED(pieces_past_the_slice_wait_for_the_next_turn),
        STAGED(a_session_that_needs_more_than_a_piece_sees_all),
        STAGED(the_end_of_the_input_is_shown_with_its_last_piece),
        STAGED(a_session_that_ends_in_the_middle_of_its_input_drops_the_rest),
        STAGED(where_listeners_share_a_worker_no_send_is_long),
        STAGED(sends_past_the_bound_wait_and_those_of_other_servers_do_not),
    };
    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
