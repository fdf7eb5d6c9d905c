/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/dns/zone_builder.h"

#define PIECE_BYTES    ((size_t)256 << 10)
#define TABLE_START    1024
#define TABLE_FORESEEN 8192 /* names: so many say how many more will come */
#define ADDRESS_MASK   (((uint64_t)1 << 48) - 1)
#define REPORTS_USUAL  100

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
    char place[256] = "";
    char text[sizeof place + GY_ERROR_MESSAGE_BYTES];
    uint32_t most = builder->settings->reports_max;
    gy_assert(owner != NULL);
    gy_dns_name_to_text(owner, name);
    if (type != 0) {
        gy_dns_type_text(type, word);
    }
    if (builder->told_file != NULL) {
        snprintf(place, sizeof place, "%.200s:%u: ", builder->told_file, builder->told_line);
    }
    snprintf(text, sizeof text, "%s%.300s%s%s: %s", place, name, type != 0 ? " " : "", word,
             sentence);
    if (severity == GY_DNS_ERROR && builder->errors++ == 0) {
        gy_error_set(&builder->first_error, GY_EINVAL, "%s", text);
        builder->first_error_type = type;
        memcpy(builder->first_error_owner, owner, gy_dns_name_bytes(owner));
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
    const struct gy_dns_zone_settings *settings = builder->settings;
    uint64_t slots = builder->table == NULL ? TABLE_START : (builder->table_mask + 1) * 4;
    if (settings->names != NULL && builder->names >= TABLE_FORESEEN) {
        uint64_t most = slots * 64, names = settings->names(settings->context, builder->names);
        while (slots < most && slots / 3 * 2 < names) {
            slots *= 2;
        }
    }
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
    if (builder->names * 4 >= builder->table_mask * 3 && grow_table(builder) != 0) {
        return NULL;
    }
    struct build_node *node = build_memory(builder, sizeof *node + bytes);
    if (node == NULL) {
        return NULL;
    }
    gy_assert((uint64_t)(uintptr_t)node <= ADDRESS_MASK);
    memset(node, 0, sizeof *node);
    node->parent = parent;
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

struct build_node *build_get_node(struct gy_dns_zone_builder *builder, const uint8_t *lower,
                                  size_t bytes)
{
    struct gy_dns_suffixes suffixes;
    struct build_node *node = NULL;
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

struct gy_dns_zone_builder *gy_dns_zone_begin(const struct gy_dns_zone_settings *settings,
                                              const uint8_t *origin)
{
    struct gy_dns_zone_builder *builder = settings->memory(settings->context, PIECE_BYTES);
    if (builder == NULL) {
        return NULL;
    }
    memset(builder, 0, sizeof *builder);
    builder->settings = settings;
    builder->at = (uint8_t *)builder + ((sizeof *builder + 15) & ~(size_t)15);
    builder->end = (uint8_t *)builder + PIECE_BYTES;
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
    builder->above_bytes = builder->apex_bytes;
    builder->above_hash = builder->first->hash;
    memcpy(builder->above, builder->apex, builder->apex_bytes);
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
    struct build_set **end = &node->sets;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = set;
    node->set_count++;
    builder->rrsets++;
    builder->ordered_sets += type == GY_DNS_TYPE_NSEC;
    builder->hashed_sets += type == GY_DNS_TYPE_NSEC3;
    return set;
}

/* Names within data are compared by case too: such duplicates are kept, and do no harm. */
static bool has_record(struct build_record *last, const struct build_record *wanted)
{
    struct build_record *record = build_first(last);
    for (; record != NULL; record = build_next(record, last)) {
        if (record->bytes == wanted->bytes &&
            memcmp(record->rdata, wanted->rdata, record->bytes) == 0) {
            return true;
        }
    }
    return false;
}

static void append_record(struct build_record **last, struct build_record *record)
{
    record->next = record;
    if (*last != NULL) {
        record->next = (*last)->next;
        (*last)->next = record;
    }
    *last = record;
}

/* About a record that stands there. */
static void warn_at(struct gy_dns_zone_builder *builder, const char *file, uint32_t line,
                    const uint8_t *owner, uint16_t type, const char *sentence)
{
    builder->told_file = file;
    builder->told_line = line;
    build_report(builder, GY_DNS_WARNING, owner, type, sentence);
    builder->told_file = NULL;
}

static int add_to_set(struct gy_dns_zone_builder *builder, struct build_node *node,
                      struct build_set *set, const struct build_waiting *waiting,
                      struct gy_error *error)
{
    struct build_record *record = waiting->record;
    bool signature = waiting->type == GY_DNS_TYPE_RRSIG;
    uint16_t *count = signature ? &set->signature_count : &set->record_count;
    if (has_record(signature ? set->signatures : set->records, record)) {
        warn_at(builder, waiting->file, waiting->line, node->name, waiting->type,
                "a record stands there twice; the second one is left out");
        return 0;
    }
    if (!signature && set->record_count > 0 && set->ttl != waiting->ttl) {
        warn_at(builder, waiting->file, waiting->line, node->name, waiting->type,
                "the records of an rrset have different TTLs; the first one's is taken");
    }
    if (*count == GY_DNS_RRSET_MAX) {
        return gy_error_set(error, GY_ELIMIT, "an rrset has more than %d records",
                            GY_DNS_RRSET_MAX);
    }
    if (set->record_count == 0) {
        set->ttl = waiting->ttl;
    }
    append_record(signature ? &set->signatures : &set->records, record);
    *(signature ? &set->signature_bytes : &set->record_bytes) += BUILD_HEAD + record->bytes;
    *count += 1;
    if (*count >= GY_DNS_RRSET_MAX - BUILD_WAITING) {
        builder->at_once = true;
    }
    builder->records++;
    return 0;
}

/* The node of a record that has waited, made where there is none. NULL: no memory. */
static struct build_node *node_of_waiting(struct gy_dns_zone_builder *builder,
                                          const struct build_waiting *waiting)
{
    const uint8_t *name = waiting->name;
    size_t bytes = waiting->name_bytes, label = name[0] + 1u;
    if (waiting->again && builder->recent != NULL) {
        return builder->recent;
    }
    struct build_node *node = build_find(builder, name, bytes, waiting->hash);
    if (node != NULL) {
        return node;
    }
    struct build_node *above = builder->above_recent;
    if (above == NULL || above->hash != waiting->above_hash || above->name_bytes != bytes - label ||
        memcmp(above->name, name + label, bytes - label) != 0) {
        above = build_find(builder, name + label, bytes - label, waiting->above_hash);
    }
    builder->above_recent = above;
    return above != NULL ? add_node(builder, above, name, bytes, waiting->hash)
                         : build_get_node(builder, name, bytes);
}

/* The record that has waited longest. */
static int take_waiting(struct gy_dns_zone_builder *builder, struct gy_error *error)
{
    struct build_waiting *waiting = &builder->waiting[builder->waiting_first];
    gy_assert(builder->waiting_count > 0);
    builder->waiting_first = (builder->waiting_first + 1) % BUILD_WAITING;
    builder->waiting_count--;
    struct build_node *node = node_of_waiting(builder, waiting);
    builder->recent = node;
    if (node == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for the zone's names");
    }
    uint16_t type = waiting->type;
    if (type == GY_DNS_TYPE_RRSIG) { /* kept with what it signs */
        gy_assert(waiting->record->bytes >= 18);
        type = (uint16_t)(waiting->record->rdata[0] << 8 | waiting->record->rdata[1]);
    }
    struct build_set *set = get_set(builder, node, type);
    if (set == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for the zone's rrsets");
    }
    return add_to_set(builder, node, set, waiting, error);
}

static int take_all_waiting(struct gy_dns_zone_builder *builder, struct gy_error *error)
{
    int code = 0;
    while (builder->waiting_count > 0 && code == 0) {
        code = take_waiting(builder, error);
    }
    return code;
}

/* The name's hash, and that of the name above it. False: it is not in the zone. */
static bool hash_waiting(struct gy_dns_zone_builder *builder, struct build_waiting *waiting)
{
    const uint8_t *name = waiting->name;
    size_t bytes = waiting->name_bytes, label = name[0] + 1u;
    if (bytes == label + builder->above_bytes && /* mostly, many names stand below one */
        memcmp(name + label, builder->above, builder->above_bytes) == 0) {
        waiting->above_hash = builder->above_hash;
        waiting->hash = gy_dns_label_hash(builder->above_hash, name);
        return true;
    }
    struct gy_dns_suffixes suffixes;
    if (bytes < builder->apex_bytes ||
        memcmp(name + bytes - builder->apex_bytes, builder->apex, builder->apex_bytes) != 0 ||
        gy_dns_name_suffix(name, builder->apex) == NULL) {
        return false;
    }
    gy_dns_name_suffixes(name, builder->settings->seed, &suffixes);
    waiting->hash = suffixes.hash[suffixes.labels];
    waiting->above_hash = 0; /* of the apex, which is there */
    if (suffixes.labels > builder->apex_labels) {
        waiting->above_hash = suffixes.hash[suffixes.labels - 1];
        builder->above_hash = waiting->above_hash;
        builder->above_bytes = (uint8_t)(bytes - label);
        memcpy(builder->above, name + label, bytes - label);
    }
    return true;
}

static void lower_name(struct build_waiting *waiting, const struct gy_dns_record *record)
{
    size_t bytes = record->owner_bytes;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, record->owner + i, bytes - i < 8 ? bytes - i : 8);
        word = gy_dns_lower8(word);
        memcpy(waiting->name + i, &word, 8);
    }
    memset(waiting->name + bytes, 0, 8);
    waiting->name_bytes = (uint8_t)bytes;
}

/* Its data is copied, and its place in the table is fetched until others have come. */
void gy_dns_zone_at(struct gy_dns_zone_builder *builder, const char *file, uint32_t line)
{
    gy_assert(file == NULL || line > 0);
    builder->file = file;
    builder->line = line;
}

int gy_dns_zone_add(struct gy_dns_zone_builder *builder, const struct gy_dns_record *record,
                    struct gy_error *error)
{
    gy_assert(record->owner_bytes > 0 && record->rdata_bytes <= GY_DNS_RDATA_MAX);
    if (record->class != GY_DNS_CLASS_IN) {
        return gy_error_set(error, GY_ENOTSUP, "only zones of class IN are served");
    }
    if (builder->waiting_count == BUILD_WAITING) {
        int code = take_waiting(builder, error);
        if (code != 0) {
            return code;
        }
    }
    uint32_t at = (builder->waiting_first + builder->waiting_count) % BUILD_WAITING;
    struct build_waiting *waiting = &builder->waiting[at];
    const struct build_waiting *before =
        &builder->waiting[(at + BUILD_WAITING - 1) % BUILD_WAITING];
    lower_name(waiting, record);
    waiting->again = before->name_bytes == waiting->name_bytes &&
                     memcmp(before->name, waiting->name, waiting->name_bytes) == 0;
    waiting->hash = before->hash;
    waiting->above_hash = before->above_hash;
    if (!waiting->again && !hash_waiting(builder, waiting)) {
        waiting->name_bytes = 0;
        int code = take_all_waiting(builder, error); /* what is to be said of those comes first */
        warn_at(builder, builder->file, builder->line, record->owner, record->type,
                "the name is not in the zone; the record is left out");
        return code;
    }
    __builtin_prefetch(&builder->table[waiting->hash & builder->table_mask]);
    waiting->record = build_memory(builder, sizeof *waiting->record + record->rdata_bytes);
    if (waiting->record == NULL) {
        return gy_error_set(error, GY_ENOMEM, "no memory for the zone's records");
    }
    waiting->record->bytes = (uint16_t)record->rdata_bytes;
    memcpy(waiting->record->rdata, record->rdata, record->rdata_bytes);
    waiting->file = builder->file;
    waiting->line = builder->line;
    waiting->ttl = record->ttl;
    waiting->type = record->type;
    builder->waiting_count++;
    return builder->at_once ? take_all_waiting(builder, error) : 0;
}

bool gy_dns_zone_wrong(const struct gy_dns_zone_builder *builder, const uint8_t **owner,
                       uint16_t *type)
{
    *owner = builder->first_error_owner;
    *type = builder->first_error_type;
    return builder->errors > 0;
}

int gy_dns_zone_finish(struct gy_dns_zone_builder *builder, size_t *bytes, struct gy_error *error)
{
    int code = take_all_waiting(builder, error);
    if (code != 0) {
        return code;
    }
    build_check(builder);
    if (builder->errors > 0) {
        return gy_error_set(error, GY_EINVAL, "%s", builder->first_error.message);
    }
    code = build_lay_out(builder);
    if (code != 0) {
        return gy_error_set(error, code, "%s",
                            code == GY_EINVAL   ? builder->first_error.message
                            : code == GY_ELIMIT ? "the zone is larger than 32 GiB"
                                                : "no memory to lay the zone out");
    }
    *bytes = builder->bytes;
    return 0;
}
