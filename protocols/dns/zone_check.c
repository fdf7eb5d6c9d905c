/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/dns/zone_builder.h"

int build_target(uint16_t type)
{
    switch (type) {
    case GY_DNS_TYPE_NS:
        return 0;
    case GY_DNS_TYPE_MX:
    case GY_DNS_TYPE_SVCB:
    case GY_DNS_TYPE_HTTPS:
        return 2;
    case GY_DNS_TYPE_SRV:
        return 6;
    default:
        return -1;
    }
}

static void set_flags(struct build_node *node)
{
    if (node->parent != NULL &&
        (node->parent->flags & (NODE_CUT | NODE_DNAME | NODE_OCCLUDED)) != 0) {
        node->flags |= NODE_OCCLUDED;
    }
    uint32_t others = 0, hashes = 0;
    for (const struct build_set *set = node->sets; set != NULL; set = set->next) {
        if (set->record_count == 0) {
            continue;
        }
        others += set->type != GY_DNS_TYPE_NSEC3;
        hashes += set->type == GY_DNS_TYPE_NSEC3;
        if (set->type == GY_DNS_TYPE_NS && (node->flags & (NODE_APEX | NODE_OCCLUDED)) == 0) {
            node->flags |= NODE_CUT;
        } else if (set->type == GY_DNS_TYPE_DNAME) {
            node->flags |= NODE_DNAME;
        } else if (set->type == GY_DNS_TYPE_CNAME) {
            node->flags |= NODE_CNAME;
        }
    }
    if (hashes > 0 && others == 0) {
        node->flags |= NODE_HASHED;
    }
}

/* May stand beside a CNAME (RFC 4034 §2.5, RFC 2181 §10.1). */
static bool beside_cname(uint16_t type)
{
    return type == GY_DNS_TYPE_CNAME || type == GY_DNS_TYPE_NSEC || type == GY_DNS_TYPE_KEY;
}

static void check_node(struct gy_dns_zone_builder *builder, const struct build_node *node)
{
    for (const struct build_set *set = node->sets; set != NULL; set = set->next) {
        if (set->record_count == 0) {
            build_report(builder, GY_DNS_WARNING, node->name, set->type,
                         "there are signatures for records that are not there");
            continue;
        }
        if ((node->flags & NODE_CNAME) != 0 && !beside_cname(set->type)) {
            build_report(builder, GY_DNS_ERROR, node->name, set->type,
                         "the name has a CNAME record, so it can have no other; remove one");
        }
        if (set->record_count > 1 &&
            (set->type == GY_DNS_TYPE_CNAME || set->type == GY_DNS_TYPE_DNAME)) {
            build_report(builder, GY_DNS_ERROR, node->name, set->type,
                         "there can be only one such record at a name; remove the others");
        }
        if (set->type == GY_DNS_TYPE_SOA &&
            ((node->flags & NODE_APEX) == 0 || set->record_count > 1)) {
            build_report(builder, GY_DNS_ERROR, node->name, set->type,
                         "a zone has exactly one SOA record, at its apex; remove this one");
        }
        if (set->type == GY_DNS_TYPE_DS && (node->flags & (NODE_CUT | NODE_OCCLUDED)) == 0) {
            build_report(builder, GY_DNS_WARNING, node->name, set->type,
                         "there is a DS record, but no delegation: no NS records beside it");
        }
    }
}

/* A dot that was forgotten at the end of a name shows in the name. */
static void report_lost_server(struct gy_dns_zone_builder *builder, const struct build_node *node,
                               const uint8_t *server)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    char text[GY_DNS_NAME_TEXT_BYTES + 160];
    gy_dns_name_to_text(server, name);
    snprintf(text, sizeof text,
             "the name server is in the zone, but has no address there: %s; add glue, or the dot "
             "that ends a whole name",
             name);
    build_report(builder, GY_DNS_WARNING, node->name, GY_DNS_TYPE_NS, text);
}

/* Names that other records lead to. */
static void check_targets(struct gy_dns_zone_builder *builder, const struct build_node *node,
                          const struct build_set *set)
{
    int offset = build_target(set->type);
    if (offset < 0) {
        return;
    }
    struct build_record *record = build_first(set->records);
    for (; record != NULL; record = build_next(record, set->records)) {
        const uint8_t *target = record->rdata + offset;
        if (target[0] == 0 || gy_dns_name_suffix(target, builder->apex) == NULL) {
            continue;
        }
        const struct build_node *found = build_find_name(builder, target);
        bool address = found != NULL &&
                       (build_has(found, GY_DNS_TYPE_A) || build_has(found, GY_DNS_TYPE_AAAA));
        if (found != NULL && (found->flags & NODE_CNAME) != 0 &&
            (set->type == GY_DNS_TYPE_NS || set->type == GY_DNS_TYPE_MX)) {
            build_report(builder, GY_DNS_WARNING, node->name, set->type,
                         "it leads to a name that is an alias (RFC 2181 §10.3)");
        } else if (set->type == GY_DNS_TYPE_NS && !address && (node->flags & NODE_OCCLUDED) == 0 &&
                   ((node->flags & NODE_APEX) != 0
                        ? found == NULL && (builder->first->flags & NODE_WILDCARD) == 0
                        : gy_dns_name_suffix(target, node->name) != NULL)) {
            report_lost_server(builder, node, target);
        }
    }
}

void build_check(struct gy_dns_zone_builder *builder)
{
    for (struct build_node *node = builder->first; node != NULL; node = node->next) {
        set_flags(node);
    }
    if (!build_has(builder->first, GY_DNS_TYPE_SOA)) {
        build_report(builder, GY_DNS_ERROR, builder->apex, GY_DNS_TYPE_SOA,
                     "the zone has no SOA record at its apex; is this the file of that zone?");
    }
    if (!build_has(builder->first, GY_DNS_TYPE_NS)) {
        build_report(builder, GY_DNS_ERROR, builder->apex, GY_DNS_TYPE_NS,
                     "the zone has no name servers at its apex; add NS records");
    }
    for (struct build_node *node = builder->first; node != NULL; node = node->next) {
        check_node(builder, node);
        const struct build_set *set = builder->patching ? NULL : node->sets;
        for (; set != NULL; set = set->next) {
            check_targets(builder, node, set);
        }
    }
}
