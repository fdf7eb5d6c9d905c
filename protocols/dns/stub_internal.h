/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_STUB_INTERNAL_H
#define GY_PROTOCOLS_DNS_STUB_INTERNAL_H

/* What the parts of the stub resolver share. */

#include "core/error.h"
#include "protocols/dns/message.h"
#include "protocols/dns/stub.h"

enum stub_kind {
    STUB_ADDRESSES,
    STUB_ALIAS, /* the chain ends in an alias: `target` is to be asked for */
    STUB_NO_NAME,
    STUB_NO_DATA,
    STUB_FAILURE,  /* a response code, or an answer of no use */
    STUB_NO_EDNS,  /* the server does not understand EDNS (RFC 6891 §7) */
    STUB_CUT,      /* TC */
    STUB_NOT_OURS, /* no answer to this question: `strange` says what is wrong */
};

/* What a message says. */
struct stub_answer {
    enum stub_kind kind;
    uint64_t *strange; /* counter, of NOT_OURS */
    bool wrong_case;
    uint32_t ttl; /* of the chain and the addresses, or of the denial; 0: not to be kept */
    uint32_t count;
    struct gy_dns_address addresses[GY_DNS_STUB_ADDRESSES];
    uint8_t target[GY_DNS_NAME_PADDED];
};

/* Reads the answer to a question that was sent. */
void stub_read(struct gy_dns_stub_counts *counts, const struct gy_dns_stub_question *question,
               const uint8_t *bytes, size_t length, struct stub_answer *answer);

/* Makes the query: new id, new case. Its bytes. */
size_t stub_query(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                  uint8_t room[GY_DNS_STUB_QUERY_BYTES]);

/* What is known of a name and type; NULL: nothing, or not any more. */
const struct gy_dns_cached *stub_cache_find(struct gy_dns_stub *stub, const uint8_t *name,
                                            uint16_t type, uint64_t now_ms);

/* Keeps an outcome (FOUND, NO_NAME, NO_ADDRESS) for `ttl` seconds; 0: does not. */
void stub_cache_put(struct gy_dns_stub *stub, const uint8_t *name, uint16_t type,
                    enum gy_dns_stub_result outcome, const struct gy_dns_address *addresses,
                    uint32_t count, uint32_t ttl, uint64_t now_ms);

/* Keeps that there was no answer (FAILED, SILENT): for a second, then for twice as long each time.
 */
void stub_cache_fail(struct gy_dns_stub *stub, const uint8_t *name, uint16_t type,
                     enum gy_dns_stub_result outcome, uint64_t now_ms);

/* Names that the network is not asked for. PENDING: it is to be. */
enum gy_dns_stub_result stub_known(const struct gy_dns_stub *stub, const char *name,
                                   struct gy_dns_lookup *lookup);

#endif
