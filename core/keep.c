/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/keep.h"

#include <string.h>

#include "core/endpoint.h"
#include "core/worker.h"

#define BLOCK_BYTES ((uint32_t)sizeof(((struct gy_keep_block *)0)->data))

static void keep_release(struct gy_buffer *buffer)
{
    struct gy_keep_block *block = (struct gy_keep_block *)buffer;
    _Static_assert(offsetof(struct gy_keep_block, buffer) == 0, "the buffer is the block's head");
    gy_slab_give(block->home, block);
}

static bool is_kept(struct gy_slice slice)
{
    return slice.buffer->release == keep_release;
}

static struct gy_keep_block *keep_take(struct gy_worker *worker)
{
    struct gy_keep_block *block = gy_slab_take(&worker->keeps);
    if (block != NULL) {
        block->buffer = (struct gy_buffer){
            .data = block->data, .capacity = BLOCK_BYTES, .refs = 1, .release = keep_release};
        block->home = &worker->keeps;
    }
    return block;
}

/* Whether the slice pins more of the pool than it is worth. */
static bool must_copy(struct gy_slice slice, bool low)
{
    return !is_kept(slice) && (low || slice.length <= BLOCK_BYTES);
}

/* Copies from the first slice of `from` behind the slice that ends `to`, if that is a block of ours
 * with room that nobody else looks at. */
static uint32_t keep_extend(struct gy_chain *to, struct gy_chain *from)
{
    if (to->head == NULL || !is_kept(to->tail->slice) || to->tail->slice.buffer->refs != 1) {
        return 0;
    }
    struct gy_slice *last = &to->tail->slice;
    uint32_t end = last->offset + last->length;
    uint32_t length = from->head->slice.length;
    uint32_t bytes = BLOCK_BYTES - end < length ? BLOCK_BYTES - end : length;
    gy_chain_copy(from, 0, bytes, last->buffer->data + end);
    last->length += bytes;
    to->length += bytes;
    gy_chain_consume(from, bytes);
    return bytes;
}

/* Copies from the first slice of `from` into a new block at the end of `to`. 0 without a block. */
static uint32_t keep_begin(struct gy_worker *worker, struct gy_chain *to, struct gy_chain *from)
{
    struct gy_keep_block *block = keep_take(worker);
    if (block == NULL) {
        return 0;
    }
    uint32_t length = from->head->slice.length;
    struct gy_slice slice = {&block->buffer, 0, length < BLOCK_BYTES ? length : BLOCK_BYTES};
    gy_chain_copy(from, 0, slice.length, block->data);
    if (gy_chain_append(to, slice) != 0) {
        gy_slice_drop(slice);
        return 0;
    }
    gy_chain_consume(from, slice.length);
    return slice.length;
}

void gy_keep_leftover(struct gy_endpoint *endpoint, struct gy_chain *in)
{
    struct gy_worker *worker = endpoint->worker;
    gy_assert(in->length > 0);
    bool low = gy_pool_low(endpoint->pool);
    const struct gy_link *link = in->head;
    while (link != NULL && !must_copy(link->slice, low)) {
        link = link->next;
    }
    if (link == NULL) {
        return;
    }
    struct gy_chain kept;
    gy_chain_init(&kept, in->links);
    uint32_t copied = 0;
    while (in->length > 0) {
        uint32_t bytes = 0;
        if (must_copy(in->head->slice, low)) {
            bytes = keep_extend(&kept, in);
            bytes = bytes > 0 ? bytes : keep_begin(worker, &kept, in);
            copied += bytes;
        }
        if (bytes == 0) {
            /* It stays as it is. Moving a whole slice needs no link, so this cannot fail. */
            int error = gy_chain_move(in, &kept, in->head->slice.length);
            gy_assert(error == 0);
        }
    }
    *in = kept;
    gy_count(&worker->counters.copied_bytes, copied);
}

int gy_keep_reserve(struct gy_worker *worker, const struct gy_chain *in, struct gy_keep_room *room)
{
    if (in->head != NULL && is_kept(in->tail->slice) && in->tail->slice.buffer->refs == 1) {
        struct gy_slice last = in->tail->slice;
        uint32_t end = last.offset + last.length;
        if (end < BLOCK_BYTES) {
            *room = (struct gy_keep_room){last.buffer->data + end, BLOCK_BYTES - end, NULL};
            return 0;
        }
    }
    if (in->links->used == in->links->capacity) {
        return GY_ENOBUFS;
    }
    struct gy_keep_block *block = keep_take(worker);
    if (block == NULL) {
        return GY_ENOBUFS;
    }
    *room = (struct gy_keep_room){block->data, BLOCK_BYTES, block};
    return 0;
}

void gy_keep_commit(struct gy_chain *in, const struct gy_keep_room *room, uint32_t bytes)
{
    gy_assert(bytes <= room->bytes);
    if (room->block != NULL) {
        int error = gy_chain_append(in, (struct gy_slice){&room->block->buffer, 0, bytes});
        gy_assert(error == 0);
    } else {
        in->tail->slice.length += bytes;
        in->length += bytes;
    }
}
