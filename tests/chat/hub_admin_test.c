/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Changes of accounts, and what who operates the server may do. */

#include "tests/chat/hub_rig.h"

static struct world world;
static struct world_conn root, ada, bob, cid;

static void ask_account(struct world_conn *conn, enum gy_chat_type type, const char *nick,
                        const char *password)
{
    struct gy_chat_frame frame = {.type = (uint8_t)type, .tag = 7};
    if (type == GY_CHAT_REGISTER) {
        frame.body.registration.nick = gy_chat_text_of(nick);
        frame.body.registration.password = gy_chat_text_of(password);
    } else {
        frame.body.login.nick = gy_chat_text_of(nick);
        frame.body.login.method = GY_CHAT_PASSWORD;
        frame.body.login.secret = gy_chat_text_of(password);
    }
    ask(conn, &frame);
    world_settle(conn->world, 1000);
}

static struct gy_chat_frame account(struct world_conn *conn, uint32_t worker, const char *nick)
{
    conn_open(&world, conn, worker, GY_CHAT_OVER_STREAM);
    ask_account(conn, GY_CHAT_REGISTER, nick, "swordfish");
    return expect(conn, GY_CHAT_IDENTITY);
}

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 3);
    world_start(&world);
    world.operator= account(&root, 0, "root").body.identity.user;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void command(struct world_conn *conn, enum gy_chat_admin action, const char *subject,
                    uint32_t seconds, const char *text)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_ADMIN,
                                  .tag = 9,
                                  .body.admin = {.action = (uint8_t)action,
                                                 .seconds = seconds,
                                                 .subject = gy_chat_text_of(subject),
                                                 .text = gy_chat_text_of(text)}};
    ask(conn, &frame);
    world_settle(conn->world, 1000);
}

static void login_by_token(struct world_conn *conn, uint32_t worker, const char *nick,
                           const char *token)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_LOGIN,
                                  .tag = 8,
                                  .body.login = {.nick = gy_chat_text_of(nick),
                                                 .method = GY_CHAT_TOKEN,
                                                 .secret = gy_chat_text_of(token)}};
    conn_open(&world, conn, worker, GY_CHAT_OVER_STREAM);
    ask(conn, &frame);
    world_settle(&world, 1000);
}

static void keep_token(const struct gy_chat_frame *identity, char *token)
{
    struct gy_chat_text text = identity->body.identity.token;
    assert_true(text.length > 0 && text.length < 256);
    memcpy(token, text.bytes, text.length);
    token[text.length] = '\0';
}

/* ---- one's own account ---- */

static void change(struct world_conn *conn, const char *old, const char *password)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_CHANGE,
        .tag = 5,
        .body.change = {.old = gy_chat_text_of(old), .password = gy_chat_text_of(password)}};
    ask(conn, &frame);
    world_settle(conn->world, 1000);
}

static void a_password_is_changed_by_who_knows_it_and_all_others_are_logged_out(void **state)
{
    (void)state;
    char before[256], after[256];
    struct gy_chat_frame identity = account(&ada, 0, "ada");
    keep_token(&identity, before);
    login_by_token(&bob, 1, "ada", before);
    expect(&bob, GY_CHAT_IDENTITY);
    change(&ada, "sword", "another");
    expect_error(&ada, GY_CHAT_REFUSED);
    assert_false(bob.ended);
    change(&ada, "swordfish", "another");
    identity = expect(&ada, GY_CHAT_IDENTITY);
    keep_token(&identity, after);
    assert_true(bob.ended);
    assert_int_equal(bob.fatal, GY_CHAT_REFUSED);
    assert_false(ada.ended);
    conn_close(&bob);
    login_by_token(&bob, 1, "ada", before);
    expect_error(&bob, GY_CHAT_REFUSED);
    ask_account(&bob, GY_CHAT_LOGIN, "ada", "swordfish");
    expect_error(&bob, GY_CHAT_REFUSED);
    ask_account(&bob, GY_CHAT_LOGIN, "ada", "another");
    expect(&bob, GY_CHAT_IDENTITY);
    login_by_token(&cid, 2, "ada", after);
    expect(&cid, GY_CHAT_IDENTITY);
}

static void an_account_is_logged_out_everywhere_else(void **state)
{
    (void)state;
    char token[256];
    struct gy_chat_frame identity = account(&ada, 0, "ada");
    keep_token(&identity, token);
    login_by_token(&bob, 2, "ada", token);
    expect(&bob, GY_CHAT_IDENTITY);
    const struct gy_chat_frame revoke = {.type = GY_CHAT_REVOKE, .tag = 5};
    ask(&ada, &revoke);
    world_settle(&world, 1000);
    expect(&ada, GY_CHAT_IDENTITY);
    assert_true(bob.ended && !ada.ended);
    login_by_token(&cid, 1, "ada", token);
    expect_error(&cid, GY_CHAT_REFUSED);
}

static void guests_have_no_password_to_change(void **state)
{
    (void)state;
    conn_open(&world, &ada, 0, GY_CHAT_OVER_STREAM);
    log_in(&ada, "ada");
    change(&ada, "", "another");
    expect_error(&ada, GY_CHAT_FORBIDDEN);
}

static void a_change_that_cannot_be_stored_changes_nothing(void **state)
{
    (void)state;
    account(&ada, 0, "ada");
    world.store.full = true;
    change(&ada, "swordfish", "another");
    expect_error(&ada, GY_CHAT_STORAGE);
    world.store.full = false;
    conn_open(&world, &bob, 1, GY_CHAT_OVER_STREAM);
    ask_account(&bob, GY_CHAT_LOGIN, "ada", "swordfish");
    expect(&bob, GY_CHAT_IDENTITY);
}

static void who_goes_while_the_password_is_changed_leaves_nothing_behind(void **state)
{
    (void)state;
    account(&ada, 0, "ada");
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_CHANGE,
        .tag = 5,
        .body.change = {.old = TEXT("swordfish"), .password = TEXT("another")}};
    world.store.latency_ms = 5;
    ask(&ada, &frame);
    conn_close(&ada);
    world_settle(&world, 1000);
    assert_int_equal(world_counters(&world).persons, 1);
}

/* ---- operating ---- */

static void only_who_operates_the_server_may(void **state)
{
    (void)state;
    account(&ada, 1, "ada");
    for (int action = 0; action <= GY_CHAT_ADMIN_DROP_ROOM + 1; action++) {
        command(&ada, (enum gy_chat_admin)action, "root", 0, "so");
        expect_error(&ada, GY_CHAT_FORBIDDEN);
    }
    command(&root, (enum gy_chat_admin)(GY_CHAT_ADMIN_DROP_ROOM + 1), "", 0, "");
    expect_error(&root, GY_CHAT_UNSUPPORTED);
}

static void an_announcement_reaches_everybody(void **state)
{
    (void)state;
    conn_open(&world, &ada, 1, GY_CHAT_OVER_WEBSOCKET);
    log_in(&ada, "ada");
    conn_open(&world, &bob, 2, GY_CHAT_OVER_STREAM);
    log_in(&bob, "bob");
    command(&root, GY_CHAT_ADMIN_ANNOUNCE, "", 0, "we restart at ten");
    expect(&root, GY_CHAT_OK);
    struct world_conn *const others[] = {&ada, &bob};
    for (int i = 0; i < 2; i++) {
        struct gy_chat_frame notice = expect(others[i], GY_CHAT_NOTICE);
        expect_text(notice.body.notice.from, "root");
        expect_text(notice.body.notice.contents, "we restart at ten");
    }
    assert_string_equal(world.acted, "announce by root:  in  for 0: we restart at ten");
}

static void connections_are_listed_worker_by_worker(void **state)
{
    (void)state;
    conn_open(&world, &ada, 1, GY_CHAT_OVER_STREAM);
    ada.origin = 77;
    log_in(&ada, "ada");
    account(&cid, 2, "cid");
    struct gy_chat_frame list = {
        .type = GY_CHAT_ADMIN, .tag = 9, .body.admin = {.action = GY_CHAT_ADMIN_CONNECTIONS}};
    static const char *const nicks[] = {"root", "ada", "cid"};
    bool more = true;
    uint32_t count = 0;
    for (uint32_t pages = 0; more; pages++) {
        assert_true(pages < 6);
        ask(&root, &list);
        world_settle(&world, 1000);
        struct gy_chat_frame row;
        while (conn_next(&root, &row) && row.type == GY_CHAT_REPORT) {
            gy_assert(count < 3);
            expect_text(row.body.report.name, nicks[count]);
            assert_int_equal(row.body.report.what, GY_CHAT_IS_CONNECTION);
            expect_text(row.body.report.other, count == 1 ? "77" : "0");
            assert_int_equal(row.body.report.flags & GY_CHAT_REPORT_ACCOUNT, count != 1);
            list.body.admin.after = row.body.report.number;
            count++;
        }
        assert_int_equal(row.type, GY_CHAT_END);
        more = row.body.end.more != 0;
    }
    assert_int_equal(count, 3);
}

static void who_is_kicked_is_ended_on_all_connections(void **state)
{
    (void)state;
    char token[256];
    struct gy_chat_frame identity = account(&ada, 1, "ada");
    keep_token(&identity, token);
    login_by_token(&bob, 2, "ada", token);
    command(&root, GY_CHAT_ADMIN_END, "ADA", 0, "enough");
    expect(&root, GY_CHAT_OK);
    assert_true(ada.ended && bob.ended && !root.ended);
    assert_int_equal(ada.fatal, GY_CHAT_FORBIDDEN);
    assert_string_equal(world.acted, "kick by root: ADA in  for 0: enough");
    command(&root, GY_CHAT_ADMIN_END, "nobody", 0, "");
    expect_error(&root, GY_CHAT_ABSENT);
}

static void who_is_banned_goes_and_does_not_come_again_until_it_is_lifted(void **state)
{
    (void)state;
    account(&ada, 1, "ada");
    conn_open(&world, &bob, 2, GY_CHAT_OVER_STREAM);
    bob.origin = 5;
    log_in(&bob, "bob");
    command(&root, GY_CHAT_ADMIN_BAN, "Ada", 60, "spam");
    expect(&root, GY_CHAT_OK);
    assert_true(ada.ended && !bob.ended);
    assert_string_equal(world.acted, "ban by root: ada in  for 60: spam");
    command(&root, GY_CHAT_ADMIN_BAN, "5/8", 0, "");
    expect_error(&root, GY_CHAT_NAME); /* hub_world's addresses have no such thing */
}

static void an_address_is_banned_too(void **state)
{
    (void)state;
    conn_open(&world, &bob, 2, GY_CHAT_OVER_STREAM);
    bob.origin = 5;
    log_in(&bob, "bob");
    command(&root, GY_CHAT_ADMIN_BAN, "5", 0, "");
    expect(&root, GY_CHAT_OK);
    assert_true(bob.ended);
    conn_open(&world, &cid, 1, GY_CHAT_OVER_STREAM);
    cid.origin = 5;
    struct gy_chat_frame login = {.type = GY_CHAT_LOGIN,
                                  .tag = 1,
                                  .body.login = {.nick = TEXT("cid"), .method = GY_CHAT_GUEST}};
    ask(&cid, &login);
    world_settle(&world, 1000);
    expect_error(&cid, GY_CHAT_FORBIDDEN);
    command(&root, GY_CHAT_ADMIN_BANS, "", 0, "");
    expect_text(expect(&root, GY_CHAT_REPORT).body.report.name, "5");
    expect(&root, GY_CHAT_END);
    command(&root, GY_CHAT_ADMIN_UNBAN, "5", 0, "");
    expect(&root, GY_CHAT_OK);
    log_in(&cid, "cid");
    command(&root, GY_CHAT_ADMIN_UNBAN, "5", 0, "");
    expect_error(&root, GY_CHAT_ABSENT);
}

static void accounts_are_listed_logged_out_and_given_another_password(void **state)
{
    (void)state;
    char token[256];
    struct gy_chat_frame identity = account(&ada, 1, "ada");
    keep_token(&identity, token);
    command(&root, GY_CHAT_ADMIN_ACCOUNTS, "", 0, "");
    expect_text(expect(&root, GY_CHAT_REPORT).body.report.name, "root");
    expect_text(expect(&root, GY_CHAT_REPORT).body.report.name, "ada");
    command(&root, GY_CHAT_ADMIN_PASSWORD, "ada", 0, "another");
    expect(&root, GY_CHAT_OK);
    assert_true(ada.ended);
    assert_string_equal(world.acted, "password by root: ada in  for 0: ");
    conn_open(&world, &bob, 2, GY_CHAT_OVER_STREAM);
    ask_account(&bob, GY_CHAT_LOGIN, "ada", "swordfish");
    expect_error(&bob, GY_CHAT_REFUSED);
    ask_account(&bob, GY_CHAT_LOGIN, "ada", "another");
    expect(&bob, GY_CHAT_IDENTITY);
    login_by_token(&cid, 0, "ada", token);
    expect_error(&cid, GY_CHAT_REFUSED);
    command(&root, GY_CHAT_ADMIN_REVOKE, "ada", 0, "");
    expect(&root, GY_CHAT_OK);
    assert_true(bob.ended);
    command(&root, GY_CHAT_ADMIN_REVOKE, "nobody", 0, "");
    expect_error(&root, GY_CHAT_ABSENT);
}

static void operators_are_made_and_unmade(void **state)
{
    (void)state;
    uint64_t before = world.operator;
    uint64_t user = account(&ada, 1, "ada").body.identity.user;
    command(&root, GY_CHAT_ADMIN_OPERATOR, "ada", 0, "");
    expect(&root, GY_CHAT_OK);
    assert_int_equal(world.operator, user);
    world.operator= 0; /* the server begins anew, and ada logs in */
    conn_open(&world, &bob, 2, GY_CHAT_OVER_STREAM);
    ask_account(&bob, GY_CHAT_LOGIN, "ada", "swordfish");
    assert_int_equal(world.operator, user);
    command(&ada, GY_CHAT_ADMIN_NO_OPERATOR, "ada", 0, "");
    expect(&ada, GY_CHAT_OK);
    assert_int_equal(world.operator, 0);
    world.operator= before;
}

static void the_server_s_nick_is_nobody_s(void **state)
{
    (void)state;
    conn_open(&world, &ada, 1, GY_CHAT_OVER_STREAM);
    struct gy_chat_frame login = {.type = GY_CHAT_LOGIN,
                                  .tag = 1,
                                  .body.login = {.nick = TEXT("Server"), .method = GY_CHAT_GUEST}};
    ask(&ada, &login);
    world_settle(&world, 1000);
    expect_error(&ada, GY_CHAT_TAKEN);
    login_by_token(&bob, 2, GY_CHAT_SERVER_NICK, "4611686018427387903 0 server");
    assert_int_equal(expect(&bob, GY_CHAT_IDENTITY).body.identity.user, GY_CHAT_SERVER_USER);
}

/* ---- rooms ---- */

static void a_guest_s_room_is_kept(void **state)
{
    (void)state;
    come(&world, &ada, 1, GY_CHAT_OVER_STREAM, "ada", "tea");
    assert_true(world_room_named(&world, "tea")->temporary);
    command(&root, GY_CHAT_ADMIN_KEEP_ROOM, "Tea", 0, "");
    expect(&root, GY_CHAT_OK);
    assert_false(world_room_named(&world, "tea")->temporary);
    conn_close(&ada);
    world_pass(&world, 120000);
    assert_false(world_room_named(&world, "tea")->closed);
    command(&root, GY_CHAT_ADMIN_KEEP_ROOM, "milk", 0, "");
    expect_error(&root, GY_CHAT_ABSENT);
}

static void a_dropped_room_is_left_by_all_and_another_one_when_it_is_joined_again(void **state)
{
    (void)state;
    uint32_t before = come(&world, &ada, 0, GY_CHAT_OVER_STREAM, "ada", "tea");
    come(&world, &bob, 1, GY_CHAT_OVER_STREAM, "bob", "tea");
    come(&world, &cid, 2, GY_CHAT_OVER_STREAM, "cid", "tea");
    say(&ada, before, 1, "gone soon");
    world_settle(&world, 1000);
    command(&root, GY_CHAT_ADMIN_DROP_ROOM, "tea", 0, "spam");
    expect(&root, GY_CHAT_OK);
    assert_string_equal(world.acted, "room-drop by root: tea in  for 0: spam");
    struct world_conn *const all[] = {&ada, &bob, &cid};
    uint32_t now = 0;
    for (int i = 0; i < 3; i++) {
        struct gy_chat_frame frame = {.type = 0};
        while (frame.type != GY_CHAT_CAME || frame.body.came.what != GY_CHAT_WAS_KICKED) {
            assert_true(conn_next(all[i], &frame));
        }
        ask_join(all[i], "tea", GY_CHAT_SPILL, 1, 0);
        struct gy_chat_frame joined = expect(all[i], GY_CHAT_JOINED);
        assert_int_equal(joined.body.joined.last, 0);
        assert_int_not_equal(joined.body.joined.room, before);
        assert_true(now == 0 || now == joined.body.joined.room);
        now = joined.body.joined.room;
    }
    say(&bob, now, 2, "anew");
    world_settle(&world, 1000);
    expect_text(expect(&cid, GY_CHAT_MESSAGE).body.message.contents, "anew");
    expect_text(expect(&ada, GY_CHAT_MESSAGE).body.message.contents, "anew");
    world_pass(&world, 120000);
    assert_int_equal(world_counters(&world).members, 4);
}

/* While rooms are dropped others join, leave and speak, on three workers, in every order that some
 * latencies make. */
static void rooms_are_dropped_while_others_come_and_go(void **state)
{
    (void)state;
    struct world_conn *const all[] = {&ada, &bob, &cid};
    for (uint32_t i = 0; i < 3; i++) {
        conn_open(&world, all[i], i, GY_CHAT_OVER_STREAM);
        log_in(all[i], i == 0 ? "ada" : i == 1 ? "bob" : "cid");
    }
    for (uint32_t round = 0; round < 400; round++) {
        struct gy_chat_frame join_it = {
            .type = GY_CHAT_JOIN,
            .tag = 2,
            .body.join = {.room = TEXT("tea"), .policy = GY_CHAT_SPILL, .since = GY_CHAT_NONE}};
        struct gy_chat_frame drop_it = {
            .type = GY_CHAT_ADMIN,
            .tag = 9,
            .body.admin = {.action = GY_CHAT_ADMIN_DROP_ROOM, .subject = TEXT("tea")}};
        struct world_conn *conn = all[world_random(&world) % 3];
        world.store.latency_ms = (uint32_t)(world_random(&world) % 4);
        ask(conn, &join_it);
        if (world_random(&world) % 3 == 0 && world.store.room_count < 60) {
            ask(&root, &drop_it);
        }
        if (conn->member.subscriptions != NULL && world_random(&world) % 2 == 0) {
            for (uint32_t room = 1; room <= world.store.room_count; room++) {
                say(conn, room, round + 1, "here?");
            }
        }
        for (uint64_t turns = world_random(&world) % 6; turns > 0; turns--) {
            world_pass(&world, 1);
        }
        for (int i = 0; i < 3; i++) {
            conn_forget(all[i]);
        }
        conn_forget(&root);
    }
    world.store.latency_ms = 0;
    world_settle(&world, 1000);
    for (int i = 0; i < 3; i++) {
        conn_close(all[i]);
    }
    world_settle(&world, 1000);
    world_pass(&world, 120000);
    assert_int_equal(world_counters(&world).rooms, 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_password_is_changed_by_who_knows_it_and_all_others_are_logged_out),
        TEST(an_account_is_logged_out_everywhere_else),
        TEST(guests_have_no_password_to_change),
        TEST(a_change_that_cannot_be_stored_changes_nothing),
        TEST(who_goes_while_the_password_is_changed_leaves_nothing_behind),
        TEST(only_who_operates_the_server_may),
        TEST(an_announcement_reaches_everybody),
        TEST(connections_are_listed_worker_by_worker),
        TEST(who_is_kicked_is_ended_on_all_connections),
        TEST(who_is_banned_goes_and_does_not_come_again_until_it_is_lifted),
        TEST(an_address_is_banned_too),
        TEST(accounts_are_listed_logged_out_and_given_another_password),
        TEST(operators_are_made_and_unmade),
        TEST(the_server_s_nick_is_nobody_s),
        TEST(a_guest_s_room_is_kept),
        TEST(a_dropped_room_is_left_by_all_and_another_one_when_it_is_joined_again),
        TEST(rooms_are_dropped_while_others_come_and_go),
    };
    return cmocka_run_group_tests_name("hub_admin", tests, NULL, NULL);
}
