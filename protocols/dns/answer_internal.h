/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_ANSWER_INTERNAL_H
#define GY_PROTOCOLS_DNS_ANSWER_INTERNAL_H

/* A query being answered: what it asks for, and the list of blocks that its answer consists of. */

#include "protocols/dns/answer.h"
#include "protocols/dns/zone_internal.h"

#define PIECES_MAX  64
#define SYNTHS_MAX  4  /* DNAMEs followed */
#define TARGETS_MAX 24 /* rrsets of additional data */
#define OPTIONS_MAX 160

/* Whose an rrset is, as a message says it. */
enum owner {
    OWNER_CURRENT, /* the name asked for, or what the last alias leads to */
    OWNER_SUFFIX,  /* the name asked for from `offset` on */
    OWNER_APEX,
    OWNER_NODE,   /* written out */
    OWNER_TARGET, /* the name at `offset` of the wire of the piece `parent` */
};

enum {
    PIECE_ALIAS = 1,           /* what follows is about where it leads to */
    PIECE_REQUIRED = 2,        /* TC when it does not fit, though additional */
    PIECE_SIGNATURES_ONLY = 4, /* the question was for RRSIG */
    PIECE_SYNTH = 8,           /* the CNAME that a DNAME makes; `parent` is the DNAME */
};

struct piece {
    const struct zone_set *set;
    const struct zone_node *node; /* whose it is */
    uint32_t offset;
    uint32_t at; /* where it was written */
    uint8_t section;
    uint8_t owner;
    uint8_t flags;
    uint8_t parent;
};

struct work {
    struct gy_dns_query *query;
    const struct gy_dns_answer_settings *settings;
    const struct gy_dns_zone *zone;
    const struct zone_node *candidate; /* for the name asked for */
    const struct gy_dns_zone *block;   /* the zone, or its base, in whose table */
    uint64_t slot;                     /* it was found here */
    uint32_t name_bytes;               /* of the current name */
    uint32_t question_name_bytes;
    uint16_t flags; /* of the header, without the code */
    uint16_t rcode;
    uint16_t type;      /* that is looked for */
    uint16_t udp_bytes; /* that the client takes */
    uint8_t hops;
    uint8_t synths;
    uint8_t piece_count;
    bool dnssec;
    bool parsed; /* the question can be repeated */
    bool resolve;
    bool done;
    struct gy_dns_edns edns;
    struct gy_dns_suffixes suffixes; /* of the current name */
    uint8_t name[GY_DNS_NAME_PADDED];
    uint8_t synth_bytes[SYNTHS_MAX];
    uint8_t synth[SYNTHS_MAX][GY_DNS_NAME_MAX];
    struct piece pieces[PIECES_MAX];
};

/* Adds an rrset, unless it is there already or the list is full. Its piece, or NULL. */
struct piece *work_add(struct work *work, enum gy_dns_section section, const struct zone_node *node,
                       const struct zone_set *set, enum owner owner);

/* The node of the current name's suffix with so many labels. */
static inline const struct zone_node *work_suffix(const struct work *work, uint32_t labels)
{
    uint8_t offset = work->suffixes.offset[labels];
    return zone_find(work->zone, work->name + offset, work->name_bytes - offset,
                     work->suffixes.hash[labels]);
}

/* Fills the list of pieces, the code and AA. */
void work_resolve(struct work *work);

/* Denials (RFC 4035 §3.1.3, RFC 5155 §7.2), when DNSSEC was asked for. `encloser` is the closest
 * encloser and `labels` how many it has. */
void work_prove_no_data(struct work *work, const struct zone_node *node);
void work_prove_no_name(struct work *work, const struct zone_node *encloser, uint32_t labels);
void work_prove_wildcard(struct work *work, uint32_t labels);
void work_prove_wildcard_no_data(struct work *work, const struct zone_node *wildcard,
                                 uint32_t labels);

/* Writes the answer. */
void work_write(struct work *work);

#endif
