/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/websocket/ws_utf8.h"

/* A first byte that is not ASCII: how many follow it, and what the next may be (RFC 3629 §4). */
static bool begin(struct gy_ws_utf8 *state, uint8_t first)
{
    state->low = 0x80;
    state->high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
        state->left = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
        state->left = 2;
        state->low = first == 0xe0 ? 0xa0 : 0x80;  /* shorter forms exist */
        state->high = first == 0xed ? 0x9f : 0xbf; /* surrogates */
    } else if (first >= 0xf0 && first <= 0xf4) {
        state->left = 3;
        state->low = first == 0xf0 ? 0x90 : 0x80;
        state->high = first == 0xf4 ? 0x8f : 0xbf; /* past U+10FFFF */
    } else {
        return false;
    }
    return true;
}

bool gy_ws_utf8_take(struct gy_ws_utf8 *state, const struct gy_ws_vector *vector,
                     const uint8_t *data, size_t bytes)
{
    struct gy_ws_utf8 now = *state;
    size_t at = 0;
    while (at < bytes) {
        uint8_t byte = data[at];
        if (now.left > 0) {
            if (byte < now.low || byte > now.high) {
                return false;
            }
            now.left--;
            now.low = 0x80;
            now.high = 0xbf;
            at++;
        } else if (byte < 0x80) {
            at += vector->ascii(data + at, bytes - at);
        } else {
            if (!begin(&now, byte)) {
                return false;
            }
            at++;
        }
    }
    *state = now;
    return true;
}
