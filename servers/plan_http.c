/* SPDX-License-Identifier: GPL-3.0-or-later */

/* An `http` block: its keys, and what it serves. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/address.h"
#include "servers/plan_internal.h"

static void fixed_request(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", GY_PLAN_FIXED_TEXT, sizeof GY_PLAN_FIXED_TEXT - 1);
}

const struct gy_http_handler gy_plan_fixed_handler = {.request = fixed_request};

/* ---- keys ---- */

static int take_listen(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_plan_making *making = context;
    struct gy_serve_server *server = making->block->server;
    struct gy_address address;
    struct gy_error why = {0};
    if (gy_address_parse(&address, directive->values[0], &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    if (server->address_count == GY_SERVE_ADDRESSES_MAX) {
        return gy_config_error(directive, error, "a server listens on at most %d addresses",
                               GY_SERVE_ADDRESSES_MAX);
    }
    for (uint32_t b = 0; b < making->owned->block_count; b++) {
        const struct gy_serve_server *other = making->owned->blocks[b]->server;
        for (uint32_t a = 0; a < other->address_count; a++) {
            if (gy_address_port(&address) != 0 &&
                strcmp(other->addresses[a], directive->values[0]) == 0) {
                return gy_config_error(directive, error,
                                       "%s is listened on already, by the server %s; one address "
                                       "is for one server",
                                       directive->values[0], making->owned->blocks[b]->name);
            }
        }
    }
    server->addresses[server->address_count++] = directive->values[0];
    return 0;
}

static int take_logs(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_plan_making *making = context;
    return gy_config_switch(directive, 0, &making->block->logs, error);
}

static const struct gy_config_key http_keys[] = {
    {"listen", 1, 1, GY_CONFIG_PLAIN, false, take_listen, "ADDRESS:PORT"},
    {"host", 1, 16, GY_CONFIG_BLOCK, false, gy_plan_take_host, "NAME..."},
    {"unknown-host", 1, 1, GY_CONFIG_PLAIN, true, gy_plan_take_unknown_host, "404 or 421"},
    GY_PLAN_HOST_KEYS,
    GY_PLAN_LIMIT_KEYS,
    {"access-log", 1, 1, GY_CONFIG_PLAIN, true, take_logs, "on or off"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- servers ---- */

struct gy_plan_block *gy_plan_block_add(struct gy_plan_making *making, const char *name)
{
    struct gy_plan_owned *owned = making->owned;
    if (owned->block_count + 1 >= GY_SERVE_SERVERS_MAX) { /* one is for the admin listener */
        return NULL;
    }
    struct gy_plan_block *block = calloc(1, sizeof *block);
    if (block == NULL) {
        return NULL;
    }
    snprintf(block->name, sizeof block->name, "%s", name);
    block->logs = true;
    block->http.handler = &gy_site_handler;
    block->http.context = &block->site;
    block->http.limits = &block->limits;
    block->site.http = &block->http;
    gy_plan_default_limits(block);
    if (gy_plan_host_add(block, "*") == NULL) {
        gy_plan_block_free(block);
        return NULL;
    }
    block->server = gy_serve_plan_http(making->plan, block->name, &block->http);
    gy_assert(block->server != NULL);
    owned->blocks[owned->block_count++] = block;
    return block;
}

void gy_plan_block_free(struct gy_plan_block *block)
{
    for (uint32_t i = 0; i < block->host_count; i++) {
        gy_plan_host_free(block->hosts[i]);
    }
    gy_vhosts_close(&block->vhosts);
    gy_plan_free_limits(block);
    free(block);
}

int gy_plan_take_http(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_plan_making *making = context;
    const struct gy_plan_owned *owned = making->owned;
    char name[32];
    snprintf(name, sizeof name, owned->block_count == 0 ? "http" : "http-%u",
             owned->block_count + 1);
    if (directive->value_count == 1) {
        snprintf(name, sizeof name, "%s", directive->values[0]);
    }
    for (uint32_t i = 0; i < owned->block_count; i++) {
        if (strcmp(owned->blocks[i]->name, name) == 0) {
            return gy_config_error(directive, error,
                                   "there is a server of the name %s already, at "
                                   "%s:%u; metrics tell servers apart by name",
                                   name, owned->blocks[i]->at->file, owned->blocks[i]->at->line);
        }
    }
    making->block = gy_plan_block_add(making, name);
    if (making->block == NULL) {
        return gy_config_error(directive, error, "there can be %d servers, and memory for them",
                               GY_SERVE_SERVERS_MAX - 1);
    }
    making->block->at = directive;
    making->host = making->block->hosts[0];
    making->host->at = directive;
    making->rules = &making->host->headers;
    int code = gy_config_apply(directive->block, http_keys, COUNT(http_keys), making, error);
    if (code == 0 && making->block->server->address_count == 0) {
        code = gy_config_error(directive, error,
                               "it listens nowhere; write listen ADDRESS:PORT; in its block");
    }
    code = code == 0 ? gy_plan_settle_limits(making->block, error) : code;
    return code == 0 ? gy_plan_settle_hosts(making->block, error) : code;
}
