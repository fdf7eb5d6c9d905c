/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/redirects.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocols/http/syntax.h"
#include "servers/http/file_path.h"

/* ---- reading ---- */

static int check_from(const char *from, struct gy_error *error)
{
    size_t length = strlen(from);
    if (from[0] != '/') {
        return gy_error_set(error, GY_EINVAL,
                            "%.64s is no path; it begins with / (a whole host is redirected by "
                            "redirect / URL; in its block)",
                            from);
    }
    if (length > GY_REDIRECT_FROM_MAX) {
        return gy_error_set(error, GY_EINVAL, "the path is longer than %d bytes",
                            GY_REDIRECT_FROM_MAX);
    }
    for (size_t i = 0; i < length; i++) {
        if ((uint8_t)from[i] < 0x20 || from[i] == 0x7f) {
            return gy_error_set(error, GY_EINVAL, "there is a control character in the path");
        }
        if (from[i] == '?' || from[i] == '#') {
            return gy_error_set(error, GY_EINVAL,
                                "%.64s: only paths are compared, not what follows %c", from,
                                from[i]);
        }
        if (from[i] == '%') {
            return gy_error_set(error, GY_EINVAL,
                                "%.64s: write the path as it is decoded, without %%", from);
        }
    }
    return 0;
}

/* Characters of a URL, and whole escapes (RFC 3986 §2). */
static bool is_url(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            if (gy_http_hex((uint8_t)text[1]) == 255 || gy_http_hex((uint8_t)text[2]) == 255) {
                return false;
            }
        } else if ((uint8_t)*text <= ' ' || (uint8_t)*text >= 0x7f ||
                   strchr("\"<>\\^`{|}", *text) != NULL) {
            return false;
        }
    }
    return true;
}

static int check_to(const char *to, struct gy_error *error)
{
    if (strlen(to) > GY_REDIRECT_TO_MAX) {
        return gy_error_set(error, GY_EINVAL, "the target is longer than %d bytes",
                            GY_REDIRECT_TO_MAX);
    }
    if (!is_url(to)) {
        return gy_error_set(error, GY_EINVAL,
                            "%.64s cannot be sent as a URL; write blanks and what is not ASCII as "
                            "%%XX",
                            to);
    }
    if (to[0] == '/' && to[1] != '/') {
        return 0;
    }
    if (to[0] == '/') {
        return gy_error_set(error, GY_EINVAL, "%.64s names a host; write http:%.64s or https:%.64s",
                            to, to, to);
    }
    const char *host = strncmp(to, "https://", 8) == 0  ? to + 8
                       : strncmp(to, "http://", 7) == 0 ? to + 7
                                                        : NULL;
    if (host == NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "%.64s is neither a path, which begins with /, nor an http:// or "
                            "https:// URL",
                            to);
    }
    struct gy_http_text authority = {host, strcspn(host, "/?#")};
    if (!gy_http_authority_valid(authority, false)) {
        return gy_error_set(error, GY_EINVAL, "%.64s names no host", to);
    }
    if (host[authority.length] != '/') {
        return gy_error_set(error, GY_EINVAL, "%.64s has no path; write %.*s/%.64s", to,
                            (int)(host - to + (long)authority.length), to, host + authority.length);
    }
    return 0;
}

static int read_status(const char *text, uint16_t *status, struct gy_error *error)
{
    static const uint16_t known[] = {301, 302, 303, 307, 308};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char digits[8];
        snprintf(digits, sizeof digits, "%u", known[i]);
        if (strcmp(text, digits) == 0) {
            *status = known[i];
            return 0;
        }
    }
    return gy_error_set(error, GY_EINVAL,
                        "%.64s is no status of a redirect; write 301 or 308 (for good), 302 or 307 "
                        "(for now), or 303 (see there)",
                        text);
}

static int grow(struct gy_redirects *redirects, bool prefix, struct gy_error *error)
{
    if (redirects->count == GY_REDIRECTS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "a host has at most %d redirects", GY_REDIRECTS_MAX);
    }
    if (prefix && redirects->prefixes == GY_REDIRECT_PREFIXES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "a host has at most %d redirects that end in /",
                            GY_REDIRECT_PREFIXES_MAX);
    }
    if (redirects->count == redirects->room) {
        uint32_t room = redirects->room == 0 ? 8 : redirects->room * 2;
        struct gy_redirect *list = realloc(redirects->list, room * sizeof *list);
        if (list == NULL) {
            return gy_error_set(error, GY_ENOMEM, "out of memory");
        }
        redirects->list = list;
        redirects->room = room;
    }
    return 0;
}

int gy_redirects_add(struct gy_redirects *redirects, const char *const *values, uint32_t count,
                     const void *at, struct gy_error *error)
{
    gy_assert(count == 2 || count == 3);
    bool alone = values[0][0] == '=';
    const char *from = values[0] + alone;
    const char *to = values[1];
    uint16_t status = GY_REDIRECT_DEFAULT;
    int code = check_from(from, error);
    code = code == 0 ? check_to(to, error) : code;
    code = code == 0 && count == 3 ? read_status(values[2], &status, error) : code;
    if (code != 0) {
        return code;
    }
    size_t from_length = strlen(from), to_length = strlen(to);
    bool prefix = !alone && from[from_length - 1] == '/';
    code = grow(redirects, prefix, error);
    if (code != 0) {
        return code;
    }
    redirects->list[redirects->count++] = (struct gy_redirect){
        .from = from,
        .to = to,
        .at = at,
        .from_length = (uint32_t)from_length,
        .to_length = (uint32_t)to_length,
        .status = status,
        .prefix = prefix,
        .keeps = prefix && to[to_length - 1] == '/' && strpbrk(to, "?#") == NULL,
        .has_query = strpbrk(to, "?#") != NULL,
    };
    redirects->prefixes += prefix;
    redirects->sorted = false;
    return 0;
}

static int compare_paths(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare(const void *left, const void *right)
{
    const struct gy_redirect *a = left, *b = right;
    if (a->prefix != b->prefix) {
        return a->prefix - b->prefix;
    }
    if (a->prefix && a->from_length != b->from_length) {
        return a->from_length < b->from_length ? 1 : -1;
    }
    return compare_paths(a->from, a->from_length, b->from, b->from_length);
}

const struct gy_redirect *gy_redirects_sort(struct gy_redirects *redirects,
                                            const struct gy_redirect **other)
{
    if (redirects->count > 1) {
        qsort(redirects->list, redirects->count, sizeof *redirects->list, compare);
    }
    redirects->sorted = true;
    for (uint32_t i = 1; i < redirects->count; i++) {
        if (compare(&redirects->list[i - 1], &redirects->list[i]) == 0) {
            *other = &redirects->list[i - 1];
            return &redirects->list[i];
        }
    }
    return NULL;
}

/* ---- finding ---- */

static const struct gy_redirect *match(const struct gy_redirects *redirects, const char *path,
                                       size_t length)
{
    uint32_t low = 0, high = redirects->count - redirects->prefixes;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct gy_redirect *at = &redirects->list[middle];
        int order = compare_paths(path, length, at->from, at->from_length);
        if (order == 0) {
            return at;
        }
        low = order > 0 ? middle + 1 : low;
        high = order < 0 ? middle : high;
    }
    for (uint32_t i = redirects->count - redirects->prefixes; i < redirects->count; i++) {
        const struct gy_redirect *at = &redirects->list[i];
        if (at->from_length <= length && memcmp(path, at->from, at->from_length) == 0) {
            return at;
        }
    }
    return NULL;
}

/* The path as it was sent, decoded. */
struct sent_path {
    char text[GY_FILE_KEY_BYTES];
    uint32_t length;
    bool odd; /* it may have empty or dot segments */
};

/* False: it has a broken escape, or is longer than any that is served. */
static bool decode(struct sent_path *path, struct gy_http_text sent)
{
    uint8_t before = 0;
    path->length = 0;
    path->odd = false;
    for (size_t i = 0; i < sent.length; i++) {
        uint8_t c = (uint8_t)sent.data[i];
        if (path->length == sizeof path->text) {
            return false;
        }
        if (c == '%') {
            uint8_t high = i + 2 < sent.length ? gy_http_hex((uint8_t)sent.data[i + 1]) : 255;
            uint8_t low = i + 2 < sent.length ? gy_http_hex((uint8_t)sent.data[i + 2]) : 255;
            if (high == 255 || low == 255) {
                return false;
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        path->odd = path->odd || (before == '/' && (c == '/' || c == '.'));
        before = c;
        path->text[path->length++] = (char)c;
    }
    return true;
}

/* What was sent behind so many characters, of a path that could be decoded. */
static struct gy_http_text behind(struct gy_http_text sent, uint32_t characters)
{
    for (; characters > 0; characters--) {
        size_t bytes = sent.data[0] == '%' ? 3 : 1;
        gy_assert(bytes <= sent.length);
        sent.data += bytes;
        sent.length -= bytes;
    }
    return sent;
}

static enum gy_redirect_verdict build(const struct gy_redirect *redirect, struct gy_http_text rest,
                                      struct gy_http_text query,
                                      struct gy_redirect_location *location)
{
    if (!redirect->keeps) {
        rest.length = 0;
    }
    if (redirect->has_query) {
        query.length = 0;
    }
    while (rest.length > 0 && (rest.data[0] == '/' || rest.data[0] == '\\')) {
        rest.data++;
        rest.length--;
    }
    if (redirect->to_length + rest.length + query.length > sizeof location->text) {
        return GY_REDIRECT_LONG;
    }
    memcpy(location->text, redirect->to, redirect->to_length);
    location->length = redirect->to_length;
    if (rest.length > 0) {
        memcpy(location->text + location->length, rest.data, rest.length);
        location->length += (uint32_t)rest.length;
    }
    if (query.length > 0) {
        memcpy(location->text + location->length, query.data, query.length);
        location->length += (uint32_t)query.length;
    }
    location->status = redirect->status;
    return GY_REDIRECT_FOUND;
}

/* As the file server reads it. */
static enum gy_redirect_verdict find_plain(const struct gy_redirects *redirects,
                                           struct gy_http_text target,
                                           struct gy_redirect_location *location)
{
    struct gy_file_path path;
    char plain[GY_FILE_PATH_TEXT_BYTES], escaped[3 * GY_FILE_KEY_BYTES + 2];
    if (gy_file_path_read(&path, target) != GY_FILE_PATH_OK) {
        return GY_REDIRECT_NONE;
    }
    uint32_t length = gy_file_path_text(&path, plain);
    const struct gy_redirect *found = match(redirects, plain, length);
    if (found == NULL) {
        return GY_REDIRECT_NONE;
    }
    struct gy_http_text rest = {escaped, 0};
    if (found->prefix) {
        rest.length = gy_file_path_escape(plain + found->from_length, length - found->from_length,
                                          escaped, sizeof escaped);
    }
    return build(found, rest, path.query, location);
}

enum gy_redirect_verdict gy_redirects_find(const struct gy_redirects *redirects,
                                           struct gy_http_text target,
                                           struct gy_redirect_location *location)
{
    struct sent_path path;
    gy_assert(redirects->sorted || redirects->count == 0);
    if (redirects->count == 0 || target.length == 0 || target.data[0] != '/') {
        return GY_REDIRECT_NONE;
    }
    const char *mark = memchr(target.data, '?', target.length);
    struct gy_http_text sent = {target.data,
                                mark != NULL ? (size_t)(mark - target.data) : target.length};
    struct gy_http_text query = {target.data + sent.length, target.length - sent.length};
    if (!decode(&path, sent)) {
        return GY_REDIRECT_NONE;
    }
    const struct gy_redirect *found = match(redirects, path.text, path.length);
    if (found == NULL) {
        return path.odd ? find_plain(redirects, target, location) : GY_REDIRECT_NONE;
    }
    return build(found, behind(sent, found->from_length), query, location);
}

/* ---- circles ---- */

static void tell(char *chain, size_t bytes, const char *word)
{
    size_t length = strlen(chain);
    snprintf(chain + length, bytes - length, "%s%s", length > 0 ? " -> " : "", word);
}

/* Follows what `start` is redirected to. True when that does not end. */
static bool goes_round(const struct gy_redirects *redirects, const char *start,
                       const struct gy_redirect_map *map, char *chain, size_t chain_bytes)
{
    struct gy_redirect_location location;
    char now[GY_REDIRECT_LOCATION_BYTES];
    const struct gy_redirects *in = redirects;
    snprintf(now, sizeof now, "%s", start);
    chain[0] = '\0';
    tell(chain, chain_bytes, now);
    for (uint32_t hop = 0; hop < GY_REDIRECT_HOPS_MAX; hop++) {
        if (gy_redirects_find(in, gy_http_text_of(now), &location) != GY_REDIRECT_FOUND ||
            location.length >= sizeof location.text) {
            return false;
        }
        location.text[location.length] = '\0';
        tell(chain, chain_bytes, location.text);
        const char *path = location.text;
        if (path[0] != '/') {
            in = map->follow(map->context, location.text, &path);
            if (in == NULL) {
                return false;
            }
        }
        memmove(now, path, strlen(path) + 1);
        now[strcspn(now, "#")] = '\0';
        if (in == redirects && strcmp(now, start) == 0) {
            return true;
        }
    }
    return true;
}

const struct gy_redirect *gy_redirects_circle(const struct gy_redirects *redirects,
                                              const struct gy_redirect_map *map, char *chain,
                                              size_t chain_bytes)
{
    for (uint32_t i = 0; i < redirects->count; i++) {
        const struct gy_redirect *at = &redirects->list[i];
        char start[3 * GY_REDIRECT_FROM_MAX + 4];
        uint32_t length =
            gy_file_path_escape(at->from + 1, at->from_length - 1, start, sizeof start - 2);
        gy_assert(length > 0);
        start[length] = '\0';
        if (goes_round(redirects, start, map, chain, chain_bytes)) {
            return at;
        }
        /* What lies below a prefix may go another way than the prefix itself. */
        start[length] = 'x';
        start[length + 1] = '\0';
        if (at->prefix && goes_round(redirects, start, map, chain, chain_bytes)) {
            return at;
        }
    }
    return NULL;
}

void gy_redirects_free(struct gy_redirects *redirects)
{
    free(redirects->list);
    *redirects = (struct gy_redirects){0};
}
