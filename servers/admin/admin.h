/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_ADMIN_ADMIN_H
#define GY_SERVERS_ADMIN_ADMIN_H

/*
 * The admin listener: what operators and their tools ask.
 *
 *     GET /             a page with plots of what follows
 *     GET /metrics      counters of the core, of each server, of the process, as Prometheus text
 *     GET /healthz      200 while it serves, 503 while it drains
 *     GET /status.json  what the built-in site has there, and all servers, each with its counters
 *                       and latencies
 *
 * It is an HTTP server as any other, on a listener of its own: whoever can reach it can read
 * all of this, so it belongs on an address that strangers cannot reach.
 */

#include "../http/http_server.h"
#include "../http/site.h"
#include "../serve.h"

#define GY_ADMIN_HOSTS_MAX 1024 /* of all servers */

/* Zero it, call gy_admin_init, keep it until the end. */
struct gy_admin {
    struct gy_site site; /* first: the site's handler answers what is not ours */
    struct gy_http_server http;
    struct gy_embedded_buffers page;
    const struct gy_serve_plan *plan; /* whose servers it shows */
    uint32_t host_count;
    struct gy_metric_set *hosts; /* labelled by server and host */
    char *text;                  /* room for the answer of each worker that is asked */
    size_t text_bytes;           /* of one */
    uint32_t workers;
};

/* For the servers of `plan`, whose `workers` is settled; those that are added later are shown too.
 * 0 or GY_ENOMEM. */
int gy_admin_init(struct gy_admin *admin, const struct gy_serve_plan *plan, struct gy_error *error);

/* The hosts of a server, once they are served. 0, GY_ELIMIT: they would be more than
 * GY_ADMIN_HOSTS_MAX; GY_ENOMEM. */
struct gy_vhosts;
int gy_admin_add_hosts(struct gy_admin *admin, const char *name, const struct gy_vhosts *vhosts);

void gy_admin_close(struct gy_admin *admin);

#endif
