/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the two HTTP limit programs share: their options, the fixed answer, and the only thing they
 * know of HTTP.
 *
 * A limit program makes the kernel do the work of a web server with one fixed answer and
 * understands nothing. The first request of a connection is measured to its CRLF CRLF; from then on
 * every request of that connection is taken to be as long as the first, so that bytes / length is
 * the number of answers due. That is true of wrk and of every generator that repeats one request,
 * and of nobody else: these programs are rulers, not servers.
 */
#ifndef GYRE_BENCH_LIMIT_HTTP_LIMIT_H
#define GYRE_BENCH_LIMIT_HTTP_LIMIT_H

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LIMIT_CONNS = 65536,       /* connections are indexed by descriptor, below this one */
    LIMIT_RECEIVE = 16 * 1024, /* the most one receive may bring, bytes */
    LIMIT_ANSWERS = 1024, /* the most answers one send may carry; a request is at least 18 bytes */
    LIMIT_BACKLOG = 4096,
};

/* One connection. Zeroed when its descriptor is accepted. */
struct limit_conn {
    uint32_t request_len; /* of the first request, bytes; 0 until its end was seen */
    uint32_t have;        /* bytes that no answer was given for yet */
    uint32_t matched;     /* how much of CRLF CRLF the bytes so far end with */
};

/* LIMIT_ANSWERS copies of the answer, one after the other: any number of answers is one piece of
 * memory, sent as it lies. Only the head of it is ever touched, so it stays in the nearest cache.
 */
struct limit_answers {
    char *bytes;
    unsigned len; /* of one answer */
};

_Noreturn static void limit_die(const char *doing)
{
    fprintf(stderr, "%s: %s\n", doing, strerror(errno));
    exit(1);
}

/* A complete response of exactly `len` bytes (0: as long as it comes), the Server field making up
 * the difference. */
static struct limit_answers limit_answers_make(unsigned len)
{
    static const char form[] = "HTTP/1.1 200 OK\r\nServer: gyre%.*s\r\n"
                               "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
                               "Content-Length: 13\r\n\r\nHello, world!";
    char pad[256];
    char one[512];

    memset(pad, '-', sizeof pad);
    int shortest = snprintf(one, sizeof one, form, 0, pad);
    if (len == 0)
        len = (unsigned)shortest;
    if (len < (unsigned)shortest || len - (unsigned)shortest > sizeof pad) {
        fprintf(stderr, "--response-bytes must be between %d and %zu\n", shortest,
                (size_t)shortest + sizeof pad);
        exit(2);
    }
    snprintf(one, sizeof one, form, (int)len - shortest, pad);

    struct limit_answers answers = {malloc((size_t)len * LIMIT_ANSWERS), len};
    if (!answers.bytes)
        limit_die("allocating the answers");
    for (unsigned i = 0; i < LIMIT_ANSWERS; i++)
        memcpy(answers.bytes + (size_t)i * len, one, len);
    return answers;
}

/* How many answers `len` more bytes of input make due; they are taken as given. */
static inline unsigned limit_answers_due(struct limit_conn *conn, const char *bytes, unsigned len)
{
    conn->have += len;
    if (__builtin_expect(conn->request_len == 0, 0)) {
        static const char end[] = "\r\n\r\n";
        unsigned i = 0;
        while (i < len && conn->matched < 4) {
            char c = bytes[i++];
            conn->matched = c == end[conn->matched] ? conn->matched + 1 : c == '\r';
        }
        if (conn->matched < 4)
            return 0;
        conn->request_len = conn->have - len + i;
    }
    if (__builtin_expect(conn->have == conn->request_len, 1)) {
        conn->have = 0;
        return 1;
    }
    unsigned due = conn->request_len == 0 ? 0 : conn->have / conn->request_len;
    conn->have -= due * conn->request_len;
    return due <= LIMIT_ANSWERS ? due : LIMIT_ANSWERS;
}

/* A listening TCP socket on 127.0.0.1:`port`. TCP_NODELAY is inherited by what it accepts: no call
 * per connection. */
static int limit_listen(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, LIMIT_BACKLOG) < 0)
        limit_die("listening");
    return fd;
}

static void limit_options(int argc, char **argv, unsigned *port, unsigned *response_bytes)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"response-bytes", required_argument, NULL, 'r'},
                                            {NULL, 0, NULL, 0}};
    int c;

    *port = 8080;
    *response_bytes = 0;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'p')
            *port = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'r')
            *response_bytes = (unsigned)strtoul(optarg, NULL, 10);
        else
            exit(2);
    }
    if (optind != argc || *port == 0 || *port > 65535) {
        fprintf(stderr, "usage: %s [--port PORT] [--response-bytes N]\n", argv[0]);
        exit(2);
    }
}

#endif
