/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the limit programs over TCP on a ring share: one multishot accept, one multishot receive a
 * connection out of a shared ring of buffers, one enter a turn. What is switched on is what
 * measured faster, or nothing; what measured slower is named in ../README.md.
 *
 * A program defines LIMIT_BUFFERS, and perhaps their size, LIMIT_BUFFER_SIZE, before it includes
 * this, and says what it does with a completion.
 */
#ifndef GYRE_BENCH_LIMIT_RING_LIMIT_H
#define GYRE_BENCH_LIMIT_RING_LIMIT_H

#include <errno.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef LIMIT_BUFFER_SIZE
#define LIMIT_BUFFER_SIZE 2048
#endif

enum {
    RING_SQ_ENTRIES = 1024,
    RING_CQ_ENTRIES = 4096,
    RING_BUFFER_SIZE = LIMIT_BUFFER_SIZE,
    RING_GROUP = 0,
    RING_CONNS = 65536
};

/* The low byte of user_data; above it 16 bits of the buffer, then the descriptor. */
enum { RING_ACCEPT, RING_RECEIVE, RING_SEND };

struct limit_ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers;
    int given_back;           /* buffers added in this turn and not yet shown to the kernel */
    unsigned starved;         /* receives that found no buffer, to be armed again */
    int starving[RING_CONNS]; /* their descriptors */
};

static char ring_memory[LIMIT_BUFFERS][RING_BUFFER_SIZE];

static inline void ring_must(int result, const char *doing)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", doing, strerror(-result));
        exit(1);
    }
}

static inline struct io_uring_sqe *ring_next(struct limit_ring *ring)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&ring->uring)))
        io_uring_submit(&ring->uring);
    return sqe;
}

static inline uint64_t ring_token(int fd, unsigned buffer, unsigned what)
{
    return (uint64_t)fd << 24 | buffer << 8 | what;
}

static inline int ring_descriptor(const struct io_uring_cqe *cqe)
{
    return (int)(cqe->user_data >> 24);
}

/* That a send was out of. */
static inline unsigned ring_buffer(const struct io_uring_cqe *cqe)
{
    return (unsigned)(cqe->user_data >> 8 & 0xffff);
}

static inline void ring_arm_accept(struct limit_ring *ring, int listener)
{
    struct io_uring_sqe *sqe = ring_next(ring);

    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, ring_token(listener, 0, RING_ACCEPT));
}

static inline void ring_arm_receive(struct limit_ring *ring, int fd)
{
    struct io_uring_sqe *sqe = ring_next(ring);

    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RING_GROUP;
    io_uring_sqe_set_data64(sqe, ring_token(fd, 0, RING_RECEIVE));
}

/* After a receive that did not end its connection. */
static inline void ring_receive_on(struct limit_ring *ring, const struct io_uring_cqe *cqe, int fd)
{
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res == -ENOBUFS && ring->starved < RING_CONNS)
        ring->starving[ring->starved++] = fd;
    else
        ring_arm_receive(ring, fd);
}

static inline void ring_send(struct limit_ring *ring, int fd, unsigned buffer, const char *bytes,
                             size_t len)
{
    struct io_uring_sqe *sqe = ring_next(ring);

    io_uring_prep_send(sqe, fd, bytes, len, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, ring_token(fd, buffer, RING_SEND));
}

static inline void ring_give_back(struct limit_ring *ring, unsigned id)
{
    io_uring_buf_ring_add(ring->buffers, ring_memory[id], RING_BUFFER_SIZE, (unsigned short)id,
                          io_uring_buf_ring_mask(LIMIT_BUFFERS), ring->given_back++);
}

static inline void ring_open(struct limit_ring *ring)
{
    struct io_uring_params params = {.cq_entries = RING_CQ_ENTRIES};
    int error = 0;

    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_NO_SQARRAY;
    ring_must(io_uring_queue_init_params(RING_SQ_ENTRIES, &ring->uring, &params),
              "creating the ring");
    ring_must(io_uring_register_ring_fd(&ring->uring), "registering the ring");
    ring->buffers = io_uring_setup_buf_ring(&ring->uring, LIMIT_BUFFERS, RING_GROUP, 0, &error);
    ring_must(ring->buffers ? 0 : error, "creating the ring of buffers");
    for (unsigned id = 0; id < LIMIT_BUFFERS; id++)
        ring_give_back(ring, id);
}

typedef void limit_completion(struct limit_ring *ring, const struct io_uring_cqe *cqe);

static inline void ring_turn(struct limit_ring *ring, limit_completion *on_completion)
{
    if (ring->given_back > 0) {
        io_uring_buf_ring_advance(ring->buffers, ring->given_back);
        ring->given_back = 0;
        for (; ring->starved > 0; ring->starved--)
            ring_arm_receive(ring, ring->starving[ring->starved - 1]);
    }
    int error = io_uring_submit_and_wait(&ring->uring, 1);
    if (error != -EINTR && error != -EAGAIN && error != -EBUSY)
        ring_must(error, "waiting");

    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        on_completion(ring, cqe);
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
}

/* Turn after turn, for ever. */
_Noreturn static inline void ring_run(struct limit_ring *ring, limit_completion *on_completion)
{
    for (;;)
        ring_turn(ring, on_completion);
}

#endif
