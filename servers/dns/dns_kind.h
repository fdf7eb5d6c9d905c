/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_KIND_H
#define GY_SERVERS_DNS_DNS_KIND_H

/* The kind `dns` of servers, and what `gyre dns` asks for. */

#include "../kind.h"

#define GY_DNS_FLAG_ZONES_MAX 256
#define GY_DNS_FLAG_TLS_MAX   16
#define GY_DNS_TLS_ADDRESS    "127.0.0.1:8530" /* where nobody said */

/* What the command line said. */
struct gy_dns_flags {
    const char *zones[GY_DNS_FLAG_ZONES_MAX]; /* --zone NAME=FILE */
    uint32_t zone_count;
    bool trains;                                    /* --trains */
    const char *tls;                                /* --tls FILE[,KEY]; NULL: not given */
    const char *tls_addresses[GY_DNS_FLAG_TLS_MAX]; /* --listen-tls ADDRESS:PORT */
    uint32_t tls_address_count;
};

extern const struct gy_server_kind gy_dns_kind;

/* Takes the flags into a server of the kind. 0, or a GY_E… code with a sentence. */
int gy_dns_kind_flags(void *server, const struct gy_dns_flags *flags, struct gy_error *error);

#endif
