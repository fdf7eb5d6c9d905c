/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages of a room in memory. */

#include "servers/chat/store_memory_internal.h"

static struct message **message_at(const struct room *room, uint64_t id)
{
    return &room->messages[id & (room->room - 1)];
}

static struct message **sent_at(struct room *room, uint64_t user, uint64_t client_id)
{
    return &room->sent[(client_id ^ user * UINT64_C(0x9e3779b97f4a7c15)) % BUCKETS];
}

static void forget_sent(struct room *room, struct message *message)
{
    struct message **link = sent_at(room, message->entry.user, message->entry.client_id);
    while (*link != NULL && *link != message) {
        link = &(*link)->same;
    }
    if (*link != NULL) {
        *link = message->same;
    }
}

void memory_drop_first(struct room *room)
{
    struct message *message = *message_at(room, room->first);
    room->bytes -= message->entry.from.length + message->entry.contents.length;
    forget_sent(room, message);
    free(message);
    room->first++;
}

static void prune(const struct gy_chat_memory *memory, struct room *room, uint64_t now_ms)
{
    const struct gy_chat_retention *keep = &memory->retention;
    uint64_t count = keep->count != 0 ? keep->count : GY_CHAT_MEMORY_MESSAGES;
    uint64_t inbox = keep->inbox_count != 0 ? keep->inbox_count : GY_CHAT_INBOX_COUNT;
    count = room->name.bytes[0] == '@' && inbox < count ? inbox : count;
    while (room->first < room->last &&
           (room->last - room->first >= count || (keep->bytes > 0 && room->bytes > keep->bytes) ||
            (keep->age_ms > 0 && now_ms > keep->age_ms &&
             (*message_at(room, room->first))->entry.time_ms < now_ms - keep->age_ms))) {
        memory_drop_first(room);
    }
}

static int grow(struct room *room)
{
    uint64_t more = room->room == 0 ? 16 : room->room * 2;
    struct message **messages = calloc(more, sizeof(struct message *));
    if (messages == NULL) {
        return GY_ENOMEM;
    }
    for (uint64_t id = room->first; id <= room->last; id++) {
        messages[id & (more - 1)] = *message_at(room, id);
    }
    free(room->messages);
    room->messages = messages;
    room->room = more;
    return 0;
}

static void empty(struct room *room, uint64_t target)
{
    for (uint64_t id = room->first; id <= room->last; id++) {
        struct message *message = *message_at(room, id);
        if (id == target ||
            (message->entry.kind == GY_CHAT_EDITED && message->entry.target == target)) {
            room->bytes -= message->entry.contents.length;
            message->entry.contents.length = 0;
        }
    }
}

static int add(struct room *room, struct gy_chat_entry *entry)
{
    if (room->last + 1 - room->first == room->room && grow(room) != 0) {
        return GY_ENOMEM;
    }
    uint32_t bytes = entry->from.length + entry->contents.length;
    struct message *message = malloc(sizeof *message + bytes);
    if (message == NULL) {
        return GY_ENOMEM;
    }
    entry->id = room->last + 1;
    entry->duplicate = false;
    if (room->last >= room->first) {
        uint64_t before = (*message_at(room, room->last))->entry.time_ms;
        entry->time_ms = entry->time_ms < before ? before : entry->time_ms;
    }
    message->entry = *entry;
    if (entry->from.length > 0) {
        memcpy(message->text, entry->from.bytes, entry->from.length);
    }
    if (entry->contents.length > 0) {
        memcpy(message->text + entry->from.length, entry->contents.bytes, entry->contents.length);
    }
    message->entry.from.bytes = message->text;
    message->entry.contents.bytes = message->text + entry->from.length;
    message->same = NULL;
    if (entry->client_id != 0) {
        struct message **bucket = sent_at(room, entry->user, entry->client_id);
        message->same = *bucket;
        *bucket = message;
    }
    room->last++;
    *message_at(room, room->last) = message;
    room->bytes += bytes;
    if (entry->kind == GY_CHAT_DELETED) {
        empty(room, entry->target);
    }
    return 0;
}

static bool find_sent(struct room *room, struct gy_chat_entry *entry)
{
    const struct message *at = *sent_at(room, entry->user, entry->client_id);
    while (at != NULL &&
           (at->entry.user != entry->user || at->entry.client_id != entry->client_id)) {
        at = at->same;
    }
    if (at != NULL) {
        entry->id = at->entry.id;
        entry->time_ms = at->entry.time_ms;
        entry->duplicate = true;
    }
    return at != NULL;
}

int memory_append(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct room *room = memory_room(memory, job->room);
    if (room == NULL || job->next_id != room->last + 1) {
        return room == NULL ? GY_ENOTFOUND : GY_ESTATE;
    }
    int code = 0;
    for (uint32_t i = 0; i < job->entry_count && code == 0; i++) {
        struct gy_chat_entry *entry = &job->entries[i];
        if (entry->client_id == 0 || !find_sent(room, entry)) {
            code = add(room, entry);
        }
    }
    if (code != 0) { /* all of them or none */
        while (room->last >= job->next_id) {
            struct message *message = *message_at(room, room->last);
            room->bytes -= message->entry.from.length + message->entry.contents.length;
            forget_sent(room, message);
            free(message);
            room->last--;
        }
    } else if (job->entry_count > 0) {
        prune(memory, room, job->entries[job->entry_count - 1].time_ms);
    }
    job->last = room->last;
    return code;
}

int memory_read(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct room *room = memory_room(memory, job->room);
    uint32_t bytes = 0;
    int code = room != NULL ? memory_take_entries(job) : GY_ENOTFOUND;
    if (code != 0) {
        return code;
    }
    bool back = job->by == 2;
    job->last = room->last;
    job->first = room->first;
    uint64_t id = room->first;
    if (job->by == 0 && job->point >= room->first) {
        id = job->point == UINT64_MAX ? UINT64_MAX : job->point + 1;
    } else if (job->by == 1) {
        while (id <= room->last && (*message_at(room, id))->entry.time_ms < job->point) {
            id++;
        }
    } else if (back) {
        id = job->point > room->last ? room->last : job->point == 0 ? 0 : job->point - 1;
    }
    while (id >= room->first && id <= room->last && code == 0) {
        const struct gy_chat_entry *from = &(*message_at(room, id))->entry;
        if (job->entry_count == job->entries_max || bytes >= GY_CHAT_READ_BYTES) {
            job->more = true;
            break;
        }
        struct gy_chat_entry *entry = &job->entries[job->entry_count++];
        *entry = *from;
        code = gy_chat_job_text(job, &entry->from, from->from.bytes, from->from.length);
        code = code == 0 ? gy_chat_job_text(job, &entry->contents, from->contents.bytes,
                                            from->contents.length)
                         : code;
        bytes += from->from.length + from->contents.length;
        id += back ? UINT64_MAX : 1;
    }
    return code;
}
