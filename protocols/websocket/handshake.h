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

#include "../http/http.h"

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

/* Whether a request asks for WebSocket, of whatever version. */
bool gy_ws_is_asked(const struct gy_http_exchange *exchange);

/*
 * Answers a request: called within the handler's `request`. Returns 0 when the exchange has become
 * a tunnel; `subprotocol` (may be NULL) is then the index of the one agreed on, or -1. Otherwise
 * the status of the answer that was given:
 *
 * - 400 for a key that is none
 * - 403 for an Origin that may not connect
 * - 405 for a method other than GET
 * - 426 for a request that is no upgrade to WebSocket, or to another version than 13 (§4.4)
 * - 500, 503 where the tunnel could not be made
 */
int gy_ws_upgrade(struct gy_http_exchange *exchange, const struct gy_ws_rules *rules,
                  int *subprotocol);

/* Whether an Origin may connect to an authority under these rules. */
bool gy_ws_origin_allowed(const struct gy_ws_rules *rules, struct gy_http_text origin,
                          struct gy_http_text authority);

#endif
