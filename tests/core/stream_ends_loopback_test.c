/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How streams on the real ring end, over loopback: half closes, resets, deadlines, a server that
 * stops. Run once in each receive mode, and once without each feature of the ring:
 *
 *     stream_ends_loopback_test MODE [without FEATURE]
 */

#include <dirent.h>
#include <sys/socket.h>

#include "tests/core/stream_rig.h"

static void after_the_peers_half_close_the_whole_answer_arrives(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    for (uint32_t bytes = 1; bytes < 200000; bytes = bytes * 7 + 3) {
        uint8_t *data = malloc(bytes + 1);
        uint8_t *back = malloc(bytes + 1);
        pattern_fill(data + 1, bytes, bytes, 0);
        data[0] = 'E';
        int client = client_connect(loopback);
        client_send(client, data, bytes + 1); /* fits the buffers of both */
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        assert_int_equal(client_read(client, back, bytes + 1), bytes);
        assert_memory_equal(back, data + 1, bytes);
        close(client);
        free(data);
        free(back);
    }
    loopback_await_open(loopback, 0);
    loopback_close(loopback);
}

/* Of this process, those that the kernel started to go on with what the ring was asked for. */
static uint32_t kernels_threads(void)
{
    uint32_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            count += fgets(name, sizeof name, file) != NULL && strncmp(name, "iou-wrk", 7) == 0;
            fclose(file);
        }
    }
    closedir(tasks);
    return count;
}

static void peers_that_shut_their_side_and_do_not_read_cost_no_thread_each(void **state)
{
    (void)state;
    enum { CLIENTS = 12 };
    static uint8_t data[16000000]; /* more than the buffers of both */
    deadline(__func__, 30);
    struct loopback *loopback = open_with((struct loopback_options){.blocks_max = 2048});
    int clients[CLIENTS];
    uint64_t wanted = sizeof data;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(loopback);
        client_send(clients[i], "G", 1);
        client_send(clients[i], &wanted, sizeof wanted);
        assert_int_equal(shutdown(clients[i], SHUT_WR), 0);
    }
    loopback_await_open(loopback, CLIENTS);
    usleep(300000);
    assert_true(kernels_threads() < CLIENTS / 2);
    for (int i = 0; i < CLIENTS; i++) {
        if (i < 3) {
            assert_int_equal(client_read(clients[i], data, sizeof data), sizeof data);
        }
        close(clients[i]);
    }
    loopback_await_open(loopback, 0);
    loopback_close(loopback);
}

static void after_our_half_close_we_still_read(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    int client = client_connect(loopback);
    char text[8];
    client_send(client, "H", 1);
    assert_int_equal(client_read(client, text, sizeof text), 4);
    assert_memory_equal(text, "half", 4);
    for (uint32_t i = 0; i < 20; i++) {
        client_send(client, loopback_pattern + i * 3000, 3000);
    }
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    loopback_await_open(loopback, 0);
    assert_int_equal(atomic_load(&loopback->sunk), 60000);
    close(client);
    loopback_close(loopback);
}

static void a_reset_amid_a_send_ends_the_stream(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    for (int i = 0; i < 10; i++) {
        uint64_t wanted = 50000000;
        char some[1000];
        int client = client_connect(loopback);
        client_send(client, "G", 1);
        client_send(client, &wanted, 8);
        assert_int_equal(client_read(client, some, sizeof some), sizeof some);
        client_reset(client);
        loopback_await_open(loopback, 0);
    }
    assert_int_equal(loopback_counter(loopback, closed_reset), 10);
    loopback_close(loopback);
}

static void thousands_of_short_connections_leave_nothing_behind(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    uint32_t descriptors = descriptors_open();
    uint32_t rounds = forced_without != 0 ? 6 : 50;
    for (uint32_t round = 0; round < rounds; round++) {
        int clients[50];
        char answer[4];
        for (int i = 0; i < 50; i++) {
            clients[i] = client_connect(loopback);
            client_send(clients[i], i % 2 == 0 ? "Lx" : "A?", 2);
        }
        for (int i = 0; i < 50; i++) {
            if (i % 2 == 0) {
                assert_int_equal(client_read(clients[i], answer, 4), 3);
                assert_memory_equal(answer, "bye", 3);
            } else {
                assert_int_equal(client_read(clients[i], answer, 1), 1);
            }
            close(clients[i]);
        }
    }
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, connections_accepted), rounds * 50);
    assert_true(atomic_load(&loopback->slot_max) < 200);
    for (int i = 0; i < 1000 && descriptors_open() != descriptors; i++) {
        usleep(1000);
    }
    assert_int_equal(descriptors_open(), descriptors);
    loopback_close(loopback);
}

static void a_close_under_an_armed_receive_sends_its_end_and_delivers_no_more(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    for (int i = 0; i < 100; i++) {
        char byte;
        int client = client_connect(loopback);
        client_send(client, "C", 1);
        assert_int_equal(client_read(client, &byte, 1), 0);
        uint64_t received = loopback_counter(loopback, received_bytes);
        send(client, "late", 4, MSG_NOSIGNAL); /* must reach no session, this one's or another's */
        int next = client_connect(loopback);
        client_send(next, "E", 1);
        client_send(next, "abc", 3);
        char back[3];
        assert_int_equal(client_read(next, back, 3), 3);
        assert_memory_equal(back, "abc", 3);
        assert_int_equal(loopback_counter(loopback, received_bytes), received + 4);
        close(next);
        close(client);
    }
    loopback_await_open(loopback, 0);
    loopback_close(loopback);
}

static void a_lingering_close_lets_a_peer_that_still_sends_read_the_answer(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    for (int i = 0; i < 20; i++) {
        int client = client_connect(loopback);
        char answer[4];
        client_send(client, "L", 1);
        client_send(client, loopback_pattern, 60000);
        usleep(2000);
        send(client, loopback_pattern, 60000, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_int_equal(client_read(client, answer, 4), 3);
        assert_memory_equal(answer, "bye", 3);
        close(client);
    }
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, timeouts_linger), 0);
    loopback_close(loopback);
}

static void a_send_nobody_reads_ends_at_the_write_deadline(void **state)
{
    (void)state;
    deadline(__func__, 30);
    struct loopback *loopback =
        open_with((struct loopback_options){.limits = {.write_timeout_ms = 300}});
    uint64_t wanted = 60000000;
    int client = client_connect(loopback);
    client_send(client, "G", 1);
    client_send(client, &wanted, 8);
    AWAIT(loopback_counter(loopback, connections_accepted) == 1);
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, closed_timeout), 1);
    assert_int_equal(loopback_counter(loopback, timeouts_write), 1);
    close(client);
    loopback_close(loopback);
}

/* Reads 20 times with pauses of a quarter of the deadline. Whether the connection was there then.
 */
static bool slow_reader_outlives(uint32_t write_timeout_ms)
{
    struct loopback *loopback =
        open_with((struct loopback_options){.limits = {.write_timeout_ms = write_timeout_ms}});
    uint64_t wanted = 60000000;
    int client = client_connect(loopback);
    int bytes = 16384;
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    client_send(client, "G", 1);
    client_send(client, &wanted, 8);
    uint8_t *data = malloc(40000);
    bool open = true;
    for (int i = 0; i < 20 && open; i++) {
        open = client_read(client, data, 40000) == 40000;
        usleep(write_timeout_ms * 250);
    }
    open = open && loopback_counter(loopback, timeouts_write) == 0;
    /* Then it reads no more. */
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, timeouts_write), 1);
    free(data);
    close(client);
    loopback_close(loopback);
    return open;
}

static void a_slow_reader_that_goes_on_reading_outlives_the_write_deadline(void **state)
{
    (void)state;
    deadline(__func__, 40);
    /* A reader that is itself held up for as long is cut off rightly. */
    assert_true(slow_reader_outlives(200) || slow_reader_outlives(1000) ||
                slow_reader_outlives(5000));
}

static void stopping_with_connections_in_every_state_leaves_nothing_behind(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    static const char kinds[] = "EIGLHAS";
    int clients[56];
    uint64_t wanted = 30000000;
    for (int i = 0; i < 56; i++) {
        clients[i] = client_connect(loopback);
        client_send(clients[i], &kinds[i % 7], 1);
        client_send(clients[i], kinds[i % 7] == 'G' ? (void *)&wanted : loopback_pattern, 8);
    }
    usleep(20000);
    loopback_close_with_clients(loopback, 56);
    for (int i = 0; i < 56; i++) {
        close(clients[i]);
    }
}

int main(int argc, char **argv)
{
    if (!forced_read("stream_ends_loopback_test", argc, argv)) {
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_the_peers_half_close_the_whole_answer_arrives),
        cmocka_unit_test(peers_that_shut_their_side_and_do_not_read_cost_no_thread_each),
        cmocka_unit_test(after_our_half_close_we_still_read),
        cmocka_unit_test(a_reset_amid_a_send_ends_the_stream),
        cmocka_unit_test(thousands_of_short_connections_leave_nothing_behind),
        cmocka_unit_test(a_close_under_an_armed_receive_sends_its_end_and_delivers_no_more),
        cmocka_unit_test(a_lingering_close_lets_a_peer_that_still_sends_read_the_answer),
        cmocka_unit_test(a_send_nobody_reads_ends_at_the_write_deadline),
        cmocka_unit_test(a_slow_reader_that_goes_on_reading_outlives_the_write_deadline),
        cmocka_unit_test(stopping_with_connections_in_every_state_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("stream_ends_loopback", tests, NULL, NULL);
}
