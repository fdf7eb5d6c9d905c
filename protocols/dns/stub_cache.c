/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "protocols/dns/stub_internal.h"

#define WAYS          4
#define SETS          (GY_DNS_STUB_CACHED / WAYS)
#define FOUND_MAX_S   86400u
#define ABSENT_MAX_S  10800u /* RFC 2308 §5 */
#define FAILED_MIN_S  1u     /* RFC 9520 §3.2 */
#define FAILED_MAX_S  30u    /* which allows five minutes; a host's network comes back sooner */
#define MS_PER_SECOND 1000u

_Static_assert((SETS & (SETS - 1)) == 0, "a mask finds the set");

/* All types of a name are in one set, so that one look finds them. */
static struct gy_dns_cached *set_of(struct gy_dns_stub *stub, const uint8_t *name)
{
    return &stub->cache[(gy_dns_name_hash(name, stub->seed) & (SETS - 1)) * WAYS];
}

/* What is known of the type itself comes before a denial of the name, which some servers answer for
 * types that a name does not have. */
const struct gy_dns_cached *stub_cache_find(struct gy_dns_stub *stub, const uint8_t *name,
                                            uint16_t type, uint64_t now_ms)
{
    const struct gy_dns_cached *set = set_of(stub, name), *found = NULL;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].until_ms > now_ms && (set[i].type == type || (set[i].type == 0 && !found)) &&
            gy_dns_name_equal(set[i].name, name)) {
            found = &set[i];
        }
    }
    stub->counts.hits += found != NULL;
    stub->counts.misses += found == NULL;
    return found;
}

/* The entry of a name and type, or the one that is worth least. */
static struct gy_dns_cached *place(struct gy_dns_stub *stub, const uint8_t *name, uint16_t type)
{
    struct gy_dns_cached *set = set_of(stub, name);
    struct gy_dns_cached *entry = &set[0];
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].until_ms != 0 && set[i].type == type && gy_dns_name_equal(set[i].name, name)) {
            return &set[i];
        }
        if (set[i].until_ms < entry->until_ms) {
            entry = &set[i]; /* free, over, or the first that will be */
        }
    }
    return entry;
}

static bool is_failure(const struct gy_dns_cached *entry)
{
    return entry->outcome == GY_DNS_STUB_FAILED || entry->outcome == GY_DNS_STUB_SILENT;
}

void stub_cache_fail(struct gy_dns_stub *stub, const uint8_t *name, uint16_t type,
                     enum gy_dns_stub_result outcome, uint64_t now_ms)
{
    struct gy_dns_cached *entry = place(stub, name, type);
    bool again = entry->until_ms != 0 && is_failure(entry) && entry->type == type &&
                 now_ms < entry->until_ms + FAILED_MAX_S * MS_PER_SECOND &&
                 gy_dns_name_equal(entry->name, name);
    uint32_t seconds = again ? entry->count * 2u : FAILED_MIN_S;
    seconds = seconds < FAILED_MAX_S ? seconds : FAILED_MAX_S;
    gy_assert(outcome == GY_DNS_STUB_FAILED || outcome == GY_DNS_STUB_SILENT);
    if (!again && entry->until_ms > now_ms) {
        return; /* answers are worth more */
    }
    gy_dns_name_lower(name, entry->name);
    entry->until_ms = now_ms + (uint64_t)seconds * MS_PER_SECOND;
    entry->outcome = (uint8_t)outcome;
    entry->type = type;
    entry->count = (uint8_t)seconds;
}

void stub_cache_put(struct gy_dns_stub *stub, const uint8_t *name, uint16_t type,
                    enum gy_dns_stub_result outcome, const struct gy_dns_address *addresses,
                    uint32_t count, uint32_t ttl, uint64_t now_ms)
{
    uint32_t max = outcome == GY_DNS_STUB_FOUND ? FOUND_MAX_S : ABSENT_MAX_S;
    gy_assert(ttl <= INT32_MAX); /* larger ones were read as 0 (RFC 2181 §8) */
    if (ttl == 0) {
        return;
    }
    type = outcome == GY_DNS_STUB_NO_NAME ? 0 : type;
    struct gy_dns_cached *entry = place(stub, name, type);
    stub->counts.evicted += entry->until_ms > now_ms;
    entry->until_ms = now_ms + (uint64_t)(ttl < max ? ttl : max) * MS_PER_SECOND;
    gy_dns_name_lower(name, entry->name);
    entry->outcome = (uint8_t)outcome;
    entry->type = type;
    entry->count = (uint8_t)count;
    gy_assert(count <= GY_DNS_STUB_ADDRESSES);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(entry->addresses[i], addresses[i].bytes, sizeof entry->addresses[i]);
    }
}
