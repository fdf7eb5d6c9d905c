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
