/* SPDX-License-Identifier: GPL-3.0-or-later */

/* That something is not there: NSEC (RFC 4035 §3.1.3) and NSEC3 (RFC 5155 §7.2). */

#include "protocols/dns/answer_internal.h"

static void add_denial(struct work *work, const struct zone_node *node, uint16_t type)
{
    const struct zone_set *set = node == NULL ? NULL : zone_set_of(node, type);
    if (set != NULL) {
        work_add(work, GY_DNS_AUTHORITY, node, set, OWNER_NODE);
    }
}

static bool has_nsec3(const struct work *work)
{
    return work->zone->nsec3_names > 0 && work->settings->sha1 != NULL;
}

/* RFC 5155 §5. `name` is in lower case. */
static void hash_name(const struct work *work, const uint8_t *name, size_t bytes, uint8_t hash[20])
{
    const struct gy_dns_zone *zone = work->zone;
    uint8_t input[GY_DNS_NAME_MAX + 255];
    memcpy(input, name, bytes);
    memcpy(input + bytes, zone->nsec3_salt, zone->nsec3_salt_bytes);
    work->settings->sha1(work->settings->sha1_context, input, bytes + zone->nsec3_salt_bytes, hash);
    for (uint32_t i = 0; i < zone->nsec3_iterations; i++) {
        memcpy(input, hash, 20);
        memcpy(input + 20, zone->nsec3_salt, zone->nsec3_salt_bytes);
        work->settings->sha1(work->settings->sha1_context, input, 20u + zone->nsec3_salt_bytes,
                             hash);
    }
}

/* The NSEC3 record that matches, or covers, the current name's suffix. */
static const struct zone_node *suffix_nsec3(const struct work *work, uint32_t labels, bool exact)
{
    uint8_t hash[20];
    uint8_t offset = work->suffixes.offset[labels];
    hash_name(work, work->name + offset, work->name_bytes - offset, hash);
    return zone_nsec3_find(work->zone, hash, exact);
}

/* The closest encloser that can be proved: its own record, and one that covers the next closer name
 * (RFC 5155 §7.2.1). How many labels it has. */
static uint32_t prove_encloser(struct work *work, uint32_t labels)
{
    const struct zone_node *match;
    while ((match = suffix_nsec3(work, labels, true)) == NULL && labels > work->zone->apex_labels) {
        labels--;
    }
    add_denial(work, match, GY_DNS_TYPE_NSEC3);
    if (labels < work->suffixes.labels) {
        add_denial(work, suffix_nsec3(work, labels + 1, false), GY_DNS_TYPE_NSEC3);
    }
    return labels;
}

/* The record for the wildcard below the closest encloser. */
static const struct zone_node *wildcard_nsec3(const struct work *work, uint32_t labels, bool exact)
{
    uint8_t name[GY_DNS_NAME_PADDED] = {1, '*'}, hash[20];
    uint8_t offset = work->suffixes.offset[labels];
    uint32_t bytes = work->name_bytes - offset;
    if (bytes + 2 > GY_DNS_NAME_MAX) {
        return NULL;
    }
    memcpy(name + 2, work->name + offset, bytes);
    hash_name(work, name, bytes + 2, hash);
    return zone_nsec3_find(work->zone, hash, exact);
}

void work_prove_no_data(struct work *work, const struct zone_node *node)
{
    if (!work->dnssec) {
        return;
    }
    if (has_nsec3(work)) {
        uint32_t labels = gy_dns_name_labels(node->name);
        const struct zone_node *match = suffix_nsec3(work, labels, true);
        if (match != NULL) {
            add_denial(work, match, GY_DNS_TYPE_NSEC3);
        } else if (labels > work->zone->apex_labels) { /* opt-out (§7.2.4, §7.2.7) */
            prove_encloser(work, labels - 1);
        }
        return;
    }
    /* An empty non-terminal has none of its own: the one before it covers it. */
    add_denial(work, zone_nsec_before(work->zone, node->name), GY_DNS_TYPE_NSEC);
}

void work_prove_no_name(struct work *work, const struct zone_node *encloser, uint32_t labels)
{
    if (!work->dnssec) {
        return;
    }
    if (has_nsec3(work)) {
        uint32_t proved = prove_encloser(work, labels);
        add_denial(work, wildcard_nsec3(work, proved, false), GY_DNS_TYPE_NSEC3);
        return;
    }
    uint8_t wildcard[GY_DNS_NAME_MAX] = {1, '*'};
    add_denial(work, zone_nsec_before(work->zone, work->name), GY_DNS_TYPE_NSEC);
    if (encloser->name_bytes + 2u <= GY_DNS_NAME_MAX) {
        memcpy(wildcard + 2, encloser->name, encloser->name_bytes);
        add_denial(work, zone_nsec_before(work->zone, wildcard), GY_DNS_TYPE_NSEC);
    }
}

void work_prove_wildcard(struct work *work, uint32_t labels)
{
    if (!work->dnssec) {
        return;
    }
    if (has_nsec3(work)) { /* the encloser follows from the signature's labels (§7.2.6) */
        add_denial(work, suffix_nsec3(work, labels + 1, false), GY_DNS_TYPE_NSEC3);
        return;
    }
    add_denial(work, zone_nsec_before(work->zone, work->name), GY_DNS_TYPE_NSEC);
}

void work_prove_wildcard_no_data(struct work *work, const struct zone_node *wildcard,
                                 uint32_t labels)
{
    if (!work->dnssec) {
        return;
    }
    if (has_nsec3(work)) {
        uint32_t proved = prove_encloser(work, labels);
        add_denial(work, wildcard_nsec3(work, proved, true), GY_DNS_TYPE_NSEC3);
        return;
    }
    add_denial(work, zone_nsec_before(work->zone, wildcard->name), GY_DNS_TYPE_NSEC);
    add_denial(work, zone_nsec_before(work->zone, work->name), GY_DNS_TYPE_NSEC);
}
