/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Listeners, and what a worker does around its streams: accepting, limits, fairness (DESIGN rules 8
 * and 20). */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static int set_up_with(void **state, const struct stage_options *options)
{
    deadline("listener", 20);
    *state = stage_open(options);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int set_up_two(void **state)
{
    struct stage_options options = {.connections_max = 2};
    return set_up_with(state, &options);
}

static int set_up_few_slots(void **state)
{
    struct stage_options options = {.streams_max = 2};
    return set_up_with(state, &options);
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

static bool ended_soon(int client)
{
    struct pollfd polled = {.fd = client, .events = POLLIN};
    char byte;
    return poll(&polled, 1, 20000) == 1 && recv(client, &byte, 1, MSG_DONTWAIT) <= 0;
}

/* ---- accepting ---- */

static void an_accept_without_more_is_armed_again(void **state)
{
    struct stage *stage = *state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fake_complete(ring_of(stage), stage_accept_of(stage, 0), ends[0], 0);
    stage_turn(stage);
    assert_int_equal(stage->worker.streams_open, 1);
    assert_non_null(stage_accept_of(stage, 0));
    assert_int_equal(fake_total(ring_of(stage), FAKE_ACCEPT), STAGE_SERVERS + 1);
    close(ends[1]);
}

static void other_accept_errors_arm_again_at_once(void **state)
{
    static const int errors[] = {ECONNABORTED, EPERM, EINTR, EAGAIN, EPROTO};
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fake_complete(ring_of(stage), stage_accept_of(stage, 0), -errors[i], 0);
        stage_turns(stage, 2);
        assert_non_null(stage_accept_of(stage, 0));
    }
    assert_int_equal(stage_counter(stage, accept_pauses), 0);
}

static void out_of_descriptors_accepting_pauses_and_the_waiting_client_is_told(void **state)
{
    static const int errors[] = {EMFILE, ENFILE};
    struct stage *stage = *state;
    for (size_t i = 0; i < 2; i++) {
        int client = stage_client(stage, 0);
        fake_complete(ring_of(stage), stage_accept_of(stage, 0), -errors[i], 0);
        stage_turns(stage, 2);
        assert_true(ended_soon(client));
        assert_null(stage_accept_of(stage, 0));
        assert_int_equal(stage_counter(stage, accept_pauses), i + 1);
        assert_int_equal(stage_counter(stage, connections_refused), i + 1);
        assert_true(stage->worker.reserve_descriptor >= 0); /* taken back for the next time */
        assert_non_null(stage_accept_of(stage, 1));         /* the other listener goes on */
        uint64_t wait = fake_last_wait_ns(ring_of(stage));
        assert_true(wait > 0 && wait <= 100000000);
        fake_clock_advance(99);
        stage_turn(stage);
        assert_null(stage_accept_of(stage, 0));
        fake_clock_advance(1);
        stage_turn(stage);
        assert_non_null(stage_accept_of(stage, 0));
        stage_turn(stage);
        close(client);
    }
    /* Left so: processes that share the open file must not make each other wait. */
    assert_int_equal(fcntl(stage->listening[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void out_of_descriptors_with_nobody_waiting_only_pauses(void **state)
{
    struct stage *stage = *state;
    fake_complete(ring_of(stage), stage_accept_of(stage, 0), -EMFILE, 0);
    stage_turn(stage); /* does not block in accept */
    assert_null(stage_accept_of(stage, 0));
    assert_int_equal(stage_counter(stage, accept_pauses), 1);
    assert_int_equal(stage_counter(stage, connections_refused), 0);
    fake_clock_advance(100);
    stage_turn(stage);
    assert_non_null(stage_accept_of(stage, 0));
}

static void an_accept_that_finds_the_ring_full_is_repeated(void **state)
{
    struct stage *stage = *state;
    fake_complete(ring_of(stage), stage_accept_of(stage, 0), -ECONNABORTED, 0);
    fake_limit_room(ring_of(stage), 0);
    stage_turns(stage, 2);
    assert_null(stage_accept_of(stage, 0));
    assert_true(fake_last_wait_ns(ring_of(stage)) <= 1000000);
    fake_limit_room(ring_of(stage), UINT32_MAX);
    fake_clock_advance(1);
    stage_turn(stage);
    assert_non_null(stage_accept_of(stage, 0));
}

static void a_connection_above_the_servers_limit_is_refused_and_counted(void **state)
{
    struct stage *stage = *state;
    int clients[4];
    assert_non_null(stage_connect(stage, 0, &clients[0]));
    struct gy_stream *second = stage_connect(stage, 0, &clients[1]);
    assert_non_null(second);
    assert_null(stage_connect(stage, 0, &clients[2]));
    assert_true(client_sees_end(clients[2]));
    assert_int_equal(stage_counter(stage, connections_refused), 1);
    assert_int_equal(stage_counter(stage, connections_open), 2);
    /* The other server has its own. And one that ends makes room. */
    int other;
    assert_non_null(stage_connect(stage, 1, &other));
    act_of(second)->wants = GY_WANT_CLOSE;
    stage_data(stage, second, "x", 1, 0);
    stage_turns(stage, 2);
    assert_non_null(stage_connect(stage, 0, &clients[3]));
    close(other);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
}

static void a_connection_above_the_workers_slots_is_refused_and_counted(void **state)
{
    struct stage *stage = *state;
    int clients[3];
    assert_non_null(stage_connect(stage, 0, &clients[0]));
    assert_non_null(stage_connect(stage, 1, &clients[1]));
    assert_null(stage_connect(stage, 1, &clients[2]));
    assert_true(client_sees_end(clients[2]));
    assert_int_equal(stage_counter(stage, connections_refused), 1);
    assert_int_equal(stage->worker.listeners[1].endpoint.sessions.used, 1);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
}

/* ---- who is let in ---- */

static uint32_t asked, ticket_given, ticket_left, left_count;

static bool admit(struct gy_endpoint *endpoint, int descriptor, uint32_t *ticket)
{
    assert_non_null(endpoint->worker);
    assert_true(descriptor >= 0);
    asked++;
    *ticket = ticket_given;
    return ticket_given != UINT32_MAX;
}

static void left(struct gy_endpoint *endpoint, uint32_t ticket)
{
    assert_non_null(endpoint->worker);
    left_count++;
    ticket_left = ticket;
}

static int set_up_door(void **state)
{
    set_up_few_slots(state);
    struct stage *stage = *state;
    stage->servers[0].admit = admit;
    stage->servers[0].left = left;
    stage->worker.listeners[0].endpoint.left = left;
    asked = ticket_given = ticket_left = left_count = 0;
    return 0;
}

static void a_connection_that_is_not_let_in_is_closed_before_anything_is_kept_for_it(void **state)
{
    struct stage *stage = *state;
    int client;
    ticket_given = UINT32_MAX;
    assert_null(stage_connect(stage, 0, &client));
    assert_true(client_sees_end(client));
    assert_int_equal(asked, 1);
    assert_int_equal(left_count, 0);
    assert_int_equal(stage->worker.streams.used, 0);
    assert_int_equal(stage_counter(stage, connections_accepted), 0);
    assert_int_equal(stage_counter(stage, connections_refused), 1);
    close(client);
    assert_non_null(stage_connect(stage, 1, &client)); /* it is the other server's door */
    assert_int_equal(asked, 1);
    close(client);
}

static void a_ticket_comes_back_when_the_connection_is_gone(void **state)
{
    struct stage *stage = *state;
    int client;
    ticket_given = 7;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    assert_int_equal(stream->ticket, 7);
    act_of(stream)->wants = GY_WANT_CLOSE;
    assert_int_equal(left_count, 0);
    stage_data(stage, stream, "x", 1, 0);
    stage_turns(stage, 2);
    assert_int_equal(left_count, 1);
    assert_int_equal(ticket_left, 7);
    close(client);
}

static void without_a_ticket_nobody_is_told_of_the_end(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_CLOSE;
    stage_data(stage, stream, "x", 1, 0);
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(left_count, 0);
    close(client);
}

static void a_ticket_comes_back_where_there_is_no_slot(void **state)
{
    struct stage *stage = *state;
    int clients[3];
    ticket_given = 9;
    stage_connect(stage, 1, &clients[0]);
    stage_connect(stage, 1, &clients[1]);
    assert_null(stage_connect(stage, 0, &clients[2])); /* there are two slots in all */
    assert_int_equal(asked, 1);
    assert_int_equal(stage_counter(stage, connections_refused), 1);
    assert_int_equal(left_count, 1);
    assert_int_equal(ticket_left, 9);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
}

/* ---- turns ---- */

static void a_session_that_wakes_itself_does_not_starve_others(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *busy = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *other = stage_connect(stage, 0, &clients[1]);
    act_of(busy)->wake_itself = true;
    gy_stream_wake(busy);
    stage_turn(stage);
    assert_int_equal(act_of(busy)->turns, 1); /* once a turn */
    for (uint32_t i = 0; i < 10; i++) {
        stage_data(stage, other, "x", 1, GY_COMPLETION_MORE);
        assert_int_equal(act_of(other)->turns, i + 1);
        assert_int_equal(act_of(busy)->turns, i + 2);
        assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0); /* and none sleeps meanwhile */
    }
    act_of(busy)->wake_itself = false;
    stage_turns(stage, 2);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    close(clients[0]);
    close(clients[1]);
}

static void sessions_run_in_the_order_in_which_their_bytes_came(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[8];
    int clients[8];
    for (int i = 0; i < 8; i++) {
        streams[i] = stage_connect(stage, 0, &clients[i]);
    }
    stage->turn_count = 0;
    for (int i = 0; i < 8; i++) {
        struct gy_stream *stream = streams[(i * 5) % 8];
        fake_receive(ring_of(stage), stage_receive_of(stage, stream), "x", 1, GY_COMPLETION_MORE);
    }
    stage_turn(stage);
    for (int i = 0; i < 8; i++) {
        const struct gy_stream *next = i < 7 ? streams[((i + 1) * 5) % 8] : NULL;
        assert_int_equal(stage->turn_order[i], streams[(i * 5) % 8]->slot);
        assert_ptr_equal(act_of(streams[(i * 5) % 8])->saw_next, next);
        close(clients[(i * 5) % 8]);
    }
}

static void while_the_wake_read_is_not_armed_the_worker_does_not_sleep(void **state)
{
    struct stage *stage = *state;
    struct fake_operation *read = fake_first(ring_of(stage), FAKE_READ_EVENT);
    fake_complete(ring_of(stage), read, 8, 0);
    stage_turn(stage);
    fake_limit_room(ring_of(stage), 0);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
    fake_limit_room(ring_of(stage), UINT32_MAX);
    stage_turns(stage, 2);
    assert_non_null(fake_first(ring_of(stage), FAKE_READ_EVENT));
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
}

static void listeners_above_the_workers_bound_are_refused(void **state)
{
    struct stage *stage = *state;
    struct gy_error error = {0};
    for (uint32_t i = STAGE_SERVERS; i < GY_LISTENERS_MAX; i++) {
        int listening = dup(stage->listening[0]);
        stage->servers[0].descriptors = &listening;
        assert_int_equal(gy_worker_serve(&stage->worker, &stage->servers[0], &error), 0);
        stage->servers[0].descriptors = &stage->listening[0];
    }
    assert_int_equal(gy_worker_serve(&stage->worker, &stage->servers[0], &error), GY_ELIMIT);
    assert_int_equal(error.code, GY_ELIMIT);
    assert_non_null(strstr(error.message, "stage"));
    stage_turn(stage);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_ACCEPT), GY_LISTENERS_MAX);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
#define DOOR(name) cmocka_unit_test_setup_teardown(name, set_up_door, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_accept_without_more_is_armed_again),
        TEST(other_accept_errors_arm_again_at_once),
        TEST(out_of_descriptors_accepting_pauses_and_the_waiting_client_is_told),
        TEST(out_of_descriptors_with_nobody_waiting_only_pauses),
        TEST(an_accept_that_finds_the_ring_full_is_repeated),
        cmocka_unit_test_setup_teardown(a_connection_above_the_servers_limit_is_refused_and_counted,
                                        set_up_two, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_above_the_workers_slots_is_refused_and_counted,
                                        set_up_few_slots, tear_down),
        DOOR(a_connection_that_is_not_let_in_is_closed_before_anything_is_kept_for_it),
        DOOR(a_ticket_comes_back_when_the_connection_is_gone),
        DOOR(without_a_ticket_nobody_is_told_of_the_end),
        DOOR(a_ticket_comes_back_where_there_is_no_slot),
        TEST(a_session_that_wakes_itself_does_not_starve_others),
        TEST(sessions_run_in_the_order_in_which_their_bytes_came),
        TEST(while_the_wake_read_is_not_armed_the_worker_does_not_sleep),
        TEST(listeners_above_the_workers_bound_are_refused),
    };
    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
