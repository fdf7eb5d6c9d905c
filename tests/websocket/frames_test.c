/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Frames, fragments and control frames (RFC 6455 §5), bounds, of either side, with the input whole
 * and cut at every byte. Closing: close_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/websocket/frames_rig.h"

/* ---- §5.7: the examples ---- */

static void rfc_a_single_frame_unmasked_text_message(void **state)
{
    (void)state;
    ws_rig_open(&rig, true);
    ws_rig_say(&rig, "\x81\x05\x48\x65\x6c\x6c\x6f", 7);
    assert_string_equal(rig.told, "text Hello|");
    ws_rig_close(&rig);
    ws_rig_open(&rig, false);
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "Hello", 5), 0);
    ws_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, 7);
    assert_memory_equal(rig.sent, "\x81\x05\x48\x65\x6c\x6c\x6f", 7);
    ws_rig_close(&rig);
}

static void rfc_a_single_frame_masked_text_message(void **state)
{
    (void)state;
    static const char bytes[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    ws_rig_open(&rig, false);
    ws_rig_say(&rig, bytes, 11);
    assert_string_equal(rig.told, "text Hello|");
    ws_rig_close(&rig);
    ws_rig_open(&rig, true);
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "Hello", 5), 0);
    ws_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, 11);
    assert_memory_equal(rig.sent, bytes, 11);
    ws_rig_close(&rig);
}

static void rfc_a_fragmented_unmasked_text_message(void **state)
{
    (void)state;
    static const char bytes[] = "\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f";
    ws_rig_open(&rig, true);
    ws_rig_say(&rig, bytes, 9);
    assert_string_equal(rig.told, "text Hello|");
    ws_rig_close(&rig);
    ws_rig_open(&rig, false);
    assert_int_equal(gy_ws_send_part(&rig.ws, GY_WS_TEXT, false, "Hel", 3), 0);
    assert_int_equal(gy_ws_send_part(&rig.ws, GY_WS_TEXT, true, "lo", 2), GY_EINVAL);
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "lo", 2), GY_EINVAL);
    assert_int_equal(gy_ws_send_part(&rig.ws, 0, true, "lo", 2), 0);
    assert_int_equal(gy_ws_send_part(&rig.ws, 0, true, "lo", 2), GY_EINVAL);
    ws_rig_flush(&rig);
    assert_int_equal(rig.sent_bytes, 9);
    assert_memory_equal(rig.sent, bytes, 9);
    ws_rig_close(&rig);
}

static void rfc_unmasked_ping_and_masked_pong(void **state)
{
    (void)state;
    ws_rig_open(&rig, true);
    ws_rig_say(&rig, "\x89\x05\x48\x65\x6c\x6c\x6f", 7);
    assert_string_equal(rig.told, "ping Hello|");
    assert_int_equal(rig.sent_bytes, 11);
    assert_memory_equal(rig.sent, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    ws_rig_close(&rig);
    ws_rig_open(&rig, false);
    ws_rig_say(&rig, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    assert_string_equal(rig.told, "pong Hello|");
    ws_rig_close(&rig);
}

static void rfc_256_bytes_and_64_kib_of_binary(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        const char *head;
        size_t head_bytes;
    } cases[] = {{256, "\x82\x7e\x01\x00", 4},
                 {65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10},
                 {125, "\x82\x7d", 2},
                 {126, "\x82\x7e\x00\x7e", 4},
                 {65535, "\x82\x7e\xff\xff", 4}};
    static uint8_t payload[65536];
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 31 + i / 256);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint32_t piece = 0; piece < 8000; piece = piece * 3 + 977) {
            begin();
            frame(0x82, payload, cases[i].length);
            ws_rig_open(&rig, false);
            rig.piece = piece;
            rig.echoes = true;
            ws_rig_say(&rig, wire, wire_bytes);
            assert_int_equal(rig.sends, 0);
            assert_int_equal(rig.sent_bytes, cases[i].head_bytes + cases[i].length);
            assert_memory_equal(rig.sent, cases[i].head, cases[i].head_bytes);
            assert_memory_equal(rig.sent + cases[i].head_bytes, payload, cases[i].length);
            ws_rig_close(&rig);
        }
    }
}

/* ---- section 1 and 5: messages and fragments ---- */

static void empty_messages(void **state)
{
    (void)state;
    begin();
    FRAME(0x81, "");
    FRAME(0x82, "");
    FRAME(0x01, "");
    FRAME(0x00, "");
    FRAME(0x80, "");
    EXPECT("text |binary |text |", "");
}

static void fragments_make_one_message(void **state)
{
    (void)state;
    begin();
    FRAME(0x01, "a");
    FRAME(0x00, "bc");
    FRAME(0x00, "");
    FRAME(0x80, "def");
    FRAME(0x82, "next");
    EXPECT("text abcdef|binary next|", "");
}

static void control_frames_between_fragments(void **state)
{
    (void)state;
    begin();
    FRAME(0x01, "fragment1");
    FRAME(0x89, "now");
    FRAME(0x00, "fragment2");
    FRAME(0x8a, "");
    FRAME(0x80, "!");
    EXPECT("ping now|pong |text fragment1fragment2!|", "\x8a\x03now");
}

static void nothing_to_continue(void **state)
{
    (void)state;
    begin();
    FRAME(0x81, "x");
    FRAME(0x80, "continued");
    expect_failure("text x|fail 1002 |", 1002);
}

static void a_message_within_a_message(void **state)
{
    (void)state;
    begin();
    FRAME(0x01, "one");
    FRAME(0x81, "two");
    expect_failure("fail 1002 |", 1002);
    begin();
    FRAME(0x02, "one");
    FRAME(0x01, "two");
    expect_failure("fail 1002 |", 1002);
}

/* ---- section 2: pings ---- */

static void every_ping_is_answered_with_its_bytes(void **state)
{
    (void)state;
    begin();
    FRAME(0x89, "");
    FRAME(0x89, "\x01\xff\xfe\xfd\xfc\xfb\x02\xff");
    FRAME(0x89, "3");
    EXPECT("ping |ping \x01\xff\xfe\xfd\xfc\xfb\x02\xff|ping 3|",
           "\x8a\x00\x8a\x08\x01\xff\xfe\xfd\xfc\xfb\x02\xff\x8a\x01"
           "3");
}

static void a_ping_of_125_bytes(void **state)
{
    (void)state;
    uint8_t payload[126], pong[127] = {0x8a, 125};
    memset(payload, 0xfe, sizeof payload);
    memset(pong + 2, 0xfe, 125);
    begin();
    frame(0x89, payload, 125);
    ws_rig_open(&rig, false);
    rig.piece = 1;
    ws_rig_say(&rig, wire, wire_bytes);
    assert_int_equal(rig.sent_bytes, 127);
    assert_memory_equal(rig.sent, pong, 127);
    ws_rig_close(&rig);
    begin();
    frame(0x89, payload, 126);
    expect_failure("fail 1002 |", 1002);
}

static void an_unasked_pong_is_taken(void **state)
{
    (void)state;
    begin();
    FRAME(0x8a, "unsolicited");
    FRAME(0x89, "ours");
    EXPECT("pong unsolicited|ping ours|", "\x8a\x04ours");
}

/* ---- sections 3 and 4: reserved bits and opcodes ---- */

static void reserved_bits_are_refused(void **state)
{
    (void)state;
    for (uint8_t bits = 1; bits < 8; bits++) {
        for (uint8_t opcode = 0x80; opcode <= 0x8a; opcode++) {
            begin();
            FRAME(0x81, "before");
            frame(opcode | (uint8_t)(bits << 4), "x", 1);
            expect_failure("text before|fail 1002 |", 1002);
        }
    }
}

static void reserved_opcodes_are_refused(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof opcodes; i++) {
        begin();
        FRAME(0x89, "before");
        frame(0x80 | opcodes[i], "", 0);
        FRAME(0x89, "behind");
        expect_failure("ping before|fail 1002 |", 1002);
    }
}

static void fragmented_control_frames_are_refused(void **state)
{
    (void)state;
    for (uint8_t opcode = 8; opcode <= 10; opcode++) {
        begin();
        frame(opcode, "x", 1);
        expect_failure("fail 1002 |", 1002);
    }
}

static void lengths_in_more_bytes_than_needed_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\x82\xfe\x00\x7d\1\2\3\4", 8},
        {"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff\1\2\3\4", 14},
        {"\x82\xff\x80\x00\x00\x00\x00\x00\xff\xff\1\2\3\4", 14},
        {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\2\3\4", 14},
    };
    for (size_t i = 0; i < 4; i++) {
        begin();
        memcpy(wire, cases[i].bytes, cases[i].length);
        wire_bytes = cases[i].length;
        expect_failure("fail 1002 |", 1002);
    }
}

static void masks_of_the_wrong_side_are_refused(void **state)
{
    (void)state;
    begin();
    memcpy(wire, "\x81\x05Hello", 7);
    wire_bytes = 7;
    expect_failure("fail 1002 |", 1002);
    ws_rig_open(&rig, true);
    ws_rig_say(&rig, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    assert_string_equal(rig.told, "fail 1002 |");
    ws_rig_close(&rig);
}

/* ---- section 6: UTF-8 ---- */

static void text_may_be_cut_within_a_character(void **state)
{
    (void)state;
    begin();
    FRAME(0x01, "\xce\xba\xe1");
    FRAME(0x00, "\xbd");
    FRAME(0x80, "\xb9\xf0\x90\x8d\x88");
    EXPECT("text \xce\xba\xe1\xbd\xb9\xf0\x90\x8d\x88|", "");
}

static void text_that_is_not_utf8_is_refused_at_once(void **state)
{
    (void)state;
    begin();
    FRAME(0x01, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4");
    FRAME(0x00, "\x90");
    /* The rest of the message has not come. */
    expect_failure("fail 1007 |", 1007);
}

static void text_that_ends_within_a_character_is_refused(void **state)
{
    (void)state;
    begin();
    FRAME(0x01, "abc\xf0");
    FRAME(0x80, "\x90\x8d");
    expect_failure("fail 1007 |", 1007);
}

static void binary_may_be_anything(void **state)
{
    (void)state;
    begin();
    FRAME(0x82, "\xff\xfe");
    EXPECT("binary \xff\xfe|", "");
}

/* ---- section 9: limits ---- */

static void a_message_up_to_its_limit(void **state)
{
    (void)state;
    for (uint32_t piece = 0; piece < 3; piece++) {
        ws_rig_open(&rig, false);
        rig.piece = piece;
        rig.env.limits.message_max = 8;
        begin();
        FRAME(0x02, "1234");
        FRAME(0x00, "5678");
        FRAME(0x80, "");
        FRAME(0x02, "12345678");
        FRAME(0x80, "9");
        ws_rig_say(&rig, wire, wire_bytes);
        assert_string_equal(rig.told, "binary 12345678|fail 1009 |");
        assert_int_equal(rig.env.counters.too_big, 1);
        ws_rig_close(&rig);
    }
}

/* Nothing of the payload is waited for. */
static void a_frame_over_its_limit(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    rig.env.limits.frame_max = 70000;
    ws_rig_say(&rig, "\x82\xff\x00\x00\x00\x00\x00\x01\x11\x71\1\2\3\4", 14);
    assert_string_equal(rig.told, "fail 1009 |");
    ws_rig_close(&rig);
}

static void a_peer_that_does_not_read_is_not_read(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    rig.env.limits.output_high = 10;
    rig.holds_output = true;
    begin();
    for (int i = 0; i < 100; i++) {
        FRAME(0x89, "12345678");
    }
    ws_rig_say(&rig, wire, wire_bytes);
    assert_int_equal(rig.last, GY_EAGAIN);
    assert_int_equal(rig.out.length, 20);
    assert_int_equal(rig.in.length, 98 * 14);
    rig.holds_output = false;
    ws_rig_turn(&rig);
    assert_int_equal(rig.in.length, 0);
    assert_int_equal(rig.sent_bytes, 1000);
    ws_rig_close(&rig);
}

static void output_has_a_bound(void **state)
{
    (void)state;
    ws_rig_open(&rig, false);
    rig.env.limits.output_max = 100;
    int code = 0;
    uint32_t sent = 0;
    while ((code = gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "0123456789", 10)) == 0) {
        sent++;
        assert_true(sent < 100);
    }
    assert_int_equal(code, GY_ELIMIT);
    assert_int_equal(sent, 9); /* 108 bytes: above 100 */
    assert_int_equal(rig.env.counters.refused, 1);
    ws_rig_close(&rig);
}

static void without_memory_it_waits_and_goes_on(void **state)
{
    (void)state;
    begin();
    FRAME(0x81, "a message");
    FRAME(0x89, "a ping");
    FRAME(0x88, "\x03\xe8");
    ws_rig_open_sized(&rig, false, 1, 64);
    /* The one block is held by somebody else. */
    struct gy_chain held;
    gy_chain_init(&held, &rig.links);
    uint8_t *room = gy_bump_reserve(&rig.bump, GY_BUMP_BLOCK_BYTES);
    assert_non_null(room);
    memset(room, 0, GY_BUMP_BLOCK_BYTES);
    assert_int_equal(gy_bump_commit(&rig.bump, &held, GY_BUMP_BLOCK_BYTES), 0);
    ws_rig_say(&rig, wire, wire_bytes);
    assert_int_equal(rig.last, GY_ENOBUFS);
    assert_string_equal(rig.told, "");
    assert_int_equal(gy_ws_send_copy(&rig.ws, GY_WS_TEXT, "x", 1), GY_ENOBUFS);
    gy_chain_clear(&held);
    ws_rig_turn(&rig);
    assert_string_equal(rig.told, "text a message|ping a ping|close 1000 |");
    ws_rig_close(&rig);
}

/* ---- broadcast ---- */

static void a_broadcast_is_encoded_once(void **state)
{
    (void)state;
    static struct gy_ws peers[3];
    struct gy_chain outs[3], payload;
    struct gy_ws_encoded encoded;
    ws_rig_open(&rig, false);
    gy_chain_init(&payload, &rig.links);
    static uint8_t data[2000];
    memset(data, 7, sizeof data);
    assert_int_equal(gy_bump_copy(&rig.bump, &payload, data, sizeof data), 0);
    assert_int_equal(gy_ws_encode(&rig.env, GY_WS_BINARY, &payload, &encoded), 0);
    uint64_t copied = rig.env.counters.copied_bytes;
    for (int i = 0; i < 3; i++) {
        gy_chain_init(&outs[i], &rig.links);
        gy_ws_init(&peers[i], &rig.env, &outs[i], false, 0);
        assert_int_equal(gy_ws_send_encoded(&peers[i], &encoded), 0);
        assert_int_equal(outs[i].length, 2004);
        assert_ptr_equal(outs[i].tail->slice.buffer, encoded.plain.tail->slice.buffer);
    }
    assert_int_equal(rig.env.counters.copied_bytes, copied);
    for (int i = 0; i < 3; i++) {
        gy_ws_end(&peers[i]);
        gy_chain_clear(&outs[i]);
    }
    gy_ws_encoded_end(&encoded);
    ws_rig_close(&rig);
}

static void a_client_masks_what_it_passes_on(void **state)
{
    (void)state;
    static uint8_t payload[40000], plain[40000];
    ws_rig_open(&rig, true);
    rig.echoes = true;
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 13);
    }
    wire_bytes = ws_rig_frame(wire, 0x82, payload, sizeof payload, false);
    rig.piece = 1001;
    ws_rig_say(&rig, wire, wire_bytes);
    assert_int_equal(rig.sends, 0);
    assert_int_equal(rig.sent_bytes, 8 + sizeof payload);
    assert_memory_equal(rig.sent, "\x82\xfe\x9c\x40\x37\xfa\x21\x3d", 8);
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = rig.sent[8 + i] ^ rig.sent[4 + (i & 3)];
    }
    assert_memory_equal(plain, payload, sizeof payload);
    ws_rig_close(&rig);
}

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(rfc_a_single_frame_unmasked_text_message),
        CASE(rfc_a_single_frame_masked_text_message),
        CASE(rfc_a_fragmented_unmasked_text_message),
        CASE(rfc_unmasked_ping_and_masked_pong),
        CASE(rfc_256_bytes_and_64_kib_of_binary),
        CASE(empty_messages),
        CASE(fragments_make_one_message),
        CASE(control_frames_between_fragments),
        CASE(nothing_to_continue),
        CASE(a_message_within_a_message),
        CASE(every_ping_is_answered_with_its_bytes),
        CASE(a_ping_of_125_bytes),
        CASE(an_unasked_pong_is_taken),
        CASE(reserved_bits_are_refused),
        CASE(reserved_opcodes_are_refused),
        CASE(fragmented_control_frames_are_refused),
        CASE(lengths_in_more_bytes_than_needed_are_refused),
        CASE(masks_of_the_wrong_side_are_refused),
        CASE(text_may_be_cut_within_a_character),
        CASE(text_that_is_not_utf8_is_refused_at_once),
        CASE(text_that_ends_within_a_character_is_refused),
        CASE(binary_may_be_anything),
        CASE(a_message_up_to_its_limit),
        CASE(a_frame_over_its_limit),
        CASE(a_peer_that_does_not_read_is_not_read),
        CASE(output_has_a_bound),
        CASE(without_memory_it_waits_and_goes_on),
        CASE(a_broadcast_is_encoded_once),
        CASE(a_client_masks_what_it_passes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
