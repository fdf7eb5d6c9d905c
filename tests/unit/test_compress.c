/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Which coding a client gets, the tags of codings, and the encoders: what they write is decoded,
 * and their memory has a bound. */

#include "tests/unit/unit.h"

#if GY_HAVE_ZLIB
#include <zlib.h>
#endif
#if GY_HAVE_BROTLI
#include <brotli/decode.h>
#endif
#if GY_HAVE_ZSTD
#include <zstd.h>
#endif

#include "servers/http/compress.h"
#include "servers/http/encoder.h"

#define TEXT_BYTES 300000

static struct gy_compress_options defaults(void)
{
    struct gy_compress_options options = {0};
    gy_compress_options_settle(&options);
    return options;
}

/* ---- the choice ---- */

static enum gy_coding chosen(const struct gy_compress_options *options, const char *accept)
{
    struct gy_codings codings = {.weight[GY_CODING_IDENTITY] = 1};
    gy_codings_parse(gy_http_text_of(accept), &codings);
    return gy_compress_choose(options, &codings);
}

static void the_first_of_those_liked_alike_is_chosen(void **state)
{
    (void)state;
    struct gy_compress_options options = {.coding_count = 2,
                                          .codings = {GY_CODING_GZIP, GY_CODING_ZSTD}};
    gy_compress_options_settle(&options);
    assert_int_equal(chosen(&options, "br, zstd, gzip"), GY_CODING_GZIP);
    assert_int_equal(chosen(&options, "zstd;q=0.9, gzip;q=0.8"), GY_CODING_ZSTD);
    assert_int_equal(chosen(&options, "br"), GY_CODING_IDENTITY);
    assert_int_equal(chosen(&options, "*"), GY_CODING_GZIP);
    assert_int_equal(chosen(&options, "*, gzip;q=0"), GY_CODING_ZSTD);
}

static void identity_is_chosen_only_where_it_is_liked_better(void **state)
{
    (void)state;
    struct gy_compress_options options = {.coding_count = 1, .codings = {GY_CODING_GZIP}};
    gy_compress_options_settle(&options);
    assert_int_equal(chosen(&options, ""), GY_CODING_IDENTITY);
    assert_int_equal(chosen(&options, "identity, gzip;q=0.9"), GY_CODING_IDENTITY);
    assert_int_equal(chosen(&options, "identity, gzip"), GY_CODING_GZIP);
    assert_int_equal(chosen(&options, "gzip;q=0.001"), GY_CODING_GZIP);
    assert_int_equal(chosen(&options, "identity;q=0"), GY_CODING_IDENTITY);
}

static void types_are_those_of_the_list_or_the_usual_ones(void **state)
{
    (void)state;
    struct gy_compress_options options = defaults();
    assert_true(gy_compress_takes_type(&options, GY_HTTP_TEXT("x/y"), true));
    assert_false(gy_compress_takes_type(&options, GY_HTTP_TEXT("text/html"), false));
    options.types[options.type_count++] = "text/*";
    options.types[options.type_count++] = "Image/PNG";
    assert_true(gy_compress_takes_type(&options, GY_HTTP_TEXT("text/html; charset=utf-8"), false));
    assert_true(gy_compress_takes_type(&options, GY_HTTP_TEXT("image/png"), false));
    assert_false(gy_compress_takes_type(&options, GY_HTTP_TEXT("image/pngx"), true));
    assert_false(gy_compress_takes_type(&options, GY_HTTP_TEXT("image"), true));
    assert_false(gy_compress_takes_type(&options, GY_HTTP_TEXT(""), true));
    options.types[options.type_count++] = "*";
    assert_true(gy_compress_takes_type(&options, GY_HTTP_TEXT("a/b"), false));
}

static void no_transform_is_found_among_directives(void **state)
{
    (void)state;
    assert_true(gy_compress_is_forbidden(GY_HTTP_TEXT("no-transform")));
    assert_true(gy_compress_is_forbidden(GY_HTTP_TEXT("public, max-age=3, No-Transform")));
    assert_false(gy_compress_is_forbidden(GY_HTTP_TEXT("no-transformers, no-cache")));
    assert_false(gy_compress_is_forbidden(GY_HTTP_TEXT("")));
}

static void spared_paths_are_those_below_or_the_very_one(void **state)
{
    (void)state;
    struct gy_compress_options options = {.spared_count = 2, .spared = {"/a/", "/b.html"}};
    assert_true(gy_compress_spares(&options, "a/x.css", 7));
    assert_true(gy_compress_spares(&options, "b.html", 6));
    assert_false(gy_compress_spares(&options, "a", 1));
    assert_false(gy_compress_spares(&options, "ab/x", 4));
    assert_false(gy_compress_spares(&options, "b.html2", 7));
    assert_false(gy_compress_spares(&options, "", 0));
    options.spared[0] = "/";
    assert_true(gy_compress_spares(&options, "x", 1));
}

static void what_was_not_said_is_inherited(void **state)
{
    (void)state;
    struct gy_compress_options from = {.off = true,
                                       .levels = {[GY_CODING_GZIP] = 9, [GY_CODING_BR] = 1},
                                       .min_bytes = 7,
                                       .type_count = 1,
                                       .types = {"*"}};
    struct gy_compress_options options = {.levels = {[GY_CODING_GZIP] = 1}, .cache_bytes = 5};
    gy_compress_options_inherit(&options, &from);
    assert_true(options.off);
    assert_int_equal(options.levels[GY_CODING_GZIP], 1);
    assert_int_equal(options.levels[GY_CODING_BR], 1);
    assert_int_equal(options.min_bytes, 7);
    assert_int_equal(options.cache_bytes, 5);
    assert_string_equal(options.types[0], "*");
    struct gy_compress_options on = {.given = true};
    gy_compress_options_inherit(&on, &from);
    assert_false(on.off);
}

static void tags_tell_codings_and_levels_apart(void **state)
{
    (void)state;
    static const struct {
        enum gy_coding coding;
        uint8_t level;
        const char *tag;
    } cases[] = {
        {GY_CODING_BR, 5, "\"1a-2-3-b5\""},
        {GY_CODING_GZIP, 6, "\"1a-2-3-g6\""},
        {GY_CODING_ZSTD, 12, "\"1a-2-3-z12\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char tag[8 + GY_COMPRESS_ETAG_EXTRA + 1] = "\"1a-2-3\"";
        uint8_t length = gy_compress_etag(tag, 8, cases[i].coding, cases[i].level);
        assert_int_equal(length, strlen(cases[i].tag));
        assert_memory_equal(tag, cases[i].tag, length);
    }
}

/* ---- encoders ---- */

/* A text of words, so that codings find something; the same every time. */
static uint8_t *make_text(size_t bytes)
{
    uint8_t *text = malloc(bytes);
    assert_non_null(text);
    uint32_t random = 12345;
    for (size_t i = 0; i < bytes; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = (uint8_t)(random >> 24 < 50 ? ' ' : 'a' + (random >> 28) % 7);
    }
    return text;
}

static void decode(enum gy_coding coding, const uint8_t *data, size_t bytes, uint8_t *to,
                   size_t to_bytes)
{
    size_t length = to_bytes;
    (void)data;
    (void)bytes;
    (void)to;
    switch (coding) {
#if GY_HAVE_ZLIB
    case GY_CODING_GZIP: {
        z_stream stream = {.next_in = (Bytef *)(uintptr_t)data,
                           .avail_in = (uInt)bytes,
                           .next_out = to,
                           .avail_out = (uInt)to_bytes};
        assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
        assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
        assert_int_equal(stream.avail_in, 0);
        length = stream.total_out;
        inflateEnd(&stream);
        break;
    }
#endif
#if GY_HAVE_BROTLI
    case GY_CODING_BR:
        assert_int_equal(BrotliDecoderDecompress(bytes, data, &length, to),
                         BROTLI_DECODER_RESULT_SUCCESS);
        break;
#endif
#if GY_HAVE_ZSTD
    case GY_CODING_ZSTD:
        assert_int_equal(ZSTD_getFrameContentSize(data, bytes), to_bytes);
        length = ZSTD_decompress(to, to_bytes, data, bytes);
        break;
#endif
    default:
        fail();
    }
    assert_int_equal(length, to_bytes);
}

/* Encodes with pieces of these sizes; the length of what came out. */
static size_t encode(enum gy_coding coding, int level, const uint8_t *text, size_t bytes, size_t in,
                     size_t out, uint8_t *to)
{
    struct gy_encoder *encoder = NULL;
    size_t taken = 0;
    size_t length = 0;
    int code = gy_encoder_open(&encoder, coding, level, bytes, GY_ENCODER_BYTES_MAX);
    assert_int_equal(code, 0);
    while (code == 0) {
        size_t piece = bytes - taken < in ? bytes - taken : in;
        struct gy_encoder_input input = {text + taken, piece};
        struct gy_encoder_output output = {to + length, out};
        code = gy_encoder_run(encoder, &input, &output, taken + piece == bytes);
        taken += piece - input.bytes;
        length += out - output.bytes;
        assert_true(length <= bytes + 1000);
    }
    assert_int_equal(code, 1);
    assert_int_equal(taken, bytes);
    assert_true(gy_encoder_peak_bytes(encoder) > 0);
    gy_encoder_close(encoder);
    return length;
}

static void what_is_encoded_in_any_pieces_is_decoded_the_same(void **state)
{
    (void)state;
    static const size_t pieces[][2] = {{65536, 65536}, {1, 65536}, {1000, 7}, {300, 300}};
    static const size_t sizes[] = {1, 600, 70000};
    uint8_t *text = make_text(TEXT_BYTES);
    uint8_t *coded = malloc(TEXT_BYTES + 66000);
    uint8_t *back = malloc(TEXT_BYTES);
    assert_true(coded != NULL && back != NULL);
    for (uint32_t coding = 1; coding < GY_CODING_COUNT; coding++) {
        for (size_t i = 0; gy_encoder_has((enum gy_coding)coding) && i < 12; i++) {
            size_t bytes = sizes[i / 4];
            size_t length = encode((enum gy_coding)coding, 0, text, bytes, pieces[i % 4][0],
                                   pieces[i % 4][1], coded);
            decode((enum gy_coding)coding, coded, length, back, bytes);
            assert_memory_equal(back, text, bytes);
        }
    }
    free(text);
    free(coded);
    free(back);
}

static void every_level_has_memory_enough_and_makes_text_smaller(void **state)
{
    (void)state;
    uint8_t *text = make_text(TEXT_BYTES);
    uint8_t *coded = malloc(TEXT_BYTES + 66000);
    uint8_t *back = malloc(TEXT_BYTES);
    assert_true(coded != NULL && back != NULL);
    for (uint32_t coding = 1; coding < GY_CODING_COUNT; coding++) {
        int last = gy_encoder_level_max((enum gy_coding)coding);
        for (int level = 1; gy_encoder_has((enum gy_coding)coding) && level <= last; level++) {
            size_t length =
                encode((enum gy_coding)coding, level, text, TEXT_BYTES, 65536, 65536, coded);
            assert_true(length < TEXT_BYTES * 6 / 10);
            decode((enum gy_coding)coding, coded, length, back, TEXT_BYTES);
            assert_memory_equal(back, text, TEXT_BYTES);
        }
    }
    free(text);
    free(coded);
    free(back);
}

/* Whatever the bound is: in time of opening, of the first bytes, of the last. */
static void an_encoder_without_memory_says_so_and_leaves_none_behind(void **state)
{
    (void)state;
    uint8_t *text = make_text(TEXT_BYTES);
    uint8_t *coded = malloc(TEXT_BYTES + 66000);
    assert_non_null(coded);
    for (uint32_t coding = 1; coding < GY_CODING_COUNT; coding++) {
        uint32_t refused = 0;
        for (size_t memory = 0; gy_encoder_has((enum gy_coding)coding) && memory < 12u << 20;
             memory = memory * 5 / 4 + 1000) {
            struct gy_encoder *encoder = NULL;
            struct gy_encoder_input input = {text, TEXT_BYTES};
            struct gy_encoder_output output = {coded, TEXT_BYTES + 66000};
            int code = gy_encoder_open(&encoder, (enum gy_coding)coding, 0, TEXT_BYTES, memory);
            while (code == 0) {
                code = gy_encoder_run(encoder, &input, &output, true);
            }
            assert_true(code == 1 || code == GY_ENOMEM);
            refused += code == GY_ENOMEM;
            if (encoder != NULL) {
                assert_true(gy_encoder_peak_bytes(encoder) <= memory);
                if (code < 0) { /* and goes on to say so */
                    assert_true(gy_encoder_run(encoder, &input, &output, true) < 0);
                }
            }
            gy_encoder_close(encoder);
        }
        assert_true(!gy_encoder_has((enum gy_coding)coding) || refused > 5);
    }
    free(text);
    free(coded);
}

static void what_is_not_built_in_is_not_there(void **state)
{
    (void)state;
    char names[128];
    gy_encoder_names(names, sizeof names);
    assert_int_equal(strstr(names, "zlib") != NULL, gy_encoder_has(GY_CODING_GZIP));
    assert_int_equal(strstr(names, "brotli") != NULL, gy_encoder_has(GY_CODING_BR));
    assert_int_equal(strstr(names, "zstd") != NULL, gy_encoder_has(GY_CODING_ZSTD));
    assert_false(gy_encoder_has(GY_CODING_IDENTITY));
    struct gy_compress_options options = defaults();
    assert_int_equal(options.off, strcmp(names, "none") == 0);
    for (uint32_t coding = 1; coding < GY_CODING_COUNT; coding++) {
        struct gy_encoder *encoder = NULL;
        if (!gy_encoder_has((enum gy_coding)coding)) {
            assert_int_equal(gy_encoder_open(&encoder, (enum gy_coding)coding, 0, 1, 1000),
                             GY_ENOTSUP);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_those_liked_alike_is_chosen),
        cmocka_unit_test(identity_is_chosen_only_where_it_is_liked_better),
        cmocka_unit_test(types_are_those_of_the_list_or_the_usual_ones),
        cmocka_unit_test(no_transform_is_found_among_directives),
        cmocka_unit_test(spared_paths_are_those_below_or_the_very_one),
        cmocka_unit_test(what_was_not_said_is_inherited),
        cmocka_unit_test(tags_tell_codings_and_levels_apart),
        cmocka_unit_test(what_is_encoded_in_any_pieces_is_decoded_the_same),
        cmocka_unit_test(every_level_has_memory_enough_and_makes_text_smaller),
        cmocka_unit_test(an_encoder_without_memory_says_so_and_leaves_none_behind),
        cmocka_unit_test(what_is_not_built_in_is_not_there),
    };
    return cmocka_run_group_tests_name("compress", tests, NULL, NULL);
}
