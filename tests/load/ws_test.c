/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "bench/load/load.h"

/* RFC 6455 §1.3's nonce is the one that is sent. */
#define HELLO                                                                                      \
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "sec-websocket-accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n\r\n"

struct rig {
    void *plan;
    void *state;
    void *session;
    const uint8_t *frames;
    uint32_t frame_bytes;
    uint32_t size;
};

static struct rig rig_open(uint32_t size, uint32_t pipeline)
{
    struct gy_load_options options = {
        .protocol = &gy_load_ws, .size_bytes = size, .pipeline = pipeline, .seed = 1, .port = 81};
    struct gy_error error = {0};
    struct rig rig = {.size = size};
    strcpy(options.host, "localhost");
    strcpy(options.path, "/chat");
    assert_int_equal(gy_load_ws.prepare(&options, &rig.plan, &error), 0);
    rig.frames = gy_load_ws.requests(rig.plan, &rig.frame_bytes);
    rig.state = calloc(1, gy_load_ws.state_bytes);
    rig.session = calloc(1, gy_load_ws.session_bytes);
    assert_true(rig.state != NULL && rig.session != NULL);
    gy_load_ws.state_open(rig.state, rig.plan, &options, 0);
    gy_load_ws.session_open(rig.session);
    return rig;
}

static void rig_close(struct rig *rig)
{
    gy_load_ws.state_close(rig->state);
    free(rig->state);
    free(rig->session);
    gy_load_ws.finish(rig->plan);
}

/* What the bytes came to; all of them are used up to there. */
static enum gy_load_progress receive(struct rig *rig, const void *data, uint32_t bytes)
{
    uint32_t used = 0;
    enum gy_load_progress progress =
        gy_load_ws.receive(rig->state, rig->session, data, bytes, &used);
    if (progress != GY_LOAD_BAD_BYTES) {
        assert_int_equal(used, bytes);
    }
    return progress;
}

static struct rig rig_ready(uint32_t size, uint32_t pipeline)
{
    struct rig rig = rig_open(size, pipeline);
    assert_int_equal(receive(&rig, HELLO, sizeof HELLO - 1), GY_LOAD_READY);
    return rig;
}

/* The n-th message as a server sends it back: unmasked by RFC 6455 §5.3, with a head that is
 * written here. Returns its bytes. */
static uint32_t echo_of(const struct rig *rig, uint32_t nth, uint8_t first, uint8_t *to)
{
    const uint8_t *frame = rig->frames + (size_t)nth * rig->frame_bytes;
    uint32_t head = rig->frame_bytes - rig->size;
    assert_true(rig->size < 65536);
    to[0] = first;
    uint32_t at = 2;
    if (rig->size < 126) {
        to[1] = (uint8_t)rig->size;
    } else {
        to[1] = 126;
        to[2] = (uint8_t)(rig->size >> 8);
        to[3] = (uint8_t)rig->size;
        at = 4;
    }
    for (uint32_t i = 0; i < rig->size; i++) {
        to[at + i] = frame[head + i] ^ frame[head - 4 + (i & 3)];
    }
    return at + rig->size;
}

static void a_connection_begins_with_a_request_for_websocket(void **state)
{
    (void)state;
    struct rig rig = rig_open(64, 1);
    uint32_t bytes;
    const char *greeting = gy_load_ws.greeting(rig.plan, &bytes);
    static const char wanted[] =
        "GET /chat HTTP/1.1\r\nHost: localhost:81\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_int_equal(bytes, sizeof wanted - 1);
    assert_memory_equal(greeting, wanted, bytes);
    rig_close(&rig);
}

static void messages_are_masked_text_and_each_is_another(void **state)
{
    (void)state;
    struct rig rig = rig_open(64, 2);
    uint8_t first[80], second[80];
    assert_int_equal(rig.frame_bytes, 64 + 6);
    assert_int_equal(rig.frames[0], 0x81);
    assert_int_equal(rig.frames[1], 0x80 | 64);
    echo_of(&rig, 0, 0x81, first);
    echo_of(&rig, 1, 0x81, second);
    assert_memory_not_equal(first, second, 66);
    for (uint32_t i = 2; i < 66; i++) {
        assert_true(first[i] >= ' ' && first[i] <= '~');
    }
    rig_close(&rig);
}

static void the_answer_to_the_handshake_may_come_byte_by_byte(void **state)
{
    (void)state;
    static const char hello[] = HELLO;
    struct rig rig = rig_open(64, 1);
    for (uint32_t i = 0; i + 1 < sizeof HELLO - 1; i++) {
        assert_int_equal(receive(&rig, &hello[i], 1), GY_LOAD_MORE);
    }
    assert_int_equal(receive(&rig, "\n", 1), GY_LOAD_READY);
    rig_close(&rig);
}

static void refused(const char *answer, const char *why)
{
    struct rig rig = rig_open(64, 1);
    char text[192];
    uint32_t used = 0;
    assert_int_equal(gy_load_ws.receive(rig.state, rig.session, (const uint8_t *)answer,
                                        (uint32_t)strlen(answer), &used),
                     GY_LOAD_REFUSED);
    gy_load_ws.refusal(rig.session, text, sizeof text);
    assert_non_null(strstr(text, why));
    rig_close(&rig);
}

static void a_refusal_says_what_the_server_answered(void **state)
{
    (void)state;
    refused("HTTP/1.1 404 Not Found\r\n\r\n", "answered 404, where 101");
    refused("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: aaaa\r\n\r\n", "is not the one for our key");
    refused("HTTP/1.1 101 x\r\n\r\n", "is not the one for our key");
    refused("HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
            "was not asked for");
    refused("SSH-2.0-OpenSSH_9.2\r\n", "is not HTTP/1.1");
}

static void what_comes_back_is_compared_in_its_order(void **state)
{
    (void)state;
    struct rig rig = rig_ready(300, 3);
    uint8_t echo[512];
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t bytes = echo_of(&rig, i % 3, 0x81, echo);
        assert_int_equal(receive(&rig, echo, 3), GY_LOAD_MORE);
        assert_int_equal(receive(&rig, echo + 3, bytes - 3), GY_LOAD_ANSWER);
    }
    uint32_t bytes = echo_of(&rig, 2, 0x81, echo); /* the second is due */
    assert_int_equal(receive(&rig, echo, bytes), GY_LOAD_BAD_BODY);
    bytes = echo_of(&rig, 2, 0x81, echo);
    echo[bytes - 1] ^= 1;
    assert_int_equal(receive(&rig, echo, bytes), GY_LOAD_BAD_BODY);
    rig_close(&rig);
}

static void fragments_with_a_ping_between_are_one_answer(void **state)
{
    (void)state;
    struct rig rig = rig_ready(64, 1);
    uint8_t echo[80], part[80] = {0x01, 10}, reply[GY_LOAD_REPLY_MAX];
    echo_of(&rig, 0, 0x81, echo);
    memcpy(part + 2, echo + 2, 10);
    assert_int_equal(receive(&rig, part, 12), GY_LOAD_MORE);
    assert_int_equal(receive(&rig, "\x89\x02hi", 4), GY_LOAD_REPLY);
    static const uint8_t pong[] = {0x8a, 0x82, 0, 0, 0, 0, 'h', 'i'};
    assert_int_equal(gy_load_ws.reply(rig.session, reply), sizeof pong);
    assert_memory_equal(reply, pong, sizeof pong);
    part[0] = 0x80;
    part[1] = 54;
    memcpy(part + 2, echo + 12, 54);
    assert_int_equal(receive(&rig, part, 56), GY_LOAD_ANSWER);
    rig_close(&rig);
}

static void broken(const char *bytes, uint32_t count)
{
    struct rig rig = rig_ready(64, 1);
    assert_int_equal(receive(&rig, bytes, count), GY_LOAD_BAD_BYTES);
    rig_close(&rig);
}

static void frames_that_break_the_protocol_end_the_connection(void **state)
{
    (void)state;
    broken("\x81\xc0", 2);                                  /* masked */
    broken("\xc1\x40", 2);                                  /* RSV1 without an extension */
    broken("\x82\x40", 2);                                  /* binary, where text was sent */
    broken("\x80\x40", 2);                                  /* continues nothing */
    broken("\x81\x41", 2);                                  /* more than was sent */
    broken("\x81\x7e\x00\x40", 4);                          /* 64 in three bytes */
    broken("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10); /* more than there is */
    broken("\x89\x7e\x00\x80", 4);                          /* a Ping of 128 bytes */
    broken("\x8b\x00", 2);                                  /* an opcode that is reserved */
    broken("\x88\x02\x03\xe9", 4);                          /* Close, unasked */
}

static void an_end_within_a_message_is_short(void **state)
{
    (void)state;
    struct rig rig = rig_ready(64, 1);
    uint8_t echo[80];
    echo_of(&rig, 0, 0x81, echo);
    assert_int_equal(gy_load_ws.ended(rig.state, rig.session), GY_LOAD_BAD_BYTES);
    assert_int_equal(receive(&rig, echo, 1), GY_LOAD_MORE);
    assert_int_equal(gy_load_ws.ended(rig.state, rig.session), GY_LOAD_MORE);
    assert_int_equal(receive(&rig, echo + 1, 65), GY_LOAD_ANSWER);
    assert_int_equal(gy_load_ws.ended(rig.state, rig.session), GY_LOAD_BAD_BYTES);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_begins_with_a_request_for_websocket),
        cmocka_unit_test(messages_are_masked_text_and_each_is_another),
        cmocka_unit_test(the_answer_to_the_handshake_may_come_byte_by_byte),
        cmocka_unit_test(a_refusal_says_what_the_server_answered),
        cmocka_unit_test(what_comes_back_is_compared_in_its_order),
        cmocka_unit_test(fragments_with_a_ping_between_are_one_answer),
        cmocka_unit_test(frames_that_break_the_protocol_end_the_connection),
        cmocka_unit_test(an_end_within_a_message_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
