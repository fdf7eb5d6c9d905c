/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_UTF8_H
#define GY_CORE_UTF8_H

/*
 * UTF-8 (RFC 3629) in text that others wrote, where it is shown to people: what is a character, and
 * which of them could make the text look like another.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a character by its first byte (§3), 0 when none begins so. */
static inline size_t gy_utf8_bytes(uint8_t first)
{
    return first < 0x80                    ? 1
           : first >= 0xc2 && first < 0xe0 ? 2
           : first >= 0xe0 && first < 0xf0 ? 3
           : first >= 0xf0 && first < 0xf5 ? 4
                                           : 0;
}

/* Decodes the character at `text`, of which `left` (> 0) bytes are there; returns its bytes, or 0
 * when it is none: cut, too long for what it says, a surrogate, or past the last. */
static inline size_t gy_utf8_decode(const char *text, size_t left, uint32_t *code)
{
    uint8_t first = (uint8_t)text[0];
    size_t bytes = gy_utf8_bytes(first);
    if (bytes == 0 || bytes > left) {
        return 0;
    }
    *code = bytes == 1 ? first : first & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++) {
        uint8_t next = (uint8_t)text[i];
        if ((next & 0xc0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (next & 0x3f);
    }
    bool overlong = (bytes == 3 && *code < 0x800) || (bytes == 4 && *code < 0x10000);
    bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return overlong || surrogate || *code > 0x10ffff ? 0 : bytes;
}

/* Controls (C0, DEL, C1), line and paragraph separators, and what turns the reading direction: they
 * drive a terminal, or make a name look like another. */
static inline bool gy_utf8_misleads(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

#endif
