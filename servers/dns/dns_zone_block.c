/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The memory of zones: while they are collected, and as they are served. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/log.h"
#include "servers/dns/dns_zone_internal.h"

#define BLOCK_ALIGN 64
#define RECENT_NS   2000000000 /* coarser than any file system's times */
#define SECOND_NS   1000000000
#define PAGE_BYTES  ((size_t)4096)
#define LARGE_BYTES ((size_t)4 << 20) /* of a zone: from here on it is prepared in advance */
#define CHUNK_BYTES ((size_t)2 << 20) /* of its pieces */

/* ---- files ---- */

int dns_zone_files_add(struct dns_zone_file **files, const char *folder, const char *path,
                       const struct stat *status)
{
    size_t folder_bytes = strlen(folder);
    size_t path_bytes = strlen(path) + 1;
    struct dns_zone_file *file = malloc(sizeof *file + folder_bytes + path_bytes);
    struct timespec now;
    if (file == NULL) {
        return GY_ENOMEM;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = (now.tv_sec - status->st_mtim.tv_sec) * (int64_t)SECOND_NS + now.tv_nsec -
                  status->st_mtim.tv_nsec;
    *file = (struct dns_zone_file){.next = *files,
                                   .device = status->st_dev,
                                   .inode = status->st_ino,
                                   .bytes = status->st_size,
                                   .modified = status->st_mtim,
                                   .changed = status->st_ctim,
                                   .recent = age < RECENT_NS};
    memcpy(file->path, folder, folder_bytes);
    memcpy(file->path + folder_bytes, path, path_bytes);
    *files = file;
    return 0;
}

void dns_zone_files_free(struct dns_zone_file *files)
{
    while (files != NULL) {
        struct dns_zone_file *next = files->next;
        free(files);
        files = next;
    }
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* ---- memory ---- */

/* Memory that will be written to from the front to the end: all its pages are made at once, which
 * costs half of as many page faults. Where the kernel cannot, they are. */
static void prepare(void *memory, size_t bytes)
{
    uintptr_t first = ((uintptr_t)memory + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    uintptr_t end = ((uintptr_t)memory + bytes) & ~(PAGE_BYTES - 1);
    if (first < end) {
        madvise((void *)first, end - first, MADV_POPULATE_WRITE);
    }
}

/* ---- blocks ---- */

/* In front of each zone. */
struct block {
    _Atomic uint32_t owners;
    struct dns_zone_file *files;
    struct dns_journal *journal;
    uint8_t padding[BLOCK_ALIGN - 24];
};

_Static_assert(sizeof(struct block) == BLOCK_ALIGN, "a zone behind it is aligned");

static struct block *block_of(const struct gy_dns_zone *zone)
{
    return (struct block *)((uintptr_t)zone - sizeof(struct block));
}

void *dns_zone_block(size_t bytes)
{
    size_t all = (sizeof(struct block) + bytes + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
    struct block *block = aligned_alloc(BLOCK_ALIGN, all);
    if (block == NULL) {
        return NULL;
    }
    if (all >= LARGE_BYTES) {
        prepare(block, all);
    }
    memset(block, 0, sizeof *block);
    atomic_init(&block->owners, 1);
    return block + 1;
}

void dns_zone_set_files(const struct gy_dns_zone *zone, struct dns_zone_file *files)
{
    block_of(zone)->files = files;
}

void dns_zone_move_files(const struct gy_dns_zone *zone, const struct gy_dns_zone *from)
{
    gy_assert(block_of(zone)->files == NULL);
    block_of(zone)->files = block_of(from)->files;
    block_of(from)->files = NULL;
}

void dns_zone_add_file(const struct gy_dns_zone *zone, const char *path, const struct stat *status)
{
    dns_zone_files_add(&block_of(zone)->files, "", path, status);
}

void dns_zone_set_journal(const struct gy_dns_zone *zone, struct dns_journal *journal)
{
    block_of(zone)->journal = journal;
}

const struct dns_journal *dns_zone_journal(const struct gy_dns_zone *zone)
{
    return block_of(zone)->journal;
}

bool gy_dns_zone_unchanged(const struct gy_dns_zone *zone)
{
    const struct dns_zone_file *file = block_of(zone)->files;
    bool unchanged = file != NULL;
    for (; file != NULL && unchanged; file = file->next) {
        struct stat now;
        unchanged = !file->recent && stat(file->path, &now) == 0 && now.st_dev == file->device &&
                    now.st_ino == file->inode && now.st_size == file->bytes &&
                    same_time(&now.st_mtim, &file->modified) &&
                    same_time(&now.st_ctim, &file->changed);
    }
    return unchanged;
}

const struct gy_dns_zone *gy_dns_zone_keep(const struct gy_dns_zone *zone)
{
    uint32_t before = atomic_fetch_add_explicit(&block_of(zone)->owners, 1, memory_order_relaxed);
    gy_assert(before > 0);
    return zone;
}

void gy_dns_zone_free(const struct gy_dns_zone *zone)
{
    while (zone != NULL) { /* and, with the last version that is made from it, a base */
        struct block *block = block_of(zone);
        const struct gy_dns_zone *base = gy_dns_zone_base(zone);
        uint32_t before = atomic_fetch_sub_explicit(&block->owners, 1, memory_order_acq_rel);
        gy_assert(before > 0);
        if (before > 1) {
            return;
        }
        dns_zone_files_free(block->files);
        dns_journal_free(block->journal);
        free(block);
        zone = base;
    }
}

const struct gy_dns_zone *gy_dns_zone_absent(const uint8_t *origin, uint64_t seed)
{
    void *memory = dns_zone_block(gy_dns_zone_absent_bytes());
    return memory != NULL ? gy_dns_zone_write_absent(memory, origin, seed) : NULL;
}

/* ---- makers ---- */

/* Memory of the builder. */
struct dns_zone_piece {
    struct dns_zone_piece *next;
    void *memory;
};

static size_t in_chunks(size_t bytes)
{
    return (bytes + CHUNK_BYTES - 1) & ~(CHUNK_BYTES - 1);
}

/* One of more than a chunk is a table that is looked into at random places: in large pages, where
 * the kernel has some. Records are read as they were written, so that these do not need any, and
 * finding so many of them can take a kernel with scattered memory longer than they save. */
static void *add_piece(struct gy_dns_zone_maker *maker, size_t bytes)
{
    bool table = bytes > CHUNK_BYTES;
    struct dns_zone_piece *piece = malloc(sizeof *piece);
    void *memory = table ? aligned_alloc(CHUNK_BYTES, in_chunks(bytes)) : malloc(bytes);
    if (piece == NULL || memory == NULL) {
        free(piece);
        free(memory);
        return NULL;
    }
    if (table) {
        madvise(memory, in_chunks(bytes), MADV_HUGEPAGE);
    }
    if (bytes > CHUNK_BYTES / 2) {
        prepare(memory, bytes);
    }
    *piece = (struct dns_zone_piece){.next = maker->pieces, .memory = memory};
    maker->pieces = piece;
    return memory;
}

/* What a builder that has grown asks for lies in larger pieces. */
static void *take_memory(void *context, size_t bytes)
{
    struct gy_dns_zone_maker *maker = context;
    bytes = (bytes + 15) & ~(size_t)15;
    if (maker->bytes_max != 0 && maker->bytes + bytes > maker->bytes_max) {
        return NULL;
    }
    maker->bytes += bytes;
    if (maker->bytes < LARGE_BYTES || bytes > CHUNK_BYTES / 2) {
        return add_piece(maker, bytes);
    }
    if (maker->spare_bytes < bytes) {
        uint8_t *chunk = add_piece(maker, CHUNK_BYTES);
        if (chunk == NULL) {
            return NULL;
        }
        maker->spare = chunk;
        maker->spare_bytes = CHUNK_BYTES;
    }
    void *memory = maker->spare;
    maker->spare += bytes;
    maker->spare_bytes -= bytes;
    return memory;
}

static void report(void *context, enum gy_dns_severity severity, const char *text)
{
    const struct gy_dns_zone_maker *maker = context;
    gy_log(severity == GY_DNS_ERROR ? GY_LOG_ERROR : GY_LOG_WARN, "dns", "zone %s %s", maker->name,
           text);
}

void dns_zone_maker_settings(struct gy_dns_zone_maker *maker, const uint8_t *origin, uint64_t seed,
                             uint64_t bytes_max)
{
    memset(maker, 0, sizeof *maker);
    maker->settings = (struct gy_dns_zone_settings){
        .context = maker, .memory = take_memory, .report = report, .seed = seed};
    maker->bytes_max = bytes_max;
    gy_dns_name_to_text(origin, maker->name);
}

int dns_zone_maker_begin(struct gy_dns_zone_maker *maker, const uint8_t *origin, uint64_t seed,
                         uint64_t bytes_max)
{
    dns_zone_maker_settings(maker, origin, seed, bytes_max);
    maker->builder = gy_dns_zone_begin(&maker->settings, origin);
    return maker->builder != NULL ? 0 : GY_ENOMEM;
}

void dns_zone_maker_end(struct gy_dns_zone_maker *maker)
{
    while (maker->pieces != NULL) {
        struct dns_zone_piece *next = maker->pieces->next;
        free(maker->pieces->memory);
        free(maker->pieces);
        maker->pieces = next;
    }
}

struct gy_dns_zone_maker *gy_dns_zone_maker_open(const uint8_t *origin, uint64_t seed,
                                                 uint64_t bytes_max)
{
    struct gy_dns_zone_maker *maker = malloc(sizeof *maker);
    if (maker != NULL && dns_zone_maker_begin(maker, origin, seed, bytes_max) != 0) {
        gy_dns_zone_maker_close(maker);
        return NULL;
    }
    return maker;
}

struct gy_dns_zone_builder *gy_dns_zone_maker_builder(struct gy_dns_zone_maker *maker)
{
    return maker->builder;
}

int gy_dns_zone_maker_finish(struct gy_dns_zone_maker *maker, const struct gy_dns_zone **zone,
                             struct gy_error *error)
{
    struct gy_error why = {0};
    size_t bytes = 0;
    int code = gy_dns_zone_finish(maker->builder, &bytes, &why);
    if (code != 0) {
        return gy_error_set(error, code, "the zone %s: %s", maker->name,
                            why.message[0] != '\0' ? why.message : gy_error_text(code));
    }
    void *memory = dns_zone_block(bytes);
    if (memory == NULL) {
        return gy_error_set(error, GY_ENOMEM, "the zone %s needs %zu bytes, which there are not",
                            maker->name, bytes);
    }
    *zone = gy_dns_zone_write(maker->builder, memory);
    return 0;
}

void gy_dns_zone_maker_close(struct gy_dns_zone_maker *maker)
{
    if (maker != NULL) {
        dns_zone_maker_end(maker);
        free(maker);
    }
}
