/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_LISTING_H
#define GY_SERVERS_HTTP_LISTING_H

/*
 * The page that lists a directory. No I/O: names in, HTML out. Whatever a name has, it is escaped,
 * and the page needs nothing but itself; it follows the reader's light or dark.
 *
 *     ?sort=name|size|time&order=asc|desc     directories come first in any case
 */

#include "../../core/directory.h"
#include "../../protocols/http/http.h"

enum gy_listing_sort {
    GY_LISTING_NAME,
    GY_LISTING_SIZE,
    GY_LISTING_TIME,
};

struct gy_listing_order {
    enum gy_listing_sort sort;
    bool descending;
};

/* Of a query with its '?'; what it does not say is by name, ascending. */
struct gy_listing_order gy_listing_order_of(struct gy_http_text query);

/* What the page may load: nothing. */
#define GY_LISTING_POLICY                                                                          \
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "         \
    "frame-ancestors 'none'"

/* Sorts `directory` and writes the page for the directory `key` ("a/b", "" for the root) into
 * memory from malloc, the caller's to free. 0 or GY_ENOMEM. */
int gy_listing_render(struct gy_directory *directory, const char *key,
                      struct gy_listing_order order, char **page, size_t *bytes);

#endif
