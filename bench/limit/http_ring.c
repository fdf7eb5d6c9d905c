/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a web server on io_uring can cost: one multishot accept, one multishot receive a
 * connection out of a shared ring of buffers, one send a receive, one enter a turn.
 *
 * What is switched on below is what measured faster, or nothing; what measured slower is named in
 * ../README.md.
 */
#include "bench/limit/http_limit.h"

#include <liburing.h>

enum {
    SQ_ENTRIES = 1024,
    CQ_ENTRIES = 4096,
    BUFFERS = 64, /* one a ready connection; more would only be more cache to walk through */
    BUFFER_SIZE = 2048,
    BUFFER_GROUP = 0,
};

enum { ACCEPT, RECEIVE, SEND }; /* the low byte of user_data; the descriptor is above it */

struct server {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    int given_back; /* buffers added in this turn and not yet shown to the kernel */
    struct limit_answers answers;
};

static struct limit_conn conns[LIMIT_CONNS];
static char buffer_memory[BUFFERS][BUFFER_SIZE];

static void must(int result, const char *doing)
{
    if (result < 0) {
        errno = -result;
        limit_die(doing);
    }
}

static struct io_uring_sqe *next_sqe(struct server *server)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&server->ring)))
        io_uring_submit(&server->ring);
    return sqe;
}

static void arm_accept(struct server *server, int listener)
{
    struct io_uring_sqe *sqe = next_sqe(server);

    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, (uint64_t)listener << 8 | ACCEPT);
}

static void arm_receive(struct server *server, int fd)
{
    struct io_uring_sqe *sqe = next_sqe(server);

    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, (uint64_t)fd << 8 | RECEIVE);
}

static void answer(struct server *server, int fd, unsigned due)
{
    struct io_uring_sqe *sqe = next_sqe(server);
    size_t len = (size_t)due * server->answers.len;

    io_uring_prep_send(sqe, fd, server->answers.bytes, len, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, (uint64_t)fd << 8 | SEND);
}

static void give_back(struct server *server, unsigned id)
{
    io_uring_buf_ring_add(server->buffers, buffer_memory[id], BUFFER_SIZE, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), server->given_back++);
}

static void on_receive(struct server *server, const struct io_uring_cqe *cqe, int fd)
{
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        unsigned due = limit_answers_due(&conns[fd], buffer_memory[id], (unsigned)cqe->res,
                                         server->answers.count);
        if (due)
            answer(server, fd, due);
        give_back(server, id);
    } else if (cqe->res != -ENOBUFS) {
        close(fd); /* the end, or an error: the receive is not armed any more, and the peer expects
                      no answer */
        return;
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_receive(server, fd);
}

static void on_completion(struct server *server, const struct io_uring_cqe *cqe)
{
    int fd = (int)(cqe->user_data >> 8);

    switch (cqe->user_data & 0xff) {
    case ACCEPT:
        if (cqe->res >= 0 && cqe->res < LIMIT_CONNS) {
            conns[cqe->res] = (struct limit_conn){0};
            arm_receive(server, cqe->res);
        }
        if (!(cqe->flags & IORING_CQE_F_MORE))
            arm_accept(server, fd);
        break;
    case RECEIVE:
        on_receive(server, cqe, fd);
        break;
    case SEND: /* a send that failed is followed by a receive that ends the connection */
        break;
    }
}

static void set_up(struct server *server)
{
    struct io_uring_params params = {.cq_entries = CQ_ENTRIES};
    int error;

    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_NO_SQARRAY;
    must(io_uring_queue_init_params(SQ_ENTRIES, &server->ring, &params), "creating the ring");
    must(io_uring_register_ring_fd(&server->ring), "registering the ring");
    server->buffers = io_uring_setup_buf_ring(&server->ring, BUFFERS, BUFFER_GROUP, 0, &error);
    if (!server->buffers) {
        errno = -error;
        limit_die("creating the ring of buffers");
    }
    for (unsigned id = 0; id < BUFFERS; id++)
        give_back(server, id);
}

int main(int argc, char **argv)
{
    static struct server server;
    struct limit_options options = limit_options_read(argc, argv);

    if (options.sendfile) {
        fprintf(stderr,
                "--sendfile: there is no such operation on a ring; limit-http-epoll has it\n");
        return 2;
    }
    server.answers = limit_answers_make(&options);
    set_up(&server);
    arm_accept(&server, limit_listen(options.port));
    for (;;) {
        io_uring_buf_ring_advance(server.buffers, server.given_back);
        server.given_back = 0;
        int error = io_uring_submit_and_wait(&server.ring, 1);
        if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY)
            must(error, "waiting");

        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&server.ring, head, cqe)
        {
            on_completion(&server, cqe);
            count++;
        }
        io_uring_cq_advance(&server.ring, count);
    }
}
