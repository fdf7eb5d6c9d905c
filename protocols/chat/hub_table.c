/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub_internal.h"

#define BUCKETS_AT_FIRST 64

int gy_chat_table_open(struct gy_chat_hub *hub, struct gy_chat_table *table)
{
    table->buckets = gy_chat_hub_memory(hub, BUCKETS_AT_FIRST * sizeof(void *));
    if (table->buckets == NULL) {
        return GY_ENOMEM;
    }
    table->mask = BUCKETS_AT_FIRST - 1;
    table->count = 0;
    return 0;
}

void gy_chat_table_close(struct gy_chat_hub *hub, struct gy_chat_table *table)
{
    if (table->buckets != NULL) {
        gy_assert(table->count == 0);
        gy_chat_hub_return(hub, table->buckets, (table->mask + 1ul) * sizeof(void *));
        table->buckets = NULL;
    }
}

/* Where there is no memory for more buckets, the chains get longer. */
static void table_grow(struct gy_chat_hub *hub, struct gy_chat_table *table)
{
    uint32_t wider = (table->mask + 1) * 2;
    struct gy_chat_link **buckets = gy_chat_hub_memory(hub, wider * sizeof(void *));
    if (buckets == NULL) {
        return;
    }
    for (uint32_t i = 0; i <= table->mask; i++) {
        for (struct gy_chat_link *link = table->buckets[i], *next; link != NULL; link = next) {
            next = link->next;
            link->next = buckets[link->hash & (wider - 1)];
            buckets[link->hash & (wider - 1)] = link;
        }
    }
    gy_chat_hub_return(hub, table->buckets, (table->mask + 1ul) * sizeof(void *));
    table->buckets = buckets;
    table->mask = wider - 1;
}

void gy_chat_table_put(struct gy_chat_hub *hub, struct gy_chat_table *table,
                       struct gy_chat_link *link, uint64_t hash)
{
    if (table->count > table->mask && table->mask < (UINT32_MAX >> 2)) {
        table_grow(hub, table);
    }
    link->hash = hash;
    link->next = table->buckets[hash & table->mask];
    table->buckets[hash & table->mask] = link;
    table->count++;
}

void gy_chat_table_remove(struct gy_chat_table *table, struct gy_chat_link *link)
{
    struct gy_chat_link **at = &table->buckets[link->hash & table->mask];
    while (*at != link) {
        gy_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    table->count--;
}
