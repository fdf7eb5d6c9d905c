/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Directories without index.html: read and written as a page by a helper thread, then answered. */

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

/* Pages that peers have not yet taken, all together. */
#define PAGES_BYTES_MAX (64u << 20)

struct gy_listing_job {
    struct gy_helper_job job; /* the first: found by it */
    struct gy_buffer buffer;  /* of the page; holds the job */
    struct gy_files_worker *files;
    struct gy_files_request *request; /* NULL: gone */
    int root;
    struct gy_listing_order order;
    atomic_bool forgotten; /* nobody waits any more: no need to read the directory */
    int failed;            /* errno */
    char *page;
    size_t page_bytes;
    bool answered; /* the page counts among those on their way */
    char key[GY_FILE_KEY_BYTES];
};

/* The last slice of the page is sent, or there was none. */
static void job_release(struct gy_buffer *buffer)
{
    struct gy_listing_job *job =
        (struct gy_listing_job *)(void *)((char *)buffer - offsetof(struct gy_listing_job, buffer));
    if (job->answered) {
        job->files->page_bytes -= job->page_bytes;
    }
    free(job->page);
    free(job);
}

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
    if (job->page_bytes > UINT32_MAX ||
        job->files->page_bytes + job->page_bytes > PAGES_BYTES_MAX) {
        gy_files_answer_error(exchange, 503, NULL);
        return;
    }
    job->answered = true;
    job->files->page_bytes += job->page_bytes;
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
    job->buffer = (struct gy_buffer){.data = (uint8_t *)job->page,
                                     .capacity = (uint32_t)job->page_bytes,
                                     .refs = 1,
                                     .release = job_release};
    if (job->request != NULL) {
        job->request->listing = NULL;
        answer(job->request->exchange, job);
    }
    gy_buffer_drop(&job->buffer);
}

void gy_files_answer_listing(struct gy_http_exchange *exchange, const struct gy_file_path *path)
{
    struct gy_files_worker *own = gy_files_worker_of(exchange);
    struct gy_files_request *request = gy_files_request_of(exchange);
    struct gy_listing_job *job = calloc(1, sizeof *job);
    struct gy_error error;
    if (own->helper == NULL && gy_helper_open(&own->helper, own->worker, JOBS_MAX, &error) != 0) {
        gy_log_limited(GY_LOG_WARN, "http", "listing a directory: %s", error.message);
    }
    if (job == NULL || request == NULL || own->helper == NULL) {
        free(job);
        gy_files_answer_error(exchange, 503, NULL);
        return;
    }
    *job = (struct gy_listing_job){
        .job = {.run = list, .done = listed},
        .files = own,
        .request = request,
        .root = own->files->root,
        .order = gy_listing_order_of(path->query),
    };
    memcpy(job->key, path->key, path->length + 1);
    if (gy_helper_submit(own->helper, &job->job) != 0) {
        free(job);
        struct gy_http_header retry = GY_HTTP_HEADER("Retry-After", "1");
        gy_files_answer_error(exchange, 503, &retry);
        return;
    }
    request->listing = job;
}

void gy_files_listing_forget(struct gy_files_request *request)
{
    if (request->listing != NULL) {
        request->listing->request = NULL;
        atomic_store_explicit(&request->listing->forgotten, true, memory_order_relaxed);
        request->listing = NULL;
    }
}
