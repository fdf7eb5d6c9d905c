/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_DIFFERENCE_H
#define GY_PROTOCOLS_DNS_DIFFERENCE_H

/*
 * What one version of a zone has and the next one has not, and the reverse: what an incremental
 * transfer (IXFR, RFC 1995 §4) consists of. Found by comparing two zones, or taken from such a
 * transfer; kept as packed records in the order in which they are sent: the old SOA, what is
 * removed, the new SOA, what is added.
 *
 * A change of a record's TTL removes it and adds it. Names are compared as they are written, so one
 * whose case has changed within data is removed and added too.
 */

#include "zone.h"

/* What a record that comes is. */
enum gy_dns_change {
    GY_DNS_WHOLE, /* part of a zone that comes as a whole */
    GY_DNS_REMOVED,
    GY_DNS_ADDED,
};

/* Serial numbers wrap (RFC 1982 §3.2): is `a` newer than `b`? */
static inline bool gy_dns_serial_newer(uint32_t a, uint32_t b)
{
    return a != b && a - b < 0x80000000u;
}

/* ---- packed records ---- */

/* A packed record's bytes besides its owner and its data. */
#define GY_DNS_PACKED_BYTES 10u

/* Bytes that a record takes. */
static inline size_t gy_dns_packed_bytes(const struct gy_dns_record *record)
{
    return GY_DNS_PACKED_BYTES + record->owner_bytes + record->rdata_bytes;
}

/* Writes one, of class IN and uncompressed, to `at`, where gy_dns_packed_bytes() are. */
void gy_dns_pack(const struct gy_dns_record *record, uint8_t *at);

/* Reads what was packed; `record` points into it. The bytes that it takes. */
size_t gy_dns_unpack(const uint8_t *at, struct gy_dns_record *record);

/* ---- differences ---- */

/* From one version to the next. Immutable; `packed` is its owner's. */
struct gy_dns_difference {
    uint32_t from, to; /* serials */
    uint32_t records;  /* both SOA records included */
    size_t bytes;
    const uint8_t *packed;
};

/* Those of a zone that are known, the oldest first: each begins where the one before ended, and the
 * last one ends in the zone. */
struct gy_dns_differences {
    const struct gy_dns_difference *const *list;
    uint32_t count;
};

/* Takes a record of a difference; non-zero ends the comparison and is returned. `record` is valid
 * during the call. */
typedef int gy_dns_change_taker(void *context, enum gy_dns_change change,
                                const struct gy_dns_record *record);

/*
 * Hands over what leads from one zone to another of the same name, in the order above. Every name
 * of both is looked up in the other, so it costs about as much as answering for each once or twice.
 * An rrset with very many records on both sides is exchanged as a whole. `walk` is working memory.
 * 0, what `take` returned, or GY_EINVAL: the zones are not of one name and seed, or one is absent.
 */
int gy_dns_zone_compare(const struct gy_dns_zone *from, const struct gy_dns_zone *to,
                        struct gy_dns_zone_walk *walk, gy_dns_change_taker *take, void *context);

#endif
