/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_CONFIG_H
#define GY_CORE_CONFIG_H

/*
 * Configuration files.
 *
 *     # a comment, to the end of the line
 *     workers 4;
 *     access-log "/var/log/gyre/access.log" json;
 *     include sites/first.conf;
 *
 *     http {
 *         listen 127.0.0.1:8080;
 *         listen [::1]:8080;
 *     }
 *
 * A directive is a key, values, and either `;` or a block of directives in braces. A value is a
 * word, or text in double quotes, in which \" \\ \n \t stand for what they say, or in single
 * quotes, in which nothing does. A word ends at white space, `;`, `{`, `}`, `#` or a quote.
 *
 * `include` takes files below the folder of the first file, and nothing outside of it: neither by
 * `..`, nor by an absolute path, nor by a symbolic link. The last part of its path may have * and ?
 * in it; such a pattern may match nothing, its files are read in order of their names, and hidden
 * ones are left out.
 *
 * What a key means is said in tables (struct gy_config_key), by those whose keys they are. Every
 * error is one sentence of the form
 *     FILE:LINE: KEY: what is wrong, and what to try
 * and unknown keys name the nearest one that there is. Reading needs no rights but to the files,
 * and nothing is kept open.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* Bounds, each an error that says so. */
#define GY_CONFIG_BYTES_MAX      (4u << 20) /* of all files together */
#define GY_CONFIG_FILES_MAX      256
#define GY_CONFIG_DIRECTIVES_MAX 65536
#define GY_CONFIG_VALUES_MAX     16
#define GY_CONFIG_DEPTH_MAX      16 /* of blocks, and of includes */

struct gy_config_directive {
    const char *key;
    const char *file; /* as it was named */
    uint32_t line;
    uint32_t value_count;
    const char *values[GY_CONFIG_VALUES_MAX];
    bool has_block;
    struct gy_config_directive *block; /* the first in its block */
    struct gy_config_directive *next;  /* in the same block */
};

struct gy_config;

/* Reads a file with all that it includes. 0, or GY_EINVAL, GY_ELIMIT, GY_ENOMEM, or what opening or
 * reading reported, with the sentence in `error`. */
int gy_config_read(struct gy_config **config, const char *path, struct gy_error *error);

/* The same of text that is there already; `name` stands in errors. It can include nothing. */
int gy_config_parse(struct gy_config **config, const char *name, const char *text, size_t bytes,
                    struct gy_error *error);

/* The first directive; NULL for an empty file. Valid, texts too, until gy_config_free. */
const struct gy_config_directive *gy_config_first(const struct gy_config *config);

/* NULL is allowed. */
void gy_config_free(struct gy_config *config);

/* ---- what keys mean ---- */

struct gy_config_key {
    const char *name;
    uint8_t values_min, values_max;
    enum { GY_CONFIG_PLAIN, GY_CONFIG_BLOCK, GY_CONFIG_EITHER } kind; /* EITHER: `;` or a block */
    bool once; /* a second one in the same block is an error */
    /* Takes the directive in; a block's keys are applied by a call of gy_config_apply. 0, or what
     * gy_config_error returned. */
    int (*take)(void *context, const struct gy_config_directive *directive, struct gy_error *error);
    const char *values; /* what its values are, for errors: "ADDRESS:PORT" */
};

#define GY_CONFIG_KEYS_MAX 64

/* Hands every directive of a block to its key's `take`. 0, or the first error. */
int gy_config_apply(const struct gy_config_directive *first, const struct gy_config_key *keys,
                    size_t key_count, void *context, struct gy_error *error);

/* Fills `error` with FILE:LINE: KEY: and the sentence; returns GY_EINVAL. */
int gy_config_error(const struct gy_config_directive *directive, struct gy_error *error,
                    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Values, for `take`: value `index` as a number from min to max; as `on` or `off`; as a time in ms,
 * written 500ms, 10s, 5m, 2h (a bare number is seconds); as bytes, written 512, 16k, 1m, 2g (of
 * 1024). 0, or what gy_config_error returned. */
int gy_config_number(const struct gy_config_directive *directive, uint32_t index, uint64_t min,
                     uint64_t max, uint64_t *number, struct gy_error *error);
int gy_config_switch(const struct gy_config_directive *directive, uint32_t index, bool *on,
                     struct gy_error *error);
int gy_config_time(const struct gy_config_directive *directive, uint32_t index, uint64_t max_ms,
                   uint64_t *ms, struct gy_error *error);

int gy_config_bytes(const struct gy_config_directive *directive, uint32_t index, uint64_t min,
                    uint64_t max, uint64_t *bytes, struct gy_error *error);

/* Such a time, of at most max_ms, as a flag has it. False: it is none. */
bool gy_config_read_time(const char *text, uint64_t max_ms, uint64_t *ms);

/* The name among `count` that is most like `word`, or NULL when none is. */
const char *gy_config_nearest(const char *word, const char *const *names, size_t count);

#endif
