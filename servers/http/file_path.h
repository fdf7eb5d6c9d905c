/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_FILE_PATH_H
#define GY_SERVERS_HTTP_FILE_PATH_H

/*
 * From a request target to the path of a file below the served directory. No I/O.
 *
 * The path is what is left of '?', percent-decoded once, its empty and "." segments dropped and
 * ".." taken back (RFC 3986 §5.2.4; "%2e" is "."). What it can never be: absolute, or with "..",
 * or with a zero byte. The kernel's RESOLVE_BENEATH stands behind this, for symbolic links.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../protocols/http/http.h"

/* Its zero included. */
#define GY_FILE_KEY_BYTES 2048

enum gy_file_path_verdict {
    GY_FILE_PATH_OK,
    GY_FILE_PATH_BAD,    /* 400: a broken escape, a zero byte, or it climbs above the root */
    GY_FILE_PATH_HIDDEN, /* 404: a dot file (all but /.well-known/, RFC 8615), or '/' in a name */
    GY_FILE_PATH_LONG,   /* 414 */
};

struct gy_file_path {
    char key[GY_FILE_KEY_BYTES]; /* "a/b", no slash before or behind it; "" is the root */
    uint32_t length;
    bool slash;                /* a directory was asked for: the target ends in a slash */
    struct gy_http_text query; /* of the target, with its '?', or empty */
};

enum gy_file_path_verdict gy_file_path_read(struct gy_file_path *path, struct gy_http_text target);

/* Writes the path as people do: "/a/b", "/a/b/" where `slash` is set. Returns its length; there is
 * no zero behind it. */
#define GY_FILE_PATH_TEXT_BYTES (GY_FILE_KEY_BYTES + 2)
uint32_t gy_file_path_text(const struct gy_file_path *path, char to[GY_FILE_PATH_TEXT_BYTES]);

/* Writes the path of a URL for `key`: "/", escaped. Returns its length, or 0 when it does not fit.
 */
uint32_t gy_file_path_escape(const char *key, uint32_t length, char *to, uint32_t bytes);

#endif
