/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the limit programs for an echo over TCP share: what is received is sent back, and nothing
 * else is known of it. With --dns it is taken for whole queries, and answered as dns_limit.h does;
 * what is none ends the connection. Like http_limit.h's they are rulers, not servers: they hold
 * against peers that read what they asked for.
 */
#ifndef GYRE_BENCH_LIMIT_ECHO_LIMIT_H
#define GYRE_BENCH_LIMIT_ECHO_LIMIT_H

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/limit/dns_limit.h"

enum { ECHO_CONNS = 65536, ECHO_BACKLOG = 4096 };

_Noreturn static void echo_die(const char *doing)
{
    fprintf(stderr, "%s: %s\n", doing, strerror(errno));
    exit(1);
}

/* The options, and a listening TCP socket on 127.0.0.1. `dns` is NULL where there is no --dns. */
static int echo_listen(int argc, char **argv, bool *dns)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"dns", no_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    unsigned long port = 0;
    int c, on = 1;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'p')
            port = strtoul(optarg, NULL, 10);
        else if (c == 'd' && dns != NULL)
            *dns = true;
        else
            exit(2);
    }
    if (optind != argc || port == 0 || port > 65535) {
        fprintf(stderr, "usage: %s --port PORT%s\n", argv[0], dns ? " [--dns]" : "");
        exit(2);
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, ECHO_BACKLOG) < 0)
        echo_die("listening");
    return fd;
}

#endif
