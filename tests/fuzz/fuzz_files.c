/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a request says to the file server, byte for byte: path, query, ranges, dates, tags, codings.
 * The first byte chooses a size; the rest is each of them in turn. Properties that hold for any
 * input are asserted. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "servers/http/compress.h"
#include "servers/http/conditional.h"
#include "servers/http/file_path.h"
#include "servers/http/listing.h"
#include "servers/http/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_segments(const struct gy_file_path *path)
{
    gy_assert(path->length < sizeof path->key && path->key[path->length] == '\0');
    gy_assert(strlen(path->key) == path->length);
    const char *segment = path->key;
    while (path->length > 0) {
        size_t length = strcspn(segment, "/");
        gy_assert(length > 0);
        bool dot = segment[0] == '.';
        gy_assert(!dot || (segment == path->key && length == 11 &&
                           memcmp(segment, ".well-known", 11) == 0));
        if (segment[length] == '\0') {
            break;
        }
        segment += length + 1;
    }
}

static void path_stays_below(struct gy_http_text text)
{
    struct gy_file_path path;
    struct gy_file_path again;
    char escaped[3 * GY_FILE_KEY_BYTES + 2];
    if (gy_file_path_read(&path, text) != GY_FILE_PATH_OK) {
        return;
    }
    check_segments(&path);
    gy_mime_of(path.key, path.length);
    gy_listing_order_of(path.query);
    uint32_t length = gy_file_path_escape(path.key, path.length, escaped, sizeof escaped);
    gy_assert(length > 0);
    struct gy_http_text target = {escaped, length};
    gy_assert(gy_file_path_read(&again, target) == GY_FILE_PATH_OK);
    gy_assert(again.length == path.length && memcmp(again.key, path.key, path.length) == 0);
}

static void ranges_lie_within(struct gy_http_text text, uint64_t size)
{
    struct gy_ranges ranges;
    uint64_t total = 0;
    if (gy_ranges_parse(text, size, &ranges) != GY_RANGE_SOME) {
        return;
    }
    gy_assert(ranges.count > 0 && ranges.count <= GY_RANGES_MAX);
    for (uint32_t i = 0; i < ranges.count; i++) {
        gy_assert(ranges.list[i].bytes > 0 && ranges.list[i].first < size);
        gy_assert(ranges.list[i].bytes <= size - ranges.list[i].first);
        total += ranges.list[i].bytes;
    }
    gy_assert(total <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint64_t sizes[] = {0, 1, 2, 10, 65536, 10000, UINT32_MAX, UINT64_MAX};
    if (bytes == 0) {
        return 0;
    }
    /* Memory of exactly this size, so that reading past it is seen. */
    size_t length = bytes - 1;
    char *copy = malloc(length > 0 ? length : 1);
    gy_assert(copy != NULL);
    memcpy(copy, data + 1, length);
    struct gy_http_text text = {copy, length};
    path_stays_below(text);
    ranges_lie_within(text, sizes[data[0] & 7]);
    int64_t seconds;
    gy_date_parse(text, &seconds);
    gy_etag_list_has(text, GY_HTTP_TEXT("\"a\""), (data[0] & 8) != 0);
    struct gy_codings codings = {.weight = {1}};
    gy_codings_parse(text, &codings);
    for (uint32_t i = 0; i < GY_CODING_COUNT; i++) {
        gy_assert(codings.weight[i] <= 1000);
    }
    struct gy_compress_options options = {
        .coding_count = 3, .codings = {GY_CODING_ZSTD, GY_CODING_BR, GY_CODING_GZIP}};
    gy_compress_options_settle(&options);
    enum gy_coding chosen = gy_compress_choose(&options, &codings);
    gy_assert(chosen == GY_CODING_IDENTITY || codings.weight[chosen] > 0);
    gy_compress_is_forbidden(text);
    free(copy);
    return 0;
}
