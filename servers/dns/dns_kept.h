/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_KEPT_H
#define GY_SERVERS_DNS_DNS_KEPT_H

/*
 * A secondary zone on disk, so that a restart serves at once: its file, a zone file, and the
 * differences since that was written in a file beside it, whose name ends in GY_DNS_KEPT_SUFFIX.
 * A change of one record is written as that, and not as a whole zone.
 *
 * Differences are text: a line that says from which serial to which they lead, how many bytes
 * follow and their checksum, then the records in the order of an incremental transfer, as a zone
 * file has them. Each is written by one call, behind those before, and synced. What was cut by a
 * crash, or does not begin where the zone is, is left out when it is read; what is missing then is
 * fetched.
 *
 * All of it blocks. Two processes may write for a while, the one before and the one after a reload:
 * what they add are the same differences, and the second ones lead on from nowhere.
 */

#include "dns_changes.h"

#define GY_DNS_KEPT_SUFFIX    ".changes"
#define GY_DNS_KEPT_BYTES_MAX ((uint64_t)256 << 20) /* of differences; more are not read */

/* The zone as a whole; what there was of differences goes. 0, or a GY_E… code with a sentence. */
int gy_dns_kept_save(const struct gy_dns_zone *zone, const char *path, struct gy_error *error);

/* What has changed since, for which the zone's file becomes as new. `*bytes` are all that there are
 * now of differences. 0, or a GY_E… code with a sentence: then the zone is to be saved. */
int gy_dns_kept_append(const struct gy_dns_changes *changes, const char *path, uint64_t *bytes,
                       struct gy_error *error);

/* Reads what was kept, as gy_dns_zone_load does. The zone has its differences with it, as
 * gy_dns_journal_follow does with `journal_bytes`. */
int gy_dns_kept_load(const struct gy_dns_zone **zone, const uint8_t *origin, const char *path,
                     uint64_t seed, uint64_t journal_bytes, struct gy_error *error);

/*
 * Understands the text of differences: those that lead on from `serial`, one after the other, are
 * taken into `changes`. `*skipped` counts the others, and what is none. 0, or GY_ENOMEM.
 */
int gy_dns_kept_read(const char *text, size_t bytes, const uint8_t *origin, uint32_t serial,
                     struct gy_dns_changes *changes, uint32_t *skipped);

/* Writes them as text into memory that the caller frees. 0, or GY_ENOMEM. */
int gy_dns_kept_write(const struct gy_dns_changes *changes, char **text, size_t *bytes);

#endif
