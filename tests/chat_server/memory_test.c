/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The store of memory alone, and passwords and tokens. */

#include <stdio.h>

#include "servers/chat/accounts.h"
#include "servers/chat/store.h"
#include "tests/chat_server/jobs.h"

static struct gy_chat_memory *memory;

static void begin(const struct gy_chat_retention *retention)
{
    static const struct gy_chat_retention none;
    memory = gy_chat_memory_make(retention != NULL ? retention : &none);
    assert_non_null(memory);
}

static void end(void)
{
    gy_chat_memory_free(memory);
    memory = NULL;
}

static int run(struct gy_chat_job *job)
{
    gy_chat_memory_run(memory, job);
    int result = job->result;
    gy_chat_job_free(job);
    return result;
}

static uint32_t make_room(const char *name)
{
    struct gy_chat_job *job = open_of(name, true);
    job->made_by = 5;
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->result, 0);
    uint32_t room = job->room;
    gy_chat_job_free(job);
    return room;
}

static void check_read(uint32_t room, uint8_t by, uint64_t point, uint32_t max, uint64_t first,
                       uint64_t last, bool more)
{
    struct gy_chat_job *job = read_of(room, by, point, max);
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->result, 0);
    assert_int_equal(job->more, more);
    assert_int_equal(job->entry_count == 0, first == 0);
    if (first != 0) {
        assert_int_equal(job->entries[0].id, first);
        assert_int_equal(job->entries[job->entry_count - 1].id, last);
        assert_true(text_is(job->entries[0].contents, "hello"));
    }
    gy_chat_job_free(job);
}

static void it_keeps_the_promises_of_a_store(void **state)
{
    (void)state;
    begin(NULL);
    assert_int_equal(run(open_of("a", false)), GY_ENOTFOUND);
    uint32_t room = make_room("a");
    assert_int_equal(make_room("a"), room);
    for (uint64_t id = 1; id <= 40; id++) {
        assert_int_equal(run(append_of(room, id, 7, id, "hello")), 0);
    }
    assert_int_equal(run(append_of(room, 40, 7, 0, "hello")), GY_ESTATE);
    assert_int_equal(run(append_of(99, 1, 7, 0, "hello")), GY_ENOTFOUND);
    struct gy_chat_job *job = append_of(room, 41, 7, 3, "hello");
    gy_chat_memory_run(memory, job);
    assert_true(job->entries[0].duplicate);
    assert_int_equal(job->entries[0].id, 3);
    gy_chat_job_free(job);
    check_read(room, 0, 0, 10, 1, 10, true);
    check_read(room, 0, 35, 10, 36, 40, false);
    check_read(room, 0, UINT64_MAX, 10, 0, 0, false);
    check_read(room, 2, UINT64_MAX, 5, 40, 36, true);
    check_read(room, 2, 1, 5, 0, 0, false);
    check_read(room, 1, 7001, 2, 8, 9, true);
    end();
}

static void its_history_is_bounded(void **state)
{
    (void)state;
    begin(NULL);
    uint32_t room = make_room("a");
    for (uint64_t id = 1; id <= GY_CHAT_MEMORY_MESSAGES + 50; id++) {
        assert_int_equal(run(append_of(room, id, 7, id, "hello")), 0);
    }
    struct gy_chat_job *job = open_of("a", false);
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->first, 51);
    assert_int_equal(job->last, GY_CHAT_MEMORY_MESSAGES + 50);
    assert_int_equal(job->standing_count, 1);
    gy_chat_job_free(job);
    check_read(room, 0, 0, 1, 51, 51, true);
    end();
    begin(&(struct gy_chat_retention){.bytes = 90});
    room = make_room("a");
    for (uint64_t id = 1; id <= 50; id++) {
        assert_int_equal(run(append_of(room, id, 7, 0, "hello")), 0);
    }
    check_read(room, 0, 0, 1, 41, 41, true);
    end();
}

static void a_deletion_empties_the_message(void **state)
{
    (void)state;
    begin(NULL);
    uint32_t room = make_room("a");
    assert_int_equal(run(append_of(room, 1, 7, 0, "secret")), 0);
    struct gy_chat_job *job = append_of(room, 2, 7, 0, "");
    job->entries[0].kind = GY_CHAT_DELETED;
    job->entries[0].target = 1;
    assert_int_equal(run(job), 0);
    job = read_of(room, 0, 0, 10);
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->entries[0].contents.length, 0);
    gy_chat_job_free(job);
    end();
}

static void check_listed(const char *prefix, const char *after, const char *names)
{
    char all[64] = "";
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_ROOMS);
    job->entries_max = 10;
    job->prefix = text_of(prefix);
    job->name = text_of(after);
    gy_chat_memory_run(memory, job);
    for (uint32_t i = 0; i < job->entry_count; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%.*s ", (int)job->entries[i].from.length,
                 job->entries[i].from.bytes);
    }
    assert_string_equal(all, names);
    gy_chat_job_free(job);
}

static void rooms_are_listed_in_the_order_of_their_names_without_inboxes(void **state)
{
    static const char *const rooms[] = {"dogs", "@7", "cats", "#a", "@1", "dog", "b"};
    (void)state;
    begin(NULL);
    check_listed("", "", "");
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        make_room(rooms[i]);
    }
    check_listed("", "", "#a b cats dog dogs ");
    check_listed("dog", "", "dog dogs ");
    check_listed("dog", "dog", "dogs ");
    check_listed("", "cats", "dog dogs ");
    check_listed("@", "@1", "@7 ");
    check_listed("e", "", "");
    end();
}

static void rooms_are_listed_and_accounts_are_found(void **state)
{
    (void)state;
    begin(NULL);
    make_room("dogs");
    make_room("@anna");
    make_room("cats");
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_ROOMS);
    job->entries_max = 1;
    job->name = job->prefix = text_of("");
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->entry_count, 1);
    assert_true(job->more);
    assert_true(text_is(job->entries[0].from, "cats"));
    gy_chat_job_free(job);

    job = job_of(GY_CHAT_JOB_NEW_ACCOUNT);
    job->account.nick = text_of("Anna");
    job->account.canonical = text_of("anna");
    job->account.certificate = text_of("");
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->result, 0);
    assert_int_equal(job->account.user, 1);
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->result, GY_EEXIST);
    gy_chat_job_free(job);
    job = job_of(GY_CHAT_JOB_ACCOUNT);
    job->account.canonical = text_of("anna");
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->result, 0);
    assert_true(text_is(job->account.nick, "Anna"));
    gy_chat_job_free(job);
    end();
}

/* ---- passwords and tokens ---- */

static struct gy_chat_check check_of(const char *password)
{
    struct gy_chat_check check = {.password_bytes = (uint16_t)strlen(password)};
    memcpy(check.password, password, strlen(password));
    return check;
}

static void a_password_is_known_by_its_hash(void **state)
{
    (void)state;
    struct gy_chat_check made = check_of("correct horse");
    made.make = true;
    gy_chat_password_run(&made, GY_CHAT_COST_MIN);
    assert_int_equal(made.result, 0);
    assert_int_equal(made.cost_log2, GY_CHAT_COST_MIN);
    assert_int_equal(made.password[0], 0); /* it is not left lying about */
    struct gy_chat_check again = check_of("correct horse");
    memcpy(again.salt, made.salt, sizeof made.salt);
    memcpy(again.hash, made.hash, sizeof made.hash);
    again.cost_log2 = made.cost_log2;
    struct gy_chat_check wrong = again;
    wrong.password[0] = 'k';
    gy_chat_password_run(&again, GY_CHAT_COST_USUAL);
    assert_int_equal(again.result, 0);
    gy_chat_password_run(&wrong, GY_CHAT_COST_USUAL);
    assert_int_equal(wrong.result, GY_EREFUSED);
    struct gy_chat_check nobody = check_of("correct horse");
    gy_chat_password_run(&nobody, GY_CHAT_COST_MIN);
    assert_int_equal(nobody.result, GY_EREFUSED);
    struct gy_chat_check empty = check_of("");
    empty.make = true;
    gy_chat_password_run(&empty, GY_CHAT_COST_MIN);
    assert_int_equal(empty.result, GY_EINVAL);
    assert_non_null(empty.why);
}

/* What Python's hashlib (OpenSSL) makes of the same. */
static void the_hash_is_scrypt(void **state)
{
    (void)state;
    static const uint8_t expected[32] = {0x9d, 0xf9, 0x23, 0xde, 0xed, 0x5f, 0x45, 0x31,
                                         0xc2, 0x79, 0xaf, 0x9f, 0x56, 0xbd, 0x37, 0xb1,
                                         0x65, 0x7b, 0xef, 0x49, 0x29, 0xe7, 0x02, 0xce,
                                         0x2e, 0x81, 0x1a, 0x93, 0x38, 0x8a, 0x86, 0xa1};
    struct gy_chat_check check = check_of("correct horse");
    for (uint8_t i = 0; i < 16; i++) {
        check.salt[i] = i;
    }
    memcpy(check.hash, expected, sizeof expected);
    check.cost_log2 = 10;
    gy_chat_password_run(&check, GY_CHAT_COST_USUAL);
    assert_int_equal(check.result, 0);
}

static void a_token_is_good_for_its_nick_until_its_time(void **state)
{
    (void)state;
    static const uint8_t secret[32] = {1};
    static const uint8_t other[32] = {2};
    char token[GY_CHAT_TOKEN_MAX];
    uint32_t epoch = 0;
    uint64_t user = 0;
    uint32_t bytes = gy_chat_token_write(secret, 77, text_of("anna"), 3, 1000, token);
    struct gy_chat_text text = {token, bytes};
    assert_int_equal(gy_chat_token_read(secret, text, text_of("anna"), 999, &user, &epoch), 0);
    assert_int_equal(epoch, 3);
    assert_int_equal(user, 77);
    assert_int_equal(gy_chat_token_read(secret, text, text_of("anna"), 1000, &user, &epoch),
                     GY_EREFUSED);
    assert_int_equal(gy_chat_token_read(secret, text, text_of("bert"), 1, &user, &epoch),
                     GY_EREFUSED);
    assert_int_equal(gy_chat_token_read(other, text, text_of("anna"), 1, &user, &epoch),
                     GY_EREFUSED);
    for (uint32_t i = 0; i < bytes; i++) {
        char kept = token[i];
        token[i] = kept == '0' ? '1' : '0';
        assert_int_equal(gy_chat_token_read(secret, text, text_of("anna"), 1, &user, &epoch),
                         GY_EREFUSED);
        token[i] = 'g';
        assert_int_equal(gy_chat_token_read(secret, text, text_of("anna"), 1, &user, &epoch),
                         GY_EREFUSED);
        token[i] = kept;
    }
    text.length--;
    assert_int_equal(gy_chat_token_read(secret, text, text_of("anna"), 1, &user, &epoch),
                     GY_EREFUSED);
}

static void temporary_rooms_go_and_their_numbers_are_not_given_again(void **state)
{
    (void)state;
    const struct gy_chat_retention retention = {.temporary_ms = 5000};
    begin(&retention);
    struct gy_chat_job *job = open_of("tea", true);
    job->temporary = true;
    job->maker = 9;
    job->maker_most = 1;
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->result, 0);
    uint32_t tea = job->room;
    gy_chat_job_free(job);
    uint32_t stays = make_room("stays");
    assert_int_equal(run(append_of(tea, 1, 7, 3, "hello")), 0);
    job = open_of("two", true);
    job->maker = 9;
    job->maker_most = 1;
    assert_int_equal(run(job), GY_ELIMIT);
    job = job_of(GY_CHAT_JOB_CLOSE_ROOM);
    job->room = tea;
    job->now_ms = 1000;
    assert_int_equal(run(job), 0);
    job = open_of("two", true);
    job->now_ms = 7000;
    job->maker = 9;
    job->maker_most = 1;
    gy_chat_memory_run(memory, job);
    assert_int_equal(job->result, 0);
    assert_true(job->room > stays && job->room > tea);
    gy_chat_job_free(job);
    assert_int_equal(run(open_of("tea", false)), GY_ENOTFOUND);
    assert_int_equal(run(append_of(tea, 2, 7, 4, "hello")), GY_ENOTFOUND);
    check_read(stays, 0, 0, 10, 0, 0, false);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_keeps_the_promises_of_a_store),
        cmocka_unit_test(its_history_is_bounded),
        cmocka_unit_test(a_deletion_empties_the_message),
        cmocka_unit_test(rooms_are_listed_in_the_order_of_their_names_without_inboxes),
        cmocka_unit_test(rooms_are_listed_and_accounts_are_found),
        cmocka_unit_test(a_password_is_known_by_its_hash),
        cmocka_unit_test(the_hash_is_scrypt),
        cmocka_unit_test(a_token_is_good_for_its_nick_until_its_time),
        cmocka_unit_test(temporary_rooms_go_and_their_numbers_are_not_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
