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

struct build_set {
    struct build_set *next;
    struct build_record *records, **records_end;
    struct build_record *signatures, **signatures_end;
    uint16_t type;
    uint16_t record_count;
    uint16_t signature_count;
    uint16_t additionals;
    uint32_t ttl;
    uint32_t fixups;
    uint32_t wire_bytes;
    uint32_t signature_bytes;
    uint32_t bytes;
    bool ttl_known;
};

struct build_node {
    struct build_node *next; /* in order of arrival, parents before their children */
    struct build_node *parent;
    struct build_set *sets, **sets_end;
    uint64_t hash;
    uint32_t reference; /* where it will be; of a patch, its number there */
    uint16_t set_count;
    uint8_t flags;
    uint8_t name_bytes;
    uint8_t name[];
};

struct gy_dns_zone_builder {
    const struct gy_dns_zone_settings *settings;
    uint8_t *at, *end; /* of the current piece of memory */
    struct build_node *first, **last;
    struct build_node *recent; /* that of the last record */
    uint64_t *table;           /* upper 16 bits: of the hash; lower 48: address of a node */
    uint64_t table_mask;
    uint64_t names, records, rrsets;
    uint32_t reports;
    uint32_t errors;
    struct gy_error first_error;
    struct build_node **ordered;
    uint32_t ordered_count, hashed_count;
    struct zone_nsec3 *hashed;
    size_t bytes;
    size_t table_slots;
    struct build_set negative;
    bool patching; /* it has what a patch touches, and not all there is */
    uint8_t apex_bytes, apex_labels;
    uint8_t apex[GY_DNS_NAME_PADDED];
};

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
size_t build_node_bytes(const struct build_node *node); /* once its rrsets have sizes */
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
