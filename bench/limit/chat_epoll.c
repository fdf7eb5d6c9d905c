/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a chat room can cost on epoll: edge-triggered; what came in a turn leaves as one
 * send for each connection.
 */
#include "bench/limit/chat_limit.h"
#include "bench/limit/epoll_limit.h"

static struct chat_turn turn;
static struct chat_sender sender;

static void serve(int fd)
{
    static char input[EPOLL_RECEIVE];
    char welcome[64];
    ssize_t len;

    do {
        len = recv(fd, input, sizeof input, 0);
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0 ||
            (chat_is_greeting(input, (size_t)len) && epoll_member_count == ECHO_CONNS)) {
            epoll_drop(fd);
            return;
        }
        if (chat_is_greeting(input, (size_t)len)) {
            epoll_members[epoll_member_count++] = fd;
            epoll_send_all(fd, welcome, chat_welcome(welcome, sender.id));
        } else {
            sender.fd = fd;
            chat_receive(&turn, &sender, input, (size_t)len);
        }
    } while (len == sizeof input);
}

static void fan_out(void)
{
    for (int i = 0; turn.messages > 0 && i < epoll_member_count; i++) {
        int fd = epoll_members[i];
        epoll_send_all(fd, fd == sender.fd ? turn.ack : turn.message,
                       fd == sender.fd ? turn.acks : turn.messages);
    }
    turn.messages = turn.acks = 0;
}

int main(int argc, char **argv)
{
    int listener = echo_listen(argc, argv, NULL);
    int epoll = epoll_open(listener);

    for (;;) {
        epoll_turn(epoll, listener, serve);
        fan_out();
    }
}
