/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_FILE_CACHE_H
#define GY_SERVERS_HTTP_FILE_CACHE_H

/*
 * What one worker knows of the files below a directory: by path, what is there, and where it fits,
 * the content itself. One worker's; bounded in entries, bytes and descriptors.
 *
 * An entry is good for GY_FILE_FRESH_MS after it was looked at. Asked for later, the path is opened
 * again (so that a file that was replaced by renaming shows) and what is there is compared: the
 * same file keeps its content. Those who ask meanwhile wait. What is not there is remembered as
 * well.
 *
 * Contents are snapshots: an answer that is being sent holds the one it began with, whatever
 * becomes of the entry. Up to GY_FILE_CHUNK_BYTES are read into memory at once; larger ones,
 * up to a sixteenth of the cache, when they are asked for again within the entry's life; all others
 * are an open descriptor that each answer reads from by itself.
 *
 * Eviction is CLOCK: an entry that was asked for since the hand passed stays for one more round; so
 * what is asked for once never drives out what is asked for often.
 */

#include <sys/queue.h>

#include "../../core/file.h"
#include "../../core/worker.h"
#include "conditional.h"
#include "file_memory.h"
#include "file_path.h"

/* A changed file shows within a second: less what a request takes. */
#define GY_FILE_FRESH_MS 900

#define GY_FILE_ETAG_BYTES 56

enum gy_file_kind {
    GY_FILE_UNKNOWN, /* not looked at yet */
    GY_FILE_REGULAR,
    GY_FILE_DIRECTORY,
    GY_FILE_MISSING, /* nothing there, or it leads out of the directory */
    GY_FILE_REFUSED, /* no permission, or neither a file nor a directory */
    GY_FILE_FAILED,  /* an error of this host: try later. Never remembered */
};

struct gy_file_cache;
struct gy_coded;

/* One state of one file. Immutable once it is in an entry, but for its codings. */
struct gy_file_content {
    struct gy_file_cache *cache;
    struct gy_file_block *blocks; /* the whole, in order, each full but the last; or NULL */
    struct gy_file_block *last;
    struct gy_file_status status;
    uint64_t loaded; /* bytes in blocks */
    uint32_t refs;
    int descriptor; /* to read from where it is not whole; -1 */
    bool whole;
    bool sendable;     /* the open file, by its pages in the kernel's cache (core/file_range.h) */
    bool stale;        /* an answer found that the file is not this any more */
    uint8_t uncodable; /* codings that make it no smaller, a bit for each */
    struct gy_coded *coded[GY_CODING_COUNT]; /* what was made, or is being made, of it */
    uint8_t etag_length;
    char etag[GY_FILE_ETAG_BYTES];
    char modified[GY_HTTP_DATE_BYTES];
};

/* Somebody who waits for an entry; part of the owner. */
struct gy_file_waiter {
    TAILQ_ENTRY(gy_file_waiter) link;
    struct gy_file_entry *entry; /* NULL: waits for nothing */
    void (*ready)(struct gy_file_waiter *waiter);
};

TAILQ_HEAD(gy_file_waiters, gy_file_waiter);

struct gy_file_entry {
    struct gy_file_cache *cache;
    struct gy_file_entry *next; /* of the same hash, or free */
    struct gy_file_block *key;  /* NULL: free */
    struct gy_file_content *content;
    struct gy_file_content *loading_content;
    struct gy_file_waiters waiters;
    uint64_t checked_ms;     /* when the look began that told what is known */
    uint64_t started_ms;     /* of the look under way */
    uint64_t whole_after_ms; /* memory was short: not before that */
    uint32_t hash;
    uint32_t asked;   /* bodies served, while it is not whole */
    int descriptor;   /* of the look under way */
    uint8_t kind;     /* enum gy_file_kind */
    uint8_t attempts; /* of the look under way: the file changed while it was read */
    bool loading;
    bool used;        /* since the hand passed */
    bool unsettled;   /* changed so lately that another change might not show in its times */
    bool wants_whole; /* the look under way is to bring the content into memory */
};

struct gy_file_cache_counters {
    uint64_t hits, looks, reloads, evictions, refused;
};

struct gy_file_cache {
    struct gy_worker *worker;
    int root;
    struct gy_file_memory memory;
    struct gy_file_entry *entries;
    struct gy_file_entry **buckets;
    struct gy_file_entry *free;
    struct gy_slab contents;
    void *contents_memory;
    uint32_t entries_max; /* a power of two; buckets are as many */
    uint32_t fresh;
    uint32_t hand;
    uint32_t loading;
    uint32_t descriptors; /* kept open by contents */
    uint32_t descriptors_max;
    uint64_t large_bytes; /* the most that is kept in memory of one file */
    struct gy_file_cache_counters counters;
    /* A content goes, whose codings are to go with it. NULL: there are none. */
    void (*gone)(struct gy_file_content *content);
};

struct gy_file_cache_options {
    uint64_t bytes;           /* of contents and keys */
    uint32_t entries;         /* a power of two */
    uint32_t descriptors_max; /* kept open for large files */
};

/* `root` outlives it. 0 or GY_ENOMEM. */
int gy_file_cache_open(struct gy_file_cache *cache, struct gy_worker *worker, int root,
                       const struct gy_file_cache_options *options);

/* When no look is under way and nobody holds a content. */
void gy_file_cache_close(struct gy_file_cache *cache);

/*
 * What is at `key` (`length` bytes and a zero). 0: *entry is good until control goes back to the
 * worker; take what you need. GY_EAGAIN: it is being looked at; wait for *entry, and ask again. A
 * look that began at `since_ms` or later is good enough in any case (0: none has). GY_ENOBUFS: no
 * room to look.
 */
int gy_file_cache_get(struct gy_file_cache *cache, const char *key, uint32_t length,
                      uint64_t since_ms, struct gy_file_entry **entry);

void gy_file_cache_wait(struct gy_file_entry *entry, struct gy_file_waiter *waiter);
void gy_file_cache_wait_not(struct gy_file_waiter *waiter);

/* A body of this entry is served: what is asked for often is brought into memory. */
static inline void gy_file_cache_served(struct gy_file_entry *entry)
{
    entry->asked += entry->asked < UINT32_MAX;
}

static inline void gy_file_content_hold(struct gy_file_content *content)
{
    gy_assert(content->refs > 0);
    content->refs++;
}

void gy_file_content_drop(struct gy_file_content *content);

/* A content of nothing yet, with the validators that `status` gives, held once. NULL: there are as
 * many as there can be. */
struct gy_file_content *gy_file_content_new(struct gy_file_cache *cache,
                                            const struct gy_file_status *status);

#endif
