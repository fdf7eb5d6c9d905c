/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Configuration text. Whatever it is, reading it ends in a tree within the stated bounds or in an
 * error that begins with the file's name; and a tree that was read, written out again and read
 * once more, is the same tree.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char *out;
static size_t out_bytes, out_room;

static void put(char c)
{
    if (out_bytes == out_room) {
        out_room = out_room == 0 ? 4096 : out_room * 2;
        char *larger = realloc(out, out_room);
        gy_assert(larger != NULL);
        out = larger;
    }
    out[out_bytes++] = c;
}

/* Quoted, so that any text stays what it is. */
static void put_text(const char *text)
{
    put('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            put('\\');
        }
        put(*text);
    }
    put('"');
    put(' ');
}

static uint32_t write_out(const struct gy_config_directive *at, uint32_t depth)
{
    uint32_t count = 0;
    gy_assert(depth <= GY_CONFIG_DEPTH_MAX);
    for (; at != NULL; at = at->next) {
        gy_assert(at->line > 0 && at->value_count <= GY_CONFIG_VALUES_MAX);
        put_text(at->key);
        for (uint32_t i = 0; i < at->value_count; i++) {
            put_text(at->values[i]);
        }
        count++;
        if (at->has_block) {
            put('{');
            count += write_out(at->block, depth + 1);
            put('}');
        } else {
            gy_assert(at->block == NULL);
            put(';');
        }
    }
    return count;
}

static void compare(const struct gy_config_directive *a, const struct gy_config_directive *b)
{
    for (; a != NULL && b != NULL; a = a->next, b = b->next) {
        gy_assert(strcmp(a->key, b->key) == 0 && a->value_count == b->value_count);
        gy_assert(a->has_block == b->has_block);
        for (uint32_t i = 0; i < a->value_count; i++) {
            gy_assert(strcmp(a->values[i], b->values[i]) == 0);
        }
        compare(a->block, b->block);
    }
    gy_assert(a == NULL && b == NULL);
}

static int take(void *context, const struct gy_config_directive *directive, struct gy_error *error)
{
    uint64_t number;
    bool on;
    (void)context;
    switch (directive->key[0]) {
    case 'n':
        return gy_config_number(directive, 0, 1, 1000, &number, error);
    case 's':
        return gy_config_switch(directive, 0, &on, error);
    case 't':
        return gy_config_time(directive, 0, 86400000, &number, error);
    default:
        return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct gy_config_key keys[] = {
        {"number", 1, 1, GY_CONFIG_PLAIN, true, take, "N"},
        {"switch", 1, 1, GY_CONFIG_PLAIN, true, take, "on"},
        {"time", 1, 2, GY_CONFIG_PLAIN, false, take, "10s"},
        {"http", 0, 1, GY_CONFIG_BLOCK, false, take, "[NAME]"},
    };
    struct gy_config *config = NULL, *again = NULL;
    struct gy_error error = {0};
    /* A copy of exactly its size: reading past it is seen. */
    char *text = malloc(bytes + (bytes == 0));
    gy_assert(text != NULL);
    if (bytes > 0) {
        memcpy(text, data, bytes);
    }
    int code = gy_config_parse(&config, "fuzz", text, bytes, &error);
    free(text);
    if (code != 0) {
        gy_assert(config == NULL && strncmp(error.message, "fuzz:", 5) == 0);
        return 0;
    }
    gy_config_apply(gy_config_first(config), keys, sizeof keys / sizeof keys[0], NULL, &error);
    gy_assert(error.code == 0 || strncmp(error.message, "fuzz:", 5) == 0);
    out_bytes = 0;
    uint32_t count = write_out(gy_config_first(config), 0);
    gy_assert(count <= GY_CONFIG_DIRECTIVES_MAX);
    if (out_bytes > 0) {
        gy_assert(gy_config_parse(&again, "fuzz", out, out_bytes, &error) == 0);
        compare(gy_config_first(config), gy_config_first(again));
        gy_config_free(again);
    }
    gy_config_free(config);
    return 0;
}
