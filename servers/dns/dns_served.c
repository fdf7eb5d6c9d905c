/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_served.h"

#include <stdlib.h>

/* ---- the catalog ---- */

int gy_dns_catalog_open(struct gy_dns_catalog *catalog, uint32_t count)
{
    catalog->list = calloc(count > 0 ? count : 1, sizeof *catalog->list);
    catalog->count = catalog->list != NULL ? count : 0;
    return catalog->list != NULL ? 0 : GY_ENOMEM;
}

static int compare(const void *a, const void *b)
{
    const struct gy_dns_served *first = a;
    const struct gy_dns_served *second = b;
    return gy_dns_name_compare(first->name, second->name);
}

void gy_dns_catalog_sort(struct gy_dns_catalog *catalog)
{
    qsort(catalog->list, catalog->count, sizeof *catalog->list, compare);
}

void gy_dns_catalog_close(struct gy_dns_catalog *catalog)
{
    free(catalog->list);
    *catalog = (struct gy_dns_catalog){.count = 0};
}

const struct gy_dns_served *gy_dns_catalog_find(const struct gy_dns_catalog *catalog,
                                                const uint8_t *name)
{
    const struct gy_dns_served wanted = {.name = name};
    return catalog->count == 0
               ? NULL
               : bsearch(&wanted, catalog->list, catalog->count, sizeof *catalog->list, compare);
}

/* ---- sets ---- */

struct gy_dns_set *gy_dns_set_make(uint32_t room, uint64_t seed)
{
    struct gy_dns_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return NULL;
    }
    set->list = calloc(room > 0 ? room : 1, sizeof *set->list);
    set->memory = malloc(gy_dns_zones_bytes(room));
    if (set->list == NULL || set->memory == NULL) {
        gy_dns_set_free(set);
        return NULL;
    }
    set->room = room;
    gy_dns_zones_init(&set->zones, set->memory, room, seed);
    return set;
}

int gy_dns_set_add(struct gy_dns_set *set, const struct gy_dns_zone *zone)
{
    gy_assert(set->count < set->room);
    int code = gy_dns_zones_add(&set->zones, zone);
    if (code == 0) {
        set->list[set->count++] = zone;
    }
    return code;
}

void gy_dns_set_free(struct gy_dns_set *set)
{
    if (set == NULL) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        gy_dns_zone_free(set->list[i]);
    }
    free(set->list);
    free(set->memory);
    free(set);
}
