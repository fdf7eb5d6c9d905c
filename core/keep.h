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

struct gy_stream;

/* Called with stream->in not empty, after the session's turn. Counts what it copies. */
void gy_keep_leftover(struct gy_stream *stream);

#endif
