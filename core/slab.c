/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/slab.h"

#include <string.h>

#include "core/asan.h"
#include "core/error.h"

static size_t round_up(size_t bytes)
{
    return (bytes + GY_SLAB_ALIGN - 1) & ~(size_t)(GY_SLAB_ALIGN - 1);
}

size_t gy_slab_bytes(size_t item_bytes, uint32_t count)
{
    return round_up(item_bytes) * count;
}

/* What was never handed out is poisoned this far beyond what was: all of it would bring in an
 * eighth as much memory of the sanitizer's, which takes a server longer than all else. */
#define POISONED_AHEAD_BYTES (256u << 10)

/* Before the items below `end_bytes` are touched. */
static void poison_ahead(struct gy_slab *slab, size_t end_bytes)
{
#ifdef GY_ASAN
    size_t all_bytes = (size_t)slab->capacity * slab->item_bytes;
    gy_assert(end_bytes <= all_bytes);
    if (slab->poisoned == all_bytes || slab->poisoned >= end_bytes + POISONED_AHEAD_BYTES) {
        return;
    }
    size_t until = end_bytes + 2 * POISONED_AHEAD_BYTES;
    if (until > all_bytes) {
        until = all_bytes;
    }
    gy_poison(slab->base + slab->poisoned, until - slab->poisoned);
    slab->poisoned = until;
#else
    (void)slab;
    (void)end_bytes;
#endif
}

void gy_slab_init(struct gy_slab *slab, void *memory, size_t memory_bytes, size_t item_bytes)
{
    gy_assert(memory != NULL);
    gy_assert(((uintptr_t)memory & (GY_SLAB_ALIGN - 1)) == 0);
    gy_assert(item_bytes > 0 && round_up(item_bytes) <= UINT32_MAX);
    size_t capacity = memory_bytes / round_up(item_bytes);
    gy_assert(capacity > 0 && capacity <= UINT32_MAX);
    *slab = (struct gy_slab){
        .base = memory,
        .item_bytes = (uint32_t)round_up(item_bytes),
        .capacity = (uint32_t)capacity,
    };
    poison_ahead(slab, 0);
}

void *gy_slab_take(struct gy_slab *slab)
{
    void *item = slab->free;
    if (item != NULL) {
        gy_unpoison(item, slab->item_bytes);
        memcpy(&slab->free, item, sizeof slab->free);
    } else if (slab->fresh < slab->capacity) {
        item = slab->base + (size_t)slab->fresh++ * slab->item_bytes;
        poison_ahead(slab, (size_t)slab->fresh * slab->item_bytes);
        gy_unpoison(item, slab->item_bytes);
    } else {
        slab->refused++;
        return NULL;
    }
    slab->used++;
    if (slab->used > slab->used_max) {
        slab->used_max = slab->used;
    }
    gy_assert(slab->used <= slab->fresh);
    return item;
}

void gy_slab_give(struct gy_slab *slab, void *item)
{
    gy_assert(slab->used > 0);
    gy_assert(gy_slab_index(slab, item) < slab->fresh);
    gy_assert(item != slab->free);
    memcpy(item, &slab->free, sizeof slab->free);
    gy_poison(item, slab->item_bytes);
    slab->free = item;
    slab->used--;
}

uint32_t gy_slab_index(const struct gy_slab *slab, const void *item)
{
    size_t offset = (size_t)((const uint8_t *)item - slab->base);
    gy_assert((const uint8_t *)item >= slab->base);
    gy_assert(offset % slab->item_bytes == 0);
    return (uint32_t)(offset / slab->item_bytes);
}

void *gy_slab_at(const struct gy_slab *slab, uint32_t index)
{
    gy_assert(index < slab->fresh);
    return slab->base + (size_t)index * slab->item_bytes;
}
