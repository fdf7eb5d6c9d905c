/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_world_internal.h"

#include <stdlib.h>
#include <string.h>

/* The world's store: what a job does. */

/* ---- jobs ---- */

struct world *world_of_jobs;

struct gy_chat_job *world_job_make(enum gy_chat_job_type type)
{
    struct gy_chat_job *job = world_take(world_of_jobs, sizeof *job);
    memset(job, 0, sizeof *job);
    job->type = type;
    return job;
}

void *world_job_take(struct gy_chat_job *job, size_t bytes)
{
    struct gy_chat_block *block = world_take(world_of_jobs, sizeof *block + bytes);
    *block = (struct gy_chat_block){.next = job->blocks, .bytes = (uint32_t)bytes};
    job->blocks = block;
    return block + 1;
}

void world_job_free(struct gy_chat_job *job)
{
    while (job != NULL && job->blocks != NULL) {
        struct gy_chat_block *block = job->blocks;
        job->blocks = block->next;
        world_give(world_of_jobs, block);
    }
    if (job != NULL) {
        world_give(world_of_jobs, job);
    }
}

static struct gy_chat_text job_text(struct gy_chat_job *job, const void *bytes, uint32_t length)
{
    char *copy = world_job_take(job, length + 1ul);
    memcpy(copy, bytes, length);
    return (struct gy_chat_text){copy, length};
}

/* ---- the store ---- */

static struct world_room *room_of(struct world_store *store, struct gy_chat_text name)
{
    for (uint32_t i = 0; i < store->room_count; i++) {
        if (store->rooms[i].name_bytes == name.length &&
            memcmp(store->rooms[i].name, name.bytes, name.length) == 0) {
            return &store->rooms[i];
        }
    }
    return NULL;
}

struct world_room *world_room_named(struct world *world, const char *name)
{
    return room_of(&world->store, gy_chat_text_of(name));
}

static struct gy_chat_text kept(struct gy_chat_text text)
{
    char *copy = malloc(text.length + 1ul);
    gy_assert(copy != NULL);
    memcpy(copy, text.bytes, text.length);
    return (struct gy_chat_text){copy, text.length};
}

static int do_open(struct world_store *store, struct gy_chat_job *job)
{
    struct world_room *room = room_of(store, job->name);
    if (room == NULL && !job->make) {
        return GY_ENOTFOUND;
    }
    uint32_t makers = 0;
    for (uint32_t i = 0; i < store->room_count; i++) {
        makers += store->rooms[i].maker == job->maker;
    }
    if (room == NULL && job->maker != 0 && makers >= job->maker_most) {
        return GY_ELIMIT;
    }
    if (room == NULL) {
        if (store->full) {
            return GY_ENOSPACE;
        }
        gy_assert(store->room_count < 64);
        room = &store->rooms[store->room_count++];
        memcpy(room->name, job->name.bytes, job->name.length);
        room->name_bytes = job->name.length;
        room->first = 1;
        room->standings[0] =
            (struct gy_chat_standing){.user = job->made_by, .role = GY_CHAT_ROLE_OWNER};
        room->standing_count = job->made_by != 0;
        room->maker = job->maker;
        room->temporary = job->temporary;
        job->was_made = true;
    }
    room->closed = false;
    job->temporary = room->temporary;
    job->room = (uint32_t)(room - store->rooms) + 1;
    job->first = room->first;
    job->last = room->count;
    job->slow_ms = room->slow_ms;
    job->topic = job_text(job, room->topic, room->topic_bytes);
    job->standings = world_job_take(job, sizeof room->standings);
    memcpy(job->standings, room->standings, sizeof room->standings);
    job->standing_count = room->standing_count;
    return 0;
}

static const struct world_entry *said_before(const struct world_room *room,
                                             const struct gy_chat_entry *entry)
{
    for (uint32_t i = room->count; entry->client_id != 0 && i > 0; i--) {
        const struct gy_chat_entry *old = &room->entries[i - 1].entry;
        if (old->user == entry->user && old->client_id == entry->client_id) {
            return &room->entries[i - 1];
        }
    }
    return NULL;
}

static int do_append(struct world_store *store, struct gy_chat_job *job)
{
    struct world_room *room = &store->rooms[job->room - 1];
    if (store->full) {
        return GY_ENOSPACE;
    }
    gy_assert(job->next_id == room->count + 1ul);
    store->appends++;
    for (uint32_t i = 0; i < job->entry_count; i++) {
        struct gy_chat_entry *entry = &job->entries[i];
        const struct world_entry *before = said_before(room, entry);
        if (before != NULL) {
            entry->duplicate = true;
            entry->id = before->entry.id;
            entry->time_ms = before->entry.time_ms;
            continue;
        }
        if (room->count == room->capacity) {
            room->capacity = room->capacity == 0 ? 64 : room->capacity * 2;
            room->entries = realloc(room->entries, room->capacity * sizeof *room->entries);
            gy_assert(room->entries != NULL);
        }
        entry->id = room->count + 1ul;
        room->entries[room->count] = (struct world_entry){.entry = *entry};
        room->entries[room->count].entry.from = kept(entry->from);
        room->entries[room->count].entry.contents = kept(entry->contents);
        room->count++;
        store->entries++;
        if (entry->kind == GY_CHAT_DELETED && entry->target > 0) {
            room->entries[entry->target - 1].entry.contents.length = 0;
        }
    }
    return 0;
}

static int do_read(struct world_store *store, struct gy_chat_job *job)
{
    const struct world_room *room = &store->rooms[job->room - 1];
    if (store->broken || store->busy) {
        return store->busy ? GY_EAGAIN : GY_EIO;
    }
    job->first = room->first;
    job->last = room->count;
    job->entries = world_job_take(job, (job->entries_max + 1ul) * sizeof *job->entries);
    uint64_t id = job->by == GY_CHAT_BEFORE_ID ? job->point - 1 : job->point + 1;
    if (job->by == GY_CHAT_BEFORE_ID && job->point > room->count) {
        id = room->count;
    }
    if (job->by == GY_CHAT_FROM_TIME) {
        id = 1;
        while (id <= room->count && room->entries[id - 1].entry.time_ms < job->point) {
            id++;
        }
    }
    if (job->by != GY_CHAT_BEFORE_ID && id < room->first) {
        id = room->first;
    }
    while (id >= room->first && id <= room->count) {
        if (job->entry_count == job->entries_max) {
            job->more = true;
            break;
        }
        const struct gy_chat_entry *entry = &room->entries[id - 1].entry;
        struct gy_chat_entry *copy = &job->entries[job->entry_count++];
        *copy = *entry;
        copy->from = job_text(job, entry->from.bytes, entry->from.length);
        copy->contents = job_text(job, entry->contents.bytes, entry->contents.length);
        id = job->by == GY_CHAT_BEFORE_ID ? id - 1 : id + 1;
    }
    return 0;
}

static int do_standing(struct world_store *store, struct gy_chat_job *job)
{
    struct world_room *room = &store->rooms[job->room - 1];
    gy_assert(job->standing_count == 1);
    if (store->full) {
        return GY_ENOSPACE;
    }
    uint32_t at = 0;
    while (at < room->standing_count && room->standings[at].user != job->standings[0].user) {
        at++;
    }
    gy_assert(at < 64);
    room->standings[at] = job->standings[0];
    room->standing_count += at == room->standing_count;
    return 0;
}

static int do_rooms(struct world_store *store, struct gy_chat_job *job)
{
    job->entries = world_job_take(job, (job->entries_max + 1ul) * sizeof *job->entries);
    for (uint32_t i = 0; i < store->room_count; i++) { /* in the order in which they were made */
        const struct world_room *room = &store->rooms[i];
        if (room->name[0] == '@' || room->name_bytes < job->prefix.length ||
            memcmp(room->name, job->prefix.bytes, job->prefix.length) != 0) {
            continue;
        }
        if (job->entry_count == job->entries_max) {
            job->more = true;
            break;
        }
        job->entries[job->entry_count++] =
            (struct gy_chat_entry){.target = i + 1,
                                   .id = room->count,
                                   .from = job_text(job, room->name, room->name_bytes),
                                   .contents = job_text(job, room->topic, room->topic_bytes)};
    }
    return 0;
}

static int do_account(struct world_store *store, struct gy_chat_job *job)
{
    struct gy_chat_text key = job->account.canonical;
    for (uint32_t i = 0; i < store->account_count; i++) {
        struct world_account *account = &store->accounts[i];
        if (gy_chat_text_equal(account->account.canonical, key)) {
            job->account = account->account;
            return job->type == GY_CHAT_JOB_ACCOUNT ? 0 : GY_EEXIST;
        }
    }
    if (job->type == GY_CHAT_JOB_ACCOUNT) {
        return GY_ENOTFOUND;
    }
    gy_assert(store->account_count < 64);
    struct world_account *account = &store->accounts[store->account_count++];
    account->account = job->account;
    memcpy(account->nick, job->account.nick.bytes, job->account.nick.length);
    account->account.nick.bytes = account->nick;
    memcpy(account->canonical, key.bytes, key.length);
    account->account.canonical.bytes = account->canonical;
    memcpy(account->certificate, job->account.certificate.bytes, job->account.certificate.length);
    account->account.certificate.bytes = account->certificate;
    account->account.user = store->account_count;
    job->account.user = store->account_count;
    return 0;
}

static int do_change(struct world_store *store, struct gy_chat_job *job)
{
    for (uint32_t i = 0; i < store->account_count; i++) {
        struct gy_chat_account *account = &store->accounts[i].account;
        if (gy_chat_text_equal(account->canonical, job->account.canonical)) {
            if (store->full) {
                return GY_ENOSPACE;
            }
            if ((job->change & GY_CHAT_CHANGE_PASSWORD) != 0) {
                memcpy(account->hash, job->account.hash, sizeof account->hash);
            }
            account->epoch += (job->change & GY_CHAT_CHANGE_EPOCH) != 0;
            if ((job->change & GY_CHAT_CHANGE_OPERATES) != 0) {
                account->operates = job->account.operates;
            }
            job->account = *account;
            return 0;
        }
    }
    return GY_ENOTFOUND;
}

static int do_accounts(const struct world_store *store, struct gy_chat_job *job)
{
    job->entries = world_job_take(job, (job->entries_max + 1ul) * sizeof *job->entries);
    for (uint32_t i = 0; i < store->account_count; i++) { /* as they were made: one page */
        const struct gy_chat_account *account = &store->accounts[i].account;
        job->entries[job->entry_count++] = (struct gy_chat_entry){.user = account->user,
                                                                  .kind = account->operates,
                                                                  .from = account->nick,
                                                                  .contents = account->canonical};
    }
    return 0;
}

int world_do_job(struct world *world, struct gy_chat_job *job)
{
    struct world_store *store = &world->store;
    struct world_room *room = job->room > 0 ? &store->rooms[job->room - 1] : NULL;
    switch (job->type) {
    case GY_CHAT_JOB_OPEN_ROOM:
        return do_open(store, job);
    case GY_CHAT_JOB_APPEND:
        return do_append(store, job);
    case GY_CHAT_JOB_READ:
        return do_read(store, job);
    case GY_CHAT_JOB_STANDING:
        return do_standing(store, job);
    case GY_CHAT_JOB_KEEP_ROOM:
        gy_assert(room != NULL);
        room->temporary = false;
        return 0;
    case GY_CHAT_JOB_DROP_ROOM:
        gy_assert(room != NULL);
        room->name[0] = '@'; /* is found by nobody */
        room->temporary = true;
        return 0;
    case GY_CHAT_JOB_CHANGE_ACCOUNT:
        return do_change(store, job);
    case GY_CHAT_JOB_ACCOUNTS:
        return do_accounts(store, job);
    case GY_CHAT_JOB_BAN:
    case GY_CHAT_JOB_UNBAN:
        return store->full                                               ? GY_ENOSPACE
               : job->type == GY_CHAT_JOB_UNBAN && world->ban_count == 0 ? GY_ENOTFOUND
                                                                         : 0;
    case GY_CHAT_JOB_CLOSE_ROOM:
        gy_assert(room != NULL && room->temporary && !room->closed);
        room->closed = true;
        return 0;
    case GY_CHAT_JOB_SETTINGS:
        gy_assert(room != NULL && job->topic.length <= sizeof room->topic);
        if (store->full) {
            return GY_ENOSPACE;
        }
        memcpy(room->topic, job->topic.bytes, job->topic.length);
        room->topic_bytes = job->topic.length;
        room->slow_ms = job->slow_ms;
        return 0;
    case GY_CHAT_JOB_ROOMS:
        return do_rooms(store, job);
    case GY_CHAT_JOB_ACCOUNT:
    case GY_CHAT_JOB_NEW_ACCOUNT:
        return do_account(store, job);
    }
    return GY_ENOTSUP;
}
