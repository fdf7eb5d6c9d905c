/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_TRANSFER_IN_H
#define GY_PROTOCOLS_DNS_TRANSFER_IN_H

/*
 * A zone, or how it has changed, fetched from its primary: what a secondary asks, and what it
 * understands of the answers (SOA, RFC 1034 §4.3.5; AXFR, RFC 5936; IXFR, RFC 1995). One struct for
 * one question; the same one may be begun again.
 *
 *     bytes = gy_dns_transfer_in_begin(&in, apex, type, id, key, hmac, message, room, now)   send
 * it code = gy_dns_transfer_in_take(&in, message, bytes, now, &error)    for each that comes; 0:
 * more
 *
 * Records are handed to a function as they come, uncompressed and checked, in the form that
 * gy_dns_zone_add takes; when the last message is wrong they are worth nothing. Of a whole zone the
 * SOA comes first and once. Of differences come, for each, the old SOA and what is removed, the new
 * SOA and what is added; each begins with the serial that the one before ended with, the first with
 * ours, and the last one ends with the primary's. To IXFR a primary may answer with either, or with
 * its SOA alone, where ours is not older.
 */

#include "difference.h"
#include "tsig.h"

#define GY_DNS_TRANSFER_REQUEST_BYTES 1024

struct gy_dns_transfer_in {
    /* The caller's. Non-zero ends the transfer and is returned. NULL for SOA alone. */
    int (*record)(void *context, enum gy_dns_change change, const struct gy_dns_record *record,
                  struct gy_error *error);
    void *context;
    uint32_t have; /* of IXFR: the serial that is there */

    uint32_t serial;  /* of the SOA that came first */
    uint64_t records; /* so far, with the SOA that ends it */
    uint64_t messages;
    bool incremental; /* differences came */
    bool current;     /* the answer to IXFR: there is nothing newer */

    /* private */
    struct gy_dns_tsig tsig;
    const uint8_t *apex;
    uint16_t id, type;
    bool is_signed;
    bool checked; /* the last message's signature was there and right */
    bool begun;   /* the first SOA is there */
    bool ended;
    bool undecided; /* of IXFR: the next record tells what this is */
    uint8_t change; /* what records are now: enum gy_dns_change */
    uint32_t at;    /* the serial that the differences have come to */
    uint32_t soa_ttl;
    uint16_t soa_bytes;
    uint8_t soa[2 * GY_DNS_NAME_MAX + 20];
    uint8_t rdata[GY_DNS_RDATA_MAX];
};

/* Begins: the question for `type` (SOA, AXFR or IXFR) into `message`, of
 * GY_DNS_TRANSFER_REQUEST_BYTES, signed when `key` is not NULL. Its bytes. `apex`, `key` and `hmac`
 * outlive `in`; `record`, `context` and, of IXFR, `have` are set before. */
size_t gy_dns_transfer_in_begin(struct gy_dns_transfer_in *in, const uint8_t *apex, uint16_t type,
                                uint16_t id, const struct gy_dns_key *key,
                                const struct gy_dns_hmac *hmac, uint8_t *message, uint64_t now);

/*
 * The next message of the answer. 1: that was the last one, all is right; 0: more is to come; else
 * it is over: GY_EREFUSED (the primary said no, or a signature is missing or wrong), GY_EPROTO,
 * GY_ETIMEOUT (its clock is another), or what `record` returned; `error` has the sentence.
 */
int gy_dns_transfer_in_take(struct gy_dns_transfer_in *in, const uint8_t *message, size_t bytes,
                            uint64_t now, struct gy_error *error);

/* When it is given up before its end. */
void gy_dns_transfer_in_close(struct gy_dns_transfer_in *in);

#endif
