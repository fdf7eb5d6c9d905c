/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Receive buffers of several servers on one worker (core/share.h), on the real ring. */

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "core/flood.h"
#include "core/share.h"
#include "tests/core/core_harness.h"

#define SERVERS 3
#define PEERS   6 /* of each server that is flooded */

/* Takes what comes, and makes nothing of it. */
static uint32_t hoard(struct gy_stream *stream)
{
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t echo(struct gy_stream *stream)
{
    assert_int_equal(gy_chain_move(&stream->in, &stream->out, stream->in.length), 0);
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t end(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops hoard_ops = {hoard, hoard, end, end, closed};
static const struct gy_stream_ops echo_ops = {echo, echo, end, end, closed};

struct scene {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_server servers[SERVERS];
    int listening[SERVERS];
    struct sockaddr_in addresses[SERVERS];
};

static struct scene *scene_open(enum gy_receive_mode mode, uint32_t streams_max, uint32_t posted)
{
    struct scene *scene = aligned_alloc(64, (sizeof *scene + 63) & ~(size_t)63);
    assert_non_null(scene);
    memset(scene, 0, sizeof *scene);
    scene->peers[0] = &scene->worker;
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = streams_max,
        .blocks_max = 4,
        .shares = true,
        .pool = {.buffer_bytes = 4096, .buffers = 2 * posted, .posted = posted, .mode = mode},
    };
    struct gy_error error = {0};
    int code = gy_worker_open(&scene->worker, &options, scene->peers, &error);
    if (code != 0) {
        free(scene);
        print_message("# %s\n", error.message);
        skip();
    }
    for (uint32_t i = 0; i < SERVERS; i++) {
        socklen_t length = sizeof scene->addresses[i];
        scene->addresses[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        scene->listening[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(scene->listening[i], (struct sockaddr *)&scene->addresses[i], length),
                         0);
        assert_int_equal(listen(scene->listening[i], 64), 0);
        getsockname(scene->listening[i], (struct sockaddr *)&scene->addresses[i], &length);
        scene->servers[i] = (struct gy_server){
            .name = "share",
            .ops = i == 1 ? &echo_ops : &hoard_ops,
            .session_bytes = 1,
            .quota_bytes = 1u << 30,
            .descriptors = &scene->listening[i],
        };
        assert_int_equal(gy_worker_serve(&scene->worker, &scene->servers[i], &error), 0);
    }
    return scene;
}

static int connect_to(const struct scene *scene, uint32_t server)
{
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&scene->addresses[server],
                             sizeof scene->addresses[server]),
                     0);
    return client;
}

static void turns(struct scene *scene, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(gy_worker_turn(&scene->worker, 1000000), 0);
    }
}

/* Sends without waiting for anybody to take it, until the server's buffers are all held. */
static void flood(struct scene *scene, const int *clients, const struct gy_pool *pool)
{
    static const uint8_t block[65536];
    for (uint32_t round = 0; gy_pool_free(pool) > 0; round++) {
        assert_true(round < 200);
        for (int i = 0; i < PEERS; i++) {
            send(clients[i], block, sizeof block, MSG_DONTWAIT);
        }
        turns(scene, 1);
    }
    turns(scene, 5);
}

static void exchange(struct scene *scene, int client)
{
    for (int i = 0; i < 20; i++) {
        char sent[32], got[32];
        int length = snprintf(sent, sizeof sent, "message %d", i);
        ssize_t received = -1;
        assert_int_equal(send(client, sent, (size_t)length, 0), length);
        for (uint32_t round = 0; received < 0; round++) {
            assert_true(round < 200);
            turns(scene, 1);
            received = recv(client, got, sizeof got, MSG_DONTWAIT);
            assert_true(received >= 0 || errno == EAGAIN);
        }
        assert_int_equal(received, length);
        assert_memory_equal(got, sent, (size_t)length);
    }
}

static void a_flood_holds_no_buffer_of_another_server(enum gy_receive_mode mode)
{
    deadline("share_loopback", 20);
    struct scene *scene = scene_open(mode, 32, 4);
    struct gy_worker *worker = &scene->worker;
    int clients[2][PEERS];
    assert_null(worker->listeners[0].pool); /* it has the worker's */
    assert_ptr_equal(worker->listeners[0].endpoint.pool, worker->pool);
    assert_ptr_equal(worker->listeners[2].endpoint.pool, worker->listeners[2].pool);
    for (int i = 0; i < PEERS; i++) {
        clients[0][i] = connect_to(scene, 0);
        clients[1][i] = connect_to(scene, 2);
    }
    int client = connect_to(scene, 1);
    turns(scene, 5);
    flood(scene, clients[0], worker->pool);
    flood(scene, clients[1], worker->listeners[2].pool);
    assert_true(gy_counter_read(&worker->counters.enobufs) > 0);
    assert_false(TAILQ_EMPTY(&worker->starved));
    assert_false(TAILQ_EMPTY(&worker->listeners[2].starved));
    assert_true(TAILQ_EMPTY(&worker->listeners[1].starved));
    exchange(scene, client);
    assert_int_equal(gy_counter_read(&worker->counters.buffers_free_min), 0);
    for (int i = 0; i < PEERS; i++) {
        close(clients[0][i]);
        close(clients[1][i]);
    }
    close(client);
    gy_worker_close(worker);
    free(scene);
}

/* One-shot receives complete POSTED to a turn, so all of them make more than GY_FLOOD_TURNS turns
 * in a row that are full, however fast the machine is. */
#define POSTED 32
#define CROWD  ((GY_FLOOD_TURNS + 2) * POSTED)

/* Bytes of all of them arrive, and only then those of another server's client. */
static uint32_t turns_until_answered(struct scene *scene, const int *crowd, int client)
{
    char got[8];
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(send(crowd[i], "x", 1, 0), 1);
    }
    assert_int_equal(send(client, "y", 1, 0), 1);
    for (uint32_t turn = 1;; turn++) {
        assert_true(turn < CROWD);
        turns(scene, 1);
        if (recv(client, got, sizeof got, MSG_DONTWAIT) == 1) {
            return turn;
        }
    }
}

/* Takes what comes, and counts it. */
static uint32_t swallowed;

static uint32_t swallow(struct gy_stream *stream)
{
    swallowed += stream->in.length;
    gy_chain_clear(&stream->in);
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static const struct gy_stream_ops swallow_ops = {swallow, swallow, end, end, closed};

static void a_flood_keeps_no_other_server_waiting(enum gy_receive_mode mode)
{
    deadline("share_loopback", 20);
    struct scene *scene = scene_open(mode, 2 * CROWD, POSTED);
    struct gy_worker *worker = &scene->worker;
    struct gy_endpoint *flooded = &worker->listeners[0].endpoint;
    flooded->ops = &swallow_ops;
    int crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = connect_to(scene, 0);
        turns(scene, 1);
    }
    int client = connect_to(scene, 1);
    turns(scene, 5);
    uint32_t sent = 0, took = 0;
    swallowed = 0;
    for (int round = 0; round < 20; round++) {
        took = turns_until_answered(scene, crowd, client);
        sent += CROWD;
        for (int i = 0; i < 2 * CROWD && swallowed < sent; i++) {
            turns(scene, 1);
        }
        assert_int_equal(swallowed, sent); /* and none of its own streams is forgotten */
    }
    assert_true(gy_counter_read(&worker->counters.floods) > 0);
    assert_true(flooded->flood.members > CROWD / 2);
    assert_true(took <= 4); /* while the others took more than CROWD / GY_FLOOD_PASSES */
    for (int i = 0; i < CROWD; i++) {
        close(crowd[i]);
    }
    for (int i = 0; i < 2 * CROWD && flooded->connections > 0; i++) {
        turns(scene, 1);
    }
    assert_int_equal(flooded->connections, 0);
    assert_int_equal(flooded->flood.members, 0);
    close(client);
    gy_worker_close(worker);
    free(scene);
}

static void a_flood_keeps_no_other_server_waiting_one_shot(void **state)
{
    (void)state;
    a_flood_keeps_no_other_server_waiting(GY_RECEIVE_ONE_SHOT);
}

static void a_flood_keeps_no_other_server_waiting_multishot(void **state)
{
    (void)state;
    a_flood_keeps_no_other_server_waiting(GY_RECEIVE_MULTISHOT);
}

static void a_flood_keeps_no_other_server_waiting_incremental(void **state)
{
    (void)state;
    a_flood_keeps_no_other_server_waiting(GY_RECEIVE_INCREMENTAL);
}

static void a_flood_holds_no_buffer_of_another_server_one_shot(void **state)
{
    (void)state;
    a_flood_holds_no_buffer_of_another_server(GY_RECEIVE_ONE_SHOT);
}

static void a_flood_holds_no_buffer_of_another_server_multishot(void **state)
{
    (void)state;
    a_flood_holds_no_buffer_of_another_server(GY_RECEIVE_MULTISHOT);
}

static void a_flood_holds_no_buffer_of_another_server_incremental(void **state)
{
    (void)state;
    a_flood_holds_no_buffer_of_another_server(GY_RECEIVE_INCREMENTAL);
}

static void a_flood_holds_no_buffer_of_another_server_bundle(void **state)
{
    (void)state;
    a_flood_holds_no_buffer_of_another_server(GY_RECEIVE_BUNDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_holds_no_buffer_of_another_server_one_shot),
        cmocka_unit_test(a_flood_holds_no_buffer_of_another_server_multishot),
        cmocka_unit_test(a_flood_holds_no_buffer_of_another_server_incremental),
        cmocka_unit_test(a_flood_holds_no_buffer_of_another_server_bundle),
        cmocka_unit_test(a_flood_keeps_no_other_server_waiting_one_shot),
        cmocka_unit_test(a_flood_keeps_no_other_server_waiting_multishot),
        cmocka_unit_test(a_flood_keeps_no_other_server_waiting_incremental),
    };
    return cmocka_run_group_tests_name("share_loopback", tests, NULL, NULL);
}
