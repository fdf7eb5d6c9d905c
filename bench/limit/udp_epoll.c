/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a UDP echo server can cost with recvmmsg and sendmmsg behind epoll.
 *
 * Edge-triggered: a call that brings fewer datagrams than it had room for has emptied the socket,
 * so none is spent on EAGAIN.
 */
#include "bench/limit/udp_limit.h"

#include <sys/epoll.h>

static struct mmsghdr messages[LIMIT_BATCH];
static struct iovec vectors[LIMIT_BATCH];
static struct sockaddr_in names[LIMIT_BATCH];
static _Alignas(struct cmsghdr) char controls[LIMIT_BATCH][LIMIT_CONTROL];
static char *memory, *answers; /* answers to trains, which grow as they are made */

/* What goes back for one that was received. */
static void answer(int i, size_t bytes, const struct limit_options *options)
{
    struct msghdr *message = &messages[i].msg_hdr;
    char *out = options->trains ? answers + (size_t)i * 2 * bytes : vectors[i].iov_base;
    size_t length = messages[i].msg_len;

    if (options->dns) {
        size_t segment = limit_segment(controls[i], message->msg_controllen, length);
        vectors[i].iov_len = limit_dns_answers(vectors[i].iov_base, length, segment, out);
        vectors[i].iov_base = out;
    } else {
        vectors[i].iov_len = length;
    }
    message->msg_controllen = options->trains
                                  ? limit_answer_control(controls[i], message->msg_controllen,
                                                         options->dns ? LIMIT_DNS_MORE : 0)
                                  : 0;
    if (message->msg_controllen == 0)
        message->msg_control = NULL;
}

static void describe(int count, size_t bytes, bool trains)
{
    for (int i = 0; i < count; i++) {
        vectors[i] = (struct iovec){memory + (size_t)i * bytes, bytes - LIMIT_DNS_MORE};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &names[i],
            .msg_namelen = sizeof names[i],
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
            .msg_control = trains ? controls[i] : NULL,
            .msg_controllen = trains ? sizeof controls[i] : 0,
        };
    }
}

int main(int argc, char **argv)
{
    struct limit_options options;
    int fd = limit_socket(argc, argv, &options);
    int room = options.trains ? LIMIT_BATCH / 4 : LIMIT_BATCH;
    size_t bytes = options.trains ? LIMIT_TRAIN_BYTES : LIMIT_BYTES;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int epoll = epoll_create1(0);

    memory = malloc((size_t)room * bytes);
    answers = malloc(options.trains ? (size_t)room * 2 * bytes : 1);
    if (!memory || !answers || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        limit_die("setting up");
    for (;;) {
        int count;
        epoll_wait(epoll, &event, 1, -1);
        do {
            describe(room, bytes, options.trains);
            count = recvmmsg(fd, messages, (unsigned)room, MSG_DONTWAIT, NULL);
            for (int i = 0; i < count; i++)
                answer(i, bytes, &options);
            for (int sent = 0; sent < count;) {
                int now = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
                sent += now > 0 ? now : 1; /* one that is refused is lost */
            }
        } while (count == room);
    }
}
