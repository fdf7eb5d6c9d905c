/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a web server on io_uring can cost: one multishot accept, one multishot receive a
 * connection out of a shared ring of buffers, one send a receive, one enter a turn.
 */
#include "bench/limit/http_limit.h"

enum { LIMIT_BUFFERS = 64 }; /* one a ready connection; more would be more cache to walk through */
#include "bench/limit/ring_limit.h"

static struct limit_answers answers;
static struct limit_conn conns[LIMIT_CONNS];

static void on_receive(struct limit_ring *ring, const struct io_uring_cqe *cqe, int fd)
{
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        unsigned due =
            limit_answers_due(&conns[fd], ring_memory[id], (unsigned)cqe->res, answers.count);
        if (due)
            ring_send(ring, fd, 0, answers.bytes, (size_t)due * answers.len);
        ring_give_back(ring, id);
    } else if (cqe->res != -ENOBUFS) {
        close(fd); /* the end, or an error: the receive is not armed any more, and the peer expects
                      no answer */
        return;
    }
    ring_receive_on(ring, cqe, fd);
}

static void on_completion(struct limit_ring *ring, const struct io_uring_cqe *cqe)
{
    int fd = ring_descriptor(cqe);

    switch (cqe->user_data & 0xff) {
    case RING_ACCEPT:
        if (cqe->res >= 0 && cqe->res < LIMIT_CONNS) {
            conns[cqe->res] = (struct limit_conn){0};
            ring_arm_receive(ring, cqe->res);
        }
        if (!(cqe->flags & IORING_CQE_F_MORE))
            ring_arm_accept(ring, fd);
        break;
    case RING_RECEIVE:
        on_receive(ring, cqe, fd);
        break;
    case RING_SEND: /* a send that failed is followed by a receive that ends the connection */
        break;
    }
}

int main(int argc, char **argv)
{
    static struct limit_ring ring;
    struct limit_options options = limit_options_read(argc, argv);

    if (options.sendfile) {
        fprintf(stderr,
                "--sendfile: there is no such operation on a ring; limit-http-epoll has it\n");
        return 2;
    }
    answers = limit_answers_make(&options);
    ring_open(&ring);
    ring_arm_accept(&ring, limit_listen(options.port));
    ring_run(&ring, on_completion);
}
