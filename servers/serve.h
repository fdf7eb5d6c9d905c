/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_SERVE_H
#define GY_SERVERS_SERVE_H

/*
 * What every server command does alike: its common flags, its listening sockets, the supervisor
 * over the serving process, the runtime within it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../core/runtime.h"

#define GY_SERVE_ADDRESSES_MAX 16

struct gy_serve_options {
    const char *addresses[GY_SERVE_ADDRESSES_MAX]; /* --listen, each as gy_address_parse reads it */
    uint32_t address_count;
    uint32_t workers;          /* --workers; 0: one per processor */
    bool unpinned;             /* --unpinned */
    bool alone;                /* --no-supervisor: one process, for debuggers */
    uint32_t connections_max;  /* --connections, per worker; 0: as open files allow */
    uint32_t drain_timeout_ms; /* --drain-timeout */
    int receive_mode;          /* --receive-mode; GY_RECEIVE_CHOOSE */
    uint32_t without;          /* --without: ring features to do without */
    bool log_json;             /* --log-json */
    int log_level;             /* --log-level: enum gy_log_level */
};

struct gy_serve_options gy_serve_defaults(void);

/* A page of the common flags, for --help. */
extern const char gy_serve_flags_help[];

/* Reads the common flag `name` (without "--") with `value` (NULL when it has none). 1: taken (it
 * used the value); 2: taken (it has none); 0: not a common flag; negative: GY_EINVAL with a
 * sentence in `error`. */
int gy_serve_flag(struct gy_serve_options *options, const char *name, const char *value,
                  struct gy_error *error);

struct gy_http_server;

/* Called once the sockets listen, before the first process serves: `addresses` as a person would
 * type them. */
struct gy_serve_hooks {
    void (*listening)(void *context, const char *const *addresses, uint32_t count,
                      uint32_t workers);
    void *context;
};

/* Listens, forks, serves. Errors are printed to stderr. Returns main's exit status. */
int gy_serve_http(const struct gy_serve_options *options, struct gy_http_server *http);
int gy_serve_http_with(const struct gy_serve_options *options, struct gy_http_server *http,
                       const struct gy_serve_hooks *hooks);

#endif
