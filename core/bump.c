/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/bump.h"

static void block_release(struct gy_buffer *buffer)
{
    struct gy_bump_block *block = (struct gy_bump_block *)buffer;
    _Static_assert(offsetof(struct gy_bump_block, buffer) == 0, "the buffer is the block's head");
    gy_slab_give(block->home, block);
}

void gy_bump_init(struct gy_bump *bump, struct gy_slab *blocks)
{
    gy_assert(blocks->item_bytes >= sizeof(struct gy_bump_block));
    *bump = (struct gy_bump){.blocks = blocks};
}

void gy_bump_close(struct gy_bump *bump)
{
    if (bump->block != NULL) {
        gy_buffer_drop(&bump->block->buffer);
        bump->block = NULL;
        bump->fill = 0;
    }
}

int gy_bump_renew(struct gy_bump *bump, uint32_t bytes)
{
    gy_assert(bytes <= GY_BUMP_BLOCK_BYTES);
    if (bump->block != NULL && bump->block->buffer.refs == 1) {
        bump->fill = 0;
        return 0;
    }
    struct gy_bump_block *block = gy_slab_take(bump->blocks);
    if (block == NULL) {
        return GY_ENOBUFS;
    }
    gy_bump_close(bump);
    block->buffer = (struct gy_buffer){
        .data = block->data,
        .capacity = GY_BUMP_BLOCK_BYTES,
        .refs = 1,
        .release = block_release,
    };
    block->home = bump->blocks;
    bump->block = block;
    bump->fill = 0;
    return 0;
}

int gy_bump_commit(struct gy_bump *bump, struct gy_chain *chain, uint32_t bytes)
{
    struct gy_slice slice = gy_bump_slice(bump, bytes);
    int error = gy_chain_append(chain, slice);
    if (error != 0) {
        bump->fill -= bytes;
        gy_slice_drop(slice);
    }
    return error;
}

struct gy_slice gy_bump_slice(struct gy_bump *bump, uint32_t bytes)
{
    gy_assert(bump->block != NULL);
    gy_assert(bytes <= GY_BUMP_BLOCK_BYTES - bump->fill);
    struct gy_slice slice = gy_slice_of(&bump->block->buffer, bump->fill, bytes);
    bump->fill += bytes;
    return slice;
}

int gy_bump_copy(struct gy_bump *bump, struct gy_chain *chain, const void *data, uint32_t bytes)
{
    uint8_t *room = gy_bump_reserve(bump, bytes);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    memcpy(room, data, bytes);
    int error = gy_bump_commit(bump, chain, bytes);
    if (error == 0) {
        bump->copied_bytes += bytes;
    }
    return error;
}
