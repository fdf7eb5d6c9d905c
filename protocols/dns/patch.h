/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_PATCH_H
#define GY_PROTOCOLS_DNS_PATCH_H

/*
 * A zone of which little changes: the next version made from the one before.
 *
 * A patched zone is a small block of its own with the names that are other than in its base, which
 * is a whole zone (zone.h) and is shared by all versions that are made from it: it has to outlive
 * them. To those who ask, walk or compare, a patched zone is a zone like any other. A look-up goes
 * to the patch first; in a zone that is not patched it costs a look at one pointer.
 *
 *     patch = gy_dns_patch_begin(&settings, zone)       zone: whole, or patched itself
 *     gy_dns_patch_touch(patch, owner, …)               each name of which something changes
 *     gy_dns_patch_add(patch, &record, &error)          what is new
 *     gy_dns_patch_finish(patch, &bytes, &error)        the checks
 *     next = gy_dns_patch_write(patch, memory)
 *
 * For k changed names it costs some look-ups for each, and one copy of the patch before. So a patch
 * is not to grow without end: gy_dns_zone_facts tells how large it is, and who keeps the zone lays
 * it out anew from time to time. What was left out of a patch stays in its block until then.
 */

#include "zone.h"

struct gy_dns_patch;

/* A new version of `zone`, which is not absent, has the settings' seed, and stays until the patch
 * is written. Memory as for gy_dns_zone_begin. NULL: there is none. */
struct gy_dns_patch *gy_dns_patch_begin(const struct gy_dns_zone_settings *settings,
                                        const struct gy_dns_zone *zone);

/* Which of its records stays. */
typedef bool gy_dns_patch_keep(void *context, const struct gy_dns_record *record);

/*
 * Takes a name up, in any case, with those above it in the zone: `keep` is asked for each record
 * that they have, once. The name needs not exist; one out of the zone is left alone. The apex has
 * to be among them. `walk` is working memory. 0, GY_ENOMEM, or what gy_dns_zone_add says.
 */
int gy_dns_patch_touch(struct gy_dns_patch *patch, const uint8_t *owner,
                       struct gy_dns_zone_walk *walk, gy_dns_patch_keep *keep, void *context,
                       struct gy_error *error);

/* Adds a record at a name that was touched. Returns what gy_dns_zone_add says. */
int gy_dns_patch_add(struct gy_dns_patch *patch, const struct gy_dns_record *record,
                     struct gy_error *error);

/*
 * Checks what the touched names have become, as gy_dns_zone_finish does, but for what records lead
 * to. 0 and the bytes that the version needs beside its base; GY_EINVAL with the first error's
 * sentence; GY_ENOMEM; GY_ELIMIT; GY_ENOTSUP: a delegation or a DNAME has come to stand over names
 * that were not touched, or has left them, so that the zone has to be laid out anew.
 */
int gy_dns_patch_finish(struct gy_dns_patch *patch, size_t *bytes, struct gy_error *error);

/* Writes the version into `memory`, aligned to 64, of the bytes that finish() told. It refers to
 * the zone, or to its base if it has one (gy_dns_zone_base), and to nothing else. */
const struct gy_dns_zone *gy_dns_patch_write(struct gy_dns_patch *patch, void *memory);

#endif
