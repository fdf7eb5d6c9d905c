/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_DATAGRAM_H
#define GY_CORE_DATAGRAM_H

/*
 * Datagrams: UDP sockets of a worker, between the ring and a protocol.
 *
 * What arrived within a turn is handed over in batches, so that a protocol can work in stages over
 * many datagrams at once; what it sends is queued, and leaves at the end of the turn. Nothing is
 * sent while protocols run.
 *
 *   endpoint  what the sockets of one kind share on one worker: the protocol's calls, receive
 *             buffers, and bounds. A server has one; so has a client, for all sockets it dials.
 *   socket    bound (a server's: any peer) or dialled (connected to one).
 *   path      where a datagram came from and which of our addresses it came to. An answer is sent
 *             along the same path, so that it leaves from the address that was asked.
 *
 * Receiving: each endpoint has buffers of its own, so a flood on one starves no other (its quota:
 * options.buffers). A datagram longer than options.message_bytes is cut, marked and counted. When
 * all buffers are held, what arrives waits in the socket, where the kernel drops what does not fit,
 * and receiving goes on as soon as one comes back. With `gro` the kernel may hand over a train
 * (many datagrams of one peer, of one length but the last, which may be shorter) as one; it is
 * taken apart here, and the protocol sees single datagrams that share a buffer.
 *
 * Sending: up to options.sends_max sends wait or are with the kernel; one more is refused: the
 * newest datagram is the one that is lost (counted as `queue`). With `gso` datagrams of a turn to
 * one peer that have one length (again, the last may be shorter) leave as one send. A path that
 * does not take such trains gets them one by one. What the kernel refuses is counted by name
 * (`datagrams_unsent`) and lost, as datagrams are; no error ends a socket.
 *
 * All calls are for the owning worker's thread. Bytes sent must not change until they have left.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "address.h"
#include "slice.h"
#include "timer.h"

struct gy_worker;
struct gy_pool;
struct gy_server;
struct gy_datagram_socket;
struct gy_datagram_send;
struct sock_filter;

/* The most that one datagram can carry: over IPv4. */
#define GY_DATAGRAM_BYTES_MAX 65507

/* Datagrams that one call hands over at most. */
#define GY_DATAGRAM_BATCH 256

/* Datagrams in one send, and bytes: what every kernel since 4.18 takes. */
#define GY_DATAGRAM_TRAIN_MAX       64
#define GY_DATAGRAM_TRAIN_BYTES_MAX 65000

struct gy_datagram_path {
    struct gy_address peer;
    struct in6_addr local; /* ours; IPv4 as ::ffff:192.0.2.1; :: where it is not known, or any */
    uint32_t interface;    /* by which it came in; 0: not known */
    uint8_t ecn;           /* 0 to 3: RFC 3168 §5 */
};

/* One that was received. Slice and path are there for the call only; gy_slice_of() makes a slice
 * that stays, and keeps one of the endpoint's buffers from receiving while it does. */
struct gy_datagram {
    struct gy_slice slice; /* may be empty */
    const struct gy_datagram_path *path;
    bool truncated; /* it was longer */
};

/* What a protocol brings along; constant. */
struct gy_datagram_ops {
    /* 1 to GY_DATAGRAM_BATCH datagrams, in the order of arrival. */
    void (*receive)(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                    uint32_t count);

    /* A dialled socket learnt that its peer is not there (ECONNREFUSED, EHOSTUNREACH, …), or that
     * a send failed. The socket goes on. May be NULL. */
    void (*failed)(struct gy_datagram_socket *socket, int errno_value);

    /* The deadline of gy_datagram_set_deadline has passed. May be NULL where none is set. */
    void (*expire)(struct gy_datagram_socket *socket);

    /* The worker ends: a dialled socket finishes what is under way, and closes. NULL: closed at
     * once. A server's socket is closed by core. */
    void (*drain)(struct gy_datagram_socket *socket);

    /* The last call: the socket's memory is given back after it. May be NULL. */
    void (*closed)(struct gy_datagram_socket *socket);

    /* The worker ends: a server's socket is about to be closed, and what is queued now is the last
     * that its peers hear of it. May be NULL. */
    void (*leaving)(struct gy_datagram_socket *socket);
};

/* How sockets and the kernel speak. */
enum gy_datagram_mode {
    GY_DATAGRAM_CHOOSE, /* what was measured to be best of what this kernel has */
    GY_DATAGRAM_RING,   /* multishot recvmsg and sendmsg, on the ring */
    GY_DATAGRAM_CALLS,  /* recvmmsg(2) and sendmmsg(2), behind a poll on the ring */
    GY_DATAGRAM_MODE_COUNT
};

/* "choose", "ring", "calls"; and back (GY_EINVAL). */
const char *gy_datagram_mode_name(enum gy_datagram_mode mode);
int gy_datagram_mode_parse(const char *name, enum gy_datagram_mode *mode);

/* For all sockets of the port of one of them (SO_REUSEPORT): the program of classic BPF, of `count`
 * instructions (<linux/filter.h>), is run by the kernel on each datagram's payload, and its result
 * is the number of the socket that gets it; any other number leaves it to the addresses. 0 or the
 * GY_E… code of what the kernel said. */
int gy_datagram_steer(int descriptor, const struct sock_filter *code, uint16_t count);

/* What becomes of a datagram that is longer than the path takes. */
enum gy_datagram_fragments {
    GY_DATAGRAM_FRAGMENT_SYSTEM, /* as the host is set up: by default, as path MTU discovery says */
    GY_DATAGRAM_FRAGMENT_OMIT,   /* fragmented; what ICMP says of the path is not believed (DNS) */
    GY_DATAGRAM_FRAGMENT_NEVER,  /* lost, counted as too_long: the protocol probes (RFC 8899) */
};

/* 0 means the default beside it. */
struct gy_datagram_options {
    const char *name; /* for log and messages */
    const struct gy_datagram_ops *ops;
    void *context; /* the owner's; found again as endpoint->context */
    enum gy_datagram_mode receive_mode;
    enum gy_datagram_mode send_mode;
    enum gy_datagram_fragments fragments;
    bool gro;                 /* take trains whole */
    bool gso;                 /* send trains */
    bool ecn;                 /* learn the path's ecn */
    uint8_t ecn_usual;        /* what most datagrams are sent with; others cost a control message */
    uint32_t message_bytes;   /* of one datagram: what 2 KiB buffers hold (1904), 64 KiB with gro */
    uint32_t buffers;         /* 1024; 64 with gro */
    uint32_t posted;          /* with the kernel at a time, a power of two: 64; 16 with gro */
    uint32_t sends_max;       /* 1024 */
    uint32_t kernel_in_bytes; /* asked for as SO_RCVBUF: 4 MiB; the system's limit cuts it */
    uint32_t kernel_out_bytes; /* likewise SO_SNDBUF: left as it is */
};

TAILQ_HEAD(gy_datagram_sends, gy_datagram_send);
TAILQ_HEAD(gy_datagram_sockets, gy_datagram_socket);

/* Direct-mapped: the last send queued to a peer in this turn. */
#define GY_DATAGRAM_RECENT 64

struct gy_datagram_endpoint {
    struct gy_worker *worker;
    const struct gy_datagram_ops *ops;
    void *context;
    void *state;                        /* the owner's, for this worker */
    struct gy_datagram_options options; /* defaults filled in, modes settled */
    struct gy_pool *pool;
    struct msghdr room;     /* what a receive buffer has room for in front of the payload */
    uint32_t control_bytes; /* of that, for control messages */
    uint32_t sockets;
    uint32_t sends;           /* queued or with the kernel */
    uint32_t train_bytes_max; /* length of a datagram that paths were seen to take in trains */
    struct gy_datagram_send *recent[GY_DATAGRAM_RECENT];
    bool recent_used;
    struct gy_datagram_sockets starved; /* receive when a buffer has come back */
    struct gy_datagram_endpoint *next;  /* of the worker's */
};

enum gy_datagram_state {
    GY_DATAGRAM_OPEN,
    GY_DATAGRAM_TAKING,   /* ends, once what has arrived has been handed over */
    GY_DATAGRAM_FLUSHING, /* ends, once what is queued has left */
    GY_DATAGRAM_CLOSING,  /* ends, once nothing is in flight */
};

/* Protocols use worker, endpoint, context, local and peer; everything else belongs to core. */
struct gy_datagram_socket {
    struct gy_worker *worker;
    struct gy_datagram_endpoint *endpoint;
    void *context;           /* the protocol's own */
    struct gy_address local; /* where it is bound */
    struct gy_address peer;  /* dialled: to whom */

    struct gy_chain in; /* arrived in this turn, a buffer each */
    struct gy_timer timer;
    struct gy_datagram_sends queue;  /* not yet with the kernel */
    struct gy_datagram_sends flight; /* with the kernel */
    TAILQ_ENTRY(gy_datagram_socket) ready_entry;
    TAILQ_ENTRY(gy_datagram_socket) flush_entry;
    TAILQ_ENTRY(gy_datagram_socket) starved_entry;

    int descriptor;
    uint32_t slot;
    uint32_t generation;
    uint32_t cancelling;   /* cancels in flight */
    uint32_t take_left;    /* while TAKING: datagrams that may still be read from the kernel */
    int error;             /* errno that the protocol is still to be told */
    struct in6_addr bound; /* `local` as paths have it */
    uint8_t ecn;           /* what the kernel sends with unless told otherwise */

    uint8_t state; /* enum gy_datagram_state */
    bool dialled : 1;
    bool wide : 1;  /* bound to every address: the local one is asked for, and told */
    bool ready : 1; /* in the worker's list of sockets with input */
    bool flush : 1; /* in the worker's list of sockets to look after */
    bool receiving : 1;
    bool receive_cancelled : 1;
    bool starved : 1;     /* in the endpoint's list of those who found no buffer */
    bool readable : 1;    /* CALLS: there may be more to read */
    bool polling_out : 1; /* CALLS: the kernel had no room; told when it has */
    bool out_cancelled : 1;
};

/* ---- endpoints ---- */

/* Makes the buffers. 0; GY_ENOMEM; GY_EINVAL for sizes that cannot be; GY_ENOTSUP for a mode that
 * this kernel lacks; GY_ELIMIT. The endpoint must not move while it is open. */
int gy_datagram_endpoint_open(struct gy_datagram_endpoint *endpoint, struct gy_worker *worker,
                              const struct gy_datagram_options *options, struct gy_error *error);

/* After its last socket is gone and no slice of what it received is held. */
void gy_datagram_endpoint_close(struct gy_datagram_endpoint *endpoint);

/* ---- sockets ---- */

/* Takes over a bound UDP socket. NULL when a bound was reached or the socket is no such one: then
 * it stays with the caller, and `error` (which may be NULL) says why. */
struct gy_datagram_socket *gy_datagram_take(struct gy_datagram_endpoint *endpoint, int descriptor,
                                            void *context, struct gy_error *error);

/* A socket connected to `peer`, from a port that the kernel picks at random, or from `local` (NULL:
 * any; port 0: picked). Only datagrams of that peer come in, and its ICMP errors are told. NULL
 * with a sentence. */
struct gy_datagram_socket *gy_datagram_dial(struct gy_datagram_endpoint *endpoint,
                                            const struct gy_address *peer,
                                            const struct gy_address *local, void *context,
                                            struct gy_error *error);

/*
 * Queues a datagram along `path`, whose bytes are the slice's. On a dialled socket the path may be
 * NULL, and only its ecn matters. The
 * slice's count is taken over whatever the result. The slice best comes from the worker's bump
 * (gy_bump_reserve, gy_bump_slice), or is what was received. Returns 0, or, with the datagram lost
 * and counted,
 *     GY_ENOBUFS  the endpoint's queue, or the worker's table of sends or links, is full
 *     GY_EINVAL   longer than a datagram can be
 *     GY_ECLOSED  the socket is closing
 */
int gy_datagram_send(struct gy_datagram_socket *socket, const struct gy_datagram_path *path,
                     struct gy_slice slice);

/* The same, of several slices: all that is in `chain`, which is empty afterwards and shares the
 * worker's links. At most 16. */
int gy_datagram_send_chain(struct gy_datagram_socket *socket, const struct gy_datagram_path *path,
                           struct gy_chain *chain);

/* When `expire` is to be called, in the worker's milliseconds; 0: never. */
void gy_datagram_set_deadline(struct gy_datagram_socket *socket, uint64_t deadline_ms);

/* Ends the socket once what is queued has left. No call but `closed` follows; the socket stays
 * valid until then. */
void gy_datagram_close(struct gy_datagram_socket *socket);

/* Ends it and drops what is queued. */
void gy_datagram_abort(struct gy_datagram_socket *socket);

/* ---- for core/worker ---- */

struct gy_completion;

/* Opens the endpoint of a server of datagrams, and its socket. */
int gy_datagram_serve(struct gy_worker *worker, const struct gy_server *server,
                      struct gy_error *error);

/* One completion of a GY_OPERATION_DATAGRAM_…; false when what it was for is gone. */
bool gy_datagram_completed(struct gy_worker *worker, const struct gy_completion *completion);

/* Within a turn: hands over what has arrived; and, at its end, sends, receives, closes. */
void gy_datagrams_run(struct gy_worker *worker);
void gy_datagrams_flush(struct gy_worker *worker);

/* Whether there is something to do that no completion announces. */
bool gy_datagrams_busy(const struct gy_worker *worker);

/* The server's sockets end, after what waits in them if nobody else will take it (take_waiting);
 * dialled ones are asked to. */
void gy_datagrams_drain(struct gy_worker *worker, bool take_waiting);

/* All end, at once. */
void gy_datagrams_abort(struct gy_worker *worker);

uint32_t gy_datagrams_open(const struct gy_worker *worker);

/* After the last socket is gone. */
void gy_datagrams_close(struct gy_worker *worker);

#endif
