/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/number.h"
#include "servers/plan_internal.h"
#include "servers/privilege.h"
#include "servers/serve_flags.h"

const char gy_plan_flags_help[] =
    "  --config FILE           read FILE, which SIGHUP reads again\n"
    "  --check                 say whether that could be served, and do not\n";

const char gy_plan_http_flags_help[] =
    "  --no-listing, --no-sendfile   404 without index.html; large files by way of memory\n"
    "  --no-precompressed, --no-compress   no name.br, name.zst, name.gz; none made of other "
    "files\n"
    "  --cache MIB             memory for file contents, per worker (default: 64)\n"
    "  --tls FILE[,KEY]        https with this certificate (see `gyre cert`)\n"
    "  --fixed                 answer every request with \"" GY_PLAN_FIXED_TEXT "\"\n";

/* ---- flags ---- */

int gy_plan_flag(struct gy_plan_flags *flags, int argc, char **argv, int *index,
                 struct gy_error *error)
{
    const char *argument = argv[*index];
    if (strncmp(argument, "--", 2) != 0) {
        return 0;
    }
    if (strcmp(argument, "--" GY_PLAN_CHECK) == 0) {
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
    if (strcmp(name, GY_PLAN_CONFIG) == 0) {
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

int gy_plan_read_cache(const char *text, uint64_t *bytes, struct gy_error *error)
{
    uint64_t mebibytes;
    if (text == NULL) {
        return gy_error_set(error, GY_EINVAL, "--cache needs a value: mebibytes, per worker");
    }
    if (!gy_number_read(text, 1, GY_PLAN_CACHE_MIB_MAX, &mebibytes)) {
        return gy_error_set(error, GY_EINVAL, "--cache %s: not a number from 1 to %u", text,
                            GY_PLAN_CACHE_MIB_MAX);
    }
    *bytes = mebibytes << 20;
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
    } else if (strcmp(argument, "--no-sendfile") == 0) {
        files->no_sendfile = true;
    } else if (strcmp(argument, "--no-compress") == 0) {
        files->compress.off = true;
    } else if (strncmp(argument, "--cache=", 8) == 0) {
        int code = gy_plan_read_cache(argument + 8, &files->cache_bytes, error);
        return code != 0 ? code : 1;
    } else if (strcmp(argument, "--tls") == 0) {
        if (*index + 1 >= argc) {
            return gy_error_set(error, GY_EINVAL, "--tls needs a value: FILE or FILE,KEY");
        }
        flags->tls = argv[++*index];
    } else if (strncmp(argument, "--tls=", 6) == 0) {
        flags->tls = argument + 6;
    } else if (strcmp(argument, "--cache") == 0) {
        const char *value = *index + 1 < argc ? argv[++*index] : NULL;
        int code = gy_plan_read_cache(value, &files->cache_bytes, error);
        return code != 0 ? code : 1;
    } else {
        return 0;
    }
    return 1;
}

/* ---- keys ---- */

/* A key with the name, the value and the checks of a flag. */
static int take_flag(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_plan_making *making = context;
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
    struct gy_plan_making *making = context;
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
    struct gy_plan_making *making = context;
    uint64_t ms;
    int code = gy_config_time(directive, 0, 86400000, &ms, error);
    if (code == 0 && ms == 0) {
        return gy_config_error(directive, error,
                               "there must be some; a second signal stops at once");
    }
    if (code == 0) {
        making->plan->options.drain_timeout_ms = (uint32_t)ms;
    }
    return code;
}

static int take_access_log(void *context, const struct gy_config_directive *directive,
                           struct gy_error *error)
{
    struct gy_plan_making *making = context;
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
    struct gy_plan_making *making = context;
    struct gy_identity identity;
    struct gy_error why = {0};
    if (gy_identity_find(&identity, directive->values[0], &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    making->plan->options.user = directive->values[0];
    return 0;
}

static int take_load(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_plan_making *making = context;
    return gy_kinds_load(&making->owned->kinds, directive, error);
}

static int take_server(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_plan_making *making = context;
    return gy_kinds_take(&making->owned->kinds, directive, error);
}

static const struct gy_config_key keys[] = {
    {"workers", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "N"},
    {"connections", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "N"},
    {"descriptor-tables", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "auto"},
    {"drain-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_drain_timeout, "10s"},
    {"log-level", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "LEVEL"},
    {"log-json", 1, 1, GY_CONFIG_PLAIN, true, take_switch, "on"},
    {"unpinned", 1, 1, GY_CONFIG_PLAIN, true, take_switch, "on"},
    {"receive-mode", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "MODE"},
    {"without", 1, 1, GY_CONFIG_PLAIN, false, take_flag, "FEATURE"},
    {"admin", 1, 1, GY_CONFIG_PLAIN, true, take_flag, "ADDRESS:PORT"},
    {"access-log", 1, 2, GY_CONFIG_PLAIN, true, take_access_log, "FILE [combined or json]"},
    {"user", 1, 1, GY_CONFIG_PLAIN, true, take_user, "USER or USER:GROUP"},
    {"load", 1, 1, GY_CONFIG_PLAIN, false, take_load, "FILE.so"},
};

/* What blocks of the file can be; each is a key. Plug-ins bring others. */
static const struct gy_server_kind *const kinds[] = {
    &gy_chat_kind, &gy_plan_http_kind, &gy_dns_kind, &gy_rudp_kind, NULL,
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void release(struct gy_serve_plan *plan)
{
    struct gy_plan_owned *owned = plan->owned;
    gy_kinds_close(&owned->kinds);
    if (owned->admin != NULL) {
        gy_admin_close(owned->admin);
        free(owned->admin);
    }
    gy_config_free(owned->config);
    free(owned);
}

/* ---- the plan ---- */

static int take_chat_flags(struct gy_kinds_server *made, const struct gy_chat_flags *chat,
                           struct gy_error *error)
{
    int code = gy_chat_kind_flags(made->memory, chat, error);
    for (uint32_t i = 0; i < chat->tls_addresses.count && code == 0; i++) {
        code = gy_kinds_listen_tls(made, chat->tls_addresses.items[i], error);
    }
    if (code == 0 && chat->tls != NULL && chat->tls_addresses.count == 0 &&
        chat->web_tls.count == 0) {
        code = gy_kinds_listen_tls(made, GY_CHAT_TLS_ADDRESS, error);
    }
    return code;
}

/* Without a file, or with one that has no server in it. */
static int serve_flags(struct gy_plan_making *making, const struct gy_plan_flags *flags,
                       struct gy_error *error)
{
    const struct gy_serve_options *options = &making->plan->options;
    const struct gy_server_kind *kind = flags->dns != NULL    ? &gy_dns_kind
                                        : flags->rudp != NULL ? &gy_rudp_kind
                                        : flags->chat != NULL ? &gy_chat_kind
                                                              : &gy_plan_http_kind;
    struct gy_kinds_server *made = gy_kinds_add(&making->owned->kinds, kind, kind->name);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    if (flags->dns != NULL) {
        int code = gy_dns_kind_flags(made->memory, flags->dns, error);
        if (code != 0) {
            return code;
        }
    } else if (flags->rudp != NULL) {
        int code = gy_rudp_kind_flags(made->memory, flags->rudp, error);
        if (code != 0) {
            return code;
        }
    } else if (flags->chat != NULL) {
        int code = take_chat_flags(made, flags->chat, error);
        if (code != 0) {
            return code;
        }
    } else {
        struct gy_plan_block *block = made->memory;
        block->hosts[0]->options = flags->files;
    }
    if (flags->dns != NULL && flags->dns->tls != NULL) {
        const struct gy_dns_flags *dns = flags->dns;
        int code =
            dns->tls_address_count == 0 ? gy_kinds_listen_tls(made, GY_DNS_TLS_ADDRESS, error) : 0;
        for (uint32_t i = 0; i < dns->tls_address_count && code == 0; i++) {
            code = gy_kinds_listen_tls(made, dns->tls_addresses[i], error);
        }
        if (code != 0) {
            return code;
        }
    }
    struct gy_serve_server *server = made->server;
    memcpy(server->addresses, options->addresses, sizeof server->addresses);
    server->address_count = options->address_count;
    if (server->address_count == 0) {
        server->address_count =
            gy_serve_inherited(options->admin, server->addresses, GY_SERVE_ADDRESSES_MAX);
    }
    if (server->address_count == 0) {
        server->addresses[server->address_count++] = flags->dns != NULL    ? "127.0.0.1:5300"
                                                     : flags->rudp != NULL ? "127.0.0.1:7117"
                                                     : flags->chat != NULL ? GY_CHAT_ADDRESS
                                                                           : "127.0.0.1:8080";
    }
    return 0;
}

/* The hosts of an HTTP server have metrics of their own. */
static int add_hosts(struct gy_admin *admin, const struct gy_kinds_server *made,
                     struct gy_error *error)
{
    const struct gy_plan_block *block = made->memory;
    if (block->http.context != &block->vhosts) {
        return 0;
    }
    int code = gy_admin_add_hosts(admin, made->name, &block->vhosts);
    return code == 0 ? 0
                     : gy_error_set(error, code, "preparing metrics of more than %d hosts: %s",
                                    GY_ADMIN_HOSTS_MAX, gy_error_text(code));
}

static int add_admin(struct gy_plan_making *making, struct gy_error *error)
{
    struct gy_serve_plan *plan = making->plan;
    struct gy_plan_owned *owned = making->owned;
    owned->admin = calloc(1, sizeof *owned->admin);
    if (owned->admin == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    int code = gy_admin_init(owned->admin, plan, error);
    if (code != 0) {
        return code;
    }
    struct gy_serve_server *server = gy_serve_plan_http(plan, "admin", &owned->admin->http);
    gy_assert(server != NULL);
    server->addresses[server->address_count++] = plan->options.admin;
    for (uint32_t i = 0; i < owned->kinds.server_count && code == 0; i++) {
        const struct gy_kinds_server *made = owned->kinds.servers[i];
        if (made->kind == &gy_plan_http_kind) {
            code = add_hosts(owned->admin, made, error);
        }
    }
    if (code != 0) {
        return code;
    }
    return 0;
}

static int read_file(struct gy_plan_owned *owned, const char *path, struct gy_error *error)
{
    struct gy_config_key all[GY_CONFIG_KEYS_MAX];
    int code = gy_config_read(&owned->config, path, error);
    if (code != 0) {
        return code;
    }
    const struct gy_config_directive *first = gy_config_first(owned->config);
    size_t count = gy_kinds_keys(&owned->kinds, first, keys, COUNT(keys), take_server, all);
    return gy_config_apply(first, all, count, &owned->making, error);
}

int gy_plan_make(void *context, struct gy_serve_plan *plan, struct gy_error *error)
{
    const struct gy_plan_flags *flags = context;
    struct gy_plan_owned *owned = calloc(1, sizeof *owned);
    if (owned == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    plan->owned = owned;
    plan->release = release;
    owned->flags = flags;
    owned->making = (struct gy_plan_making){.plan = plan, .owned = owned};
    int code = gy_kinds_init(&owned->kinds, plan, kinds, &owned->making, flags->config, error);
    if (code == 0 && flags->config != NULL) {
        code = read_file(owned, flags->config, error);
    }
    for (uint32_t i = 0; i < flags->count && code >= 0; i++) {
        code = gy_serve_flag(&plan->options, flags->given[i].name, flags->given[i].value, error);
    }
    if (code < 0) {
        return code;
    }
    uint32_t servers = owned->kinds.server_count;
    if (servers > 0 && plan->options.address_count > 0) {
        return gy_error_set(error, GY_EINVAL,
                            "--listen %s: %s says where its servers listen; write it there",
                            plan->options.addresses[0], flags->config);
    }
    if (servers > 0 && flags->dns != NULL && flags->dns->zone_count > 0) {
        return gy_error_set(
            error, GY_EINVAL,
            "--zone %s: %s says what its servers serve; write zone NAME FILE; there",
            flags->dns->zones[0], flags->config);
    }
    if (servers > 0 && flags->dns != NULL && flags->dns->tls != NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "--tls %s: %s says what its servers serve; write certificate FILE; and "
                            "listen-tls ADDRESS; there",
                            flags->dns->tls, flags->config);
    }
    if (servers > 0 && flags->files.directory != NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "%s: %s says what its servers serve; write root %s; there",
                            flags->files.directory, flags->config, flags->files.directory);
    }
    if (servers == 0 && flags->needs_server) {
        return gy_error_set(
            error, GY_EINVAL,
            "%s: there is no server in it; write http { listen :80; root DIR; }, or "
            "dns, chat or rudp with a block",
            flags->config);
    }
    code = servers == 0 ? serve_flags(&owned->making, flags, error) : 0;
    code = code == 0 ? gy_serve_plan_log(plan, error) : code;
    code = code == 0 ? gy_kinds_open(&owned->kinds, error) : code;
    return code == 0 && plan->options.admin != NULL ? add_admin(&owned->making, error) : code;
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
    code = code == 0 ? gy_serve_plan_load(plan, &error) : code;
    code = code == 0 ? gy_serve_plan_prepare(plan, &error) : code;
    if (code == 0) {
        struct gy_plan_owned *owned = plan->owned;
        code = gy_kinds_load_all(&owned->kinds, &error);
    }
    if (code != 0) {
        fprintf(stderr, "gyre: %s\n", error.message);
    }
    for (uint32_t s = 0; code == 0 && s < plan->server_count; s++) {
        for (uint32_t a = 0; a < plan->servers[s].address_count; a++) {
            printf("%s%s would listen on %s\n", plan->servers[s].name,
                   plan->servers[s].datagrams                         ? " (UDP)"
                   : plan->servers[s].twin && plan->servers[s].secure ? " (TLS)"
                                                                      : "",
                   plan->servers[s].addresses[a]);
        }
    }
    if (code == 0) {
        struct gy_tables_limit limit;
        gy_tables_limit(&limit, plan->options.tables, plan->workers, plan->options.connections_max);
        if (gy_tables_advice(&limit, error.message, sizeof error.message)) {
            fprintf(stderr, "gyre: %s\n", error.message);
        }
    }
    gy_serve_plan_free(plan);
    return code == 0 ? 0 : 1;
}
