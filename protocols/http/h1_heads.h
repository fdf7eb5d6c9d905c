/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_HEADS_H
#define GY_PROTOCOLS_HTTP_H1_HEADS_H

/*
 * Where request heads are kept that outlive the turn in which they arrived: those of requests whose
 * bodies are on their way, or whose handlers answer later.
 *
 * They are as many and as long-lived as peers like, so they lie apart from output memory, which
 * every answer needs: each in an item of its own, of five sizes. Peers who hold all the large ones
 * keep nobody's ordinary request out.
 */

#include <stddef.h>

#include "../../core/slice.h"

#define GY_H1_HEAD_SIZES 5

struct gy_h1_heads {
    struct gy_slab sizes[GY_H1_HEAD_SIZES]; /* the smallest first */
};

/* Memory for the heads of `exchanges` requests: small ones (up to some 220, 480 and 990 bytes) for
 * each, one of 4 KiB for every eighth, one of GY_H1_HEAD_MAX for every 64th. */
size_t gy_h1_heads_bytes(uint32_t exchanges);

/* `memory` has gy_h1_heads_bytes(exchanges), is aligned to GY_SLAB_ALIGN, and outlives all that is
 * kept in it. It stays the caller's. */
void gy_h1_heads_init(struct gy_h1_heads *heads, void *memory, uint32_t exchanges);

/* A copy of `bytes` (at most GY_H1_HEAD_MAX) in a buffer held once, for the caller to drop. NULL
 * when every item that is large enough is taken. */
struct gy_buffer *gy_h1_heads_keep(struct gy_h1_heads *heads, const uint8_t *data, uint32_t bytes);

#endif
