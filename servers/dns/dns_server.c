/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "servers/dns/dns_internal.h"

#define COUNTS(member) offsetof(struct gy_dns_counts, member)

const struct gy_metric_description gy_dns_rows[] = {
    {"dns_queries", "", "Queries answered, with whatever code.", GY_METRIC_COUNTER,
     COUNTS(queries)},
    {"dns_transport_queries", "transport=\"udp\"", "Queries answered, by transport.",
     GY_METRIC_COUNTER, COUNTS(udp)},
    {"dns_transport_queries", "transport=\"tcp\"", "Queries answered, by transport.",
     GY_METRIC_COUNTER, COUNTS(tcp)},
    {"dns_transport_queries", "transport=\"tls\"", "Queries answered, by transport.",
     GY_METRIC_COUNTER, COUNTS(tls)},
#define TYPE_ROW(name)                                                                             \
    {"dns_type_queries", "type=\"" #name "\"", "Queries answered, by the type asked for.",         \
     GY_METRIC_COUNTER, COUNTS(type_##name)},
    GY_DNS_COUNTED_TYPES(TYPE_ROW)
#undef TYPE_ROW
        {"dns_type_queries", "type=\"other\"", "Queries answered, by the type asked for.",
         GY_METRIC_COUNTER, COUNTS(type_other)},
#define RCODE_ROW(name)                                                                            \
    {"dns_answers", "rcode=\"" #name "\"", "Answers, by response code.", GY_METRIC_COUNTER,        \
     COUNTS(rcode_##name)},
    GY_DNS_COUNTED_RCODES(RCODE_ROW)
#undef RCODE_ROW
        {"dns_answers", "rcode=\"other\"", "Answers, by response code.", GY_METRIC_COUNTER,
         COUNTS(rcode_other)},
    {"dns_truncated", "", "Answers that did not fit, and said so.", GY_METRIC_COUNTER,
     COUNTS(truncated)},
    {"dns_edns_queries", "", "Queries answered that came with EDNS.", GY_METRIC_COUNTER,
     COUNTS(edns)},
    {"dns_dnssec_queries", "", "Queries answered that asked for DNSSEC records.", GY_METRIC_COUNTER,
     COUNTS(dnssec)},
    {"dns_malformed", "", "Messages dropped because they are no queries.", GY_METRIC_COUNTER,
     COUNTS(malformed)},
    {"dns_lost", "", "Answers dropped for want of memory.", GY_METRIC_COUNTER, COUNTS(lost)},
    {"dns_transfers_refused", "", "Zone transfers that were asked for and refused.",
     GY_METRIC_COUNTER, COUNTS(transfers_refused)},
    {"dns_rate_limited", "how=\"dropped\"", "Queries over the rate limit of their network.",
     GY_METRIC_COUNTER, COUNTS(dropped)},
    {"dns_rate_limited", "how=\"slipped\"", "Queries over the rate limit of their network.",
     GY_METRIC_COUNTER, COUNTS(slipped)},
    {"dns_transfers", "how=\"begun\"", "Zones sent to secondaries.", GY_METRIC_COUNTER,
     COUNTS(transfers_begun)},
    {"dns_transfers", "how=\"sent\"", "Zones sent to secondaries.", GY_METRIC_COUNTER,
     COUNTS(transfers_sent)},
    {"dns_differences_sent", "", "Transfers of differences alone (IXFR) sent, to the end.",
     GY_METRIC_COUNTER, COUNTS(differences_sent)},
    {"dns_signatures", "how=\"right\"", "Queries with a TSIG record.", GY_METRIC_COUNTER,
     COUNTS(signatures_right)},
    {"dns_signatures", "how=\"wrong\"", "Queries with a TSIG record.", GY_METRIC_COUNTER,
     COUNTS(signatures_wrong)},
    {"dns_notifies_in", "how=\"taken\"", "NOTIFY messages that came.", GY_METRIC_COUNTER,
     COUNTS(notifies_taken)},
    {"dns_notifies_in", "how=\"refused\"", "NOTIFY messages that came.", GY_METRIC_COUNTER,
     COUNTS(notifies_refused)},
    {"dns_connections_refused", "", "Connections beyond what one address may have.",
     GY_METRIC_COUNTER, COUNTS(connections_refused)},
    {"dns_secondary_checks", "", "Questions to primaries for a zone's serial.", GY_METRIC_COUNTER,
     COUNTS(keeper.checks)},
    {"dns_secondary_fetched", "", "Zones fetched from primaries.", GY_METRIC_COUNTER,
     COUNTS(keeper.fetched)},
    {"dns_secondary_differences", "", "Of them, by their differences (IXFR).", GY_METRIC_COUNTER,
     COUNTS(keeper.differences)},
    {"dns_secondary_failed", "", "Questions to primaries, and fetches, that failed.",
     GY_METRIC_COUNTER, COUNTS(keeper.failed)},
    {"dns_secondary_expired", "", "Zones that are not answered for any more.", GY_METRIC_COUNTER,
     COUNTS(keeper.expired)},
    {"dns_notifies_out", "how=\"sent\"", "NOTIFY messages to secondaries.", GY_METRIC_COUNTER,
     COUNTS(keeper.notifies_sent)},
    {"dns_notifies_out", "how=\"failed\"", "NOTIFY messages to secondaries.", GY_METRIC_COUNTER,
     COUNTS(keeper.notifies_failed)},
    {"dns_idle_timeouts", "", "Connections closed because no query came.", GY_METRIC_COUNTER,
     COUNTS(timeouts)},
};

_Static_assert(sizeof gy_dns_rows / sizeof gy_dns_rows[0] == GY_DNS_ROWS,
               "the header knows how many");
_Static_assert(GY_DNS_ROWS <= 64, "as many as a kind may have");

/* ---- counting ---- */

static void count_type(struct gy_dns_counts *counts, uint16_t type)
{
    switch (type) {
#define TYPE_CASE(name)                                                                            \
    case GY_DNS_TYPE_##name:                                                                       \
        gy_count(&counts->type_##name, 1);                                                         \
        break;
        GY_DNS_COUNTED_TYPES(TYPE_CASE)
#undef TYPE_CASE
    default:
        gy_count(&counts->type_other, 1);
    }
}

static void count_rcode(struct gy_dns_counts *counts, uint16_t rcode)
{
    switch (rcode) {
#define RCODE_CASE(name)                                                                           \
    case GY_DNS_RCODE_##name:                                                                      \
        gy_count(&counts->rcode_##name, 1);                                                        \
        break;
        GY_DNS_COUNTED_RCODES(RCODE_CASE)
#undef RCODE_CASE
    default:
        gy_count(&counts->rcode_other, 1);
    }
}

void dns_count(struct gy_dns_worker *worker, uint32_t count)
{
    struct gy_dns_counts *counts = worker->counts;
    uint64_t answered = 0;
    uint64_t udp = 0;
    uint64_t tls = 0;
    uint64_t edns = 0;
    uint64_t dnssec = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct gy_dns_query *query = &worker->queries[i];
        if (query->answer_bytes == 0) {
            gy_count(&counts->malformed, 1);
            continue;
        }
        answered++;
        udp += query->transport == GY_DNS_UDP;
        tls += query->transport == GY_DNS_TLS;
        edns += query->has_edns;
        dnssec += query->dnssec_ok;
        count_type(counts, query->type);
        count_rcode(counts, query->rcode);
        if (query->truncated) {
            gy_count(&counts->truncated, 1);
        }
        if (query->outcome == GY_DNS_TRANSFER) {
            gy_count(&counts->transfers_refused, 1);
        }
        if (worker->log != NULL) {
            dns_log(worker, query);
        }
    }
    gy_count(&counts->queries, answered);
    gy_count(&counts->udp, udp);
    gy_count(&counts->tcp, answered - udp - tls);
    gy_count(&counts->tls, tls);
    gy_count(&counts->edns, edns);
    gy_count(&counts->dnssec, dnssec);
}

void dns_count_transfer(struct gy_dns_worker *worker, const struct gy_dns_query *query)
{
    struct gy_dns_counts *counts = worker->counts;
    gy_count(&counts->queries, 1);
    gy_count(query->transport == GY_DNS_TLS ? &counts->tls : &counts->tcp, 1);
    gy_count(&counts->edns, query->has_edns);
    gy_count(&counts->transfers_begun, 1);
    count_type(counts, query->type);
    count_rcode(counts, GY_DNS_RCODE_NOERROR);
}

/* ---- answering ---- */

uint32_t dns_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint32_t)now.tv_sec;
}

void dns_query_from(struct gy_dns_query *query, const struct gy_address *peer, uint32_t now)
{
    query->now = now;
    query->address_bytes = 0;
    if (peer->any.sa_family == AF_INET) {
        query->address_bytes = 4;
        memcpy(query->address, &peer->v4.sin_addr, 4);
    } else if (peer->any.sa_family == AF_INET6) {
        query->address_bytes = 16;
        memcpy(query->address, &peer->v6.sin6_addr, 16);
    }
}

/* ---- workers ---- */

static void worker_free(struct gy_dns_worker *worker)
{
    if (worker != NULL) {
        free(worker->answerer);
        free(worker->answers);
        free(worker->gather);
        free(worker->inlet_messages);
        free(worker);
    }
}

/* Large pieces, of which pages are used as answers are that long. */
static struct gy_dns_worker *worker_make(const struct gy_dns_server *server)
{
    struct gy_dns_worker *worker = aligned_alloc(64, (sizeof *worker + 63) & ~(size_t)63);
    if (worker == NULL) {
        return NULL;
    }
    memset(worker, 0, sizeof *worker);
    void *memory = aligned_alloc(64, (gy_dns_answerer_bytes() + 63) & ~(size_t)63);
    worker->answers = malloc((size_t)ANSWER_STRIDE * GY_DNS_BATCH);
    worker->gather = malloc(GATHER_BYTES);
    if (memory == NULL || worker->answers == NULL || worker->gather == NULL) {
        free(memory);
        worker_free(worker);
        return NULL;
    }
    worker->settings = server->answers;
    worker->settings.zones = &server->set->zones;
    worker->answerer = gy_dns_answerer_init(memory, &worker->settings);
    gy_assert((void *)worker->answerer == memory);
    return worker;
}

int gy_dns_server_open(struct gy_dns_server *server, uint32_t workers, struct gy_dns_counts *counts)
{
    gy_assert(server->set != NULL && workers <= GY_DNS_SERVER_WORKERS_MAX &&
              server->worker_count == 0);
    server->counts = counts;
    for (; server->worker_count < workers; server->worker_count++) {
        struct gy_dns_worker *worker = worker_make(server);
        if (worker == NULL) {
            return GY_ENOMEM;
        }
        worker->counts = &counts[server->worker_count];
        if (server->query_log != NULL) {
            worker->log = gy_access_log_queue(server->query_log, server->worker_count);
        }
        server->workers[server->worker_count] = worker;
    }
    return 0;
}

void gy_dns_server_close(struct gy_dns_server *server)
{
    while (server->worker_count > 0) {
        worker_free(server->workers[--server->worker_count]);
    }
}
