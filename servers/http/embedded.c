/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/embedded.h"

#include <string.h>

#include "core/stream.h"
#include "core/worker.h"
#include "servers/http/conditional.h"

#define ALLOW "GET, HEAD, OPTIONS"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

struct gy_http_text gy_embedded_path(const struct gy_http_exchange *exchange)
{
    struct gy_http_text target = gy_http_target(exchange);
    const char *query = memchr(target.data, '?', target.length);
    target.length = query != NULL ? (size_t)(query - target.data) : target.length;
    return target;
}

const struct gy_embedded_file *gy_embedded_find(const struct gy_embedded_page *page,
                                                struct gy_http_text path)
{
    for (uint32_t i = 0; i < page->count; i++) {
        const struct gy_embedded_file *file = &page->files[i];
        if (file->path[0] != '\0' && gy_http_text_equal(path, gy_http_text_of(file->path))) {
            return file;
        }
    }
    return NULL;
}

static struct gy_slice slice_of(struct gy_embedded_buffers *buffers,
                                const struct gy_embedded_page *page,
                                const struct gy_embedded_file *file, const struct gy_worker *worker)
{
    ptrdiff_t index = file - page->files;
    gy_assert(index >= 0 && index < GY_EMBEDDED_FILES_MAX && (uint32_t)index < page->count);
    gy_assert(worker->options.number < GY_HTTP_WORKERS_MAX);
    struct gy_buffer *buffer = &buffers->workers[worker->options.number].files[index];
    if (buffer->data == NULL) {
        gy_buffer_wrap_constant(buffer, file->data, file->bytes);
    }
    gy_assert(buffer->data == file->data);
    return gy_slice_of(buffer, 0, file->bytes);
}

static void answer_file(struct gy_embedded_buffers *buffers, const struct gy_embedded_page *page,
                        const struct gy_embedded_file *file, struct gy_http_exchange *exchange,
                        uint16_t status)
{
    const struct gy_http_header headers[] = {
        {GY_HTTP_TEXT("ETag"), gy_http_text_of(file->etag)},
        GY_HTTP_HEADER("Cache-Control", "no-cache"),
        {GY_HTTP_TEXT("Content-Type"), gy_http_text_of(file->type)},
        {GY_HTTP_TEXT("Content-Security-Policy"), gy_http_text_of(file->policy)},
        GY_HTTP_HEADER("X-Content-Type-Options", "nosniff"),
        GY_HTTP_HEADER("Referrer-Policy", "no-referrer"),
        GY_HTTP_HEADER("Cross-Origin-Resource-Policy", "same-origin"),
        GY_HTTP_HEADER("Cross-Origin-Opener-Policy", "same-origin"),
    };
    struct gy_http_response response = {
        .status = status, .headers = headers, .header_count = COUNT(headers)};
    if (status == 304) {
        response.header_count = 2; /* what the client has tells the rest (RFC 9110 §15.4.5) */
    } else {
        response.kind = GY_HTTP_BODY_SLICE;
        response.body.slice = slice_of(buffers, page, file, gy_http_stream(exchange)->worker);
    }
    gy_http_respond(exchange, &response);
}

void gy_embedded_answer_method(struct gy_http_exchange *exchange)
{
    bool asked = gy_http_method(exchange) == GY_HTTP_OPTIONS;
    const struct gy_http_header headers[] = {
        GY_HTTP_HEADER("Allow", ALLOW),
        GY_HTTP_HEADER("Content-Type", "text/plain; charset=utf-8"),
    };
    struct gy_http_response response = {
        .status = asked ? 204 : 405, .headers = headers, .header_count = asked ? 1 : 2};
    if (!asked) {
        response.kind = GY_HTTP_BODY_TEXT;
        response.body.text = GY_HTTP_TEXT("This can only be read: " ALLOW ".\n");
    }
    gy_http_respond(exchange, &response);
}

void gy_embedded_answer(struct gy_embedded_buffers *buffers, const struct gy_embedded_page *page,
                        const struct gy_embedded_file *file, struct gy_http_exchange *exchange)
{
    const struct gy_validators validators = {gy_http_text_of(file->etag), GY_DATE_NONE};
    enum gy_http_method method = gy_http_method(exchange);
    if (method != GY_HTTP_GET && method != GY_HTTP_HEAD) {
        gy_embedded_answer_method(exchange);
        return;
    }
    switch (gy_precondition_of(exchange, validators)) {
    case GY_PRECONDITION_GO_ON:
        answer_file(buffers, page, file, exchange, 200);
        break;
    case GY_PRECONDITION_NOT_MODIFIED:
        answer_file(buffers, page, file, exchange, 304);
        break;
    case GY_PRECONDITION_FAILED:
        gy_http_answer_error(exchange, 412, NULL);
        break;
    }
}

void gy_embedded_answer_missing(struct gy_embedded_buffers *buffers,
                                const struct gy_embedded_page *page,
                                struct gy_http_exchange *exchange)
{
    const struct gy_embedded_file *file = page->files;
    while (file < page->files + page->count && file->path[0] != '\0') {
        file++;
    }
    gy_assert(file < page->files + page->count);
    answer_file(buffers, page, file, exchange, 404);
}
