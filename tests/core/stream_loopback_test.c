/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What streams on the real ring bring over loopback is whole, whatever is scarce. Run once in each
 * receive mode, and once without each feature of the ring:
 *
 *     stream_loopback_test MODE [without FEATURE]
 */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/core/stream_rig.h"

/* Few and small buffers: every receive may find none. */
static struct gy_pool_options tiny_pool(void)
{
    return (struct gy_pool_options){
        .group = 0, .buffer_bytes = 256, .buffers = 4, .posted = 2, .mode = forced_mode};
}

static void echoes_of_odd_sizes_on_many_connections_are_intact(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    echo_many(loopback, 40, 120000, random_seed(0xec40));
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, closed_peer), 40);
    assert_int_equal(loopback_counter(loopback, received_bytes),
                     loopback_counter(loopback, sent_bytes) + 40);
    loopback_close(loopback);
}

static void with_a_tiny_pool_receives_starve_and_nothing_is_lost(void **state)
{
    (void)state;
    deadline(__func__, 30);
    struct loopback *loopback = open_with((struct loopback_options){.pool = tiny_pool()});
    echo_many(loopback, 24, 20000, random_seed(0x7149));
    loopback_await_open(loopback, 0);
    if (forced_mode != GY_RECEIVE_BUNDLE) {
        assert_true(loopback_counter(loopback, enobufs) > 0);
    }
    assert_int_equal(loopback_counter(loopback, closed_error), 0); /* no buffer was misordered */
    loopback_close(loopback);
}

static void with_a_tiny_ring_nothing_is_lost(void **state)
{
    (void)state;
    deadline(__func__, 30);
    struct loopback_options options = {.ring = {.entries = 4, .completion_entries = 8}};
    struct loopback *loopback = open_with(options);
    echo_many(loopback, 40, 20000, random_seed(0x7151));
    loopback_await_open(loopback, 0);
    loopback_close(loopback);
}

static void completions_that_overflow_their_queue_are_counted_and_not_lost(void **state)
{
    (void)state;
    deadline(__func__, 30);
    struct loopback_options options = {.ring = {.entries = 4, .completion_entries = 8}};
    struct loopback *loopback = open_with(options);
    int clients[60];
    char answer[3];
    for (int i = 0; i < 60; i++) {
        clients[i] = client_connect(loopback);
        client_send(clients[i], "A?", 2);
        assert_int_equal(client_read(clients[i], answer, 1), 1);
    }
    int stall = client_connect(loopback);
    client_send(stall, "Z", 1);
    AWAIT(atomic_load(&loopback->stalls));
    for (int i = 0; i < 60; i++) {
        client_send(clients[i], "???", 3);
    }
    atomic_store(&loopback->go_on, true);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(client_read(clients[i], answer, 3), 3);
        close(clients[i]);
    }
    close(stall);
    loopback_await_open(loopback, 0);
    assert_true(loopback_counter(loopback, cq_overflows) > 0);
    loopback_close(loopback);
}

static void with_low_marks_nothing_is_lost(void **state)
{
    (void)state;
    deadline(__func__, 30);
    struct loopback_options options = {
        .limits = {.receive_high_bytes = 3000, .receive_low_bytes = 1000, .send_high_bytes = 2000}};
    struct loopback *loopback = open_with(options);
    echo_many(loopback, 16, 100000, random_seed(0x104a));
    /* A client that sends until nothing goes any more, and only then reads. */
    int client = client_connect(loopback);
    struct pollfd polled = {.fd = client, .events = POLLOUT};
    uint64_t sent = 0;
    client_send(client, "E", 1);
    while (poll(&polled, 1, 200) == 1) {
        ssize_t now = send(client, loopback_pattern + sent % PATTERN_PERIOD, 60000,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(now > 0 || errno == EAGAIN);
        sent += now > 0 ? (uint64_t)now : 0;
    }
    AWAIT(loopback_counter(loopback, paused_high_water) > 0);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    uint8_t *data = malloc(60000);
    for (uint64_t got = 0; got < sent;) {
        size_t piece = sent - got < 60000 ? (size_t)(sent - got) : 60000;
        assert_int_equal(client_read(client, data, piece), piece);
        assert_memory_equal(data, loopback_pattern + got % PATTERN_PERIOD, piece);
        got += piece;
    }
    free(data);
    close(client);
    loopback_await_open(loopback, 0);
    loopback_close(loopback);
}

static void a_slow_reader_holds_up_nobody_but_itself(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    uint64_t wanted = 40000000;
    int slow = client_connect(loopback);
    client_send(slow, "G", 1);
    client_send(slow, &wanted, 8);
    uint64_t before;
    int tries = 0;
    do { /* again where the worker was held up, and not the reader */
        do {
            before = atomic_load(&loopback->made);
            usleep(50000);
        } while (atomic_load(&loopback->made) != before || before == 0);
        echo_many(loopback, 4, 30000, random_seed(0x510b));
    } while (atomic_load(&loopback->made) != before && ++tries < 10);
    /* It stands still, bounded: what the sockets hold and what `out` may hold. */
    assert_true(tries < 10 && before < wanted);
    assert_true(atomic_load(&loopback->out_max) <= 262144 + 10007);
    uint8_t *data = malloc(65521);
    for (uint64_t got = 0; got < wanted;) {
        size_t piece = wanted - got < 65521 ? (size_t)(wanted - got) : 65521;
        assert_int_equal(client_read(slow, data, piece), piece);
        assert_memory_equal(data, loopback_pattern + got % PATTERN_PERIOD, piece);
        got += piece;
    }
    assert_int_equal(client_read(slow, data, 1), 0);
    free(data);
    close(slow);
    loopback_await_open(loopback, 0);
    loopback_close(loopback);
}

static void a_session_that_does_not_eat_stops_its_peer(void **state)
{
    (void)state;
    deadline(__func__, 30);
    struct loopback_options options = {
        .limits = {.receive_high_bytes = 100000, .receive_low_bytes = 50000}};
    struct loopback *loopback = open_with(options);
    int client = client_connect(loopback);
    client_send(client, "I", 1);
    int bytes = 65536;
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    uint64_t sent = 0;
    struct pollfd polled = {.fd = client, .events = POLLOUT};
    while (sent < 200000000 && poll(&polled, 1, 300) == 1) {
        ssize_t now = send(client, loopback_pattern, 65521, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(now > 0 || errno == EAGAIN);
        sent += now > 0 ? (uint64_t)now : 0;
    }
    assert_true(sent < 64000000); /* what the kernel's socket buffers take */
    AWAIT(loopback_counter(loopback, paused_high_water) > 0);
    /* Past the mark by what was on its way when the cancel was made. */
    assert_true(atomic_load(&loopback->in_max) >= 100000);
    assert_true(atomic_load(&loopback->in_max) <= 100000 + 2200000);
    assert_int_equal(loopback_counter(loopback, paused_high_water), 1);
    close(client);
    loopback_close(loopback);
}

static void a_hundred_megabytes_arrive_intact(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    uint64_t total = forced_without != 0 ? 8000003 : 100000007;
    int client = client_connect(loopback);
    client_send(client, "S", 1);
    for (uint64_t sent = 0; sent < total;) {
        size_t piece = total - sent < 131072 ? (size_t)(total - sent) : 131072;
        client_send(client, loopback_pattern + sent % PATTERN_PERIOD,
                    piece > 65521 ? 65521 : piece);
        sent += piece > 65521 ? 65521 : piece;
    }
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    uint64_t counted = 0;
    assert_int_equal(client_read(client, &counted, 8), 8);
    assert_int_equal(counted, total);
    assert_int_equal(atomic_load(&loopback->wrong), 0);
    close(client);
    loopback_close(loopback);
}

static void a_hundred_megabytes_leave_intact(void **state)
{
    (void)state;
    struct loopback *loopback = open_default(__func__);
    uint64_t total = forced_without != 0 ? 8000003 : 100000007;
    int client = client_connect(loopback);
    client_send(client, "G", 1);
    client_send(client, &total, 8);
    uint8_t *data = malloc(65521);
    for (uint64_t got = 0; got < total;) {
        size_t piece = total - got < 65521 ? (size_t)(total - got) : 65521;
        assert_int_equal(client_read(client, data, piece), piece);
        assert_memory_equal(data, loopback_pattern + got % PATTERN_PERIOD, piece);
        got += piece;
    }
    assert_int_equal(client_read(client, data, 1), 0);
    assert_int_equal(loopback_counter(loopback, sent_bytes), total);
    free(data);
    close(client);
    loopback_close(loopback);
}

static void many_sources_share_few_output_blocks(void **state)
{
    (void)state;
    deadline(__func__, 30);
    struct loopback *loopback = open_with((struct loopback_options){.blocks_max = 4});
    uint64_t total = 300007;
    int clients[12];
    for (int i = 0; i < 12; i++) {
        clients[i] = client_connect(loopback);
        client_send(clients[i], "G", 1);
        client_send(clients[i], &total, 8);
    }
    uint8_t *data = malloc(total);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(client_read(clients[i], data, total), total);
        for (uint32_t at = 0; at < total; at += 60000) {
            uint32_t piece = total - at < 60000 ? (uint32_t)total - at : 60000;
            assert_memory_equal(data + at, loopback_pattern + at % PATTERN_PERIOD, piece);
        }
        close(clients[i]);
    }
    free(data);
    loopback_close(loopback);
}

int main(int argc, char **argv)
{
    if (!forced_read("stream_loopback_test", argc, argv)) {
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_of_odd_sizes_on_many_connections_are_intact),
        cmocka_unit_test(with_a_tiny_pool_receives_starve_and_nothing_is_lost),
        cmocka_unit_test(with_a_tiny_ring_nothing_is_lost),
        cmocka_unit_test(completions_that_overflow_their_queue_are_counted_and_not_lost),
        cmocka_unit_test(with_low_marks_nothing_is_lost),
        cmocka_unit_test(a_slow_reader_holds_up_nobody_but_itself),
        cmocka_unit_test(a_session_that_does_not_eat_stops_its_peer),
        cmocka_unit_test(a_hundred_megabytes_arrive_intact),
        cmocka_unit_test(a_hundred_megabytes_leave_intact),
        cmocka_unit_test(many_sources_share_few_output_blocks),
    };
    return cmocka_run_group_tests_name("stream_loopback", tests, NULL, NULL);
}
