/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The store of chat, on a disk that works: what is kept of it, and its files. */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "servers/chat/holder.h"
#include "servers/chat/place.h"
#include "tests/chat_server/store_rig.h"

static char path[] = "/tmp/gyre-chat-XXXXXX";

/* ---- retention ---- */

static void prune_all(uint64_t now_ms)
{
    int steps = 0;
    while (gy_chat_db_prune(db, now_ms)) {
        assert_true(++steps < 100);
    }
}

static void check_span(uint32_t room, uint64_t first, uint64_t last)
{
    struct gy_chat_job *job = read_of(room, 0, 0, 1);
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_int_equal(job->first, first);
    assert_int_equal(job->last, last);
    gy_chat_job_free(job);
}

static void old_messages_go_by_count(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    uint32_t other = make_room("b");
    say(room, 1, 600);
    say(other, 1, 10);
    struct gy_chat_retention keep = {.count = 10};
    gy_chat_db_retain(db, &keep);
    prune_all(1);
    check_span(room, 591, 600);
    check_span(other, 1, 10);
    assert_int_equal(gy_chat_db_pruned(db), 590);
    say(room, 601, 601);
}

static void old_messages_go_by_bytes_but_never_the_last(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    say(room, 1, 100); /* of 9 bytes each, with the sender's name */
    struct gy_chat_retention keep = {.bytes = 90};
    gy_chat_db_retain(db, &keep);
    prune_all(1);
    check_span(room, 91, 100);
    keep.bytes = 95;
    gy_chat_db_retain(db, &keep);
    prune_all(1);
    check_span(room, 91, 100);
    keep.bytes = 1;
    gy_chat_db_retain(db, &keep);
    prune_all(1);
    check_span(room, 100, 100);
}

static void all_messages_can_be_too_old_and_their_ids_are_not_given_again(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    say(room, 1, 9);
    assert_int_equal(run(append_of(room, 10, 7, 99, "hello")), 0);
    struct gy_chat_retention keep = {.age_ms = 1000};
    gy_chat_db_retain(db, &keep);
    prune_all(6500);
    check_span(room, 6, 10);
    prune_all(60000);
    check_span(room, 11, 10);
    reopen(&keep);
    check_span(room, 11, 10);
    struct gy_chat_job *job = append_of(room, 11, 7, 99, "hello"); /* sent again after all */
    gy_chat_db_run(db, job);
    assert_true(job->entries[0].duplicate);
    assert_int_equal(job->entries[0].id, 10);
    gy_chat_job_free(job);
    say(room, 11, 11);
    prune_all(GY_CHAT_CLIENT_MS + 60000);
    job = append_of(room, 12, 7, 99, "hello"); /* a month later it is another one */
    gy_chat_db_run(db, job);
    assert_false(job->entries[0].duplicate);
    gy_chat_job_free(job);
}

/* ---- files ---- */

static void execute(sqlite3 *sqlite, const char *text)
{
    assert_int_equal(sqlite3_exec(sqlite, text, NULL, NULL, NULL), SQLITE_OK);
}

/* As release 1 of the schema made it. */
static void a_database_of_the_first_version_is_brought_up(void **state)
{
    (void)state;
    static const char first[] =
        "CREATE TABLE rooms (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, "
        "topic TEXT NOT NULL DEFAULT '', slow_ms INTEGER NOT NULL DEFAULT 0, "
        "last_id INTEGER NOT NULL DEFAULT 0, made_ms INTEGER NOT NULL);"
        "CREATE TABLE messages (room INTEGER NOT NULL REFERENCES rooms, id INTEGER NOT NULL, "
        "time_ms INTEGER NOT NULL, kind INTEGER NOT NULL, target INTEGER NOT NULL, "
        "user INTEGER NOT NULL, client_id INTEGER NOT NULL, sender TEXT NOT NULL, "
        "contents TEXT NOT NULL, bytes INTEGER NOT NULL, total INTEGER NOT NULL, "
        "PRIMARY KEY (room, id)) WITHOUT ROWID;"
        "CREATE TABLE sent (n INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL, "
        "user INTEGER NOT NULL, client_id INTEGER NOT NULL, id INTEGER NOT NULL, "
        "time_ms INTEGER NOT NULL, UNIQUE (room, user, client_id));"
        "CREATE TABLE standings (room INTEGER NOT NULL REFERENCES rooms, user INTEGER NOT NULL, "
        "role INTEGER NOT NULL, banned INTEGER NOT NULL, muted INTEGER NOT NULL, "
        "banned_until_ms INTEGER NOT NULL, muted_until_ms INTEGER NOT NULL, "
        "PRIMARY KEY (room, user)) WITHOUT ROWID;"
        "CREATE TABLE accounts (user INTEGER PRIMARY KEY AUTOINCREMENT, nick TEXT NOT NULL, "
        "canonical TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, hash BLOB NOT NULL, "
        "cost INTEGER NOT NULL, made_ms INTEGER NOT NULL);"
        "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
        "INSERT INTO secrets VALUES ('tokens', randomblob(32));"
        "INSERT INTO rooms VALUES (1, 'a', 'old', 0, 0, 5);"
        "INSERT INTO messages VALUES (1, 1, 1000, 0, 0, 7, 3, 'anna', 'hello', 9, 9);"
        "INSERT INTO sent VALUES (1, 1, 7, 3, 1, 1000);"
        "INSERT INTO accounts VALUES (1, 'Anna', 'anna', zeroblob(16), zeroblob(32), 15, 5);"
        "PRAGMA user_version = 1;";
    sqlite3 *sqlite = NULL;
    gy_chat_db_close(db);
    db = NULL;
    power_reset(2);
    assert_int_equal(
        sqlite3_open_v2("chat.db", &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, POWER_VFS),
        SQLITE_OK);
    execute(sqlite, first);
    sqlite3_close(sqlite);
    reopen(NULL);
    check_read(1, 0, 0, 10, 1, 1, false);
    struct gy_chat_job *job = append_of(1, 2, 7, 3, "hello");
    gy_chat_db_run(db, job);
    assert_true(job->entries[0].duplicate);
    gy_chat_job_free(job);
    job = job_of(GY_CHAT_JOB_ACCOUNT);
    job->account.canonical = text_of("anna");
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_int_equal(job->account.certificate.length, 0);
    gy_chat_job_free(job);
}

static void a_database_of_a_newer_version_is_left_alone(void **state)
{
    (void)state;
    struct gy_error error = {0};
    struct gy_chat_db_options options = {.path = "chat.db", .vfs = POWER_VFS};
    sqlite3 *sqlite = NULL;
    gy_chat_db_close(db);
    db = NULL;
    assert_int_equal(sqlite3_open_v2("chat.db", &sqlite, SQLITE_OPEN_READWRITE, POWER_VFS),
                     SQLITE_OK);
    execute(sqlite, "PRAGMA locking_mode = EXCLUSIVE");
    execute(sqlite, "PRAGMA user_version = 99");
    sqlite3_close(sqlite);
    assert_int_equal(gy_chat_db_open(&db, &options, &error), GY_ENOTSUP);
    assert_non_null(strstr(error.message, "newer release"));
}

static void two_processes_cannot_have_the_same_file(void **state)
{
    (void)state;
    struct gy_error error = {0};
    struct gy_chat_db_options options = {.path = path};
    struct gy_chat_db *one = NULL;
    struct gy_chat_db *two = NULL;
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_int_equal(gy_chat_db_open(&one, &options, &error), 0);
    assert_int_equal(gy_chat_db_open(&two, &options, &error), GY_EAGAIN);
    assert_non_null(strstr(error.message, "another process"));
    gy_chat_db_close(one);
    assert_int_equal(gy_chat_db_open(&two, &options, &error), 0);
    gy_chat_db_close(two);
    unlink(path);
}

static void check_says(const char *what, const char *why)
{
    struct gy_error error = {0};
    int code = gy_chat_store_check(what, &error);
    assert_int_equal(code == 0, why == NULL);
    if (why != NULL) {
        assert_non_null(strstr(error.message, what));
        assert_non_null(strstr(error.message, why));
    }
}

/* Has a store open in a process of its own, until the pipe it reads from is closed. */
static pid_t open_elsewhere(const char *name, int *until)
{
    int ready[2], end[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct gy_error error = {0};
        struct gy_chat_db_options options = {.path = name};
        struct gy_chat_db *own = NULL;
        close(end[1]);
        bool told = gy_chat_db_open(&own, &options, &error) == 0 && write(ready[1], "!", 1) == 1;
        _exit(told && read(end[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ready[1]);
    close(end[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *until = end[1];
    return pid;
}

static void who_has_a_file_open_is_told(void **state)
{
    (void)state;
    struct gy_error error = {0};
    struct gy_chat_holder holder = {0};
    char name[] = "/tmp/gyre-chat-XXXXXX";
    int until, descriptor = mkstemp(name);
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_false(gy_chat_holder_find(&holder, name));
    assert_int_equal(gy_chat_holder_judge(&holder, name, 0, &error), GY_EAGAIN);
    pid_t pid = open_elsewhere(name, &until);
    if (!gy_chat_holder_find(&holder, name)) {
        print_message("skipped: this file system's locks cannot be found in /proc/locks\n");
        skip();
    }
    assert_int_equal(holder.pid, pid);
    assert_false(holder.own || holder.sibling);
    assert_true(holder.name[0] != '\0');
    assert_int_equal(gy_chat_holder_judge(&holder, name, GY_CHAT_HOLDER_WAIT_MS - 1, &error), 0);
    assert_int_equal(gy_chat_holder_judge(&holder, name, GY_CHAT_HOLDER_WAIT_MS, &error),
                     GY_EREFUSED);
    char number[32];
    snprintf(number, sizeof number, "process %d", (int)pid);
    assert_non_null(strstr(error.message, name));
    assert_non_null(strstr(error.message, number));
    close(until);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(gy_chat_holder_find(&holder, name));
    struct gy_chat_db_options options = {.path = name};
    struct gy_chat_db *own = NULL;
    assert_int_equal(gy_chat_db_open(&own, &options, &error), 0);
    assert_int_equal(gy_chat_holder_judge(&holder, name, 0, &error), GY_EINVAL);
    gy_chat_db_close(own);
    unlink(name);
}

/* How a process of this one's sees who has the file, which one of this one's has, too. */
static int judge_elsewhere(const char *name, bool supervised)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct gy_error error = {0};
        struct gy_chat_holder holder = {.supervised = supervised};
        _exit(-gy_chat_holder_judge(&holder, name, GY_CHAT_HOLDER_WAIT_MS, &error));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void who_was_started_by_the_same_shell_is_a_stranger(void **state)
{
    (void)state;
    struct gy_chat_holder holder = {0};
    char name[] = "/tmp/gyre-chat-XXXXXX";
    int until, descriptor = mkstemp(name);
    assert_true(descriptor >= 0);
    close(descriptor);
    pid_t pid = open_elsewhere(name, &until);
    bool found = gy_chat_holder_find(&holder, name);
    int alone = found ? judge_elsewhere(name, false) : 0;
    int supervised = found ? judge_elsewhere(name, true) : 0;
    close(until);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    unlink(name);
    if (!found) {
        print_message("skipped: this file system's locks cannot be found in /proc/locks\n");
        skip();
    }
    assert_int_equal(alone, GY_EREFUSED);
    assert_int_equal(supervised, GY_EAGAIN);
}

static void folders_are_made_for_the_usual_place_alone(void **state)
{
    (void)state;
    bool root = geteuid() == 0; /* whose usual place is in /var/lib */
    assert_true(!root || seteuid(65534) == 0);
    struct gy_error error = {0};
    struct gy_identity nobody = {.given = false};
    struct stat facts;
    char folder[] = "/tmp/gyre-place-XXXXXX";
    char name[64];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("XDG_STATE_HOME", folder, 1), 0);
    snprintf(name, sizeof name, "%s/other/chat.db", folder);
    assert_int_equal(gy_chat_store_folders(name, &nobody, &error), 0);
    check_says(name, "No such file");
    snprintf(name, sizeof name, "%s/gyre/chat.db", folder);
    check_says(name, NULL);
    assert_int_not_equal(stat(name, &facts), 0); /* it is only checked */
    assert_int_equal(gy_chat_store_folders(name, &nobody, &error), 0);
    snprintf(name, sizeof name, "%s/gyre", folder);
    assert_int_equal(stat(name, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    assert_int_equal(rmdir(name), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_true(!root || seteuid(0) == 0);
}

static void what_it_makes_is_for_its_owner_alone(void **state)
{
    (void)state;
    struct gy_error error = {0};
    struct gy_chat_db *own = NULL;
    struct stat facts;
    char folder[] = "/tmp/gyre-chat-XXXXXX";
    char name[64], log[72];
    assert_non_null(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/chat.db", folder);
    snprintf(log, sizeof log, "%s-wal", name);
    struct gy_chat_db_options options = {.path = name};
    assert_int_equal(gy_chat_db_open(&own, &options, &error), 0);
    assert_int_equal(stat(name, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(stat(log, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    gy_chat_db_close(own);
    unlink(name);
    assert_int_equal(rmdir(folder), 0);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    (void)state;
    struct gy_error error = {0};
    struct gy_chat_db *none = NULL;
    char name[] = "/tmp/gyre-chat-XXXXXX";
    struct gy_chat_db_options options = {.path = name};
    int descriptor = mkstemp(name);
    static const char text[] = "This is a text, and a long one, of no database whatsoever. ....... "
                               "This is a text, and a long one, of no database whatsoever. .......";
    assert_int_equal(write(descriptor, text, sizeof text), sizeof text);
    close(descriptor);
    assert_int_equal(gy_chat_db_open(&none, &options, &error), GY_EIO);
    assert_non_null(strstr(error.message, "not a database"));
    unlink(name);
    options.path = "/nowhere/chat.db";
    assert_int_equal(gy_chat_db_open(&none, &options, &error), GY_EREFUSED);
}

static void where_no_store_can_be_is_told_without_opening_one(void **state)
{
    (void)state;
    char folder[] = "/tmp/gyre-place-XXXXXX";
    char name[sizeof folder + 16];
    assert_non_null(mkdtemp(folder));
    check_says(path, NULL); /* one that is in use */
    check_says(folder, "directory");
    snprintf(name, sizeof name, "%s/new.db", folder);
    check_says(name, NULL);
    check_says("chat-that-is-not-there.db", NULL); /* in the current folder */
    snprintf(name, sizeof name, "%s/no/new.db", folder);
    check_says(name, "No such file");
    snprintf(name, sizeof name, "%s/new.db", folder);
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    check_says(name, NULL); /* empty: it becomes one */
    assert_true(fputs("SQLite", file) >= 0 && fflush(file) == 0);
    check_says(name, "something else");
    assert_true(fputs(" format 2, and more of it", file) >= 0 && fclose(file) == 0);
    check_says(name, "something else");
    snprintf(name, sizeof name, "%s/new.db/x", folder);
    check_says(name, "Not a directory");
    snprintf(name, sizeof name, "%s/new.db", folder);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(old_messages_go_by_count),
        TEST(old_messages_go_by_bytes_but_never_the_last),
        TEST(all_messages_can_be_too_old_and_their_ids_are_not_given_again),
        TEST(a_database_of_the_first_version_is_brought_up),
        TEST(a_database_of_a_newer_version_is_left_alone),
        TEST(two_processes_cannot_have_the_same_file),
        TEST(who_has_a_file_open_is_told),
        TEST(who_was_started_by_the_same_shell_is_a_stranger),
        TEST(folders_are_made_for_the_usual_place_alone),
        TEST(what_it_makes_is_for_its_owner_alone),
        TEST(a_file_that_is_no_database_is_refused),
        TEST(where_no_store_can_be_is_told_without_opening_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
