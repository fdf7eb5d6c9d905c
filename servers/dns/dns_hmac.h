/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_HMAC_H
#define GY_SERVERS_DNS_DNS_HMAC_H

/* wolfCrypt's HMAC, for TSIG. */

#include "../../protocols/dns/tsig.h"

extern const struct gy_dns_hmac gy_dns_hmac_wolfcrypt;

#endif
