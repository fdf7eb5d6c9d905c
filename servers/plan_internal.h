/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PLAN_INTERNAL_H
#define GY_SERVERS_PLAN_INTERNAL_H

/* What plan.c (flags, the file's own keys, the plan) and plan_http.c (an `http` block) share. */

#include "../core/config.h"
#include "admin/admin.h"
#include "http/http_server.h"
#include "http/site.h"
#include "plan.h"

#define GY_PLAN_FIXED_TEXT "Hello, world!"

/* One HTTP server of the plan. */
struct gy_plan_block {
    char name[32];
    bool fixed;
    bool logs; /* to the access log */
    const struct gy_config_directive *at;
    struct gy_serve_server *server;
    struct gy_http_server http;
    struct gy_site site;
    struct gy_files_options file_options; /* of `root`; a directory of NULL: no files */
    struct gy_files files;
    bool files_open;
};

/* What a plan owns. */
struct gy_plan_owned {
    struct gy_config *config;
    struct gy_plan_block *blocks[GY_SERVE_SERVERS_MAX];
    uint32_t block_count;
    struct gy_admin *admin;
};

/* Where `take` puts things. */
struct gy_plan_making {
    struct gy_serve_plan *plan;
    struct gy_plan_owned *owned;
    struct gy_plan_block *block; /* the one that is read now */
};

/* Adds an HTTP server. NULL when there is no memory, or no place. */
struct gy_plan_block *gy_plan_block_add(struct gy_plan_making *making, const char *name);
void gy_plan_block_free(struct gy_plan_block *block);

/* Takes an `http` block. */
int gy_plan_take_http(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error);

/* One fixed answer, files, or the built-in site: opens what the block serves. */
int gy_plan_choose_handler(struct gy_plan_block *block, const struct gy_plan_flags *flags,
                           struct gy_error *error);

/* Mebibytes of a cache, for --cache and the key. `error` may be NULL. */
#define GY_PLAN_CACHE_MIB_MAX (1u << 20)
int gy_plan_read_cache(const char *text, uint64_t *bytes, struct gy_error *error);

#endif
