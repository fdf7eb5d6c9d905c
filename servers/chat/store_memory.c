/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A store of memory alone: for those who want chat without a history that lasts, and to measure
 * what durability costs. */

#include <sys/random.h>

#include "servers/chat/store_memory_internal.h"

#define ACCOUNTS_MAX 65536u

/* ---- accounts ---- */

static struct account *find_account(const struct gy_chat_memory *memory,
                                    struct gy_chat_text canonical)
{
    struct account *account = memory->accounts[memory_bucket(memory, canonical)];
    while (account != NULL && !memory_same(account->account.canonical, canonical)) {
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

static int change_account(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct account *found = find_account(memory, job->account.canonical);
    if (found == NULL) {
        return GY_ENOTFOUND;
    }
    struct gy_chat_account *account = &found->account;
    if ((job->change & GY_CHAT_CHANGE_PASSWORD) != 0) {
        memcpy(account->salt, job->account.salt, sizeof account->salt);
        memcpy(account->hash, job->account.hash, sizeof account->hash);
        account->cost_log2 = job->account.cost_log2;
    }
    account->epoch += (job->change & GY_CHAT_CHANGE_EPOCH) != 0;
    if ((job->change & GY_CHAT_CHANGE_OPERATES) != 0) {
        account->operates = job->account.operates;
    }
    return do_account(memory, job);
}

/* Nothing keeps them in order: so each of a page is looked for. */
static const struct account *account_after(const struct gy_chat_memory *memory,
                                           struct gy_chat_text name)
{
    const struct account *best = NULL;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (const struct account *at = memory->accounts[i]; at != NULL; at = at->same) {
            if (memory_compare(at->account.canonical, name) > 0 &&
                (best == NULL ||
                 memory_compare(at->account.canonical, best->account.canonical) < 0)) {
                best = at;
            }
        }
    }
    return best;
}

static int list_accounts(struct gy_chat_memory *memory, struct gy_chat_job *job)
{
    struct gy_chat_text name = job->name;
    const struct account *account;
    int code = memory_take_entries(job);
    while (code == 0 && (account = account_after(memory, name)) != NULL) {
        if (job->entry_count == job->entries_max) {
            job->more = true;
            break;
        }
        struct gy_chat_entry *entry = &job->entries[job->entry_count++];
        name = account->account.canonical;
        *entry = (struct gy_chat_entry){.user = account->account.user,
                                        .kind = account->account.operates,
                                        .time_ms = account->made_ms};
        code = gy_chat_job_text(job, &entry->from, account->account.nick.bytes,
                                account->account.nick.length);
        code = code == 0 ? gy_chat_job_text(job, &entry->contents, name.bytes, name.length) : code;
    }
    return code;
}

static void free_account(struct account *account)
{
    memory_free_text(account->account.nick);
    memory_free_text(account->account.canonical);
    memory_free_text(account->account.certificate);
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
    made->account.nick = memory_copy(job->account.nick);
    made->account.canonical = memory_copy(job->account.canonical);
    made->account.certificate = memory_copy(job->account.certificate);
    if (made->account.nick.bytes == NULL || made->account.canonical.bytes == NULL ||
        made->account.certificate.bytes == NULL) {
        free_account(made);
        return GY_ENOMEM;
    }
    uint32_t bucket = memory_bucket(memory, made->account.canonical);
    made->account.user = ++memory->account_count;
    made->made_ms = job->now_ms;
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
        return memory_open_room(memory, job);
    case GY_CHAT_JOB_APPEND:
        return memory_append(memory, job);
    case GY_CHAT_JOB_READ:
        return memory_read(memory, job);
    case GY_CHAT_JOB_STANDING:
        return memory_standing(memory, job);
    case GY_CHAT_JOB_SETTINGS:
        return memory_settings(memory, job);
    case GY_CHAT_JOB_ROOMS:
        return memory_rooms(memory, job);
    case GY_CHAT_JOB_ACCOUNT:
        return do_account(memory, job);
    case GY_CHAT_JOB_NEW_ACCOUNT:
        return do_new_account(memory, job);
    case GY_CHAT_JOB_CLOSE_ROOM:
        return memory_close_room(memory, job);
    case GY_CHAT_JOB_KEEP_ROOM:
    case GY_CHAT_JOB_DROP_ROOM:
        return memory_stay(memory, job);
    case GY_CHAT_JOB_CHANGE_ACCOUNT:
        return change_account(memory, job);
    case GY_CHAT_JOB_ACCOUNTS:
        return list_accounts(memory, job);
    case GY_CHAT_JOB_BAN: /* the list in memory has them (bans.h) */
    case GY_CHAT_JOB_UNBAN:
        return 0;
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
        memory_free_room(memory->sorted[i]);
    }
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (memory->accounts[i] != NULL) {
            struct account *next = memory->accounts[i]->same;
            free_account(memory->accounts[i]);
            memory->accounts[i] = next;
        }
    }
    pthread_mutex_destroy(&memory->lock);
    free(memory->sorted);
    free(memory);
}
