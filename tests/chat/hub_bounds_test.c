/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_rig.h"

/* What is bounded: mailboxes and queues between workers, requests, rooms, members, memory. */

static struct world world;
static struct world_conn ada, bob, cid;

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 2);
    world.box_max = 2;
    world.config.parcel_bytes = 2048;
    world.config.queue_bytes = 8192;
    world.config.credits = 16;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

/* The worker that owns the room, and the other one. */
static void find_owner(const char *name, uint32_t *owner)
{
    struct world_conn scout;
    uint32_t room = come(&world, &scout, 0, GY_CHAT_OVER_STREAM, "scout", name);
    say(&scout, room, 0, "?");
    world_settle(&world, 100);
    *owner = gy_chat_hub_counters(world.hubs[0])->messages > 0 ? 0 : 1;
    conn_close(&scout);
    world_settle(&world, 100);
}

static void a_worker_that_does_not_listen_is_left_behind_and_catches_up(void **state)
{
    (void)state;
    world_start(&world);
    uint32_t owner;
    find_owner("tea", &owner);
    uint32_t room = come(&world, &ada, owner, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 1 - owner, GY_CHAT_OVER_STREAM, "bob", "tea");
    come(&world, &cid, owner, GY_CHAT_OVER_STREAM, "cid", "tea");
    world.deaf[1 - owner] = true;
    char text[200];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (uint64_t i = 1; i <= 500; i++) {
        say(&ada, room, i, text);
        world_turn(&world);
        world.now_ms++;
    }
    struct gy_chat_hub_counters counters = world_counters(&world);
    assert_true(counters.behind > 0);
    assert_true(counters.parcels_refused > 0);
    assert_true(counters.kept_bytes <= 8192 + 2048);
    assert_int_equal(world.box_peak, 2);
    for (uint64_t i = 2; i <= 501; i++) { /* those beside the speaker do not wait */
        assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, i);
    }
    world.deaf[1 - owner] = false;
    world_settle(&world, 1000);
    for (uint64_t i = 2; i <= 501; i++) {
        assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, i);
    }
    expect_none(&bob, GY_CHAT_GAP);
    say(&ada, room, 1000, "and goes on");
    world_settle(&world, 100);
    assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, 502);
    assert_int_equal(world_counters(&world).kept_bytes, 0);
}

static void a_worker_that_cannot_read_what_it_missed_reads_it_later(void **state)
{
    (void)state;
    world_start(&world);
    uint32_t owner;
    find_owner("tea", &owner);
    uint32_t room = come(&world, &ada, owner, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 1 - owner, GY_CHAT_OVER_STREAM, "bob", "tea");
    world.deaf[1 - owner] = true;
    for (uint64_t i = 1; i <= 500; i++) {
        say(&ada, room, i, "It is said while the other worker does something else.");
        world_turn(&world);
        world.now_ms++;
    }
    assert_true(world_counters(&world).behind > 0);
    world.deaf[1 - owner] = false;
    world.store.broken = true;
    world_pass(&world, 50);
    world.store.broken = false;
    world_pass(&world, 50); /* nobody says anything more */
    for (uint64_t i = 2; i <= 501; i++) {
        assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, i);
    }
}

static void questions_to_a_worker_that_does_not_listen_are_refused_in_time(void **state)
{
    (void)state;
    world_start(&world);
    uint32_t owner;
    find_owner("tea", &owner);
    uint32_t room = come(&world, &bob, 1 - owner, GY_CHAT_OVER_STREAM, "bob", "tea");
    world.deaf[owner] = true;
    for (uint64_t i = 1; i <= 40; i++) {
        say(&bob, room, i, "hello?");
        world_turn(&world);
    }
    struct gy_chat_frame error = expect(&bob, GY_CHAT_ERROR);
    assert_int_equal(error.body.error.code, GY_CHAT_BUSY);
    assert_true(error.body.error.retry_ms > 0);
    uint32_t refused = 1;
    struct gy_chat_frame frame;
    while (conn_next(&bob, &frame)) {
        refused += frame.type == GY_CHAT_ERROR;
    }
    assert_int_equal(refused, 40 - 16);
    world.deaf[owner] = false;
    world_settle(&world, 100);
    for (uint64_t i = 1; i <= 16; i++) {
        expect(&bob, GY_CHAT_ACK);
    }
    say(&bob, room, 41, "hello!");
    world_settle(&world, 100);
    expect(&bob, GY_CHAT_ACK);
}

static void requests_of_one_member_wait_in_its_connection(void **state)
{
    (void)state;
    world.config.asks_per_member = 8;
    world.store.latency_ms = 5;
    world_start(&world);
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    struct gy_chat_frame frame = {.type = GY_CHAT_SEND,
                                  .body.send = {.room = room, .contents = TEXT("much")}};
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(gy_chat_hub_request(&ada.member, &frame), 0);
    }
    assert_int_equal(gy_chat_hub_request(&ada.member, &frame), GY_EAGAIN);
    uint32_t woken = ada.woken;
    world_settle(&world, 100);
    assert_int_equal(ada.woken, woken + 1);
    assert_int_equal(gy_chat_hub_request(&ada.member, &frame), 0);
}

static void what_waits_for_a_room_s_append_is_bounded(void **state)
{
    (void)state;
    world.config.append_entries = 10;
    world.store.latency_ms = 5;
    world_start(&world);
    uint32_t owner;
    find_owner("tea", &owner);
    uint32_t room = come(&world, &ada, owner, GY_CHAT_OVER_STREAM, "ada", "tea");
    for (uint64_t i = 1; i <= 15; i++) {
        say(&ada, room, i, "much");
    }
    world_settle(&world, 100);
    struct gy_chat_frame frame;
    uint32_t acks = 0;
    uint32_t busy = 0;
    while (conn_next(&ada, &frame)) {
        acks += frame.type == GY_CHAT_ACK;
        busy += frame.type == GY_CHAT_ERROR && frame.body.error.code == GY_CHAT_BUSY;
    }
    assert_int_equal(acks, 10);
    assert_int_equal(busy, 5);
}

static void rooms_and_memberships_are_bounded(void **state)
{
    (void)state;
    world.config.rooms_max = 4;
    world.config.rooms_per_member = 3;
    world_start(&world);
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    conn_open(&world, &bob, 0, GY_CHAT_OVER_STREAM);
    log_in(&ada, "ada");
    log_in(&bob, "bob");
    join(&ada, "a1", GY_CHAT_SPILL);
    join(&ada, "a2", GY_CHAT_SPILL);
    join(&ada, "a3", GY_CHAT_SPILL);
    ask_join(&ada, "a4", GY_CHAT_SPILL, 0, 0);
    expect_error(&ada, GY_CHAT_FULL);
    join(&bob, "b1", GY_CHAT_SPILL);
    ask_join(&bob, "b2", GY_CHAT_SPILL, 0, 0);
    expect_error(&bob, GY_CHAT_FULL);
    join(&bob, "a1", GY_CHAT_SPILL);
}

static void members_are_bounded(void **state)
{
    (void)state;
    world.config.members_max = 1;
    world_start(&world);
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    struct gy_chain chain;
    gy_chain_init(&chain, &world.links[0]);
    assert_int_equal(gy_chat_hub_attach(world.hubs[0], &bob.member, &chain, GY_CHAT_OVER_STREAM, 0),
                     GY_ELIMIT);
}

static void memory_is_bounded_and_what_it_lacks_is_said(void **state)
{
    (void)state;
    world.config.memory_max = 12000;
    world_start(&world);
    static struct world_conn many[200];
    uint32_t full = 0;
    for (uint32_t i = 0; i < 200; i++) {
        char nick[16];
        snprintf(nick, sizeof nick, "person%u", i);
        struct gy_chat_frame login = {.type = GY_CHAT_LOGIN,
                                      .body.login = {.nick = gy_chat_text_of(nick)}};
        many[i] = (struct world_conn){.world = &world, .next = world.conns};
        gy_chain_init(&many[i].out, &world.links[0]);
        if (gy_chat_hub_attach(world.hubs[0], &many[i].member, &many[i].out, GY_CHAT_OVER_STREAM,
                               0) != 0) {
            full++;
            continue;
        }
        many[i].attached = true;
        world.conns = &many[i];
        ask(&many[i], &login);
        world_settle(&world, 10);
        struct gy_chat_frame frame;
        while (conn_next(&many[i], &frame)) {
            full += frame.type == GY_CHAT_ERROR;
        }
        assert_true(gy_chat_hub_counters(world.hubs[0])->memory_bytes <= 12000);
    }
    assert_true(full > 0 && full < 190);
}

static void fifty_thousand_in_one_room_cost_little_and_all_hear(void **state)
{
    (void)state;
    enum { MANY = 50000 };
    world_open(&world, 1);
    world.config.memory_max = 64u << 20;
    world_start(&world);
    struct world_conn *many = calloc(MANY, sizeof *many);
    uint64_t before = world.memory_bytes;
    for (uint32_t i = 0; i < MANY; i++) {
        char nick[16];
        snprintf(nick, sizeof nick, "person%u", i);
        many[i] = (struct world_conn){.world = &world};
        gy_chain_init(&many[i].out, &world.links[0]);
        assert_int_equal(gy_chat_hub_attach(world.hubs[0], &many[i].member, &many[i].out,
                                            GY_CHAT_OVER_STREAM, 0),
                         0);
        many[i].attached = true;
        struct gy_chat_frame login = {.type = GY_CHAT_LOGIN,
                                      .body.login = {.nick = gy_chat_text_of(nick)}};
        struct gy_chat_frame enter = {
            .type = GY_CHAT_JOIN,
            .body.join = {.room = TEXT("tea"), .since = GY_CHAT_NONE, .policy = GY_CHAT_SPILL}};
        ask(&many[i], &login);
        ask(&many[i], &enter);
        gy_chat_hub_flush(world.hubs[0]);
        assert_non_null(many[i].member.subscriptions);
        gy_chain_clear(&many[i].out);
        for (uint32_t j = 0; i <= 1000 && j < i; j++) {
            gy_chain_clear(&many[j].out);
        }
    }
    assert_int_equal(world_counters(&world).members, MANY);
    assert_true(world_counters(&world).notices <= 1001 * 1002 / 2);
    uint64_t each = (world.memory_bytes - before) / MANY + sizeof(struct gy_chat_member);
    print_message("# a member of the room takes %llu bytes of the hub\n", (unsigned long long)each);
    assert_true(each < 400);
    for (uint32_t i = 0; i < MANY; i++) {
        gy_chain_clear(&many[i].out);
    }
    say(&many[0], 1, 1, "to everybody");
    gy_chat_hub_flush(world.hubs[0]);
    for (uint32_t i = 1; i < MANY; i++) {
        assert_true(many[i].out.length > 0);
        gy_chain_clear(&many[i].out);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        gy_chain_clear(&many[i].out);
        gy_chat_hub_detach(&many[i].member);
    }
    free(many);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_worker_that_does_not_listen_is_left_behind_and_catches_up),
        TEST(a_worker_that_cannot_read_what_it_missed_reads_it_later),
        TEST(questions_to_a_worker_that_does_not_listen_are_refused_in_time),
        TEST(requests_of_one_member_wait_in_its_connection),
        TEST(what_waits_for_a_room_s_append_is_bounded),
        TEST(rooms_and_memberships_are_bounded),
        TEST(members_are_bounded),
        TEST(memory_is_bounded_and_what_it_lacks_is_said),
        TEST(fifty_thousand_in_one_room_cost_little_and_all_hear),
    };
    return cmocka_run_group_tests_name("hub_bounds", tests, NULL, NULL);
}
