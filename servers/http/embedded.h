/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_EMBEDDED_H
#define GY_SERVERS_HTTP_EMBEDDED_H

/*
 * Pages in the program itself: the built-in site, the chat's page, the admin listener's. embed.py
 * makes their files into tables when Gyre is built; each may load what comes from its own server,
 * and nothing else. They have entity tags and are sent without being copied. Nothing is allocated
 * per request.
 */

#include "../../core/slice.h"
#include "../../protocols/http/http.h"
#include "http_server.h"

#define GY_EMBEDDED_FILES_MAX 8

struct gy_embedded_file {
    const char *path;   /* "/site.css"; "" for what is answered in place of what does not exist */
    const char *type;   /* Content-Type */
    const char *etag;   /* with its quotes */
    const char *policy; /* Content-Security-Policy */
    const uint8_t *data;
    uint32_t bytes;
};

struct gy_embedded_page {
    const struct gy_embedded_file *files;
    uint32_t count; /* at most GY_EMBEDDED_FILES_MAX */
};

extern const struct gy_embedded_page gy_site_page;
extern const struct gy_embedded_page gy_chat_page;
extern const struct gy_embedded_page gy_admin_page;

/* A server's files as buffers. Their counts are not atomic, so each worker has its own. Zero it,
 * and keep it until the end. */
struct gy_embedded_buffers {
    struct gy_embedded_buffers_worker {
        struct gy_buffer files[GY_EMBEDDED_FILES_MAX];
    } __attribute__((aligned(64))) workers[GY_HTTP_WORKERS_MAX];
};

/* The target of a request without its query. */
struct gy_http_text gy_embedded_path(const struct gy_http_exchange *exchange);

/* NULL: none of the page's files is there. Never the one for what does not exist. */
const struct gy_embedded_file *gy_embedded_find(const struct gy_embedded_page *page,
                                                struct gy_http_text path);

/* Answers a request for a file of the page: GET and HEAD, 304 to who has it already; by its Allow
 * field for other methods. */
void gy_embedded_answer(struct gy_embedded_buffers *buffers, const struct gy_embedded_page *page,
                        const struct gy_embedded_file *file, struct gy_http_exchange *exchange);

/* Answers, by 404 and whatever the method, with the file for what does not exist. */
void gy_embedded_answer_missing(struct gy_embedded_buffers *buffers,
                                const struct gy_embedded_page *page,
                                struct gy_http_exchange *exchange);

/* Answers another method than GET and HEAD for something that can only be read. */
void gy_embedded_answer_method(struct gy_http_exchange *exchange);

#endif
