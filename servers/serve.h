/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_SERVE_H
#define GY_SERVERS_SERVE_H

/*
 * What every server command does alike: its common flags, its listening sockets, the supervisor
 * over the serving process, the runtime within it.
 *
 * What is served is a plan: servers, their addresses, and the options. The command makes one when
 * it starts and, in the parent, anew for each SIGHUP; the parent keeps the sockets of addresses
 * that stay, opens those that are new, and closes those that are gone once the new process serves.
 * A plan that cannot be made or carried out changes nothing: the old process goes on.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../core/runtime.h"

#define GY_SERVE_ADDRESSES_MAX 16
#define GY_SERVE_SERVERS_MAX   32
#define GY_SERVE_PLACES_MAX    64 /* addresses of all servers */

struct gy_serve_options {
    const char *addresses[GY_SERVE_ADDRESSES_MAX]; /* --listen, each as gy_address_parse reads it */
    uint32_t address_count;
    uint32_t workers;          /* --workers; 0: one per processor */
    bool unpinned;             /* --unpinned */
    bool alone;                /* --no-supervisor: one process, for debuggers */
    uint32_t connections_max;  /* --connections, per worker; 0: as open files allow */
    enum gy_tables tables;     /* --descriptor-tables */
    uint32_t drain_timeout_ms; /* --drain-timeout */
    int receive_mode;          /* --receive-mode; GY_RECEIVE_CHOOSE */
    uint32_t without;          /* --without: ring features to do without */
    bool log_json;             /* --log-json */
    int log_level;             /* --log-level: enum gy_log_level */
    const char *admin;         /* --admin: where the admin listener is; NULL: nowhere */
    const char *access_log;    /* --access-log: a file, or - for stdout; NULL: none */
    int access_format;         /* --access-format: enum gy_access_format */
    const char *user;          /* --user: who serves; NULL: whoever started it */
};

struct gy_serve_options gy_serve_defaults(void);

/* A page of the common flags, for --help; and those for servers with an admin listener. */
extern const char gy_serve_flags_help[];
extern const char gy_serve_admin_help[];

/* Reads the common flag `name` (without "--") with `value` (NULL when it has none). 1: taken (it
 * used the value); 2: taken (it has none); 0: not a common flag; negative: GY_EINVAL with a
 * sentence in `error`. */
int gy_serve_flag(struct gy_serve_options *options, const char *name, const char *value,
                  struct gy_error *error);

struct gy_http_server;
struct gy_access_log;

struct gy_server_metrics;

/* One server of a plan. Those of `gyre serve` are made by servers/kinds.h. */
struct gy_serve_server {
    const char *name; /* for the list of listeners, and metrics */
    const char *kind; /* "http" */
    const char *addresses[GY_SERVE_ADDRESSES_MAX];
    uint32_t address_count;
    bool secure; /* over TLS */
    /* Called in the process that keeps the sockets, before it opens any; may be NULL. As below. */
    int (*load)(struct gy_serve_server *server, struct gy_error *error);
    /* Called in the serving process, while it has all its rights, before `fill`; may be NULL. 0, or
     * a GY_E… code with the sentence: then nothing is served. */
    int (*prepare)(struct gy_serve_server *server, struct gy_error *error);
    bool datagrams; /* over UDP: its descriptors are bound UDP sockets */
    bool twin;      /* another server's second transport, and shown as part of that one */
    /* Fills a core server that serves `context` on the descriptors: gy_http_server_init, say. */
    void (*fill)(struct gy_server *server, void *context, const int *descriptors);
    void *context;
    /* What it counts (servers/kind.h), by the time it serves; may be NULL. */
    const struct gy_server_metrics *metrics;
    const void *counts;     /* of worker 0; those of the others follow */
    const void **instances; /* of each worker; by gy_serve_plan_prepare, freed with the plan */
};

struct gy_serve_plan {
    struct gy_serve_options options;
    uint32_t workers; /* how many there will be */
    struct gy_serve_server servers[GY_SERVE_SERVERS_MAX];
    uint32_t server_count;
    struct gy_access_log *access_log; /* by gy_serve_plan_log; closed with the plan */
    const struct gy_child *child;     /* in the serving process, from `prepare` on; else NULL */
    void *owned;                      /* the command's */
    void (*release)(struct gy_serve_plan *plan); /* gives `owned` back; may be NULL */
};

/* Opens the access log that the options ask for, if they do: plan->access_log. Settles
 * plan->workers, where that is still 0. */
int gy_serve_plan_log(struct gy_serve_plan *plan, struct gy_error *error);

/* Calls every `load`. Before sockets are opened, and for --check. */
int gy_serve_plan_load(struct gy_serve_plan *plan, struct gy_error *error);

/* Calls every `prepare`. In the serving process, and for --check. `workers` is settled. */
int gy_serve_plan_prepare(struct gy_serve_plan *plan, struct gy_error *error);

/* Releases what a plan owns, and the plan, which calloc made. NULL is allowed. */
void gy_serve_plan_free(struct gy_serve_plan *plan);

/* Adds a server; NULL when there are GY_SERVE_SERVERS_MAX already. */
struct gy_serve_server *gy_serve_plan_add(struct gy_serve_plan *plan, const char *name,
                                          void (*fill)(struct gy_server *, void *, const int *),
                                          void *context);

/* Adds HTTP. */
struct gy_serve_server *gy_serve_plan_http(struct gy_serve_plan *plan, const char *name,
                                           struct gy_http_server *http);

struct gy_serve_place {
    const char *server;
    const char *address; /* as a person would type it, with the port that stands for 0 */
    bool secure;         /* over TLS */
    bool datagrams;      /* UDP */
};

struct gy_serve_hooks {
    /* Called once, when the first process serves, in the process that keeps the sockets. Not called
     * when that one fails. May be NULL. */
    void (*listening)(void *context, const struct gy_serve_place *places, uint32_t count,
                      uint32_t workers);
    /* Fills a plan that has the default options, or, after the first, adds to one whose `workers`
     * is set. 0, or a GY_E… code with the sentence. What it put into the plan until then is
     * released.
     */
    int (*make)(void *make_context, struct gy_serve_plan *plan, struct gy_error *error);
    void *make_context;
    void *context; /* for `listening` */
};

/* Makes the plan, listens, forks, serves. Errors are printed to stderr. Returns main's exit status:
 * 1 when that failed. */
int gy_serve(const struct gy_serve_hooks *hooks);

/* One HTTP server on the addresses of the options. Of the hooks, `listening` is called. */
int gy_serve_http(const struct gy_serve_options *options, struct gy_http_server *http);
int gy_serve_http_with(const struct gy_serve_options *options, struct gy_http_server *http,
                       const struct gy_serve_hooks *hooks);

/* Addresses that the service manager has TCP sockets for, as text; for commands that were given no
 * other. That of the admin listener, `admin`, is not among them; NULL: there is none. Valid once
 * gy_serve has begun. Returns how many were written to `addresses`. */
uint32_t gy_serve_inherited(const char *admin, const char *addresses[], uint32_t max);

#endif
