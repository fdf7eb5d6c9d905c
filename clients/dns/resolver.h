/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_DNS_RESOLVER_H
#define GY_CLIENTS_DNS_RESOLVER_H

/*
 * The resolver that is handed to core's connector: protocols/dns/stub on the ring. No thread, and
 * no C library: names are looked up in /etc/hosts, then asked of the name servers of
 * /etc/resolv.conf, as protocols/dns/stub.h says.
 *
 * A missing resolv.conf means a server on 127.0.0.1; a missing hosts file, none. Both are read when
 * the resolver is opened, and again when they have changed, which is looked for once a second at
 * most while names are asked for. They are small and local, and reading them blocks.
 *
 *     struct gy_resolver *resolver;
 *     gy_dns_resolver_open(&resolver, &worker, NULL, &error);
 *     connector_options.resolver = resolver;
 *
 * Addresses come in the order of their precedence (RFC 6724 §2.1): IPv6, then IPv4, then 6to4,
 * Teredo and unique local ones. Which of them can be reached is found out by the connector's race.
 */

#include "../../core/resolver.h"
#include "../../protocols/dns/stub.h"

/* Questions open at a time; those that share a name count each. */
#define GY_DNS_RESOLVER_QUESTIONS 256

struct gy_worker;

struct gy_dns_resolver_options {
    const char *resolv_conf; /* NULL: /etc/resolv.conf */
    const char *hosts;       /* NULL: /etc/hosts */
    uint16_t port;           /* of the name servers; 0: 53 */
    /* Told of lines that are skipped; NULL: nobody is. */
    void (*report)(void *context, const char *file, uint32_t line, const char *why);
    void *context;
};

/* On the worker's thread; `options` may be NULL. 0, or a GY_E… with a sentence. */
int gy_dns_resolver_open(struct gy_resolver **resolver, struct gy_worker *worker,
                         const struct gy_dns_resolver_options *options, struct gy_error *error);

/* Between gy_worker_finish() and gy_worker_close(); questions still open are forgotten. */
void gy_dns_resolver_close(struct gy_resolver *resolver);

/* What resolv.conf says, and what was counted. Valid as long as the resolver. */
const struct gy_dns_resolv *gy_dns_resolver_conf(const struct gy_resolver *resolver);
const struct gy_dns_stub_counts *gy_dns_resolver_counts(const struct gy_resolver *resolver);

/* A name server's address as core has it. 0, or GY_EINVAL for a scope that this host has not. */
struct gy_dns_address;
int gy_dns_address_to_core(const struct gy_dns_address *from, struct gy_address *to);

#endif
