/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_EVICT_H
#define GY_CORE_EVICT_H

/*
 * Output memory and receive buffers are bounded and shared, so peers who do not read what they
 * asked for, and go on asking, could hold all of them until their write deadlines. While streams
 * wait for memory or buffers that are used up, those whose sends have been stalled the longest are
 * ended: at least GY_EVICT_STALLED_MS long, oldest first, at most GY_EVICT_BATCH at a time.
 *
 * Input may lie in output memory, too, until it is whole (a message of a WebSocket). Servers that
 * keep such input are holders of the worker; where no stalled send is to blame, the connections
 * whose input has been there for as long, and holds the most, are ended.
 */

#include <stdbool.h>
#include <stdint.h>

struct gy_worker;

/* Embed it in the owner's. Each call looks at all connections, which may be very many: an eviction
 * makes a few of them. */
struct gy_holder {
    /* The most pieces of output memory that the unfinished input of one connection holds, of those
     * that began until `until_ns`. */
    uint32_t (*largest)(struct gy_holder *holder, uint64_t until_ns);
    /* Ends those of them that hold `least` pieces or more, or has them give these back: while
     * gy_evict_presses(), and `count` at most. Returns how many. */
    uint32_t (*end)(struct gy_holder *holder, uint64_t until_ns, uint32_t least, uint32_t count);
    struct gy_holder *next;
};

#define GY_EVICT_STALLED_MS  1000
#define GY_EVICT_INTERVAL_MS 100
#define GY_EVICT_BATCH       64
#define GY_EVICT_HELD_LEAST  4  /* pieces; ending who holds less would gain little */
#define GY_EVICT_HELD_SHARE  16 /* of blocks, and of links, so much is to be free then */
#define GY_EVICT_HELD_ROUNDS 2  /* at a time; each ends who holds at least half of the most */

/* Looks at most once per interval; returns how many streams it ended (counted in streams_evicted).
 */
uint32_t gy_evict_stalled(struct gy_worker *worker);

/* Likewise for input that is held. */
uint32_t gy_evict_held(struct gy_worker *worker);

/* Whether there is still too little memory. For holders. */
bool gy_evict_presses(const struct gy_worker *worker);

/* On the worker's thread. */
void gy_evict_add(struct gy_worker *worker, struct gy_holder *holder);
void gy_evict_remove(struct gy_worker *worker, struct gy_holder *holder);

#endif
