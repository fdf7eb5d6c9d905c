/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a chat room can cost on epoll: edge-triggered; what came in a turn leaves as one
 * send for each connection.
 */
#include "bench/limit/chat_limit.h"

#include <poll.h>
#include <sys/epoll.h>

enum { EVENTS = 256, RECEIVE = 16 * 1024 };

static int open_connections[ECHO_CONNS];
static int open_count;
static struct chat_turn turn;
static struct chat_sender sender;

static void watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        echo_die("watching a descriptor");
}

/* Waits where the peer is slow to read: rare, and no part of what is measured. */
static void send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* the connection's own event tells */
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
        }
    }
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

static void serve(int fd)
{
    static char input[RECEIVE];
    char welcome[64];
    ssize_t len;

    do {
        len = recv(fd, input, sizeof input, 0);
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0 || (chat_is_greeting(input, (size_t)len) && open_count == ECHO_CONNS)) {
            drop(fd);
            return;
        }
        if (chat_is_greeting(input, (size_t)len)) {
            open_connections[open_count++] = fd;
            send_all(fd, welcome, chat_welcome(welcome, sender.id));
        } else {
            sender.fd = fd;
            chat_receive(&turn, &sender, input, (size_t)len);
        }
    } while (len == sizeof input);
}

static void fan_out(void)
{
    for (int i = 0; turn.messages > 0 && i < open_count; i++) {
        int fd = open_connections[i];
        send_all(fd, fd == sender.fd ? turn.ack : turn.message,
                 fd == sender.fd ? turn.acks : turn.messages);
    }
    turn.messages = turn.acks = 0;
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
        fan_out();
    }
}
