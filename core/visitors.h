/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_VISITORS_H
#define GY_CORE_VISITORS_H

/*
 * How much each client address may do: connections at once, and a rate of whatever is charged
 * (requests, queries, messages).
 *
 *     uint32_t visitor;
 *     int code = gy_visitors_enter(visitors, AF_INET, &address, &visitor);
 *     if (code == GY_ELIMIT) ...                  it has as many connections as it may: close it
 *     uint64_t wait_ns = gy_visitors_charge(visitors, visitor, now_ns);
 *     if (wait_ns > 0) ...                        it is too fast: refuse it, and say for how long
 *     gy_visitors_leave(visitors, visitor);       once for each enter that did not fail
 *
 * For a datagram: enter, charge and leave at once.
 *
 * One table is shared by all workers of a server. The kernel spreads the connections of one address
 * over the workers by their ports, unevenly where they are few; a table for each worker would give
 * the limit a meaning that nobody could state. It is used without locks: a connection takes one
 * compare-and-swap when it comes and one subtraction when it goes, a charge one compare-and-swap,
 * on a line that other workers touch only when they serve the same address (or one of the few that
 * share its line) at the same moment. Without a limit there is no table, and nothing is done.
 *
 * The table never grows. An address has one of GY_VISITORS_WAYS entries, which are found by a keyed
 * hash of it, so that nobody can choose addresses that crowd each other out. An entry that is held
 * (somebody entered and has not left) stays. One that is not held, and whose allowance is whole
 * again, says nothing that an absent one would not: it is the first to be given away; then the one
 * that is nearest to it. Where all are held a newcomer is let in uncounted (GY_ENOBUFS): make the
 * table larger than the number of addresses that are there at once.
 *
 * The rate is a token bucket, kept as the one number of the generic cell rate algorithm (ITU-T
 * I.371): the time at which the allowance will be whole again.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "siphash.h"

#define GY_VISITORS_WAYS        8
#define GY_VISITORS_ENTRIES_MIN 1024
#define GY_VISITORS_ENTRIES_MAX (1u << 24)
#define GY_VISITORS_EXEMPT_MAX  64
#define GY_VISITORS_RATE_MAX    1000000 /* a second */
#define GY_VISITORS_BURST_MAX   1000000

/* A range of addresses; IPv4 lies in ::ffff:0:0/96. */
struct gy_visitors_range {
    uint8_t address[16];
    uint8_t bits; /* of 128 */
};

/* Reads "192.0.2.0/24", "2001:db8::/32", or one address. 0, or GY_EINVAL with a sentence. */
int gy_visitors_range_parse(struct gy_visitors_range *range, const char *text,
                            struct gy_error *error);

struct gy_visitors_options {
    uint32_t entries;          /* a power of two, GY_VISITORS_ENTRIES_MIN to _MAX */
    uint8_t v4_bits, v6_bits;  /* what of an address tells visitors apart: 32 and 64, say */
    uint32_t connections_max;  /* held at once by one address; 0: any number */
    uint64_t interval_ns;      /* between charges, in the long run; 0: no rate */
    uint32_t burst;            /* charges at once, after a pause; at least 1 with a rate */
    struct gy_siphash_key key; /* random */
    uint32_t exempt_count;
    struct gy_visitors_range exempt[GY_VISITORS_EXEMPT_MAX]; /* never limited, never counted */
};

struct gy_visitors_entry {
    _Atomic uint64_t tag;    /* the address's hash; 0: none yet */
    _Atomic uint64_t due_ns; /* when its allowance is whole again */
    _Atomic uint32_t held;
};

struct gy_visitors {
    struct gy_visitors_options options;
    struct gy_visitors_entry *entries;
};

/* Bytes of memory for so many entries. */
size_t gy_visitors_bytes(uint32_t entries);

/* `memory` is zeroed, aligned to 64, and outlives the table; it is not touched here. */
void gy_visitors_init(struct gy_visitors *visitors, const struct gy_visitors_options *options,
                      void *memory);

/* A visitor that is not counted. Charging it and its leaving do nothing. */
#define GY_VISITOR_NONE 0

/*
 * Somebody comes from `address`: 4 bytes of AF_INET, 16 of AF_INET6 (IPv4 in it counts as IPv4).
 * 0: *visitor is to leave again. GY_ELIMIT: its address holds connections_max already. GY_ENOBUFS:
 * the table has no room, it comes in uncounted. Exempt ones, and other families, get 0 and
 * GY_VISITOR_NONE. After an error *visitor is GY_VISITOR_NONE. Any thread.
 */
int gy_visitors_enter(struct gy_visitors *visitors, int family, const void *address,
                      uint32_t *visitor);

void gy_visitors_leave(struct gy_visitors *visitors, uint32_t visitor);

/* Takes one from the visitor's allowance. 0: it was there; otherwise nothing was taken, and there
 * will be one in so many ns. Any thread; `now_ns` is the same clock for all of them. */
uint64_t gy_visitors_charge(struct gy_visitors *visitors, uint32_t visitor, uint64_t now_ns);

#endif
