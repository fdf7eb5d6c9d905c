/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/file_memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "core/asan.h"

static const uint32_t classes[GY_FILE_CLASSES] = {
    256,  512,  768,  1024,  1536,  2048,  3072,
    4096, 6144, 8192, 12288, 16384, 32768, GY_FILE_CHUNK_BYTES,
};

_Static_assert(GY_FILE_CHUNK_BYTES / 256 < UINT16_MAX, "a chunk counts its blocks in 16 bits");

int gy_file_memory_open(struct gy_file_memory *memory, uint64_t bytes)
{
    *memory = (struct gy_file_memory){0};
    uint64_t chunks = (bytes + GY_FILE_CHUNK_BYTES - 1) / GY_FILE_CHUNK_BYTES;
    gy_assert(chunks > 0 && chunks < UINT32_MAX);
    memory->mapped_bytes = (size_t)chunks * GY_FILE_CHUNK_BYTES;
    memory->base = mmap(NULL, memory->mapped_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory->base == MAP_FAILED) {
        memory->base = NULL;
        return GY_ENOMEM;
    }
    memory->chunks = calloc(chunks, sizeof *memory->chunks);
    if (memory->chunks == NULL) {
        munmap(memory->base, memory->mapped_bytes);
        memory->base = NULL;
        return GY_ENOMEM;
    }
    memory->chunk_count = (uint32_t)chunks;
    gy_poison(memory->base, memory->mapped_bytes);
    return 0;
}

void gy_file_memory_close(struct gy_file_memory *memory)
{
    if (memory->base != NULL) {
        gy_assert(memory->used_bytes == 0);
        gy_unpoison(memory->base, memory->mapped_bytes);
        munmap(memory->base, memory->mapped_bytes);
        free(memory->chunks);
        memory->base = NULL;
    }
}

/* ---- lists of chunks ---- */

static void push(struct gy_file_memory *memory, uint32_t *head, uint32_t number)
{
    struct gy_file_chunk *chunk = &memory->chunks[number - 1];
    chunk->previous = 0;
    chunk->next = *head;
    if (*head != 0) {
        memory->chunks[*head - 1].previous = number;
    }
    *head = number;
}

static void take_off(struct gy_file_memory *memory, uint32_t *head, uint32_t number)
{
    struct gy_file_chunk *chunk = &memory->chunks[number - 1];
    if (chunk->previous != 0) {
        memory->chunks[chunk->previous - 1].next = chunk->next;
    } else {
        gy_assert(*head == number);
        *head = chunk->next;
    }
    if (chunk->next != 0) {
        memory->chunks[chunk->next - 1].previous = chunk->previous;
    }
}

static uint32_t blocks_of(uint32_t class)
{
    return GY_FILE_CHUNK_BYTES / classes[class];
}

static uint32_t chunk_with_room(struct gy_file_memory *memory, uint32_t class)
{
    uint32_t number = memory->partial[class];
    if (number != 0) {
        return number;
    }
    if (memory->free != 0) {
        number = memory->free;
        take_off(memory, &memory->free, number);
    } else if (memory->fresh < memory->chunk_count) {
        number = ++memory->fresh;
    } else {
        return 0;
    }
    memory->chunks[number - 1] = (struct gy_file_chunk){.class = (uint8_t) class};
    push(memory, &memory->partial[class], number);
    return number;
}

/* ---- blocks ---- */

static uint8_t *block_at(const struct gy_file_memory *memory, uint32_t number, uint32_t index)
{
    return memory->base + (size_t)(number - 1) * GY_FILE_CHUNK_BYTES +
           (size_t)index * classes[memory->chunks[number - 1].class];
}

static void give(struct gy_buffer *buffer)
{
    struct gy_file_block *block = (struct gy_file_block *)buffer;
    struct gy_file_memory *memory = block->memory;
    size_t offset = (size_t)((uint8_t *)block - memory->base);
    gy_assert(offset < memory->mapped_bytes);
    uint32_t number = (uint32_t)(offset / GY_FILE_CHUNK_BYTES) + 1;
    struct gy_file_chunk *chunk = &memory->chunks[number - 1];
    uint32_t class = chunk->class;
    void *owner = block->owner;
    uint32_t index = (uint32_t)(offset % GY_FILE_CHUNK_BYTES) / classes[class];
    gy_assert(chunk->used > 0 && index < chunk->fresh);
    if (chunk->used == blocks_of(class)) {
        push(memory, &memory->partial[class], number);
    }
    *(uint16_t *)(void *)block = chunk->free;
    gy_poison(block, classes[class]);
    chunk->free = (uint16_t)(index + 1);
    chunk->used--;
    memory->used_bytes -= classes[class];
    if (chunk->used == 0) {
        take_off(memory, &memory->partial[class], number);
        push(memory, &memory->free, number);
    }
    if (memory->freed != NULL) {
        memory->freed(memory, owner);
    }
}

static uint32_t class_of(size_t bytes)
{
    uint32_t class = 0;
    while (classes[class] < bytes) {
        class ++;
    }
    return class;
}

struct gy_file_block *gy_file_memory_take(struct gy_file_memory *memory, uint32_t bytes)
{
    gy_assert(bytes > 0 && bytes <= GY_FILE_BLOCK_MAX);
    uint32_t class = class_of(bytes + sizeof(struct gy_file_block));
    gy_assert(class < GY_FILE_CLASSES);
    uint32_t number = chunk_with_room(memory, class);
    if (number == 0) {
        return NULL;
    }
    struct gy_file_chunk *chunk = &memory->chunks[number - 1];
    uint32_t index;
    struct gy_file_block *block;
    if (chunk->free != 0) {
        index = chunk->free - 1u;
        block = (struct gy_file_block *)(void *)block_at(memory, number, index);
        gy_unpoison(block, classes[class]);
        chunk->free = *(uint16_t *)(void *)block;
    } else {
        index = chunk->fresh++;
        gy_assert(index < blocks_of(class));
        block = (struct gy_file_block *)(void *)block_at(memory, number, index);
        gy_unpoison(block, classes[class]);
    }
    if (++chunk->used == blocks_of(class)) {
        take_off(memory, &memory->partial[class], number);
    }
    memory->used_bytes += classes[class];
    *block = (struct gy_file_block){
        .buffer = {.data = block->data, .capacity = bytes, .refs = 1, .release = give},
        .memory = memory,
    };
    return block;
}

uint32_t gy_file_memory_percent(const struct gy_file_memory *memory)
{
    return (uint32_t)(memory->used_bytes * 100 /
                      ((uint64_t)memory->chunk_count * GY_FILE_CHUNK_BYTES));
}
