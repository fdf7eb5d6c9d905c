/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/chat/hub_rig.h"

/* Who people are: guests, accounts, nicks. */

static struct world world;
static struct world_conn ada, bob, cid;

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 3);
    world.store.latency_ms = 2;
    world_start(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void ask_login(struct world_conn *conn, const char *nick, enum gy_chat_method method,
                      struct gy_chat_text secret)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_LOGIN,
        .tag = 4,
        .body.login = {.nick = gy_chat_text_of(nick), .method = (uint8_t)method, .secret = secret}};
    ask(conn, &frame);
    world_settle(&world, 100);
}

static void ask_register(struct world_conn *conn, const char *nick, const char *password)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_REGISTER,
                                  .tag = 5,
                                  .body.registration = {.nick = gy_chat_text_of(nick),
                                                        .password = gy_chat_text_of(password)}};
    ask(conn, &frame);
    world_settle(&world, 100);
}

static void nothing_is_served_before_the_login(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    say(&ada, 1, 1, "hello");
    expect_none(&ada, GY_CHAT_ACK);
    world_settle(&world, 10);
    conn_forget(&ada);
    ask_join(&ada, "tea", GY_CHAT_SPILL, 0, 0);
    expect_error(&ada, GY_CHAT_ORDER);
}

static void a_guest_s_nick_is_free_again_when_it_goes(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    conn_open(&world, &bob, 1, GY_CHAT_OVER_STREAM);
    log_in(&ada, "Ada");
    ask_login(&bob, "ADA", GY_CHAT_GUEST, TEXT(""));
    expect_error(&bob, GY_CHAT_TAKEN);
    conn_close(&ada);
    world_settle(&world, 10);
    ask_login(&bob, "ADA", GY_CHAT_GUEST, TEXT(""));
    struct gy_chat_frame identity = expect(&bob, GY_CHAT_IDENTITY);
    expect_text(identity.body.identity.nick, "ADA");
    assert_int_equal(identity.body.identity.kind, GY_CHAT_IS_GUEST);
    assert_int_equal(identity.tag, 4);
    assert_int_equal(world_counters(&world).persons, 1);
}

static void a_token_is_the_same_user_again(void **state)
{
    (void)state;
    char token[GY_CHAT_TOKEN_MAX];
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    ask_login(&ada, "ada", GY_CHAT_GUEST, TEXT(""));
    struct gy_chat_frame identity = expect(&ada, GY_CHAT_IDENTITY);
    struct gy_chat_text copy = {token, identity.body.identity.token.length};
    memcpy(token, identity.body.identity.token.bytes, copy.length);
    uint64_t user = identity.body.identity.user;
    conn_open(&world, &bob, 2, GY_CHAT_OVER_STREAM); /* while the old connection is still there */
    ask_login(&bob, "ada", GY_CHAT_TOKEN, copy);
    assert_int_equal(expect(&bob, GY_CHAT_IDENTITY).body.identity.user, user);
    conn_close(&ada);
    conn_open(&world, &cid, 1, GY_CHAT_OVER_STREAM);
    ask_login(&cid, "ada", GY_CHAT_GUEST, TEXT(""));
    expect_error(&cid, GY_CHAT_TAKEN);
    ask_login(&cid, "adb", GY_CHAT_TOKEN, copy);
    expect_error(&cid, GY_CHAT_REFUSED);
}

static void an_account_is_made_and_logged_in_to(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    ask_register(&ada, "Ada", "swordfish");
    struct gy_chat_frame identity = expect(&ada, GY_CHAT_IDENTITY);
    assert_int_equal(identity.body.identity.kind, GY_CHAT_IS_ACCOUNT);
    uint64_t user = identity.body.identity.user;
    conn_open(&world, &bob, 1, GY_CHAT_OVER_STREAM);
    ask_login(&bob, "ada", GY_CHAT_PASSWORD, TEXT("tunafish"));
    expect_error(&bob, GY_CHAT_REFUSED);
    ask_login(&bob, "ada", GY_CHAT_PASSWORD, TEXT("swordfish"));
    assert_int_equal(expect(&bob, GY_CHAT_IDENTITY).body.identity.user, user);
    conn_close(&ada);
    conn_close(&bob);
    world_settle(&world, 10);
    assert_int_equal(world_counters(&world).persons, 0);
    conn_open(&world, &cid, 2, GY_CHAT_OVER_STREAM);
    ask_login(&cid, "ada", GY_CHAT_GUEST, TEXT("")); /* nobody is here, and it is still hers */
    expect_error(&cid, GY_CHAT_TAKEN);
    ask_register(&cid, "ada", "mine");
    expect_error(&cid, GY_CHAT_TAKEN);
}

static void an_unknown_nick_costs_what_a_wrong_password_does(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    world.slow_checks = true;
    ask_login(&ada, "nobody", GY_CHAT_PASSWORD, TEXT("x"));
    assert_non_null(world.checks); /* it is hashed all the same */
    world_check(&world);
    world.slow_checks = false;
    world_settle(&world, 10);
    expect_error(&ada, GY_CHAT_REFUSED);
}

static void a_guest_becomes_an_account_with_its_nick(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    log_in(&ada, "ada");
    ask_register(&ada, "ada", "swordfish");
    assert_int_equal(expect(&ada, GY_CHAT_IDENTITY).body.identity.kind, GY_CHAT_IS_ACCOUNT);
    conn_close(&ada);
    world_settle(&world, 10);
    assert_int_equal(world_counters(&world).persons, 0);
}

static void a_nick_is_not_registered_under_somebody_who_is_here(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    conn_open(&world, &bob, 1, GY_CHAT_OVER_STREAM);
    log_in(&ada, "ada");
    ask_register(&bob, "ada", "swordfish");
    expect_error(&bob, GY_CHAT_TAKEN);
    assert_int_equal(world.store.account_count, 0);
}

static void who_leaves_in_the_middle_of_a_login_leaves_nothing_behind(void **state)
{
    (void)state;
    for (uint32_t turns = 0; turns < 14; turns++) {
        conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
        char nick[16];
        snprintf(nick, sizeof nick, "ada%u", turns);
        struct gy_chat_frame frame = {
            .type = GY_CHAT_REGISTER,
            .body.registration = {.nick = gy_chat_text_of(nick), .password = TEXT("swordfish")}};
        ask(&ada, &frame);
        for (uint32_t i = 0; i < turns; i++) {
            world_turn(&world);
            world.now_ms++;
        }
        conn_close(&ada);
        world_settle(&world, 100);
        assert_int_equal(world_counters(&world).persons, 0);
        assert_true(gy_chat_hub_idle(world.hubs[0]));
    }
}

static void requests_wait_while_a_login_is_under_way(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    struct gy_chat_frame login = {.type = GY_CHAT_LOGIN, .body.login = {.nick = TEXT("ada")}};
    struct gy_chat_frame frame = {.type = GY_CHAT_JOIN, .body.join = {.room = TEXT("tea")}};
    ask(&ada, &login);
    assert_int_equal(gy_chat_hub_request(&ada.member, &frame), GY_EAGAIN);
    uint32_t woken = ada.woken;
    world_settle(&world, 100);
    assert_true(ada.woken > woken);
    assert_int_equal(gy_chat_hub_request(&ada.member, &frame), 0);
}

static void a_new_nick_is_told_to_the_rooms(void **state)
{
    (void)state;
    come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 1, GY_CHAT_OVER_STREAM, "bob", "tea");
    struct gy_chat_frame nick = {
        .type = GY_CHAT_NICK, .tag = 6, .body.nick = {.nick = TEXT("eve")}};
    ask(&bob, &nick);
    world_settle(&world, 100);
    assert_int_equal(expect(&bob, GY_CHAT_IDENTITY).tag, 6);
    struct gy_chat_frame came = expect(&ada, GY_CHAT_CAME);
    while (came.body.came.what != GY_CHAT_HAS_NICK) {
        came = expect(&ada, GY_CHAT_CAME);
    }
    expect_text(came.body.came.nick, "bob");
    expect_text(came.body.came.other, "eve");
    conn_open(&world, &cid, 2, GY_CHAT_OVER_STREAM);
    log_in(&cid, "bob"); /* it is free */
    nick.body.nick.nick = TEXT("ada");
    ask(&cid, &nick);
    world_settle(&world, 100);
    expect_error(&cid, GY_CHAT_TAKEN);
    nick.body.nick.nick = TEXT("BOB"); /* another way to write one's own */
    ask(&cid, &nick);
    world_settle(&world, 100);
    expect(&cid, GY_CHAT_IDENTITY);
    conn_close(&cid);
    world_settle(&world, 100);
    assert_int_equal(world_counters(&world).persons, 2);
}

static void names_that_break_the_rules_are_refused_with_the_rule(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    ask_login(&ada, "two words", GY_CHAT_GUEST, TEXT(""));
    expect_error(&ada, GY_CHAT_NAME);
    log_in(&ada, "ada");
    ask_join(&ada, "@bob", GY_CHAT_SPILL, 0, 0);
    expect_error(&ada, GY_CHAT_NAME);
}

static void what_the_server_does_not_allow_is_refused(void **state)
{
    (void)state;
    world_close(&world);
    world_open(&world, 1);
    world.config.guests = GY_CHAT_NOBODY;
    world.config.make_rooms = GY_CHAT_ACCOUNTS;
    world_start(&world);
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    ask_login(&ada, "ada", GY_CHAT_GUEST, TEXT(""));
    expect_error(&ada, GY_CHAT_FORBIDDEN);
    ask_register(&ada, "ada", "swordfish");
    expect(&ada, GY_CHAT_IDENTITY);
    join(&ada, "tea", GY_CHAT_SPILL);
}

static void a_certificate_logs_in_to_the_account_it_was_registered_with(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    ask_register(&ada, "carla", "");
    expect(&ada, GY_CHAT_IDENTITY);
    conn_open(&world, &bob, 1, GY_CHAT_OVER_STREAM);
    ask_login(&bob, "", GY_CHAT_CERTIFICATE, TEXT(""));
    expect_text(expect(&bob, GY_CHAT_IDENTITY).body.identity.nick, "carla");
    conn_open(&world, &cid, 1, GY_CHAT_OVER_STREAM);
    ask_login(&cid, "somebody", GY_CHAT_CERTIFICATE, TEXT(""));
    expect_error(&cid, GY_CHAT_REFUSED);
}

/* ---- rooms of strangers ---- */

static void begin_with(enum gy_chat_who make_rooms)
{
    world_close(&world);
    world_open(&world, 2);
    world.config.make_rooms = (uint8_t)make_rooms;
    world.config.rooms_per_origin = 2;
    world.config.rooms_per_account = 1;
    world.config.room_idle_ms = 1000;
}

static void a_guest_s_room_is_temporary_and_closed_when_nobody_is_in_it(void **state)
{
    (void)state;
    begin_with(GY_CHAT_EVERYBODY);
    world_start(&world);
    come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 1, GY_CHAT_OVER_STREAM, "bob", "tea");
    assert_true(world_room_named(&world, "tea")->temporary);
    conn_close(&ada);
    world_pass(&world, 2000);
    assert_false(world_room_named(&world, "tea")->closed); /* bob is there */
    conn_close(&bob);
    world_pass(&world, 500);
    assert_false(world_room_named(&world, "tea")->closed); /* who lost a connection comes again */
    world_pass(&world, 1000);
    assert_true(world_room_named(&world, "tea")->closed);
    come(&world, &cid, 0, GY_CHAT_OVER_STREAM, "cid", "tea");
    assert_false(world_room_named(&world, "tea")->closed);
}

static void an_account_s_room_stays(void **state)
{
    (void)state;
    begin_with(GY_CHAT_EVERYBODY);
    world_start(&world);
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    ask_register(&ada, "ada", "swordfish");
    expect(&ada, GY_CHAT_IDENTITY);
    join(&ada, "tea", GY_CHAT_SPILL);
    assert_false(world_room_named(&world, "tea")->temporary);
    conn_close(&ada);
    world_pass(&world, 3000);
    assert_false(world_room_named(&world, "tea")->closed);
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    ask_login(&ada, "ada", GY_CHAT_PASSWORD, TEXT("swordfish"));
    expect(&ada, GY_CHAT_IDENTITY);
    ask_join(&ada, "milk", GY_CHAT_SPILL, 0, 0); /* one is what an account may have here */
    expect_error(&ada, GY_CHAT_FULL);
    join(&ada, "tea", GY_CHAT_SPILL);
}

static void guests_of_one_origin_make_so_many_rooms_together(void **state)
{
    (void)state;
    begin_with(GY_CHAT_EVERYBODY);
    world_start(&world);
    come(&world, &cid, 1, GY_CHAT_OVER_STREAM, "cid", "other");
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    conn_open(&world, &bob, 1, GY_CHAT_OVER_STREAM);
    ada.origin = bob.origin = 77;
    log_in(&ada, "ada");
    log_in(&bob, "bob");
    join(&ada, "one", GY_CHAT_SPILL);
    join(&bob, "two", GY_CHAT_SPILL);
    ask_join(&ada, "three", GY_CHAT_SPILL, 0, 0);
    expect_error(&ada, GY_CHAT_FULL);
    join(&ada, "other", GY_CHAT_SPILL); /* what is there is joined */
    join(&ada, "@", GY_CHAT_SPILL);     /* and the inbox is no room */
    assert_true(world_room_named(&world, "one")->temporary);
    assert_null(world_room_named(&world, "three"));
}

static void who_may_make_a_room_is_the_server_s_choice_but_its_own_anybody_may(void **state)
{
    (void)state;
    struct gy_chat_canonical own[2];
    const char *why;
    assert_int_equal(gy_chat_room_check(TEXT("lobby"), &own[0], &why), 0);
    assert_int_equal(gy_chat_room_check(TEXT("Help"), &own[1], &why), 0);
    begin_with(GY_CHAT_OPERATORS);
    world.config.own_rooms = own;
    world.config.own_room_count = 2;
    world_start(&world);
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    log_in(&ada, "ada");
    ask_join(&ada, "tea", GY_CHAT_SPILL, 0, 0);
    expect_error(&ada, GY_CHAT_ABSENT);
    ask_join(&ada, "help", GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    assert_int_equal(expect(&ada, GY_CHAT_JOINED).body.joined.role, GY_CHAT_ROLE_MEMBER);
    assert_false(world_room_named(&world, "help")->temporary);
    join(&ada, "@", GY_CHAT_SPILL);
    conn_open(&world, &bob, 1, GY_CHAT_OVER_STREAM);
    ask_register(&bob, "bob", "swordfish");
    world.operator= expect(&bob, GY_CHAT_IDENTITY).body.identity.user;
    join(&bob, "tea", GY_CHAT_SPILL);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_served_before_the_login),
        TEST(a_guest_s_nick_is_free_again_when_it_goes),
        TEST(a_token_is_the_same_user_again),
        TEST(an_account_is_made_and_logged_in_to),
        TEST(an_unknown_nick_costs_what_a_wrong_password_does),
        TEST(a_guest_becomes_an_account_with_its_nick),
        TEST(a_nick_is_not_registered_under_somebody_who_is_here),
        TEST(who_leaves_in_the_middle_of_a_login_leaves_nothing_behind),
        TEST(requests_wait_while_a_login_is_under_way),
        TEST(a_new_nick_is_told_to_the_rooms),
        TEST(names_that_break_the_rules_are_refused_with_the_rule),
        TEST(what_the_server_does_not_allow_is_refused),
        TEST(a_certificate_logs_in_to_the_account_it_was_registered_with),
        TEST(a_guest_s_room_is_temporary_and_closed_when_nobody_is_in_it),
        TEST(an_account_s_room_stays),
        TEST(guests_of_one_origin_make_so_many_rooms_together),
        TEST(who_may_make_a_room_is_the_server_s_choice_but_its_own_anybody_may),
    };
    return cmocka_run_group_tests_name("hub_people", tests, NULL, NULL);
}
