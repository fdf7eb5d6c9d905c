/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that WebSocket can cost on epoll: edge-triggered, one recv and one send per turn of a
 * connection; with --broadcast one send to each connection.
 */
#include "bench/limit/epoll_limit.h"
#include "bench/limit/ws_limit.h"

static int broadcast;

static int answer(int fd, char *input, size_t len)
{
    if (ws_is_greeting(input, len)) {
        if (epoll_member_count == ECHO_CONNS)
            return -1;
        epoll_members[epoll_member_count++] = fd;
        return epoll_send_all(fd, ws_welcome, sizeof ws_welcome - 1);
    }
    char *frames = ws_turn(input, &len);
    if (len == 0)
        return -1;
    if (!broadcast)
        return epoll_send_all(fd, frames, len);
    for (int i = 0; i < epoll_member_count; i++) {
        epoll_send_all(epoll_members[i], frames, len); /* one that fails is told by its own event */
    }
    return 0;
}

static void serve(int fd)
{
    static char input[EPOLL_RECEIVE];
    ssize_t len;

    do {
        len = recv(fd, input, sizeof input, 0);
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0 || answer(fd, input, (size_t)len) < 0) {
            epoll_drop(fd);
            return;
        }
    } while (len == sizeof input);
}

int main(int argc, char **argv)
{
    int listener = ws_listen(argc, argv, &broadcast);
    int epoll = epoll_open(listener);

    for (;;) {
        epoll_turn(epoll, listener, serve);
    }
}
