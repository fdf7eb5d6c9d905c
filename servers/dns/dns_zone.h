/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_ZONE_H
#define GY_SERVERS_DNS_DNS_ZONE_H

/*
 * A zone from its file, ready to be answered from. Blocks while it reads: for a process that does
 * not serve yet.
 *
 * The file is read whole before it is understood, so that one which is written to meanwhile can be
 * wrong but not harmful. $INCLUDE takes files below the folder of the zone's own file, and nothing
 * outside of it: neither by "..", nor by an absolute path, nor by a symbolic link.
 */

#include "../../protocols/dns/zone.h"

/*
 * Reads `path`, the zone with apex `origin`. Warnings go to the log. 0 with a zone for
 * gy_dns_zone_free; GY_EINVAL, or what opening and reading it reported, with a sentence that names
 * file, line and column, or the zone where it is wrong as a whole. `seed`: see zone.h.
 */
int gy_dns_zone_load(const struct gy_dns_zone **zone, const uint8_t *origin, const char *path,
                     uint64_t seed, struct gy_error *error);

/* NULL is allowed. */
void gy_dns_zone_free(const struct gy_dns_zone *zone);

#endif
