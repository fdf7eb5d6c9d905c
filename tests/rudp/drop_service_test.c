/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The service of files, and a client that lies to it, over loopback in one worker that the test
 * turns. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/helper.h"
#include "servers/rudp/drop_give.h"
#include "servers/rudp/drop_hash.h"
#include "servers/rudp/drop_service.h"

struct rig {
    struct gy_worker worker; /* first: aligned */
    struct gy_worker *peers[1];
    struct gy_rudp_host server, client;
    struct gy_datagram_endpoint server_end, client_end;
    struct gy_rudp_counts counts[2];
    struct gy_drop_service service;
    struct gy_rudp_session *session;
    char folder[40];
    bool open, closed;
    uint64_t close_code;
    uint32_t answers; /* HAVE and RESULT */
    struct gy_drop_message last;
};

static void opened(struct gy_rudp_session *session)
{
    struct rig *rig = session->host->options.context;
    rig->open = true;
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct rig *rig = session->host->options.context;
    (void)channel, (void)guarantee;
    assert_int_equal(gy_drop_decode(&rig->last, data, length), 0);
    rig->answers++;
    return true;
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    (void)session, (void)message;
    fail(); /* only copies are sent */
}

static void closed(struct gy_rudp_session *session)
{
    struct rig *rig = session->host->options.context;
    rig->closed = true;
    rig->close_code = session->conn.close_code;
    rig->session = NULL;
}

static const struct gy_rudp_host_ops client_ops = {
    .opened = opened, .received = received, .finished = finished, .closed = closed};

static void turn(struct rig *rig)
{
    gy_rudp_host_flush(&rig->client);
    gy_datagrams_flush(&rig->worker);
    assert_int_equal(gy_worker_turn(&rig->worker, 20000000), 0);
}

/* Until the service has answered once more, or closed. */
static void await(struct rig *rig, uint32_t answers)
{
    for (int i = 0; i < 500 && rig->answers < answers && !rig->closed; i++) {
        turn(rig);
    }
    assert_true(rig->answers >= answers || rig->closed);
}

static int open_host(struct rig *rig, struct gy_rudp_host *host, struct gy_datagram_endpoint *end,
                     const struct gy_rudp_host_ops *ops, void *context,
                     struct gy_rudp_counts *counts)
{
    struct gy_error error = {0};
    const struct gy_rudp_host_options options = {.ops = ops,
                                                 .context = context,
                                                 .config = gy_rudp_host_config(),
                                                 .connections_max = 4,
                                                 .memory_bytes = 8u << 20,
                                                 .counts = counts};
    int code = gy_rudp_host_open(host, &rig->worker, &options, &error);
    code = code == 0 ? gy_datagram_endpoint_open(end, &rig->worker, &gy_rudp_host_datagrams, &error)
                     : code;
    end->state = host;
    return code;
}

static int set_up(void **state)
{
    struct rig *rig = aligned_alloc(64, (sizeof *rig + 63) & ~(size_t)63);
    struct gy_worker_options options = {.workers = 1,
                                        .processor = -1,
                                        .streams_max = 4,
                                        .datagrams_max = 4,
                                        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0)};
    struct gy_error error = {0};
    struct gy_address address;
    assert_non_null(rig);
    memset(rig, 0, sizeof *rig);
    rig->peers[0] = &rig->worker;
    if (gy_worker_open(&rig->worker, &options, rig->peers, &error) != 0) {
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        assert_int_equal(gy_worker_open(&rig->worker, &options, rig->peers, &error), 0);
    }
    strcpy(rig->folder, "/tmp/gyre-drop-test-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    rig->service = (struct gy_drop_service){.share = -1, .max_bytes = 100000};
    rig->service.drop = gy_file_open_directory(rig->folder, &error);
    assert_true(rig->service.drop >= 0);
    assert_int_equal(open_host(rig, &rig->server, &rig->server_end, &gy_drop_service_ops,
                               &rig->service, &rig->counts[0]),
                     0);
    assert_int_equal(
        open_host(rig, &rig->client, &rig->client_end, &client_ops, rig, &rig->counts[1]), 0);
    assert_int_equal(gy_drop_service_open(&rig->service, &rig->worker, &error), 0);
    assert_int_equal(gy_address_parse(&address, "127.0.0.1:0", &error), 0);
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(descriptor, &address.any, address.length), 0);
    assert_int_equal(gy_address_of_socket(&address, descriptor), 0);
    assert_non_null(gy_datagram_take(&rig->server_end, descriptor, NULL, &error));
    struct gy_datagram_socket *socket =
        gy_datagram_dial(&rig->client_end, &address, NULL, NULL, &error);
    assert_non_null(socket);
    rig->session = gy_rudp_host_dial(&rig->client, socket, rig);
    assert_non_null(rig->session);
    for (int i = 0; i < 200 && !rig->open; i++) {
        turn(rig);
    }
    assert_true(rig->open);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    char command[64];
    gy_datagrams_abort(&rig->worker);
    gy_worker_finish(&rig->worker);
    assert_int_equal(rig->server.memory.used, 0);
    gy_datagram_endpoint_close(&rig->server_end);
    gy_datagram_endpoint_close(&rig->client_end);
    gy_rudp_host_close(&rig->server);
    gy_rudp_host_close(&rig->client);
    gy_drop_service_close(&rig->service, &rig->worker);
    gy_worker_close(&rig->worker);
    close(rig->service.drop);
    snprintf(command, sizeof command, "rm -rf %s", rig->folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a folder of our own */
    free(rig);
    return 0;
}

/* ---- what a client says ---- */

static void offer(struct rig *rig, uint32_t transfer, const char *name, uint64_t size)
{
    gy_drop_say(rig->session, &(struct gy_drop_message){.type = GY_DROP_OFFER,
                                                        .transfer = transfer,
                                                        .size = size,
                                                        .data = (const uint8_t *)name,
                                                        .length = (uint32_t)strlen(name)});
}

static void from(struct rig *rig, uint64_t offset, uint64_t size)
{
    gy_drop_say(rig->session,
                &(struct gy_drop_message){
                    .type = GY_DROP_FROM, .transfer = 1, .offset = offset, .size = size});
}

static void data(struct rig *rig, uint64_t offset, const char *text)
{
    uint8_t out[64];
    size_t length = strlen(text);
    gy_drop_encode_data(1, offset, out);
    memcpy(out + GY_DROP_DATA_HEAD, text, length);
    assert_int_equal(
        gy_rudp_host_send_copy(rig->session, 0, GY_RUDP_ORDERED, out, GY_DROP_DATA_HEAD + length),
        0);
}

static void say_end(struct rig *rig, uint64_t size, const char *text)
{
    struct gy_drop_message message = {.type = GY_DROP_END, .transfer = 1, .size = size};
    struct gy_drop_hash hash;
    gy_drop_hash_begin(&hash);
    gy_drop_hash_add(&hash, text, strlen(text));
    gy_drop_hash_read(&hash, message.hash);
    gy_drop_say(rig->session, &message);
}

static void expect_result(struct rig *rig, uint32_t answers, unsigned result)
{
    await(rig, answers);
    assert_false(rig->closed);
    assert_int_equal(rig->last.type, GY_DROP_RESULT);
    assert_int_equal(rig->last.result, result);
}

/* An OFFER that is answered by HAVE. */
static void begin(struct rig *rig, uint64_t size)
{
    offer(rig, 1, "file", size);
    await(rig, 1);
    assert_int_equal(rig->last.type, GY_DROP_HAVE);
    assert_int_equal(rig->last.offset, 0);
}

static bool is_there(const struct rig *rig, const char *name)
{
    struct stat found;
    return fstatat(rig->service.drop, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- tests ---- */

static void an_honest_client_gets_its_file_named(void **state)
{
    struct rig *rig = *state;
    begin(rig, 10);
    from(rig, 0, 10);
    data(rig, 0, "hello ");
    data(rig, 6, "you!");
    say_end(rig, 10, "hello you!");
    expect_result(rig, 2, GY_DROP_DONE);
    assert_true(is_there(rig, "file"));
    assert_false(is_there(rig, ".file.part"));
}

static void more_data_than_announced_are_refused(void **state)
{
    struct rig *rig = *state;
    begin(rig, 5);
    from(rig, 0, 5);
    data(rig, 0, "hello ");
    expect_result(rig, 2, GY_DROP_PROTOCOL);
    assert_false(is_there(rig, "file"));
}

static void a_gap_between_data_is_refused(void **state)
{
    struct rig *rig = *state;
    begin(rig, 50);
    from(rig, 0, 50);
    data(rig, 0, "hello ");
    data(rig, 7, "you");
    expect_result(rig, 2, GY_DROP_PROTOCOL);
    assert_false(is_there(rig, "file"));
}

static void a_wrong_hash_is_told_and_nothing_stays(void **state)
{
    struct rig *rig = *state;
    begin(rig, 5);
    from(rig, 0, 5);
    data(rig, 0, "hello");
    say_end(rig, 5, "other");
    expect_result(rig, 2, GY_DROP_CORRUPT);
    assert_false(is_there(rig, "file"));
    assert_false(is_there(rig, ".file.part"));
}

static void an_end_before_all_has_come_is_told_and_nothing_stays(void **state)
{
    struct rig *rig = *state;
    begin(rig, 9);
    from(rig, 0, 9);
    data(rig, 0, "hello");
    say_end(rig, 5, "hello");
    expect_result(rig, 2, GY_DROP_CORRUPT);
    assert_false(is_there(rig, "file"));
    assert_false(is_there(rig, ".file.part"));
}

static void an_offset_that_was_not_said_is_refused(void **state)
{
    struct rig *rig = *state;
    begin(rig, 9);
    from(rig, 5, 9);
    expect_result(rig, 2, GY_DROP_PROTOCOL);
}

static void another_size_than_offered_is_refused(void **state)
{
    struct rig *rig = *state;
    begin(rig, 9);
    from(rig, 0, 10);
    expect_result(rig, 2, GY_DROP_PROTOCOL);
}

static void data_without_from_are_ignored_and_an_end_is_refused(void **state)
{
    struct rig *rig = *state;
    begin(rig, 5);
    data(rig, 0, "hello");
    say_end(rig, 5, "hello");
    expect_result(rig, 2, GY_DROP_PROTOCOL);
    assert_false(is_there(rig, "file"));
}

static void names_and_sizes_are_the_servers_to_refuse(void **state)
{
    struct rig *rig = *state;
    static const char *const names[] = {"..", "../file", "/file", ".file.part", "a/b", ""};
    uint32_t answers = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        offer(rig, 2, names[i], 1);
        expect_result(rig, ++answers, GY_DROP_NAME);
    }
    offer(rig, 2, "file", 100001);
    expect_result(rig, ++answers, GY_DROP_TOO_LARGE);
    gy_drop_say(rig->session, &(struct gy_drop_message){.type = GY_DROP_FETCH,
                                                        .transfer = 3,
                                                        .data = (const uint8_t *)"file",
                                                        .length = 4});
    expect_result(rig, ++answers, GY_DROP_NOT_HERE);
}

static void transfers_of_one_connection_have_a_bound(void **state)
{
    struct rig *rig = *state;
    char name[8];
    for (uint32_t i = 0; i < GY_DROP_TRANSFERS; i++) {
        snprintf(name, sizeof name, "f%u", i);
        offer(rig, 10 + i, name, 5);
        await(rig, i + 1);
        assert_int_equal(rig->last.type, GY_DROP_HAVE);
    }
    offer(rig, 50, "more", 5);
    expect_result(rig, GY_DROP_TRANSFERS + 1, GY_DROP_LIMIT);
    /* The connection goes, and so do parts with nothing in them. */
    gy_rudp_host_end(rig->session, 0, "gone");
    for (int i = 0; i < 300 && (rig->server.memory.used > 0 || is_there(rig, ".f0.part")); i++) {
        turn(rig);
    }
    assert_false(is_there(rig, ".f0.part"));
}

static void what_cannot_be_read_closes_the_connection(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(gy_rudp_host_send_copy(rig->session, 0, GY_RUDP_ORDERED, "\x09nonsense", 9),
                     0);
    await(rig, 1);
    assert_true(rig->closed);
    assert_int_equal(rig->close_code, 0x101);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_honest_client_gets_its_file_named),
        TEST(more_data_than_announced_are_refused),
        TEST(a_gap_between_data_is_refused),
        TEST(a_wrong_hash_is_told_and_nothing_stays),
        TEST(an_end_before_all_has_come_is_told_and_nothing_stays),
        TEST(an_offset_that_was_not_said_is_refused),
        TEST(another_size_than_offered_is_refused),
        TEST(data_without_from_are_ignored_and_an_end_is_refused),
        TEST(names_and_sizes_are_the_servers_to_refuse),
        TEST(transfers_of_one_connection_have_a_bound),
        TEST(what_cannot_be_read_closes_the_connection),
    };
    return cmocka_run_group_tests_name("drop_service", tests, NULL, NULL);
}
