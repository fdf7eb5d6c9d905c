/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat_server/power.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 8
#define SECTOR    512

struct image {
    uint8_t *bytes;
    sqlite3_int64 size;
    sqlite3_int64 room;
};

/* Not synced yet: bytes at a place, or, with NULL, a new size. */
struct pending {
    struct pending *next;
    sqlite3_int64 offset;
    int count;
    uint8_t bytes[];
};

struct item {
    char name[64];
    bool there;
    struct image now;  /* as the process sees it */
    struct image disk; /* as it is after a cut */
    struct pending *first, **last;
};

struct handle {
    sqlite3_file base;
    struct item *item;
};

static struct {
    struct item items[FILES_MAX];
    uint64_t random;
    uint32_t syncs, cut_at;
    uint64_t capacity;
    bool off, no_sync;
} disk;

static uint32_t next_random(void)
{
    disk.random = disk.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(disk.random >> 33);
}

static void resize(struct image *image, sqlite3_int64 size)
{
    if (size > image->room) {
        image->room = size * 2;
        image->bytes = realloc(image->bytes, (size_t)image->room);
        if (image->bytes == NULL) {
            abort();
        }
    }
    if (size > image->size) {
        memset(image->bytes + image->size, 0, (size_t)(size - image->size));
    }
    image->size = size;
}

static void put(struct image *image, sqlite3_int64 offset, const uint8_t *bytes, int count)
{
    if (offset + count > image->size) {
        resize(image, offset + count);
    }
    memcpy(image->bytes + offset, bytes, (size_t)count);
}

static void forget(struct item *item)
{
    while (item->first != NULL) {
        struct pending *next = item->first->next;
        free(item->first);
        item->first = next;
    }
    item->last = &item->first;
}

/* All of it, or, when the power goes, any sectors of it. */
static void settle(struct item *item, bool all)
{
    for (struct pending *at = item->first; at != NULL; at = at->next) {
        if (at->count < 0) {
            if (all || next_random() % 2 == 0) {
                resize(&item->disk, at->offset);
            }
            continue;
        }
        for (int done = 0; done < at->count;) {
            sqlite3_int64 offset = at->offset + done;
            int piece = SECTOR - (int)(offset % SECTOR);
            piece = piece < at->count - done ? piece : at->count - done;
            if (all || next_random() % 2 == 0) {
                put(&item->disk, offset, at->bytes + done, piece);
            }
            done += piece;
        }
    }
    forget(item);
}

static void cut(void)
{
    bool none = next_random() % 4 == 0;
    for (int i = 0; i < FILES_MAX; i++) {
        if (none) {
            forget(&disk.items[i]);
        }
        settle(&disk.items[i], false);
    }
    disk.off = true;
}

static void note(struct item *item, sqlite3_int64 offset, const void *bytes, int count)
{
    struct pending *pending = malloc(sizeof *pending + (count > 0 ? (size_t)count : 0));
    if (pending == NULL) {
        abort();
    }
    pending->next = NULL;
    pending->offset = offset;
    pending->count = count;
    if (count > 0) {
        memcpy(pending->bytes, bytes, (size_t)count);
    }
    *item->last = pending;
    item->last = &pending->next;
}

/* ---- files ---- */

static int power_close(sqlite3_file *file)
{
    (void)file;
    return SQLITE_OK;
}

static int power_read(sqlite3_file *file, void *target, int count, sqlite3_int64 offset)
{
    const struct image *image = &((struct handle *)file)->item->now;
    if (disk.off) {
        return SQLITE_IOERR_READ;
    }
    sqlite3_int64 there = image->size > offset ? image->size - offset : 0;
    there = there < count ? there : count;
    if (there > 0) {
        memcpy(target, image->bytes + offset, (size_t)there);
    }
    memset((uint8_t *)target + there, 0, (size_t)(count - there));
    return there < count ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static uint64_t used(void)
{
    uint64_t bytes = 0;
    for (int i = 0; i < FILES_MAX; i++) {
        bytes += disk.items[i].there ? (uint64_t)disk.items[i].now.size : 0;
    }
    return bytes;
}

static int power_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset)
{
    struct item *item = ((struct handle *)file)->item;
    if (disk.off) {
        return SQLITE_IOERR_WRITE;
    }
    sqlite3_int64 more = offset + count - item->now.size;
    if (disk.capacity > 0 && more > 0 && used() + (uint64_t)more > disk.capacity) {
        return SQLITE_FULL;
    }
    put(&item->now, offset, bytes, count);
    note(item, offset, bytes, count);
    return SQLITE_OK;
}

static int power_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct item *item = ((struct handle *)file)->item;
    if (disk.off) {
        return SQLITE_IOERR_TRUNCATE;
    }
    resize(&item->now, size);
    note(item, size, NULL, -1);
    return SQLITE_OK;
}

static int power_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    if (disk.off || disk.no_sync) {
        return SQLITE_IOERR_FSYNC;
    }
    bool goes = ++disk.syncs == disk.cut_at;
    if (!goes || next_random() % 2 == 0) {
        settle(((struct handle *)file)->item, true);
    }
    if (goes) {
        cut();
        return SQLITE_IOERR_FSYNC;
    }
    return SQLITE_OK;
}

static int power_size(sqlite3_file *file, sqlite3_int64 *size)
{
    *size = ((struct handle *)file)->item->now.size;
    return disk.off ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int power_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return disk.off ? SQLITE_IOERR_LOCK : SQLITE_OK;
}

static int power_check(sqlite3_file *file, int *reserved)
{
    (void)file;
    *reserved = 0;
    return SQLITE_OK;
}

static int power_control(sqlite3_file *file, int operation, void *argument)
{
    (void)file;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int power_sector(sqlite3_file *file)
{
    (void)file;
    return SECTOR;
}

static int power_traits(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* without shared memory: the database is locked for one process */
    .xClose = power_close,
    .xRead = power_read,
    .xWrite = power_write,
    .xTruncate = power_truncate,
    .xSync = power_sync,
    .xFileSize = power_size,
    .xLock = power_lock,
    .xUnlock = power_lock,
    .xCheckReservedLock = power_check,
    .xFileControl = power_control,
    .xSectorSize = power_sector,
    .xDeviceCharacteristics = power_traits,
};

/* ---- the layer ---- */

static struct item *find(const char *name)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (disk.items[i].there && strcmp(disk.items[i].name, name) == 0) {
            return &disk.items[i];
        }
    }
    return NULL;
}

static int power_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *out_flags)
{
    (void)vfs;
    struct handle *handle = (struct handle *)file;
    handle->base.pMethods = NULL;
    if (disk.off || name == NULL) {
        return SQLITE_CANTOPEN;
    }
    handle->item = find(name);
    for (int i = 0; i < FILES_MAX && handle->item == NULL; i++) {
        struct item *item = &disk.items[i];
        if (!item->there && (flags & SQLITE_OPEN_CREATE) != 0) {
            snprintf(item->name, sizeof item->name, "%s", name);
            item->there = true;
            item->now.size = item->disk.size = 0;
            handle->item = item;
        }
    }
    if (handle->item == NULL) {
        return SQLITE_CANTOPEN;
    }
    handle->base.pMethods = &methods;
    if (out_flags != NULL) {
        *out_flags = flags;
    }
    return SQLITE_OK;
}

static int power_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    (void)sync;
    struct item *item = find(name);
    if (disk.off) {
        return SQLITE_IOERR_DELETE;
    }
    if (item != NULL) {
        forget(item);
        item->there = false;
    }
    return SQLITE_OK;
}

static int power_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
    (void)vfs;
    (void)flags;
    *result = find(name) != NULL;
    return SQLITE_OK;
}

static int power_path(sqlite3_vfs *vfs, const char *name, int bytes, char *target)
{
    (void)vfs;
    snprintf(target, (size_t)bytes, "%s", name);
    return SQLITE_OK;
}

static int power_randomness(sqlite3_vfs *vfs, int count, char *target)
{
    (void)vfs;
    for (int i = 0; i < count; i++) {
        target[i] = (char)next_random();
    }
    return count;
}

static int power_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int power_time(sqlite3_vfs *vfs, double *days)
{
    (void)vfs;
    *days = 2460000.5;
    return SQLITE_OK;
}

static int power_error(sqlite3_vfs *vfs, int bytes, char *target)
{
    (void)vfs;
    (void)bytes;
    (void)target;
    return 0;
}

static sqlite3_vfs layer = {
    .iVersion = 1,
    .szOsFile = sizeof(struct handle),
    .mxPathname = 63,
    .zName = POWER_VFS,
    .xOpen = power_open,
    .xDelete = power_delete,
    .xAccess = power_access,
    .xFullPathname = power_path,
    .xRandomness = power_randomness,
    .xSleep = power_sleep,
    .xCurrentTime = power_time,
    .xGetLastError = power_error,
};

/* ---- for tests ---- */

void power_free(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        forget(&disk.items[i]);
        free(disk.items[i].now.bytes);
        free(disk.items[i].disk.bytes);
    }
    memset(&disk, 0, sizeof disk);
}

void power_reset(uint64_t seed)
{
    power_free();
    for (int i = 0; i < FILES_MAX; i++) {
        disk.items[i].last = &disk.items[i].first;
    }
    disk.random = seed;
    if (sqlite3_vfs_find(POWER_VFS) == NULL && sqlite3_vfs_register(&layer, 0) != SQLITE_OK) {
        abort();
    }
}

void power_cut_at(uint32_t sync)
{
    disk.cut_at = sync == 0 ? 0 : disk.syncs + sync;
}

bool power_is_off(void)
{
    return disk.off;
}

void power_on(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct item *item = &disk.items[i];
        forget(item);
        item->now.size = 0;
        if (item->disk.size > 0) {
            put(&item->now, 0, item->disk.bytes, (int)item->disk.size);
        }
    }
    disk.off = false;
    disk.cut_at = 0;
}

void power_set_capacity(uint64_t bytes)
{
    disk.capacity = bytes;
}

void power_fail_syncs(bool fail)
{
    disk.no_sync = fail;
}

uint32_t power_syncs(void)
{
    return disk.syncs;
}
