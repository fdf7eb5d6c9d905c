/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_POOL_H
#define GY_CORE_POOL_H

/*
 * A pool of receive buffers that the kernel fills: one per worker and buffer group, shared by all
 * its sockets.
 *
 * A buffer is in one of three places: posted (the kernel may write it), held (slices show parts of
 * it), or spare. Only `posted` buffers are with the kernel at a time, so that the memory it writes
 * stays within the L2 cache; a buffer that leaves the kernel is replaced by the spare used last,
 * the hottest. In incremental mode one buffer serves many receives and can be posted and held at
 * once.
 *
 * When no spare is left the kernel ends receives with ENOBUFS; whoever sees that asks
 * gy_pool_starved() and re-arms when buffers have come back (never on a timer). Buffers that nobody
 * owns, and the part that the kernel may still write, are poisoned under the address sanitizer.
 */

#include "ring.h"
#include "slice.h"

struct gy_pool;

struct gy_pool_options {
    uint16_t group;        /* buffer group id, unique within the ring, not UINT16_MAX */
    uint32_t buffer_bytes; /* of one buffer */
    uint32_t buffers;      /* in all; at most 32768 */
    uint32_t posted;       /* with the kernel at a time: a power of two, at most `buffers`; 0: none,
                              the pool is for gy_pool_lend() alone and `group` is not used */
    enum gy_receive_mode mode;
};

struct gy_pool_counters {
    uint64_t taken;      /* completions turned into slices */
    uint64_t starved;    /* receives that ended for want of a buffer */
    uint64_t returned;   /* buffers that came back */
    uint64_t misordered; /* completions that named a buffer the kernel should not have had */
    uint32_t spares_min; /* low-water mark of spares */
};

/* Defaults for stream sockets in a receive mode: 4 KiB x 64 posted, or 32 KiB x 8 posted where
 * receives share. */
struct gy_pool_options gy_pool_defaults(enum gy_receive_mode mode, uint16_t group);

/* Maps the buffers (touched only when used) and posts the first ones. GY_ENOMEM, GY_ENOTSUP,
 * GY_EINVAL. */
int gy_pool_open(struct gy_pool **pool, struct gy_ring *ring, const struct gy_pool_options *options,
                 struct gy_error *error);

/* No slice of it may be held and no receive be in flight. */
void gy_pool_close(struct gy_pool *pool);

/*
 * Turns a receive's completion into slices at the end of `chain`. Call it once for every completion
 * of a receive, whatever its result, since one without data (end of stream, error) may name a
 * buffer too. Returns the bytes appended, 0 without data, or
 *
 * - GY_ENOBUFS: no link for a slice; bytes are lost, so the connection must be closed.
 * - GY_EIO: the kernel named a buffer that it should not have had, or not before an older one
 *   (counted in `misordered`): likewise.
 */
int gy_pool_take(struct gy_pool *pool, const struct gy_completion *completion,
                 struct gy_chain *chain);

/* Takes a spare for the caller to fill itself: he holds it once, and slices it as he likes. NULL
 * when there is none. */
struct gy_buffer *gy_pool_lend(struct gy_pool *pool);

/* Posts spares until the kernel has its number again. Call once a turn, after the completions. */
void gy_pool_refill(struct gy_pool *pool);

/* Notes a receive that ended with ENOBUFS. */
void gy_pool_starved(struct gy_pool *pool);

/* Whether a receive armed now would find a buffer. */
bool gy_pool_ready(const struct gy_pool *pool);

/* Fewer than a quarter of all buffers are free: copy what is kept (DESIGN rule 11). */
bool gy_pool_low(const struct gy_pool *pool);

/* Buffers that are with the kernel. */
uint32_t gy_pool_posted(const struct gy_pool *pool);

/* Buffers not held by slices alone: spare or posted. */
uint32_t gy_pool_free(const struct gy_pool *pool);

const struct gy_pool_options *gy_pool_options(const struct gy_pool *pool);
const struct gy_pool_counters *gy_pool_counters(const struct gy_pool *pool);

#endif
