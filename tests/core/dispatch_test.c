/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Completions into the dispatcher: tokens, generations, ends of operations (DESIGN rules 4 to 6).
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static int set_up(void **state)
{
    deadline("dispatch", 20);
    *state = stage_open(NULL);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

static void dispatch(struct stage *stage, struct gy_completion completion)
{
    gy_worker_dispatch(&stage->worker, &completion);
}

static void a_token_carries_operation_slot_and_generation(void **state)
{
    (void)state;
    uint64_t token = gy_token(GY_OPERATION_SEND, GY_SLOT_MAX, 0xdeadbeef);
    assert_int_equal(gy_token_operation(token), GY_OPERATION_SEND);
    assert_int_equal(gy_token_slot(token), GY_SLOT_MAX);
    assert_int_equal(gy_token_generation(token), 0xdeadbeef);
}

static void received_bytes_reach_the_session(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_data(stage, stream, "hello", 5, GY_COMPLETION_MORE);
    assert_int_equal(act_of(stream)->turns, 1);
    assert_memory_equal(stage->received, "hello", 5);
    assert_int_equal(stage_counter(stage, received_bytes), 5);
    close(client);
}

static void several_completions_of_one_turn_run_the_session_once(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    for (int i = 0; i < 5; i++) {
        fake_receive(ring_of(stage), stage_receive_of(stage, stream), "ab", 2, GY_COMPLETION_MORE);
    }
    stage_turn(stage);
    assert_int_equal(act_of(stream)->turns, 1);
    assert_memory_equal(stage->received, "ababababab", 10);
    close(client);
}

/* Closes the stream, completing what is in flight as the kernel would, and returns the token that
 * its receive had. */
static uint64_t end_stream(struct stage *stage, struct gy_stream *stream)
{
    uint64_t token = stage_receive_of(stage, stream)->token;
    gy_stream_abort(stream, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 1, 0);
    stage_turn(stage);
    return token;
}

static void a_stale_receive_is_dropped_counted_and_its_buffer_given_back(void **state)
{
    struct stage *stage = *state;
    int client;
    uint64_t token = end_stream(stage, stage_connect(stage, 0, &client));
    uint32_t free_before = gy_pool_free(stage->worker.pool);
    dispatch(stage, fake_fill(ring_of(stage), token, GY_RECEIVE_MULTISHOT, "late", 4, 0));
    assert_int_equal(stage_counter(stage, completions_stale), 1);
    assert_int_equal(gy_pool_free(stage->worker.pool), free_before);
    assert_int_equal(stage->received_bytes, 0);
    stage_turn(stage);
    assert_int_equal(fake_buffers(ring_of(stage)), gy_pool_options(stage->worker.pool)->posted);
    close(client);
}

static void a_stale_completion_does_not_touch_the_slots_next_stream(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *stream = stage_connect(stage, 0, &clients[0]);
    uint32_t slot = stream->slot;
    uint32_t generation = stream->generation;
    uint64_t token = end_stream(stage, stream);
    struct gy_stream *next = stage_connect(stage, 0, &clients[1]);
    assert_int_equal(next->slot, slot);
    assert_int_equal(next->generation, generation + 2);
    dispatch(stage, fake_fill(ring_of(stage), token, GY_RECEIVE_MULTISHOT, "late", 4, 0));
    dispatch(stage, (struct gy_completion){gy_token(GY_OPERATION_SEND, slot, generation), 7, 0});
    dispatch(stage,
             (struct gy_completion){gy_token(GY_OPERATION_CANCEL, slot, generation), -ENOENT, 0});
    assert_int_equal(stage_counter(stage, completions_stale), 3);
    assert_int_equal(next->in.length, 0);
    assert_true(next->receiving);
    close(clients[0]);
    close(clients[1]);
}

static void completions_of_operations_that_are_not_in_flight_are_stale(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    dispatch(stage, (struct gy_completion){
                        gy_token(GY_OPERATION_SEND, stream->slot, stream->generation), 100, 0});
    dispatch(stage, (struct gy_completion){
                        gy_token(GY_OPERATION_CANCEL, stream->slot, stream->generation), 0, 0});
    /* A slot that was never used, and an even generation, which no stream has. */
    dispatch(stage, (struct gy_completion){gy_token(GY_OPERATION_SEND, 60, 1), 100, 0});
    dispatch(stage, (struct gy_completion){gy_token(GY_OPERATION_SEND, stream->slot, 0), 100, 0});
    assert_int_equal(stage_counter(stage, completions_stale), 4);
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    close(client);
}

static void a_stale_accept_closes_its_descriptor(void **state)
{
    struct stage *stage = *state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    dispatch(stage, (struct gy_completion){gy_token(GY_OPERATION_ACCEPT, 40, 1), ends[0], 0});
    assert_int_equal(stage_counter(stage, completions_stale), 1);
    assert_int_equal(stage->worker.streams_open, 0);
    stage_turn(stage);
    assert_int_equal(fcntl(ends[0], F_GETFD), -1);
    assert_true(client_sees_end(ends[1]));
    close(ends[1]);
}

static void an_operation_of_no_kind_of_ours_is_dropped_and_counted(void **state)
{
    struct stage *stage = *state;
    dispatch(stage, (struct gy_completion){(uint64_t)GY_OPERATION_COUNT << 56, 1, 0});
    dispatch(stage, (struct gy_completion){UINT64_MAX, 1, 0});
    assert_int_equal(stage_counter(stage, completions_stale), 2);
}

static void data_without_more_is_kept_and_the_receive_is_armed_again(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    uint32_t armed = fake_total(ring_of(stage), FAKE_RECEIVE);
    stage_data(stage, stream, "last", 4, 0);
    assert_memory_equal(stage->received, "last", 4);
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE), armed + 1);
    assert_non_null(stage_receive_of(stage, stream));
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_RECEIVE), 1);
    close(client);
}

static void with_more_the_receive_is_not_armed_twice(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    for (int i = 0; i < 10; i++) {
        stage_data(stage, stream, "x", 1, GY_COMPLETION_MORE);
    }
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE), 1);
    close(client);
}

static void after_an_emptied_socket_the_receive_polls_first(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    assert_true(stage_receive_of(stage, stream)->poll_first);
    stage_data(stage, stream, "x", 1, GY_COMPLETION_NONEMPTY);
    assert_false(stage_receive_of(stage, stream)->poll_first);
    stage_turn(stage);
    stage_data(stage, stream, "x", 1, 0);
    assert_true(stage_receive_of(stage, stream)->poll_first);
    close(client);
}

static void a_passing_receive_error_arms_again(void **state)
{
    static const int passing[] = {ECANCELED, EINTR, EAGAIN};
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        fake_complete(ring_of(stage), stage_receive_of(stage, stream), -passing[i], 0);
        stage_turns(stage, 2);
        assert_int_equal(stream->state, GY_STREAM_OPEN);
        assert_non_null(stage_receive_of(stage, stream));
    }
    close(client);
}

static void the_reason_of_an_end_fits_the_error(void **state)
{
    static const struct {
        int error;
        enum gy_close_reason reason;
    } cases[] = {
        {ECONNRESET, GY_CLOSE_RESET}, {EPIPE, GY_CLOSE_RESET},  {ETIMEDOUT, GY_CLOSE_TIMEOUT},
        {ENOMEM, GY_CLOSE_ERROR},     {EFAULT, GY_CLOSE_ERROR},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int sending = 0; sending < 2; sending++) {
            int client;
            struct gy_stream *stream = stage_connect(stage, 0, &client);
            if (sending) {
                stage_put(stage, stream, "x", 1);
                gy_stream_wake(stream);
                stage_turns(stage, 2);
                fake_complete(ring_of(stage), stage_send_of(stage, stream), -cases[i].error, 0);
                stage_turns(stage, 2);
                fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
                fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 1, 0);
            } else {
                fake_complete(ring_of(stage), stage_receive_of(stage, stream), -cases[i].error, 0);
            }
            stage_turns(stage, 2);
            assert_int_equal(stage->closed_count, i * 2 + (size_t)sending + 1);
            assert_int_equal(stage->closed_reason, cases[i].reason);
            close(client);
        }
    }
}

static void the_ends_of_streams_are_counted_by_reason(void **state)
{
    struct stage *stage = *state;
    static const enum gy_close_reason reasons[] = {GY_CLOSE_LOCAL,   GY_CLOSE_PROTOCOL,
                                                   GY_CLOSE_LIMIT,   GY_CLOSE_ERROR,
                                                   GY_CLOSE_TIMEOUT, GY_CLOSE_RESET};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        int client;
        struct gy_stream *stream = stage_connect(stage, 0, &client);
        act_of(stream)->abort_reason = 1 + reasons[i];
        stage_data(stage, stream, "x", 1, 0);
        stage_turns(stage, 2);
        if (fake_in_flight(ring_of(stage), FAKE_RECEIVE) > 0) {
            fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_RECEIVE), -ECANCELED, 0);
            stage_turns(stage, 2);
        }
        assert_int_equal(stage->closed_reason, reasons[i]);
        close(client);
    }
    assert_int_equal(stage_counter(stage, closed_local), 1);
    assert_int_equal(stage_counter(stage, closed_protocol), 1);
    assert_int_equal(stage_counter(stage, closed_limit), 1);
    assert_int_equal(stage_counter(stage, closed_error), 1);
    assert_int_equal(stage_counter(stage, closed_timeout), 1);
    assert_int_equal(stage_counter(stage, closed_reset), 1);
    assert_int_equal(stage_counter(stage, connections_accepted), 6);
    assert_int_equal(stage_counter(stage, connections_open), 0);
}

static void a_completion_that_names_a_wrong_buffer_ends_the_stream(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    uint64_t token = stage_receive_of(stage, stream)->token;
    dispatch(stage, (struct gy_completion){token, 10,
                                           GY_COMPLETION_BUFFER | GY_COMPLETION_MORE | 12u << 16});
    assert_int_equal(gy_pool_counters(stage->worker.pool)->misordered, 1);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stream->reason, GY_CLOSE_ERROR);
    close(client);
}

static void counters_of_the_ring_reach_the_workers_counters(void **state)
{
    struct stage *stage = *state;
    struct gy_ring_counters *counters = fake_counters(ring_of(stage));
    counters->overflows = 3;
    stage_turn(stage);
    assert_int_equal(stage_counter(stage, cq_overflows), 3);
    assert_int_equal(stage_counter(stage, enters), counters->enters);
    assert_int_equal(stage_counter(stage, submissions), counters->submissions);
    assert_int_equal(stage_counter(stage, completions), counters->completions);
    assert_true(stage_counter(stage, turns) > 0);
}

static void more_completions_than_a_batch_are_all_dispatched(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    uint64_t token = gy_token(GY_OPERATION_SEND, stream->slot, stream->generation + 2);
    for (int i = 0; i < 1000; i++) {
        fake_post(ring_of(stage), (struct gy_completion){token, 1, 0});
    }
    stage_turn(stage);
    assert_int_equal(stage_counter(stage, completions_stale), 1000);
    close(client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_carries_operation_slot_and_generation),
        TEST(received_bytes_reach_the_session),
        TEST(several_completions_of_one_turn_run_the_session_once),
        TEST(a_stale_receive_is_dropped_counted_and_its_buffer_given_back),
        TEST(a_stale_completion_does_not_touch_the_slots_next_stream),
        TEST(completions_of_operations_that_are_not_in_flight_are_stale),
        TEST(a_stale_accept_closes_its_descriptor),
        TEST(an_operation_of_no_kind_of_ours_is_dropped_and_counted),
        TEST(data_without_more_is_kept_and_the_receive_is_armed_again),
        TEST(with_more_the_receive_is_not_armed_twice),
        TEST(after_an_emptied_socket_the_receive_polls_first),
        TEST(a_passing_receive_error_arms_again),
        TEST(the_reason_of_an_end_fits_the_error),
        TEST(the_ends_of_streams_are_counted_by_reason),
        TEST(a_completion_that_names_a_wrong_buffer_ends_the_stream),
        TEST(counters_of_the_ring_reach_the_workers_counters),
        TEST(more_completions_than_a_batch_are_all_dispatched),
    };
    return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
