/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_FILE_MEMORY_H
#define GY_SERVERS_HTTP_FILE_MEMORY_H

/*
 * Memory for contents of files: blocks of many sizes out of one reservation with a bound.
 *
 * The reservation is cut into chunks of 64 KiB. A chunk is free, or carries blocks of one size
 * class; when its last block is given back it is free for any class again. So at most a third of a
 * block is wasted (a half, below 512 bytes), and a shift from large files to small ones needs no
 * more memory than there is. Pages are touched only when they are first used.
 *
 * A block is a buffer: slices hold it, and it comes back when the last one drops. One worker's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../core/slice.h"

#define GY_FILE_CHUNK_BYTES 65536

struct gy_file_memory;

struct gy_file_block {
    struct gy_buffer buffer; /* of the bytes asked for; refs 1: the taker's */
    struct gy_file_memory *memory;
    struct gy_file_block *next; /* the taker's to use, as is `owner` */
    void *owner;
    uint8_t data[];
};

/* The most that one block can have. */
#define GY_FILE_BLOCK_MAX (GY_FILE_CHUNK_BYTES - sizeof(struct gy_file_block))

#define GY_FILE_CLASSES 14

/* A chunk's number plus one; 0 is none. */
struct gy_file_chunk {
    uint32_t next, previous; /* in the list of its class with room, or of free chunks */
    uint16_t used;           /* blocks held */
    uint16_t fresh;          /* blocks handed out at least once */
    uint16_t free;           /* a block that came back, plus one */
    uint8_t class;
};

struct gy_file_memory {
    uint8_t *base;
    struct gy_file_chunk *chunks;
    uint32_t chunk_count;
    uint32_t fresh;                    /* chunks used at least once */
    uint32_t free;                     /* chunks that came back */
    uint32_t partial[GY_FILE_CLASSES]; /* chunks with room */
    uint64_t used_bytes;               /* in blocks, by the size of their class */
    size_t mapped_bytes;
    /* A block came back, whose `owner` this was. NULL: nobody cares. */
    void (*freed)(struct gy_file_memory *memory, void *owner);
    void *context; /* of `freed` */
};

/* Reserves address space for `bytes`, rounded up to chunks. 0 or GY_ENOMEM. */
int gy_file_memory_open(struct gy_file_memory *memory, uint64_t bytes);
void gy_file_memory_close(struct gy_file_memory *memory);

/* A block of `bytes` (1 to GY_FILE_BLOCK_MAX), held once, or NULL when there is no room for it. */
struct gy_file_block *gy_file_memory_take(struct gy_file_memory *memory, uint32_t bytes);

/* Chunks in use of all there are, in percent. */
uint32_t gy_file_memory_percent(const struct gy_file_memory *memory);

#endif
