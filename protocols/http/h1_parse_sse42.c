/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The parser for x86-64 processors with SSE4.2 (of it, SSSE3's byte shuffle is what counts):
 * sixteen bytes at a time. */

#include "protocols/http/h1_parse.h"
#include "protocols/http/syntax.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define PARSER gy_h1_parser_sse42
#define NAME   "sse4.2"
#define TARGET __attribute__((target("sse4.2")))

#include "protocols/http/h1_scan_sse.h"

static inline TARGET const uint8_t *skip_token(const uint8_t *at, const uint8_t *end)
{
    return skip_token_16(at, end);
}

static inline TARGET const uint8_t *skip_target(const uint8_t *at, const uint8_t *end)
{
    return skip_target_16(at, end);
}

static inline TARGET const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    return skip_value_16(at, end);
}

static inline TARGET const uint8_t *skip_host(const uint8_t *at, const uint8_t *end)
{
    return skip_host_16(at, end);
}

#include "protocols/http/h1_parse_impl.h"

#endif
