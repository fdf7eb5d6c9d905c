/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the two HTTP limit programs share: their options, the fixed answer, and the only thing they
 * know of HTTP.
 *
 * A limit program makes the kernel do the work of a web server with one answer, a greeting or a
 * file of --body-bytes, and understands nothing. The first request of a connection is measured to
 * its CRLF CRLF; from then on every request of that connection is taken to be as long as the first,
 * so that bytes / length is the number of answers due. That is true of wrk and of every generator
 * that repeats one request, and of nobody else: these programs are rulers, not servers.
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
    LIMIT_ANSWERS = 1024,  /* the most answers one send may carry; a request is at least 18 bytes */
    LIMIT_BYTES = 2 << 20, /* of memory for answers, where one is not longer */
    LIMIT_BODY = 1 << 30,
    LIMIT_BACKLOG = 4096,
};

/* One connection. Zeroed when its descriptor is accepted. */
struct limit_conn {
    uint32_t request_len; /* of the first request, bytes; 0 until its end was seen */
    uint32_t have;        /* bytes that no answer was given for yet */
    uint32_t matched;     /* how much of CRLF CRLF the bytes so far end with */
};

/* Copies of the answer, one after the other: any number of answers is one piece of memory, sent as
 * it lies. Only the head of it is ever touched, so it stays in the nearest cache.
 */
struct limit_answers {
    char *bytes;
    unsigned len;   /* of one answer */
    unsigned count; /* of copies, 1 to LIMIT_ANSWERS */
};

struct limit_options {
    unsigned port;
    unsigned response_bytes; /* of the greeting's whole answer; 0: as long as it comes */
    unsigned body_bytes;     /* of a file; 0: the greeting */
    int sendfile;            /* bodies by sendfile(2), where the program knows how */
};

_Noreturn static void limit_die(const char *doing)
{
    fprintf(stderr, "%s: %s\n", doing, strerror(errno));
    exit(1);
}

/* A complete greeting of exactly `len` bytes (0: as long as it comes), the Server field making up
 * the difference. */
static struct limit_answers limit_greeting_make(unsigned len)
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

    struct limit_answers answers = {malloc((size_t)len * LIMIT_ANSWERS), len, LIMIT_ANSWERS};
    if (!answers.bytes)
        limit_die("allocating the answers");
    for (unsigned i = 0; i < LIMIT_ANSWERS; i++)
        memcpy(answers.bytes + (size_t)i * len, one, len);
    return answers;
}

/* What answers for a file: its head, with the fields that a file server gives; returns its length.
 */
static unsigned limit_file_head(char head[512], unsigned body_bytes)
{
    return (unsigned)snprintf(head, 512,
                              "HTTP/1.1 200 OK\r\nServer: gyre\r\n"
                              "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                              "Content-Type: application/octet-stream\r\n"
                              "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                              "ETag: \"0123456789abcdef-400\"\r\nAccept-Ranges: bytes\r\n"
                              "Content-Length: %u\r\n\r\n",
                              body_bytes);
}

static struct limit_answers limit_answers_make(const struct limit_options *options)
{
    char head[512];
    unsigned head_len, count;

    if (options->body_bytes == 0)
        return limit_greeting_make(options->response_bytes);
    head_len = limit_file_head(head, options->body_bytes);
    count = LIMIT_BYTES / (head_len + options->body_bytes);
    count = count < 1 ? 1 : count > LIMIT_ANSWERS ? LIMIT_ANSWERS : count;
    struct limit_answers answers = {NULL, head_len + options->body_bytes, count};
    answers.bytes = malloc((size_t)answers.len * count);
    if (!answers.bytes)
        limit_die("allocating the answers");
    memset(answers.bytes, 'x', (size_t)answers.len * count);
    for (unsigned i = 0; i < count; i++)
        memcpy(answers.bytes + (size_t)i * answers.len, head, head_len);
    return answers;
}

/* How many answers `len` more bytes of input make due, at most `most`; they are taken as given. */
static inline unsigned limit_answers_due(struct limit_conn *conn, const char *bytes, unsigned len,
                                         unsigned most)
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
    return due <= most ? due : most;
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

static unsigned limit_number(const char *name, const char *text, unsigned long most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || number > most) {
        fprintf(stderr, "--%s %s: must be a number up to %lu\n", name, text, most);
        exit(2);
    }
    return (unsigned)number;
}

static struct limit_options limit_options_read(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"response-bytes", required_argument, NULL, 'r'},
                                          {"body-bytes", required_argument, NULL, 'b'},
                                          {"sendfile", no_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    struct limit_options options = {.port = 8080};
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == 'p')
            options.port = limit_number("port", optarg, 65535);
        else if (c == 'r')
            options.response_bytes = limit_number("response-bytes", optarg, 4096);
        else if (c == 'b')
            options.body_bytes = limit_number("body-bytes", optarg, LIMIT_BODY);
        else if (c == 's')
            options.sendfile = 1;
        else
            exit(2);
    }
    if (optind != argc || options.port == 0 || (options.sendfile && options.body_bytes == 0)) {
        fprintf(stderr,
                "usage: %s [--port PORT] [--response-bytes N | --body-bytes N [--sendfile]]\n",
                argv[0]);
        exit(2);
    }
    return options;
}

#endif
