/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The least that a chat room can cost on io_uring: what came in a turn leaves as one send for each
 * connection, all of them submitted at once, out of the same memory.
 */
#include "bench/limit/chat_limit.h"

enum { LIMIT_BUFFERS = 64 };
#define LIMIT_BUFFER_SIZE 16384
#include "bench/limit/ring_limit.h"

enum { TURNS = 64, NO_TURN = TURNS };

static struct limit_ring ring;
static struct chat_turn turns[TURNS];
static unsigned holds[TURNS]; /* sends out of each */
static unsigned now;          /* the one that is being filled */
static struct chat_sender sender;
static char welcome[64];
static int open_count;
static int open_connections[ECHO_CONNS];

static void drop(int fd)
{
    for (int i = 0; i < open_count; i++) {
        if (open_connections[i] == fd) {
            open_connections[i] = open_connections[--open_count];
            break;
        }
    }
    close(fd);
}

static void answer(int fd, const char *bytes, size_t len)
{
    if (chat_is_greeting(bytes, len) && open_count < ECHO_CONNS) {
        open_connections[open_count++] = fd;
        ring_send(&ring, fd, NO_TURN, welcome, chat_welcome(welcome, sender.id));
        return;
    }
    sender.fd = fd;
    chat_receive(&turns[now], &sender, bytes, len);
}

static void on_completion(struct limit_ring *of, const struct io_uring_cqe *cqe)
{
    int fd = ring_descriptor(cqe);

    switch (cqe->user_data & 0xff) {
    case RING_ACCEPT:
        if (cqe->res >= 0)
            ring_arm_receive(of, cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE))
            ring_arm_accept(of, fd);
        break;
    case RING_RECEIVE:
        if (cqe->res > 0) {
            unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
            answer(fd, ring_memory[id], (size_t)cqe->res);
            ring_give_back(of, id);
        } else if (cqe->res != -ENOBUFS) {
            drop(fd);
            return;
        }
        ring_receive_on(of, cqe, fd);
        break;
    case RING_SEND: /* one that failed is followed by a receive that ends the connection */
        if (ring_buffer(cqe) != NO_TURN)
            holds[ring_buffer(cqe)]--;
        break;
    }
}

static void fan_out(void)
{
    struct chat_turn *turn = &turns[now];

    if (turn->messages == 0)
        return;
    for (int i = 0; i < open_count; i++) {
        int fd = open_connections[i];
        ring_send(&ring, fd, now, fd == sender.fd ? turn->ack : turn->message,
                  fd == sender.fd ? turn->acks : turn->messages);
    }
    holds[now] = (unsigned)open_count;
    for (unsigned i = 0; i < TURNS; i++) {
        if (holds[i] == 0) {
            now = i;
            turns[now].messages = turns[now].acks = 0;
            return;
        }
    }
    errno = ENOBUFS;
    echo_die("keeping what everybody is to get");
}

int main(int argc, char **argv)
{
    int listener = echo_listen(argc, argv, NULL);

    ring_open(&ring);
    ring_arm_accept(&ring, listener);
    for (;;) {
        ring_turn(&ring, on_completion);
        fan_out();
    }
}
