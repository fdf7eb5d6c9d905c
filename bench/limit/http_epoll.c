/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a web server on epoll can cost: epoll_wait, one recv and one send per turn of a
 * connection.
 *
 * Edge-triggered. With level triggering each wait looks again at every socket that the wait before
 * it reported, only to find it empty. A receive that fills less than the buffer has emptied the
 * socket, so none is spent on EAGAIN. What a slow peer leaves unsent is sent when epoll says that
 * there is room. With --sendfile a file's head goes by send (MSG_MORE) and its body from a memory
 * file, without a copy on this side. What else was tried, and its price, is in ../README.md.
 */
#include "bench/limit/http_limit.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

enum { EVENTS = 256 };

struct connection {
    struct limit_conn input;
    uint64_t unsent; /* of the answers that are due, bytes */
};

struct server {
    struct limit_answers answers;
    int body; /* a memory file; -1: bodies are in the answers */
    unsigned head_len;
    unsigned body_len;
};

static struct connection connections[LIMIT_CONNS];

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
    connections[fd] = (struct connection){0};
    watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET);
}

/* Some of one answer: its head, or its body from the file. What is sent, or -1. */
static ssize_t send_part(const struct server *server, int fd, unsigned from)
{
    off_t offset = (off_t)from - server->head_len;

    if (from < server->head_len)
        return send(fd, server->answers.bytes + from, server->head_len - from,
                    MSG_NOSIGNAL | MSG_MORE);
    return sendfile(fd, server->body, &offset, server->body_len - (size_t)offset);
}

/* All that is due and finds room. */
static int send_due(const struct server *server, struct connection *connection, int fd)
{
    unsigned len = server->answers.len;

    while (connection->unsent > 0) {
        /* Every answer is the same: it ends where the unsent bytes are a multiple of its length. */
        unsigned from = (unsigned)((len - connection->unsent % len) % len);
        size_t most = (size_t)len * server->answers.count - from;
        ssize_t sent =
            server->body >= 0
                ? send_part(server, fd, from)
                : send(fd, server->answers.bytes + from,
                       connection->unsent < most ? connection->unsent : most, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN ? 0 : -1;
        connection->unsent -= (uint64_t)sent;
    }
    return 0;
}

static void serve(const struct server *server, int fd, uint32_t events)
{
    static char input[LIMIT_RECEIVE];
    struct connection *connection = &connections[fd];
    ssize_t len = sizeof input;

    while ((events & ~(uint32_t)EPOLLOUT) && len == sizeof input) {
        len = recv(fd, input, sizeof input, 0);
        if (len < 0 && errno == EAGAIN)
            break;
        if (len <= 0) {
            close(fd);
            return;
        }
        connection->unsent +=
            (uint64_t)server->answers.len *
            limit_answers_due(&connection->input, input, (unsigned)len, UINT32_MAX);
    }
    if (connection->unsent > 0 && send_due(server, connection, fd) < 0)
        close(fd);
}

static struct server set_up(const struct limit_options *options)
{
    struct server server = {.answers = limit_answers_make(options), .body = -1};
    char head[512];

    if (options->sendfile) {
        server.head_len = limit_file_head(head, options->body_bytes);
        server.body_len = options->body_bytes;
        server.body = memfd_create("body", 0);
        if (server.body < 0 || write(server.body, server.answers.bytes + server.head_len,
                                     server.body_len) != (ssize_t)server.body_len)
            limit_die("making the file");
    }
    return server;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct limit_options options = limit_options_read(argc, argv);
    struct server server = set_up(&options);
    int listener = limit_listen(options.port);
    int epoll = epoll_create1(0);

    watch(epoll, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_one(epoll, listener);
            else
                serve(&server, fd, events[i].events);
        }
    }
}
