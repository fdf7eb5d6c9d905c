/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a chat client has said and is not acknowledged, over connections that break. */

#include "tests/chat/client_tools.h"

/* ---- the outbox ---- */

static void what_is_said_is_sent_when_the_room_is_joined(void **state)
{
    (void)state;
    client_rig_open(&rig);
    gy_chat_client_join(&rig.client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 0);
    assert_int_equal(say("early"), 0);
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    client_rig_asked(&rig);
    client_rig_joined(&rig, 1, 5);
    assert_string_equal(client_rig_asked(&rig), "");
    uint16_t join = rig.tag;
    client_rig_end(&rig, join);
    assert_string_equal(client_rig_asked(&rig), "SEND 7 100 early|");
    client_rig_ack(&rig, rig.tag, 100, 6);
    assert_string_equal(rig.told, "in|joined|up|acked 100|");
    assert_int_equal(gy_chat_client_waiting(&rig.client), 0);
    client_rig_close(&rig);
}

static void what_was_not_acknowledged_is_sent_again_with_its_id(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    say("one");
    say("two");
    assert_string_equal(client_rig_asked(&rig), "SEND 7 100 one|SEND 7 101 two|");
    client_rig_ack(&rig, (uint16_t)(rig.tag - 1), 100, 1);
    client_rig_drop(&rig);
    say("three");
    client_rig_connect(&rig);
    client_rig_welcome(&rig);
    client_rig_identity(&rig, "");
    client_rig_asked(&rig);
    client_rig_joined(&rig, 1, 2);
    client_rig_message(&rig, 2, rig.tag); /* "two", which was stored */
    client_rig_end(&rig, rig.tag);
    assert_string_equal(client_rig_asked(&rig), "SEND 7 101 two|SEND 7 102 three|");
    client_rig_ack(&rig, (uint16_t)(rig.tag - 1), 101, 2);
    client_rig_ack(&rig, rig.tag, 102, 3);
    assert_string_equal(rig.told, "acked 100|in|joined|-2 x|up|acked 101|acked 102|");
    assert_int_equal(rig.client.counters.sent_again, 1);
    assert_int_equal(rig.rooms[0].hole_count, 0);
    client_rig_close(&rig);
}

static void an_ack_may_come_before_or_behind_the_messages_around_it(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    say("one");
    say("two");
    client_rig_asked(&rig);
    client_rig_ack(&rig, (uint16_t)(rig.tag - 1), 100, 3);
    client_rig_message(&rig, 1, 0);
    client_rig_message(&rig, 2, 0);
    client_rig_message(&rig, 5, 0);
    client_rig_ack(&rig, rig.tag, 101, 4);
    assert_string_equal(rig.told, "acked 100|1 x|2 x|5 x|acked 101|");
    assert_int_equal(rig.rooms[0].hole_count, 0);
    assert_true(rig.rooms[0].seen == 5);
    client_rig_close(&rig);
}

static void what_is_too_fast_is_sent_later_in_order(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    say("one");
    say("two");
    client_rig_asked(&rig);
    client_rig_error(&rig, (uint16_t)(rig.tag - 1), GY_CHAT_TOO_FAST, false, 300);
    client_rig_error(&rig, rig.tag, GY_CHAT_TOO_FAST, false, 310);
    say("three");
    assert_string_equal(client_rig_asked(&rig), "");
    assert_true(gy_chat_client_deadline(&rig.client) == rig.now_ns + 310 * MS);
    rig.now_ns += 310 * MS;
    assert_int_equal(gy_chat_client_expire(&rig.client, rig.now_ns, &rig.event), 0);
    assert_string_equal(client_rig_asked(&rig), "SEND 7 100 one|SEND 7 101 two|SEND 7 102 three|");
    assert_string_equal(rig.told, "delayed 100|delayed 101|");
    client_rig_close(&rig);
}

static void what_is_refused_is_told_and_forgotten(void **state)
{
    (void)state;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    say("one");
    client_rig_asked(&rig);
    client_rig_error(&rig, rig.tag, GY_CHAT_STORAGE, false, 0);
    assert_string_equal(rig.told, "refused 100|");
    assert_int_equal(gy_chat_client_waiting(&rig.client), 0);
    client_rig_close(&rig);
}

static void the_window_bounds_what_is_under_way(void **state)
{
    (void)state;
    client_rig_prepare(&rig);
    rig.options.window = 1;
    gy_chat_client_init(&rig.client, &rig.env, &rig.options);
    client_rig_enter(&rig, 0);
    say("one");
    say("two");
    assert_string_equal(client_rig_asked(&rig), "SEND 7 100 one|");
    client_rig_ack(&rig, rig.tag, 100, 1);
    assert_string_equal(client_rig_asked(&rig), "SEND 7 101 two|");
    client_rig_close(&rig);
}

static void the_outbox_is_bounded_and_used_again(void **state)
{
    (void)state;
    char contents[1001];
    memset(contents, 'x', sizeof contents);
    contents[1000] = 0;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    assert_int_equal(say(contents), 0);
    assert_int_equal(say(contents), 0);
    assert_int_equal(say(contents), 0);
    assert_int_equal(say(contents), GY_ENOBUFS);
    for (uint64_t id = 100; id < 300; id++) {
        /* The second of three is acknowledged first: the hole is closed. */
        client_rig_asked(&rig);
        uint16_t middle = (uint16_t)(rig.tag - 1);
        if (id == 100) {
            client_rig_ack(&rig, middle, 101, 2);
            assert_int_equal(say("short"), 0);
            client_rig_asked(&rig);
            client_rig_ack(&rig, (uint16_t)(middle - 1), 100, 1);
            client_rig_ack(&rig, (uint16_t)(middle + 1), 102, 3);
            client_rig_ack(&rig, rig.tag, 103, 4);
            id = 103;
            assert_int_equal(gy_chat_client_waiting(&rig.client), 0);
        } else {
            assert_int_equal(say(contents), 0);
            client_rig_asked(&rig);
            client_rig_ack(&rig, rig.tag, id, id);
        }
    }
    assert_int_equal(rig.client.counters.acked, 200);
    client_rig_close(&rig);
}

static void a_person_is_told_without_a_room(void **state)
{
    (void)state;
    uint64_t id;
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    assert_int_equal(
        gy_chat_client_tell(&rig.client, gy_chat_text_of("Bob"), gy_chat_text_of("psst"), &id), 0);
    gy_chat_client_flush(&rig.client, rig.now_ns);
    assert_string_equal(client_rig_asked(&rig), "TELL 100|");
    client_rig_ack(&rig, rig.tag, 100, 9);
    assert_string_equal(rig.told, "acked 100|");
    assert_true(rig.rooms[0].seen == 0); /* its id is of another room */
    client_rig_close(&rig);
}

static void only_what_is_acknowledged_goes_into_the_outbox(void **state)
{
    (void)state;
    static const struct gy_chat_frame history = {.type = GY_CHAT_HISTORY};
    static char longest[GY_CHAT_CONTENTS_MAX + 1];
    client_rig_open(&rig);
    client_rig_enter(&rig, 0);
    assert_int_equal(gy_chat_client_put(&rig.client, 0, &history, &rig.client_id), GY_EINVAL);
    assert_int_equal(gy_chat_client_say(&rig.client, 0,
                                        (struct gy_chat_text){longest, sizeof longest},
                                        &rig.client_id),
                     GY_EINVAL);
    assert_int_equal(gy_chat_client_say(&rig.client, 3, gy_chat_text_of("x"), &rig.client_id),
                     GY_ENOTFOUND);
    client_rig_close(&rig);
}

/* ---- a server that loses connections ---- */

#define MODEL_MAX 4096

/* One room, one user, and others who talk too. */
static struct {
    uint64_t client_ids[MODEL_MAX]; /* of the id that is its place; 0: somebody else's */
    uint64_t last;
    bool seen[MODEL_MAX]; /* by the client, as MESSAGE or ACK */
    uint64_t acked;       /* events */
    uint32_t messages;
} model;

static uint32_t dice(uint32_t sides)
{
    static uint64_t state = 88172645463325252ULL; /* xorshift (Marsaglia) */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state % sides);
}

/* Events until there are no more; each id once. */
static void model_read(void)
{
    for (;;) {
        rig.last = gy_chat_client_read(&rig.client, &rig.in, rig.now_ns, &rig.event);
        if (rig.last != 1) {
            return;
        }
        if (rig.event.type == GY_CHAT_CLIENT_MESSAGE) {
            uint64_t id = rig.event.frame.body.message.id;
            assert_false(model.seen[id]);
            model.seen[id] = true;
            model.messages++;
        } else if (rig.event.type == GY_CHAT_CLIENT_ACKED) {
            model.acked++;
            assert_true(model.client_ids[rig.event.frame.body.ack.id] == rig.event.client_id);
        }
        assert_int_not_equal(rig.event.type, GY_CHAT_CLIENT_GAP);
        assert_int_not_equal(rig.event.type, GY_CHAT_CLIENT_BROKEN);
    }
}

/* The frame's bytes to the client, unless the connection breaks within them. */
static bool model_send(const struct gy_chat_frame *frame)
{
    uint8_t bytes[256];
    uint32_t length = gy_chat_encode(frame, bytes);
    if (dice(60) == 0) {
        chain_rig_append(CHAIN_RIG(&rig), bytes, dice(length));
        model_read();
        return false;
    }
    chain_rig_append(CHAIN_RIG(&rig), bytes, length);
    model_read();
    return true;
}

static struct gy_chat_frame model_message(uint64_t id, uint16_t tag)
{
    return (struct gy_chat_frame){
        .type = GY_CHAT_MESSAGE,
        .flags = tag != 0 ? GY_CHAT_PAST : 0,
        .tag = tag,
        .body.message = {.room = 7, .id = id, .from = {"x", 1}, .contents = {"y", 1}}};
}

static bool model_join(const struct gy_chat_frame *request)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_JOINED,
        .tag = request->tag,
        .body.joined = {.room = 7, .first = 1, .last = model.last, .name = {"lobby", 5}}};
    uint64_t since = request->body.join.since == GY_CHAT_NONE ? 0 : request->body.join.since;
    if (!model_send(&frame)) {
        return false;
    }
    for (uint64_t id = since + 1; id <= frame.body.joined.last; id++) {
        const struct gy_chat_frame message = model_message(id, request->tag);
        if (!model_send(&message)) {
            return false;
        }
    }
    frame = (struct gy_chat_frame){.type = GY_CHAT_END, .tag = request->tag};
    return model_send(&frame);
}

static bool model_store(const struct gy_chat_frame *request)
{
    uint64_t client_id = request->body.send.client_id;
    uint64_t id = 0;
    for (uint64_t i = 1; i <= model.last && id == 0; i++) {
        id = model.client_ids[i] == client_id ? i : 0;
    }
    if (id == 0) {
        id = ++model.last;
        model.client_ids[id] = client_id;
    }
    const struct gy_chat_frame ack = {.type = GY_CHAT_ACK,
                                      .tag = request->tag,
                                      .body.ack = {.room = 7, .client_id = client_id, .id = id}};
    return model_send(&ack);
}

static bool model_answer(const struct gy_chat_frame *request)
{
    struct gy_chat_frame frame = {.tag = request->tag};
    switch (request->type) {
    case GY_CHAT_HELLO:
        frame.type = GY_CHAT_WELCOME;
        frame.body.welcome.version = 1;
        frame.body.welcome.frame_max = GY_CHAT_FRAME_SENT_MAX;
        return model_send(&frame);
    case GY_CHAT_LOGIN:
        frame.type = GY_CHAT_IDENTITY;
        frame.body.identity.user = 1;
        frame.body.identity.nick = gy_chat_text_of("Ann");
        return model_send(&frame);
    case GY_CHAT_JOIN:
        return model_join(request);
    case GY_CHAT_SEND:
        return model_store(request);
    default:
        return true;
    }
}

/* One connection, until it breaks or `turns` are over. */
static void model_connection(uint32_t turns, bool talks)
{
    static uint8_t bytes[GY_CHAT_FRAME_MAX + 4];
    bool joined = false;
    client_rig_connect(&rig);
    for (uint32_t turn = 0; turn < turns; turn++) {
        struct gy_chat_frame request;
        uint64_t id;
        if (talks && dice(3) == 0 && model.last < MODEL_MAX - 64) {
            gy_chat_client_say(&rig.client, 0, gy_chat_text_of("hello"), &id);
        }
        gy_chat_client_flush(&rig.client, rig.now_ns);
        while (client_rig_next(&rig, &request, bytes)) {
            joined = joined || request.type == GY_CHAT_JOIN;
            if (!model_answer(&request)) {
                return;
            }
        }
        /* Somebody else. */
        if (talks && dice(2) == 0 && model.last < MODEL_MAX - 64) {
            model.client_ids[++model.last] = 0;
            const struct gy_chat_frame message = model_message(model.last, 0);
            if (joined && !model_send(&message)) {
                return;
            }
        }
    }
}

static void nothing_is_lost_or_doubled_over_many_broken_connections(void **state)
{
    (void)state;
    memset(&model, 0, sizeof model);
    client_rig_open(&rig);
    gy_chat_client_join(&rig.client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, 0, 0);
    for (int i = 0; i < 300; i++) {
        model_connection(1 + dice(30), true);
        client_rig_drop(&rig);
    }
    for (int i = 0; i < 100000 && (gy_chat_client_waiting(&rig.client) > 0 || i < 50); i++) {
        model_connection(20, false);
        client_rig_drop(&rig);
    }
    assert_int_equal(gy_chat_client_waiting(&rig.client), 0);
    assert_true(model.acked > 100);
    uint64_t own = 0;
    for (uint64_t id = 1; id <= model.last; id++) {
        own += model.client_ids[id] != 0;
        for (uint64_t other = 1; other < id && model.client_ids[id] != 0; other++) {
            assert_true(model.client_ids[other] != model.client_ids[id]);
        }
        /* Others' came as MESSAGEs, every one. */
        assert_true(model.seen[id] || model.client_ids[id] != 0);
    }
    assert_true(own == model.acked);
    assert_true(own == rig.client.next_client_id - 100);
    client_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_is_sent_when_the_room_is_joined),
        cmocka_unit_test(what_was_not_acknowledged_is_sent_again_with_its_id),
        cmocka_unit_test(an_ack_may_come_before_or_behind_the_messages_around_it),
        cmocka_unit_test(what_is_too_fast_is_sent_later_in_order),
        cmocka_unit_test(what_is_refused_is_told_and_forgotten),
        cmocka_unit_test(the_window_bounds_what_is_under_way),
        cmocka_unit_test(the_outbox_is_bounded_and_used_again),
        cmocka_unit_test(a_person_is_told_without_a_room),
        cmocka_unit_test(only_what_is_acknowledged_goes_into_the_outbox),
        cmocka_unit_test(nothing_is_lost_or_doubled_over_many_broken_connections),
    };
    return cmocka_run_group_tests_name("chat client's outbox", tests, NULL, NULL);
}
