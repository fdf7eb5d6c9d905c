/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Paths, types, preconditions, ranges, codings, the listing's page, and the memory of contents. */

#include "tests/unit/unit.h"

#include "servers/http/conditional.h"
#include "servers/http/file_memory.h"
#include "servers/http/file_path.h"
#include "servers/http/listing.h"
#include "servers/http/mime.h"

static struct gy_http_text text(const char *zero_terminated)
{
    return gy_http_text_of(zero_terminated);
}

/* ---- paths ---- */

static void paths_are_decoded_and_their_dot_segments_removed(void **state)
{
    (void)state;
    static const struct {
        const char *target, *key, *query;
        bool slash;
    } cases[] = {
        {"/", "", "", true},
        {"/a", "a", "", false},
        {"/a/", "a", "", true},
        {"//a///b", "a/b", "", false},
        {"/a?b?c", "a", "?b?c", false},
        {"/?", "", "?", true},
        {"/%41%2e%20", "A. ", "", false},
        {"/a/./b", "a/b", "", false},
        {"/a/../b", "b", "", false},
        {"/a/b/../../c/", "c", "", true},
        {"/a/..", "", "", true},
        {"/a/b/..", "a", "", true},
        {"/a/b/.", "a/b", "", true},
        {"/a/%2e%2E/b", "b", "", false},
        {"/a/b%5c..%5cc", "a/b\\..\\c", "", false},
        {"/a...", "a...", "", false},
        {"/.well-known/x", ".well-known/x", "", false},
        {"/a%3Fb", "a?b", "", false},
        {"/%ff", "\xff", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_file_path path;
        assert_int_equal(gy_file_path_read(&path, text(cases[i].target)), GY_FILE_PATH_OK);
        assert_string_equal(path.key, cases[i].key);
        assert_int_equal(path.length, strlen(cases[i].key));
        assert_int_equal(path.slash, cases[i].slash);
        assert_true(gy_http_text_equal(path.query, text(cases[i].query)));
    }
}

static void paths_that_climb_or_cannot_be_decoded_are_bad(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "",
        "a",
        "*",
        "/..",
        "/../a",
        "/a/../..",
        "/a/../../b",
        "/%2e%2e",
        "/%2e.",
        "/.%2E/a",
        "/a/%2e%2e/%2e%2e/b",
        "/%",
        "/%2",
        "/%zz",
        "/a%00",
        "/%00",
        "//..",
        "/./..",
        "/.a/../..",
    };
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct gy_file_path path;
        assert_int_equal(gy_file_path_read(&path, text(targets[i])), GY_FILE_PATH_BAD);
    }
}

static void dot_files_and_escaped_slashes_are_hidden(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "/.git",    "/.git/config", "/a/.b", "/a/.b/c", "/%2egit",          "/...",
        "/..%2fa",  "/a%2Fb",       "/.;/a", "/..;/a",  "/a/.well-known/x", "/.well-known2",
        "/.b/../a", "/a/.../b",
    };
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct gy_file_path path;
        assert_int_equal(gy_file_path_read(&path, text(targets[i])), GY_FILE_PATH_HIDDEN);
    }
}

static void a_path_longer_than_its_bound_is_told_so(void **state)
{
    (void)state;
    char target[2 * GY_FILE_KEY_BYTES];
    struct gy_file_path path;
    memset(target, 'a', sizeof target);
    target[0] = '/';
    struct gy_http_text whole = {target, sizeof target};
    assert_int_equal(gy_file_path_read(&path, whole), GY_FILE_PATH_LONG);
    for (size_t length = GY_FILE_KEY_BYTES - 8; length < GY_FILE_KEY_BYTES + 8; length++) {
        whole.length = length;
        enum gy_file_path_verdict verdict = gy_file_path_read(&path, whole);
        assert_true(verdict == GY_FILE_PATH_LONG ||
                    (verdict == GY_FILE_PATH_OK && path.length == length - 1));
    }
}

static void an_escaped_key_reads_as_itself(void **state)
{
    (void)state;
    char key[256];
    for (int i = 0; i < 255; i++) {
        key[i] = (char)(i + 1);
    }
    key['/' - 1] = 'x';
    char target[3 * sizeof key + 1];
    uint32_t length = gy_file_path_escape(key, 255, target, sizeof target);
    assert_true(length > 0);
    struct gy_file_path path;
    assert_int_equal(gy_file_path_read(&path, (struct gy_http_text){target, length}),
                     GY_FILE_PATH_OK);
    assert_int_equal(path.length, 255);
    assert_memory_equal(path.key, key, 255);
    assert_int_equal(gy_file_path_escape(key, 255, target, 20), 0);
}

/* ---- types ---- */

static void types_are_told_by_the_last_ending(void **state)
{
    (void)state;
    static const struct {
        const char *path, *type;
        bool compressible;
    } cases[] = {
        {"a.html", "text/html; charset=utf-8", true},
        {"a/b.c/d.JPeG", "image/jpeg", false},
        {"a.tar.gz", "application/gzip", false},
        {"7z.7z", "application/x-7z-compressed", false},
        {"a.zst", "application/zstd", false},
        {"a.svg", "image/svg+xml", true},
        {"a.svgz", "image/svg+xml", false},
        {"js", "application/octet-stream", false},
        {"a.js/b", "application/octet-stream", false},
        {"a.", "application/octet-stream", false},
        {"a.webmanifest", "application/manifest+json", true},
        {"a.averylongending", "application/octet-stream", false},
        {"", "application/octet-stream", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_mime mime = gy_mime_of(cases[i].path, strlen(cases[i].path));
        assert_true(gy_http_text_equal(mime.type, text(cases[i].type)));
        assert_int_equal(mime.compressible, cases[i].compressible);
    }
}

/* ---- dates and tags ---- */

static void dates_are_read_in_all_three_forms(void **state)
{
    (void)state;
    int64_t seconds = 0;
    /* RFC 9110 §5.6.7 */
    static const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                       "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(gy_date_parse(text(same[i]), &seconds));
        assert_int_equal(seconds, 784111777);
    }
    assert_true(gy_date_parse(text("Thu, 29 Feb 2024 23:59:60 GMT"), &seconds));
    assert_int_equal(seconds, 1709251200);
    static const char *const bad[] = {"",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 32 Nov 1994 08:49:37 GMT",
                                      "Sun, 31 Apr 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:49:37 GMT",
                                      "Sun, 06 nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 0000 08:49:37 GMT",
                                      "Sunday, 06-Nov-9a 08:49:37 GMT",
                                      "784111777"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(gy_date_parse(text(bad[i]), &seconds));
    }
}

static void a_date_that_was_written_reads_the_same(void **state)
{
    (void)state;
    for (uint64_t seconds = 0; seconds < UINT64_C(253402300800); seconds += 77777777) {
        char date[GY_HTTP_DATE_BYTES];
        int64_t back = -1;
        gy_http_date(seconds, date);
        assert_true(gy_date_parse((struct gy_http_text){date, sizeof date}, &back));
        assert_int_equal(back, seconds);
    }
}

static void tags_are_compared_weakly_or_strongly(void **state)
{
    (void)state;
    struct gy_http_text etag = text("\"a,b\"");
    assert_true(gy_etag_list_has(text("\"a,b\""), etag, false));
    assert_true(gy_etag_list_has(text("\"x\", W/\"a,b\""), etag, true));
    assert_false(gy_etag_list_has(text("W/\"a,b\""), etag, false));
    assert_true(gy_etag_list_has(text(" * "), etag, false));
    assert_false(gy_etag_list_has(text("\"x\", *"), etag, false));
    assert_false(gy_etag_list_has(text("a,b"), etag, true));
    assert_false(gy_etag_list_has(text("\"a,b"), etag, true));
    assert_false(gy_etag_list_has(text(""), etag, true));
    assert_true(gy_etag_list_has(text(",, \"y\" ,\"a,b\""), etag, false));
    assert_true(gy_etag_list_has(text("\"a,b\" , \"x\""), etag, false));
    assert_false(gy_etag_list_has(text("\"a,b\"x"), etag, true));
    assert_false(gy_etag_list_has(text("\"a,b\" \"x\""), etag, true));
}

/* ---- ranges ---- */

static void range_is(const char *value, uint64_t size, uint64_t first, uint64_t bytes)
{
    struct gy_ranges ranges;
    assert_int_equal(gy_ranges_parse(text(value), size, &ranges), GY_RANGE_SOME);
    assert_int_equal(ranges.count, 1);
    assert_int_equal(ranges.list[0].first, first);
    assert_int_equal(ranges.list[0].bytes, bytes);
}

static void ranges_are_read_as_rfc_9110_14_1_2_shows(void **state)
{
    (void)state;
    range_is("bytes=0-499", 10000, 0, 500);
    range_is("bytes=500-999", 10000, 500, 500);
    range_is("bytes=-500", 10000, 9500, 500);
    range_is("bytes=9500-", 10000, 9500, 500);
    range_is("Bytes= 0-0 ,", 10000, 0, 1);
    range_is("bytes=-20000", 10000, 0, 10000);
    range_is("bytes=9999-18446744073709551616", 10000, 9999, 1);
    range_is("bytes=0-0,20000-", 10000, 0, 1);
    struct gy_ranges ranges;
    assert_int_equal(gy_ranges_parse(text("bytes=0-0,-1"), 10000, &ranges), GY_RANGE_SOME);
    assert_int_equal(ranges.count, 2);
    assert_int_equal(ranges.list[1].first, 9999);
}

static void ranges_that_make_no_sense_are_ignored(void **state)
{
    (void)state;
    static const char *const values[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=1",
        "bytes=2-1",
        "bytes=a-b",
        "bytes=0-1;",
        "items=0-1",
        "bytes 0-1",
        "bytes=0--1",
        "bytes=0-,0-",
        "bytes=+1-2",
        "bytes=0-0,x",
        "bytes=0-5000,0-5000",
        "bytes=1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct gy_ranges ranges;
        assert_int_equal(gy_ranges_parse(text(values[i]), 10000, &ranges), GY_RANGE_NONE);
    }
}

static void ranges_behind_the_end_are_unsatisfiable(void **state)
{
    (void)state;
    struct gy_ranges ranges;
    assert_int_equal(gy_ranges_parse(text("bytes=10000-"), 10000, &ranges), GY_RANGE_UNSATISFIABLE);
    assert_int_equal(gy_ranges_parse(text("bytes=-0"), 10000, &ranges), GY_RANGE_UNSATISFIABLE);
    assert_int_equal(gy_ranges_parse(text("bytes=0-"), 0, &ranges), GY_RANGE_UNSATISFIABLE);
    assert_int_equal(gy_ranges_parse(text("bytes=-5"), 0, &ranges), GY_RANGE_UNSATISFIABLE);
}

/* ---- codings ---- */

static void codings_have_the_weights_that_they_were_given(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint16_t identity, br, zstd, gzip;
    } cases[] = {
        {"", 1, 0, 0, 0},
        {"gzip, br", 1, 1000, 0, 1000},
        {"GZIP;q=0.5 , br;Q=0.25", 1, 250, 0, 500},
        {"*", 1000, 1000, 1000, 1000},
        {"*;q=0.1, br;q=0", 100, 0, 100, 100},
        {"br;q=1.000, zstd;q=0.999", 1, 1000, 999, 0},
        {"br;q=2, zstd;q=x, gzip;q=", 1, 0, 0, 0},
        {"x-gzip", 1, 0, 0, 1000},
        {"identity;q=0", 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gy_codings codings = {.weight[GY_CODING_IDENTITY] = 1};
        gy_codings_parse(text(cases[i].value), &codings);
        assert_int_equal(codings.weight[GY_CODING_IDENTITY], cases[i].identity);
        assert_int_equal(codings.weight[GY_CODING_BR], cases[i].br);
        assert_int_equal(codings.weight[GY_CODING_ZSTD], cases[i].zstd);
        assert_int_equal(codings.weight[GY_CODING_GZIP], cases[i].gzip);
    }
}

/* ---- the listing ---- */

static void a_listing_escapes_what_it_shows(void **state)
{
    (void)state;
    char hostile[] = "<b onx='1'>&\"\x01\xff\xe2\x80\xaetxt\xc3\xa4";
    struct gy_directory_name names[] = {{.name = hostile, .bytes = 1536}};
    struct gy_directory directory = {.names = names, .count = 1};
    char *page;
    size_t bytes;
    assert_int_equal(
        gy_listing_render(&directory, "d/<i>", (struct gy_listing_order){0, false}, &page, &bytes),
        0);
    assert_int_equal(strlen(page), bytes);
    assert_non_null(strstr(page, "&lt;b onx=&#39;1&#39;&gt;&amp;&quot;"));
    assert_null(strstr(page, "<b onx"));
    assert_null(strstr(page, "<i>"));
    assert_null(strchr(page, 1));
    /* Neither a byte that is no character, nor what would turn the name around. */
    assert_non_null(strstr(page, "&quot;\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdtxt\xc3\xa4<"));
    assert_non_null(strstr(page, "href=\"%3Cb%20onx%3D%271%27%3E%26%22%01%FF%E2%80%AEtxt%C3%A4\""));
    assert_non_null(strstr(page, "1.5 KiB"));
    free(page);
}

static void a_query_that_says_nothing_sorts_by_name(void **state)
{
    (void)state;
    struct gy_listing_order order = gy_listing_order_of(text("?sort=<>&order=up&&x"));
    assert_int_equal(order.sort, GY_LISTING_NAME);
    assert_false(order.descending);
    order = gy_listing_order_of(text("?sort=size&order=desc"));
    assert_int_equal(order.sort, GY_LISTING_SIZE);
    assert_true(order.descending);
}

/* ---- memory ---- */

#define BLOCKS_MAX 4096

static void blocks_are_disjoint_and_come_back_whatever_their_size(void **state)
{
    (void)state;
    struct gy_file_memory memory;
    struct gy_file_block *held[BLOCKS_MAX] = {NULL};
    uint32_t random = 12345;
    assert_int_equal(gy_file_memory_open(&memory, 4u << 20), 0);
    for (uint32_t round = 0; round < 60000; round++) {
        random = random * 1103515245 + 12345;
        uint32_t slot = random >> 8 & (BLOCKS_MAX - 1);
        if (held[slot] != NULL) {
            const struct gy_buffer *buffer = &held[slot]->buffer;
            assert_int_equal(buffer->data[0], slot & 255);
            assert_int_equal(buffer->data[buffer->capacity - 1], slot & 255);
            gy_buffer_drop(&held[slot]->buffer);
            held[slot] = NULL;
            continue;
        }
        uint32_t bytes = 1 + (random >> 4) % (round % 7 == 0 ? GY_FILE_BLOCK_MAX : 3000);
        held[slot] = gy_file_memory_take(&memory, bytes);
        if (held[slot] != NULL) {
            assert_int_equal(held[slot]->buffer.capacity, bytes);
            memset(held[slot]->data, (int)(slot & 255), bytes);
        }
    }
    assert_true(memory.used_bytes <= 4u << 20);
    for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
        if (held[i] != NULL) {
            gy_buffer_drop(&held[i]->buffer);
        }
    }
    assert_int_equal(memory.used_bytes, 0);
    gy_file_memory_close(&memory);
}

static void memory_of_small_blocks_serves_large_ones_again(void **state)
{
    (void)state;
    struct gy_file_memory memory;
    struct gy_file_block *held[600];
    assert_int_equal(gy_file_memory_open(&memory, 2 * GY_FILE_CHUNK_BYTES), 0);
    uint32_t count = 0;
    while ((held[count] = gy_file_memory_take(&memory, 100)) != NULL) {
        count++;
        assert_true(count < 600);
    }
    assert_int_equal(count, 2 * GY_FILE_CHUNK_BYTES / 256);
    assert_null(gy_file_memory_take(&memory, GY_FILE_BLOCK_MAX));
    for (uint32_t i = 0; i < count; i++) {
        gy_buffer_drop(&held[i]->buffer);
    }
    for (uint32_t i = 0; i < 2; i++) {
        held[i] = gy_file_memory_take(&memory, GY_FILE_BLOCK_MAX);
        assert_non_null(held[i]);
    }
    assert_int_equal(gy_file_memory_percent(&memory), 100);
    assert_null(gy_file_memory_take(&memory, 1));
    gy_buffer_drop(&held[0]->buffer);
    gy_buffer_drop(&held[1]->buffer);
    gy_file_memory_close(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_decoded_and_their_dot_segments_removed),
        cmocka_unit_test(paths_that_climb_or_cannot_be_decoded_are_bad),
        cmocka_unit_test(dot_files_and_escaped_slashes_are_hidden),
        cmocka_unit_test(a_path_longer_than_its_bound_is_told_so),
        cmocka_unit_test(an_escaped_key_reads_as_itself),
        cmocka_unit_test(types_are_told_by_the_last_ending),
        cmocka_unit_test(dates_are_read_in_all_three_forms),
        cmocka_unit_test(a_date_that_was_written_reads_the_same),
        cmocka_unit_test(tags_are_compared_weakly_or_strongly),
        cmocka_unit_test(ranges_are_read_as_rfc_9110_14_1_2_shows),
        cmocka_unit_test(ranges_that_make_no_sense_are_ignored),
        cmocka_unit_test(ranges_behind_the_end_are_unsatisfiable),
        cmocka_unit_test(codings_have_the_weights_that_they_were_given),
        cmocka_unit_test(a_listing_escapes_what_it_shows),
        cmocka_unit_test(a_query_that_says_nothing_sorts_by_name),
        cmocka_unit_test(blocks_are_disjoint_and_come_back_whatever_their_size),
        cmocka_unit_test(memory_of_small_blocks_serves_large_ones_again),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
