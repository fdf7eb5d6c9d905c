/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_FILE_H
#define GY_CORE_FILE_H

/*
 * Files, without ever waiting for a disk: opening beneath a directory, reading, writing and syncing
 * go through the worker's ring, where what is in the kernel's caches completes at once and the rest
 * on the kernel's own threads.
 *
 * An operation is begun by gy_file_open(), _read(), _write() or _sync(), and `done` is called for
 * it exactly once, in a later turn, after that turn's completions were drained and before sessions
 * run; never from within the call that begins it. An owner that goes away first calls
 * gy_file_forget(): then `done` is not called, and what the operation brings is given back.
 *
 * Operations come from a slab of the worker with a bound, GY_FILE_OPERATIONS; past it, and while
 * the ring is full, beginning one returns NULL: answer that there is no room now.
 *
 * All calls are for the owning worker's thread. A worker does not end before its file operations
 * have.
 */

#include <stdbool.h>
#include <stdint.h>

#include "slab.h"
#include "slice.h"

struct gy_completion;
struct gy_worker;

/* Operations that a worker can have in flight. */
#define GY_FILE_OPERATIONS 4096

/* As a position: where the descriptor stands, as read(2) and write(2) do; for pipes and terminals,
 * too. */
#define GY_FILE_HERE UINT64_MAX

/* The longest path, its final zero included, in bytes: as long as the kernel takes. */
#define GY_FILE_PATH_BYTES 4096

struct gy_file_status {
    uint64_t bytes;
    uint64_t inode;
    int64_t modified_ns; /* since 1970; its content changed last */
    int64_t changed_ns;  /* its content or its inode changed last */
    uint32_t device_major, device_minor;
    uint32_t mode; /* type and permissions, as in stat(2) */
};

struct gy_file_operation;

/* The state of one worker's operations; worker.c keeps it. */
struct gy_file_table {
    struct gy_slab operations;
    uint32_t *generations; /* by slot; odd while the slot is in use */
    uint8_t *unread;       /* what is read for the page cache's sake alone (file_range.h) */
    struct gy_file_operation *done_head, *done_tail;
};

/*
 * Opens `path` for reading, beneath `directory`: nothing that the path names, no "..", no symbolic
 * link, leads out of it (RESOLVE_BENEATH of openat2(2)). A FIFO does not block, a terminal does not
 * become the controlling one. "" is the directory itself. The path (shorter than
 * GY_FILE_PATH_BYTES) is copied.
 *
 * `result` of `done`: a descriptor, the owner's to close with gy_file_close(), or a negative errno:
 * ENOENT, ENOTDIR, EACCES; EXDEV (it led out), ELOOP; EMFILE, ENFILE.
 */
struct gy_file_operation *gy_file_open(struct gy_worker *worker, int directory, const char *path,
                                       void (*done)(void *owner, int64_t result), void *owner);

/*
 * Reads `bytes` (> 0) at `position` of the file into `buffer` at `offset`. The operation holds the
 * buffer until it is over. Short reads are continued, so that fewer bytes mean the end of the file.
 * The descriptor stays open until `done`, and must not be closed before even where the operation is
 * forgotten, unless by gy_file_close().
 *
 * `result` of `done`: bytes read, or a negative errno.
 */
struct gy_file_operation *gy_file_read(struct gy_worker *worker, int descriptor,
                                       struct gy_buffer *buffer, uint32_t offset, uint32_t bytes,
                                       uint64_t position, void (*done)(void *owner, int64_t result),
                                       void *owner);

/*
 * Writes `bytes` (> 0) of `buffer` from `offset` on, at `position` of the file. As gy_file_read();
 * short writes are continued.
 *
 * `result` of `done`: `bytes`, or a negative errno (ENOSPC, EDQUOT, EFBIG, EIO), after which a part
 * may have been written.
 */
struct gy_file_operation *gy_file_write(struct gy_worker *worker, int descriptor,
                                        struct gy_buffer *buffer, uint32_t offset, uint32_t bytes,
                                        uint64_t position,
                                        void (*done)(void *owner, int64_t result), void *owner);

/*
 * Waits until what was written to the file, or the names that were changed in the directory, are on
 * the disk, as fsync(2) does. Covers what was written by operations that are done.
 *
 * `result` of `done`: 0, or a negative errno.
 */
struct gy_file_operation *gy_file_sync(struct gy_worker *worker, int descriptor,
                                       void (*done)(void *owner, int64_t result), void *owner);

/* The owner goes away: `done` is not called. */
void gy_file_forget(struct gy_file_operation *operation);

/* Closes, by the ring, behind whatever was queued for the descriptor. */
void gy_file_close(struct gy_worker *worker, int descriptor);

/*
 * What an open file is. Answered from the inode that the open descriptor keeps in memory
 * (AT_STATX_DONT_SYNC), which no disk and no network is asked for: so it is a plain call of some
 * hundred nanoseconds, where the ring would hand it to a thread every time. A regular file is also
 * made fit for reading by the ring. 0, or a negative errno.
 */
int gy_file_status(int descriptor, struct gy_file_status *status);

/* Whether they tell the same, unchanged file. */
bool gy_file_same(const struct gy_file_status *a, const struct gy_file_status *b);

/* Opens a directory to serve from; blocks, for set-up. A descriptor, or a negative GY_E… code with
 * a sentence: it does not exist, is no directory, or may not be read. */
struct gy_error;
int gy_file_open_directory(const char *path, struct gy_error *error);

/* ---- for core/worker ---- */

size_t gy_file_table_bytes(void);
void gy_file_table_init(struct gy_file_table *table, void *memory);

/* Puts a completion where gy_file_run() finds it. False when it belongs to no operation. */
bool gy_file_completed(struct gy_worker *worker, const struct gy_completion *completion);

/* Calls `done` for what has completed. */
void gy_file_run(struct gy_worker *worker);

#endif
