/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_ZONE_H
#define GY_SERVERS_DNS_DNS_ZONE_H

/*
 * A zone from its file, ready to be answered from. Blocks while it reads: for a process that does
 * not serve yet.
 *
 * What is understood of the file is a copy, a piece at a time, so that one which is written to
 * meanwhile can be wrong but not harmful. $INCLUDE takes files below the folder of the zone's own
 * file, and nothing outside of it: neither by "..", nor by an absolute path, nor by a symbolic
 * link.
 */

#include "../../protocols/dns/zone.h"

/*
 * Reads `path`, the zone with apex `origin`. Warnings go to the log. 0 with a zone for
 * gy_dns_zone_free; GY_EINVAL, or what opening and reading it reported, with a sentence that names
 * file, line and column, or the zone where it is wrong as a whole. `seed`: see zone.h.
 */
int gy_dns_zone_load(const struct gy_dns_zone **zone, const uint8_t *origin, const char *path,
                     uint64_t seed, struct gy_error *error);

/* A zone from here has as many owners as gy_dns_zone_keep made, and one; it goes when the last
 * gives it back. Any thread. NULL is allowed. */
void gy_dns_zone_free(const struct gy_dns_zone *zone);
const struct gy_dns_zone *gy_dns_zone_keep(const struct gy_dns_zone *zone);

/* Collecting a zone from elsewhere: a builder, and in the end the zone with one owner. */
struct gy_dns_zone_maker;

/* NULL: no memory. `bytes_max` bounds what is collected. */
struct gy_dns_zone_maker *gy_dns_zone_maker_open(const uint8_t *origin, uint64_t seed,
                                                 uint64_t bytes_max);
struct gy_dns_zone_builder *gy_dns_zone_maker_builder(struct gy_dns_zone_maker *maker);

/* The checks, and the zone. 0, GY_EINVAL, GY_ENOMEM, GY_ELIMIT, with a sentence. */
int gy_dns_zone_maker_finish(struct gy_dns_zone_maker *maker, const struct gy_dns_zone **zone,
                             struct gy_error *error);
void gy_dns_zone_maker_close(struct gy_dns_zone_maker *maker); /* NULL is allowed */

/* A zone that is known by name alone, and answered for by SERVFAIL (zone.h). NULL: no memory. */
const struct gy_dns_zone *gy_dns_zone_absent(const uint8_t *origin, uint64_t seed);

/* Has none of the files that a loaded zone was read from changed since (size, inode, times)? Blocks
 * for some system calls. */
bool gy_dns_zone_unchanged(const struct gy_dns_zone *zone);

/* Writes a zone as text to `path`: to a file beside it, synced, which then takes its place. 0, or a
 * GY_E… code with a sentence. Blocks. */
int gy_dns_zone_save(const struct gy_dns_zone *zone, const char *path, struct gy_error *error);

#endif
