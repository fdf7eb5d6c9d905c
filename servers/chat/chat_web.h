/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_CHAT_WEB_H
#define GY_SERVERS_CHAT_CHAT_WEB_H

/*
 * The chat's own HTTP server: its page (page/), and the WebSocket /chat behind it.
 *
 *     GET /      the page; what it needs lies beside it
 *     GET /chat  a WebSocket of the subprotocol gyre-chat-1, for pages of the same host, or of the
 *                origins that are allowed
 *
 * Nothing is allocated per request.
 */

#include "../http/embedded.h"
#include "chat_server.h"

#define GY_CHAT_ORIGINS_MAX 16

/* Zero it, gy_chat_web_init(), serve `http`, keep it until the end. */
struct gy_chat_web {
    struct gy_http_server http;
    struct gy_websocket socket;
    struct gy_chat_server *server;
    struct gy_embedded_buffers buffers;
};

/* `origins` (see struct gy_ws_rules) outlive it. */
void gy_chat_web_init(struct gy_chat_web *web, struct gy_chat_server *server,
                      const char *const *origins, uint32_t origin_count, bool any_origin);

#endif
