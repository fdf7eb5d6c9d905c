/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The store of chat, on disks that lose their power, are full, or fail. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/chat_server/jobs.h"
#include "tests/chat_server/power.h"

#define ROOMS    3
#define PEOPLE   4
#define BATCHES  40
#define SENT_MAX 2048

/* What one run of clients did, and knows. */
struct clients {
    struct gy_chat_db *db;
    uint64_t random;
    uint32_t rooms[ROOMS];
    uint64_t last[ROOMS]; /* acknowledged */
    uint64_t next_client_id;
    struct sent {
        uint32_t room;
        uint64_t user, client_id;
        uint64_t id; /* acknowledged; 0: not */
    } sent[SENT_MAX];
    uint32_t sent_count;
};

static struct clients clients;

static uint32_t next_random(void)
{
    clients.random = clients.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(clients.random >> 33);
}

static int open_store(struct gy_error *error)
{
    struct gy_chat_db_options options = {
        .path = "chat.db", .vfs = POWER_VFS, .retention.count = 100000};
    clients.db = NULL;
    return gy_chat_db_open(&clients.db, &options, error);
}

static void close_store(void)
{
    gy_chat_db_close(clients.db);
    clients.db = NULL;
}

/* False when the power went. */
static bool find_rooms(void)
{
    static const char *const names[ROOMS] = {"one", "two", "three"};
    for (int i = 0; i < ROOMS; i++) {
        struct gy_chat_job *job = open_of(names[i], true);
        gy_chat_db_run(clients.db, job);
        int result = job->result;
        if (result == 0) {
            clients.rooms[i] = job->room;
            clients.last[i] = job->last;
        }
        gy_chat_job_free(job);
        if (result != 0) {
            return false;
        }
    }
    return true;
}

/* A transaction of appends to all rooms, some of which are repeated. */
static void batch(void)
{
    struct gy_chat_job *first = NULL;
    struct gy_chat_job **link = &first;
    for (int i = 0; i < ROOMS; i++) {
        bool again = clients.sent_count > 0 && next_random() % 4 == 0;
        struct sent *sent = &clients.sent[clients.sent_count];
        if (again) {
            sent = &clients.sent[next_random() % clients.sent_count];
        } else {
            assert_true(clients.sent_count < SENT_MAX);
            clients.sent_count++;
            *sent = (struct sent){.room = (uint32_t)i,
                                  .user = 1 + next_random() % PEOPLE,
                                  .client_id = ++clients.next_client_id};
        }
        if (again && sent->room != (uint32_t)i) {
            continue;
        }
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)sent->client_id);
        *link = append_of(clients.rooms[i], clients.last[i] + 1, sent->user, sent->client_id, text);
        (*link)->owner = sent;
        (*link)->hub = (uint32_t)i;
        link = &(*link)->next;
    }
    gy_chat_db_run(clients.db, first);
    while (first != NULL) {
        struct gy_chat_job *next = first->next;
        struct sent *sent = first->owner;
        if (first->result == 0) {
            uint64_t id = first->entries[0].id;
            if (sent->id != 0) {
                assert_int_equal(id, sent->id); /* of the first time */
            }
            sent->id = id;
            if (!first->entries[0].duplicate) {
                assert_int_equal(id, clients.last[first->hub] + 1);
                clients.last[first->hub] = id;
            }
        }
        gy_chat_job_free(first);
        first = next;
    }
}

/* All that was acknowledged is there, under its id; ids have no holes; nothing is there twice. */
static void check_history(void)
{
    static uint64_t seen[SENT_MAX * 2];
    for (uint32_t r = 0; r < ROOMS; r++) {
        struct gy_chat_job *job = read_of(clients.rooms[r], 0, 0, SENT_MAX);
        gy_chat_db_run(clients.db, job);
        assert_int_equal(job->result, 0);
        assert_false(job->more);
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < job->entry_count; i++) {
            const struct gy_chat_entry *entry = &job->entries[i];
            char text[32];
            assert_int_equal(entry->id, i + 1);
            assert_true(entry->client_id < COUNT(seen));
            assert_int_equal(seen[entry->client_id], 0);
            seen[entry->client_id] = entry->id;
            snprintf(text, sizeof text, "%llu", (unsigned long long)entry->client_id);
            assert_true(text_is(entry->contents, text));
        }
        for (uint32_t i = 0; i < clients.sent_count; i++) {
            const struct sent *sent = &clients.sent[i];
            if (sent->room == r && sent->id != 0) {
                assert_int_equal(seen[sent->client_id], sent->id);
            }
        }
        gy_chat_job_free(job);
    }
}

/* The clients send again what was not acknowledged. */
static void send_again(void)
{
    for (uint32_t i = 0; i < clients.sent_count; i++) {
        struct sent *sent = &clients.sent[i];
        if (sent->id == 0) {
            char text[32];
            snprintf(text, sizeof text, "%llu", (unsigned long long)sent->client_id);
            struct gy_chat_job *job =
                append_of(clients.rooms[sent->room], clients.last[sent->room] + 1, sent->user,
                          sent->client_id, text);
            gy_chat_db_run(clients.db, job);
            assert_int_equal(job->result, 0);
            sent->id = job->entries[0].id;
            clients.last[sent->room] += !job->entries[0].duplicate;
            gy_chat_job_free(job);
        }
    }
}

/* One life, with the power cut at a sync; and another after it. True when it was cut. */
static bool live(uint64_t seed, uint32_t cut)
{
    struct gy_error error = {0};
    memset(&clients, 0, sizeof clients);
    clients.random = seed;
    power_reset(seed);
    power_cut_at(cut);
    bool works = open_store(&error) == 0 && find_rooms();
    for (int i = 0; i < BATCHES && works; i++) {
        batch();
        works = !power_is_off();
    }
    bool was_cut = power_is_off();
    close_store();
    power_on();
    if (open_store(&error) != 0) {
        fail_msg("seed %llu, cut at sync %u: %s", (unsigned long long)seed, cut, error.message);
    }
    assert_true(find_rooms());
    check_history();
    send_again();
    check_history();
    close_store();
    return was_cut;
}

static void a_power_cut_at_any_sync_loses_and_doubles_nothing_acknowledged(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        uint32_t cut = 1;
        while (live(seed, cut)) {
            cut++;
        }
        assert_true(cut > BATCHES); /* each transaction was synced */
    }
    power_free();
}

static void a_cut_while_the_log_is_copied_back_loses_nothing(void **state)
{
    (void)state;
    struct gy_error error = {0};
    static char large[8000];
    memset(large, 'x', sizeof large - 1);
    /* 2000 pages and more: each life has a checkpoint in it, which is where the cuts are. */
    for (uint64_t seed = 1; seed <= 12; seed++) {
        memset(&clients, 0, sizeof clients);
        power_reset(seed);
        assert_int_equal(open_store(&error), 0);
        assert_true(find_rooms());
        uint64_t id = 0;
        uint32_t room = clients.rooms[0];
        power_cut_at(40 + (uint32_t)seed);
        for (int i = 0; i < 60 && !power_is_off(); i++) {
            struct gy_chat_job *job = append_of(room, id + 1, 1, 0, large);
            static struct gy_chat_entry many[16];
            for (int e = 0; e < 16; e++) {
                many[e] = job->entries[0];
            }
            job->entries = many;
            job->entry_count = 16;
            gy_chat_db_run(clients.db, job);
            id += job->result == 0 ? 16 : 0;
            gy_chat_job_free(job);
        }
        assert_true(power_is_off());
        close_store();
        power_on();
        assert_int_equal(open_store(&error), 0);
        assert_true(find_rooms());
        assert_true(clients.last[0] == id || clients.last[0] == id + 16);
        close_store();
    }
    power_free();
}

/* ---- full, failing ---- */

static int append(uint64_t id)
{
    static char large[4000];
    memset(large, 'x', sizeof large - 1);
    struct gy_chat_job *job = append_of(clients.rooms[0], id, 1, 0, large);
    struct gy_chat_job *reader = read_of(clients.rooms[0], 0, 0, 1);
    job->next = reader;
    gy_chat_db_run(clients.db, job);
    int result = job->result;
    assert_int_equal(reader->result, 0); /* readers go on, whatever becomes of the append */
    assert_int_equal(reader->last, result == 0 ? id : id - 1);
    gy_chat_job_free(job);
    gy_chat_job_free(reader);
    return result;
}

static void begin(void)
{
    struct gy_error error = {0};
    memset(&clients, 0, sizeof clients);
    power_reset(1);
    assert_int_equal(open_store(&error), 0);
    assert_true(find_rooms());
}

static void end(void)
{
    close_store();
    power_free();
}

static void a_full_disk_refuses_senders_and_takes_them_again_when_there_is_room(void **state)
{
    (void)state;
    begin();
    power_set_capacity(256u << 10);
    uint64_t id = 1;
    int result;
    while ((result = append(id)) == 0) {
        id++;
        assert_true(id < 100);
    }
    assert_int_equal(result, GY_ENOSPACE);
    assert_int_equal(append(id), GY_ENOSPACE);
    struct gy_chat_job *job = open_of("another", true);
    gy_chat_db_run(clients.db, job);
    assert_int_equal(job->result, GY_ENOSPACE);
    gy_chat_job_free(job);
    job = open_of("one", true); /* it is there, and so it can be read */
    gy_chat_db_run(clients.db, job);
    assert_int_equal(job->result, 0);
    gy_chat_job_free(job);
    power_set_capacity(0);
    assert_int_equal(append(id), 0);
    assert_int_equal(append(id + 1), 0);
    end();
}

static void a_disk_that_does_not_sync_acknowledges_nothing(void **state)
{
    (void)state;
    begin();
    assert_int_equal(append(1), 0);
    power_fail_syncs(true);
    assert_int_equal(append(2), GY_EIO);
    assert_true(strlen(gy_chat_db_reason(clients.db)) > 0);
    power_fail_syncs(false);
    assert_int_equal(append(2), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_sync_loses_and_doubles_nothing_acknowledged),
        cmocka_unit_test(a_cut_while_the_log_is_copied_back_loses_nothing),
        cmocka_unit_test(a_full_disk_refuses_senders_and_takes_them_again_when_there_is_room),
        cmocka_unit_test(a_disk_that_does_not_sync_acknowledges_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
