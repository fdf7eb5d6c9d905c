/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_RESOLVER_H
#define GY_CORE_RESOLVER_H

/*
 * A resolver, as the connector sees one: it is asked for a name and answers later with addresses.
 * core knows none by name; clients/dns/resolver.h is the one that asks name servers.
 */

#include "address.h"
#include "error.h"

/* A name's bytes without its final zero, at most (RFC 1035 §2.3.4). */
#define GY_NAME_BYTES 253

/* Addresses that an answer may have; further ones are dropped. */
#define GY_QUERY_ADDRESSES 16

/* One question; the asker's memory until it is answered or cancelled. */
struct gy_query {
    char name[GY_NAME_BYTES + 1];
    void (*answered)(struct gy_query *query);
    void *context; /* the asker's */

    /* The answer: in the order in which to try them (RFC 6724), ports 0. With `more`, these are the
     * first: `answered` is called again, with further ones behind them (RFC 8305 §3), of which
     * there may be none. What is behind `count` of the call before is new. */
    struct gy_address addresses[GY_QUERY_ADDRESSES];
    uint32_t count;
    bool more;
    struct gy_error error; /* why there is none: code and, as its message, a sentence's end */

    void *handle; /* the resolver's; NULL when it is not under way */
};

struct gy_resolver {
    /* Begins. `answered` is called later on the worker's thread, never from within. 0, or
     * GY_ELIMIT when too many questions are open (then it is not called). */
    int (*ask)(struct gy_resolver *resolver, struct gy_query *query);

    /* The answer is not wanted any more; `answered` will not be called. */
    void (*cancel)(struct gy_resolver *resolver, struct gy_query *query);
};

#endif
