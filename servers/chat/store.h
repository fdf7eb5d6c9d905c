/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_STORE_H
#define GY_SERVERS_CHAT_STORE_H

/*
 * The store of one chat server, as its workers see it: jobs go in, and come back on the thread of
 * the worker that gave them. protocols/chat/store.h says what jobs promise.
 *
 * A store in a file is a thread of its own with a SQLite database (store_db.h). Each worker has a
 * bounded queue to it; all jobs that wait are done in one transaction (group commit), and go back
 * together. The file is locked for one process. A process that takes over from another one of its
 * supervisor waits until that one has ended its chat: until then the store is not ready, and
 * nothing should be read from clients. For any other process it waits ten seconds, before it
 * serves, and then does not start.
 *
 * A store of memory alone (without a path) is ready at once, answers within the turn, keeps a
 * bounded history, and forgets all of it when the process ends.
 */

#include <stdatomic.h>

#include "../../core/worker.h"
#include "bans.h"
#include "store_db.h"

struct gy_chat_store;

#define GY_CHAT_STORE_WORKERS_MAX 1024

/* Jobs of one worker that are with the thread at most; a power of two. */
#define GY_CHAT_STORE_JOBS 4096

/* What memory alone keeps of a room where the retention does not say less. */
#define GY_CHAT_MEMORY_MESSAGES 1000

struct gy_chat_store_options {
    const char *path; /* NULL: memory alone */
    bool supervised;  /* of this process: see holder.h */
    struct gy_chat_retention retention;
    uint32_t workers;
};

/* What the thread counts. */
struct gy_chat_store_counts {
    _Atomic uint64_t jobs;
    _Atomic uint64_t transactions;
    _Atomic uint64_t failures; /* jobs that the disk failed */
    _Atomic uint64_t pruned;   /* messages taken away by the retention */
    _Atomic uint64_t jobs_max; /* in one transaction */
};

/* Neither opens the file nor starts the thread. 0 or GY_ENOMEM. */
int gy_chat_store_make(struct gy_chat_store **store, const struct gy_chat_store_options *options,
                       struct gy_error *error);

/* NULL is allowed. All workers have left. */
void gy_chat_store_free(struct gy_chat_store *store);

/* What a worker is told, on its thread. */
struct gy_chat_store_user {
    struct gy_worker *worker;
    void *context;
    void (*ready)(void *context); /* jobs are taken from now on; tokens can be made */
    void (*done)(void *context, struct gy_chat_job *job);
};

/* On the worker's thread. The first one opens the file and starts the thread: 0, or what
 * gy_chat_db_open() said, but for GY_EAGAIN, which means waiting; GY_EREFUSED: a process that is
 * none of the supervisor's has the file, and kept it for ten seconds, which this call took; or
 * GY_EINVAL: this very process has. After an error the worker has not joined. */
int gy_chat_store_join(struct gy_chat_store *store, const struct gy_chat_store_user *user,
                       struct gy_error *error);

/* On the worker's thread. Waits until all of its jobs have come back, and what they lead to. The
 * last one ends the thread. */
void gy_chat_store_leave(struct gy_chat_store *store, struct gy_worker *worker);

/* The worker has no more jobs: while all say so, the file is given up for good, for the process
 * that takes over. A job that is submitted takes it back; one that is too late gets GY_EAGAIN. */
void gy_chat_store_release(struct gy_chat_store *store, struct gy_worker *worker);

/* Takes a job, which comes back by `done`: with GY_EAGAIN when the queue is full. */
void gy_chat_store_submit(struct gy_chat_store *store, struct gy_worker *worker,
                          struct gy_chat_job *job);

/* Hands out what can be answered without waiting. False: there was nothing. */
bool gy_chat_store_collect(struct gy_chat_store *store, struct gy_worker *worker);

/* Once it is ready: the key that tokens are made with. */
const uint8_t *gy_chat_store_secret(const struct gy_chat_store *store);

/* Likewise: who is banned; the store has read them, and who changes them changes the store. */
struct gy_chat_bans *gy_chat_store_bans(const struct gy_chat_store *store);

const struct gy_chat_store_counts *gy_chat_store_counts(const struct gy_chat_store *store);

/* ---- memory alone (store_memory.c); any thread ---- */

struct gy_chat_memory;

/* NULL: no memory. */
struct gy_chat_memory *gy_chat_memory_make(const struct gy_chat_retention *retention);
void gy_chat_memory_free(struct gy_chat_memory *memory);
void gy_chat_memory_run(struct gy_chat_memory *memory, struct gy_chat_job *job);

#endif
