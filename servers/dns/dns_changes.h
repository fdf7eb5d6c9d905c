/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_CHANGES_H
#define GY_SERVERS_DNS_DNS_CHANGES_H

/*
 * Differences between versions of a zone: collected, applied to a zone, and kept with it.
 *
 * Each zone has those that led to it, so that who asks for an incremental transfer gets what is
 * missing (RFC 1995). They are shared by the versions that have them, and go when the last one of
 * those goes. At most GY_DNS_JOURNAL_MAX, and no more bytes than are allowed or the zone itself
 * has: the oldest ones are left out.
 */

#include "../../protocols/dns/difference.h"
#include "dns_zone.h"

#define GY_DNS_JOURNAL_MAX 128

/* ---- collecting ---- */

struct gy_dns_change_start {
    size_t at;
    uint32_t from, to, records;
};

/* Zero it; gy_dns_changes_close frees what it has. */
struct gy_dns_changes {
    uint64_t bytes_max; /* 0: any number */
    uint8_t *packed;
    size_t bytes, room;
    struct gy_dns_change_start *starts; /* of each difference */
    uint32_t count, starts_room;
};

/* Takes the next record of differences, GY_DNS_REMOVED or GY_DNS_ADDED, in the order of
 * difference.h. 0, GY_ENOMEM, or GY_ELIMIT: they are larger than is allowed. */
int gy_dns_changes_take(struct gy_dns_changes *changes, enum gy_dns_change change,
                        const struct gy_dns_record *record);
void gy_dns_changes_close(struct gy_dns_changes *changes);

/*
 * Puts into `maker` what `zone` becomes by them: all of it is gone through and laid out anew, some
 * microsecond for each name, on the caller's thread. 0; GY_EPROTO: they are not differences to this
 * zone (a record that is to be removed is not there), GY_ENOMEM, or what gy_dns_zone_add says, with
 * a sentence.
 */
int gy_dns_changes_apply(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                         struct gy_dns_zone_maker *maker, struct gy_error *error);

/*
 * The same as a patch (protocols/dns/patch.h), at the cost of the names that change alone:
 * `patched` has one owner, and keeps what it was made from. Besides what gy_dns_changes_apply
 * returns: GY_ENOTSUP where these changes need the zone to be laid out anew.
 */
int gy_dns_changes_patch(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                         const struct gy_dns_zone **patched, struct gy_error *error);

/*
 * The next version by whichever is better. Small zones are laid out anew each time, large ones are
 * patched until a patch would have more than one name in GY_DNS_PATCH_SHARE of theirs, or its bytes
 * more than as large a share; `anew`, which may be NULL, says which it was.
 */
int gy_dns_changes_follow(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                          const struct gy_dns_zone **next, bool *anew, struct gy_error *error);

#define GY_DNS_PATCH_NAMES 2000 /* a zone of fewer is laid out in a millisecond */
#define GY_DNS_PATCH_SHARE 100u

/* ---- keeping ---- */

/*
 * What led from `old` to `zone`, which no other thread has seen yet, is kept with it, behind what
 * led to `old`. `changes` NULL: they are compared. Where the serial is not newer, or there is no
 * memory, or it is more than `bytes_max`, `zone` begins anew without any.
 */
void gy_dns_journal_follow(const struct gy_dns_zone *zone, const struct gy_dns_zone *old,
                           const struct gy_dns_changes *changes, uint64_t bytes_max);

/* Those of a zone; as long as it. */
const struct gy_dns_differences *gy_dns_journal_of(const struct gy_dns_zone *zone);

#endif
