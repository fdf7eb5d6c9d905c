/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_ADMIN_ADMIN_H
#define GY_SERVERS_ADMIN_ADMIN_H

/*
 * The admin listener: what operators and their tools ask.
 *
 *     GET /metrics      counters of the core, of each HTTP server, of the process, as Prometheus
 *                       text
 *     GET /healthz      200 while it serves, 503 while it drains
 *     GET /status.json  the same as the built-in site's; the site's page is at /
 *
 * It is an HTTP server as any other, on a listener of its own: whoever can reach it can read
 * all of this, so it belongs on an address that strangers cannot reach.
 */

#include "../http/http_server.h"
#include "../http/site.h"

#define GY_ADMIN_SERVERS_MAX 32
#define GY_ADMIN_HOSTS_MAX   1024 /* of all servers */

struct gy_child;

/* Zero it, call gy_admin_init, keep it until the end. */
struct gy_admin {
    struct gy_site site; /* first: the site's handler answers what is not ours */
    struct gy_http_server http;
    const struct gy_child *const *child; /* set before serving */
    uint32_t server_count;
    struct {
        const char *name; /* the label `server` */
        struct gy_http_server *http;
        const void **counts; /* its counts, worker by worker */
    } servers[GY_ADMIN_SERVERS_MAX];
    uint32_t host_count;
    struct gy_metric_set *hosts; /* labelled by server and host */
    uint32_t workers;
    const void **counts;              /* of all servers */
    struct gy_access_log *access_log; /* may be NULL */
    char *text;                       /* room for the metrics of each worker that is asked */
    size_t text_bytes;                /* of one */
};

/* `workers` will serve; `child` is where to find the process's place among its kind by then. 0 or
 * GY_ENOMEM. */
int gy_admin_init(struct gy_admin *admin, uint32_t workers, const struct gy_child *const *child,
                  struct gy_error *error);

/* Servers whose metrics are shown; the first one's requests are the site's. Before serving. */
void gy_admin_add(struct gy_admin *admin, const char *name, struct gy_http_server *http);

/* The hosts of a server, once they are served. 0, GY_ELIMIT: they would be more than
 * GY_ADMIN_HOSTS_MAX; GY_ENOMEM. */
struct gy_vhosts;
int gy_admin_add_hosts(struct gy_admin *admin, const char *name, const struct gy_vhosts *vhosts);

void gy_admin_close(struct gy_admin *admin);

#endif
