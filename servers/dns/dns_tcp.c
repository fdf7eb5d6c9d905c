/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Queries over TCP (RFC 7766), with TLS or without (RFC 7858): each behind its length in two bytes.
 */

#include <string.h>
#include <sys/socket.h>

#include "core/stream.h"
#include "core/visitors.h"
#include "servers/dns/dns_internal.h"

#define QUIET_MS 1000u /* of a connection that is to end: nothing more is under way */
#define LEAVE_MS 3000u /* then it ends behind an answer */
#define LAST_MS  1000u /* and at most so much later, whatever is under way */

struct session {
    uint64_t leave_ms;             /* when it has to be gone; 0: the process stays */
    struct dns_transfer *transfer; /* NULL: none is under way */
    struct gy_address peer;
    uint32_t visitor;
    bool broken;   /* what came is no query: it ends */
    bool answered; /* in this turn */
};

_Static_assert(sizeof(struct session) <= GY_DNS_SESSION_BYTES, "a session has its room");

static uint32_t idle_ms(const struct gy_dns_server *server)
{
    return server->idle_ms != 0 ? server->idle_ms : GY_DNS_SERVER_IDLE_MS;
}

static void rest(struct gy_stream *stream)
{
    const struct session *session = stream->session;
    uint64_t now = stream->worker->now_ms;
    uint64_t deadline = now + idle_ms(stream->endpoint->context);
    if (session->leave_ms != 0) {
        uint64_t last = session->leave_ms + LAST_MS;
        deadline = now + QUIET_MS < last ? now + QUIET_MS : last;
    }
    gy_stream_set_deadline(stream, deadline);
}

/* One connection more of its address. GY_ELIMIT: it has as many as it may. */
static int enter(struct gy_stream *stream)
{
    const struct gy_dns_server *server = stream->endpoint->context;
    struct session *session = stream->session;
    const struct gy_address *peer = &session->peer;
    session->visitor = GY_VISITOR_NONE;
    if (server->tcp_visitors == NULL) {
        return 0;
    }
    const void *address = peer->any.sa_family == AF_INET ? (const void *)&peer->v4.sin_addr
                                                         : (const void *)&peer->v6.sin6_addr;
    int code =
        gy_visitors_enter(server->tcp_visitors, peer->any.sa_family, address, &session->visitor);
    if (code == GY_ELIMIT) {
        gy_count(&dns_worker(server, stream->worker)->counts->connections_refused, 1);
        return code;
    }
    return 0;
}

static uint32_t dns_open(struct gy_stream *stream)
{
    struct session *session = stream->session;
    socklen_t length = sizeof session->peer.v6;
    memset(session, 0, sizeof *session);
    if (getpeername(stream->descriptor, &session->peer.any, &length) != 0) {
        session->peer.any.sa_family = AF_UNSPEC; /* it is gone, as the next send will tell */
    }
    if (enter(stream) != 0) {
        return GY_WANT_CLOSE;
    }
    rest(stream);
    return GY_WANT_READ;
}

/* `bytes` of `in` from `offset` on in one piece: where they are, or gathered at `gather`. */
static const uint8_t *in_one_piece(const struct gy_chain *in, uint32_t offset, uint32_t bytes,
                                   uint8_t *gather)
{
    uint32_t front_bytes;
    const uint8_t *front = gy_chain_front(in, &front_bytes);
    if (offset + bytes <= front_bytes) {
        return front + offset;
    }
    gy_chain_copy(in, offset, bytes, gather);
    return gather;
}

/* Whole queries at the front of `in`, a batch at most. `*used` are the bytes they take there. */
static uint32_t take_batch(struct gy_stream *stream, struct gy_dns_worker *worker, uint32_t *used)
{
    struct session *session = stream->session;
    const struct gy_chain *in = &stream->in;
    uint32_t gathered = 0;
    uint32_t taken = 0;
    uint32_t now = dns_clock(worker, stream->worker);
    *used = 0;
    while (taken < GY_DNS_BATCH && in->length - *used >= 2) {
        uint8_t prefix_bytes[2];
        const uint8_t *prefix = in_one_piece(in, *used, 2, prefix_bytes);
        uint32_t bytes = (uint32_t)prefix[0] << 8 | prefix[1];
        if (bytes < GY_DNS_HEADER_BYTES) {
            session->broken = true;
            break;
        }
        if (in->length - *used - 2 < bytes || gathered + bytes > GATHER_BYTES) {
            break;
        }
        struct gy_dns_query *query = &worker->queries[taken];
        query->message = in_one_piece(in, *used + 2, bytes, worker->gather + gathered);
        gathered += query->message == worker->gather + gathered ? bytes : 0;
        query->bytes = bytes;
        query->answer = dns_answer_at(worker, taken);
        query->room = GY_DNS_MESSAGE_MAX;
        query->transport = stream->layer == NULL ? GY_DNS_TCP : GY_DNS_TLS;
        dns_query_from(query, &session->peer, now);
        *used += 2 + bytes;
        worker->query_end[taken++] = *used;
    }
    return taken;
}

/* Appends the answers to `out`. GY_ENOBUFS with nothing appended. */
static int put_answers(struct gy_stream *stream, const struct gy_dns_worker *worker, uint32_t count)
{
    struct gy_bump *bump = &stream->worker->bump;
    struct gy_chain made;
    gy_chain_init(&made, stream->out.links);
    for (uint32_t i = 0; i < count; i++) {
        const struct gy_dns_query *query = &worker->queries[i];
        uint8_t *at = query->answer - 2;
        uint32_t left = query->answer_bytes > 0 ? query->answer_bytes + 2 : 0;
        at[0] = (uint8_t)(query->answer_bytes >> 8);
        at[1] = (uint8_t)query->answer_bytes;
        while (left > 0) {
            uint32_t piece = left < GY_BUMP_BLOCK_BYTES ? left : GY_BUMP_BLOCK_BYTES;
            if (gy_bump_copy(bump, &made, at, piece) != 0) {
                gy_chain_clear(&made);
                return GY_ENOBUFS;
            }
            at += piece;
            left -= piece;
        }
    }
    int code = gy_chain_move(&made, &stream->out, made.length);
    gy_assert(code == 0); /* nothing is cut */
    return 0;
}

/* What takes more than zones, of a batch that was answered. Where a transfer begins the batch ends
 * before it; how many are left is returned. */
static uint32_t finish_batch(struct gy_stream *stream, struct gy_dns_worker *worker, uint32_t count,
                             uint32_t *used, struct dns_transfer **transfer)
{
    const struct gy_dns_server *server = stream->endpoint->context;
    const struct session *session = stream->session;
    for (uint32_t i = 0; i < count; i++) {
        struct gy_dns_query *query = &worker->queries[i];
        if (query->outcome == GY_DNS_TRANSFER && query->zone != NULL) {
            *transfer = dns_transfer_make(server, worker, query, &session->peer);
            if (*transfer != NULL) {
                *used = worker->query_end[i];
                query->answer_bytes = 0;
                return i;
            }
        } else if (dns_is_special(query)) {
            dns_special(server, worker, query, stream->worker->options.number);
        }
    }
    return count;
}

/* The first query of a stream, where it lies. False: it is not there, or in pieces. */
static bool look_at(const struct gy_stream *stream, struct gy_dns_query *query)
{
    uint32_t front_bytes;
    if (stream->state != GY_STREAM_OPEN || stream->in.length < 2 + GY_DNS_HEADER_BYTES) {
        return false;
    }
    const uint8_t *front = gy_chain_front(&stream->in, &front_bytes);
    if (front_bytes < 2 + GY_DNS_HEADER_BYTES) {
        return false;
    }
    query->message = front + 2;
    query->bytes = (uint32_t)front[0] << 8 | front[1];
    query->transport = GY_DNS_TCP;
    query->address_bytes = 0;
    return query->bytes <= front_bytes - 2;
}

/* Most connections have one query at a time, and answering it waits for memory at three places. So
 * those whose turns come next wait at the same time: none of their queries is answered here. */
static void look_ahead(const struct gy_stream *stream, struct gy_dns_worker *worker)
{
    const struct gy_stream *next = gy_worker_next_ready(stream);
    if (worker->ahead > 0) {
        worker->ahead--;
        return;
    }
    if (next == NULL || worker->settings.zones->bytes < GY_DNS_PREFETCH_BYTES) {
        return;
    }
    uint32_t count = look_at(stream, &worker->queries[0]);
    for (; next != NULL && count < GY_DNS_BATCH; next = next->next_ready) {
        if (next->endpoint == stream->endpoint) {
            worker->ahead++;
            count += look_at(next, &worker->queries[count]);
        }
    }
    gy_dns_prefetch(worker->answerer, worker->queries, count);
}

/* Queries, until there are no more, the answers are many, or a transfer begins. */
static int answer_queries(struct gy_stream *stream, struct gy_dns_worker *worker)
{
    struct session *session = stream->session;
    uint32_t high = stream->endpoint->limits.send_high_bytes;
    while (stream->in.length >= 2 && stream->out.length < high && session->transfer == NULL) {
        struct dns_transfer *transfer = NULL;
        uint32_t used = 0;
        uint32_t count = take_batch(stream, worker, &used);
        if (count == 0) {
            break;
        }
        gy_dns_answer(worker->answerer, worker->queries, count);
        count = finish_batch(stream, worker, count, &used, &transfer);
        if (put_answers(stream, worker, count) != 0) {
            dns_transfer_free(worker, transfer);
            return GY_ENOBUFS; /* they are answered again */
        }
        dns_count(worker, count);
        gy_chain_consume(&stream->in, used);
        session->transfer = transfer;
        session->answered = true;
    }
    if (session->answered) {
        rest(stream);
    }
    return 0;
}

/* Goes on with the transfer, if there is one. 0: it is over, or there is none; 1: it is not. */
static int go_on(struct gy_stream *stream, struct gy_dns_worker *worker)
{
    struct session *session = stream->session;
    if (session->transfer == NULL) {
        return 0;
    }
    int code = dns_transfer_turn(stream, worker, session->transfer);
    if (code < 0) {
        return code;
    }
    rest(stream);
    if (code == 1) {
        dns_transfer_free(worker, session->transfer);
        session->transfer = NULL;
    }
    return code == 0;
}

/* A connection of a process that leaves, on which it was never quiet. Right behind an answer is the
 * best time: who waits for one before asking again sees the end before it asks. */
static bool is_over(const struct gy_stream *stream)
{
    const struct session *session = stream->session;
    return session->leave_ms != 0 && stream->worker->now_ms >= session->leave_ms &&
           session->answered && stream->in.length == 0;
}

static uint32_t dns_turn(struct gy_stream *stream)
{
    const struct gy_dns_server *server = stream->endpoint->context;
    struct gy_dns_worker *worker = dns_worker(server, stream->worker);
    struct session *session = stream->session;
    uint32_t high = stream->endpoint->limits.send_high_bytes;
    bool transfers = false; /* one began in this turn */
    session->answered = false;
    look_ahead(stream, worker);
    int code = go_on(stream, worker);
    if (code == 0) {
        code = answer_queries(stream, worker);
        transfers = session->transfer != NULL;
        code = code == 0 ? go_on(stream, worker) : code;
    }
    if (code < 0) {
        return GY_WANT_RETRY;
    }
    if (code > 0) {
        return GY_WANT_READ | GY_WANT_ROOM;
    }
    if (is_over(stream)) {
        return GY_WANT_CLOSE | GY_WANT_LINGER;
    }
    if (session->broken) {
        gy_count(&worker->counts->malformed, 1);
        return GY_WANT_CLOSE | GY_WANT_LINGER;
    }
    if (transfers && stream->in.length >= 2 && stream->out.length < high) {
        gy_stream_wake(stream); /* what came behind a transfer that was short */
    }
    if (stream->out.length >= high) {
        return GY_WANT_READ | GY_WANT_ROOM;
    }
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t dns_expire(struct gy_stream *stream)
{
    const struct session *session = stream->session;
    const struct gy_dns_server *server = stream->endpoint->context;
    if (session->transfer != NULL) { /* a peer that takes nothing is the core's business */
        rest(stream);
        return GY_WANT_READ | GY_WANT_ROOM;
    }
    if (session->leave_ms == 0) {
        gy_count(&dns_worker(server, stream->worker)->counts->timeouts, 1);
        gy_count(&stream->worker->counters.timeouts_idle, 1);
    }
    return GY_WANT_CLOSE;
}

static uint32_t dns_drain(struct gy_stream *stream)
{
    struct session *session = stream->session;
    session->leave_ms = stream->worker->now_ms + LEAVE_MS;
    rest(stream);
    return dns_turn(stream);
}

static void dns_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    const struct gy_dns_server *server = stream->endpoint->context;
    struct session *session = stream->session;
    (void)reason;
    dns_transfer_free(dns_worker(server, stream->worker), session->transfer);
    if (server->tcp_visitors != NULL) {
        gy_visitors_leave(server->tcp_visitors, session->visitor);
    }
}

const struct gy_stream_ops gy_dns_stream_ops = {dns_open, dns_turn, dns_expire, dns_drain,
                                                dns_closed};
