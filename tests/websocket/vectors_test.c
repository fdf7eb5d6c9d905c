/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Masking and UTF-8: every instruction set gives what the definition says, at every alignment. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/utf8.h"
#include "protocols/websocket/ws_utf8.h"

static void masks_as_defined(void **state)
{
    (void)state;
    uint8_t from[160], to[160];
    const uint8_t key_bytes[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint32_t key;
    memcpy(&key, key_bytes, 4);
    for (size_t i = 0; i < sizeof from; i++) {
        from[i] = (uint8_t)(i * 37 + 11);
    }
    const struct gy_ws_vector *vector;
    for (uint32_t v = 0; (vector = gy_ws_vector_nth(v)) != NULL; v++) {
        for (size_t offset = 0; offset < 9; offset++) {
            for (size_t bytes = 0; bytes < 140; bytes++) {
                memset(to, 0xaa, sizeof to);
                vector->mask(to + offset, from + 1, bytes, key);
                for (size_t i = 0; i < bytes; i++) {
                    assert_int_equal(to[offset + i], from[1 + i] ^ key_bytes[i & 3]);
                }
                assert_int_equal(to[offset + bytes], 0xaa);
                vector->mask(to + offset, to + offset, bytes, key);
                assert_memory_equal(to + offset, from + 1, bytes);
            }
        }
    }
}

static void a_key_turns_with_its_position(void **state)
{
    (void)state;
    const uint8_t key_bytes[4] = {1, 2, 3, 4};
    uint32_t key;
    memcpy(&key, key_bytes, 4);
    for (uint64_t by = 0; by < 9; by++) {
        uint32_t turned = gy_ws_key_turn(key, by);
        uint8_t got[4];
        memcpy(got, &turned, 4);
        for (uint64_t i = 0; i < 4; i++) {
            assert_int_equal(got[i], key_bytes[(i + by) & 3]);
        }
    }
}

static void finds_the_end_of_ascii(void **state)
{
    (void)state;
    const struct gy_ws_vector *vector;
    for (uint32_t v = 0; (vector = gy_ws_vector_nth(v)) != NULL; v++) {
        for (size_t bytes = 0; bytes < 100; bytes++) {
            uint8_t *data = malloc(bytes + 1);
            assert_non_null(data);
            memset(data, 'a', bytes + 1);
            assert_int_equal(vector->ascii(data, bytes), bytes);
            for (size_t at = 0; at < bytes; at++) {
                data[at] = 0x80;
                assert_int_equal(vector->ascii(data, bytes), at);
                data[at] = 'a';
            }
            free(data);
        }
    }
}

/* The definition: characters one after the other, as core/utf8.h decodes them. */
static bool is_utf8(const uint8_t *data, size_t bytes)
{
    uint32_t code;
    for (size_t at = 0; at < bytes;) {
        size_t length = gy_utf8_decode((const char *)data + at, bytes - at, &code);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

static bool takes(const struct gy_ws_vector *vector, const uint8_t *data, size_t bytes, size_t cut)
{
    struct gy_ws_utf8 text = {0};
    return gy_ws_utf8_take(&text, vector, data, cut) &&
           gy_ws_utf8_take(&text, vector, data + cut, bytes - cut) && gy_ws_utf8_whole(&text);
}

/* All pairs of a first and a second byte, with every kind of tail, behind a long run of ASCII; for
 * the variants behind the first, which differ in the run alone, a part of them. */
static void agrees_with_the_decoder(void **state)
{
    (void)state;
    static const uint8_t tails[][2] = {{0x80, 0x80}, {0xbf, 0xbf}, {0x7f, 0x80}, {0x80, 'a'}};
    const struct gy_ws_vector *vector;
    for (uint32_t v = 0; (vector = gy_ws_vector_nth(v)) != NULL; v++) {
        for (uint32_t pair = 0; pair < 65536; pair += v == 0 ? 1 : 17) {
            for (size_t t = 0; t < 4; t++) {
                uint8_t data[24] = "0123456789abcdef";
                data[16] = (uint8_t)(pair >> 8);
                data[17] = (uint8_t)pair;
                data[18] = tails[t][0];
                data[19] = tails[t][1];
                for (size_t bytes = 17; bytes <= 20; bytes++) {
                    assert_int_equal(takes(vector, data, bytes, 16 + pair % 4 % (bytes - 15)),
                                     is_utf8(data, bytes));
                }
            }
        }
    }
}

/* The first byte that cannot be is where it stops, whatever would have come behind it. */
static void stops_at_the_first_wrong_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t good; /* bytes that are fine */
    } cases[] = {
        {"\xc0\xaf", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 1},
        {"\xed\xa0\x80", 1},
        {"\xf0\x8f\xbf\xbf", 1},
        {"\xf4\x90\x80\x80", 1},
        {"\xf5\x80\x80\x80", 0},
        {"\x80", 0},
        {"\xe2\x82\x28", 2},
        {"\xf0\x9f\x98(", 3},
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_ws_utf8 text = {0};
        const uint8_t *data = (const uint8_t *)cases[i].text;
        for (size_t at = 0; at < cases[i].good; at++) {
            assert_true(gy_ws_utf8_take(&text, gy_ws_vector_nth(0), data + at, 1));
        }
        assert_false(gy_ws_utf8_take(&text, gy_ws_vector_nth(0), data + cases[i].good, 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_as_defined),
        cmocka_unit_test(a_key_turns_with_its_position),
        cmocka_unit_test(finds_the_end_of_ascii),
        cmocka_unit_test(agrees_with_the_decoder),
        cmocka_unit_test(stops_at_the_first_wrong_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
