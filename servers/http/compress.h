/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_COMPRESS_H
#define GY_SERVERS_HTTP_COMPRESS_H

/*
 * Which files are compressed as they are asked for, and how: options, their keys in a configuration
 * file, and the choice for one request. No I/O, no state.
 */

#include <stdbool.h>
#include <stdint.h>

#include "conditional.h"

#define GY_COMPRESS_TYPES_MAX 16 /* as many as a directive has values */

#define GY_COMPRESS_SPARED_MAX 32

#define GY_COMPRESS_MIN_DEFAULT   512u /* bytes: below, a coding saves no packet */
#define GY_COMPRESS_CACHE_DEFAULT (32u << 20)

/* Zeroed: the defaults. */
struct gy_compress_options {
    bool off;
    bool given;                       /* by gy_compress_take(): `compress` was said */
    uint8_t coding_count;             /* 0: all that were built in: br, zstd, gzip */
    uint8_t codings[GY_CODING_COUNT]; /* enum gy_coding; of those a client likes alike, the first */
    uint8_t levels[GY_CODING_COUNT];  /* by coding; 0: gy_encoder_level_default() */
    uint32_t min_bytes;               /* smaller files are sent as they are; 0: the default */
    uint64_t cache_bytes;             /* per worker, for what was made; 0: the default */
    uint32_t type_count;              /* 0: text and its like, as mime.c says */
    const char *types[GY_COMPRESS_TYPES_MAX]; /* "text/html", or "text/" and a star, or a star */
    /* Paths that are sent as they are: "/a/" and all below it, or "/a.html" alone. */
    uint32_t spared_count;
    const char *spared[GY_COMPRESS_SPARED_MAX];
};

/* Takes from `from` what was not said. */
void gy_compress_options_inherit(struct gy_compress_options *options,
                                 const struct gy_compress_options *from);

/* Sets what is 0 to what it stands for. Without any coding built in, `off`. */
void gy_compress_options_settle(struct gy_compress_options *options);

/* Whether files of the type are compressed; `usual` is what mime.c says. Parameters of the type are
 * not looked at. */
bool gy_compress_takes_type(const struct gy_compress_options *options, struct gy_http_text type,
                            bool usual);

/* Whether a path, without the slash before it, is one of the spared. */
bool gy_compress_spares(const struct gy_compress_options *options, const char *path,
                        uint32_t length);

/* The coding for a client, by its weights; GY_CODING_IDENTITY where it takes none that we have, or
 * likes identity better. Settled options. */
enum gy_coding gy_compress_choose(const struct gy_compress_options *options,
                                  const struct gy_codings *codings);

/* Whether a Cache-Control field (of the response, RFC 9111 §5.2.2.6) forbids another coding. */
bool gy_compress_is_forbidden(struct gy_http_text cache_control);

/* Room for the tag that one coding of something has. */
#define GY_COMPRESS_ETAG_EXTRA 4

/* Turns the strong entity tag of a file into that of its coding at a level: no two representations
 * have the same (RFC 9110 §8.8.3). `etag` has room for `length` and GY_COMPRESS_ETAG_EXTRA more.
 * Returns its length. */
uint8_t gy_compress_etag(char *etag, uint8_t length, enum gy_coding coding, uint8_t level);

struct gy_config_directive;
struct gy_error;

/* Takes in `compress`, `compress-level`, `compress-min`, `compress-types` or `compress-cache`. The
 * texts of types stay the directive's. 0, or what gy_config_error() returned. */
int gy_compress_take(struct gy_compress_options *options,
                     const struct gy_config_directive *directive, struct gy_error *error);

#endif
