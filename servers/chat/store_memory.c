/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A store of memory alone: for those who want chat without a history that lasts, and to measure
 * what durability costs. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/siphash.h"
#include "servers/chat/job.h"
#include "servers/chat/store.h"

#define ROOMS_MAX    65536u
#define ACCOUNTS_MAX 65536u
#define BUCKETS      1024u /* of names, and of a room's client ids */

struct message {
    struct message *same; /* in its bucket of client ids */
    struct gy_chat_entry entry;
    char text[]; /* the sender's name, then the contents */
};

struct room {
    struct room *same; /* in its bucket of names */
    struct gy_chat_text name;
    struct gy_chat_text topic;
    uint32_t number, slow_ms;
    uint64_t first, last; /* ids that are kept; none: first > last */
    uint64_t bytes;
    struct message **messages; /* by id, modulo `room` */
    uint64_t room;             /* a power of two */
    struct message *sent[BUCKETS];
    struct gy_chat_standing *standings;
    uint32_t standing_count;
};

struct account {
    struct account *same;
    struct gy_chat_account account;
};

struct gy_chat_memory {
    pthread_mutex_t lock;
    struct gy_chat_retention retention;
    struct gy_siphash_key key;
    struct room *by_name[BUCKETS];
    struct room **rooms;  /* by number */
    struct room **sorted; /* by name */
    uint32_t room_count, room_room;
    struct account *accounts[BUCKETS];
    uint32_t account_count;
};

static uint32_t bucket_of(const struct gy_chat_memory *memory, struct gy_chat_text text)
{
    return (uint32_t)gy_siphash(&memory->key, text.bytes, text.length) % BUCKETS;
}

static bool same(struct gy_chat_text a, struct gy_chat_text b)
{
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* A copy from malloc, of at least a byte. NULL bytes: no memory. */
static struct gy_chat_text copy_of(struct gy_chat_text text)
{
    char *bytes = malloc(text.length + 1u);
    if (bytes != NULL && text.length > 0) {
        memcpy(bytes, text.bytes, text.length);
    }
    return (struct gy_chat_text){bytes, text.length};
}

static void free_text(struct gy_chat_text text)
{
    free((char *)(uintptr_t)text.bytes);
}

/* ---- rooms ---- */

static struct room *find_room(const struct gy_chat_memory *memory, uint32_t number)
{
    return number >= 1 && number <= memory->room_count ? memory->rooms[number - 1] : NULL;
}

static int compare(struct gy_chat_text a, struct gy_chat_text b)
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
        int order = compare(memory->sorted[middle]->name, name);
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
    struct room **rooms = realloc(memory->rooms, more * sizeof(struct room *));
    if (rooms == NULL) {
        return false;
    }
    memory->rooms = rooms;
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
    if (memory->room_count == ROOMS_MAX) {
        return NULL;
    }
    if (memory->room_count == memory->room_room && !more_rooms(memory)) {
        return NULL;
    }
    struct room *room = calloc(1, sizeof *room);
    struct gy_chat_text copy = copy_of(name);
    if (room == NULL || copy.bytes == NULL) {
        free(room);
        free_text(copy);
        return NULL;
    }
    uint32_t bucket = bucket_of(memory, name);
    room->name = copy;
    room->first = 1;
    room->same = memory->by_name[bucket];
    memory->by_name[bucket] = room;
    uint32_t place = place_of(memory, name, false);
    memmove(&memory->sorted[place + 1], &memory->sorted[place],
            (memory->room_count - place) * sizeof(struct room *));
    memory->sorted[place] = room;
    memory->rooms[memory->room_count++] = room;
    room->number = memory->room_count;
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

static int do_open_room(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct room *room = memory->by_name[bucket_of(memory, job->name)];
    while (room != NULL && !same(room->name, job->name)) {
        room = room->same;
    }
    job->was_made = false;
    if (room == NULL) {
        if (!job->make) {
            return GY_ENOTFOUND;
        }
        room = make_room(memory, job->name);
        if (room == NULL) {
            return GY_ENOMEM;
        }
        job->was_made = true;
        struct gy_chat_standing owner = {.user = job->made_by, .role = GY_CHAT_ROLE_OWNER};
        if (job->made_by != 0 && put_standing(room, &owner) != 0) {
            return GY_ENOMEM;
        }
    }
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

static int do_settings(struct gy_chat_memory *memory, const struct gy_chat_job *job)
{
    struct room *room = find_room(memory, job->room);
    struct gy_chat_text topic = copy_of(job->topic);
    if (room == NULL || topic.bytes == NULL) {
        free_text(topic);
        return room == NULL ? GY_ENOTFOUND : GY_ENOMEM;
    }
    free_text(room->topic);
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

static int take_entries(struct gy_chat_job *job)
{
    job->entry_count = 0;
    job->more = false;
    job->entries = gy_chat_job_take(job, (job->entries_max + 1) * sizeof *job->entries);
    return job->entries != NULL ? 0 : GY_ENOMEM;
}

static int do_rooms(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct gy_chat_text name = job->name;
    const struct room *room;
    int code = take_entries(job);
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

/* ---- messages ---- */

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

static void drop_first(struct room *room)
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
    while (room->first < room->last &&
           (room->last - room->first >= count || (keep->bytes > 0 && room->bytes > keep->bytes) ||
            (keep->age_ms > 0 && now_ms > keep->age_ms &&
             (*message_at(room, room->first))->entry.time_ms < now_ms - keep->age_ms))) {
        drop_first(room);
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

static int do_append(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct room *room = find_room(memory, job->room);
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

static int do_read(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct room *room = find_room(memory, job->room);
    uint32_t bytes = 0;
    int code = room != NULL ? take_entries(job) : GY_ENOTFOUND;
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

static int do_standing(struct gy_chat_memory *memory, const struct gy_chat_job *job)
{
    struct room *room = find_room(memory, job->room);
    int code = room != NULL ? 0 : GY_ENOTFOUND;
    for (uint32_t i = 0; i < job->standing_count && code == 0; i++) {
        code = put_standing(room, &job->standings[i]);
    }
    return code;
}

/* ---- accounts ---- */

static struct account *find_account(const struct gy_chat_memory *memory,
                                    struct gy_chat_text canonical)
{
    struct account *account = memory->accounts[bucket_of(memory, canonical)];
    while (account != NULL && !same(account->account.canonical, canonical)) {
        account = account->same;
    }
    return account;
}

static int do_account(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    const struct account *found = find_account(memory, job->account.canonical);
    if (found == NULL) {
        return GY_ENOTFOUND;
    }
    struct gy_chat_text canonical = job->account.canonical;
    const struct gy_chat_account *account = &found->account;
    job->account = *account;
    job->account.canonical = canonical;
    int code = gy_chat_job_text(job, &job->account.nick, account->nick.bytes, account->nick.length);
    return code == 0 ? gy_chat_job_text(job, &job->account.certificate, account->certificate.bytes,
                                        account->certificate.length)
                     : code;
}

static void free_account(struct account *account)
{
    free_text(account->account.nick);
    free_text(account->account.canonical);
    free_text(account->account.certificate);
    free(account);
}

static int do_new_account(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    if (find_account(memory, job->account.canonical) != NULL) {
        return GY_EEXIST;
    }
    struct account *made = memory->account_count < ACCOUNTS_MAX ? calloc(1, sizeof *made) : NULL;
    if (made == NULL) {
        return GY_ENOMEM;
    }
    made->account = job->account;
    made->account.nick = copy_of(job->account.nick);
    made->account.canonical = copy_of(job->account.canonical);
    made->account.certificate = copy_of(job->account.certificate);
    if (made->account.nick.bytes == NULL || made->account.canonical.bytes == NULL ||
        made->account.certificate.bytes == NULL) {
        free_account(made);
        return GY_ENOMEM;
    }
    uint32_t bucket = bucket_of(memory, made->account.canonical);
    made->account.user = ++memory->account_count;
    made->same = memory->accounts[bucket];
    memory->accounts[bucket] = made;
    job->account.user = made->account.user;
    return 0;
}

/* ---- the store ---- */

static int do_job(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    switch (job->type) {
    case GY_CHAT_JOB_OPEN_ROOM:
        return do_open_room(memory, job);
    case GY_CHAT_JOB_APPEND:
        return do_append(memory, job);
    case GY_CHAT_JOB_READ:
        return do_read(memory, job);
    case GY_CHAT_JOB_STANDING:
        return do_standing(memory, job);
    case GY_CHAT_JOB_SETTINGS:
        return do_settings(memory, job);
    case GY_CHAT_JOB_ROOMS:
        return do_rooms(memory, job);
    case GY_CHAT_JOB_ACCOUNT:
        return do_account(memory, job);
    case GY_CHAT_JOB_NEW_ACCOUNT:
        return do_new_account(memory, job);
    }
    return GY_ENOTSUP;
}

void gy_chat_memory_run(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    pthread_mutex_lock(&memory->lock);
    job->result = do_job(memory, job);
    pthread_mutex_unlock(&memory->lock);
}

struct gy_chat_memory *gy_chat_memory_make(const struct gy_chat_retention *retention)
{
    struct gy_chat_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL ||
        getrandom(&memory->key, sizeof memory->key, 0) != (ssize_t)sizeof memory->key) {
        free(memory);
        return NULL;
    }
    memory->retention = *retention;
    pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

void gy_chat_memory_free(struct gy_chat_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    for (uint32_t i = 0; i < memory->room_count; i++) {
        struct room *room = memory->rooms[i];
        while (room->first <= room->last && room->last > 0) {
            drop_first(room);
        }
        free_text(room->name);
        free_text(room->topic);
        free(room->messages);
        free(room->standings);
        free(room);
    }
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (memory->accounts[i] != NULL) {
            struct account *next = memory->accounts[i]->same;
            free_account(memory->accounts[i]);
            memory->accounts[i] = next;
        }
    }
    pthread_mutex_destroy(&memory->lock);
    free(memory->rooms);
    free(memory->sorted);
    free(memory);
}
