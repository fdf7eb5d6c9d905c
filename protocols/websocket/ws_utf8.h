/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_WEBSOCKET_WS_UTF8_H
#define GY_PROTOCOLS_WEBSOCKET_WS_UTF8_H

/*
 * UTF-8 (RFC 3629) that arrives in pieces, which may be cut within a character: text messages and
 * the reasons of Close frames. The first byte that no valid text could go on with is found at once,
 * not at the end of its character. core/utf8.h decodes whole characters; this decodes nothing.
 */

#include <stdbool.h>

#include "protocols/websocket/websocket.h"
#include "protocols/websocket/ws_mask.h"

/* Takes a piece; `state` is zeroed before the first. False: it is not UTF-8, and what comes then
 * says nothing. */
bool gy_ws_utf8_take(struct gy_ws_utf8 *state, const struct gy_ws_vector *vector,
                     const uint8_t *data, size_t bytes);

/* Whether text may end here. */
static inline bool gy_ws_utf8_whole(const struct gy_ws_utf8 *state)
{
    return state->left == 0;
}

#endif
