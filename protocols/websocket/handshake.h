/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_WEBSOCKET_HANDSHAKE_H
#define GY_PROTOCOLS_WEBSOCKET_HANDSHAKE_H

/*
 * The opening handshake of WebSocket (RFC 6455 §4): an HTTP exchange that becomes a tunnel.
 *
 * A server gives gy_ws_upgrade() the exchange of a request for one of its paths: it becomes a
 * tunnel, or is answered with what is wrong. A client sends a key with gy_ws_key_make(), and
 * compares what comes back with gy_ws_key_accept().
 *
 * SHA-1 is the caller's (any library's): nothing here is secret, the protocol only wants proof that
 * a server has read the key.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../http/h1_client.h"
#include "../http/http.h"
#include "deflate.h"

#define GY_WS_KEY_BYTES    24 /* base64 of 16 bytes */
#define GY_WS_ACCEPT_BYTES 28 /* base64 of a SHA-1 */

/* The SHA-1 (FIPS 180-4) of `bytes` bytes at `data`. */
typedef void gy_ws_sha1(const void *data, size_t bytes, uint8_t digest[20]);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (§4.2.2): GY_WS_ACCEPT_BYTES, no zero behind. */
void gy_ws_key_accept(gy_ws_sha1 *sha1, const char key[GY_WS_KEY_BYTES],
                      char accept[GY_WS_ACCEPT_BYTES]);

/* Sec-WebSocket-Key of 16 random bytes: GY_WS_KEY_BYTES, no zero behind. */
void gy_ws_key_make(const uint8_t random[16], char key[GY_WS_KEY_BYTES]);

/* Whom a server lets in. Zero it and set `sha1`; keep what it points to. */
struct gy_ws_rules {
    gy_ws_sha1 *sha1;

    /* Pages whose scripts may connect: their Origin ("https://example.org"), compared without
     * regard to case (§4.2.1, §10.2). None: only pages of the host that is asked. A request without
     * Origin does not come from a browser's page, and is let in either way. */
    const char *const *origins;
    uint32_t origin_count;
    bool any_origin;

    /* Subprotocols, the best first (§1.9). A client that asks for none of them is let in, and told
     * that none was agreed on, which it may take as a failure. */
    const char *const *subprotocols;
    uint32_t subprotocol_count;
};

/* What was agreed on. */
struct gy_ws_agreed {
    int subprotocol; /* index, or -1 */
    bool deflate;    /* messages may be compressed, by these terms */
    struct gy_ws_terms terms;
};

/* Whether a request asks for WebSocket, of whatever version. */
bool gy_ws_is_asked(const struct gy_http_exchange *exchange);

/*
 * Answers a request: called within the handler's `request`. Returns 0 when the exchange has become
 * a tunnel, and `agreed` is set. `deflate`: what compression is allowed; NULL: none. Otherwise the
 * status of the answer that was given:
 *
 * - 400 for a key that is none
 * - 403 for an Origin that may not connect
 * - 405 for a method other than GET
 * - 426 for a request that is no upgrade to WebSocket, or to another version than 13 (§4.4)
 * - 500, 503 where the tunnel could not be made
 */
int gy_ws_upgrade(struct gy_http_exchange *exchange, const struct gy_ws_rules *rules,
                  const struct gy_ws_terms *deflate, struct gy_ws_agreed *agreed);

/* ---- clients ---- */

/* What a client asks for. The texts stay until the answer was checked. */
struct gy_ws_asks {
    gy_ws_sha1 *sha1;
    char key[GY_WS_KEY_BYTES];       /* gy_ws_key_make() of random bytes, new for each connection */
    const char *origin;              /* NULL: none, for what is no browser's page */
    const char *const *subprotocols; /* tokens, each once; the ones liked best first */
    uint32_t subprotocol_count;
    const struct gy_ws_terms *deflate; /* to be offered; NULL: no compression */
};

#define GY_WS_REQUEST_HEADERS 5

/* The fields of the request for it, beside Upgrade: websocket (GY_WS_UPGRADE), which
 * gy_h1_client_send() writes. `list` takes the subprotocols, and the extension with
 * GY_WS_EXTENSION_BYTES, `list_bytes` at most. Returns how many of `headers` there are, or
 * GY_ELIMIT when `list` is too small. */
#define GY_WS_UPGRADE "websocket"
int gy_ws_request_headers(const struct gy_ws_asks *asks,
                          struct gy_http_header headers[GY_WS_REQUEST_HEADERS], char *list,
                          size_t list_bytes);

/* Within the call's `response`: NULL when the connection is a WebSocket now, as agreed; else a
 * sentence: what about the answer is not as it has
 * to be (§4.1). Then the connection is of no more use. */
const char *gy_ws_response_check(const struct gy_ws_asks *asks, const struct gy_h1_call *call,
                                 struct gy_ws_agreed *agreed);

/* Whether an Origin may connect to an authority under these rules. */
bool gy_ws_origin_allowed(const struct gy_ws_rules *rules, struct gy_http_text origin,
                          struct gy_http_text authority);

#endif
