/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_SITE_H
#define GY_SERVERS_HTTP_SITE_H

/*
 * The built-in site: a page that shows what is running, and /status.json behind it.
 *
 *     GET /             the page
 *     GET /status.json  what it shows: version, kernel, ring features, workers, counters
 */

#include "../../protocols/http/http.h"

struct gy_http_server;

/* The handler's context. Zero it and set `http` before serving. */
struct gy_site {
    struct gy_http_server *http;
};

extern const struct gy_http_handler gy_site_handler;

#endif
