/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/dns/zone_builder.h"

#define PIECE_BYTES   ((size_t)256 << 10)
#define TABLE_START   1024
#define ADDRESS_MASK  (((uint64_t)1 << 48) - 1)
#define REPORTS_USUAL 100

void *build_memory(struct gy_dns_zone_builder *builder, size_t bytes)
{
    bytes = (bytes + 7) & ~(size_t)7;
    if ((size_t)(builder->end - builder->at) < bytes) {
        size_t piece = bytes > PIECE_BYTES ? bytes : PIECE_BYTES;
        uint8_t *memory = builder->settings->memory(builder->settings->context, piece);
        if (memory == NULL) {
            return NULL;
        }
        if (bytes > PIECE_BYTES / 2) { /* a piece of its own; what is left of the old one stays */
            return memory;
        }
        builder->at = memory;
        builder->end = memory + piece;
    }
    void *memory = builder->at;
    builder->at += bytes;
    return memory;
}

void build_report(struct gy_dns_zone_builder *builder, enum gy_dns_severity severity,
                  const uint8_t *owner, uint16_t type, const char *sentence)
{
    char name[GY_DNS_NAME_TEXT_BYTES] = "", word[GY_DNS_MNEMONIC_BYTES] = "";
    char text[GY_ERROR_MESSAGE_BYTES];
    uint32_t most = builder->settings->reports_max;
    if (owner != NULL) {
        gy_dns_name_to_text(owner, name);
    }
    if (type != 0) {
        gy_dns_type_text(type, word);
    }
    snprintf(text, sizeof text, "%.300s%s%s: %s", name, type != 0 ? " " : "", word, sentence);
    if (severity == GY_DNS_ERROR && builder->errors++ == 0) {
        gy_error_set(&builder->first_error, GY_EINVAL, "%s", text);
    }
    if (builder->settings->report != NULL &&
        builder->reports++ < (most == 0 ? REPORTS_USUAL : most)) {
        builder->settings->report(builder->settings->context, severity, text);
    }
}

/* ---- nodes ---- */

static struct build_node *node_of(uint64_t slot)
{
    return (struct build_node *)(uintptr_t)(slot & ADDRESS_MASK);
}

struct build_node *build_find(const struct gy_dns_zone_builder *builder, const uint8_t *lower,
                              size_t bytes, uint64_t hash)
{
    for (uint64_t i = hash & builder->table_mask; builder->table[i] != 0;
         i = (i + 1) & builder->table_mask) {
        if ((builder->table[i] ^ hash) >> 48 == 0) {
            struct build_node *node = node_of(builder->table[i]);
            if (node->hash == hash && node->name_bytes == bytes &&
                memcmp(node->name, lower, bytes) == 0) {
                return node;
            }
        }
    }
    return NULL;
}

struct build_node *build_find_name(const struct gy_dns_zone_builder *builder, const uint8_t *name)
{
    uint8_t lower[GY_DNS_NAME_PADDED];
    struct gy_dns_suffixes suffixes;
    size_t bytes = gy_dns_name_lower(name, lower);
    memset(lower + bytes, 0, 8);
    gy_dns_name_suffixes(lower, builder->settings->seed, &suffixes);
    return build_find(builder, lower, bytes, suffixes.hash[suffixes.labels]);
}

static void put_slot(uint64_t *table, uint64_t mask, struct build_node *node)
{
    uint64_t i = node->hash & mask;
    while (table[i] != 0) {
        i = (i + 1) & mask;
    }
    table[i] = (node->hash & ~ADDRESS_MASK) | (uint64_t)(uintptr_t)node;
}

static int grow_table(struct gy_dns_zone_builder *builder)
{
    uint64_t slots = builder->table == NULL ? TABLE_START : (builder->table_mask + 1) * 4;
    uint64_t *table = build_memory(builder, slots * sizeof *table);
    if (table == NULL) {
        return GY_ENOMEM;
    }
    memset(table, 0, slots * sizeof *table);
    for (struct build_node *node = builder->first; node != NULL; node = node->next) {
        put_slot(table, slots - 1, node);
    }
    builder->table = table;
    builder->table_mask = slots - 1;
    return 0;
}

/* A new node; its parent exists, unless it is the apex. */
static struct build_node *add_node(struct gy_dns_zone_builder *builder, struct build_node *parent,
                                   const uint8_t *lower, size_t bytes, uint64_t hash)
{
    if (builder->names * 2 >= builder->table_mask && grow_table(builder) != 0) {
        return NULL;
    }
    struct build_node *node = build_memory(builder, sizeof *node + bytes);
    if (node == NULL) {
        return NULL;
    }
    gy_assert((uint64_t)(uintptr_t)node <= ADDRESS_MASK);
    memset(node, 0, sizeof *node);
    node->parent = parent;
    node->sets_end = &node->sets;
    node->hash = hash;
    node->name_bytes = (uint8_t)bytes;
    memcpy(node->name, lower, bytes);
    if (parent != NULL) {
        parent->flags |=
            lower[0] == 1 && lower[1] == '*' ? NODE_PARENT | NODE_WILDCARD : NODE_PARENT;
    }
    *builder->last = node;
    builder->last = &node->next;
    put_slot(builder->table, builder->table_mask, node);
    builder->names++;
    return node;
}

static inline __attribute__((always_inline)) struct build_node *
get_node(struct gy_dns_zone_builder *builder, const uint8_t *lower, size_t bytes)
{
    struct gy_dns_suffixes suffixes;
    struct build_node *node = builder->recent;
    if (node != NULL && node->name_bytes == bytes && memcmp(node->name, lower, bytes) == 0) {
        return node;
    }
    gy_dns_name_suffixes(lower, builder->settings->seed, &suffixes);
    uint32_t labels = suffixes.labels;
    for (;; labels--) {
        uint8_t offset = suffixes.offset[labels];
        node = build_find(builder, lower + offset, bytes - offset, suffixes.hash[labels]);
        if (node != NULL || labels == builder->apex_labels) {
            break;
        }
    }
    gy_assert(node != NULL); /* the apex is there from the start */
    while (labels < suffixes.labels && node != NULL) {
        uint8_t offset = suffixes.offset[++labels];
        node = add_node(builder, node, lower + offset, bytes - offset, suffixes.hash[labels]);
    }
    return node;
}

struct build_node *build_get_node(struct gy_dns_zone_builder *builder, const uint8_t *lower,
                                  size_t bytes)
{
    return get_node(builder, lower, bytes);
}

struct gy_dns_zone_builder *gy_dns_zone_begin(const struct gy_dns_zone_settings *settings,
                                              const uint8_t *origin)
{
    struct gy_dns_zone_builder start = {.settings = settings}, *builder;
    builder = build_memory(&start, sizeof *builder);
    if (builder == NULL) {
        return NULL;
    }
    *builder = start;
    builder->last = &builder->first;
    builder->apex_bytes = (uint8_t)gy_dns_name_lower(origin, builder->apex);
    builder->apex_labels = (uint8_t)gy_dns_name_labels(origin);
    struct gy_dns_suffixes suffixes;
    gy_dns_name_suffixes(builder->apex, settings->seed, &suffixes);
    if (grow_table(builder) != 0 || add_node(builder, NULL, builder->apex, builder->apex_bytes,
                                             suffixes.hash[suffixes.labels]) == NULL) {
        return NULL;
    }
    builder->first->flags = NODE_APEX;
    return builder;
}

/* ---- records ---- */

struct build_set *build_set_of(const struct build_node *node, uint16_t type)
{
    struct build_set *set = node->sets;
    while (set != NULL && set->type != type) {
        set = set->next;
    }
    return set;
}

bool build_has(const struct build_node *node, uint16_t type)
{
    const struct build_set *set = build_set_of(node, type);
    return set != NULL && set->record_count > 0;
}

static struct build_set *get_set(struct gy_dns_zone_builder *builder, struct build_node *node,
                                 uint16_t type)
{
    struct build_set *set = build_set_of(node, type);
    if (set != NULL) {
        return set;
    }
    set = build_memory(builder, sizeof *set);
    if (set == NULL) {
        return NULL;
    }
    memset(set, 0, sizeof *set);
    set->type = type;
    set->records_end = &set->records;
    set->signatures_end = &set->signatures;
    *node->sets_end = set;
    node->sets_end = &set->next;
    node->set_count++;
    builder->rrsets++;
    return set;
}

/* Names within data are compared by case too: such duplicates are kept, and do no harm. */
static bool has_record(const struct build_record *record, const struct gy_dns_record *wanted)
{
    for (; record != NULL; record = record->next) {
        if (record->bytes == wanted->rdata_bytes &&
            memcmp(record->rdata, wanted->rdata, record->bytes) == 0) {
            return true;
        }
    }
    return false;
}

static int add_to_set(struct gy_dns_zone_builder *builder, struct build_node *node,
                      struct build_set *set, const struct gy_dns_record *record,
                      struct gy_error *error)
{
    bool signature = record->type == GY_DNS_TYPE_RRSIG;
    if (has_record(signature ? set->signatures : set->records, record)) {
        build_report(builder, GY_DNS_WARNING, node->name, record->type,
                     "a record stands there twice; the second one is left out");
        return 0;
    }
    if (!signature && set->ttl_known && set->ttl != record->ttl) {
        build_report(builder, GY_DNS_WARNING, node->name, record->type,
                     "the records of an rrset have different TTLs; the first one's is taken");
    }
    if ((signature ? set->signature_count : set->record_count) == GY_DNS_RRSET_MAX) {
        return gy_error_set(error, GY_ELIMIT, "an rrset has more than %d records",
                            GY_DNS_RRSET_MAX);
    }
    struct build_record *added = build_memory(builder, sizeof *added + record->rdata_bytes);
    if (added == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for the zone's records");
    }
    added->next = NULL;
    added->bytes = (uint16_t)record->rdata_bytes;
    memcpy(added->rdata, record->rdata, record->rdata_bytes);
    if (signature) {
        *set->signatures_end = added;
        set->signatures_end = &added->next;
        set->signature_count++;
        if (!set->ttl_known) {
            set->ttl = record->ttl;
        }
    } else {
        *set->records_end = added;
        set->records_end = &added->next;
        set->record_count++;
        set->ttl = set->ttl_known ? set->ttl : record->ttl;
        set->ttl_known = true;
    }
    builder->records++;
    return 0;
}

int gy_dns_zone_add(struct gy_dns_zone_builder *builder, const struct gy_dns_record *record,
                    struct gy_error *error)
{
    uint8_t lower[GY_DNS_NAME_PADDED];
    uint16_t type = record->type;
    size_t bytes = record->owner_bytes;
    gy_assert(bytes > 0 && record->rdata_bytes <= GY_DNS_RDATA_MAX);
    if (record->class != GY_DNS_CLASS_IN) {
        return gy_error_set(error, GY_ENOTSUP, "only zones of class IN are served");
    }
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, record->owner + i, bytes - i < 8 ? bytes - i : 8);
        word = gy_dns_lower8(word);
        memcpy(lower + i, &word, 8);
    }
    memset(lower + bytes, 0, 8);
    if (bytes < builder->apex_bytes ||
        memcmp(lower + bytes - builder->apex_bytes, builder->apex, builder->apex_bytes) != 0 ||
        gy_dns_name_suffix(lower, builder->apex) == NULL) {
        build_report(builder, GY_DNS_WARNING, record->owner, type,
                     "the name is not in the zone; the record is left out");
        return 0;
    }
    struct build_node *node = get_node(builder, lower, bytes);
    if (node == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for the zone's names");
    }
    builder->recent = node;
    if (type == GY_DNS_TYPE_RRSIG) { /* kept with what it signs */
        gy_assert(record->rdata_bytes >= 18);
        type = (uint16_t)(record->rdata[0] << 8 | record->rdata[1]);
    }
    struct build_set *set = get_set(builder, node, type);
    if (set == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for the zone's rrsets");
    }
    return add_to_set(builder, node, set, record, error);
}

int gy_dns_zone_finish(struct gy_dns_zone_builder *builder, size_t *bytes, struct gy_error *error)
{
    build_check(builder);
    if (builder->errors > 0) {
        return gy_error_set(error, GY_EINVAL, "%s", builder->first_error.message);
    }
    int code = build_lay_out(builder);
    if (code != 0) {
        return gy_error_set(error, code, "%s",
                            code == GY_EINVAL   ? builder->first_error.message
                            : code == GY_ELIMIT ? "the zone is larger than 32 GiB"
                                                : "no memory to lay the zone out");
    }
    *bytes = builder->bytes;
    return 0;
}
