/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_MEMORY_H
#define GY_SERVERS_RUDP_RUDP_MEMORY_H

/*
 * Memory for messages, of one worker: pieces of any size out of one arena of a stated bound, by the
 * buddy system. Sizes are rounded up to powers of two, from 256 bytes on; neighbours that are free
 * join again, so a flood of small messages leaves nothing behind that a large one could not use.
 * A few small ones of each size are kept apart for the next that asks. The arena's pages are the
 * system's until they are first used, and stay until it is closed.
 */

#include <stddef.h>
#include <stdint.h>

#define GY_RUDP_MEMORY_SMALLEST 256u
#define GY_RUDP_MEMORY_ORDERS   23 /* up to 1 GiB */
/* Of the first orders (up to 4 KiB), so many blocks of each are not joined at once. */
#define GY_RUDP_MEMORY_KEPT_ORDERS 5
#define GY_RUDP_MEMORY_KEPT        256

struct gy_rudp_memory_free;

struct gy_rudp_memory {
    uint8_t *arena;
    uint8_t *states; /* of each smallest piece that begins a block: its order, and whether free */
    size_t bytes;
    uint64_t used;    /* bytes of the blocks that are taken */
    uint64_t refused; /* takes that found no room */
    struct gy_rudp_memory_free *free[GY_RUDP_MEMORY_ORDERS];
    struct gy_rudp_memory_free *kept[GY_RUDP_MEMORY_KEPT_ORDERS];
    uint32_t kept_count[GY_RUDP_MEMORY_KEPT_ORDERS];
};

/* `bytes` is rounded up to a power of two, and is at most 1 GiB. 0, or GY_ENOMEM. */
int gy_rudp_memory_open(struct gy_rudp_memory *memory, size_t bytes);
void gy_rudp_memory_close(struct gy_rudp_memory *memory);

/* Undefined contents, aligned to 256 bytes; NULL when there is no room (counted). */
void *gy_rudp_memory_take(struct gy_rudp_memory *memory, size_t bytes);

/* Gives back what gy_rudp_memory_take returned. */
void gy_rudp_memory_give(struct gy_rudp_memory *memory, void *piece);

#endif
