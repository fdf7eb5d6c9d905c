/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/site.h"

#include "core/stream.h"
#include "core/worker.h"
#include "servers/http/site_status.h"

_Static_assert(GY_SITE_STATUS_BYTES <= GY_BUMP_BLOCK_BYTES, "a status is reserved in one piece");

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

static void answer_status(struct gy_http_exchange *exchange)
{
    struct gy_worker *worker = gy_http_stream(exchange)->worker;
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

static void site_request(struct gy_http_exchange *exchange)
{
    struct gy_site *site = gy_http_context(exchange);
    struct gy_http_text path = gy_embedded_path(exchange);
    const struct gy_embedded_file *file = gy_embedded_find(&gy_site_page, path);
    enum gy_http_method method = gy_http_method(exchange);
    if (file != NULL) {
        gy_embedded_answer(&site->buffers, &gy_site_page, file, exchange);
    } else if (!gy_http_text_equal(path, GY_HTTP_TEXT("/status.json"))) {
        gy_embedded_answer_missing(&site->buffers, &gy_site_page, exchange);
    } else if (method != GY_HTTP_GET && method != GY_HTTP_HEAD) {
        gy_embedded_answer_method(exchange);
    } else {
        answer_status(exchange);
    }
}

const struct gy_http_handler gy_site_handler = {.request = site_request};
