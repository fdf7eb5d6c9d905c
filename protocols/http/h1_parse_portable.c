/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The parser for any processor: eight bytes at a time where a run of ordinary bytes is expected. */

#include "protocols/http/h1_parse.h"
#include "protocols/http/syntax.h"

#define PARSER gy_h1_parser_portable
#define NAME   "portable"
#define TARGET

#define EVERY(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Non-zero when one of eight bytes is below `limit` (1 to 128). */
static inline uint64_t any_below(uint64_t bytes, uint8_t limit)
{
    return (bytes - EVERY(limit)) & ~bytes & EVERY(0x80);
}

static inline uint64_t any_equal(uint64_t bytes, uint8_t byte)
{
    return any_below(bytes ^ EVERY(byte), 1);
}

static inline uint64_t load(const uint8_t *at)
{
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    return bytes;
}

static inline const uint8_t *skip_class(const uint8_t *at, const uint8_t *end,
                                        enum gy_http_class_bit bit)
{
    while (at < end && gy_http_is(*at, bit)) {
        at++;
    }
    return at;
}

static inline const uint8_t *skip_token(const uint8_t *at, const uint8_t *end)
{
    return skip_class(at, end, GY_HTTP_CLASS_TOKEN);
}

static inline const uint8_t *skip_target(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        uint64_t bytes = load(at);
        if ((any_below(bytes, 0x21) | any_equal(bytes, '#') | any_equal(bytes, 0x7f) |
             (bytes & EVERY(0x80))) != 0) {
            break;
        }
        at += 8;
    }
    return skip_class(at, end, GY_HTTP_CLASS_TARGET);
}

static inline const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    for (;;) {
        while (end - at >= 8 && (any_below(load(at), 0x20) | any_equal(load(at), 0x7f)) == 0) {
            at += 8;
        }
        /* Fewer than eight are left, or one of them is a control character: HTAB is none. */
        const uint8_t *stop = end - at > 8 ? at + 8 : end;
        at = skip_class(at, stop, GY_HTTP_CLASS_VALUE);
        if (at != stop || stop == end) {
            return at;
        }
    }
}

static inline const uint8_t *skip_host(const uint8_t *at, const uint8_t *end)
{
    return skip_class(at, end, GY_HTTP_CLASS_HOST);
}

static inline uint32_t copy_class(uint8_t *to, struct gy_http_text text, enum gy_http_class_bit bit)
{
    uint8_t classes = 255;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        classes &= gy_http_class[byte];
        to[i] = byte;
    }
    return (classes & bit) == 0;
}

static inline uint32_t copy_token(uint8_t *to, struct gy_http_text text)
{
    return copy_class(to, text, GY_HTTP_CLASS_TOKEN);
}

static inline uint32_t copy_value(uint8_t *to, struct gy_http_text text)
{
    return copy_class(to, text, GY_HTTP_CLASS_VALUE);
}

#include "protocols/http/h1_parse_impl.h"
