/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/file_check.h"
#include "core/file_range.h"
#include "core/ring.h"
#include "core/worker.h"

/* A path that others rename at this moment makes openat2 answer EAGAIN. */
#define OPEN_TRIES 8

enum kind {
    OPEN,
    READ,
    WRITE,
    SYNC,
};

struct gy_file_operation {
    void (*done)(void *owner, int64_t result); /* NULL: forgotten */
    void *owner;
    struct gy_file_operation *next_done;
    struct gy_buffer *buffer;
    uint64_t position;
    int64_t result;
    uint32_t offset;
    uint32_t bytes;
    uint32_t got;
    int descriptor; /* of the directory, or to read from */
    uint8_t kind;
    uint8_t tries;
    char path[GY_FILE_PATH_BYTES]; /* the last: most of it is never touched */
};

/* ---- the table ---- */

static size_t generations_bytes(void)
{
    return (sizeof(uint32_t) * GY_FILE_OPERATIONS + 63) & ~(size_t)63;
}

size_t gy_file_table_bytes(void)
{
    return gy_slab_bytes(sizeof(struct gy_file_operation), GY_FILE_OPERATIONS) +
           generations_bytes() + GY_FILE_RANGE_READ_BYTES;
}

void gy_file_table_init(struct gy_file_table *table, void *memory)
{
    *table = (struct gy_file_table){.generations = memory};
    gy_slab_init(&table->operations, (uint8_t *)memory + generations_bytes(),
                 gy_slab_bytes(sizeof(struct gy_file_operation), GY_FILE_OPERATIONS),
                 sizeof(struct gy_file_operation));
    table->unread = (uint8_t *)memory + gy_file_table_bytes() - GY_FILE_RANGE_READ_BYTES;
}

static struct gy_file_operation *take(struct gy_worker *worker)
{
    struct gy_file_table *table = &worker->files;
    struct gy_file_operation *operation = gy_slab_take(&table->operations);
    if (operation != NULL) {
        uint32_t *generation = &table->generations[gy_slab_index(&table->operations, operation)];
        gy_assert(!(*generation & 1));
        ++*generation;
    }
    return operation;
}

static void give(struct gy_worker *worker, struct gy_file_operation *operation)
{
    struct gy_file_table *table = &worker->files;
    uint32_t *generation = &table->generations[gy_slab_index(&table->operations, operation)];
    gy_assert(*generation & 1);
    ++*generation;
    gy_slab_give(&table->operations, operation);
}

/* ---- beginning ---- */

static int queue(struct gy_worker *worker, struct gy_file_operation *operation)
{
    uint32_t slot = gy_slab_index(&worker->files.operations, operation);
    uint64_t token = gy_token(GY_OPERATION_FILE, slot, worker->files.generations[slot]);
    uint64_t position =
        operation->position == GY_FILE_HERE ? GY_FILE_HERE : operation->position + operation->got;
    if (operation->kind == OPEN) {
        return gy_ring_open_beneath(worker->ring, token, operation->descriptor, operation->path);
    }
    if (operation->kind == SYNC) {
        return gy_ring_sync(worker->ring, token, operation->descriptor);
    }
    if (operation->kind == WRITE) {
        return gy_ring_write(worker->ring, token, operation->descriptor,
                             operation->buffer->data + operation->offset + operation->got,
                             operation->bytes - operation->got, position);
    }
    return gy_ring_read(worker->ring, token, operation->descriptor,
                        operation->buffer->data + operation->offset + operation->got,
                        operation->bytes - operation->got, position);
}

struct gy_file_operation *gy_file_open(struct gy_worker *worker, int directory, const char *path,
                                       void (*done)(void *owner, int64_t result), void *owner)
{
    size_t length = strlen(path);
    gy_assert(directory >= 0 && length < GY_FILE_PATH_BYTES && done != NULL);
    struct gy_file_operation *operation = take(worker);
    if (operation == NULL) {
        return NULL;
    }
    operation->done = done;
    operation->owner = owner;
    operation->buffer = NULL;
    operation->position = operation->got = 0;
    operation->descriptor = directory;
    operation->kind = OPEN;
    operation->tries = 0;
    memcpy(operation->path, length > 0 ? path : ".", length > 0 ? length + 1 : 2);
    if (queue(worker, operation) != 0) {
        give(worker, operation);
        return NULL;
    }
    return operation;
}

/* Reads or writes. */
static struct gy_file_operation *transfer(struct gy_worker *worker, enum kind kind, int descriptor,
                                          struct gy_buffer *buffer, uint32_t offset, uint32_t bytes,
                                          uint64_t position,
                                          void (*done)(void *owner, int64_t result), void *owner)
{
    gy_assert(descriptor >= 0 && bytes > 0 && done != NULL);
    gy_assert(offset <= buffer->capacity && bytes <= buffer->capacity - offset);
    struct gy_file_operation *operation = take(worker);
    if (operation == NULL) {
        return NULL;
    }
    operation->done = done;
    operation->owner = owner;
    operation->buffer = buffer;
    operation->offset = offset;
    operation->bytes = bytes;
    operation->got = 0;
    operation->position = position;
    operation->descriptor = descriptor;
    operation->kind = (uint8_t)kind;
    if (queue(worker, operation) != 0) {
        give(worker, operation);
        return NULL;
    }
    gy_buffer_hold(buffer);
    return operation;
}

struct gy_file_operation *gy_file_read(struct gy_worker *worker, int descriptor,
                                       struct gy_buffer *buffer, uint32_t offset, uint32_t bytes,
                                       uint64_t position, void (*done)(void *owner, int64_t result),
                                       void *owner)
{
    return transfer(worker, READ, descriptor, buffer, offset, bytes, position, done, owner);
}

struct gy_file_operation *gy_file_write(struct gy_worker *worker, int descriptor,
                                        struct gy_buffer *buffer, uint32_t offset, uint32_t bytes,
                                        uint64_t position,
                                        void (*done)(void *owner, int64_t result), void *owner)
{
    return transfer(worker, WRITE, descriptor, buffer, offset, bytes, position, done, owner);
}

struct gy_file_operation *gy_file_sync(struct gy_worker *worker, int descriptor,
                                       void (*done)(void *owner, int64_t result), void *owner)
{
    gy_assert(descriptor >= 0 && done != NULL);
    struct gy_file_operation *operation = take(worker);
    if (operation == NULL) {
        return NULL;
    }
    operation->done = done;
    operation->owner = owner;
    operation->buffer = NULL;
    operation->position = operation->got = 0;
    operation->descriptor = descriptor;
    operation->kind = SYNC;
    if (queue(worker, operation) != 0) {
        give(worker, operation);
        return NULL;
    }
    return operation;
}

void gy_file_forget(struct gy_file_operation *operation)
{
    gy_assert(operation->done != NULL);
    operation->done = NULL;
}

void gy_file_close(struct gy_worker *worker, int descriptor)
{
    gy_worker_close_descriptor(worker, descriptor);
}

/* ---- completing ---- */

static void finish(struct gy_worker *worker, struct gy_file_operation *operation, int64_t result)
{
    struct gy_file_table *table = &worker->files;
    operation->result = result;
    operation->next_done = NULL;
    if (table->done_head == NULL) {
        table->done_head = operation;
    } else {
        table->done_tail->next_done = operation;
    }
    table->done_tail = operation;
}

static void opened(struct gy_worker *worker, struct gy_file_operation *operation, int32_t result)
{
    bool again = result == -EAGAIN || result == -EINTR;
    if (again && operation->done != NULL && ++operation->tries < OPEN_TRIES &&
        queue(worker, operation) == 0) {
        return;
    }
    finish(worker, operation, result);
}

static void synced(struct gy_worker *worker, struct gy_file_operation *operation, int32_t result)
{
    if (result == -EINTR && operation->done != NULL && queue(worker, operation) == 0) {
        return;
    }
    finish(worker, operation, result);
}

/* Of what is being read or written. */
static void transferred(struct gy_worker *worker, struct gy_file_operation *operation,
                        int32_t result)
{
    if (result > 0) {
        operation->got += (uint32_t)result;
        gy_assert(operation->got <= operation->bytes);
    }
    bool more = result > 0 ? operation->got < operation->bytes : result == -EINTR;
    if (!more || operation->done == NULL) {
        bool stuck = result == 0 && operation->kind == WRITE;
        finish(worker, operation, result < 0 ? result : stuck ? -EIO : (int64_t)operation->got);
    } else if (queue(worker, operation) != 0) {
        finish(worker, operation, -ENOBUFS);
    }
}

bool gy_file_completed(struct gy_worker *worker, const struct gy_completion *completion)
{
    struct gy_file_table *table = &worker->files;
    uint32_t slot = gy_token_slot(completion->token);
    uint32_t generation = gy_token_generation(completion->token);
    if (slot >= table->operations.fresh || !(generation & 1) ||
        table->generations[slot] != generation) {
        return false;
    }
    struct gy_file_operation *operation = gy_slab_at(&table->operations, slot);
    if (operation->kind == OPEN) {
        opened(worker, operation, completion->result);
    } else if (operation->kind == SYNC) {
        synced(worker, operation, completion->result);
    } else {
        transferred(worker, operation, completion->result);
    }
    return true;
}

static void conclude(struct gy_worker *worker, struct gy_file_operation *operation)
{
    void (*done)(void *, int64_t) = operation->done;
    void *owner = operation->owner;
    int64_t result = operation->result;
    struct gy_buffer *buffer = operation->buffer;
    if (done == NULL && operation->kind == OPEN && result >= 0) {
        gy_file_close(worker, (int)result);
    }
    give(worker, operation);
    if (done != NULL) {
        done(owner, result);
    }
    if (buffer != NULL) {
        gy_buffer_drop(buffer);
    }
}

void gy_file_run(struct gy_worker *worker)
{
    struct gy_file_table *table = &worker->files;
    while (table->done_head != NULL) {
        struct gy_file_operation *operation = table->done_head;
        table->done_head = operation->next_done;
        conclude(worker, operation);
    }
}

/* ---- status ---- */

static int64_t nanoseconds(struct statx_timestamp time)
{
    return (int64_t)((uint64_t)time.tv_sec * 1000000000u + time.tv_nsec);
}

int gy_file_status(int descriptor, struct gy_file_status *status)
{
    struct statx found;
    if (statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &found) != 0) {
        return -errno;
    }
    *status = (struct gy_file_status){
        .bytes = found.stx_size,
        .inode = found.stx_ino,
        .modified_ns = nanoseconds(found.stx_mtime),
        .changed_ns = nanoseconds(found.stx_ctime),
        .device_major = found.stx_dev_major,
        .device_minor = found.stx_dev_minor,
        .mode = found.stx_mode,
    };
    /* O_NONBLOCK was for the opening. On a regular file it would have the ring give a cold read
     * back (EAGAIN) where the file system cannot say by itself that it would block. */
    if (S_ISREG(found.stx_mode) && fcntl(descriptor, F_SETFL, 0) != 0) {
        return -errno;
    }
    return 0;
}

bool gy_file_same(const struct gy_file_status *a, const struct gy_file_status *b)
{
    return a->bytes == b->bytes && a->inode == b->inode && a->modified_ns == b->modified_ns &&
           a->changed_ns == b->changed_ns && a->device_major == b->device_major &&
           a->device_minor == b->device_minor && a->mode == b->mode;
}

int gy_file_open_directory(const char *path, struct gy_error *error)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        return descriptor;
    }
    int cause = errno;
    int code = gy_file_check_directory("serving files from", path, R_OK, error);
    return code != 0 ? code
                     : gy_error_set(error, gy_error_from_errno(cause),
                                    "serving files from %.512s: %s", path, strerror(cause));
}
