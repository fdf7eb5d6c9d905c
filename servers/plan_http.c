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
    {"listen", 1, 1, GY_CONFIG_PLAIN, false, take_listen, "ADDRESS:PORT"},
    {"root", 1, 1, GY_CONFIG_PLAIN, true, take_root, "DIR"},
    {"listing", 1, 1, GY_CONFIG_PLAIN, true, take_file_switch, "on or off"},
    {"precompressed", 1, 1, GY_CONFIG_PLAIN, true, take_file_switch, "on or off"},
    {"cache", 1, 1, GY_CONFIG_PLAIN, true, take_cache, "MIB"},
    {"fixed", 1, 1, GY_CONFIG_PLAIN, true, take_fixed, "on"},
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
    block->site.http = &block->http;
    block->server = gy_serve_plan_http(making->plan, block->name, &block->http);
    gy_assert(block->server != NULL);
    owned->blocks[owned->block_count++] = block;
    return block;
}

void gy_plan_block_free(struct gy_plan_block *block)
{
    if (block->files_open) {
        gy_files_close(&block->files);
    }
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
    int code = gy_config_apply(directive->block, http_keys, COUNT(http_keys), making, error);
    if (code == 0 && making->block->server->address_count == 0) {
        code = gy_config_error(directive, error,
                               "it listens nowhere; write listen ADDRESS:PORT; in its block");
    }
    return code;
}

/* One fixed answer, files, or the built-in site. */
int gy_plan_choose_handler(struct gy_plan_block *block, const struct gy_plan_flags *flags,
                           struct gy_error *error)
{
    bool fixed = block->fixed || flags->fixed;
    const char *directory = block->file_options.directory;
    if (fixed && directory != NULL) {
        struct gy_error why = {0};
        gy_error_set(&why, GY_EINVAL, "a fixed answer needs no files; leave %s away", directory);
        return block->at != NULL ? gy_config_error(block->at, error, "%s", why.message)
                                 : gy_error_set(error, GY_EINVAL, "--fixed: %s", why.message);
    }
    if (fixed) {
        block->http.handler = &gy_plan_fixed_handler;
    }
    if (directory == NULL) {
        return 0;
    }
    struct gy_error why = {0};
    int code = gy_files_open(&block->files, &block->file_options, &why);
    if (code != 0) {
        return block->at != NULL ? gy_config_error(block->at, error, "%s", why.message)
                                 : gy_error_set(error, code, "%s", why.message);
    }
    block->files_open = true;
    gy_files_serve(&block->files, &block->http);
    return 0;
}
