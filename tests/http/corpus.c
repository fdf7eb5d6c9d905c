/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/http/corpus.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *data;
    size_t length;
    size_t room;
};

static void put(struct bytes *out, uint8_t byte)
{
    if (out->length == out->room) {
        out->room = out->room * 2 + 256;
        out->data = realloc(out->data, out->room);
        if (out->data == NULL) {
            abort();
        }
    }
    out->data[out->length++] = byte;
}

static int hex(char digit)
{
    const char *digits = "0123456789abcdef";
    const char *found = digit != 0 ? strchr(digits, digit) : NULL;
    return found == NULL ? -1 : (int)(found - digits);
}

static const char *unescape(const char *at, const char *end, struct bytes *out);

/* "N:TEXT}" behind "\{": the text N times. Behind it, or NULL. */
static const char *repeat(const char *at, const char *end, struct bytes *out)
{
    char *colon;
    unsigned long times = strtoul(at, &colon, 10);
    const char *close = memchr(at, '}', (size_t)(end - at));
    if (*colon != ':' || close == NULL || times > 2000000) {
        return NULL;
    }
    for (unsigned long i = 0; i < times; i++) {
        for (const char *text = colon + 1; text < close;) {
            text = unescape(text, close, out);
            if (text == NULL) {
                return NULL;
            }
        }
    }
    return close + 1;
}

/* One byte, or one escape. Behind it, or NULL for an escape that is none. */
static const char *unescape(const char *at, const char *end, struct bytes *out)
{
    if (*at != '\\') {
        put(out, (uint8_t)*at);
        return at + 1;
    }
    if (end - at < 2) {
        return NULL;
    }
    switch (at[1]) {
    case 'r':
        put(out, '\r');
        return at + 2;
    case 'n':
        put(out, '\n');
        return at + 2;
    case 't':
        put(out, '\t');
        return at + 2;
    case '\\':
        put(out, '\\');
        return at + 2;
    case '{':
        return repeat(at + 2, end, out);
    case 'x':
        if (end - at >= 4 && hex(at[2]) >= 0 && hex(at[3]) >= 0) {
            put(out, (uint8_t)(hex(at[2]) << 4 | hex(at[3])));
            return at + 4;
        }
        return NULL;
    default:
        return NULL;
    }
}

static int unescape_line(const char *line, struct bytes *out)
{
    const char *end = line + strlen(line);
    while (line < end) {
        line = unescape(line, end, out);
        if (line == NULL) {
            return -1;
        }
    }
    return 0;
}

static int key_line(const char *line, struct corpus_case *read)
{
    if (line[0] == '#' || sscanf(line, "expect: %63[^\n]", read->expect) == 1 ||
        sscanf(line, "refusal: %31[A-Z_]", read->refusal) == 1) {
        return 0;
    }
    if (strcmp(line, "input-ends: yes") == 0) {
        read->input_ends = true;
        return 0;
    }
    return strcmp(line, "in-body: yes") == 0 ? 0 : -1;
}

static int parse(FILE *file, struct corpus_case *read, struct bytes *out)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool in_bytes = false;
    int error = 0;
    while (error == 0 && (length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] == '\n') {
            line[length - 1] = 0;
        }
        if (in_bytes) {
            error = unescape_line(line, out);
        } else if (strcmp(line, "--") == 0) {
            in_bytes = true;
        } else {
            error = key_line(line, read);
        }
    }
    free(line);
    return error != 0 || !in_bytes || read->expect[0] == 0 ? -1 : 0;
}

int corpus_read(const char *path, struct corpus_case *read)
{
    struct bytes out = {NULL, 0, 0};
    const char *slash = strrchr(path, '/');
    *read = (struct corpus_case){0};
    snprintf(read->name, sizeof read->name, "%.*s",
             (int)strcspn(slash == NULL ? path : slash + 1, "."), slash == NULL ? path : slash + 1);
    FILE *file = fopen(path, "r");
    int error = file == NULL ? -1 : parse(file, read, &out);
    if (file != NULL) {
        fclose(file);
    }
    if (error != 0) {
        fprintf(stderr, "%s: cannot be read as a case of the corpus\n", path);
        free(out.data);
        return -1;
    }
    read->bytes = malloc(out.length + 1);
    if (read->bytes == NULL) {
        abort();
    }
    if (out.length > 0) {
        memcpy(read->bytes, out.data, out.length);
    }
    read->length = out.length;
    free(out.data);
    return 0;
}

static int is_case(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".http") == 0;
}

int corpus_read_all(const char *folder, struct corpus_case **cases)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_case, alphasort);
    if (count < 0) {
        perror(folder);
        return -1;
    }
    *cases = calloc((size_t)count + 1, sizeof **cases);
    int error = 0;
    for (int i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        error = corpus_read(path, &(*cases)[i]) != 0 ? -1 : error;
        free(entries[i]);
    }
    free(entries);
    return error != 0 ? -1 : count;
}

void corpus_free(struct corpus_case *cases, int count)
{
    for (int i = 0; i < count; i++) {
        free(cases[i].bytes);
    }
    free(cases);
}
