/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/difference.h"

#include "protocols/dns/zone_internal.h"

#define RECORD_HEAD 12u
/* Comparisons of records within an rrset; beyond, it is exchanged as a whole. */
#define COMPARISONS_MAX ((uint64_t)1 << 20)

/* ---- packed records ---- */

void gy_dns_pack(const struct gy_dns_record *record, uint8_t *at)
{
    uint16_t bytes = (uint16_t)record->rdata_bytes;
    gy_assert(record->rdata_bytes <= GY_DNS_RDATA_MAX && record->class == GY_DNS_CLASS_IN);
    at[0] = record->owner_bytes;
    at[1] = GY_DNS_CLASS_IN;
    memcpy(at + 2, &record->type, 2);
    memcpy(at + 4, &record->ttl, 4);
    memcpy(at + 8, &bytes, 2);
    memcpy(at + GY_DNS_PACKED_BYTES, record->owner, record->owner_bytes);
    memcpy(at + GY_DNS_PACKED_BYTES + record->owner_bytes, record->rdata, bytes);
}

size_t gy_dns_unpack(const uint8_t *at, struct gy_dns_record *record)
{
    uint16_t bytes;
    *record = (struct gy_dns_record){.owner = at + GY_DNS_PACKED_BYTES,
                                     .owner_bytes = at[0],
                                     .class = at[1],
                                     .rdata = at + GY_DNS_PACKED_BYTES + at[0]};
    memcpy(&record->type, at + 2, 2);
    memcpy(&record->ttl, at + 4, 4);
    memcpy(&bytes, at + 8, 2);
    record->rdata_bytes = bytes;
    return gy_dns_packed_bytes(record);
}

/* ---- comparing ---- */

struct comparison {
    const struct gy_dns_zone *from, *to; /* records of the first that the second lacks */
    struct gy_dns_zone_walk *walk;
    gy_dns_change_taker *take;
    void *context;
    enum gy_dns_change change;
};

/* The rrset of a type, one of signatures alone too. */
static const struct zone_set *set_of(const struct zone_node *node, uint16_t type)
{
    const struct zone_set *set = zone_first_set(node);
    for (uint32_t i = node->sets; i > 0; i--, set = zone_next_set(set)) {
        if (set->type == type) {
            return set;
        }
    }
    return NULL;
}

static uint32_t record_bytes(const uint8_t *wire)
{
    return RECORD_HEAD + ((uint32_t)wire[10] << 8 | wire[11]);
}

/* Both zones have one apex, so pointers to it stand in the same places. */
static bool has_record(const struct zone_set *set, const uint8_t *wire, uint32_t bytes)
{
    uint32_t end = set->wire_bytes + set->signature_bytes;
    for (uint32_t at = 0; at < end; at += record_bytes(set->wire + at)) {
        if (record_bytes(set->wire + at) == bytes && memcmp(set->wire + at, wire, bytes) == 0) {
            return true;
        }
    }
    return false;
}

static bool same_set(const struct zone_set *a, const struct zone_set *b)
{
    return a->wire_bytes == b->wire_bytes && a->signature_bytes == b->signature_bytes &&
           memcmp(a->wire, b->wire, (size_t)a->wire_bytes + a->signature_bytes) == 0;
}

/* Records of an rrset that the other one (NULL: there is none) lacks. */
static int compare_set(const struct comparison *comparison, const struct zone_node *node,
                       const struct zone_set *set, const struct zone_set *other)
{
    uint32_t end = set->wire_bytes + set->signature_bytes;
    uint64_t count = (uint64_t)set->records + set->signatures;
    if (other != NULL && same_set(set, other)) {
        return 0;
    }
    if (other != NULL && count * ((uint64_t)other->records + other->signatures) > COMPARISONS_MAX) {
        other = NULL;
    }
    int code = 0;
    for (uint32_t at = 0; at < end && code == 0; at += record_bytes(set->wire + at)) {
        struct gy_dns_record record;
        const uint8_t *wire = set->wire + at;
        bool soa = wire[2] == 0 && wire[3] == GY_DNS_TYPE_SOA;
        if (soa || (other != NULL && has_record(other, wire, record_bytes(wire)))) {
            continue;
        }
        zone_walk_record(comparison->walk, set, node, at, &record);
        code = comparison->take(comparison->context, comparison->change, &record);
    }
    return code;
}

/* The node of the same name in the other zone, or NULL. */
static const struct zone_node *other_node(const struct comparison *comparison,
                                          const struct zone_node *node)
{
    uint64_t hash = gy_dns_name_hash(node->name, comparison->to->seed);
    return zone_find(comparison->to, node->name, node->name_bytes, hash);
}

/* All that one zone has and the other lacks, its SOA first. */
static int compare_all(struct comparison *comparison)
{
    const struct gy_dns_zone *zone = comparison->from;
    struct gy_dns_record record;
    gy_dns_zone_walk(comparison->walk, zone);
    gy_dns_zone_walk_next(comparison->walk, &record);
    int code = comparison->take(comparison->context, comparison->change, &record);
    struct zone_cursor cursor = {zone, zone, 0};
    for (const struct zone_node *node; code == 0 && (node = zone_each(&cursor)) != NULL;) {
        const struct zone_node *other = other_node(comparison, node);
        const struct zone_set *set = zone_first_set(node);
        for (uint32_t i = 0; i < node->sets && code == 0; i++, set = zone_next_set(set)) {
            code =
                compare_set(comparison, node, set, other != NULL ? set_of(other, set->type) : NULL);
        }
    }
    return code;
}

int gy_dns_zone_compare(const struct gy_dns_zone *from, const struct gy_dns_zone *to,
                        struct gy_dns_zone_walk *walk, gy_dns_change_taker *take, void *context)
{
    if (gy_dns_zone_is_absent(from) || gy_dns_zone_is_absent(to) || from->seed != to->seed ||
        !gy_dns_name_equal(from->apex, to->apex)) {
        return GY_EINVAL;
    }
    struct comparison removed = {from, to, walk, take, context, GY_DNS_REMOVED};
    struct comparison added = {to, from, walk, take, context, GY_DNS_ADDED};
    int code = compare_all(&removed);
    return code == 0 ? compare_all(&added) : code;
}
