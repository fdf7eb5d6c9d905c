/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_DNS_QUERIES_H
#define GY_BENCH_LOAD_DNS_QUERIES_H

/*
 * The queries that a run asks, encoded before it begins: one, from the URL (RFC 4501), or those of
 * a file in dnsperf's form: a line is a name and a type, separated by blanks; empty lines and those
 * that begin with ";" or "#" say nothing. Names are absolute, with a final dot or without.
 */

#include <stdint.h>

#include "../../core/error.h"

struct gy_load_options;

#define GY_LOAD_QUERIES_MAX (1u << 24)

/* A query as it goes over a stream: its length in two bytes, and the message, whose id is 0. */
struct gy_load_query {
    uint64_t at; /* in `bytes` */
    uint16_t message_bytes;
    uint16_t question_bytes;
};

struct gy_load_queries {
    struct gy_load_query *queries;
    uint8_t *bytes;
    uint64_t used;
    uint32_t count; /* >= 1 */
    uint64_t bytes_room;
    uint32_t queries_room;
};

/*
 * Makes the queries that `options` ask for. With options->trains they are put in order of length
 * within each GY_LOAD_SORTED of them, since only datagrams of one length travel together. Returns
 * 0, or, with a sentence that names file and line, GY_EINVAL  a line that is no query, a type that
 * has no single answer, a file without queries GY_EIO     a file that cannot be read GY_ELIMIT more
 * than GY_LOAD_QUERIES_MAX GY_ENOMEM
 */
int gy_load_queries_open(struct gy_load_queries *queries, const struct gy_load_options *options,
                         struct gy_error *error);
void gy_load_queries_close(struct gy_load_queries *queries);

#define GY_LOAD_SORTED 4096

#endif
