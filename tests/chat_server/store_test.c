/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The store of chat, on a disk that works: rooms, messages, accounts. */

#include "tests/chat_server/store_rig.h"

/* ---- rooms ---- */

static void a_room_is_made_once_and_has_an_owner(void **state)
{
    (void)state;
    assert_int_equal(run(open_of("lobby", false)), GY_ENOTFOUND);
    struct gy_chat_job *job = open_of("lobby", true);
    job->made_by = 42;
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_true(job->was_made);
    assert_int_equal(job->standing_count, 1);
    assert_int_equal(job->standings[0].user, 42);
    assert_int_equal(job->standings[0].role, GY_CHAT_ROLE_OWNER);
    uint32_t room = job->room;
    gy_chat_job_free(job);

    reopen(NULL);
    job = open_of("lobby", true);
    job->made_by = 43;
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_false(job->was_made);
    assert_int_equal(job->room, room);
    assert_int_equal(job->last, 0);
    assert_int_equal(job->standings[0].user, 42);
    gy_chat_job_free(job);
}

static void settings_and_standings_stay(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_SETTINGS);
    job->room = room;
    job->topic = text_of("of weather");
    job->slow_ms = 5000;
    assert_int_equal(run(job), 0);
    job = job_of(GY_CHAT_JOB_STANDING);
    struct gy_chat_standing banned = {.user = 9, .banned = true, .banned_until_ms = 77};
    job->room = room;
    job->standings = &banned;
    job->standing_count = 1;
    assert_int_equal(run(job), 0);
    reopen(NULL);
    job = open_of("a", false);
    gy_chat_db_run(db, job);
    assert_true(text_is(job->topic, "of weather"));
    assert_int_equal(job->slow_ms, 5000);
    assert_int_equal(job->standing_count, 1);
    assert_true(job->standings[0].banned);
    assert_int_equal(job->standings[0].banned_until_ms, 77);
    gy_chat_job_free(job);

    job = job_of(GY_CHAT_JOB_STANDING); /* as everybody's: no row is kept */
    banned.banned = false;
    job->room = room;
    job->standings = &banned;
    job->standing_count = 1;
    assert_int_equal(run(job), 0);
    job = open_of("a", false);
    gy_chat_db_run(db, job);
    assert_int_equal(job->standing_count, 0);
    gy_chat_job_free(job);
}

static struct gy_chat_job *list(const char *after, const char *prefix, uint32_t max)
{
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_ROOMS);
    job->name = text_of(after);
    job->prefix = text_of(prefix);
    job->entries_max = max;
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    return job;
}

static void rooms_are_listed_in_pages_without_inboxes(void **state)
{
    (void)state;
    static const char *const names[] = {"#news", "@anna", "@bert", "A", "cats", "cooks", "dogs"};
    for (size_t i = 0; i < COUNT(names); i++) {
        make_room(names[i]);
    }
    struct gy_chat_job *job = list("", "", 3);
    assert_int_equal(job->entry_count, 3);
    assert_true(text_is(job->entries[0].from, "#news"));
    assert_true(text_is(job->entries[1].from, "A"));
    assert_true(text_is(job->entries[2].from, "cats"));
    assert_true(job->more);
    gy_chat_job_free(job);
    job = list("cats", "", 3);
    assert_int_equal(job->entry_count, 2);
    assert_false(job->more);
    gy_chat_job_free(job);
    job = list("", "c", 10);
    assert_int_equal(job->entry_count, 2);
    gy_chat_job_free(job);
    job = list("", "@b", 10);
    assert_int_equal(job->entry_count, 1);
    gy_chat_job_free(job);
}

/* ---- temporary rooms ---- */

static struct gy_chat_job *temporary_of(const char *name, uint64_t maker, uint32_t most)
{
    struct gy_chat_job *job = open_of(name, true);
    job->temporary = true;
    job->maker = maker;
    job->maker_most = most;
    return job;
}

static struct gy_chat_job *close_of(uint32_t room, uint64_t now_ms)
{
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_CLOSE_ROOM);
    job->room = room;
    job->now_ms = now_ms;
    return job;
}

static uint32_t number_of(const char *name)
{
    struct gy_chat_job *job = open_of(name, false);
    gy_chat_db_run(db, job);
    uint32_t number = job->result == 0 ? job->room : 0;
    gy_chat_job_free(job);
    return number;
}

static void prune_until_done(uint64_t now_ms)
{
    for (int steps = 0; gy_chat_db_prune(db, now_ms); steps++) {
        assert_true(steps < 1000);
    }
}

static void a_temporary_room_goes_when_nobody_was_in_it_for_a_while(void **state)
{
    (void)state;
    const struct gy_chat_retention retention = {.temporary_ms = 5000};
    reopen(&retention);
    assert_int_equal(run(temporary_of("tea", 0, 0)), 0);
    uint32_t tea = number_of("tea");
    uint32_t stays = make_room("stays");
    say(tea, 1, 300); /* more than one step takes */
    say(stays, 1, 3);
    assert_int_equal(run(close_of(tea, 10000)), 0);
    assert_int_equal(run(close_of(stays, 10000)), 0);
    prune_until_done(14000);
    assert_int_equal(number_of("tea"), tea);
    prune_until_done(100000); /* it was opened by that: somebody is in it */
    assert_int_equal(number_of("tea"), tea);
    assert_int_equal(run(close_of(tea, 100000)), 0);
    prune_until_done(106000);
    assert_int_equal(number_of("tea"), 0);
    assert_int_equal(number_of("stays"), stays);
    assert_int_equal(run(append_of(stays, 4, 7, 0, "still")), 0);
    assert_int_equal(run(temporary_of("tea", 0, 0)), 0);
    assert_true(number_of("tea") > stays); /* another room, with ids of its own */
    assert_int_equal(run(append_of(number_of("tea"), 1, 7, 0, "anew")), 0);
}

static void who_ends_leaves_temporary_rooms_closed(void **state)
{
    (void)state;
    const struct gy_chat_retention retention = {.temporary_ms = 5000};
    assert_int_equal(run(temporary_of("tea", 0, 0)), 0);
    reopen(&retention);
    prune_until_done(UINT64_C(4000000000000)); /* the year 2096 */
    assert_int_equal(number_of("tea"), 0);
}

static void a_maker_has_so_many_rooms(void **state)
{
    (void)state;
    assert_int_equal(run(temporary_of("one", 99, 2)), 0);
    assert_int_equal(run(temporary_of("two", 99, 2)), 0);
    assert_int_equal(run(temporary_of("three", 99, 2)), GY_ELIMIT);
    assert_int_equal(run(temporary_of("two", 99, 2)), 0); /* it is there */
    assert_int_equal(run(temporary_of("three", 98, 2)), 0);
    assert_int_equal(run(temporary_of("four", 0, 2)), 0);
}

static void an_inbox_keeps_so_many(void **state)
{
    (void)state;
    const struct gy_chat_retention retention = {.inbox_count = 10};
    reopen(&retention);
    uint32_t inbox = make_room("@7");
    uint32_t room = make_room("tea");
    say(inbox, 1, 20);
    say(room, 1, 20);
    prune_until_done(1000);
    struct gy_chat_job *job = read_of(inbox, 0, 0, 100);
    gy_chat_db_run(db, job);
    assert_int_equal(job->first, 11);
    gy_chat_job_free(job);
    job = read_of(room, 0, 0, 100);
    gy_chat_db_run(db, job);
    assert_int_equal(job->first, 1);
    gy_chat_job_free(job);
}

/* ---- messages ---- */

static void ids_count_from_one_and_who_numbers_wrongly_is_refused(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    say(room, 1, 3);
    assert_int_equal(run(append_of(room, 3, 7, 0, "again")), GY_ESTATE);
    assert_int_equal(run(append_of(room, 5, 7, 0, "a hole")), GY_ESTATE);
    assert_int_equal(run(append_of(999, 1, 7, 0, "nowhere")), GY_ENOTFOUND);
    struct gy_chat_job *job = open_of("a", false);
    gy_chat_db_run(db, job);
    assert_int_equal(job->first, 1);
    assert_int_equal(job->last, 3);
    gy_chat_job_free(job);
}

static void what_is_sent_again_gets_the_first_id(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    assert_int_equal(run(append_of(room, 1, 7, 0, "other")), 0);
    assert_int_equal(run(append_of(room, 2, 7, UINT64_MAX, "hello")), 0);
    struct gy_chat_job *job = append_of(room, 3, 7, UINT64_MAX, "hello");
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_true(job->entries[0].duplicate);
    assert_int_equal(job->entries[0].id, 2);
    assert_int_equal(job->entries[0].time_ms, 2000);
    gy_chat_job_free(job);
    /* Another user, another room, and number 0 are not compared. */
    assert_int_equal(run(append_of(room, 3, 8, UINT64_MAX, "hello")), 0);
    assert_int_equal(run(append_of(make_room("b"), 1, 7, UINT64_MAX, "hello")), 0);
    assert_int_equal(run(append_of(room, 4, 7, 0, "other")), 0);
}

static void the_same_message_twice_in_one_append_is_stored_once(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    struct gy_chat_job *job = append_of(room, 1, 7, 5, "hello");
    struct gy_chat_entry three[3];
    three[0] = three[1] = three[2] = job->entries[0];
    three[2].client_id = 6;
    job->entries = three;
    job->entry_count = 3;
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_int_equal(three[0].id, 1);
    assert_true(three[1].duplicate);
    assert_int_equal(three[1].id, 1);
    assert_int_equal(three[2].id, 2);
    gy_chat_job_free(job);
}

static void times_do_not_go_back(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    struct gy_chat_job *job = append_of(room, 1, 7, 0, "late");
    job->entries[0].time_ms = 9000;
    assert_int_equal(run(job), 0);
    job = append_of(room, 2, 7, 0, "the clock was set");
    job->entries[0].time_ms = 10;
    gy_chat_db_run(db, job);
    assert_int_equal(job->entries[0].time_ms, 9000);
    gy_chat_job_free(job);
}

static void history_is_read_after_an_id_from_a_time_and_back(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    check_read(room, 0, 0, 10, 0, 0, false);
    check_read(room, 1, 0, 10, 0, 0, false);
    say(room, 1, 20);
    check_read(room, 0, 0, 10, 1, 10, true);
    check_read(room, 0, 10, 10, 11, 20, false);
    check_read(room, 0, 20, 10, 0, 0, false);
    check_read(room, 0, UINT64_MAX, 10, 0, 0, false);
    check_read(room, 2, UINT64_MAX, 5, 20, 16, true);
    check_read(room, 2, 3, 5, 2, 1, false);
    check_read(room, 1, 0, 5, 1, 5, true);
    check_read(room, 1, 7000, 5, 7, 11, true);
    check_read(room, 1, 7001, 5, 8, 12, true);
    check_read(room, 1, 20000, 5, 20, 20, false);
    check_read(room, 1, 20001, 5, 0, 0, false);
}

static void a_read_hands_out_a_bounded_piece(void **state)
{
    (void)state;
    static char large[16000];
    memset(large, 'x', sizeof large - 1);
    uint32_t room = make_room("a");
    for (uint64_t id = 1; id <= 40; id++) {
        assert_int_equal(run(append_of(room, id, 7, 0, large)), 0);
    }
    struct gy_chat_job *job = read_of(room, 0, 0, 1000);
    gy_chat_db_run(db, job);
    assert_true(job->more);
    assert_true(job->entry_count < 20 && job->entry_count > 10);
    gy_chat_job_free(job);
}

static void a_deletion_empties_the_message_and_its_edits(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    assert_int_equal(run(append_of(room, 1, 7, 0, "secret")), 0);
    assert_int_equal(run(append_of(room, 2, 7, 0, "kept")), 0);
    struct gy_chat_job *job = append_of(room, 3, 7, 0, "still secret");
    job->entries[0].kind = GY_CHAT_EDITED;
    job->entries[0].target = 1;
    assert_int_equal(run(job), 0);
    job = append_of(room, 4, 7, 0, "");
    job->entries[0].kind = GY_CHAT_DELETED;
    job->entries[0].target = 1;
    assert_int_equal(run(job), 0);
    job = read_of(room, 0, 0, 10);
    gy_chat_db_run(db, job);
    assert_int_equal(job->entry_count, 4);
    assert_int_equal(job->entries[0].contents.length, 0);
    assert_true(text_is(job->entries[1].contents, "kept"));
    assert_int_equal(job->entries[2].contents.length, 0);
    gy_chat_job_free(job);
}

static void jobs_of_one_transaction_see_each_other(void **state)
{
    (void)state;
    uint32_t room = make_room("a");
    uint32_t syncs = power_syncs();
    struct gy_chat_job *first = append_of(room, 1, 7, 0, "hello");
    struct gy_chat_job *second = append_of(room, 2, 7, 0, "hello");
    struct gy_chat_job *third = read_of(room, 0, 0, 10);
    first->next = second;
    second->next = third;
    gy_chat_db_run(db, first);
    assert_int_equal(first->result, 0);
    assert_int_equal(second->result, 0);
    assert_int_equal(third->entry_count, 2);
    assert_int_equal(third->last, 2);
    assert_int_equal(power_syncs() - syncs, 1); /* group commit */
    gy_chat_job_free(first);
    gy_chat_job_free(second);
    gy_chat_job_free(third);
}

/* ---- accounts ---- */

static void an_account_is_found_again_and_its_nick_is_taken(void **state)
{
    (void)state;
    struct gy_chat_job *job = job_of(GY_CHAT_JOB_NEW_ACCOUNT);
    job->account = (struct gy_chat_account){.nick = text_of("Anna"),
                                            .canonical = text_of("anna"),
                                            .salt = {1},
                                            .hash = {2},
                                            .cost_log2 = 15,
                                            .certificate = text_of("anna.example")};
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    uint64_t user = job->account.user;
    assert_true(user > 0);
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, GY_EEXIST);
    gy_chat_job_free(job);
    reopen(NULL);
    job = job_of(GY_CHAT_JOB_ACCOUNT);
    job->account.canonical = text_of("anna");
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, 0);
    assert_int_equal(job->account.user, user);
    assert_true(text_is(job->account.nick, "Anna"));
    assert_true(text_is(job->account.certificate, "anna.example"));
    assert_int_equal(job->account.salt[0], 1);
    assert_int_equal(job->account.hash[0], 2);
    assert_int_equal(job->account.cost_log2, 15);
    job->account.canonical = text_of("bert");
    gy_chat_db_run(db, job);
    assert_int_equal(job->result, GY_ENOTFOUND);
    gy_chat_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_room_is_made_once_and_has_an_owner),
        TEST(settings_and_standings_stay),
        TEST(rooms_are_listed_in_pages_without_inboxes),
        TEST(a_temporary_room_goes_when_nobody_was_in_it_for_a_while),
        TEST(who_ends_leaves_temporary_rooms_closed),
        TEST(a_maker_has_so_many_rooms),
        TEST(an_inbox_keeps_so_many),
        TEST(ids_count_from_one_and_who_numbers_wrongly_is_refused),
        TEST(what_is_sent_again_gets_the_first_id),
        TEST(the_same_message_twice_in_one_append_is_stored_once),
        TEST(times_do_not_go_back),
        TEST(history_is_read_after_an_id_from_a_time_and_back),
        TEST(a_read_hands_out_a_bounded_piece),
        TEST(a_deletion_empties_the_message_and_its_edits),
        TEST(jobs_of_one_transaction_see_each_other),
        TEST(an_account_is_found_again_and_its_nick_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
