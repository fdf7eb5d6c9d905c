/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub_internal.h"

/*
 * The client ids of a room that were said of late: first in, first out, found by a hash. What has
 * fallen out of it the store still knows.
 */

#define CAPACITY_AT_FIRST 16

static size_t seen_bytes(uint32_t capacity)
{
    return (capacity + 1) * sizeof(struct gy_chat_seen);
}

static uint16_t *head_of(struct gy_chat_dedup *dedup, uint64_t user, uint64_t client_id)
{
    /* Who chooses colliding ids makes its own lookups longer, by the table's bound at most. */
    uint64_t mixed = (user ^ (client_id * UINT64_C(0x9e3779b97f4a7c15)));
    mixed ^= mixed >> 29;
    mixed *= UINT64_C(0xbf58476d1ce4e5b9);
    return &dedup->heads[(mixed >> 32) & (dedup->capacity - 1)];
}

static void unchain(struct gy_chat_dedup *dedup, uint32_t index)
{
    const struct gy_chat_seen *seen = &dedup->seen[index];
    uint16_t *at = head_of(dedup, seen->user, seen->client_id);
    while (*at != index) {
        gy_assert(*at != 0);
        at = &dedup->seen[*at].next;
    }
    *at = seen->next;
}

static bool in_use(const struct gy_chat_seen *seen)
{
    return seen->client_id != 0;
}

static void put(struct gy_chat_dedup *dedup, const struct gy_chat_seen *entry)
{
    uint32_t index = dedup->next + 1;
    dedup->next = (dedup->next + 1) & (dedup->capacity - 1);
    if (in_use(&dedup->seen[index])) {
        unchain(dedup, index);
    }
    dedup->seen[index] = *entry;
    uint16_t *head = head_of(dedup, entry->user, entry->client_id);
    dedup->seen[index].next = *head;
    *head = (uint16_t)index;
}

/* Twice as many, oldest first; without memory it stays as it is. */
static void grow(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup)
{
    struct gy_chat_dedup wider = {.capacity = dedup->capacity == 0 ? CAPACITY_AT_FIRST
                                                                   : dedup->capacity * 2};
    wider.seen = gy_chat_hub_memory(hub, seen_bytes(wider.capacity));
    wider.heads = gy_chat_hub_memory(hub, wider.capacity * sizeof(uint16_t));
    if (wider.seen == NULL || wider.heads == NULL) {
        if (wider.seen != NULL) {
            gy_chat_hub_return(hub, wider.seen, seen_bytes(wider.capacity));
        }
        if (wider.heads != NULL) {
            gy_chat_hub_return(hub, wider.heads, wider.capacity * sizeof(uint16_t));
        }
        return;
    }
    for (uint32_t i = 0; i < dedup->capacity; i++) {
        uint32_t index = ((dedup->next + i) & (dedup->capacity - 1)) + 1;
        if (in_use(&dedup->seen[index])) {
            put(&wider, &dedup->seen[index]);
        }
    }
    gy_chat_dedup_free(hub, dedup);
    *dedup = wider;
}

struct gy_chat_seen *gy_chat_dedup_find(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup,
                                        uint64_t user, uint64_t client_id)
{
    (void)hub;
    if (client_id == 0 || dedup->capacity == 0) {
        return NULL;
    }
    for (uint32_t index = *head_of(dedup, user, client_id); index != 0;
         index = dedup->seen[index].next) {
        struct gy_chat_seen *seen = &dedup->seen[index];
        if (seen->user == user && seen->client_id == client_id) {
            return seen;
        }
    }
    return NULL;
}

void gy_chat_dedup_add(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup, uint64_t user,
                       uint64_t client_id)
{
    if (client_id == 0) {
        return;
    }
    bool full = dedup->capacity == 0 || in_use(&dedup->seen[dedup->next + 1]);
    if (full && dedup->capacity < hub->config.dedup_entries) {
        grow(hub, dedup);
    }
    if (dedup->capacity > 0) {
        put(dedup, &(struct gy_chat_seen){.user = user, .client_id = client_id, .under_way = true});
    }
}

void gy_chat_dedup_remove(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup, uint64_t user,
                          uint64_t client_id)
{
    struct gy_chat_seen *seen = gy_chat_dedup_find(hub, dedup, user, client_id);
    if (seen != NULL) {
        unchain(dedup, (uint32_t)(seen - dedup->seen));
        *seen = (struct gy_chat_seen){0};
    }
}

void gy_chat_dedup_free(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup)
{
    if (dedup->capacity > 0) {
        gy_chat_hub_return(hub, dedup->seen, seen_bytes(dedup->capacity));
        gy_chat_hub_return(hub, dedup->heads, dedup->capacity * sizeof(uint16_t));
        *dedup = (struct gy_chat_dedup){0};
    }
}
