/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_INTERNAL_H
#define GY_SERVERS_DNS_DNS_INTERNAL_H

/* What dns_server.c (workers), dns_udp.c and dns_tcp.c share. */

#include "core/worker.h"
#include "servers/dns/dns_server.h"

/* Between answers: not a power of two, so that a batch of them does not compete for the same sets
 * of the first cache. */
#define ANSWER_STRIDE (GY_DNS_MESSAGE_MAX + 1 + 192)

/* Queries that lie in several slices are put together here: at least one fits. */
#define GATHER_BYTES (2 * (GY_DNS_MESSAGE_MAX + 1))

struct gy_dns_worker {
    struct gy_dns_answerer *answerer;
    struct gy_dns_counts *counts;
    struct gy_dns_query queries[GY_DNS_BATCH];
    uint32_t query_index[GY_DNS_BATCH]; /* UDP: which datagram it was */
    uint32_t limited;                   /* queries that were over the rate limit */
    uint8_t *answers;                   /* ANSWER_STRIDE each; two bytes of length, then it */
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

/* Counts the first `count` of worker->queries, which are answered. */
void dns_count(const struct gy_dns_worker *worker, uint32_t count);

#endif
