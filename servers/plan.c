/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/address.h"
#include "core/config.h"
#include "servers/admin/admin.h"
#include "servers/http/http_server.h"
#include "servers/http/site.h"
#include "servers/privilege.h"

const char gy_plan_flags_help[] =
    "  --config FILE           read FILE, which SIGHUP reads again\n"
    "  --check                 say whether that could be served, and do not\n";

#define FIXED_TEXT "Hello, world!"

const char gy_plan_http_flags_help[] =
    "  --no-listing            404 for a directory without index.html\n"
    "  --no-precompressed, --no-compress   no name.br, name.zst, name.gz; none made of other "
    "files\n"
    "  --cache MIB             memory for file contents, per worker (default: 64)\n"
    "  --fixed                 answer every request with \"" FIXED_TEXT "\"\n";

#define CACHE_MIB_MAX (1u << 20)

static void fixed_request(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", FIXED_TEXT, sizeof FIXED_TEXT - 1);
}

const struct gy_http_handler gy_plan_fixed_handler = {.request = fixed_request};

/* One HTTP server of the plan. */
struct block {
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
struct owned {
    struct gy_config *config;
    struct block *blocks[GY_SERVE_SERVERS_MAX];
    uint32_t block_count;
    struct gy_admin *admin;
};

/* ---- flags ---- */

int gy_plan_flag(struct gy_plan_flags *flags, int argc, char **argv, int *index,
                 struct gy_error *error)
{
    const char *argument = argv[*index];
    if (strncmp(argument, "--", 2) != 0) {
        return 0;
    }
    if (strcmp(argument, "--check") == 0) {
        flags->check = true;
        return 1;
    }
    const char *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) - 2 : strlen(argument) - 2;
    const char *next = *index + 1 < argc ? argv[*index + 1] : NULL;
    const char *value = equals != NULL ? equals + 1 : next;
    if (flags->count == GY_PLAN_FLAGS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "%s: more than %d flags", argument,
                            GY_PLAN_FLAGS_MAX);
    }
    char *name = flags->given[flags->count].name;
    if (length >= sizeof flags->given[0].name) {
        return 0;
    }
    memcpy(name, argument + 2, length);
    name[length] = '\0';
    if (strcmp(name, "config") == 0) {
        if (value == NULL) {
            return gy_error_set(error, GY_EINVAL, "--config needs a value");
        }
        flags->config = value;
        *index += equals == NULL;
        return 1;
    }
    struct gy_serve_options scratch = gy_serve_defaults();
    int taken = gy_serve_flag(&scratch, name, value, error);
    if (taken == 2 && equals != NULL) {
        return gy_error_set(error, GY_EINVAL, "--%s takes no value", name);
    }
    if (taken > 0) {
        flags->given[flags->count++].value = taken == 1 ? value : NULL;
        *index += taken == 1 && equals == NULL;
    }
    return taken < 0 ? taken : taken > 0;
}

static int read_cache(const char *text, uint64_t *bytes, struct gy_error *error)
{
    char *end = NULL;
    unsigned long mebibytes = text != NULL ? strtoul(text, &end, 10) : 0;
    if (text == NULL || text[0] < '0' || text[0] > '9' || *end != '\0' || mebibytes < 1 ||
        mebibytes > CACHE_MIB_MAX) {
        return gy_error_set(error, GY_EINVAL, "--cache %s: not a number from 1 to %u",
                            text != NULL ? text : "", CACHE_MIB_MAX);
    }
    *bytes = (uint64_t)mebibytes << 20;
    return 0;
}

int gy_plan_http_flag(struct gy_plan_flags *flags, int argc, char **argv, int *index,
                      struct gy_error *error)
{
    const char *argument = argv[*index];
    struct gy_files_options *files = &flags->files;
    if (argument[0] != '-' && argument[0] != '\0' && files->directory == NULL) {
        files->directory = argument;
    } else if (strcmp(argument, "--fixed") == 0) {
        flags->fixed = true;
    } else if (strcmp(argument, "--no-listing") == 0) {
        files->no_listing = true;
    } else if (strcmp(argument, "--no-precompressed") == 0) {
        files->no_precompressed = true;
    } else if (strcmp(argument, "--no-compress") == 0) {
        files->compress.off = true;
    } else if (strncmp(argument, "--cache=", 8) == 0) {
        int code = read_cache(argument + 8, &files->cache_bytes, error);
        return code != 0 ? code : 1;
    } else if (strcmp(argument, "--cache") == 0) {
        const char *value = *index + 1 < argc ? argv[++*index] : NULL;
        int code = read_cache(value, &files->cache_bytes, error);
        return code != 0 ? code : 1;
    } else {
        return 0;
    }
    return 1;
}

/* ---- keys ---- */

/* Where `take` puts things. */
struct making {
    struct gy_serve_plan *plan;
    struct owned *owned;
    struct block *block; /* the one that is read now */
};

/* A key with the name, the value and the checks of a flag. */
static int take_flag(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct making *making = context;
    struct gy_error flag = {0};
    if (gy_serve_flag(&making->plan->options, directive->key, directive->values[0], &flag) > 0) {
        return 0;
    }
    /* "--workers many: not a number": the name is there already. */
    const char *why = strstr(flag.message, ": ");
    bool named = strncmp(flag.message, "--", 2) == 0 && why != NULL;
    return gy_config_error(directive, error, "%s%s%s", named ? directive->values[0] : "",
                           named ? ": " : "", named ? why + 2 : flag.message);
}

static int take_switch(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct making *making = context;
    bool on;
    int code = gy_config_switch(directive, 0, &on, error);
    if (code == 0 && strcmp(directive->key, "log-json") == 0) {
        making->plan->options.log_json = on;
    } else if (code == 0) {
        making->plan->options.unpinned = on;
    }
    return code;
}

static int take_drain_timeout(void *context, const struct gy_config_directive *directive,
                              struct gy_error *error)
{
    struct making *making = context;
    uint64_t ms;
    int code = gy_config_time(directive, 0, 86400000, &ms, error);
    if (code == 0) {
        making->plan->options.drain_timeout_ms = (uint32_t)ms;
    }
    return code;
}

static int take_access_log(void *context, const struct gy_config_directive *directive,
                           struct gy_error *error)
{
    struct making *making = context;
    struct gy_serve_options *options = &making->plan->options;
    enum gy_access_format format = (enum gy_access_format)options->access_format;
    if (directive->value_count == 2 && gy_access_format_parse(directive->values[1], &format) != 0) {
        return gy_config_error(directive, error, "%.64s is no format; write combined or json",
                               directive->values[1]);
    }
    bool off = strcmp(directive->values[0], "off") == 0;
    options->access_log = off ? NULL : directive->values[0];
    options->access_format = (int)format;
    return 0;
}

static int take_user(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct making *making = context;
    struct gy_identity identity;
    struct gy_error why = {0};
    if (gy_identity_find(&identity, directive->values[0], &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    making->plan->options.user = directive->values[0];
    return 0;
}

static int take_listen(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct making *making = context;
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
    struct making *making = context;
    return gy_config_switch(directive, 0, &making->block->fixed, error);
}

static int take_logs(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct making *making = context;
    return gy_config_switch(directive, 0, &making->block->logs, error);
}

static int take_root(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    (void)error;
    struct making *making = context;
    making->block->file_options.directory = directive->values[0];
    return 0;
}

static int take_file_switch(void *context, const struct gy_config_directive *directive,
                            struct gy_error *error)
{
    struct making *making = context;
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
    struct making *making = context;
    uint64_t *bytes = &making->block->file_options.cache_bytes;
    if (read_cache(directive->values[0], bytes, NULL) != 0) {
        return gy_config_error(directive, error, "%s is not a number of mebibytes from 1 to %u",
                               directive->values[0], CACHE_MIB_MAX);
    }
    return 0;
}

static int take_compress(void *context, const struct gy_config_directive *directive,
                         struct gy_error *error)
{
    struct making *making = context;
    return gy_compress_take(&making->block->file_options.compress, directive, error);
}

static int take_http(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error);

static const struct gy_config_key http_keys[] = {
    {"listen", 1, 1, GY_CONFIG_PLAIN, false, take_listen, "ADDRESS:PORT"},
    {"root", 1, 1, GY_CONFIG_PLAIN, true, take_root, "DIR"},
    {"listing", 1, 1, GY_CONFIG_PLAIN, true, take_file_switch, "on or off"},
    {"precompressed", 1, 1, GY_CONFIG_PLAIN, true, take_file_switch, "on or off"},
    {"cache", 1, 1, GY_CONFIG_PLAIN, true, take_cache, "MIB"},
    {"compress", 1, 3, GY_CONFIG_PLAIN, true, take_compress, "on, off, or br zstd gzip"},
    {"compress-level", 2, 2, GY_CONFIG_PLAIN, false, take_compress, "CODING LEVEL"},
    {"compress-min", 1, 1, GY_CONFIG_PLAIN, true, take_compress, "BYTES"},
    {"compress-types", 1, GY_COMPRESS_TYPES_MAX, GY_CONFIG_PLAIN, true, take_compress, "TYPE…"},
    {"compress-cache", 1, 1, GY_CONFIG_PLAIN, true, take_compress, "MIB"},
    {"fixed", 1, 1, GY_CONFIG_PLAIN, true, take_fixed, "on"},
    {"access-log", 1, 1, GY_CONFIG_PLAIN, true, take_logs, "on or off"},
};

static const struct gy_config_key keys[] = {
    {"workers", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "N"},
    {"connections", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "N"},
    {"drain-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_drain_timeout, "10s"},
    {"log-level", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "LEVEL"},
    {"log-json", 1, 1, GY_CONFIG_PLAIN, true, take_switch, "on"},
    {"unpinned", 1, 1, GY_CONFIG_PLAIN, true, take_switch, "on"},
    {"receive-mode", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "MODE"},
    {"without", 1, 1, GY_CONFIG_PLAIN, false, take_flag, "FEATURE"},
    {"admin", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "ADDRESS:PORT"},
    {"access-log", 1, 2, GY_CONFIG_PLAIN, true, take_access_log, "FILE [combined or json]"},
    {"user", 1, 1, GY_CONFIG_PLAIN, true, take_user, "USER or USER:GROUP"},
    {"http", 0, 1, GY_CONFIG_BLOCK, false, take_http, "[NAME]"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- servers ---- */

/* NULL when there is no memory, or no place. */
static struct block *block_add(struct making *making, const char *name)
{
    struct owned *owned = making->owned;
    if (owned->block_count + 1 >= GY_SERVE_SERVERS_MAX) { /* one is for the admin listener */
        return NULL;
    }
    struct block *block = calloc(1, sizeof *block);
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

static int take_http(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct making *making = context;
    const struct owned *owned = making->owned;
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
    making->block = block_add(making, name);
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

static void release(struct gy_serve_plan *plan)
{
    struct owned *owned = plan->owned;
    for (uint32_t i = 0; i < owned->block_count; i++) {
        if (owned->blocks[i]->files_open) {
            gy_files_close(&owned->blocks[i]->files);
        }
        free(owned->blocks[i]);
    }
    if (owned->admin != NULL) {
        gy_admin_close(owned->admin);
        free(owned->admin);
    }
    gy_config_free(owned->config);
    free(owned);
}

/* ---- the plan ---- */

/* Without a file, or with one that has no server in it. */
static int serve_flags(struct making *making, const struct gy_plan_flags *flags,
                       struct gy_error *error)
{
    const struct gy_serve_options *options = &making->plan->options;
    struct block *block = block_add(making, "http");
    if (block == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    block->file_options = flags->files;
    struct gy_serve_server *server = block->server;
    memcpy(server->addresses, options->addresses, sizeof server->addresses);
    server->address_count = options->address_count;
    if (server->address_count == 0) {
        server->address_count = gy_serve_inherited(server->addresses, GY_SERVE_ADDRESSES_MAX);
    }
    if (server->address_count == 0) {
        server->addresses[server->address_count++] = "127.0.0.1:8080";
    }
    return 0;
}

static int add_admin(struct making *making, struct gy_error *error)
{
    struct gy_serve_plan *plan = making->plan;
    struct owned *owned = making->owned;
    owned->admin = calloc(1, sizeof *owned->admin);
    if (owned->admin == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    int code = gy_admin_init(owned->admin, plan->workers, &plan->child, error);
    if (code != 0) {
        return code;
    }
    struct gy_serve_server *server = gy_serve_plan_http(plan, "admin", &owned->admin->http);
    gy_assert(server != NULL);
    server->addresses[server->address_count++] = plan->options.admin;
    for (uint32_t i = 0; i < owned->block_count; i++) {
        gy_admin_add(owned->admin, owned->blocks[i]->name, &owned->blocks[i]->http);
    }
    gy_admin_add(owned->admin, "admin", &owned->admin->http);
    owned->admin->access_log = plan->access_log;
    return 0;
}

/* One fixed answer, files, or the built-in site. */
static int choose_handler(struct block *block, const struct gy_plan_flags *flags,
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

int gy_plan_make(void *context, struct gy_serve_plan *plan, struct gy_error *error)
{
    const struct gy_plan_flags *flags = context;
    struct owned *owned = calloc(1, sizeof *owned);
    if (owned == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    plan->owned = owned;
    plan->release = release;
    struct making making = {.plan = plan, .owned = owned};
    int code = 0;
    if (flags->config != NULL) {
        code = gy_config_read(&owned->config, flags->config, error);
        if (code == 0) {
            code =
                gy_config_apply(gy_config_first(owned->config), keys, COUNT(keys), &making, error);
        }
    }
    for (uint32_t i = 0; i < flags->count && code >= 0; i++) {
        code = gy_serve_flag(&plan->options, flags->given[i].name, flags->given[i].value, error);
    }
    if (code < 0) {
        return code;
    }
    if (owned->block_count > 0 && plan->options.address_count > 0) {
        return gy_error_set(error, GY_EINVAL,
                            "--listen %s: %s says where its servers listen; write it there",
                            plan->options.addresses[0], flags->config);
    }
    if (owned->block_count > 0 && flags->files.directory != NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "%s: %s says what its servers serve; write root %s; there",
                            flags->files.directory, flags->config, flags->files.directory);
    }
    code = owned->block_count == 0 ? serve_flags(&making, flags, error) : 0;
    code = code == 0 ? gy_serve_plan_log(plan, error) : code;
    for (uint32_t i = 0; i < owned->block_count; i++) {
        struct block *block = owned->blocks[i];
        block->http.access_log = block->logs ? plan->access_log : NULL;
        if (code == 0) {
            code = choose_handler(block, flags, error);
        }
    }
    return code == 0 && plan->options.admin != NULL ? add_admin(&making, error) : code;
}

int gy_plan_check(struct gy_plan_flags *flags)
{
    struct gy_error error = {0};
    struct gy_serve_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL) {
        return 1;
    }
    plan->options = gy_serve_defaults();
    int code = gy_plan_make(flags, plan, &error);
    struct gy_identity identity;
    if (code == 0 && plan->options.user != NULL) {
        code = gy_identity_find(&identity, plan->options.user, &error);
    }
    if (code != 0) {
        fprintf(stderr, "gyre: %s\n", error.message);
    }
    for (uint32_t s = 0; code == 0 && s < plan->server_count; s++) {
        for (uint32_t a = 0; a < plan->servers[s].address_count; a++) {
            printf("%s would listen on %s\n", plan->servers[s].name, plan->servers[s].addresses[a]);
        }
    }
    if (plan->release != NULL) {
        plan->release(plan);
    }
    gy_access_log_close(plan->access_log);
    free(plan);
    return code == 0 ? 0 : 1;
}
