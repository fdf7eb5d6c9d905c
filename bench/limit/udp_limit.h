/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the two UDP limit programs share. They echo datagrams on 127.0.0.1 and understand nothing:
 * every datagram goes back to where it came from, with nothing checked or counted.
 *
 * --dns: answers in place of echoes, as dns_limit.h has them.
 *
 * --trains: many datagrams of one peer are taken at once (UDP_GRO) and sent back at once
 * (UDP_SEGMENT), as they came.
 */
#ifndef GYRE_BENCH_LIMIT_UDP_LIMIT_H
#define GYRE_BENCH_LIMIT_UDP_LIMIT_H

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/limit/dns_limit.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

enum {
    LIMIT_BATCH = 64,
    LIMIT_BYTES = 2048, /* of one datagram, with what goes before it */
    LIMIT_TRAIN_BYTES = 65536 + 256,
    LIMIT_CONTROL = CMSG_SPACE(sizeof(int)),
};

struct limit_options {
    bool trains, dns;
};

_Noreturn static void limit_die(const char *doing)
{
    fprintf(stderr, "%s: %s\n", doing, strerror(errno));
    exit(1);
}

/* Turns a received UDP_GRO control message into the UDP_SEGMENT of the answer, whose datagrams are
 * `more` bytes longer. Returns its length: 0 where there was none. */
static inline unsigned limit_answer_control(void *control, size_t received, int more)
{
    struct cmsghdr head;
    int segment;

    if (received < CMSG_LEN(sizeof segment))
        return 0;
    memcpy(&segment, (char *)control + CMSG_LEN(0), sizeof segment);
    uint16_t bytes = (uint16_t)(segment + more);
    head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof bytes), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
    memcpy(control, &head, sizeof head);
    memcpy((char *)control + CMSG_LEN(0), &bytes, sizeof bytes);
    return CMSG_SPACE(sizeof bytes);
}

/* The segment's length that a received UDP_GRO control message tells; `bytes` where there is none.
 */
static inline size_t limit_segment(const void *control, size_t received, size_t bytes)
{
    int segment;

    if (received < CMSG_LEN(sizeof segment))
        return bytes;
    memcpy(&segment, (const char *)control + CMSG_LEN(0), sizeof segment);
    return segment > 0 ? (size_t)segment : bytes;
}

/* The answers to all queries of `in`, each of `segment` bytes but the last, into `out`, which may
 * be `in` where there is one. Returns their bytes. */
static inline size_t limit_dns_answers(const char *in, size_t bytes, size_t segment, char *out)
{
    char *at = out;

    while (bytes > 0) {
        size_t now = segment < bytes ? segment : bytes;
        at = limit_dns_answer(in, now, at);
        in += now;
        bytes -= now;
    }
    return (size_t)(at - out);
}

/* The options, and a UDP socket on 127.0.0.1. */
static int limit_socket(int argc, char **argv, struct limit_options *chosen)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"trains", no_argument, NULL, 't'},
                                            {"dns", no_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    unsigned long port = 7007;
    int c, on = 1, kernel_bytes = 4 << 20;

    *chosen = (struct limit_options){0};
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'p')
            port = strtoul(optarg, NULL, 10);
        else if (c == 't')
            chosen->trains = true;
        else if (c == 'd')
            chosen->dns = true;
        else
            exit(2);
    }
    if (optind != argc || port == 0 || port > 65535) {
        fprintf(stderr, "usage: %s [--port PORT] [--trains] [--dns]\n", argv[0]);
        exit(2);
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kernel_bytes, sizeof kernel_bytes) < 0 ||
        (chosen->trains && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0))
        limit_die("binding");
    return fd;
}

#endif
