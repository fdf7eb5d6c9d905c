/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_STUB_H
#define GY_PROTOCOLS_DNS_STUB_H

/*
 * A stub resolver: the addresses of a host's name, by way of the name servers that resolv.conf
 * names (RFC 1034 §5.3.1). Sans-I/O: names, datagrams and the time come in; queries to send and
 * addresses come out.
 *
 *     gy_dns_stub_ask(&stub, &lookup, "www.example.org", now_ms);
 *     for (;;) {
 *         while (gy_dns_stub_output(&stub, &output, room)) { … send, or close … }
 *         while ((lookup = gy_dns_stub_next(&stub)) != NULL) { … lookup->addresses … }
 *         wait until gy_dns_stub_deadline(&stub), or for an answer:
 *             gy_dns_stub_receive(&stub, exchange, &from, bytes, length, now_ms);
 *             gy_dns_stub_failed(&stub, exchange, now_ms);
 *             gy_dns_stub_expire(&stub, now_ms);
 *     }
 *
 * In order: a name in /etc/hosts is that; "localhost" and what ends in it are loopback addresses,
 * "invalid" and "onion" have none (RFC 6761 §6, RFC 7686); then the name as it is and in the search
 * list's domains, as ndots says, of which the first that has an address is taken. A and AAAA are
 * asked for together. Addresses are told as they come, as RFC 8305 §3 wants it: IPv6 at once, IPv4
 * when it has waited 50 ms for IPv6.
 *
 * Against forged answers (RFC 5452): each try has a new random id, a new random port (a socket of
 * its own: the caller's part), and letters of random case, which have to come back as they were
 * sent. A server that does not keep the case, and a port at which 16 strange messages have arrived,
 * are asked by TCP.
 *
 * Bounds: GY_DNS_STUB_NAMES names at a time, each with two exchanges; those who ask for a name that
 * is being looked up share its answer. 16 addresses. 16 aliases in an answer, and 8 times that an
 * alias is asked for because the server did not. GY_DNS_STUB_CACHED answers are kept, for as long
 * as they say, a day at most; that there is none, three hours at most (RFC 2308 §5); that no server
 * could say, for a second, and for twice as long each time that it is so again, 30 s at most (RFC
 * 9520 §3.2). A server that did not answer is asked after the others for 30 s.
 */

#include <sys/queue.h>

#include "resolv.h"

#define GY_DNS_STUB_NAMES       64
#define GY_DNS_STUB_EXCHANGES   (2 * GY_DNS_STUB_NAMES)
#define GY_DNS_STUB_ADDRESSES   16
#define GY_DNS_STUB_CACHED      256
#define GY_DNS_STUB_QUERY_BYTES 320 /* of a query at most */
#define GY_DNS_STUB_WAIT_MS     50  /* of IPv4 for IPv6 (RFC 8305 §3) */

/* How it went. */
enum gy_dns_stub_result {
    GY_DNS_STUB_PENDING,
    GY_DNS_STUB_FOUND,
    GY_DNS_STUB_NO_NAME,    /* NXDOMAIN, for all that was tried */
    GY_DNS_STUB_NO_ADDRESS, /* it exists, without an address */
    GY_DNS_STUB_FAILED,     /* the servers could not, or would not, say */
    GY_DNS_STUB_SILENT,     /* no server answered */
    GY_DNS_STUB_BAD_NAME,   /* not the name of a host */
};

struct gy_dns_work;

/* One who asks. The caller's memory, until the last answer is out or it is cancelled. */
struct gy_dns_lookup {
    void *context; /* the caller's */

    /* When gy_dns_stub_next() has returned it: all addresses so far, ports 0. */
    struct gy_dns_address addresses[GY_DNS_STUB_ADDRESSES];
    uint32_t count;
    enum gy_dns_stub_result result; /* FOUND as soon as there is one */
    bool more;                      /* it will be returned again, with more behind these */

    /* private */
    struct gy_dns_work *work;
    TAILQ_ENTRY(gy_dns_lookup) work_entry;
    TAILQ_ENTRY(gy_dns_lookup) ready_entry;
    bool ready;
};

TAILQ_HEAD(gy_dns_lookups, gy_dns_lookup);

/* What is asked of one server for one type. */
struct gy_dns_stub_question {
    uint8_t name[GY_DNS_NAME_MAX]; /* the name that is being looked for, or where its aliases led */
    uint8_t sent[GY_DNS_NAME_MAX]; /* the same, in the case that it was sent with */
    struct gy_dns_address addresses[GY_DNS_STUB_ADDRESSES];
    uint8_t order[GY_DNS_SERVERS_MAX]; /* in which servers are asked */
    uint64_t due_ms;                   /* of the answer */
    uint32_t count;
    uint32_t ttl; /* least of the chain so far */
    uint16_t type;
    uint16_t id;
    uint8_t tries;
    uint8_t aliases; /* asked for */
    uint8_t strange; /* messages at its port that were no answer */
    uint8_t action;  /* enum gy_dns_stub_action, to be done by the caller */
    uint8_t outcome; /* enum gy_dns_stub_result; PENDING while it is under way */
    bool asked;      /* not from the cache */
    bool tcp;
    bool plain;   /* without EDNS: a server did not understand */
    bool refused; /* a server answered that it cannot */
};

/* A name that is being looked up. */
struct gy_dns_work {
    struct gy_dns_lookups lookups;
    char name[GY_DNS_NAME_MAX];               /* as it was asked for */
    uint32_t bytes;                           /* of that; 0: free */
    uint32_t candidate;                       /* of the search list and the name itself */
    uint64_t due_ms;                          /* IPv4 has waited long enough; 0: nothing waits */
    struct gy_dns_stub_question questions[2]; /* AAAA, A */
    bool told;                                /* some addresses are out */
    bool saw_failure;                         /* of a candidate before */
    bool saw_name;                            /* a candidate exists, without an address */
};

struct gy_dns_cached {
    uint64_t until_ms;             /* 0: free */
    uint8_t name[GY_DNS_NAME_MAX]; /* lower case */
    uint8_t outcome;               /* enum gy_dns_stub_result */
    uint8_t count;                 /* of a failure: for how many seconds it was kept */
    uint16_t type;                 /* 0: the name does not exist */
    uint8_t addresses[GY_DNS_STUB_ADDRESSES][16];
};

/* All that was counted. */
struct gy_dns_stub_counts {
    uint64_t queries, answers, tcp, timeouts, failures;
    uint64_t strangers; /* from an address that was not asked */
    uint64_t wrong_id, wrong_question, wrong_case, malformed;
    uint64_t hits, misses, evicted; /* of the cache */
};

struct gy_dns_stub_options {
    const struct gy_dns_resolv *resolv; /* copied */
    const char *hosts;                  /* the text of /etc/hosts; the caller's, kept in use */
    size_t hosts_bytes;
    void (*random)(void *context, void *target, size_t bytes); /* unpredictable */
    void *context;
};

struct gy_dns_stub {
    struct gy_dns_resolv resolv;
    struct gy_dns_stub_options options;
    uint64_t down_until_ms[GY_DNS_SERVERS_MAX];
    uint32_t turn;    /* of `rotate` */
    uint64_t seed;    /* of the cache's hashes */
    uint32_t outputs; /* where gy_dns_stub_output() goes on */
    uint32_t actions; /* exchanges with something to do */
    struct gy_dns_lookups ready;
    struct gy_dns_stub_counts counts;
    struct gy_dns_work works[GY_DNS_STUB_NAMES];
    struct gy_dns_cached cache[GY_DNS_STUB_CACHED];
};

/* About 700 KiB, the caller's. */
void gy_dns_stub_init(struct gy_dns_stub *stub, const struct gy_dns_stub_options *options);

/* The files have changed: what is under way begins again, what is cached is forgotten. */
void gy_dns_stub_configure(struct gy_dns_stub *stub, const struct gy_dns_stub_options *options,
                           uint64_t now_ms);

/* Begins a lookup for a zero-terminated name. gy_dns_stub_next() returns it at once where the
 * network is not needed. 0, or GY_ELIMIT when GY_DNS_STUB_NAMES names are being looked up. */
int gy_dns_stub_ask(struct gy_dns_stub *stub, struct gy_dns_lookup *lookup, const char *name,
                    uint64_t now_ms);

/* Nobody waits any more: it is not returned by gy_dns_stub_next() again. Harmless once it is over.
 */
void gy_dns_stub_cancel(struct gy_dns_stub *stub, struct gy_dns_lookup *lookup);

/* The next lookup with news; NULL: none. */
struct gy_dns_lookup *gy_dns_stub_next(struct gy_dns_stub *stub);

enum gy_dns_stub_action {
    GY_DNS_STUB_NOTHING,
    GY_DNS_STUB_UDP,   /* send the query from a new socket with a random port */
    GY_DNS_STUB_TCP,   /* send it over a new connection, behind its length (RFC 1035 §4.2.2) */
    GY_DNS_STUB_CLOSE, /* the exchange is over */
};

struct gy_dns_stub_output {
    enum gy_dns_stub_action action;
    uint32_t exchange; /* below GY_DNS_STUB_EXCHANGES */
    const struct gy_dns_address *server;
    size_t bytes; /* of the query, in `room` */
};

/* What is to be done next. In each case the socket or connection that the exchange had is to be
 * closed first. False when there is nothing. */
bool gy_dns_stub_output(struct gy_dns_stub *stub, struct gy_dns_stub_output *output,
                        uint8_t room[GY_DNS_STUB_QUERY_BYTES]);

/* A message came at the exchange's socket, or over its connection, from `from`. What is no answer
 * to its query is dropped and counted. */
void gy_dns_stub_receive(struct gy_dns_stub *stub, uint32_t exchange,
                         const struct gy_dns_address *from, const uint8_t *bytes, size_t length,
                         uint64_t now_ms);

/* The exchange's socket or connection has failed: the next server is asked. */
void gy_dns_stub_failed(struct gy_dns_stub *stub, uint32_t exchange, uint64_t now_ms);

/* When gy_dns_stub_expire() is to be called; UINT64_MAX: not. */
uint64_t gy_dns_stub_deadline(const struct gy_dns_stub *stub);
void gy_dns_stub_expire(struct gy_dns_stub *stub, uint64_t now_ms);

/* Why there is no address: the end of a sentence, "there is no such name". */
const char *gy_dns_stub_reason(enum gy_dns_stub_result result);

#endif
