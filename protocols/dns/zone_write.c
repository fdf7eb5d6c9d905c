/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/zone_builder.h"

#include "core/cursor.h"

/* Nodes between the one being written and the one whose slot is fetched. */
#define AHEAD 8

/* ---- sizes ---- */

/* Does the name end in the zone's apex, so that two bytes of pointer do for that? Not at the root.
 */
static bool shrinks(const struct gy_dns_zone_builder *builder, const uint8_t *name)
{
    return builder->apex_bytes > 2 && gy_dns_name_suffix(name, builder->apex) != NULL;
}

/* Of types whose data has no name that is shortened or leads to more: nearly all records. */
static inline bool is_plain(uint16_t type)
{
    return type == GY_DNS_TYPE_A || type == GY_DNS_TYPE_AAAA || type == GY_DNS_TYPE_TXT ||
           type == GY_DNS_TYPE_DS || type == GY_DNS_TYPE_NSEC3;
}

static void size_names(const struct gy_dns_zone_builder *builder, struct build_set *set)
{
    const char *fields = gy_dns_type_fields(set->type);
    int target = build_target(set->type);
    bool names = strchr(fields, 'n') != NULL;
    struct build_record *record = build_first(set->records);
    for (; record != NULL; record = build_next(record, set->records)) {
        size_t at = 0;
        for (const char *field = fields; names && *field != 0; field++) {
            int length = gy_dns_field_bytes(*field, record->rdata + at, record->bytes - at);
            gy_assert(length >= 0);
            set->fixups += *field == 'n' && shrinks(builder, record->rdata + at);
            at += (size_t)length;
        }
        if (target >= 0 && record->rdata[target] != 0 &&
            gy_dns_name_suffix(record->rdata + target, builder->apex) != NULL) {
            set->additionals++;
        }
    }
}

static inline void size_set(const struct gy_dns_zone_builder *builder, struct build_set *set)
{
    set->fixups = set->additionals = 0;
    if (!is_plain(set->type)) {
        size_names(builder, set);
    }
}

static inline uint32_t wire_bytes(const struct gy_dns_zone_builder *builder,
                                  const struct build_set *set)
{
    return set->fixups == 0 ? set->record_bytes
                            : set->record_bytes - set->fixups * (builder->apex_bytes - 2u);
}

static inline uint32_t set_bytes(const struct gy_dns_zone_builder *builder,
                                 const struct build_set *set)
{
    uint32_t bytes = (wire_bytes(builder, set) + set->signature_bytes + 3u) & ~3u;
    bytes += (uint32_t)sizeof(struct zone_set) + set->fixups * 4u +
             set->additionals * (uint32_t)sizeof(struct zone_additional);
    return (bytes + 7u) & ~7u;
}

uint32_t build_set_bytes(const struct gy_dns_zone_builder *builder, const struct build_set *set)
{
    return set_bytes(builder, set);
}

/* Once for each record that is loaded. */
static inline __attribute__((always_inline)) void size_sets(struct gy_dns_zone_builder *builder,
                                                            struct build_node *node)
{
    for (struct build_set *set = node->sets; set != NULL; set = set->next) {
        size_set(builder, set);
    }
}

void build_size(struct gy_dns_zone_builder *builder, struct build_node *node)
{
    size_sets(builder, node);
}

/* The SOA for negative answers: its TTL is at most its minimum (RFC 2308 §3). */
void build_size_negative(struct gy_dns_zone_builder *builder)
{
    builder->negative = *build_set_of(builder->first, GY_DNS_TYPE_SOA);
    const struct build_record *soa = builder->negative.records; /* the only one */
    struct gy_reader reader = gy_reader_on(soa->rdata + soa->bytes - 4, 4);
    uint32_t minimum = gy_reader_u32(&reader);
    builder->negative.ttl = minimum < builder->negative.ttl ? minimum : builder->negative.ttl;
}

/* ---- orders ---- */

static int by_name(const void *a, const void *b)
{
    const struct build_node *const *first = a, *const *second = b;
    return gy_dns_name_compare((*first)->name, (*second)->name);
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, 20);
}

/* qsort may allocate, and is slow on what is in order already, as signed zones are. */
void *build_sort(void *items, void *other, size_t count, size_t bytes, build_order *compare)
{
    uint8_t *from = items, *to = other;
    bool sorted = true;
    for (size_t i = 1; sorted && i < count; i++) {
        sorted = compare(from + (i - 1) * bytes, from + i * bytes) <= 0;
    }
    for (size_t run = 1; !sorted && run < count; run *= 2) {
        for (size_t start = 0; start < count; start += run * 2) {
            size_t left = start, middle = start + run < count ? start + run : count;
            size_t right = middle, end = middle + run < count ? middle + run : count;
            for (size_t at = start; at < end; at++) {
                bool first = left < middle && (right == end || compare(from + left * bytes,
                                                                       from + right * bytes) <= 0);
                memcpy(to + at * bytes, from + (first ? left++ : right++) * bytes, bytes);
            }
        }
        uint8_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

bool build_owner_hash(const struct gy_dns_zone_builder *builder, const struct build_node *node,
                      uint8_t hash[20])
{
    uint64_t bits = 0;
    if (node->parent != builder->first) {
        return false;
    }
    unsigned count = 0, length = 0;
    for (unsigned i = 1; i <= node->name[0]; i++) {
        uint8_t c = node->name[i];
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'v' ? c - 'a' + 10 : 99;
        if (node->name[0] != 32 || value > 31) {
            return false;
        }
        bits = bits << 5 | (unsigned)value;
        for (count += 5; count >= 8; count -= 8) {
            hash[length++] = (uint8_t)(bits >> (count - 8));
        }
    }
    return length == 20;
}

static int order_nodes(struct gy_dns_zone_builder *builder)
{
    size_t names = builder->ordered_sets, hashes = builder->hashed_sets;
    if (names == 0 && hashes == 0) {
        return 0;
    }
    struct build_node **ordered = build_memory(builder, names * 2 * sizeof *ordered);
    struct zone_nsec3 *hashed = build_memory(builder, hashes * 2 * sizeof *hashed);
    if (ordered == NULL || hashed == NULL) {
        return GY_ENOMEM;
    }
    for (struct build_node *node = builder->first; node != NULL; node = node->next) {
        if (build_has(node, GY_DNS_TYPE_NSEC)) {
            ordered[builder->ordered_count++] = node;
        }
        if (build_has(node, GY_DNS_TYPE_NSEC3) &&
            build_owner_hash(builder, node, hashed[builder->hashed_count].hash)) {
            hashed[builder->hashed_count++].node = node->reference;
        }
    }
    builder->ordered =
        build_sort(ordered, ordered + names, builder->ordered_count, sizeof *ordered, by_name);
    builder->hashed =
        build_sort(hashed, hashed + hashes, builder->hashed_count, sizeof *hashed, by_hash);
    return 0;
}

int build_check_nsec3(struct gy_dns_zone_builder *builder)
{
    const struct build_set *set = build_set_of(builder->first, GY_DNS_TYPE_NSEC3PARAM);
    if (set == NULL || set->records == NULL) {
        return 0;
    }
    const uint8_t *rdata = set->records->next->rdata;
    if (rdata[0] != 1 || (rdata[2] << 8 | rdata[3]) > GY_DNS_NSEC3_ITERATIONS_MAX) {
        build_report(builder, GY_DNS_ERROR, builder->apex, GY_DNS_TYPE_NSEC3PARAM,
                     "NSEC3 with another hash than SHA-1, or more than 500 iterations, is not "
                     "served; sign the zone with \"1 0 0 -\" (RFC 9276)");
        return GY_EINVAL;
    }
    return 0;
}

static inline size_t node_bytes(const struct gy_dns_zone_builder *builder,
                                const struct build_node *node)
{
    size_t bytes = sizeof(struct zone_node) + ((node->name_bytes + 7u) & ~7u);
    for (const struct build_set *set = node->sets; set != NULL; set = set->next) {
        bytes += set_bytes(builder, set);
    }
    return bytes + ((node->flags & NODE_PARENT) != 0 ? 8 : 0);
}

size_t build_node_bytes(const struct gy_dns_zone_builder *builder, const struct build_node *node)
{
    return node_bytes(builder, node);
}

int build_lay_out(struct gy_dns_zone_builder *builder)
{
    uint64_t at = (sizeof(struct gy_dns_zone) + 63) & ~(uint64_t)63;
    builder->table_slots = 8;
    while (builder->table_slots * 3 < builder->names * 4) {
        builder->table_slots *= 2;
    }
    at += builder->table_slots * sizeof(uint64_t);
    for (struct build_node *node = builder->first; node != NULL; node = node->next) {
        size_sets(builder, node);
        if (at / 8 > UINT32_MAX) {
            return GY_ELIMIT;
        }
        node->reference = (uint32_t)(at / 8);
        at += node_bytes(builder, node);
    }
    build_size_negative(builder);
    int code = build_check_nsec3(builder);
    code = code == 0 ? order_nodes(builder) : code;
    if (code != 0) {
        return code;
    }
    at += set_bytes(builder, &builder->negative) +
          (((uint64_t)builder->ordered_count * 4 + 7) & ~(uint64_t)7) +
          (uint64_t)builder->hashed_count * sizeof(struct zone_nsec3);
    builder->bytes = (at + 63) & ~(uint64_t)63;
    return builder->bytes / 8 > UINT32_MAX ? GY_ELIMIT : 0;
}

/* ---- writing ---- */

static void write_head(struct gy_writer *out, uint16_t type, uint32_t ttl)
{
    gy_writer_u16(out, 0xc00c); /* until it is copied */
    gy_writer_u16(out, type);
    gy_writer_u16(out, GY_DNS_CLASS_IN);
    gy_writer_u32(out, ttl);
    gy_writer_u16(out, 0);
}

/* One record; its names' ends left to pointers, which are noted. */
static void write_record(const struct gy_dns_zone_builder *builder, const struct build_set *set,
                         const struct build_record *record, struct gy_writer *out,
                         struct gy_writer *fixups, struct gy_writer *additionals)
{
    int target = build_target(set->type);
    size_t at = 0;
    write_head(out, set->type, set->ttl);
    uint8_t *start = out->at;
    if (target >= 0 && record->rdata[target] != 0 &&
        gy_dns_name_suffix(record->rdata + target, builder->apex) != NULL) {
        const struct build_node *node =
            builder->patching ? NULL : build_find_name(builder, record->rdata + target);
        struct zone_additional additional = {(uint32_t)gy_writer_length(out) + (uint32_t)target,
                                             builder->patching ? ADDITIONAL_ANY
                                             : node == NULL    ? 0
                                                               : node->reference};
        gy_writer_bytes(additionals, &additional, sizeof additional);
    }
    for (const char *field = gy_dns_type_fields(set->type); set->fixups > 0 && *field != 0;
         field++) {
        size_t length = (size_t)gy_dns_field_bytes(*field, record->rdata + at, record->bytes - at);
        if (*field == 'n' && shrinks(builder, record->rdata + at)) {
            gy_writer_bytes(out, record->rdata + at, length - builder->apex_bytes);
            uint32_t offset = (uint32_t)gy_writer_length(out);
            gy_writer_bytes(fixups, &offset, sizeof offset);
            gy_writer_u16(out, 0xc000);
        } else {
            gy_writer_bytes(out, record->rdata + at, length);
        }
        at += length;
    }
    gy_writer_bytes(out, record->rdata + at, record->bytes - at);
    gy_assert(!out->failed);
    start[-2] = (uint8_t)((out->at - start) >> 8);
    start[-1] = (uint8_t)(out->at - start);
}

/* Records without names in them, and signatures. Returns where they end. */
static inline uint8_t *write_plain(uint8_t *at, uint16_t type, uint32_t ttl,
                                   struct build_record *last)
{
    const uint8_t head[10] = {0xc0, /* until it is copied */
                              0x0c,
                              (uint8_t)(type >> 8),
                              (uint8_t)type,
                              0,
                              GY_DNS_CLASS_IN,
                              (uint8_t)(ttl >> 24),
                              (uint8_t)(ttl >> 16),
                              (uint8_t)(ttl >> 8),
                              (uint8_t)ttl};
    struct build_record *record = build_first(last);
    for (; record != NULL; record = build_next(record, last)) {
        memcpy(at, head, sizeof head);
        at[10] = (uint8_t)(record->bytes >> 8);
        at[11] = (uint8_t)record->bytes;
        memcpy(at + BUILD_HEAD, record->rdata, record->bytes);
        at += BUILD_HEAD + record->bytes;
    }
    return at;
}

/* What wants pointers, or leads to others. */
static void write_names(const struct gy_dns_zone_builder *builder, const struct build_set *from,
                        struct zone_set *to)
{
    struct gy_writer out = gy_writer_on(to->wire, to->wire_bytes);
    struct gy_writer fixups = gy_writer_on((void *)(uintptr_t)zone_fixups(to), from->fixups * 4u);
    struct gy_writer additionals = gy_writer_on((void *)(uintptr_t)zone_additionals(to),
                                                from->additionals * sizeof(struct zone_additional));
    struct build_record *record = build_first(from->records);
    for (; record != NULL; record = build_next(record, from->records)) {
        write_record(builder, from, record, &out, &fixups, &additionals);
    }
    gy_assert(!out.failed && !fixups.failed && !additionals.failed && out.at == out.end &&
              fixups.at == fixups.end && additionals.at == additionals.end);
}

static inline void write_set(const struct gy_dns_zone_builder *builder,
                             const struct build_set *from, struct zone_set *to)
{
    *to = (struct zone_set){.type = from->type,
                            .records = from->record_count,
                            .signatures = from->signature_count,
                            .additionals = from->additionals,
                            .fixups = from->fixups,
                            .wire_bytes = wire_bytes(builder, from),
                            .signature_bytes = from->signature_bytes,
                            .bytes = set_bytes(builder, from)};
    uint8_t *at = to->wire + to->wire_bytes;
    if (from->fixups > 0 || from->additionals > 0) {
        write_names(builder, from, to);
    } else {
        at = write_plain(to->wire, from->type, from->ttl, from->records);
        gy_assert(at == to->wire + to->wire_bytes);
    }
    at = write_plain(at, GY_DNS_TYPE_RRSIG, from->ttl, from->signatures);
    gy_assert(at == to->wire + to->wire_bytes + to->signature_bytes);
}

static inline __attribute__((always_inline)) void
write_node(const struct gy_dns_zone_builder *builder, const struct build_node *from,
           struct zone_node *to)
{
    to->sets = from->set_count;
    to->flags = from->flags;
    to->name_bytes = from->name_bytes;
    uint8_t *at = to->name + ((from->name_bytes + 7u) & ~7u);
    memset(at - 8, 0, 8);
    memcpy(to->name, from->name, from->name_bytes);
    for (const struct build_set *set = from->sets; set != NULL; set = set->next) {
        write_set(builder, set, (struct zone_set *)at);
        at += ((const struct zone_set *)at)->bytes;
    }
    if ((from->flags & NODE_PARENT) != 0) {
        memset(at, 0, 8);
        at += 8;
    }
    to->bytes = (uint32_t)(at - (uint8_t *)to);
}

void build_write_node(const struct gy_dns_zone_builder *builder, const struct build_node *from,
                      struct zone_node *to)
{
    write_node(builder, from, to);
}

void build_write_negative(const struct gy_dns_zone_builder *builder, void *at)
{
    write_set(builder, &builder->negative, at);
}

void build_write_parameters(const struct gy_dns_zone_builder *builder, struct gy_dns_zone *zone)
{
    const struct build_record *soa = builder->negative.records; /* the only one */
    const struct build_set *nsec3 = build_set_of(builder->first, GY_DNS_TYPE_NSEC3PARAM);
    struct gy_reader reader = gy_reader_on(soa->rdata + soa->bytes - 20, 20);
    for (unsigned i = 0; i < 5; i++) {
        zone->soa[i] = gy_reader_u32(&reader);
    }
    if (nsec3 != NULL && nsec3->records != NULL && zone->nsec3_names > 0) {
        const uint8_t *rdata = nsec3->records->next->rdata;
        zone->nsec3_iterations = (uint16_t)(rdata[2] << 8 | rdata[3]);
        zone->nsec3_salt_bytes = rdata[4];
        memcpy(zone->nsec3_salt, rdata + 5, rdata[4]);
    }
}

const struct gy_dns_zone *gy_dns_zone_write(struct gy_dns_zone_builder *builder, void *memory)
{
    struct gy_dns_zone *zone = memory;
    uint8_t *start = memory;
    gy_assert(((uintptr_t)memory & 63) == 0 && builder->bytes > 0);
    uint64_t at = (sizeof *zone + 63) & ~(uint64_t)63;
    uint64_t *table = (uint64_t *)(start + at);
    memset(zone, 0, at + builder->table_slots * 8);
    zone->magic = ZONE_MAGIC;
    zone->plain = true;
    zone->seed = builder->settings->seed;
    zone->bytes = builder->bytes;
    zone->table_mask = (uint32_t)(builder->table_slots - 1);
    zone->table = (uint32_t)(at / 8);
    zone->nodes = zone->top = builder->first->reference;
    zone->rrsets = builder->rrsets;
    zone->records = builder->records;
    zone->names = builder->names;
    zone->apex_bytes = builder->apex_bytes;
    zone->apex_labels = builder->apex_labels;
    memcpy(zone->apex, builder->apex, builder->apex_bytes);
    const struct build_node *ahead = builder->first, *parent = NULL;
    uint32_t none = 0, *children = &none; /* of the parent */
    for (uint32_t i = 0; i < AHEAD && ahead != NULL; i++) {
        ahead = ahead->next;
    }
    for (const struct build_node *node = builder->first; node != NULL; node = node->next) {
        if (ahead != NULL) { /* slots are all over a large table */
            __builtin_prefetch(&table[ahead->hash & zone->table_mask], 1);
            ahead = ahead->next;
        }
        gy_assert(at == (uint64_t)node->reference * 8 || node == builder->first);
        at = (uint64_t)node->reference * 8;
        write_node(builder, node, (struct zone_node *)(start + at));
        if (node->parent != parent) { /* which is written already */
            parent = node->parent;
            children = zone_children(zone_at(zone, parent->reference));
        }
        *children += 1;
        at += ((struct zone_node *)(start + at))->bytes;
        uint64_t slot = node->hash & zone->table_mask;
        while (table[slot] != 0) {
            slot = (slot + 1) & zone->table_mask;
        }
        table[slot] = node->hash >> 32 << 32 | node->reference;
    }
    zone->nodes_end = zone->negative = (uint32_t)(at / 8);
    build_write_negative(builder, start + at);
    at += set_bytes(builder, &builder->negative);
    zone->ordered = (uint32_t)(at / 8);
    zone->ordered_count = zone->nsec_names = builder->ordered_count;
    for (uint32_t i = 0; i < builder->ordered_count; i++) {
        memcpy(start + at + i * 4u, &builder->ordered[i]->reference, 4);
    }
    at += ((uint64_t)builder->ordered_count * 4 + 7) & ~(uint64_t)7;
    zone->hashed = (uint32_t)(at / 8);
    zone->hashed_count = zone->nsec3_names = builder->hashed_count;
    if (builder->hashed_count > 0) {
        memcpy(start + at, builder->hashed, builder->hashed_count * sizeof(struct zone_nsec3));
    }
    build_write_parameters(builder, zone);
    return zone;
}
