/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_GET_URL_H
#define GY_CLIENTS_GET_URL_H

/* http and https URLs (RFC 3986, RFC 9110 §4.2), as far as a client needs them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define GY_URL_HOST_BYTES   256
#define GY_URL_TARGET_BYTES 8192
#define GY_URL_BYTES        (GY_URL_TARGET_BYTES + GY_URL_HOST_BYTES + 32)

/* Texts are zero-terminated. */
struct gy_url {
    bool secure;                            /* https */
    uint16_t port;                          /* given, or the scheme's */
    char host[GY_URL_HOST_BYTES];           /* to dial: an IPv6 address without brackets */
    char authority[GY_URL_HOST_BYTES + 16]; /* for the Host field */
    char target[GY_URL_TARGET_BYTES];       /* path and query; begins with '/' */
};

/*
 * Reads a URL as a person types it: without a scheme it is http. What has no place in a request
 * target is percent-encoded; the fragment is dropped. GY_EINVAL with a sentence: another scheme, no
 * host, user information (which would end up in logs), a port that is none, too long.
 */
int gy_url_parse(struct gy_url *url, const char *text, struct gy_error *error);

/* Resolves a reference against the URL where it was found (RFC 3986 §5.2); `reference` has `length`
 * bytes. Errors as above. */
int gy_url_resolve(struct gy_url *url, const struct gy_url *base, const char *reference,
                   size_t length, struct gy_error *error);

/* Same scheme, host and port. */
bool gy_url_same_origin(const struct gy_url *a, const struct gy_url *b);

/* Writes the URL as a text, zero-terminated, cut to fit; returns `out`. */
char *gy_url_format(const struct gy_url *url, char *out, size_t capacity);

/* A name to save the URL's file as: the last segment of its path, percent-decoded, with what could
 * lead elsewhere or hide it replaced; "index.html" where there is none. */
void gy_url_file_name(const struct gy_url *url, char *out, size_t capacity);

#endif
