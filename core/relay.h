/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_RELAY_H
#define GY_CORE_RELAY_H

/*
 * Relays: messages for the connections of all workers, in one order.
 *
 * What everybody in a room gets comes to all of them in the same order, so one worker decides it:
 * the room's owner. A message goes from the worker whose connection said it to the owner, and from
 * there to every worker, the owner and the first one included; each hands it to its own
 * connections. One relay serves any number of rooms, with any worker as the owner of each. Messages
 * with the same owner come to all workers in one order; those of one sender in the order in which
 * they were sent.
 *
 * Copies: one when a message leaves the worker it came from, which the others then read; what a
 * worker keeps of it, it copies out, once for all of its connections. With one worker there is
 * none.
 *
 * Bounds: nothing is dropped here. A worker has at most `messages_max` messages under way, or
 * `bytes_max` bytes, or one message of any size. Then gy_relay_full() says so, and who has
 * something to say is made to wait (who no longer reads from its peers has TCP hold them back)
 * until `room` is called. A message is under way until every worker has had it, so that a worker
 * that is behind holds all senders back, and never its own memory. A mailbox that is full delays
 * what was for it by some milliseconds, in order.
 *
 * A relay is shared by all workers and written by none but through these calls: zero it, fill the
 * first part, have every worker open it before any of them sends, and keep it until all have closed
 * it.
 */

#include "slice.h"
#include "worker.h"

#define GY_RELAY_WORKERS_MAX 1024

/* What `deliver` gets; valid until it returns. */
struct gy_relay_message {
    uint64_t kind;       /* the sender's: what it is, which room */
    const uint8_t *data; /* of `bytes` bytes; NULL: they are in `payload` */
    uint32_t bytes;
    struct gy_chain *payload; /* the sender's own: take from it, and nothing is copied */
};

/* What a relay's user does with messages. */
struct gy_relay_handler {
    /* On each worker, once for each message. 0; or, where `payload` is not NULL, a negative code
     * that gy_relay_send() is to return, and then nobody else gets the message. Must not send. */
    int (*deliver)(void *context, struct gy_worker *worker, const struct gy_relay_message *message);
    /* gy_relay_full() was true on this worker, and is not any more. NULL: nobody asks. */
    void (*room)(void *context, struct gy_worker *worker);
};

struct gy_relay_worker;

struct gy_relay {
    uint32_t messages_max; /* under way at once, per worker; 0: 256 */
    uint32_t bytes_max;    /* 0: 1 MiB */

    struct gy_relay_worker *workers[GY_RELAY_WORKERS_MAX];
};

/* On each worker's thread; again for each of several users of one relay, who agree on the handler
 * and its context. 0, or GY_ENOMEM. */
int gy_relay_open(struct gy_relay *relay, struct gy_worker *worker,
                  const struct gy_relay_handler *handler, void *context);

/* On each worker's thread, as often, once all of them have finished (gy_worker_finish). What is
 * still under way is lost. */
void gy_relay_close(struct gy_relay *relay, struct gy_worker *worker);

/* Whether what this worker sends now would be too much. */
bool gy_relay_full(const struct gy_relay *relay, const struct gy_worker *worker);

/*
 * Sends a message in the order of worker `owner`; `payload` is left as it is, but for what
 * `deliver` takes from it. Where this worker is the owner its own connections have it on return.
 * Sends even if gy_relay_full(): to look is the caller's.
 * 0; GY_ENOBUFS, no memory, nobody gets it; what `deliver` returned.
 */
int gy_relay_send(struct gy_relay *relay, struct gy_worker *worker, uint32_t owner, uint64_t kind,
                  struct gy_chain *payload);

/* Messages that this worker has sent to others; times that one found a mailbox full and
 * had to wait; times that gy_relay_full() became true. */
struct gy_relay_counts {
    uint64_t sent, delayed, filled;
};

struct gy_relay_counts gy_relay_counts(const struct gy_relay *relay,
                                       const struct gy_worker *worker);

#endif
