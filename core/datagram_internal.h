/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_DATAGRAM_INTERNAL_H
#define GY_CORE_DATAGRAM_INTERNAL_H

/* What datagram.c (a socket's life), datagram_endpoint.c, datagram_receive.c, datagram_send.c,
 * datagram_calls.c (the kernel without the ring) and datagram_worker.c (the turn) share. */

#include <sys/socket.h>

#include "core/datagram.h"
#include "core/pool.h"
#include "core/worker.h"

/* Room for an address in front of a payload; for control messages with a send: where from (20
 * bytes of data at most), the ecn, the length of a segment. */
#define GY_DATAGRAM_NAME_BYTES 32
#define GY_DATAGRAM_CONTROL_BYTES                                                                  \
    (CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)))

/* Pieces of one datagram. */
#define GY_DATAGRAM_PIECES_MAX 16

/* Messages that one recvmmsg(2) or sendmmsg(2) carries. */
#define GY_DATAGRAM_CALL_MAX 64

_Static_assert(sizeof(struct sockaddr_in6) <= GY_DATAGRAM_NAME_BYTES, "an address has its room");

/* One datagram to be sent, or a train of them. */
struct gy_datagram_send {
    TAILQ_ENTRY(gy_datagram_send) entry; /* in the socket's `queue` or `flight` */
    struct gy_datagram_socket *socket;
    struct gy_chain bytes; /* what is left to send */
    uint32_t slot;
    uint32_t count;         /* datagrams in `bytes` */
    uint32_t segment_bytes; /* of each but the last */
    uint32_t sending_bytes; /* at the front, with the kernel */
    uint32_t interface;
    struct in6_addr local;
    union { /* of the length 0 on a dialled socket */
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    uint8_t name_length;
    uint8_t ecn;
    bool closed;    /* a shorter one ends the train */
    bool split;     /* the path takes no trains: one by one */
    bool cancelled; /* its end was asked for */
    _Alignas(struct cmsghdr) uint8_t control[GY_DATAGRAM_CONTROL_BYTES];
};

struct gy_datagram_service {
    struct gy_datagram_endpoint endpoint;
    const struct gy_server *server;
    struct gy_datagram_socket *socket; /* NULL once it is gone */
    struct gy_datagram_service *next;
};

/* What a batch is put together in. */
struct gy_datagram_batch {
    struct gy_datagram_socket *socket;
    uint32_t count;
    uint32_t path_count;
    struct gy_datagram datagrams[GY_DATAGRAM_BATCH];
    struct gy_datagram_path paths[GY_DATAGRAM_BATCH];
    struct gy_buffer *buffers[GY_DATAGRAM_BATCH]; /* that of each path, held */
};

/* Of one worker; made when its first endpoint is opened. */
struct gy_datagram_table {
    struct gy_slab sockets;
    uint32_t *generations; /* by slot; odd while it is in use */
    struct gy_slab sends;
    uint32_t *send_generations; /* by slot; odd while it is with the kernel */
    struct gy_datagram_endpoint *endpoints;
    struct gy_datagram_service *services;
    struct gy_datagram_sockets ready;
    struct gy_datagram_sockets flush;
    struct gy_datagram_batch *batch;
    uint32_t open; /* sockets */
    uint16_t group_next;
    void *memory;
    size_t memory_bytes;
};

static inline uint64_t gy_datagram_token(const struct gy_datagram_socket *socket,
                                         enum gy_operation operation)
{
    return gy_token(operation, socket->slot, socket->generation);
}

static inline uint64_t gy_datagram_send_token(const struct gy_datagram_send *send)
{
    const struct gy_datagram_table *table = send->socket->worker->datagrams;
    return gy_token(GY_OPERATION_DATAGRAM_SEND, send->slot, table->send_generations[send->slot]);
}

static inline bool gy_datagram_receives_by_calls(const struct gy_datagram_socket *socket)
{
    return socket->endpoint->options.receive_mode == GY_DATAGRAM_CALLS;
}

static inline bool gy_datagram_sends_by_calls(const struct gy_datagram_socket *socket)
{
    return socket->endpoint->options.send_mode == GY_DATAGRAM_CALLS;
}

/* Puts it into the list of those to be looked after at the end of the turn. */
void gy_datagram_flush_later(struct gy_datagram_socket *socket);

/* Puts it into the list of those with something for the protocol. */
void gy_datagram_make_ready(struct gy_datagram_socket *socket);

/* Tells the protocol of a dialled socket, when protocols run. */
void gy_datagram_fail(struct gy_datagram_socket *socket, int errno_value);

/* Goes on to a state that is nearer to the end; does nothing where it is there already. */
void gy_datagram_end(struct gy_datagram_socket *socket, enum gy_datagram_state state);

/* Does what the socket's state asks for. Frees it at its end. */
void gy_datagram_progress(struct gy_datagram_socket *socket);

/* ---- receiving ---- */

/* Bytes in front of a payload. */
uint32_t gy_datagram_head_bytes(const struct gy_datagram_endpoint *endpoint);

/* Sees that something arrives, if it is to. */
void gy_datagram_arm(struct gy_datagram_socket *socket);

void gy_datagram_received(struct gy_datagram_socket *socket,
                          const struct gy_completion *completion);

/* Sockets that waited for buffers, as many as there are now. */
void gy_datagram_resume_starved(struct gy_datagram_endpoint *endpoint);

/* Hands over what is in `in`. */
void gy_datagram_deliver(struct gy_datagram_socket *socket);

/* ---- sending ---- */

/* Gives what is queued to the kernel. */
void gy_datagram_push(struct gy_datagram_socket *socket);

void gy_datagram_sent(struct gy_datagram_send *send, int32_t result);

/* The front of what is left, as a message; `message` and `vectors` are for the call only, the
 * control messages lie in `send`. Returns the number of vectors. */
uint32_t gy_datagram_describe(struct gy_datagram_send *send, struct msghdr *message,
                              struct iovec *vectors);

/* Drops what is queued, counted as closed. */
void gy_datagram_drop_queue(struct gy_datagram_socket *socket);

/* Forgets which sends the next datagrams could join. */
void gy_datagram_forget_recent(struct gy_datagram_endpoint *endpoint);

/* ---- calls ---- */

/* Reads what is there, up to `max` datagrams, into `in`, and notes when there is no more
 * (`readable`). Returns how many, or a negative errno value; -ENOBUFS: there is no buffer. */
int gy_datagram_read(struct gy_datagram_socket *socket, uint32_t max);

/* sendmmsg(2) for what is queued. */
void gy_datagram_push_calls(struct gy_datagram_socket *socket);

#endif
