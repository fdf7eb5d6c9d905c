/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/get/url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The length of "scheme" where "scheme:" begins the text, else 0 (RFC 3986 §3.1). */
static size_t scheme_length(const char *text)
{
    size_t at = 0;
    while (isalnum((unsigned char)text[at]) || text[at] == '+' || text[at] == '-' ||
           text[at] == '.') {
        at++;
    }
    return text[at] == ':' && isalpha((unsigned char)text[0]) ? at : 0;
}

static int read_port(const char *text, size_t length, uint16_t *port)
{
    uint32_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]) || number > 65535) {
            return GY_EINVAL;
        }
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    if (number == 0 || number > 65535) {
        return GY_EINVAL;
    }
    *port = (uint16_t)number;
    return 0;
}

static bool host_valid(const char *host)
{
    for (const char *at = host; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && strchr("-._~:%", *at) == NULL) {
            return false;
        }
    }
    return host[0] != '\0';
}

/* host [":" port], `length` bytes. */
static int read_authority(struct gy_url *url, const char *text, size_t length,
                          struct gy_error *error)
{
    if (memchr(text, '@', length) != NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "the URL has a user or password in it; give a header instead: "
                            "-H 'Authorization: …'");
    }
    const char *host = text;
    size_t host_length = length;
    size_t rest = 0;
    bool literal = length > 0 && text[0] == '[';
    if (literal) {
        const char *end = memchr(text, ']', length);
        if (end == NULL) {
            return gy_error_set(error, GY_EINVAL, "the URL's IPv6 address lacks its ']'");
        }
        host = text + 1;
        host_length = (size_t)(end - host);
        rest = host_length + 2;
    } else {
        const char *colon = memchr(text, ':', length);
        host_length = colon != NULL ? (size_t)(colon - text) : length;
        rest = host_length;
    }
    url->port = url->secure ? 443 : 80;
    bool port_given = rest + 1 < length;
    if (host_length >= sizeof url->host - 2 || (rest < length && text[rest] != ':') ||
        (port_given && read_port(text + rest + 1, length - rest - 1, &url->port) != 0)) {
        return gy_error_set(error, GY_EINVAL, "\"%.*s\" is not a host, or host:port",
                            (int)(length < 100 ? length : 100), text);
    }
    memcpy(url->host, host, host_length);
    url->host[host_length] = '\0';
    if (!host_valid(url->host) || (!literal && strchr(url->host, ':') != NULL)) {
        return gy_error_set(error, GY_EINVAL, "\"%s\" is not the name or address of a host",
                            url->host);
    }
    /* The zone of a link-local address means nothing to the server (RFC 6874). */
    int named = literal ? (int)strcspn(url->host, "%") : (int)host_length;
    int written = snprintf(url->authority, sizeof url->authority, literal ? "[%.*s]" : "%.*s",
                           named, url->host);
    if (url->port != (url->secure ? 443 : 80)) {
        snprintf(url->authority + written, sizeof url->authority - (size_t)written, ":%u",
                 url->port);
    }
    return 0;
}

/* Appends to the target, percent-encoding what cannot stand there. */
static int put_target(struct gy_url *url, size_t *at, const char *text, size_t length,
                      struct gy_error *error)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool plain = byte > 0x20 && byte < 0x7f && byte != '#';
        if (*at + 4 > sizeof url->target) {
            return gy_error_set(error, GY_EINVAL, "the URL is longer than %d bytes",
                                GY_URL_TARGET_BYTES);
        }
        if (plain) {
            url->target[(*at)++] = (char)byte;
        } else {
            *at += (size_t)snprintf(url->target + *at, 4, "%%%02X", byte);
        }
    }
    url->target[*at] = '\0';
    return 0;
}

static int read_target(struct gy_url *url, const char *text, size_t length, struct gy_error *error)
{
    size_t at = 0;
    int code = 0;
    if (length == 0 || text[0] != '/') {
        code = put_target(url, &at, "/", 1, error);
    }
    return code == 0 ? put_target(url, &at, text, length, error) : code;
}

/* Behind "//". */
static int read_hier(struct gy_url *url, const char *text, size_t length, struct gy_error *error)
{
    size_t authority = 0;
    while (authority < length && strchr("/?#", text[authority]) == NULL) {
        authority++;
    }
    size_t end = authority;
    while (end < length && text[end] != '#') {
        end++;
    }
    int code = read_authority(url, text, authority, error);
    return code == 0 ? read_target(url, text + authority, end - authority, error) : code;
}

static int read_scheme(struct gy_url *url, const char *text, size_t length, struct gy_error *error)
{
    if (length == 4 && strncasecmp(text, "http", 4) == 0) {
        url->secure = false;
    } else if (length == 5 && strncasecmp(text, "https", 5) == 0) {
        url->secure = true;
    } else {
        return gy_error_set(error, GY_EINVAL,
                            "%.*s: URLs are not fetched here, only http and https",
                            (int)(length < 40 ? length : 40), text);
    }
    return 0;
}

int gy_url_parse(struct gy_url *url, const char *text, struct gy_error *error)
{
    memset(url, 0, sizeof *url);
    size_t scheme = scheme_length(text);
    /* "localhost:8080/" has no scheme, though it looks as if. */
    if (scheme == 0 || strncmp(text + scheme, "://", 3) != 0) {
        if (scheme != 0 && !isdigit((unsigned char)text[scheme + 1])) {
            return read_scheme(url, text, scheme, error) != 0
                       ? GY_EINVAL
                       : gy_error_set(error, GY_EINVAL, "%s: \"//\" is missing behind the scheme",
                                      text);
        }
        return read_hier(url, text, strlen(text), error);
    }
    int code = read_scheme(url, text, scheme, error);
    text += scheme + 3;
    return code == 0 ? read_hier(url, text, strlen(text), error) : code;
}

/* ---- references ---- */

/* Takes the last segment off, its '/' too. */
static size_t segment_off(const char *path, size_t length)
{
    while (length > 0 && path[length - 1] != '/') {
        length--;
    }
    return length > 0 ? length - 1 : 0;
}

/* RFC 3986 §5.2.4, on an absolute path, in place. */
static size_t remove_dots(char *path, size_t length)
{
    size_t out = 0;
    size_t at = 0;
    while (at < length) {
        size_t end = at + 1;
        while (end < length && path[end] != '/') {
            end++;
        }
        size_t segment = end - at - 1; /* path[at] is '/' */
        bool last = end == length;
        if (segment == 1 && path[at + 1] == '.') {
            if (last) {
                path[out++] = '/';
            }
        } else if (segment == 2 && path[at + 1] == '.' && path[at + 2] == '.') {
            out = segment_off(path, out);
            if (last) {
                path[out++] = '/';
            }
        } else {
            memmove(path + out, path + at, end - at);
            out += end - at;
        }
        at = end;
    }
    return out;
}

static int resolve_path(struct gy_url *url, const char *reference, size_t length,
                        struct gy_error *error)
{
    char path[2 * GY_URL_TARGET_BYTES];
    size_t query = 0;
    while (query < length && reference[query] != '?') {
        query++;
    }
    size_t base_path = strcspn(url->target, "?");
    size_t fill = 0;
    if (length > GY_URL_TARGET_BYTES) {
        return gy_error_set(error, GY_EINVAL, "the URL is longer than %d bytes",
                            GY_URL_TARGET_BYTES);
    }
    if (query == 0) {
        memcpy(path, url->target, base_path); /* the same path, another query */
        fill = base_path;
    } else {
        if (reference[0] != '/') {
            fill = segment_off(url->target, base_path);
            memcpy(path, url->target, fill);
            path[fill++] = '/';
        }
        memcpy(path + fill, reference, query);
        fill = remove_dots(path, fill + query);
    }
    memcpy(path + fill, reference + query, length - query);
    return read_target(url, path, fill + length - query, error);
}

int gy_url_resolve(struct gy_url *url, const struct gy_url *base, const char *reference,
                   size_t length, struct gy_error *error)
{
    char text[GY_URL_BYTES];
    if (length >= sizeof text || memchr(reference, '\0', length) != NULL) {
        return gy_error_set(error, GY_EINVAL, "the URL is too long, or has a zero byte");
    }
    memcpy(text, reference, length);
    text[length] = '\0';
    size_t scheme = scheme_length(text);
    if (scheme != 0) {
        return gy_url_parse(url, text, error);
    }
    *url = *base;
    text[strcspn(text, "#")] = '\0';
    length = strlen(text);
    if (length == 0) {
        return 0;
    }
    if (strncmp(text, "//", 2) == 0) {
        return read_hier(url, text + 2, length - 2, error);
    }
    return resolve_path(url, text, length, error);
}

bool gy_url_same_origin(const struct gy_url *a, const struct gy_url *b)
{
    return a->secure == b->secure && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

char *gy_url_format(const struct gy_url *url, char *out, size_t capacity)
{
    snprintf(out, capacity, "http%s://%s%s", url->secure ? "s" : "", url->authority, url->target);
    return out;
}

void gy_url_file_name(const struct gy_url *url, char *out, size_t capacity)
{
    size_t end = strcspn(url->target, "?");
    size_t start = end;
    while (start > 0 && url->target[start - 1] != '/') {
        start--;
    }
    size_t fill = 0;
    for (size_t at = start; at < end && fill + 1 < capacity; at++) {
        char byte = url->target[at];
        int high = byte == '%' && end - at > 2 ? hex_digit(url->target[at + 1]) : -1;
        int low = high >= 0 ? hex_digit(url->target[at + 2]) : -1;
        if (low >= 0) {
            byte = (char)(high * 16 + low);
            at += 2;
        }
        bool odd = byte == '/' || (unsigned char)byte < 0x20 || byte == 0x7f ||
                   (fill == 0 && (byte == '.' || byte == '-'));
        out[fill++] = odd ? '_' : byte;
    }
    out[fill] = '\0';
    if (fill == 0) {
        snprintf(out, capacity, "index.html");
    }
}
