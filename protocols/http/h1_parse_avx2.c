/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The parser for x86-64 processors with AVX2: targets and values thirty-two bytes at a time. Field
 * names are short, so that sixteen at a time is best for them. */

#include "protocols/http/h1_parse.h"
#include "protocols/http/syntax.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define PARSER gy_h1_parser_avx2
#define NAME   "avx2"
#define TARGET __attribute__((target("avx2,bmi")))

#include "protocols/http/h1_scan_sse.h"

static inline TARGET uint32_t not_target_32(__m256i bytes)
{
    __m256i good = _mm256_cmpgt_epi8(bytes, _mm256_set1_epi8(0x20));
    __m256i bad = _mm256_or_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f)),
                                  _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('#')));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_andnot_si256(bad, good));
}

static inline TARGET uint32_t not_value_32(__m256i bytes)
{
    const __m256i last_control = _mm256_set1_epi8(0x1f);
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, last_control), bytes);
    control = _mm256_andnot_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\t')), control);
    control = _mm256_or_si256(control, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f)));
    return (uint32_t)_mm256_movemask_epi8(control);
}

static inline TARGET const uint8_t *skip_token(const uint8_t *at, const uint8_t *end)
{
    return skip_token_16(at, end);
}

static inline TARGET const uint8_t *skip_target(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 32) {
        uint32_t found = not_target_32(_mm256_loadu_si256((const __m256i *)(const void *)at));
        if (found != 0) {
            return at + __builtin_ctz(found);
        }
        at += 32;
    }
    return skip_target_16(at, end);
}

static inline TARGET const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 32) {
        uint32_t found = not_value_32(_mm256_loadu_si256((const __m256i *)(const void *)at));
        if (found != 0) {
            return at + __builtin_ctz(found);
        }
        at += 32;
    }
    return skip_value_16(at, end);
}

static inline TARGET const uint8_t *skip_host(const uint8_t *at, const uint8_t *end)
{
    return skip_host_16(at, end);
}

#include "protocols/http/h1_parse_impl.h"

#endif
