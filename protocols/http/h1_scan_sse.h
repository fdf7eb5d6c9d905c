/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Skipping bytes of a class sixteen at a time; included by the x86 variants of the parser, which
 * define TARGET. Bytes at or behind `end` are never read: the last few are looked up one by one.
 */

/*
 * Which bytes are tchar, as two look-ups by nibble: a byte is one when the bit of its high nibble
 * (2 to 7; 0x20 for the row 0x7_, …) is set in the entry of its low nibble. Rows without any have
 * no bit.
 */
#define ROWS_HIGH 0, 0, 1, 2, 4, 8, 16, 32, 0, 0, 0, 0, 0, 0, 0, 0
/* low nibble:  row 2: ! # $ % & ' * + - .   row 3: 0-9   row 4: A-O   row 5: P-Z ^ _
 *              row 6: ` a-o                 row 7: p-z | ~ */
#define TOKEN_LOW                                                                                  \
    /* 0 */ 2 | 8 | 16 | 32, /* 1 */ 1 | 2 | 4 | 8 | 16 | 32, /* 2 */ 2 | 4 | 8 | 16 | 32,         \
        /* 3 */ 1 | 2 | 4 | 8 | 16 | 32, /* 4 */ 1 | 2 | 4 | 8 | 16 | 32,                          \
        /* 5 */ 1 | 2 | 4 | 8 | 16 | 32, /* 6 */ 1 | 2 | 4 | 8 | 16 | 32,                          \
        /* 7 */ 1 | 2 | 4 | 8 | 16 | 32, /* 8 */ 2 | 4 | 8 | 16 | 32, /* 9 */ 2 | 4 | 8 | 16 | 32, \
        /* a */ 1 | 4 | 8 | 16 | 32, /* b */ 1 | 4 | 16, /* c */ 4 | 16 | 32, /* d */ 1 | 4 | 16,  \
        /* e */ 1 | 4 | 8 | 16 | 32, /* f */ 4 | 8 | 16

/* The same for hosts.  row 2: ! $ & ' ( ) * + , - .   row 3: 0-9 ; =   row 4: A-O   row 5: P-Z _
 *                      row 6: a-o   row 7: p-z ~ */
#define HOST_LOW                                                                                   \
    /* 0 */ 2 | 8 | 32, /* 1 */ 1 | 2 | 4 | 8 | 16 | 32, /* 2 */ 2 | 4 | 8 | 16 | 32,              \
        /* 3 */ 2 | 4 | 8 | 16 | 32, /* 4 */ 1 | 2 | 4 | 8 | 16 | 32, /* 5 */ 2 | 4 | 8 | 16 | 32, \
        /* 6 */ 1 | 2 | 4 | 8 | 16 | 32, /* 7 */ 1 | 2 | 4 | 8 | 16 | 32,                          \
        /* 8 */ 1 | 2 | 4 | 8 | 16 | 32, /* 9 */ 1 | 2 | 4 | 8 | 16 | 32,                          \
        /* a */ 1 | 4 | 8 | 16 | 32, /* b */ 1 | 2 | 4 | 16, /* c */ 1 | 4 | 16,                   \
        /* d */ 1 | 2 | 4 | 16, /* e */ 1 | 4 | 16 | 32, /* f */ 4 | 8 | 16

/* A bit for each of sixteen bytes that is not of the class. */
static inline TARGET uint32_t not_in_rows_16(__m128i bytes, __m128i low)
{
    const __m128i high = _mm_setr_epi8(ROWS_HIGH);
    const __m128i nibble = _mm_set1_epi8(0x0f);
    __m128i by_low = _mm_shuffle_epi8(low, _mm_and_si128(bytes, nibble));
    __m128i by_high = _mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
    __m128i none = _mm_cmpeq_epi8(_mm_and_si128(by_low, by_high), _mm_setzero_si128());
    return (uint32_t)_mm_movemask_epi8(none);
}

static inline TARGET uint32_t not_token_16(__m128i bytes)
{
    return not_in_rows_16(bytes, _mm_setr_epi8(TOKEN_LOW));
}

static inline TARGET uint32_t not_host_16(__m128i bytes)
{
    return not_in_rows_16(bytes, _mm_setr_epi8(HOST_LOW));
}

static inline TARGET uint32_t not_target_16(__m128i bytes)
{
    /* As signed bytes 0x21 to 0x7e are those above 0x20, which leaves out 0x80 and up, but DEL. */
    __m128i good = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(0x20));
    __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)),
                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')));
    return (uint32_t)_mm_movemask_epi8(_mm_andnot_si128(bad, good)) ^ 0xffffu;
}

static inline TARGET uint32_t not_value_16(__m128i bytes)
{
    const __m128i last_control = _mm_set1_epi8(0x1f);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
    control = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')), control);
    control = _mm_or_si128(control, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
    return (uint32_t)_mm_movemask_epi8(control);
}

#define SKIP_16(name, find, bit)                                                                   \
    static inline TARGET const uint8_t *name(const uint8_t *at, const uint8_t *end)                \
    {                                                                                              \
        while (end - at >= 16) {                                                                   \
            uint32_t found = find(_mm_loadu_si128((const __m128i *)(const void *)at));             \
            if (found != 0) {                                                                      \
                return at + __builtin_ctz(found);                                                  \
            }                                                                                      \
            at += 16;                                                                              \
        }                                                                                          \
        while (at < end && gy_http_is(*at, bit)) {                                                 \
            at++;                                                                                  \
        }                                                                                          \
        return at;                                                                                 \
    }

SKIP_16(skip_token_16, not_token_16, GY_HTTP_CLASS_TOKEN)
SKIP_16(skip_target_16, not_target_16, GY_HTTP_CLASS_TARGET)
SKIP_16(skip_value_16, not_value_16, GY_HTTP_CLASS_VALUE)
SKIP_16(skip_host_16, not_host_16, GY_HTTP_CLASS_HOST)

static inline TARGET uint64_t load_8(const char *at)
{
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    return bytes;
}

static inline TARGET uint32_t load_4(const char *at)
{
    uint32_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    return bytes;
}

/* Copies a text and collects the bytes not of a class on the way: in whole words that overlap where
 * the length is none of theirs, so that nothing is read that is not the text's. */
#define COPY_16(name, find, bit)                                                                   \
    static inline TARGET uint32_t name(uint8_t *to, struct gy_http_text text)                      \
    {                                                                                              \
        const char *from = text.data;                                                              \
        size_t left = text.length;                                                                 \
        uint32_t bad = 0;                                                                          \
        if (left >= 16) {                                                                          \
            for (; left > 16; left -= 16, from += 16, to += 16) {                                  \
                __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);              \
                bad |= find(bytes);                                                                \
                _mm_storeu_si128((__m128i *)(void *)to, bytes);                                    \
            }                                                                                      \
            from -= 16 - left;                                                                     \
            to -= 16 - left;                                                                       \
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);                  \
            _mm_storeu_si128((__m128i *)(void *)to, bytes);                                        \
            return bad | find(bytes);                                                              \
        }                                                                                          \
        if (left >= 8) {                                                                           \
            uint64_t first = load_8(from);                                                         \
            uint64_t last = load_8(from + left - 8);                                               \
            memcpy(to, &first, 8);                                                                 \
            memcpy(to + left - 8, &last, 8);                                                       \
            return find(_mm_set_epi64x((long long)last, (long long)first));                        \
        }                                                                                          \
        if (left >= 4) {                                                                           \
            uint32_t first = load_4(from);                                                         \
            uint32_t last = load_4(from + left - 4);                                               \
            memcpy(to, &first, 4);                                                                 \
            memcpy(to + left - 4, &last, 4);                                                       \
            return find(_mm_set_epi32((int)last, (int)first, (int)last, (int)first));              \
        }                                                                                          \
        for (size_t i = 0; i < left; i++) {                                                        \
            bad |= !gy_http_is((uint8_t)from[i], bit);                                             \
            to[i] = (uint8_t)from[i];                                                              \
        }                                                                                          \
        return bad;                                                                                \
    }

COPY_16(copy_token, not_token_16, GY_HTTP_CLASS_TOKEN)
COPY_16(copy_value, not_value_16, GY_HTTP_CLASS_VALUE)
