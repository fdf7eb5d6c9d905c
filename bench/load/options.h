/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_OPTIONS_H
#define GY_BENCH_LOAD_OPTIONS_H

/* The command line: options.c reads each word, options_check.c what they come to together. */

#include "load.h"

/* Which flags were there, where that is more than their values tell. */
struct gy_load_given {
    bool slo;
    bool duration;
    bool warmup;
    bool size;
    bool udp_mode;
};

/* After all words: GY_EINVAL with a sentence where there is no URL, or where flags do not go
 * together or with its protocol; else the defaults that depend on others are set. */
int gy_load_options_complete(struct gy_load_options *options, const struct gy_load_given *given,
                             struct gy_error *error);

/* http:// or https://; dns://, dns+tcp:// or dns+tls:// */
bool gy_load_is_http(const struct gy_load_protocol *protocol);
bool gy_load_is_dns(const struct gy_load_protocol *protocol);

#endif
