/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_COMPRESS_CACHE_H
#define GY_SERVERS_HTTP_COMPRESS_CACHE_H

/*
 * What one worker made of files in content codings, and what is being made.
 *
 * A coding belongs to one state of one file: a struct gy_file_content of the file cache has a place
 * for each. So what was made goes when the file changes, or when the file cache gives its entry up,
 * and a look at the file is a look at its codings. It is itself a content, in memory, whole, with
 * an entity tag of its own: it is answered as any file is.
 *
 * Compressing is done by one helper thread of the worker (core/helper.h), at a lower priority than
 * the workers have and on whatever processor the process may use, one file after the other. A file
 * is compressed once, however many ask meanwhile; they wait. What is waited for has bounds: at most
 * GY_CODED_JOBS_MAX files, GY_CODED_QUEUE_BYTES_MAX of them together (about a tenth of a second of
 * work at the default levels). Past that, and where there is no memory, GY_ENOBUFS: send the file
 * as it is.
 *
 * Memory: what is kept counts against `bytes_max`, also while peers are still being sent what was
 * given up; the least recently asked for goes first. Besides that, at most the queue's bytes are
 * filled by the helper at a time, and what one encoder takes (encoder.h).
 */

#include <sys/queue.h>

#include "../../core/helper.h"
#include "file_cache.h"
#include "http_metrics.h"

/* Longer files are not made as a whole, whatever the cache's size. */
#define GY_CODED_FILE_BYTES_MAX  (4u << 20)
#define GY_CODED_QUEUE_BYTES_MAX (8u << 20)
#define GY_CODED_JOBS_MAX        64

/* Jobs of others that the helper has room for: streams. */
#define GY_CODED_STREAMS_MAX 8

struct gy_coded_cache;

struct gy_coded_waiter {
    TAILQ_ENTRY(gy_coded_waiter) link;
    struct gy_coded *coded; /* NULL: waits for nothing */
    void (*ready)(struct gy_coded_waiter *waiter);
};

TAILQ_HEAD(gy_coded_waiters, gy_coded_waiter);

/* One coding of one content. */
struct gy_coded {
    struct gy_helper_job job; /* the first: found by it */
    struct gy_coded_cache *cache;
    struct gy_file_content *source;  /* held while it is made; it lives no longer than that */
    struct gy_file_content *content; /* NULL: is being made */
    TAILQ_ENTRY(gy_coded) used;
    struct gy_coded_waiters waiters;
    uint8_t coding, level;

    /* The helper's. */
    struct gy_file_block *block;
    int result;
};

TAILQ_HEAD(gy_coded_list, gy_coded);

struct gy_coded_cache {
    struct gy_worker *worker;
    struct gy_helper *helper;          /* NULL: nothing was made yet */
    struct gy_compress_counts *counts; /* where it counts: the server's */
    struct gy_coded_list used;         /* the least recently asked for first */
    uint64_t bytes, bytes_max;
    uint64_t queued_bytes;
    uint32_t jobs;
    uint32_t streams; /* compress_stream.c */
    uint64_t file_bytes_max;
};

/* `counts` is to be set before anything else is called. */
void gy_coded_cache_open(struct gy_coded_cache *cache, struct gy_worker *worker,
                         uint64_t bytes_max);

/* When nothing is being made, and before the file cache is closed. Stops the helper. */
void gy_coded_cache_close(struct gy_coded_cache *cache);

/* Starts the helper if there is none. False, having said why: it could not be started. */
bool gy_coded_cache_help(struct gy_coded_cache *cache);

/*
 * `source` (of a file cache whose `gone` is gy_coded_gone; at most file_bytes_max long) in a
 * coding. 0: *content is it, good until control goes back to the worker; hold it to keep it.
 * GY_EAGAIN: it is being made: wait, and ask again. GY_ENOTSUP: it would be no smaller. GY_ENOBUFS:
 * no room now.
 */
int gy_coded_get(struct gy_coded_cache *cache, struct gy_file_content *source,
                 enum gy_coding coding, uint8_t level, struct gy_file_content **content);

/* Waits for what gy_coded_get() said is being made. `ready` is called from the worker's loop. */
void gy_coded_wait(struct gy_file_content *source, enum gy_coding coding,
                   struct gy_coded_waiter *waiter);
void gy_coded_wait_not(struct gy_coded_waiter *waiter);

/* The last holder of a content drops it. */
void gy_coded_gone(struct gy_file_content *source);

/* The calling thread, a helper, stands back behind the workers. Cheap when it has before. */
void gy_coded_stand_back(void);

#endif
