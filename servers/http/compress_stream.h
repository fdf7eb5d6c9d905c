/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_COMPRESS_STREAM_H
#define GY_SERVERS_HTTP_COMPRESS_STREAM_H

/*
 * A file in a content coding that is too long to be kept: read and compressed piece by piece by the
 * worker's helper, as fast as its peer takes it.
 *
 * There are two pieces of GY_CODING_PIECE_BYTES: one on its way to the peer, one being filled. With
 * both on their way nothing is done, so a peer that does not read costs memory and no time. A step
 * of the helper reads at most GY_CODING_STEP_BYTES, so that streams take turns with each other and
 * with whole files. A worker has at most GY_CODED_STREAMS_MAX at once; each has its pieces, a piece
 * of input, and an encoder (encoder.h).
 *
 * One worker's; all calls are for its thread.
 */

#include "../../core/slice.h"
#include "compress_cache.h"

#define GY_CODING_PIECE_BYTES 65536
#define GY_CODING_STEP_BYTES  (4 * GY_CODING_PIECE_BYTES)

struct gy_coding_stream;

/* Begins to compress. `ready(owner)` is called, from the worker's loop, when there is more to pull.
 * Holds `source`, which is not empty. 0, or GY_ENOBUFS: there are as many as there can be, or there
 * is no memory. */
int gy_coding_stream_open(struct gy_coding_stream **stream, struct gy_coded_cache *cache,
                          struct gy_file_content *source, enum gy_coding coding, uint8_t level,
                          void (*ready)(void *owner), void *owner);

/* Appends at most `budget` (> 0) bytes. Bytes appended; 0: that was all if *end, otherwise none
 * now, and `ready` will be called; GY_ENOBUFS: nothing could be appended or begun, ask again in
 * another turn; GY_EIO: the file got shorter or cannot be read; GY_ENOMEM. */
int64_t gy_coding_stream_pull(struct gy_coding_stream *stream, struct gy_chain *out,
                              uint32_t budget, bool *end);

/* The owner goes away. It goes itself when the helper and the peer have let its pieces go. */
void gy_coding_stream_close(struct gy_coding_stream *stream);

#endif
