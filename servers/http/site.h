/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_SITE_H
#define GY_SERVERS_HTTP_SITE_H

/*
 * The built-in site: a page that shows what is running, and /status.json behind it.
 *
 *     GET /             the page; it asks for the next once a second
 *     GET /status.json  version, kernel, ring features, workers, counters: servers/http/README.md
 *                       is its schema
 *
 * and what the page needs (/site.css, /site.js, /icon.svg). The files lie in servers/http/site/ and
 * are put into the program when it is built (embedded.h); a status is written straight into output
 * memory. Nothing is allocated per request.
 */

#include "../../core/slice.h"
#include "../../protocols/http/http.h"
#include "embedded.h"
#include "http_server.h"

/* The handler's context: one for all workers. Zero it, set `http` before serving, and keep it until
 * the end. The rest is the site's own. */
struct gy_site {
    struct gy_http_server *http;

    /* What a worker has answered, where that is not http's requests; NULL: it is. Any thread. */
    uint64_t (*requests)(const struct gy_site *site, uint32_t worker);

    _Atomic uint64_t started_ms; /* of this process, since boot; 0: not looked up yet */

    struct gy_embedded_buffers buffers;
};

extern const struct gy_http_handler gy_site_handler;

#endif
