/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_FLAGS_H
#define GY_CLIENTS_FLAGS_H

/*
 * What the commands of clients read alike in their flags. `command` is the first word behind
 * "gyre", `name` a flag without its dashes. All say on standard error what is wrong, and return
 * the exit status then, which is 2, or -1: go on.
 */

#include <stdint.h>

#include "../protocols/http/http.h"

struct gy_tls_files;

/* `format` has one %s, for `what`. Returns 2. */
int gy_flags_misuse(const char *command, const char *format, const char *what);

/* A number from min to max, in digits only. */
int gy_flags_number(const char *command, const char *name, const char *value, uint64_t min,
                    uint64_t max, uint64_t *number);

/* The same, for what has 32 bits. */
int gy_flags_number32(const char *command, const char *name, const char *value, uint32_t min,
                      uint32_t max, uint32_t *number);

/* Seconds, from min to GY_FLAGS_SECONDS_MAX; given in milliseconds. */
#define GY_FLAGS_SECONDS_MAX 1000000
int gy_flags_seconds(const char *command, const char *name, const char *value, uint32_t min,
                     uint32_t *time_ms);

/* --cert FILE[,KEY], of which there can be one, and --ca FILE. */
int gy_flags_tls(const char *command, const char *name, const char *value,
                 struct gy_tls_files *files);

/* --header 'NAME: VALUE', one more of at most `max`. They point into `value`. */
int gy_flags_header(const char *command, const char *value, struct gy_http_header *headers,
                    uint32_t max, uint32_t *count);

#endif
