/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_rig.h"

/* Who may do what in a room; who is there; what is said of them. */

static struct world world;
static struct world_conn ada, bob, cid;
static uint32_t room;

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 2);
    world.store.latency_ms = 2;
    world_start(&world);
    room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 1, GY_CHAT_OVER_STREAM, "bob", "tea");
    come(&world, &cid, 0, GY_CHAT_OVER_WEBSOCKET, "cid", "tea");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void moderate(struct world_conn *conn, enum gy_chat_action action, const char *nick,
                     uint32_t seconds)
{
    static uint64_t client_id = 1000;
    client_id++;
    struct gy_chat_frame frame = {.type = GY_CHAT_MODERATE,
                                  .tag = 7,
                                  .body.moderate = {.room = room,
                                                    .client_id = client_id,
                                                    .action = (uint8_t)action,
                                                    .nick = gy_chat_text_of(nick),
                                                    .seconds = seconds,
                                                    .reason = TEXT("because")}};
    ask(conn, &frame);
    world_settle(&world, 100);
}

static struct gy_chat_frame expect_came(struct world_conn *conn, enum gy_chat_came what)
{
    struct gy_chat_frame came = expect(conn, GY_CHAT_CAME);
    while (came.body.came.what != what) {
        came = expect(conn, GY_CHAT_CAME);
    }
    return came;
}

static void say_and_settle(struct world_conn *conn, uint64_t client_id, const char *text)
{
    say(conn, room, client_id, text);
    world_settle(&world, 100);
}

static void who_makes_a_room_owns_it(void **state)
{
    (void)state;
    struct gy_chat_frame topic = {
        .type = GY_CHAT_TOPIC,
        .body.topic = {.room = room, .client_id = 1, .topic = TEXT("leaves")}};
    ask(&bob, &topic);
    world_settle(&world, 100);
    expect_error(&bob, GY_CHAT_FORBIDDEN);
    ask(&ada, &topic);
    world_settle(&world, 100);
    assert_int_equal(expect(&ada, GY_CHAT_ACK).body.ack.id, 1);
    struct gy_chat_frame message = expect(&bob, GY_CHAT_MESSAGE);
    assert_int_equal(message.body.message.kind, GY_CHAT_TOPIC_SET);
    expect_text(message.body.message.contents, "leaves");
    struct world_conn dan;
    conn_open(&world, &dan, 1, GY_CHAT_OVER_STREAM);
    log_in(&dan, "dan");
    ask_join(&dan, "tea", GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    expect_text(expect(&dan, GY_CHAT_JOINED).body.joined.topic, "leaves");
    conn_close(&dan);
}

static void a_kick_is_numbered_and_told_to_all(void **state)
{
    (void)state;
    moderate(&bob, GY_CHAT_KICK, "cid", 0);
    expect_error(&bob, GY_CHAT_FORBIDDEN);
    moderate(&ada, GY_CHAT_KICK, "BOB", 0);
    assert_int_equal(expect(&ada, GY_CHAT_ACK).body.ack.id, 1);
    struct gy_chat_frame came = expect_came(&bob, GY_CHAT_WAS_KICKED);
    expect_text(came.body.came.nick, "bob");
    expect_text(came.body.came.other, "ada");
    expect_came(&cid, GY_CHAT_WAS_KICKED);
    struct gy_chat_frame message = expect(&cid, GY_CHAT_MESSAGE);
    assert_int_equal(message.body.message.kind, GY_CHAT_MODERATED);
    expect_text(message.body.message.contents, "ada kicked BOB: because");
    say_and_settle(&bob, 1, "let me in");
    expect_error(&bob, GY_CHAT_ABSENT);
    join(&bob, "tea", GY_CHAT_SPILL); /* it may come again */
}

static void a_ban_lasts_as_long_as_it_says_and_is_kept(void **state)
{
    (void)state;
    moderate(&ada, GY_CHAT_BAN, "bob", 60);
    expect_came(&bob, GY_CHAT_WAS_KICKED);
    ask_join(&bob, "tea", GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    expect_error(&bob, GY_CHAT_FORBIDDEN);
    const struct world_room *stored = world_room_named(&world, "tea");
    assert_int_equal(stored->standing_count, 2);
    assert_true(stored->standings[1].banned);
    world_pass(&world, 60000);
    join(&bob, "tea", GY_CHAT_SPILL);
    moderate(&ada, GY_CHAT_BAN, "bob", 0);
    world_pass(&world, 600000);
    ask_join(&bob, "tea", GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    expect_error(&bob, GY_CHAT_FORBIDDEN);
    moderate(&ada, GY_CHAT_UNBAN, "bob", 0);
    join(&bob, "tea", GY_CHAT_SPILL);
}

static void who_is_muted_reads_and_says_nothing(void **state)
{
    (void)state;
    moderate(&ada, GY_CHAT_MUTE, "bob", 10);
    assert_int_equal(expect_came(&cid, GY_CHAT_HAS_ROLE).body.came.role, GY_CHAT_ROLE_MUTED);
    say_and_settle(&bob, 1, "mmm");
    expect_error(&bob, GY_CHAT_FORBIDDEN);
    say_and_settle(&ada, 2, "peace");
    expect_text(expect(&bob, GY_CHAT_MESSAGE).body.message.contents, "peace");
    world_pass(&world, 10000);
    say_and_settle(&bob, 3, "at last");
    expect(&bob, GY_CHAT_ACK);
    moderate(&ada, GY_CHAT_MUTE, "bob", 0);
    moderate(&ada, GY_CHAT_UNMUTE, "bob", 0);
    say_and_settle(&bob, 4, "again");
    expect(&bob, GY_CHAT_ACK);
}

static void operators_moderate_members_and_owners_make_operators(void **state)
{
    (void)state;
    moderate(&bob, GY_CHAT_MAKE_OPERATOR, "bob", 0);
    expect_error(&bob, GY_CHAT_FORBIDDEN);
    moderate(&ada, GY_CHAT_MAKE_OPERATOR, "bob", 0);
    moderate(&bob, GY_CHAT_KICK, "ada", 0);
    expect_error(&bob, GY_CHAT_FORBIDDEN);
    moderate(&bob, GY_CHAT_MUTE, "cid", 0);
    assert_int_equal(expect(&bob, GY_CHAT_ACK).tag, 7);
    moderate(&ada, GY_CHAT_MAKE_OWNER, "cid", 0);
    expect(&ada, GY_CHAT_ACK);
    moderate(&ada, GY_CHAT_MAKE_MEMBER, "bob", 0); /* not any more */
    expect_error(&ada, GY_CHAT_FORBIDDEN);
    moderate(&cid, GY_CHAT_MAKE_MEMBER, "ada", 0);
    expect(&cid, GY_CHAT_ACK);
}

static void slow_mode_makes_members_wait(void **state)
{
    (void)state;
    moderate(&ada, GY_CHAT_SLOW_MODE, "", 30);
    say_and_settle(&bob, 1, "one");
    expect(&bob, GY_CHAT_ACK);
    world_pass(&world, 10000);
    say_and_settle(&bob, 2, "two");
    struct gy_chat_frame error = expect(&bob, GY_CHAT_ERROR);
    assert_int_equal(error.body.error.code, GY_CHAT_TOO_FAST);
    assert_true(error.body.error.retry_ms > 19000 && error.body.error.retry_ms <= 20000);
    say_and_settle(&bob, 1, "one"); /* what was said before is no new message */
    assert_int_equal(expect(&bob, GY_CHAT_ACK).body.ack.client_id, 1);
    say_and_settle(&ada, 3, "operators");
    say_and_settle(&ada, 4, "do not wait");
    world_pass(&world, 20000);
    say_and_settle(&bob, 2, "two");
    expect(&bob, GY_CHAT_ACK);
}

static void what_cannot_be_stored_does_not_happen(void **state)
{
    (void)state;
    world.store.full = true;
    moderate(&ada, GY_CHAT_BAN, "bob", 0);
    expect_error(&ada, GY_CHAT_STORAGE);
    expect_none(&bob, GY_CHAT_ERROR);
    world.store.full = false;
    say_and_settle(&bob, 1, "still here");
    expect(&bob, GY_CHAT_ACK);
}

static void members_are_listed_in_pages_over_all_workers(void **state)
{
    (void)state;
    struct gy_chat_frame presence = {
        .type = GY_CHAT_PRESENCE, .body.presence = {.status = GY_CHAT_AWAY, .note = TEXT("tea")}};
    ask(&bob, &presence);
    struct gy_chat_frame members = {
        .type = GY_CHAT_MEMBERS, .tag = 50, .body.members = {.room = room, .max = 2}};
    ask(&cid, &members);
    world_settle(&world, 100);
    struct gy_chat_frame member = expect(&cid, GY_CHAT_MEMBER);
    expect_text(member.body.member.nick, "ada");
    assert_int_equal(member.body.member.role, GY_CHAT_ROLE_OWNER);
    assert_int_equal(member.tag, 50);
    member = expect(&cid, GY_CHAT_MEMBER);
    expect_text(member.body.member.nick, "bob");
    assert_int_equal(member.body.member.status, GY_CHAT_AWAY);
    expect_text(member.body.member.note, "tea");
    assert_int_equal(expect(&cid, GY_CHAT_END).body.end.more, 1);
    members.body.members.after = TEXT("bob");
    ask(&cid, &members);
    world_settle(&world, 100);
    expect_text(expect(&cid, GY_CHAT_MEMBER).body.member.nick, "cid");
    assert_int_equal(expect(&cid, GY_CHAT_END).body.end.more, 0);
}

static void rooms_are_listed_with_their_members(void **state)
{
    (void)state;
    join(&bob, "coffee", GY_CHAT_SPILL);
    join(&ada, "tearoom", GY_CHAT_SPILL);
    ask_join(&ada, "@", GY_CHAT_SPILL, 0, 0);
    expect(&ada, GY_CHAT_END);
    struct gy_chat_frame rooms = {
        .type = GY_CHAT_ROOMS, .tag = 51, .body.rooms = {.prefix = TEXT("te"), .max = 10}};
    ask(&ada, &rooms);
    world_settle(&world, 100);
    struct gy_chat_frame one = expect(&ada, GY_CHAT_ROOM);
    expect_text(one.body.room.name, "tea");
    assert_int_equal(one.body.room.members, 3);
    expect_text(expect(&ada, GY_CHAT_ROOM).body.room.name, "tearoom");
    assert_int_equal(expect(&ada, GY_CHAT_END).body.end.more, 0);
    rooms.body.rooms.prefix = TEXT("");
    rooms.body.rooms.max = 2;
    ask(&ada, &rooms);
    world_settle(&world, 100);
    assert_int_equal(expect(&ada, GY_CHAT_END).body.end.more, 1);
    rooms.body.rooms.prefix = TEXT("@");
    ask(&ada, &rooms);
    world_settle(&world, 100);
    expect_none(&ada, GY_CHAT_ROOM); /* inboxes are nobody's business */
}

static void coming_and_going_is_told_on_all_workers(void **state)
{
    (void)state;
    struct world_conn dan;
    conn_open(&world, &dan, 1, GY_CHAT_OVER_STREAM);
    log_in(&dan, "dan");
    join(&dan, "tea", GY_CHAT_SPILL);
    world_settle(&world, 10);
    expect_text(expect_came(&cid, GY_CHAT_HAS_JOINED).body.came.nick, "cid");
    expect_text(expect_came(&cid, GY_CHAT_HAS_JOINED).body.came.nick, "dan");
    conn_close(&dan);
    world_settle(&world, 10);
    expect_text(expect_came(&cid, GY_CHAT_HAS_LEFT).body.came.nick, "dan");
    expect_text(expect_came(&bob, GY_CHAT_HAS_LEFT).body.came.nick, "dan");
}

static void typing_is_told_once_in_a_while_to_who_wants_it(void **state)
{
    (void)state;
    cid.member.features = 0;
    struct gy_chat_frame typing = {.type = GY_CHAT_TYPING, .body.typing = {.room = room, .on = 1}};
    for (uint32_t i = 0; i < 20; i++) {
        ask(&bob, &typing);
    }
    world_settle(&world, 100);
    struct gy_chat_frame types = expect(&ada, GY_CHAT_TYPES);
    expect_text(types.body.types.nick, "bob");
    assert_int_equal(types.body.types.on, 1);
    expect_none(&ada, GY_CHAT_TYPES);
    expect_none(&cid, GY_CHAT_TYPES);
    world_pass(&world, 2000);
    ask(&bob, &typing);
    world_settle(&world, 100);
    expect(&ada, GY_CHAT_TYPES);
}

static void a_large_room_is_quiet(void **state)
{
    (void)state;
    world_close(&world);
    world_open(&world, 2);
    world.config.quiet_members = 2;
    world_start(&world);
    room = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 1, GY_CHAT_OVER_STREAM, "bob", "tea");
    world_settle(&world, 10);
    expect_text(expect_came(&ada, GY_CHAT_HAS_JOINED).body.came.nick, "ada");
    expect_text(expect_came(&ada, GY_CHAT_HAS_JOINED).body.came.nick, "bob");
    come(&world, &cid, 0, GY_CHAT_OVER_STREAM, "cid", "tea");
    struct world_conn dan;
    come(&world, &dan, 1, GY_CHAT_OVER_STREAM, "dan", "tea");
    world_settle(&world, 10);
    expect_text(expect_came(&ada, GY_CHAT_HAS_JOINED).body.came.nick, "cid"); /* the third */
    conn_close(&dan);
    world_settle(&world, 10);
    expect_none(&ada, GY_CHAT_CAME);
    uint64_t before = world_counters(&world).quiet;
    struct gy_chat_frame typing = {.type = GY_CHAT_TYPING, .body.typing = {.room = room, .on = 1}};
    ask(&bob, &typing);
    world_settle(&world, 10);
    assert_int_equal(world_counters(&world).quiet, before + 1);
    expect_none(&ada, GY_CHAT_TYPES);
    say_and_settle(&bob, 1, "messages come all the same");
    expect(&ada, GY_CHAT_MESSAGE);
}

static void a_server_that_ends_says_where_to_go(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < world.workers; i++) {
        gy_chat_hub_drain(world.hubs[i], 5000, TEXT("chat.example:7000"));
    }
    world_settle(&world, 10);
    struct gy_chat_frame move = expect(&cid, GY_CHAT_MOVE);
    assert_int_equal(move.body.move.in_ms, 5000);
    expect_text(move.body.move.address, "chat.example:7000");
    say_and_settle(&ada, 1, "what is under way is served");
    expect(&ada, GY_CHAT_ACK);
    ask_join(&ada, "coffee", GY_CHAT_SPILL, 0, 0);
    expect_error(&ada, GY_CHAT_BUSY);
    for (uint32_t i = 0; i < world.workers; i++) {
        gy_chat_hub_end_all(world.hubs[i]);
    }
    world_settle(&world, 10);
    expect_error(&ada, GY_CHAT_DRAIN);
    assert_true(ada.ended && bob.ended && cid.ended);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_makes_a_room_owns_it),
        TEST(a_kick_is_numbered_and_told_to_all),
        TEST(a_ban_lasts_as_long_as_it_says_and_is_kept),
        TEST(who_is_muted_reads_and_says_nothing),
        TEST(operators_moderate_members_and_owners_make_operators),
        TEST(slow_mode_makes_members_wait),
        TEST(what_cannot_be_stored_does_not_happen),
        TEST(members_are_listed_in_pages_over_all_workers),
        TEST(rooms_are_listed_with_their_members),
        TEST(coming_and_going_is_told_on_all_workers),
        TEST(typing_is_told_once_in_a_while_to_who_wants_it),
        TEST(a_large_room_is_quiet),
        TEST(a_server_that_ends_says_where_to_go),
    };
    return cmocka_run_group_tests_name("hub_room", tests, NULL, NULL);
}
