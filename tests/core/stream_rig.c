/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/core/stream_rig.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum gy_receive_mode forced_mode;
uint32_t forced_without;

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

bool forced_read(const char *program, int argc, char **argv)
{
    if (argc < 2 || gy_receive_mode_parse(argv[1], &forced_mode) != 0 ||
        (argc > 3 && find_feature(argv[3]) != 0)) {
        fprintf(stderr, "usage: %s MODE [without FEATURE]\n", program);
        return false;
    }
    return true;
}

struct loopback *open_with(struct loopback_options options)
{
    options.mode = forced_mode;
    options.without = forced_without;
    return loopback_open(&options);
}

struct loopback *open_default(const char *test)
{
    deadline(test, 30);
    return open_with((struct loopback_options){0});
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

void echo_many(struct loopback *loopback, uint32_t connections, uint64_t bytes_each, uint64_t seed)
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
