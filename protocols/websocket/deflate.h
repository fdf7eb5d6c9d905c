/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_WEBSOCKET_DEFLATE_H
#define GY_PROTOCOLS_WEBSOCKET_DEFLATE_H

/*
 * permessage-deflate (RFC 7692): how it is agreed on, and one connection's two streams. Needs zlib
 * (GY_WS_HAVE_DEFLATE); without it nothing is ever agreed on.
 *
 * A server reads the client's offers with gy_ws_deflate_accept(), and gives what was agreed on to
 * gy_ws_deflate_open(); the result goes to gy_ws_use_deflate(). What the two streams take at most
 * is gy_ws_deflate_bytes(): who has not so much to give makes no agreement.
 *
 * Memory is the caller's: zlib allocates through struct gy_ws_memory alone. A side that keeps no
 * context between messages (…_no_context_takeover) holds none between them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../core/slice.h"
#include "../http/http.h"

/* Windows are of 2^bits bytes; zlib writes none of 2^8. */
#define GY_WS_BITS_MIN 9
#define GY_WS_BITS_MAX 15

/* The longest value of Sec-WebSocket-Extensions that is written here. */
#define GY_WS_EXTENSION_BYTES 160

struct gy_ws_memory {
    void *(*take)(void *context, size_t bytes); /* NULL: none left */
    void (*give)(void *context, void *piece);
    void *context;
};

/* What was agreed on (§7.1), and what a server allows or a client asks for. */
struct gy_ws_terms {
    bool server_no_takeover; /* the server's messages do not refer to earlier ones */
    bool client_no_takeover;
    uint8_t server_bits; /* of the window of what the server sends: 9 to 15 (8 when reading) */
    uint8_t client_bits;
};

/*
 * Server. `value`: of one Sec-WebSocket-Extensions field; the first offer in it that can be met is
 * accepted (§5.1). `allowed`: no_takeover is insisted on, windows are at most so large: a client
 * that does not let its own be bounded is taken only when 15 are allowed. True: `agreed` is set,
 * and `answer` is what the response's field says, zero-terminated.
 */
bool gy_ws_deflate_accept(const struct gy_ws_terms *allowed, struct gy_http_text value,
                          struct gy_ws_terms *agreed, char answer[GY_WS_EXTENSION_BYTES]);

/* Client: what to offer, zero-terminated. */
void gy_ws_deflate_offer(const struct gy_ws_terms *asked, char offer[GY_WS_EXTENSION_BYTES]);

/* Client: whether the server's field answers that offer; a NULL return sets `agreed`, otherwise a
 * sentence says what is wrong (§7.1). */
const char *gy_ws_deflate_check(const struct gy_ws_terms *asked, struct gy_http_text value,
                                struct gy_ws_terms *agreed);

/* ---- streams: private to protocols/websocket but for open, bytes and close ---- */

struct gy_ws_deflate;

bool gy_ws_have_deflate(void);

/* The most that a connection with these terms takes, at this side of it. */
size_t gy_ws_deflate_bytes(const struct gy_ws_terms *terms, bool client);

/* One connection's. 0; GY_ENOMEM; GY_ENOTSUP without zlib. */
int gy_ws_deflate_open(struct gy_ws_deflate **deflate, const struct gy_ws_terms *terms, bool client,
                       const struct gy_ws_memory *memory);
void gy_ws_deflate_close(struct gy_ws_deflate *deflate);

#endif
