/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_KEEP_H
#define GY_CORE_KEEP_H

/*
 * What a session leaves in its stream's `in` beyond its turn (DESIGN rule 11).
 *
 * Slices of up to about GY_KEEP_BYTES, or of any size while the pool is low, are copied into blocks
 * of the worker's own, so that bytes which wait for their rest do not hold buffers back from the
 * kernel. What then trickles in is added to the last block's free end, so a head that arrives byte
 * by byte occupies one block; no byte is copied twice. When the blocks are used up the slices stay
 * as they are.
 */

#include <stdint.h>

struct gy_chain;
struct gy_endpoint;
struct gy_worker;

/* Called with a chain of input that is not empty, of one of the endpoint's streams, after the
 * session's turn. Counts what it copies. */
void gy_keep_leftover(struct gy_endpoint *endpoint, struct gy_chain *in);

/* For input that is made rather than received (deciphered, say): room for at least a byte that can
 * become part of a chain of input. */
struct gy_keep_room {
    uint8_t *data;
    uint32_t bytes;
    struct gy_keep_block *block; /* a new one; NULL: behind the chain's last slice */
};

/* Room behind `in`. 0, or GY_ENOBUFS when blocks or links are used up. Until the commit, nothing
 * else is done to the chain, nor any link taken. */
int gy_keep_reserve(struct gy_worker *worker, const struct gy_chain *in, struct gy_keep_room *room);

/* Appends the first `bytes` of the room to the chain; 0 gives the room back. */
void gy_keep_commit(struct gy_chain *in, const struct gy_keep_room *room, uint32_t bytes);

#endif
