/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a UDP echo server can cost on io_uring: one multishot recvmsg out of a ring of
 * buffers, one sendmsg a buffer that came, one enter a turn. A buffer is given back when its answer
 * has left.
 */
#include "bench/limit/udp_limit.h"

#include <liburing.h>

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 4096, BUFFER_GROUP = 0, RECEIVE = LIMIT_BATCH };

struct answer {
    struct msghdr message;
    struct iovec vector;
    _Alignas(struct cmsghdr) char control[LIMIT_CONTROL];
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static struct answer answers[LIMIT_BATCH];
static struct msghdr room;
static char *memory, *longer; /* answers to trains, which grow as they are made */
static struct limit_options options;
static size_t buffer_bytes;
static int buffer_count, given_back, descriptor;

static struct io_uring_sqe *next_sqe(void)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&ring)))
        io_uring_submit(&ring);
    return sqe;
}

static void arm(void)
{
    struct io_uring_sqe *sqe = next_sqe();

    io_uring_prep_recvmsg_multishot(sqe, descriptor, &room, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, RECEIVE);
}

static void give_back(unsigned id)
{
    io_uring_buf_ring_add(buffers, memory + id * buffer_bytes, (unsigned)buffer_bytes,
                          (unsigned short)id, io_uring_buf_ring_mask((unsigned)buffer_count),
                          given_back++);
}

static void send_back(unsigned id, int bytes)
{
    struct answer *answer = &answers[id];
    struct io_uring_recvmsg_out *out =
        io_uring_recvmsg_validate(memory + id * buffer_bytes, bytes, &room);
    struct io_uring_sqe *sqe;

    if (!out) {
        give_back(id);
        return;
    }
    char *payload = io_uring_recvmsg_payload(out, &room);
    size_t length = io_uring_recvmsg_payload_length(out, bytes, &room);
    char *control = (char *)io_uring_recvmsg_name(out) + room.msg_namelen;
    if (options.dns) {
        char *made = options.trains ? longer + id * 2 * buffer_bytes : payload;
        if (!options.trains && length > LIMIT_BYTES / 2)
            length = LIMIT_BYTES / 2; /* there must be room behind it */
        length = limit_dns_answers(payload, length, limit_segment(control, out->controllen, length),
                                   made);
        payload = made;
    }
    answer->vector = (struct iovec){payload, length};
    answer->message = (struct msghdr){.msg_name = io_uring_recvmsg_name(out),
                                      .msg_namelen = out->namelen,
                                      .msg_iov = &answer->vector,
                                      .msg_iovlen = 1};
    if (out->controllen > 0) {
        memcpy(answer->control, control, out->controllen);
        answer->message.msg_controllen = limit_answer_control(answer->control, out->controllen,
                                                              options.dns ? LIMIT_DNS_MORE : 0);
        answer->message.msg_control = answer->control;
    }
    sqe = next_sqe();
    io_uring_prep_sendmsg(sqe, descriptor, &answer->message, 0);
    io_uring_sqe_set_data64(sqe, id);
}

static void on_completion(const struct io_uring_cqe *cqe)
{
    if (cqe->user_data != RECEIVE) {
        give_back((unsigned)cqe->user_data);
        return;
    }
    if (cqe->flags & IORING_CQE_F_BUFFER)
        send_back(cqe->flags >> IORING_CQE_BUFFER_SHIFT, cqe->res);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm();
}

static void set_up(void)
{
    struct io_uring_params params = {.cq_entries = CQ_ENTRIES};
    int error;

    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_NO_SQARRAY;
    error = io_uring_queue_init_params(SQ_ENTRIES, &ring, &params);
    if (error == 0)
        io_uring_register_ring_fd(&ring);
    buffer_count = options.trains ? LIMIT_BATCH / 4 : LIMIT_BATCH;
    buffer_bytes = options.trains ? LIMIT_TRAIN_BYTES : LIMIT_BYTES;
    room = (struct msghdr){.msg_namelen = sizeof(struct sockaddr_in),
                           .msg_controllen = options.trains ? LIMIT_CONTROL : 0};
    memory = malloc((size_t)buffer_count * buffer_bytes);
    longer = malloc(options.trains ? (size_t)buffer_count * 2 * buffer_bytes : 1);
    if (error == 0)
        buffers = io_uring_setup_buf_ring(&ring, (unsigned)buffer_count, BUFFER_GROUP, 0, &error);
    if (!buffers || !memory || !longer) {
        errno = -error;
        limit_die("creating the ring");
    }
    for (int id = 0; id < buffer_count; id++)
        give_back((unsigned)id);
}

int main(int argc, char **argv)
{
    descriptor = limit_socket(argc, argv, &options);
    set_up();
    arm();
    for (;;) {
        io_uring_buf_ring_advance(buffers, given_back);
        given_back = 0;
        int error = io_uring_submit_and_wait(&ring, 1);
        if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY) {
            errno = -error;
            limit_die("waiting");
        }
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            on_completion(cqe);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}
