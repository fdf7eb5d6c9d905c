/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_ZONEFILE_H
#define GY_PROTOCOLS_DNS_ZONEFILE_H

/*
 * Zone files (RFC 1035 §5, RFC 2308 §4, and $GENERATE as BIND has it): text in, records out.
 *
 *     struct gy_dns_zonefile file;
 *     gy_dns_zonefile_init(&file, &settings, "example.zone", origin);
 *     size_t used = 0;
 *     int code = gy_dns_zonefile_feed(&file, text, bytes, true, &used, &error);
 *
 * A whole file may be given at once (mapped, say), or piece by piece: entries that have come whole
 * are consumed, and the caller puts what is left before the next piece. An entry is what ends at a
 * line's end outside of parentheses.
 *
 * Understood: $ORIGIN, $TTL, $INCLUDE, $GENERATE; parentheses, comments, quotes, \X and \DDD;
 * "@", relative names, a left-out owner, TTL or class; TTLs with units; the types of dns.h and the
 * generic forms of RFC 3597; a byte order mark at the start, and CR LF.
 *
 * Nothing is allocated. An error ends the reading of the file, and its sentence says file, line,
 * column, what is wrong, and what to write instead.
 */

#include "rdata.h"

#define GY_DNS_INCLUDE_DEPTH_MAX 8     /* files within files */
#define GY_DNS_GENERATE_MAX      65536 /* records of one $GENERATE, where settings say nothing else */
#define GY_DNS_ENTRY_MAX         (4u << 20) /* bytes of an entry */

struct gy_dns_zonefile;

struct gy_dns_zonefile_settings {
    void *context;

    /* A record: uncompressed data, checked; the owner's buffer has GY_DNS_NAME_PADDED bytes. Called
     * in the order of the file. Non-zero ends the reading and is returned: the callee fills
     * `error`, which already has file, line and column in front (gy_dns_zonefile_error). */
    int (*record)(void *context, struct gy_dns_zonefile *file, const struct gy_dns_record *record,
                  struct gy_error *error);

    /* $INCLUDE: reads the file `name` (not ended by a zero; as it is written) through a struct
     * gy_dns_zonefile of its own, begun with gy_dns_zonefile_include. Which names are allowed is
     * this function's business. NULL: $INCLUDE is an error. As above. */
    int (*include)(void *context, struct gy_dns_zonefile *file, const char *name, size_t name_bytes,
                   const uint8_t *origin, struct gy_error *error);

    uint32_t generate_max; /* 0: GY_DNS_GENERATE_MAX */
    uint32_t ttl;          /* for records without one before any; used when ttl_set */
    bool ttl_set;
};

struct gy_dns_zonefile {
    const struct gy_dns_zonefile_settings *settings;
    const char *name;  /* for errors */
    uint32_t line;     /* of the entry that comes next */
    uint32_t depth;    /* of $INCLUDE */
    uint32_t ttl;      /* $TTL */
    uint32_t last_ttl; /* of the record before (RFC 1035 §5.1) */
    uint32_t column;   /* of the entry being read, where an error is */
    uint32_t error_line;
    bool ttl_set;
    bool last_ttl_set;
    bool begun;
    bool generating;
    uint8_t owner_bytes; /* 0: none yet */
    uint16_t class;      /* 0: none yet */
    uint64_t records;    /* so far, of this file alone */
    uint64_t bytes;      /* of it, before the entry being read */
    uint8_t origin[GY_DNS_NAME_PADDED];
    uint8_t owner[GY_DNS_NAME_PADDED]; /* of the record before */
};

/* Begins a file. `settings` and `name` outlive it; `origin` (a name) is copied. */
void gy_dns_zonefile_init(struct gy_dns_zonefile *file,
                          const struct gy_dns_zonefile_settings *settings, const char *name,
                          const uint8_t *origin);

/* Begins a file that `parent` includes: its TTL, class and settings go on. GY_ELIMIT when files are
 * nested too deep. */
int gy_dns_zonefile_include(struct gy_dns_zonefile *file, const struct gy_dns_zonefile *parent,
                            const char *name, const uint8_t *origin, struct gy_error *error);

/*
 * Reads entries. `last`: nothing comes behind these bytes, and a last line without an end is one.
 * `used` says how many bytes were consumed: with `last` all of them. Returns 0; GY_EINVAL with a
 * sentence; GY_ELIMIT: an entry, or its data, is too long; what a callback returned.
 * After an error the file can only be begun again.
 */
int gy_dns_zonefile_feed(struct gy_dns_zonefile *file, const char *text, size_t bytes, bool last,
                         size_t *used, struct gy_error *error);

/* For callbacks: fills `error` with "FILE:LINE: " and a sentence, and returns `code`. */
int gy_dns_zonefile_error(const struct gy_dns_zonefile *file, struct gy_error *error, int code,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
