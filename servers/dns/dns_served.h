/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_SERVED_H
#define GY_SERVERS_DNS_DNS_SERVED_H

/*
 * The zones that are served at a time: a set, which is never changed. Who changes a zone makes
 * another set and hands it to the workers, each of which goes over to it between two batches of
 * queries; the one before is freed when the last of them has. A transfer keeps its zone beyond that
 * (gy_dns_zone_keep).
 */

#include "dns_keys.h"
#include "dns_zone.h"

/* What the configuration says of a zone. Constant while the process serves. */
struct gy_dns_served {
    const uint8_t *name;
    const struct gy_dns_policy *policy; /* never NULL */
    bool secondary;
};

/* All of them, in the order of gy_dns_name_compare. */
struct gy_dns_catalog {
    struct gy_dns_served *list;
    uint32_t count;
};

/* GY_ENOMEM for more than memory has room for. The caller fills list[0 … count), then sorts. */
int gy_dns_catalog_open(struct gy_dns_catalog *catalog, uint32_t count);
void gy_dns_catalog_sort(struct gy_dns_catalog *catalog);
void gy_dns_catalog_close(struct gy_dns_catalog *catalog);

/* The entry of a name, or NULL. */
const struct gy_dns_served *gy_dns_catalog_find(const struct gy_dns_catalog *catalog,
                                                const uint8_t *name);

struct gy_dns_set {
    struct gy_dns_zones zones;
    uint64_t generation;
    uint32_t count, room;
    const struct gy_dns_zone **list; /* each is kept once */
    void *memory;
};

/* An empty set for `room` zones. NULL: no memory. */
struct gy_dns_set *gy_dns_set_make(uint32_t room, uint64_t seed);

/* Adds a zone, whose reference it takes over when it succeeds. 0, or GY_EINVAL: it is there
 * already. */
int gy_dns_set_add(struct gy_dns_set *set, const struct gy_dns_zone *zone);

/* NULL is allowed. */
void gy_dns_set_free(struct gy_dns_set *set);

#endif
