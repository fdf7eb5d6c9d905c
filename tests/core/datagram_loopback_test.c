/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams on the real ring, over loopback, in each mode: a worker that echoes, in a thread of its
 * own, and plain sockets that talk to it.
 *
 *     core_datagram_loopback_test RECEIVE SEND [trains] [without FEATURE]
 *
 * RECEIVE and SEND are modes of core/datagram.h. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>

#include "core/datagram.h"
#include "tests/core/core_harness.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static struct {
    enum gy_datagram_mode receive_mode;
    enum gy_datagram_mode send_mode;
    bool trains;
    uint32_t without;
} given;

/* ---- the server ---- */

struct echo {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_server server;
    struct gy_datagram_options options;
    struct gy_address address;
    int bound;
    int code;
    struct gy_error error;
    sem_t opened;
    pthread_t thread;
    uint32_t descriptors; /* before it was opened, and of clients that outlive it */
    _Atomic uint32_t ecn; /* of the last datagram */
    _Atomic uint32_t wrong;
};

static void echo_receive(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                         uint32_t count)
{
    struct echo *echo = socket->endpoint->context;
    for (uint32_t i = 0; i < count; i++) {
        struct gy_slice slice = datagrams[i].slice;
        struct gy_datagram_path path = *datagrams[i].path;
        atomic_store(&echo->ecn, path.ecn);
        if (IN6_IS_ADDR_UNSPECIFIED(&path.local) || datagrams[i].truncated) {
            atomic_fetch_add(&echo->wrong, 1);
        }
        if (gy_datagram_send(socket, &path,
                             gy_slice_of(slice.buffer, slice.offset, slice.length)) != 0) {
            atomic_fetch_add(&echo->wrong, 1);
        }
    }
}

static const struct gy_datagram_ops echo_ops = {.receive = echo_receive};

static void *echo_run(void *argument)
{
    struct echo *echo = argument;
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 64,
        .ring.without = given.without,
        .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0),
    };
    echo->code = gy_worker_open(&echo->worker, &options, echo->peers, &echo->error);
    bool open = echo->code == 0;
    if (open) {
        echo->code = gy_worker_serve(&echo->worker, &echo->server, &echo->error);
    }
    int code = echo->code;
    sem_post(&echo->opened);
    if (code == 0) {
        code = gy_worker_run(&echo->worker);
    }
    if (open) {
        gy_worker_close(&echo->worker);
    }
    return code == 0 ? echo : NULL;
}

static struct echo *echo_open(const char *address)
{
    struct gy_listen_options listen = {.datagrams = true};
    struct echo *echo = aligned_alloc(64, (sizeof *echo + 63) & ~(size_t)63);
    assert_non_null(echo);
    memset(echo, 0, sizeof *echo);
    echo->descriptors = descriptors_open();
    echo->peers[0] = &echo->worker;
    assert_int_equal(gy_address_parse(&echo->address, address, NULL), 0);
    int code = gy_address_listen(&echo->address, 1, &echo->bound, &listen, &echo->error);
    if (code == GY_ENOTSUP || code == GY_EINVAL) {
        free(echo); /* no IPv6 here */
        skip();
    }
    assert_int_equal(code, 0);
    assert_int_equal(gy_address_of_socket(&echo->address, echo->bound), 0);
    echo->options = (struct gy_datagram_options){
        .ops = &echo_ops,
        .receive_mode = given.receive_mode,
        .send_mode = given.send_mode,
        .gro = given.trains,
        .gso = given.trains,
        .ecn = true,
        .message_bytes = GY_DATAGRAM_BYTES_MAX,
        .buffers = 64,
        .posted = 16,
    };
    echo->server = (struct gy_server){
        .name = "echo", .context = echo, .descriptors = &echo->bound, .datagrams = &echo->options};
    sem_init(&echo->opened, 0, 0);
    assert_int_equal(pthread_create(&echo->thread, NULL, echo_run, echo), 0);
    sem_wait(&echo->opened);
    if (echo->code != 0) {
        pthread_join(echo->thread, NULL);
        close(echo->bound);
        bool lacks = echo->code == GY_ENOTSUP;
        if (!lacks) {
            fail_msg("%s", echo->error.message);
        }
        free(echo);
        skip();
        return NULL;
    }
    return echo;
}

static void echo_close(struct echo *echo, uint64_t kind)
{
    struct gy_message message = {.kind = (uint32_t)kind, .numbers = {5000, 1}};
    assert_int_equal(gy_worker_post(NULL, &echo->worker, &message), 0);
    void *result;
    assert_int_equal(pthread_join(echo->thread, &result), 0);
    assert_ptr_equal(result, echo);
    assert_int_equal(atomic_load(&echo->wrong), 0);
    for (int i = 0; i < 20000 && descriptors_open() != echo->descriptors; i++) {
        usleep(1000);
    }
    assert_int_equal(descriptors_open(), echo->descriptors);
    sem_destroy(&echo->opened);
    free(echo);
}

/* ---- clients ---- */

/* Connected to `host` at the server's port. */
static int client_to(const struct echo *echo, const char *host)
{
    char text[64];
    struct gy_address to;
    struct timeval patience = {.tv_sec = 10};
    snprintf(text, sizeof text, "%s:%u", host, gy_address_port(&echo->address));
    assert_int_equal(gy_address_parse(&to, text, NULL), 0);
    int fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    /* Connected: an answer from another address would not come in. */
    assert_int_equal(connect(fd, &to.any, to.length), 0);
    return fd;
}

static void exchange(int fd, uint32_t bytes, uint32_t number)
{
    static uint8_t out[GY_DATAGRAM_BYTES_MAX];
    static uint8_t in[GY_DATAGRAM_BYTES_MAX + 1];
    pattern_fill(out, bytes, number, 0);
    assert_int_equal(send(fd, out, bytes, 0), bytes);
    ssize_t got = receive_on(fd, in, sizeof in);
    if (got != (ssize_t)bytes) {
        fail_msg("%zd bytes came back of %u: %s", got, bytes, got < 0 ? strerror(errno) : "");
    }
    assert_memory_equal(in, out, bytes);
}

static void every_length_comes_back_whole(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 1, 2, 63, 64, 512, 1471, 1472, 1473, 4096, 16384, 65507};
    struct echo *echo = echo_open("127.0.0.1:0");
    int fd = client_to(echo, "127.0.0.1");
    for (uint32_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        exchange(fd, lengths[i], i);
    }
    close(fd);
    echo_close(echo, GY_MESSAGE_STOP);
}

static void answers_leave_from_the_address_that_was_asked(void **state)
{
    (void)state;
    struct echo *echo = echo_open("0.0.0.0:0");
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.2", "127.8.9.10"};
    for (uint32_t i = 0; i < 3; i++) {
        int fd = client_to(echo, hosts[i]);
        exchange(fd, 100, i);
        close(fd);
    }
    echo_close(echo, GY_MESSAGE_STOP);
}

static void one_socket_answers_both_families(void **state)
{
    (void)state;
    struct echo *echo = echo_open(":0");
    static const char *const hosts[] = {"127.0.0.2", "[::1]"};
    for (uint32_t i = 0; i < (echo->address.any.sa_family == AF_INET6 ? 2 : 1); i++) {
        int fd = client_to(echo, hosts[i]);
        exchange(fd, 100, i);
        close(fd);
    }
    echo_close(echo, GY_MESSAGE_STOP);
}

static void ipv6_alone_answers_ipv6(void **state)
{
    (void)state;
    struct echo *echo = echo_open("[::1]:0");
    int fd = client_to(echo, "[::1]");
    exchange(fd, 1000, 1);
    exchange(fd, 20000, 2);
    close(fd);
    echo_close(echo, GY_MESSAGE_STOP);
}

static void the_ecn_is_seen_and_comes_back(void **state)
{
    (void)state;
    struct echo *echo = echo_open(":0");
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    for (uint32_t i = 0; i < (echo->address.any.sa_family == AF_INET6 ? 2 : 1); i++) {
        int fd = client_to(echo, hosts[i]);
        int class = 1;
        setsockopt(fd, IPPROTO_IP, IP_TOS, &class, sizeof class);
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class);
        exchange(fd, 10, i);
        assert_int_equal(atomic_load(&echo->ecn), 1);
        close(fd);
    }
    echo_close(echo, GY_MESSAGE_STOP);
}

/* What `count` sends of one datagram each, all under way at once, came to. */
static void many_from_many(struct echo *echo, uint32_t clients, uint32_t rounds)
{
    int fds[64];
    uint8_t in[256];
    assert_true(clients <= 64);
    for (uint32_t c = 0; c < clients; c++) {
        fds[c] = client_to(echo, "127.0.0.1");
    }
    for (uint32_t r = 0; r < rounds; r++) {
        uint8_t out[200];
        for (uint32_t c = 0; c < clients; c++) {
            pattern_fill(out, sizeof out, c, r);
            assert_int_equal(send(fds[c], out, sizeof out, 0), sizeof out);
        }
        for (uint32_t c = 0; c < clients; c++) {
            assert_int_equal(receive_on(fds[c], in, sizeof in), 200);
            assert_true(pattern_matches(in, 200, c, r));
        }
    }
    for (uint32_t c = 0; c < clients; c++) {
        close(fds[c]);
    }
}

static void each_of_many_peers_gets_its_own(void **state)
{
    (void)state;
    struct echo *echo = echo_open("127.0.0.1:0");
    many_from_many(echo, 64, 50);
    assert_int_equal(gy_counter_read(&echo->worker.counters.datagrams_received), 3200);
    echo_close(echo, GY_MESSAGE_STOP);
}

/* A train, if the test is about them; else one by one. */
static void send_train(int fd, const uint8_t *data, uint32_t bytes, uint16_t segment)
{
    if (!given.trains) {
        for (uint32_t at = 0; at < bytes; at += segment) {
            uint32_t length = bytes - at < segment ? bytes - at : segment;
            assert_int_equal(send(fd, data + at, length, 0), length);
        }
        return;
    }
    int value = segment;
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, sizeof value), 0);
    assert_int_equal(send(fd, data, bytes, 0), bytes);
}

static void trains_come_back_datagram_by_datagram(void **state)
{
    (void)state;
    struct echo *echo = echo_open("127.0.0.1:0");
    static const struct {
        uint32_t bytes;
        uint16_t segment;
    } trains[] = {{6400, 100}, {5050, 100}, {64, 1}, {12000, 1400}, {200, 200}};
    static uint8_t out[12000], in[2000];
    int fd = client_to(echo, "127.0.0.1");
    pattern_fill(out, sizeof out, 3, 0);
    for (uint32_t t = 0; t < 5; t++) {
        send_train(fd, out, trains[t].bytes, trains[t].segment);
        for (uint32_t at = 0; at < trains[t].bytes;) {
            ssize_t got = receive_on(fd, in, sizeof in);
            uint32_t left = trains[t].bytes - at;
            assert_int_equal(got, left < trains[t].segment ? left : trains[t].segment);
            assert_memory_equal(in, out + at, (size_t)got);
            at += (uint32_t)got;
        }
    }
    const struct gy_counters *counters = &echo->worker.counters;
    if (given.trains) {
        assert_true(gy_counter_read(&counters->datagram_receives) <
                    gy_counter_read(&counters->datagrams_received));
        assert_true(gy_counter_read(&counters->datagram_sends) <
                    gy_counter_read(&counters->datagrams_sent));
    }
    close(fd);
    echo_close(echo, GY_MESSAGE_STOP);
}

static void a_peer_that_is_gone_does_not_end_the_server(void **state)
{
    (void)state;
    struct echo *echo = echo_open("127.0.0.1:0");
    int fd = client_to(echo, "127.0.0.1"); /* first, so that its port is none of theirs */
    for (int i = 0; i < 20; i++) {
        int gone = client_to(echo, "127.0.0.1");
        assert_int_equal(send(gone, "x", 1, 0), 1);
        close(gone); /* the echo meets an ICMP error */
    }
    exchange(fd, 100, 1);
    close(fd);
    echo_close(echo, GY_MESSAGE_STOP);
}

static void a_drain_answers_what_has_come(void **state)
{
    (void)state;
    struct echo *echo = echo_open("127.0.0.1:0");
    int fd = client_to(echo, "127.0.0.1");
    uint8_t in[16];
    for (int i = 0; i < 100; i++) {
        assert_int_equal(send(fd, "12345678", 8, 0), 8);
    }
    echo->descriptors++;
    echo_close(echo, GY_MESSAGE_DRAIN);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(recv(fd, in, sizeof in, MSG_DONTWAIT), 8);
    }
    close(fd);
}

/* ---- a client of core ---- */

struct asker {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_datagram_endpoint endpoint;
    uint32_t answers;
    uint32_t failures;
    uint32_t expired;
};

static void asker_receive(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                          uint32_t count)
{
    struct asker *asker = socket->endpoint->context;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(gy_address_equal(&datagrams[i].path->peer, &socket->peer));
        assert_int_equal(datagrams[i].slice.length, 4);
        asker->answers++;
    }
}

static void asker_failed(struct gy_datagram_socket *socket, int errno_value)
{
    assert_int_equal(errno_value, ECONNREFUSED);
    ((struct asker *)socket->endpoint->context)->failures++;
}

static void asker_expire(struct gy_datagram_socket *socket)
{
    ((struct asker *)socket->endpoint->context)->expired++;
}

static void dialled_sockets_ask_are_refused_and_give_up(void **state)
{
    (void)state;
    static const struct gy_datagram_ops ops = {
        .receive = asker_receive, .failed = asker_failed, .expire = asker_expire};
    struct echo *echo = echo_open("127.0.0.1:0");
    struct asker *asker = aligned_alloc(64, (sizeof *asker + 63) & ~(size_t)63);
    assert_non_null(asker);
    memset(asker, 0, sizeof *asker);
    struct gy_worker_options worker = {.workers = 1,
                                       .processor = -1,
                                       .streams_max = 8,
                                       .ring.without = given.without,
                                       .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0)};
    struct gy_datagram_options options = {.name = "asker",
                                          .ops = &ops,
                                          .context = asker,
                                          .receive_mode = given.receive_mode,
                                          .send_mode = given.send_mode};
    asker->peers[0] = &asker->worker;
    assert_int_equal(gy_worker_open(&asker->worker, &worker, asker->peers, NULL), 0);
    assert_int_equal(gy_datagram_endpoint_open(&asker->endpoint, &asker->worker, &options, NULL),
                     0);
    struct gy_address nobody;
    assert_int_equal(gy_address_parse(&nobody, "127.0.0.1:9", NULL), 0);
    struct gy_buffer text;
    gy_buffer_wrap_constant(&text, "ping", 4);
    for (int i = 0; i < 100; i++) {
        struct gy_datagram_socket *one =
            gy_datagram_dial(&asker->endpoint, i < 99 ? &echo->address : &nobody, NULL, NULL, NULL);
        assert_non_null(one);
        assert_int_equal(gy_datagram_send(one, NULL, gy_slice_of(&text, 0, 4)), 0);
        if (i == 0) {
            gy_datagram_set_deadline(one, asker->worker.now_ms + 20);
        }
    }
    for (int i = 0;
         i < 2000 && (asker->answers < 99 || asker->failures == 0 || asker->expired == 0); i++) {
        assert_int_equal(gy_worker_turn(&asker->worker, 10000000), 0);
    }
    assert_int_equal(asker->answers, 99);
    assert_true(asker->failures >= 1);
    assert_int_equal(asker->expired, 1);
    gy_worker_finish(&asker->worker);
    gy_datagram_endpoint_close(&asker->endpoint);
    gy_worker_close(&asker->worker);
    free(asker);
    echo_close(echo, GY_MESSAGE_STOP);
}

static int begin(void **state)
{
    (void)state;
    deadline("datagram_loopback", 30);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup(function, begin)

static uint32_t feature_named(const char *name)
{
#define FEATURE(feature, bit, since, instead)                                                      \
    if (strcmp(name, #feature) == 0) {                                                             \
        return GY_RING_##feature;                                                                  \
    }
    GY_RING_FEATURES(FEATURE)
#undef FEATURE
    fprintf(stderr, "no feature %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc < 3 || gy_datagram_mode_parse(argv[1], &given.receive_mode) != 0 ||
        gy_datagram_mode_parse(argv[2], &given.send_mode) != 0) {
        fprintf(stderr, "usage: %s RECEIVE SEND [trains] [without FEATURE]\n", argv[0]);
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        given.trains |= strcmp(argv[i], "trains") == 0;
        if (strcmp(argv[i], "without") == 0 && i + 1 < argc) {
            given.without |= feature_named(argv[++i]);
        }
    }
    const struct CMUnitTest tests[] = {
        TEST(every_length_comes_back_whole),
        TEST(answers_leave_from_the_address_that_was_asked),
        TEST(one_socket_answers_both_families),
        TEST(ipv6_alone_answers_ipv6),
        TEST(the_ecn_is_seen_and_comes_back),
        TEST(each_of_many_peers_gets_its_own),
        TEST(trains_come_back_datagram_by_datagram),
        TEST(a_peer_that_is_gone_does_not_end_the_server),
        TEST(a_drain_answers_what_has_come),
        TEST(dialled_sockets_ask_are_refused_and_give_up),
    };
    return cmocka_run_group_tests_name("datagram_loopback", tests, NULL, NULL);
}
