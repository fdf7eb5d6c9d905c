/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_rig.h"

/* Who reads too slowly gets what it asked for then, and nobody waits for it. */

#define MARK 4096

static struct world world;
static struct world_conn ada, bob, cid;
static uint32_t room;

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 1);
    world.config.mark_bytes = MARK;
    world_start(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void come_with(enum gy_chat_policy policy)
{
    room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &cid, 0, GY_CHAT_OVER_STREAM, "cid", "tea");
    conn_open(&world, &bob, 0, GY_CHAT_OVER_STREAM);
    log_in(&bob, "bob");
    join(&bob, "tea", policy);
    bob.stalled = true;
}

/* Messages of about 150 bytes, one a turn. */
static void say_many(uint64_t first, uint64_t count)
{
    char text[101];
    memset(text, 'x', 100);
    text[100] = 0;
    for (uint64_t i = first; i < first + count; i++) {
        say(&ada, room, i, text);
        world_turn(&world);
    }
}

static void nobody_waits_for_a_slow_reader(void **state)
{
    (void)state;
    come_with(GY_CHAT_SPILL);
    say_many(1, 300);
    for (uint64_t i = 1; i <= 300; i++) {
        assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, i);
    }
    assert_true(bob.out.length <= MARK + 256);
    assert_true(world_counters(&world).slow == 1);
}

static void disconnect_ends_the_connection(void **state)
{
    (void)state;
    come_with(GY_CHAT_DISCONNECT);
    say_many(1, 100);
    assert_true(bob.ended);
    assert_int_equal(bob.fatal, GY_CHAT_TOO_SLOW);
    assert_int_equal(world_counters(&world).ended_slow, 1);
    uint32_t waits = bob.out.length;
    say_many(101, 10);
    assert_int_equal(bob.out.length, waits);
}

static void drop_oldest_leaves_out_what_does_not_fit(void **state)
{
    (void)state;
    come_with(GY_CHAT_DROP_OLDEST);
    say_many(1, 200);
    bob.stalled = false;
    world_settle(&world, 100);
    struct gy_chat_frame frame;
    uint64_t next = 1;
    uint64_t gaps = 0;
    while (conn_next(&bob, &frame)) {
        if (frame.type == GY_CHAT_GAP) {
            assert_int_equal(frame.body.gap.first, next);
            assert_int_equal(frame.body.gap.why, GY_CHAT_GAP_SLOW);
            next = frame.body.gap.last + 1;
            gaps++;
        } else if (frame.type == GY_CHAT_MESSAGE) {
            assert_int_equal(frame.body.message.id, next);
            next++;
        }
    }
    assert_int_equal(next, 201);
    assert_int_equal(gaps, 1);
    assert_true(world_counters(&world).dropped > 100);
    say_many(201, 1);
    assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, 201);
}

static void latest_only_leaves_out_all_but_the_last(void **state)
{
    (void)state;
    come_with(GY_CHAT_LATEST_ONLY);
    say_many(1, 200);
    bob.stalled = false;
    world_settle(&world, 100);
    struct gy_chat_frame gap = expect(&bob, GY_CHAT_GAP);
    assert_int_equal(gap.body.gap.last, 199);
    struct gy_chat_frame last = expect(&bob, GY_CHAT_MESSAGE);
    assert_int_equal(last.body.message.id, 200);
    assert_int_equal(last.flags & GY_CHAT_PAST, GY_CHAT_PAST);
    expect_none(&bob, GY_CHAT_MESSAGE);
}

static void spill_misses_nothing_from_memory_and_from_the_store(void **state)
{
    (void)state;
    come_with(GY_CHAT_SPILL);
    say_many(1, 2000); /* more than the room has in memory */
    world.store.latency_ms = 2;
    bob.stalled = false;
    for (uint32_t i = 0; i < 3000; i++) {
        if (i % 10 == 0 && i < 500) {
            say_many(2001 + i / 10, 1); /* it goes on meanwhile */
        }
        world_turn(&world);
        world.now_ms++;
    }
    world_settle(&world, 1000);
    for (uint64_t i = 1; i <= 2050; i++) {
        assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, i);
    }
    assert_int_equal(world_counters(&world).gaps, 0);
    assert_true(world_counters(&world).reads_store > 0);
    assert_true(world_counters(&world).reads_memory > 0);
}

static void a_store_that_others_keep_busy_leaves_nothing_out(void **state)
{
    (void)state;
    come_with(GY_CHAT_SPILL);
    say_many(1, 1000); /* more than the room has in memory */
    world.store.latency_ms = 2;
    world.store.busy = true;
    bob.stalled = false;
    for (uint32_t i = 0; i < 100; i++) {
        world_turn(&world);
        world.now_ms++;
    }
    assert_true(world_counters(&world).reads_store > 0);
    world.store.busy = false;
    bob.woken = 0;
    world_pass(&world, 20);
    assert_true(bob.woken > 0);
    world_settle(&world, 3000);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, i);
    }
    assert_int_equal(world_counters(&world).gaps, 0);
}

static void spill_says_what_the_history_no_longer_has(void **state)
{
    (void)state;
    come_with(GY_CHAT_SPILL);
    say_many(1, 2000);
    world_room_named(&world, "tea")->first = 1001;
    bob.stalled = false;
    world_settle(&world, 1000);
    struct gy_chat_frame gap = expect(&bob, GY_CHAT_GAP);
    assert_int_equal(gap.body.gap.why, GY_CHAT_GAP_RETENTION);
    assert_int_equal(gap.body.gap.last, 1000);
    for (uint64_t i = 1001; i <= 2000; i++) {
        assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, i);
    }
}

static void who_joins_gets_what_came_after_what_it_has(void **state)
{
    (void)state;
    come_with(GY_CHAT_SPILL);
    bob.stalled = false;
    say_many(1, 30);
    struct world_conn dan;
    conn_open(&world, &dan, 0, GY_CHAT_OVER_STREAM);
    log_in(&dan, "dan");
    ask_join(&dan, "tea", GY_CHAT_SPILL, 20, 0);
    struct gy_chat_frame joined = expect(&dan, GY_CHAT_JOINED);
    assert_int_equal(joined.body.joined.first, 1);
    assert_int_equal(joined.body.joined.last, 30);
    assert_int_equal(joined.tag, 2);
    for (uint64_t i = 21; i <= 30; i++) {
        struct gy_chat_frame message = expect(&dan, GY_CHAT_MESSAGE);
        assert_int_equal(message.body.message.id, i);
        assert_int_equal(message.tag, 2);
        assert_true(message.flags & GY_CHAT_PAST);
    }
    struct gy_chat_frame end = expect(&dan, GY_CHAT_END);
    assert_int_equal(end.tag, 2);
    assert_int_equal(end.body.end.more, 0);
    struct gy_chat_frame leave = {.type = GY_CHAT_LEAVE, .body.leave = {.room = room}};
    ask(&dan, &leave);
    ask_join(&dan, "tea", GY_CHAT_SPILL, GY_CHAT_NONE, 3);
    assert_int_equal(expect(&dan, GY_CHAT_MESSAGE).body.message.id, 28);
    conn_close(&dan);
}

static void history_is_read_both_ways_and_by_time(void **state)
{
    (void)state;
    come_with(GY_CHAT_SPILL);
    bob.stalled = false;
    for (uint64_t i = 1; i <= 1000; i++) {
        say_many(i, 1);
        world_pass(&world, 10);
    }
    expect_none(&cid, GY_CHAT_END);
    struct gy_chat_frame history = {
        .type = GY_CHAT_HISTORY,
        .tag = 40,
        .body.history = {.room = room, .by = GY_CHAT_AFTER_ID, .point = 2, .max = 4}};
    ask(&cid, &history);
    world_settle(&world, 100);
    for (uint64_t i = 3; i <= 6; i++) {
        assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, i);
    }
    assert_int_equal(expect(&cid, GY_CHAT_END).body.end.more, 1);
    history.body.history.point = 998;
    ask(&cid, &history);
    world_settle(&world, 100);
    assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, 999);
    assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, 1000);
    assert_int_equal(expect(&cid, GY_CHAT_END).body.end.more, 0);
    history.body.history.by = GY_CHAT_BEFORE_ID;
    for (uint64_t point = 1000; point > 700; point -= 299) { /* in memory, and not */
        history.body.history.point = point;
        ask(&cid, &history);
        world_settle(&world, 100);
        for (uint64_t i = 1; i <= 4; i++) {
            assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, point - i);
        }
        assert_int_equal(expect(&cid, GY_CHAT_END).body.end.more, 1);
    }
    history.body.history.by = GY_CHAT_FROM_TIME;
    history.body.history.point = world_room_named(&world, "tea")->entries[499].entry.time_ms;
    ask(&cid, &history);
    world_settle(&world, 100);
    assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, 500);
}

static void without_output_memory_everybody_reads_from_the_history(void **state)
{
    (void)state;
    come_with(GY_CHAT_SPILL);
    bob.stalled = false;
    struct gy_bump_block *held[WORLD_BLOCKS];
    uint32_t count = 0;
    gy_bump_close(&world.bumps[0]);
    while (count < WORLD_BLOCKS && (held[count] = gy_slab_take(&world.blocks[0])) != NULL) {
        count++;
    }
    say(&ada, room, 1, "nobody can be told now");
    gy_chat_hub_flush(world.hubs[0]);
    assert_true(world_counters(&world).starved > 0);
    while (count > 0) {
        gy_slab_give(&world.blocks[0], held[--count]);
    }
    world_settle(&world, 100);
    assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, 1);
    assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, 1);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(nobody_waits_for_a_slow_reader),
        ONE(disconnect_ends_the_connection),
        ONE(drop_oldest_leaves_out_what_does_not_fit),
        ONE(latest_only_leaves_out_all_but_the_last),
        ONE(spill_misses_nothing_from_memory_and_from_the_store),
        ONE(a_store_that_others_keep_busy_leaves_nothing_out),
        ONE(spill_says_what_the_history_no_longer_has),
        ONE(who_joins_gets_what_came_after_what_it_has),
        ONE(history_is_read_both_ways_and_by_time),
        ONE(without_output_memory_everybody_reads_from_the_history),
    };
    return cmocka_run_group_tests_name("hub_slow", tests, NULL, NULL);
}
