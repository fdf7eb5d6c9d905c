/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_LIMIT_H
#define GY_SERVERS_DNS_DNS_LIMIT_H

/*
 * Response rate limiting: how many answers a second one client network gets over UDP, where the
 * sender of a query can be forged and the answer goes to somebody who never asked. Of what is over
 * the limit every slip-th query is answered by a truncated answer without records, as long as the
 * question, so that a real client comes back over TCP; the others are dropped. A client whose
 * cookie (RFC 7873) is right is at the address that it says, and is not limited.
 */

#include "../../core/visitors.h"
#include "../kind.h"

struct gy_dns_limit {
    struct gy_visitors_options options;   /* interval_ns 0: no limit */
    const struct gy_config_directive *at; /* what is of no use without one */
    uint32_t slip;                        /* 0: all are dropped */
    struct gy_visitors visitors;
    void *memory;
};

/* The defaults; `rate-limit`, `rate-slip`, `rate-exempt`, `rate-prefix`. */
void gy_dns_limit_defaults(struct gy_dns_limit *limit);
int gy_dns_limit_take(struct gy_dns_limit *limit, const struct gy_config_directive *directive,
                      struct gy_error *error);

/* Do they make sense together? */
int gy_dns_limit_settle(const struct gy_dns_limit *limit, struct gy_error *error);

/* Makes the table, if there is a limit. 0, GY_ENOMEM, GY_EIO. */
int gy_dns_limit_open(struct gy_dns_limit *limit, struct gy_error *error);
void gy_dns_limit_close(struct gy_dns_limit *limit);

#endif
