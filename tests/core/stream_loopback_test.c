/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Streams on the real ring, over loopback. Run once in each receive mode, and once without each
 * feature of the ring:
 *
 *     stream_loopback_test MODE [without FEATURE]
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/core/loopback.h"

/* Waits for what the worker's thread does in its time. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        for (int tries = 0; tries < 20000 && !(condition); tries++) {                              \
            usleep(1000);                                                                          \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static enum gy_receive_mode forced_mode;
static uint32_t forced_without;

static struct loopback *open_with(struct loopback_options options)
{
    options.mode = forced_mode;
    options.without = forced_without;
    return loopback_open(&options);
}

static struct loopback *open_default(const char *test)
{
    deadline(test, 30);
    return open_with((struct loopback_options){0});
}

/* Few and small buffers: every receive may find none. */
static struct gy_pool_options tiny_pool(void)
{
    return (struct gy_pool_options){
        .group = 0, .buffer_bytes = 256, .buffers = 4, .posted = 2, .mode = forced_mode};
}

struct echoed {
    int client;
    uint32_t number;
    uint64_t total;
    uint64_t sent;
    uint64_t got;
    bool shut;
};

/* Sends the next odd-sized piece if the socket takes it, and checks what came back. */
static void echo_step(struct echoed *echoed, short events, uint64_t *random)
{
    uint8_t piece[20011];
    if ((events & POLLOUT) && echoed->sent < echoed->total) {
        uint64_t size = 1 + random_next(random) % sizeof piece;
        size = size < echoed->total - echoed->sent ? size : echoed->total - echoed->sent;
        size = random_next(random) % 4 == 0 ? 1 : size;
        pattern_fill(piece, (uint32_t)size, echoed->number, echoed->sent);
        ssize_t sent = send(echoed->client, piece, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(sent > 0 || errno == EAGAIN);
        echoed->sent += sent > 0 ? (uint64_t)sent : 0;
    }
    if (events & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t got = recv(echoed->client, piece, sizeof piece, MSG_DONTWAIT);
        assert_true(got > 0 || (got < 0 && errno == EAGAIN));
        if (got > 0) {
            assert_true(pattern_matches(piece, (uint32_t)got, echoed->number, echoed->got));
            echoed->got += (uint64_t)got;
        }
    }
}

static void echo_many(struct loopback *loopback, uint32_t connections, uint64_t bytes_each,
                      uint64_t seed)
{
    struct echoed *echoes = calloc(connections, sizeof *echoes);
    struct pollfd *polled = calloc(connections, sizeof *polled);
    uint64_t random = seed;
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < connections; i++) {
        echoes[i] = (struct echoed){.client = client_connect(loopback),
                                    .number = i,
                                    .total = bytes_each / 2 + random_next(&random) % bytes_each};
        client_send(echoes[i].client, "E", 1);
    }
    uint32_t left = connections;
    while (left > 0) {
        for (uint32_t i = 0; i < connections; i++) {
            bool done = echoes[i].got == echoes[i].total;
            polled[i] = (struct pollfd){.fd = done ? -1 : echoes[i].client, .events = POLLIN};
            polled[i].events |= echoes[i].sent < echoes[i].total ? POLLOUT : 0;
        }
        if (poll(polled, connections, 10000) < 1) {
            fail_msg("seed %llu: nothing happened, %u connections are left",
                     (unsigned long long)seed, left);
        }
        for (uint32_t i = 0; i < connections; i++) {
            if (polled[i].revents != 0) {
                echo_step(&echoes[i], polled[i].revents, &random);
                left -= echoes[i].got == echoes[i].total;
            }
        }
    }
    for (uint32_t i = 0; i < connections; i++) {
        char byte;
        assert_int_equal(shutdown(echoes[i].client, SHUT_WR), 0);
        assert_int_equal(client_read(echoes[i].client, &byte, 1), 0);
        close(echoes[i].client);
    }
    free(echoes);
    free(polled);
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

static int find_feature(const char *name)
{
#define GY_RING_FEATURE_NAMED(feature, bit, since, instead)                                        \
    if (strcmp(name, #feature) == 0) {                                                             \
        forced_without = GY_RING_##feature;                                                        \
        return 0;                                                                                  \
    }
    GY_RING_FEATURES(GY_RING_FEATURE_NAMED)
#undef GY_RING_FEATURE_NAMED
    return -1;
}

int main(int argc, char **argv)
{
    if (argc < 2 || gy_receive_mode_parse(argv[1], &forced_mode) != 0 ||
        (argc > 3 && find_feature(argv[3]) != 0)) {
        fprintf(stderr, "usage: stream_loopback_test MODE [without FEATURE]\n");
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_of_odd_sizes_on_many_connections_are_intact),
        cmocka_unit_test(with_a_tiny_pool_receives_starve_and_nothing_is_lost),
        cmocka_unit_test(with_a_tiny_ring_nothing_is_lost),
        cmocka_unit_test(completions_that_overflow_their_queue_are_counted_and_not_lost),
        cmocka_unit_test(with_low_marks_nothing_is_lost),
        cmocka_unit_test(after_the_peers_half_close_the_whole_answer_arrives),
        cmocka_unit_test(after_our_half_close_we_still_read),
        cmocka_unit_test(a_reset_amid_a_send_ends_the_stream),
        cmocka_unit_test(a_slow_reader_holds_up_nobody_but_itself),
        cmocka_unit_test(a_session_that_does_not_eat_stops_its_peer),
        cmocka_unit_test(a_hundred_megabytes_arrive_intact),
        cmocka_unit_test(a_hundred_megabytes_leave_intact),
        cmocka_unit_test(many_sources_share_few_output_blocks),
        cmocka_unit_test(thousands_of_short_connections_leave_nothing_behind),
        cmocka_unit_test(a_close_under_an_armed_receive_sends_its_end_and_delivers_no_more),
        cmocka_unit_test(a_lingering_close_lets_a_peer_that_still_sends_read_the_answer),
        cmocka_unit_test(a_send_nobody_reads_ends_at_the_write_deadline),
        cmocka_unit_test(a_slow_reader_that_goes_on_reading_outlives_the_write_deadline),
        cmocka_unit_test(stopping_with_connections_in_every_state_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("stream_loopback", tests, NULL, NULL);
}
