/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/websocket/handshake.h"

int gy_ws_request_headers(const struct gy_ws_asks *asks,
                          struct gy_http_header headers[GY_WS_REQUEST_HEADERS], char *list,
                          size_t list_bytes)
{
    int count = 0;
    size_t fill = 0;
    headers[count++] = GY_HTTP_HEADER("Sec-WebSocket-Version", "13");
    headers[count++] =
        (struct gy_http_header){GY_HTTP_TEXT("Sec-WebSocket-Key"), {asks->key, GY_WS_KEY_BYTES}};
    if (asks->origin != NULL) {
        headers[count++] =
            (struct gy_http_header){GY_HTTP_TEXT("Origin"), gy_http_text_of(asks->origin)};
    }
    if (asks->deflate != NULL) {
        if (list_bytes < GY_WS_EXTENSION_BYTES) {
            return GY_ELIMIT;
        }
        gy_ws_deflate_offer(asks->deflate, list);
        headers[count++] = (struct gy_http_header){GY_HTTP_TEXT("Sec-WebSocket-Extensions"),
                                                   gy_http_text_of(list)};
        list += GY_WS_EXTENSION_BYTES;
        list_bytes -= GY_WS_EXTENSION_BYTES;
    }
    for (uint32_t i = 0; i < asks->subprotocol_count; i++) {
        size_t length = strlen(asks->subprotocols[i]);
        size_t comma = i > 0 ? 2 : 0;
        if (length + comma > list_bytes - fill) {
            return GY_ELIMIT;
        }
        memcpy(list + fill, ", ", comma);
        memcpy(list + fill + comma, asks->subprotocols[i], length);
        fill += comma + length;
    }
    if (asks->subprotocol_count > 0) {
        headers[count++] =
            (struct gy_http_header){GY_HTTP_TEXT("Sec-WebSocket-Protocol"), {list, fill}};
    }
    return count;
}

static bool has(const struct gy_h1_call *call, const char *name, const char *token)
{
    uint32_t from = 0;
    struct gy_http_text value;
    while ((value = gy_h1_call_field_find(call, name, &from)).data != NULL) {
        if (gy_http_list_has(value, token)) {
            return true;
        }
    }
    return false;
}

static bool once(const struct gy_h1_call *call, const char *name, struct gy_http_text *value)
{
    uint32_t from = 0;
    *value = gy_h1_call_field_find(call, name, &from);
    return value->data != NULL && gy_h1_call_field_find(call, name, &from).data == NULL;
}

const char *gy_ws_response_check(const struct gy_ws_asks *asks, const struct gy_h1_call *call,
                                 struct gy_ws_agreed *agreed)
{
    char accept[GY_WS_ACCEPT_BYTES];
    struct gy_http_text value;
    *agreed = (struct gy_ws_agreed){.subprotocol = -1};
    if (!gy_h1_call_is_tunnel(call) || gy_h1_call_status(call) != 101) {
        return "the server did not switch to WebSocket";
    }
    if (!has(call, "upgrade", GY_WS_UPGRADE) || !has(call, "connection", "upgrade")) {
        return "the server switched to something else than WebSocket";
    }
    gy_ws_key_accept(asks->sha1, asks->key, accept);
    if (!once(call, "sec-websocket-accept", &value) ||
        !gy_http_text_equal(value, (struct gy_http_text){accept, sizeof accept})) {
        return "the server's Sec-WebSocket-Accept is not the one for our key";
    }
    if (gy_h1_call_field_find(call, "sec-websocket-extensions", NULL).data != NULL) {
        if (asks->deflate == NULL || !once(call, "sec-websocket-extensions", &value)) {
            return "the server agreed on an extension that was not asked for";
        }
        const char *wrong = gy_ws_deflate_check(asks->deflate, value, &agreed->terms);
        if (wrong != NULL) {
            return wrong;
        }
        agreed->deflate = true;
    }
    if (gy_h1_call_field_find(call, "sec-websocket-protocol", NULL).data == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < asks->subprotocol_count; i++) {
        if (once(call, "sec-websocket-protocol", &value) &&
            gy_http_text_equal(value, gy_http_text_of(asks->subprotocols[i]))) {
            agreed->subprotocol = (int)i;
            return NULL;
        }
    }
    return "the server chose a subprotocol that was not asked for";
}
