/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the limit programs for an echo over TCP share: what is received is sent back, and nothing
 * else is known of it. Like http_limit.h's they are rulers, not servers: they hold against peers
 * that read what they asked for.
 */
#ifndef GYRE_BENCH_LIMIT_ECHO_LIMIT_H
#define GYRE_BENCH_LIMIT_ECHO_LIMIT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ECHO_CONNS = 65536, ECHO_BACKLOG = 4096 };

_Noreturn static void echo_die(const char *doing)
{
    fprintf(stderr, "%s: %s\n", doing, strerror(errno));
    exit(1);
}

/* A listening TCP socket on 127.0.0.1, at the port of the one option there is. */
static int echo_listen(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    unsigned long port = 0;

    if (argc == 3 && strcmp(argv[1], "--port") == 0)
        port = strtoul(argv[2], NULL, 10);
    if (port == 0 || port > 65535) {
        fprintf(stderr, "usage: %s --port PORT\n", argv[0]);
        exit(2);
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, ECHO_BACKLOG) < 0)
        echo_die("listening");
    return fd;
}

#endif
