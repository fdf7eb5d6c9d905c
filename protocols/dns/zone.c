/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/zone_internal.h"

const struct zone_node *zone_find_patched(const struct gy_dns_zone *zone, const uint8_t *lower,
                                          size_t bytes, uint64_t hash)
{
    const struct zone_node *node = zone_find_own(zone, lower, bytes, hash);
    if (node == NULL && zone->base != NULL) {
        return zone_find_own(zone->base, lower, bytes, hash);
    }
    return node == NULL || zone_is_gone(node) ? NULL : node;
}

/* A name of a set's wire, whose end may be left to a pointer to the apex, in lower case. */
static size_t wire_name(const struct gy_dns_zone *zone, const uint8_t *wire,
                        uint8_t lower[GY_DNS_NAME_PADDED])
{
    uint8_t name[GY_DNS_NAME_MAX];
    size_t at = 0;
    while (wire[at] != 0 && wire[at] <= GY_DNS_LABEL_MAX) {
        at += wire[at] + 1u;
    }
    gy_assert(at < sizeof name);
    memcpy(name, wire, at);
    if (wire[at] == 0) {
        name[at] = 0;
    } else {
        gy_assert(at + zone->apex_bytes <= sizeof name);
        memcpy(name + at, zone->apex, zone->apex_bytes);
    }
    size_t bytes = gy_dns_name_lower(name, lower);
    memset(lower + bytes, 0, 8);
    return bytes;
}

const struct zone_node *zone_patched_target(const struct gy_dns_zone *zone,
                                            const struct zone_set *set,
                                            const struct zone_additional *additional)
{
    uint8_t lower[GY_DNS_NAME_PADDED];
    if (additional->node != 0 && additional->node != ADDITIONAL_ANY) {
        const struct zone_node *node = zone_at(zone->base, additional->node);
        const struct zone_node *now = zone_find_own(zone, node->name, node->name_bytes,
                                                    gy_dns_name_hash(node->name, zone->seed));
        return now == NULL ? node : zone_is_gone(now) ? NULL : now;
    }
    size_t bytes = wire_name(zone, set->wire + additional->name, lower);
    return zone_find(zone, lower, bytes, gy_dns_name_hash(lower, zone->seed));
}

/* ---- facts ---- */

void gy_dns_zone_facts(const struct gy_dns_zone *zone, struct gy_dns_zone_facts *facts)
{
    gy_assert(zone->magic == ZONE_MAGIC);
    *facts = (struct gy_dns_zone_facts){.records = zone->records,
                                        .rrsets = zone->rrsets,
                                        .names = zone->names,
                                        .bytes = zone->bytes,
                                        .patched = zone->patched,
                                        .serial = zone->soa[0],
                                        .refresh = zone->soa[1],
                                        .retry = zone->soa[2],
                                        .expire = zone->soa[3],
                                        .minimum = zone->soa[4],
                                        .has_nsec = zone->nsec_names > 0,
                                        .has_nsec3 = zone->nsec3_names > 0,
                                        .apex = zone->apex};
    if (zone->base != NULL) {
        facts->patched_bytes = zone->bytes;
        facts->bytes += zone->base->bytes;
    }
}

/* ---- absent ones ---- */

size_t gy_dns_zone_absent_bytes(void)
{
    return (sizeof(struct gy_dns_zone) + 63) & ~(size_t)63;
}

const struct gy_dns_zone *gy_dns_zone_write_absent(void *memory, const uint8_t *origin,
                                                   uint64_t seed)
{
    struct gy_dns_zone *zone = memory;
    memset(zone, 0, sizeof *zone);
    zone->magic = ZONE_MAGIC;
    zone->seed = seed;
    zone->bytes = gy_dns_zone_absent_bytes();
    zone->apex_bytes = (uint8_t)gy_dns_name_lower(origin, zone->apex);
    zone->apex_labels = (uint8_t)gy_dns_name_labels(origin);
    return zone;
}

bool gy_dns_zone_is_absent(const struct gy_dns_zone *zone)
{
    return zone->nodes == 0;
}

uint64_t gy_dns_zone_seed(const struct gy_dns_zone *zone)
{
    return zone->seed;
}

const struct gy_dns_zone *gy_dns_zone_base(const struct gy_dns_zone *zone)
{
    return zone->base;
}

const uint8_t *gy_dns_zone_apex(const struct gy_dns_zone *zone)
{
    return zone->apex;
}

/* ---- going through it ---- */

const struct zone_node *zone_each(struct zone_cursor *cursor)
{
    for (;;) {
        const struct gy_dns_zone *zone = cursor->zone, *block = cursor->block;
        cursor->at = cursor->at == 0 ? block->nodes : cursor->at;
        while (cursor->at < block->nodes_end) {
            const struct zone_node *node = zone_at(block, cursor->at);
            cursor->at += node->bytes / 8;
            bool changed =
                block != zone && zone_find_own(zone, node->name, node->name_bytes,
                                               gy_dns_name_hash(node->name, zone->seed)) != NULL;
            if (!changed && !zone_is_gone(node)) {
                return node;
            }
        }
        if (block->base == NULL) {
            return NULL;
        }
        cursor->block = block->base;
        cursor->at = 0;
    }
}

static const struct zone_node *next_node(struct gy_dns_zone_walk *walk)
{
    struct zone_cursor cursor = {walk->zone, walk->block, walk->next};
    const struct zone_node *node = zone_each(&cursor);
    walk->block = cursor.block;
    walk->next = cursor.at;
    return node;
}

void gy_dns_zone_walk(struct gy_dns_zone_walk *walk, const struct gy_dns_zone *zone)
{
    gy_assert(!gy_dns_zone_is_absent(zone));
    walk->zone = walk->block = zone;
    walk->next = 0;
    walk->node = next_node(walk);
    walk->set = walk->record = walk->at = 0;
    walk->soa_done = false;
}

void zone_walk_record(struct gy_dns_zone_walk *walk, const struct zone_set *set,
                      const struct zone_node *node, uint32_t at, struct gy_dns_record *record)
{
    gy_assert(set != NULL);
    const struct gy_dns_zone *zone = walk->zone;
    const uint8_t *head = set->wire + at;
    uint32_t bytes = (uint32_t)head[10] << 8 | head[11], length = 0;
    const uint32_t *fixups = zone_fixups(set);
    uint32_t from = at + 12, end = from + bytes;
    for (uint32_t i = 0; i < set->fixups; i++) {
        if (fixups[i] < from || fixups[i] >= end) {
            continue;
        }
        gy_assert(length + (fixups[i] - from) + zone->apex_bytes <= sizeof walk->rdata);
        memcpy(walk->rdata + length, set->wire + from, fixups[i] - from);
        length += fixups[i] - from;
        memcpy(walk->rdata + length, zone->apex, zone->apex_bytes);
        length += zone->apex_bytes;
        from = fixups[i] + 2;
    }
    gy_assert(length + (end - from) <= sizeof walk->rdata);
    memcpy(walk->rdata + length, set->wire + from, end - from);
    *record = (struct gy_dns_record){.owner = node->name,
                                     .owner_bytes = node->name_bytes,
                                     .type = (uint16_t)(head[2] << 8 | head[3]),
                                     .class = (uint16_t)(head[4] << 8 | head[5]),
                                     .ttl = (uint32_t)head[6] << 24 | (uint32_t)head[7] << 16 |
                                            (uint32_t)head[8] << 8 | head[9],
                                     .rdata = walk->rdata,
                                     .rdata_bytes = length + (end - from)};
}

bool gy_dns_zone_walk_next(struct gy_dns_zone_walk *walk, struct gy_dns_record *record)
{
    const struct gy_dns_zone *zone = walk->zone;
    if (!walk->soa_done) {
        walk->soa_done = true;
        zone_walk_record(walk, zone_set_of(zone_apex(zone), GY_DNS_TYPE_SOA), zone_apex(zone), 0,
                         record);
        return true;
    }
    while (walk->node != NULL) {
        const struct zone_node *node = walk->node;
        const struct zone_set *set = zone_first_set(node);
        for (uint64_t i = 0; i < walk->set; i++) {
            set = zone_next_set(set);
        }
        while (walk->set < node->sets) {
            if (walk->record < (uint32_t)set->records + set->signatures) {
                uint32_t at = walk->at;
                walk->at += 12u + (uint32_t)(set->wire[at + 10] << 8 | set->wire[at + 11]);
                walk->record++;
                if (set->type == GY_DNS_TYPE_SOA && walk->record == 1) {
                    continue;
                }
                zone_walk_record(walk, set, node, at, record);
                return true;
            }
            walk->set++;
            walk->record = walk->at = 0;
            set = zone_next_set(set);
        }
        walk->node = next_node(walk);
        walk->set = walk->record = walk->at = 0;
    }
    return false;
}

/* ---- many zones ---- */

static uint32_t slots_for(uint32_t count)
{
    uint32_t slots = 4;
    while (slots / 2 < count) {
        slots *= 2;
    }
    return slots;
}

size_t gy_dns_zones_bytes(uint32_t count)
{
    return (size_t)slots_for(count) * sizeof(struct gy_dns_zone *);
}

void gy_dns_zones_init(struct gy_dns_zones *zones, void *memory, uint32_t count, uint64_t seed)
{
    memset(memory, 0, gy_dns_zones_bytes(count));
    *zones = (struct gy_dns_zones){.seed = seed, .mask = slots_for(count) - 1, .slots = memory};
}

int gy_dns_zones_add(struct gy_dns_zones *zones, const struct gy_dns_zone *zone)
{
    uint64_t hash = gy_dns_name_hash(zone->apex, zones->seed);
    if (zone->seed != zones->seed) {
        return GY_EINVAL;
    }
    if (zones->count > zones->mask / 2) {
        return GY_ELIMIT;
    }
    uint64_t i = hash & zones->mask;
    for (; zones->slots[i] != NULL; i = (i + 1) & zones->mask) {
        if (gy_dns_name_equal(zones->slots[i]->apex, zone->apex)) {
            return GY_EINVAL;
        }
    }
    zones->slots[i] = zone;
    zones->count++;
    zones->bytes += zone->bytes + (zone->base != NULL ? zone->base->bytes : 0);
    zones->label_counts[zone->apex_labels / 64] |= (uint64_t)1 << (zone->apex_labels & 63);
    return 0;
}

const struct gy_dns_zone *gy_dns_zones_find(const struct gy_dns_zones *zones, const uint8_t *lower,
                                            const struct gy_dns_suffixes *suffixes, uint32_t labels)
{
    gy_assert(labels <= suffixes->labels);
    size_t bytes = suffixes->offset[0] + 1u;
    for (uint32_t count = labels + 1; count-- > 0;) {
        if ((zones->label_counts[count / 64] >> (count & 63) & 1) == 0) {
            continue;
        }
        const uint8_t *suffix = lower + suffixes->offset[count];
        size_t length = bytes - suffixes->offset[count];
        for (uint64_t i = suffixes->hash[count] & zones->mask; zones->slots[i] != NULL;
             i = (i + 1) & zones->mask) {
            const struct gy_dns_zone *zone = zones->slots[i];
            if (zone->apex_bytes == length && memcmp(zone->apex, suffix, length) == 0) {
                return zone;
            }
        }
    }
    return NULL;
}
