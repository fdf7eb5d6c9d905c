/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_ENCODER_H
#define GY_SERVERS_HTTP_ENCODER_H

/*
 * One stream of bytes in a content coding: gzip (RFC 1952) by zlib, br (RFC 7932) by libbrotli,
 * zstd (RFC 8878) by libzstd; those that were built in.
 *
 *     gy_encoder_open(&encoder, GY_CODING_GZIP, 6, bytes, GY_ENCODER_BYTES_MAX);
 *     while ((code = gy_encoder_run(encoder, &input, &output, last)) == 0) { ... }
 *     gy_encoder_close(encoder);
 *
 * No I/O and no globals: an encoder is used by one thread at a time, whichever. Whatever a library
 * allocates goes through its hooks, is counted, and is refused past a bound; GY_ENCODER_BYTES_MAX
 * is above what the levels and windows allowed here ever need. The levels beyond take seconds for a
 * file, or tens of megabytes: they are for files that are compressed ahead.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conditional.h"

/* What one encoder may allocate. Seen with 4 MB of text, in MiB: gzip 0.3; zstd 2 (its default
 * level), 7.3 (the highest); br 7.5 (default), 13.5 (highest). */
#define GY_ENCODER_BYTES_MAX (24u << 20)

/* Longer streams have a smaller window: they last, and there are several at a time. In MiB: zstd
 * 0.9, br 3.2 at the default levels. */
#define GY_ENCODER_LONG_BYTES (4u << 20)

/* Bytes to take, or room to fill; what was done is taken off its front. */
struct gy_encoder_input {
    const uint8_t *data;
    size_t bytes;
};

struct gy_encoder_output {
    uint8_t *data;
    size_t bytes;
};

struct gy_encoder;

/* Whether the coding was built in. Never GY_CODING_IDENTITY. */
bool gy_encoder_has(enum gy_coding coding);

/* "zlib 1.2.13, brotli 1.0.9, zstd 1.5.4": what was built in, as it is at run time, or "none".
 * Returns `to`. */
char *gy_encoder_names(char *to, size_t bytes);

/* 1 to this; 0 stands for the default, which is gy_encoder_level_default(). */
int gy_encoder_level_max(enum gy_coding coding);
int gy_encoder_level_default(enum gy_coding coding);

/* For a stream of exactly `bytes`; the library has at most `memory_max` bytes at once. 0,
 * GY_ENOTSUP (not built in), GY_ENOMEM. */
int gy_encoder_open(struct gy_encoder **encoder, enum gy_coding coding, int level, uint64_t bytes,
                    size_t memory_max);

/* Takes input until there is none, or no room for output. `last`: no input follows behind this; the
 * same is then to be said until the end. 1: the end is written. 0: more input or more room is
 * wanted. GY_EINVAL: it is not the number of bytes that was promised; GY_ENOMEM. */
int gy_encoder_run(struct gy_encoder *encoder, struct gy_encoder_input *input,
                   struct gy_encoder_output *output, bool last);

/* The most that it had allocated at once. */
size_t gy_encoder_peak_bytes(const struct gy_encoder *encoder);

/* NULL is allowed. */
void gy_encoder_close(struct gy_encoder *encoder);

#endif
