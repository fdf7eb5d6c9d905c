/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that an echo over TCP can cost on io_uring: one multishot receive a connection out of a
 * shared ring of buffers, and one send straight out of the buffer that was received into, which
 * goes back to the ring when it is sent. (Answers of --dns are longer than their queries, and are
 * sent from a place of their own.)
 */
#include "bench/limit/echo_limit.h"

enum { LIMIT_BUFFERS = 512 };
#include "bench/limit/ring_limit.h"

static bool dns;
static char answers[LIMIT_BUFFERS][RING_BUFFER_SIZE * 2]; /* of the buffer that they answer */

static void on_receive(struct limit_ring *ring, const struct io_uring_cqe *cqe, int fd)
{
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        size_t bytes = (size_t)cqe->res;
        if (dns && (bytes = limit_dns_stream(ring_memory[id], bytes, answers[id])) == 0) {
            shutdown(fd, SHUT_RDWR);
            ring_give_back(ring, id);
        } else {
            ring_send(ring, fd, id, dns ? answers[id] : ring_memory[id], bytes);
        }
    } else if (cqe->res != -ENOBUFS) {
        close(fd);
        return;
    }
    ring_receive_on(ring, cqe, fd);
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
        on_receive(ring, cqe, fd);
        break;
    case RING_SEND: /* one that failed is followed by a receive that ends the connection */
        ring_give_back(ring, ring_buffer(cqe));
        break;
    }
}

int main(int argc, char **argv)
{
    static struct limit_ring ring;
    int listener = echo_listen(argc, argv, &dns);

    ring_open(&ring);
    ring_arm_accept(&ring, listener);
    ring_run(&ring, on_completion);
}
