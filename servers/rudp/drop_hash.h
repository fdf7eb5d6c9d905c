/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_DROP_HASH_H
#define GY_SERVERS_RUDP_DROP_HASH_H

/* SHA-256 as far as files over reliable UDP need it: of what has come so far, going on after it. */

#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "../../core/error.h"
#include "../../protocols/drop/drop.h"

struct gy_drop_hash {
    wc_Sha256 state;
};

static inline void gy_drop_hash_begin(struct gy_drop_hash *hash)
{
    gy_assert(wc_InitSha256(&hash->state) == 0);
}

static inline void gy_drop_hash_add(struct gy_drop_hash *hash, const void *data, size_t bytes)
{
    gy_assert(bytes <= UINT32_MAX);
    gy_assert(wc_Sha256Update(&hash->state, data, (word32)bytes) == 0);
}

/* Of all that was added; more may follow. */
static inline void gy_drop_hash_read(struct gy_drop_hash *hash, uint8_t out[GY_DROP_HASH_BYTES])
{
    gy_assert(wc_Sha256GetHash(&hash->state, out) == 0);
}

#endif
