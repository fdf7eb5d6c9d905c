/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/chat_web.h"

#include <string.h>

#include "core/sha1.h"
#include "core/worker.h"
#include "servers/chat/chat_internal.h"

#define PAGE_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "        \
    "'self'; "                                                                                     \
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#define PAGE_ALLOW "GET, HEAD, OPTIONS"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

static struct gy_slice file_slice(struct gy_chat_web *web, const struct gy_worker *worker,
                                  uint32_t index)
{
    gy_assert(index < GY_CHAT_PAGE_FILES_MAX && worker->options.number < GY_CHAT_WORKERS_MAX);
    struct gy_buffer *buffer = &web->buffers[worker->options.number].files[index];
    const struct gy_chat_page_file *file = &gy_chat_page_files[index];
    if (buffer->data == NULL) {
        gy_buffer_wrap_constant(buffer, file->data, file->bytes);
    }
    return gy_slice_of(buffer, 0, file->bytes);
}

/* Our tags are hexadecimal; weak comparison, as If-None-Match asks for (RFC 9110 §13.1.2). */
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

static void answer_file(struct gy_http_exchange *exchange, uint32_t index)
{
    const struct gy_chat_page_file *file = &gy_chat_page_files[index];
    const struct gy_http_header headers[] = {
        {GY_HTTP_TEXT("ETag"), gy_http_text_of(file->etag)},
        GY_HTTP_HEADER("Cache-Control", "no-cache"),
        {GY_HTTP_TEXT("Content-Type"), gy_http_text_of(file->type)},
        GY_HTTP_HEADER("Content-Security-Policy", PAGE_POLICY),
        GY_HTTP_HEADER("X-Content-Type-Options", "nosniff"),
        GY_HTTP_HEADER("Referrer-Policy", "no-referrer"),
        GY_HTTP_HEADER("Cross-Origin-Resource-Policy", "same-origin"),
        GY_HTTP_HEADER("Cross-Origin-Opener-Policy", "same-origin"),
    };
    struct gy_http_response response = {
        .status = 200, .headers = headers, .header_count = COUNT(headers)};
    if (client_has(exchange, file->etag)) {
        response.status = 304;
        response.header_count = 2; /* what the client has tells the rest (RFC 9110 §15.4.5) */
    } else {
        response.kind = GY_HTTP_BODY_SLICE;
        response.body.slice =
            file_slice(gy_http_context(exchange), gy_http_stream(exchange)->worker, index);
    }
    gy_http_respond(exchange, &response);
}

/* Other methods than GET and HEAD. */
static void answer_method(struct gy_http_exchange *exchange)
{
    bool asked = gy_http_method(exchange) == GY_HTTP_OPTIONS;
    const struct gy_http_header headers[] = {
        GY_HTTP_HEADER("Allow", PAGE_ALLOW),
        GY_HTTP_HEADER("Content-Type", "text/plain; charset=utf-8"),
    };
    struct gy_http_response response = {
        .status = asked ? 204 : 405, .headers = headers, .header_count = asked ? 1 : 2};
    if (!asked) {
        response.kind = GY_HTTP_BODY_TEXT;
        response.body.text = GY_HTTP_TEXT("This can only be read: " PAGE_ALLOW ".\n");
    }
    gy_http_respond(exchange, &response);
}

static void web_request(struct gy_http_exchange *exchange)
{
    struct gy_chat_web *web = gy_http_context(exchange);
    struct gy_http_text path = gy_http_target(exchange);
    if (gy_websocket_fits(&web->socket, path)) {
        const struct gy_worker *worker = gy_http_stream(exchange)->worker;
        if (web->server->workers[worker->options.number]->draining) {
            gy_http_answer_error(exchange, 503, NULL);
        } else {
            gy_websocket_take(&web->socket, exchange);
        }
        return;
    }
    const char *query = memchr(path.data, '?', path.length);
    path.length = query != NULL ? (size_t)(query - path.data) : path.length;
    for (uint32_t i = 0; i < gy_chat_page_file_count; i++) {
        if (gy_http_text_equal(path, gy_http_text_of(gy_chat_page_files[i].path))) {
            enum gy_http_method method = gy_http_method(exchange);
            if (method == GY_HTTP_GET || method == GY_HTTP_HEAD) {
                answer_file(exchange, i);
            } else {
                answer_method(exchange);
            }
            return;
        }
    }
    gy_http_answer_error(exchange, 404, NULL);
}

/* The state of an exchange is its WebSocket. */
static void web_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool at_end)
{
    if (gy_http_state(exchange) != NULL) {
        gy_websocket_body(exchange, bytes, at_end);
    }
}

static int web_pull(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget)
{
    return gy_websocket_pull(exchange, out, budget);
}

/* Who is there is told where to go on, and gets some time for it. */
static void web_drain(struct gy_http_exchange *exchange)
{
    const struct gy_chat_web *web = gy_http_context(exchange);
    chat_drain(web->server->workers[gy_http_stream(exchange)->worker->options.number]);
}

static void web_closed(struct gy_http_exchange *exchange, int reason)
{
    if (gy_http_state(exchange) != NULL) {
        gy_websocket_closed(exchange, reason);
    }
}

static const struct gy_http_handler web_handler = {
    .request = web_request,
    .body = web_body,
    .pull = web_pull,
    .closed = web_closed,
    .drain = web_drain,
};

static int web_worker_open(void *context, struct gy_worker *worker, struct gy_error *error)
{
    struct gy_chat_web *web = context;
    int code = gy_chat_worker_open(web->server, worker, error);
    return code == 0 ? gy_websocket_worker_open(&web->socket, worker, error) : code;
}

static void web_worker_close(void *context, struct gy_worker *worker)
{
    struct gy_chat_web *web = context;
    if (web->socket.workers[worker->options.number] != NULL) {
        gy_websocket_worker_close(&web->socket, worker);
    }
    gy_chat_worker_close(web->server, worker);
}

void gy_chat_web_init(struct gy_chat_web *web, struct gy_chat_server *server,
                      const char *const *origins, uint32_t origin_count, bool any_origin)
{
    static const char *const subprotocols[] = {GY_CHAT_SUBPROTOCOL};
    gy_assert(gy_chat_page_file_count <= GY_CHAT_PAGE_FILES_MAX);
    web->server = server;
    web->socket = (struct gy_websocket){
        .path = GY_CHAT_PATH,
        .handler = &gy_chat_websocket_handler,
        .context = server,
        .rules = {.sha1 = gy_sha1,
                  .origins = origins,
                  .origin_count = origin_count,
                  .any_origin = any_origin,
                  .subprotocols = subprotocols,
                  .subprotocol_count = 1},
        .limits = gy_chat_websocket_limits(server),
        .connections_max = server->connections,
    };
    web->http.handler = &web_handler;
    web->http.context = web;
    web->http.worker_open = web_worker_open;
    web->http.worker_close = web_worker_close;
}
