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

static int take_logs(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_plan_making *making = context;
    return gy_config_switch(directive, 0, &making->block->logs, error);
}

static const struct gy_config_key http_keys[] = {
    {"host", 1, 16, GY_CONFIG_BLOCK, false, gy_plan_take_host, "NAME..."},
    {"unknown-host", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_unknown_host, "404 or 421"},
    GY_PLAN_HOST_KEYS,
    GY_PLAN_LIMIT_KEYS,
    GY_PLAN_TLS_KEYS,
    {"access-log", 1, 1, GY_CONFIG_PLAIN, true, take_logs, "on or off"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the kind ---- */

static int http_begin(void *server, void *owner)
{
    struct gy_plan_block *block = server;
    const struct gy_plan_making *making = owner;
    block->making =
        (struct gy_plan_making){.plan = making->plan, .owned = making->owned, .block = block};
    block->logs = true;
    block->http.handler = &gy_site_handler;
    block->http.context = &block->site;
    block->http.limits = &block->limits;
    block->site.http = &block->http;
    gy_plan_default_limits(block);
    block->making.host = gy_plan_host_add(block, "*");
    if (block->making.host == NULL) {
        return GY_ENOMEM;
    }
    block->making.rules = &block->making.host->headers;
    return 0;
}

static void http_close(void *server)
{
    struct gy_plan_block *block = server;
    for (uint32_t i = 0; i < block->host_count; i++) {
        gy_plan_host_free(block->hosts[i]);
    }
    gy_vhosts_close(&block->vhosts);
    gy_plan_free_limits(block);
    gy_tls_keys_close(&block->tls);
}

/* Once all keys are read: what they inherit from each other, and what makes no sense together. */
static int http_settle(void *server, const struct gy_server_setup *setup,
                       const struct gy_config_directive *at, struct gy_error *error)
{
    struct gy_plan_block *block = server;
    block->setup = setup;
    block->at = at;
    block->hosts[0]->at = at;
    int code = gy_plan_settle_limits(block, error);
    code = code == 0 ? gy_tls_keys_settle(&block->tls, error) : code;
    return code == 0 ? gy_plan_settle_hosts(block, error) : code;
}

/* One fixed answer, files, or the built-in site; for each host. */
static int http_open(void *server, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct gy_plan_block *block = server;
    block->setup = setup;
    block->http.access_log = block->logs ? block->making.plan->access_log : NULL;
    const struct gy_plan_flags *flags = block->making.owned->flags;
    int code = gy_plan_open_tls(block, block->at == NULL ? flags->tls : NULL, error);
    return code == 0 ? gy_plan_open_hosts(block, flags, setup->workers, error) : code;
}

static int http_load(void *server, struct gy_error *error)
{
    (void)error;
    gy_plan_tell_unnamed_hosts(server);
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
    .settle = http_settle,
    .open = http_open,
    .close = http_close,
    .load = http_load,
    .fill = http_fill,
    .metrics = &gy_http_metrics,
    .counts = http_counts,
};
