/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The quota of what the streams of one server keep (DESIGN rule 11). */

#include <errno.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static uint8_t block[4096];

static int set_up_with(void **state, const struct stage_options *options)
{
    deadline("quota", 20);
    pattern_fill(block, sizeof block, 1, 0);
    *state = stage_open(options);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int set_up_quota(void **state)
{
    struct stage_options options = {.quota_bytes = 10000, .buffers = 64};
    return set_up_with(state, &options);
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

static void a_server_over_its_quota_stops_reading_and_another_server_does_not(void **state)
{
    struct stage *stage = *state;
    int clients[3];
    struct gy_stream *first = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *second = stage_connect(stage, 0, &clients[1]);
    struct gy_stream *other = stage_connect(stage, 1, &clients[2]);
    act_of(first)->eat_bytes = act_of(second)->eat_bytes = act_of(other)->eat_bytes = 0;
    stage_data(stage, first, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, first, block, 4096, GY_COMPLETION_MORE);
    assert_null(stage_cancel_of(stage, first));
    stage_data(stage, second, block, 4096, GY_COMPLETION_MORE);
    assert_int_equal(stage->worker.listeners[0].endpoint.quota.used_bytes, 3 * 4096);
    assert_non_null(stage_cancel_of(stage, second));
    assert_int_equal(stage_counter(stage, paused_quota), 1);
    stage_data(stage, other, block, 4096, GY_COMPLETION_MORE);
    assert_null(stage_cancel_of(stage, other));
    stage_data(stage, first, block, 4096, GY_COMPLETION_MORE);
    assert_non_null(stage_cancel_of(stage, first));
    assert_int_equal(stage_counter(stage, paused_quota), 2);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
}

/* Ends the receive of a stream that stopped for the quota. */
static void confirm_stop(struct stage *stage, struct gy_stream *stream)
{
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 0, 0);
    stage_turns(stage, 2);
    assert_null(stage_receive_of(stage, stream));
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
}

static void servers_that_hoard_what_they_may_by_default_leave_buffers_to_others(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *hoarders[40];
    int clients[40];
    for (int i = 0; i < 40; i++) {
        hoarders[i] = stage_connect(stage, 0, &clients[i]);
        act_of(hoarders[i])->eat_bytes = 0;
    }
    int client;
    struct gy_stream *other = stage_connect(stage, 1, &client);
    bool fed = true;
    for (uint32_t round = 0; fed; round++) {
        assert_true(round < 100);
        fed = false;
        for (int i = 0; i < 40; i++) {
            if (stage_receive_of(stage, hoarders[i]) != NULL &&
                stage_cancel_of(stage, hoarders[i]) == NULL) {
                stage_data(stage, hoarders[i], block, 2100, GY_COMPLETION_MORE);
                stage_turn(stage);
                fed = true;
            }
        }
        stage->received_bytes = 0;
        stage_data(stage, other, "mine", 4, GY_COMPLETION_MORE);
        assert_int_equal(stage->received_bytes, 4);
    }
    assert_true(stage_counter(stage, paused_quota) > 0);
    assert_true(gy_pool_free(stage->worker.pool) > 0);
    for (int i = 0; i < 40; i++) {
        close(clients[i]);
    }
    close(client);
}

static void a_stream_without_leftovers_reads_even_when_the_quota_is_used_up(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *hoarder = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *modest = stage_connect(stage, 0, &clients[1]);
    act_of(hoarder)->eat_bytes = 0;
    for (int i = 0; i < 3; i++) {
        stage_data(stage, hoarder, block, 4096, GY_COMPLETION_MORE);
    }
    confirm_stop(stage, hoarder);
    stage_data(stage, modest, "x", 1, 0);
    assert_non_null(stage_receive_of(stage, modest));
    close(clients[0]);
    close(clients[1]);
}

static void streams_over_the_quota_read_again_when_it_is_kept(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *first = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *second = stage_connect(stage, 0, &clients[1]);
    act_of(first)->eat_bytes = act_of(second)->eat_bytes = 0;
    stage_data(stage, first, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, first, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, second, block, 4096, GY_COMPLETION_MORE);
    confirm_stop(stage, second);
    act_of(second)->eat_bytes = 4000;
    gy_stream_wake(second);
    stage_turns(stage, 2);
    assert_int_equal(stage->worker.listeners[0].endpoint.quota.used_bytes, 2 * 4096 + 96);
    assert_non_null(stage_receive_of(stage, second));
    close(clients[0]);
    close(clients[1]);
}

static void a_stream_that_ends_gives_its_share_of_the_quota_back(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *first = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *second = stage_connect(stage, 0, &clients[1]);
    act_of(first)->eat_bytes = act_of(second)->eat_bytes = 0;
    stage_data(stage, second, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, first, block, 4096, GY_COMPLETION_MORE);
    stage_data(stage, first, block, 4096, GY_COMPLETION_MORE);
    confirm_stop(stage, first);
    gy_stream_abort(second, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    fake_complete(ring_of(stage), stage_receive_of(stage, second), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, second), 1, 0);
    stage_turns(stage, 3);
    /* What is left is the share of `first` itself: it must not wait for that to shrink, since it
     * may need its message's rest first. */
    assert_int_equal(stage->worker.listeners[0].endpoint.quota.used_bytes, 2 * 4096);
    assert_non_null(stage_receive_of(stage, first));
    close(clients[0]);
    close(clients[1]);
}

static void what_the_expire_call_eats_is_given_back_to_the_quota(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->eat_bytes = 0;
    for (int i = 0; i < 3; i++) {
        stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    }
    confirm_stop(stage, stream);
    act_of(stream)->eat_on_expire = true;
    gy_stream_set_deadline(stream, stage->worker.now_ms + 10);
    fake_clock_advance(10);
    stage_turns(stage, 2);
    assert_int_equal(act_of(stream)->expired, 1);
    assert_int_equal(stream->in.length, 0);
    assert_int_equal(stage->worker.listeners[0].endpoint.quota.used_bytes, 0);
    assert_non_null(stage_receive_of(stage, stream));
    close(client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define WITH(setting, function)                                                                    \
    cmocka_unit_test_setup_teardown(function, set_up_##setting, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(quota, a_server_over_its_quota_stops_reading_and_another_server_does_not),
        TEST(servers_that_hoard_what_they_may_by_default_leave_buffers_to_others),
        WITH(quota, a_stream_without_leftovers_reads_even_when_the_quota_is_used_up),
        WITH(quota, streams_over_the_quota_read_again_when_it_is_kept),
        WITH(quota, a_stream_that_ends_gives_its_share_of_the_quota_back),
        WITH(quota, what_the_expire_call_eats_is_given_back_to_the_quota),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
