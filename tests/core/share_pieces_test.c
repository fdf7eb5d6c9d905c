/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a stream receives, and what its session is shown of it, where servers share a worker's turns
 * (core/share.h). */

#include <sys/socket.h>

#include "tests/core/share_rig.h"

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
    assert_int_equal(act_of(stream)->turns, 3); /* a piece, twice as much, then the whole */
    assert_int_equal(stream->in.length, sizeof input);
    stage_turns(stage, 2);
    assert_int_equal(act_of(stream)->turns, 3); /* and it is not asked again for nothing */
    act_of(stream)->eat_bytes = UINT32_MAX;
    gy_stream_wake(stream);
    stage_turn(stage);
    assert_memory_equal(stage->received, input, sizeof input);
    close(client);
}

/* Else it would be shown all of it when there is room again, and would take as long as it likes. */
static void a_session_that_waits_for_room_has_not_seen_the_rest(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_turn(stage);
    act_of(stream)->eat_bytes = 100;
    act_of(stream)->echo = true;
    act_of(stream)->wants = GY_WANT_READ | GY_WANT_ROOM;
    arrive(stage, stream, sizeof input);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->turns, 1);
    assert_int_equal(act_of(stream)->saw_bytes, GY_SHARE_INPUT_BYTES);
    stage_turns(stage, 2);
    assert_int_equal(act_of(stream)->turns, 1);
    stage_sent(stage, stream, 100);
    assert_int_equal(act_of(stream)->turns, 2);
    assert_int_equal(act_of(stream)->saw_bytes, 2 * GY_SHARE_INPUT_BYTES - 100);
    act_of(stream)->eat_bytes = UINT32_MAX;
    act_of(stream)->echo = false;
    act_of(stream)->wants = GY_WANT_READ;
    stage_turn(stage);
    stage_sent(stage, stream, 100);
    assert_memory_equal(stage->received, input, sizeof input);
    close(client);
}

static void a_session_that_wants_no_input_has_not_seen_the_rest(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_turn(stage);
    act_of(stream)->eat_bytes = 0;
    act_of(stream)->wants = 0;
    arrive(stage, stream, sizeof input);
    stage_turns(stage, 3);
    assert_int_equal(act_of(stream)->turns, 1);
    assert_int_equal(act_of(stream)->saw_bytes, GY_SHARE_INPUT_BYTES);
    act_of(stream)->eat_bytes = UINT32_MAX;
    act_of(stream)->wants = GY_WANT_READ;
    gy_stream_wake(stream);
    stage_turn(stage);
    assert_memory_equal(stage->received, input, sizeof input);
    close(client);
}

static void what_a_session_has_seen_is_shown_again_with_what_follows(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_turn(stage);
    act_of(stream)->eat_bytes = 0;
    arrive(stage, stream, 2 * GY_SHARE_INPUT_BYTES);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->saw_bytes, 2 * GY_SHARE_INPUT_BYTES);
    arrive(stage, stream, GY_SHARE_INPUT_BYTES - 1);
    stage_turn(stage); /* a parser that goes on where it was must find that there */
    assert_true(act_of(stream)->saw_least >= GY_SHARE_INPUT_BYTES);
    assert_int_equal(act_of(stream)->saw_bytes, 3 * GY_SHARE_INPUT_BYTES - 1);
    act_of(stream)->saw_least = UINT32_MAX;
    gy_stream_wake(stream);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->saw_least, 3 * GY_SHARE_INPUT_BYTES - 1);
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

/* ---- what is received ---- */

/* Bytes arrive, and the receive that brought them has ended. */
static void end_receive(struct stage *stage, struct gy_stream *stream, uint32_t flags)
{
    fake_receive(stage->worker.ring, stage_receive_of(stage, stream), input, 100, flags);
}

/* One of each turn, in a crowd. */
static void streams_whose_socket_was_not_emptied_receive_a_part_in_turns(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[3];
    int clients[3];
    for (uint32_t i = 0; i < 3; i++) {
        streams[i] = stage_connect(stage, i == 2, &clients[i]);
    }
    stage_turn(stage);
    end_receive(stage, streams[0], GY_COMPLETION_NONEMPTY);
    end_receive(stage, streams[1], GY_COMPLETION_NONEMPTY);
    end_receive(stage, streams[2], 0);
    uint64_t put_off = stage_counter(stage, put_off);
    stage_turn(stage);
    struct fake_operation *receive = stage_receive_of(stage, streams[0]);
    assert_non_null(receive);
    assert_int_equal(receive->mode, GY_RECEIVE_ONE_SHOT);
    assert_int_equal(receive->bytes, GY_SHARE_RECEIVE_BYTES);
    assert_null(stage_receive_of(stage, streams[1]));
    assert_int_equal(stage_counter(stage, put_off), put_off + 1);
    receive = stage_receive_of(stage, streams[2]); /* whose socket was */
    assert_int_equal(receive->mode, GY_RECEIVE_MULTISHOT);
    assert_int_equal(receive->bytes, 0);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), 0); /* one was waiting */
    assert_int_equal(stage_receive_of(stage, streams[1])->bytes, GY_SHARE_RECEIVE_BYTES);
    stage_turns(stage, 2);
    assert_true(fake_last_wait_ns(stage->worker.ring) > 0);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
}

static void a_server_that_is_alone_at_work_receives_all(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[2];
    int clients[2];
    for (uint32_t i = 0; i < 2; i++) {
        streams[i] = stage_connect(stage, i, &clients[i]);
    }
    stage_turn(stage);
    fake_clock_advance(2 * GY_SHARE_CROWD_MS);
    end_receive(stage, streams[0], GY_COMPLETION_NONEMPTY);
    stage_turn(stage);
    assert_int_equal(stage_receive_of(stage, streams[0])->mode, GY_RECEIVE_MULTISHOT);
    assert_int_equal(stage_receive_of(stage, streams[0])->bytes, 0);
    for (int i = 0; i < 2; i++) {
        close(clients[i]);
    }
}

int main(void)
{
#define STAGED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STAGED(input_is_shown_a_piece_at_a_time_and_all_of_it),
        STAGED(pieces_past_the_slice_wait_for_the_next_turn),
        STAGED(a_session_that_needs_more_than_a_piece_sees_all),
        STAGED(a_session_that_waits_for_room_has_not_seen_the_rest),
        STAGED(a_session_that_wants_no_input_has_not_seen_the_rest),
        STAGED(what_a_session_has_seen_is_shown_again_with_what_follows),
        STAGED(the_end_of_the_input_is_shown_with_its_last_piece),
        STAGED(a_session_that_ends_in_the_middle_of_its_input_drops_the_rest),
        STAGED(streams_whose_socket_was_not_emptied_receive_a_part_in_turns),
        STAGED(a_server_that_is_alone_at_work_receives_all),
    };
    return cmocka_run_group_tests_name("share_pieces", tests, NULL, NULL);
}
