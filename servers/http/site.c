/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/site.h"

#include "core/stream.h"
#include "core/worker.h"
#include "servers/http/site_status.h"

_Static_assert(GY_SITE_STATUS_BYTES <= GY_BUMP_BLOCK_BYTES, "a status is reserved in one piece");

/* The page may load what comes from here, and nothing else; nobody may frame it. */
#define SITE_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "        \
    "'self'; "                                                                                     \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#define SITE_ALLOW "GET, HEAD, OPTIONS"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

static struct gy_worker *worker_of(const struct gy_http_exchange *exchange)
{
    return gy_http_stream(exchange)->worker;
}

/* The target without its query. */
static struct gy_http_text path_of(const struct gy_http_exchange *exchange)
{
    struct gy_http_text target = gy_http_target(exchange);
    for (size_t i = 0; i < target.length; i++) {
        if (target.data[i] == '?') {
            target.length = i;
        }
    }
    return target;
}

static struct gy_slice file_slice(struct gy_site *site, const struct gy_worker *worker,
                                  uint32_t index)
{
    gy_assert(index < GY_SITE_FILES && worker->options.number < GY_HTTP_WORKERS_MAX);
    struct gy_buffer *buffer = &site->buffers[worker->options.number].files[index];
    const struct gy_site_file *file = &gy_site_files[index];
    if (buffer->data == NULL) {
        gy_buffer_wrap_constant(buffer, file->data, file->bytes);
    }
    return gy_slice_of(buffer, 0, file->bytes);
}

static void answer_file(struct gy_http_exchange *exchange, uint32_t index, uint16_t status)
{
    const struct gy_site_file *file = &gy_site_files[index];
    const struct gy_http_header headers[] = {
        {GY_HTTP_TEXT("ETag"), gy_http_text_of(file->etag)},
        GY_HTTP_HEADER("Cache-Control", "no-cache"),
        {GY_HTTP_TEXT("Content-Type"), gy_http_text_of(file->type)},
        GY_HTTP_HEADER("Content-Security-Policy", SITE_POLICY),
        GY_HTTP_HEADER("X-Content-Type-Options", "nosniff"),
        GY_HTTP_HEADER("Referrer-Policy", "no-referrer"),
        GY_HTTP_HEADER("Cross-Origin-Resource-Policy", "same-origin"),
    };
    struct gy_http_response response = {
        .status = status, .headers = headers, .header_count = COUNT(headers)};
    if (status == 304) {
        response.header_count = 2; /* what the client has tells the rest (RFC 9110 §15.4.5) */
    } else {
        response.kind = GY_HTTP_BODY_SLICE;
        response.body.slice = file_slice(gy_http_context(exchange), worker_of(exchange), index);
    }
    gy_http_respond(exchange, &response);
}

/* Weak comparison, as If-None-Match asks for (RFC 9110 §13.1.2). Our tags are hexadecimal, so the
 * comparison of tokens, which ignores case, tells them apart. */
static bool client_has(const struct gy_http_exchange *exchange, const char *etag)
{
    char weak[40] = "W/";
    size_t length = strlen(etag);
    gy_assert(length + 3 <= sizeof weak);
    memcpy(weak + 2, etag, length + 1);
    uint32_t from = 0;
    for (;;) {
        struct gy_http_text list = gy_http_field_find(exchange, "If-None-Match", &from);
        if (list.data == NULL) {
            return false;
        }
        if (gy_http_text_equal(list, GY_HTTP_TEXT("*")) || gy_http_list_has(list, etag) ||
            gy_http_list_has(list, weak)) {
            return true;
        }
    }
}

static void answer_status(struct gy_http_exchange *exchange)
{
    struct gy_worker *worker = worker_of(exchange);
    uint8_t *room = gy_bump_reserve(&worker->bump, GY_SITE_STATUS_BYTES);
    if (room == NULL) {
        gy_http_answer(exchange, 503, "text/plain; charset=utf-8", "no output memory now\n", 21);
        return;
    }
    struct gy_writer writer = gy_writer_on(room, GY_SITE_STATUS_BYTES);
    gy_site_status(&writer, gy_http_context(exchange), worker);
    gy_assert(!writer.failed);
    static const struct gy_http_header headers[] = {
        {{"Content-Type", 12}, {"application/json", 16}},
        {{"Cache-Control", 13}, {"no-store", 8}},
        {{"X-Content-Type-Options", 22}, {"nosniff", 7}},
        {{"Cross-Origin-Resource-Policy", 28}, {"same-origin", 11}},
    };
    struct gy_http_response response = {
        .status = 200,
        .kind = GY_HTTP_BODY_SLICE,
        .headers = headers,
        .header_count = COUNT(headers),
        .body.slice = gy_bump_slice(&worker->bump, (uint32_t)gy_writer_length(&writer)),
    };
    gy_http_respond(exchange, &response);
}

/* Other methods than GET and HEAD, of something that is here. */
static void answer_method(struct gy_http_exchange *exchange)
{
    bool asked = gy_http_method(exchange) == GY_HTTP_OPTIONS;
    const struct gy_http_header headers[] = {
        GY_HTTP_HEADER("Allow", SITE_ALLOW),
        GY_HTTP_HEADER("Content-Type", "text/plain; charset=utf-8"),
    };
    struct gy_http_response response = {
        .status = asked ? 204 : 405, .headers = headers, .header_count = asked ? 1 : 2};
    if (!asked) {
        response.kind = GY_HTTP_BODY_TEXT;
        response.body.text = GY_HTTP_TEXT("This can only be read: " SITE_ALLOW ".\n");
    }
    gy_http_respond(exchange, &response);
}

static void site_request(struct gy_http_exchange *exchange)
{
    struct gy_http_text path = path_of(exchange);
    bool status = gy_http_text_equal(path, GY_HTTP_TEXT("/status.json"));
    uint32_t missing = GY_SITE_FILES;
    uint32_t found = GY_SITE_FILES;
    for (uint32_t i = 0; i < GY_SITE_FILES; i++) {
        const char *name = gy_site_files[i].path;
        if (name[0] == '\0') {
            missing = i;
        } else if (gy_http_text_equal(path, gy_http_text_of(name))) {
            found = i;
        }
    }
    gy_assert(missing < GY_SITE_FILES);
    enum gy_http_method method = gy_http_method(exchange);
    if (!status && found == GY_SITE_FILES) {
        answer_file(exchange, missing, 404);
    } else if (method != GY_HTTP_GET && method != GY_HTTP_HEAD) {
        answer_method(exchange);
    } else if (status) {
        answer_status(exchange);
    } else {
        answer_file(exchange, found, client_has(exchange, gy_site_files[found].etag) ? 304 : 200);
    }
}

const struct gy_http_handler gy_site_handler = {.request = site_request};
