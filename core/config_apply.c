/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What keys mean: tables, errors, values. Reading is in config.c. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/number.h"

int gy_config_error(const struct gy_config_directive *directive, struct gy_error *error,
                    const char *format, ...)
{
    char sentence[GY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return gy_error_set(error, GY_EINVAL, "%s:%u: %.64s: %s", directive->file, directive->line,
                        directive->key, sentence);
}

/* ---- the nearest name ---- */

#define NEAREST_BYTES 32

/* How many characters have to be put in, left out, changed or swapped with their neighbour. */
static uint32_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    uint32_t rows[3][NEAREST_BYTES + 1];
    uint32_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_length; j++) {
        last[j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = (uint32_t)i;
        for (size_t j = 1; j <= b_length; j++) {
            uint32_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best) {
                best = before[j - 2] + 1;
            }
            now[j] = best;
        }
        uint32_t *row = before;
        before = last;
        last = now;
        now = row;
    }
    return last[b_length];
}

const char *gy_config_nearest(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t length = strlen(word);
    uint32_t least = UINT32_MAX;
    if (length == 0 || length > NEAREST_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t name_length = strlen(names[i]);
        if (name_length > NEAREST_BYTES) {
            continue;
        }
        uint32_t far = distance(word, length, names[i], name_length);
        size_t longer = length > name_length ? length : name_length;
        if (far < least && far <= 1 + longer / 4) {
            least = far;
            nearest = names[i];
        }
    }
    return nearest;
}

/* ---- tables ---- */

static int unknown(const struct gy_config_directive *directive, const struct gy_config_key *keys,
                   size_t key_count, struct gy_error *error)
{
    const char *names[GY_CONFIG_KEYS_MAX];
    char all[256] = "";
    size_t length = 0;
    for (size_t i = 0; i < key_count; i++) {
        names[i] = keys[i].name;
        int more =
            snprintf(all + length, sizeof all - length, "%s%s", i > 0 ? ", " : "", keys[i].name);
        length += more > 0 && length + (size_t)more < sizeof all ? (size_t)more : 0;
    }
    all[length] = '\0';
    const char *nearest = gy_config_nearest(directive->key, names, key_count);
    if (nearest != NULL) {
        return gy_config_error(directive, error, "there is no such key here; did you mean %s?",
                               nearest);
    }
    return gy_config_error(directive, error, "there is no such key here; those that are: %s", all);
}

static int check(const struct gy_config_directive *directive, const struct gy_config_key *key,
                 struct gy_error *error)
{
    if (directive->has_block && key->kind == GY_CONFIG_PLAIN) {
        return gy_config_error(directive, error, "it takes no block; write %s %s;", key->name,
                               key->values);
    }
    if (!directive->has_block && key->kind == GY_CONFIG_BLOCK) {
        return gy_config_error(directive, error, "it needs a block: %s { }", key->name);
    }
    if (directive->value_count >= key->values_min && directive->value_count <= key->values_max) {
        return 0;
    }
    if (key->values_max == 0) {
        return gy_config_error(directive, error, "it takes no value, but %s stands there",
                               directive->values[0]);
    }
    return gy_config_error(
        directive, error, "it %s; write %s %s%s",
        directive->value_count < key->values_min
            ? "needs a value"
            : "has too many values (is a ; missing?, or quotes around text with blanks?)",
        key->name, key->values, key->kind == GY_CONFIG_BLOCK ? " { }" : ";");
}

int gy_config_apply(const struct gy_config_directive *first, const struct gy_config_key *keys,
                    size_t key_count, void *context, struct gy_error *error)
{
    gy_assert(key_count <= GY_CONFIG_KEYS_MAX);
    const struct gy_config_directive *seen[GY_CONFIG_KEYS_MAX] = {NULL};
    for (const struct gy_config_directive *at = first; at != NULL; at = at->next) {
        size_t i = 0;
        while (i < key_count && strcmp(keys[i].name, at->key) != 0) {
            i++;
        }
        if (i == key_count) {
            return unknown(at, keys, key_count, error);
        }
        int code = check(at, &keys[i], error);
        if (code == 0 && keys[i].once && seen[i] != NULL) {
            code = gy_config_error(at, error, "it is there already, at %s:%u; leave one out",
                                   seen[i]->file, seen[i]->line);
        }
        if (code == 0) {
            seen[i] = at;
            code = keys[i].take(context, at, error);
        }
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* ---- values ---- */

static bool read_digits(const char *text, uint64_t *number, const char **end)
{
    char *stop = NULL;
    errno = 0;
    *number = strtoull(text, &stop, 10);
    *end = stop;
    return text[0] >= '0' && text[0] <= '9' && errno == 0;
}

int gy_config_number(const struct gy_config_directive *directive, uint32_t index, uint64_t min,
                     uint64_t max, uint64_t *number, struct gy_error *error)
{
    gy_assert(index < directive->value_count);
    if (gy_number_read(directive->values[index], min, max, number)) {
        return 0;
    }
    return gy_config_error(directive, error, "%.64s is not a number from %llu to %llu",
                           directive->values[index], (unsigned long long)min,
                           (unsigned long long)max);
}

int gy_config_switch(const struct gy_config_directive *directive, uint32_t index, bool *on,
                     struct gy_error *error)
{
    gy_assert(index < directive->value_count);
    const char *value = directive->values[index];
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
        return gy_config_error(directive, error, "%.64s is neither on nor off", value);
    }
    *on = value[1] == 'n';
    return 0;
}

bool gy_config_read_time(const char *text, uint64_t max_ms, uint64_t *ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const char *end;
    uint64_t number;
    if (!read_digits(text, &number, &end)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0 && number <= max_ms / units[i].ms) {
            *ms = number * units[i].ms;
            return true;
        }
    }
    return false;
}

int gy_config_time(const struct gy_config_directive *directive, uint32_t index, uint64_t max_ms,
                   uint64_t *ms, struct gy_error *error)
{
    gy_assert(index < directive->value_count);
    if (gy_config_read_time(directive->values[index], max_ms, ms)) {
        return 0;
    }
    return gy_config_error(
        directive, error, "%.64s is not a time of at most %llu s; write it as 500ms, 10s, 5m or 2h",
        directive->values[index], (unsigned long long)(max_ms / 1000));
}

int gy_config_bytes(const struct gy_config_directive *directive, uint32_t index, uint64_t min,
                    uint64_t max, uint64_t *bytes, struct gy_error *error)
{
    static const char units[][2] = {"", "k", "m", "g"};
    gy_assert(index < directive->value_count && min <= max);
    const char *end;
    uint64_t number;
    if (read_digits(directive->values[index], &number, &end)) {
        for (uint32_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            if (strcmp(end, units[i]) == 0 && number <= max >> 10 * i && number << 10 * i >= min) {
                *bytes = number << 10 * i;
                return 0;
            }
        }
    }
    return gy_config_error(directive, error,
                           "%.64s is not a size from %llu to %llu bytes; write it as 512, 16k, 1m "
                           "or 2g",
                           directive->values[index], (unsigned long long)min,
                           (unsigned long long)max);
}
