/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_NAME_H
#define GY_PROTOCOLS_DNS_NAME_H

/*
 * Domain names.
 *
 * A name here is its uncompressed wire form (RFC 1035 §3.1): labels, each behind its length, the
 * last one the root's, which is empty. 1 to 255 bytes; it carries its own end, so functions take a
 * pointer alone. They require a well-formed name: one that gy_dns_name_read, _from_text or _concat
 * made. Case is kept where nothing else is said, and ignored in comparing (RFC 4343).
 */

#include "dns.h"

#define GY_DNS_NAME_MAX   255 /* bytes on the wire */
#define GY_DNS_LABEL_MAX  63
#define GY_DNS_LABELS_MAX 127 /* the root's not counted */

/* Bytes of a name in presentation format at most: every byte as \DDD, a dot a label, a zero. */
#define GY_DNS_NAME_TEXT_BYTES 1025

/* A name buffer that may be read eight bytes at a time. */
#define GY_DNS_NAME_PADDED (GY_DNS_NAME_MAX + 9)

/*
 * Reads the name at `*at` of a message and writes it, uncompressed, to `name`; `*at` moves behind
 * it. Returns its bytes (1 … 255), or GY_EPROTO: cut short, a label type that is none, longer than
 * 255 bytes, or a pointer that does not lead to before the piece that it ends (which bounds the
 * chase, and is all that RFC 1035 §4.1.4 allows).
 */
int gy_dns_name_read(const uint8_t *message, size_t message_bytes, size_t *at,
                     uint8_t name[GY_DNS_NAME_MAX]);

/* Moves `*at` behind the name there, without following pointers. 0, or GY_EPROTO. */
int gy_dns_name_skip(const uint8_t *message, size_t message_bytes, size_t *at);

/* Bytes, the root's included; labels, the root's not included. */
size_t gy_dns_name_bytes(const uint8_t *name);
unsigned gy_dns_name_labels(const uint8_t *name);

/* Is all of `name`, of at most `bytes`, a well-formed name without compression? Its bytes, else
 * GY_EPROTO. */
int gy_dns_name_check(const uint8_t *name, size_t bytes);

/* Without regard to case. */
bool gy_dns_name_equal(const uint8_t *a, const uint8_t *b);

/* Canonical order (RFC 4034 §6.1): negative, 0, or positive. */
int gy_dns_name_compare(const uint8_t *a, const uint8_t *b);

/* The suffix of `name` that equals `ancestor`, or NULL: `name` is at or below `ancestor` when it is
 * not. */
const uint8_t *gy_dns_name_suffix(const uint8_t *name, const uint8_t *ancestor);

/* Copies a name in lower case; its bytes. */
size_t gy_dns_name_lower(const uint8_t *name, uint8_t *lower);

/* A DNAME at `owner` with `target` turns `name`, which is below `owner`, into `result` (RFC 6672
 * §2.2). Bytes, or GY_ELIMIT (answered with YXDOMAIN). */
int gy_dns_name_substitute(const uint8_t *name, const uint8_t *owner, const uint8_t *target,
                           uint8_t result[GY_DNS_NAME_MAX]);

/*
 * Presentation format (RFC 1035 §5.1) to wire. `origin` completes a name that does not end in a
 * dot; "@" is the origin itself; NULL: every name is taken for absolute. \X and \DDD are
 * understood. Returns its bytes, or GY_EINVAL: an empty label, one of more than 63 bytes, a bad
 * escape, more than 255 bytes in all; `why` (may be NULL) is then a short reason.
 */
int gy_dns_name_from_text(const char *text, size_t bytes, const uint8_t *origin,
                          uint8_t name[GY_DNS_NAME_MAX], const char **why);

/* Wire to presentation format, with a final dot and a zero behind it. Returns the text's length. */
size_t gy_dns_name_to_text(const uint8_t *name, char text[GY_DNS_NAME_TEXT_BYTES]);

/* ---- hashes ---- */

/*
 * Where each suffix of a name begins, and its hash; index 0 is the root, `labels` the whole name.
 * One pass over a query's name gives what every look-up for it needs: the zone, the name itself,
 * the closest encloser, and wildcards.
 */
struct gy_dns_suffixes {
    uint32_t labels;
    uint8_t offset[GY_DNS_LABELS_MAX + 1];
    uint64_t hash[GY_DNS_LABELS_MAX + 1];
};

/* The hash of a label put before a name with hash `hash`. `label` points at its length byte, is in
 * lower case, and 8 bytes behind its end may be read. */
static inline uint64_t gy_dns_label_hash(uint64_t hash, const uint8_t *label)
{
    uint32_t bytes = label[0] + 1u;
    for (;;) {
        uint64_t word;
        __builtin_memcpy(&word, label, 8);
        if (bytes < 8) {
            word &= ((uint64_t)1 << bytes * 8) - 1;
        }
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
        if (bytes <= 8) {
            break;
        }
        label += 8;
        bytes -= 8;
    }
    hash *= 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

/* `lower` is a name in lower case, in a buffer of GY_DNS_NAME_PADDED. `seed` is the hash of the
 * root: the same for everything that is to be found by it. */
void gy_dns_name_suffixes(const uint8_t *lower, uint64_t seed, struct gy_dns_suffixes *suffixes);

/* The hash of a whole name, as above, in any buffer and any case. */
uint64_t gy_dns_name_hash(const uint8_t *name, uint64_t seed);

/* Eight bytes at once to lower case. Length bytes (at most 63) are left alone, so whole names can
 * go through it. */
static inline uint64_t gy_dns_lower8(uint64_t word)
{
    uint64_t low = word & 0x7f7f7f7f7f7f7f7fu;
    uint64_t above_z = low + 0x2525252525252525u; /* 0x7f - 'Z' */
    uint64_t from_a = low + 0x3f3f3f3f3f3f3f3fu;  /* 0x80 - 'A' */
    uint64_t upper = (from_a ^ above_z) & ~word & 0x8080808080808080u;
    return word | upper >> 2;
}

#endif
