/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_HEAD_IMPL_H
#define GY_PROTOCOLS_HTTP_H1_HEAD_IMPL_H

/*
 * The head of a response, written into room that was measured before: each call writes at `at` and
 * returns where the next one goes on. For h1_response.c alone: as functions of another file they
 * cost a small request 22 instructions.
 */

#include "protocols/http/h1_internal.h"

/* Room for what the transport adds to the handler's fields: status line (at most 60), Date and
 * Server (sizeof common), Content-Length (38) or Transfer-Encoding (28), Connection (24, and 21 for
 * 426), the empty line. */
#define GY_H1_HEAD_ROOM (256 + sizeof(((struct gy_h1_env *)0)->common))

/* Fields that are the transport's matter. */
enum gy_h1_special {
    GY_H1_ORDINARY,
    GY_H1_DATE,
    GY_H1_SERVER,
    GY_H1_FRAMING, /* the transport's own */
    GY_H1_UPGRADE, /* likewise, but for 426 (RFC 9110 §15.5.22) */
    GY_H1_MAY_UPGRADE,
};

static inline uint8_t *gy_h1_put(uint8_t *at, const char *text, size_t length)
{
    memcpy(at, text, length);
    return at + length;
}

#define GY_H1_PUT(at, literal) gy_h1_put(at, literal, sizeof(literal) - 1)

/* At most 20 digits. */
static uint8_t *gy_h1_put_decimal(uint8_t *at, uint64_t value)
{
    if (value < 100) {
        if (value >= 10) {
            *at++ = (uint8_t)('0' + value / 10);
        }
        *at++ = (uint8_t)('0' + value % 10);
        return at;
    }
    uint8_t digits[20];
    uint32_t length = 0;
    do {
        digits[sizeof digits - ++length] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(at, digits + sizeof digits - length, length);
    return at + length;
}

static inline uint8_t *gy_h1_put_status(uint8_t *at, uint16_t status)
{
    if (__builtin_expect(status == 200, 1)) {
        return GY_H1_PUT(at, "HTTP/1.1 200 OK\r\n");
    }
    at = GY_H1_PUT(at, "HTTP/1.1 ");
    at = gy_h1_put_decimal(at, status);
    *at++ = ' ';
    struct gy_http_text reason = gy_http_reason_text(status);
    at = gy_h1_put(at, reason.data, reason.length);
    return GY_H1_PUT(at, "\r\n");
}

static enum gy_h1_special special_header(struct gy_http_text name)
{
    const uint8_t *data = (const uint8_t *)name.data;
    switch (name.length) {
    case 4:
        return gy_http_token_is(data, "date", 4) ? GY_H1_DATE : GY_H1_ORDINARY;
    case 6:
        return gy_http_token_is(data, "server", 6) ? GY_H1_SERVER : GY_H1_ORDINARY;
    case 7:
        return gy_http_token_is(data, "upgrade", 7) ? GY_H1_UPGRADE : GY_H1_ORDINARY;
    case 10:
        return gy_http_token_is(data, "connection", 10) || gy_http_token_is(data, "keep-alive", 10)
                   ? GY_H1_FRAMING
                   : GY_H1_ORDINARY;
    case 14:
        return gy_http_token_is(data, "content-length", 14) ? GY_H1_FRAMING : GY_H1_ORDINARY;
    case 17:
        return gy_http_token_is(data, "transfer-encoding", 17) ? GY_H1_FRAMING : GY_H1_ORDINARY;
    default:
        return GY_H1_ORDINARY;
    }
}

/* Field lines. `given` gets a bit for each enum gy_h1_special seen; GY_H1_MAY_UPGRADE is the
 * caller's. NULL when one must not be sent. */
static uint8_t *gy_h1_put_headers(uint8_t *at, const struct gy_h1_env *env,
                                  const struct gy_http_header *headers, uint32_t count,
                                  uint32_t *given)
{
    for (uint32_t i = 0; i < count; i++) {
        if (headers[i].name.length <= 17 &&
            (GY_H1_SPECIAL_LENGTHS >> headers[i].name.length & 1) != 0) {
            *given |= 1u << special_header(headers[i].name);
        }
    }
    if ((*given & 1u << GY_H1_FRAMING) != 0 ||
        (*given & (1u << GY_H1_UPGRADE | 1u << GY_H1_MAY_UPGRADE)) == 1u << GY_H1_UPGRADE) {
        return NULL;
    }
    return env->parser->put_headers(at, headers, count);
}

/* What gy_h1_put_headers() writes at most; capped, so that sums cannot wrap. */
static uint32_t gy_h1_headers_bytes(const struct gy_http_header *headers, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count && bytes <= GY_BUMP_BLOCK_BYTES; i++) {
        if (headers[i].name.length > GY_BUMP_BLOCK_BYTES ||
            headers[i].value.length > GY_BUMP_BLOCK_BYTES) {
            return GY_BUMP_BLOCK_BYTES + 1;
        }
        bytes += headers[i].name.length + headers[i].value.length + 4;
    }
    return (uint32_t)bytes;
}

/* Date and Server, but those that the handler gave. `at` has room for all of `common`. */
static inline uint8_t *gy_h1_put_common(uint8_t *at, const struct gy_h1_env *env, uint32_t given)
{
    if (__builtin_expect((given & (1u << GY_H1_DATE | 1u << GY_H1_SERVER)) == 0, 1)) {
        memcpy(at, env->common, sizeof env->common);
        return at + env->common_bytes;
    }
    if ((given & 1u << GY_H1_DATE) == 0) {
        at = gy_h1_put(at, env->common, env->date_bytes);
    }
    if ((given & 1u << GY_H1_SERVER) == 0) {
        at = gy_h1_put(at, env->common + env->date_bytes, env->common_bytes - env->date_bytes);
    }
    return at;
}

#endif
