/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Names dialled on the real ring: races over the loopback interface. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/connector.h"
#include "tests/core/core_harness.h"

#define CROWD 16

struct scene {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_resolver scripted;
    const char *const *addresses; /* what the scripted one answers */
    struct gy_query *asked;
    struct gy_connector connector;
    struct gy_dial dials[CROWD];
    uint32_t done;
    struct gy_stream *stream;
    int listening[2];
    int crowd[CROWD];
    uint32_t crowd_count;
};

static uint32_t on_event(struct gy_stream *stream)
{
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops ops = {on_event, on_event, on_event, on_event, on_closed};

static int ask(struct gy_resolver *resolver, struct gy_query *query)
{
    struct scene *scene = (struct scene *)((char *)resolver - offsetof(struct scene, scripted));
    scene->asked = query;
    return 0;
}

static void cancel(struct gy_resolver *resolver, struct gy_query *query)
{
    (void)query;
    ((struct scene *)((char *)resolver - offsetof(struct scene, scripted)))->asked = NULL;
}

static void open_connector(struct scene *scene)
{
    struct gy_connector_options options = {
        .name = "test",
        .ops = &ops,
        .session_bytes = 8,
        .resolver = &scene->scripted,
        .timeout_ms = 20000,
    };
    assert_int_equal(gy_connector_open(&scene->connector, &scene->worker, &options, NULL), 0);
}

static int set_up(void **state)
{
    deadline("connector_loopback", 60);
    struct scene *scene = aligned_alloc(64, (sizeof *scene + 63) & ~(size_t)63);
    assert_non_null(scene);
    memset(scene, 0, sizeof *scene);
    scene->peers[0] = &scene->worker;
    scene->listening[0] = scene->listening[1] = -1;
    scene->scripted = (struct gy_resolver){.ask = ask, .cancel = cancel};
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 64,
        .blocks_max = 64,
        .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0),
    };
    struct gy_error error = {0};
    if (gy_worker_open(&scene->worker, &options, scene->peers, &error) != 0) {
        fail_msg("%s", error.message);
    }
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    for (uint32_t i = 0; i < CROWD; i++) {
        gy_dial_cancel(&scene->dials[i]);
    }
    gy_worker_finish(&scene->worker);
    gy_connector_close(&scene->connector);
    gy_worker_close(&scene->worker);
    for (uint32_t i = 0; i < 2; i++) {
        if (scene->listening[i] >= 0) {
            close(scene->listening[i]);
        }
    }
    for (uint32_t i = 0; i < scene->crowd_count; i++) {
        close(scene->crowd[i]);
    }
    free(scene);
    return 0;
}

/* A listener on `host`; port 0: a free one. */
static uint16_t listen_on(struct scene *scene, uint32_t number, const char *host, uint16_t port,
                          int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    scene->listening[number] = fd;
    return ntohs(address.sin_port);
}

/* Fills the queue of a listener that never accepts: whoever connects then hears nothing. */
static void crowd(struct scene *scene, const char *host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    for (; scene->crowd_count < CROWD; scene->crowd_count++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int code = connect(fd, (struct sockaddr *)&address, sizeof address);
        assert_true(code == 0 || errno == EINPROGRESS);
        scene->crowd[scene->crowd_count] = fd;
    }
}

static void on_done(struct gy_dial *dial, struct gy_stream *stream)
{
    struct scene *scene = dial->context;
    scene->done++;
    scene->stream = stream;
}

static void answer(struct scene *scene)
{
    struct gy_query *query = scene->asked;
    scene->asked = NULL;
    for (query->count = 0; scene->addresses[query->count] != NULL; query->count++) {
        assert_int_equal(
            gy_address_parse(&query->addresses[query->count], scene->addresses[query->count], NULL),
            0);
    }
    query->answered(query);
}

static void await_done(struct scene *scene, uint32_t count)
{
    while (scene->done < count) {
        if (scene->asked != NULL) {
            answer(scene);
        }
        assert_int_equal(gy_worker_turn(&scene->worker, GY_RING_FOREVER), 0);
    }
}

static void begin(struct scene *scene, uint32_t number, const char *host, uint16_t port)
{
    scene->dials[number].context = scene;
    gy_dial_begin(&scene->dials[number], &scene->connector, host, port, on_done);
}

static void a_silent_address_costs_a_quarter_of_a_second(void **state)
{
    struct scene *scene = *state;
    open_connector(scene);
    uint16_t port = listen_on(scene, 0, "127.0.0.2", 0, 0);
    listen_on(scene, 1, "127.0.0.3", port, 16);
    crowd(scene, "127.0.0.2", port);
    scene->addresses = (const char *const[]){"127.0.0.2:0", "127.0.0.3:0", NULL};
    uint64_t before = scene->worker.now_ms;
    begin(scene, 0, "raced.example", port);
    await_done(scene, 1);
    assert_non_null(scene->stream);
    char text[GY_ADDRESS_TEXT_BYTES];
    gy_address_format(&gy_connection_of(scene->stream)->peer, text, sizeof text);
    assert_memory_equal(text, "127.0.0.3:", 10);
    assert_true(scene->worker.now_ms - before >= 250);
    assert_true(scene->worker.now_ms - before < 10000);
    while (scene->connector.endpoint.connections > 1) {
        assert_int_equal(gy_worker_turn(&scene->worker, GY_RING_FOREVER), 0);
    }
}

static void a_refused_address_costs_nothing(void **state)
{
    struct scene *scene = *state;
    open_connector(scene);
    uint16_t port = listen_on(scene, 0, "127.0.0.3", 0, 16);
    scene->addresses = (const char *const[]){"[::1]:0", "127.0.0.2:0", "127.0.0.3:0", NULL};
    begin(scene, 0, "raced.example", port);
    await_done(scene, 1);
    assert_non_null(scene->stream);
    assert_int_equal(scene->dials[0].begun, 3);
}

static void addresses_that_all_refuse_are_named(void **state)
{
    struct scene *scene = *state;
    open_connector(scene);
    uint16_t port = listen_on(scene, 0, "127.0.0.3", 0, 16);
    scene->addresses = (const char *const[]){"127.0.0.2:0", "127.0.0.4:0", NULL};
    begin(scene, 0, "raced.example", port);
    await_done(scene, 1);
    assert_null(scene->stream);
    const char *message = scene->dials[0].error.message;
    assert_non_null(strstr(message, "127.0.0.2:"));
    assert_non_null(strstr(message, "127.0.0.4:"));
    assert_non_null(strstr(message, "Connection refused"));
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_silent_address_costs_a_quarter_of_a_second),
        CASE(a_refused_address_costs_nothing),
        CASE(addresses_that_all_refuse_are_named),
    };
    return cmocka_run_group_tests_name("connector on loopback", tests, NULL, NULL);
}
