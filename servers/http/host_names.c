/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/host_names.h"

#include <stdlib.h>

#define BUCKETS (2 * GY_HOST_NAMES_MAX)

/* FNV-1a, from the last character to the first, so that every domain above a name is hashed on the
 * way. Who may add names is the administrator, so it needs no key. */
#define HASH_START 2166136261u

static uint32_t hashed(uint32_t hash, char c)
{
    return (hash ^ (uint8_t)c) * 16777619u;
}

static char lowered(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ---- what can be a name ---- */

static bool of_a_label(char c)
{
    c = lowered(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int wrong(struct gy_error *error, const char *name, const char *why)
{
    return gy_error_set(error, GY_EINVAL, "%.64s is no name of a host: %s", name, why);
}

/* [::1]: characters of an address in brackets. */
static int check_literal(const char *name, struct gy_error *error)
{
    size_t length = strlen(name);
    size_t inside = strspn(name + 1, "0123456789abcdefABCDEF:.");
    if (inside < 2 || inside + 2 != length || name[length - 1] != ']') {
        return wrong(error, name, "write [2001:db8::1], without a port");
    }
    return 0;
}

int gy_host_name_check(const char *name, struct gy_error *error)
{
    const char *text = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
    size_t length = strlen(text);
    if (strlen(name) >= GY_HOST_NAME_BYTES) {
        return wrong(error, name, "it is longer than 253 characters");
    }
    if (text == name && name[0] == '[') {
        return check_literal(name, error);
    }
    if (length > 1 && text[length - 1] == '.') {
        length--;
    }
    if (strchr(name, '/') != NULL) {
        return wrong(error, name, "leave http:// and the path away");
    }
    size_t label = 0;
    for (size_t i = 0; i < length; i++) {
        if ((uint8_t)text[i] >= 0x80) {
            return wrong(error, name, "write its ASCII form, which begins with xn--");
        }
        if (text[i] == ':') {
            return wrong(error, name, "hosts are told apart by name alone; leave the port away");
        }
        if (text[i] == '*') {
            return wrong(error, name,
                         "* stands only for what is before the first dot: *.example.org");
        }
        label = text[i] == '.' ? 0 : label + 1;
        if (label > 63 || (text[i] != '.' && !of_a_label(text[i])) ||
            (text[i] == '.' && (i == 0 || text[i - 1] == '.'))) {
            return wrong(error, name,
                         "it is made of letters, digits, - and _, at most 63 between dots");
        }
    }
    return label > 0 ? 0 : wrong(error, name, "it is empty, or ends with two dots");
}

/* ---- the table ---- */

static const struct gy_host_name *look_up(const struct gy_host_names *names, uint32_t hash,
                                          const char *text, size_t length, bool pattern)
{
    const struct gy_host_name *name = names->buckets[hash & (names->bucket_count - 1)];
    for (; name != NULL; name = name->next) {
        if (name->hash == hash && name->length == length && name->pattern == pattern &&
            memcmp(name->text, text, length) == 0) {
            return name;
        }
    }
    return NULL;
}

int gy_host_names_add(struct gy_host_names *names, const char *name, uint32_t host, uint32_t *other)
{
    bool pattern = strncmp(name, "*.", 2) == 0;
    struct gy_http_text bare = gy_host_name_of(gy_http_text_of(pattern ? name + 2 : name));
    gy_assert(bare.length > 0 && bare.length < GY_HOST_NAME_BYTES && host != GY_HOST_NONE);
    if (names->buckets == NULL) {
        names->buckets = calloc(BUCKETS, sizeof(struct gy_host_name *));
        names->bucket_count = BUCKETS;
        if (names->buckets == NULL) {
            return GY_ENOMEM;
        }
    }
    if (names->count == GY_HOST_NAMES_MAX) {
        return GY_ELIMIT;
    }
    struct gy_host_name *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return GY_ENOMEM;
    }
    made->hash = HASH_START;
    for (size_t i = bare.length; i-- > 0;) {
        made->text[i] = lowered(bare.data[i]);
        made->hash = hashed(made->hash, made->text[i]);
    }
    made->length = (uint8_t)bare.length;
    made->host = host;
    made->pattern = pattern;
    const struct gy_host_name *there =
        look_up(names, made->hash, made->text, made->length, pattern);
    if (there != NULL) {
        *other = there->host;
        free(made);
        return GY_ESTATE;
    }
    struct gy_host_name **bucket = &names->buckets[made->hash & (names->bucket_count - 1)];
    made->next = *bucket;
    *bucket = made;
    names->count++;
    names->patterns += pattern;
    return 0;
}

struct gy_http_text gy_host_name_of(struct gy_http_text authority)
{
    if (authority.length > 0 && authority.data[0] == '[') {
        const char *end = memchr(authority.data, ']', authority.length);
        authority.length = end != NULL ? (size_t)(end - authority.data) + 1 : authority.length;
        return authority;
    }
    const char *colon = memchr(authority.data, ':', authority.length);
    if (colon != NULL) {
        authority.length = (size_t)(colon - authority.data);
    }
    if (authority.length > 1 && authority.data[authority.length - 1] == '.') {
        authority.length--;
    }
    return authority;
}

uint32_t gy_host_names_find(const struct gy_host_names *names, struct gy_http_text authority)
{
    char text[GY_HOST_NAME_BYTES];
    struct gy_http_text bare = gy_host_name_of(authority);
    if (names->count == 0 || bare.length == 0 || bare.length >= sizeof text) {
        return GY_HOST_NONE;
    }
    const struct gy_host_name *best = NULL;
    uint32_t hash = HASH_START;
    for (size_t i = bare.length; i-- > 0;) {
        if (bare.data[i] == '.' && names->patterns > 0) {
            /* The domain behind this dot; a longer one replaces what a shorter one found. */
            const struct gy_host_name *found =
                look_up(names, hash, text + i + 1, bare.length - i - 1, true);
            best = found != NULL && i > 0 ? found : best;
        }
        text[i] = lowered(bare.data[i]);
        hash = hashed(hash, text[i]);
    }
    const struct gy_host_name *exact = look_up(names, hash, text, bare.length, false);
    best = exact != NULL ? exact : best;
    return best != NULL ? best->host : GY_HOST_NONE;
}

void gy_host_names_free(struct gy_host_names *names)
{
    for (uint32_t i = 0; names->buckets != NULL && i < names->bucket_count; i++) {
        while (names->buckets[i] != NULL) {
            struct gy_host_name *name = names->buckets[i];
            names->buckets[i] = name->next;
            free(name);
        }
    }
    free(names->buckets);
    *names = (struct gy_host_names){0};
}
