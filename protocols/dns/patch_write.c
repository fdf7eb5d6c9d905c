/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/patch_internal.h"

/* ---- nodes ---- */

static void write_gone(const struct build_node *from, struct zone_node *to)
{
    uint32_t name_bytes = (from->name_bytes + 7u) & ~7u;
    *to = (struct zone_node){.bytes = (uint32_t)sizeof *to + name_bytes,
                             .flags = NODE_GONE,
                             .name_bytes = from->name_bytes};
    memset(to->name, 0, name_bytes);
    memcpy(to->name, from->name, from->name_bytes);
}

static void write_nodes(const struct gy_dns_patch *patch, uint8_t *start)
{
    const struct gy_dns_zone *zone = patch->zone;
    memcpy(start + PATCH_NODES, (const uint8_t *)zone + PATCH_NODES, patch_old_bytes(patch));
    for (uint32_t i = 0; i < patch->touched_count; i++) {
        const struct touched *touched = &patch->touched[i];
        const struct build_node *node = touched->node;
        if (touched->reference == 0) {
            continue;
        }
        struct zone_node *to = (struct zone_node *)(start + (uint64_t)touched->reference * 8);
        if (touched->gone) {
            write_gone(node, to);
        } else {
            build_write_node(patch->builder, node, to);
        }
        if ((to->flags & NODE_PARENT) != 0) {
            *zone_children(to) = touched->children;
        }
        const struct zone_node *before =
            zone->base == NULL ? NULL
                               : zone_find_own(zone, node->name, node->name_bytes, node->hash);
        if (before != NULL) {
            size_t at = (size_t)((const uint8_t *)before - (const uint8_t *)zone);
            ((struct zone_node *)(start + at))->flags = NODE_GONE;
        }
    }
}

/* ---- the table ---- */

/* A name's slot, which may have another node of it. */
static void put_slot(struct gy_dns_zone *zone, uint32_t reference, uint64_t hash)
{
    uint64_t *table = (uint64_t *)(uintptr_t)zone_slot(zone, 0);
    const struct zone_node *node = zone_at(zone, reference);
    uint64_t i = hash & zone->table_mask;
    for (; table[i] != 0; i = (i + 1) & zone->table_mask) {
        const struct zone_node *other = zone_at(zone, (uint32_t)table[i]);
        if ((table[i] ^ hash) >> 32 == 0 && other->name_bytes == node->name_bytes &&
            memcmp(other->name, node->name, node->name_bytes) == 0) {
            break;
        }
    }
    zone->patched += table[i] == 0;
    gy_assert(zone->patched <= zone->table_mask);
    table[i] = hash >> 32 << 32 | reference;
}

static void write_table(const struct gy_dns_patch *patch, struct gy_dns_zone *made)
{
    const struct gy_dns_zone *zone = patch->zone;
    uint64_t *table = (uint64_t *)(uintptr_t)zone_slot(made, 0);
    bool again = zone->base != NULL;
    if (again && zone->table_mask == made->table_mask) {
        memcpy(table, zone_slot(zone, 0), patch->table_slots * sizeof *table);
        made->patched = zone->patched;
    } else {
        memset(table, 0, patch->table_slots * sizeof *table);
        for (uint64_t i = 0; again && i <= zone->table_mask; i++) {
            uint64_t slot = *zone_slot(zone, i);
            const struct zone_node *node = slot == 0 ? NULL : zone_at(made, (uint32_t)slot);
            if (node != NULL) {
                put_slot(made, (uint32_t)slot, gy_dns_name_hash(node->name, made->seed));
            }
        }
    }
    for (uint32_t i = 0; i < patch->touched_count; i++) {
        if (patch->touched[i].reference != 0) {
            put_slot(made, patch->touched[i].reference, patch->touched[i].node->hash);
        }
    }
}

/* ---- orders ---- */

/* The item's place in the new order: a removed one that the base never had has none. */
static bool take_order(const struct gy_dns_patch *patch, const struct order_item *item,
                       struct zone_order *order)
{
    *order = item->order;
    order->node = patch->touched[item->order.node].reference;
    return item->order.back == 0 || item->order.place != PLACE_NONE;
}

/* How far to go back from one that is removed. */
static void count_back(struct zone_order *order, const struct zone_order *before)
{
    if (order->back > 0) {
        bool behind = before != NULL && before->back > 0 && before->place + 1 == order->place;
        order->back = behind ? before->back + 1 : 1;
    }
}

/* Those of the version before and the new ones, which take their places. */
static uint32_t merge_names(const struct gy_dns_patch *patch, const struct gy_dns_zone *made,
                            struct zone_order *out)
{
    const struct gy_dns_zone *zone = patch->zone;
    uint32_t count = zone->base != NULL ? zone->ordered_count : 0, written = 0;
    const struct zone_order *old = count > 0 ? zone_at(zone, zone->ordered) : NULL;
    const struct order_item *item = patch->by_name.list, *end = item + patch->by_name.count;
    for (uint32_t i = 0; i < count || item < end;) {
        int order = i == count ? 1 : -1;
        if (i < count && item < end) {
            const struct zone_node *node = zone_at(made, old[i].node);
            order = gy_dns_name_compare(node->name, item->key);
        }
        bool there = true;
        if (order < 0) {
            out[written] = old[i];
        } else {
            there = take_order(patch, item++, &out[written]);
        }
        i += order <= 0;
        if (there) {
            count_back(&out[written], written > 0 ? &out[written - 1] : NULL);
            written++;
        }
    }
    return written;
}

static uint32_t merge_hashes(const struct gy_dns_patch *patch, struct zone_hash_order *out)
{
    const struct gy_dns_zone *zone = patch->zone;
    uint32_t count = zone->base != NULL ? zone->hashed_count : 0, written = 0;
    const struct zone_hash_order *old = count > 0 ? zone_at(zone, zone->hashed) : NULL;
    const struct order_item *item = patch->by_hash.list, *end = item + patch->by_hash.count;
    for (uint32_t i = 0; i < count || item < end;) {
        int order = i == count ? 1 : -1;
        if (i < count && item < end) {
            order = memcmp(old[i].hash, item->hash, sizeof item->hash);
        }
        bool there = true;
        if (order < 0) {
            out[written] = old[i];
        } else {
            memcpy(out[written].hash, item->hash, sizeof item->hash);
            there = take_order(patch, item++, &out[written].order);
        }
        i += order <= 0;
        if (there) {
            count_back(&out[written].order, written > 0 ? &out[written - 1].order : NULL);
            written++;
        }
    }
    return written;
}

/* ---- all of it ---- */

const struct gy_dns_zone *gy_dns_patch_write(struct gy_dns_patch *patch, void *memory)
{
    const struct gy_dns_zone *zone = patch->zone;
    struct gy_dns_zone *made = memory;
    uint8_t *start = memory;
    gy_assert(((uintptr_t)memory & 63) == 0 && patch->bytes > 0);
    memset(made, 0, PATCH_NODES);
    made->magic = ZONE_MAGIC;
    made->seed = zone->seed;
    made->base = patch->base;
    made->bytes = patch->bytes;
    made->records = patch->records;
    made->rrsets = patch->rrsets;
    made->names = patch->names;
    made->nsec_names = patch->nsec_names;
    made->nsec3_names = patch->nsec3_names;
    made->apex_bytes = zone->apex_bytes;
    made->apex_labels = zone->apex_labels;
    memcpy(made->apex, zone->apex, sizeof made->apex);
    made->nodes = (uint32_t)(PATCH_NODES / 8);
    made->nodes_end = (uint32_t)(patch->nodes_end / 8);
    made->top = patch->touched[0].reference;
    made->table = (uint32_t)(patch->table / 8);
    made->table_mask = (uint32_t)(patch->table_slots - 1);
    made->negative = (uint32_t)(patch->negative / 8);
    made->ordered = (uint32_t)(patch->ordered / 8);
    made->hashed = (uint32_t)(patch->hashed / 8);
    write_nodes(patch, start);
    write_table(patch, made);
    build_write_negative(patch->builder, start + patch->negative);
    build_write_parameters(patch->builder, made);
    made->ordered_count = merge_names(patch, made, (struct zone_order *)(start + patch->ordered));
    made->hashed_count = merge_hashes(patch, (struct zone_hash_order *)(start + patch->hashed));
    return made;
}
