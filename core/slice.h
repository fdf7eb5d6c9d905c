/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SLICE_H
#define GY_CORE_SLICE_H

/*
 * Buffers, slices and chains: how bytes are passed on without copying them.
 *
 *   buffer  a piece of memory with a count of the slices that refer to it. Its maker says what
 * happens when the last one is dropped: back to the kernel's ring, back to a slab, or nothing
 * (constant data). slice   {buffer, offset, length}, by value. Whoever holds a slice holds one
 * count of its buffer. chain   a queue of slices: what was received and not yet consumed, or what
 * is to be sent.
 *
 * Counts are not atomic: a buffer belongs to one worker, and so does every slice of it. Constant
 * data that several workers send is wrapped in one `struct gy_buffer` per worker.
 *
 * Bytes that a slice shows are never written again, except by the buffer's maker beyond every
 * slice's end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "error.h"
#include "slab.h"

struct gy_buffer {
    uint8_t *data;                             /* NULL: they lie in a file (file_range.h) */
    uint32_t capacity;                         /* bytes at data */
    uint32_t refs;                             /* slices (and makers) that hold it */
    void (*release)(struct gy_buffer *buffer); /* at refs 0; NULL: nothing to do */
};

struct gy_slice {
    struct gy_buffer *buffer;
    uint32_t offset;
    uint32_t length; /* bytes */
};

/* One queued slice. Taken from the slab that the chain was initialised with. */
struct gy_link {
    struct gy_slice slice;
    struct gy_link *next;
};

struct gy_chain {
    struct gy_link *head;
    struct gy_link *tail;  /* undefined while head is NULL */
    struct gy_slab *links; /* of struct gy_link; shared by a worker's chains */
    uint32_t length;       /* bytes in all slices */
    uint32_t count;        /* slices */
};

static inline void gy_buffer_hold(struct gy_buffer *buffer)
{
    gy_assert(buffer->refs > 0 && buffer->refs < UINT32_MAX);
    buffer->refs++;
}

static inline void gy_buffer_drop(struct gy_buffer *buffer)
{
    gy_assert(buffer->refs > 0);
    if (--buffer->refs == 0 && buffer->release != NULL) {
        buffer->release(buffer);
    }
}

/* Wraps bytes that outlive every slice of them (string literals, a snapshot's data). refs is 1, the
 * maker's own, and never reaches 0. The data is not written. */
void gy_buffer_wrap_constant(struct gy_buffer *buffer, const void *data, uint32_t bytes);

static inline const uint8_t *gy_slice_data(struct gy_slice slice)
{
    return slice.buffer->data + slice.offset;
}

/* A second slice of the same bytes; holds the buffer once more. offset + length lie within the
 * buffer. */
static inline struct gy_slice gy_slice_of(struct gy_buffer *buffer, uint32_t offset,
                                          uint32_t length)
{
    gy_assert(offset <= buffer->capacity && length <= buffer->capacity - offset);
    gy_buffer_hold(buffer);
    return (struct gy_slice){buffer, offset, length};
}

static inline void gy_slice_drop(struct gy_slice slice)
{
    gy_buffer_drop(slice.buffer);
}

/* `links` is a slab of struct gy_link; it outlives the chain. An empty chain holds no memory. */
static inline void gy_chain_init(struct gy_chain *chain, struct gy_slab *links)
{
    *chain = (struct gy_chain){.links = links};
}

static inline bool gy_chain_empty(const struct gy_chain *chain)
{
    return chain->head == NULL;
}

/*
 * Appends a slice and takes over its count. A slice that continues the last one in the same buffer
 * is merged with it, so bytes received or written piece by piece become one slice; a slice of
 * length 0 is dropped. Returns 0, or GY_ENOBUFS when the slab of links is at its bound: then the
 * count stays with the caller.
 */
int gy_chain_append(struct gy_chain *chain, struct gy_slice slice);

/* Puts a slice before the first, under the same terms (without merging). */
int gy_chain_prepend(struct gy_chain *chain, struct gy_slice slice);

/* Removes `bytes` from the front, dropping slices that are used up. bytes <= chain->length. */
void gy_chain_consume(struct gy_chain *chain, uint32_t bytes);

/* Drops everything. */
void gy_chain_clear(struct gy_chain *chain);

/*
 * Moves the first `bytes` (<= from->length) to the end of `to`, which uses the same slab of links.
 * No byte is copied; a slice that is cut is held twice. Returns 0, or GY_ENOBUFS (only the cut can
 * need a link): then everything up to the cut has moved, nothing is lost, and `from->length` tells
 * the rest.
 */
int gy_chain_move(struct gy_chain *from, struct gy_chain *to, uint32_t bytes);

/* The first slice's bytes: pointer and length. NULL and 0 for an empty chain. */
static inline const uint8_t *gy_chain_front(const struct gy_chain *chain, uint32_t *length)
{
    if (chain->head == NULL) {
        *length = 0;
        return NULL;
    }
    *length = chain->head->slice.length;
    return gy_slice_data(chain->head->slice);
}

/* Of a chain in memory: copies `bytes` starting `offset` bytes into the chain to `target`; offset +
 * bytes <= chain->length. The chain keeps them. The caller counts the copy where it is payload. */
void gy_chain_copy(const struct gy_chain *chain, uint32_t offset, uint32_t bytes, void *target);

/* Describes the front of the chain for a gathered write: at most `vectors_max` vectors and
 * `bytes_max` bytes, and nothing from the first slice on that lies in a file. Returns the number of
 * vectors and sets `bytes`. The chain keeps everything; consume it when the kernel reports it sent.
 */
uint32_t gy_chain_vectors(const struct gy_chain *chain, struct iovec *vectors, uint32_t vectors_max,
                          uint32_t bytes_max, uint32_t *bytes);

#endif
