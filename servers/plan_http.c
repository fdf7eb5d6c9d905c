/* SPDX-License-Identifier: GPL-3.0-or-later */

/* An `http` block: its keys, and what it serves. */

#include <string.h>

#include "servers/plan_internal.h"

static void fixed_request(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", GY_PLAN_FIXED_TEXT, sizeof GY_PLAN_FIXED_TEXT - 1);
}

const struct gy_http_handler gy_plan_fixed_handler = {.request = fixed_request};

/* ---- keys ---- */

static int take_fixed(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_plan_making *making = context;
    return gy_config_switch(directive, 0, &making->block->fixed, error);
}

static int take_logs(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_plan_making *making = context;
    return gy_config_switch(directive, 0, &making->block->logs, error);
}

static int take_root(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    (void)error;
    struct gy_plan_making *making = context;
    making->block->file_options.directory = directive->values[0];
    return 0;
}

static int take_file_switch(void *context, const struct gy_config_directive *directive,
                            struct gy_error *error)
{
    struct gy_plan_making *making = context;
    struct gy_files_options *files = &making->block->file_options;
    bool on;
    int code = gy_config_switch(directive, 0, &on, error);
    if (code == 0) {
        *(strcmp(directive->key, "listing") == 0 ? &files->no_listing : &files->no_precompressed) =
            !on;
    }
    return code;
}

static int take_cache(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_plan_making *making = context;
    uint64_t *bytes = &making->block->file_options.cache_bytes;
    if (gy_plan_read_cache(directive->values[0], bytes, NULL) != 0) {
        return gy_config_error(directive, error, "%s is not a number of mebibytes from 1 to %u",
                               directive->values[0], GY_PLAN_CACHE_MIB_MAX);
    }
    return 0;
}

static const struct gy_config_key http_keys[] = {
    {"root", 1, 1, GY_CONFIG_PLAIN, true, take_root, "DIR"},
    {"listing", 1, 1, GY_CONFIG_PLAIN, true, take_file_switch, "on or off"},
    {"precompressed", 1, 1, GY_CONFIG_PLAIN, true, take_file_switch, "on or off"},
    {"cache", 1, 1, GY_CONFIG_PLAIN, true, take_cache, "MIB"},
    {"fixed", 1, 1, GY_CONFIG_PLAIN, true, take_fixed, "on"},
    {"access-log", 1, 1, GY_CONFIG_PLAIN, true, take_logs, "on or off"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the kind ---- */

static void http_begin(void *server, void *owner)
{
    struct gy_plan_block *block = server;
    const struct gy_plan_making *making = owner;
    block->making = (struct gy_plan_making){making->plan, making->owned, block};
    block->logs = true;
    block->http.handler = &gy_site_handler;
    block->http.context = &block->site;
    block->site.http = &block->http;
}

static void http_close(void *server)
{
    struct gy_plan_block *block = server;
    if (block->files_open) {
        gy_files_close(&block->files);
    }
}

/* One fixed answer, files, or the built-in site. */
static int http_open(void *server, const struct gy_server_setup *setup, struct gy_error *error)
{
    (void)setup;
    struct gy_plan_block *block = server;
    const char *directory = block->file_options.directory;
    bool flag = block->making.owned->flags->fixed;
    block->http.access_log = block->logs ? block->making.plan->access_log : NULL;
    if ((block->fixed || flag) && directory != NULL) {
        return gy_error_set(error, GY_EINVAL, "%sa fixed answer needs no files; leave %s away",
                            flag ? "--fixed: " : "", directory);
    }
    if (block->fixed || flag) {
        block->http.handler = &gy_plan_fixed_handler;
    }
    if (directory == NULL) {
        return 0;
    }
    int code = gy_files_open(&block->files, &block->file_options, error);
    if (code != 0) {
        return code;
    }
    block->files_open = true;
    gy_files_serve(&block->files, &block->http);
    return 0;
}

static void http_fill(void *server, struct gy_server *core)
{
    struct gy_plan_block *block = server;
    gy_http_server_init(core, &block->http, core->descriptors);
}

static const void *http_counts(const void *server)
{
    const struct gy_plan_block *block = server;
    return block->http.counts;
}

const struct gy_server_kind gy_plan_http_kind = {
    .name = "http",
    .server_bytes = sizeof(struct gy_plan_block),
    .keys = http_keys,
    .key_count = COUNT(http_keys),
    .begin = http_begin,
    .open = http_open,
    .close = http_close,
    .fill = http_fill,
    .metrics = &gy_http_metrics,
    .counts = http_counts,
};
