/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a session leaves in `in` beyond its turn (DESIGN rule 11). */

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static uint8_t block[65536];

static int set_up(void **state)
{
    deadline("keep", 20);
    pattern_fill(block, sizeof block, 1, 0);
    *state = stage_open(NULL);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

static void eat(struct stage *stage, struct gy_stream *stream, uint32_t bytes)
{
    act_of(stream)->eat_bytes = bytes;
    gy_stream_wake(stream);
    stage_turn(stage);
    act_of(stream)->eat_bytes = 0;
}

static void a_small_leftover_is_copied_out_of_the_pool(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    stage_data(stage, stream, block, 100, GY_COMPLETION_MORE);
    assert_int_equal(gy_pool_free(stage->worker.pool), 16);
    assert_int_equal(stage->worker.keeps.used, 1);
    assert_int_equal(stage_counter(stage, copied_bytes), 100);
    assert_int_equal(stream->in.length, 100);
    uint8_t copy[100];
    gy_chain_copy(&stream->in, 0, 100, copy);
    assert_true(pattern_matches(copy, 100, 1, 0));
    close(client);
}

static void bytes_that_trickle_in_share_one_block(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    for (uint32_t i = 0; i < 1500; i++) {
        stage_data(stage, stream, block + i, 1, GY_COMPLETION_MORE);
    }
    assert_int_equal(stage->worker.keeps.used, 1);
    assert_int_equal(stream->in.count, 1);
    assert_int_equal(gy_pool_free(stage->worker.pool), 16);
    assert_int_equal(stage_counter(stage, copied_bytes), 1500); /* each byte once */
    eat(stage, stream, UINT32_MAX);
    assert_int_equal(stage->received_bytes, 1500);
    assert_true(pattern_matches(stage->received, 1500, 1, 0));
    assert_int_equal(stage->worker.keeps.used, 0);
    close(client);
}

static void bytes_that_trickle_behind_a_full_block_do_not_pin_the_pool(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        stage_data(stage, stream, block + i, 1, GY_COMPLETION_MORE);
    }
    assert_int_equal(stream->in.length, 5000);
    assert_true(gy_pool_free(stage->worker.pool) >= 15);
    assert_true(stage->worker.keeps.used <= 4);
    eat(stage, stream, UINT32_MAX);
    assert_true(pattern_matches(stage->received, 5000, 1, 0));
    close(client);
}

static void a_large_leftover_stays_where_it_is(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    assert_int_equal(stage_counter(stage, copied_bytes), 0);
    assert_int_equal(gy_pool_free(stage->worker.pool), 15);
    close(client);
}

static void while_the_pool_is_low_any_leftover_is_copied(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    for (uint32_t i = 0; i < 14; i++) {
        stage_data(stage, stream, block + (size_t)i * 4096, 4096, GY_COMPLETION_MORE);
    }
    /* The thirteenth left 3 of 16 free, fewer than a quarter: then all went. */
    assert_true(gy_pool_free(stage->worker.pool) >= 15);
    assert_int_equal(stream->in.length, 14 * 4096);
    eat(stage, stream, UINT32_MAX);
    assert_int_equal(stage->received_bytes, 14 * 4096);
    assert_true(pattern_matches(stage->received, 14 * 4096, 1, 0));
    assert_int_equal(stage->worker.keeps.used, 0);
    close(client);
}

static void without_blocks_to_copy_to_the_leftover_stays_and_nothing_is_lost(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    void *blocks[128];
    for (int i = 0; i < 128; i++) {
        blocks[i] = gy_slab_take(&stage->worker.keeps);
        assert_non_null(blocks[i]);
    }
    act_of(stream)->eat_bytes = 0;
    for (uint32_t i = 0; i < 16; i++) {
        stage_data(stage, stream, block + (size_t)i * 4096, 4096, GY_COMPLETION_MORE);
    }
    assert_int_equal(gy_pool_free(stage->worker.pool), 0);
    assert_int_equal(stream->in.length, 65536);
    for (int i = 0; i < 128; i++) {
        gy_slab_give(&stage->worker.keeps, blocks[i]);
    }
    eat(stage, stream, UINT32_MAX);
    assert_true(pattern_matches(stage->received, 65536, 1, 0));
    close(client);
}

static void a_block_that_the_session_still_shows_is_not_written(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    stage_data(stage, stream, block, 100, GY_COMPLETION_MORE);
    struct gy_slice held = stream->in.head->slice;
    gy_buffer_hold(held.buffer);
    stage_data(stage, stream, block + 100, 100, GY_COMPLETION_MORE);
    assert_true(pattern_matches(gy_slice_data(held), 100, 1, 0));
    eat(stage, stream, UINT32_MAX);
    assert_true(pattern_matches(stage->received, 200, 1, 0));
    gy_slice_drop(held);
    close(client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_small_leftover_is_copied_out_of_the_pool),
        TEST(bytes_that_trickle_in_share_one_block),
        TEST(bytes_that_trickle_behind_a_full_block_do_not_pin_the_pool),
        TEST(a_large_leftover_stays_where_it_is),
        TEST(while_the_pool_is_low_any_leftover_is_copied),
        TEST(without_blocks_to_copy_to_the_leftover_stays_and_nothing_is_lost),
        TEST(a_block_that_the_session_still_shows_is_not_written),
    };
    return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}
