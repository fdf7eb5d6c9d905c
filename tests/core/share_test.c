/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How the servers of one worker share its turns (core/share.h). */

#include <errno.h>
#include <sys/socket.h>

#include "tests/core/share_rig.h"

static void sessions_past_the_slice_wait_and_those_of_other_servers_run(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *flood[3];
    int clients[4];
    for (int i = 0; i < 3; i++) {
        flood[i] = stage_connect(stage, 0, &clients[i]);
        act_of(flood[i])->burn_ms = 1;
    }
    struct gy_stream *other = stage_connect(stage, 1, &clients[3]);
    stage_turn(stage);
    for (int i = 0; i < 3; i++) {
        arrive(stage, flood[i], 10);
    }
    arrive(stage, other, 10);
    stage_turn(stage);
    assert_int_equal(act_of(flood[0])->turns, 1);
    assert_int_equal(act_of(other)->turns, 1); /* it came last, and its server had nothing yet */
    assert_int_equal(act_of(flood[1])->turns + act_of(flood[2])->turns, 0);
    assert_int_equal(stage_counter(stage, put_off), 2);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring),
                     0);                          /* what waits is no reason to sleep */
    assert_int_equal(act_of(flood[1])->turns, 1); /* they kept their places */
    assert_int_equal(act_of(flood[2])->turns, 0);
    arrive(stage, other, 10);
    stage_turn(stage);
    assert_int_equal(act_of(flood[2])->turns, 1);
    assert_int_equal(act_of(other)->turns, 2);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), GY_RING_FOREVER);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
}

static void one_that_is_put_off_may_end_meanwhile(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *flood[2];
    int clients[2];
    for (int i = 0; i < 2; i++) {
        flood[i] = stage_connect(stage, 0, &clients[i]);
        act_of(flood[i])->burn_ms = 1;
    }
    stage_turn(stage);
    arrive(stage, flood[0], 10);
    arrive(stage, flood[1], 10);
    stage_turn(stage);
    assert_int_equal(stage_counter(stage, put_off), 1);
    gy_stream_abort(flood[1], GY_CLOSE_LIMIT);
    fake_cancel_by_itself(stage->worker.ring);
    stage_turns(stage, 4);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(stage->turn_count, 1);
    close(clients[0]);
    close(clients[1]);
}

/* However many wait in its backlog. */
static void a_listener_of_several_accepts_so_many_at_a_time(void **state)
{
    struct stage *stage = *state;
    struct gy_ring *ring = stage->worker.ring;
    int clients[GY_LISTENER_ACCEPTS];
    /* The stage armed it as one that is alone. */
    fake_complete(ring, fake_of(ring, FAKE_ACCEPT, stage->listening[0]), -EINTR, 0);
    stage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring, FAKE_ACCEPT), STAGE_SERVERS * GY_LISTENER_ACCEPTS);
    uint32_t before = fake_total(ring, FAKE_ACCEPT);
    for (int i = 0; i < GY_LISTENER_ACCEPTS; i++) {
        struct fake_operation *accept = fake_of(ring, FAKE_ACCEPT, stage->listening[0]);
        assert_false(accept->multishot);
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        fake_complete(ring, accept, ends[0], 0);
        clients[i] = ends[1];
    }
    stage_turn(stage);
    assert_int_equal(stage->worker.streams_open, GY_LISTENER_ACCEPTS);
    assert_int_equal(fake_in_flight(ring, FAKE_ACCEPT), STAGE_SERVERS * GY_LISTENER_ACCEPTS);
    assert_int_equal(fake_total(ring, FAKE_ACCEPT), before + GY_LISTENER_ACCEPTS);
    for (int i = 0; i < GY_LISTENER_ACCEPTS; i++) {
        close(clients[i]);
    }
}

/* Both servers are at work. */
static void make_crowd(struct stage *stage, struct gy_stream *first, struct gy_stream *second)
{
    arrive(stage, first, 1);
    stage_turn(stage);
    arrive(stage, second, 1);
    stage_turn(stage);
    assert_true(stage->worker.now_ms < stage->worker.crowded_until_ms);
}

static uint32_t accepts_in_flight(struct stage *stage)
{
    return fake_in_flight(stage->worker.ring, FAKE_ACCEPT) - stage->worker.listeners[1].armed;
}

static void accept_one(struct stage *stage, int *client)
{
    struct gy_ring *ring = stage->worker.ring;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fake_complete(ring, fake_of(ring, FAKE_ACCEPT, stage->listening[0]), ends[0], 0);
    *client = ends[1];
}

static void while_others_are_at_work_a_listener_accepts_fewer_at_a_time(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *first, *second;
    int clients[GY_LISTENER_ACCEPTS + 8], count = 0;
    first = stage_connect(stage, 0, &clients[count++]);
    second = stage_connect(stage, 1, &clients[count++]);
    stage_turn(stage);
    make_crowd(stage, first, second);
    for (int i = 0; i < GY_LISTENER_ACCEPTS; i++) { /* those of quieter times come in */
        accept_one(stage, &clients[count++]);
        stage_turns(stage, 2); /* taken; what follows is armed */
    }
    assert_int_equal(accepts_in_flight(stage), GY_LISTENER_ACCEPTS_CROWDED);
    uint64_t bounded = stage_counter(stage, accepts_bounded);
    for (int i = 0; i < GY_LISTENER_ACCEPTS_CROWDED; i++) {
        assert_int_equal(stage_counter(stage, accepts_bounded), bounded);
        accept_one(stage, &clients[count++]);
    }
    assert_int_equal(accepts_in_flight(stage), 0); /* no third in this turn */
    stage_turns(stage, 2);
    assert_int_equal(stage_counter(stage, accepts_bounded), bounded + 1);
    assert_int_equal(accepts_in_flight(stage), GY_LISTENER_ACCEPTS_CROWDED);
    fake_clock_advance(2 * GY_SHARE_CROWD_MS);
    accept_one(stage, &clients[count++]);
    stage_turn(stage);
    assert_int_equal(accepts_in_flight(stage), GY_LISTENER_ACCEPTS);
    for (int i = 0; i < count; i++) {
        close(clients[i]);
    }
}

#define ENDING (3 * GY_SHARE_CLOSED_MAX + 1)

/* Connections of one server are reset at one instant. */
static void reset_together(struct stage *stage, struct gy_stream **streams)
{
    for (int i = 0; i < ENDING; i++) {
        fake_complete(stage->worker.ring, stage_receive_of(stage, streams[i]), -ECONNRESET, 0);
    }
    stage_turn(stage);
}

static void while_others_are_at_work_a_turn_closes_a_few_connections_of_each(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[ENDING], *other[2];
    int clients[ENDING], others[2];
    for (int i = 0; i < ENDING; i++) {
        streams[i] = stage_connect(stage, 0, &clients[i]);
    }
    for (int i = 0; i < 2; i++) {
        other[i] = stage_connect(stage, 1, &others[i]);
    }
    stage_turn(stage);
    make_crowd(stage, streams[0], other[0]);
    fake_complete(stage->worker.ring, stage_receive_of(stage, other[0]), -ECONNRESET, 0);
    reset_together(stage, streams);
    assert_int_equal(stage->closed_count, GY_SHARE_CLOSED_MAX + 1);
    assert_int_equal(stage_counter(stage, closings_put_off), ENDING - GY_SHARE_CLOSED_MAX);
    for (int turn = 2; turn <= 4; turn++) {
        int closed = turn * GY_SHARE_CLOSED_MAX < ENDING ? turn * GY_SHARE_CLOSED_MAX : ENDING;
        if (turn == 2) { /* one that comes later goes behind them, and its server's only */
            gy_stream_abort(other[1], GY_CLOSE_LIMIT);
            fake_cancel_by_itself(stage->worker.ring);
        }
        stage_turn(stage);
        assert_int_equal(fake_last_wait_ns(stage->worker.ring), 0);
        assert_uint_in_range(stage->closed_count, closed + 1, closed + 2);
    }
    stage_turns(stage, 2);
    assert_int_equal(stage->closed_count, ENDING + 2);
    assert_int_equal(stage->worker.streams_open, 0);
    assert_true(fake_last_wait_ns(stage->worker.ring) > 0);
    for (int i = 0; i < ENDING; i++) {
        assert_true(client_sees_end(clients[i]));
        close(clients[i]);
    }
    close(others[0]);
    close(others[1]);
}

static void a_server_that_is_alone_at_work_closes_all_at_once(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[ENDING];
    int clients[ENDING];
    for (int i = 0; i < ENDING; i++) {
        streams[i] = stage_connect(stage, 0, &clients[i]);
    }
    stage_turn(stage);
    reset_together(stage, streams);
    assert_int_equal(stage->closed_count, ENDING);
    assert_int_equal(stage_counter(stage, closings_put_off), 0);
    for (int i = 0; i < ENDING; i++) {
        close(clients[i]);
    }
}

static void deadlines_that_pass_together_are_dealt_with_in_several_turns(void **state)
{
    enum { COUNT = 5 * GY_SHARE_EXPIRED_MAX };
    struct stage *stage = *state;
    struct gy_stream *streams[COUNT];
    int clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        streams[i] = stage_connect(stage, 0, &clients[i]);
        gy_stream_set_deadline(streams[i], stage->worker.now_ms + 50);
    }
    stage_turn(stage);
    fake_clock_advance(50);
    uint32_t before = 0, turns = 0;
    while (before < COUNT) {
        uint32_t expired = 0;
        stage_turn(stage);
        for (int i = 0; i < COUNT; i++) {
            expired += act_of(streams[i])->expired;
        }
        assert_uint_in_range(expired - before, 1, 2 * GY_SHARE_EXPIRED_MAX - 1);
        assert_true(turns == 0 || fake_last_wait_ns(stage->worker.ring) == 0);
        before = expired;
        turns++;
    }
    assert_int_equal(before, COUNT);
    assert_uint_in_range(turns, 3, 5);
    assert_uint_in_range(stage_counter(stage, expiries_put_off), turns - 1, turns);
    for (int i = 0; i < COUNT; i++) {
        close(clients[i]);
    }
}

static void accepts_in_flight_all_end_before_a_listener_closes(void **state)
{
    struct stage *stage = *state;
    struct gy_ring *ring = stage->worker.ring;
    int client;
    stage_connect(stage, 0, &client);
    struct gy_message drain = {.kind = GY_MESSAGE_DRAIN, .numbers = {1000}};
    assert_int_equal(gy_worker_post(NULL, &stage->worker, &drain), 0);
    stage_turn(stage);
    for (int i = 0; i < GY_LISTENER_ACCEPTS; i++) {
        assert_false(stage->worker.listeners[0].closed);
        fake_complete(ring, fake_of(ring, FAKE_ACCEPT, stage->listening[0]), -ECANCELED, 0);
        stage_turn(stage);
    }
    assert_true(stage->worker.listeners[0].closed);
    close(client);
}

static void servers_take_turns_in_going_first(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[2];
    int clients[2];
    for (uint32_t i = 0; i < 2; i++) {
        streams[i] = stage_connect(stage, i, &clients[i]);
        act_of(streams[i])->wake_itself = true;
        gy_stream_wake(streams[i]);
    }
    stage->turn_count = 0;
    stage_turns(stage, 4);
    assert_int_equal(stage->turn_count, 8);
    for (int turn = 0; turn < 4; turn++) {
        assert_int_equal(stage->turn_order[2 * turn], streams[turn % 2]->slot);
        assert_int_equal(stage->turn_order[2 * turn + 1], streams[1 - turn % 2]->slot);
    }
    for (int i = 0; i < 2; i++) {
        act_of(streams[i])->wake_itself = false;
        close(clients[i]);
    }
    stage_turns(stage, 2);
}

/* Of its own server: what it wakes itself for comes after those that wait, and is not known yet. */
static void a_session_knows_who_runs_after_it(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[4];
    int clients[4];
    for (uint32_t i = 0; i < 4; i++) {
        streams[i] = stage_connect(stage, i == 1, &clients[i]);
    }
    stage_turn(stage);
    act_of(streams[0])->wake_itself = true;
    for (uint32_t i = 0; i < 4; i++) {
        gy_stream_wake(streams[i]);
    }
    stage_turn(stage);
    assert_ptr_equal(act_of(streams[0])->saw_next, streams[2]);
    assert_null(act_of(streams[1])->saw_next);
    assert_ptr_equal(act_of(streams[2])->saw_next, streams[3]);
    assert_ptr_equal(act_of(streams[3])->saw_next, streams[0]);
    act_of(streams[0])->wake_itself = false;
    stage_turns(stage, 2);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
}

#define HALF (GY_SHARE_SEND_BYTES / 2)

/* Half of what a turn sends, for each of the streams; and the turn. */
static void send_halves(struct stage *stage, struct gy_stream **streams, int count)
{
    static uint8_t half[HALF];
    static struct gy_buffer buffer;
    gy_buffer_wrap_constant(&buffer, half, sizeof half);
    for (int i = 0; i < count; i++) {
        assert_int_equal(gy_chain_append(&streams[i]->out, gy_slice_of(&buffer, 0, HALF)), 0);
        gy_stream_wake(streams[i]);
    }
    stage_turn(stage);
}

static void sends_past_the_bound_wait_and_those_of_other_servers_go_first(void **state)
{
    struct stage *stage = *state;
    enum { FLOOD = 4 };
    struct gy_stream *flood[FLOOD];
    int clients[FLOOD + 1];
    for (int i = 0; i < FLOOD; i++) {
        flood[i] = stage_connect(stage, 0, &clients[i]);
    }
    struct gy_stream *other = stage_connect(stage, 1, &clients[FLOOD]);
    stage_turn(stage);
    stage_put(stage, other, "small", 5);
    gy_stream_flush_later(other); /* behind those that turns left over, say */
    send_halves(stage, flood, FLOOD);
    assert_int_equal(fake_first(stage->worker.ring, FAKE_SEND)->descriptor, other->descriptor);
    assert_int_equal(flood[0]->sending_bytes, HALF);
    assert_int_equal(flood[1]->sending_bytes, HALF - 5);
    assert_false(flood[2]->sending || flood[3]->sending);
    assert_int_equal(stage_counter(stage, put_off), 2);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), 0);
    assert_true(flood[2]->sending && flood[3]->sending); /* they kept their places */
    for (int i = 0; i < FLOOD; i++) {
        stage_sent(stage, flood[i], (int32_t)flood[i]->sending_bytes);
    }
    stage_turn(stage);
    stage_sent(stage, flood[1], 5);
    stage_sent(stage, other, 5);
    for (int i = 0; i <= FLOOD; i++) {
        close(clients[i]);
    }
}

static void each_server_may_send_a_little_whatever_others_have_sent(void **state)
{
    struct stage *stage = *state;
    struct gy_stream *streams[3];
    int clients[3];
    for (uint32_t i = 0; i < 3; i++) {
        streams[i] = stage_connect(stage, i / 2, &clients[i]); /* two of one, one of the other */
    }
    stage_turn(stage);
    send_halves(stage, streams, 3);
    assert_int_equal(streams[0]->sending_bytes + streams[1]->sending_bytes, 2 * HALF);
    assert_int_equal(streams[2]->sending_bytes, GY_SHARE_SEND_LEAST_BYTES);
    stage_turn(stage);
    for (int i = 0; i < 3; i++) {
        stage_sent(stage, streams[i], (int32_t)streams[i]->sending_bytes);
    }
    stage_turn(stage);
    stage_sent(stage, streams[2], HALF - GY_SHARE_SEND_LEAST_BYTES);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
}

static void a_server_that_is_alone_at_work_sends_as_if_the_worker_were_its_own(void **state)
{
    struct stage *stage = *state;
    static uint8_t large[4 * GY_SEND_BYTES_MAX];
    static struct gy_buffer buffer;
    gy_buffer_wrap_constant(&buffer, large, sizeof large);
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_turn(stage);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gy_chain_append(&stream->out, gy_slice_of(&buffer, 0, sizeof large)), 0);
        gy_stream_wake(stream);
        stage_turn(stage);
        uint32_t sent = i == 0 ? sizeof large : GY_SHARE_SEND_BYTES;
        assert_int_equal(stream->sending_bytes, sent);
        stage_turn(stage);
        stage->worker.crowded_until_ms = stage->worker.now_ms + 1; /* another was at work */
        stage_sent(stage, stream, (int32_t)sent);
    }
    while (stream->sending) {
        stage_turn(stage);
        assert_int_equal(stream->sending_bytes, GY_SHARE_SEND_BYTES);
        stage_sent(stage, stream, GY_SHARE_SEND_BYTES);
        stage_turn(stage);
    }
    assert_int_equal(stream->out.length, 0);
    close(client);
}

static void servers_at_work_together_are_known_for_a_while(void **state)
{
    struct stage *stage = *state;
    int clients[2];
    struct gy_stream *first = stage_connect(stage, 0, &clients[0]);
    struct gy_stream *second = stage_connect(stage, 1, &clients[1]);
    assert_true(stage->worker.now_ms < stage->worker.crowded_until_ms); /* both accepted */
    fake_clock_advance(2 * GY_SHARE_CROWD_MS);
    arrive(stage, first, 1);
    stage_turn(stage);
    arrive(stage, first, 1);
    stage_turn(stage);
    assert_true(stage->worker.crowded_until_ms <= stage->worker.now_ms);
    arrive(stage, second, 1);
    stage_turn(stage);
    assert_int_equal(stage->worker.crowded_until_ms, stage->worker.now_ms + GY_SHARE_CROWD_MS);
    fake_clock_advance(GY_SHARE_CROWD_MS);
    arrive(stage, second, 1);
    stage_turn(stage);
    assert_true(stage->worker.crowded_until_ms <= stage->worker.now_ms);
    fake_clock_advance(GY_SHARE_CROWD_MS);
    uint64_t before = stage->worker.crowded_until_ms;
    arrive(stage, first, 1); /* one after the other is no crowd */
    stage_turn(stage);
    assert_int_equal(stage->worker.crowded_until_ms, before);
    close(clients[0]);
    close(clients[1]);
}

int main(void)
{
#define STAGED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STAGED(sessions_past_the_slice_wait_and_those_of_other_servers_run),
        STAGED(a_session_knows_who_runs_after_it),
        STAGED(one_that_is_put_off_may_end_meanwhile),
        STAGED(servers_take_turns_in_going_first),
        STAGED(a_listener_of_several_accepts_so_many_at_a_time),
        STAGED(accepts_in_flight_all_end_before_a_listener_closes),
        STAGED(while_others_are_at_work_a_listener_accepts_fewer_at_a_time),
        STAGED(while_others_are_at_work_a_turn_closes_a_few_connections_of_each),
        STAGED(a_server_that_is_alone_at_work_closes_all_at_once),
        STAGED(deadlines_that_pass_together_are_dealt_with_in_several_turns),
        STAGED(sends_past_the_bound_wait_and_those_of_other_servers_go_first),
        STAGED(each_server_may_send_a_little_whatever_others_have_sent),
        STAGED(a_server_that_is_alone_at_work_sends_as_if_the_worker_were_its_own),
        STAGED(servers_at_work_together_are_known_for_a_while),
    };
    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
