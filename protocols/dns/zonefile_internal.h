/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_ZONEFILE_INTERNAL_H
#define GY_PROTOCOLS_DNS_ZONEFILE_INTERNAL_H

/* An entry of a zone file being read; for zonefile.c and zonefile_generate.c. */

#include "protocols/dns/rdata_internal.h"
#include "protocols/dns/zonefile.h"

struct zonefile_entry {
    struct gy_dns_zonefile *file;
    struct rdata_in in;
    struct gy_error *error;
    const char *start; /* the entry's text */
    bool ttl_missing;
    size_t owner_kept; /* the owner before this entry, should it have to be read again */
    uint8_t owner[GY_DNS_NAME_MAX];
    uint8_t rdata[GY_DNS_RDATA_MAX];
};

/* Fills the error with file, line, column and the word that the scanner is at. GY_EINVAL. */
int zonefile_fail(struct zonefile_entry *entry, const char *why);
int zonefile_result(struct zonefile_entry *entry, int code);

/* Nothing more up to the end of the line. */
int zonefile_end(struct zonefile_entry *entry);

int zonefile_read_entry(struct zonefile_entry *entry);

/* $GENERATE, the word having been read. */
int zonefile_generate(struct zonefile_entry *entry);

#endif
