/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_BUMP_H
#define GY_CORE_BUMP_H

/*
 * A bump allocator for output: where protocols write the bytes they make (heads, small bodies,
 * frames).
 *
 * A worker has one. What is written one after the other lies one after the other, so the answers to
 * a whole pipeline become one slice and leave in one send; and since the block starts over as soon
 * as nobody holds a slice of it, a busy worker keeps writing to the same warm memory.
 *
 * Blocks come from a slab (struct gy_bump_block items), so the memory is bounded: when all blocks
 * are held by slices that are still being sent, gy_bump_reserve returns NULL, and the caller asks
 * again when sends have completed.
 */

#include <string.h>

#include "slice.h"

/* The largest piece that can be reserved at once, in bytes. */
#define GY_BUMP_BLOCK_BYTES 16384

struct gy_bump_block {
    struct gy_buffer buffer;
    struct gy_slab *home;
    uint8_t data[GY_BUMP_BLOCK_BYTES];
};

struct gy_bump {
    struct gy_bump_block *block; /* the one being filled; held once by the bump itself */
    uint32_t fill;               /* bytes of it used */
    struct gy_slab *blocks;      /* of struct gy_bump_block */
    uint64_t copied_bytes;       /* payload copied by gy_bump_copy */
};

/* `blocks` is a slab of struct gy_bump_block; it outlives the bump and every slice of it. */
void gy_bump_init(struct gy_bump *bump, struct gy_slab *blocks);

/* Gives the current block back (slices of it stay valid). */
void gy_bump_close(struct gy_bump *bump);

/* Slow path of gy_bump_reserve: starts the block over or takes another. 0, or GY_ENOBUFS. */
int gy_bump_renew(struct gy_bump *bump, uint32_t bytes);

/* Room for `bytes` (<= GY_BUMP_BLOCK_BYTES), or NULL when the slab is at its bound. The room is the
 * caller's until the next call on this bump; what is not committed is handed out again. */
static inline uint8_t *gy_bump_reserve(struct gy_bump *bump, uint32_t bytes)
{
    gy_assert(bytes <= GY_BUMP_BLOCK_BYTES);
    if (bump->block == NULL || GY_BUMP_BLOCK_BYTES - bump->fill < bytes ||
        bump->block->buffer.refs == 1) {
        if (gy_bump_renew(bump, bytes) != 0) {
            return NULL;
        }
    }
    return bump->block->data + bump->fill;
}

/* Appends the first `bytes` of the room last reserved to `chain`. 0, or GY_ENOBUFS (no link): then
 * nothing is appended. */
int gy_bump_commit(struct gy_bump *bump, struct gy_chain *chain, uint32_t bytes);

/* The first `bytes` of the room last reserved, as a slice that the caller holds. */
struct gy_slice gy_bump_slice(struct gy_bump *bump, uint32_t bytes);

/* Reserves, copies and commits payload, and counts it in copied_bytes. 0, or GY_ENOBUFS with
 * nothing appended. */
int gy_bump_copy(struct gy_bump *bump, struct gy_chain *chain, const void *data, uint32_t bytes);

#endif
