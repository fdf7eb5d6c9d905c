/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/http/h1_heads.h"

#include <string.h>

#include "protocols/http/h1.h"

struct kept_head {
    struct gy_buffer buffer;
    struct gy_slab *home;
    uint8_t data[];
};

/* Items, their own beginning included, and how many requests share one. */
static const struct {
    uint32_t item_bytes;
    uint32_t requests;
} sizes[GY_H1_HEAD_SIZES] = {
    {256, 1}, {512, 1}, {1024, 1}, {4096, 8}, {sizeof(struct kept_head) + GY_H1_HEAD_MAX, 64},
};

static uint32_t items(uint32_t exchanges, int size)
{
    return exchanges / sizes[size].requests + 1;
}

size_t gy_h1_heads_bytes(uint32_t exchanges)
{
    size_t bytes = 0;
    for (int i = 0; i < GY_H1_HEAD_SIZES; i++) {
        bytes += gy_slab_bytes(sizes[i].item_bytes, items(exchanges, i));
    }
    return bytes;
}

void gy_h1_heads_init(struct gy_h1_heads *heads, void *memory, uint32_t exchanges)
{
    uint8_t *at = memory;
    for (int i = 0; i < GY_H1_HEAD_SIZES; i++) {
        size_t bytes = gy_slab_bytes(sizes[i].item_bytes, items(exchanges, i));
        gy_slab_init(&heads->sizes[i], at, bytes, sizes[i].item_bytes);
        at += bytes;
    }
}

static void head_release(struct gy_buffer *buffer)
{
    struct kept_head *head = (struct kept_head *)buffer;
    _Static_assert(offsetof(struct kept_head, buffer) == 0, "the buffer is the item's head");
    gy_slab_give(head->home, head);
}

struct gy_buffer *gy_h1_heads_keep(struct gy_h1_heads *heads, const uint8_t *data, uint32_t bytes)
{
    gy_assert(bytes <= GY_H1_HEAD_MAX);
    for (int i = 0; i < GY_H1_HEAD_SIZES; i++) {
        if (bytes > sizes[i].item_bytes - sizeof(struct kept_head)) {
            continue;
        }
        struct kept_head *head = gy_slab_take(&heads->sizes[i]);
        if (head != NULL) {
            head->buffer = (struct gy_buffer){
                .data = head->data, .capacity = bytes, .refs = 1, .release = head_release};
            head->home = &heads->sizes[i];
            memcpy(head->data, data, bytes);
            return &head->buffer;
        }
    }
    return NULL;
}
