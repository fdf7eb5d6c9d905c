/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Frames against bytes that were written out by hand from protocols/chat/README.md. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/chat/frame.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

struct sample {
    const char *name;
    const char *bytes; /* hexadecimal; blanks between fields; 'text' for text */
    struct gy_chat_frame frame;
};

/* One frame of every type, each field with a value of its own. */
static const struct sample samples[] = {
    {"HELLO",
     "0000001a 01 00 0001 01 02 00000003 00010000 0b 'gyre-test/1'",
     {.type = 0x01,
      .tag = 1,
      .body.hello = {.version_min = 1,
                     .version_max = 2,
                     .features = 3,
                     .frame_max = 65536,
                     .agent = TEXT("gyre-test/1")}}},
    {"REGISTER",
     "00000011 02 01 1234 03 'Ann' 0007 'pa\xc3\x9fwrd'",
     {.type = 0x02,
      .flags = GY_CHAT_MUST,
      .tag = 0x1234,
      .body.registration = {.nick = TEXT("Ann"), .password = TEXT("pa\xc3\x9fwrd")}}},
    {"LOGIN",
     "0000000f 03 00 ffff 03 'Ann' 03 0004 'tok1'",
     {.type = 0x03,
      .tag = 0xffff,
      .body.login = {.nick = TEXT("Ann"), .method = 3, .secret = TEXT("tok1")}}},
    {"NICK",
     "00000008 04 00 0002 03 'Bob'",
     {.type = 0x04, .tag = 2, .body.nick = {.nick = TEXT("Bob")}}},
    {"JOIN",
     "00000015 05 00 0003 05 'lobby' 03 0102030405060708 0032",
     {.type = 0x05,
      .tag = 3,
      .body.join = {.room = TEXT("lobby"),
                    .policy = 3,
                    .since = UINT64_C(0x0102030405060708),
                    .history = 50}}},
    {"LEAVE",
     "00000008 06 00 0004 0a0b0c0d",
     {.type = 0x06, .tag = 4, .body.leave = {.room = 0x0a0b0c0d}}},
    {"ROOMS",
     "0000000b 07 00 0005 01 'l' 02 'la' 0064",
     {.type = 0x07,
      .tag = 5,
      .body.rooms = {.prefix = TEXT("l"), .after = TEXT("la"), .max = 100}}},
    {"TOPIC",
     "00000014 08 00 0006 00000007 0000000000000009 0002 'hi'",
     {.type = 0x08, .tag = 6, .body.topic = {.room = 7, .client_id = 9, .topic = TEXT("hi")}}},
    {"MEMBERS",
     "0000000e 09 00 0007 00000007 03 'Ann' 0010",
     {.type = 0x09, .tag = 7, .body.members = {.room = 7, .after = TEXT("Ann"), .max = 16}}},
    {"SEND",
     "00000017 0a 00 0008 00000007 00000000000000ff 0005 'Hello'",
     {.type = 0x0a,
      .tag = 8,
      .body.send = {.room = 7, .client_id = 255, .contents = TEXT("Hello")}}},
    {"TELL",
     "00000017 0b 00 0009 03 'Bob' 0000000000000001 0005 'psst!'",
     {.type = 0x0b,
      .tag = 9,
      .body.tell = {.nick = TEXT("Bob"), .client_id = 1, .contents = TEXT("psst!")}}},
    {"EDIT",
     "0000001d 0c 00 000a 00000007 0000000000000002 0000000000000064 0003 'new'",
     {.type = 0x0c,
      .tag = 10,
      .body.edit = {.room = 7, .client_id = 2, .target = 100, .contents = TEXT("new")}}},
    {"DELETE",
     "00000018 0d 00 000b 00000007 0000000000000003 0000000000000064",
     {.type = 0x0d, .tag = 11, .body.deletion = {.room = 7, .client_id = 3, .target = 100}}},
    {"HISTORY",
     "00000013 0e 00 000c 00000007 02 0000000000000064 0019",
     {.type = 0x0e, .tag = 12, .body.history = {.room = 7, .by = 2, .point = 100, .max = 25}}},
    {"TYPING",
     "00000009 0f 00 0000 00000007 01",
     {.type = 0x0f, .body.typing = {.room = 7, .on = 1}}},
    {"PRESENCE",
     "0000000b 10 00 000d 01 05 'lunch'",
     {.type = 0x10, .tag = 13, .body.presence = {.status = 1, .note = TEXT("lunch")}}},
    {"MODERATE",
     "0000001e 11 00 000e 00000007 0000000000000004 02 03 'Eve' 00000e10 04 'spam'",
     {.type = 0x11,
      .tag = 14,
      .body.moderate = {.room = 7,
                        .client_id = 4,
                        .action = 2,
                        .nick = TEXT("Eve"),
                        .seconds = 3600,
                        .reason = TEXT("spam")}}},
    {"PING",
     "00000008 12 00 000f 03 'abc'",
     {.type = 0x12, .tag = 15, .body.ping = {.any = TEXT("abc")}}},
    {"QUIT",
     "00000008 13 00 0010 03 'bye'",
     {.type = 0x13, .tag = 16, .body.quit = {.reason = TEXT("bye")}}},
    {"CHANGE",
     "0000000f 14 00 0011 0003 'old' 0004 'new!'",
     {.type = 0x14, .tag = 17, .body.change = {.old = TEXT("old"), .password = TEXT("new!")}}},
    {"REVOKE", "00000004 15 00 0012", {.type = 0x15, .tag = 18}},
    {"ADMIN",
     "0000001b 16 00 0013 06 00000e10 0000000000000007 03 'Eve' 0004 'spam'",
     {.type = 0x16,
      .tag = 19,
      .body.admin = {.action = 6,
                     .seconds = 3600,
                     .after = 7,
                     .subject = TEXT("Eve"),
                     .text = TEXT("spam")}}},
    {"WELCOME",
     "0000001e 41 00 0001 01 00000003 00003fa4 0000ea60 0000019a0d2e1f00 04 'gyre'",
     {.type = 0x41,
      .tag = 1,
      .body.welcome = {.version = 1,
                       .features = 3,
                       .frame_max = 0x3fa4,
                       .ping_ms = 60000,
                       .now = UINT64_C(0x19a0d2e1f00),
                       .server = TEXT("gyre")}}},
    {"OK", "00000004 42 00 0004", {.type = 0x42, .tag = 4}},
    {"IDENTITY",
     "00000015 43 00 0002 000000000000002a 01 03 'Ann' 0002 't1'",
     {.type = 0x43,
      .tag = 2,
      .body.identity = {.user = 42, .kind = 1, .nick = TEXT("Ann"), .token = TEXT("t1")}}},
    {"JOINED",
     "0000002a 44 00 0003 00000007 0000000000000001 00000000000003e8 02 000001f4 05 'lobby' 0005 "
     "'Hello'",
     {.type = 0x44,
      .tag = 3,
      .body.joined = {.room = 7,
                      .first = 1,
                      .last = 1000,
                      .role = 2,
                      .slow_ms = 500,
                      .name = TEXT("lobby"),
                      .topic = TEXT("Hello")}}},
    {"ROOM",
     "00000012 45 02 0005 00000009 05 'lobby' 0002 'hi'",
     {.type = 0x45,
      .flags = GY_CHAT_MORE,
      .tag = 5,
      .body.room = {.members = 9, .name = TEXT("lobby"), .topic = TEXT("hi")}}},
    {"MEMBER",
     "00000010 46 00 0007 00000007 01 02 03 'Ann' 01 'x'",
     {.type = 0x46,
      .tag = 7,
      .body.member = {.room = 7, .role = 1, .status = 2, .nick = TEXT("Ann"), .note = TEXT("x")}}},
    {"ACK",
     "00000020 47 00 0008 00000007 00000000000000ff 0000000000000065 0000019a0d2e1f01",
     {.type = 0x47,
      .tag = 8,
      .body.ack = {.room = 7, .client_id = 255, .id = 101, .time = UINT64_C(0x19a0d2e1f01)}}},
    {"MESSAGE",
     "0000002b 48 04 000c 00000007 0000000000000065 0000019a0d2e1f01 01 0000000000000064 03 'Ann' "
     "0004 '\xf0\x9f\x91\x8b'",
     {.type = 0x48,
      .flags = GY_CHAT_PAST,
      .tag = 12,
      .body.message = {.room = 7,
                       .id = 101,
                       .time = UINT64_C(0x19a0d2e1f01),
                       .kind = 1,
                       .target = 100,
                       .from = TEXT("Ann"),
                       .contents = TEXT("\xf0\x9f\x91\x8b")}}},
    {"GAP",
     "00000019 49 00 0000 00000007 0000000000000010 0000000000000020 01",
     {.type = 0x49, .body.gap = {.room = 7, .first = 16, .last = 32, .why = 1}}},
    {"END", "00000005 4a 00 000c 01", {.type = 0x4a, .tag = 12, .body.end = {.more = 1}}},
    {"CAME",
     "00000012 4b 00 0000 00000007 03 00 03 'Eve' 03 'Ann'",
     {.type = 0x4b,
      .body.came = {.room = 7, .what = 3, .nick = TEXT("Eve"), .other = TEXT("Ann")}}},
    {"TYPES",
     "0000000d 4c 00 0000 00000007 01 03 'Ann'",
     {.type = 0x4c, .body.types = {.room = 7, .on = 1, .nick = TEXT("Ann")}}},
    {"STATUS",
     "0000000f 4d 00 0000 02 03 'Ann' 05 'phone'",
     {.type = 0x4d, .body.status = {.status = 2, .nick = TEXT("Ann"), .note = TEXT("phone")}}},
    {"MOVE",
     "0000000e 4e 00 0000 00000bb8 05 'b:700'",
     {.type = 0x4e, .body.move = {.in_ms = 3000, .address = TEXT("b:700")}}},
    {"ERROR",
     "00000014 4f 00 0008 000b 00 000001f4 0007 'slower!'",
     {.type = 0x4f,
      .tag = 8,
      .body.error = {.code = 11, .retry_ms = 500, .sentence = TEXT("slower!")}}},
    {"PONG",
     "00000008 50 00 000f 03 'abc'",
     {.type = 0x50, .tag = 15, .body.pong = {.any = TEXT("abc")}}},
    {"PROBE", "00000005 51 00 0000 00", {.type = 0x51, .body.probe = {.any = TEXT("")}}},
    {"REPORT",
     "0000002b 52 02 0013 03 01 0000000000000001 0000000000000002 0000000000000003 03 'Eve' 02 "
     "'An' "
     "0004 'spam'",
     {.type = 0x52,
      .flags = GY_CHAT_MORE,
      .tag = 19,
      .body.report = {.what = 3,
                      .flags = 1,
                      .number = 1,
                      .time = 2,
                      .until = 3,
                      .name = TEXT("Eve"),
                      .other = TEXT("An"),
                      .text = TEXT("spam")}}},
    {"NOTICE",
     "00000014 53 00 0000 0000000000000005 03 'Ann' 0002 'hi'",
     {.type = 0x53, .body.notice = {.time = 5, .from = TEXT("Ann"), .contents = TEXT("hi")}}},
};

#define SAMPLES (sizeof samples / sizeof samples[0])

/* Hexadecimal and 'text' to bytes; returns how many. */
static uint32_t bytes_of(const char *from, uint8_t *to)
{
    uint32_t length = 0;
    while (*from != 0) {
        if (*from == ' ') {
            from++;
        } else if (*from == '\'') {
            for (from++; *from != '\''; from++) {
                to[length++] = (uint8_t)*from;
            }
            from++;
        } else {
            char digits[3] = {from[0], from[1], 0};
            to[length++] = (uint8_t)strtoul(digits, NULL, 16);
            from += 2;
        }
    }
    return length;
}

static void every_type_is_encoded_as_written_out_by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t expected[256], made[256];
        uint32_t bytes = bytes_of(samples[i].bytes, expected);
        assert_int_equal(gy_chat_encoded_bytes(&samples[i].frame), bytes);
        assert_int_equal(gy_chat_encode(&samples[i].frame, made), bytes);
        assert_memory_equal(made, expected, bytes);
    }
}

static void every_type_is_decoded_to_what_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t bytes[256], again[256];
        struct gy_chat_frame frame;
        uint32_t length = bytes_of(samples[i].bytes, bytes);
        assert_int_equal(gy_chat_frame_bytes(bytes, length, GY_CHAT_FRAME_MAX), length);
        assert_int_equal(gy_chat_decode(bytes, length, &frame, NULL), 0);
        assert_int_equal(frame.type, samples[i].frame.type);
        assert_int_equal(frame.flags, samples[i].frame.flags);
        assert_int_equal(frame.tag, samples[i].frame.tag);
        assert_int_equal(frame.bytes, length);
        /* Its fields are those of the sample, as that encodes to the same bytes. */
        assert_int_equal(gy_chat_encode(&frame, again), length);
        assert_memory_equal(again, bytes, length);
        assert_string_equal(gy_chat_type_name(frame.type), samples[i].name);
    }
}

static void decoded_fields_have_the_samples_values(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct gy_chat_frame frame;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint32_t length = bytes_of(samples[i].bytes, bytes);
        if (samples[i].frame.type != GY_CHAT_MESSAGE) {
            continue;
        }
        assert_int_equal(gy_chat_decode(bytes, length, &frame, NULL), 0);
        assert_int_equal(frame.body.message.room, 7);
        assert_true(frame.body.message.id == 101);
        assert_true(frame.body.message.time == UINT64_C(0x19a0d2e1f01));
        assert_int_equal(frame.body.message.kind, GY_CHAT_EDITED);
        assert_true(frame.body.message.target == 100);
        assert_true(gy_chat_text_equal(frame.body.message.from, gy_chat_text_of("Ann")));
        assert_true(
            gy_chat_text_equal(frame.body.message.contents, gy_chat_text_of("\xf0\x9f\x91\x8b")));
        return;
    }
    fail();
}

static void every_type_of_the_table_has_a_sample(void **state)
{
    (void)state;
    bool seen[256] = {false};
    for (size_t i = 0; i < SAMPLES; i++) {
        seen[samples[i].frame.type] = true;
    }
    for (int type = 0; type < 256; type++) {
        assert_int_equal(seen[type], gy_chat_type_name((uint8_t)type) != NULL);
    }
}

static void a_body_that_is_cut_anywhere_is_refused_by_the_field_it_lacks(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t whole[256];
        uint32_t length = bytes_of(samples[i].bytes, whole);
        for (uint32_t cut = GY_CHAT_HEAD_BYTES; cut < length; cut++) {
            /* Memory of exactly that size, for the sanitizer. */
            uint8_t *bytes = malloc(cut);
            struct gy_chat_frame frame;
            const char *field = NULL;
            assert_non_null(bytes);
            memcpy(bytes, whole, cut);
            bytes[2] = (uint8_t)((cut - 4) >> 8);
            bytes[3] = (uint8_t)(cut - 4);
            assert_int_equal(gy_chat_decode(bytes, cut, &frame, &field), GY_EINVAL);
            assert_non_null(field);
            free(bytes);
        }
    }
}

static void a_longer_body_is_cut_to_what_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t bytes[256];
        struct gy_chat_frame frame;
        uint32_t length = bytes_of(samples[i].bytes, bytes);
        memcpy(bytes + length, "later", 5);
        bytes[3] = (uint8_t)(bytes[3] + 5);
        assert_int_equal(gy_chat_decode(bytes, length + 5, &frame, NULL), 0);
        assert_int_equal(gy_chat_encoded_bytes(&frame), length);
    }
}

static void an_unknown_type_has_its_head_decoded(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0, 0, 6, 0x7f, 0x01, 0x00, 0x09, 1, 2};
    struct gy_chat_frame frame;
    assert_int_equal(gy_chat_decode(bytes, sizeof bytes, &frame, NULL), GY_ENOTFOUND);
    assert_int_equal(frame.type, 0x7f);
    assert_int_equal(frame.flags, GY_CHAT_MUST);
    assert_int_equal(frame.tag, 9);
    assert_int_equal(frame.bytes, sizeof bytes);
    assert_null(gy_chat_type_name(0x7f));
}

static void a_length_is_known_from_four_bytes_and_bounded(void **state)
{
    (void)state;
    static const uint8_t least[] = {0, 0, 0, 4};
    static const uint8_t less[] = {0, 0, 0, 3};
    static const uint8_t most[] = {0, 1, 0, 0};
    static const uint8_t more[] = {0, 1, 0, 1};
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff};
    assert_int_equal(gy_chat_frame_bytes(least, 3, 65536), 0);
    assert_int_equal(gy_chat_frame_bytes(least, 4, 65536), 8);
    assert_int_equal(gy_chat_frame_bytes(less, 4, 65536), GY_EINVAL);
    assert_int_equal(gy_chat_frame_bytes(most, 4, 65536), 65540);
    assert_int_equal(gy_chat_frame_bytes(more, 4, 65536), GY_EINVAL);
    assert_int_equal(gy_chat_frame_bytes(huge, 4, 65536), GY_EINVAL);
    assert_int_equal(gy_chat_frame_bytes(most, 4, 65535), GY_EINVAL);
}

/* The table of well-formed and ill-formed sequences in RFC 3629 §4 and §10. */
static void text_is_utf8_without_nul(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "a",
        "plain text",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "12345678\xc3\xa4",
        "1234567\xc3\xa4-2345678901234567",
    };
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xe0\x9f\xbf",
        "\xe0\xa0",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc2\x41",
        "12345678\x80",
        "1234567\xff-2345678",
        "12345678\xe2\x82",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(gy_chat_is_text(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(gy_chat_is_text(bad[i], strlen(bad[i])));
    }
    char nul[24];
    for (size_t at = 0; at < sizeof nul; at++) {
        memset(nul, 'x', sizeof nul);
        assert_true(gy_chat_is_text(nul, sizeof nul));
        nul[at] = 0;
        assert_false(gy_chat_is_text(nul, sizeof nul));
        nul[at] = (char)0x80;
        assert_false(gy_chat_is_text(nul, sizeof nul));
    }
}

static void text_that_is_none_is_refused_in_any_field(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct gy_chat_frame frame;
    const char *field = NULL;
    uint32_t length = bytes_of("00000008 04 00 0002 03 'B\xff' 'b'", bytes);
    assert_int_equal(gy_chat_decode(bytes, length, &frame, &field), GY_EINVAL);
    assert_string_equal(field, "nick");
    length = bytes_of("00000017 0a 00 0008 00000007 00000000000000ff 0005 'He' 00 'lo'", bytes);
    assert_int_equal(gy_chat_decode(bytes, length, &frame, &field), GY_EINVAL);
    assert_string_equal(field, "contents");
}

static void codes_have_the_names_of_the_page(void **state)
{
    (void)state;
    assert_string_equal(gy_chat_code_name(1), "malformed");
    assert_string_equal(gy_chat_code_name(5), "too-big");
    assert_string_equal(gy_chat_code_name(11), "too-fast");
    assert_string_equal(gy_chat_code_name(17), "drain");
    assert_null(gy_chat_code_name(0));
    assert_null(gy_chat_code_name(18));
    assert_null(gy_chat_code_name(65535));
}

static void the_longest_frame_of_a_server_is_as_long_as_is_said(void **state)
{
    (void)state;
    static char contents[GY_CHAT_CONTENTS_MAX];
    static char from[255];
    memset(contents, 'c', sizeof contents);
    memset(from, 'f', sizeof from);
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_MESSAGE,
        .body.message = {.from = {from, sizeof from}, .contents = {contents, sizeof contents}},
    };
    assert_int_equal(gy_chat_encoded_bytes(&frame), GY_CHAT_FRAME_SENT_MAX + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_encoded_as_written_out_by_hand),
        cmocka_unit_test(every_type_is_decoded_to_what_it_was),
        cmocka_unit_test(decoded_fields_have_the_samples_values),
        cmocka_unit_test(every_type_of_the_table_has_a_sample),
        cmocka_unit_test(a_body_that_is_cut_anywhere_is_refused_by_the_field_it_lacks),
        cmocka_unit_test(a_longer_body_is_cut_to_what_is_known),
        cmocka_unit_test(an_unknown_type_has_its_head_decoded),
        cmocka_unit_test(a_length_is_known_from_four_bytes_and_bounded),
        cmocka_unit_test(text_is_utf8_without_nul),
        cmocka_unit_test(text_that_is_none_is_refused_in_any_field),
        cmocka_unit_test(codes_have_the_names_of_the_page),
        cmocka_unit_test(the_longest_frame_of_a_server_is_as_long_as_is_said),
    };
    return cmocka_run_group_tests_name("chat frames", tests, NULL, NULL);
}
