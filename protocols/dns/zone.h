/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_ZONE_H
#define GY_PROTOCOLS_DNS_ZONE_H

/*
 * A zone, laid out to be answered from.
 *
 * It is built in two steps. Records are collected in a builder, whose memory comes in large pieces
 * from the caller and is given back as a whole. Then the zone is written into one block of the
 * caller's, whose size is known by then: immutable, without pointers (it may be moved, written to a
 * file, mapped by another process of the same build), read by any number of threads.
 *
 *     builder = gy_dns_zone_begin(&settings, origin)
 *     gy_dns_zone_add(builder, &record, &error)          for each record
 *     gy_dns_zone_finish(builder, &bytes, &error)        the checks; how large it will be
 *     zone = gy_dns_zone_write(builder, memory, bytes)   then the builder's memory can go
 *
 * A zone of which little has changed can be patched instead (patch.h): what is said here of zones
 * holds for those too, but that they have a pointer to the one that they are made from.
 *
 * In the block, a table of hashes leads to nodes, one for each owner name and each empty
 * non-terminal; behind a node's name lie its rrsets, each as the very bytes that go into an answer,
 * its signatures behind it. So a query for a name that exists touches a line of the table, and
 * then, mostly, one or two neighbouring lines: both can be prefetched. An address record of a name
 * of its own takes 56 bytes and its name, and 11 to 21 of the table.
 */

#include "rdata.h"

#define GY_DNS_RRSET_MAX            4096 /* records of an rrset; as many addresses fill a message */
#define GY_DNS_NSEC3_ITERATIONS_MAX 500  /* RFC 9276 wants 0 */

/* SHA-1 for NSEC3 (RFC 5155 §5), from whoever has it. */
typedef void gy_dns_sha1(void *context, const void *data, size_t bytes, uint8_t digest[20]);

enum gy_dns_severity {
    GY_DNS_WARNING, /* served all the same */
    GY_DNS_ERROR,   /* the zone is not one */
};

/* What a builder needs. Outlives it. */
struct gy_dns_zone_settings {
    void *context;

    /* At least `bytes` of memory, aligned to 16; NULL: there is none. Given back by the caller when
     * the zone is written or given up. Asked for in pieces of 256 KiB and more. */
    void *(*memory)(void *context, size_t bytes);

    /* About how many names there will be, when there are `so_far`; NULL, or 0: that is not known.
     * Asked a few times, so that tables need not grow in steps. */
    uint64_t (*names)(void *context, uint64_t so_far);

    /* What was found wrong; may be NULL. The text is one sentence without a line end. At most
     * `reports_max` (0: 100) times. */
    void (*report)(void *context, enum gy_dns_severity severity, const char *text);
    uint32_t reports_max;

    /* The hash of the root: random, so that nobody can prepare names that collide; the same for all
     * zones of a struct gy_dns_zones. */
    uint64_t seed;
};

struct gy_dns_zone_builder;

/* An empty zone with apex `origin`. NULL: no memory. */
struct gy_dns_zone_builder *gy_dns_zone_begin(const struct gy_dns_zone_settings *settings,
                                              const uint8_t *origin);

/* The records added from now on stand in this line of this file: reports about single ones begin
 * with that. The name outlives the adding; NULL: they stand nowhere, as at the beginning. */
void gy_dns_zone_at(struct gy_dns_zone_builder *builder, const char *file, uint32_t line);

/*
 * Adds a record; `rdata` uncompressed and well-formed (gy_dns_rdata_check), as a zone file or a
 * transfer yields it. Everything is copied. Records out of the zone and duplicates are reported and
 * left out. 0; GY_ENOMEM; GY_ELIMIT: an rrset with more than GY_DNS_RRSET_MAX records; GY_ENOTSUP:
 * a class other than IN.
 */
int gy_dns_zone_add(struct gy_dns_zone_builder *builder, const struct gy_dns_record *record,
                    struct gy_error *error);

/*
 * Checks the zone: one SOA, at the apex; name servers at the apex; no data beside a CNAME; one
 * CNAME, one DNAME; TTLs equal within an rrset (the first is taken); glue where a delegation needs
 * it. 0 and the bytes it will need; GY_EINVAL with the first error's sentence; GY_ENOMEM;
 * GY_ELIMIT: more than 32 GiB.
 */
int gy_dns_zone_finish(struct gy_dns_zone_builder *builder, size_t *bytes, struct gy_error *error);

/* The rrset that the first error of gy_dns_zone_finish() was about; it may be one that is missing.
 * false: no rrset was wrong. `owner` is valid as long as the builder. */
bool gy_dns_zone_wrong(const struct gy_dns_zone_builder *builder, const uint8_t **owner,
                       uint16_t *type);

struct gy_dns_zone;

/* Writes the zone into `memory`, aligned to 64, of the bytes that finish() told. */
const struct gy_dns_zone *gy_dns_zone_write(struct gy_dns_zone_builder *builder, void *memory);

/* A zone of which the name alone is known (a secondary's that has not come yet, or is expired): all
 * questions for names in it are answered by SERVFAIL. Into `memory`, aligned to 64, of
 * gy_dns_zone_absent_bytes(). */
size_t gy_dns_zone_absent_bytes(void);
const struct gy_dns_zone *gy_dns_zone_write_absent(void *memory, const uint8_t *origin,
                                                   uint64_t seed);
bool gy_dns_zone_is_absent(const struct gy_dns_zone *zone);

/* The zone that a patched one (patch.h) is made from, and cannot be without; else NULL. */
const struct gy_dns_zone *gy_dns_zone_base(const struct gy_dns_zone *zone);

/* The hash of the root that it was made with. */
uint64_t gy_dns_zone_seed(const struct gy_dns_zone *zone);

/* Its name, in lower case. */
const uint8_t *gy_dns_zone_apex(const struct gy_dns_zone *zone);

/* ---- looking at one ---- */

struct gy_dns_zone_facts {
    uint64_t records;
    uint64_t rrsets;
    uint64_t names;         /* empty non-terminals included */
    uint64_t bytes;         /* of a patched one with those of its base */
    uint64_t patched;       /* names that are other than in its base (patch.h); 0: it has none */
    uint64_t patched_bytes; /* of `bytes`, without the base's */
    uint32_t serial;
    uint32_t refresh, retry, expire, minimum; /* of the SOA */
    bool has_nsec;
    bool has_nsec3;
    const uint8_t *apex;
};

void gy_dns_zone_facts(const struct gy_dns_zone *zone, struct gy_dns_zone_facts *facts);

/* Going through all records: the SOA first, as a transfer wants it (RFC 5936 §2.2), then by names.
 */
struct gy_dns_zone_walk {
    const struct gy_dns_zone *zone;
    const struct gy_dns_zone *block; /* where the next node is */
    uint64_t next;                   /* where it is there */
    const void *node;                /* the current one; NULL: behind the last */
    uint64_t set;
    uint32_t record;
    uint32_t at;
    bool soa_done;
    uint8_t rdata[GY_DNS_RDATA_MAX];
};

/* Of a zone that is not absent. */
void gy_dns_zone_walk(struct gy_dns_zone_walk *walk, const struct gy_dns_zone *zone);

/* The next record, uncompressed, valid until the next call. False behind the last. */
bool gy_dns_zone_walk_next(struct gy_dns_zone_walk *walk, struct gy_dns_record *record);

/* ---- many zones ---- */

/* The zones that are served, by name. Immutable once it is filled: a change makes another one. */
struct gy_dns_zones {
    uint64_t seed;
    uint64_t label_counts[2]; /* bit n: a zone with n labels is there */
    uint64_t bytes;           /* of all of them, and of those that they are made from */
    uint32_t mask;
    uint32_t count;
    const struct gy_dns_zone **slots;
};

/* Bytes for `count` zones. */
size_t gy_dns_zones_bytes(uint32_t count);

/* `memory`, of gy_dns_zones_bytes(count), aligned to 8, outlives it. `seed` is that of the zones.
 */
void gy_dns_zones_init(struct gy_dns_zones *zones, void *memory, uint32_t count, uint64_t seed);

/* 0; GY_EINVAL: one of that name is there, or its seed is another; GY_ELIMIT: there are `count`. */
int gy_dns_zones_add(struct gy_dns_zones *zones, const struct gy_dns_zone *zone);

/* The zone whose apex is the longest suffix of a name with at most `labels` labels; NULL. `lower`
 * is the name in lower case that the suffixes are of. */
const struct gy_dns_zone *gy_dns_zones_find(const struct gy_dns_zones *zones, const uint8_t *lower,
                                            const struct gy_dns_suffixes *suffixes,
                                            uint32_t labels);

#endif
