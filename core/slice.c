/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/slice.h"

#include <string.h>

void gy_buffer_wrap_constant(struct gy_buffer *buffer, const void *data, uint32_t bytes)
{
    gy_assert(data != NULL);
    union {
        const void *in;
        uint8_t *out;
    } cast = {.in = data};
    *buffer = (struct gy_buffer){.data = cast.out, .capacity = bytes, .refs = 1};
}

static struct gy_link *link_take(struct gy_chain *chain, struct gy_slice slice)
{
    struct gy_link *link = gy_slab_take(chain->links);
    if (link != NULL) {
        link->slice = slice;
        link->next = NULL;
    }
    return link;
}

int gy_chain_append(struct gy_chain *chain, struct gy_slice slice)
{
    gy_assert(slice.buffer->refs > 0);
    gy_assert(chain->length <= UINT32_MAX - slice.length);
    if (slice.length == 0) {
        gy_slice_drop(slice);
        return 0;
    }
    if (chain->head != NULL) {
        struct gy_slice *last = &chain->tail->slice;
        if (last->buffer == slice.buffer && last->offset + last->length == slice.offset) {
            last->length += slice.length;
            chain->length += slice.length;
            gy_slice_drop(slice);
            return 0;
        }
    }
    struct gy_link *link = link_take(chain, slice);
    if (link == NULL) {
        return GY_ENOBUFS;
    }
    if (chain->head == NULL) {
        chain->head = link;
    } else {
        chain->tail->next = link;
    }
    chain->tail = link;
    chain->length += slice.length;
    chain->count++;
    return 0;
}

int gy_chain_prepend(struct gy_chain *chain, struct gy_slice slice)
{
    gy_assert(slice.buffer->refs > 0);
    gy_assert(chain->length <= UINT32_MAX - slice.length);
    if (slice.length == 0) {
        gy_slice_drop(slice);
        return 0;
    }
    struct gy_link *link = link_take(chain, slice);
    if (link == NULL) {
        return GY_ENOBUFS;
    }
    if (chain->head == NULL) {
        chain->tail = link;
    }
    link->next = chain->head;
    chain->head = link;
    chain->length += slice.length;
    chain->count++;
    return 0;
}

static struct gy_link *unlink_head(struct gy_chain *chain)
{
    struct gy_link *link = chain->head;
    chain->head = link->next;
    chain->length -= link->slice.length;
    chain->count--;
    gy_assert((chain->head == NULL) == (chain->count == 0));
    return link;
}

void gy_chain_consume(struct gy_chain *chain, uint32_t bytes)
{
    gy_assert(bytes <= chain->length);
    while (bytes > 0) {
        struct gy_slice *first = &chain->head->slice;
        if (bytes < first->length) {
            first->offset += bytes;
            first->length -= bytes;
            chain->length -= bytes;
            return;
        }
        bytes -= first->length;
        struct gy_link *link = unlink_head(chain);
        gy_slice_drop(link->slice);
        gy_slab_give(chain->links, link);
    }
}

void gy_chain_clear(struct gy_chain *chain)
{
    gy_chain_consume(chain, chain->length);
    gy_assert(chain->count == 0);
}

int gy_chain_move(struct gy_chain *from, struct gy_chain *to, uint32_t bytes)
{
    gy_assert(bytes <= from->length);
    gy_assert(from->links == to->links && from != to);
    while (bytes > 0) {
        struct gy_slice first = from->head->slice;
        if (bytes < first.length) {
            int error = gy_chain_append(to, gy_slice_of(first.buffer, first.offset, bytes));
            if (error != 0) {
                gy_buffer_drop(first.buffer);
                return error;
            }
            gy_chain_consume(from, bytes);
            return 0;
        }
        bytes -= first.length;
        struct gy_link *link = unlink_head(from);
        gy_slab_give(from->links, link);
        /* The link just given back makes this append certain to find one. */
        int error = gy_chain_append(to, first);
        gy_assert(error == 0);
    }
    return 0;
}

void gy_chain_copy(const struct gy_chain *chain, uint32_t offset, uint32_t bytes, void *target)
{
    gy_assert(offset <= chain->length && bytes <= chain->length - offset);
    uint8_t *out = target;
    for (const struct gy_link *link = chain->head; bytes > 0; link = link->next) {
        struct gy_slice slice = link->slice;
        if (offset >= slice.length) {
            offset -= slice.length;
            continue;
        }
        uint32_t take = slice.length - offset;
        if (take > bytes) {
            take = bytes;
        }
        memcpy(out, gy_slice_data(slice) + offset, take);
        out += take;
        bytes -= take;
        offset = 0;
    }
}

uint32_t gy_chain_vectors(const struct gy_chain *chain, struct iovec *vectors, uint32_t vectors_max,
                          uint32_t bytes_max, uint32_t *bytes)
{
    uint32_t count = 0;
    uint32_t sum = 0;
    for (const struct gy_link *link = chain->head;
         link != NULL && link->slice.buffer->data != NULL && count < vectors_max && sum < bytes_max;
         link = link->next) {
        uint32_t take = link->slice.length;
        if (take > bytes_max - sum) {
            take = bytes_max - sum;
        }
        vectors[count].iov_base = link->slice.buffer->data + link->slice.offset;
        vectors[count].iov_len = take;
        sum += take;
        count++;
    }
    gy_assert(sum <= chain->length);
    *bytes = sum;
    return count;
}
