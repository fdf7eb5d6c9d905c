/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_VHOSTS_H
#define GY_SERVERS_HTTP_VHOSTS_H

/*
 * Virtual hosts: an HTTP handler that hands each request to the host it is for, after the limit of
 * its client's address and the host's redirects, and puts the host's header fields into whatever
 * is answered.
 *
 *     gy_vhosts_add(&vhosts, ...) for each, the default one first; fill them; then
 *     gy_vhosts_serve(&vhosts, &http, workers, &error)
 *
 * A host's service is any handler: it gets the exchange as if there were nothing else. For that the
 * exchange's handler, context and (where there are header rules) transport are the host's from
 * `request` to `closed`; a transport uses an exchange for several requests, so `closed` puts them
 * back.
 *
 * A server with nothing of this in its configuration does not pass through here.
 */

#include "header_rules.h"
#include "host_names.h"
#include "http_server.h"
#include "redirects.h"
#include "websocket.h"

#define GY_VHOSTS_MAX        256 /* of one server, the default one included */
#define GY_VHOST_PATHS_MAX   32
#define GY_VHOST_SOCKETS_MAX 32

/* Rules for the paths below a prefix that ends in '/', or for one path. */
struct gy_vhost_path {
    const char *path;
    const void *at; /* the caller's: where it is written */
    uint32_t length;
    struct gy_header_rules headers; /* all of them, inherited ones first */
};

/* One worker's. */
struct gy_vhost_counts {
    _Atomic uint64_t requests;
    _Atomic uint64_t responses[6]; /* by class: [2] is 2xx */
    _Atomic uint64_t body_bytes;
} __attribute__((aligned(64)));

extern const struct gy_metric_description gy_vhost_rows[];
extern const size_t gy_vhost_row_count;

struct gy_vhosts;

/* One host: zeroed by gy_vhosts_add(), filled by the caller, who owns what it points to but
 * `paths`, `redirects` and `counts`. */
struct gy_vhost {
    const char *name;               /* in metrics */
    struct gy_http_service service; /* handler NULL: all that no redirect fits is `missing` */
    uint16_t missing;
    struct gy_redirects redirects; /* sorted */
    struct gy_header_rules headers;
    struct gy_vhost_path *paths[GY_VHOST_PATHS_MAX]; /* calloc'ed */
    uint32_t path_count;
    struct gy_websocket *sockets[GY_VHOST_SOCKETS_MAX]; /* the caller's */
    uint32_t socket_count;

    /* Made by gy_vhosts_serve(). */
    struct gy_http_handler handler;
    struct gy_vhosts *vhosts;
    uint32_t number;
    bool has_headers;
    struct gy_vhost_counts *counts; /* one for each worker */
};

struct gy_vhosts {
    struct gy_host_names names;
    struct gy_vhost *list[GY_VHOSTS_MAX]; /* [0] is for all other names */
    uint32_t count;
    struct gy_vhost_worker *workers[GY_HTTP_WORKERS_MAX];
};

/* Adds a host. NULL when there are GY_VHOSTS_MAX, or no memory. */
struct gy_vhost *gy_vhosts_add(struct gy_vhosts *vhosts, const char *name);

/* Makes `http` serve the hosts, of which there is at least one, by so many workers. 0, or
 * GY_ENOMEM. */
int gy_vhosts_serve(struct gy_vhosts *vhosts, struct gy_http_server *http, uint32_t workers);

/* Frees what was added. What the hosts' services need is the caller's. */
void gy_vhosts_close(struct gy_vhosts *vhosts);

/* The rules that a request target falls under. */
const struct gy_header_rules *gy_vhost_rules(const struct gy_vhost *vhost,
                                             struct gy_http_text target);

#endif
