/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_FAKE_RING_H
#define GY_TESTS_CORE_FAKE_RING_H

/*
 * A ring without a kernel: fake_ring.c and fake_buffers.c define all of core/ring.h in memory, for
 * tests that are linked against them instead of core/ring.c. Operations are recorded; the test
 * plays the kernel and says how each of them completes. It also watches what a kernel would suffer
 * from: bytes of a send that change before its completion, and descriptors that are closed twice or
 * with operations in flight. And it stops the clock: time moves by fake_clock_advance alone.
 */

#include "core/ring.h"

enum fake_kind {
    FAKE_ACCEPT,
    FAKE_CONNECT,
    FAKE_RECEIVE,
    FAKE_SEND, /* plain or gathered */
    FAKE_CANCEL_DESCRIPTOR,
    FAKE_CANCEL_TOKEN,
    FAKE_CLOSE, /* done, and completed, at the next wait */
    FAKE_MESSAGE,
    FAKE_READ_EVENT,
    FAKE_OPEN,
    FAKE_READ,
    FAKE_WRITE,
    FAKE_SYNC,
    FAKE_RECEIVE_MESSAGE,
    FAKE_POLL,
    FAKE_KIND_COUNT
};

#define FAKE_VECTORS_MAX 128

struct fake_operation {
    enum fake_kind kind;
    uint64_t token;
    uint64_t target; /* of a cancel by token, or the token that a message brings */
    int descriptor;
    bool submitted;
    bool poll_first;
    enum gy_receive_mode mode;
    bool multishot;        /* of an accept or a poll */
    uint32_t events;       /* of a poll */
    uint16_t group;        /* of a receive of messages */
    struct msghdr room;    /* likewise: what was asked for in front of the payload */
    struct msghdr message; /* of a send of a message: name and control point to what it named */
    uint8_t *around;       /* and what these showed when it was queued */
    uint32_t vector_count; /* of a send */
    uint32_t bytes;        /* of a send; of a receive that takes so many at most */
    struct iovec vectors[FAKE_VECTORS_MAX];
    uint8_t *content; /* what a send's vectors showed when it was queued */
    struct fake_operation *next;
};

/* Operations in flight: queued or submitted, and not completed. The oldest first; NULL for none. */
struct fake_operation *fake_first(struct gy_ring *ring, enum fake_kind kind);
struct fake_operation *fake_of(struct gy_ring *ring, enum fake_kind kind, int descriptor);
uint32_t fake_in_flight(const struct gy_ring *ring, enum fake_kind kind);

/* Operations of a kind since the ring was opened. */
uint32_t fake_total(const struct gy_ring *ring, enum fake_kind kind);

/* Completes an operation: the completion is there for the next turn. Without GY_COMPLETION_MORE it
 * is over. */
void fake_complete(struct gy_ring *ring, struct fake_operation *operation, int32_t result,
                   uint32_t flags);

/* Puts data into the posted buffers as the operation's mode has it, and completes it. */
void fake_receive(struct gy_ring *ring, struct fake_operation *operation, const void *data,
                  uint32_t bytes, uint32_t flags);

/* The same, but only makes the completion. */
struct gy_completion fake_fill(struct gy_ring *ring, uint64_t token, enum gy_receive_mode mode,
                               const void *data, uint32_t bytes, uint32_t flags);

/* Puts a datagram into the next posted buffer of the receive's group, cut to what fits, with its
 * head, and completes it. `control` may be NULL. */
void fake_receive_message(struct gy_ring *ring, struct fake_operation *operation,
                          const struct sockaddr *name, uint32_t name_length, const void *control,
                          uint32_t control_length, const void *data, uint32_t bytes,
                          uint32_t flags);

/* A completion out of nowhere, for the next turn. */
void fake_post(struct gy_ring *ring, struct gy_completion completion);

/* Buffers that the kernel has: of the group opened first, of any. */
uint32_t fake_buffers(const struct gy_ring *ring);
uint32_t fake_buffers_of(const struct gy_ring *ring, uint16_t group);

/* Bytes that the first of them still takes. */
uint32_t fake_front_room(const struct gy_ring *ring);

/* From now on `operations` more can be queued between two waits; UINT32_MAX: any number. */
void fake_limit_room(struct gy_ring *ring, uint32_t operations);

/* While it holds back, waits submit nothing. */
void fake_hold_back(struct gy_ring *ring, bool hold);

/* From now on every wait carries cancels out: what they name ends with ECANCELED. */
void fake_cancel_by_itself(struct gy_ring *ring);

/* From now on every wait calls `hook`, for completions that come with that wait alone. NULL: none.
 */
void fake_on_wait(struct gy_ring *ring, void (*hook)(struct gy_ring *ring, void *context),
                  void *context);

/* What the last wait was allowed to take; waits since the ring was opened. */
uint64_t fake_last_wait_ns(const struct gy_ring *ring);
uint32_t fake_waits(const struct gy_ring *ring);

/* For the test to add to. */
struct gy_ring_counters *fake_counters(struct gy_ring *ring);

void fake_clock_advance(uint64_t ms);

#endif
