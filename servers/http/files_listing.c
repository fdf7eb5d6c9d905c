/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Directories without index.html: read and written as a page by a helper thread, then answered.
 *
 * A page is kept for as long as an entry of the file cache is good, so that those who ask meanwhile
 * share one reading, and those who ask at the same moment wait for the same one. */

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/helper.h"
#include "core/log.h"
#include "servers/http/conditional.h"
#include "servers/http/files_internal.h"
#include "servers/http/listing.h"

#define NAMES_MAX 10000
#define JOBS_MAX  16

/* Pages that nobody is being sent, but that are good for others. */
#define KEPT_MAX       32
#define KEPT_BYTES_MAX (4u << 20)

/* Pages in memory, all together: those that peers have not yet taken besides. */
#define PAGES_BYTES_MAX (64u << 20)

struct gy_listing_job {
    struct gy_helper_job job; /* the first: found by it */
    struct gy_buffer buffer;  /* of the page; holds the job */
    struct gy_files_worker *files;
    TAILQ_ENTRY(gy_listing_job) link; /* in files->listings, the newest first */
    bool linked;
    bool read; /* the helper is done with it */
    uint64_t began_ms;
    struct gy_listing_waiters waiters;
    int root;
    struct gy_listing_order order;
    atomic_bool forgotten; /* nobody waits any more: no need to read the directory */
    int failed;            /* errno */
    char *page;
    size_t page_bytes; /* counted among those in memory once it is read */
    char key[GY_FILE_KEY_BYTES];
};

/* The last slice of the page is sent, and it is not kept. */
static void job_release(struct gy_buffer *buffer)
{
    struct gy_listing_job *job =
        (struct gy_listing_job *)(void *)((char *)buffer - offsetof(struct gy_listing_job, buffer));
    job->files->page_bytes -= job->page_bytes;
    free(job->page);
    free(job);
}

/* ---- those that are kept ---- */

static void unlink_job(struct gy_listing_job *job)
{
    if (job->linked) {
        job->linked = false;
        TAILQ_REMOVE(&job->files->listings, job, link);
    }
}

static void keep_no_longer(struct gy_listing_job *job)
{
    unlink_job(job);
    gy_buffer_drop(&job->buffer);
}

/* Makes room for one that was just put first. */
static void keep_within_bounds(struct gy_files_worker *files)
{
    size_t bytes = 0;
    uint32_t count = 0;
    struct gy_listing_job *job, *next;
    for (job = TAILQ_FIRST(&files->listings); job != NULL; job = next) {
        next = TAILQ_NEXT(job, link);
        if (!job->read) {
            continue; /* bounded by JOBS_MAX */
        }
        bytes += job->page_bytes;
        if (++count > KEPT_MAX || bytes > KEPT_BYTES_MAX ||
            files->worker->now_ms >= job->began_ms + GY_FILE_FRESH_MS) {
            keep_no_longer(job);
        }
    }
}

static bool answers(const struct gy_listing_job *job, const char *key,
                    struct gy_listing_order order)
{
    return job->order.sort == order.sort && job->order.descending == order.descending &&
           strcmp(job->key, key) == 0;
}

/* One of the same question that is being read, or that is good still. */
static struct gy_listing_job *find(struct gy_files_worker *files, const struct gy_file_path *path,
                                   struct gy_listing_order order)
{
    struct gy_listing_job *job = TAILQ_FIRST(&files->listings);
    for (; job != NULL; job = TAILQ_NEXT(job, link)) {
        if (answers(job, path->key, order) &&
            files->worker->now_ms < job->began_ms + GY_FILE_FRESH_MS) {
            return job;
        }
    }
    return NULL;
}

void gy_files_listings_close(struct gy_files_worker *files)
{
    while (!TAILQ_EMPTY(&files->listings)) {
        keep_no_longer(TAILQ_FIRST(&files->listings));
    }
    gy_assert(files->page_bytes == 0);
}

/* ---- reading ---- */

/* On the helper. */
static void list(struct gy_helper_job *base)
{
    struct gy_listing_job *job = (struct gy_listing_job *)base;
    struct gy_directory directory;
    if (atomic_load_explicit(&job->forgotten, memory_order_relaxed)) {
        return;
    }
    int code = gy_directory_read(&directory, job->root, job->key, NAMES_MAX);
    if (code != 0) {
        job->failed = -code;
        return;
    }
    if (gy_listing_render(&directory, job->key, job->order, &job->page, &job->page_bytes) != 0) {
        job->failed = ENOMEM;
    }
    gy_directory_free(&directory);
}

/* It was a directory a moment ago; it may have become anything since. */
static uint16_t status_of(int errno_value)
{
    switch (errno_value) {
    case EACCES:
    case EPERM:
        return 403;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* a symbolic link that leads out */
        return 404;
    default:
        return 503;
    }
}

static void answer(struct gy_http_exchange *exchange, struct gy_listing_job *job)
{
    if (job->failed != 0) {
        gy_files_answer_error(exchange, status_of(job->failed), NULL);
        return;
    }
    /* It has neither tag nor date, but it is there: RFC 9110 §13.1.1 and §13.1.2 on "*". */
    struct gy_validators validators = {.modified_s = GY_DATE_NONE};
    enum gy_precondition precondition = gy_precondition_of(exchange, validators);
    if (precondition == GY_PRECONDITION_NOT_MODIFIED) {
        struct gy_http_header header = GY_HTTP_HEADER("Cache-Control", "no-cache");
        struct gy_http_response response = {.status = 304, .headers = &header, .header_count = 1};
        gy_http_respond(exchange, &response);
        return;
    }
    if (precondition == GY_PRECONDITION_FAILED) {
        gy_files_answer_error(exchange, 412, NULL);
        return;
    }
    static const struct gy_http_header headers[] = {
        {{"Content-Type", 12}, {"text/html; charset=utf-8", 24}},
        {{"Cache-Control", 13}, {"no-cache", 8}},
        {{"Content-Security-Policy", 23}, {GY_LISTING_POLICY, sizeof GY_LISTING_POLICY - 1}},
        {{"X-Content-Type-Options", 22}, {"nosniff", 7}},
    };
    struct gy_http_response response = {
        .status = 200,
        .kind = GY_HTTP_BODY_SLICE,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body.slice = gy_slice_of(&job->buffer, 0, (uint32_t)job->page_bytes),
    };
    gy_http_respond(exchange, &response);
}

static void listed(struct gy_helper_job *base)
{
    struct gy_listing_job *job = (struct gy_listing_job *)base;
    struct gy_files_worker *files = job->files;
    if (job->page_bytes > UINT32_MAX || files->page_bytes + job->page_bytes > PAGES_BYTES_MAX) {
        free(job->page);
        job->page = NULL;
        job->page_bytes = 0;
        job->failed = ENOMEM;
    }
    files->page_bytes += job->page_bytes;
    job->read = true;
    job->buffer.data = (uint8_t *)job->page;
    job->buffer.capacity = (uint32_t)job->page_bytes;
    /* An answer may end its exchange, and with it others that wait here: each leaves the list
     * itself. */
    while (!TAILQ_EMPTY(&job->waiters)) {
        struct gy_files_request *request = TAILQ_FIRST(&job->waiters);
        TAILQ_REMOVE(&job->waiters, request, listing_link);
        request->listing = NULL;
        answer(request->exchange, job);
    }
    if (job->failed != 0 || !job->linked) {
        keep_no_longer(job); /* whether there is room again is asked each time */
    } else {
        keep_within_bounds(files);
    }
}

/* NULL: no memory, or too many are being read. */
static struct gy_listing_job *start(struct gy_files_worker *own, const struct gy_file_path *path,
                                    struct gy_listing_order order)
{
    struct gy_error error;
    if (own->helper == NULL && gy_helper_open(&own->helper, own->worker, JOBS_MAX, &error) != 0) {
        gy_log_limited(GY_LOG_WARN, "http", "listing a directory: %s", error.message);
        return NULL;
    }
    struct gy_listing_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        return NULL;
    }
    *job = (struct gy_listing_job){
        .job = {.run = list, .done = listed},
        .buffer = {.refs = 1, .release = job_release},
        .files = own,
        .linked = true,
        .began_ms = own->worker->now_ms,
        .root = own->files->root,
        .order = order,
    };
    memcpy(job->key, path->key, path->length + 1);
    TAILQ_INIT(&job->waiters);
    if (gy_helper_submit(own->helper, &job->job) != 0) {
        free(job);
        return NULL;
    }
    TAILQ_INSERT_HEAD(&own->listings, job, link);
    return job;
}

void gy_files_answer_listing(struct gy_http_exchange *exchange, const struct gy_file_path *path)
{
    struct gy_files_worker *own = gy_files_worker_of(exchange);
    struct gy_listing_order order = gy_listing_order_of(path->query);
    struct gy_listing_job *job = find(own, path, order);
    if (job != NULL && job->read) {
        answer(exchange, job);
        return;
    }
    struct gy_files_request *request = gy_files_request_of(exchange);
    if (request != NULL && job == NULL) {
        job = start(own, path, order);
    }
    if (request == NULL || job == NULL) {
        struct gy_http_header retry = GY_HTTP_HEADER("Retry-After", "1");
        gy_files_answer_error(exchange, 503, &retry);
        return;
    }
    TAILQ_INSERT_TAIL(&job->waiters, request, listing_link);
    request->listing = job;
}

void gy_files_listing_forget(struct gy_files_request *request)
{
    struct gy_listing_job *job = request->listing;
    if (job == NULL) {
        return;
    }
    TAILQ_REMOVE(&job->waiters, request, listing_link);
    request->listing = NULL;
    if (TAILQ_EMPTY(&job->waiters) && !job->read) {
        atomic_store_explicit(&job->forgotten, true, memory_order_relaxed);
        unlink_job(job); /* who asks now begins anew */
    }
}
