/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_WEBSOCKET_FRAMES_RIG_H
#define GY_TESTS_WEBSOCKET_FRAMES_RIG_H

/*
 * A server that is told frames, whole and in pieces:
 *
 *     begin();
 *     FRAME(0x81, "Hello");                    a final frame of text
 *     EXPECT("text Hello|", "");               what its handler was told, what it sent
 */

#include <cmocka.h>

#include "tests/websocket/ws_rig.h"

static struct ws_rig rig;
static uint8_t wire[WS_RIG_BYTES];
static size_t wire_bytes;

static inline void begin(void)
{
    wire_bytes = 0;
}

static inline void frame(uint8_t first, const void *payload, size_t length)
{
    assert_true(wire_bytes + length + 14 <= sizeof wire);
    wire_bytes += ws_rig_frame(wire + wire_bytes, first, payload, length, true);
}

#define FRAME(first, text) frame(first, text, sizeof(text) - 1)

/* A server gets the frames so far, in pieces of every size up to 16 and whole; it always tells
 * `told` and sends `sent`. */
static inline void expect_bytes(const char *told, const void *sent, size_t sent_bytes)
{
    static const uint32_t pieces[] = {0, 1, 2, 3, 5, 7, 16};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        ws_rig_open(&rig, false);
        rig.piece = pieces[i];
        ws_rig_say(&rig, wire, wire_bytes);
        assert_string_equal(rig.told, told);
        assert_int_equal(rig.sent_bytes, sent_bytes);
        assert_memory_equal(rig.sent, sent, sent_bytes);
        ws_rig_close(&rig);
    }
}

#define EXPECT(told, sent) expect_bytes(told, sent, sizeof(sent) - 1)

/* What a failure looks like: the Close has this code, and nothing comes behind it. */
static inline void expect_failure(const char *told, uint16_t code)
{
    for (uint32_t piece = 0; piece < 4; piece++) {
        ws_rig_open(&rig, false);
        rig.piece = piece;
        ws_rig_say(&rig, wire, wire_bytes);
        assert_string_equal(rig.told, told);
        assert_true(rig.sent_bytes >= 4);
        uint32_t at = 0;
        while (rig.sent[at] != 0x88) { /* behind Pongs */
            at += 2u + rig.sent[at + 1];
            assert_true(at + 4 <= rig.sent_bytes);
        }
        assert_int_equal(rig.sent[at + 1] + 2u + at, rig.sent_bytes);
        assert_int_equal(rig.sent[at + 2] << 8 | rig.sent[at + 3], code);
        assert_true(gy_ws_wants(&rig.ws) & GY_WS_WANT_END);
        assert_false(gy_ws_is_open(&rig.ws));
        ws_rig_say(&rig, "\x81\x80\1\2\3\4", 6);
        assert_string_equal(rig.told, told);
        ws_rig_close(&rig);
    }
}

#endif
