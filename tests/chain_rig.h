/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAIN_RIG_H
#define GY_TESTS_CHAIN_RIG_H

/*
 * What rigs of sans-I/O protocols share: memory for a chain that is read and one that is written,
 * input that comes in pieces, each of which has a buffer of its own so that the sanitizer sees its
 * ends, and that all of it was given back at the end.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bump.h"
#include "core/error.h"
#include "core/slab.h"
#include "core/slice.h"

struct chain_rig {
    struct gy_slab *links, *blocks;
    struct gy_bump *bump;
    struct gy_chain *in, *out;
    uint32_t *buffers; /* received and not given back */
};

static inline void chain_rig_slab(struct gy_slab *slab, size_t item_bytes, uint32_t count)
{
    size_t bytes = (gy_slab_bytes(item_bytes, count) + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, bytes);
    gy_assert(memory != NULL);
    gy_slab_init(slab, memory, bytes, item_bytes);
}

static inline void chain_rig_open(const struct chain_rig *rig, uint32_t blocks, uint32_t links)
{
    chain_rig_slab(rig->links, sizeof(struct gy_link), links);
    chain_rig_slab(rig->blocks, sizeof(struct gy_bump_block), blocks);
    gy_bump_init(rig->bump, rig->blocks);
    gy_chain_init(rig->in, rig->links);
    gy_chain_init(rig->out, rig->links);
}

struct chain_rig_piece {
    struct gy_buffer buffer;
    uint32_t *buffers;
    uint8_t *data;
};

static inline void chain_rig_piece_free(struct gy_buffer *buffer)
{
    struct chain_rig_piece *piece = (struct chain_rig_piece *)(void *)buffer;
    (*piece->buffers)--;
    free(piece->data);
    free(piece);
}

static inline void chain_rig_append(const struct chain_rig *rig, const void *bytes, uint32_t length)
{
    struct chain_rig_piece *piece = malloc(sizeof *piece);
    gy_assert(piece != NULL);
    piece->data = malloc(length > 0 ? length : 1);
    gy_assert(piece->data != NULL);
    if (length > 0) {
        memcpy(piece->data, bytes, length);
    }
    piece->buffers = rig->buffers;
    piece->buffer = (struct gy_buffer){piece->data, length, 1, chain_rig_piece_free};
    (*rig->buffers)++;
    int error = gy_chain_append(rig->in, (struct gy_slice){&piece->buffer, 0, length});
    gy_assert(error == 0);
    /* cppcheck-suppress memleak ; the chain holds it, and chain_rig_piece_free gives it back */
}

static inline void chain_rig_close(const struct chain_rig *rig)
{
    gy_chain_clear(rig->in);
    gy_chain_clear(rig->out);
    gy_bump_close(rig->bump);
    gy_assert(rig->links->used == 0 && rig->blocks->used == 0 && *rig->buffers == 0);
    free(rig->links->base);
    free(rig->blocks->base);
}

/* Of a rig with members of these names. */
#define CHAIN_RIG(rig)                                                                             \
    (&(const struct chain_rig){&(rig)->links, &(rig)->blocks, &(rig)->bump, &(rig)->in,            \
                               &(rig)->out, &(rig)->buffers})

#endif
