/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The orders of a zone's denials: NSEC by names, NSEC3 by hashes. */

#include "protocols/dns/zone_internal.h"

/* How many names with NSEC are not behind `name`, in a zone that is not patched. */
static uint32_t names_until(const struct gy_dns_zone *zone, const uint8_t *name)
{
    uint32_t low = 0, high = zone->ordered_count;
    const uint32_t *ordered = high > 0 ? zone_at(zone, zone->ordered) : NULL;
    while (low < high) { /* the first one behind the name */
        uint32_t middle = low + (high - low) / 2;
        const struct zone_node *node = zone_at(zone, ordered[middle]);
        if (gy_dns_name_compare(node->name, name) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t hashes_until(const struct gy_dns_zone *zone, const uint8_t hash[20])
{
    uint32_t low = 0, high = zone->hashed_count;
    const struct zone_nsec3 *hashed = high > 0 ? zone_at(zone, zone->hashed) : NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(hashed[middle].hash, hash, 20) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The same in a patch. */
static uint32_t patched_names_until(const struct gy_dns_zone *zone, const uint8_t *name)
{
    uint32_t low = 0, high = zone->ordered_count;
    const struct zone_order *ordered = high > 0 ? zone_at(zone, zone->ordered) : NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct zone_node *node = zone_at(zone, ordered[middle].node);
        if (gy_dns_name_compare(node->name, name) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t patched_hashes_until(const struct gy_dns_zone *zone, const uint8_t hash[20])
{
    uint32_t low = 0, high = zone->hashed_count;
    const struct zone_hash_order *hashed = high > 0 ? zone_at(zone, zone->hashed) : NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(hashed[middle].hash, hash, 20) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t zone_nsec_place(const struct gy_dns_zone *zone, const uint8_t *name)
{
    uint32_t until = names_until(zone, name);
    if (until == 0) {
        return PLACE_NONE;
    }
    const uint32_t *ordered = zone_at(zone, zone->ordered);
    const struct zone_node *node = zone_at(zone, ordered[until - 1]);
    return gy_dns_name_equal(node->name, name) ? until - 1 : PLACE_NONE;
}

uint32_t zone_nsec3_place(const struct gy_dns_zone *zone, const uint8_t hash[20])
{
    uint32_t until = hashes_until(zone, hash);
    if (until == 0) {
        return PLACE_NONE;
    }
    const struct zone_nsec3 *hashed = zone_at(zone, zone->hashed);
    return memcmp(hashed[until - 1].hash, hash, 20) == 0 ? until - 1 : PLACE_NONE;
}

/* The last of the first `names` of the base, and the first `changes` of the patch, that has NSEC.
 * What the patch has in the base's place counts instead of it. */
static const struct zone_node *last_name(const struct gy_dns_zone *zone, uint32_t names,
                                         uint32_t changes)
{
    const struct zone_order *ordered = changes > 0 ? zone_at(zone, zone->ordered) : NULL;
    if (changes > 0 && ordered[changes - 1].back > 0 && ordered[changes - 1].place + 1 == names) {
        uint32_t back = ordered[changes - 1].back;
        gy_assert(back <= names && back <= changes);
        names -= back;
        changes -= back;
    }
    const struct zone_node *base = NULL;
    if (names > 0) {
        const uint32_t *all = zone_at(zone->base, zone->base->ordered);
        base = zone_at(zone->base, all[names - 1]);
    }
    if (changes == 0 || ordered[changes - 1].back > 0) {
        return base;
    }
    const struct zone_node *change = zone_at(zone, ordered[changes - 1].node);
    return base == NULL || gy_dns_name_compare(change->name, base->name) >= 0 ? change : base;
}

/* The same of hashes; `found` is it. */
static const struct zone_node *last_hash(const struct gy_dns_zone *zone, uint32_t hashes,
                                         uint32_t changes, const uint8_t **found)
{
    const struct zone_hash_order *hashed = changes > 0 ? zone_at(zone, zone->hashed) : NULL;
    if (changes > 0 && hashed[changes - 1].order.back > 0 &&
        hashed[changes - 1].order.place + 1 == hashes) {
        uint32_t back = hashed[changes - 1].order.back;
        gy_assert(back <= hashes && back <= changes);
        hashes -= back;
        changes -= back;
    }
    const struct zone_nsec3 *base = NULL;
    if (hashes > 0) {
        base = (const struct zone_nsec3 *)zone_at(zone->base, zone->base->hashed) + hashes - 1;
    }
    if (changes > 0 && hashed[changes - 1].order.back == 0 &&
        (base == NULL || memcmp(hashed[changes - 1].hash, base->hash, 20) >= 0)) {
        *found = hashed[changes - 1].hash;
        return zone_at(zone, hashed[changes - 1].order.node);
    }
    if (base == NULL) {
        return NULL;
    }
    *found = base->hash;
    return zone_at(zone->base, base->node);
}

const struct zone_node *zone_nsec_before(const struct gy_dns_zone *zone, const uint8_t *name)
{
    if (zone->base != NULL) {
        return last_name(zone, names_until(zone->base, name), patched_names_until(zone, name));
    }
    uint32_t until = names_until(zone, name);
    if (until == 0) {
        return NULL;
    }
    const uint32_t *ordered = zone_at(zone, zone->ordered);
    return zone_at(zone, ordered[until - 1]);
}

const struct zone_node *zone_nsec3_find(const struct gy_dns_zone *zone, const uint8_t hash[20],
                                        bool exact)
{
    const struct zone_node *node;
    const uint8_t *found = NULL;
    if (zone->nsec3_names == 0) {
        return NULL;
    }
    if (zone->base != NULL) {
        node = last_hash(zone, hashes_until(zone->base, hash), patched_hashes_until(zone, hash),
                         &found);
        if (node == NULL) { /* around the end */
            node = last_hash(zone, zone->base->hashed_count, zone->hashed_count, &found);
        }
    } else {
        uint32_t until = hashes_until(zone, hash);
        const struct zone_nsec3 *hashed = zone_at(zone, zone->hashed);
        hashed += until == 0 ? zone->hashed_count - 1 : until - 1;
        found = hashed->hash;
        node = zone_at(zone, hashed->node);
    }
    gy_assert(node != NULL && found != NULL);
    return exact && memcmp(found, hash, 20) != 0 ? NULL : node;
}
