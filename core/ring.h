/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_RING_H
#define GY_CORE_RING_H

/*
 * The ring: the one place that talks to io_uring, and the only one that knows liburing.
 *
 * A ring belongs to the thread that opened it. Operations are queued by gy_ring_<operation>() and
 * handed to the kernel by the next gy_ring_wait(), all at once; completions are copied out by
 * gy_ring_reap(). Every operation names the token that its completions carry.
 *
 * Queueing returns 0, or GY_ENOBUFS when the submission queue is full and the kernel would not take
 * it right now (backpressure, DESIGN rule 6): the caller keeps its wish and repeats it on a later
 * turn. Memory named by an operation (data, message headers' buffers) belongs to the kernel until
 * the completion without GY_COMPLETION_MORE; the message header and its vectors themselves only
 * until the next gy_ring_wait() returns.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "error.h"

/* ---- tokens: operation (8 bits) | slot (24 bits) | generation (32 bits); never a pointer ---- */

enum gy_operation {
    GY_OPERATION_NONE, /* its completions are dropped */
    GY_OPERATION_ACCEPT,
    GY_OPERATION_CONNECT,
    GY_OPERATION_RECEIVE,
    GY_OPERATION_SEND,
    GY_OPERATION_CANCEL,
    GY_OPERATION_CLOSE,
    GY_OPERATION_MESSAGE,          /* another worker rang */
    GY_OPERATION_RUNG,             /* this worker rang another: its number is the slot */
    GY_OPERATION_WAKE,             /* a thread without a ring rang */
    GY_OPERATION_FILE,             /* of core/file */
    GY_OPERATION_DATAGRAM_RECEIVE, /* of core/datagram: the slot is a socket's */
    GY_OPERATION_DATAGRAM_SEND,    /* the slot is that of a send */
    GY_OPERATION_DATAGRAM_WRITABLE,
    GY_OPERATION_DATAGRAM_CANCEL,
    GY_OPERATION_FLOOD, /* the slot is a listener's */
    GY_OPERATION_COUNT
};

#define GY_SLOT_MAX ((1u << 24) - 1)

static inline uint64_t gy_token(enum gy_operation operation, uint32_t slot, uint32_t generation)
{
    gy_assert(slot <= GY_SLOT_MAX);
    return (uint64_t)operation << 56 | (uint64_t)slot << 32 | generation;
}

static inline enum gy_operation gy_token_operation(uint64_t token)
{
    return (enum gy_operation)(token >> 56);
}

static inline uint32_t gy_token_slot(uint64_t token)
{
    return (uint32_t)(token >> 32) & GY_SLOT_MAX;
}

static inline uint32_t gy_token_generation(uint64_t token)
{
    return (uint32_t)token;
}

/* ---- completions ---- */

#define GY_COMPLETION_BUFFER (1u << 0) /* `flags >> 16` is the id of a provided buffer */
#define GY_COMPLETION_MORE                                                                         \
    (1u << 1) /* the operation goes on; without it, it is over whatever `result` says */
#define GY_COMPLETION_NONEMPTY    (1u << 2) /* more was waiting in the socket */
#define GY_COMPLETION_BUFFER_MORE (1u << 4) /* incremental: the kernel keeps the buffer's rest */

struct gy_completion {
    uint64_t token;
    int32_t result; /* >= 0, or a negative errno */
    uint32_t flags;
};

static inline uint16_t gy_completion_buffer(const struct gy_completion *completion)
{
    gy_assert(completion->flags & GY_COMPLETION_BUFFER);
    return (uint16_t)(completion->flags >> 16);
}

/* ---- features: what the kernel offers, each can be forced absent ---- */

/* name, bit, first kernel, what is used instead */
#define GY_RING_FEATURES(X)                                                                        \
    X(SINGLE_ISSUER, 0, "6.0", "the kernel locks every submission")                                \
    X(DEFER_TASKRUN, 1, "6.1", "completions interrupt the worker (COOP_TASKRUN)")                  \
    X(SUBMIT_ALL, 2, "5.18", "a failing submission stops the batch behind it until the next turn") \
    X(CQSIZE, 3, "5.5", "a completion queue of twice the submission queue")                        \
    X(NO_SQARRAY, 4, "6.6", "one more load per submission")                                        \
    X(REGISTERED_RING, 5, "5.18", "a descriptor look-up per enter")                                \
    X(NO_IOWAIT, 6, "6.15", "idle workers look like iowait in top(1)")                             \
    X(MULTISHOT_ACCEPT, 7, "5.19", "one submission per accepted connection")                       \
    X(MULTISHOT_RECEIVE, 8, "6.0", "one submission per receive; UDP by recvmmsg and sendmmsg")     \
    X(BUFFER_RING, 9, "5.19", "nothing: this one is needed")                                       \
    X(BUFFER_INCREMENTAL, 10, "6.12", "whole buffers, one per receive")                            \
    X(RECEIVE_BUNDLE, 11, "6.10", "one completion per buffer")                                     \
    X(MESSAGE_RING, 12, "5.18", "workers wake each other by eventfd")                              \
    X(CANCEL_DESCRIPTOR, 13, "5.19", "nothing: this one is needed")                                \
    X(SEND_ZERO_COPY, 14, "6.0", "sends copy (as they do by default)")                             \
    X(STANDING_TIMER, 15, "5.17", "a timer that is started and stopped for each sleep")

enum gy_ring_feature {
#define GY_RING_FEATURE_ENUM(name, bit, since, instead) GY_RING_##name = 1u << (bit),
    GY_RING_FEATURES(GY_RING_FEATURE_ENUM)
#undef GY_RING_FEATURE_ENUM
};

/* Without these no server runs. */
#define GY_RING_NEEDED (GY_RING_BUFFER_RING | GY_RING_CANCEL_DESCRIPTOR)

struct gy_ring_options {
    uint32_t entries;            /* submission queue, a power of two; 0: 1024 */
    uint32_t completion_entries; /* a power of two; 0: 8192 */
    uint32_t without; /* features to do without (GY_RING_…), as if the kernel lacked them */
};

struct gy_ring;

/*
 * Opens a ring for the calling thread. Flags that the kernel refuses are dropped one at a time;
 * what remained is told by gy_ring_features(). Errors: GY_EREFUSED (io_uring is switched off by
 * sysctl, seccomp or an old kernel; the message says which and the way out), GY_ENOTSUP (a needed
 * feature is absent), GY_ENOMEM, GY_ENOFILE.
 */
int gy_ring_open(struct gy_ring **ring, const struct gy_ring_options *options,
                 struct gy_error *error);
void gy_ring_close(struct gy_ring *ring);

/* GY_RING_… bits in use. */
uint32_t gy_ring_features(const struct gy_ring *ring);

/* The ring's descriptor: what gy_ring_message() of another ring takes. */
int gy_ring_descriptor(const struct gy_ring *ring);

/* Why io_uring is refused, as a sentence with the way out: for an errno of io_uring_setup, and what
 * sysctl kernel.io_uring_disabled is (-1: this kernel has no such setting). */
void gy_ring_explain_refusal(int errno_value, int sysctl_disabled, char *text, size_t bytes);

/* ---- operations ---- */

/* Accepts one connection, or (multishot, where the kernel has it) all that come until told
 * otherwise: each completion's result is a descriptor. It does not block, so that no send is left
 * to a thread of the kernel for long; the ring's operations wait all the same. */
int gy_ring_accept(struct gy_ring *ring, uint64_t token, int listener, bool multishot);

/* Connects to `address`, which is read by the time gy_ring_wait() returns. The result is 0 or a
 * negative errno. */
int gy_ring_connect(struct gy_ring *ring, uint64_t token, int socket,
                    const struct sockaddr *address, socklen_t length);

enum gy_receive_mode {
    GY_RECEIVE_ONE_SHOT,    /* one completion per operation */
    GY_RECEIVE_MULTISHOT,   /* whole buffers */
    GY_RECEIVE_INCREMENTAL, /* multishot; receives share a buffer */
    GY_RECEIVE_BUNDLE,      /* multishot; one completion may fill several buffers */
    GY_RECEIVE_MODE_COUNT
};

/* "one-shot", "multishot", "incremental", "bundle"; and back (GY_EINVAL for anything else). */
const char *gy_receive_mode_name(enum gy_receive_mode mode);
int gy_receive_mode_parse(const char *name, enum gy_receive_mode *mode);

/* Receives into buffers of `group`. poll_first: the socket is known to be empty, do not try to read
 * at once. */
int gy_ring_receive(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                    enum gy_receive_mode mode, bool poll_first);

/* Receives at most `bytes` into a buffer of `group`, once; for a socket that has some. */
int gy_ring_receive_once(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                         uint32_t bytes);

/* Lies at the start of a buffer that gy_ring_receive_message() has filled. Behind it come
 * `name_bytes` for the sender's address, `control_bytes` for control messages (both as they were
 * asked for, whatever part of them is in use), and the payload. */
struct gy_message_head {
    uint32_t name_length; /* bytes of the address; more than were asked for: it was cut */
    uint32_t control_length;
    uint32_t payload_length;
    uint32_t flags; /* MSG_TRUNC: the payload was cut; MSG_CTRUNC: the control messages were */
};

/* Receives datagrams, one to a buffer of `group`, until told otherwise. Of `message` only
 * msg_namelen and msg_controllen are looked at, by the time gy_ring_wait() returns: the room for
 * each in the buffer. GY_ENOTSUP without GY_RING_MULTISHOT_RECEIVE. */
int gy_ring_receive_message(struct gy_ring *ring, uint64_t token, int socket, uint16_t group,
                            const struct msghdr *message, bool poll_first);

/* Tells when a descriptor is ready for one of `events` (POLLIN, POLLOUT): once, or (multishot) each
 * time that it becomes so anew; the first time also if it is so already. The result is the events,
 * or a negative errno. */
int gy_ring_poll(struct gy_ring *ring, uint64_t token, int descriptor, uint32_t events,
                 bool multishot);

/* Sends all of it (MSG_WAITALL); the result can still be short. */
int gy_ring_send(struct gy_ring *ring, uint64_t token, int socket, const void *data,
                 uint32_t bytes);
int gy_ring_send_message(struct gy_ring *ring, uint64_t token, int socket,
                         const struct msghdr *message);

/* Cancels every operation on a descriptor of ours. Its own completion has the number cancelled. */
int gy_ring_cancel_descriptor(struct gy_ring *ring, uint64_t token, int descriptor);

/* Cancels the operations that carry `target`. */
int gy_ring_cancel_token(struct gy_ring *ring, uint64_t token, uint64_t target);

/* Closes a descriptor that has no operation in flight. */
int gy_ring_close_descriptor(struct gy_ring *ring, uint64_t token, int descriptor);

/* Posts a completion {remote_token, value} on another ring. The own completion (token) has
 * -EOVERFLOW when that ring is full. */
int gy_ring_message(struct gy_ring *ring, uint64_t token, int ring_descriptor,
                    uint64_t remote_token, uint32_t value);

/* Reads 8 bytes of an eventfd into `value`. */
int gy_ring_read_event(struct gy_ring *ring, uint64_t token, int descriptor, uint64_t *value);

/* Opens `path`, which is read by the time gy_ring_wait() returns, for reading beneath `directory`:
 * a path that leads out of it is refused with EXDEV. Nothing that is opened blocks. The result is a
 * descriptor or a negative errno. */
int gy_ring_open_beneath(struct gy_ring *ring, uint64_t token, int directory, const char *path);

/* Reads at most `bytes` at `position` of a file. The result is how many, 0 at the end, or a
 * negative errno. */
int gy_ring_read(struct gy_ring *ring, uint64_t token, int descriptor, void *data, uint32_t bytes,
                 uint64_t position);

/* Writes at most `bytes` at `position`. The result is how many, or a negative errno. */
int gy_ring_write(struct gy_ring *ring, uint64_t token, int descriptor, const void *data,
                  uint32_t bytes, uint64_t position);

/* Waits until what was written is on the disk, as fsync(2). The result is 0 or a negative errno. */
int gy_ring_sync(struct gy_ring *ring, uint64_t token, int descriptor);

/* ---- the turn ---- */

#define GY_RING_FOREVER UINT64_MAX

struct gy_ring_counters {
    uint64_t enters;
    uint64_t submissions;
    uint64_t completions;
    uint64_t overflows;    /* turns in which the kernel had to keep completions back */
    uint64_t backpressure; /* EBUSY, EAGAIN, EINTR, or a full submission queue */
};

/*
 * Hands everything queued to the kernel and sleeps until a completion is there, `timeout_ns` have
 * passed, or a signal came. One enter, and one more where the ring's own timer, which stands for
 * many sleeps, ended it early; what that timer is told is in no counter but `enters`. Never fails
 * for a passing reason (those are counted as backpressure); GY_EIO when the ring is broken.
 */
int gy_ring_wait(struct gy_ring *ring, uint64_t timeout_ns);

/* Hands everything queued to the kernel now: for a submission queue that filled up within a turn.
 */
int gy_ring_submit(struct gy_ring *ring);

/* Operations queued and not yet taken by the kernel. 0 means that vectors and headers named by
 * sends may be reused. */
uint32_t gy_ring_queued(const struct gy_ring *ring);

/* Copies up to `max` completions out, oldest first; returns how many. */
uint32_t gy_ring_reap(struct gy_ring *ring, struct gy_completion *completions, uint32_t max);

const struct gy_ring_counters *gy_ring_counters(const struct gy_ring *ring);

/* ---- provided buffers ---- */

struct gy_ring_buffers;

/* Registers an empty ring of `entries` (a power of two, at most 32768) buffers as `group`.
 * GY_ENOTSUP where incremental was asked for and the kernel lacks it. */
int gy_ring_buffers_open(struct gy_ring *ring, uint16_t group, uint32_t entries, bool incremental,
                         struct gy_ring_buffers **buffers, struct gy_error *error);
void gy_ring_buffers_close(struct gy_ring_buffers *buffers);

/* Adds a buffer at the tail; the kernel sees it after gy_ring_buffers_publish(). At most `entries`
 * are posted at a time. */
void gy_ring_buffers_add(struct gy_ring_buffers *buffers, void *data, uint32_t bytes, uint16_t id);
void gy_ring_buffers_publish(struct gy_ring_buffers *buffers);

#endif
