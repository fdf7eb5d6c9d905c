/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_SERVER_JOBS_H
#define GY_TESTS_CHAT_SERVER_JOBS_H

/* Jobs for the tests of the store. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "servers/chat/job.h"
#include "servers/chat/store_db.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static inline struct gy_chat_text text_of(const char *text)
{
    return (struct gy_chat_text){text, (uint32_t)strlen(text)};
}

static inline struct gy_chat_job *job_of(enum gy_chat_job_type type)
{
    struct gy_chat_job *job = gy_chat_job_make(type);
    assert_non_null(job);
    return job;
}

/* An append of one message to a room. */
static inline struct gy_chat_job *append_of(uint32_t room, uint64_t next, uint64_t user,
                                            uint64_t client_id, const char *contents)
{
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_APPEND);
    job->room = room;
    job->next_id = next;
    job->entries = gy_chat_job_take(job, sizeof *job->entries);
    assert_non_null(job->entries);
    job->entries[0] = (struct gy_chat_entry){
        .time_ms = 1000 * next, .user = user, .client_id = client_id, .from = text_of("anna")};
    assert_int_equal(
        gy_chat_job_text(job, &job->entries[0].contents, contents, (uint32_t)strlen(contents)), 0);
    job->entry_count = 1;
    return job;
}

static inline struct gy_chat_job *read_of(uint32_t room, uint8_t by, uint64_t point, uint32_t max)
{
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_READ);
    job->room = room;
    job->by = by;
    job->point = point;
    job->entries_max = max;
    return job;
}

static inline struct gy_chat_job *open_of(const char *name, bool make)
{
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_OPEN_ROOM);
    assert_int_equal(gy_chat_job_text(job, &job->name, name, (uint32_t)strlen(name)), 0);
    job->make = make;
    return job;
}

static inline bool text_is(struct gy_chat_text text, const char *expected)
{
    return text.length == strlen(expected) && memcmp(text.bytes, expected, text.length) == 0;
}

#endif
