/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/usage.h"

#include <stdlib.h>
#include <string.h>

#include "core/config.h"

#define FLAGS_MAX  128
#define FLAG_BYTES 33 /* as long as gy_config_nearest compares, and the end */

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

const char *gy_usage_hint_in(char hint[GY_USAGE_HINT_BYTES], const char *word, const char *page)
{
    char texts[FLAGS_MAX][FLAG_BYTES];
    const char *names[FLAGS_MAX];
    char asked[FLAG_BYTES];
    size_t count = 0;
    hint[0] = '\0';
    size_t length = strcspn(word, "=");
    if (strncmp(word, "--", 2) != 0 || length >= sizeof asked) {
        return hint;
    }
    memcpy(asked, word, length);
    asked[length] = '\0';
    for (const char *at = page; count < FLAGS_MAX && (at = strstr(at, "--")) != NULL;
         at += length) {
        length = strspn(at, letters);
        if (length > 2 && length < FLAG_BYTES) {
            memcpy(texts[count], at, length);
            texts[count][length] = '\0';
            names[count] = texts[count];
            count++;
        }
    }
    const char *nearest = gy_config_nearest(asked, names, count);
    if (nearest != NULL && strcmp(nearest, asked) != 0) {
        snprintf(hint, GY_USAGE_HINT_BYTES, "; did you mean %s?", nearest);
    }
    return hint;
}

const char *gy_usage_command(char hint[GY_USAGE_HINT_BYTES], const char *word,
                             const char *const *names, size_t count)
{
    const char *nearest = gy_config_nearest(word, names, count);
    hint[0] = '\0';
    if (nearest != NULL) {
        snprintf(hint, GY_USAGE_HINT_BYTES, "; did you mean `%s`?", nearest);
    }
    return hint;
}

const char *gy_usage_hint(char hint[GY_USAGE_HINT_BYTES], const char *word, void (*help)(FILE *out))
{
    char *page = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&page, &bytes);
    hint[0] = '\0';
    if (out == NULL) {
        return hint;
    }
    help(out);
    if (fclose(out) == 0) {
        gy_usage_hint_in(hint, word, page);
    }
    free(page);
    return hint;
}
