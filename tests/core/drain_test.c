/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A worker that drains, or is closed at once: its listeners, its streams, what waits in the
 * backlog. */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static int set_up(void **state)
{
    deadline("drain", 20);
    *state = stage_open(NULL);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

static void give(struct stage *stage, uint64_t numbers_0, uint64_t numbers_1)
{
    struct gy_message message = {.kind = GY_MESSAGE_DRAIN, .numbers = {numbers_0, numbers_1}};
    assert_int_equal(gy_worker_post(NULL, &stage->worker, &message), 0);
}

/* ---- drain ---- */

static void a_drain_stops_listeners_tells_sessions_and_ends_when_they_have(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    int listening = stage->listening[0];
    give(stage, 5000, 0);
    stage_turn(stage);
    assert_int_equal(stage->worker.phase, GY_WORKER_DRAINING);
    assert_int_equal(act_of(stream)->drained, 1);
    /* The armed accept is cancelled by token: another process may accept on the same socket. */
    struct fake_operation *cancel = fake_first(ring_of(stage), FAKE_CANCEL_TOKEN);
    assert_non_null(cancel);
    assert_int_equal(cancel->target, stage_accept_of(stage, 0)->token);
    stage_turn(stage);
    for (uint32_t i = 0; i < STAGE_SERVERS; i++) {
        fake_complete(ring_of(stage), stage_accept_of(stage, i), -ECANCELED, 0);
    }
    stage_turns(stage, 2);
    assert_int_equal(fcntl(listening, F_GETFD), -1);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 5000000000);
    assert_int_equal(stage->worker.phase, GY_WORKER_DRAINING); /* a stream is left */
    act_of(stream)->wants = GY_WANT_CLOSE;
    stage_data(stage, stream, "x", 1, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_reason, GY_CLOSE_DRAIN);
    assert_int_equal(stage->worker.phase, GY_WORKER_STOPPED);
    close(client);
}

static void a_drain_cuts_what_is_left_at_its_deadline(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    give(stage, 200, 0);
    stage_turn(stage);
    fake_clock_advance(199);
    stage_turn(stage);
    assert_int_equal(stage->worker.phase, GY_WORKER_DRAINING);
    fake_clock_advance(1);
    stage_turn(stage);
    assert_int_equal(stage->worker.phase, GY_WORKER_STOPPED);
    (void)stream;
    close(client);
}

static void a_second_drain_changes_nothing(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    give(stage, 200, 0);
    stage_turn(stage);
    give(stage, 900000, 0);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->drained, 1);
    assert_int_equal(stage->worker.drain_deadline_ms, stage->worker.now_ms + 200);
    close(client);
}

static void a_connection_accepted_while_draining_is_served_and_told(void **state)
{
    struct stage *stage = *state;
    give(stage, 1000, 0);
    stage_turn(stage);
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    assert_non_null(stream);
    assert_int_equal(act_of(stream)->drained, 1);
    close(client);
}

static void a_drain_takes_what_waits_in_the_backlog_if_told_to(void **state)
{
    struct stage *stage = *state;
    int first = stage_client(stage, 0);
    int second = stage_client(stage, 0);
    int other = stage_client(stage, 1);
    give(stage, 1000, 1);
    stage_turn(stage);
    assert_int_equal(stage->worker.streams_open, 3);
    assert_int_equal(act_of(stage->opened)->drained, 1);
    close(first);
    close(second);
    close(other);
}

static void a_drain_leaves_the_backlog_to_another_process_if_told_to(void **state)
{
    struct stage *stage = *state;
    int client = stage_client(stage, 0);
    give(stage, 1000, 0);
    stage_turn(stage);
    assert_int_equal(stage->worker.streams_open, 0);
    close(client);
}

/* The kernel woke this process for it, and no other. */
static void a_connection_that_waits_as_the_accept_is_cancelled_is_taken(void **state)
{
    struct stage *stage = *state;
    give(stage, 1000, 0);
    stage_turn(stage);
    int client = stage_client(stage, 0);
    fake_complete(ring_of(stage), stage_accept_of(stage, 0), -ECANCELED, 0);
    stage_turn(stage);
    assert_int_equal(stage->worker.streams_open, 1);
    close(client);
}

static void a_drain_that_finds_the_ring_full_repeats_its_cancels(void **state)
{
    struct stage *stage = *state;
    give(stage, 1000, 0);
    fake_limit_room(ring_of(stage), 0);
    stage_turns(stage, 2);
    assert_null(fake_first(ring_of(stage), FAKE_CANCEL_TOKEN));
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
    fake_limit_room(ring_of(stage), UINT32_MAX);
    stage_turn(stage);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_CANCEL_TOKEN), STAGE_SERVERS);
}

static void a_drain_ends_a_pause(void **state)
{
    struct stage *stage = *state;
    int listening = stage->listening[0];
    fake_complete(ring_of(stage), stage_accept_of(stage, 0), -EMFILE, 0);
    stage_turn(stage);
    give(stage, 1000, 0);
    stage_turns(stage, 2);
    assert_int_equal(fcntl(listening, F_GETFD), -1);
    fake_clock_advance(200);
    stage_turns(stage, 2);
    assert_null(stage_accept_of(stage, 0));
}

static void out_of_descriptors_while_draining_does_not_pause(void **state)
{
    struct stage *stage = *state;
    int listening = stage->listening[0];
    give(stage, 1000, 0);
    stage_turn(stage);
    stage_turn(stage);
    fake_complete(ring_of(stage), stage_accept_of(stage, 0), -EMFILE, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage_counter(stage, accept_pauses), 0);
    assert_int_equal(fcntl(listening, F_GETFD), -1);
}

/* ---- closing a worker at once ---- */

static void closing_a_worker_closes_its_listening_descriptors(void **state)
{
    (void)state;
    deadline("drain", 20);
    uint32_t before = descriptors_open();
    struct stage *stage = stage_open(NULL);
    assert_int_equal(descriptors_open(), before + STAGE_SERVERS + 2); /* eventfd, reserve */
    fake_cancel_by_itself(ring_of(stage));
    gy_worker_close(&stage->worker);
    assert_int_equal(descriptors_open(), before);
    free(stage);
}

static void closing_a_worker_closes_its_streams_descriptors(void **state)
{
    (void)state;
    deadline("drain", 20);
    uint32_t before = descriptors_open();
    struct stage *stage = stage_open(NULL);
    int clients[3];
    for (int i = 0; i < 3; i++) {
        stage_connect(stage, 0, &clients[i]);
    }
    fake_cancel_by_itself(ring_of(stage));
    gy_worker_close(&stage->worker);
    assert_int_equal(stage->closed_count, 3);
    assert_int_equal(stage->closed_reason, GY_CLOSE_DRAIN);
    for (int i = 0; i < 3; i++) {
        assert_true(client_sees_end(clients[i]));
        close(clients[i]);
    }
    assert_int_equal(descriptors_open(), before);
    free(stage);
}

static void a_connection_that_is_accepted_as_the_worker_closes_is_closed_too(void **state)
{
    (void)state;
    deadline("drain", 20);
    uint32_t before = descriptors_open();
    struct stage *stage = stage_open(NULL);
    int clients[2];
    stage_connect(stage, 0, &clients[0]);
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    clients[1] = ends[1];
    fake_complete(ring_of(stage), stage_accept_of(stage, 0), ends[0], GY_COMPLETION_MORE);
    fake_cancel_by_itself(ring_of(stage));
    gy_worker_close(&stage->worker);
    assert_true(client_sees_end(clients[1]));
    close(clients[0]);
    close(clients[1]);
    assert_int_equal(descriptors_open(), before);
    free(stage);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_drain_stops_listeners_tells_sessions_and_ends_when_they_have),
        TEST(a_drain_cuts_what_is_left_at_its_deadline),
        TEST(a_second_drain_changes_nothing),
        TEST(a_connection_accepted_while_draining_is_served_and_told),
        TEST(a_drain_takes_what_waits_in_the_backlog_if_told_to),
        TEST(a_drain_leaves_the_backlog_to_another_process_if_told_to),
        TEST(a_connection_that_waits_as_the_accept_is_cancelled_is_taken),
        TEST(a_drain_that_finds_the_ring_full_repeats_its_cancels),
        TEST(a_drain_ends_a_pause),
        TEST(out_of_descriptors_while_draining_does_not_pause),
        cmocka_unit_test(closing_a_worker_closes_its_listening_descriptors),
        cmocka_unit_test(closing_a_worker_closes_its_streams_descriptors),
        cmocka_unit_test(a_connection_that_is_accepted_as_the_worker_closes_is_closed_too),
    };
    return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
