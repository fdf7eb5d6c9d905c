/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Zones that are sent to secondaries. */

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "servers/dns/dns_changes.h"
#include "servers/dns/dns_internal.h"

#define TRANSFERS_MAX 16 /* of one worker, where nothing else was said */
#define TURN_MESSAGES 2  /* made in one turn: some 150 us of work at most */

struct dns_transfer {
    struct gy_dns_transfer_out out;
    struct gy_dns_tsig tsig;
    const struct gy_dns_zone *zone; /* kept */
    uint64_t bytes;                 /* sent so far */
    uint32_t held;                  /* bytes of `message` that wait for memory */
    struct gy_address peer;
    uint8_t message[2 + GY_DNS_MESSAGE_MAX];
};

/* May the asker have the zone? Else the answer says no. */
static bool allowed(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                    struct gy_dns_query *query)
{
    const struct gy_dns_key *key;
    uint16_t error = dns_check(server, worker, query, &key);
    const struct gy_dns_served *served =
        server->catalog != NULL
            ? gy_dns_catalog_find(server->catalog, gy_dns_zone_apex(query->zone))
            : NULL;
    uint32_t most = server->transfers_max != 0 ? server->transfers_max : TRANSFERS_MAX;
    if (error == 0 && served != NULL && query->class == GY_DNS_CLASS_IN &&
        !gy_dns_zone_is_absent(query->zone) &&
        gy_dns_policy_allows(served->policy, query->address, query->address_bytes, key)) {
        if (worker->transfers < most) {
            return true;
        }
        gy_dns_answer_replace(query, GY_DNS_RCODE_SERVFAIL, false); /* later, perhaps */
    }
    if (error != GY_DNS_RCODE_FORMERR) {
        dns_sign(server, worker, query);
    }
    return false;
}

struct dns_transfer *dns_transfer_make(const struct gy_dns_server *server,
                                       struct gy_dns_worker *worker, struct gy_dns_query *query,
                                       const struct gy_address *peer)
{
    struct gy_dns_transfer_query asked = {
        .name = query->message + GY_DNS_HEADER_BYTES,
        .id = (uint16_t)(query->message[0] << 8 | query->message[1]),
        .type = query->type,
        .flags = (uint16_t)(query->message[2] << 8 | query->message[3]),
    };
    if (!allowed(server, worker, query)) {
        return NULL;
    }
    bool ixfr = query->type == GY_DNS_TYPE_IXFR;
    struct dns_transfer *transfer = NULL;
    uint16_t rcode = GY_DNS_RCODE_SERVFAIL;
    if (ixfr && gy_dns_transfer_serial(query->message, query->bytes, &asked.serial) != 0) {
        rcode = GY_DNS_RCODE_FORMERR;
    } else {
        transfer = malloc(sizeof *transfer);
    }
    if (transfer == NULL) {
        gy_dns_answer_replace(query, rcode, false);
        dns_sign(server, worker, query);
        return NULL;
    }
    bool is_signed = query->tsig_at != 0 && server->hmac != NULL;
    if (is_signed) {
        transfer->tsig = worker->tsig;
    }
    transfer->zone = gy_dns_zone_keep(query->zone);
    transfer->bytes = 0;
    transfer->held = 0;
    transfer->peer = *peer;
    gy_dns_transfer_out_begin(&transfer->out, transfer->zone, gy_dns_journal_of(transfer->zone),
                              &asked, is_signed ? &transfer->tsig : NULL);
    worker->transfers++;
    dns_count_transfer(worker, query);
    if (worker->log != NULL) {
        query->rcode = GY_DNS_RCODE_NOERROR;
        dns_log(worker, query);
    }
    return transfer;
}

/* The message that is held into `out`. */
static int put_message(struct gy_stream *stream, struct dns_transfer *transfer)
{
    struct gy_chain made;
    gy_chain_init(&made, stream->out.links);
    for (uint32_t at = 0; at < transfer->held;) {
        uint32_t left = transfer->held - at;
        uint32_t piece = left < GY_BUMP_BLOCK_BYTES ? left : GY_BUMP_BLOCK_BYTES;
        if (gy_bump_copy(&stream->worker->bump, &made, transfer->message + at, piece) != 0) {
            gy_chain_clear(&made);
            return GY_ENOBUFS;
        }
        at += piece;
    }
    int code = gy_chain_move(&made, &stream->out, made.length);
    gy_assert(code == 0); /* nothing is cut */
    transfer->bytes += transfer->held;
    transfer->held = 0;
    return 0;
}

static void tell(const struct dns_transfer *transfer)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    char peer[GY_ADDRESS_TEXT_BYTES];
    struct gy_dns_zone_facts facts;
    gy_dns_zone_facts(transfer->zone, &facts);
    gy_dns_name_to_text(facts.apex, name);
    gy_address_format(&transfer->peer, peer, sizeof peer);
    gy_log(GY_LOG_INFO, "dns", "zone %s serial %u: %llu records %sin %llu bytes sent to %s", name,
           facts.serial, (unsigned long long)transfer->out.records,
           transfer->out.incremental ? "of differences " : "", (unsigned long long)transfer->bytes,
           peer);
}

int dns_transfer_turn(struct gy_stream *stream, struct gy_dns_worker *worker,
                      struct dns_transfer *transfer)
{
    uint32_t high = stream->endpoint->limits.send_high_bytes;
    for (uint32_t i = 0; i < TURN_MESSAGES && stream->out.length < high; i++) {
        if (transfer->held == 0) {
            size_t bytes =
                gy_dns_transfer_out_next(&transfer->out, transfer->message + 2, dns_now());
            if (bytes == 0 && transfer->out.failed) {
                gy_stream_abort(stream, GY_CLOSE_ERROR);
                return 1;
            }
            if (bytes == 0) {
                gy_count(&worker->counts->transfers_sent, 1);
                gy_count(&worker->counts->differences_sent, transfer->out.incremental);
                tell(transfer);
                return 1;
            }
            transfer->message[0] = (uint8_t)(bytes >> 8);
            transfer->message[1] = (uint8_t)bytes;
            transfer->held = (uint32_t)bytes + 2;
        }
        if (put_message(stream, transfer) != 0) {
            return GY_ENOBUFS;
        }
    }
    if (stream->out.length < high) {
        gy_stream_wake(stream); /* others come first */
    }
    return 0;
}

void dns_transfer_free(struct gy_dns_worker *worker, struct dns_transfer *transfer)
{
    if (transfer == NULL) {
        return;
    }
    gy_assert(worker->transfers > 0);
    worker->transfers--;
    if (transfer->out.tsig != NULL) {
        gy_dns_tsig_close(&transfer->tsig);
        explicit_bzero(&transfer->tsig, sizeof transfer->tsig);
    }
    gy_dns_zone_free(transfer->zone);
    free(transfer);
}
