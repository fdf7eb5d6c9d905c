/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/patch_internal.h"

/* Of a node's reference, while names are taken up: it has what it had. */
#define LOADED 1u

/* ---- collecting ---- */

struct gy_dns_patch *gy_dns_patch_begin(const struct gy_dns_zone_settings *settings,
                                        const struct gy_dns_zone *zone)
{
    gy_assert(!gy_dns_zone_is_absent(zone) && zone->seed == settings->seed);
    struct gy_dns_zone_builder *builder = gy_dns_zone_begin(settings, zone->apex);
    struct gy_dns_patch *patch = builder == NULL ? NULL : build_memory(builder, sizeof *patch);
    if (patch == NULL) {
        return NULL;
    }
    builder->patching = true;
    builder->at_once = true;
    *patch = (struct gy_dns_patch){.builder = builder,
                                   .zone = zone,
                                   .base = zone->base != NULL ? zone->base : zone,
                                   .records = zone->records,
                                   .rrsets = zone->rrsets,
                                   .names = zone->names,
                                   .nsec_names = zone->nsec_names,
                                   .nsec3_names = zone->nsec3_names};
    return patch;
}

/* What a node of the version before has, as far as it stays. */
static int load(struct gy_dns_patch *patch, struct build_node *node, struct gy_dns_zone_walk *walk,
                gy_dns_patch_keep *keep, void *context, struct gy_error *error)
{
    const struct zone_node *old = zone_find(patch->zone, node->name, node->name_bytes, node->hash);
    const struct zone_set *set = old == NULL ? NULL : zone_first_set(old);
    int code = 0;
    gy_assert(node->reference == 0);
    node->reference = LOADED;
    for (uint32_t i = 0; old != NULL && i < old->sets && code == 0; i++, set = zone_next_set(set)) {
        uint32_t end = set->wire_bytes + set->signature_bytes;
        for (uint32_t at = 0; at < end && code == 0;) {
            struct gy_dns_record record;
            zone_walk_record(walk, set, old, at, &record);
            at += 12u + (uint32_t)(set->wire[at + 10] << 8 | set->wire[at + 11]);
            code = keep(context, &record) ? gy_dns_zone_add(patch->builder, &record, error) : 0;
        }
        patch->records -= (uint64_t)set->records + set->signatures;
        patch->rrsets--;
    }
    return code;
}

int gy_dns_patch_touch(struct gy_dns_patch *patch, const uint8_t *owner,
                       struct gy_dns_zone_walk *walk, gy_dns_patch_keep *keep, void *context,
                       struct gy_error *error)
{
    uint8_t lower[GY_DNS_NAME_PADDED];
    size_t bytes = gy_dns_name_lower(owner, lower);
    memset(lower + bytes, 0, 8);
    if (gy_dns_name_suffix(lower, patch->zone->apex) == NULL) {
        return 0;
    }
    struct build_node *node = build_get_node(patch->builder, lower, bytes);
    if (node == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for the zone's names");
    }
    walk->zone = patch->zone;
    int code = 0;
    for (; node != NULL && node->reference != LOADED && code == 0; node = node->parent) {
        code = load(patch, node, walk, keep, context, error);
    }
    return code;
}

int gy_dns_patch_add(struct gy_dns_patch *patch, const struct gy_dns_record *record,
                     struct gy_error *error)
{
    return gy_dns_zone_add(patch->builder, record, error);
}

/* ---- what becomes of it ---- */

static int list_touched(struct gy_dns_patch *patch)
{
    struct gy_dns_zone_builder *builder = patch->builder;
    patch->touched = build_memory(builder, builder->names * sizeof *patch->touched);
    if (patch->touched == NULL) {
        return GY_ENOMEM;
    }
    for (struct build_node *node = builder->first; node != NULL; node = node->next) {
        gy_assert(node->reference == LOADED);
        const struct zone_node *old =
            zone_find(patch->zone, node->name, node->name_bytes, node->hash);
        uint8_t flags = old == NULL ? 0 : old->flags & (NODE_PARENT | NODE_WILDCARD);
        node->reference = patch->touched_count++;
        node->flags = (uint8_t)((node->flags & NODE_APEX) | flags);
        patch->touched[node->reference] = (struct touched){
            .node = node,
            .old = old,
            .children = (flags & NODE_PARENT) != 0 ? *zone_children(old) : 0,
        };
    }
    return 0;
}

/* Who is there, and how many children each has, from the deepest up. */
static void settle(struct gy_dns_patch *patch)
{
    for (uint32_t i = patch->touched_count; i-- > 0;) {
        struct touched *touched = &patch->touched[i];
        struct build_node *node = touched->node, *parent = node->parent;
        node->flags &= (uint8_t)~NODE_PARENT;
        node->flags |= touched->children > 0 ? NODE_PARENT : 0;
        touched->gone = node->sets == NULL && touched->children == 0 && parent != NULL;
        patch->names += !touched->gone;
        patch->names -= touched->old != NULL;
        if (parent == NULL) {
            continue;
        }
        struct touched *above = &patch->touched[parent->reference];
        gy_assert(parent->reference < i && (touched->old == NULL || above->children > 0));
        above->inside += !touched->gone;
        above->children += !touched->gone;
        above->children -= touched->old != NULL;
        if (node->name[0] == 1 && node->name[1] == '*') {
            parent->flags &= (uint8_t)~NODE_WILDCARD;
            parent->flags |= touched->gone ? 0 : NODE_WILDCARD;
        }
    }
}

/* Does what stands over the names below stay, where they were not all touched? */
static bool covers_stay(const struct gy_dns_patch *patch)
{
    const uint8_t covers = NODE_CUT | NODE_DNAME | NODE_OCCLUDED;
    for (uint32_t i = 0; i < patch->touched_count; i++) {
        const struct touched *touched = &patch->touched[i];
        gy_assert(touched->inside <= touched->children || touched->gone);
        if (touched->old != NULL && touched->children > touched->inside &&
            ((touched->old->flags & covers) != 0) != ((touched->node->flags & covers) != 0)) {
            return false;
        }
    }
    return true;
}

/* ---- orders ---- */

static int by_name(const void *a, const void *b)
{
    const struct order_item *first = a, *second = b;
    return gy_dns_name_compare(first->key, second->key);
}

static int by_hash(const void *a, const void *b)
{
    const struct order_item *first = a, *second = b;
    return memcmp(first->hash, second->hash, 20);
}

/* Whether a name had a record of a type, and has one: it is counted. True: its item is needed. */
static bool count_order(const struct touched *touched, uint16_t type, uint32_t place,
                        uint32_t *names, struct order_item *item)
{
    bool had = touched->old != NULL && zone_set_of(touched->old, type) != NULL;
    bool has = !touched->gone && build_has(touched->node, type);
    *names += has;
    *names -= had;
    *item = (struct order_item){.order = {.place = place, .back = !has}};
    bool nowhere = touched->gone && touched->old == NULL; /* and what is said of it stays */
    return !nowhere && (had || has || place != PLACE_NONE);
}

static int list_orders(struct gy_dns_patch *patch)
{
    struct gy_dns_zone_builder *builder = patch->builder;
    size_t bytes = patch->touched_count * sizeof(struct order_item);
    struct order_item *names = build_memory(builder, bytes * 2);
    struct order_item *hashes = build_memory(builder, bytes * 2);
    if (names == NULL || hashes == NULL) {
        return GY_ENOMEM;
    }
    for (uint32_t i = 0; i < patch->touched_count; i++) {
        const struct touched *touched = &patch->touched[i];
        struct order_item *item = &names[patch->by_name.count];
        uint8_t hash[20];
        uint32_t place = zone_nsec_place(patch->base, touched->node->name);
        if (count_order(touched, GY_DNS_TYPE_NSEC, place, &patch->nsec_names, item)) {
            item->order.node = i;
            item->key = touched->node->name;
            patch->by_name.count++;
        }
        item = &hashes[patch->by_hash.count];
        if (build_owner_hash(builder, touched->node, hash) &&
            count_order(touched, GY_DNS_TYPE_NSEC3, zone_nsec3_place(patch->base, hash),
                        &patch->nsec3_names, item)) {
            item->order.node = i;
            memcpy(item->hash, hash, sizeof hash);
            patch->by_hash.count++;
        }
    }
    patch->by_name.list = build_sort(names, names + patch->by_name.count, patch->by_name.count,
                                     sizeof *names, by_name);
    patch->by_hash.list = build_sort(hashes, hashes + patch->by_hash.count, patch->by_hash.count,
                                     sizeof *hashes, by_hash);
    return 0;
}

/* ---- sizes ---- */

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

/* A name that is gone takes its own bytes; one that never was there takes none. */
static uint64_t touched_bytes(const struct gy_dns_patch *patch, const struct touched *touched)
{
    if (touched->gone) {
        return touched->old == NULL ? 0
                                    : sizeof(struct zone_node) + aligned(touched->node->name_bytes);
    }
    return build_node_bytes(patch->builder, touched->node);
}

static int lay_out(struct gy_dns_patch *patch)
{
    const struct gy_dns_zone *zone = patch->zone;
    bool again = zone->base != NULL;
    uint64_t names = again ? zone->patched : 0;
    uint64_t at = PATCH_NODES + patch_old_bytes(patch);
    gy_assert(!again || zone->nodes * (uint64_t)8 == PATCH_NODES);
    for (uint32_t i = 0; i < patch->touched_count; i++) {
        struct touched *touched = &patch->touched[i];
        build_size(patch->builder, touched->node);
        uint64_t bytes = touched_bytes(patch, touched);
        if (at / 8 > UINT32_MAX) {
            return GY_ELIMIT;
        }
        touched->reference = bytes == 0 ? 0 : (uint32_t)(at / 8);
        names += bytes != 0;
        at += bytes;
    }
    build_size_negative(patch->builder);
    patch->nodes_end = at;
    patch->table = at;
    patch->table_slots = again ? (uint64_t)zone->table_mask + 1 : 16;
    while (patch->table_slots * 3 < names * 4) {
        patch->table_slots *= 4;
    }
    at += patch->table_slots * sizeof(uint64_t);
    patch->negative = at;
    at += build_set_bytes(patch->builder, &patch->builder->negative);
    patch->ordered = at;
    at += aligned(((again ? zone->ordered_count : 0) + (uint64_t)patch->by_name.count) *
                  sizeof(struct zone_order));
    patch->hashed = at;
    at += ((again ? zone->hashed_count : 0) + (uint64_t)patch->by_hash.count) *
          sizeof(struct zone_hash_order);
    patch->bytes = (at + 63) & ~(uint64_t)63;
    return patch->bytes / 8 > UINT32_MAX ? GY_ELIMIT : 0;
}

static const char *sentence_of(const struct gy_dns_patch *patch, int code)
{
    return code == GY_EINVAL    ? patch->builder->first_error.message
           : code == GY_ELIMIT  ? "the changes are larger than 32 GiB"
           : code == GY_ENOTSUP ? "a delegation or DNAME above other names has come or gone"
                                : "no memory to lay the changes out";
}

int gy_dns_patch_finish(struct gy_dns_patch *patch, size_t *bytes, struct gy_error *error)
{
    struct gy_dns_zone_builder *builder = patch->builder;
    if (builder->first->reference != LOADED) {
        return gy_error_set(error, GY_EINVAL, "the changes have no SOA record");
    }
    int code = list_touched(patch);
    if (code == 0) {
        settle(patch);
        build_check(builder);
        code = builder->errors > 0 ? GY_EINVAL : covers_stay(patch) ? 0 : GY_ENOTSUP;
    }
    code = code == 0 ? build_check_nsec3(builder) : code;
    code = code == 0 ? list_orders(patch) : code;
    code = code == 0 ? lay_out(patch) : code;
    if (code != 0) {
        return gy_error_set(error, code, "%s", sentence_of(patch, code));
    }
    patch->records += builder->records;
    patch->rrsets += builder->rrsets;
    *bytes = patch->bytes;
    return 0;
}
