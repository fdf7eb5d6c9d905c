/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_world_internal.h"

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

void *world_take(struct world *world, size_t bytes)
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

void world_give(struct world *world, void *pointer)
{
    struct world_memory *memory = (struct world_memory *)((char *)pointer - sizeof *memory - 8);
    memory->before->next = memory->next;
    memory->next->before = memory->before;
    world->memory_bytes -= memory->bytes;
    free(memory);
}

static void *op_take(void *context, size_t bytes)
{
    return world_take(world_of(context), bytes);
}

static void op_give(void *context, void *memory, size_t bytes)
{
    const struct world_memory *head =
        (const struct world_memory *)((char *)memory - sizeof *head - 8);
    gy_assert(head->bytes == bytes);
    world_give(world_of(context), memory);
}

/* ---- the store: what comes back, and when ---- */

static void op_store(void *context, struct gy_chat_job *job)
{
    struct world *world = world_of(context);
    struct world_store *store = &world->store;
    gy_assert(job->hub == *(const uint32_t *)context);
    if (store->latency_ms == 0 && store->pending_count == 0) {
        job->result = world_do_job(world, job);
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
        store->pending[due].job->result = world_do_job(world, store->pending[due].job);
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
        .job_make = world_job_make,
        .job_take = world_job_take,
        .job_free = world_job_free,
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
    world_of_jobs = world;
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
