/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that WebSocket can cost on io_uring: one multishot receive a connection out of a shared
 * ring of buffers, and sends straight out of the buffer that was received into, which goes back to
 * the ring when the last of them has ended. With --broadcast there is one send for each connection,
 * all of them submitted at once.
 */
#include "bench/limit/ws_limit.h"

#include <liburing.h>

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 4096, BUFFERS = 512, BUFFER_SIZE = 2048, BUFFER_GROUP = 0 };

/* The low byte of user_data; above it 16 bits of the buffer, then the descriptor. */
enum { ACCEPT, RECEIVE, SEND };

struct server {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    int given_back;           /* buffers added in this turn and not yet shown to the kernel */
    unsigned starved;         /* receives that found no buffer, to be armed again */
    int starving[ECHO_CONNS]; /* their descriptors */
    int broadcast;
    int open_count;
    int open[ECHO_CONNS];    /* their descriptors, too */
    unsigned holds[BUFFERS]; /* sends out of each buffer */
};

/* In the place of a buffer: what is sent lies elsewhere. */
enum { NO_BUFFER = BUFFERS };

static char memory[BUFFERS][BUFFER_SIZE];

static void must(int result, const char *doing)
{
    if (result < 0) {
        errno = -result;
        echo_die(doing);
    }
}

static struct io_uring_sqe *next_sqe(struct server *server)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&server->ring)))
        io_uring_submit(&server->ring);
    return sqe;
}

static uint64_t token(int fd, unsigned buffer, unsigned what)
{
    return (uint64_t)fd << 24 | buffer << 8 | what;
}

static void arm_accept(struct server *server, int listener)
{
    struct io_uring_sqe *sqe = next_sqe(server);

    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, token(listener, 0, ACCEPT));
}

static void arm_receive(struct server *server, int fd)
{
    struct io_uring_sqe *sqe = next_sqe(server);

    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, token(fd, 0, RECEIVE));
}

static void give_back(struct server *server, unsigned id)
{
    io_uring_buf_ring_add(server->buffers, memory[id], BUFFER_SIZE, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), server->given_back++);
}

static void send_out_of(struct server *server, int fd, unsigned id, const char *bytes, size_t len)
{
    struct io_uring_sqe *sqe = next_sqe(server);

    io_uring_prep_send(sqe, fd, bytes, len, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, token(fd, id, SEND));
    if (id != NO_BUFFER)
        server->holds[id]++;
}

static void let_go(struct server *server, unsigned id)
{
    if (--server->holds[id] == 0)
        give_back(server, id);
}

/* What was received is not known any more afterwards. */
static int answer(struct server *server, int fd, unsigned id, size_t len)
{
    if (ws_is_greeting(memory[id], len)) {
        if (server->open_count == ECHO_CONNS)
            return -1;
        server->open[server->open_count++] = fd;
        send_out_of(server, fd, NO_BUFFER, ws_welcome, sizeof ws_welcome - 1);
        return 0;
    }
    char *frames = ws_turn(memory[id], &len);
    if (len == 0)
        return -1;
    if (!server->broadcast) {
        send_out_of(server, fd, id, frames, len);
        return 0;
    }
    for (int i = 0; i < server->open_count; i++)
        send_out_of(server, server->open[i], id, frames, len);
    return 0;
}

static void drop(struct server *server, int fd)
{
    for (int i = 0; i < server->open_count; i++) {
        if (server->open[i] == fd) {
            server->open[i] = server->open[--server->open_count];
            break;
        }
    }
    close(fd);
}

static void on_receive(struct server *server, const struct io_uring_cqe *cqe, int fd)
{
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        server->holds[id] = 1; /* ours */
        if (answer(server, fd, id, (size_t)cqe->res) < 0)
            shutdown(fd, SHUT_RDWR); /* a receive of nothing follows */
        let_go(server, id);
    } else if (cqe->res != -ENOBUFS) {
        drop(server, fd);
        return;
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res == -ENOBUFS && server->starved < ECHO_CONNS)
        server->starving[server->starved++] = fd;
    else
        arm_receive(server, fd);
}

static void on_completion(struct server *server, const struct io_uring_cqe *cqe)
{
    int fd = (int)(cqe->user_data >> 24);

    switch (cqe->user_data & 0xff) {
    case ACCEPT:
        if (cqe->res >= 0)
            arm_receive(server, cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE))
            arm_accept(server, fd);
        break;
    case RECEIVE:
        on_receive(server, cqe, fd);
        break;
    case SEND: /* one that failed is followed by a receive that ends the connection */
        if ((cqe->user_data >> 8 & 0xffff) != NO_BUFFER)
            let_go(server, (unsigned)(cqe->user_data >> 8 & 0xffff));
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
        echo_die("creating the ring of buffers");
    }
    for (unsigned id = 0; id < BUFFERS; id++)
        give_back(server, id);
}

int main(int argc, char **argv)
{
    static struct server server;
    int listener = ws_listen(argc, argv, &server.broadcast);

    set_up(&server);
    arm_accept(&server, listener);
    for (;;) {
        if (server.given_back > 0) {
            io_uring_buf_ring_advance(server.buffers, server.given_back);
            server.given_back = 0;
            for (; server.starved > 0; server.starved--)
                arm_receive(&server, server.starving[server.starved - 1]);
        }
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
