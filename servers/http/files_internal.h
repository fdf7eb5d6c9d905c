/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_FILES_INTERNAL_H
#define GY_SERVERS_HTTP_FILES_INTERNAL_H

/* What files.c (which answer), files_send.c (its body), files_compress.c (the same in a coding made
 * here) and files_listing.c share. */

#include "../../core/file_range.h"
#include "compress_cache.h"
#include "compress_stream.h"
#include "conditional.h"
#include "file_cache.h"
#include "files.h"
#include "mime.h"

/* Looks that one request waits for: each of them can be at its path, at index.html, at the coded
 * ones, at an error page; a path that never stops changing must not keep it for ever. */
#define GY_FILES_WAITS_MAX 24

/* Of the one field that an error's answer has besides, while its page is looked at. */
#define GY_FILES_EXTRA_BYTES 64

/* From so many bytes on, what is sent of a file goes by reference to the page cache, and a file is
 * not read into memory for that; and so many make one range. */
#define GY_FILES_RANGE_LEAST 65536
#define GY_FILES_RANGE_BYTES (1u << 26)

/* Blocks read ahead of a peer. */
#define GY_FILES_WINDOWS 2

/* The head of one part of a multipart body, or its end. */
#define GY_FILES_PART_BYTES 320

struct gy_files_window {
    struct gy_file_block *block;
    uint32_t length; /* bytes read into it; 0: being read */
    uint32_t taken;  /* of them, handed over */
};

/* A request that could not be answered from memory at once: it waits, or its body is pulled. It
 * outlives its exchange while a read is in flight, or a block is on its way to the peer. */
struct gy_files_request {
    struct gy_file_waiter waiter; /* the first: found by it */
    struct gy_files_worker *files;
    struct gy_http_exchange *exchange; /* NULL: gone */
    uint64_t since_ms;
    uint32_t waits;
    bool starved;
    TAILQ_ENTRY(gy_files_request) starved_link;
    struct gy_listing_job *listing; /* whose page it waits for */
    TAILQ_ENTRY(gy_files_request) listing_link;
    uint16_t error_status; /* whose page is waited for; 0: none */
    struct gy_http_text extra_name;
    struct gy_coded_waiter coding;
    uint32_t coding_waits;
    struct gy_coding_stream *stream; /* the body, where it is compressed as it is sent */

    /* The body: parts of one content. */
    struct gy_file_content *content;
    struct gy_ranges parts;
    const char *type; /* of a part */
    bool multipart;
    uint32_t part; /* being sent */
    uint64_t sent; /* bytes of it */
    char extra_value[GY_FILES_EXTRA_BYTES];
    uint32_t extra_bytes;
    char head[GY_FILES_PART_BYTES];
    uint32_t head_bytes, head_sent;
    struct gy_file_block *block; /* of a whole content: where the last piece came from */
    uint64_t block_start;

    /* Reading ahead. */
    struct gy_files_window windows[GY_FILES_WINDOWS];
    uint32_t window_count;
    uint32_t read_part;
    uint64_t read_bytes; /* of that part, begun to read */
    uint32_t reading_bytes;
    bool reading;
    bool throttled; /* memory is short: nothing more before a block of its own comes back */
    uint32_t held;  /* blocks: windows, and what of them is on its way to the peer; and the range */

    /* In place of reading: the one part that is sent, or GY_FILES_RANGE_BYTES of it. */
    struct gy_file_range range;
    uint64_t range_sent; /* bytes of the part before it */
    bool by_range;       /* the body is sent so */
    bool range_held;     /* there is one, and it is this request's to give slices of */
    bool range_awaited;  /* the next begins when the last slice of this one is gone */
    int failed;
};

TAILQ_HEAD(gy_files_requests, gy_files_request);
TAILQ_HEAD(gy_listing_waiters, gy_files_request);
TAILQ_HEAD(gy_listing_jobs, gy_listing_job);

struct gy_files_worker {
    struct gy_files *files;
    struct gy_worker *worker;
    struct gy_file_cache cache;
    struct gy_coded_cache coded;
    struct gy_file_memory windows;
    struct gy_slab requests;
    void *requests_memory;
    struct gy_files_requests starved; /* want a window */
    struct gy_helper *helper;         /* reads directories; NULL: none was asked for yet */
    struct gy_listing_jobs listings;  /* being read, or kept for those who ask next */
    uint64_t page_bytes;              /* their pages, and those that peers have not yet taken */
    uint32_t users;                   /* listeners */
};

static inline struct gy_files_worker *gy_files_worker_of(const struct gy_http_exchange *exchange)
{
    struct gy_files *files = gy_http_context(exchange);
    return files->workers[gy_http_stream(exchange)->worker->options.number];
}

/* The exchange's request, made if it has none. NULL when there is no room. */
struct gy_files_request *gy_files_request_of(struct gy_http_exchange *exchange);

/* The exchange is gone, and no read is in flight: gives back what it holds, and itself once the
 * last of its blocks has come back. */
void gy_files_request_let_go(struct gy_files_request *request);

/* The last of its blocks has come back as well. */
void gy_files_request_free(struct gy_files_request *request);

/* Answers with an error page: at once, or when it has been looked at. `extra` (may be NULL) is one
 * more field, whose name stays. */
void gy_files_answer_error(struct gy_http_exchange *exchange, uint16_t status,
                           const struct gy_http_header *extra);

/* The page of request->error_status was looked at. */
void gy_files_answer_error_again(struct gy_files_request *request);

/* Answers with the whole content and no more of a head than that needs. False: there is no room to
 * read it, and nothing was done. */
bool gy_files_answer_content(struct gy_http_exchange *exchange, uint16_t status,
                             struct gy_file_content *content, struct gy_mime mime,
                             const struct gy_http_header *extra);

struct gy_files_representation {
    struct gy_file_content *content; /* held by the caller */
    struct gy_mime mime;             /* of the name that was asked for */
    enum gy_coding coding;
    bool varies;   /* by Accept-Encoding */
    bool dynamic;  /* the coding is made here: there are no ranges of it */
    bool streamed; /* and as it is sent, by the request's stream */
};

/* Answers with a file, or what the preconditions say of it. */
void gy_files_answer(struct gy_http_exchange *exchange,
                     const struct gy_files_representation *representation);

/* Answers with a coding made here of a regular file's content, if the client wants one, and there
 * is one. False: send the file as it is. True: it was answered, or waits. */
bool gy_files_answer_compressed(struct gy_http_exchange *exchange, struct gy_file_content *content,
                                const struct gy_mime *mime);

void gy_files_count_compressed(struct gy_files_worker *own, enum gy_coding coding);

/* The pull of a request that has a stream. */
int gy_files_pull_compressed(struct gy_files_request *request, struct gy_chain *out,
                             uint32_t budget);

/* Whether so many bytes of a content are sent by reference to the page cache. */
bool gy_files_goes_by_range(const struct gy_http_exchange *exchange,
                            const struct gy_file_content *content, uint64_t bytes);

/* The handler's pull. */
int gy_files_pull(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget);

/* A window came back. */
void gy_files_window_freed(struct gy_file_memory *memory, void *owner);

/* ---- listings ---- */

/* Answers with a listing of the directory `key`, later. */
void gy_files_answer_listing(struct gy_http_exchange *exchange, const struct gy_file_path *path);

/* The request goes away. */
void gy_files_listing_forget(struct gy_files_request *request);

/* The worker ends; nobody waits and nothing is being read or sent. */
void gy_files_listings_close(struct gy_files_worker *files);

#endif
