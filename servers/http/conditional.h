/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_CONDITIONAL_H
#define GY_SERVERS_HTTP_CONDITIONAL_H

/*
 * Conditional requests (RFC 9110 §13), ranges (§14) and content codings (§12.5.3) of a GET or HEAD
 * for something that has a strong entity tag and a date. No I/O, no state.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../protocols/http/http.h"

/* ---- preconditions ---- */

#define GY_DATE_NONE INT64_MIN

struct gy_validators {
    struct gy_http_text etag; /* strong, with its quotes; empty: none */
    int64_t modified_s;       /* since 1970; GY_DATE_NONE */
};

enum gy_precondition {
    GY_PRECONDITION_GO_ON,
    GY_PRECONDITION_NOT_MODIFIED, /* 304 */
    GY_PRECONDITION_FAILED,       /* 412 */
};

/* If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, in the order of RFC 9110
 * §13.2.2. A representation without a tag (`etag` empty) matches nothing but "*"; without a date
 * (GY_DATE_NONE) those about dates are ignored. */
enum gy_precondition gy_precondition_of(const struct gy_http_exchange *exchange,
                                        struct gy_validators validators);

/* Whether a list of entity tags ("*" too) has `etag`. `weak`: by weak comparison (§8.8.3.2). */
bool gy_etag_list_has(struct gy_http_text list, struct gy_http_text etag, bool weak);

/* Reads an HTTP date in any of its three forms (§5.6.7). False when it is none. */
bool gy_date_parse(struct gy_http_text text, int64_t *seconds);

/* ---- ranges ---- */

/* More than these in one request: the range is ignored, and the whole sent. */
#define GY_RANGES_MAX 16

struct gy_range {
    uint64_t first;
    uint64_t bytes; /* > 0 */
};

enum gy_range_verdict {
    GY_RANGE_NONE, /* no Range, one to be ignored, or If-Range says that it is out of date */
    GY_RANGE_SOME, /* 206 */
    GY_RANGE_UNSATISFIABLE, /* 416 */
};

struct gy_ranges {
    uint32_t count; /* satisfiable ones, in the order asked for */
    struct gy_range list[GY_RANGES_MAX];
};

/* Reads the Range and If-Range fields of a GET for something of `size` bytes. Ranges that are more
 * together than the whole are ignored: they ask for no less work. */
enum gy_range_verdict gy_ranges_of(const struct gy_http_exchange *exchange, uint64_t size,
                                   struct gy_validators validators, struct gy_ranges *ranges);

/* The same for a field's value alone. */
enum gy_range_verdict gy_ranges_parse(struct gy_http_text value, uint64_t size,
                                      struct gy_ranges *ranges);

/* ---- codings ---- */

enum gy_coding {
    GY_CODING_IDENTITY,
    GY_CODING_BR,
    GY_CODING_ZSTD,
    GY_CODING_GZIP,
    GY_CODING_COUNT,
};

/* Codings by their weight in Accept-Encoding, 0 to 1000; 0 is not acceptable. Without the field
 * only identity is. */
struct gy_codings {
    uint16_t weight[GY_CODING_COUNT];
};

struct gy_codings gy_codings_of(const struct gy_http_exchange *exchange);
void gy_codings_parse(struct gy_http_text value, struct gy_codings *codings);

#endif
