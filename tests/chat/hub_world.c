/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/chat/session.h"

uint64_t world_random(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* ---- memory: all of it is known, so that a crash can take it ---- */

static struct world *world_of(void *context)
{
    uint32_t *number = context;
    return (struct world *)((char *)(number - *number) - offsetof(struct world, contexts));
}

static void *take(struct world *world, size_t bytes)
{
    struct world_memory *memory = malloc(sizeof *memory + 8 + bytes);
    gy_assert(memory != NULL);
    memory->bytes = bytes;
    memory->next = world->memory.next;
    memory->before = &world->memory;
    world->memory.next->before = memory;
    world->memory.next = memory;
    world->memory_bytes += bytes;
    if (world->memory_bytes > world->memory_peak) {
        world->memory_peak = world->memory_bytes;
    }
    return (char *)memory + sizeof *memory + 8;
}

static void give(struct world *world, void *pointer)
{
    struct world_memory *memory = (struct world_memory *)((char *)pointer - sizeof *memory - 8);
    memory->before->next = memory->next;
    memory->next->before = memory->before;
    world->memory_bytes -= memory->bytes;
    free(memory);
}

static void *op_take(void *context, size_t bytes)
{
    return take(world_of(context), bytes);
}

static void op_give(void *context, void *memory, size_t bytes)
{
    const struct world_memory *head =
        (const struct world_memory *)((char *)memory - sizeof *head - 8);
    gy_assert(head->bytes == bytes);
    give(world_of(context), memory);
}

/* ---- jobs ---- */

static struct world *job_world; /* jobs have no context */

static struct gy_chat_job *job_make(enum gy_chat_job_type type)
{
    struct gy_chat_job *job = take(job_world, sizeof *job);
    memset(job, 0, sizeof *job);
    job->type = type;
    return job;
}

static void *job_take(struct gy_chat_job *job, size_t bytes)
{
    struct gy_chat_block *block = take(job_world, sizeof *block + bytes);
    *block = (struct gy_chat_block){.next = job->blocks, .bytes = (uint32_t)bytes};
    job->blocks = block;
    return block + 1;
}

static void job_free(struct gy_chat_job *job)
{
    while (job != NULL && job->blocks != NULL) {
        struct gy_chat_block *block = job->blocks;
        job->blocks = block->next;
        give(job_world, block);
    }
    if (job != NULL) {
        give(job_world, job);
    }
}

static struct gy_chat_text job_text(struct gy_chat_job *job, const void *bytes, uint32_t length)
{
    char *copy = job_take(job, length + 1ul);
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
    job->standings = job_take(job, sizeof room->standings);
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
    job->entries = job_take(job, (job->entries_max + 1ul) * sizeof *job->entries);
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
    job->entries = job_take(job, (job->entries_max + 1ul) * sizeof *job->entries);
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
    job->entries = job_take(job, (job->entries_max + 1ul) * sizeof *job->entries);
    for (uint32_t i = 0; i < store->account_count; i++) { /* as they were made: one page */
        const struct gy_chat_account *account = &store->accounts[i].account;
        job->entries[job->entry_count++] = (struct gy_chat_entry){.user = account->user,
                                                                  .kind = account->operates,
                                                                  .from = account->nick,
                                                                  .contents = account->canonical};
    }
    return 0;
}

static int do_job(struct world *world, struct gy_chat_job *job)
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

static void op_store(void *context, struct gy_chat_job *job)
{
    struct world *world = world_of(context);
    struct world_store *store = &world->store;
    gy_assert(job->hub == *(const uint32_t *)context);
    if (store->latency_ms == 0 && store->pending_count == 0) {
        job->result = do_job(world, job);
        gy_chat_hub_stored(world->hubs[job->hub], job);
        return;
    }
    if (store->pending_count == store->pending_capacity) {
        store->pending_capacity = store->pending_capacity == 0 ? 64 : store->pending_capacity * 2;
        store->pending = realloc(store->pending, store->pending_capacity * sizeof *store->pending);
        gy_assert(store->pending != NULL);
    }
    store->pending[store->pending_count++] =
        (struct world_pending){.job = job, .due_ms = world->now_ms + store->latency_ms};
}

/* What is due comes back in the order in which it was submitted: one group, one commit. */
static void store_turn(struct world *world)
{
    struct world_store *store = &world->store;
    uint32_t due = 0;
    while (due < store->pending_count && store->pending[due].due_ms <= world->now_ms) {
        store->pending[due].job->result = do_job(world, store->pending[due].job);
        due++;
    }
    for (uint32_t i = 0; i < due; i++) {
        struct gy_chat_job *job = store->pending[i].job;
        gy_chat_hub_stored(world->hubs[job->hub], job);
    }
    if (due > 0) {
        store->pending_count -= due;
        memmove(store->pending, store->pending + due,
                store->pending_count * sizeof *store->pending);
    }
}

/* ---- the other hooks ---- */

static int op_post(void *context, uint32_t worker, struct gy_chat_parcel *parcel)
{
    struct world *world = world_of(context);
    struct world_box *box = &world->boxes[*(const uint32_t *)context][worker];
    gy_assert(worker != *(const uint32_t *)context);
    if (box->count >= world->box_max) {
        return GY_ENOBUFS;
    }
    parcel->next = NULL;
    if (box->head == NULL) {
        box->head = parcel;
    } else {
        box->tail->next = parcel;
    }
    box->tail = parcel;
    box->count++;
    world->box_peak = box->count > world->box_peak ? box->count : world->box_peak;
    return 0;
}

static struct world_conn *conn_of(struct gy_chat_member *member)
{
    _Static_assert(offsetof(struct world_conn, member) == 0, "the member is the conn's head");
    return (struct world_conn *)member;
}

static int op_write(void *context, struct gy_chat_member *member, const struct gy_chat_frame *frame)
{
    struct world *world = world_of(context);
    struct world_conn *conn = conn_of(member);
    gy_assert(conn->attached);
    if (conn->ended) {
        return GY_ESTATE;
    }
    if (conn->output_max > 0 && conn->out.length > conn->output_max &&
        frame->type != GY_CHAT_ERROR) {
        return GY_ELIMIT;
    }
    if (frame->type == GY_CHAT_ERROR && frame->body.error.fatal) {
        conn->ended = true;
        conn->fatal = frame->body.error.code;
    }
    uint8_t bytes[4 + GY_CHAT_FRAME_MAX];
    uint32_t head = 0;
    uint32_t length = gy_chat_encoded_bytes(frame);
    if (member->encoding == GY_CHAT_OVER_BOOK) {
        if (frame->type != GY_CHAT_MESSAGE || frame->body.message.kind != GY_CHAT_SAID) {
            return 0;
        }
        length = gy_chat_book_encode(frame->body.message.from, frame->body.message.contents, bytes);
    } else {
        if (member->encoding == GY_CHAT_OVER_WEBSOCKET) {
            head = gy_chat_ws_head(length, bytes);
        }
        gy_chat_encode(frame, bytes + head);
    }
    return gy_bump_copy(&world->bumps[conn->worker], &conn->out, bytes, head + length);
}

static void op_output(void *context, struct gy_chat_member *member)
{
    gy_assert(conn_of(member)->attached && conn_of(member)->out.length > 0);
    (void)context;
}

static void op_wake(void *context, struct gy_chat_member *member)
{
    conn_of(member)->woken++;
    (void)context;
}

static void answer_check(struct world *world, struct gy_chat_check *check)
{
    /* A hash that shows the password: what is checked here is who asks for it, and when. */
    uint8_t hash[sizeof check->hash] = {1};
    memcpy(hash + 1, check->password, check->password_bytes < 31 ? check->password_bytes : 31);
    check->result = 0;
    if (check->make) {
        memcpy(check->hash, hash, sizeof hash);
        check->cost_log2 = 4;
    } else if (memcmp(check->hash, hash, sizeof hash) != 0) {
        check->result = GY_EREFUSED;
    }
    gy_chat_hub_checked(world->hubs[check->hub], check);
}

static int op_check(void *context, struct gy_chat_check *check)
{
    struct world *world = world_of(context);
    check->next = world->checks;
    world->checks = check;
    return 0;
}

void world_check(struct world *world)
{
    while (world->checks != NULL) {
        struct gy_chat_check *check = world->checks;
        world->checks = check->next;
        answer_check(world, check);
    }
}

static uint32_t op_token_make(void *context, uint64_t user, struct gy_chat_text nick,
                              uint32_t epoch, char *token)
{
    (void)context;
    return (uint32_t)snprintf(token, GY_CHAT_TOKEN_MAX, "%llu %u %.*s", (unsigned long long)user,
                              epoch, (int)nick.length, nick.bytes);
}

static int op_token_check(void *context, struct gy_chat_text token, struct gy_chat_text nick,
                          uint64_t *user, uint32_t *epoch)
{
    char mine[GY_CHAT_TOKEN_MAX];
    char copy[64] = "";
    char *end;
    memcpy(copy, token.bytes, token.length < 63 ? token.length : 63);
    *user = strtoull(copy, &end, 10);
    *epoch = (uint32_t)strtoul(end, NULL, 10);
    uint32_t bytes = op_token_make(context, *user, nick, *epoch, mine);
    return bytes == token.length && memcmp(mine, token.bytes, bytes) == 0 ? 0 : GY_EREFUSED;
}

static bool op_certificate(void *context, struct gy_chat_member *member,
                           struct gy_chat_text *subject)
{
    (void)context;
    (void)member;
    *subject = gy_chat_text_of("carla");
    return true;
}

static uint64_t op_origin(void *context, struct gy_chat_member *member)
{
    (void)context;
    return conn_of(member)->origin;
}

static bool op_operates(void *context, uint64_t user)
{
    return user != 0 && user == world_of(context)->operator;
}

static void op_operates_now(void *context, uint64_t user, bool operates)
{
    world_of(context)->operator= operates ? user : 0;
}

/* Addresses are conn->origin, in digits. */
static bool ban_matches(const struct world_ban *ban, const struct gy_chat_member *member,
                        struct gy_chat_text nick)
{
    char origin[32];
    snprintf(origin, sizeof origin, "%llu",
             (unsigned long long)((const struct world_conn *)(const void *)member)->origin);
    return gy_chat_text_equal(gy_chat_text_of(ban->subject),
                              ban->kind == GY_CHAT_BAN_NICK ? nick : gy_chat_text_of(origin));
}

static bool op_banned(void *context, struct gy_chat_member *member, struct gy_chat_text nick,
                      char sentence[GY_CHAT_SENTENCE_MAX + 1])
{
    const struct world *world = world_of(context);
    for (uint32_t i = 0; i < world->ban_count; i++) {
        if (ban_matches(&world->bans[i], member, nick)) {
            snprintf(sentence, GY_CHAT_SENTENCE_MAX + 1, "banned: %s", world->bans[i].reason);
            return true;
        }
    }
    return false;
}

static int op_ban_address(void *context, struct gy_chat_text written, char *room, uint32_t *bytes,
                          const char **why)
{
    (void)context;
    *why = "addresses are digits here";
    if (written.length > 20 || memchr(written.bytes, '/', written.length) != NULL) {
        return GY_EINVAL;
    }
    memcpy(room, written.bytes, written.length);
    *bytes = written.length;
    return 0;
}

static void op_ban_changed(void *context, const struct gy_chat_ban *ban, bool lifted)
{
    struct world *world = world_of(context);
    if (lifted) {
        world->ban_count = 0;
        return;
    }
    struct world_ban *put = &world->bans[world->ban_count++];
    gy_assert(world->ban_count <= WORLD_BANS);
    put->kind = ban->kind;
    snprintf(put->subject, sizeof put->subject, "%.*s", (int)ban->subject.length,
             ban->subject.bytes);
    snprintf(put->reason, sizeof put->reason, "%.*s", (int)ban->reason.length, ban->reason.bytes);
}

static bool op_ban_at(void *context, uint64_t place, struct gy_chat_ban *ban)
{
    const struct world *world = world_of(context);
    if (place >= world->ban_count) {
        return false;
    }
    *ban = (struct gy_chat_ban){.kind = world->bans[place].kind,
                                .subject = gy_chat_text_of(world->bans[place].subject),
                                .reason = gy_chat_text_of(world->bans[place].reason),
                                .by = gy_chat_text_of("")};
    return true;
}

static uint32_t op_describe(void *context, struct gy_chat_member *member, char *address,
                            uint64_t *since_ms)
{
    (void)context;
    *since_ms = 5;
    return (uint32_t)snprintf(address, 128, "%llu", (unsigned long long)conn_of(member)->origin);
}

static void op_acted(void *context, const struct gy_chat_act *act)
{
    struct world *world = world_of(context);
    snprintf(world->acted, sizeof world->acted, "%s by %.*s: %.*s in %.*s for %u: %.*s", act->what,
             (int)act->by.length, act->by.bytes, (int)act->whom.length, act->whom.bytes,
             (int)act->room.length, act->room.bytes, act->seconds, (int)act->reason.length,
             act->reason.bytes);
}

static uint64_t op_random(void *context)
{
    return world_random(world_of(context));
}

/* ---- the world ---- */

void world_open(struct world *world, uint32_t workers)
{
    gy_assert(workers <= WORLD_WORKERS_MAX);
    *world = (struct world){.workers = workers,
                            .box_max = 64,
                            .now_ms = 1000,
                            .wall_ms = UINT64_C(1790000000000),
                            .random = 88172645463325252u};
    world->config.make_rooms = GY_CHAT_EVERYBODY;
    world->config.guests = GY_CHAT_EVERYBODY;
    world->config.registering = GY_CHAT_EVERYBODY;
    world->config.workers = workers;
}

void world_start(struct world *world)
{
    static const struct gy_chat_hub_ops ops = {
        .take = op_take,
        .give = op_give,
        .job_make = job_make,
        .job_take = job_take,
        .job_free = job_free,
        .store = op_store,
        .post = op_post,
        .write = op_write,
        .output = op_output,
        .wake = op_wake,
        .check = op_check,
        .token_make = op_token_make,
        .token_check = op_token_check,
        .certificate = op_certificate,
        .operates = op_operates,
        .operates_now = op_operates_now,
        .banned = op_banned,
        .ban_address = op_ban_address,
        .ban_changed = op_ban_changed,
        .ban_at = op_ban_at,
        .describe = op_describe,
        .acted = op_acted,
        .origin = op_origin,
        .random = op_random,
    };
    job_world = world;
    world->memory.next = &world->memory;
    world->memory.before = &world->memory;
    for (uint32_t i = 0; i < world->workers; i++) {
        size_t links = gy_slab_bytes(sizeof(struct gy_link), WORLD_LINKS);
        size_t blocks = gy_slab_bytes(sizeof(struct gy_bump_block), WORLD_BLOCKS);
        world->slabs[i] = aligned_alloc(64, (links + blocks + 63) & ~(size_t)63);
        gy_assert(world->slabs[i] != NULL);
        gy_slab_init(&world->links[i], world->slabs[i], links, sizeof(struct gy_link));
        gy_slab_init(&world->blocks[i], (char *)world->slabs[i] + links, blocks,
                     sizeof(struct gy_bump_block));
        gy_bump_init(&world->bumps[i], &world->blocks[i]);
        world->contexts[i] = i;
        world->config.number = i;
        int code = gy_chat_hub_open(&world->hubs[i], &world->config, &ops, &world->contexts[i],
                                    &world->bumps[i], &world->links[i]);
        gy_assert(code == 0);
        gy_chat_hub_clock(world->hubs[i], world->now_ms, world->wall_ms);
    }
}

static void drop_conns(struct world *world)
{
    while (world->conns != NULL) {
        struct world_conn *conn = world->conns;
        world->conns = conn->next;
        gy_chain_clear(&conn->out);
        conn->attached = false;
        free(conn->in);
        conn->in = NULL;
    }
}

static void drop_slabs(struct world *world)
{
    for (uint32_t i = 0; i < world->workers; i++) {
        gy_bump_close(&world->bumps[i]);
        gy_assert(world->blocks[i].used == 0 && world->links[i].used == 0);
        gy_slab_init(&world->links[i], world->slabs[i], gy_slab_bytes(sizeof(struct gy_link), 1),
                     sizeof(struct gy_link));
        free(world->slabs[i]);
    }
}

void world_crash(struct world *world)
{
    drop_conns(world);
    drop_slabs(world);
    for (struct world_memory *next, *at = world->memory.next; at != &world->memory; at = next) {
        next = at->next;
        free(at);
    }
    world->memory_bytes = 0;
    memset(world->boxes, 0, sizeof world->boxes);
    world->store.pending_count = 0;
    world->checks = NULL;
    world_start(world);
}

void world_close(struct world *world)
{
    while (world->conns != NULL) {
        conn_close(world->conns);
    }
    world_settle(world, 10000);
    for (uint32_t i = 0; i < world->workers; i++) {
        gy_chat_hub_close(world->hubs[i]);
    }
    gy_assert(world->memory_bytes == 0);
    drop_slabs(world);
    for (uint32_t i = 0; i < world->store.room_count; i++) {
        for (uint32_t j = 0; j < world->store.rooms[i].count; j++) {
            union {
                const char *in;
                char *out;
            } from = {.in = world->store.rooms[i].entries[j].entry.from.bytes},
              contents = {.in = world->store.rooms[i].entries[j].entry.contents.bytes};
            free(from.out);
            free(contents.out);
        }
        free(world->store.rooms[i].entries);
    }
    free(world->store.pending);
}

void world_turn(struct world *world)
{
    for (uint32_t i = 0; i < world->workers; i++) {
        gy_chat_hub_clock(world->hubs[i], world->now_ms, world->wall_ms);
        for (uint32_t from = 0; from < world->workers && !world->deaf[i]; from++) {
            struct world_box *box = &world->boxes[from][i];
            while (box->head != NULL) {
                struct gy_chat_parcel *parcel = box->head;
                box->head = parcel->next;
                box->count--;
                gy_chat_hub_parcel(world->hubs[i], parcel);
            }
        }
    }
    store_turn(world);
    if (!world->slow_checks) {
        world_check(world);
    }
    for (uint32_t i = 0; i < world->workers; i++) {
        gy_chat_hub_flush(world->hubs[i]);
    }
    for (struct world_conn *conn = world->conns; conn != NULL; conn = conn->next) {
        if (!conn->stalled) {
            conn_read(conn, conn->out.length);
        }
    }
}

static bool is_quiet(const struct world *world)
{
    for (uint32_t i = 0; i < world->workers; i++) {
        if (!gy_chat_hub_idle(world->hubs[i])) {
            return false;
        }
        for (uint32_t j = 0; j < world->workers; j++) {
            if (world->boxes[i][j].count > 0) {
                return false;
            }
        }
    }
    for (const struct world_conn *conn = world->conns; conn != NULL; conn = conn->next) {
        if (!conn->stalled &&
            (conn->out.length > 0 || (conn->member.lagging > 0 && !conn->ended))) {
            return false;
        }
    }
    return world->store.pending_count == 0 && world->checks == NULL;
}

void world_settle(struct world *world, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        world_turn(world);
        if (is_quiet(world)) {
            return;
        }
        world->now_ms++;
        world->wall_ms++;
    }
}

void world_pass(struct world *world, uint64_t ms)
{
    world->now_ms += ms;
    world->wall_ms += ms;
    for (uint32_t i = 0; i < world->workers; i++) {
        gy_chat_hub_clock(world->hubs[i], world->now_ms, world->wall_ms);
    }
    world_settle(world, 1000);
}

struct gy_chat_hub_counters world_counters(const struct world *world)
{
    struct gy_chat_hub_counters sum = {0};
    uint64_t *to = (uint64_t *)&sum;
    for (uint32_t i = 0; i < world->workers; i++) {
        const uint64_t *from = (const uint64_t *)gy_chat_hub_counters(world->hubs[i]);
        for (size_t j = 0; j < sizeof sum / sizeof *to; j++) {
            to[j] += from[j];
        }
    }
    return sum;
}

/* ---- connections ---- */

void conn_open(struct world *world, struct world_conn *conn, uint32_t worker,
               enum gy_chat_encoding encoding)
{
    *conn = (struct world_conn){.world = world, .worker = worker, .next = world->conns};
    world->conns = conn;
    gy_chain_init(&conn->out, &world->links[worker]);
    int code = gy_chat_hub_attach(world->hubs[worker], &conn->member, &conn->out, encoding,
                                  GY_CHAT_FEATURE_TYPING | GY_CHAT_FEATURE_PRESENCE);
    gy_assert(code == 0);
    conn->attached = true;
}

void conn_close(struct world_conn *conn)
{
    gy_assert(conn->attached);
    gy_chat_hub_detach(&conn->member);
    gy_chain_clear(&conn->out);
    conn->attached = false;
    struct world_conn **at = &conn->world->conns;
    while (*at != conn) {
        at = &(*at)->next;
    }
    *at = conn->next;
    free(conn->in);
    conn->in = NULL;
}

void conn_read(struct world_conn *conn, uint32_t bytes)
{
    uint32_t taken = bytes < conn->out.length ? bytes : conn->out.length;
    if (conn->in_bytes + taken > conn->in_capacity) {
        conn->in_capacity = (conn->in_bytes + taken) * 2;
        conn->in = realloc(conn->in, conn->in_capacity);
        gy_assert(conn->in != NULL);
    }
    if (taken > 0) {
        gy_chain_copy(&conn->out, 0, taken, conn->in + conn->in_bytes);
        gy_chain_consume(&conn->out, taken);
        conn->in_bytes += taken;
    }
    const struct gy_chat_hub_config *config = &conn->world->config;
    uint32_t mark = config->mark_bytes == 0 ? 131072 : config->mark_bytes;
    uint32_t low = config->low_bytes == 0 ? mark / 4 : config->low_bytes;
    if (conn->member.lagging > 0 && conn->out.length <= low && !conn->ended) {
        gy_chat_hub_room(&conn->member);
    }
}

static bool next_of_book(struct world_conn *conn, struct gy_chat_frame *frame)
{
    const uint8_t *at = conn->in + conn->at;
    uint32_t left = conn->in_bytes - conn->at;
    if (left < 5) {
        return false;
    }
    uint32_t from = (uint32_t)at[1] << 8 | at[2];
    if (left < 5 + from) {
        return false;
    }
    uint32_t contents = (uint32_t)at[3 + from] << 8 | at[4 + from];
    if (left < 5 + from + contents) {
        return false;
    }
    gy_assert(at[0] == 0x02);
    *frame = (struct gy_chat_frame){
        .type = GY_CHAT_MESSAGE,
        .body.message = {.from = {(const char *)at + 3, from},
                         .contents = {(const char *)at + 5 + from, contents}}};
    conn->at += 5 + from + contents;
    return true;
}

/* Takes the head of a message away, when one begins here; false: it is not whole. */
static bool past_head(struct world_conn *conn)
{
    if (conn->member.encoding != GY_CHAT_OVER_WEBSOCKET || conn->message_end != 0) {
        return true;
    }
    const uint8_t *at = conn->in + conn->at;
    uint32_t left = conn->in_bytes - conn->at;
    if (left < 4) {
        return false;
    }
    gy_assert(at[0] == 0x82 && at[1] <= 126);
    uint32_t head = at[1] == 126 ? 4 : 2;
    uint32_t bytes = at[1] == 126 ? (uint32_t)at[2] << 8 | at[3] : at[1];
    if (left < head + bytes) {
        return false;
    }
    conn->at += head;
    conn->message_end = conn->at + bytes;
    return true;
}

bool conn_next(struct world_conn *conn, struct gy_chat_frame *frame)
{
    if (conn->member.encoding == GY_CHAT_OVER_BOOK) {
        return next_of_book(conn, frame);
    }
    if (conn->in_bytes == conn->at || !past_head(conn)) {
        return false;
    }
    int64_t bytes =
        gy_chat_frame_bytes(conn->in + conn->at, conn->in_bytes - conn->at, GY_CHAT_FRAME_MAX);
    gy_assert(bytes >= 0);
    if (bytes == 0 || bytes > conn->in_bytes - conn->at) {
        return false;
    }
    int code = gy_chat_decode(conn->in + conn->at, (uint32_t)bytes, frame, NULL);
    gy_assert(code == 0);
    conn->at += (uint32_t)bytes;
    if (conn->message_end != 0) {
        gy_assert(conn->at <= conn->message_end);
        if (conn->at == conn->message_end) {
            conn->message_end = 0;
        }
    }
    return true;
}

void conn_forget(struct world_conn *conn)
{
    if (conn->at == conn->in_bytes) {
        conn->at = 0;
        conn->in_bytes = 0;
    }
}
