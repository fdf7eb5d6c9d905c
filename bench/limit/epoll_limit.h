/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LIMIT_EPOLL_LIMIT_H
#define GY_BENCH_LIMIT_EPOLL_LIMIT_H

/* What the limit programs of echoes, WebSockets and chat rooms share on epoll: edge-triggered
 * waits, sends, and who is in. */

#include <poll.h>
#include <sys/epoll.h>

#include "bench/limit/echo_limit.h"

enum { EPOLL_EVENTS = 256, EPOLL_RECEIVE = 16 * 1024 };

static int epoll_members[ECHO_CONNS]; /* who have greeted */
static int epoll_member_count;

/* The descriptor of an epoll that watches the listener. */
static inline int epoll_open(int listener)
{
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        echo_die("watching the listener");
    return epoll;
}

/* One wait; has each connection with an event served, and takes in those that wait. */
static inline void epoll_turn(int epoll, int listener, void (*serve)(int fd))
{
    static struct epoll_event events[EPOLL_EVENTS];
    int count = epoll_wait(epoll, events, EPOLL_EVENTS, -1);

    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        if (fd != listener) {
            serve(fd);
        } else if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
            struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
            if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                echo_die("watching a connection");
        }
    }
}

/* Waits where the peer is slow to read: rare, and no part of what is measured. 0, or -1 when the
 * connection is gone. */
static inline int epoll_send_all(int fd, const char *bytes, size_t len)
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

static inline void epoll_drop(int fd)
{
    for (int i = 0; i < epoll_member_count; i++) {
        if (epoll_members[i] == fd) {
            epoll_members[i] = epoll_members[--epoll_member_count];
            break;
        }
    }
    close(fd);
}

#endif
