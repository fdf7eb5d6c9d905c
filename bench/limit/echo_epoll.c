/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that an echo over TCP can cost on epoll: edge-triggered, one recv and one send per turn
 * of a connection.
 */
#include "bench/limit/echo_limit.h"

#include <poll.h>
#include <sys/epoll.h>

enum { EVENTS = 256, RECEIVE = 16 * 1024 };

static void watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        echo_die("watching a descriptor");
}

/* Waits where the peer is slow to read: rare, and no part of what is measured. */
static int send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return -1;
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
        }
    }
    return 0;
}

static void serve(int fd)
{
    static char input[RECEIVE];
    ssize_t len;

    do {
        len = recv(fd, input, sizeof input, 0);
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0 || send_all(fd, input, (size_t)len) < 0) {
            close(fd);
            return;
        }
    } while (len == sizeof input);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int listener = echo_listen(argc, argv);
    int epoll = epoll_create1(0);

    watch(epoll, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                serve(fd);
            } else if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                watch(epoll, fd, EPOLLIN | EPOLLET);
            }
        }
    }
}
