/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/file_path.h"

static int hex(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The next character of the path, decoded. 1, or -1 for what cannot be decoded. `escaped`: it was
 * written as %XX. */
static int next_character(struct gy_http_text *rest, char *character, bool *escaped)
{
    gy_assert(rest->length > 0);
    *escaped = rest->data[0] == '%';
    *character = rest->data[0];
    if (*escaped) {
        int high = rest->length >= 3 ? hex(rest->data[1]) : -1;
        int low = rest->length >= 3 ? hex(rest->data[2]) : -1;
        if (high < 0 || low < 0) {
            return -1;
        }
        *character = (char)(high << 4 | low);
        rest->data += 2;
        rest->length -= 2;
    }
    rest->data++;
    rest->length--;
    return *character == '\0' ? -1 : 1;
}

/* The segment from `start` to the end of the key is complete. */
static enum gy_file_path_verdict end_segment(struct gy_file_path *path, uint32_t start)
{
    const char *segment = path->key + start;
    uint32_t length = path->length - start;
    if (length == 0) {
        return GY_FILE_PATH_OK;
    }
    if (length == 1 && segment[0] == '.') {
        path->length = start;
        return GY_FILE_PATH_OK;
    }
    if (length == 2 && segment[0] == '.' && segment[1] == '.') {
        if (start == 0) {
            return GY_FILE_PATH_BAD;
        }
        start--; /* the slash before ".." */
        while (start > 0 && path->key[start - 1] != '/') {
            start--;
        }
        path->length = start;
        return GY_FILE_PATH_OK;
    }
    bool known = start == 0 && length == 11 && memcmp(segment, ".well-known", 11) == 0;
    if (segment[0] == '.' && !known) {
        return GY_FILE_PATH_HIDDEN;
    }
    path->key[path->length++] = '/';
    return GY_FILE_PATH_OK;
}

static struct gy_http_text split_query(struct gy_file_path *path, struct gy_http_text target)
{
    const char *mark = memchr(target.data, '?', target.length);
    path->query = (struct gy_http_text){"", 0};
    if (mark != NULL) {
        size_t length = (size_t)(mark - target.data);
        path->query = (struct gy_http_text){mark, target.length - length};
        target.length = length;
    }
    return target;
}

enum gy_file_path_verdict gy_file_path_read(struct gy_file_path *path, struct gy_http_text target)
{
    path->length = 0;
    path->slash = false;
    if (target.length == 0 || target.data[0] != '/') {
        return GY_FILE_PATH_BAD;
    }
    struct gy_http_text rest = split_query(path, target);
    bool foreign_slash = false;
    bool hidden = false;
    uint32_t start = 0;
    bool last_empty = true; /* the last segment was "", "." or ".." */
    while (rest.length > 0) {
        char character;
        bool escaped;
        if (next_character(&rest, &character, &escaped) < 0) {
            return GY_FILE_PATH_BAD;
        }
        if (character == '/' && !escaped) {
            uint32_t before = path->length;
            enum gy_file_path_verdict verdict = end_segment(path, start);
            if (verdict == GY_FILE_PATH_BAD) {
                return verdict;
            }
            if (verdict == GY_FILE_PATH_HIDDEN) {
                /* A later ".." may take it back, or climb out. */
                hidden = true;
                path->length = before;
                path->key[path->length++] = '/';
            }
            start = path->length;
            continue;
        }
        foreign_slash = foreign_slash || character == '/';
        if (path->length + 2 >= sizeof path->key) {
            return GY_FILE_PATH_LONG;
        }
        path->key[path->length++] = character;
    }
    uint32_t unended = path->length - start;
    enum gy_file_path_verdict verdict = end_segment(path, start);
    if (verdict == GY_FILE_PATH_BAD) {
        return verdict;
    }
    if (verdict == GY_FILE_PATH_HIDDEN || hidden || foreign_slash) {
        return GY_FILE_PATH_HIDDEN;
    }
    last_empty = unended == 0 || path->length != start + unended + 1;
    path->slash = last_empty;
    if (path->length > 0) {
        path->length--;
        gy_assert(path->key[path->length] == '/');
    }
    path->key[path->length] = '\0';
    return GY_FILE_PATH_OK;
}

uint32_t gy_file_path_text(const struct gy_file_path *path, char to[GY_FILE_PATH_TEXT_BYTES])
{
    uint32_t length = path->length;
    gy_assert(length < GY_FILE_KEY_BYTES);
    to[0] = '/';
    memcpy(to + 1, path->key, length);
    if (length > 0 && path->slash) {
        to[++length] = '/';
    }
    return length + 1;
}

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == '/';
}

uint32_t gy_file_path_escape(const char *key, uint32_t length, char *to, uint32_t bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    uint32_t at = 0;
    if (bytes == 0) {
        return 0;
    }
    to[at++] = '/';
    for (uint32_t i = 0; i < length; i++) {
        if (bytes - at < 3) {
            return 0;
        }
        if (plain(key[i])) {
            to[at++] = key[i];
        } else {
            to[at++] = '%';
            to[at++] = digits[(uint8_t)key[i] >> 4];
            to[at++] = digits[(uint8_t)key[i] & 15];
        }
    }
    return at;
}
