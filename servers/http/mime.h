/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_MIME_H
#define GY_SERVERS_HTTP_MIME_H

/*
 * Media types by a file name's ending. The table is our own, so that the same tree is served alike
 * on every host; text is said to be UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>

#include "../../protocols/http/http.h"

struct gy_mime {
    struct gy_http_text type;
    bool compressible; /* worth a content coding: text and its like */
};

/* Of the last ending of the last segment, whatever its case; application/octet-stream when it has
 * none that is known. */
struct gy_mime gy_mime_of(const char *path, size_t length);

#endif
