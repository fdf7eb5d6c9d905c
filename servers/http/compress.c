/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/compress.h"

#include <string.h>

#include "core/config.h"
#include "servers/http/encoder.h"

#define CACHE_MIB_MAX (1u << 20)

/* ---- options ---- */

void gy_compress_options_settle(struct gy_compress_options *options)
{
    static const enum gy_coding liked[] = {GY_CODING_BR, GY_CODING_ZSTD, GY_CODING_GZIP};
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t *level = &options->levels[liked[i]];
        *level = *level != 0 ? *level : (uint8_t)gy_encoder_level_default(liked[i]);
    }
    if (options->coding_count == 0) {
        for (uint32_t i = 0; i < 3; i++) {
            if (gy_encoder_has(liked[i])) {
                options->codings[options->coding_count++] = (uint8_t)liked[i];
            }
        }
    }
    options->off = options->off || options->coding_count == 0;
    if (options->min_bytes == 0) {
        options->min_bytes = GY_COMPRESS_MIN_DEFAULT;
    }
    if (options->cache_bytes == 0) {
        options->cache_bytes = GY_COMPRESS_CACHE_DEFAULT;
    }
}

void gy_compress_options_inherit(struct gy_compress_options *options,
                                 const struct gy_compress_options *from)
{
    if (!options->given) {
        options->off = options->off || from->off;
        options->coding_count = from->coding_count;
        memcpy(options->codings, from->codings, sizeof options->codings);
    }
    for (uint32_t i = 0; i < GY_CODING_COUNT; i++) {
        options->levels[i] = options->levels[i] != 0 ? options->levels[i] : from->levels[i];
    }
    options->min_bytes = options->min_bytes != 0 ? options->min_bytes : from->min_bytes;
    options->cache_bytes = options->cache_bytes != 0 ? options->cache_bytes : from->cache_bytes;
    if (options->type_count == 0) {
        options->type_count = from->type_count;
        memcpy(options->types, from->types, sizeof options->types);
    }
}

/* ---- the choice ---- */

bool gy_compress_spares(const struct gy_compress_options *options, const char *path,
                        uint32_t length)
{
    for (uint32_t i = 0; i < options->spared_count; i++) {
        const char *spared = options->spared[i] + 1;
        size_t bytes = strlen(spared);
        bool fits = bytes == 0 || spared[bytes - 1] == '/' ? bytes <= length : bytes == length;
        if (fits && memcmp(path, spared, bytes) == 0) {
            return true;
        }
    }
    return false;
}

bool gy_compress_takes_type(const struct gy_compress_options *options, struct gy_http_text type,
                            bool usual)
{
    if (options->type_count == 0) {
        return usual;
    }
    const char *mark = memchr(type.data, ';', type.length);
    type.length = mark != NULL ? (size_t)(mark - type.data) : type.length;
    for (uint32_t i = 0; i < options->type_count; i++) {
        struct gy_http_text wanted = gy_http_text_of(options->types[i]);
        struct gy_http_text begin = type;
        if (wanted.data[wanted.length - 1] == '*') {
            wanted.length--;
            begin.length = type.length < wanted.length ? type.length : wanted.length;
        }
        if (gy_http_text_equal_nocase(begin, wanted)) {
            return true;
        }
    }
    return false;
}

enum gy_coding gy_compress_choose(const struct gy_compress_options *options,
                                  const struct gy_codings *codings)
{
    enum gy_coding best = GY_CODING_IDENTITY;
    uint32_t weight = 0;
    for (uint32_t i = 0; i < options->coding_count; i++) {
        enum gy_coding coding = (enum gy_coding)options->codings[i];
        if (codings->weight[coding] > weight) {
            best = coding;
            weight = codings->weight[coding];
        }
    }
    return weight >= codings->weight[GY_CODING_IDENTITY] ? best : GY_CODING_IDENTITY;
}

bool gy_compress_is_forbidden(struct gy_http_text cache_control)
{
    return gy_http_list_has(cache_control, "no-transform");
}

uint8_t gy_compress_etag(char *etag, uint8_t length, enum gy_coding coding, uint8_t level)
{
    static const char letters[GY_CODING_COUNT] = {'i', 'b', 'z', 'g'};
    gy_assert(length >= 2 && etag[length - 1] == '"' && level < 100);
    char *at = etag + length - 1;
    *at++ = '-';
    *at++ = letters[coding];
    if (level >= 10) {
        *at++ = (char)('0' + level / 10);
    }
    *at++ = (char)('0' + level % 10);
    *at++ = '"';
    return (uint8_t)(at - etag);
}

/* ---- keys ---- */

/* GY_CODING_IDENTITY when it is none. */
static enum gy_coding coding_named(const char *name)
{
    static const char names[GY_CODING_COUNT][5] = {
        [GY_CODING_BR] = "br", [GY_CODING_ZSTD] = "zstd", [GY_CODING_GZIP] = "gzip"};
    for (uint32_t i = 1; i < GY_CODING_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum gy_coding)i;
        }
    }
    return GY_CODING_IDENTITY;
}

static int take_coding(const struct gy_config_directive *directive, uint32_t index,
                       enum gy_coding *coding, struct gy_error *error)
{
    *coding = coding_named(directive->values[index]);
    if (*coding == GY_CODING_IDENTITY) {
        return gy_config_error(directive, error, "%.64s is no coding; there are br, zstd and gzip",
                               directive->values[index]);
    }
    return 0;
}

static int take_codings(struct gy_compress_options *options,
                        const struct gy_config_directive *directive, struct gy_error *error)
{
    const char *first = directive->values[0];
    options->given = true;
    options->coding_count = 0;
    options->off = false;
    if (directive->value_count == 1 && (strcmp(first, "on") == 0 || strcmp(first, "off") == 0)) {
        options->off = first[1] == 'f';
        return 0;
    }
    for (uint32_t i = 0; i < directive->value_count; i++) {
        enum gy_coding coding;
        int code = take_coding(directive, i, &coding, error);
        if (code != 0) {
            return code;
        }
        if (!gy_encoder_has(coding)) {
            return gy_config_error(directive, error,
                                   "%s is not built in; `gyre --version` says what is",
                                   directive->values[i]);
        }
        if (memchr(options->codings, (int)coding, options->coding_count) != NULL) {
            return gy_config_error(directive, error, "%s is there twice", directive->values[i]);
        }
        options->codings[options->coding_count++] = (uint8_t)coding;
    }
    return 0;
}

static int take_level(struct gy_compress_options *options,
                      const struct gy_config_directive *directive, struct gy_error *error)
{
    enum gy_coding coding;
    uint64_t level;
    int code = take_coding(directive, 0, &coding, error);
    if (code == 0) {
        code = gy_config_number(directive, 1, 1, (uint64_t)gy_encoder_level_max(coding), &level,
                                error);
    }
    if (code == 0) {
        options->levels[coding] = (uint8_t)level;
    }
    return code;
}

static int take_types(struct gy_compress_options *options,
                      const struct gy_config_directive *directive, struct gy_error *error)
{
    for (uint32_t i = 0; i < directive->value_count; i++) {
        const char *type = directive->values[i];
        const char *slash = strchr(type, '/');
        const char *star = strchr(type, '*');
        bool any = strcmp(type, "*") == 0;
        bool range = star != NULL && slash != NULL && star == slash + 1 && star[1] == '\0';
        bool plain = star == NULL && slash != NULL && slash[1] != '\0';
        if (!any && (slash == type || (!range && !plain) || strchr(type, ';') != NULL)) {
            return gy_config_error(directive, error,
                                   "%.64s is no media type; write text/css, text/* or *", type);
        }
        options->types[i] = type;
    }
    options->type_count = directive->value_count;
    return 0;
}

int gy_compress_take(struct gy_compress_options *options,
                     const struct gy_config_directive *directive, struct gy_error *error)
{
    uint64_t number;
    int code;
    if (strcmp(directive->key, "compress") == 0) {
        return take_codings(options, directive, error);
    }
    if (strcmp(directive->key, "compress-level") == 0) {
        return take_level(options, directive, error);
    }
    if (strcmp(directive->key, "compress-types") == 0) {
        return take_types(options, directive, error);
    }
    if (strcmp(directive->key, "compress-min") == 0) {
        code = gy_config_number(directive, 0, 1, UINT32_MAX, &number, error);
        options->min_bytes = code == 0 ? (uint32_t)number : 0;
        return code;
    }
    gy_assert(strcmp(directive->key, "compress-cache") == 0);
    code = gy_config_number(directive, 0, 1, CACHE_MIB_MAX, &number, error);
    options->cache_bytes = code == 0 ? number << 20 : 0;
    return code;
}
