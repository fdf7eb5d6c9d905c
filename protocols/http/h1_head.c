/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "protocols/http/h1_head.h"

uint8_t *gy_h1_put_decimal(uint8_t *at, uint64_t value)
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

uint8_t *gy_h1_put_headers(uint8_t *at, const struct gy_h1_env *env,
                           const struct gy_http_header *headers, uint32_t count, uint32_t *given)
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

uint32_t gy_h1_headers_bytes(const struct gy_http_header *headers, uint32_t count)
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
