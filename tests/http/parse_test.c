/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The parsers: all variants give equal results, and none reads past its input. */

#include "protocols/http/h1_parse.h"
#include "protocols/http/syntax.h"
#include "tests/http/probe.h"

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint32_t random_below(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % limit;
}

static const struct gy_h1_limits limits = {
    .line_bytes = 8192, .head_bytes = 16384, .fields = 100, .trailer_bytes = 4096};

/* A copy whose end is the end of its memory, so that reading on is seen. */
static uint8_t *exact(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    return copy;
}

/* The same, filled with one byte. */
static char *filled(size_t length, char byte)
{
    char *block = malloc(length > 0 ? length : 1);
    assert_non_null(block);
    memset(block, byte, length);
    return block;
}

struct parsed {
    int result;
    struct gy_http_exchange exchange;
    struct gy_h1_head head;
};

static void parse(const struct gy_h1_parser *parser, const void *bytes, size_t length,
                  struct parsed *parsed)
{
    uint8_t *copy = exact(bytes, length);
    memset(parsed, 0, sizeof *parsed);
    parsed->result =
        parser->head(&limits, copy, (uint32_t)length, &parsed->exchange, &parsed->head);
    free(copy);
}

static void assert_all_agree(const void *bytes, size_t length)
{
    struct parsed expected, found;
    const struct gy_h1_parser *parser;
    parse(&gy_h1_parser_portable, bytes, length, &expected);
    for (uint32_t n = 0; (parser = gy_h1_parser_nth(n)) != NULL; n++) {
        parse(parser, bytes, length, &found);
        assert_memory_equal(&found, &expected, sizeof found);
    }
}

static void every_byte_in_every_place_of_a_head(void **state)
{
    (void)state;
    static const char head[] = "POST /a/longer/target?with=query HTTP/1.1\r\nHost: a.example:80\r\n"
                               "Content-Length: 5\r\nX-Custom-Name-That-Is-Long: some value, "
                               "with blanks and\ttabs\r\nConnection: keep-alive\r\n\r\n";
    char changed[sizeof head];
    for (size_t at = 0; at < sizeof head - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            memcpy(changed, head, sizeof head);
            changed[at] = (char)byte;
            assert_all_agree(changed, sizeof head - 1);
        }
    }
}

static void every_prefix_is_incomplete(void **state)
{
    (void)state;
    static const char head[] = "GET /index.html HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n";
    struct parsed parsed;
    for (size_t length = 1; length < sizeof head - 1; length++) {
        const struct gy_h1_parser *parser;
        for (uint32_t n = 0; (parser = gy_h1_parser_nth(n)) != NULL; n++) {
            parse(parser, head, length, &parsed);
            assert_int_equal(parsed.result, GY_H1_INCOMPLETE);
        }
    }
    parse(gy_h1_parser_nth(0), head, sizeof head - 1, &parsed);
    assert_int_equal(parsed.result, GY_H1_PARSED);
    assert_int_equal(parsed.head.bytes, sizeof head - 1);
}

/* What a prefix is refused for, everything longer is refused for too. */
static void a_refusal_does_not_change_with_more_input(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "GET ", "/", " HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "X: y\r\n", " ", "\t", "\r",
        "\n",   ":", "Host: b",       "POST * ",     "\x01", "a"};
    for (int round = 0; round < 20000; round++) {
        char head[512];
        size_t length = 0;
        for (uint32_t i = random_below(14) + 2; i > 0; i--) {
            const char *piece = pieces[random_below(sizeof pieces / sizeof pieces[0])];
            while (*piece != 0) {
                head[length++] = *piece++;
            }
        }
        struct parsed before, now;
        const struct gy_h1_parser *parser = gy_h1_parser_nth(0);
        before.result = GY_H1_INCOMPLETE;
        for (size_t prefix = 1; prefix <= length; prefix++) {
            parse(parser, head, prefix, &now);
            if (before.result != GY_H1_INCOMPLETE) {
                assert_int_equal(now.result, before.result);
            }
            before.result = now.result;
        }
        assert_all_agree(head, length);
    }
}

static void runs_of_every_length_and_place(void **state)
{
    (void)state;
    const struct gy_h1_parser *parser;
    for (uint32_t n = 0; (parser = gy_h1_parser_nth(n)) != NULL; n++) {
        for (uint32_t length = 0; length <= 100; length++) {
            uint8_t *tight = (uint8_t *)filled(length, 'v');
            assert_int_equal(parser->plain(tight, length), length);
            for (uint32_t at = 0; at < length; at++) {
                static const uint8_t odd[] = {0,   '\t', '\n', '\r', 0x1f,
                                              ' ', 0x7e, 0x7f, 0x80, 0xff};
                for (size_t i = 0; i < sizeof odd; i++) {
                    tight[at] = odd[i];
                    uint32_t expected = gy_http_is(odd[i], GY_HTTP_CLASS_VALUE) ? length : at;
                    assert_int_equal(parser->plain(tight, length), expected);
                }
                tight[at] = 'v';
            }
            free(tight);
        }
    }
}

static void written_fields_are_checked_alike(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 40; length++) {
        for (int round = 0; round < 400; round++) {
            char *name = filled(length, 'n');
            char *value = filled(length, 'v');
            if (round % 4 != 0) {
                name[random_below((uint32_t)length)] = (char)random_below(256);
            }
            if (round % 3 != 0) {
                value[random_below((uint32_t)length)] = (char)random_below(256);
            }
            struct gy_http_header header = {{name, length}, {value, length}};
            bool good = gy_http_all(header.name, GY_HTTP_CLASS_TOKEN) &&
                        gy_http_all(header.value, GY_HTTP_CLASS_VALUE);
            const struct gy_h1_parser *parser;
            for (uint32_t n = 0; (parser = gy_h1_parser_nth(n)) != NULL; n++) {
                uint8_t *room = malloc(2 * length + 4);
                uint8_t *end = parser->put_headers(room, &header, 1);
                assert_int_equal(end != NULL, good);
                if (good) {
                    assert_ptr_equal(end, room + 2 * length + 4);
                    assert_memory_equal(room, name, length);
                    assert_memory_equal(room + length, ": ", 2);
                    assert_memory_equal(room + length + 2, value, length);
                    assert_memory_equal(room + 2 * length + 2, "\r\n", 2);
                }
                free(room);
            }
            free(name);
            free(value);
        }
    }
}

static void the_scan_stops_where_a_head_ends(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nmore";
    struct rig rig;
    rig_open(&rig, &probe_handler, NULL);
    rig_append(&rig, head, sizeof head - 1);
    uint32_t scanned = 0;
    uint8_t scan = GY_H1_SCAN_LINE;
    uint32_t line_end;
    assert_int_equal(gy_h1_scan(rig.env.parser, &rig.in, &scanned, &scan, &line_end),
                     GY_H1_SCAN_LOOK);
    assert_int_equal(scanned, sizeof head - 1 - 4);
    assert_int_equal(line_end, sizeof head - 1 - 4 - 2);
    gy_chain_clear(&rig.in);
    rig_close(&rig);
}

static void the_fastest_parser_comes_first_and_the_portable_one_last(void **state)
{
    (void)state;
    uint32_t count = 0;
    while (gy_h1_parser_nth(count) != NULL) {
        count++;
    }
    assert_uint_in_range(count, 1, 3);
    assert_ptr_equal(gy_h1_parser_nth(count - 1), &gy_h1_parser_portable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_in_every_place_of_a_head),
        cmocka_unit_test(every_prefix_is_incomplete),
        cmocka_unit_test(a_refusal_does_not_change_with_more_input),
        cmocka_unit_test(runs_of_every_length_and_place),
        cmocka_unit_test(written_fields_are_checked_alike),
        cmocka_unit_test(the_scan_stops_where_a_head_ends),
        cmocka_unit_test(the_fastest_parser_comes_first_and_the_portable_one_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
