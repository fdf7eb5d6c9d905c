/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/asan.h"
#include "core/descriptor.h"
#include "core/helper.h"
#include "core/log.h"
#include "servers/http/files_internal.h"

#define DEFAULT_CACHE_BYTES  (64u << 20)
#define DEFAULT_WINDOW_BYTES (128u << 20)
#define DEFAULT_ENTRIES      65536
#define DESCRIPTORS_MAX      256
#define REQUESTS_MAX         65536

#define ALLOW "GET, HEAD, OPTIONS"

/* ---- set-up ---- */

int gy_files_open(struct gy_files *files, const struct gy_files_options *options,
                  struct gy_error *error)
{
    *files = (struct gy_files){.options = *options, .root = -1};
    struct gy_files_options *own = &files->options;
    own->cache_bytes = own->cache_bytes != 0 ? own->cache_bytes : DEFAULT_CACHE_BYTES;
    own->window_bytes = own->window_bytes != 0 ? own->window_bytes : DEFAULT_WINDOW_BYTES;
    own->entries = own->entries != 0 ? own->entries : DEFAULT_ENTRIES;
    gy_compress_options_settle(&own->compress);
    int root = gy_file_open_directory(options->directory, error);
    if (root < 0) {
        return root;
    }
    files->root = root;
    if (getrandom(&files->boundary, sizeof files->boundary, 0) != (ssize_t)sizeof files->boundary) {
        files->boundary = UINT64_C(0x6779726567797265) ^ (uint64_t)getpid();
    }
    return 0;
}

void gy_files_close(struct gy_files *files)
{
    gy_descriptor_drop(&files->root);
}

static void worker_free(struct gy_files_worker *own)
{
    if (own->requests_memory != NULL) {
        size_t bytes = (size_t)own->requests.item_bytes * own->requests.capacity;
        gy_unpoison(own->requests_memory, bytes);
        munmap(own->requests_memory, bytes);
    }
    free(own);
}

/* Root has opened it, and another user serves: to every client that is "forbidden", and nobody
 * would know why. */
static void warn_of_rights(const struct gy_files *files)
{
    if (faccessat(files->root, ".", X_OK, AT_EACCESS) != 0 && errno == EACCES) {
        gy_log(GY_LOG_WARN, "http",
               "%s may not be entered by the user who serves (uid %u): all that is asked for there "
               "is forbidden (403); chmod it, or let another user serve",
               files->options.directory, (unsigned)geteuid());
    }
}

static int files_worker_open(void *context, struct gy_worker *worker, struct gy_error *error)
{
    struct gy_files *files = context;
    uint32_t number = worker->options.number;
    gy_assert(number < GY_HTTP_WORKERS_MAX);
    if (files->workers[number] != NULL) {
        files->workers[number]->users++;
        return 0;
    }
    struct gy_files_worker *own = calloc(1, sizeof *own);
    if (own == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing the file cache: out of memory");
    }
    if (number == 0) {
        warn_of_rights(files);
    }
    own->files = files;
    own->worker = worker;
    own->users = 1;
    TAILQ_INIT(&own->starved);
    TAILQ_INIT(&own->listings);
    size_t bytes = gy_slab_bytes(sizeof(struct gy_files_request), REQUESTS_MAX);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) {
        own->requests_memory = memory;
        gy_slab_init(&own->requests, memory, bytes, sizeof(struct gy_files_request));
    }
    struct gy_file_cache_options cache = {
        .bytes = files->options.cache_bytes,
        .entries = files->options.entries,
        .descriptors_max = DESCRIPTORS_MAX,
    };
    if (own->requests_memory == NULL ||
        gy_file_memory_open(&own->windows, files->options.window_bytes) != 0) {
        worker_free(own);
        return gy_error_set(error, GY_ENOMEM, "preparing to read files: out of memory");
    }
    own->windows.freed = gy_files_window_freed;
    own->windows.context = own;
    if (gy_file_cache_open(&own->cache, worker, files->root, &cache) != 0) {
        gy_file_memory_close(&own->windows);
        worker_free(own);
        return gy_error_set(error, GY_ENOMEM,
                            "preparing a file cache of %llu bytes: out of memory; make it smaller",
                            (unsigned long long)cache.bytes);
    }
    own->cache.gone = gy_coded_gone;
    gy_coded_cache_open(&own->coded, worker, files->options.compress.cache_bytes);
    files->workers[number] = own;
    return 0;
}

static void files_worker_close(void *context, struct gy_worker *worker)
{
    struct gy_files *files = context;
    struct gy_files_worker *own = files->workers[worker->options.number];
    gy_assert(own != NULL && own->users > 0);
    if (--own->users > 0) {
        return;
    }
    gy_assert(own->requests.used == 0 && TAILQ_EMPTY(&own->starved));
    gy_helper_close(own->helper);
    gy_files_listings_close(own);
    gy_coded_cache_close(&own->coded);
    gy_file_cache_close(&own->cache);
    gy_file_memory_close(&own->windows);
    worker_free(own);
    files->workers[worker->options.number] = NULL;
}

/* ---- requests that take longer ---- */

static void evaluate(struct gy_http_exchange *exchange);

static void look_is_over(struct gy_file_waiter *waiter)
{
    struct gy_files_request *request = (struct gy_files_request *)waiter;
    gy_assert(request->exchange != NULL);
    if (request->error_status != 0) {
        gy_files_answer_error_again(request);
    } else {
        evaluate(request->exchange);
    }
}

static void coding_is_over(struct gy_coded_waiter *waiter)
{
    struct gy_files_request *request =
        (struct gy_files_request *)((char *)waiter - offsetof(struct gy_files_request, coding));
    gy_assert(request->exchange != NULL);
    evaluate(request->exchange);
}

struct gy_files_request *gy_files_request_of(struct gy_http_exchange *exchange)
{
    struct gy_files_request *request = gy_http_state(exchange);
    if (request != NULL) {
        return request;
    }
    struct gy_files_worker *own = gy_files_worker_of(exchange);
    request = gy_slab_take(&own->requests);
    if (request == NULL) {
        return NULL;
    }
    /* Not the texts and windows: they are large, and written before they are read. */
    memset(request, 0, offsetof(struct gy_files_request, parts));
    request->multipart = false;
    request->waiter.ready = look_is_over;
    request->coding.ready = coding_is_over;
    request->files = own;
    request->exchange = exchange;
    request->since_ms = own->worker->now_ms;
    request->part = 0;
    request->sent = 0;
    request->head_bytes = request->head_sent = 0;
    request->block = NULL;
    request->window_count = 0;
    request->read_part = 0;
    request->read_bytes = 0;
    request->reading = false;
    request->throttled = false;
    request->held = 0;
    request->by_range = request->range_held = request->range_awaited = false;
    request->failed = 0;
    gy_http_set_state(exchange, request);
    return request;
}

void gy_files_request_free(struct gy_files_request *request)
{
    gy_assert(request->held == 0 && request->exchange == NULL && !request->reading);
    if (request->content != NULL) {
        gy_file_content_drop(request->content);
        request->content = NULL;
    }
    gy_slab_give(&request->files->requests, request);
}

void gy_files_request_let_go(struct gy_files_request *request)
{
    gy_assert(request->exchange == NULL && !request->reading);
    gy_assert(request->waiter.entry == NULL && !request->starved);
    gy_assert(request->coding.coded == NULL && request->stream == NULL);
    request->held++; /* so that it outlives its own windows here */
    for (uint32_t i = 0; i < request->window_count; i++) {
        gy_buffer_drop(&request->windows[i].block->buffer);
    }
    request->window_count = 0;
    if (request->range_held) {
        request->range_held = false;
        gy_buffer_drop(&request->range.buffer);
    }
    if (!request->by_range && request->content != NULL) {
        gy_file_content_drop(request->content); /* what is on its way needs no file any more */
        request->content = NULL;
    }
    if (--request->held == 0) {
        gy_files_request_free(request);
    }
}

static void files_closed(struct gy_http_exchange *exchange, int reason)
{
    (void)reason;
    struct gy_files_request *request = gy_http_state(exchange);
    if (request == NULL) {
        return;
    }
    gy_http_set_state(exchange, NULL);
    request->exchange = NULL;
    gy_file_cache_wait_not(&request->waiter);
    gy_coded_wait_not(&request->coding);
    if (request->stream != NULL) {
        gy_coding_stream_close(request->stream);
        request->stream = NULL;
    }
    gy_files_listing_forget(request);
    if (request->starved) {
        request->starved = false;
        TAILQ_REMOVE(&request->files->starved, request, starved_link);
    }
    if (!request->reading) {
        gy_files_request_let_go(request);
    }
}

/* ---- which answer ---- */

static void answer_busy(struct gy_http_exchange *exchange)
{
    struct gy_http_header retry = GY_HTTP_HEADER("Retry-After", "1");
    gy_files_answer_error(exchange, 503, &retry);
}

/* What is at the key. NULL: the exchange was answered, or waits. */
static struct gy_file_entry *find(struct gy_http_exchange *exchange, const char *key,
                                  uint32_t length)
{
    struct gy_files_worker *own = gy_files_worker_of(exchange);
    struct gy_files_request *request = gy_http_state(exchange);
    struct gy_file_entry *entry;
    uint64_t since_ms = request != NULL ? request->since_ms : 0;
    int code = gy_file_cache_get(&own->cache, key, length, since_ms, &entry);
    if (code == 0 && entry->kind != GY_FILE_FAILED) {
        return entry;
    }
    if (code == GY_EAGAIN) {
        request = gy_files_request_of(exchange);
        if (request != NULL && request->waits++ < GY_FILES_WAITS_MAX) {
            gy_file_cache_wait(entry, &request->waiter);
            return NULL;
        }
    }
    answer_busy(exchange);
    return NULL;
}

static void answer_redirect(struct gy_http_exchange *exchange, const struct gy_file_path *path)
{
    char location[3 * GY_FILE_KEY_BYTES + GY_FILE_KEY_BYTES];
    uint32_t length = gy_file_path_escape(path->key, path->length, location, sizeof location - 1);
    gy_assert(length > 0);
    location[length++] = '/';
    if (path->query.length > sizeof location - length) {
        gy_files_answer_error(exchange, 414, NULL);
        return;
    }
    memcpy(location + length, path->query.data, path->query.length);
    length += (uint32_t)path->query.length;
    struct gy_http_header header = {GY_HTTP_TEXT("Location"), {location, length}};
    gy_files_answer_error(exchange, 301, &header);
}

/* The coded file that the client likes best. GY_EAGAIN: waits, or was answered. 0: *entry is it, or
 * NULL, none. */
static int find_coded(struct gy_http_exchange *exchange, struct gy_file_path *path,
                      struct gy_file_entry **found, enum gy_coding *coding)
{
    static const char endings[GY_CODING_COUNT][5] = {
        [GY_CODING_BR] = ".br", [GY_CODING_ZSTD] = ".zst", [GY_CODING_GZIP] = ".gz"};
    struct gy_codings codings = gy_codings_of(exchange);
    *found = NULL;
    codings.weight[GY_CODING_IDENTITY] = 0; /* what there is is sent before nothing */
    for (;;) {
        uint32_t best = GY_CODING_IDENTITY;
        for (uint32_t i = 1; i < GY_CODING_COUNT; i++) {
            if (codings.weight[i] > codings.weight[best]) {
                best = i;
            }
        }
        uint32_t ending = (uint32_t)strlen(endings[best]);
        if (codings.weight[best] == 0 || path->length + ending >= sizeof path->key) {
            return 0;
        }
        memcpy(path->key + path->length, endings[best], ending + 1);
        struct gy_file_entry *entry = find(exchange, path->key, path->length + ending);
        path->key[path->length] = '\0';
        if (entry == NULL) {
            return GY_EAGAIN;
        }
        if (entry->kind == GY_FILE_REGULAR) {
            *found = entry;
            *coding = (enum gy_coding)best;
            return 0;
        }
        codings.weight[best] = 0;
    }
}

/* `entry` is a regular file. */
static void answer_file(struct gy_http_exchange *exchange, struct gy_file_path *path,
                        struct gy_file_entry *entry)
{
    const struct gy_files_options *options = &gy_files_worker_of(exchange)->files->options;
    struct gy_files_representation which = {.mime = gy_mime_of(path->key, path->length),
                                            .coding = GY_CODING_IDENTITY};
    bool negotiates = gy_http_field_find(exchange, "Accept-Encoding", NULL).data != NULL;
    which.varies = which.mime.compressible;
    if (which.mime.compressible && !options->no_precompressed && negotiates) {
        struct gy_file_entry *coded;
        if (find_coded(exchange, path, &coded, &which.coding) != 0) {
            return;
        }
        /* Finding those may have driven this one out. */
        entry = coded != NULL ? coded : find(exchange, path->key, path->length);
        if (entry == NULL) {
            return;
        }
        if (entry->kind != GY_FILE_REGULAR) {
            gy_files_answer_error(exchange, 404, NULL);
            return;
        }
    }
    if (which.coding == GY_CODING_IDENTITY && !options->compress.off &&
        gy_compress_takes_type(&options->compress, which.mime.type, which.mime.compressible)) {
        which.varies = true;
        if (negotiates && !gy_compress_spares(&options->compress, path->key, path->length) &&
            gy_files_answer_compressed(exchange, entry->content, &which.mime)) {
            return;
        }
    }
    if (gy_http_method(exchange) == GY_HTTP_GET &&
        !gy_files_goes_by_range(exchange, entry->content, entry->content->status.bytes)) {
        gy_file_cache_served(entry);
    }
    which.content = entry->content;
    gy_files_answer(exchange, &which);
}

static void answer_directory(struct gy_http_exchange *exchange, struct gy_file_path *path)
{
    static const char name[] = "index.html";
    uint32_t length = path->length;
    if (length + sizeof name + 1 > sizeof path->key) {
        gy_files_answer_error(exchange, 414, NULL);
        return;
    }
    if (length > 0) {
        path->key[path->length++] = '/';
    }
    memcpy(path->key + path->length, name, sizeof name);
    path->length += (uint32_t)sizeof name - 1;
    struct gy_file_entry *entry = find(exchange, path->key, path->length);
    if (entry == NULL) {
        return;
    }
    if (entry->kind == GY_FILE_REGULAR) {
        answer_file(exchange, path, entry);
        return;
    }
    if (entry->kind == GY_FILE_REFUSED) {
        gy_files_answer_error(exchange, 403, NULL);
        return;
    }
    path->length = length;
    path->key[length] = '\0';
    if (gy_files_worker_of(exchange)->files->options.no_listing) {
        gy_files_answer_error(exchange, 404, NULL);
    } else {
        gy_files_answer_listing(exchange, path);
    }
}

static void evaluate(struct gy_http_exchange *exchange)
{
    struct gy_file_path path;
    switch (gy_file_path_read(&path, gy_http_target(exchange))) {
    case GY_FILE_PATH_OK:
        break;
    case GY_FILE_PATH_BAD:
        gy_files_answer_error(exchange, 400, NULL);
        return;
    case GY_FILE_PATH_LONG:
        gy_files_answer_error(exchange, 414, NULL);
        return;
    case GY_FILE_PATH_HIDDEN:
        gy_files_answer_error(exchange, 404, NULL);
        return;
    }
    struct gy_file_entry *entry = find(exchange, path.key, path.length);
    if (entry == NULL) {
        return;
    }
    switch ((enum gy_file_kind)entry->kind) {
    case GY_FILE_REGULAR:
        if (path.slash) {
            gy_files_answer_error(exchange, 404, NULL);
        } else {
            answer_file(exchange, &path, entry);
        }
        break;
    case GY_FILE_DIRECTORY:
        if (path.slash) {
            answer_directory(exchange, &path);
        } else {
            answer_redirect(exchange, &path);
        }
        break;
    case GY_FILE_REFUSED:
        gy_files_answer_error(exchange, 403, NULL);
        break;
    case GY_FILE_MISSING:
    case GY_FILE_UNKNOWN:
    case GY_FILE_FAILED:
        gy_files_answer_error(exchange, 404, NULL);
        break;
    }
}

static void files_request(struct gy_http_exchange *exchange)
{
    switch (gy_http_method(exchange)) {
    case GY_HTTP_GET:
    case GY_HTTP_HEAD:
        evaluate(exchange);
        return;
    case GY_HTTP_OPTIONS: {
        struct gy_http_header allow = GY_HTTP_HEADER("Allow", ALLOW);
        struct gy_http_response response = {.status = 204, .headers = &allow, .header_count = 1};
        gy_http_respond(exchange, &response);
        return;
    }
    default: {
        struct gy_http_header allow = GY_HTTP_HEADER("Allow", ALLOW);
        gy_files_answer_error(exchange, 405, &allow);
        return;
    }
    }
}

static const struct gy_http_handler files_handler = {
    .request = files_request,
    .pull = gy_files_pull,
    .closed = files_closed,
};

struct gy_http_service gy_files_service(struct gy_files *files)
{
    gy_assert(files->root >= 0);
    return (struct gy_http_service){
        .handler = &files_handler,
        .context = files,
        .worker_open = files_worker_open,
        .worker_close = files_worker_close,
        .answer_error = gy_files_answer_error,
    };
}

void gy_files_serve(struct gy_files *files, struct gy_http_server *http)
{
    struct gy_http_service service = gy_files_service(files);
    http->handler = service.handler;
    http->context = service.context;
    http->worker_open = service.worker_open;
    http->worker_close = service.worker_close;
}
