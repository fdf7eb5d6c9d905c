/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_ANSWER_H
#define GY_PROTOCOLS_DNS_ANSWER_H

/*
 * Authoritative answers: RFC 1034 §4.3.2 with 2181, 4592 (wildcards), 6672 (DNAME), 8020, 8482
 * (minimal ANY), 6891 (EDNS), 4035 and 5155 (DNSSEC), 9471 (glue).
 *
 * Queries come in batches and are worked on in stages, the whole batch in each: read and hash;
 * look into the table; compare names and decide; copy. Each stage fetches in advance what the next
 * one touches, so that one query's cache misses pass while the others are worked on. No memory is
 * allocated and nothing is locked; zones are only read.
 *
 *     struct gy_dns_query queries[n];     message, its bytes, where the answer goes, transport
 *     gy_dns_answer(answerer, queries, n);
 *     … send queries[i].answer_bytes, if not 0, of queries[i].answer
 *
 * What comes of a message: nothing at all (shorter than a header, or itself a response); FORMERR;
 * NOTIMP; BADVERS; REFUSED for what is in no zone, never longer than the query; SERVFAIL for what
 * is in a zone that is absent; else an answer,
 * which is truncated (TC) when an rrset that belongs to it does not fit.
 */

#include "edns.h"
#include "zone.h"

#define GY_DNS_BATCH          16 /* queries that are in a stage together; more are taken in turns */
#define GY_DNS_PREFETCH_BYTES (1u << 20) /* what stays in a cache near enough is not waited for */
#define GY_DNS_CHAIN_MAX      12   /* CNAMEs and DNAMEs followed; the asker goes on from there */
#define GY_DNS_UDP_USUAL      1232 /* bytes of a datagram that arrives whole nearly everywhere */

enum gy_dns_transport {
    GY_DNS_UDP,
    GY_DNS_TCP,
    GY_DNS_TLS,
};

enum gy_dns_outcome {
    GY_DNS_DROPPED,  /* no answer is due */
    GY_DNS_ANSWERED, /* also with an error code */
    GY_DNS_TRANSFER, /* AXFR or IXFR of `zone` (NULL: not ours). The answer made says REFUSED, or,
                        to IXFR over UDP, the SOA alone; the server may transfer instead */
    GY_DNS_NOTIFIED, /* NOTIFY for `zone`, or NULL; the answer made says NOTIMP */
    GY_DNS_UPDATING, /* UPDATE; likewise */
};

enum gy_dns_cookie {
    GY_DNS_COOKIE_NONE,
    GY_DNS_COOKIE_CLIENT, /* the client's part alone, or one of ours that is too old or wrong */
    GY_DNS_COOKIE_VALID,  /* the address is the client's own: no need to limit its rate */
};

/* What all queries have in common. Outlives the answerer; `zones` and the secrets may be exchanged
 * between two calls of gy_dns_answer. */
struct gy_dns_answer_settings {
    const struct gy_dns_zones *zones;
    uint16_t udp_bytes; /* of an answer over UDP at most, and said in OPT; 0: GY_DNS_UDP_USUAL */
    uint16_t keepalive; /* units of 100 ms (RFC 7828); 0: the option is not sent */
    uint8_t nsid_bytes; /* at most 64; 0: no NSID */
    uint8_t secrets;    /* 0: no cookies; 2: the second one is still accepted */
    const uint8_t *nsid;
    uint8_t secret[2][GY_DNS_COOKIE_SECRET_BYTES];
    gy_dns_sha1 *sha1; /* NULL: NSEC3 zones are served without denial */
    void *sha1_context;
};

struct gy_dns_query {
    /* The caller fills in: */
    const uint8_t *message;
    uint8_t *answer;       /* does not overlap the message */
    uint32_t bytes;        /* of the message */
    uint32_t room;         /* for the answer: 512 at least */
    uint32_t now;          /* seconds since 1970, for cookies */
    uint8_t transport;     /* enum gy_dns_transport */
    uint8_t address_bytes; /* 4, 16, or 0: not known, then no cookies */
    uint8_t address[16];   /* the client's */

    /* gy_dns_answer fills in: */
    uint32_t answer_bytes; /* 0: none is due */
    uint8_t outcome;       /* enum gy_dns_outcome */
    uint8_t cookie;        /* enum gy_dns_cookie */
    bool dnssec_ok;
    bool has_edns;
    bool truncated;
    uint16_t rcode; /* with the bits in OPT */
    uint16_t type;  /* of the question; 0: there was none to be read */
    uint16_t class;
    uint16_t tsig_at; /* where a TSIG record begins; 0: none */
    uint16_t question_bytes;
    uint32_t limit; /* bytes that the answer may have, an EDNS client's size included */
    const struct gy_dns_zone *zone;
};

/* Working memory of one caller at a time (a worker). */
struct gy_dns_answerer;

/* How much it needs; aligned to 64. */
size_t gy_dns_answerer_bytes(void);
struct gy_dns_answerer *gy_dns_answerer_init(void *memory,
                                             const struct gy_dns_answer_settings *settings);

void gy_dns_answer(struct gy_dns_answerer *answerer, struct gy_dns_query *queries, uint32_t count);

/*
 * For queries that will be answered one at a time: fetches what the first of them would wait for,
 * and what the others would, all at once. At most GY_DNS_BATCH, of which `message`, `bytes` and
 * `transport` are filled in, and address_bytes is 0. It reads them as gy_dns_answer does, and
 * answers nothing: that is worth it from about GY_DNS_PREFETCH_BYTES of zones on.
 */
void gy_dns_prefetch(struct gy_dns_answerer *answerer, struct gy_dns_query *queries,
                     uint32_t count);

/* Instead of the answer that was made: one with this code (0 to 15), the question, and no record.
 * AA where `authoritative`. For servers that know more than this does (NOTIFY, transfers, TSIG). */
void gy_dns_answer_replace(struct gy_dns_query *query, uint16_t rcode, bool authoritative);

/* For rate limiting: the shortest answer to a query, truncated, without records (slip). Writes it
 * to `query->answer`; the query has been through gy_dns_answer. */
void gy_dns_answer_slip(struct gy_dns_query *query);

#endif
