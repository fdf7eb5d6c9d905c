/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A UDP relay that delays and loses, from a seed: the simulated network of tests/sim in real time.
 *
 *     lossy-relay --listen 17200 --to 17201 --rtt 20 --loss 5 --seed 1
 *
 * Each client gets a socket of its own towards the server, 64 at most. The n-th datagram of a run
 * meets the same fate in every run. SIGTERM ends it; it then says what it did, on stdout.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/network.h"

#define CLIENTS_MAX 64
#define MS          1000000ull
#define BUFFER      (8 << 20)

struct relay {
    struct sim_network network;
    struct sim_link to_server, to_client;
    struct pollfd polls[1 + CLIENTS_MAX]; /* the first listens, the others lead to the server */
    struct sockaddr_in clients[CLIENTS_MAX];
    uint32_t client_count;
    struct sockaddr_in server;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int open_socket(uint16_t port, const struct sockaddr_in *peer)
{
    int size = BUFFER;
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in local = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&local, sizeof local) != 0 ||
        (peer != NULL && connect(descriptor, (const struct sockaddr *)peer, sizeof *peer) != 0)) {
        fprintf(stderr, "lossy-relay: opening a socket on port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    return descriptor;
}

/* The client's number, from 1; 0: there is no room for one more. */
static uint32_t client_of(struct relay *relay, const struct sockaddr_in *from)
{
    for (uint32_t i = 0; i < relay->client_count; i++) {
        if (relay->clients[i].sin_port == from->sin_port &&
            relay->clients[i].sin_addr.s_addr == from->sin_addr.s_addr) {
            return i + 1;
        }
    }
    if (relay->client_count == CLIENTS_MAX) {
        return 0;
    }
    relay->clients[relay->client_count++] = *from;
    relay->polls[relay->client_count] =
        (struct pollfd){.fd = open_socket(0, &relay->server), .events = POLLIN};
    return relay->client_count;
}

static void take(struct relay *relay, uint32_t from)
{
    uint8_t data[SIM_DATAGRAM_MAX];
    for (;;) {
        struct sockaddr_in peer = {0};
        socklen_t length = sizeof peer;
        ssize_t bytes = recvfrom(relay->polls[from].fd, data, sizeof data, 0,
                                 (struct sockaddr *)&peer, &length);
        if (bytes < 0) {
            return; /* none is there; or ICMP's word, that nobody listens */
        }
        uint32_t client = from == 0 ? client_of(relay, &peer) : from;
        if (client != 0) {
            sim_network_send(&relay->network, from == 0 ? &relay->to_server : &relay->to_client,
                             client, from, data, (size_t)bytes, now_ns());
        }
    }
}

/* `to` is 0 for what came from a client and goes to the server, see take(). */
static void give(struct relay *relay)
{
    struct sim_datagram *datagram;
    while ((datagram = sim_network_take(&relay->network, now_ns())) != NULL) {
        ssize_t sent;
        if (datagram->to == 0) {
            sent = send(relay->polls[datagram->from].fd, datagram->data, datagram->bytes, 0);
        } else {
            const struct sockaddr_in *client = &relay->clients[datagram->from - 1];
            sent = sendto(relay->polls[0].fd, datagram->data, datagram->bytes, 0,
                          (const struct sockaddr *)client, sizeof *client);
        }
        (void)sent; /* what the kernel does not take is lost, as datagrams are */
    }
}

static void run(struct relay *relay)
{
    while (!stopped) {
        uint64_t next = sim_network_next_ns(&relay->network), now = now_ns();
        uint64_t wait_ns = next == UINT64_MAX ? 1000 * MS : next > now ? next - now : 0;
        struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
        if (ppoll(relay->polls, 1 + relay->client_count, &wait, NULL) > 0) {
            uint32_t count = 1 + relay->client_count;
            for (uint32_t i = 0; i < count; i++) {
                if (relay->polls[i].revents != 0) {
                    take(relay, i);
                }
            }
        }
        give(relay);
    }
}

static double number(const char *flag, const char *text, double most)
{
    char *end;
    double value = text != NULL ? strtod(text, &end) : -1;
    if (text == NULL || end == text || *end != '\0' || value < 0 || value > most) {
        fprintf(stderr, "lossy-relay: %s needs a number from 0 to %g\n", flag, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static struct relay relay;
    double listen = 0, to = 0, rtt = 20, jitter = 0, loss = 0, seed = 1, rate = 0, queue = 100000;
    const struct {
        const char *name;
        double *value, most;
    } flags[] = {{"--listen", &listen, 65535}, {"--to", &to, 65535},    {"--rtt", &rtt, 10000},
                 {"--jitter", &jitter, 10000}, {"--loss", &loss, 100},  {"--seed", &seed, 1e15},
                 {"--rate", &rate, 1e10},      {"--queue", &queue, 1e9}};
    for (int i = 1; i < argc; i += 2) {
        size_t k = 0;
        while (k < sizeof flags / sizeof flags[0] && strcmp(argv[i], flags[k].name) != 0) {
            k++;
        }
        if (k == sizeof flags / sizeof flags[0]) {
            fprintf(stderr, "usage: lossy-relay --listen PORT --to PORT [--rtt MS] [--jitter MS] "
                            "[--loss PERCENT]\n           [--seed N] [--rate BYTES/S] [--queue "
                            "BYTES]\n");
            return 2;
        }
        *flags[k].value = number(argv[i], argv[i + 1], flags[k].most);
    }
    relay.server = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)to),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    relay.to_server = (struct sim_link){.delay_ns = (uint64_t)(rtt / 2 * MS),
                                        .jitter_ns = (uint64_t)(jitter * MS),
                                        .loss = loss / 100,
                                        .rate = (uint64_t)rate,
                                        .queue_bytes = (uint64_t)queue};
    relay.to_client = relay.to_server;
    sim_network_init(&relay.network, (uint64_t)seed);
    relay.polls[0] = (struct pollfd){.fd = open_socket((uint16_t)listen, NULL), .events = POLLIN};
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    run(&relay);
    const struct sim_counts *counts = &relay.network.counts;
    printf("%llu datagrams, %llu lost, %llu over the queue\n", (unsigned long long)counts->sent,
           (unsigned long long)counts->lost, (unsigned long long)counts->queue_full);
    sim_network_free(&relay.network);
    return 0;
}
