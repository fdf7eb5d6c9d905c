/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How streams of a flooded server receive (core/flood.h). Their sockets are real, as epoll looks at
 * them; the ring is not. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "core/flood.h"
#include "core/share.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define STREAMS (GY_FLOOD_STREAMS + 4)
#define WAITING (2 * GY_FLOOD_PASSES + 4)

struct scene {
    struct stage *stage;
    struct gy_stream *streams[STREAMS]; /* of server 0 */
    int clients[STREAMS];
    struct gy_stream *other; /* of server 1 */
    int other_client;
};

static int set_up(void **state)
{
    struct stage_options options = {
        .buffer_bytes = 1024, .buffers = 2 * STREAMS, .posted = 128, .streams_max = 2 * STREAMS};
    struct scene *scene = calloc(1, sizeof *scene);
    deadline("flood", 20);
    assert_non_null(scene);
    scene->stage = stage_open(&options);
    scene->stage->worker.options.shares = true; /* of time alone: the fake ring has one pool */
    scene->other = stage_connect(scene->stage, 1, &scene->other_client);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < STREAMS; i++) {
        if (scene->streams[i] != NULL) {
            close(scene->clients[i]);
        }
    }
    close(scene->other_client);
    stage_close(scene->stage);
    free(scene);
    return 0;
}

static void connect_all(struct scene *scene, int count)
{
    for (int i = 0; i < count; i++) {
        scene->streams[i] = stage_connect(scene->stage, 0, &scene->clients[i]);
    }
    stage_turn(scene->stage);
}

static struct gy_flood *flood_of(struct scene *scene)
{
    return &scene->stage->worker.listeners[0].endpoint.flood;
}

static bool is_on(const struct scene *scene)
{
    return gy_flood_is_on(&scene->stage->worker.listeners[0].endpoint);
}

static void arrive(struct scene *scene, struct gy_stream *stream)
{
    fake_receive(scene->stage->worker.ring, stage_receive_of(scene->stage, stream), "x", 1,
                 GY_COMPLETION_MORE);
}

/* A turn in which the first `count` streams receive, and the other server's if `crowd`. */
static void receive_together(struct scene *scene, int count, bool crowd)
{
    for (int i = 0; i < count; i++) {
        arrive(scene, scene->streams[i]);
    }
    if (crowd) {
        arrive(scene, scene->other);
    }
    stage_turn(scene->stage);
}

static void begin_flood(struct scene *scene)
{
    connect_all(scene, STREAMS);
    for (int i = 0; i < GY_FLOOD_TURNS; i++) {
        receive_together(scene, GY_FLOOD_RECEIVES, true);
    }
    assert_true(is_on(scene));
}

/* The stream's receive, which would go on, is cancelled once it has received. */
static void move(struct scene *scene, struct gy_stream *stream)
{
    struct stage *stage = scene->stage;
    arrive(scene, stream);
    stage_turn(stage);
    struct fake_operation *cancel = stage_cancel_of(stage, stream);
    assert_non_null(cancel);
    stage_turn(stage);
    fake_complete(stage->worker.ring, stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(stage->worker.ring, cancel, 1, 0);
    stage_turn(stage);
    assert_true(stream->floods);
    assert_null(stage_receive_of(stage, stream));
}

static void begin_waiting(struct scene *scene, int count)
{
    begin_flood(scene);
    for (int i = 0; i < count; i++) {
        move(scene, scene->streams[i]);
    }
    assert_int_equal(flood_of(scene)->waiting, count);
}

static void write_to(struct scene *scene, int number)
{
    assert_int_equal(write(scene->clients[number], "x", 1), 1);
}

/* ---- what is a flood ---- */

static void turns_full_of_its_receives_while_others_are_at_work_make_a_flood(void **state)
{
    struct scene *scene = *state;
    connect_all(scene, STREAMS);
    for (int i = 1; i < GY_FLOOD_TURNS; i++) {
        receive_together(scene, GY_FLOOD_RECEIVES, true);
    }
    receive_together(scene, GY_FLOOD_RECEIVES - 1, true); /* not in a row */
    for (int i = 1; i < GY_FLOOD_TURNS; i++) {
        assert_false(is_on(scene));
        receive_together(scene, GY_FLOOD_RECEIVES, true);
    }
    assert_false(is_on(scene));
    receive_together(scene, GY_FLOOD_RECEIVES, true);
    assert_true(is_on(scene));
    assert_int_equal(stage_counter(scene->stage, floods), 1);
    assert_false(gy_flood_is_on(scene->other->endpoint));
}

static void so_do_turns_that_leave_many_sessions_still_to_run(void **state)
{
    struct scene *scene = *state;
    connect_all(scene, STREAMS);
    for (int i = 0; i <= GY_FLOOD_READY; i++) {
        act_of(scene->streams[i])->burn_ms = 1; /* a turn has time for one of them */
    }
    receive_together(scene, GY_FLOOD_READY + 1, true);
    for (int i = 1; i < GY_FLOOD_TURNS; i++) {
        assert_false(is_on(scene));
        receive_together(scene, i, true); /* in place of those that have run */
    }
    assert_true(is_on(scene));
    for (int i = 0; i <= GY_FLOOD_READY; i++) {
        act_of(scene->streams[i])->burn_ms = 0;
    }
    fake_cancel_by_itself(scene->stage->worker.ring);
}

static void so_do_turns_full_of_its_resets(void **state)
{
    enum { RESETS = GY_FLOOD_RECEIVES };
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    connect_all(scene, STREAMS);
    for (int i = 1; i < GY_FLOOD_TURNS; i++) {
        receive_together(scene, GY_FLOOD_RECEIVES, true);
    }
    assert_false(is_on(scene));
    for (int i = 0; i < RESETS; i++) {
        fake_complete(stage->worker.ring, stage_receive_of(stage, scene->streams[i]), -ECONNRESET,
                      0);
        close(scene->clients[i]);
        scene->streams[i] = NULL;
    }
    stage_turn(stage);
    assert_true(is_on(scene));
}

static void few_streams_are_no_flood(void **state)
{
    struct scene *scene = *state;
    connect_all(scene, GY_FLOOD_STREAMS - 1);
    for (int i = 0; i < 2 * GY_FLOOD_TURNS; i++) {
        receive_together(scene, GY_FLOOD_RECEIVES, true);
    }
    assert_false(is_on(scene));
}

static void a_server_that_is_alone_at_work_is_not_flooded(void **state)
{
    struct scene *scene = *state;
    connect_all(scene, STREAMS);
    fake_clock_advance(2 * GY_SHARE_CROWD_MS); /* since both accepted */
    for (int i = 0; i < 2 * GY_FLOOD_TURNS; i++) {
        receive_together(scene, GY_FLOOD_RECEIVES, false);
    }
    assert_false(is_on(scene));
    assert_int_equal(flood_of(scene)->set, -1); /* nothing was opened for it */
}

/* ---- waiting and being let through ---- */

static void those_that_are_ready_are_let_through_a_few_a_turn(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    begin_waiting(scene, WAITING);
    uint32_t before = fake_in_flight(stage->worker.ring, FAKE_RECEIVE);
    for (int i = WAITING - 1; i >= 0; i--) {
        write_to(scene, i);
    }
    for (uint32_t turn = 1; turn <= 2; turn++) {
        stage_turn(stage);
        assert_int_equal(fake_in_flight(stage->worker.ring, FAKE_RECEIVE),
                         before + turn * GY_FLOOD_PASSES);
    }
    struct fake_operation *receive = stage_receive_of(stage, scene->streams[WAITING - 1]);
    assert_int_equal(receive->mode, GY_RECEIVE_ONE_SHOT);
    assert_int_equal(receive->bytes, GY_SHARE_RECEIVE_BYTES);
    assert_false(receive->poll_first);
    assert_null(stage_receive_of(stage, scene->streams[0])); /* what was ready last comes last */
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), 0); /* there were more */
    assert_non_null(stage_receive_of(stage, scene->streams[0]));
    assert_int_equal(flood_of(scene)->waiting, 0);
    assert_int_equal(stage_counter(stage, flood_passes), WAITING);
}

static void one_that_was_let_through_waits_again_when_its_session_has_run(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    struct gy_stream *stream;
    begin_waiting(scene, 1);
    stream = scene->streams[0];
    write_to(scene, 0);
    stage_turns(stage, 2);
    uint32_t turns = act_of(stream)->turns;
    fake_receive(stage->worker.ring, stage_receive_of(stage, stream), "x", 1, 0);
    stage_turn(stage);
    assert_int_equal(act_of(stream)->turns, turns + 1);
    assert_true(stream->floods);
    assert_null(stage_receive_of(stage, stream));
    stage_turn(stage); /* nobody has read what the client wrote: it is ready still */
    assert_non_null(stage_receive_of(stage, stream));
    assert_int_equal(flood_of(scene)->members, 1);
}

static void the_ring_polls_the_set_when_none_in_it_is_ready(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    begin_waiting(scene, 2);
    stage_turn(stage);
    struct fake_operation *poll = fake_of(stage->worker.ring, FAKE_POLL, flood_of(scene)->set);
    assert_non_null(poll);
    assert_int_equal(poll->events, POLLIN);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), GY_RING_FOREVER);
    assert_int_equal(fake_in_flight(stage->worker.ring, FAKE_POLL), 1);
    write_to(scene, 1);
    fake_complete(stage->worker.ring, poll, POLLIN, 0);
    stage_turn(stage);
    assert_non_null(stage_receive_of(stage, scene->streams[1]));
    assert_non_null(fake_of(stage->worker.ring, FAKE_POLL, flood_of(scene)->set)); /* for others */
}

/* Nothing else may come that would make the worker look. */
static void one_that_begins_to_wait_is_looked_after_in_the_next_turn(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    int client;
    begin_flood(scene);
    stage_turns(stage, 2);
    assert_int_equal(flood_of(scene)->waiting, 0);
    struct gy_stream *stream = stage_connect(stage, 0, &client); /* and one turn more */
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), 0);
    assert_true(stream->floods);
    stage_turn(stage);
    assert_int_equal(fake_last_wait_ns(stage->worker.ring), GY_RING_FOREVER);
    assert_non_null(fake_of(stage->worker.ring, FAKE_POLL, flood_of(scene)->set));
    close(client);
}

static void one_whose_session_is_still_to_run_does_not_receive_before(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    begin_flood(scene);
    for (int i = 0; i < 4; i++) {
        act_of(scene->streams[i])->burn_ms = 1; /* a turn has time for one of them */
        arrive(scene, scene->streams[i]);
    }
    struct gy_stream *last = scene->streams[3];
    uint32_t turns = act_of(last)->turns;
    stage_turns(stage, 2);
    fake_complete(stage->worker.ring, stage_receive_of(stage, last), -ECANCELED, 0);
    fake_complete(stage->worker.ring, stage_cancel_of(stage, last), 1, 0);
    stage_turn(stage);
    assert_int_equal(act_of(last)->turns, turns);
    assert_false(last->floods || last->receiving);
    stage_turn(stage);
    assert_int_equal(act_of(last)->turns, turns + 1);
    assert_true(last->floods);
    for (int i = 0; i < 4; i++) {
        act_of(scene->streams[i])->burn_ms = 0;
    }
}

static void one_that_ends_while_it_waits_leaves_the_set(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    begin_waiting(scene, 3);
    write_to(scene, 0);
    gy_stream_abort(scene->streams[0], GY_CLOSE_LIMIT); /* though it is ready */
    gy_stream_abort(scene->streams[1], GY_CLOSE_LIMIT);
    stage_turns(stage, 3);
    assert_int_equal(stage->closed_count, 2);
    assert_int_equal(flood_of(scene)->members, 1);
    assert_int_equal(flood_of(scene)->waiting, 1);
}

static void the_end_of_a_peer_lets_its_stream_through(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    begin_waiting(scene, 1);
    assert_int_equal(shutdown(scene->clients[0], SHUT_WR), 0);
    stage_turns(stage, 2);
    fake_complete(stage->worker.ring, stage_receive_of(stage, scene->streams[0]), 0, 0);
    stage_turn(stage);
    assert_true(act_of(scene->streams[0])->saw_eof);
}

/* ---- its end ---- */

static void when_it_is_over_receives_stay_armed_again(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    begin_waiting(scene, 2);
    fake_clock_advance(GY_FLOOD_MS);
    write_to(scene, 0);
    stage_turns(stage, 2);
    assert_false(is_on(scene));
    fake_receive(stage->worker.ring, stage_receive_of(stage, scene->streams[0]), "x", 1, 0);
    stage_turn(stage);
    assert_int_equal(stage_receive_of(stage, scene->streams[0])->mode, GY_RECEIVE_MULTISHOT);
    assert_int_equal(flood_of(scene)->waiting, 1); /* the other has received nothing yet */
}

static void without_a_set_streams_receive_as_ever(void **state)
{
    struct scene *scene = *state;
    struct stage *stage = scene->stage;
    begin_flood(scene);
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    arrive(scene, scene->streams[0]);
    fake_cancel_by_itself(stage->worker.ring);
    stage_turns(stage, 4);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_false(is_on(scene));
    assert_int_equal(flood_of(scene)->set, -1);
    assert_int_equal(stage_receive_of(stage, scene->streams[0])->mode, GY_RECEIVE_MULTISHOT);
}

int main(void)
{
#define STAGED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STAGED(turns_full_of_its_receives_while_others_are_at_work_make_a_flood),
        STAGED(so_do_turns_that_leave_many_sessions_still_to_run),
        STAGED(so_do_turns_full_of_its_resets),
        STAGED(few_streams_are_no_flood),
        STAGED(a_server_that_is_alone_at_work_is_not_flooded),
        STAGED(those_that_are_ready_are_let_through_a_few_a_turn),
        STAGED(one_that_was_let_through_waits_again_when_its_session_has_run),
        STAGED(the_ring_polls_the_set_when_none_in_it_is_ready),
        STAGED(one_that_begins_to_wait_is_looked_after_in_the_next_turn),
        STAGED(one_whose_session_is_still_to_run_does_not_receive_before),
        STAGED(one_that_ends_while_it_waits_leaves_the_set),
        STAGED(the_end_of_a_peer_lets_its_stream_through),
        STAGED(when_it_is_over_receives_stay_armed_again),
        STAGED(without_a_set_streams_receive_as_ever),
    };
    return cmocka_run_group_tests_name("flood", tests, NULL, NULL);
}
