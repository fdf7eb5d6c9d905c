/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The differences that are kept with a zone. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "servers/dns/dns_changes.h"
#include "servers/dns/dns_zone_internal.h"

/* One, of all zones that were made with it. */
struct kept {
    struct gy_dns_difference difference; /* first: lists are of these */
    _Atomic uint32_t owners;
    uint8_t packed[];
};

struct dns_journal {
    struct gy_dns_differences differences;
    const struct gy_dns_difference *list[GY_DNS_JOURNAL_MAX];
};

static const struct gy_dns_differences none;

static void let_go(const struct gy_dns_difference *difference)
{
    struct kept *kept = (struct kept *)(uintptr_t)difference;
    uint32_t before = atomic_fetch_sub_explicit(&kept->owners, 1, memory_order_acq_rel);
    gy_assert(before > 0);
    if (before == 1) {
        free(kept);
    }
}

void dns_journal_free(struct dns_journal *journal)
{
    for (uint32_t i = 0; journal != NULL && i < journal->differences.count; i++) {
        let_go(journal->list[i]);
    }
    free(journal);
}

const struct gy_dns_differences *gy_dns_journal_of(const struct gy_dns_zone *zone)
{
    const struct dns_journal *journal = dns_zone_journal(zone);
    return journal != NULL ? &journal->differences : &none;
}

static struct kept *keep_one(const struct gy_dns_changes *changes, uint32_t number)
{
    const struct gy_dns_change_start *start = &changes->starts[number];
    size_t end = number + 1 < changes->count ? changes->starts[number + 1].at : changes->bytes;
    size_t bytes = end - start->at;
    struct kept *kept = malloc(sizeof *kept + bytes);
    if (kept == NULL) {
        return NULL;
    }
    memcpy(kept->packed, changes->packed + start->at, bytes);
    kept->difference = (struct gy_dns_difference){.from = start->from,
                                                  .to = start->to,
                                                  .records = start->records,
                                                  .bytes = bytes,
                                                  .packed = kept->packed};
    atomic_init(&kept->owners, 1);
    return kept;
}

/* The newest of both, the oldest first, within the bounds. NULL: there are none. */
static struct dns_journal *join(const struct gy_dns_differences *before,
                                const struct gy_dns_changes *changes, uint64_t bytes_max)
{
    struct dns_journal *journal = calloc(1, sizeof *journal);
    uint64_t bytes = 0;
    uint32_t at = GY_DNS_JOURNAL_MAX;
    if (journal == NULL) {
        return NULL;
    }
    for (uint32_t i = changes->count; i > 0 && at > 0; i--) {
        struct kept *kept = keep_one(changes, i - 1);
        if (kept == NULL || bytes + kept->difference.bytes > bytes_max) {
            free(kept);
            bytes_max = 0; /* nothing older either */
            break;
        }
        bytes += kept->difference.bytes;
        journal->list[--at] = &kept->difference;
    }
    for (uint32_t i = before->count; i > 0 && at > 0; i--) {
        const struct gy_dns_difference *difference = before->list[i - 1];
        if (bytes + difference->bytes > bytes_max) {
            break;
        }
        bytes += difference->bytes;
        atomic_fetch_add_explicit(&((struct kept *)(uintptr_t)difference)->owners, 1,
                                  memory_order_relaxed);
        journal->list[--at] = difference;
    }
    uint32_t count = GY_DNS_JOURNAL_MAX - at;
    memmove(journal->list, journal->list + at, count * sizeof journal->list[0]);
    journal->differences = (struct gy_dns_differences){journal->list, count};
    if (count == 0) {
        free(journal);
        return NULL;
    }
    return journal;
}

static int take(void *context, enum gy_dns_change change, const struct gy_dns_record *record)
{
    return gy_dns_changes_take(context, change, record);
}

static int compare(struct gy_dns_changes *changes, const struct gy_dns_zone *old,
                   const struct gy_dns_zone *zone)
{
    struct gy_dns_zone_walk *walk = malloc(sizeof *walk);
    int code = walk != NULL ? gy_dns_zone_compare(old, zone, walk, take, changes) : GY_ENOMEM;
    free(walk);
    return code;
}

void gy_dns_journal_follow(const struct gy_dns_zone *zone, const struct gy_dns_zone *old,
                           const struct gy_dns_changes *changes, uint64_t bytes_max)
{
    struct gy_dns_zone_facts facts;
    struct gy_dns_zone_facts before;
    gy_dns_zone_facts(zone, &facts);
    gy_dns_zone_facts(old, &before);
    uint64_t most = facts.bytes < bytes_max ? facts.bytes : bytes_max;
    struct gy_dns_changes compared = {.bytes_max = most};
    gy_assert(dns_zone_journal(zone) == NULL);
    if (most == 0 || gy_dns_zone_is_absent(old) ||
        !gy_dns_serial_newer(facts.serial, before.serial)) {
        return;
    }
    int code = changes == NULL ? compare(&compared, old, zone) : 0;
    if (code == 0) {
        dns_zone_set_journal(
            zone, join(gy_dns_journal_of(old), changes != NULL ? changes : &compared, most));
    }
    gy_dns_changes_close(&compared);
}
