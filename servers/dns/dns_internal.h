/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_INTERNAL_H
#define GY_SERVERS_DNS_DNS_INTERNAL_H

/* What dns_server.c (workers), dns_udp.c and dns_tcp.c share. */

#include "core/worker.h"
#include "protocols/dns/transfer_out.h"
#include "servers/dns/dns_server.h"
#include "servers/http/access_log.h"

/* Between answers: not a power of two, so that a batch of them does not compete for the same sets
 * of the first cache. */
#define ANSWER_STRIDE (GY_DNS_MESSAGE_MAX + 1 + 192)

/* Queries that lie in several slices are put together here: at least one fits. */
#define GATHER_BYTES (2 * (GY_DNS_MESSAGE_MAX + 1))

struct dns_transfer;

struct gy_dns_worker {
    struct gy_dns_answer_settings settings; /* with the zones of the set that it is at */
    struct gy_dns_answerer *answerer;
    struct gy_dns_counts *counts;
    struct gy_dns_query queries[GY_DNS_BATCH];
    uint32_t query_index[GY_DNS_BATCH]; /* UDP: which datagram it was */
    uint32_t query_end[GY_DNS_BATCH];   /* TCP: behind its last byte */
    uint32_t ahead;                     /* TCP: turns of streams that were looked ahead at */
    struct gy_dns_tsig tsig;            /* of the query that is looked at */
    uint32_t transfers;                 /* under way */
    struct gy_access_queue *log;        /* NULL: none */
    uint32_t log_second;                /* that log_time is of */
    char log_time[GY_ACCESS_TIME_BYTES];
    struct gy_inlet inlet; /* for new sets, from the keeper */
    struct gy_message *inlet_messages;
    _Atomic uint64_t generation; /* of the set that it is at */
    uint32_t limited;            /* queries that were over the rate limit */
    uint32_t clock_s;            /* seconds since 1970, as dns_clock read them last */
    uint64_t clock_ms;           /* at this time of the loop */
    uint8_t *answers;            /* ANSWER_STRIDE each; two bytes of length, then it */
    uint8_t *gather;
};

/* What this worker answers with. */
static inline struct gy_dns_worker *dns_worker(const struct gy_dns_server *server,
                                               const struct gy_worker *worker)
{
    gy_assert(worker->options.number < server->worker_count);
    return server->workers[worker->options.number];
}

/* Where answer `i` of a batch is written to. */
static inline uint8_t *dns_answer_at(const struct gy_dns_worker *worker, uint32_t i)
{
    return worker->answers + (size_t)i * ANSWER_STRIDE + 2;
}

/* Fills what a query says of its client; `now` is for cookies. */
void dns_query_from(struct gy_dns_query *query, const struct gy_address *peer, uint32_t now);
uint32_t dns_now(void);

/* The same for each query: the clock is read when the loop's has moved. */
static inline uint32_t dns_clock(struct gy_dns_worker *worker, const struct gy_worker *core)
{
    if (worker->clock_ms != core->now_ms) {
        worker->clock_ms = core->now_ms;
        worker->clock_s = dns_now();
    }
    return worker->clock_s;
}

/* ---- dns_special.c: what takes more than zones ---- */

/* Whether a query that was answered is such a one. */
static inline bool dns_is_special(const struct gy_dns_query *query)
{
    return query->answer_bytes > 0 && (query->tsig_at != 0 || query->outcome == GY_DNS_NOTIFIED);
}

/* Checks its signature. 0, or what is wrong with it: then the answer says so. *key is whose it is;
 * NULL for one without. worker->tsig is good for signing the answer. */
uint16_t dns_check(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                   struct gy_dns_query *query, const struct gy_dns_key **key);

/* Signs the answer, after dns_check. */
void dns_sign(const struct gy_dns_server *server, struct gy_dns_worker *worker,
              struct gy_dns_query *query);

/* Both, and NOTIFY. `number` is the worker's. */
void dns_special(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                 struct gy_dns_query *query, uint32_t number);

/* ---- dns_transfer.c: zones that are sent ---- */

/* Of a query with the outcome GY_DNS_TRANSFER over a stream: the transfer, or NULL, when the answer
 * says why not. */
struct dns_transfer *dns_transfer_make(const struct gy_dns_server *server,
                                       struct gy_dns_worker *worker, struct gy_dns_query *query,
                                       const struct gy_address *peer);

/* A piece of it into stream->out. 1: that was all; 0: more when there is room, and the stream has
 * been woken if there is some; GY_ENOBUFS: when there is memory. */
int dns_transfer_turn(struct gy_stream *stream, struct gy_dns_worker *worker,
                      struct dns_transfer *transfer);

/* At its end, whatever that is. NULL is allowed. */
void dns_transfer_free(struct gy_dns_worker *worker, struct dns_transfer *transfer);

/* Counts the first `count` of worker->queries, which are answered, and logs them. */
void dns_count(struct gy_dns_worker *worker, uint32_t count);

/* The same of one whose answer is a transfer. */
void dns_count_transfer(struct gy_dns_worker *worker, const struct gy_dns_query *query);

/* dns_log.c: a line of the query log. */
void dns_log(struct gy_dns_worker *worker, const struct gy_dns_query *query);

#endif
