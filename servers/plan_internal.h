/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PLAN_INTERNAL_H
#define GY_SERVERS_PLAN_INTERNAL_H

/* What plan.c (flags, the file's own keys, the plan), plan_http.c (an `http` block), plan_hosts.c
 * (what a host serves) and plan_limits.c share. */

#include "../core/config.h"
#include "admin/admin.h"
#include "http/http_server.h"
#include "http/site.h"
#include "http/vhosts.h"
#include "kinds.h"
#include "plan.h"
#include "tls_keys.h"

#define GY_PLAN_FIXED_TEXT "Hello, world!"

/* What one host serves: the keys of a `host` block or, for all other names, of the `http` block. */
struct gy_plan_host {
    const struct gy_config_directive *at; /* NULL: of no block */
    struct gy_vhost *vhost;
    struct gy_files_options options; /* of `root`; a directory of NULL: no files */
    bool fixed;
    bool listing_given, precompressed_given, sendfile_given;
    struct gy_header_rules headers; /* its own */
    char *error_keys[GY_FILES_ERROR_PAGES_MAX];
    struct gy_files files;
    bool files_open;
    struct gy_plan_socket *sockets; /* of `websocket` */
};

/* What keys of the file, and of an `http` block, get. */
struct gy_plan_making {
    struct gy_serve_plan *plan;
    struct gy_plan_owned *owned;
    struct gy_plan_block *block;   /* whose keys are read; NULL outside of one */
    struct gy_plan_host *host;     /* of it */
    struct gy_header_rules *rules; /* of the host, or of a path */
};

/* One HTTP server of the plan: what the kind calls `server`. */
struct gy_plan_block {
    struct gy_plan_making making;         /* first: it is what the keys get */
    const struct gy_server_setup *setup;  /* once its keys are read */
    const struct gy_config_directive *at; /* NULL: of no block */
    bool logs;                            /* to the access log */
    struct gy_http_server http;
    struct gy_site site;
    struct gy_vhosts vhosts;
    struct gy_plan_host *hosts[GY_VHOSTS_MAX]; /* [0] is for all other names */
    uint32_t host_count;
    const struct gy_config_directive *unknown_host;
    struct gy_h1_limits limits;
    bool line_given, head_given;
    struct gy_visitors_options visits;
    const struct gy_config_directive *visits_at; /* what is of no use without a limit */
    struct gy_visitors visitors;
    void *visitors_memory;
    struct gy_tls_keys tls;
};

/* What a plan owns. */
struct gy_plan_owned {
    struct gy_plan_making making;
    const struct gy_plan_flags *flags;
    struct gy_config *config;
    struct gy_kinds kinds;
    struct gy_admin *admin;
};

/* The kind `http`. Its owner is the struct gy_plan_making of the file. */
extern const struct gy_server_kind gy_plan_http_kind;

/* ---- hosts ---- */

/* Adds a host. NULL when there is no memory, or no place. */
struct gy_plan_host *gy_plan_host_add(struct gy_plan_block *block, const char *name);
void gy_plan_host_free(struct gy_plan_host *host);

/* Takes a `host` block, and `unknown-host`. */
int gy_plan_take_host(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error);
int gy_plan_take_unknown_host(void *context, const struct gy_config_directive *directive,
                              struct gy_error *error);

/* The keys that a host has, and an `http` block for all other names. */
int gy_plan_take_host_key(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error);
int gy_plan_take_compress(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error);
int gy_plan_take_path(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error);

int gy_plan_take_websocket(void *context, const struct gy_config_directive *directive,
                           struct gy_error *error);
void gy_plan_free_websockets(struct gy_plan_host *host);

#define GY_PLAN_HOST_KEYS                                                                          \
    {"root", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_host_key, "DIR"},                           \
        {"listing", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_host_key, "on or off"},              \
        {"precompressed", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_host_key, "on or off"},        \
        {"sendfile", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_host_key, "on or off"},             \
        {"cache", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_host_key, "MIB"},                      \
        {"compress",                                                                               \
         1,                                                                                        \
         3,                                                                                        \
         GY_CONFIG_PLAIN,                                                                          \
         true,                                                                                     \
         gy_plan_take_compress,                                                                    \
         "on, off, or br zstd gzip"},                                                              \
        {"compress-level", 2, 2, GY_CONFIG_PLAIN, false, gy_plan_take_compress, "CODING LEVEL"},   \
        {"compress-min", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_compress, "BYTES"},             \
        {"compress-types",      1,        GY_COMPRESS_TYPES_MAX, GY_CONFIG_PLAIN, true,            \
         gy_plan_take_compress, "TYPE..."},                                                        \
        {"compress-cache", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_compress, "MIB"},             \
        {"fixed", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_host_key, "on"},                       \
        {"redirect",                                                                               \
         2,                                                                                        \
         3,                                                                                        \
         GY_CONFIG_PLAIN,                                                                          \
         false,                                                                                    \
         gy_plan_take_host_key,                                                                    \
         "FROM TO [301, 302, 303, 307 or 308]"},                                                   \
        {"error-page", 2, 16, GY_CONFIG_PLAIN, false, gy_plan_take_host_key, "STATUS... /PATH"},   \
        {"header", 1, 3, GY_CONFIG_PLAIN, false, gy_plan_take_host_key, "NAME VALUE [always]"},    \
        {"websocket", 1, 1, GY_CONFIG_BLOCK, false, gy_plan_take_websocket, "/PATH"},              \
    {                                                                                              \
        "path", 1, 1, GY_CONFIG_BLOCK, false, gy_plan_take_path, "/PREFIX/"                        \
    }

/* What the hosts inherit, and what makes no sense: once the whole block is read. */
int gy_plan_settle_hosts(struct gy_plan_block *block, struct gy_error *error);

/* Opens what they serve. */
int gy_plan_open_hosts(struct gy_plan_block *block, const struct gy_plan_flags *flags,
                       uint32_t workers, struct gy_error *error);

/* ---- limits ---- */

int gy_plan_take_size(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error);
int gy_plan_take_count(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error);
int gy_plan_take_timeout(void *context, const struct gy_config_directive *directive,
                         struct gy_error *error);
int gy_plan_take_limit(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error);

#define GY_PLAN_LIMIT_KEYS                                                                         \
    {"max-line", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_size, "8k"},                            \
        {"max-head", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_size, "16k"},                       \
        {"max-body", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_size, "1m"},                        \
        {"max-fields", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_count, "N"},                      \
        {"max-requests", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_count, "N"},                    \
        {"header-timeout", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_timeout, "10s"},              \
        {"idle-timeout", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_timeout, "60s"},                \
        {"body-timeout", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_timeout, "30s"},                \
        {"write-timeout", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_timeout, "30s"},               \
        {"limit-connections", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_limit, "N"},               \
        {"limit-rate", 1, 3, GY_CONFIG_PLAIN, true, gy_plan_take_limit, "10/s [burst 20]"},        \
        {"limit-exempt", 1, 16, GY_CONFIG_PLAIN, false, gy_plan_take_limit, "192.0.2.0/24..."},    \
        {"limit-prefix", 2, 2, GY_CONFIG_PLAIN, true, gy_plan_take_limit, "32 64"},                \
    {                                                                                              \
        "limit-table", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_limit, "N"                        \
    }

/* The defaults; what makes no sense together; the table of addresses, if there is a limit. */
void gy_plan_default_limits(struct gy_plan_block *block);
int gy_plan_settle_limits(struct gy_plan_block *block, struct gy_error *error);
void gy_plan_free_limits(struct gy_plan_block *block);

/* ---- TLS ---- */

int gy_plan_take_tls(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error);

#define GY_PLAN_TLS_KEYS                                                                           \
    {"certificate", 1, 2, GY_CONFIG_PLAIN, false, gy_plan_take_tls, "FILE [KEY]"},                 \
        {"client-certificates",                                                                    \
         2,                                                                                        \
         2,                                                                                        \
         GY_CONFIG_PLAIN,                                                                          \
         true,                                                                                     \
         gy_plan_take_tls,                                                                         \
         "required or optional, AUTHORITIES"},                                                     \
        {"session-tickets", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_tls, "on or off"},           \
        {"stapling-file", 1, 1, GY_CONFIG_PLAIN, false, gy_plan_take_tls, "FILE"},                 \
    {                                                                                              \
        "early-data", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_tls, "on or off"                   \
    }

/* Reads the certificates, of the block and of `--tls FLAG` (NULL: not given). */
int gy_plan_open_tls(struct gy_plan_block *block, const char *flag, struct gy_error *error);

/* Logs which hosts of the block clients will refuse to talk to: those that no certificate of it is
 * for. Patterns are left out, as they may stand for more than is asked for. */
void gy_plan_tell_unnamed_hosts(const struct gy_plan_block *block);

/* Mebibytes of a cache, for --cache and the key. `error` may be NULL. */
#define GY_PLAN_CACHE_MIB_MAX (1u << 20)
int gy_plan_read_cache(const char *text, uint64_t *bytes, struct gy_error *error);

#endif
