/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_ZONE_BUILDER_H
#define GY_PROTOCOLS_DNS_ZONE_BUILDER_H

/* A zone being collected; for zone_build.c, zone_check.c and zone_write.c. */

#include "protocols/dns/zone_internal.h"

struct build_record {
    struct build_record *next;
    uint16_t bytes;
    uint8_t rdata[];
};

/* Lists of records are rings: what leads to one leads to its last record. */
struct build_set {
    struct build_set *next;
    struct build_record *records;
    struct build_record *signatures;
    uint32_t ttl;
    uint32_t record_bytes;    /* as in a message, before names are shortened */
    uint32_t signature_bytes; /* as in a message */
    uint32_t fixups;          /* names that are shortened; once it has a size */
    uint16_t additionals;     /* the same */
    uint16_t type;
    uint16_t record_count;
    uint16_t signature_count;
};

struct build_node {
    struct build_node *next; /* in order of arrival, parents before their children */
    struct build_node *parent;
    struct build_set *sets;
    uint64_t hash;
    uint32_t reference; /* where it will be; of a patch, its number there */
    uint16_t set_count;
    uint8_t flags;
    uint8_t name_bytes;
    uint8_t name[];
};

/* A record whose name is not looked up yet: its place in the table is being fetched. */
struct build_waiting {
    struct build_record *record;
    uint64_t hash, above_hash; /* of its name; of the name above it, if that is in the zone */
    const char *file;          /* where it stands; NULL: nowhere */
    uint32_t line;
    uint32_t ttl;
    uint16_t type;
    uint8_t name_bytes;
    bool again; /* the name is that of the record before */
    uint8_t name[GY_DNS_NAME_PADDED];
};

#define BUILD_WAITING 8 /* records: so long may fetching take, and so many overlap */

/* A record's bytes before its data: two of the owner, type, class, TTL, length. */
#define BUILD_HEAD 12

struct gy_dns_zone_builder {
    const struct gy_dns_zone_settings *settings;
    uint8_t *at, *end; /* of the current piece of memory */
    struct build_node *first, **last;
    struct build_node *recent;       /* that of the last record */
    struct build_node *above_recent; /* the parent of the last new name */
    uint64_t *table;                 /* upper 16 bits: of the hash; lower 48: address of a node */
    uint64_t table_mask;
    uint64_t names, records, rrsets;
    uint64_t hashed_sets, ordered_sets; /* NSEC3, NSEC */
    const char *file;                   /* where the record that is added stands; NULL: nowhere */
    uint32_t line;
    uint32_t told_line; /* the same of what is being reported */
    const char *told_file;
    uint32_t reports;
    uint32_t errors;
    struct gy_error first_error;
    uint16_t first_error_type;
    uint8_t first_error_owner[GY_DNS_NAME_MAX];
    struct build_node **ordered;
    uint32_t ordered_count, hashed_count;
    struct zone_nsec3 *hashed;
    size_t bytes;
    size_t table_slots;
    struct build_set negative;
    bool patching; /* it has what a patch touches, and not all there is */
    bool at_once;  /* an rrset is near its bound: no record waits, so that the error has its line */
    uint8_t apex_bytes, apex_labels;
    uint8_t apex[GY_DNS_NAME_PADDED];
    uint8_t above_bytes; /* the name above the last one that is not the same */
    uint8_t above[GY_DNS_NAME_PADDED];
    uint64_t above_hash;
    uint32_t waiting_first, waiting_count;
    struct build_waiting waiting[BUILD_WAITING];
};

static inline struct build_record *build_first(struct build_record *last)
{
    return last == NULL ? NULL : last->next;
}

/* The one behind `record` of the ring that ends with `last`; NULL: it is that. */
static inline struct build_record *build_next(struct build_record *record,
                                              const struct build_record *last)
{
    return record == last ? NULL : record->next;
}

void *build_memory(struct gy_dns_zone_builder *builder, size_t bytes);
struct build_node *build_find(const struct gy_dns_zone_builder *builder, const uint8_t *lower,
                              size_t bytes, uint64_t hash);
/* The same for a name in any case. */
struct build_node *build_find_name(const struct gy_dns_zone_builder *builder, const uint8_t *name);
struct build_set *build_set_of(const struct build_node *node, uint16_t type);
bool build_has(const struct build_node *node, uint16_t type); /* records, not signatures alone */

/* The node of a name in the zone (lower case, padded), made with all that are missing between it
 * and the apex. NULL: no memory. */
struct build_node *build_get_node(struct gy_dns_zone_builder *builder, const uint8_t *lower,
                                  size_t bytes);

/* A sentence about a name (may be NULL) and type (0: none). */
void build_report(struct gy_dns_zone_builder *builder, enum gy_dns_severity severity,
                  const uint8_t *owner, uint16_t type, const char *sentence);

/* Flags of nodes, then what is wrong; of a patch, as far as its own names show it. */
void build_check(struct gy_dns_zone_builder *builder);

/* Sizes, references, orders. 0, GY_ENOMEM, GY_ELIMIT, GY_EINVAL. */
int build_lay_out(struct gy_dns_zone_builder *builder);

/* ---- parts of it, for patches ---- */

/* Sizes of all rrsets of a node. */
void build_size(struct gy_dns_zone_builder *builder, struct build_node *node);
void build_size_negative(struct gy_dns_zone_builder *builder);
/* Once rrsets have sizes: in the zone. */
size_t build_node_bytes(const struct gy_dns_zone_builder *builder, const struct build_node *node);
uint32_t build_set_bytes(const struct gy_dns_zone_builder *builder, const struct build_set *set);
int build_check_nsec3(struct gy_dns_zone_builder *builder);

/* Where the number of children goes is zeroed. */
void build_write_node(const struct gy_dns_zone_builder *builder, const struct build_node *from,
                      struct zone_node *to);
void build_write_negative(const struct gy_dns_zone_builder *builder, void *at);

/* What the SOA says, and NSEC3PARAM where the zone has NSEC3 records. */
void build_write_parameters(const struct gy_dns_zone_builder *builder, struct gy_dns_zone *zone);

/* The hash that the first label of an NSEC3 record's owner is (RFC 5155 §3). False: it is none, or
 * not right below the apex. */
bool build_owner_hash(const struct gy_dns_zone_builder *builder, const struct build_node *node,
                      uint8_t hash[20]);

/* Merge sort of `count` items through as much memory again. Returns where the result is. */
typedef int build_order(const void *a, const void *b);
void *build_sort(void *items, void *other, size_t count, size_t bytes, build_order *compare);

/* Where in record data is the name that additional records belong to; -1: in none. */
int build_target(uint16_t type);

#endif
