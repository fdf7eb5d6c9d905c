/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that WebSocket can cost on epoll: edge-triggered, one recv and one send per turn of a
 * connection; with --broadcast one send to each connection.
 */
#include "bench/limit/ws_limit.h"

#include <poll.h>
#include <sys/epoll.h>

enum { EVENTS = 256, RECEIVE = 16 * 1024 };

static int open_connections[ECHO_CONNS];
static int open_count;
static int broadcast;

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

static void drop(int fd)
{
    for (int i = 0; i < open_count; i++) {
        if (open_connections[i] == fd) {
            open_connections[i] = open_connections[--open_count];
            break;
        }
    }
    close(fd);
}

static int answer(int fd, char *input, size_t len)
{
    if (ws_is_greeting(input, len)) {
        if (open_count == ECHO_CONNS)
            return -1;
        open_connections[open_count++] = fd;
        return send_all(fd, ws_welcome, sizeof ws_welcome - 1);
    }
    char *frames = ws_turn(input, &len);
    if (len == 0)
        return -1;
    if (!broadcast)
        return send_all(fd, frames, len);
    for (int i = 0; i < open_count; i++) {
        send_all(open_connections[i], frames, len); /* one that fails is told by its own event */
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
        if (len <= 0 || answer(fd, input, (size_t)len) < 0) {
            drop(fd);
            return;
        }
    } while (len == sizeof input);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int listener = ws_listen(argc, argv, &broadcast);
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
