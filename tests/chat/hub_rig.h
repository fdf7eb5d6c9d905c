/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_HUB_RIG_H
#define GY_TESTS_CHAT_HUB_RIG_H

/* What the hub's tests do again and again: connections that log in, join, say, and expect. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/chat/hub_world.h"

#define TEXT(string) ((struct gy_chat_text){string, sizeof(string) - 1})

static inline void ask(struct world_conn *conn, const struct gy_chat_frame *frame)
{
    assert_int_equal(gy_chat_hub_request(&conn->member, frame), 0);
}

/* The next frame of that type; others before it are passed over. */
static inline struct gy_chat_frame expect(struct world_conn *conn, enum gy_chat_type type)
{
    struct gy_chat_frame frame;
    while (conn_next(conn, &frame)) {
        if (frame.type == type) {
            return frame;
        }
        if (frame.type == GY_CHAT_ERROR) {
            print_message("ERROR %u: %.*s\n", frame.body.error.code,
                          (int)frame.body.error.sentence.length, frame.body.error.sentence.bytes);
        }
    }
    fail_msg("no %s came", gy_chat_type_name((uint8_t)type));
    return (struct gy_chat_frame){0};
}

static inline void expect_error(struct world_conn *conn, enum gy_chat_code code)
{
    struct gy_chat_frame frame = expect(conn, GY_CHAT_ERROR);
    assert_int_equal(frame.body.error.code, code);
    assert_true(frame.body.error.sentence.length > 0);
}

/* No frame of that type is left. */
static inline void expect_none(struct world_conn *conn, enum gy_chat_type type)
{
    struct gy_chat_frame frame;
    while (conn_next(conn, &frame)) {
        assert_int_not_equal(frame.type, type);
    }
}

static inline void expect_text(struct gy_chat_text text, const char *string)
{
    assert_int_equal(text.length, strlen(string));
    assert_memory_equal(text.bytes, string, text.length);
}

static inline void log_in(struct world_conn *conn, const char *nick)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_LOGIN,
        .tag = 1,
        .body.login = {.nick = gy_chat_text_of(nick), .method = GY_CHAT_GUEST}};
    ask(conn, &frame);
    world_settle(conn->world, 1000);
    expect(conn, GY_CHAT_IDENTITY);
}

static inline void ask_join(struct world_conn *conn, const char *room, enum gy_chat_policy policy,
                            uint64_t since, uint16_t history)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_JOIN,
                                  .tag = 2,
                                  .body.join = {.room = gy_chat_text_of(room),
                                                .policy = (uint8_t)policy,
                                                .since = since,
                                                .history = history}};
    ask(conn, &frame);
    world_settle(conn->world, 1000);
}

static inline uint32_t join(struct world_conn *conn, const char *room, enum gy_chat_policy policy)
{
    ask_join(conn, room, policy, GY_CHAT_NONE, 0);
    uint32_t number = expect(conn, GY_CHAT_JOINED).body.joined.room;
    expect(conn, GY_CHAT_END);
    return number;
}

static inline void say(struct world_conn *conn, uint32_t room, uint64_t client_id, const char *text)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_SEND,
        .tag = 3,
        .body.send = {.room = room, .client_id = client_id, .contents = gy_chat_text_of(text)}};
    ask(conn, &frame);
}

/* In `conn`, opened, logged in, and in the room. */
static inline uint32_t come(struct world *world, struct world_conn *conn, uint32_t worker,
                            enum gy_chat_encoding encoding, const char *nick, const char *room)
{
    conn_open(world, conn, worker, encoding);
    log_in(conn, nick);
    return join(conn, room, GY_CHAT_SPILL);
}

#endif
