/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_HTTP_REQUEST_H
#define GY_BENCH_LOAD_HTTP_REQUEST_H

/* Fields of a request head, for protocols that begin with one. */

#include <stdio.h>

#include "load.h"

/* --header: each is a field on one line. 0, or GY_EINVAL with a sentence. */
int gy_load_http_check_fields(const struct gy_load_options *options, struct gy_error *error);

/* Host, unless --header has one, and what --header has. */
void gy_load_http_write_fields(FILE *out, const struct gy_load_options *options);

#endif
