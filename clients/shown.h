/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_SHOWN_H
#define GY_CLIENTS_SHOWN_H

/*
 * A server's words on one line of a person's terminal: "?" stands for what would drive that, or
 * would turn the text around, and for what is no UTF-8.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../core/utf8.h"

/* Copies `length` bytes, or as many whole characters as there is room for. `capacity` > 0. Returns
 * `out`, which ends with a zero byte; `text` may be `out`. */
static inline char *gy_shown(char *out, size_t capacity, const char *text, size_t length)
{
    size_t fill = 0;
    for (size_t at = 0; at < length;) {
        uint32_t code = 0;
        size_t bytes = gy_utf8_decode(text + at, length - at, &code);
        size_t shown = bytes == 0 || gy_utf8_misleads(code) ? 1 : bytes;
        if (fill + shown >= capacity) {
            break;
        }
        if (bytes == 0 || gy_utf8_misleads(code)) {
            out[fill] = '?';
        } else {
            memmove(out + fill, text + at, bytes);
        }
        fill += shown;
        at += bytes > 0 ? bytes : 1;
    }
    out[fill] = '\0';
    return out;
}

#endif
