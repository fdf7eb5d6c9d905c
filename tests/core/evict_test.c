/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Who loses when the output memory is used up: those who hold it without reading (DESIGN rules 17
 * and 20). */

#include "core/evict.h"

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static const uint8_t answer[100];

static int set_up(void **state)
{
    deadline("evict", 20);
    struct stage_options options = {.limits = {.write_timeout_ms = 30000}};
    *state = stage_open(&options);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

/* A connection whose answer is with the kernel and stays there. */
static struct gy_stream *stalled_reader(struct stage *stage, int *client)
{
    struct gy_stream *stream = stage_connect(stage, 0, client);
    stage_put(stage, stream, answer, sizeof answer);
    gy_stream_wake(stream);
    stage_turns(stage, 2);
    assert_non_null(stage_send_of(stage, stream));
    return stream;
}

static void use_up_output_memory(struct gy_worker *worker, void **first)
{
    *first = NULL;
    for (void *block; worker->blocks.used < worker->blocks.capacity;) {
        block = gy_slab_take(&worker->blocks);
        assert_non_null(block);
        memcpy(block, first, sizeof *first);
        *first = block;
    }
}

static void give_output_memory_back(struct gy_worker *worker, void *first)
{
    while (first != NULL) {
        void *block = first;
        memcpy(&first, block, sizeof first);
        gy_slab_give(&worker->blocks, block);
    }
}

static void the_longest_stalled_reader_is_ended_when_output_memory_is_used_up(void **state)
{
    struct stage *stage = *state;
    fake_cancel_by_itself(stage->worker.ring);
    int clients[3];
    void *blocks;
    struct gy_stream *oldest = stalled_reader(stage, &clients[0]);
    fake_clock_advance(GY_EVICT_STALLED_MS / 2);
    struct gy_stream *younger = stalled_reader(stage, &clients[1]);
    struct gy_stream *waiting = stage_connect(stage, 0, &clients[2]);
    use_up_output_memory(&stage->worker, &blocks);
    act_of(waiting)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(waiting);
    fake_clock_advance(GY_EVICT_STALLED_MS / 2);
    stage_turns(stage, 6);
    assert_int_equal(stage_counter(stage, streams_evicted), 1);
    assert_int_equal(stage->closed_reason, GY_CLOSE_LIMIT);
    assert_int_equal(stage->closed_count, 1);
    assert_true(younger->state == GY_STREAM_OPEN && younger->sending);
    fake_clock_advance(GY_EVICT_STALLED_MS / 2);
    stage_turns(stage, 6);
    assert_int_equal(stage_counter(stage, streams_evicted), 2);
    assert_int_equal(waiting->state, GY_STREAM_OPEN);
    act_of(waiting)->wants = GY_WANT_READ;
    give_output_memory_back(&stage->worker, blocks);
    (void)oldest;
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
}

static void nobody_is_ended_while_there_is_output_memory(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *stalled = stalled_reader(stage, &clients[0]);
    struct gy_stream *waiting = stage_connect(stage, 0, &clients[1]);
    act_of(waiting)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(waiting);
    fake_clock_advance(GY_EVICT_STALLED_MS * 3);
    stage_turns(stage, 5);
    assert_int_equal(stage_counter(stage, streams_evicted), 0);
    assert_int_equal(stalled->state, GY_STREAM_OPEN);
    act_of(waiting)->wants = GY_WANT_READ;
    close(clients[0]);
    close(clients[1]);
}

static void a_reader_that_has_stalled_only_for_a_moment_is_left_alone(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    void *blocks;
    struct gy_stream *stalled = stalled_reader(stage, &clients[0]);
    struct gy_stream *waiting = stage_connect(stage, 0, &clients[1]);
    use_up_output_memory(&stage->worker, &blocks);
    act_of(waiting)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(waiting);
    fake_clock_advance(GY_EVICT_STALLED_MS - 10);
    stage_turns(stage, 5);
    assert_int_equal(stage_counter(stage, streams_evicted), 0);
    assert_int_equal(stalled->state, GY_STREAM_OPEN);
    act_of(waiting)->wants = GY_WANT_READ;
    give_output_memory_back(&stage->worker, blocks);
    close(clients[0]);
    close(clients[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_longest_stalled_reader_is_ended_when_output_memory_is_used_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_ended_while_there_is_output_memory, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_has_stalled_only_for_a_moment_is_left_alone,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("evict", tests, NULL, NULL);
}
