/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The sending side of a stream: one send in flight, gathered, bounded (DESIGN rules 14 to 16). */

#include <errno.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static uint8_t block[65536];

static int set_up_with(void **state, const struct stage_options *options)
{
    deadline("stream_send", 20);
    pattern_fill(block, sizeof block, 1, 0);
    *state = stage_open(options);
    return 0;
}

static int set_up(void **state)
{
    struct stage_options options = {
        .limits = {.send_high_bytes = 10000, .write_timeout_ms = 3000, .linger_timeout_ms = 500},
        .buffers = 64};
    return set_up_with(state, &options);
}

static int set_up_many(void **state)
{
    struct stage_options options = {.streams_max = 200};
    return set_up_with(state, &options);
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

/* Puts bytes of the pattern into `out` and has them flushed. */
static void put_and_flush(struct stage *stage, struct gy_stream *stream, uint32_t from,
                          uint32_t bytes)
{
    stage_put(stage, stream, block + from, bytes);
    gy_stream_wake(stream);
    stage_turns(stage, 2);
}

static void a_single_slice_is_sent_without_a_vector(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_and_flush(stage, stream, 0, 100);
    struct fake_operation *send = stage_send_of(stage, stream);
    assert_non_null(send);
    assert_int_equal(send->vector_count, 1);
    assert_true(pattern_matches(send->content, 100, 1, 0));
    stage_sent(stage, stream, 100);
    assert_int_equal(stream->out.length, 0);
    assert_int_equal(stage_counter(stage, sent_bytes), 100);
    assert_null(stage_send_of(stage, stream));
    close(client);
}

static void what_one_turn_queued_leaves_in_one_gathered_send(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, block, 10);
    stage_put(stage, stream, block + 10, 20);
    put_and_flush(stage, stream, 30, 30);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 1);
    struct fake_operation *send = stage_send_of(stage, stream);
    assert_int_equal(send->vector_count, 3);
    assert_int_equal(send->bytes, 60);
    assert_true(pattern_matches(send->content, 60, 1, 0));
    close(client);
}

static void one_send_is_in_flight_at_a_time(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_and_flush(stage, stream, 0, 100);
    put_and_flush(stage, stream, 100, 100);
    put_and_flush(stage, stream, 200, 100);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 1);
    stage_sent(stage, stream, 100);
    stage_turn(stage);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 2);
    struct fake_operation *send = stage_send_of(stage, stream);
    assert_int_equal(send->bytes, 200);
    assert_true(pattern_matches(send->content, 200, 1, 100));
    close(client);
}

static void after_a_short_send_the_rest_is_sent_in_order(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, block, 100);
    put_and_flush(stage, stream, 100, 100);
    static const uint32_t steps[] = {1, 98, 1, 50, 49, 1};
    uint32_t sent = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct fake_operation *send = stage_send_of(stage, stream);
        assert_non_null(send);
        assert_int_equal(send->bytes, 200 - sent);
        assert_true(pattern_matches(send->content, send->bytes, 1, sent));
        sent += steps[i];
        stage_sent(stage, stream, (int32_t)steps[i]);
        stage_turn(stage);
    }
    assert_null(stage_send_of(stage, stream));
    assert_int_equal(stream->out.length, 0);
    assert_int_equal(stage_counter(stage, short_sends), 5);
    assert_int_equal(stage_counter(stage, sent_bytes), 200);
    close(client);
}

static void a_send_gathers_at_most_64_vectors(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    for (uint32_t i = 0; i < 150; i++) {
        stage_put(stage, stream, block + (size_t)i * 10, 10);
    }
    put_and_flush(stage, stream, 1500, 10);
    static const uint32_t expected[] = {64, 64, 23};
    uint32_t sent = 0;
    for (size_t i = 0; i < 3; i++) {
        struct fake_operation *send = stage_send_of(stage, stream);
        assert_int_equal(send->vector_count, expected[i]);
        assert_true(pattern_matches(send->content, send->bytes, 1, sent));
        sent += send->bytes;
        stage_sent(stage, stream, (int32_t)send->bytes);
        stage_turn(stage);
    }
    assert_int_equal(sent, 1510);
    close(client);
}

/* Has `bytes` of the pattern of stream 2 flushed, in slices of at most `slice` bytes. */
static void put_pieces(struct stage *stage, struct gy_stream *stream, uint32_t bytes,
                       uint32_t slice)
{
    uint8_t *all = malloc(bytes);
    assert_non_null(all);
    pattern_fill(all, bytes, 2, 0);
    for (uint32_t at = 0; at < bytes; at += slice) {
        stage_put(stage, stream, all + at, bytes - at < slice ? bytes - at : slice);
    }
    free(all);
    gy_stream_wake(stream);
}

/* Sends of exactly these sizes follow, with these bytes. */
static void sends_follow(struct stage *stage, struct gy_stream *stream, const uint32_t *sizes,
                         size_t count)
{
    uint32_t sent = 0;
    for (size_t i = 0; i < count; i++) {
        struct fake_operation *send = stage_send_of(stage, stream);
        assert_non_null(send);
        assert_int_equal(send->bytes, sizes[i]);
        assert_true(pattern_matches(send->content, send->bytes, 2, sent));
        sent += send->bytes;
        stage_sent(stage, stream, (int32_t)send->bytes);
        stage_turn(stage);
    }
    assert_int_equal(stream->out.length, 0);
}

static void a_send_gathers_at_most_512_kib(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_pieces(stage, stream, 1500000, 40000);
    stage_turns(stage, 2);
    static const uint32_t sizes[] = {524288, 524288, 1500000 - 2 * 524288};
    sends_follow(stage, stream, sizes, 3);
    close(client);
}

static void one_slice_above_512_kib_is_cut_too(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_pieces(stage, stream, 1500000, 1500000);
    stage_turns(stage, 2);
    static const uint32_t sizes[] = {524288, 524288, 1500000 - 2 * 524288};
    sends_follow(stage, stream, sizes, 3);
    close(client);
}

static void what_little_is_left_over_leaves_with_the_send_before_it(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_pieces(stage, stream, 1048576 + 131072, 60000);
    stage_turns(stage, 2);
    static const uint32_t sizes[] = {524288, 655360};
    sends_follow(stage, stream, sizes, 2);
    put_pieces(stage, stream, 1048576 + 131073, 60000);
    stage_turns(stage, 2);
    static const uint32_t more[] = {524288, 524288, 131073};
    sends_follow(stage, stream, more, 3);
    close(client);
}

static void long_sends_past_a_turns_bound_wait_in_their_order_and_short_ones_do_not(void **state)
{
    struct stage *stage = *state;
    enum { LONG = 5 };
    struct gy_stream *longs[LONG];
    int clients[LONG + 1];
    for (int i = 0; i < LONG; i++) {
        longs[i] = stage_connect(stage, 0, &clients[i]);
    }
    struct gy_stream *brief = stage_connect(stage, 0, &clients[LONG]);
    for (int i = 0; i < LONG; i++) {
        put_pieces(stage, longs[i], 524288, 65536);
    }
    stage_put(stage, brief, block, 65536);
    stage_put(stage, brief, block, 65536);
    gy_stream_wake(brief);
    stage->worker.short_until_ms = stage->worker.now_ms + 1; /* it was asked for something before */
    stage_turn(stage);
    assert_true(longs[0]->sending && longs[1]->sending);
    assert_false(longs[2]->sending || longs[3]->sending || longs[4]->sending);
    assert_true(brief->sending); /* of 128 KiB, and it came last */
    assert_int_equal(stage_counter(stage, put_off), 3);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
    assert_true(longs[2]->sending && longs[3]->sending);
    assert_false(longs[4]->sending);
    stage_turn(stage);
    assert_true(longs[4]->sending);
    assert_int_equal(stage_counter(stage, put_off), 4);
    for (int i = 0; i < LONG; i++) {
        stage_sent(stage, longs[i], 524288);
        close(clients[i]);
    }
    close(clients[LONG]);
}

static void downloads_alone_have_longer_turns_until_somebody_is_sent_a_little(void **state)
{
    struct stage *stage = *state;
    enum { LONG = GY_TURN_LONG_ALONE_BYTES / GY_SEND_LONG_BYTES + 1 };
    struct gy_stream *longs[LONG];
    int clients[LONG + 1];
    for (int i = 0; i < LONG; i++) {
        longs[i] = stage_connect(stage, 0, &clients[i]);
    }
    struct gy_stream *brief = stage_connect(stage, 0, &clients[LONG]);
    for (int i = 0; i < LONG; i++) {
        put_pieces(stage, longs[i], GY_SEND_LONG_BYTES + 1, 65536);
    }
    stage_turn(stage);
    assert_true(longs[LONG - 2]->sending);
    assert_false(longs[LONG - 1]->sending);
    stage_turn(stage);
    assert_true(longs[LONG - 1]->sending);
    stage_sent(stage, longs[0], GY_SEND_LONG_BYTES);
    stage_turn(stage);
    assert_int_equal(stage_send_of(stage, longs[0])->bytes, 1);
    assert_int_equal(stage->worker.short_until_ms, 0); /* the end of a long output */
    stage_put(stage, brief, block, 1);
    gy_stream_wake(brief);
    stage_turn(stage);
    assert_int_equal(stage->worker.short_until_ms, stage->worker.now_ms + GY_TURN_LONG_ALONE_MS);
    stage_sent(stage, longs[0], 1);
    stage_turn(stage);
    assert_false(longs[0]->sends_long);
    stage_sent(stage, brief, 1);
    close(clients[0]);
    close(clients[LONG]);
    for (int i = 1; i < LONG; i++) {
        stage_sent(stage, longs[i], GY_SEND_LONG_BYTES);
        stage_turn(stage);
        stage_sent(stage, longs[i], 1);
        close(clients[i]);
    }
}

static void slices_sent_are_held_until_their_completion(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->echo = true;
    stage_data(stage, stream, block, 4096, GY_COMPLETION_MORE);
    stage_turn(stage);
    assert_int_equal(gy_pool_free(stage->worker.pool), 63); /* echoed without a copy */
    assert_int_equal(stage_counter(stage, copied_bytes), 0);
    stage_sent(stage, stream, 4095);
    assert_int_equal(gy_pool_free(stage->worker.pool), 63);
    stage_turn(stage);
    stage_sent(stage, stream, 1);
    assert_int_equal(gy_pool_free(stage->worker.pool), 64);
    close(client);
}

static void room_is_announced_when_out_has_drained_to_half_of_its_mark(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_READ | GY_WANT_ROOM;
    put_and_flush(stage, stream, 0, 12000);
    assert_int_equal(act_of(stream)->turns, 1);
    stage_sent(stage, stream, 6999);
    assert_int_equal(act_of(stream)->turns, 1); /* 5001 are left */
    stage_turn(stage);
    act_of(stream)->wants = GY_WANT_READ;
    stage_sent(stage, stream, 1);
    assert_int_equal(act_of(stream)->turns, 2);
    stage_turn(stage);
    stage_sent(stage, stream, 5000);
    assert_int_equal(act_of(stream)->turns, 2); /* not asked for any more */
    close(client);
}

static void room_with_nothing_to_send_is_not_forgotten(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants_once = GY_WANT_READ | GY_WANT_ROOM;
    gy_stream_wake(stream);
    stage_turns(stage, 3);
    assert_int_equal(act_of(stream)->turns, 2);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    close(client);
}

static void a_send_that_fails_for_a_passing_reason_is_repeated(void **state)
{
    static const int passing[] = {EINTR, EAGAIN, ECANCELED};
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_and_flush(stage, stream, 0, 100);
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        stage_sent(stage, stream, -passing[i]);
        stage_turn(stage);
        assert_int_equal(stage_send_of(stage, stream)->bytes, 100);
    }
    close(client);
}

/* ---- no room ---- */

static void a_send_that_finds_the_ring_full_is_repeated_next_turn(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    fake_limit_room(ring_of(stage), 0);
    stage_put(stage, stream, block, 100);
    gy_stream_wake(stream);
    stage_turn(stage);
    stage_turn(stage);
    assert_null(stage_send_of(stage, stream));
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0); /* its turn comes at once */
    fake_limit_room(ring_of(stage), UINT32_MAX);
    stage_turn(stage);
    assert_int_equal(stage_send_of(stage, stream)->bytes, 100);
    close(client);
}

static void a_gathered_send_that_finds_the_ring_full_is_repeated_whole(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    fake_limit_room(ring_of(stage), 0);
    stage_put(stage, stream, block, 100);
    stage_put(stage, stream, block + 100, 100);
    gy_stream_wake(stream);
    stage_turns(stage, 5);
    fake_limit_room(ring_of(stage), UINT32_MAX);
    stage_turns(stage, 2);
    assert_int_equal(stage_send_of(stage, stream)->bytes, 200);
    assert_true(pattern_matches(stage_send_of(stage, stream)->content, 200, 1, 0));
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 1);
    close(client);
}

static void sends_beyond_the_vectors_of_a_turn_leave_in_the_next(void **state)
{
    struct stage *stage = *state;
    static struct gy_stream *streams[100];
    static int clients[100];
    for (int i = 0; i < 100; i++) {
        streams[i] = stage_connect(stage, 0, &clients[i]);
    }
    for (int i = 0; i < 100; i++) {
        for (uint32_t k = 0; k < 64; k++) {
            stage_put(stage, streams[i], block + k, 1);
        }
        gy_stream_wake(streams[i]);
    }
    stage_turn(stage);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), GY_TURN_VECTORS / 64);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 100);
    for (int i = 0; i < 100; i++) {
        assert_true(pattern_matches(stage_send_of(stage, streams[i])->content, 64, 1, 0));
        close(clients[i]);
    }
}

static void vectors_of_sends_that_are_not_submitted_yet_are_not_reused(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *first = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *second = stage_connect(stage, 0, &clients[1]);
    fake_hold_back(ring_of(stage), true);
    stage_put(stage, first, block, 10);
    stage_put(stage, first, block + 10, 10);
    gy_stream_wake(first);
    stage_turn(stage);
    uint32_t used = stage->worker.vectors_used;
    assert_int_equal(used, 2);
    stage_put(stage, second, block, 10);
    stage_put(stage, second, block + 10, 10);
    gy_stream_wake(second);
    stage_turn(stage);
    assert_int_equal(stage->worker.vectors_used, 4);
    fake_hold_back(ring_of(stage), false);
    stage_turn(stage);
    assert_int_equal(stage->worker.vectors_used, 0);
    close(clients[0]);
    close(clients[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_single_slice_is_sent_without_a_vector),
        TEST(what_one_turn_queued_leaves_in_one_gathered_send),
        TEST(one_send_is_in_flight_at_a_time),
        TEST(after_a_short_send_the_rest_is_sent_in_order),
        TEST(a_send_gathers_at_most_64_vectors),
        TEST(a_send_gathers_at_most_512_kib),
        TEST(one_slice_above_512_kib_is_cut_too),
        TEST(what_little_is_left_over_leaves_with_the_send_before_it),
        TEST(long_sends_past_a_turns_bound_wait_in_their_order_and_short_ones_do_not),
        TEST(downloads_alone_have_longer_turns_until_somebody_is_sent_a_little),
        TEST(slices_sent_are_held_until_their_completion),
        TEST(room_is_announced_when_out_has_drained_to_half_of_its_mark),
        TEST(room_with_nothing_to_send_is_not_forgotten),
        TEST(a_send_that_fails_for_a_passing_reason_is_repeated),
        TEST(a_send_that_finds_the_ring_full_is_repeated_next_turn),
        TEST(a_gathered_send_that_finds_the_ring_full_is_repeated_whole),
        cmocka_unit_test_setup_teardown(sends_beyond_the_vectors_of_a_turn_leave_in_the_next,
                                        set_up_many, tear_down),
        TEST(vectors_of_sends_that_are_not_submitted_yet_are_not_reused),
    };
    return cmocka_run_group_tests_name("stream_send", tests, NULL, NULL);
}
