/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The pool of connections on the fake ring: leases, bounds, idling, waiting after failures. */

#include <errno.h>

#include "core/connections.h"
#include "tests/core/dial_rig.h"

#define LEASES   16
#define IDLE_MS  1000
#define RETRY_MS 100

struct scene {
    struct dial_rig rig;
    struct gy_connections pool;
    bool pooled;
    struct gy_lease leases[LEASES];
    struct gy_stream *leased[LEASES];
    bool used[LEASES];
    uint32_t failed[LEASES];
    struct gy_error error;
};

static int set_up(void **state)
{
    deadline("connections", 30);
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    dial_rig_open(&scene->rig, NULL);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    if (scene->pooled) {
        gy_connections_stop(&scene->pool);
    }
    dial_rig_end(&scene->rig);
    if (scene->pooled) {
        gy_connections_close(&scene->pool);
    }
    dial_rig_close(&scene->rig);
    free(scene);
    return 0;
}

static struct scene *scene_of_lease(struct gy_lease *lease, uint32_t *number)
{
    struct scene *scene = lease->context;
    *number = (uint32_t)(lease - scene->leases);
    return scene;
}

static void on_ready(struct gy_lease *lease, struct gy_stream *stream, bool used)
{
    uint32_t number;
    struct scene *scene = scene_of_lease(lease, &number);
    assert_null(scene->leased[number]);
    scene->leased[number] = stream;
    scene->used[number] = used;
}

static void on_failed(struct gy_lease *lease, const struct gy_error *error)
{
    uint32_t number;
    struct scene *scene = scene_of_lease(lease, &number);
    scene->failed[number]++;
    scene->error = *error;
}

static void open_pool(struct scene *scene, uint32_t per_origin)
{
    struct gy_connections_options options = {
        .origins_max = 2,
        .per_origin = per_origin,
        .waiting_max = 4,
        .idle_ms = IDLE_MS,
        .uses_max = 3,
        .retry_base_ms = RETRY_MS,
        .retry_max_ms = 4 * RETRY_MS,
        .seed = 7,
    };
    assert_int_equal(gy_connections_open(&scene->pool, &scene->rig.connector, &options, NULL), 0);
    scene->pooled = true;
}

static int lease(struct scene *scene, uint32_t number, const char *host)
{
    scene->leases[number].ready = on_ready;
    scene->leases[number].failed = on_failed;
    scene->leases[number].context = scene;
    scene->leased[number] = NULL;
    int code = gy_connections_lease(&scene->pool, &scene->leases[number], host, 80, &scene->error);
    stage_turns(scene->rig.stage, 3);
    return code;
}

/* The oldest connect in flight ends. */
static bool connect_ends(struct scene *scene, int result)
{
    struct gy_ring *ring = scene->rig.stage->worker.ring;
    struct fake_operation *operation = fake_first(ring, FAKE_CONNECT);
    if (operation == NULL) {
        return false;
    }
    fake_complete(ring, operation, result, 0);
    stage_turns(scene->rig.stage, 6);
    return true;
}

static void give_back(struct scene *scene, uint32_t number, bool reusable)
{
    gy_connections_return(scene->leased[number], reusable);
    scene->leased[number] = NULL;
    stage_turns(scene->rig.stage, 5);
}

static uint32_t idle(struct scene *scene)
{
    uint32_t count;
    gy_connections_count(&scene->pool, "127.0.0.1", 80, &count);
    return count;
}

static uint32_t open_count(struct scene *scene)
{
    return gy_connections_count(&scene->pool, "127.0.0.1", 80, NULL);
}

static void a_connection_is_used_again(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 2);
    assert_int_equal(lease(scene, 0, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    struct gy_stream *first = scene->leased[0];
    assert_non_null(first);
    assert_false(scene->used[0]);
    give_back(scene, 0, true);
    assert_int_equal(idle(scene), 1);
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_ptr_equal(scene->leased[1], first);
    assert_true(scene->used[1]);
    assert_int_equal(idle(scene), 0);
    assert_int_equal(stage_counter(scene->rig.stage, connections_dialled), 1);
}

static void connections_of_an_origin_are_bounded_and_leases_wait_in_order(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(lease(scene, i, "127.0.0.1"), 0);
    }
    assert_true(connect_ends(scene, 0));
    assert_false(connect_ends(scene, 0));
    assert_non_null(scene->leased[0]);
    assert_null(scene->leased[1]);
    give_back(scene, 0, true);
    assert_non_null(scene->leased[1]);
    assert_null(scene->leased[2]);
    give_back(scene, 1, false);
    assert_null(scene->leased[2]);
    assert_true(connect_ends(scene, 0));
    assert_non_null(scene->leased[2]);
    assert_false(scene->used[2]);
    give_back(scene, 2, true);
}

static void leases_and_origins_are_bounded(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(lease(scene, i, i < 2 ? "127.0.0.1" : "127.0.0.2"), 0);
    }
    assert_int_equal(lease(scene, 4, "127.0.0.1"), GY_ELIMIT);
    assert_non_null(strstr(scene->error.message, "4 wait for connections"));
    gy_connections_cancel(&scene->leases[0]);
    assert_int_equal(lease(scene, 4, "127.0.0.3"), GY_ELIMIT);
    assert_non_null(strstr(scene->error.message, "connections to 2 places"));
    assert_int_equal(lease(scene, 4, ""), GY_EINVAL);
    assert_int_equal(scene->pool.counters.refused, 2);
}

static void an_idle_connection_ends_in_time(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    connect_ends(scene, 0);
    give_back(scene, 0, true);
    dial_rig_pass(&scene->rig, IDLE_MS - 1);
    assert_int_equal(idle(scene), 1);
    dial_rig_pass(&scene->rig, 1);
    stage_turns(scene->rig.stage, 4);
    assert_int_equal(open_count(scene), 0);
    assert_int_equal(scene->pool.counters.idle_ended, 1);
    assert_int_equal(scene->rig.closed, 1);
}

static void a_leased_connection_does_not_idle(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    connect_ends(scene, 0);
    dial_rig_pass(&scene->rig, 10 * IDLE_MS);
    assert_int_equal(open_count(scene), 1);
    give_back(scene, 0, true);
}

static void a_connection_is_shared_with_those_who_wait(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    assert_int_equal(lease(scene, 0, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    struct gy_stream *stream = scene->leased[0];
    assert_null(gy_connections_share(stream));
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_int_equal(lease(scene, 2, "127.0.0.1"), 0);
    assert_ptr_equal(gy_connections_share(stream), &scene->leases[1]);
    assert_null(scene->leases[1].origin);
    assert_int_equal(scene->pool.waiting, 1);
    assert_int_equal(scene->pool.counters.leased_shared, 1);
    /* Who waits on waits until it is returned; it is as used as it was shared. */
    assert_null(scene->leased[2]);
    give_back(scene, 0, true);
    assert_ptr_equal(scene->leased[2], stream);
    give_back(scene, 2, true);
    assert_int_equal(scene->pool.counters.worn, 1);
}

static void a_worn_connection_is_not_kept(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(idle(scene), i > 0);
        lease(scene, i, "127.0.0.1");
        if (i == 0) {
            connect_ends(scene, 0);
        }
        give_back(scene, i, true);
    }
    assert_int_equal(open_count(scene), 0);
    assert_int_equal(scene->pool.counters.worn, 1);
}

static void a_connection_that_the_peer_ended_is_not_handed_out(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    connect_ends(scene, 0);
    struct gy_stream *first = scene->leased[0];
    give_back(scene, 0, true);
    stage_data(scene->rig.stage, first, "", 0, 0);
    stage_turns(scene->rig.stage, 4);
    assert_int_equal(open_count(scene), 0);
    assert_int_equal(scene->pool.counters.broken, 1);
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    assert_false(scene->used[1]);
    give_back(scene, 1, true);
}

static void a_lease_is_told_when_its_tries_are_used_up(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    scene->leases[1].tries = 2;
    lease(scene, 0, "127.0.0.1");
    lease(scene, 1, "127.0.0.1");
    assert_true(connect_ends(scene, -ECONNREFUSED));
    assert_int_equal(scene->failed[0], 1);
    assert_int_equal(scene->failed[1], 0);
    assert_non_null(strstr(scene->error.message, "Connection refused"));
    assert_false(connect_ends(scene, 0)); /* not at once */
    dial_rig_pass(&scene->rig, RETRY_MS);
    assert_true(connect_ends(scene, -ECONNREFUSED));
    assert_int_equal(scene->failed[1], 1);
    assert_int_equal(scene->pool.counters.dials_failed, 2);
}

static void waits_grow_with_each_failure_and_end_with_success(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    scene->leases[0].tries = 6;
    lease(scene, 0, "127.0.0.1");
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(connect_ends(scene, -ECONNREFUSED));
        uint32_t whole = i < 2 ? RETRY_MS << i : 4 * RETRY_MS;
        dial_rig_pass(&scene->rig, whole / 2 - 1);
        assert_null(fake_first(scene->rig.stage->worker.ring, FAKE_CONNECT));
        dial_rig_pass(&scene->rig, whole / 2 + 1);
    }
    assert_true(connect_ends(scene, 0));
    assert_non_null(scene->leased[0]);
    give_back(scene, 0, false);
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    give_back(scene, 1, true);
}

static void a_connection_that_nobody_waits_for_any_more_idles(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    gy_connections_cancel(&scene->leases[0]);
    gy_connections_cancel(&scene->leases[0]);
    assert_true(connect_ends(scene, 0));
    assert_null(scene->leased[0]);
    assert_int_equal(idle(scene), 1);
    lease(scene, 1, "127.0.0.1");
    assert_non_null(scene->leased[1]);
    assert_false(scene->used[1]);
    give_back(scene, 1, true);
}

/* ---- waiting ---- */

static void a_wait_is_between_a_half_and_the_whole(void **state)
{
    (void)state;
    struct gy_backoff backoff;
    uint32_t different = 0;
    for (uint64_t seed = 1; seed < 200; seed++) {
        gy_backoff_init(&backoff, 100, 1000, seed);
        uint32_t first = 0;
        for (uint32_t i = 0; i < 40; i++) {
            uint32_t whole = i < 4 ? 100u << i : 1000;
            uint32_t wait = gy_backoff_failed(&backoff);
            assert_uint_in_range(wait, whole / 2, whole);
            different += i == 9 && wait != first;
            first = i == 8 ? wait : first;
        }
        gy_backoff_worked(&backoff);
        assert_uint_in_range(gy_backoff_failed(&backoff), 50, 100);
    }
    assert_true(different > 150);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_connection_is_used_again),
        CASE(connections_of_an_origin_are_bounded_and_leases_wait_in_order),
        CASE(leases_and_origins_are_bounded),
        CASE(an_idle_connection_ends_in_time),
        CASE(a_leased_connection_does_not_idle),
        CASE(a_connection_is_shared_with_those_who_wait),
        CASE(a_worn_connection_is_not_kept),
        CASE(a_connection_that_the_peer_ended_is_not_handed_out),
        CASE(a_lease_is_told_when_its_tries_are_used_up),
        CASE(waits_grow_with_each_failure_and_end_with_success),
        CASE(a_connection_that_nobody_waits_for_any_more_idles),
        cmocka_unit_test(a_wait_is_between_a_half_and_the_whole),
    };
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
