/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a URL says: the protocol, the server, and the rest, which is the protocol's to read. */

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/load.h"

const struct gy_load_protocol *const gy_load_protocols[] = {
    &gy_load_http, &gy_load_https,   &gy_load_tcp,     &gy_load_udp, &gy_load_rudp,
    &gy_load_dns,  &gy_load_dns_tcp, &gy_load_dns_tls, &gy_load_ws,  &gy_load_wss,
    &gy_load_chat, &gy_load_nats,    &gy_load_redis,   NULL};

static int unknown_scheme(const char *url, struct gy_error *error)
{
    char known[256] = "";
    for (const struct gy_load_protocol *const *each = gy_load_protocols; *each != NULL; each++) {
        size_t fill = strlen(known);
        snprintf(known + fill, sizeof known - fill, "%s%s://", fill > 0 ? ", " : "",
                 (*each)->scheme);
    }
    return gy_error_set(error, GY_EINVAL, "%s: no scheme that gyre-load knows; there are %s", url,
                        known);
}

/* host[:port] between the scheme and the path */
static int read_authority(struct gy_load_options *options, const char *start, const char *end,
                          struct gy_error *error)
{
    const char *host_end = end;
    const char *colon = NULL;
    if (start < end && *start == '[') {
        host_end = memchr(start, ']', (size_t)(end - start));
        if (host_end == NULL) {
            return gy_error_set(error, GY_EINVAL, "%s: `[` without `]`", options->url);
        }
        start++;
        colon = host_end + 1 < end ? host_end + 1 : NULL;
    } else {
        colon = memchr(start, ':', (size_t)(end - start));
        host_end = colon != NULL ? colon : end;
    }
    size_t length = (size_t)(host_end - start);
    if (length == 0 || length >= sizeof options->host) {
        return gy_error_set(error, GY_EINVAL, "%s: no host that can be reached", options->url);
    }
    memcpy(options->host, start, length);
    options->host[length] = '\0';
    options->port = 0;
    if (colon != NULL) {
        char *stop;
        unsigned long port = strtoul(colon + 1, &stop, 10);
        if (*colon != ':' || !isdigit((unsigned char)colon[1]) || stop != end || port == 0 ||
            port > UINT16_MAX) {
            return gy_error_set(error, GY_EINVAL, "%s: the port must be a number from 1 to 65535",
                                options->url);
        }
        options->port = (uint16_t)port;
    } else if (options->protocol->port == 0) {
        return gy_error_set(error, GY_EINVAL, "%s: %s:// has no port of its own; write %s:PORT",
                            options->url, options->protocol->scheme, options->url);
    }
    return 0;
}

int gy_load_read_url(struct gy_load_options *options, const char *url, struct gy_error *error)
{
    const char *colon = strstr(url, "://");
    const struct gy_load_protocol *const *each = gy_load_protocols;
    while (*each != NULL && (colon == NULL || strlen((*each)->scheme) != (size_t)(colon - url) ||
                             strncmp((*each)->scheme, url, (size_t)(colon - url)) != 0)) {
        each++;
    }
    if (*each == NULL) {
        return unknown_scheme(url, error);
    }
    options->url = url;
    options->protocol = *each;
    const char *start = colon + 3;
    const char *end = start + strcspn(start, "/?#");
    for (const char *at = start; *at != '\0'; at++) {
        if (!isgraph((unsigned char)*at)) {
            return gy_error_set(error, GY_EINVAL,
                                "%s: has a byte that a URL must not have; write it as %%XX", url);
        }
    }
    size_t path = strcspn(end, "#");
    if (path + 2 > sizeof options->path) {
        return gy_error_set(error, GY_EINVAL, "%.40s…: longer than %zu bytes", url,
                            sizeof options->path);
    }
    snprintf(options->path, sizeof options->path, "%s%.*s", *end == '/' ? "" : "/", (int)path, end);
    return read_authority(options, start, end, error);
}

int gy_load_resolve(struct gy_load_options *options, struct gy_error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(options->host, NULL, &hints, &found);
    if (result != 0 && strcasecmp(options->host, "localhost") == 0) {
        /* The loopback address, whatever the system makes of the name (RFC 6761 §6.3). */
        result = getaddrinfo("127.0.0.1", NULL, &hints, &found);
    }
    if (result != 0) {
        return gy_error_set(error, GY_EINVAL, "%s: no address for %s: %s", options->url,
                            options->host, gai_strerror(result));
    }
    int code = gy_address_from_sockaddr(&options->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (code != 0) {
        return gy_error_set(error, code, "%s: %s has no address that can be used", options->url,
                            options->host);
    }
    gy_address_set_port(&options->address,
                        options->port != 0 ? options->port : options->protocol->port);
    return 0;
}
