/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How a line of the log looks: for people, as JSON, escaped, and cut to its bound. */

#include <stdlib.h>
#include <time.h>

#include "core/log_line.h"
#include "tests/unit/json_unit.h"
#include "tests/unit/unit.h"

/* 2026-01-31T12:00:00.123Z */
#define TIME_MS UINT64_C(1769860800123)

static char text[GY_LOG_LINE_BYTES + 1];

static const char *render(const struct gy_log_line *parts, bool json, bool colour)
{
    char *line = malloc(GY_LOG_LINE_BYTES); /* exactly, so that the sanitizer sees an overrun */
    size_t bytes = gy_log_line_render(parts, json, colour, line);
    assert_true(bytes <= GY_LOG_LINE_BYTES);
    memcpy(text, line, bytes);
    text[bytes] = '\0';
    free(line);
    assert_ptr_equal(strchr(text, '\n'), text + bytes - 1);
    return text;
}

static struct gy_log_line parts_of(const char *message)
{
    return (struct gy_log_line){
        .time_ms = TIME_MS,
        .level = GY_LOG_WARN,
        .component = "listener",
        .message = message,
    };
}

static void a_line_for_people_has_time_level_component_message_and_pairs(void **state)
{
    (void)state;
    struct gy_log_line parts = parts_of("out of file descriptors");
    assert_string_equal(render(&parts, false, false),
                        "2026-01-31T12:00:00.123Z WARN  listener: out of file descriptors\n");
    parts.fields = gy_fields(gy_text("address", "127.0.0.1:8080"), gy_number("open", 1023),
                             gy_number("delta", INT64_MIN));
    assert_string_equal(render(&parts, false, false),
                        "2026-01-31T12:00:00.123Z WARN  listener: out of file descriptors "
                        "address=127.0.0.1:8080 open=1023 delta=-9223372036854775808\n");
}

static void a_json_line_is_one_object(void **state)
{
    (void)state;
    struct gy_log_line parts = parts_of("it \"works\" \\ well");
    assert_string_equal(render(&parts, true, true),
                        "{\"time\":\"2026-01-31T12:00:00.123Z\",\"level\":\"warn\","
                        "\"component\":\"listener\",\"message\":\"it \\\"works\\\" \\\\ well\"}\n");
    parts.fields = gy_fields(gy_text("address", "a b"), gy_number("open", -7), gy_text("none", ""));
    assert_string_equal(render(&parts, true, false),
                        "{\"time\":\"2026-01-31T12:00:00.123Z\",\"level\":\"warn\","
                        "\"component\":\"listener\",\"message\":\"it \\\"works\\\" \\\\ well\","
                        "\"address\":\"a b\",\"open\":-7,\"none\":\"\"}\n");
}

static void every_level_has_its_label_and_colour(void **state)
{
    (void)state;
    static const char *const plain[] = {"Z ERROR l", "Z WARN  l", "Z INFO  l", "Z DEBUG l"};
    static const char *const coloured[] = {"Z \x1b[31mERROR\x1b[0m l", "Z \x1b[33mWARN \x1b[0m l",
                                           "Z \x1b[32mINFO \x1b[0m l", "Z \x1b[2mDEBUG\x1b[0m l"};
    for (int level = GY_LOG_ERROR; level <= GY_LOG_DEBUG; level++) {
        struct gy_log_line parts = parts_of("m");
        parts.level = (enum gy_log_level)level;
        assert_non_null(strstr(render(&parts, false, false), plain[level]));
        assert_non_null(strstr(render(&parts, false, true), coloured[level]));
    }
}

static void values_that_are_no_single_word_are_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *shown;
    } pairs[] = {
        {"word", " k=word\n"},
        {"/index.html?q", " k=/index.html?q\n"},
        {"", " k=\"\"\n"},
        {"two words", " k=\"two words\"\n"},
        {"a=b", " k=\"a=b\"\n"},
        {"say \"hi\"", " k=\"say \\\"hi\\\"\"\n"},
        {"back\\slash", " k=\"back\\\\slash\"\n"},
        {"grün", " k=\"grün\"\n"},
        {"x\ny=1", " k=\"x\\ny=1\"\n"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct gy_log_line parts = parts_of("m");
        parts.fields = gy_fields(gy_text("k", pairs[i].value));
        assert_non_null(strstr(render(&parts, false, false), pairs[i].shown));
    }
}

static void text_from_outside_can_neither_forge_a_line_nor_drive_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        const char *plain;
        const char *json;
    } rows[] = {
        {"a\nb\rc\td", "a\\nb\\rc\\td", "a\\nb\\rc\\td"},
        {"\x1b[2J", "\\x1b[2J", "\\u001b[2J"},
        {"\x01\x7f", "\\x01\\x7f", "\\u0001\\u007f"},
        {"c1 \xc2\x9b", "c1 \\u009b", "c1 \\u009b"},
        {"bidi \xe2\x80\xae\xe2\x81\xa6", "bidi \\u202e\\u2066", "bidi \\u202e\\u2066"},
        {"\xe2\x80\xa8", "\\u2028", "\\u2028"},
        {"back\\slash", "back\\\\slash", "back\\\\slash"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gy_log_line parts = parts_of(rows[i].message);
        char expected[128];
        snprintf(expected, sizeof expected, "listener: %s\n", rows[i].plain);
        assert_non_null(strstr(render(&parts, false, false), expected));
        snprintf(expected, sizeof expected, "\"message\":\"%s\"}\n", rows[i].json);
        assert_non_null(strstr(render(&parts, true, false), expected));
    }
}

/* RFC 3629 §3 and §4: what is and what is not a character. */
static void only_utf8_passes_unescaped(void **state)
{
    (void)state;
    static const char *const whole[] = {"é", "€", "𐍈", "\xf4\x8f\xbf\xbf", "\xef\xbf\xbd"};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        struct gy_log_line parts = parts_of(whole[i]);
        assert_non_null(strstr(render(&parts, false, false), whole[i]));
        assert_non_null(strstr(render(&parts, true, false), whole[i]));
    }
    static const struct {
        const char *message;
        const char *plain;
        const char *json;
    } broken[] = {
        {"\x80", "\\x80", "\\ufffd"},
        {"\xff", "\\xff", "\\ufffd"},
        {"\xc0\xaf", "\\xc0\\xaf", "\\ufffd\\ufffd"},
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf", "\\ufffd\\ufffd\\ufffd"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\ufffd\\ufffd\\ufffd"},
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        {"\xe2\x82", "\\xe2\\x82", "\\ufffd\\ufffd"},
        {"\xe2(", "\\xe2(", "\\ufffd("},
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct gy_log_line parts = parts_of(broken[i].message);
        char expected[128];
        snprintf(expected, sizeof expected, "listener: %s\n", broken[i].plain);
        assert_non_null(strstr(render(&parts, false, false), expected));
        snprintf(expected, sizeof expected, "\"message\":\"%s\"}\n", broken[i].json);
        assert_non_null(strstr(render(&parts, true, false), expected));
    }
}

static void the_time_is_rfc3339_in_utc(void **state)
{
    (void)state;
    static const struct {
        uint64_t time_ms;
        const char *shown;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z "},
        {UINT64_C(951782399999), "2000-02-28T23:59:59.999Z "},
        {UINT64_C(951782400000), "2000-02-29T00:00:00.000Z "},
        {UINT64_C(951868800000), "2000-03-01T00:00:00.000Z "},
        {UINT64_C(1709210096007), "2024-02-29T12:34:56.007Z "},
        {UINT64_C(1735689599999), "2024-12-31T23:59:59.999Z "},
        {UINT64_C(1735689600000), "2025-01-01T00:00:00.000Z "},
        {UINT64_C(4107542400000), "2100-03-01T00:00:00.000Z "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gy_log_line parts = parts_of("m");
        parts.time_ms = rows[i].time_ms;
        assert_memory_equal(render(&parts, false, false), rows[i].shown, 25);
    }
}

static void the_calendar_agrees_with_the_c_librarys(void **state)
{
    (void)state;
    uint64_t random = random_seed(0xca1);
    for (int i = 0; i < 5000; i++) {
        uint64_t seconds = random_next(&random) % UINT64_C(253402300800); /* to the year 9999 */
        struct gy_log_line parts = parts_of("m");
        parts.time_ms = seconds * 1000;
        time_t time = (time_t)seconds;
        struct tm calendar;
        gmtime_r(&time, &calendar);
        char expected[64];
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000Z ", &calendar);
        assert_memory_equal(render(&parts, false, false), expected, 25);
    }
}

static void a_line_that_is_too_long_is_cut_and_still_whole(void **state)
{
    (void)state;
    static char message[1200];
    static char value[1200];
    static const char *const fills[] = {"x", "\n", "\"", "€", "\xff"};
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
        for (size_t length = 0; length < 1100; length += 1 + length / 7 % 3) {
            for (int both = 0; both < 2; both++) {
                message[0] = '\0';
                value[0] = '\0';
                char *filled = both ? value : message;
                for (size_t fill = 0; fill + strlen(fills[f]) <= length; fill += strlen(fills[f])) {
                    memcpy(filled + fill, fills[f], strlen(fills[f]) + 1);
                }
                struct gy_log_line parts = parts_of(message);
                parts.fields = gy_fields(gy_text("first", value), gy_number("second", 1234567),
                                         gy_text("third", "a b"));
                bool cut = strstr(render(&parts, false, false), "third=\"a b\"\n") == NULL;
                assert_int_equal(cut, strstr(text, "…") != NULL);
                if (cut && both) {
                    size_t quotes = 0;
                    for (const char *at = text; *at != '\0'; at++) {
                        quotes += *at == '"' && at[-1] != '\\';
                    }
                    assert_int_equal(quotes % 2, 0);
                }
                cut = strstr(render(&parts, true, false), "\"third\":\"a b\"}\n") == NULL;
                assert_int_equal(cut, strstr(text, ",\"cut\":true}\n") != NULL);
                assert_true(is_json_object(text));
            }
        }
    }
}

static void a_message_that_came_cut_says_so_and_ends_with_a_whole_character(void **state)
{
    (void)state;
    struct gy_log_line parts = parts_of("price in \xe2\x82");
    parts.cut = true;
    parts.fields = gy_fields(gy_number("n", 1));
    assert_non_null(strstr(render(&parts, false, false), "listener: price in … n=1\n"));
    assert_non_null(
        strstr(render(&parts, true, false), "\"message\":\"price in …\",\"n\":1,\"cut\":true}\n"));
    parts.message = "price in €";
    assert_non_null(strstr(render(&parts, false, false), "listener: price in €… n=1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_for_people_has_time_level_component_message_and_pairs),
        cmocka_unit_test(a_json_line_is_one_object),
        cmocka_unit_test(every_level_has_its_label_and_colour),
        cmocka_unit_test(values_that_are_no_single_word_are_quoted),
        cmocka_unit_test(text_from_outside_can_neither_forge_a_line_nor_drive_a_terminal),
        cmocka_unit_test(only_utf8_passes_unescaped),
        cmocka_unit_test(the_time_is_rfc3339_in_utc),
        cmocka_unit_test(the_calendar_agrees_with_the_c_librarys),
        cmocka_unit_test(a_line_that_is_too_long_is_cut_and_still_whole),
        cmocka_unit_test(a_message_that_came_cut_says_so_and_ends_with_a_whole_character),
    };
    return cmocka_run_group_tests_name("log_line", tests, NULL, NULL);
}
