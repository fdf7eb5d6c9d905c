/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that an echo over TCP can cost on epoll: edge-triggered, one recv and one send per turn
 * of a connection.
 */
#include "bench/limit/echo_limit.h"
#include "bench/limit/epoll_limit.h"

static bool dns;

static void serve(int fd)
{
    static char input[EPOLL_RECEIVE];
    static char answers[EPOLL_RECEIVE * 2];
    ssize_t len;

    do {
        len = recv(fd, input, sizeof input, 0);
        if (len < 0 && errno == EAGAIN)
            return;
        size_t bytes = len <= 0 ? 0
                       : dns    ? limit_dns_stream(input, (size_t)len, answers)
                                : (size_t)len;
        if (bytes == 0 || epoll_send_all(fd, dns ? answers : input, bytes) < 0) {
            close(fd);
            return;
        }
    } while (len == sizeof input);
}

int main(int argc, char **argv)
{
    int listener = echo_listen(argc, argv, &dns);
    int epoll = epoll_open(listener);

    for (;;) {
        epoll_turn(epoll, listener, serve);
    }
}
