/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>

#include "core/asan.h"

struct pool_buffer {
    struct gy_buffer buffer; /* refs: slices, and one for the kernel while posted */
    struct gy_pool *pool;
    TAILQ_ENTRY(pool_buffer) entry; /* in the pool's `posted` */
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
    TAILQ_HEAD(pool_posted, pool_buffer) posted; /* as the kernel will use them, oldest first */
    uint32_t posted_count;
    uint32_t doubtful_count;
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
    TAILQ_INSERT_TAIL(&pool->posted, buffer, entry);
    pool->posted_count++;
    gy_ring_buffers_add(pool->shared, buffer->buffer.data, buffer->buffer.capacity, id);
}

static void set_doubtful(struct pool_buffer *buffer, bool doubtful)
{
    struct gy_pool *pool = buffer->pool;
    gy_assert(buffer->posted);
    if (buffer->doubtful == doubtful) {
        return;
    }
    buffer->doubtful = doubtful;
    if (doubtful) {
        pool->doubtful_count++;
    } else {
        gy_assert(pool->doubtful_count > 0);
        pool->doubtful_count--;
    }
}

/* The kernel is done with it: only slices hold it now. */
static void buffer_unpost(struct gy_pool *pool, struct pool_buffer *buffer)
{
    gy_assert(buffer->posted && pool->posted_count > 0);
    set_doubtful(buffer, false);
    buffer->posted = false;
    TAILQ_REMOVE(&pool->posted, buffer, entry);
    pool->posted_count--;
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
    if (pool->buffers == NULL || pool->spares == NULL) {
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
    if ((options->posted & (options->posted - 1)) != 0 || options->posted > options->buffers ||
        options->buffers == 0 || options->buffers > 32768 || options->buffer_bytes < 64) {
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
    TAILQ_INIT(&pool->posted);
    int code = pool_allocate(pool);
    if (code != 0) {
        gy_error_set(error, code, "opening a buffer pool of %zu bytes: out of memory",
                     pool->memory_bytes);
        goto fail;
    }
    if (options->posted > 0) {
        code = gy_ring_buffers_open(ring, options->group, options->posted, is_incremental(pool),
                                    &pool->shared, error);
    }
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
    free(pool);
}

/* Evidence that the kernel has moved on to `until` (NULL: that it has no buffer left): those left
 * in doubt that were posted earlier are not with it any more. */
static void settle_doubt(struct gy_pool *pool, const struct pool_buffer *until)
{
    struct pool_buffer *buffer = TAILQ_FIRST(&pool->posted);
    while (pool->doubtful_count > 0 && buffer != NULL && buffer != until) {
        struct pool_buffer *next = TAILQ_NEXT(buffer, entry);
        if (buffer->doubtful) {
            buffer_unpost(pool, buffer);
        }
        buffer = next;
    }
}

static int misordered(struct gy_pool *pool)
{
    pool->counters.misordered++;
    return GY_EIO;
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
static int take_incremental(struct gy_pool *pool, struct pool_buffer *buffer, uint32_t bytes,
                            bool more, struct gy_chain *chain)
{
    if (bytes > buffer->buffer.capacity - buffer->filled) {
        return misordered(pool);
    }
    int error = append_received(buffer, bytes, chain);
    if (!more || buffer->filled == buffer->buffer.capacity) {
        buffer_unpost(pool, buffer);
    }
    return error;
}

/* Whole buffers: one, or (a bundle) as many of the following ones as the bytes need. */
static int take_whole(struct gy_pool *pool, struct pool_buffer *buffer, uint32_t bytes,
                      struct gy_chain *chain)
{
    int error = 0;
    if (pool->options.mode != GY_RECEIVE_BUNDLE && bytes > buffer->buffer.capacity) {
        return misordered(pool);
    }
    while (bytes > 0 && buffer != NULL) {
        struct pool_buffer *next = TAILQ_NEXT(buffer, entry);
        uint32_t part = bytes < buffer->buffer.capacity ? bytes : buffer->buffer.capacity;
        if (error == 0) {
            error = append_received(buffer, part, chain);
        }
        buffer_unpost(pool, buffer);
        bytes -= part;
        buffer = next;
    }
    return bytes > 0 ? misordered(pool) : error;
}

/*
 * No data, but a buffer is named. Kernels differ in whether it stays with them: the next completion
 * that names a buffer tells. It costs nothing to wait, since the bytes in it are nobody's; to post
 * it again while the kernel still had it would be to give it away twice.
 */
static void take_nothing(struct gy_pool *pool, uint16_t id, bool more)
{
    if (id < pool->options.buffers && pool->buffers[id].posted) {
        set_doubtful(&pool->buffers[id], !more);
    }
}

int gy_pool_take(struct gy_pool *pool, const struct gy_completion *completion,
                 struct gy_chain *chain)
{
    if (!(completion->flags & GY_COMPLETION_BUFFER)) {
        return completion->result > 0 ? misordered(pool) : 0;
    }
    uint16_t id = gy_completion_buffer(completion);
    bool more = completion->flags & GY_COMPLETION_BUFFER_MORE;
    if (completion->result <= 0) {
        take_nothing(pool, id, more);
        return 0;
    }
    if (id >= pool->options.buffers || !pool->buffers[id].posted) {
        return misordered(pool);
    }
    struct pool_buffer *buffer = &pool->buffers[id];
    settle_doubt(pool, buffer);
    set_doubtful(buffer, false);
    /* One connection's whole buffer may be reported before another's. Where bytes are placed by
     * what came before, in a buffer or across buffers, the kernel must name its oldest one. */
    bool ordered = is_incremental(pool) || pool->options.mode == GY_RECEIVE_BUNDLE;
    if (ordered && buffer != TAILQ_FIRST(&pool->posted)) {
        return misordered(pool);
    }
    pool->counters.taken++;
    uint32_t bytes = (uint32_t)completion->result;
    int error = is_incremental(pool) ? take_incremental(pool, buffer, bytes, more, chain)
                                     : take_whole(pool, buffer, bytes, chain);
    return error != 0 ? error : completion->result;
}

static void note_spares(struct gy_pool *pool)
{
    if (pool->spare_count < pool->counters.spares_min) {
        pool->counters.spares_min = pool->spare_count;
    }
}

struct gy_buffer *gy_pool_lend(struct gy_pool *pool)
{
    if (pool->spare_count == 0) {
        return NULL;
    }
    struct pool_buffer *buffer = &pool->buffers[pool->spares[--pool->spare_count]];
    gy_assert(!buffer->posted && buffer->buffer.refs == 0);
    note_spares(pool);
    buffer->buffer.refs = 1;
    pool->held++;
    gy_unpoison(buffer->buffer.data, buffer->buffer.capacity);
    return &buffer->buffer;
}

void gy_pool_refill(struct gy_pool *pool)
{
    while (pool->posted_count < pool->options.posted && pool->spare_count > 0) {
        buffer_post(pool, pool->spares[--pool->spare_count]);
    }
    note_spares(pool);
    if (pool->shared != NULL) {
        gy_ring_buffers_publish(pool->shared);
    }
}

void gy_pool_starved(struct gy_pool *pool)
{
    pool->counters.starved++;
    settle_doubt(pool, NULL);
}

bool gy_pool_ready(const struct gy_pool *pool)
{
    return pool->posted_count > 0;
}

uint32_t gy_pool_posted(const struct gy_pool *pool)
{
    return pool->posted_count;
}

uint32_t gy_pool_free(const struct gy_pool *pool)
{
    return pool->posted_count + pool->spare_count;
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
