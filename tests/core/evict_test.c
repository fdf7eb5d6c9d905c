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

/* A server whose connections hold so many pieces. */
struct held {
    struct gy_holder holder;
    uint32_t pieces[4];
    uint64_t began_ns;
    uint32_t ended, walks;
    uint32_t shared; /* so many have their pieces in others' blocks, which they do not free */
    struct gy_worker *worker;
    void **blocks; /* all there are */
};

static uint32_t largest(struct gy_holder *holder, uint64_t until_ns)
{
    struct held *held = (struct held *)holder;
    uint32_t most = 0;
    held->walks++;
    for (int i = 0; i < 4; i++) {
        most = held->pieces[i] > most ? held->pieces[i] : most;
    }
    return held->began_ns <= until_ns ? most : 0;
}

static uint32_t end(struct gy_holder *holder, uint64_t until_ns, uint32_t least, uint32_t count)
{
    struct held *held = (struct held *)holder;
    uint32_t before = held->ended;
    held->walks++;
    for (int i = 0; i < 4 && held->began_ns <= until_ns && held->ended - before < count; i++) {
        if (held->pieces[i] < least || !gy_evict_presses(held->worker)) {
            continue;
        }
        for (uint32_t block = 0; held->ended >= held->shared && block < held->pieces[i]; block++) {
            void *given = *held->blocks;
            memcpy(held->blocks, given, sizeof *held->blocks);
            gy_slab_give(&held->worker->blocks, given);
        }
        held->pieces[i] = 0;
        held->ended++;
    }
    return held->ended - before;
}

static void who_holds_the_most_input_is_ended_when_output_memory_is_used_up(void **state)
{
    struct stage *stage = *state;
    struct gy_worker *worker = &stage->worker;
    void *blocks;
    struct held few = {.holder = {.largest = largest, .end = end},
                       .pieces = {GY_EVICT_HELD_LEAST - 1, 2},
                       .worker = worker,
                       .blocks = &blocks};
    struct held many = {.holder = {.largest = largest, .end = end},
                        .pieces = {GY_EVICT_HELD_LEAST, 20, 30, 0},
                        .shared = 1,
                        .worker = worker,
                        .blocks = &blocks};
    int client;
    struct gy_stream *waiting = stage_connect(stage, 0, &client);
    few.began_ns = many.began_ns = worker->now_ns;
    gy_evict_add(worker, &many.holder);
    gy_evict_add(worker, &few.holder);
    fake_clock_advance(GY_EVICT_STALLED_MS * 2);
    stage_turns(stage, 2);
    assert_int_equal(many.ended, 0); /* nobody waits for it */
    use_up_output_memory(worker, &blocks);
    act_of(waiting)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(waiting);
    many.began_ns = worker->now_ns;
    stage_turns(stage, 3);
    assert_int_equal(many.ended, 0); /* which is on its way still, perhaps */
    fake_clock_advance(GY_EVICT_STALLED_MS);
    stage_turns(stage, 3);
    assert_int_equal(many.ended, 2); /* as many as it takes */
    assert_int_equal(many.pieces[0], GY_EVICT_HELD_LEAST);
    fake_clock_advance(GY_EVICT_INTERVAL_MS);
    stage_turns(stage, 3);
    assert_int_equal(many.ended + few.ended, 2); /* there is memory */
    assert_int_equal(stage_counter(stage, streams_evicted), 2);
    gy_evict_remove(worker, &many.holder);
    gy_evict_remove(worker, &few.holder);
    act_of(waiting)->wants = GY_WANT_READ;
    give_output_memory_back(worker, blocks);
    close(client);
}

/* Whose memory is still on its way back. */
static void who_holds_input_is_left_alone_right_after_a_stalled_reader_was_ended(void **state)
{
    struct stage *stage = *state;
    struct gy_worker *worker = &stage->worker;
    void *blocks;
    int clients[2];
    struct held held = {.holder = {.largest = largest, .end = end},
                        .pieces = {20},
                        .worker = worker,
                        .blocks = &blocks};
    fake_cancel_by_itself(worker->ring);
    stalled_reader(stage, &clients[0]);
    struct gy_stream *waiting = stage_connect(stage, 0, &clients[1]);
    use_up_output_memory(worker, &blocks);
    held.began_ns = worker->now_ns;
    gy_evict_add(worker, &held.holder);
    act_of(waiting)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(waiting);
    fake_clock_advance(GY_EVICT_STALLED_MS);
    for (int i = 0; i < 9; i++) {
        stage_turns(stage, 3);
        fake_clock_advance(GY_EVICT_INTERVAL_MS / 10);
    }
    assert_int_equal(stage_counter(stage, streams_evicted), 1);
    assert_int_equal(held.ended, 0);
    fake_clock_advance(GY_EVICT_INTERVAL_MS);
    stage_turns(stage, 3);
    assert_int_equal(held.ended, 1); /* there was too little of it */
    gy_evict_remove(worker, &held.holder);
    act_of(waiting)->wants = GY_WANT_READ;
    give_output_memory_back(worker, blocks);
    close(clients[0]);
    close(clients[1]);
}

static void who_holds_the_most_input_is_ended_when_links_are_all_but_used_up(void **state)
{
    struct stage *stage = *state;
    struct gy_worker *worker = &stage->worker;
    struct held held = {.holder = {.largest = largest, .end = end},
                        .pieces = {9, 8, 8, 4},
                        .shared = 5,
                        .worker = worker};
    void *links = NULL;
    int client;
    struct gy_stream *waiting = stage_connect(stage, 0, &client);
    held.began_ns = worker->now_ns;
    gy_evict_add(worker, &held.holder);
    while (worker->links.used + 1 < worker->links.capacity) {
        void *link = gy_slab_take(&worker->links);
        memcpy(link, &links, sizeof links);
        links = link;
    }
    act_of(waiting)->wants = GY_WANT_READ | GY_WANT_RETRY;
    gy_stream_wake(waiting);
    fake_clock_advance(GY_EVICT_STALLED_MS);
    stage_turns(stage, 3);
    assert_int_equal(held.ended, 4);
    assert_true(held.walks <= 4); /* of thousands of connections, perhaps */
    while (links != NULL) {
        void *link = links;
        memcpy(&links, link, sizeof links);
        gy_slab_give(&worker->links, link);
    }
    gy_evict_remove(worker, &held.holder);
    act_of(waiting)->wants = GY_WANT_READ;
    close(client);
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
        cmocka_unit_test_setup_teardown(
            who_holds_the_most_input_is_ended_when_output_memory_is_used_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            who_holds_input_is_left_alone_right_after_a_stalled_reader_was_ended, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            who_holds_the_most_input_is_ended_when_links_are_all_but_used_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_ended_while_there_is_output_memory, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_has_stalled_only_for_a_moment_is_left_alone,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("evict", tests, NULL, NULL);
}
