/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_HTTP_REQUEST_H
#define GY_BENCH_LOAD_HTTP_REQUEST_H

/* A request, and the fields of its head for other protocols that begin with one. */

#include <stdio.h>

#include "load.h"

/* Of --body. */
#define GY_LOAD_REQUEST_BODY_MAX (64u << 20)

/* --header: each is a field on one line. 0, or GY_EINVAL with a sentence. */
int gy_load_http_check_fields(const struct gy_load_options *options, struct gy_error *error);

/* Host, unless --header has one, and what --header has. */
void gy_load_http_write_fields(FILE *out, const struct gy_load_options *options);

/* The one request that is sent again and again, head and body: `bytes` of it, which the caller
 * frees. With a sentence: GY_EINVAL for fields that cannot be, or a body that is too much for the
 * pipeline; GY_EIO for a body that cannot be read or has more than GY_LOAD_REQUEST_BODY_MAX;
 * GY_ENOMEM. Then `request` is NULL. */
int gy_load_http_encode(const struct gy_load_options *options, char **request, size_t *bytes,
                        struct gy_error *error);

#endif
