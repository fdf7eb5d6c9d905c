/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Rooms of a store in memory, by name and by number. */

#include "servers/chat/store_memory_internal.h"

#define ROOMS_MAX 65536u

struct room *memory_room(const struct gy_chat_memory *memory, uint32_t number)
{
    struct room *room = memory->by_number[number % BUCKETS];
    while (room != NULL && room->number != number) {
        room = room->same_number;
    }
    return room;
}

int memory_compare(struct gy_chat_text a, struct gy_chat_text b)
{
    uint32_t least = a.length < b.length ? a.length : b.length;
    int order = least > 0 ? memcmp(a.bytes, b.bytes, least) : 0;
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* Of the first room by name that is not before `name`, or, beyond it, behind it. */
static uint32_t place_of(const struct gy_chat_memory *memory, struct gy_chat_text name, bool beyond)
{
    uint32_t low = 0;
    uint32_t high = memory->room_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = memory_compare(memory->sorted[middle]->name, name);
        if (order < 0 || (beyond && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool more_rooms(struct gy_chat_memory *memory)
{
    uint32_t more = memory->room_room * 2 + 16;
    struct room **sorted = realloc(memory->sorted, more * sizeof(struct room *));
    if (sorted == NULL) {
        return false;
    }
    memory->sorted = sorted;
    memory->room_room = more;
    return true;
}

static struct room *make_room(struct gy_chat_memory *memory, struct gy_chat_text name)
{
    if (memory->room_count == ROOMS_MAX || memory->room_numbers == UINT32_MAX) {
        return NULL;
    }
    if (memory->room_count == memory->room_room && !more_rooms(memory)) {
        return NULL;
    }
    struct room *room = calloc(1, sizeof *room);
    struct gy_chat_text copy = memory_copy(name);
    if (room == NULL || copy.bytes == NULL) {
        free(room);
        memory_free_text(copy);
        return NULL;
    }
    uint32_t bucket = memory_bucket(memory, name);
    room->name = copy;
    room->first = 1;
    room->same = memory->by_name[bucket];
    memory->by_name[bucket] = room;
    uint32_t place = place_of(memory, name, false);
    memmove(&memory->sorted[place + 1], &memory->sorted[place],
            (memory->room_count - place) * sizeof(struct room *));
    memory->sorted[place] = room;
    memory->room_count++;
    room->number = ++memory->room_numbers;
    room->same_number = memory->by_number[room->number % BUCKETS];
    memory->by_number[room->number % BUCKETS] = room;
    return room;
}

static int put_standing(struct room *room, const struct gy_chat_standing *standing)
{
    for (uint32_t i = 0; i < room->standing_count; i++) {
        if (room->standings[i].user == standing->user) {
            room->standings[i] = *standing;
            return 0;
        }
    }
    struct gy_chat_standing *more =
        realloc(room->standings, (room->standing_count + 1) * sizeof *more);
    if (more == NULL) {
        return GY_ENOMEM;
    }
    room->standings = more;
    more[room->standing_count++] = *standing;
    return 0;
}

static void unlink_room(struct gy_chat_memory *memory, struct room *room)
{
    struct room **link = &memory->by_name[memory_bucket(memory, room->name)];
    while (*link != room) {
        link = &(*link)->same;
    }
    *link = room->same;
    link = &memory->by_number[room->number % BUCKETS];
    while (*link != room) {
        link = &(*link)->same_number;
    }
    *link = room->same_number;
    uint32_t place = place_of(memory, room->name, false);
    memory->room_count--;
    memmove(&memory->sorted[place], &memory->sorted[place + 1],
            (memory->room_count - place) * sizeof(struct room *));
}

void memory_free_room(struct room *room)
{
    while (room->first <= room->last && room->last > 0) {
        memory_drop_first(room);
    }
    memory_free_text(room->name);
    memory_free_text(room->topic);
    free(room->messages);
    free(room->standings);
    free(room);
}

/* Temporary rooms that nobody was in for so long go when a room is to be made. */
static void sweep(struct gy_chat_memory *memory, uint64_t now_ms)
{
    uint64_t keep_ms = memory->retention.temporary_ms;
    keep_ms = keep_ms != 0 ? keep_ms : GY_CHAT_TEMPORARY_MS;
    for (uint32_t i = memory->room_count; i > 0; i--) {
        struct room *room = memory->sorted[i - 1];
        if (room->empty_ms != 0 && now_ms > keep_ms && room->empty_ms < now_ms - keep_ms) {
            unlink_room(memory, room);
            memory_free_room(room);
        }
    }
}

static uint32_t rooms_of(const struct gy_chat_memory *memory, uint64_t maker)
{
    uint32_t count = 0;
    for (uint32_t i = 0; maker != 0 && i < memory->room_count; i++) {
        count += memory->sorted[i]->maker == maker;
    }
    return count;
}

static int make_for(struct gy_chat_memory *memory, struct gy_chat_job *job, struct room **made)
{
    sweep(memory, job->now_ms);
    if (job->maker != 0 && rooms_of(memory, job->maker) >= job->maker_most) {
        return GY_ELIMIT;
    }
    struct room *room = make_room(memory, job->name);
    if (room == NULL) {
        return GY_ENOMEM;
    }
    const struct gy_chat_standing owner = {.user = job->made_by, .role = GY_CHAT_ROLE_OWNER};
    room->maker = job->maker;
    room->temporary = job->temporary;
    job->was_made = true;
    *made = room;
    return job->made_by != 0 ? put_standing(room, &owner) : 0;
}

static struct room *room_named(const struct gy_chat_memory *memory, struct gy_chat_text name)
{
    struct room *room = memory->by_name[memory_bucket(memory, name)];
    while (room != NULL && !memory_same(room->name, name)) {
        room = room->same;
    }
    return room;
}

int memory_open_room(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct room *room = room_named(memory, job->name);
    job->was_made = false;
    if (room == NULL) {
        int code = job->make ? make_for(memory, job, &room) : GY_ENOTFOUND;
        if (code != 0) {
            return code;
        }
    }
    room->empty_ms = 0;
    job->temporary = room->temporary;
    job->room = room->number;
    job->last = room->last;
    job->first = room->first;
    job->slow_ms = room->slow_ms;
    job->standing_count = room->standing_count;
    job->standings = gy_chat_job_take(job, (room->standing_count + 1) * sizeof *job->standings);
    if (job->standings == NULL) {
        return GY_ENOMEM;
    }
    if (room->standing_count > 0) {
        memcpy(job->standings, room->standings, room->standing_count * sizeof *job->standings);
    }
    return gy_chat_job_text(job, &job->topic, room->topic.bytes, room->topic.length);
}

int memory_close_room(struct gy_chat_memory *memory, const struct gy_chat_job *job)
{
    struct room *room = memory_room(memory, job->room);
    if (room != NULL && room->temporary) {
        room->empty_ms = job->now_ms > 0 ? job->now_ms : 1;
    }
    return room != NULL ? 0 : GY_ENOTFOUND;
}

/* KEEP_ROOM and DROP_ROOM. */
int memory_stay(struct gy_chat_memory *memory, const struct gy_chat_job *job)
{
    struct room *room = memory_room(memory, job->room);
    if (room == NULL) {
        return GY_ENOTFOUND;
    }
    room->maker = 0;
    room->temporary = false;
    room->empty_ms = 0;
    if (job->type == GY_CHAT_JOB_DROP_ROOM) { /* what is on its way to it finds none */
        unlink_room(memory, room);
        memory_free_room(room);
    }
    return 0;
}

int memory_settings(struct gy_chat_memory *memory, const struct gy_chat_job *job)
{
    struct room *room = memory_room(memory, job->room);
    struct gy_chat_text topic = memory_copy(job->topic);
    if (room == NULL || topic.bytes == NULL) {
        memory_free_text(topic);
        return room == NULL ? GY_ENOTFOUND : GY_ENOMEM;
    }
    memory_free_text(room->topic);
    room->topic = topic;
    room->slow_ms = job->slow_ms;
    return 0;
}

/* The next one behind `name` that begins with `prefix`. */
static const struct room *after(const struct gy_chat_memory *memory, struct gy_chat_text name,
                                struct gy_chat_text prefix)
{
    bool inboxes = prefix.length > 0 && prefix.bytes[0] == '@';
    uint32_t at = place_of(memory, name, true);
    uint32_t first = place_of(memory, prefix, false);
    at = at > first ? at : first;
    if (!inboxes && at < memory->room_count && memory->sorted[at]->name.bytes[0] == '@') {
        at = place_of(memory, (struct gy_chat_text){"A", 1}, false); /* behind all inboxes */
    }
    const struct room *room = at < memory->room_count ? memory->sorted[at] : NULL;
    bool fits = room != NULL && room->name.length >= prefix.length &&
                (prefix.length == 0 || memcmp(room->name.bytes, prefix.bytes, prefix.length) == 0);
    return fits ? room : NULL;
}

int memory_take_entries(struct gy_chat_job *job)
{
    job->entry_count = 0;
    job->more = false;
    job->entries = gy_chat_job_take(job, (job->entries_max + 1) * sizeof *job->entries);
    return job->entries != NULL ? 0 : GY_ENOMEM;
}

int memory_rooms(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct gy_chat_text name = job->name;
    const struct room *room;
    int code = memory_take_entries(job);
    while (code == 0 && (room = after(memory, name, job->prefix)) != NULL) {
        if (job->entry_count == job->entries_max) {
            job->more = true;
            break;
        }
        struct gy_chat_entry *entry = &job->entries[job->entry_count++];
        *entry = (struct gy_chat_entry){.target = room->number, .id = room->last};
        code = gy_chat_job_text(job, &entry->from, room->name.bytes, room->name.length);
        code = code == 0
                   ? gy_chat_job_text(job, &entry->contents, room->topic.bytes, room->topic.length)
                   : code;
        name = room->name;
    }
    return code;
}

int memory_standing(struct gy_chat_memory *memory, const struct gy_chat_job *job)
{
    struct room *room = memory_room(memory, job->room);
    int code = room != NULL ? 0 : GY_ENOTFOUND;
    for (uint32_t i = 0; i < job->standing_count && code == 0; i++) {
        code = put_standing(room, &job->standings[i]);
    }
    return code;
}
