/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages of files and of forwarded connections: bytes as the READMEs say, and what is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "protocols/drop/drop.h"
#include "protocols/forward/forward.h"

static void messages_of_files_are_the_bytes_of_their_description(void **state)
{
    (void)state;
    static const uint8_t offer[] = {1, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 'a', '.', 'b'};
    static const uint8_t from[] = {4, 0, 0,    0,    7,    0,    0,    0,    0,    0,   0,
                                   0, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t result[] = {7, 0, 0, 0, 7, 3, 0, 2, 'n', 'o'};
    static const uint8_t data[] = {5, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 9, 'x', 'y'};
    struct gy_drop_message message;
    uint8_t out[GY_DROP_MESSAGE_BYTES];
    assert_int_equal(gy_drop_decode(&message, offer, sizeof offer), 0);
    assert_int_equal(message.type, GY_DROP_OFFER);
    assert_int_equal(message.transfer, 7);
    assert_true(message.replace);
    assert_int_equal(message.size, 258);
    assert_int_equal(message.length, 3);
    assert_memory_equal(message.data, "a.b", 3);
    assert_int_equal(gy_drop_encode(&message, out), sizeof offer);
    assert_memory_equal(out, offer, sizeof offer);
    assert_int_equal(gy_drop_decode(&message, from, sizeof from), 0);
    assert_int_equal(message.offset, 5);
    assert_true(message.size == GY_DROP_UNKNOWN);
    assert_int_equal(gy_drop_encode(&message, out), sizeof from);
    assert_memory_equal(out, from, sizeof from);
    assert_int_equal(gy_drop_decode(&message, result, sizeof result), 0);
    assert_int_equal(message.result, GY_DROP_BUSY);
    assert_int_equal(gy_drop_encode(&message, out), sizeof result);
    assert_memory_equal(out, result, sizeof result);
    assert_int_equal(gy_drop_decode(&message, data, sizeof data), 0);
    assert_int_equal(message.transfer, 0x01020304);
    assert_int_equal(message.offset, 9);
    assert_int_equal(message.length, 2);
    gy_drop_encode_data(0x01020304, 9, out);
    assert_memory_equal(out, data, GY_DROP_DATA_HEAD);
}

static void messages_of_files_that_are_cut_long_or_out_of_bounds_are_refused(void **state)
{
    (void)state;
    struct gy_drop_message message = {.type = GY_DROP_HAVE, .transfer = 1, .offset = 4};
    uint8_t out[GY_DROP_MESSAGE_BYTES + 1] = {0};
    for (int type = GY_DROP_OFFER; type <= GY_DROP_WORKING; type++) {
        if (type == GY_DROP_DATA) {
            continue;
        }
        message.type = (enum gy_drop_type)type;
        message.size = type == GY_DROP_FROM ? 9 : 4;
        size_t bytes = gy_drop_encode(&message, out);
        for (size_t cut = 0; cut < bytes; cut++) {
            assert_int_equal(gy_drop_decode(&message, out, cut), GY_EPROTO);
        }
        assert_int_equal(gy_drop_decode(&message, out, bytes + 1), GY_EPROTO);
        assert_int_equal(gy_drop_decode(&message, out, bytes), 0);
    }
    static const uint8_t far[] = {5, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    static const uint8_t behind[] = {4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 4};
    static const uint8_t flags[] = {1, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a'};
    static const uint8_t other[] = {9, 0, 0, 0, 1};
    assert_int_equal(gy_drop_decode(&message, far, sizeof far), GY_EPROTO);
    assert_int_equal(gy_drop_decode(&message, behind, sizeof behind), GY_EPROTO);
    assert_int_equal(gy_drop_decode(&message, flags, sizeof flags), GY_EPROTO);
    assert_int_equal(gy_drop_decode(&message, other, sizeof other), GY_EPROTO);
}

static bool is_good(const char *name, unsigned components)
{
    return gy_drop_name_is_good(name, strlen(name), components);
}

static void names_lead_nowhere_else(void **state)
{
    (void)state;
    char longest[GY_DROP_COMPONENT_BYTES + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_false(is_good(longest, 1));
    longest[GY_DROP_COMPONENT_BYTES] = '\0';
    assert_true(is_good(longest, 1));
    assert_true(is_good("a", 1));
    assert_true(is_good("gr\xc3\xbc\xc3\x9f"
                        "e..",
                        1));
    assert_true(is_good("a/b/c", 3));
    assert_false(is_good("a/b/c", 2));
    assert_false(is_good("a/b", 1));
    static const char *const bad[] = {"",     ".",    "..",   ".a",   "/a",    "a/",   "a//b",
                                      "a/..", "../a", "a/.b", "a\nb", "a\x7f", "a/./b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(is_good(bad[i], 16));
    }
    assert_false(gy_drop_name_is_good("a\0b", 3, 1));
}

static void messages_of_forwarding_are_the_bytes_of_their_description(void **state)
{
    (void)state;
    static const uint8_t open[] = {1, 0, 0, 1, 0, 0, 4, 0, 0};
    static const uint8_t reset[] = {6, 0, 0, 1, 0, 'n', 'o'};
    static const uint8_t data[] = {3, 0, 0, 1, 0, 'x'};
    static const uint8_t nothing[] = {3, 0, 0, 1, 0}, none[] = {4, 0, 0, 1, 0, 0, 0, 0, 0};
    static const uint8_t much[] = {4, 0, 0, 1, 0, 1, 0, 0, 1}, longer[] = {5, 0, 0, 1, 0, 0};
    struct gy_forward_message message;
    uint8_t out[GY_FORWARD_MESSAGE_BYTES];
    assert_int_equal(gy_forward_decode(&message, open, sizeof open), 0);
    assert_int_equal(message.flow, 256);
    assert_int_equal(message.credit, 262144);
    assert_int_equal(gy_forward_encode(&message, out), sizeof open);
    assert_memory_equal(out, open, sizeof open);
    assert_int_equal(gy_forward_decode(&message, reset, sizeof reset), 0);
    assert_int_equal(gy_forward_encode(&message, out), sizeof reset);
    assert_memory_equal(out, reset, sizeof reset);
    assert_int_equal(gy_forward_decode(&message, data, sizeof data), 0);
    assert_int_equal(message.length, 1);
    gy_forward_encode_data(256, out);
    assert_memory_equal(out, data, GY_FORWARD_DATA_HEAD);
    assert_int_equal(gy_forward_decode(&message, nothing, sizeof nothing), GY_EPROTO);
    assert_int_equal(gy_forward_decode(&message, none, sizeof none), GY_EPROTO);
    assert_int_equal(gy_forward_decode(&message, much, sizeof much), GY_EPROTO);
    assert_int_equal(gy_forward_decode(&message, longer, sizeof longer), GY_EPROTO);
    assert_int_equal(gy_forward_decode(&message, open, 4), GY_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_files_are_the_bytes_of_their_description),
        cmocka_unit_test(messages_of_files_that_are_cut_long_or_out_of_bounds_are_refused),
        cmocka_unit_test(names_lead_nowhere_else),
        cmocka_unit_test(messages_of_forwarding_are_the_bytes_of_their_description),
    };
    return cmocka_run_group_tests_name("drop", tests, NULL, NULL);
}
