/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_PATCH_INTERNAL_H
#define GY_PROTOCOLS_DNS_PATCH_INTERNAL_H

/* A patch being made; for patch.c and patch_write.c. */

#include "protocols/dns/patch.h"
#include "protocols/dns/zone_builder.h"

/* A touched name, or one above it. */
struct touched {
    struct build_node *node;
    const struct zone_node *old; /* in the version before; NULL: it was not there */
    uint32_t children;           /* that it has now */
    uint32_t inside;             /* of them, touched ones */
    uint32_t reference;          /* where it goes; 0: nowhere */
    bool gone;
};

/* A name, or a hash, for the orders. */
struct order_item {
    struct zone_order order; /* `back` is 1 where it has no record any more */
    const uint8_t *key;      /* a name, or 20 bytes of a hash */
    uint8_t hash[20];
};

struct order_items {
    struct order_item *list;
    uint32_t count;
};

struct gy_dns_patch {
    struct gy_dns_zone_builder *builder;
    const struct gy_dns_zone *zone; /* the version before */
    const struct gy_dns_zone *base;
    struct touched *touched; /* parents before their children; the apex first */
    uint32_t touched_count;
    uint64_t records, rrsets, names; /* of the new version */
    uint32_t nsec_names, nsec3_names;
    struct order_items by_name, by_hash;
    uint64_t table_slots;
    uint64_t nodes_end; /* offsets in the block */
    uint64_t table, negative, ordered, hashed, bytes;
};

/* The version before has nodes of its own, which are copied as they are. */
static inline uint64_t patch_old_bytes(const struct gy_dns_patch *patch)
{
    const struct gy_dns_zone *zone = patch->zone;
    return zone->base == NULL ? 0 : ((uint64_t)zone->nodes_end - zone->nodes) * 8;
}

#define PATCH_NODES ((sizeof(struct gy_dns_zone) + 63) & ~(uint64_t)63) /* where they begin */

#endif
