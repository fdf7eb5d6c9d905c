/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_TRANSFER_OUT_H
#define GY_PROTOCOLS_DNS_TRANSFER_OUT_H

/*
 * A zone, or how it has changed, sent to a secondary (AXFR, RFC 5936; IXFR, RFC 1995), message by
 * message: whoever sends them asks for the next one when there is room for it, and the zone stays
 * until the last.
 *
 *     gy_dns_transfer_out_begin(&out, zone, differences, query, tsig)
 *     while ((bytes = gy_dns_transfer_out_next(&out, message, room, now)) > 0) { … send }
 *
 * Messages are as long as compression reaches (16 KiB), longer where one record needs it. IXFR is
 * answered by the SOA alone where the asker's is not older; by the differences from the asker's
 * version on, one after the other, where they are known and not larger than the zone; else by the
 * whole zone.
 */

#include "difference.h"
#include "tsig.h"

#define GY_DNS_TRANSFER_MESSAGE_BYTES 16384

/* What is left of a request. */
struct gy_dns_transfer_query {
    const uint8_t *name; /* of the question, as it was written */
    uint16_t id;
    uint16_t type;   /* AXFR or IXFR */
    uint16_t flags;  /* RD is repeated */
    uint32_t serial; /* of IXFR: the asker's */
};

struct gy_dns_transfer_out {
    struct gy_dns_zone_walk walk; /* 64 KiB */
    struct gy_dns_builder builder;
    struct gy_dns_tsig *tsig; /* NULL: not signed */
    struct gy_dns_record record;
    bool waiting; /* `record` is still to be sent */
    bool first;
    bool failed; /* a record fits into no message: what was sent is worth nothing */
    bool alone;  /* the SOA is all there is to send */
    const struct gy_dns_difference *const *differences; /* those that are left */
    uint32_t difference_count; /* 0: a whole zone, or all differences are sent */
    bool incremental;
    size_t at; /* in the first of them */
    enum { GY_DNS_OUT_RECORDS, GY_DNS_OUT_LAST, GY_DNS_OUT_DONE } phase;
    uint16_t id, type, flags;
    uint8_t name[GY_DNS_NAME_MAX];
    uint64_t records; /* sent so far */
};

/* The serial of the asker's SOA in an IXFR request, which is in its authority section. 0, or
 * GY_EPROTO: there is none. */
int gy_dns_transfer_serial(const uint8_t *message, size_t bytes, uint32_t *serial);

/* `zone` stays until the end; so do `differences` (NULL: none are known), and `tsig` (NULL: the
 * request had none). */
void gy_dns_transfer_out_begin(struct gy_dns_transfer_out *out, const struct gy_dns_zone *zone,
                               const struct gy_dns_differences *differences,
                               const struct gy_dns_transfer_query *query, struct gy_dns_tsig *tsig);

/* The next message into `bytes`, where GY_DNS_MESSAGE_MAX are. Its bytes; 0: there is none. */
size_t gy_dns_transfer_out_next(struct gy_dns_transfer_out *out, uint8_t *bytes, uint64_t now);

#endif
