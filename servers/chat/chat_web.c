/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/chat_web.h"

#include "core/sha1.h"
#include "core/worker.h"
#include "servers/chat/chat_internal.h"

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
    const struct gy_embedded_file *file =
        gy_embedded_find(&gy_chat_page, gy_embedded_path(exchange));
    if (file != NULL) {
        gy_embedded_answer(&web->buffers, &gy_chat_page, file, exchange);
    } else {
        gy_http_answer_error(exchange, 404, NULL);
    }
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
