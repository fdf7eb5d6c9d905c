/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_SERVER_STORE_RIG_H
#define GY_TESTS_CHAT_SERVER_STORE_RIG_H

/* A store on a disk that works, for each test anew. */

#include "tests/chat_server/jobs.h"
#include "tests/chat_server/power.h"

static struct gy_chat_db *db;

static inline void reopen(const struct gy_chat_retention *retention)
{
    struct gy_error error = {0};
    struct gy_chat_db_options options = {.path = "chat.db", .vfs = POWER_VFS};
    if (retention != NULL) {
        options.retention = *retention;
    }
    gy_chat_db_close(db);
    db = NULL;
    if (gy_chat_db_open(&db, &options, &error) != 0) {
        fail_msg("%s", error.message);
    }
}

static inline int set_up(void **state)
{
    (void)state;
    power_reset(1);
    reopen(NULL);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    gy_chat_db_close(db);
    db = NULL;
    power_free();
    return 0;
}

/* Does one job, frees it, and says how it went. */
static inline int run(struct gy_chat_job *job)
{
    gy_chat_db_run(db, job);
    int result = job->result;
    gy_chat_job_free(job);
    return result;
}

static inline uint32_t make_room(const char *name)
{
    struct gy_chat_job *job = open_of(name, true);
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    uint32_t room = job->room;
    gy_chat_job_free(job);
    return room;
}

static inline void say(uint32_t room, uint64_t from, uint64_t upto)
{
    for (uint64_t id = from; id <= upto; id++) {
        assert_int_equal(run(append_of(room, id, 7, 0, "hello")), 0);
    }
}

static inline void check_read(uint32_t room, uint8_t by, uint64_t point, uint32_t max,
                              uint64_t first, uint64_t last, bool more)
{
    struct gy_chat_job *job = read_of(room, by, point, max);
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_int_equal(job->more, more);
    if (first == 0) {
        assert_int_equal(job->entry_count, 0);
    } else {
        assert_true(job->entry_count > 0);
        assert_int_equal(job->entries[0].id, first);
        assert_int_equal(job->entries[job->entry_count - 1].id, last);
        assert_true(text_is(job->entries[0].from, "anna"));
        assert_true(text_is(job->entries[0].contents, "hello"));
    }
    gy_chat_job_free(job);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
