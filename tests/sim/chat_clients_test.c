/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The client's own machine (protocols/chat/client.h) beside the hubs of three workers, in simulated
 * time: people join, say things, lose connections in the middle of frames, and a server that dies.
 * What everybody has read at the end is what was stored: each message once, in its order, without a
 * gap; and what was said is stored once. chat_life.c has a model of a client instead, and more
 * kinds of weather. The seed replays a run.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/chat/client.h"
#include "tests/chain_rig.h"
#include "tests/chat/hub_world.h"

#define PEOPLE    6
#define ROOMS     3
#define WORKERS   3
#define SAID_MAX  4000 /* in one room */
#define NS_PER_MS UINT64_C(1000000)

static const char *const room_names[ROOMS] = {"tea", "coffee", "water"};

struct person {
    struct world_conn conn;
    struct gy_chat_client client;
    struct gy_chat_client_room rooms[ROOMS];
    struct gy_chain in, out;
    uint64_t outbox[2048];
    char nick[16];
    char token[256];
    uint64_t back_ms;
    uint32_t said;
    bool open;
    bool read[ROOMS][SAID_MAX]; /* by id: as a message, or as one's own, acknowledged */
    uint64_t last[ROOMS];       /* the last MESSAGE's id */
};

static struct world world;
static struct person people[PEOPLE];
static struct gy_chat_client_env env;
static struct gy_slab links, blocks;
static struct gy_bump bump;
static uint32_t buffers, lost, crashes;

static uint64_t below(uint64_t bound)
{
    return world_random(&world) % bound;
}

static uint64_t now_ns(void)
{
    return world.now_ms * NS_PER_MS;
}

static struct chain_rig chains_of(struct person *person)
{
    return (struct chain_rig){&links, &blocks, &bump, &person->in, &person->out, &buffers};
}

static void lose(struct person *person, bool closes)
{
    if (closes) {
        conn_close(&person->conn);
    }
    gy_chain_clear(&person->in);
    gy_chain_clear(&person->out);
    gy_chat_client_lost(&person->client);
    person->open = false;
    person->back_ms = world.now_ms + below(400);
    lost++;
}

/* ---- what comes ---- */

static void take_message(struct person *person, const struct gy_chat_client_event *event)
{
    uint64_t id = event->frame.body.message.id;
    assert_true(event->room < ROOMS && id > 0 && id < SAID_MAX);
    assert_true(id > person->last[event->room]); /* in their order */
    assert_false(person->read[event->room][id]); /* and once */
    person->last[event->room] = id;
    person->read[event->room][id] = true;
}

static void take(struct person *person, const struct gy_chat_client_event *event)
{
    switch (event->type) {
    case GY_CHAT_CLIENT_MESSAGE:
        take_message(person, event);
        break;
    case GY_CHAT_CLIENT_ACKED:
        assert_true(event->room < ROOMS && event->frame.body.ack.id < SAID_MAX);
        person->read[event->room][event->frame.body.ack.id] = true;
        break;
    case GY_CHAT_CLIENT_GAP:
    case GY_CHAT_CLIENT_RESET:
    case GY_CHAT_CLIENT_REFUSED:
    case GY_CHAT_CLIENT_NOT_JOINED:
    case GY_CHAT_CLIENT_NOT_IN:
    case GY_CHAT_CLIENT_BROKEN:
        fail_msg("%s: event %d, code %u: %.*s", person->nick, event->type, event->code,
                 (int)event->text.length, event->text.bytes);
        break;
    default:
        break;
    }
}

static void read_events(struct person *person)
{
    struct gy_chat_client_event event;
    int code;
    while ((code = gy_chat_client_read(&person->client, &person->in, now_ns(), &event)) == 1) {
        take(person, &event);
    }
    assert_int_equal(code, 0);
    while (gy_chat_client_expire(&person->client, now_ns(), &event) == 1) {
        take(person, &event);
    }
}

/* The server's bytes, cut somewhere: the rest comes later, or never. */
static void deliver(struct person *person)
{
    struct world_conn *conn = &person->conn;
    const struct chain_rig chains = chains_of(person);
    uint32_t left = conn->in_bytes - conn->at;
    uint32_t now = below(4) == 0 ? (uint32_t)below(left + 1ul) : left;
    if (now > 0) {
        chain_rig_append(&chains, conn->in + conn->at, now);
        conn->at += now;
        conn_forget(conn);
    }
}

/* ---- what is asked ---- */

static void answer(struct person *person, const struct gy_chat_frame *frame)
{
    const struct chain_rig chains = chains_of(person);
    uint8_t bytes[512];
    uint32_t length = gy_chat_encode(frame, bytes);
    chain_rig_append(&chains, bytes, length);
}

/* HELLO and PING are the session's, which is not here; the rest is the hub's. False: later. */
static bool serve(struct person *person, const struct gy_chat_frame *frame)
{
    if (frame->type == GY_CHAT_HELLO) {
        const struct gy_chat_frame welcome = {.type = GY_CHAT_WELCOME,
                                              .tag = frame->tag,
                                              .body.welcome = {.version = 1,
                                                               .frame_max = GY_CHAT_FRAME_SENT_MAX,
                                                               .now = world.wall_ms,
                                                               .server = gy_chat_text_of("sim")}};
        answer(person, &welcome);
        return true;
    }
    if (frame->type == GY_CHAT_PING) {
        const struct gy_chat_frame pong = {
            .type = GY_CHAT_PONG, .tag = frame->tag, .body.pong.any = frame->body.ping.any};
        answer(person, &pong);
        return true;
    }
    return gy_chat_hub_request(&person->conn.member, frame) == 0;
}

static void send_asked(struct person *person)
{
    static uint8_t bytes[GY_CHAT_FRAME_MAX + 4];
    while (person->out.length >= 4 && !person->conn.ended) {
        struct gy_chat_frame frame;
        gy_chain_copy(&person->out, 0, 4, bytes);
        int64_t length = gy_chat_frame_bytes(bytes, 4, GY_CHAT_FRAME_MAX);
        assert_true(length > 0 && length <= person->out.length);
        gy_chain_copy(&person->out, 0, (uint32_t)length, bytes);
        assert_int_equal(gy_chat_decode(bytes, (uint32_t)length, &frame, NULL), 0);
        if (!serve(person, &frame)) {
            return;
        }
        gy_chain_consume(&person->out, (uint32_t)length);
    }
}

static void say(struct person *person, uint32_t room)
{
    char text[64];
    uint64_t client_id;
    snprintf(text, sizeof text, "%s says %u", person->nick, person->said + 1);
    if (gy_chat_client_say(&person->client, room, gy_chat_text_of(text), &client_id) == 0) {
        person->said++;
    }
}

/* ---- a life ---- */

static void step(struct person *person, uint32_t number, bool stormy)
{
    if (!person->open) {
        if (world.now_ms < person->back_ms) {
            return;
        }
        conn_open(&world, &person->conn, (uint32_t)below(WORKERS), GY_CHAT_OVER_STREAM);
        gy_chat_client_begin(&person->client, &person->out, now_ns());
        person->open = true;
    }
    if (stormy && below(12) == 0) {
        say(person, (uint32_t)below(ROOMS));
    }
    gy_chat_client_flush(&person->client, now_ns());
    send_asked(person);
    deliver(person);
    read_events(person);
    send_asked(person);
    if (person->conn.ended || (stormy && below(150) == number)) {
        lose(person, true);
    }
}

static void crash(void)
{
    for (uint32_t i = 0; i < PEOPLE; i++) {
        if (people[i].open) {
            lose(&people[i], false);
        }
    }
    world_crash(&world);
    crashes++;
}

static void begin(uint64_t seed)
{
    memset(people, 0, sizeof people);
    lost = crashes = 0;
    world_open(&world, WORKERS);
    world.random ^= seed * UINT64_C(0x9e3779b97f4a7c15);
    world.config.history_bytes = 2048; /* so that much of it comes from the store */
    world_start(&world);
    chain_rig_slab(&links, sizeof(struct gy_link), 16384);
    chain_rig_slab(&blocks, sizeof(struct gy_bump_block), 64);
    gy_bump_init(&bump, &blocks);
    gy_chat_client_env_init(&env, &bump, &links);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        struct person *person = &people[i];
        snprintf(person->nick, sizeof person->nick, "person%u", i);
        gy_chain_init(&person->in, &links);
        gy_chain_init(&person->out, &links);
        const struct gy_chat_client_options options = {
            .nick = gy_chat_text_of(person->nick),
            .secret = {"", 0},
            .agent = {"sim", 3},
            .first_client_id = (i + 1) * UINT64_C(1000000),
            .rooms = person->rooms,
            .rooms_max = ROOMS,
            .outbox = person->outbox,
            .outbox_bytes = sizeof person->outbox,
            .token = person->token,
            .token_max = sizeof person->token,
            .window = 1 + i % 3 * 7,
        };
        gy_chat_client_init(&person->client, &env, &options);
        for (uint32_t room = 0; room < ROOMS; room++) {
            int place = gy_chat_client_join(&person->client, gy_chat_text_of(room_names[room]),
                                            GY_CHAT_SPILL, 0, 0);
            assert_int_equal(place, room);
        }
    }
}

static void end(void)
{
    for (uint32_t i = 0; i < PEOPLE; i++) {
        if (people[i].open) {
            lose(&people[i], true);
        }
    }
    world_close(&world);
    gy_bump_close(&bump);
    assert_int_equal(links.used + blocks.used + buffers, 0);
    free(links.base);
    free(blocks.base);
}

static void check(void)
{
    uint32_t said = 0, stored = 0;
    for (uint32_t room = 0; room < ROOMS; room++) {
        const struct world_room *at = world_room_named(&world, room_names[room]);
        assert_non_null(at);
        stored += at->count;
        for (uint64_t id = 1; id <= at->count; id++) {
            for (uint32_t i = 0; i < PEOPLE; i++) {
                if (!people[i].read[room][id]) {
                    fail_msg("%s has not read %llu of %s", people[i].nick, (unsigned long long)id,
                             room_names[room]);
                }
            }
        }
    }
    for (uint32_t i = 0; i < PEOPLE; i++) {
        assert_int_equal(gy_chat_client_waiting(&people[i].client), 0);
        said += people[i].said;
    }
    assert_int_equal(stored, said); /* each once: client ids tell them apart */
    assert_true(said > 200 && lost > 50 && crashes > 0);
}

static void live(uint64_t seed)
{
    begin(seed);
    for (uint32_t turn = 0; turn < 9000; turn++) {
        bool stormy = turn < 7000;
        if (stormy && below(40) == 0) {
            world.store.latency_ms = (uint32_t)below(8);
        }
        if (stormy && below(1500) == 0) {
            crash();
        }
        world.now_ms += 1 + below(10);
        world.wall_ms = UINT64_C(1790000000000) + world.now_ms;
        world_turn(&world);
        for (uint32_t i = 0; i < PEOPLE; i++) {
            step(&people[i], i, stormy);
        }
    }
    check();
    end();
}

static void everybody_reads_everything_once_over_lost_connections_and_crashes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        live(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_reads_everything_once_over_lost_connections_and_crashes),
    };
    return cmocka_run_group_tests_name("chat_clients", tests, NULL, NULL);
}
