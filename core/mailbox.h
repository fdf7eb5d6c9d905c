/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_MAILBOX_H
#define GY_CORE_MAILBOX_H

/*
 * Mailboxes: the only way into another worker.
 *
 * A mailbox is a bounded queue of fixed-size messages from exactly one producing thread to exactly
 * one consuming thread. A message is one cache line; what does not fit is passed as a pointer whose
 * ownership goes along. Indices are atomic and lie on lines of their own; nothing waits: a full
 * mailbox refuses (GY_ENOBUFS, counted), and the producer keeps the message.
 *
 * A bell belongs to a consumer, which may have many mailboxes. It answers one question: must the
 * consumer be woken? A consumer that is awake looks into its mailboxes every turn anyway, so only
 * the first push after it has gone to sleep costs a wake-up. How to wake (a message to its ring, an
 * eventfd, a futex) is the caller's business.
 *
 *     producer, as often as it likes          consumer, at the end of a turn
 *
 *     gy_mailbox_push(mailbox, &message);     gy_bell_sleep(bell);
 *     gy_mailbox_push(mailbox, &another);     if (all of its mailboxes are gy_mailbox_empty) {
 *     if (gy_bell_must_ring(bell)) {              wait for the ring, or anything else
 *         ring;                               }
 *     }                                       gy_bell_wake(bell);
 *                                             pop from all mailboxes
 *
 * Why no wake-up is lost. The consumer stores SLEEPING, then loads the tails; a producer stores its
 * tail, then loads the bell. A sequentially consistent fence stands between the store and the load
 * on both sides, and one of the two fences comes first. If it is the producer's, the consumer sees
 * the message and does not wait. If it is the consumer's, the producer sees SLEEPING, and rings; or
 * it sees what came after: RUNG (another producer won the exchange and rings) or AWAKE. Then the
 * consumer is, or will be, awake, and the producer's fence comes before the one that precedes the
 * next sleep, where the message is seen. When both see each other the ring is merely superfluous:
 * the consumer must put up with one that comes while it is awake. A ring that fails leaves the bell
 * at RUNG: whoever fails to ring must try again, since nobody else will.
 */

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GY_CACHE_LINE_BYTES 64

/* Bytes of a message's own payload. */
#define GY_MESSAGE_BYTES 56

/* One cache line. What `kind` means, and which member of the union counts, is agreed between the
 * two sides; `count` is theirs too (items behind a pointer, or bytes in `bytes`). */
struct gy_message {
    alignas(GY_CACHE_LINE_BYTES) uint32_t kind;
    uint32_t count;
    union {
        void *pointers[GY_MESSAGE_BYTES / sizeof(void *)];
        uint64_t numbers[GY_MESSAGE_BYTES / sizeof(uint64_t)];
        uint8_t bytes[GY_MESSAGE_BYTES];
    };
};

_Static_assert(sizeof(struct gy_message) == GY_CACHE_LINE_BYTES, "a message is one cache line");

struct gy_mailbox {
    struct gy_message *messages;
    uint32_t mask; /* capacity - 1 */

    /* Written by the producer. Indices count messages since the start and wrap at 2^32. */
    alignas(GY_CACHE_LINE_BYTES) _Atomic uint32_t tail;
    uint32_t head_seen; /* the consumer has taken at least this many */
    _Atomic uint32_t length_max;
    _Atomic uint64_t refused;

    /* Written by the consumer. */
    alignas(GY_CACHE_LINE_BYTES) _Atomic uint32_t head;
    uint32_t tail_seen; /* the producer has put at least this many */
};

/* `messages` is an array of `capacity` (a power of two, at most 2^31) that outlives the mailbox. */
void gy_mailbox_init(struct gy_mailbox *mailbox, struct gy_message *messages, uint32_t capacity);

/* Producer. Copies the message in. 0, or GY_ENOBUFS when the mailbox is full. */
int gy_mailbox_push(struct gy_mailbox *mailbox, const struct gy_message *message);

/* Producer. Copies in as many of the `count` messages as fit, in order, and returns how many. The
 * rest counts as refused. */
uint32_t gy_mailbox_push_batch(struct gy_mailbox *mailbox, const struct gy_message *messages,
                               uint32_t count);

/* Consumer. Takes the oldest message; false when there is none. */
bool gy_mailbox_pop(struct gy_mailbox *mailbox, struct gy_message *message);

/* Consumer. Takes up to `count` messages, oldest first, and returns how many. */
uint32_t gy_mailbox_pop_batch(struct gy_mailbox *mailbox, struct gy_message *messages,
                              uint32_t count);

/* Consumer. */
bool gy_mailbox_empty(const struct gy_mailbox *mailbox);

/* Any thread: messages that were refused, and the most that lay in the mailbox at once as the
 * producer saw it (an upper bound: it may not have seen the latest pops). */
uint64_t gy_mailbox_refused(const struct gy_mailbox *mailbox);
uint32_t gy_mailbox_length_max(const struct gy_mailbox *mailbox);

enum gy_bell_state {
    GY_BELL_AWAKE,
    GY_BELL_SLEEPING,
    GY_BELL_RUNG,
};

struct gy_bell {
    alignas(GY_CACHE_LINE_BYTES) _Atomic uint32_t
        state; /* enum gy_bell_state; a futex may wait on it */
};

/* The consumer is awake. */
void gy_bell_init(struct gy_bell *bell);

/* Any producer, after its pushes. True: the caller, and nobody else, must wake the consumer. */
bool gy_bell_must_ring(struct gy_bell *bell);

/* Consumer: says that it is about to sleep. After this it must look into all its mailboxes again.
 */
void gy_bell_sleep(struct gy_bell *bell);

/* Consumer: awake again, or not gone to sleep after all. Must come before it pops. Returns whether
 * somebody rang: then a ring has been, or is about to be, delivered. */
bool gy_bell_wake(struct gy_bell *bell);

#endif
