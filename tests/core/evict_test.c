/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Who loses when output memory or receive buffers are used up: those who hold it without reading
 * (DESIGN rules 17 and 20). */

#include "core/evict.h"

#include <errno.h>

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

/* Fewer links than a session needs for an answer, but not none. */
static void a_stalled_reader_is_ended_when_links_are_all_but_used_up(void **state)
{
    struct stage *stage = *state;
    fake_cancel_by_itself(stage->worker.ring);
    int clients[2];
    struct gy_slab *links = &stage->worker.links;
    stalled_reader(stage, &clients[0]);
    struct gy_stream *waiting = stage_connect(stage, 0, &clients[1]);
    void *first = NULL;
    while (links->capacity - links->used > 3) {
        void *link = gy_slab_take(links);
        memcpy(link, &first, sizeof first);
        first = link;
    }
    act_of(waiting)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(waiting);
    fake_clock_advance(GY_EVICT_STALLED_MS);
    stage_turns(stage, 3);
    assert_int_equal(stage_counter(stage, streams_evicted), 1);
    act_of(waiting)->wants = GY_WANT_READ;
    while (first != NULL) {
        void *link = first;
        memcpy(&first, link, sizeof first);
        gy_slab_give(links, link);
    }
    close(clients[0]);
    close(clients[1]);
}

static void a_stalled_reader_is_ended_when_receive_buffers_are_used_up(void **state)
{
    struct stage *stage = *state;
    struct gy_ring *ring = stage->worker.ring;
    fake_cancel_by_itself(ring);
    int clients[2];
    struct gy_chain hoarded;
    stalled_reader(stage, &clients[0]);
    struct gy_stream *starved = stage_connect(stage, 0, &clients[1]);
    uint64_t token = stage_receive_of(stage, starved)->token;
    gy_chain_init(&hoarded, &stage->worker.links);
    while (fake_buffers(ring) > 0) {
        struct gy_completion completion =
            fake_fill(ring, token, GY_RECEIVE_MULTISHOT, answer, sizeof answer, 0);
        assert_int_equal(gy_pool_take(stage->worker.pool, &completion, &hoarded), sizeof answer);
        gy_pool_refill(stage->worker.pool);
    }
    fake_complete(ring, stage_receive_of(stage, starved), -ENOBUFS, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage_counter(stage, streams_evicted), 0);
    /* Nothing else is going to happen: the worker wakes up for this. */
    gy_worker_turn(&stage->worker, UINT64_MAX);
    assert_int_equal(fake_last_wait_ns(ring), GY_EVICT_INTERVAL_MS * UINT64_C(1000000));
    fake_clock_advance(GY_EVICT_STALLED_MS);
    stage_turns(stage, 3);
    assert_int_equal(stage_counter(stage, streams_evicted), 1);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(starved->state, GY_STREAM_OPEN);
    gy_chain_clear(&hoarded);
    stage_turns(stage, 2);
    assert_non_null(stage_receive_of(stage, starved));
    close(clients[0]);
    close(clients[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_longest_stalled_reader_is_ended_when_output_memory_is_used_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stalled_reader_is_ended_when_links_are_all_but_used_up,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stalled_reader_is_ended_when_receive_buffers_are_used_up,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_ended_while_there_is_output_memory, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_has_stalled_only_for_a_moment_is_left_alone,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("evict", tests, NULL, NULL);
}
