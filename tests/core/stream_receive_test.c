/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The receiving side of a stream: buffers, water marks, quotas, retention (DESIGN rules 9 to 13).
 */

#include <errno.h>

#include "core/evict.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static uint8_t block[65536];

static int set_up_with(void **state, const struct stage_options *options)
{
    deadline("stream_receive", 20);
    pattern_fill(block, sizeof block, 1, 0);
    *state = stage_open(options);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int set_up_marks(void **state)
{
    struct stage_options options = {
        .limits = {.receive_high_bytes = 10000, .receive_low_bytes = 4000}, .buffers = 32};
    return set_up_with(state, &options);
}

static int set_up_marks_one_shot(void **state)
{
    struct stage_options options = {
        .limits = {.receive_high_bytes = 10000, .receive_low_bytes = 4000},
        .mode = GY_RECEIVE_ONE_SHOT,
        .mode_given = true,
        .buffers = 32};
    return set_up_with(state, &options);
}

static int set_up_few_buffers(void **state)
{
    struct stage_options options = {.buffers = 4, .posted = 4};
    return set_up_with(state, &options);
}

static int set_up_bundle(void **state)
{
    struct stage_options options = {
        .mode = GY_RECEIVE_BUNDLE, .mode_given = true, .buffer_bytes = 1024};
    return set_up_with(state, &options);
}

static int set_up_incremental(void **state)
{
    struct stage_options options = {.mode = GY_RECEIVE_INCREMENTAL,
                                    .mode_given = true,
                                    .buffer_bytes = 4096,
                                    .buffers = 4,
                                    .posted = 2};
    return set_up_with(state, &options);
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

/* As the kernel ends a receive that found no buffer. */
static void starve(struct stage *stage, struct gy_stream *stream)
{
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ENOBUFS, 0);
}

/* ---- ENOBUFS (rule 12) ---- */

static void a_starved_receive_is_armed_again_when_a_buffer_is_there(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *hoarder = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *stream = stage_connect(stage, 0, &clients[1]);
    act_of(hoarder)->eat_bytes = 0;
    stage->worker.keeps.refused = 0;
    for (int i = 0; i < 4; i++) {
        fake_receive(ring_of(stage), stage_receive_of(stage, hoarder), block, 4096,
                     GY_COMPLETION_MORE);
    }
    /* All four buffers are taken in one turn; the kernel then refuses the other stream. */
    starve(stage, stream);
    act_of(hoarder)->eat_bytes = UINT32_MAX;
    stage_turn(stage);
    assert_int_equal(stage_counter(stage, enobufs), 1);
    assert_int_equal(gy_pool_counters(stage->worker.pool)->starved, 1);
    /* The session gave everything back in that very turn, and nothing else is going to happen. */
    for (int i = 0; i < 3 && stage_receive_of(stage, stream) == NULL; i++) {
        stage_turn(stage);
        assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
    }
    assert_non_null(stage_receive_of(stage, stream));
    close(clients[0]);
    close(clients[1]);
}

/* Holds all buffers of the pool by slices of the test's own. */
static void hoard(struct stage *stage, struct gy_stream *stream, struct gy_chain *chain)
{
    gy_chain_init(chain, &stage->worker.links);
    uint64_t token = stage_receive_of(stage, stream)->token;
    while (fake_buffers(ring_of(stage)) > 0) {
        struct gy_completion completion =
            fake_fill(ring_of(stage), token, GY_RECEIVE_MULTISHOT, block, 4096, 0);
        assert_int_equal(gy_pool_take(stage->worker.pool, &completion, chain), 4096);
        gy_pool_refill(stage->worker.pool);
    }
}

static void while_no_buffer_is_there_a_starved_stream_neither_arms_nor_spins(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    struct gy_chain hoarded;
    hoard(stage, stream, &hoarded);
    starve(stage, stream);
    stage_turns(stage, 2);
    uint32_t armed = fake_total(ring_of(stage), FAKE_RECEIVE);
    for (int i = 0; i < 20; i++) {
        stage_turn(stage); /* it sleeps until it is time to look for stalled readers */
        assert_int_equal(fake_last_wait_ns(ring_of(stage)),
                         GY_EVICT_INTERVAL_MS * UINT64_C(1000000));
    }
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE), armed);
    gy_chain_clear(&hoarded);
    stage_turns(stage, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE), armed + 1);
    close(client);
}

static void starved_streams_wait_in_line_and_none_is_forgotten(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[12];
    int clients[12];
    for (int i = 0; i < 12; i++) {
        streams[i] = stage_connect(stage, 0, &clients[i]);
    }
    struct gy_chain hoarded;
    hoard(stage, streams[0], &hoarded);
    for (int i = 0; i < 12; i++) {
        starve(stage, streams[i]);
    }
    stage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_RECEIVE), 0);
    gy_chain_consume(&hoarded, 4096); /* one of the four */
    stage_turns(stage, 8);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_RECEIVE), 12);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    gy_chain_clear(&hoarded);
    for (int i = 0; i < 12; i++) {
        close(clients[i]);
    }
}

static void buffers_that_come_back_as_streams_are_flushed_are_noticed(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *hoarder = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *stream = stage_connect(stage, 0, &clients[1]);
    act_of(hoarder)->eat_bytes = 0;
    for (int i = 0; i < 4; i++) {
        void *blocks[128];
        for (int k = 0; k < 128; k++) {
            blocks[k] = gy_slab_take(&stage->worker.keeps); /* nothing to copy to */
        }
        stage_data(stage, hoarder, block, 4096, i < 3 ? GY_COMPLETION_MORE : 0);
        for (int k = 0; k < 128; k++) {
            gy_slab_give(&stage->worker.keeps, blocks[k]);
        }
    }
    assert_int_equal(gy_pool_free(stage->worker.pool), 0);
    starve(stage, stream);
    stage_turns(stage, 2);
    assert_null(stage_receive_of(stage, stream));
    gy_stream_abort(hoarder, GY_CLOSE_LOCAL); /* nothing of it is in flight: freed by the flush */
    stage_turn(stage);
    assert_int_equal(stage->closed_count, 1);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
    assert_non_null(stage_receive_of(stage, stream));
    close(clients[0]);
    close(clients[1]);
}

static void a_starved_stream_that_ends_leaves_the_line(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    struct gy_chain hoarded;
    hoard(stage, stream, &hoarded);
    starve(stage, stream);
    stage_turn(stage);
    assert_false(TAILQ_EMPTY(&stage->worker.starved));
    gy_stream_abort(stream, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    assert_true(TAILQ_EMPTY(&stage->worker.starved));
    assert_int_equal(stage->closed_count, 1);
    gy_chain_clear(&hoarded);
    close(client);
}

static void a_stream_that_waits_for_memory_and_starves_is_still_asked_again(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    struct gy_chain hoarded;
    hoard(stage, stream, &hoarded);
    act_of(stream)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(stream);
    stage_turn(stage);
    uint32_t turns = act_of(stream)->turns;
    starve(stage, stream);
    stage_turns(stage, 4);
    assert_true(act_of(stream)->turns > turns);
    act_of(stream)->wants = GY_WANT_READ;
    gy_chain_clear(&hoarded);
    stage_turns(stage, 3);
    assert_non_null(stage_receive_of(stage, stream));
    close(client);
}

static void retry_asks_again_within_moments_without_spinning(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants_once = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(stream);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->turns, 1);
    stage_turn(stage);
    uint64_t waited = fake_last_wait_ns(ring_of(stage));
    assert_true(waited > 0 && waited <= 100000000);
    assert_int_equal(act_of(stream)->turns, 2);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    close(client);
}

/* ---- water marks (rule 13) ---- */

static void at_the_high_mark_the_stream_stops_reading(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    assert_null(stage_cancel_of(stage, stream));
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    struct fake_operation *cancel = stage_cancel_of(stage, stream);
    assert_non_null(cancel);
    assert_int_equal(cancel->kind, FAKE_CANCEL_TOKEN); /* a send in flight goes on */
    assert_int_equal(stage_counter(stage, paused_high_water), 1);
    /* More that was on its way is kept, and the cancel not repeated. */
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    assert_int_equal(stream->in.length, 4 * 4096);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CANCEL_TOKEN), 1);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), cancel, 0, 0);
    stage_turns(stage, 3);
    assert_null(stage_receive_of(stage, stream));
    assert_int_equal(stage_counter(stage, paused_high_water), 1);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    close(client);
}

static void pause_reading(struct stage *stage, struct gy_stream *stream)
{
    act_of(stream)->eat_bytes = 0;
    for (int i = 0; i < 3; i++) {
        stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    }
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 0, 0);
    stage_turn(stage);
    assert_null(stage_receive_of(stage, stream));
    assert_int_equal(stream->in.length, 3 * 4096);
}

static void eat(struct stage *stage, struct gy_stream *stream, uint32_t bytes)
{
    act_of(stream)->eat_bytes = bytes;
    gy_stream_wake(stream);
    stage_turn(stage);
    act_of(stream)->eat_bytes = 0;
}

static void it_reads_again_at_the_low_mark_and_not_before(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    pause_reading(stage, stream);
    eat(stage, stream, 3 * 4096 - 4001);
    assert_int_equal(stream->in.length, 4001);
    assert_null(stage_receive_of(stage, stream));
    eat(stage, stream, 1);
    assert_non_null(stage_receive_of(stage, stream));
    close(client);
}

static void between_the_marks_it_goes_on_reading_if_it_was(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    stage_turn(stage);
    assert_non_null(stage_receive_of(stage, stream));
    assert_null(stage_cancel_of(stage, stream));
    close(client);
}

static void reading_resumes_though_the_cancel_is_still_in_flight(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    for (int i = 0; i < 3; i++) {
        stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    }
    stage_turn(stage);
    eat(stage, stream, UINT32_MAX);
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE), 1);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 0, 0);
    stage_turn(stage);
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE), 1); /* the old one is not over */
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    stage_turns(stage, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE), 2);
    close(client);
}

static void a_pause_is_counted_in_one_shot_mode_too(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    for (int i = 0; i < 3; i++) {
        assert_non_null(stage_receive_of(stage, stream));
        stage_data(stage, stream, block, 4096, 0);
        stage_turn(stage);
    }
    assert_null(stage_receive_of(stage, stream));
    assert_int_equal(stage_counter(stage, paused_high_water), 1);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CANCEL_TOKEN), 0);
    eat(stage, stream, UINT32_MAX);
    assert_non_null(stage_receive_of(stage, stream));
    close(client);
}

static void without_want_read_the_stream_stops_reading(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_ROOM;
    stage_data(stage, stream, "x", 1, GY_COMPLETION_MORE);
    assert_non_null(stage_cancel_of(stage, stream));
    assert_int_equal(stage_counter(stage, paused_high_water), 0);
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 0, 0);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    stage_turns(stage, 2);
    assert_null(stage_receive_of(stage, stream));
    act_of(stream)->wants = GY_WANT_READ;
    gy_stream_wake(stream);
    stage_turn(stage);
    assert_non_null(stage_receive_of(stage, stream));
    close(client);
}

static void after_the_end_of_the_peer_nothing_is_armed_and_nothing_cancelled(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    fake_receive(ring_of(stage), stage_receive_of(stage, stream), "bye", 3, GY_COMPLETION_MORE);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), 0, 0);
    stage_turn(stage);
    assert_true(stream->eof);
    assert_int_equal(act_of(stream)->turns, 1);
    assert_memory_equal(stage->received, "bye", 3);
    stage_turns(stage, 3);
    assert_null(stage_receive_of(stage, stream));
    assert_null(stage_cancel_of(stage, stream));
    assert_int_equal(stream->state, GY_STREAM_OPEN); /* half-closed: we may go on sending */
    close(client);
}

/* ---- modes ---- */

static void a_bundle_fills_several_buffers_in_order(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_data(stage, stream, block, 5000, GY_COMPLETION_MORE);
    assert_int_equal(stage->received_bytes, 5000);
    assert_true(pattern_matches(stage->received, 5000, 1, 0));
    close(client);
}

static void a_bundle_that_drained_the_ring_and_ended_is_armed_again(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_data(stage, stream, block, 8192, 0); /* all eight buffers, no ENOBUFS follows */
    assert_int_equal(stage->received_bytes, 8192);
    stage_turn(stage);
    assert_non_null(stage_receive_of(stage, stream));
    assert_int_equal(stage_counter(stage, enobufs), 0);
    close(client);
}

static void receives_that_share_a_buffer_become_one_slice_each_in_its_stream(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *first = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *second = stage_connect(stage, 0, &clients[1]);
    for (int i = 0; i < 3; i++) {
        fake_receive(ring_of(stage), stage_receive_of(stage, first), "1111", 4, GY_COMPLETION_MORE);
        fake_receive(ring_of(stage), stage_receive_of(stage, second), "22", 2, GY_COMPLETION_MORE);
    }
    stage_turn(stage);
    assert_memory_equal(stage->received, "111111111111222222", 18);
    close(clients[0]);
    close(clients[1]);
}

/* ---- receives that the kernel breaks off to go on with the next enter ---- */

enum { GOES_ON = GY_COMPLETION_MORE | GY_COMPLETION_NONEMPTY };

struct rest {
    struct fake_operation *receive;
    uint32_t parts; /* that are still to come, one with each wait */
};

static int set_up_many_buffers(void **state)
{
    struct stage_options options = {.buffers = 128, .posted = 64};
    return set_up_with(state, &options);
}

static void bring_rest(struct gy_ring *ring, void *context)
{
    struct rest *rest = context;
    if (rest->parts > 0) {
        rest->parts--;
        fake_receive(ring, rest->receive, block, 1000,
                     rest->parts > 0 ? GOES_ON : GY_COMPLETION_MORE);
    }
}

static void what_the_kernel_puts_off_to_the_next_enter_is_there_when_the_session_runs(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    struct rest rest = {.receive = stage_receive_of(stage, stream), .parts = 3};
    uint32_t turns = act_of(stream)->turns;
    fake_on_wait(ring_of(stage), bring_rest, &rest);
    stage_turn(stage);
    fake_on_wait(ring_of(stage), NULL, NULL);
    assert_int_equal(act_of(stream)->turns, turns + 1);
    assert_int_equal(stage->received_bytes, 3000);
    assert_int_equal(stage->worker.unfinished, 0);
    close(client);
}

static void a_receive_that_goes_on_and_on_does_not_keep_sessions_from_running(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    struct rest rest = {.receive = stage_receive_of(stage, stream), .parts = UINT32_MAX};
    uint32_t waits = fake_waits(ring_of(stage));
    fake_on_wait(ring_of(stage), bring_rest, &rest);
    stage_turn(stage);
    fake_on_wait(ring_of(stage), NULL, NULL);
    assert_int_equal(fake_waits(ring_of(stage)) - waits, 1 + 4);
    assert_int_equal(stage->received_bytes, 5000);
    assert_int_equal(stage->worker.unfinished, 1);
    close(client);
}

static void after_much_was_received_the_ring_is_not_asked_again(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0; /* `received` has not that much room */
    uint32_t waits = fake_waits(ring_of(stage));
    for (int i = 0; i < 64; i++) {
        fake_receive(ring_of(stage), stage_receive_of(stage, stream), block, 4096, GOES_ON);
    }
    stage_turn(stage);
    assert_int_equal(fake_waits(ring_of(stage)) - waits, 1);
    assert_int_equal(stage->worker.unfinished, 1);
    close(client);
}

static void a_receive_that_ends_does_not_go_on(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_data(stage, stream, block, 100, GOES_ON);
    assert_int_equal(stage->worker.unfinished, 1);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECONNRESET, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->worker.unfinished, 0);
    close(client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define WITH(setting, function)                                                                    \
    cmocka_unit_test_setup_teardown(function, set_up_##setting, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(few_buffers, a_starved_receive_is_armed_again_when_a_buffer_is_there),
        WITH(few_buffers, while_no_buffer_is_there_a_starved_stream_neither_arms_nor_spins),
        WITH(few_buffers, starved_streams_wait_in_line_and_none_is_forgotten),
        WITH(few_buffers, buffers_that_come_back_as_streams_are_flushed_are_noticed),
        WITH(few_buffers, a_starved_stream_that_ends_leaves_the_line),
        WITH(few_buffers, a_stream_that_waits_for_memory_and_starves_is_still_asked_again),
        TEST(retry_asks_again_within_moments_without_spinning),
        WITH(marks, at_the_high_mark_the_stream_stops_reading),
        WITH(marks, it_reads_again_at_the_low_mark_and_not_before),
        WITH(marks, between_the_marks_it_goes_on_reading_if_it_was),
        WITH(marks, reading_resumes_though_the_cancel_is_still_in_flight),
        WITH(marks_one_shot, a_pause_is_counted_in_one_shot_mode_too),
        TEST(without_want_read_the_stream_stops_reading),
        TEST(after_the_end_of_the_peer_nothing_is_armed_and_nothing_cancelled),
        WITH(bundle, a_bundle_fills_several_buffers_in_order),
        WITH(bundle, a_bundle_that_drained_the_ring_and_ended_is_armed_again),
        WITH(incremental, receives_that_share_a_buffer_become_one_slice_each_in_its_stream),
        TEST(what_the_kernel_puts_off_to_the_next_enter_is_there_when_the_session_runs),
        TEST(a_receive_that_goes_on_and_on_does_not_keep_sessions_from_running),
        WITH(many_buffers, after_much_was_received_the_ring_is_not_asked_again),
        TEST(a_receive_that_ends_does_not_go_on),
    };
    return cmocka_run_group_tests_name("stream_receive", tests, NULL, NULL);
}
