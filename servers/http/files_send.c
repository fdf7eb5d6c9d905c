/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The answer that a file gives: its head, and its body from memory or read ahead of the peer. */

#include <stdio.h>
#include <string.h>

#include "servers/http/files_internal.h"

/* What is read at once, while memory for it is plenty, scarce, and nearly gone: the more peers
 * there are who do not keep up, the less is held for each. */
#define WINDOW_BYTES        GY_FILE_BLOCK_MAX
#define WINDOW_SCARCE_BYTES (16384 - sizeof(struct gy_file_block))
#define WINDOW_LEAST_BYTES  (4096 - sizeof(struct gy_file_block))

/* From here on nobody has more than one block. */
#define SHORT_PERCENT 75

#define NANOSECONDS_PER_S 1000000000
#define HEADERS_MAX       8

/* ---- parts ---- */

/* The head of the part at `part`, or the end behind the last. Returns its length. */
static uint32_t part_head(const struct gy_files_request *request, uint32_t part, char *to,
                          size_t bytes)
{
    const struct gy_ranges *parts = &request->parts;
    const char *before = part == 0 ? "" : "\r\n";
    unsigned long long boundary = request->files->files->boundary;
    int length;
    if (part == parts->count) {
        length = snprintf(to, bytes, "\r\n--gyre-%016llx--\r\n", boundary);
    } else {
        const struct gy_range *range = &parts->list[part];
        length = snprintf(to, bytes,
                          "%s--gyre-%016llx\r\nContent-Type: %s\r\nContent-Range: bytes "
                          "%llu-%llu/%llu\r\n\r\n",
                          before, boundary, request->type, (unsigned long long)range->first,
                          (unsigned long long)(range->first + range->bytes - 1),
                          (unsigned long long)request->content->status.bytes);
    }
    gy_assert(length > 0 && (size_t)length < bytes);
    return (uint32_t)length;
}

static uint64_t body_bytes(const struct gy_files_request *request)
{
    char scratch[GY_FILES_PART_BYTES];
    uint64_t total = 0;
    for (uint32_t i = 0; i < request->parts.count; i++) {
        total += request->parts.list[i].bytes;
    }
    for (uint32_t i = 0; request->multipart && i <= request->parts.count; i++) {
        total += part_head(request, i, scratch, sizeof scratch);
    }
    return total;
}

static void begin_part(struct gy_files_request *request)
{
    request->sent = 0;
    if (request->multipart) {
        request->head_sent = 0;
        request->head_bytes =
            part_head(request, request->part, request->head, sizeof request->head);
    }
}

/* ---- reading ahead ---- */

static void read_ahead(struct gy_files_request *request);

static void have_read(void *owner, int64_t result)
{
    struct gy_files_request *request = owner;
    gy_assert(request->reading && request->window_count > 0);
    request->reading = false;
    if (request->exchange == NULL) {
        gy_files_request_let_go(request);
        return;
    }
    struct gy_files_window *window = &request->windows[request->window_count - 1];
    if (result < (int64_t)request->reading_bytes) {
        request->failed = GY_EIO; /* the file got shorter, or cannot be read */
        request->content->stale = true;
    }
    if (result <= 0) {
        gy_buffer_drop(&window->block->buffer);
        request->window_count--;
    } else {
        window->length = (uint32_t)result;
    }
    gy_http_wake(request->exchange);
    read_ahead(request);
}

static uint32_t window_bytes(const struct gy_file_memory *memory)
{
    uint32_t percent = gy_file_memory_percent(memory);
    return percent < 50              ? WINDOW_BYTES
           : percent < SHORT_PERCENT ? WINDOW_SCARCE_BYTES
                                     : WINDOW_LEAST_BYTES;
}

/* There is no memory for it: it goes on when some of its own comes back, or, where it has none,
 * when anybody's does. */
static void starve(struct gy_files_request *request)
{
    if (request->held > 0) {
        request->throttled = true;
    } else if (!request->starved) {
        request->starved = true;
        TAILQ_INSERT_TAIL(&request->files->starved, request, starved_link);
    }
}

void gy_files_window_freed(struct gy_file_memory *memory, void *owner)
{
    struct gy_files_worker *own = memory->context;
    struct gy_files_request *request = owner;
    gy_assert(request->held > 0);
    request->held--;
    if (request->exchange == NULL) {
        if (request->held == 0 && !request->reading) {
            gy_files_request_free(request);
        }
    } else if (request->throttled) {
        request->throttled = false;
        gy_http_wake(request->exchange);
    }
    request = TAILQ_FIRST(&own->starved);
    if (request != NULL) {
        request->starved = false;
        TAILQ_REMOVE(&own->starved, request, starved_link);
        gy_http_wake(request->exchange);
    }
}

/* Begins to read the next piece, if there is one and room for it. */
static void read_ahead(struct gy_files_request *request)
{
    struct gy_files_worker *own = request->files;
    if (request->reading || request->failed != 0 || request->window_count == GY_FILES_WINDOWS) {
        return;
    }
    if (request->read_part < request->parts.count &&
        request->read_bytes == request->parts.list[request->read_part].bytes) {
        request->read_part++;
        request->read_bytes = 0;
    }
    if (request->read_part == request->parts.count) {
        return;
    }
    /* A slow peer gets no second block of what is left for those who have none. */
    if (request->held > 0 && gy_file_memory_percent(&own->windows) >= SHORT_PERCENT) {
        request->throttled = true;
        return;
    }
    const struct gy_range *part = &request->parts.list[request->read_part];
    uint64_t left = part->bytes - request->read_bytes;
    uint32_t bytes = window_bytes(&own->windows);
    bytes = left < bytes ? (uint32_t)left : bytes;
    struct gy_file_block *block = gy_file_memory_take(&own->windows, bytes);
    if (block == NULL) {
        starve(request);
        return;
    }
    block->owner = request;
    request->held++;
    if (gy_file_read(own->worker, request->content->descriptor, &block->buffer, 0, bytes,
                     part->first + request->read_bytes, have_read, request) == NULL) {
        gy_buffer_drop(&block->buffer);
        if (request->window_count == 0) {
            gy_http_wake(request->exchange); /* asked again in another turn */
        }
        return;
    }
    request->windows[request->window_count++] = (struct gy_files_window){.block = block};
    request->reading = true;
    request->reading_bytes = bytes;
    request->read_bytes += bytes;
}

/* ---- pulling ---- */

/* Each returns bytes appended; 0: none yet; or a negative GY_E… code. */

static int64_t append(struct gy_chain *out, struct gy_file_block *block, uint32_t offset,
                      uint32_t bytes)
{
    struct gy_slice slice = gy_slice_of(&block->buffer, offset, bytes);
    if (gy_chain_append(out, slice) != 0) {
        gy_slice_drop(slice);
        return GY_ENOBUFS;
    }
    return bytes;
}

static int64_t take_read(struct gy_files_request *request, struct gy_chain *out, uint64_t wanted)
{
    struct gy_files_window *window = &request->windows[0];
    if (request->window_count == 0 || window->length == 0) {
        if (request->failed != 0 && request->window_count == 0) {
            return request->failed;
        }
        read_ahead(request);
        return 0;
    }
    uint32_t bytes = window->length - window->taken;
    bytes = wanted < bytes ? (uint32_t)wanted : bytes;
    int64_t appended = append(out, window->block, window->taken, bytes);
    if (appended < 0) {
        return appended;
    }
    window->taken += bytes;
    if (window->taken == window->length) {
        gy_buffer_drop(&window->block->buffer);
        request->window_count--;
        memmove(&request->windows[0], &request->windows[1],
                request->window_count * sizeof request->windows[0]);
        read_ahead(request);
    }
    return bytes;
}

/* ---- by reference to the page cache ---- */

bool gy_files_goes_by_range(const struct gy_http_exchange *exchange,
                            const struct gy_file_content *content, uint64_t bytes)
{
    return content->sendable && bytes >= GY_FILES_RANGE_LEAST &&
           gy_http_stream(exchange)->layer == NULL &&
           !gy_files_worker_of(exchange)->files->options.no_sendfile;
}

static struct gy_files_request *request_of_range(struct gy_file_range *range)
{
    return (struct gy_files_request *)((char *)range - offsetof(struct gy_files_request, range));
}

static void range_failed(struct gy_file_range *range)
{
    request_of_range(range)->content->stale = true;
}

/* The last slice of the range is gone. */
static void range_over(struct gy_buffer *buffer)
{
    struct gy_files_request *request = request_of_range((struct gy_file_range *)buffer);
    gy_assert(request->held > 0 && !request->range_held);
    request->held--;
    if (request->exchange == NULL) {
        if (request->held == 0) {
            gy_files_request_free(request);
        }
    } else if (request->range_awaited) {
        gy_http_wake(request->exchange);
    }
}

/* A range of the part begins here, or the one before is still on its way: false. */
static bool begin_range(struct gy_files_request *request)
{
    const struct gy_range *part = &request->parts.list[0];
    uint64_t left = part->bytes - request->sent;
    request->range_awaited = request->held > 0;
    if (request->range_awaited) {
        return false;
    }
    gy_file_range_init(&request->range, request->content->descriptor, part->first + request->sent,
                       left < GY_FILES_RANGE_BYTES ? (uint32_t)left : GY_FILES_RANGE_BYTES,
                       range_over);
    request->range.failed = range_failed;
    request->range_sent = request->sent;
    request->range_held = true;
    request->held++;
    return true;
}

static int64_t take_range(struct gy_files_request *request, struct gy_chain *out, uint64_t wanted)
{
    if (!request->range_held && !begin_range(request)) {
        return 0;
    }
    struct gy_buffer *buffer = &request->range.buffer;
    uint32_t offset = (uint32_t)(request->sent - request->range_sent);
    uint32_t bytes = buffer->capacity - offset;
    bytes = wanted < bytes ? (uint32_t)wanted : bytes;
    struct gy_slice slice = gy_slice_of(buffer, offset, bytes);
    if (gy_chain_append(out, slice) != 0) {
        gy_slice_drop(slice);
        return GY_ENOBUFS;
    }
    if (offset + bytes == buffer->capacity) {
        request->range_held = false; /* the slices hold it from now on */
        gy_buffer_drop(buffer);
    }
    return bytes;
}

/* ---- from memory ---- */

static int64_t take_whole(struct gy_files_request *request, struct gy_chain *out, uint64_t position,
                          uint64_t wanted)
{
    if (request->block == NULL || position < request->block_start) {
        request->block = request->content->blocks;
        request->block_start = 0;
    }
    while (position - request->block_start >= request->block->buffer.capacity) {
        request->block_start += request->block->buffer.capacity;
        request->block = request->block->next;
        gy_assert(request->block != NULL);
    }
    uint32_t offset = (uint32_t)(position - request->block_start);
    uint32_t bytes = request->block->buffer.capacity - offset;
    bytes = wanted < bytes ? (uint32_t)wanted : bytes;
    return append(out, request->block, offset, bytes);
}

static int64_t take_head(struct gy_files_request *request, struct gy_chain *out, uint32_t budget)
{
    uint32_t bytes = request->head_bytes - request->head_sent;
    bytes = bytes < budget ? bytes : budget;
    if (gy_bump_copy(&request->files->worker->bump, out, request->head + request->head_sent,
                     bytes) != 0) {
        return GY_ENOBUFS;
    }
    request->head_sent += bytes;
    return bytes;
}

int gy_files_pull(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget)
{
    struct gy_files_request *request = gy_http_state(exchange);
    if (request->stream != NULL) {
        return gy_files_pull_compressed(request, out, budget);
    }
    gy_assert(request->content != NULL);
    while (budget > 0) {
        int64_t bytes;
        if (request->head_sent < request->head_bytes) {
            bytes = take_head(request, out, budget);
        } else if (request->part == request->parts.count) {
            return GY_HTTP_END;
        } else {
            const struct gy_range *part = &request->parts.list[request->part];
            uint64_t left = part->bytes - request->sent;
            uint64_t wanted = left < budget ? left : budget;
            bytes = request->by_range ? take_range(request, out, wanted)
                    : request->content->whole
                        ? take_whole(request, out, part->first + request->sent, wanted)
                        : take_read(request, out, wanted);
            if (bytes > 0) {
                request->sent += (uint64_t)bytes;
                if (request->sent == part->bytes) {
                    request->part++;
                    begin_part(request);
                }
            }
        }
        if (bytes <= 0) {
            if (bytes == GY_ENOBUFS && out->length == 0) {
                gy_http_wake(exchange); /* no link now: asked again in another turn */
                return GY_HTTP_WAIT;
            }
            return out->length > 0 ? GY_HTTP_MORE : bytes == 0 ? GY_HTTP_WAIT : (int)bytes;
        }
        budget -= (uint32_t)bytes;
    }
    return GY_HTTP_MORE;
}

/* ---- the head ---- */

struct head {
    struct gy_http_header list[HEADERS_MAX];
    uint32_t count;
};

static void add(struct head *head, struct gy_http_text name, struct gy_http_text value)
{
    gy_assert(head->count < HEADERS_MAX);
    head->list[head->count++] = (struct gy_http_header){name, value};
}

static void add_validators(struct head *head, const struct gy_files_representation *which)
{
    const struct gy_file_content *content = which->content;
    add(head, GY_HTTP_TEXT("ETag"), (struct gy_http_text){content->etag, content->etag_length});
    add(head, GY_HTTP_TEXT("Last-Modified"),
        (struct gy_http_text){content->modified, GY_HTTP_DATE_BYTES});
    if (which->varies) {
        add(head, GY_HTTP_TEXT("Vary"), GY_HTTP_TEXT("Accept-Encoding"));
    }
}

static void add_coding(struct head *head, enum gy_coding coding)
{
    static const struct gy_http_text names[GY_CODING_COUNT] = {
        [GY_CODING_BR] = {"br", 2}, [GY_CODING_ZSTD] = {"zstd", 4}, [GY_CODING_GZIP] = {"gzip", 4}};
    if (coding != GY_CODING_IDENTITY) {
        add(head, GY_HTTP_TEXT("Content-Encoding"), names[coding]);
    }
}

static void respond(struct gy_http_exchange *exchange, const struct head *head,
                    struct gy_http_response *response)
{
    response->headers = head->list;
    response->header_count = head->count;
    gy_http_respond(exchange, response);
}

/* One piece of a content that lies in one block, as a body. */
static void body_from_memory(struct gy_http_response *response,
                             const struct gy_file_content *content, const struct gy_range *range)
{
    if (range->bytes == 0) {
        response->kind = GY_HTTP_BODY_NONE;
        return;
    }
    gy_assert(content->blocks != NULL);
    response->kind = GY_HTTP_BODY_SLICE;
    response->body.slice =
        gy_slice_of(&content->blocks->buffer, (uint32_t)range->first, (uint32_t)range->bytes);
}

/* The body will be pulled. False: there is no room for that, and the exchange was answered. */
static bool body_pulled(struct gy_http_exchange *exchange, struct gy_http_response *response,
                        const struct gy_files_representation *which, const struct gy_ranges *ranges,
                        bool multipart)
{
    struct gy_files_request *request = gy_files_request_of(exchange);
    if (request == NULL) {
        gy_files_answer_error(exchange, 503, NULL);
        return false;
    }
    gy_assert(request->content == NULL);
    request->content = which->content;
    gy_file_content_hold(which->content);
    request->parts.count = ranges->count;
    memcpy(request->parts.list, ranges->list, ranges->count * sizeof ranges->list[0]);
    request->type = which->mime.type.data;
    request->multipart = multipart;
    begin_part(request);
    response->kind = GY_HTTP_BODY_PULL;
    response->body.length = body_bytes(request);
    request->by_range = !multipart && gy_http_method(exchange) == GY_HTTP_GET &&
                        gy_files_goes_by_range(exchange, which->content, ranges->list[0].bytes);
    response->in_memory = which->content->whole || request->by_range;
    if (!response->in_memory && gy_http_method(exchange) == GY_HTTP_GET) {
        read_ahead(request);
    }
    return true;
}

static void answer_unsatisfiable(struct gy_http_exchange *exchange,
                                 const struct gy_file_content *content)
{
    char text[48];
    int length =
        snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)content->status.bytes);
    struct gy_http_header header = {GY_HTTP_TEXT("Content-Range"), {text, (size_t)length}};
    gy_files_answer_error(exchange, 416, &header);
}

static void answer_some(struct gy_http_exchange *exchange,
                        const struct gy_files_representation *which, const struct gy_ranges *ranges)
{
    const struct gy_file_content *content = which->content;
    struct gy_http_response response = {.status = 206};
    struct head head = {.count = 0};
    bool multipart = ranges->count > 1;
    char text[80];
    add_validators(&head, which);
    add_coding(&head, which->coding);
    if (multipart) {
        int length = snprintf(text, sizeof text, "multipart/byteranges; boundary=gyre-%016llx",
                              (unsigned long long)gy_files_worker_of(exchange)->files->boundary);
        add(&head, GY_HTTP_TEXT("Content-Type"), (struct gy_http_text){text, (size_t)length});
    } else {
        const struct gy_range *range = &ranges->list[0];
        int length =
            snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)range->first,
                     (unsigned long long)(range->first + range->bytes - 1),
                     (unsigned long long)content->status.bytes);
        add(&head, GY_HTTP_TEXT("Content-Type"), which->mime.type);
        add(&head, GY_HTTP_TEXT("Content-Range"), (struct gy_http_text){text, (size_t)length});
    }
    add(&head, GY_HTTP_TEXT("Accept-Ranges"), GY_HTTP_TEXT("bytes"));
    if (!multipart && content->whole && content->blocks->next == NULL) {
        body_from_memory(&response, content, &ranges->list[0]);
    } else if (!body_pulled(exchange, &response, which, ranges, multipart)) {
        return;
    }
    respond(exchange, &head, &response);
}

static void answer_all(struct gy_http_exchange *exchange,
                       const struct gy_files_representation *which)
{
    const struct gy_file_content *content = which->content;
    struct gy_http_response response = {.status = 200};
    struct head head = {.count = 0};
    struct gy_ranges all = {.count = 1, .list = {{0, content->status.bytes}}};
    add_validators(&head, which);
    add_coding(&head, which->coding);
    add(&head, GY_HTTP_TEXT("Content-Type"), which->mime.type);
    if (which->dynamic) {
        gy_files_count_compressed(gy_files_worker_of(exchange), which->coding);
    } else {
        add(&head, GY_HTTP_TEXT("Accept-Ranges"), GY_HTTP_TEXT("bytes"));
    }
    if (which->streamed) {
        response.kind = GY_HTTP_BODY_PULL;
        response.body.length = GY_HTTP_UNKNOWN;
    } else if (content->whole && (content->blocks == NULL || content->blocks->next == NULL)) {
        body_from_memory(&response, content, &all.list[0]);
    } else if (gy_http_method(exchange) == GY_HTTP_HEAD) {
        response.kind = GY_HTTP_BODY_PULL; /* which nobody will do */
        response.body.length = content->status.bytes;
    } else if (!body_pulled(exchange, &response, which, &all, false)) {
        return;
    }
    respond(exchange, &head, &response);
}

bool gy_files_answer_content(struct gy_http_exchange *exchange, uint16_t status,
                             struct gy_file_content *content, struct gy_mime mime,
                             const struct gy_http_header *extra)
{
    struct gy_files_representation which = {.content = content, .mime = mime};
    struct gy_http_response response = {.status = status};
    struct head head = {.count = 0};
    struct gy_ranges all = {.count = 1, .list = {{0, content->status.bytes}}};
    bool in_memory = content->whole && (content->blocks == NULL || content->blocks->next == NULL);
    if (!in_memory && gy_files_request_of(exchange) == NULL) {
        return false;
    }
    add(&head, GY_HTTP_TEXT("Content-Type"), mime.type);
    if (extra != NULL) {
        add(&head, extra->name, extra->value);
    }
    if (in_memory) {
        body_from_memory(&response, content, &all.list[0]);
    } else if (gy_http_method(exchange) == GY_HTTP_HEAD) {
        response.kind = GY_HTTP_BODY_PULL;
        response.body.length = content->status.bytes;
    } else {
        bool pulled = body_pulled(exchange, &response, &which, &all, false);
        gy_assert(pulled); /* as it has its request */
    }
    respond(exchange, &head, &response);
    return true;
}

void gy_files_answer(struct gy_http_exchange *exchange, const struct gy_files_representation *which)
{
    const struct gy_file_content *content = which->content;
    struct gy_validators validators = {
        .etag = {content->etag, content->etag_length},
        .modified_s = content->status.modified_ns / NANOSECONDS_PER_S,
    };
    switch (gy_precondition_of(exchange, validators)) {
    case GY_PRECONDITION_FAILED:
        gy_files_answer_error(exchange, 412, NULL);
        return;
    case GY_PRECONDITION_NOT_MODIFIED: {
        struct head head = {.count = 0};
        struct gy_http_response response = {.status = 304};
        add_validators(&head, which);
        respond(exchange, &head, &response);
        return;
    }
    case GY_PRECONDITION_GO_ON:
        break;
    }
    struct gy_ranges ranges;
    enum gy_range_verdict verdict = GY_RANGE_NONE;
    if (gy_http_method(exchange) == GY_HTTP_GET && !which->dynamic) {
        verdict = gy_ranges_of(exchange, content->status.bytes, validators, &ranges);
    }
    if (verdict == GY_RANGE_UNSATISFIABLE) {
        answer_unsatisfiable(exchange, content);
    } else if (verdict == GY_RANGE_SOME) {
        answer_some(exchange, which, &ranges);
    } else {
        answer_all(exchange, which);
    }
}
