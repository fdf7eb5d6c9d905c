/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/rudp_memory.h"

#include <stdbool.h>
#include <sys/mman.h>

#include "core/asan.h"
#include "core/error.h"

#define FREE 0x80u

struct gy_rudp_memory_free {
    struct gy_rudp_memory_free *next, **link;
};

_Static_assert(sizeof(struct gy_rudp_memory_free) <= GY_RUDP_MEMORY_SMALLEST, "it lies in a block");

static size_t order_bytes(unsigned order)
{
    return (size_t)GY_RUDP_MEMORY_SMALLEST << order;
}

static size_t index_of(const struct gy_rudp_memory *memory, const void *block)
{
    return (size_t)((const uint8_t *)block - memory->arena) / GY_RUDP_MEMORY_SMALLEST;
}

static void list_put(struct gy_rudp_memory *memory, void *block, unsigned order)
{
    struct gy_rudp_memory_free *item = block;
    gy_unpoison(item, sizeof *item);
    item->next = memory->free[order];
    item->link = &memory->free[order];
    if (item->next != NULL) {
        item->next->link = &item->next;
    }
    memory->free[order] = item;
    memory->states[index_of(memory, block)] = (uint8_t)(FREE | order);
}

static void list_take(struct gy_rudp_memory_free *item)
{
    *item->link = item->next;
    if (item->next != NULL) {
        item->next->link = item->link;
    }
}

int gy_rudp_memory_open(struct gy_rudp_memory *memory, size_t bytes)
{
    unsigned order = 0;
    *memory = (struct gy_rudp_memory){0};
    gy_assert(bytes > 0 && bytes <= order_bytes(GY_RUDP_MEMORY_ORDERS - 1));
    while (order_bytes(order) < bytes) {
        order++;
    }
    memory->bytes = order_bytes(order);
    size_t all = memory->bytes + memory->bytes / GY_RUDP_MEMORY_SMALLEST;
    void *mapped =
        mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        return GY_ENOMEM;
    }
    memory->arena = mapped;
    memory->states = memory->arena + memory->bytes;
    list_put(memory, memory->arena, order);
    return 0;
}

void gy_rudp_memory_close(struct gy_rudp_memory *memory)
{
    if (memory->arena != NULL) {
        gy_assert(memory->used == 0);
        gy_unpoison(memory->arena, memory->bytes);
        munmap(memory->arena, memory->bytes + memory->bytes / GY_RUDP_MEMORY_SMALLEST);
        memory->arena = NULL;
    }
}

/* Joins a block with its neighbours, as far as these are free. */
static void join(struct gy_rudp_memory *memory, size_t index, unsigned order)
{
    while (order_bytes(order) < memory->bytes) {
        size_t buddy = index ^ ((size_t)1 << order);
        uint8_t *block = memory->arena + buddy * GY_RUDP_MEMORY_SMALLEST;
        if (memory->states[buddy] != (FREE | order)) {
            break;
        }
        list_take((struct gy_rudp_memory_free *)(void *)block);
        gy_poison(block, sizeof(struct gy_rudp_memory_free));
        index = index < buddy ? index : buddy;
        order++;
    }
    list_put(memory, memory->arena + index * GY_RUDP_MEMORY_SMALLEST, order);
}

static struct gy_rudp_memory_free *kept_pop(struct gy_rudp_memory *memory, unsigned order)
{
    struct gy_rudp_memory_free *item = memory->kept[order];
    if (item != NULL) {
        memory->kept[order] = item->next;
        memory->kept_count[order]--;
    }
    return item;
}

static bool join_kept(struct gy_rudp_memory *memory)
{
    bool any = false;
    for (unsigned order = 0; order < GY_RUDP_MEMORY_KEPT_ORDERS; order++) {
        for (void *item; (item = kept_pop(memory, order)) != NULL; any = true) {
            join(memory, index_of(memory, item), order);
        }
    }
    return any;
}

static unsigned find(const struct gy_rudp_memory *memory, unsigned order)
{
    while (order < GY_RUDP_MEMORY_ORDERS && memory->free[order] == NULL) {
        order++;
    }
    return order;
}

/* A block of that order out of a larger one, if there is any. */
static uint8_t *cut(struct gy_rudp_memory *memory, unsigned wanted)
{
    unsigned order = find(memory, wanted);
    if (order >= GY_RUDP_MEMORY_ORDERS && join_kept(memory)) {
        order = find(memory, wanted);
    }
    if (order >= GY_RUDP_MEMORY_ORDERS) {
        return NULL;
    }
    uint8_t *block = (uint8_t *)memory->free[order];
    list_take(memory->free[order]);
    while (order > wanted) {
        order--;
        list_put(memory, block + order_bytes(order), order);
    }
    memory->states[index_of(memory, block)] = (uint8_t)wanted;
    return block;
}

void *gy_rudp_memory_take(struct gy_rudp_memory *memory, size_t bytes)
{
    unsigned order = 0;
    void *block = NULL;
    while (order < GY_RUDP_MEMORY_ORDERS && order_bytes(order) < bytes) {
        order++;
    }
    if (order < GY_RUDP_MEMORY_KEPT_ORDERS) {
        block = kept_pop(memory, order);
    }
    if (block == NULL && order < GY_RUDP_MEMORY_ORDERS) {
        block = cut(memory, order);
    }
    if (block == NULL) {
        memory->refused++;
        return NULL;
    }
    memory->used += order_bytes(order);
    gy_unpoison(block, bytes);
    return block;
}

void gy_rudp_memory_give(struct gy_rudp_memory *memory, void *piece)
{
    size_t index = index_of(memory, piece);
    unsigned order = memory->states[index];
    gy_assert(order < GY_RUDP_MEMORY_ORDERS && memory->used >= order_bytes(order));
    memory->used -= order_bytes(order);
    gy_poison(piece, order_bytes(order));
    if (order < GY_RUDP_MEMORY_KEPT_ORDERS && memory->kept_count[order] < GY_RUDP_MEMORY_KEPT) {
        struct gy_rudp_memory_free *item = piece;
        gy_unpoison(item, sizeof *item);
        item->next = memory->kept[order];
        memory->kept[order] = item;
        memory->kept_count[order]++;
        return;
    }
    join(memory, index, order);
}
