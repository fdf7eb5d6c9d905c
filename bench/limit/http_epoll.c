/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a web server on epoll can cost: epoll_wait, one recv and one send per turn of a
 * connection.
 *
 * Edge-triggered. With level triggering each wait looks again at every socket that the wait before
 * it reported, only to find it empty. A receive that fills less than the buffer has emptied the
 * socket, so none is spent on EAGAIN. What else was tried, and its price, is in ../README.md.
 */
#include "bench/limit/http_limit.h"

#include <poll.h>
#include <sys/epoll.h>

enum { EVENTS = 256 };

static struct limit_conn conns[LIMIT_CONNS];

static void watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        limit_die("watching a descriptor");
}

static void accept_one(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (fd >= LIMIT_CONNS) {
        close(fd);
        return;
    }
    conns[fd] = (struct limit_conn){0};
    watch(epoll, fd, EPOLLIN | EPOLLET);
}

/* Sends all of it, waiting where the peer is slow to read: rare, and no part of what is measured.
 */
static int send_all(int fd, const char *bytes, size_t len)
{
    for (;;) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent == (ssize_t)len)
            return 0;
        if (sent < 0 && errno != EAGAIN)
            return -1;
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        }
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        poll(&room, 1, -1);
    }
}

static void serve(int fd, const struct limit_answers *answers)
{
    static char input[LIMIT_RECEIVE];
    ssize_t len;

    do {
        len = recv(fd, input, sizeof input, 0);
        if (len < 0 && errno == EAGAIN)
            return;
        unsigned due = len > 0 ? limit_answers_due(&conns[fd], input, (unsigned)len) : 0;
        if (len <= 0 || (due && send_all(fd, answers->bytes, (size_t)due * answers->len) < 0)) {
            close(fd);
            return;
        }
    } while (len == sizeof input);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    unsigned port, response_bytes;

    limit_options(argc, argv, &port, &response_bytes);
    struct limit_answers answers = limit_answers_make(response_bytes);
    int listener = limit_listen(port);
    int epoll = epoll_create1(0);
    watch(epoll, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_one(epoll, listener);
            else
                serve(fd, &answers);
        }
    }
}
