/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Queries over UDP. */

#include <string.h>

#include "core/visitors.h"
#include "servers/dns/dns_internal.h"

/* Queries of a batch: worker->queries, and which datagrams they are. Moves `*next` on. */
static uint32_t take_batch(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                           const struct gy_datagram *datagrams, uint32_t count, uint32_t *next,
                           uint32_t now)
{
    uint16_t limit = server->answers.udp_bytes;
    uint32_t taken = 0;
    for (; *next < count && taken < GY_DNS_BATCH; (*next)++) {
        const struct gy_datagram *datagram = &datagrams[*next];
        if (datagram->truncated) { /* no query is that long */
            gy_count(&worker->counts->malformed, 1);
            continue;
        }
        struct gy_dns_query *query = &worker->queries[taken];
        query->message = gy_slice_data(datagram->slice);
        query->bytes = datagram->slice.length;
        query->answer = dns_answer_at(worker, taken);
        query->room = limit;
        query->transport = GY_DNS_UDP;
        dns_query_from(query, &datagram->path->peer, now);
        worker->query_index[taken++] = *next;
    }
    return taken;
}

/* Whether a query is over the limit, and then what becomes of its answer: none, or a truncated one.
 */
static void apply_limit(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                        struct gy_dns_query *query, uint64_t now_ns)
{
    uint32_t visitor;
    int family = query->address_bytes == 4 ? AF_INET : AF_INET6;
    if (query->answer_bytes == 0 || query->cookie == GY_DNS_COOKIE_VALID ||
        gy_visitors_enter(server->visitors, family, query->address, &visitor) != 0) {
        return;
    }
    uint64_t wait_ns = gy_visitors_charge(server->visitors, visitor, now_ns);
    gy_visitors_leave(server->visitors, visitor);
    if (wait_ns == 0) {
        return;
    }
    worker->limited++;
    if (server->slip != 0 && worker->limited % server->slip == 0 &&
        query->answer_bytes >= (uint32_t)GY_DNS_HEADER_BYTES + query->question_bytes) {
        gy_count(&worker->counts->slipped, 1);
        gy_dns_answer_slip(query);
    } else {
        gy_count(&worker->counts->dropped, 1);
        query->answer_bytes = 0;
    }
}

/* Answers lie one after the other in the worker's output, so that those of one peer and one length
 * can leave as one send. */
static void send_answer(struct gy_datagram_socket *socket, const struct gy_datagram_path *path,
                        const struct gy_dns_query *query, struct gy_dns_counts *counts)
{
    struct gy_bump *bump = &socket->worker->bump;
    uint8_t *room = gy_bump_reserve(bump, query->answer_bytes);
    if (room == NULL) {
        gy_count(&counts->lost, 1);
        return;
    }
    memcpy(room, query->answer, query->answer_bytes);
    /* What does not fit the queue is lost, and counted there. */
    gy_datagram_send(socket, path, gy_bump_slice(bump, query->answer_bytes));
}

static void dns_datagrams(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                          uint32_t count)
{
    const struct gy_dns_server *server = socket->endpoint->context;
    struct gy_dns_worker *worker = dns_worker(server, socket->worker);
    uint32_t now = dns_clock(worker, socket->worker);
    for (uint32_t next = 0; next < count;) {
        uint32_t batch = take_batch(server, worker, datagrams, count, &next, now);
        gy_dns_answer(worker->answerer, worker->queries, batch);
        for (uint32_t i = 0; i < batch; i++) {
            if (dns_is_special(&worker->queries[i])) {
                dns_special(server, worker, &worker->queries[i], socket->worker->options.number);
            }
        }
        dns_count(worker, batch);
        for (uint32_t i = 0; i < batch && server->visitors != NULL; i++) {
            apply_limit(server, worker, &worker->queries[i], socket->worker->now_ns);
        }
        for (uint32_t i = 0; i < batch; i++) {
            if (worker->queries[i].answer_bytes > 0) {
                send_answer(socket, datagrams[worker->query_index[i]].path, &worker->queries[i],
                            worker->counts);
            }
        }
    }
}

static const struct gy_datagram_ops datagram_ops = {.receive = dns_datagrams};

void gy_dns_server_datagrams(struct gy_dns_server *server)
{
    gy_assert(server->answers.udp_bytes >= GY_DNS_UDP_MIN &&
              server->answers.udp_bytes <= GY_DNS_SERVER_UDP_MAX);
    server->datagrams.ops = &datagram_ops;
    server->datagrams.fragments = GY_DATAGRAM_FRAGMENT_OMIT;
}
