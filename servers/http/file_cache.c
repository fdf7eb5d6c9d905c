/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/file_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "core/asan.h"
#include "core/file_range.h"

/* Contents in use at once: those of entries, and those that answers still hold. */
#define CONTENTS_PER_ENTRY 2
#define EVICT_STEPS        4096 /* the hand moves at most so far for one eviction */
#define EVICT_MAX          256  /* entries given up for one block */
#define LOOK_ATTEMPTS      3
#define NANOSECONDS_PER_S  1000000000

/* The coarsest clock that a file's times are taken from ticks every 10 ms. */
#define UNSETTLED_NS 20000000

/* ---- opening ---- */

int gy_file_cache_open(struct gy_file_cache *cache, struct gy_worker *worker, int root,
                       const struct gy_file_cache_options *options)
{
    uint32_t entries = options->entries;
    gy_assert(entries > 0 && (entries & (entries - 1)) == 0);
    *cache = (struct gy_file_cache){
        .worker = worker,
        .root = root,
        .entries_max = entries,
        .descriptors_max = options->descriptors_max,
        .large_bytes = options->bytes / 16,
    };
    size_t contents_bytes =
        gy_slab_bytes(sizeof(struct gy_file_content), entries * CONTENTS_PER_ENTRY);
    /* calloc leaves what is large untouched, as the slabs do. */
    cache->entries = calloc(entries, sizeof *cache->entries);
    cache->buckets = calloc(entries, sizeof(struct gy_file_entry *));
    cache->contents_memory = mmap(NULL, contents_bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cache->contents_memory == MAP_FAILED) {
        cache->contents_memory = NULL;
    } else {
        gy_slab_init(&cache->contents, cache->contents_memory, contents_bytes,
                     sizeof(struct gy_file_content));
    }
    if (cache->entries == NULL || cache->buckets == NULL || cache->contents_memory == NULL ||
        gy_file_memory_open(&cache->memory, options->bytes) != 0) {
        gy_file_cache_close(cache);
        return GY_ENOMEM;
    }
    return 0;
}

static void forget(struct gy_file_entry *entry);

void gy_file_cache_close(struct gy_file_cache *cache)
{
    gy_assert(cache->loading == 0);
    for (uint32_t i = 0; cache->entries != NULL && i < cache->fresh; i++) {
        if (cache->entries[i].key != NULL) {
            forget(&cache->entries[i]);
        }
    }
    gy_file_memory_close(&cache->memory);
    free(cache->entries);
    free(cache->buckets);
    if (cache->contents_memory != NULL) {
        gy_assert(cache->contents.used == 0);
        size_t bytes = (size_t)cache->contents.item_bytes * cache->contents.capacity;
        gy_unpoison(cache->contents_memory, bytes);
        munmap(cache->contents_memory, bytes);
    }
    cache->contents_memory = NULL;
}

/* ---- contents ---- */

static char *put_hex(char *at, uint64_t value)
{
    char digits[16];
    uint32_t length = 0;
    do {
        digits[sizeof digits - ++length] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value > 0);
    memcpy(at, digits + sizeof digits - length, length);
    return at + length;
}

struct gy_file_content *gy_file_content_new(struct gy_file_cache *cache,
                                            const struct gy_file_status *status)
{
    struct gy_file_content *content = gy_slab_take(&cache->contents);
    if (content == NULL) {
        return NULL;
    }
    *content =
        (struct gy_file_content){.cache = cache, .status = *status, .refs = 1, .descriptor = -1};
    char *at = content->etag;
    *at++ = '"';
    at = put_hex(at, (uint64_t)status->modified_ns);
    *at++ = '-';
    at = put_hex(at, status->bytes);
    *at++ = '-';
    at = put_hex(at, status->inode);
    *at++ = '"';
    content->etag_length = (uint8_t)(at - content->etag);
    gy_assert(content->etag_length <= sizeof content->etag);
    int64_t seconds = status->modified_ns / NANOSECONDS_PER_S;
    /* A file from before 1970 or after 9999 has no date that HTTP could say. */
    bool sayable = seconds >= 0 && seconds < INT64_C(253402300800);
    gy_http_date(sayable ? (uint64_t)seconds : 0, content->modified);
    return content;
}

void gy_file_content_drop(struct gy_file_content *content)
{
    gy_assert(content->refs > 0);
    if (--content->refs > 0) {
        return;
    }
    struct gy_file_cache *cache = content->cache;
    if (cache->gone != NULL) {
        cache->gone(content);
    }
    while (content->blocks != NULL) {
        struct gy_file_block *block = content->blocks;
        content->blocks = block->next;
        gy_buffer_drop(&block->buffer);
    }
    if (content->descriptor >= 0) {
        gy_file_close(cache->worker, content->descriptor);
        cache->descriptors--;
    }
    gy_slab_give(&cache->contents, content);
}

/* ---- entries ---- */

static uint32_t hash_of(const char *key, uint32_t length)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) ^ length;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, key, 8);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
        key += 8;
        length -= 8;
    }
    uint64_t word = 0;
    memcpy(&word, key, length);
    hash = (hash ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(hash ^ hash >> 32);
}

static struct gy_file_entry **bucket_of(struct gy_file_cache *cache, uint32_t hash)
{
    return &cache->buckets[hash & (cache->entries_max - 1)];
}

static struct gy_file_entry *find(struct gy_file_cache *cache, const char *key, uint32_t length,
                                  uint32_t hash)
{
    struct gy_file_entry *entry = *bucket_of(cache, hash);
    while (entry != NULL && (entry->hash != hash || entry->key->buffer.capacity != length + 1 ||
                             memcmp(entry->key->data, key, length) != 0)) {
        entry = entry->next;
    }
    return entry;
}

static void forget(struct gy_file_entry *entry)
{
    struct gy_file_cache *cache = entry->cache;
    gy_assert(!entry->loading && TAILQ_EMPTY(&entry->waiters));
    struct gy_file_entry **at = bucket_of(cache, entry->hash);
    while (*at != entry) {
        gy_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = entry->next;
    if (entry->content != NULL) {
        gy_file_content_drop(entry->content);
    }
    gy_buffer_drop(&entry->key->buffer);
    *entry = (struct gy_file_entry){.next = cache->free};
    cache->free = entry;
}

/* Moves the hand on to an entry that nobody has asked for since it passed, and forgets it. */
static bool evict(struct gy_file_cache *cache)
{
    struct gy_file_entry *last_resort = NULL;
    for (uint32_t steps = 0; steps < EVICT_STEPS && cache->fresh > 0; steps++) {
        struct gy_file_entry *entry = &cache->entries[cache->hand];
        cache->hand = cache->hand + 1 < cache->fresh ? cache->hand + 1 : 0;
        if (entry->key == NULL || entry->loading) {
            continue;
        }
        last_resort = entry;
        if (!entry->used) {
            break;
        }
        entry->used = false;
    }
    if (last_resort == NULL) {
        return false;
    }
    forget(last_resort);
    cache->counters.evictions++;
    return true;
}

/* Not of an entry that loads, which `evict` leaves alone. */
static struct gy_file_block *take_block(struct gy_file_cache *cache, uint32_t bytes)
{
    struct gy_file_block *block = gy_file_memory_take(&cache->memory, bytes);
    for (uint32_t i = 0; block == NULL && i < EVICT_MAX && evict(cache); i++) {
        block = gy_file_memory_take(&cache->memory, bytes);
    }
    return block;
}

static struct gy_file_entry *entry_new(struct gy_file_cache *cache, const char *key,
                                       uint32_t length, uint32_t hash)
{
    struct gy_file_block *block = take_block(cache, length + 1);
    if (block == NULL) {
        return NULL;
    }
    if (cache->free == NULL && cache->fresh == cache->entries_max && !evict(cache)) {
        gy_buffer_drop(&block->buffer);
        return NULL;
    }
    struct gy_file_entry *entry = cache->free;
    if (entry != NULL) {
        cache->free = entry->next;
    } else {
        entry = &cache->entries[cache->fresh++];
    }
    memcpy(block->data, key, length);
    block->data[length] = '\0';
    struct gy_file_entry **bucket = bucket_of(cache, hash);
    *entry = (struct gy_file_entry){
        .cache = cache, .next = *bucket, .key = block, .hash = hash, .descriptor = -1};
    TAILQ_INIT(&entry->waiters);
    *bucket = entry;
    return entry;
}

/* ---- looking ---- */

static void look(struct gy_file_entry *entry);

/* What was found stands from now on, and those who wait are told. */
static void settle(struct gy_file_entry *entry, enum gy_file_kind kind,
                   struct gy_file_content *content)
{
    struct gy_file_cache *cache = entry->cache;
    if (entry->descriptor >= 0) {
        gy_file_close(cache->worker, entry->descriptor);
        entry->descriptor = -1;
    }
    if (entry->content != content) {
        if (entry->content != NULL) {
            gy_file_content_drop(entry->content);
        }
        entry->content = content;
        entry->asked = 0;
    }
    entry->kind = (uint8_t)kind;
    entry->checked_ms = entry->started_ms;
    entry->loading = false;
    entry->wants_whole = false;
    cache->loading--;
    /* Each may begin another look, or end itself; an entry that is looked at again keeps those who
     * come then. */
    struct gy_file_waiters waiters = TAILQ_HEAD_INITIALIZER(waiters);
    TAILQ_CONCAT(&waiters, &entry->waiters, link);
    struct gy_file_waiter *waiter;
    while ((waiter = TAILQ_FIRST(&waiters)) != NULL) {
        TAILQ_REMOVE(&waiters, waiter, link);
        waiter->entry = NULL;
        waiter->ready(waiter);
    }
}

static void fail(struct gy_file_entry *entry, int errno_value)
{
    if (entry->loading_content != NULL) {
        gy_file_content_drop(entry->loading_content);
        entry->loading_content = NULL;
    }
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case EXDEV: /* it led out of the directory, by a symbolic link: as if it were not there */
    case ELOOP:
    case EINVAL:
        settle(entry, GY_FILE_MISSING, NULL);
        break;
    case EACCES:
    case EPERM:
    case ENXIO: /* a socket */
    case ENODEV:
        settle(entry, GY_FILE_REFUSED, NULL);
        break;
    default:
        settle(entry, GY_FILE_FAILED, NULL);
        break;
    }
}

/* Again from the start: the file changed while it was read. */
static void look_again(struct gy_file_entry *entry)
{
    struct gy_file_cache *cache = entry->cache;
    gy_file_content_drop(entry->loading_content);
    entry->loading_content = NULL;
    gy_file_close(cache->worker, entry->descriptor);
    entry->descriptor = -1;
    cache->counters.reloads++;
    entry->attempts++;
    look(entry);
}

static void adopt(struct gy_file_entry *entry)
{
    struct gy_file_content *content = entry->loading_content;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age_ns =
        (int64_t)now.tv_sec * NANOSECONDS_PER_S + now.tv_nsec - content->status.changed_ns;
    entry->unsettled = age_ns < UNSETTLED_NS;
    entry->loading_content = NULL;
    settle(entry, GY_FILE_REGULAR, content);
}

/* The content is the open file itself. */
static void adopt_descriptor(struct gy_file_entry *entry)
{
    struct gy_file_cache *cache = entry->cache;
    struct gy_file_content *content = entry->loading_content;
    for (uint32_t i = 0; i < EVICT_MAX && cache->descriptors >= cache->descriptors_max; i++) {
        if (!evict(cache)) {
            break;
        }
    }
    content->descriptor = entry->descriptor;
    content->sendable = gy_file_is_sendable(content->descriptor);
    entry->descriptor = -1;
    cache->descriptors++;
    adopt(entry);
}

static void have_read(void *owner, int64_t result);

static void read_next(struct gy_file_entry *entry)
{
    struct gy_file_cache *cache = entry->cache;
    struct gy_file_content *content = entry->loading_content;
    struct gy_file_block *block = content->last;
    if (gy_file_read(cache->worker, entry->descriptor, &block->buffer, 0, block->buffer.capacity,
                     content->loaded, have_read, entry) == NULL) {
        fail(entry, ENOBUFS);
    }
}

/* All of the blocks, so that they are there or it is not begun. */
static bool take_blocks(struct gy_file_cache *cache, struct gy_file_content *content)
{
    struct gy_file_block **at = &content->blocks;
    uint64_t left = content->status.bytes;
    while (left > 0) {
        uint32_t bytes = left < GY_FILE_BLOCK_MAX ? (uint32_t)left : (uint32_t)GY_FILE_BLOCK_MAX;
        struct gy_file_block *block = take_block(cache, bytes);
        if (block == NULL) {
            break;
        }
        *at = block;
        at = &block->next;
        left -= bytes;
    }
    content->last = content->blocks; /* the one to read into next */
    return left == 0;
}

static void have_read(void *owner, int64_t result)
{
    struct gy_file_entry *entry = owner;
    struct gy_file_content *content = entry->loading_content;
    if (result < 0) {
        fail(entry, (int)-result);
        return;
    }
    content->loaded += (uint64_t)result;
    struct gy_file_status now;
    bool as_promised = result == content->last->buffer.capacity;
    if (as_promised && content->last->next != NULL) {
        content->last = content->last->next;
        read_next(entry);
        return;
    }
    int code = gy_file_status(entry->descriptor, &now);
    if (code != 0) {
        fail(entry, -code);
    } else if (!as_promised || !gy_file_same(&now, &content->status)) {
        look_again(entry);
    } else {
        gy_assert(content->loaded == content->status.bytes);
        content->whole = true;
        adopt(entry);
    }
}

static void load(struct gy_file_entry *entry, const struct gy_file_status *status)
{
    struct gy_file_cache *cache = entry->cache;
    entry->loading_content = gy_file_content_new(cache, status);
    if (entry->loading_content == NULL) {
        fail(entry, ENOBUFS);
        return;
    }
    struct gy_file_content *content = entry->loading_content;
    if (status->bytes == 0) {
        content->whole = true;
        adopt(entry);
        return;
    }
    /* A file that never stands still is not read as a whole: its blocks would not fit together. */
    bool fits = status->bytes <= GY_FILE_CHUNK_BYTES ||
                (entry->wants_whole && status->bytes <= cache->large_bytes);
    if (fits && entry->attempts < LOOK_ATTEMPTS) {
        if (take_blocks(cache, content)) {
            read_next(entry);
            return;
        }
        entry->whole_after_ms = cache->worker->now_ms + 1000;
        while (content->blocks != NULL) {
            struct gy_file_block *block = content->blocks;
            content->blocks = block->next;
            gy_buffer_drop(&block->buffer);
        }
    }
    adopt_descriptor(entry);
}

static void have_opened(void *owner, int64_t result)
{
    struct gy_file_entry *entry = owner;
    if (result < 0) {
        fail(entry, (int)-result);
        return;
    }
    entry->descriptor = (int)result;
    struct gy_file_status status;
    int code = gy_file_status(entry->descriptor, &status);
    if (code != 0) {
        fail(entry, -code);
    } else if (S_ISDIR(status.mode)) {
        settle(entry, GY_FILE_DIRECTORY, NULL);
    } else if (!S_ISREG(status.mode)) {
        settle(entry, GY_FILE_REFUSED, NULL);
    } else if (entry->content != NULL && !entry->unsettled && !entry->content->stale &&
               gy_file_same(&status, &entry->content->status) &&
               (entry->content->whole || !entry->wants_whole)) {
        settle(entry, GY_FILE_REGULAR, entry->content);
    } else {
        load(entry, &status);
    }
}

static void look(struct gy_file_entry *entry)
{
    struct gy_file_cache *cache = entry->cache;
    cache->counters.looks++;
    entry->started_ms = cache->worker->now_ms;
    if (gy_file_open(cache->worker, cache->root, (const char *)entry->key->data, have_opened,
                     entry) == NULL) {
        fail(entry, ENOBUFS);
    }
}

/* ---- asking ---- */

static bool is_fresh(const struct gy_file_entry *entry, uint64_t since_ms)
{
    uint64_t now_ms = entry->cache->worker->now_ms;
    if (entry->kind == GY_FILE_UNKNOWN || (entry->content != NULL && entry->content->stale)) {
        return false;
    }
    bool lately = since_ms != 0 && entry->checked_ms >= since_ms;
    if (entry->kind == GY_FILE_FAILED) {
        return lately;
    }
    return lately || now_ms < entry->checked_ms + GY_FILE_FRESH_MS;
}

/* A file that is asked for again, and fits, is worth its memory. */
static bool is_worth_memory(const struct gy_file_entry *entry)
{
    const struct gy_file_cache *cache = entry->cache;
    return entry->kind == GY_FILE_REGULAR && !entry->content->whole && entry->asked > 0 &&
           entry->content->status.bytes <= cache->large_bytes && !entry->unsettled &&
           cache->worker->now_ms >= entry->whole_after_ms;
}

int gy_file_cache_get(struct gy_file_cache *cache, const char *key, uint32_t length,
                      uint64_t since_ms, struct gy_file_entry **out)
{
    uint32_t hash = hash_of(key, length);
    struct gy_file_entry *entry = find(cache, key, length, hash);
    if (entry != NULL && !entry->loading) {
        entry->wants_whole = is_worth_memory(entry);
        if (!entry->wants_whole && is_fresh(entry, since_ms)) {
            entry->used = true;
            cache->counters.hits++;
            *out = entry;
            return 0;
        }
    }
    if (entry == NULL) {
        entry = entry_new(cache, key, length, hash);
        if (entry == NULL) {
            cache->counters.refused++;
            return GY_ENOBUFS;
        }
    }
    *out = entry;
    if (!entry->loading) {
        entry->loading = true;
        cache->loading++;
        entry->attempts = 0;
        look(entry);
    }
    /* Where the look could not even begin, it has ended already. */
    return entry->loading ? GY_EAGAIN : GY_ENOBUFS;
}

void gy_file_cache_wait(struct gy_file_entry *entry, struct gy_file_waiter *waiter)
{
    gy_assert(entry->loading && waiter->entry == NULL);
    waiter->entry = entry;
    TAILQ_INSERT_TAIL(&entry->waiters, waiter, link);
}

void gy_file_cache_wait_not(struct gy_file_waiter *waiter)
{
    if (waiter->entry != NULL) {
        TAILQ_REMOVE(&waiter->entry->waiters, waiter, link);
        waiter->entry = NULL;
    }
}
