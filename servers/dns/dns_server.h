/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_SERVER_H
#define GY_SERVERS_DNS_DNS_SERVER_H

/*
 * An authoritative name server over UDP, TCP and TLS (RFC 7858): protocols/dns between the core's
 * datagrams and streams.
 *
 * Queries are answered by the batch: what a turn brought over UDP, or what a TCP connection holds.
 * Over UDP an answer leaves from the address that was asked. Over TCP all answers to what has
 * arrived leave in one send (RFC 7766 §6.2.1.1); a connection on which no whole query comes for
 * `idle_ms` is closed, however slowly bytes trickle; what is no query (shorter than a header) ends
 * it at once. When the process is replaced, a connection is served until it is quiet, so that a
 * reload costs no query, and three seconds at most.
 *
 * Zones, or how they have changed, are sent to those who may have them (AXFR and IXFR, over TCP,
 * signed where the request was): a piece in each turn, as the connection takes it, from the zone as
 * it was when the transfer began. What
 * was sent before it on the connection is answered before it, what comes behind, after it.
 *
 * Nothing here is larger than it was asked to be: over UDP never more than `udp_bytes`.
 */

#include "../../core/datagram.h"
#include "../../core/listener.h"
#include "../../core/metrics.h"
#include "../../protocols/dns/answer.h"
#include "dns_served.h"

#define GY_DNS_SERVER_WORKERS_MAX 1024
#define GY_DNS_SERVER_UDP_MAX     4096
#define GY_DNS_SERVER_IDLE_MS     10000 /* of TCP, where nothing else is said */

/* Types that are counted by name: X(member, name). */
#define GY_DNS_COUNTED_TYPES(X)                                                                    \
    X(A)                                                                                           \
    X(NS)                                                                                          \
    X(CNAME)                                                                                       \
    X(SOA)                                                                                         \
    X(PTR)                                                                                         \
    X(MX)                                                                                          \
    X(TXT)                                                                                         \
    X(AAAA)                                                                                        \
    X(SRV)                                                                                         \
    X(NAPTR)                                                                                       \
    X(DS)                                                                                          \
    X(RRSIG)                                                                                       \
    X(NSEC)                                                                                        \
    X(DNSKEY)                                                                                      \
    X(TLSA)                                                                                        \
    X(SVCB)                                                                                        \
    X(HTTPS)                                                                                       \
    X(IXFR)                                                                                        \
    X(AXFR)                                                                                        \
    X(ANY)                                                                                         \
    X(CAA)

#define GY_DNS_COUNTED_RCODES(X)                                                                   \
    X(NOERROR)                                                                                     \
    X(FORMERR)                                                                                     \
    X(SERVFAIL)                                                                                    \
    X(NXDOMAIN)                                                                                    \
    X(NOTIMP)                                                                                      \
    X(REFUSED)                                                                                     \
    X(YXDOMAIN)                                                                                    \
    X(BADVERS)

/* What the keeper counted; kept beside the first worker's, and written by the keeper alone. */
struct gy_dns_keeper_counts {
    _Atomic uint64_t checks;      /* of a primary's serial */
    _Atomic uint64_t fetched;     /* zones, to the end */
    _Atomic uint64_t differences; /* of them, by IXFR */
    _Atomic uint64_t failed;      /* checks and fetches */
    _Atomic uint64_t expired;     /* zones that became so */
    _Atomic uint64_t notifies_sent;
    _Atomic uint64_t notifies_failed; /* given up after all tries */
} __attribute__((aligned(64)));

/* What one worker counted. */
struct gy_dns_counts {
    _Atomic uint64_t queries; /* answered, with whatever code */
    _Atomic uint64_t udp;
    _Atomic uint64_t tcp;
    _Atomic uint64_t tls;
#define GY_DNS_TYPE_MEMBER(name) _Atomic uint64_t type_##name;
    GY_DNS_COUNTED_TYPES(GY_DNS_TYPE_MEMBER)
#undef GY_DNS_TYPE_MEMBER
    _Atomic uint64_t type_other;
#define GY_DNS_RCODE_MEMBER(name) _Atomic uint64_t rcode_##name;
    GY_DNS_COUNTED_RCODES(GY_DNS_RCODE_MEMBER)
#undef GY_DNS_RCODE_MEMBER
    _Atomic uint64_t rcode_other;
    _Atomic uint64_t truncated; /* answers with TC */
    _Atomic uint64_t edns;
    _Atomic uint64_t dnssec;
    _Atomic uint64_t malformed; /* no query: cut, too short, or an answer */
    _Atomic uint64_t lost;      /* answers for which there was no memory */
    _Atomic uint64_t transfers_refused;
    _Atomic uint64_t transfers_begun;
    _Atomic uint64_t transfers_sent;   /* to the end */
    _Atomic uint64_t differences_sent; /* of them, differences alone */
    _Atomic uint64_t signatures_right; /* queries signed by a key of ours */
    _Atomic uint64_t signatures_wrong; /* by none of ours, wrongly, or at another time */
    _Atomic uint64_t notifies_taken;
    _Atomic uint64_t notifies_refused;
    _Atomic uint64_t connections_refused; /* its address has as many as it may */
    _Atomic uint64_t dropped;             /* answers held back by the rate limit */
    _Atomic uint64_t slipped;             /* of those that would have been, answered truncated */
    _Atomic uint64_t timeouts;            /* connections closed because they were idle */
    struct gy_dns_keeper_counts keeper;
} __attribute__((aligned(64)));

struct gy_access_log;
struct gy_dns_keeper;
struct gy_visitors;
struct gy_dns_worker; /* what a worker answers with */

/* Read-only while workers run. Zero it, fill the first part, gy_dns_server_open, serve,
 * gy_dns_server_close. */
struct gy_dns_server {
    struct gy_dns_answer_settings answers; /* what they have in common, but `zones` */
    struct gy_dns_set *set;                /* the zones at first */
    const struct gy_dns_catalog *catalog;
    const struct gy_dns_keys *keys;
    const struct gy_dns_hmac *hmac;       /* NULL: signatures are not looked at */
    struct gy_dns_keeper *keeper;         /* of secondary zones; NULL: there are none */
    uint32_t transfers_max;               /* at once, of one worker; 0: 16 */
    struct gy_access_log *query_log;      /* a line for each query; NULL: none */
    struct gy_visitors *tcp_visitors;     /* connections of one address; NULL: any number */
    struct gy_datagram_options datagrams; /* gso, gro and modes; the rest is filled in */
    uint32_t idle_ms;                     /* of TCP; 0: the usual */
    struct gy_visitors *visitors;         /* the rate limit of UDP (core/visitors.h); NULL: none */
    uint32_t slip; /* of queries over it every slip-th gets a truncated answer; 0: none does */

    struct gy_dns_counts *counts; /* of each worker */
    struct gy_dns_worker *workers[GY_DNS_SERVER_WORKERS_MAX];
    uint32_t worker_count;
};

/* Makes what `workers` answer with. `counts` has as many, zeroed. 0, or GY_ENOMEM. */
int gy_dns_server_open(struct gy_dns_server *server, uint32_t workers,
                       struct gy_dns_counts *counts);
void gy_dns_server_close(struct gy_dns_server *server);

/* For the core's server of streams: its calls, and the bytes of a session. */
extern const struct gy_stream_ops gy_dns_stream_ops;
#define GY_DNS_SESSION_BYTES 64

/* Fills `datagrams`, for the core's server of datagrams. */
void gy_dns_server_datagrams(struct gy_dns_server *server);

/* Rows of struct gy_dns_counts. */
#define GY_DNS_ROW(name) +1
#define GY_DNS_ROWS      (30 GY_DNS_COUNTED_TYPES(GY_DNS_ROW) GY_DNS_COUNTED_RCODES(GY_DNS_ROW))
extern const struct gy_metric_description gy_dns_rows[GY_DNS_ROWS];

#endif
