/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A room of the chat server: what it costs to pass messages on to many, from the request to the
 * bytes in everybody's chain, with a store that answers at once. */

#include <stdlib.h>
#include <string.h>

#include "bench/work/work.h"
#include "protocols/chat/hub.h"
#include "servers/chat/job.h"

#define MEMBERS_MAX 1000
#define BLOCKS      64
#define TEXT        "sixty-four bytes of what people say to each other, as benchmarks do"

struct chat_work {
    struct gy_chat_hub *hub;
    struct gy_bump bump;
    struct gy_slab blocks, links;
    uint32_t members;
    uint32_t messages; /* of one turn */
    uint32_t room;
    uint64_t next_id;
    uint64_t random;
    struct gy_chat_member member[MEMBERS_MAX];
    struct gy_chain out[MEMBERS_MAX];
};

static void *take(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void give(void *context, void *memory, size_t bytes)
{
    (void)context;
    (void)bytes;
    free(memory);
}

static void store(void *context, struct gy_chat_job *job)
{
    struct chat_work *work = context;
    job->room = 1;
    job->first = 1;
    job->result = job->type == GY_CHAT_JOB_ACCOUNT ? GY_ENOTFOUND : 0;
    for (uint32_t i = 0; job->type == GY_CHAT_JOB_APPEND && i < job->entry_count; i++) {
        job->entries[i].id = job->next_id + i;
    }
    gy_chat_hub_stored(work->hub, job);
}

static int post(void *context, uint32_t worker, struct gy_chat_parcel *parcel)
{
    (void)context;
    (void)worker;
    (void)parcel;
    return GY_ENOBUFS;
}

static int write_frame(void *context, struct gy_chat_member *member,
                       const struct gy_chat_frame *frame)
{
    struct chat_work *work = context;
    uint8_t *room = gy_bump_reserve(&work->bump, gy_chat_encoded_bytes(frame));
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    return gy_bump_commit(&work->bump, member->out, gy_chat_encode(frame, room));
}

static void nothing(void *context, struct gy_chat_member *member)
{
    (void)context;
    (void)member;
}

static int check(void *context, struct gy_chat_check *asked)
{
    (void)context;
    (void)asked;
    return GY_ENOBUFS;
}

static uint32_t token_make(void *context, uint64_t user, struct gy_chat_text nick, uint32_t epoch,
                           char *token)
{
    (void)epoch;
    (void)context;
    (void)user;
    (void)nick;
    (void)token;
    return 0;
}

static int token_check(void *context, struct gy_chat_text token, struct gy_chat_text nick,
                       uint64_t *user, uint32_t *epoch)
{
    (void)epoch;
    (void)context;
    (void)token;
    (void)nick;
    (void)user;
    return GY_EREFUSED;
}

static bool certificate(void *context, struct gy_chat_member *member, struct gy_chat_text *subject)
{
    (void)context;
    (void)member;
    (void)subject;
    return false;
}

static uint64_t numbers(void *context)
{
    struct chat_work *work = context;
    return ++work->random * UINT64_C(0x9e3779b97f4a7c15);
}

static void empty(struct chat_work *work)
{
    for (uint32_t i = 0; i < work->members; i++) {
        gy_chain_clear(&work->out[i]);
    }
}

static void come(struct chat_work *work, uint32_t index)
{
    char nick[8] = {'a', (char)('a' + index % 26), (char)('a' + index / 26 % 26),
                    (char)('a' + index / 676), 0};
    gy_chain_init(&work->out[index], &work->links);
    int code = gy_chat_hub_attach(work->hub, &work->member[index], &work->out[index],
                                  GY_CHAT_OVER_STREAM, 0);
    gy_assert(code == 0);
    const struct gy_chat_frame login = {
        .type = GY_CHAT_LOGIN,
        .body.login = {.nick = {nick, (uint32_t)strlen(nick)}, .method = GY_CHAT_GUEST}};
    const struct gy_chat_frame join = {
        .type = GY_CHAT_JOIN,
        .body.join = {.room = {"tea", 3}, .since = GY_CHAT_NONE, .policy = GY_CHAT_SPILL}};
    code = gy_chat_hub_request(&work->member[index], &login);
    gy_assert(code == 0 && work->member[index].user != 0);
    code = gy_chat_hub_request(&work->member[index], &join);
    gy_assert(code == 0 && work->member[index].subscriptions != NULL);
    gy_chat_hub_flush(work->hub);
    empty(work);
}

static void *open_chat(uint32_t members, uint32_t messages)
{
    static const struct gy_chat_hub_ops ops = {.take = take,
                                               .give = give,
                                               .job_make = gy_chat_job_make,
                                               .job_take = gy_chat_job_take,
                                               .job_free = gy_chat_job_free,
                                               .store = store,
                                               .post = post,
                                               .write = write_frame,
                                               .output = nothing,
                                               .wake = nothing,
                                               .check = check,
                                               .token_make = token_make,
                                               .token_check = token_check,
                                               .certificate = certificate,
                                               .random = numbers};
    const struct gy_chat_hub_config config = {
        .workers = 1, .guests = GY_CHAT_EVERYBODY, .make_rooms = GY_CHAT_EVERYBODY};
    struct chat_work *work = work_memory(sizeof *work);
    work_slab(&work->blocks, sizeof(struct gy_bump_block), BLOCKS);
    work_slab(&work->links, sizeof(struct gy_link), MEMBERS_MAX * 4);
    gy_bump_init(&work->bump, &work->blocks);
    work->messages = messages;
    int code = gy_chat_hub_open(&work->hub, &config, &ops, work, &work->bump, &work->links);
    gy_assert(code == 0);
    gy_chat_hub_clock(work->hub, 1000, 1000);
    for (uint32_t i = 0; i < members; i++) {
        work->members = i + 1;
        come(work, i);
    }
    return work;
}

static void run_chat(void *state, uint64_t iterations)
{
    struct chat_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (uint32_t j = 0; j < work->messages; j++) {
            const struct gy_chat_frame frame = {
                .type = GY_CHAT_SEND,
                .tag = 1,
                .body.send = {.room = 1, .client_id = ++work->next_id, .contents = {TEXT, 64}}};
            int code = gy_chat_hub_request(&work->member[0], &frame);
            gy_assert(code == 0);
        }
        gy_chat_hub_flush(work->hub);
        gy_assert(work->out[work->members - 1].length > 64 * work->messages);
        empty(work);
    }
}

static void count_chat(void *state, struct work_counts *counts)
{
    const struct chat_work *work = state;
    counts->copied_bytes = gy_chat_hub_counters(work->hub)->copied_bytes;
}

static void *open_100(void)
{
    return open_chat(100, 64);
}

static void *open_1000(void)
{
    return open_chat(1000, 16);
}

static void *open_1000_one(void)
{
    return open_chat(1000, 1);
}

const struct work work_chat_rows[] = {
    {"chat-100x64", "a message to one of 100 readers, 64 messages a turn", 64 * 99, open_100,
     run_chat, count_chat},
    {"chat-1000x16", "a message to one of 1,000 readers, 16 messages a turn", 16 * 999, open_1000,
     run_chat, count_chat},
    {"chat-1000x1", "a message to one of 1,000 readers, one message a turn", 999, open_1000_one,
     run_chat, count_chat},
};
const uint32_t work_chat_row_count = sizeof work_chat_rows / sizeof work_chat_rows[0];
