/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/asan.h"

struct pool_buffer {
    struct gy_buffer buffer; /* refs: slices, and one for the kernel while posted */
    struct gy_pool *pool;
    uint32_t filled; /* bytes that the kernel has written; the next receive starts here */
    bool posted;
    bool doubtful; /* an end of stream named it without saying whether the kernel keeps it */
};

struct gy_pool {
    struct gy_pool_options options;
    struct gy_ring_buffers *shared;
    uint8_t *memory;
    size_t memory_bytes;
    struct pool_buffer *buffers;
    uint16_t *spares; /* a stack: the last one in is the hottest */
    uint32_t spare_count;
    uint16_t
        *order; /* posted buffers as the kernel will use them; a ring of options.posted entries */
    uint32_t order_head;
    uint32_t posted;
    uint32_t held; /* buffers kept out of the kernel by slices */
    struct gy_pool_counters counters;
};

#define LOW_DIVISOR 4

struct gy_pool_options gy_pool_defaults(enum gy_receive_mode mode, uint16_t group)
{
    struct gy_pool_options options = {
        .group = group, .buffer_bytes = 4096, .buffers = 4096, .posted = 64, .mode = mode};
    if (mode == GY_RECEIVE_INCREMENTAL) {
        options.buffer_bytes = 32768;
        options.buffers = 512;
        options.posted = 8;
    }
    return options;
}

static bool is_incremental(const struct gy_pool *pool)
{
    return pool->options.mode == GY_RECEIVE_INCREMENTAL;
}

static uint16_t buffer_id(const struct pool_buffer *buffer)
{
    return (uint16_t)(buffer - buffer->pool->buffers);
}

/* The last slice of a buffer that the kernel no longer has was dropped. */
static void buffer_release(struct gy_buffer *base)
{
    struct pool_buffer *buffer = (struct pool_buffer *)base;
    struct gy_pool *pool = buffer->pool;
    gy_assert(!buffer->posted);
    gy_assert(pool->spare_count < pool->options.buffers);
    gy_poison(buffer->buffer.data, buffer->buffer.capacity);
    pool->spares[pool->spare_count++] = buffer_id(buffer);
    pool->counters.returned++;
    gy_assert(pool->held > 0);
    pool->held--;
}

static void buffer_post(struct gy_pool *pool, uint16_t id)
{
    struct pool_buffer *buffer = &pool->buffers[id];
    gy_assert(!buffer->posted && buffer->buffer.refs == 0);
    buffer->posted = true;
    buffer->doubtful = false;
    buffer->filled = 0;
    buffer->buffer.refs = 1;
    pool->order[(pool->order_head + pool->posted) & (pool->options.posted - 1)] = id;
    pool->posted++;
    gy_ring_buffers_add(pool->shared, buffer->buffer.data, buffer->buffer.capacity, id);
}

/* The kernel is done with its oldest buffer: only slices hold it now. */
static void buffer_unpost(struct gy_pool *pool, struct pool_buffer *buffer)
{
    gy_assert(buffer->posted && pool->posted > 0);
    gy_assert(pool->order[pool->order_head & (pool->options.posted - 1)] == buffer_id(buffer));
    buffer->posted = false;
    pool->order_head++;
    pool->posted--;
    pool->held++;
    gy_buffer_drop(&buffer->buffer);
}

static int pool_allocate(struct gy_pool *pool)
{
    const struct gy_pool_options *options = &pool->options;
    pool->memory_bytes = (size_t)options->buffers * options->buffer_bytes;
    pool->memory = mmap(NULL, pool->memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pool->memory == MAP_FAILED) {
        pool->memory = NULL;
        return GY_ENOMEM;
    }
    pool->buffers = calloc(options->buffers, sizeof *pool->buffers);
    pool->spares = calloc(options->buffers, sizeof *pool->spares);
    pool->order = calloc(options->posted, sizeof *pool->order);
    if (pool->buffers == NULL || pool->spares == NULL || pool->order == NULL) {
        return GY_ENOMEM;
    }
    for (uint32_t i = 0; i < options->buffers; i++) {
        uint32_t id = options->buffers - 1 - i; /* the lowest ends on top */
        pool->buffers[id] = (struct pool_buffer){
            .buffer = {.data = pool->memory + (size_t)id * options->buffer_bytes,
                       .capacity = options->buffer_bytes,
                       .release = buffer_release},
            .pool = pool,
        };
        pool->spares[i] = (uint16_t)id;
    }
    pool->spare_count = options->buffers;
    pool->counters.spares_min = options->buffers;
    gy_poison(pool->memory, pool->memory_bytes);
    return 0;
}

int gy_pool_open(struct gy_pool **out, struct gy_ring *ring, const struct gy_pool_options *options,
                 struct gy_error *error)
{
    *out = NULL;
    if (options->posted == 0 || (options->posted & (options->posted - 1)) != 0 ||
        options->posted > options->buffers || options->buffers > 32768 ||
        options->buffer_bytes < 64) {
        return gy_error_set(
            error, GY_EINVAL,
            "opening a buffer pool: %u buffers of %u bytes with %u posted are not possible; posted "
            "must be a power of two and at most the number of buffers (32768 at most)",
            options->buffers, options->buffer_bytes, options->posted);
    }
    struct gy_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return gy_error_set(error, GY_ENOMEM, "opening a buffer pool: out of memory");
    }
    pool->options = *options;
    int code = pool_allocate(pool);
    if (code != 0) {
        gy_error_set(error, code, "opening a buffer pool of %zu bytes: out of memory",
                     pool->memory_bytes);
        goto fail;
    }
    code = gy_ring_buffers_open(ring, options->group, options->posted, is_incremental(pool),
                                &pool->shared, error);
    if (code != 0) {
        goto fail;
    }
    gy_pool_refill(pool);
    *out = pool;
    return 0;
fail:
    gy_pool_close(pool);
    return code;
}

void gy_pool_close(struct gy_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    gy_assert(pool->held == 0);
    gy_ring_buffers_close(pool->shared);
    if (pool->memory != NULL) {
        gy_unpoison(pool->memory, pool->memory_bytes);
        munmap(pool->memory, pool->memory_bytes);
    }
    free(pool->buffers);
    free(pool->spares);
    free(pool->order);
    free(pool);
}

/* The kernel takes buffers in the order they were posted; one it names is its oldest. */
static struct pool_buffer *oldest_posted(struct gy_pool *pool)
{
    if (pool->posted == 0) {
        return NULL;
    }
    return &pool->buffers[pool->order[pool->order_head & (pool->options.posted - 1)]];
}

/* Evidence that the kernel has moved on: the oldest buffers left in doubt are not with it any more.
 */
static void settle_doubt(struct gy_pool *pool)
{
    struct pool_buffer *oldest = oldest_posted(pool);
    while (oldest != NULL && oldest->doubtful) {
        buffer_unpost(pool, oldest);
        oldest = oldest_posted(pool);
    }
}

static int append_received(struct pool_buffer *buffer, uint32_t bytes, struct gy_chain *chain)
{
    gy_assert(bytes <= buffer->buffer.capacity - buffer->filled);
    gy_unpoison(buffer->buffer.data + buffer->filled, bytes);
    struct gy_slice slice = gy_slice_of(&buffer->buffer, buffer->filled, bytes);
    buffer->filled += bytes;
    int error = gy_chain_append(chain, slice);
    if (error != 0) {
        gy_slice_drop(slice);
    }
    return error;
}

/* One buffer, shared by receives until it is full or the kernel says it is done with it. */
static int take_incremental(struct gy_pool *pool, struct pool_buffer *buffer,
                            const struct gy_completion *completion, struct gy_chain *chain)
{
    bool more = completion->flags & GY_COMPLETION_BUFFER_MORE;
    if (completion->result <= 0) {
        buffer->doubtful =
            !more; /* kernels differ in what they do with the buffer at an end of stream */
        return 0;
    }
    buffer->doubtful = false;
    uint32_t bytes = (uint32_t)completion->result;
    if (bytes > buffer->buffer.capacity - buffer->filled) {
        pool->counters.misordered++;
        return GY_EIO;
    }
    int error = append_received(buffer, bytes, chain);
    if (!more || buffer->filled == buffer->buffer.capacity) {
        buffer_unpost(pool, buffer);
    }
    return error != 0 ? error : completion->result;
}

/* Whole buffers: one, or (a bundle) as many of the following ones as the bytes need. */
static int take_whole(struct gy_pool *pool, struct pool_buffer *buffer,
                      const struct gy_completion *completion, struct gy_chain *chain)
{
    uint32_t left = completion->result > 0 ? (uint32_t)completion->result : 0;
    int error = 0;
    do {
        if (buffer == NULL) {
            pool->counters.misordered++;
            return GY_EIO;
        }
        uint32_t bytes = left < buffer->buffer.capacity ? left : buffer->buffer.capacity;
        if (bytes > 0 && error == 0) {
            error = append_received(buffer, bytes, chain);
        }
        buffer_unpost(pool, buffer);
        left -= bytes;
        buffer = oldest_posted(pool);
    } while (left > 0);
    return error != 0 ? error : completion->result > 0 ? completion->result : 0;
}

int gy_pool_take(struct gy_pool *pool, const struct gy_completion *completion,
                 struct gy_chain *chain)
{
    if (!(completion->flags & GY_COMPLETION_BUFFER)) {
        return completion->result > 0 ? GY_EIO : 0;
    }
    struct pool_buffer *buffer = oldest_posted(pool);
    uint16_t id = gy_completion_buffer(completion);
    if (buffer != NULL && id != buffer_id(buffer)) {
        settle_doubt(pool);
        buffer = oldest_posted(pool);
    }
    if (buffer == NULL || id != buffer_id(buffer)) {
        pool->counters.misordered++;
        return GY_EIO;
    }
    pool->counters.taken++;
    return is_incremental(pool) ? take_incremental(pool, buffer, completion, chain)
                                : take_whole(pool, buffer, completion, chain);
}

void gy_pool_refill(struct gy_pool *pool)
{
    while (pool->posted < pool->options.posted && pool->spare_count > 0) {
        buffer_post(pool, pool->spares[--pool->spare_count]);
    }
    if (pool->spare_count < pool->counters.spares_min) {
        pool->counters.spares_min = pool->spare_count;
    }
    gy_ring_buffers_publish(pool->shared);
}

void gy_pool_starved(struct gy_pool *pool)
{
    pool->counters.starved++;
    settle_doubt(pool);
}

bool gy_pool_ready(const struct gy_pool *pool)
{
    return pool->posted > 0;
}

uint32_t gy_pool_free(const struct gy_pool *pool)
{
    return pool->posted + pool->spare_count;
}

bool gy_pool_low(const struct gy_pool *pool)
{
    return gy_pool_free(pool) < pool->options.buffers / LOW_DIVISOR;
}

const struct gy_pool_options *gy_pool_options(const struct gy_pool *pool)
{
    return &pool->options;
}

const struct gy_pool_counters *gy_pool_counters(const struct gy_pool *pool)
{
    return &pool->counters;
}
