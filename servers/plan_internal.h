/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PLAN_INTERNAL_H
#define GY_SERVERS_PLAN_INTERNAL_H

/* What plan.c (flags, the file's own keys, the plan) and plan_http.c (an `http` block) share. */

#include "../core/config.h"
#include "admin/admin.h"
#include "http/http_server.h"
#include "http/site.h"
#include "kinds.h"
#include "plan.h"

#define GY_PLAN_FIXED_TEXT "Hello, world!"

/* What keys of the file, and of an `http` block, get. */
struct gy_plan_making {
    struct gy_serve_plan *plan;
    struct gy_plan_owned *owned;
    struct gy_plan_block *block; /* whose keys are read; NULL outside of one */
};

/* One HTTP server of the plan: what the kind calls `server`. */
struct gy_plan_block {
    struct gy_plan_making making; /* first: it is what the keys get */
    bool fixed;
    bool logs; /* to the access log */
    struct gy_http_server http;
    struct gy_site site;
    struct gy_files_options file_options; /* of `root`; a directory of NULL: no files */
    struct gy_files files;
    bool files_open;
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

/* Mebibytes of a cache, for --cache and the key. `error` may be NULL. */
#define GY_PLAN_CACHE_MIB_MAX (1u << 20)
int gy_plan_read_cache(const char *text, uint64_t *bytes, struct gy_error *error);

#endif
