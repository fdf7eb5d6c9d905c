/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_RESOLV_H
#define GY_PROTOCOLS_DNS_RESOLV_H

/*
 * How a host resolves names: the texts of /etc/resolv.conf (resolv.conf(5)) and /etc/hosts
 * (hosts(5)). Lines that cannot be used are skipped and told; no text makes reading fail.
 */

#include "name.h"

#define GY_DNS_SERVERS_MAX 8
#define GY_DNS_SEARCH_MAX  16

/* An address and, of a server, where it is asked. */
struct gy_dns_address {
    uint8_t bytes[16]; /* in network order */
    uint8_t length;    /* 4 or 16 */
    uint16_t port;     /* 0 where it has none */
    char scope[16];    /* of fe80::1%eth0: "eth0"; else "" */
};

struct gy_dns_resolv {
    struct gy_dns_address servers[GY_DNS_SERVERS_MAX];
    uint32_t server_count;
    uint8_t search[GY_DNS_SEARCH_MAX][GY_DNS_NAME_MAX];
    uint32_t search_count;
    bool search_given; /* by the text: `domain` or `search`, even an empty one */
    uint32_t ndots;    /* a name with fewer dots is looked for in the search list first: 1 */
    uint32_t timeout_s;
    uint32_t attempts;
    bool rotate, edns, tcp, trust_ad, no_tld_query, no_aaaa;
};

/* Told of each line that was skipped, or cut: its number from 1 on, and why. */
typedef void gy_dns_resolv_report(void *context, uint32_t line, const char *why);

/*
 * Reads the text of a resolv.conf: nameserver, domain, search, and the options ndots, timeout,
 * attempts, rotate, edns0, use-vc, trust-ad, no-tld-query, no-aaaa with the C library's bounds.
 * Options that change nothing here (inet6, single-request, no-reload, …) are taken without a word.
 * Servers past GY_DNS_SERVERS_MAX and domains past GY_DNS_SEARCH_MAX are told and left out.
 *
 * Without a server it is 127.0.0.1. `host` (may be NULL) is this host's name: what is behind its
 * first dot is searched where the text says nothing about searching. `report` may be NULL.
 */
void gy_dns_resolv_parse(struct gy_dns_resolv *resolv, const char *text, size_t bytes,
                         const char *host, gy_dns_resolv_report *report, void *context);

/* An address in text, with an optional %scope: "192.0.2.1", "2001:db8::1", "fe80::1%eth0". 0, or
 * GY_EINVAL. The port becomes 0. */
int gy_dns_address_parse(struct gy_dns_address *address, const char *text, size_t bytes);

/* The name that is asked for as number `number` when `name` (zero-terminated) is looked for by the
 * search list and ndots. 1; 0 behind the last; GY_EINVAL when that one cannot be a name. */
int gy_dns_resolv_candidate(const struct gy_dns_resolv *resolv, const char *name, uint32_t number,
                            uint8_t candidate[GY_DNS_NAME_MAX]);

/*
 * The addresses of `name` (zero-terminated, in any case, a final dot is ignored) in the text of
 * /etc/hosts: those of every line that has it, each once, at most `max`. How many.
 *
 * The text is gone through each time: nothing has to be kept or bounded, and a megabyte takes about
 * a millisecond.
 */
uint32_t gy_dns_hosts_find(const char *text, size_t bytes, const char *name,
                           struct gy_dns_address *addresses, uint32_t max);

/* Goes through such a text and tells of the lines that nothing will be found in. */
void gy_dns_hosts_check(const char *text, size_t bytes, gy_dns_resolv_report *report,
                        void *context);

#endif
