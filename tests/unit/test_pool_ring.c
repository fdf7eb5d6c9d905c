/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pool under the ring of the running kernel, in every receive mode. */
#include <errno.h>

#include "core/pool.h"
#include "tests/unit/ring_unit.h"

#define GROUP 3
#define PAIRS 2

struct fixture {
    enum gy_receive_mode mode;
    struct gy_ring *ring;
    struct gy_pool *pool;
    struct gy_slab links;
    int ends[PAIRS][2];
    struct gy_chain chains[PAIRS];
    bool armed[PAIRS];
    bool ended[PAIRS];
    bool starved[PAIRS];
    uint64_t sent[PAIRS];
    uint64_t consumed[PAIRS];
    uint32_t receives;      /* completions with data */
    uint32_t largest;       /* bytes of one of them */
    uint32_t named_at_ends; /* ends of streams that named a buffer */
    _Alignas(GY_SLAB_ALIGN) uint8_t link_memory[512 * 64];
};

/* Skips where the kernel lacks the mode. `completions` may be few, to make them overflow. */
static struct fixture *open_fixture(void **state, uint32_t completions)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->mode = *(const enum gy_receive_mode *)*state;
    fixture->ring =
        ring_open(&(struct gy_ring_options){.entries = 8, .completion_entries = completions});
    const struct gy_pool_options options = {
        .group = GROUP,
        .buffer_bytes = fixture->mode == GY_RECEIVE_INCREMENTAL ? 4096 : 512,
        .buffers = 16,
        .posted = 8,
        .mode = fixture->mode,
    };
    uint32_t features = gy_ring_features(fixture->ring);
    struct gy_error error = {0};
    if ((fixture->mode != GY_RECEIVE_ONE_SHOT && !(features & GY_RING_MULTISHOT_RECEIVE)) ||
        (fixture->mode == GY_RECEIVE_BUNDLE && !(features & GY_RING_RECEIVE_BUNDLE)) ||
        gy_pool_open(&fixture->pool, fixture->ring, &options, &error) == GY_ENOTSUP) {
        gy_ring_close(fixture->ring);
        free(fixture);
        print_message("# the kernel lacks this receive mode\n");
        skip();
    }
    assert_int_equal(error.code, 0);
    gy_slab_init(&fixture->links, fixture->link_memory, sizeof fixture->link_memory,
                 sizeof(struct gy_link));
    for (int i = 0; i < PAIRS; i++) {
        connect_pair(fixture->ends[i]);
        gy_chain_init(&fixture->chains[i], &fixture->links);
    }
    return fixture;
}

static void close_fixture(struct fixture *fixture)
{
    for (int i = 0; i < PAIRS; i++) {
        gy_chain_clear(&fixture->chains[i]);
        close(fixture->ends[i][0]);
        close(fixture->ends[i][1]);
    }
    assert_int_equal(gy_pool_free(fixture->pool), gy_pool_options(fixture->pool)->buffers);
    assert_int_equal(gy_pool_counters(fixture->pool)->misordered, 0);
    gy_pool_close(fixture->pool);
    gy_ring_close(fixture->ring);
    free(fixture);
}

static uint8_t pattern(int pair, uint64_t offset)
{
    return (uint8_t)(offset % 251 + (uint64_t)pair * 100);
}

static void send_pattern(struct fixture *fixture, int pair, uint32_t bytes)
{
    uint8_t data[65536];
    assert_true(bytes <= sizeof data);
    for (uint32_t i = 0; i < bytes; i++) {
        data[i] = pattern(pair, fixture->sent[pair] + i);
    }
    assert_int_equal(send(fixture->ends[pair][1], data, bytes, MSG_DONTWAIT), bytes);
    fixture->sent[pair] += bytes;
}

static void take(struct fixture *fixture, const struct gy_completion *completion)
{
    uint32_t pair = gy_token_slot(completion->token);
    assert_true(fixture->armed[pair]);
    int taken = gy_pool_take(fixture->pool, completion, &fixture->chains[pair]);
    fixture->armed[pair] = completion->flags & GY_COMPLETION_MORE;
    if (completion->result > 0) {
        assert_int_equal(taken, completion->result);
        fixture->receives++;
        if ((uint32_t)taken > fixture->largest) {
            fixture->largest = (uint32_t)taken;
        }
        return;
    }
    assert_int_equal(taken, 0);
    assert_false(fixture->armed[pair]);
    if (completion->result == -ENOBUFS) {
        gy_pool_starved(fixture->pool);
        fixture->starved[pair] = true;
        return;
    }
    assert_true(completion->result == 0 || completion->result == -ECONNRESET);
    fixture->named_at_ends += (completion->flags & GY_COMPLETION_BUFFER) != 0;
    fixture->ended[pair] = true;
}

/* One turn as a worker does it. */
static void turn(struct fixture *fixture)
{
    struct gy_completion completions[16];
    uint32_t count;
    for (uint32_t i = 0; i < PAIRS; i++) {
        if (!fixture->armed[i] && !fixture->ended[i] && !fixture->starved[i]) {
            assert_int_equal(gy_ring_receive(fixture->ring, gy_token(GY_OPERATION_RECEIVE, i, 1),
                                             fixture->ends[i][0], GROUP, fixture->mode, false),
                             0);
            fixture->armed[i] = true;
        }
    }
    assert_int_equal(gy_ring_wait(fixture->ring, AWAIT_NS), 0);
    while ((count = gy_ring_reap(fixture->ring, completions, 16)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            take(fixture, &completions[i]);
        }
    }
    gy_pool_refill(fixture->pool);
}

static void resume(struct fixture *fixture)
{
    for (int i = 0; i < PAIRS; i++) {
        fixture->starved[i] = fixture->starved[i] && !gy_pool_ready(fixture->pool);
    }
}

/* Compares what a chain holds, and drops it. */
static void consume(struct fixture *fixture, int pair)
{
    struct gy_chain *chain = &fixture->chains[pair];
    while (!gy_chain_empty(chain)) {
        uint32_t length;
        const uint8_t *data = gy_chain_front(chain, &length);
        for (uint32_t i = 0; i < length; i++) {
            assert_int_equal(data[i], pattern(pair, fixture->consumed[pair] + i));
        }
        fixture->consumed[pair] += length;
        gy_chain_consume(chain, length);
    }
}

static void await_bytes(struct fixture *fixture, int pair)
{
    for (int i = 0; i < AWAIT_TURNS; i++) {
        if (fixture->consumed[pair] + fixture->chains[pair].length == fixture->sent[pair]) {
            return;
        }
        turn(fixture);
    }
    fail_msg("%u bytes of %u came", (unsigned)fixture->chains[pair].length,
             (unsigned)fixture->sent[pair]);
}

/* Of all pairs, as it comes: there may be fewer buffers than pieces. */
static void consume_all(struct fixture *fixture)
{
    uint64_t missing = 1;
    for (int turns = 0; turns < AWAIT_TURNS && missing > 0; turns++) {
        missing = 0;
        for (int i = 0; i < PAIRS; i++) {
            consume(fixture, i);
            missing += fixture->sent[i] - fixture->consumed[i];
        }
        resume(fixture);
        if (missing > 0) {
            turn(fixture);
        }
    }
    assert_int_equal(missing, 0);
}

static void await_end(struct fixture *fixture, int pair)
{
    for (int i = 0; i < AWAIT_TURNS && !fixture->ended[pair]; i++) {
        turn(fixture);
    }
    assert_true(fixture->ended[pair]);
}

static void end_all(struct fixture *fixture)
{
    for (int i = 0; i < PAIRS; i++) {
        shutdown(fixture->ends[i][1], SHUT_WR);
        await_end(fixture, i);
    }
}

/* ---- the tests; each runs in every mode ---- */

static void held_slices_keep_their_bytes_while_others_come_and_go(void **state)
{
    struct fixture *fixture = open_fixture(state, 64);
    for (int i = 0; i < 5; i++) {
        send_pattern(fixture, 0, 100);
        await_bytes(fixture, 0); /* held */
        send_pattern(fixture, 1, 20000);
        while (fixture->consumed[1] < fixture->sent[1]) {
            turn(fixture);
            consume(fixture, 1);
            resume(fixture);
        }
    }
    assert_int_equal(fixture->chains[0].length, 500);
    consume(fixture, 0);
    end_all(fixture);
    close_fixture(fixture);
}

static void a_pool_that_is_held_empty_ends_receives_and_goes_on_in_order(void **state)
{
    struct fixture *fixture = open_fixture(state, 64);
    const struct gy_pool_options *options = gy_pool_options(fixture->pool);
    uint32_t all = options->buffer_bytes * options->buffers;
    send_pattern(fixture, 0, all > 60000 ? 60000 : all);
    send_pattern(fixture, 0, all > 60000 ? 60000 : all);
    for (int i = 0; i < AWAIT_TURNS && gy_pool_ready(fixture->pool); i++) {
        resume(fixture); /* the kernel can run out of what is posted before all are held */
        turn(fixture);
        assert_true(fixture->chains[0].length < fixture->sent[0]);
    }
    turn(fixture);
    assert_true(fixture->starved[0]);
    assert_false(gy_pool_ready(fixture->pool));
    assert_int_equal(fixture->chains[0].length, all);
    while (fixture->consumed[0] < fixture->sent[0]) {
        consume(fixture, 0);
        gy_pool_refill(fixture->pool);
        resume(fixture);
        turn(fixture);
        consume(fixture, 0);
    }
    assert_true(gy_pool_counters(fixture->pool)->starved > 0);
    fixture->starved[1] = false; /* it may have been refused a buffer too */
    end_all(fixture);
    close_fixture(fixture);
}

/* Linux 6.18 names no buffer at an end of stream or a reset; 6.12 to 6.17 may. Either way the
 * buffer goes on, and none is lost. */
static void a_stream_that_ends_leaves_the_shared_buffers_to_the_others(void **state)
{
    struct fixture *fixture = open_fixture(state, 64);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    for (int round = 0; round < 40; round++) {
        send_pattern(fixture, 0, 33);
        await_bytes(fixture, 0);
        consume(fixture, 0);
        if (round % 2 == 0) {
            shutdown(fixture->ends[0][1], SHUT_WR);
        } else {
            setsockopt(fixture->ends[0][1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(fixture->ends[0][1]);
        }
        send_pattern(fixture, 1, 17);
        await_end(fixture, 0);
        await_bytes(fixture, 1);
        consume(fixture, 1);
        if (round % 2 == 0) {
            close(fixture->ends[0][1]);
        }
        close(fixture->ends[0][0]);
        connect_pair(fixture->ends[0]);
        fixture->sent[0] = fixture->consumed[0] = 0;
        fixture->ended[0] = false;
    }
    end_all(fixture);
    close_fixture(fixture);
}

static void data_and_end_that_arrive_together_are_both_told(void **state)
{
    struct fixture *fixture = open_fixture(state, 64);
    send_pattern(fixture, 0, 700);
    shutdown(fixture->ends[0][1], SHUT_WR);
    await_end(fixture, 0);
    assert_int_equal(fixture->chains[0].length, 700);
    consume(fixture, 0);
    end_all(fixture);
    close_fixture(fixture);
}

/* Completions are not reaped while many come: the kernel keeps them back or ends the receive, and
 * every byte arrives in order. */
static void nothing_is_lost_when_completions_overflow(void **state)
{
    struct fixture *fixture = open_fixture(state, 8);
    turn(fixture); /* arms */
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 24; i++) {
            send_pattern(fixture, i % PAIRS, 10);
            assert_int_equal(gy_ring_wait(fixture->ring, 0), 0); /* without a reap */
        }
        consume_all(fixture);
    }
    end_all(fixture);
    close_fixture(fixture);
}

static void a_cancelled_receive_loses_no_buffer(void **state)
{
    struct fixture *fixture = open_fixture(state, 64);
    for (int round = 0; round < 40; round++) {
        send_pattern(fixture, 1, 21);
        await_bytes(fixture, 1);
        consume(fixture, 1);
        assert_true(fixture->armed[0]);
        assert_int_equal(gy_ring_cancel_descriptor(fixture->ring, 99, fixture->ends[0][0]), 0);
        struct gy_completion completions[2];
        await_completions(fixture->ring, completions, 2);
        for (int i = 0; i < 2; i++) {
            if (completions[i].token != 99) {
                assert_int_equal(completions[i].result, -ECANCELED);
                assert_int_equal(gy_pool_take(fixture->pool, &completions[i], &fixture->chains[0]),
                                 0);
            }
        }
        fixture->armed[0] = false;
        gy_pool_refill(fixture->pool);
    }
    end_all(fixture);
    close_fixture(fixture);
}

/* What the modes are for. */
static void completions_are_as_large_and_buffers_as_shared_as_the_mode_promises(void **state)
{
    struct fixture *fixture = open_fixture(state, 64);
    uint32_t whole = gy_pool_options(fixture->pool)->buffer_bytes;
    turn(fixture);
    send_pattern(fixture, 0, 3 * whole);
    await_bytes(fixture, 0);
    if (fixture->mode == GY_RECEIVE_BUNDLE) {
        assert_true(fixture->largest > whole);
    } else {
        assert_true(fixture->largest <= whole);
    }
    consume(fixture, 0);
    uint64_t returned = gy_pool_counters(fixture->pool)->returned;
    for (int i = 0; i < 20; i++) {
        send_pattern(fixture, i % PAIRS, 5);
        await_bytes(fixture, i % PAIRS);
        consume(fixture, i % PAIRS);
    }
    if (fixture->mode == GY_RECEIVE_INCREMENTAL) {
        assert_true(gy_pool_counters(fixture->pool)->returned - returned <= 1);
    } else {
        assert_int_equal(gy_pool_counters(fixture->pool)->returned - returned, 20);
    }
    end_all(fixture);
    close_fixture(fixture);
}

static enum gy_receive_mode modes[] = {GY_RECEIVE_ONE_SHOT, GY_RECEIVE_MULTISHOT,
                                       GY_RECEIVE_INCREMENTAL, GY_RECEIVE_BUNDLE};

#define EVERY_MODE(name)                                                                           \
    {#name " (one-shot)", name, NULL, NULL, &modes[0]},                                            \
        {#name " (multishot)", name, NULL, NULL, &modes[1]},                                       \
        {#name " (incremental)", name, NULL, NULL, &modes[2]},                                     \
    {                                                                                              \
#name " (bundle)", name, NULL, NULL, &modes[3]                                             \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_MODE(held_slices_keep_their_bytes_while_others_come_and_go),
        EVERY_MODE(a_pool_that_is_held_empty_ends_receives_and_goes_on_in_order),
        EVERY_MODE(a_stream_that_ends_leaves_the_shared_buffers_to_the_others),
        EVERY_MODE(data_and_end_that_arrive_together_are_both_told),
        EVERY_MODE(nothing_is_lost_when_completions_overflow),
        EVERY_MODE(a_cancelled_receive_loses_no_buffer),
        EVERY_MODE(completions_are_as_large_and_buffers_as_shared_as_the_mode_promises),
    };
    return cmocka_run_group_tests_name("pool under the ring", tests, NULL, NULL);
}
