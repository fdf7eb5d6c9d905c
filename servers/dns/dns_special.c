/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Queries that take more than zones: those that are signed, and NOTIFY (RFC 1996). */

#include "core/log.h"
#include "servers/dns/dns_internal.h"
#include "servers/dns/dns_keeper.h"

uint16_t dns_check(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                   struct gy_dns_query *query, const struct gy_dns_key **key)
{
    *key = NULL;
    if (query->tsig_at == 0 || server->hmac == NULL) {
        return 0;
    }
    uint16_t error =
        gy_dns_tsig_check_request(&worker->tsig, server->hmac, gy_dns_keys_find, server->keys,
                                  query->message, query->bytes, query->tsig_at, query->now);
    gy_count(error == 0 ? &worker->counts->signatures_right : &worker->counts->signatures_wrong, 1);
    if (error != 0) {
        gy_dns_answer_replace(query, gy_dns_tsig_rcode(error), false);
        return error;
    }
    *key = worker->tsig.key;
    return 0;
}

void dns_sign(const struct gy_dns_server *server, struct gy_dns_worker *worker,
              struct gy_dns_query *query)
{
    if (query->tsig_at == 0 || server->hmac == NULL) {
        return;
    }
    if (query->answer_bytes + gy_dns_tsig_answer_bytes(&worker->tsig) > query->limit) {
        gy_dns_answer_slip(query); /* RFC 8945 §5.3 */
    }
    int bytes = gy_dns_tsig_sign_answer(&worker->tsig, query->answer, query->answer_bytes,
                                        query->room, query->now);
    if (bytes > 0) {
        query->answer_bytes = (uint32_t)bytes;
    }
}

/* A zone has changed at its primary, says somebody. */
static void take_notify(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                        struct gy_dns_query *query, const struct gy_dns_key *key, uint32_t number)
{
    const struct gy_dns_served *served =
        query->zone != NULL && server->catalog != NULL
            ? gy_dns_catalog_find(server->catalog, gy_dns_zone_apex(query->zone))
            : NULL;
    bool taken =
        served != NULL && served->secondary && server->keeper != NULL &&
        gy_dns_policy_is_primary(served->policy, query->address, query->address_bytes, key);
    gy_count(taken ? &worker->counts->notifies_taken : &worker->counts->notifies_refused, 1);
    if (!taken) {
        uint16_t rcode = query->zone == NULL ? GY_DNS_RCODE_NOTAUTH : GY_DNS_RCODE_REFUSED;
        gy_dns_answer_replace(query, rcode, false);
        return;
    }
    gy_dns_answer_replace(query, GY_DNS_RCODE_NOERROR, true);
    gy_dns_keeper_notify(server->keeper, number, served);
}

void dns_special(const struct gy_dns_server *server, struct gy_dns_worker *worker,
                 struct gy_dns_query *query, uint32_t number)
{
    const struct gy_dns_key *key;
    uint16_t error = dns_check(server, worker, query, &key);
    if (error == 0 && query->outcome == GY_DNS_NOTIFIED) {
        take_notify(server, worker, query, key, number);
    }
    if (error != GY_DNS_RCODE_FORMERR) {
        dns_sign(server, worker, query);
    }
}
