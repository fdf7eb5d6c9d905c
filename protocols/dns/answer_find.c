/* SPDX-License-Identifier: GPL-3.0-or-later */

/* From a name and a type to a list of rrsets: RFC 1034 §4.3.2. */

#include "protocols/dns/answer_internal.h"

struct piece *work_add(struct work *work, enum gy_dns_section section, const struct zone_node *node,
                       const struct zone_set *set, enum owner owner)
{
    gy_assert(node != NULL && set != NULL);
    for (uint32_t i = 0; i < work->piece_count; i++) {
        if (work->pieces[i].set == set && (work->pieces[i].flags & PIECE_SYNTH) == 0) {
            return NULL;
        }
    }
    if (work->piece_count == PIECES_MAX) {
        return NULL;
    }
    struct piece *piece = &work->pieces[work->piece_count++];
    *piece = (struct piece){
        .set = set, .node = node, .section = (uint8_t)section, .owner = (uint8_t)owner};
    return piece;
}

static void add_negative(struct work *work)
{
    work_add(work, GY_DNS_AUTHORITY, zone_apex(work->zone),
             zone_at(work->zone, work->zone->negative), OWNER_APEX);
}

/* An ancestor of the current name: a pointer into the question, as long as that is the name. */
static struct piece *add_ancestor(struct work *work, enum gy_dns_section section,
                                  const struct zone_node *node, const struct zone_set *set)
{
    bool asked = work->hops == 0;
    struct piece *piece = work_add(work, section, node, set, asked ? OWNER_SUFFIX : OWNER_NODE);
    if (piece != NULL && asked) {
        piece->offset = work->name_bytes - node->name_bytes;
    }
    return piece;
}

static void refer(struct work *work, const struct zone_node *cut)
{
    const struct zone_set *ds = zone_set_of(cut, GY_DNS_TYPE_DS);
    if (work->hops == 0) {
        work->flags &= (uint16_t)~GY_DNS_FLAG_AA;
    }
    add_ancestor(work, GY_DNS_AUTHORITY, cut, zone_set_of(cut, GY_DNS_TYPE_NS));
    /* Without signatures of it there is no chain of trust that it could be a link of. */
    if (work->dnssec && ds != NULL && ds->signatures > 0) {
        add_ancestor(work, GY_DNS_AUTHORITY, cut, ds);
    } else if (work->dnssec) {
        work_prove_no_data(work, cut);
    }
}

/* Makes `bytes` at `name` (any case) the current name. False: it is not in the zone. */
static bool go_to(struct work *work, const uint8_t *name, size_t bytes)
{
    gy_assert(bytes <= GY_DNS_NAME_MAX);
    if (gy_dns_name_suffix(name, work->zone->apex) == NULL) {
        return false;
    }
    gy_dns_name_lower(name, work->name);
    memset(work->name + bytes, 0, 8);
    work->name_bytes = (uint32_t)bytes;
    gy_dns_name_suffixes(work->name, work->zone->seed, &work->suffixes);
    work->hops++;
    return true;
}

/* Goes on at the target of a CNAME. */
static bool follow_alias(struct work *work, const struct zone_set *set)
{
    uint8_t target[GY_DNS_NAME_MAX];
    size_t bytes = (size_t)(set->wire[10] << 8 | set->wire[11]);
    gy_assert(bytes <= sizeof target);
    memcpy(target, set->wire + 12, bytes);
    if (set->fixups > 0) {
        bytes -= 2;
        gy_assert(bytes + work->zone->apex_bytes <= sizeof target);
        memcpy(target + bytes, work->zone->apex, work->zone->apex_bytes);
        bytes += work->zone->apex_bytes;
    }
    return go_to(work, target, bytes);
}

/* A DNAME above the current name: it, the CNAME it makes, and on at that. False: it ends here. */
static bool follow_dname(struct work *work, const struct zone_node *node)
{
    const struct zone_set *set = zone_set_of(node, GY_DNS_TYPE_DNAME);
    uint8_t name[GY_DNS_NAME_MAX];
    size_t prefix = work->name_bytes - node->name_bytes;
    if (work->synths == SYNTHS_MAX) {
        return false;
    }
    struct piece *dname = add_ancestor(work, GY_DNS_ANSWER, node, set);
    int bytes = gy_dns_name_substitute(work->name, node->name, set->wire + 12, name);
    if (bytes < 0) {
        work->rcode = GY_DNS_RCODE_YXDOMAIN;
        return false;
    }
    if (dname == NULL || work->piece_count == PIECES_MAX) {
        return false; /* a circle */
    }
    /* As it was asked, as far as that is known. */
    memcpy(work->synth[work->synths],
           work->hops == 0 ? work->query->message + GY_DNS_HEADER_BYTES : work->name, prefix);
    work->synth_bytes[work->synths] = (uint8_t)prefix;
    uint8_t parent = (uint8_t)(dname - work->pieces);
    work->pieces[work->piece_count++] = (struct piece){.set = set,
                                                       .node = node,
                                                       .offset = work->synths++,
                                                       .section = GY_DNS_ANSWER,
                                                       .owner = OWNER_CURRENT,
                                                       .flags = PIECE_ALIAS | PIECE_SYNTH,
                                                       .parent = parent};
    if (work->type == GY_DNS_TYPE_CNAME || work->type == GY_DNS_TYPE_ANY) {
        return false; /* the alias is what was asked for */
    }
    return go_to(work, name, (size_t)bytes);
}

/* A wildcard's NSEC is its own, and not expanded (RFC 4592 §4.7). */
static void add_signatures(struct work *work, const struct zone_node *node, bool wildcard)
{
    const struct zone_set *set = zone_first_set(node);
    for (uint32_t i = 0; i < node->sets; i++, set = zone_next_set(set)) {
        if (set->signatures > 0 && !(wildcard && set->type == GY_DNS_TYPE_NSEC)) {
            struct piece *piece = work_add(work, GY_DNS_ANSWER, node, set, OWNER_CURRENT);
            if (piece != NULL) {
                piece->flags |= PIECE_SIGNATURES_ONLY;
            }
        }
    }
}

/* The rrset that answers: for ANY, one of them (RFC 8482 §4.1). */
static const struct zone_set *wanted_set(const struct zone_node *node, uint16_t type)
{
    if (type != GY_DNS_TYPE_ANY) {
        return zone_set_of(node, type);
    }
    const struct zone_set *set = zone_first_set(node);
    for (uint32_t i = 0; i < node->sets; i++, set = zone_next_set(set)) {
        if (set->records > 0) {
            return set;
        }
    }
    return NULL;
}

/*
 * What a node has. `wildcard`: it is "*" below the closest encloser, which has `labels` labels.
 * True: there is an alias, and the current name is another one now.
 */
static bool answer_node(struct work *work, const struct zone_node *node, bool wildcard,
                        uint32_t labels)
{
    uint16_t type = work->type;
    const struct zone_set *set = wanted_set(node, type);
    if (type == GY_DNS_TYPE_RRSIG) {
        uint32_t before = work->piece_count;
        add_signatures(work, node, wildcard);
        if (work->piece_count > before) {
            if (wildcard) {
                work_prove_wildcard(work, labels);
            }
            return false;
        }
    }
    if (set != NULL) {
        work_add(work, GY_DNS_ANSWER, node, set, OWNER_CURRENT);
        if (wildcard) {
            work_prove_wildcard(work, labels);
        }
        return false;
    }
    if ((node->flags & NODE_CNAME) != 0 && type != GY_DNS_TYPE_NSEC) {
        set = zone_set_of(node, GY_DNS_TYPE_CNAME);
        struct piece *piece = work_add(work, GY_DNS_ANSWER, node, set, OWNER_CURRENT);
        if (piece == NULL) {
            return false; /* a circle, or through the same wildcard again: the asker's to go on */
        }
        piece->flags |= PIECE_ALIAS;
        if (wildcard) {
            work_prove_wildcard(work, labels);
        }
        return follow_alias(work, set);
    }
    add_negative(work);
    if (wildcard) {
        work_prove_wildcard_no_data(work, node, labels);
    } else {
        work_prove_no_data(work, node);
    }
    return false;
}

/* The topmost zone cut or DNAME above the current name, which lies below one. */
static const struct zone_node *find_cover(const struct work *work)
{
    for (uint32_t labels = work->zone->apex_labels; labels < work->suffixes.labels; labels++) {
        const struct zone_node *node = work_suffix(work, labels);
        if (node != NULL && (node->flags & (NODE_CUT | NODE_DNAME)) != 0) {
            return node;
        }
    }
    gy_assert(!"an occluded name has something above it");
    return NULL;
}

/* The longest suffix of the current name, which is none itself, that exists; by halves, since all
 * suffixes of one that exists do. */
static const struct zone_node *find_encloser(const struct work *work, uint32_t *labels)
{
    const struct zone_node *encloser = zone_apex(work->zone);
    uint32_t low = work->zone->apex_labels, high = work->suffixes.labels;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        const struct zone_node *node = work_suffix(work, middle);
        if (node != NULL) {
            encloser = node;
            low = middle;
        } else {
            high = middle;
        }
    }
    *labels = low;
    return encloser;
}

static const struct zone_node *find_wildcard(const struct work *work, uint32_t labels)
{
    uint8_t name[GY_DNS_NAME_PADDED] = {1, '*'};
    uint8_t offset = work->suffixes.offset[labels];
    uint32_t bytes = work->name_bytes - offset;
    gy_assert(bytes + 2 <= GY_DNS_NAME_MAX);
    memcpy(name + 2, work->name + offset, bytes);
    return zone_find(work->zone, name, bytes + 2,
                     gy_dns_label_hash(work->suffixes.hash[labels], name));
}

/* The name is not there. True: go on with another one. */
static bool answer_missing(struct work *work, bool occluded)
{
    uint32_t labels = 0;
    const struct zone_node *encloser = occluded ? find_cover(work) : find_encloser(work, &labels);
    if ((encloser->flags & NODE_OCCLUDED) != 0) {
        encloser = find_cover(work);
    }
    if ((encloser->flags & NODE_CUT) != 0) {
        refer(work, encloser);
        return false;
    }
    if ((encloser->flags & NODE_DNAME) != 0) {
        return follow_dname(work, encloser);
    }
    if ((encloser->flags & NODE_WILDCARD) != 0) {
        const struct zone_node *wildcard = find_wildcard(work, labels);
        gy_assert(wildcard != NULL);
        return answer_node(work, wildcard, true, labels);
    }
    work->rcode = GY_DNS_RCODE_NXDOMAIN;
    add_negative(work);
    work_prove_no_name(work, encloser, labels);
    return false;
}

/* The node that a set leads to, or NULL. */
static const struct zone_node *target_of(const struct work *work, const struct zone_set *set,
                                         const struct zone_additional *additional)
{
    if (!work->zone->plain) {
        return zone_patched_target(work->zone, set, additional);
    }
    return additional->node == 0 ? NULL : zone_at(work->zone, additional->node);
}

/* Addresses of the names that the answer leads to. */
static void add_additional(struct work *work)
{
    static const uint16_t types[] = {GY_DNS_TYPE_A, GY_DNS_TYPE_AAAA};
    uint32_t count = work->piece_count, added = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct piece *piece = &work->pieces[i];
        if ((piece->flags & PIECE_SIGNATURES_ONLY) != 0) {
            continue;
        }
        bool referral = (piece->node->flags & NODE_CUT) != 0;
        const struct zone_additional *additional = zone_additionals(piece->set);
        for (uint32_t n = 0; n < piece->set->additionals && added < TARGETS_MAX; n++) {
            const struct zone_node *node = target_of(work, piece->set, &additional[n]);
            if (node == NULL) {
                continue;
            }
            bool glue = (node->flags & NODE_OCCLUDED) != 0;
            for (uint32_t t = 0; t < 2 && (referral || !glue); t++) {
                const struct zone_set *set = zone_set_of(node, types[t]);
                struct piece *address =
                    set == NULL ? NULL : work_add(work, GY_DNS_ADDITIONAL, node, set, OWNER_TARGET);
                if (address != NULL) {
                    address->parent = (uint8_t)i;
                    address->offset = additional[n].name;
                    if (glue && gy_dns_name_suffix(node->name, piece->node->name) != NULL) {
                        address->flags |= PIECE_REQUIRED;
                    }
                    added++;
                }
            }
        }
    }
}

void work_resolve(struct work *work)
{
    const struct zone_node *node = work->candidate;
    bool more = true;
    work->flags |= GY_DNS_FLAG_AA;
    while (more) {
        if (node == NULL || (node->flags & (NODE_OCCLUDED | NODE_HASHED)) != 0) {
            more = answer_missing(work, node != NULL && (node->flags & NODE_OCCLUDED) != 0);
        } else if ((node->flags & NODE_CUT) != 0 && work->type != GY_DNS_TYPE_DS) {
            refer(work, node);
            more = false;
        } else {
            more = answer_node(work, node, false, 0);
        }
        if (work->hops == GY_DNS_CHAIN_MAX) {
            break;
        }
        node = more ? work_suffix(work, work->suffixes.labels) : NULL;
    }
    add_additional(work);
}
