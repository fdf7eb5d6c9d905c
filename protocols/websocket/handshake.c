/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/websocket/handshake.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Writes (bytes + 2) / 3 * 4 characters (RFC 4648 §4). */
static void base64(const uint8_t *data, size_t bytes, char *to)
{
    for (size_t at = 0; at < bytes; at += 3) {
        size_t here = bytes - at < 3 ? bytes - at : 3;
        uint32_t group = (uint32_t)data[at] << 16;
        group |= here > 1 ? (uint32_t)data[at + 1] << 8 : 0;
        group |= here > 2 ? data[at + 2] : 0;
        *to++ = base64_digits[group >> 18];
        *to++ = base64_digits[group >> 12 & 63];
        *to++ = here > 1 ? base64_digits[group >> 6 & 63] : '=';
        *to++ = here > 2 ? base64_digits[group & 63] : '=';
    }
}

void gy_ws_key_accept(gy_ws_sha1 *sha1, const char key[GY_WS_KEY_BYTES],
                      char accept[GY_WS_ACCEPT_BYTES])
{
    char text[GY_WS_KEY_BYTES + sizeof GUID - 1];
    uint8_t digest[20];
    memcpy(text, key, GY_WS_KEY_BYTES);
    memcpy(text + GY_WS_KEY_BYTES, GUID, sizeof GUID - 1);
    sha1(text, sizeof text, digest);
    base64(digest, sizeof digest, accept);
}

void gy_ws_key_make(const uint8_t random[16], char key[GY_WS_KEY_BYTES])
{
    base64(random, 16, key);
}

/* 22 digits and "==": 16 bytes. */
static bool is_key(struct gy_http_text key)
{
    if (key.length != GY_WS_KEY_BYTES || key.data[22] != '=' || key.data[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (key.data[i] == '\0' || strchr(base64_digits, key.data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool gy_ws_is_asked(const struct gy_http_exchange *exchange)
{
    return gy_http_list_has(gy_http_protocol(exchange), "websocket");
}

bool gy_ws_origin_allowed(const struct gy_ws_rules *rules, struct gy_http_text origin,
                          struct gy_http_text authority)
{
    if (rules->any_origin || origin.data == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < rules->origin_count; i++) {
        if (gy_http_text_equal_nocase(origin, gy_http_text_of(rules->origins[i]))) {
            return true;
        }
    }
    if (rules->origin_count > 0) {
        return false;
    }
    /* Behind a proxy that ends TLS the scheme is another one, so that only the host counts. */
    static const char *const schemes[] = {"http://", "https://"};
    for (uint32_t i = 0; i < 2; i++) {
        size_t length = strlen(schemes[i]);
        if (origin.length > length &&
            gy_http_text_equal_nocase((struct gy_http_text){origin.data, length},
                                      gy_http_text_of(schemes[i]))) {
            return gy_http_text_equal_nocase(
                (struct gy_http_text){origin.data + length, origin.length - length}, authority);
        }
    }
    return false;
}

/* The first of ours that the client lists (§4.2.2), or -1. */
static int choose(const struct gy_http_exchange *exchange, const struct gy_ws_rules *rules)
{
    for (uint32_t i = 0; i < rules->subprotocol_count; i++) {
        uint32_t from = 0;
        struct gy_http_text list;
        while ((list = gy_http_field_find(exchange, "Sec-WebSocket-Protocol", &from)).data !=
               NULL) {
            if (gy_http_list_has(list, rules->subprotocols[i])) {
                return (int)i;
            }
        }
    }
    return -1;
}

static int refuse(struct gy_http_exchange *exchange, uint16_t status,
                  const struct gy_http_header *headers, uint32_t header_count,
                  struct gy_http_text why)
{
    struct gy_http_header all[3] = {GY_HTTP_HEADER("Content-Type", "text/plain; charset=utf-8")};
    gy_assert(header_count <= 2);
    for (uint32_t i = 0; i < header_count; i++) {
        all[1 + i] = headers[i];
    }
    struct gy_http_response response = {.status = status,
                                        .kind = GY_HTTP_BODY_TEXT,
                                        .headers = all,
                                        .header_count = 1 + header_count,
                                        .body.text = why};
    gy_http_respond(exchange, &response);
    return status;
}

#define REFUSE(exchange, status, why) refuse(exchange, status, NULL, 0, GY_HTTP_TEXT(why))

/* What is wrong with the request, answered; or 0. */
static int check(struct gy_http_exchange *exchange, const struct gy_ws_rules *rules,
                 struct gy_http_text *key)
{
    enum gy_http_method method = gy_http_method(exchange);
    bool connect = method == GY_HTTP_CONNECT; /* RFC 8441: HTTP/2 and later ask so */
    if (method != GY_HTTP_GET && !connect) {
        static const struct gy_http_header allow[] = {{{"Allow", 5}, {"GET", 3}}};
        return refuse(exchange, 405, allow, 1,
                      GY_HTTP_TEXT("This is a WebSocket: it is opened with GET.\n"));
    }
    struct gy_http_text version = gy_http_field_find(exchange, "Sec-WebSocket-Version", NULL);
    if (!gy_ws_is_asked(exchange) || version.data == NULL ||
        !gy_http_text_equal(version, GY_HTTP_TEXT("13"))) {
        static const struct gy_http_header wanted[] = {
            {{"Upgrade", 7}, {"websocket", 9}},
            {{"Sec-WebSocket-Version", 21}, {"13", 2}},
        };
        return refuse(exchange, 426, wanted, 2,
                      GY_HTTP_TEXT("This is a WebSocket, of version 13 (RFC 6455): ask with "
                                   "Upgrade: websocket.\n"));
    }
    *key = gy_http_field_find(exchange, "Sec-WebSocket-Key", NULL);
    if (!connect && (key->data == NULL || !is_key(*key))) {
        return REFUSE(exchange, 400, "Sec-WebSocket-Key is not 16 bytes in base64.\n");
    }
    if (!gy_ws_origin_allowed(rules, gy_http_field_find(exchange, "Origin", NULL),
                              gy_http_authority(exchange))) {
        return REFUSE(exchange, 403, "Pages of this Origin may not open this WebSocket.\n");
    }
    return 0;
}

/* The first offer that can be met, of all of the fields (RFC 7692 §5.1). */
static bool choose_deflate(const struct gy_http_exchange *exchange,
                           const struct gy_ws_terms *allowed, struct gy_ws_agreed *agreed,
                           char extension[GY_WS_EXTENSION_BYTES])
{
    uint32_t from = 0;
    struct gy_http_text value;
    while ((value = gy_http_field_find(exchange, "Sec-WebSocket-Extensions", &from)).data != NULL) {
        if (gy_ws_deflate_accept(allowed, value, &agreed->terms, extension)) {
            agreed->deflate = true;
            return true;
        }
    }
    return false;
}

int gy_ws_upgrade(struct gy_http_exchange *exchange, const struct gy_ws_rules *rules,
                  const struct gy_ws_terms *deflate, struct gy_ws_agreed *agreed)
{
    struct gy_http_text key;
    struct gy_http_header headers[3];
    uint32_t count = 0;
    char accept[GY_WS_ACCEPT_BYTES];
    char extension[GY_WS_EXTENSION_BYTES];
    int status = check(exchange, rules, &key);
    if (status != 0) {
        return status;
    }
    if (gy_http_method(exchange) == GY_HTTP_GET) {
        gy_ws_key_accept(rules->sha1, key.data, accept);
        headers[count++] =
            (struct gy_http_header){GY_HTTP_TEXT("Sec-WebSocket-Accept"), {accept, sizeof accept}};
    }
    int chosen = choose(exchange, rules);
    if (chosen >= 0) {
        headers[count++] = (struct gy_http_header){GY_HTTP_TEXT("Sec-WebSocket-Protocol"),
                                                   gy_http_text_of(rules->subprotocols[chosen])};
    }
    *agreed = (struct gy_ws_agreed){.subprotocol = chosen};
    if (deflate != NULL && choose_deflate(exchange, deflate, agreed, extension)) {
        headers[count++] = (struct gy_http_header){GY_HTTP_TEXT("Sec-WebSocket-Extensions"),
                                                   gy_http_text_of(extension)};
    }
    switch (gy_http_tunnel(exchange, GY_HTTP_TEXT("websocket"), headers, count)) {
    case 0:
        return 0;
    case GY_ENOBUFS:
        return 503; /* the transport has given it up */
    case GY_ESTATE:
        return REFUSE(exchange, 400, "A request for a WebSocket has no body.\n");
    default:
        return 500;
    }
}
