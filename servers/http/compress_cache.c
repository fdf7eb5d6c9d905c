/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/compress_cache.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/log.h"
#include "core/worker.h"
#include "servers/http/compress.h"
#include "servers/http/encoder.h"

#define READ_BYTES 65536
#define NICENESS   10

/* ---- opening ---- */

void gy_coded_cache_open(struct gy_coded_cache *cache, struct gy_worker *worker, uint64_t bytes_max)
{
    uint64_t eighth = bytes_max / 8;
    *cache = (struct gy_coded_cache){
        .worker = worker,
        .bytes_max = bytes_max,
        .file_bytes_max = eighth < GY_CODED_FILE_BYTES_MAX ? eighth : GY_CODED_FILE_BYTES_MAX,
    };
    TAILQ_INIT(&cache->used);
}

static void forget(struct gy_coded *coded);

void gy_coded_cache_close(struct gy_coded_cache *cache)
{
    gy_assert(cache->jobs == 0 && cache->streams == 0);
    while (!TAILQ_EMPTY(&cache->used)) {
        forget(TAILQ_FIRST(&cache->used));
    }
    gy_assert(cache->bytes == 0);
    gy_helper_close(cache->helper);
    cache->helper = NULL;
}

bool gy_coded_cache_help(struct gy_coded_cache *cache)
{
    struct gy_error error;
    if (cache->helper == NULL &&
        gy_helper_open(&cache->helper, cache->worker, GY_CODED_JOBS_MAX + GY_CODED_STREAMS_MAX,
                       &error) != 0) {
        gy_log_limited(GY_LOG_WARN, "http", "compressing files: %s; they are sent as they are",
                       error.message);
    }
    return cache->helper != NULL;
}

/* ---- memory ---- */

static uint64_t cost_of(const struct gy_file_block *block)
{
    return sizeof *block + block->buffer.capacity + sizeof(struct gy_coded) +
           sizeof(struct gy_file_content);
}

/* The last slice of it was sent, or there was none. */
static void block_release(struct gy_buffer *buffer)
{
    struct gy_file_block *block = (struct gy_file_block *)buffer;
    struct gy_coded_cache *cache = block->owner;
    gy_assert(cache->bytes >= cost_of(block));
    cache->bytes -= cost_of(block);
    gy_gauge_set(&cache->counts->cache_bytes, cache->bytes);
    free(block);
}

/* Of what is not being made. */
static void forget(struct gy_coded *coded)
{
    gy_assert(coded->content != NULL && TAILQ_EMPTY(&coded->waiters));
    gy_assert(coded->source->coded[coded->coding] == coded);
    TAILQ_REMOVE(&coded->cache->used, coded, used);
    coded->source->coded[coded->coding] = NULL;
    gy_file_content_drop(coded->content);
    free(coded);
}

void gy_coded_gone(struct gy_file_content *source)
{
    gy_assert(source->refs == 0);
    for (uint32_t i = 0; i < GY_CODING_COUNT; i++) {
        if (source->coded[i] != NULL) {
            forget(source->coded[i]);
        }
    }
}

/* Puts what was made into the cache, in place of what was not asked for the longest. False: what
 * was given up is still being sent, and leaves no room. */
static bool keep(struct gy_coded *coded)
{
    struct gy_coded_cache *cache = coded->cache;
    struct gy_file_block *block = coded->block;
    uint64_t cost = cost_of(block);
    while (cache->bytes + cost > cache->bytes_max && !TAILQ_EMPTY(&cache->used)) {
        gy_count(&cache->counts->evictions, 1);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the first is another each time */
        forget(TAILQ_FIRST(&cache->used));
    }
    if (cache->bytes + cost > cache->bytes_max) {
        return false;
    }
    struct gy_file_content *content =
        gy_file_content_new(coded->source->cache, &coded->source->status);
    if (content == NULL) {
        return false;
    }
    block->owner = cache;
    block->buffer.release = block_release;
    cache->bytes += cost;
    gy_gauge_set(&cache->counts->cache_bytes, cache->bytes);
    content->status.bytes = block->buffer.capacity;
    content->blocks = content->last = block;
    content->loaded = block->buffer.capacity;
    content->whole = true;
    content->etag_length =
        gy_compress_etag(content->etag, content->etag_length, coded->coding, coded->level);
    coded->content = content;
    coded->block = NULL;
    TAILQ_INSERT_TAIL(&cache->used, coded, used);
    return true;
}

/* ---- on the helper ---- */

void gy_coded_stand_back(void)
{
    static _Thread_local bool stands_back;
    if (stands_back) {
        return;
    }
    stands_back = true;
    /* The thread was begun by a worker, which may be pinned; the first thread of the process is
     * not. Where either is not allowed, it helps from where it is. */
    cpu_set_t set;
    if (sched_getaffinity(getpid(), sizeof set, &set) == 0) {
        (void)sched_setaffinity(0, sizeof set, &set);
    }
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
}

struct making {
    struct gy_encoder *encoder;
    struct gy_file_block *block; /* grows */
    size_t filled, room, most;
};

/* More room for what comes out. GY_ENOTSUP: it is no smaller than what goes in. */
static int grow(struct making *making)
{
    if (making->filled < making->room) {
        return 0;
    }
    size_t room = making->room + making->room / 2;
    room = room < making->most ? room : making->most;
    if (room == making->room) {
        return GY_ENOTSUP;
    }
    struct gy_file_block *block = realloc(making->block, sizeof *block + room);
    if (block == NULL) {
        return GY_ENOMEM;
    }
    making->block = block;
    making->room = room;
    return 0;
}

/* 1 when the end is written, 0, or an error. */
static int feed(struct making *making, const uint8_t *data, size_t bytes, bool last)
{
    struct gy_encoder_input input = {data, bytes};
    int code = 0;
    while (code == 0 && (input.bytes > 0 || last)) {
        code = grow(making);
        if (code != 0) {
            return code;
        }
        struct gy_encoder_output output = {making->block->data + making->filled,
                                           making->room - making->filled};
        code = gy_encoder_run(making->encoder, &input, &output, last);
        making->filled = making->room - output.bytes;
    }
    return code;
}

static int feed_blocks(struct making *making, const struct gy_file_content *source)
{
    uint64_t left = source->status.bytes;
    const struct gy_file_block *block = source->blocks;
    int code = 0;
    while (code == 0) {
        gy_assert(block != NULL && block->buffer.capacity <= left);
        left -= block->buffer.capacity;
        code = feed(making, block->data, block->buffer.capacity, left == 0);
        block = block->next;
    }
    return code;
}

/* GY_EAGAIN: the file is not what it was. */
static int feed_file(struct making *making, const struct gy_file_content *source)
{
    static _Thread_local uint8_t piece[READ_BYTES];
    uint64_t position = 0;
    int code = 0;
    while (code == 0) {
        uint64_t left = source->status.bytes - position;
        size_t wanted = left < sizeof piece ? (size_t)left : sizeof piece;
        ssize_t got = pread(source->descriptor, piece, wanted, (off_t)position);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 ? GY_EAGAIN : GY_EIO;
        }
        position += (uint64_t)got;
        code = feed(making, piece, (size_t)got, position == source->status.bytes);
    }
    struct gy_file_status now;
    if (code == 1 &&
        (gy_file_status(source->descriptor, &now) != 0 || !gy_file_same(&now, &source->status))) {
        return GY_EAGAIN;
    }
    return code;
}

static int make_block(struct gy_coded *coded, struct making *making)
{
    const struct gy_file_content *source = coded->source;
    making->most = (size_t)source->status.bytes - 1;
    making->room = making->most / 4 + 1;
    making->block = malloc(sizeof *making->block + making->room);
    if (making->block == NULL) {
        return GY_ENOMEM;
    }
    int code = gy_encoder_open(&making->encoder, (enum gy_coding)coded->coding, coded->level,
                               source->status.bytes, GY_ENCODER_BYTES_MAX);
    if (code != 0) {
        return code;
    }
    code = source->whole ? feed_blocks(making, source) : feed_file(making, source);
    return code == 1 ? 0 : code;
}

static void make(struct gy_helper_job *base)
{
    struct gy_coded *coded = (struct gy_coded *)base;
    struct making making = {0};
    gy_coded_stand_back();
    coded->result = make_block(coded, &making);
    gy_encoder_close(making.encoder);
    if (coded->result != 0) {
        free(making.block);
        return;
    }
    struct gy_file_block *block = realloc(making.block, sizeof *block + making.filled);
    block = block != NULL ? block : making.block;
    *block = (struct gy_file_block){
        .buffer = {.data = block->data, .capacity = (uint32_t)making.filled, .refs = 1}};
    coded->block = block;
}

/* ---- back on the worker ---- */

static void made(struct gy_helper_job *base)
{
    struct gy_coded *coded = (struct gy_coded *)base;
    struct gy_coded_cache *cache = coded->cache;
    struct gy_file_content *source = coded->source;
    struct gy_coded_waiters waiters = TAILQ_HEAD_INITIALIZER(waiters);
    TAILQ_CONCAT(&waiters, &coded->waiters, link);
    gy_assert(cache->jobs > 0 && source->coded[coded->coding] == coded);
    cache->jobs--;
    cache->queued_bytes -= source->status.bytes;
    bool kept = false;
    if (coded->result == 0) {
        gy_count(&cache->counts->in_bytes, source->status.bytes);
        gy_count(&cache->counts->out_bytes, coded->block->buffer.capacity);
        kept = keep(coded);
        gy_count(&cache->counts->refused_memory, !kept);
    } else if (coded->result == GY_EAGAIN) {
        source->stale = true;
    } else {
        /* Trying again would end the same way. */
        source->uncodable |= (uint8_t)(1u << coded->coding);
        gy_count(&cache->counts->useless, 1);
    }
    if (!kept) {
        source->coded[coded->coding] = NULL;
        free(coded->block);
        free(coded);
    }
    /* Each may ask for anything, so that from here on `coded` may be gone. */
    struct gy_coded_waiter *waiter;
    while ((waiter = TAILQ_FIRST(&waiters)) != NULL) {
        TAILQ_REMOVE(&waiters, waiter, link);
        waiter->coded = NULL;
        waiter->ready(waiter);
    }
    gy_file_content_drop(source);
}

static int begin(struct gy_coded_cache *cache, struct gy_file_content *source,
                 enum gy_coding coding, uint8_t level)
{
    if (cache->jobs == GY_CODED_JOBS_MAX ||
        (cache->jobs > 0 &&
         cache->queued_bytes + source->status.bytes > GY_CODED_QUEUE_BYTES_MAX)) {
        gy_count(&cache->counts->refused_queue, 1);
        return GY_ENOBUFS;
    }
    struct gy_coded *coded = gy_coded_cache_help(cache) ? calloc(1, sizeof *coded) : NULL;
    if (coded == NULL) {
        gy_count(&cache->counts->refused_memory, 1);
        return GY_ENOBUFS;
    }
    *coded = (struct gy_coded){
        .job = {.run = make, .done = made},
        .cache = cache,
        .source = source,
        .coding = (uint8_t)coding,
        .level = level,
    };
    TAILQ_INIT(&coded->waiters);
    if (gy_helper_submit(cache->helper, &coded->job) != 0) {
        free(coded);
        gy_count(&cache->counts->refused_queue, 1);
        return GY_ENOBUFS;
    }
    gy_file_content_hold(source);
    source->coded[coding] = coded;
    cache->jobs++;
    cache->queued_bytes += source->status.bytes;
    gy_count(&cache->counts->misses, 1);
    return GY_EAGAIN;
}

int gy_coded_get(struct gy_coded_cache *cache, struct gy_file_content *source,
                 enum gy_coding coding, uint8_t level, struct gy_file_content **content)
{
    gy_assert(source->status.bytes > 1 && source->status.bytes <= cache->file_bytes_max);
    struct gy_coded *coded = source->coded[coding];
    if (coded == NULL) {
        return source->uncodable & 1u << coding ? GY_ENOTSUP : begin(cache, source, coding, level);
    }
    if (coded->content == NULL) {
        return GY_EAGAIN;
    }
    if (TAILQ_NEXT(coded, used) != NULL) {
        TAILQ_REMOVE(&cache->used, coded, used);
        TAILQ_INSERT_TAIL(&cache->used, coded, used);
    }
    gy_count(&cache->counts->hits, 1);
    *content = coded->content;
    return 0;
}

void gy_coded_wait(struct gy_file_content *source, enum gy_coding coding,
                   struct gy_coded_waiter *waiter)
{
    struct gy_coded *coded = source->coded[coding];
    gy_assert(coded != NULL && coded->content == NULL && waiter->coded == NULL);
    waiter->coded = coded;
    TAILQ_INSERT_TAIL(&coded->waiters, waiter, link);
}

void gy_coded_wait_not(struct gy_coded_waiter *waiter)
{
    if (waiter->coded != NULL) {
        TAILQ_REMOVE(&waiter->coded->waiters, waiter, link);
        waiter->coded = NULL;
    }
}
