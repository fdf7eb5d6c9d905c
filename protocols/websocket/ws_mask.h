/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_WEBSOCKET_WS_MASK_H
#define GY_PROTOCOLS_WEBSOCKET_WS_MASK_H

/*
 * Masking (RFC 6455 §5.3), and where text stops being ASCII: what touches every byte. One set of
 * functions for each instruction set; all give equal results. Internal to protocols/websocket.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct gy_ws_vector {
    const char *name;

    /* to[i] = from[i] ^ key[i % 4], where the key's bytes lie in memory as they do on the wire.
     * `to` and `from` are the same, or do not overlap. */
    void (*mask)(uint8_t *to, const uint8_t *from, size_t bytes, uint32_t key);

    /* How many bytes from `data` on are below 0x80. */
    size_t (*ascii)(const uint8_t *data, size_t bytes);
};

extern const struct gy_ws_vector gy_ws_vector_portable;
#if defined(__x86_64__)
extern const struct gy_ws_vector gy_ws_vector_sse2;
extern const struct gy_ws_vector gy_ws_vector_avx2;
#endif

/* What this processor can run, fastest first; NULL behind the last. */
const struct gy_ws_vector *gy_ws_vector_nth(uint32_t index);

/* The key for bytes from position `by` on. */
static inline uint32_t gy_ws_key_turn(uint32_t key, uint64_t by)
{
    uint8_t bytes[4], turned[4];
    memcpy(bytes, &key, 4);
    for (uint32_t i = 0; i < 4; i++) {
        turned[i] = bytes[(i + by) & 3];
    }
    memcpy(&key, turned, 4);
    return key;
}

/* The last bytes, one by one. */
static inline void gy_ws_mask_tail(uint8_t *to, const uint8_t *from, size_t bytes, uint32_t key)
{
    uint8_t key_bytes[4];
    memcpy(key_bytes, &key, 4);
    for (size_t i = 0; i < bytes; i++) {
        to[i] = from[i] ^ key_bytes[i & 3];
    }
}

/* Eight at a time; shared by all variants for what is left. */
static inline void gy_ws_mask_8(uint8_t *to, const uint8_t *from, size_t bytes, uint32_t key)
{
    uint64_t wide = (uint64_t)key << 32 | key;
    for (; bytes >= 8; bytes -= 8, to += 8, from += 8) {
        uint64_t word;
        memcpy(&word, from, 8);
        word ^= wide;
        memcpy(to, &word, 8);
    }
    gy_ws_mask_tail(to, from, bytes, key);
}

static inline size_t gy_ws_ascii_8(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    for (; bytes - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, 8);
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
    }
    while (at < bytes && data[at] < 0x80) {
        at++;
    }
    return at;
}

#endif
