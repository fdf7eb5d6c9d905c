/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_ZONE_INTERNAL_H
#define GY_PROTOCOLS_DNS_ZONE_INTERNAL_H

/*
 * The block of a zone. References are offsets from its start in units of 8 bytes, 0 is none, so
 * that 32 bits reach through 32 GiB.
 *
 * A patched zone (patch.h) is a block of the same form with the names that are other than in its
 * base, each with all that it has now, or marked as gone. What is not in its table is as it is in
 * the base's.
 */

#include <string.h>

#include "core/error.h"
#include "protocols/dns/zone.h"

#define ZONE_MAGIC 0x67796e65u

/* Of a node. */
enum {
    NODE_APEX = 1,
    NODE_CUT = 2, /* NS records, and not the apex */
    NODE_DNAME = 4,
    NODE_CNAME = 8,
    NODE_OCCLUDED = 16, /* below a cut or a DNAME: glue at most */
    NODE_WILDCARD = 32, /* has a child "*" */
    NODE_HASHED = 64, /* has NSEC3 records only: no name that can be asked for (RFC 5155 §7.2.8) */
    NODE_PARENT = 128, /* has children; how many is in its last 8 bytes */

    /* Of a patched zone: the base's is no more, or a later one took its place. No apex is occluded.
     */
    NODE_GONE = NODE_APEX | NODE_OCCLUDED,
};

struct zone_node {
    uint32_t bytes; /* with its rrsets, a multiple of 8 */
    uint16_t sets;  /* 0: an empty non-terminal */
    uint8_t flags;
    uint8_t name_bytes;
    uint8_t name[]; /* lower case, then zeros to a multiple of 8, then the sets */
};

/*
 * An rrset. `wire` is records as in a message, with two bytes for each owner that are filled in
 * when they are copied, and then as many for the signatures; behind them, aligned to 4, come
 * `fixups` offsets into it of two bytes each that want a pointer to the zone's apex; then, aligned
 * to 4, `additionals` pairs: the offset of a name in the data, and the node of it.
 */
struct zone_set {
    uint16_t type;
    uint16_t records;
    uint16_t signatures;
    uint16_t additionals;
    uint32_t fixups;
    uint32_t wire_bytes;
    uint32_t signature_bytes;
    uint32_t bytes; /* with all that follows, a multiple of 8 */
    uint8_t wire[];
};

struct zone_additional {
    uint32_t name; /* offset in wire */
    uint32_t node; /* reference, or 0: no such name; or ADDITIONAL_ANY */
};

#define ADDITIONAL_ANY UINT32_MAX /* of a patch: it is to be looked for */

struct zone_nsec3 {
    uint8_t hash[20];
    uint32_t node;
};

/* Of a patch, in the same orders: names whose NSEC or NSEC3 the base has, or that have one now. */
struct zone_order {
    uint32_t node;
    uint32_t place; /* in the base's order; PLACE_NONE: it is not there */
    uint32_t back;  /* 0: it has one; else it has none any more, and so have that many places of
                       the base's that end in this one, with none of the patch between them */
};

struct zone_hash_order {
    uint8_t hash[20];
    struct zone_order order;
};

#define PLACE_NONE UINT32_MAX

struct gy_dns_zone {
    uint32_t magic;
    uint32_t table_mask;
    uint64_t seed;
    const struct gy_dns_zone *base; /* NULL: it is not patched */
    uint64_t bytes;
    uint64_t records, rrsets, names;
    bool plain;     /* neither patched nor absent: what nearly all queries are for */
    uint32_t nodes; /* reference of the first node */
    uint32_t nodes_end;
    uint32_t top;      /* reference of the apex's node */
    uint32_t negative; /* reference of an SOA rrset for negative answers (RFC 2308 §3) */
    uint32_t ordered;  /* references of nodes with NSEC, in canonical order; or zone_order */
    uint32_t ordered_count;
    uint32_t hashed; /* struct zone_nsec3, in order; or zone_hash_order */
    uint32_t hashed_count;
    uint32_t nsec_names, nsec3_names; /* in all, the base's included */
    uint32_t patched;                 /* names in a patch's table */
    uint32_t table;
    uint32_t soa[5];
    uint16_t nsec3_iterations;
    uint8_t nsec3_salt_bytes;
    uint8_t apex_bytes;
    uint8_t apex_labels;
    uint8_t apex[GY_DNS_NAME_PADDED];
    uint8_t nsec3_salt[255];
};

static inline const void *zone_at(const struct gy_dns_zone *zone, uint64_t reference)
{
    gy_assert(reference * 8 < zone->bytes);
    return (const uint8_t *)zone + reference * 8;
}

static inline const struct zone_node *zone_apex(const struct gy_dns_zone *zone)
{
    return zone_at(zone, zone->top);
}

static inline bool zone_is_gone(const struct zone_node *node)
{
    return (node->flags & NODE_GONE) == NODE_GONE;
}

/* Where a node that has children keeps their number. */
static inline uint32_t *zone_children(const struct zone_node *node)
{
    gy_assert((node->flags & NODE_PARENT) != 0 && node->bytes > sizeof *node + 8);
    return (uint32_t *)((uintptr_t)node + node->bytes - 8);
}

static inline const struct zone_set *zone_first_set(const struct zone_node *node)
{
    return (const struct zone_set *)(node->name + ((node->name_bytes + 7u) & ~7u));
}

static inline const struct zone_set *zone_next_set(const struct zone_set *set)
{
    return (const struct zone_set *)((const uint8_t *)set + set->bytes);
}

/* The rrset of a type, or NULL. Sets without records (signatures of nothing) are none. */
static inline const struct zone_set *zone_set_of(const struct zone_node *node, uint16_t type)
{
    const struct zone_set *set = zone_first_set(node);
    for (uint32_t i = node->sets; i > 0; i--, set = zone_next_set(set)) {
        if (set->type == type) {
            return set->records > 0 ? set : NULL;
        }
    }
    return NULL;
}

static inline const uint32_t *zone_fixups(const struct zone_set *set)
{
    return (const uint32_t *)(set->wire + ((set->wire_bytes + set->signature_bytes + 3u) & ~3u));
}

static inline const struct zone_additional *zone_additionals(const struct zone_set *set)
{
    return (const struct zone_additional *)(zone_fixups(set) + set->fixups);
}

static inline const uint64_t *zone_slot(const struct gy_dns_zone *zone, uint64_t hash)
{
    return (const uint64_t *)((const uint8_t *)zone + (uint64_t)zone->table * 8) +
           (hash & zone->table_mask);
}

/* The node of a name in lower case with this hash in the zone's own table: of a patched zone what
 * has changed, one that is gone too. NULL: there is none. Inlined where names that are asked for
 * are looked for. */
static inline const struct zone_node *
zone_find_own(const struct gy_dns_zone *zone, const uint8_t *lower, size_t bytes, uint64_t hash)
{
    const uint64_t *table = zone_slot(zone, 0);
    for (uint64_t i = hash & zone->table_mask; table[i] != 0; i = (i + 1) & zone->table_mask) {
        if ((table[i] ^ hash) >> 32 == 0) {
            const struct zone_node *node = zone_at(zone, (uint32_t)table[i]);
            if (node->name_bytes == bytes && memcmp(node->name, lower, bytes) == 0) {
                return node;
            }
        }
    }
    return NULL;
}

/* In the patch, then in its base. */
const struct zone_node *zone_find_patched(const struct gy_dns_zone *zone, const uint8_t *lower,
                                          size_t bytes, uint64_t hash);

/* The node of a name in a zone of any kind, or NULL. */
static inline const struct zone_node *zone_find(const struct gy_dns_zone *zone,
                                                const uint8_t *lower, size_t bytes, uint64_t hash)
{
    return zone->plain ? zone_find_own(zone, lower, bytes, hash)
                       : zone_find_patched(zone, lower, bytes, hash);
}

/* The node that an additional of a set leads to, in a patched zone; NULL: there is none. The set
 * may be the patch's or the base's. */
const struct zone_node *zone_patched_target(const struct gy_dns_zone *zone,
                                            const struct zone_set *set,
                                            const struct zone_additional *additional);

/* Going through all nodes, which no longer are there left out. Zero `at`, set `zone` and `block` to
 * the zone. NULL behind the last. */
struct zone_cursor {
    const struct gy_dns_zone *zone;
    const struct gy_dns_zone *block; /* it, then its base */
    uint64_t at;                     /* behind the last one; 0: before the first */
};

const struct zone_node *zone_each(struct zone_cursor *cursor);

/* Places in the orders of a zone that is not patched; PLACE_NONE: it is not there. */
uint32_t zone_nsec_place(const struct gy_dns_zone *zone, const uint8_t *name);
uint32_t zone_nsec3_place(const struct gy_dns_zone *zone, const uint8_t hash[20]);

/* The record of a set of the walk's zone whose head begins at `at` of its wire, with pointers
 * replaced; its data is in the walk's memory. */
void zone_walk_record(struct gy_dns_zone_walk *walk, const struct zone_set *set,
                      const struct zone_node *node, uint32_t at, struct gy_dns_record *record);

/* The last node with an NSEC record whose name is not behind `name` in canonical order; NULL when
 * the zone has none. */
const struct zone_node *zone_nsec_before(const struct gy_dns_zone *zone, const uint8_t *name);

/* The NSEC3 node with this hash, or, when `exact` is not wanted, the last one not behind it (around
 * the end). NULL: none. */
const struct zone_node *zone_nsec3_find(const struct gy_dns_zone *zone, const uint8_t hash[20],
                                        bool exact);

#endif
