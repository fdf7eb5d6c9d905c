/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_TRANSFER_OUT_H
#define GY_PROTOCOLS_DNS_TRANSFER_OUT_H

/*
 * A zone, sent to a secondary (AXFR, RFC 5936), message by message: whoever sends them asks for the
 * next one when there is room for it, and the zone stays until the last.
 *
 *     gy_dns_transfer_out_begin(&out, zone, query, tsig)
 *     while ((bytes = gy_dns_transfer_out_next(&out, message, room, now)) > 0) { … send }
 *
 * Messages are as long as compression reaches (16 KiB), longer where one record needs it. IXFR (RFC
 * 1995 §4) is answered by the whole zone, or, where the asker's is not older, by the SOA alone.
 */

#include "tsig.h"
#include "zone.h"

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
    enum { GY_DNS_OUT_RECORDS, GY_DNS_OUT_LAST, GY_DNS_OUT_DONE } phase;
    uint16_t id, type, flags;
    uint8_t name[GY_DNS_NAME_MAX];
    uint64_t records; /* sent so far */
};

/* The serial of the asker's SOA in an IXFR request, which is in its authority section. 0, or
 * GY_EPROTO: there is none. */
int gy_dns_transfer_serial(const uint8_t *message, size_t bytes, uint32_t *serial);

/* Serial numbers wrap (RFC 1982 §3.2): is `a` newer than `b`? */
static inline bool gy_dns_serial_newer(uint32_t a, uint32_t b)
{
    return a != b && a - b < 0x80000000u;
}

/* `zone` stays until the end; `tsig` (NULL: the request had none) too. */
void gy_dns_transfer_out_begin(struct gy_dns_transfer_out *out, const struct gy_dns_zone *zone,
                               const struct gy_dns_transfer_query *query, struct gy_dns_tsig *tsig);

/* The next message into `bytes`, where GY_DNS_MESSAGE_MAX are. Its bytes; 0: there is none. */
size_t gy_dns_transfer_out_next(struct gy_dns_transfer_out *out, uint8_t *bytes, uint64_t now);

#endif
