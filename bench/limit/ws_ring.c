/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that WebSocket can cost on io_uring: one multishot receive a connection out of a shared
 * ring of buffers, and sends straight out of the buffer that was received into, which goes back to
 * the ring when the last of them has ended. With --broadcast there is one send for each connection,
 * all of them submitted at once.
 */
#include "bench/limit/ws_limit.h"

enum { LIMIT_BUFFERS = 512 };
#include "bench/limit/ring_limit.h"

/* In the place of a buffer: what is sent lies elsewhere. */
enum { NO_BUFFER = LIMIT_BUFFERS };

static struct {
    struct limit_ring ring;
    int broadcast;
    int open_count;
    int open[ECHO_CONNS];          /* descriptors */
    unsigned holds[LIMIT_BUFFERS]; /* sends out of each buffer */
} server;

static void send_out_of(int fd, unsigned id, const char *bytes, size_t len)
{
    ring_send(&server.ring, fd, id, bytes, len);
    if (id != NO_BUFFER)
        server.holds[id]++;
}

static void let_go(unsigned id)
{
    if (--server.holds[id] == 0)
        ring_give_back(&server.ring, id);
}

/* What was received is not known any more afterwards. */
static int answer(int fd, unsigned id, size_t len)
{
    if (ws_is_greeting(ring_memory[id], len)) {
        if (server.open_count == ECHO_CONNS)
            return -1;
        server.open[server.open_count++] = fd;
        send_out_of(fd, NO_BUFFER, ws_welcome, sizeof ws_welcome - 1);
        return 0;
    }
    char *frames = ws_turn(ring_memory[id], &len);
    if (len == 0)
        return -1;
    if (!server.broadcast) {
        send_out_of(fd, id, frames, len);
        return 0;
    }
    for (int i = 0; i < server.open_count; i++)
        send_out_of(server.open[i], id, frames, len);
    return 0;
}

static void drop(int fd)
{
    for (int i = 0; i < server.open_count; i++) {
        if (server.open[i] == fd) {
            server.open[i] = server.open[--server.open_count];
            break;
        }
    }
    close(fd);
}

static void on_receive(const struct io_uring_cqe *cqe, int fd)
{
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        server.holds[id] = 1; /* ours */
        if (answer(fd, id, (size_t)cqe->res) < 0)
            shutdown(fd, SHUT_RDWR); /* a receive of nothing follows */
        let_go(id);
    } else if (cqe->res != -ENOBUFS) {
        drop(fd);
        return;
    }
    ring_receive_on(&server.ring, cqe, fd);
}

static void on_completion(struct limit_ring *ring, const struct io_uring_cqe *cqe)
{
    int fd = ring_descriptor(cqe);

    switch (cqe->user_data & 0xff) {
    case RING_ACCEPT:
        if (cqe->res >= 0)
            ring_arm_receive(ring, cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE))
            ring_arm_accept(ring, fd);
        break;
    case RING_RECEIVE:
        on_receive(cqe, fd);
        break;
    case RING_SEND: /* one that failed is followed by a receive that ends the connection */
        if (ring_buffer(cqe) != NO_BUFFER)
            let_go(ring_buffer(cqe));
        break;
    }
}

int main(int argc, char **argv)
{
    int listener = ws_listen(argc, argv, &server.broadcast);

    ring_open(&server.ring);
    ring_arm_accept(&server.ring, listener);
    ring_run(&server.ring, on_completion);
}
