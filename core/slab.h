/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SLAB_H
#define GY_CORE_SLAB_H

/*
 * A slab: equal-sized items in memory that the caller owns, handed out and taken back in constant
 * time.
 *
 * The bound is the memory: capacity = memory bytes / item bytes. Reaching it is an event (`refused`
 * counts it), never an allocation. Items that were never handed out are never touched, so reserving
 * a large slab over untouched pages costs address space only; items that came back are reused
 * hottest first.
 *
 * Not thread-safe: a slab belongs to one worker. With the address sanitizer, items that nobody
 * holds are poisoned; of those that were never handed out, the next 256 KiB at least.
 */

#include <stddef.h>
#include <stdint.h>

#define GY_SLAB_ALIGN 16

struct gy_slab {
    uint8_t *base;
    void *free;          /* items that came back, last first */
    uint32_t item_bytes; /* rounded up to GY_SLAB_ALIGN */
    uint32_t capacity;   /* items */
    uint32_t fresh;      /* items handed out at least once */
    uint32_t used;       /* items held by callers now */
    uint32_t used_max;
    uint64_t refused; /* takes that found the slab at its bound */
    size_t poisoned;  /* with the address sanitizer: bytes from `base` that it has been told of */
};

/* The bytes that `count` items of `item_bytes` need. */
size_t gy_slab_bytes(size_t item_bytes, uint32_t count);

/* `memory` is aligned to GY_SLAB_ALIGN and outlives the slab. item_bytes is at least 1; room for
 * one item at least. */
void gy_slab_init(struct gy_slab *slab, void *memory, size_t memory_bytes, size_t item_bytes);

/* An item with undefined contents, or NULL at the bound (counted in `refused`). */
void *gy_slab_take(struct gy_slab *slab);

/* Gives back an item that gy_slab_take returned. Giving it back twice is a defect (asserted where
 * it can be seen). */
void gy_slab_give(struct gy_slab *slab, void *item);

/* An item's number, 0 to capacity-1, and back. */
uint32_t gy_slab_index(const struct gy_slab *slab, const void *item);
void *gy_slab_at(const struct gy_slab *slab, uint32_t index);

#endif
