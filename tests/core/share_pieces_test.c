/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a session is shown of its input where servers share a worker's turns (core/share.h). */

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
    };
    return cmocka_run_group_tests_name("share_pieces", tests, NULL, NULL);
}
