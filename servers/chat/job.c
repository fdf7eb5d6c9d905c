/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/job.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096u
#define ALIGN       16u

struct gy_chat_job *gy_chat_job_make(enum gy_chat_job_type type)
{
    struct gy_chat_job *job = calloc(1, sizeof *job);
    if (job != NULL) {
        job->type = type;
    }
    return job;
}

void *gy_chat_job_take(struct gy_chat_job *job, size_t bytes)
{
    struct gy_chat_block *block = job->blocks;
    if (bytes > UINT32_MAX / 2) {
        return NULL;
    }
    uint32_t whole = ((uint32_t)bytes + ALIGN - 1) & ~(ALIGN - 1);
    if (block == NULL || block->bytes - block->used < whole) {
        uint32_t room = whole > BLOCK_BYTES ? whole : BLOCK_BYTES;
        _Static_assert(sizeof *block % ALIGN == 0, "what follows it is aligned as malloc's");
        block = malloc(sizeof *block + room);
        if (block == NULL) {
            return NULL;
        }
        *block = (struct gy_chat_block){.next = job->blocks, .bytes = room};
        job->blocks = block;
    }
    uint8_t *taken = (uint8_t *)(block + 1) + block->used;
    block->used += whole;
    return taken;
}

int gy_chat_job_text(struct gy_chat_job *job, struct gy_chat_text *copy, const void *bytes,
                     uint32_t length)
{
    char *room = gy_chat_job_take(job, length > 0 ? length : 1);
    if (room == NULL) {
        return GY_ENOMEM;
    }
    if (length > 0) {
        memcpy(room, bytes, length);
    }
    *copy = (struct gy_chat_text){room, length};
    return 0;
}

void gy_chat_job_free(struct gy_chat_job *job)
{
    if (job == NULL) {
        return;
    }
    while (job->blocks != NULL) {
        struct gy_chat_block *next = job->blocks->next;
        free(job->blocks);
        job->blocks = next;
    }
    free(job);
}
