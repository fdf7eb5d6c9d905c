/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Masking for x86-64 processors, sixteen and thirty-two bytes at a time. */

#include "protocols/websocket/ws_mask.h"

#if defined(__x86_64__)

#include <immintrin.h>

static inline void mask_16(uint8_t *to, const uint8_t *from, size_t bytes, uint32_t key)
{
    const __m128i wide = _mm_set1_epi32((int)key);
    for (; bytes >= 16; bytes -= 16, to += 16, from += 16) {
        __m128i word = _mm_loadu_si128((const __m128i *)(const void *)from);
        _mm_storeu_si128((__m128i *)(void *)to, _mm_xor_si128(word, wide));
    }
    gy_ws_mask_8(to, from, bytes, key);
}

static inline size_t ascii_16(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    for (; bytes - at >= 16; at += 16) {
        __m128i word = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        uint32_t high = (uint32_t)_mm_movemask_epi8(word);
        if (high != 0) {
            return at + (size_t)__builtin_ctz(high);
        }
    }
    return at + gy_ws_ascii_8(data + at, bytes - at);
}

static void mask_sse2(uint8_t *to, const uint8_t *from, size_t bytes, uint32_t key)
{
    mask_16(to, from, bytes, key);
}

static size_t ascii_sse2(const uint8_t *data, size_t bytes)
{
    return ascii_16(data, bytes);
}

__attribute__((target("avx2"))) static void mask_avx2(uint8_t *to, const uint8_t *from,
                                                      size_t bytes, uint32_t key)
{
    const __m256i wide = _mm256_set1_epi32((int)key);
    for (; bytes >= 32; bytes -= 32, to += 32, from += 32) {
        __m256i word = _mm256_loadu_si256((const __m256i *)(const void *)from);
        _mm256_storeu_si256((__m256i *)(void *)to, _mm256_xor_si256(word, wide));
    }
    gy_ws_mask_8(to, from, bytes, key);
}

__attribute__((target("avx2"))) static size_t ascii_avx2(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    for (; bytes - at >= 32; at += 32) {
        __m256i word = _mm256_loadu_si256((const __m256i *)(const void *)(data + at));
        uint32_t high = (uint32_t)_mm256_movemask_epi8(word);
        if (high != 0) {
            return at + (size_t)__builtin_ctz(high);
        }
    }
    return at + gy_ws_ascii_8(data + at, bytes - at);
}

const struct gy_ws_vector gy_ws_vector_sse2 = {"sse2", mask_sse2, ascii_sse2};
const struct gy_ws_vector gy_ws_vector_avx2 = {"avx2", mask_avx2, ascii_avx2};

#endif
