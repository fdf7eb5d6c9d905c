/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub_internal.h"

#define LIST_AT_FIRST 4

/* ---- finding ---- */

struct gy_chat_room *gy_chat_room_named(const struct gy_chat_hub *hub, struct gy_chat_text name)
{
    uint64_t hash = gy_chat_hub_hash(hub, name);
    for (struct gy_chat_link *link = gy_chat_table_first(&hub->rooms_by_name, hash); link != NULL;
         link = link->next) {
        struct gy_chat_room *room = (struct gy_chat_room *)link;
        if (link->hash == hash && room->name_bytes == name.length &&
            memcmp(room->name, name.bytes, name.length) == 0) {
            return room;
        }
    }
    return NULL;
}

/* Numbers are the store's, one after the other. */
static uint64_t number_hash(uint32_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15) >> 16;
}

struct gy_chat_room *gy_chat_room_numbered(const struct gy_chat_hub *hub, uint32_t number)
{
    uint64_t hash = number_hash(number);
    for (struct gy_chat_link *link = gy_chat_table_first(&hub->rooms_by_number, hash); link != NULL;
         link = link->next) {
        struct gy_chat_room *room =
            (struct gy_chat_room *)((char *)link - offsetof(struct gy_chat_room, by_number));
        if (room->number == number) {
            return room;
        }
    }
    return NULL;
}

/* ---- making and freeing ---- */

static void owned_free(struct gy_chat_hub *hub, struct gy_chat_owned *owned)
{
    gy_assert(owned->jobs == 0 && owned->flying == NULL);
    if (owned->filling != NULL) {
        gy_chat_append_free(hub, owned->filling);
    }
    while (owned->waiting_head != NULL) {
        struct gy_chat_waiting *waiting = owned->waiting_head;
        owned->waiting_head = waiting->next;
        gy_chat_note_drop(hub, waiting);
    }
    gy_chat_dedup_free(hub, &owned->dedup);
    if (owned->standings != NULL) {
        gy_chat_hub_return(hub, owned->standings,
                           owned->standing_capacity * sizeof *owned->standings);
    }
    if (owned->slowed != NULL) {
        gy_chat_hub_return(hub, owned->slowed, owned->slowed_capacity * sizeof *owned->slowed);
    }
    gy_chat_hub_return(hub, owned->peers, hub->config.workers * sizeof *owned->peers);
    gy_chat_hub_return(hub, owned, sizeof *owned);
}

void gy_chat_room_free(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    gy_assert(room->count == 0);
    if (room->dirty) {
        TAILQ_REMOVE(&hub->dirty, room, dirty_entry);
    }
    if (room->idle) {
        TAILQ_REMOVE(&hub->idle, room, idle_entry);
    }
    if (room->behind) {
        TAILQ_REMOVE(&hub->behind, room, behind_entry);
    }
    gy_chat_table_remove(&hub->rooms_by_name, &room->by_name);
    if (room->number != 0) {
        gy_chat_table_remove(&hub->rooms_by_number, &room->by_number);
    }
    gy_chat_history_clear(hub, room);
    for (uint32_t i = 0; i < NOTICE_CLASSES; i++) {
        if (room->notices[i].frames != NULL) {
            gy_chat_hub_return(hub, room->notices[i].frames, NOTICE_BYTES);
        }
    }
    if (room->owned != NULL) {
        owned_free(hub, room->owned);
    }
    if (room->list != NULL) {
        gy_chat_hub_return(hub, room->list, room->capacity * sizeof(void *));
    }
    gy_chat_room_topic(hub, room, (struct gy_chat_text){NULL, 0});
    gy_chat_hub_return(hub, room->name, room->name_bytes);
    gy_chat_hub_return(hub, room, sizeof *room);
    hub->counters.rooms--;
}

static bool is_unused(const struct gy_chat_hub *hub, const struct gy_chat_room *room)
{
    const struct gy_chat_owned *owned = room->owned;
    if (room->count > 0 || room->joining > 0) {
        return false;
    }
    if (owned == NULL) {
        return true;
    }
    if (owned->jobs > 0 || owned->filling != NULL || owned->flying != NULL || owned->waiting > 0) {
        return false;
    }
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        if (owned->peers[i].subscribed) {
            return false;
        }
    }
    return true;
}

/* A temporary room is closed. Who joins it later opens it anew, by a job behind this one. When it
 * fails, the room stays until it was closed another time, or the server begins again. */
static void tell_store(struct gy_chat_hub *hub, const struct gy_chat_room *room)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_CLOSE_ROOM, TASK_FORGET);
    if (job != NULL) {
        job->room = room->number;
        gy_chat_hub_submit(hub, job);
    }
}

static void put_away(struct gy_chat_hub *hub)
{
    struct gy_chat_room *room = TAILQ_FIRST(&hub->idle);
    TAILQ_REMOVE(&hub->idle, room, idle_entry);
    room->idle = false;
    if (is_unused(hub, room)) {
        if (room->owned->temporary) {
            tell_store(hub, room);
        }
        gy_chat_room_free(hub, room);
    }
}

static bool own(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    room->owned = gy_chat_hub_memory(hub, sizeof *room->owned);
    if (room->owned == NULL) {
        return false;
    }
    room->owned->peers = gy_chat_hub_memory(hub, hub->config.workers * sizeof *room->owned->peers);
    if (room->owned->peers == NULL) {
        gy_chat_hub_return(hub, room->owned, sizeof *room->owned);
        room->owned = NULL;
        return false;
    }
    return true;
}

struct gy_chat_room *gy_chat_room_make(struct gy_chat_hub *hub, struct gy_chat_text name,
                                       uint32_t owner)
{
    gy_assert(name.length > 0 && name.length <= GY_CHAT_CANONICAL_MAX);
    while (hub->counters.rooms >= hub->config.rooms_max && !TAILQ_EMPTY(&hub->idle)) {
        put_away(hub);
    }
    if (hub->counters.rooms >= hub->config.rooms_max) {
        return NULL;
    }
    struct gy_chat_room *room = gy_chat_hub_memory(hub, sizeof *room);
    if (room == NULL) {
        return NULL;
    }
    room->owner = owner;
    room->name = gy_chat_hub_memory(hub, name.length);
    if (room->name == NULL || (owner == hub->config.number && !own(hub, room))) {
        if (room->name != NULL) {
            gy_chat_hub_return(hub, room->name, name.length);
        }
        gy_chat_hub_return(hub, room, sizeof *room);
        return NULL;
    }
    memcpy(room->name, name.bytes, name.length);
    room->name_bytes = (uint8_t)name.length;
    gy_chat_table_put(hub, &hub->rooms_by_name, &room->by_name, gy_chat_hub_hash(hub, name));
    hub->counters.rooms++;
    return room;
}

void gy_chat_room_number(struct gy_chat_hub *hub, struct gy_chat_room *room, uint32_t number)
{
    gy_assert(room->number == 0 && number != 0);
    room->number = number;
    gy_chat_table_put(hub, &hub->rooms_by_number, &room->by_number, number_hash(number));
}

int gy_chat_room_topic(struct gy_chat_hub *hub, struct gy_chat_room *room,
                       struct gy_chat_text topic)
{
    char *copy = NULL;
    if (topic.length > 0) {
        copy = gy_chat_hub_memory(hub, topic.length);
        if (copy == NULL) {
            return GY_ENOMEM;
        }
        memcpy(copy, topic.bytes, topic.length);
    }
    if (room->topic.length > 0) {
        union {
            const char *in;
            char *out;
        } cast = {.in = room->topic.bytes};
        gy_chat_hub_return(hub, cast.out, room->topic.length);
    }
    room->topic = (struct gy_chat_text){copy, topic.length};
    return 0;
}

/* ---- lists ---- */

void gy_chat_room_dirty(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    if (!room->dirty) {
        room->dirty = true;
        TAILQ_INSERT_TAIL(&hub->dirty, room, dirty_entry);
    }
}

void gy_chat_room_behind(struct gy_chat_hub *hub, struct gy_chat_room *room, uint32_t worker)
{
    hub->counters.behind++;
    room->owned->peers[worker].behind = true;
    if (!room->behind) {
        room->behind = true;
        TAILQ_INSERT_TAIL(&hub->behind, room, behind_entry);
    }
}

uint32_t gy_chat_room_members(const struct gy_chat_hub *hub, const struct gy_chat_room *room)
{
    uint32_t members = room->count;
    for (uint32_t i = 0; room->owned != NULL && i < hub->config.workers; i++) {
        members += room->owned->peers[i].members;
    }
    return members;
}

static void tell_state(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    const struct gy_chat_note note = {.type = NOTE_STATE,
                                      .worker = hub->config.number,
                                      .room = room->number,
                                      .count = room->count,
                                      .flag = room->count > 0 || room->joining > 0};
    room->told = room->count;
    gy_chat_note_send(hub, room->owner, &note);
}

void gy_chat_room_left(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    if (room->owned == NULL && room->told != room->count) {
        gy_chat_room_dirty(hub, room);
    }
    if (room->idle || !is_unused(hub, room)) {
        return;
    }
    if (room->owned == NULL) {
        if (room->number != 0) {
            tell_state(hub, room);
        }
        gy_chat_room_free(hub, room);
        return;
    }
    room->idle = true;
    room->idle_ms = hub->now_ms;
    TAILQ_INSERT_TAIL(&hub->idle, room, idle_entry);
}

void gy_chat_room_unnumber(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    gy_assert(room->owned == NULL && room->count == 0 && room->number != 0);
    const struct gy_chat_note note = {
        .type = NOTE_STATE, .worker = hub->config.number, .room = room->number};
    gy_chat_note_send(hub, room->owner, &note);
    gy_chat_table_remove(&hub->rooms_by_number, &room->by_number);
    room->number = 0;
    room->told = 0;
    room->fed = false;
}

void gy_chat_room_drop(struct gy_chat_hub *hub, struct gy_chat_room *room, struct gy_chat_text by)
{
    const struct gy_chat_note remove = {.type = NOTE_REMOVE, .room = room->number, .nick = by};
    gy_chat_table_remove(&hub->rooms_by_name, &room->by_name);
    room->name[0] = '\1'; /* which no name has */
    gy_chat_table_put(hub, &hub->rooms_by_name, &room->by_name,
                      gy_chat_hub_hash(hub, (struct gy_chat_text){room->name, room->name_bytes}));
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        if (room->owned->peers[i].subscribed) {
            gy_chat_note_send(hub, i, &remove);
        }
        room->owned->peers[i].subscribed = false;
        room->owned->peers[i].members = 0;
    }
    gy_chat_note_take(hub, &remove);
}

/* Workers that were left behind are told how far the room is, as soon as they take notes again. */
static void tell_behind(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    bool still = false;
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        struct gy_chat_peer *peer = &room->owned->peers[i];
        if (!peer->behind) {
            continue;
        }
        const struct gy_chat_note note = {
            .type = NOTE_BEHIND, .room = room->number, .id = room->last};
        bool told = !peer->subscribed || (hub->lanes[i].kept_bytes < hub->config.queue_bytes / 2 &&
                                          gy_chat_note_send(hub, i, &note) == 0);
        peer->behind = !told;
        still = still || !told;
    }
    if (!still) {
        TAILQ_REMOVE(&hub->behind, room, behind_entry);
        room->behind = false;
    }
}

void gy_chat_rooms_flush(struct gy_chat_hub *hub)
{
    struct gy_chat_room *room;
    while ((room = TAILQ_FIRST(&hub->dirty)) != NULL) {
        TAILQ_REMOVE(&hub->dirty, room, dirty_entry);
        room->dirty = false;
        gy_chat_notices_flush(hub, room);
        if (room->owned == NULL) {
            if (room->told != room->count && room->number != 0) {
                tell_state(hub, room);
            }
        } else if (room->owned->filling != NULL && room->owned->flying == NULL) {
            gy_chat_append_submit(hub, room); /* the last: the room may change in it */
        }
    }
    for (struct gy_chat_room *next, *at = TAILQ_FIRST(&hub->behind); at != NULL; at = next) {
        next = TAILQ_NEXT(at, behind_entry);
        tell_behind(hub, at);
    }
    while ((room = TAILQ_FIRST(&hub->idle)) != NULL &&
           room->idle_ms + hub->config.room_idle_ms <= hub->now_ms) {
        put_away(hub);
    }
}

/* ---- who is in it ---- */

struct gy_chat_subscription *gy_chat_subscription_of(const struct gy_chat_member *member,
                                                     uint32_t room)
{
    struct gy_chat_subscription *at = member->subscriptions;
    while (at != NULL && at->room->number != room) {
        at = at->next;
    }
    return at;
}

static int list_grow(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    uint32_t wider = room->capacity == 0 ? LIST_AT_FIRST : room->capacity * 2;
    struct gy_chat_subscription **list = gy_chat_hub_memory(hub, wider * sizeof *list);
    if (list == NULL) {
        return GY_ENOMEM;
    }
    if (room->list != NULL) {
        memcpy(list, room->list, room->count * sizeof *list);
        gy_chat_hub_return(hub, room->list, room->capacity * sizeof *list);
    }
    room->list = list;
    room->capacity = wider;
    return 0;
}

struct gy_chat_subscription *gy_chat_subscribe(struct gy_chat_hub *hub, struct gy_chat_room *room,
                                               struct gy_chat_member *member)
{
    if (room->count == room->capacity && list_grow(hub, room) != 0) {
        return NULL;
    }
    struct gy_chat_subscription *subscription = gy_chat_hub_memory(hub, sizeof *subscription);
    if (subscription == NULL) {
        return NULL;
    }
    *subscription = (struct gy_chat_subscription){
        .member = member,
        .room = room,
        .next = member->subscriptions,
        .index = room->count,
    };
    if (room->idle) {
        TAILQ_REMOVE(&hub->idle, room, idle_entry);
        room->idle = false;
    }
    room->list[room->count++] = subscription;
    room->of_book += member->encoding == GY_CHAT_OVER_BOOK;
    room->of_websocket += member->encoding == GY_CHAT_OVER_WEBSOCKET;
    member->subscriptions = subscription;
    member->rooms++;
    if (room->owned == NULL) {
        gy_chat_room_dirty(hub, room);
    }
    return subscription;
}

void gy_chat_unsubscribe(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription)
{
    struct gy_chat_room *room = subscription->room;
    struct gy_chat_member *member = subscription->member;
    gy_assert(room->list[subscription->index] == subscription);
    room->list[subscription->index] = room->list[--room->count];
    room->list[subscription->index]->index = subscription->index;
    room->of_book -= member->encoding == GY_CHAT_OVER_BOOK;
    room->of_websocket -= member->encoding == GY_CHAT_OVER_WEBSOCKET;
    if (subscription->state != SUBSCRIPTION_LIVE) {
        gy_assert(member->lagging > 0);
        member->lagging--;
    }
    struct gy_chat_subscription **at = &member->subscriptions;
    while (*at != subscription) {
        at = &(*at)->next;
    }
    *at = subscription->next;
    member->rooms--;
    gy_chat_hub_return(hub, subscription, sizeof *subscription);
}
