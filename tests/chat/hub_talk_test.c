/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_rig.h"

/* What is said is numbered, stored, acknowledged and passed on. */

static struct world world;
static struct world_conn ada, bob, cid;

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 1);
    world_start(&world);
    return 0;
}

static int set_up_two(void **state)
{
    (void)state;
    world_open(&world, 2);
    world.store.latency_ms = 3;
    world_start(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void the_sender_gets_an_ack_and_others_the_message(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 0, GY_CHAT_OVER_STREAM, "bob", "tea");
    say(&ada, room, 71, "hello");
    world_settle(&world, 10);
    struct gy_chat_frame ack = expect(&ada, GY_CHAT_ACK);
    assert_int_equal(ack.tag, 3);
    assert_int_equal(ack.body.ack.room, room);
    assert_int_equal(ack.body.ack.client_id, 71);
    assert_int_equal(ack.body.ack.id, 1);
    assert_int_equal(ack.body.ack.time, world.wall_ms);
    expect_none(&ada, GY_CHAT_MESSAGE);
    struct gy_chat_frame message = expect(&bob, GY_CHAT_MESSAGE);
    assert_int_equal(message.body.message.room, room);
    assert_int_equal(message.body.message.id, 1);
    assert_int_equal(message.body.message.kind, GY_CHAT_SAID);
    assert_int_equal(message.flags, 0);
    expect_text(message.body.message.from, "ada");
    expect_text(message.body.message.contents, "hello");
}

static void nothing_is_acknowledged_or_passed_on_before_it_is_committed(void **state)
{
    (void)state;
    world.store.latency_ms = 5;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 0, GY_CHAT_OVER_STREAM, "bob", "tea");
    conn_forget(&bob);
    say(&ada, room, 1, "hello");
    world_turn(&world);
    expect_none(&ada, GY_CHAT_ACK);
    expect_none(&bob, GY_CHAT_MESSAGE);
    world_settle(&world, 10);
    expect(&ada, GY_CHAT_ACK);
    expect(&bob, GY_CHAT_MESSAGE);
}

static void what_is_said_while_the_store_is_busy_is_one_append(void **state)
{
    (void)state;
    world.store.latency_ms = 5;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    uint64_t before = world.store.appends;
    for (uint64_t i = 0; i < 50; i++) {
        say(&ada, room, i + 1, "more");
        if (i == 0) {
            world_turn(&world); /* the first is on its way */
        }
    }
    world_settle(&world, 30);
    assert_int_equal(world.store.appends - before, 2);
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(expect(&ada, GY_CHAT_ACK).body.ack.id, i + 1);
    }
}

static void a_batch_is_one_append_to_each_reader(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 0, GY_CHAT_OVER_STREAM, "bob", "tea");
    come(&world, &cid, 0, GY_CHAT_OVER_STREAM, "cid", "tea");
    uint64_t before = world_counters(&world).batches;
    for (uint64_t i = 0; i < 64; i++) {
        say(&ada, room, i + 1, "a message of some length, so that they are one block together");
    }
    world_settle(&world, 10);
    assert_int_equal(world_counters(&world).batches - before, 2);
    for (uint64_t i = 0; i < 64; i++) {
        assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, i + 1);
        assert_int_equal(expect(&cid, GY_CHAT_MESSAGE).body.message.id, i + 1);
    }
}

static void who_speaks_in_a_batch_gets_all_but_its_own(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 0, GY_CHAT_OVER_WEBSOCKET, "bob", "tea");
    for (uint64_t i = 0; i < 12; i++) {
        say(i % 3 == 2 ? &bob : &ada, room, i + 1, "x");
    }
    world_settle(&world, 10);
    for (uint64_t i = 0; i < 12; i++) {
        if (i % 3 != 2) {
            assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.id, i + 1);
        } else {
            assert_int_equal(expect(&ada, GY_CHAT_MESSAGE).body.message.id, i + 1);
        }
    }
    expect_none(&bob, GY_CHAT_MESSAGE);
    expect_none(&ada, GY_CHAT_MESSAGE);
}

static void websockets_get_binary_messages_of_whole_frames(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 0, GY_CHAT_OVER_WEBSOCKET, "bob", "tea");
    char text[GY_CHAT_CONTENTS_MAX + 1];
    memset(text, 'x', GY_CHAT_CONTENTS_MAX);
    text[GY_CHAT_CONTENTS_MAX] = 0;
    for (uint64_t i = 0; i < 9; i++) { /* heads of two and of four bytes, and several blocks */
        text[i % 3 == 0 ? 3 : i % 3 == 1 ? 300 : GY_CHAT_CONTENTS_MAX] = 0;
        say(&ada, room, i + 1, text);
        text[i % 3 == 0 ? 3 : i % 3 == 1 ? 300 : 0] = 'x';
    }
    world_settle(&world, 10);
    for (uint64_t i = 0; i < 9; i++) {
        struct gy_chat_frame message = expect(&bob, GY_CHAT_MESSAGE);
        assert_int_equal(message.body.message.id, i + 1);
        assert_int_equal(message.body.message.contents.length, i % 3 == 0   ? 3
                                                               : i % 3 == 1 ? 300
                                                                            : GY_CHAT_CONTENTS_MAX);
    }
}

static void clients_of_the_book_share_the_room(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    conn_open(&world, &bob, 0, GY_CHAT_OVER_BOOK);
    struct gy_chat_frame login = {.type = GY_CHAT_LOGIN,
                                  .body.login = {.nick = TEXT("bob"), .method = GY_CHAT_GUEST}};
    ask(&bob, &login);
    world_settle(&world, 10);
    ask_join(&bob, "tea", GY_CHAT_DROP_OLDEST, GY_CHAT_NONE, 0);
    say(&ada, room, 1, "one");
    say(&bob, room, 2, "two");
    say(&ada, room, 3, "three");
    world_settle(&world, 10);
    struct gy_chat_frame frame;
    assert_true(conn_next(&bob, &frame));
    expect_text(frame.body.message.from, "ada");
    expect_text(frame.body.message.contents, "one");
    assert_true(conn_next(&bob, &frame));
    expect_text(frame.body.message.contents, "three");
    assert_false(conn_next(&bob, &frame));
    expect_text(expect(&ada, GY_CHAT_MESSAGE).body.message.contents, "two");
}

static void a_client_id_that_comes_again_gets_the_first_ack(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 0, GY_CHAT_OVER_STREAM, "bob", "tea");
    say(&ada, room, 7, "once");
    world_settle(&world, 10);
    uint64_t time = expect(&ada, GY_CHAT_ACK).body.ack.time;
    world_pass(&world, 100);
    say(&ada, room, 7, "once");
    world_settle(&world, 10);
    struct gy_chat_frame again = expect(&ada, GY_CHAT_ACK);
    assert_int_equal(again.body.ack.id, 1);
    assert_int_equal(again.body.ack.time, time);
    assert_int_equal(world_room_named(&world, "tea")->count, 1);
    say(&bob, room, 7, "another's id is another");
    world_settle(&world, 10);
    assert_int_equal(expect(&bob, GY_CHAT_ACK).body.ack.id, 2);
}

static void a_client_id_that_comes_again_before_it_is_committed_is_stored_once(void **state)
{
    (void)state;
    world.store.latency_ms = 5;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    say(&ada, room, 7, "once");
    say(&ada, room, 7, "once");
    world_turn(&world);
    say(&ada, room, 7, "once");
    world_settle(&world, 30);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(expect(&ada, GY_CHAT_ACK).body.ack.id, 1);
    }
    assert_int_equal(world_room_named(&world, "tea")->count, 1);
}

static void the_store_knows_what_the_owner_has_forgotten(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    for (uint64_t i = 0; i < 2000; i++) {
        say(&ada, room, i + 1, "much");
        world_turn(&world);
    }
    say(&ada, room, 1, "much");
    world_settle(&world, 10);
    struct gy_chat_frame frame;
    uint64_t last = 0;
    while (conn_next(&ada, &frame)) {
        last = frame.type == GY_CHAT_ACK ? frame.body.ack.id : last;
    }
    assert_int_equal(last, 1);
    assert_int_equal(world_room_named(&world, "tea")->count, 2000);
}

static void a_full_disk_is_told_to_senders_and_readers_go_on(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    say(&ada, room, 1, "before");
    world_settle(&world, 10);
    world.store.full = true;
    say(&ada, room, 2, "lost");
    world_settle(&world, 10);
    expect_error(&ada, GY_CHAT_STORAGE);
    conn_open(&world, &bob, 0, GY_CHAT_OVER_STREAM);
    log_in(&bob, "bob");
    ask_join(&bob, "tea", GY_CHAT_SPILL, 0, 0);
    expect_text(expect(&bob, GY_CHAT_MESSAGE).body.message.contents, "before");
    expect_none(&bob, GY_CHAT_MESSAGE);
    world.store.full = false;
    say(&ada, room, 2, "now");
    world_settle(&world, 10);
    assert_int_equal(expect(&ada, GY_CHAT_ACK).body.ack.id, 2);
    expect_text(expect(&bob, GY_CHAT_MESSAGE).body.message.contents, "now");
}

static void edits_and_deletions_are_numbered_and_one_s_own(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 0, GY_CHAT_OVER_STREAM, "bob", "tea");
    say(&bob, room, 1, "frist");
    world_settle(&world, 10);
    struct gy_chat_frame edit = {
        .type = GY_CHAT_EDIT,
        .body.edit = {.room = room, .client_id = 2, .target = 1, .contents = TEXT("first")}};
    ask(&bob, &edit);
    world_settle(&world, 10);
    assert_int_equal(expect(&bob, GY_CHAT_ACK).body.ack.id, 1);
    assert_int_equal(expect(&bob, GY_CHAT_ACK).body.ack.id, 2);
    expect(&ada, GY_CHAT_MESSAGE);
    struct gy_chat_frame edited = expect(&ada, GY_CHAT_MESSAGE);
    assert_int_equal(edited.body.message.kind, GY_CHAT_EDITED);
    assert_int_equal(edited.body.message.target, 1);
    come(&world, &cid, 0, GY_CHAT_OVER_STREAM, "cid", "tea");
    struct gy_chat_frame deletion = {.type = GY_CHAT_DELETE,
                                     .body.deletion = {.room = room, .client_id = 3, .target = 1}};
    ask(&cid, &deletion);
    world_settle(&world, 10);
    expect_error(&cid, GY_CHAT_FORBIDDEN);
    ask(&ada, &deletion); /* who made the room may */
    world_settle(&world, 10);
    assert_int_equal(expect(&ada, GY_CHAT_ACK).body.ack.id, 3);
    edit.body.edit.client_id = 4;
    ask(&bob, &edit);
    world_settle(&world, 10);
    expect_error(&bob, GY_CHAT_ABSENT);
    edit.body.edit.target = 99;
    ask(&bob, &edit);
    world_settle(&world, 10);
    expect_error(&bob, GY_CHAT_ABSENT);
}

static void what_was_deleted_is_not_told_to_who_comes_later(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    say(&ada, room, 1, "secret");
    world_settle(&world, 10);
    struct gy_chat_frame deletion = {.type = GY_CHAT_DELETE,
                                     .body.deletion = {.room = room, .client_id = 3, .target = 1}};
    ask(&ada, &deletion);
    world_settle(&world, 10);
    conn_open(&world, &bob, 0, GY_CHAT_OVER_STREAM);
    log_in(&bob, "bob");
    ask_join(&bob, "tea", GY_CHAT_SPILL, 0, 0);
    struct gy_chat_frame first = expect(&bob, GY_CHAT_MESSAGE);
    assert_int_equal(first.body.message.id, 1);
    assert_int_equal(first.body.message.contents.length, 0);
    assert_int_equal(expect(&bob, GY_CHAT_MESSAGE).body.message.kind, GY_CHAT_DELETED);
}

static void a_message_to_a_person_waits_in_the_inbox(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    conn_open(&world, &bob, world.workers - 1, GY_CHAT_OVER_STREAM);
    log_in(&ada, "ada");
    log_in(&bob, "bob");
    struct gy_chat_frame tell = {
        .type = GY_CHAT_TELL,
        .tag = 9,
        .body.tell = {.nick = TEXT("BOB"), .client_id = 5, .contents = TEXT("psst")}};
    ask(&ada, &tell);
    world_settle(&world, 100);
    struct gy_chat_frame ack = expect(&ada, GY_CHAT_ACK);
    assert_int_equal(ack.tag, 9);
    assert_int_equal(ack.body.ack.id, 1);
    ask_join(&bob, "@", GY_CHAT_SPILL, 0, 0);
    struct gy_chat_frame joined = expect(&bob, GY_CHAT_JOINED);
    expect_text(joined.body.joined.name, "@");
    assert_int_equal(joined.body.joined.room, ack.body.ack.room);
    struct gy_chat_frame message = expect(&bob, GY_CHAT_MESSAGE);
    expect_text(message.body.message.from, "ada");
    expect_text(message.body.message.contents, "psst");
    expect(&bob, GY_CHAT_END);
    ask_join(&ada, "@", GY_CHAT_SPILL, 0, 0);
    assert_int_not_equal(expect(&ada, GY_CHAT_JOINED).body.joined.room, ack.body.ack.room);
    tell.body.tell.nick = TEXT("nobody");
    ask(&ada, &tell);
    world_settle(&world, 100);
    expect_error(&ada, GY_CHAT_ABSENT);
}

static void rooms_span_workers(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    assert_int_equal(come(&world, &bob, 1, GY_CHAT_OVER_WEBSOCKET, "bob", "tea"), room);
    for (uint64_t i = 0; i < 40; i++) {
        say(i % 2 == 0 ? &ada : &bob, room, i + 1, "across");
        if (i % 7 == 0) {
            world_turn(&world);
        }
    }
    world_settle(&world, 100);
    const struct world_room *stored = world_room_named(&world, "tea");
    assert_int_equal(stored->count, 40);
    for (uint64_t i = 0; i < 40; i++) {
        bool adas = stored->entries[i].entry.from.bytes[0] == 'a';
        struct gy_chat_frame message = expect(adas ? &bob : &ada, GY_CHAT_MESSAGE);
        assert_int_equal(message.body.message.id, i + 1);
    }
}

static void a_room_that_nobody_is_in_is_put_away_and_comes_back(void **state)
{
    (void)state;
    uint32_t room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    say(&ada, room, 1, "kept");
    world_settle(&world, 10);
    struct gy_chat_frame leave = {.type = GY_CHAT_LEAVE, .body.leave = {.room = room}};
    ask(&ada, &leave);
    world_settle(&world, 10);
    expect(&ada, GY_CHAT_OK);
    assert_int_equal(world_counters(&world).rooms, 1);
    world_pass(&world, 60001);
    assert_int_equal(world_counters(&world).rooms, 0);
    ask_join(&ada, "tea", GY_CHAT_SPILL, 0, 0);
    assert_int_equal(expect(&ada, GY_CHAT_JOINED).body.joined.room, room);
    expect_text(expect(&ada, GY_CHAT_MESSAGE).body.message.contents, "kept");
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define TWO(test) cmocka_unit_test_setup_teardown(test, set_up_two, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(the_sender_gets_an_ack_and_others_the_message),
        ONE(nothing_is_acknowledged_or_passed_on_before_it_is_committed),
        ONE(what_is_said_while_the_store_is_busy_is_one_append),
        ONE(a_batch_is_one_append_to_each_reader),
        ONE(who_speaks_in_a_batch_gets_all_but_its_own),
        ONE(websockets_get_binary_messages_of_whole_frames),
        ONE(clients_of_the_book_share_the_room),
        ONE(a_client_id_that_comes_again_gets_the_first_ack),
        ONE(a_client_id_that_comes_again_before_it_is_committed_is_stored_once),
        ONE(the_store_knows_what_the_owner_has_forgotten),
        ONE(a_full_disk_is_told_to_senders_and_readers_go_on),
        ONE(edits_and_deletions_are_numbered_and_one_s_own),
        ONE(what_was_deleted_is_not_told_to_who_comes_later),
        ONE(a_message_to_a_person_waits_in_the_inbox),
        TWO(a_message_to_a_person_waits_in_the_inbox),
        TWO(rooms_span_workers),
        ONE(a_room_that_nobody_is_in_is_put_away_and_comes_back),
    };
    return cmocka_run_group_tests_name("hub_talk", tests, NULL, NULL);
}
