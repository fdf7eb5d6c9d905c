/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_SYNTAX_H
#define GY_PROTOCOLS_HTTP_SYNTAX_H

/*
 * The characters and small grammars of HTTP that every version shares (RFC 9110 §5.6, §7; RFC 3986
 * §3.2). Internal to protocols/http.
 */

#include "protocols/http/http.h"

enum gy_http_class_bit {
    GY_HTTP_CLASS_TOKEN = 1 << 0,  /* tchar, RFC 9110 §5.6.2 */
    GY_HTTP_CLASS_TARGET = 1 << 1, /* visible ASCII but '#': what a request target may have */
    GY_HTTP_CLASS_HOST = 1 << 2,   /* unreserved and sub-delims of a reg-name, RFC 3986 §3.2.2 */
    GY_HTTP_CLASS_HEX = 1 << 3,
    GY_HTTP_CLASS_VALUE = 1 << 4, /* HTAB, SP, VCHAR, obs-text: RFC 9110 §5.5 */
    GY_HTTP_CLASS_DIGIT = 1 << 5,
};

extern const uint8_t gy_http_class[256];

static inline bool gy_http_is(uint8_t byte, enum gy_http_class_bit bit)
{
    return (gy_http_class[byte] & bit) != 0;
}

static inline bool gy_http_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* 0 to 15, or 255 for a byte that is no hexadecimal digit. */
uint8_t gy_http_hex(uint8_t byte);

/* Whether every byte has the class; true for an empty text. */
bool gy_http_all(struct gy_http_text text, enum gy_http_class_bit bit);

/* uri-host [ ":" port ], not empty, no user information (RFC 9110 §4.2.4, §7.2). `port_needed`: the
 * authority-form of CONNECT (RFC 9112 §3.2.3). */
bool gy_http_authority_valid(struct gy_http_text authority, bool port_needed);

/* The same, where the first `plain_bytes` bytes are known to be GY_HTTP_CLASS_HOST. */
bool gy_http_authority_rest_valid(struct gy_http_text authority, size_t plain_bytes,
                                  bool port_needed);

/* Whether `text` equals `lower`, which is lower case and consists of letters and '-'; both are
 * `length` bytes, at least 4. Not for texts with control characters: CR would pass for '-'. Whole
 * words, overlapping, so that a constant is compared in two steps. */
static inline __attribute__((always_inline)) bool gy_http_token_is(const uint8_t *text,
                                                                   const char *lower, size_t length)
{
    if (length >= 8) {
        uint64_t difference = 0;
        for (size_t i = 0; i < length; i += 8) {
            size_t at = i + 8 <= length ? i : length - 8;
            uint64_t a, b;
            memcpy(&a, text + at, 8);
            memcpy(&b, lower + at, 8);
            difference |= (a | UINT64_C(0x2020202020202020)) ^ b;
        }
        return difference == 0;
    }
    uint32_t a, b, c, d;
    memcpy(&a, text, 4);
    memcpy(&b, lower, 4);
    size_t last = length - 4;
    memcpy(&c, text + last, 4);
    memcpy(&d, lower + last, 4);
    return (((a | 0x20202020) ^ b) | ((c | 0x20202020) ^ d)) == 0;
}

/* The next element of a comma-separated list, without the white space around it; false at the end.
 * Empty elements are returned too. `rest` starts as the whole list and is moved on. */
bool gy_http_list_next(struct gy_http_text *rest, struct gy_http_text *element);

/* Whether a field of this name must not be merged from a trailer section (RFC 9110 §6.5.1): it
 * frames, routes, authenticates, or changes how the content is handled. */
bool gy_http_trailer_forbidden(struct gy_http_text name);

enum gy_http_method gy_http_method_of(struct gy_http_text name);

/* Reason phrase as a text. */
struct gy_http_text gy_http_reason_text(uint16_t status);

#endif
