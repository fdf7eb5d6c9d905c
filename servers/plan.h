/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PLAN_H
#define GY_SERVERS_PLAN_H

/*
 * What the commands serve: flags and the configuration file become a plan (servers/serve.h).
 * The keys of the file are listed in docs/configuration.md. A flag that is given overrides the key
 * of the same name.
 */

#include "../protocols/http/http.h"
#include "chat/chat_kind.h"
#include "dns/dns_kind.h"
#include "http/files.h"
#include "rudp/rudp_kind.h"
#include "serve.h"

#define GY_PLAN_FLAGS_MAX 64

/* What the command line said. */
struct gy_plan_flags {
    const char *config; /* --config: a file, or NULL */
    bool check;         /* --check: say whether it could be served, and do not */
    bool fixed;         /* --fixed: one fixed answer */
    bool needs_server;  /* `gyre serve`: the file says what is served, or it is an error */
    const struct gy_dns_flags *dns;   /* `gyre dns`: its zones; NULL: HTTP, or */
    const struct gy_rudp_flags *rudp; /* `gyre rudp serve` */
    const struct gy_chat_flags *chat; /* `gyre chat serve` */
    const char *tls; /* --tls: a certificate, and its key behind a comma; or NULL */
    struct gy_files_options
        files;      /* DIR, --no-listing, --no-precompressed, --no-sendfile, --cache */
    uint32_t count; /* of the common flags, to be applied over what the file says */
    struct {
        char name[32];
        const char *value;
    } given[GY_PLAN_FLAGS_MAX];
};

/* Reads argv[*index]: --config, --check, and the common flags, whose values are checked. Moves
 * *index to the last argument used. 1: taken; 0: it is none of these; negative: GY_EINVAL. */
int gy_plan_flag(struct gy_plan_flags *flags, int argc, char **argv, int *index,
                 struct gy_error *error);

/* The same for what `gyre http` takes besides: DIR, and how its files are served. */
int gy_plan_http_flag(struct gy_plan_flags *flags, int argc, char **argv, int *index,
                      struct gy_error *error);

/* gy_serve_hooks.make; `context` is a struct gy_plan_flags. */
int gy_plan_make(void *context, struct gy_serve_plan *plan, struct gy_error *error);

/* Makes a plan, prints what it would serve, or the error. The exit status: 0 or 1. */
int gy_plan_check(struct gy_plan_flags *flags);

/* "Hello, world!" to everything. */
extern const struct gy_http_handler gy_plan_fixed_handler;

extern const char gy_plan_flags_help[];
extern const char gy_plan_http_flags_help[];

#endif
