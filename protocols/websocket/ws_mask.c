/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/websocket/ws_mask.h"

static void mask(uint8_t *to, const uint8_t *from, size_t bytes, uint32_t key)
{
    gy_ws_mask_8(to, from, bytes, key);
}

static size_t ascii(const uint8_t *data, size_t bytes)
{
    return gy_ws_ascii_8(data, bytes);
}

const struct gy_ws_vector gy_ws_vector_portable = {"portable", mask, ascii};

const struct gy_ws_vector *gy_ws_vector_nth(uint32_t index)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        if (index == 0) {
            return &gy_ws_vector_avx2;
        }
        index--;
    }
    if (index == 0) {
        return &gy_ws_vector_sse2; /* every x86-64 has it */
    }
    index--;
#endif
    return index == 0 ? &gy_ws_vector_portable : NULL;
}
