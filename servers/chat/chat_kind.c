/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A `chat` block: what it becomes, and its listeners. */

#include "servers/chat/chat_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/child.h"
#include "core/tls.h"
#include "servers/chat/chat_internal.h"
#include "servers/chat/chat_kind_internal.h"
#include "servers/chat/place.h"
#include "servers/kinds.h"
#include "servers/privilege.h"

int gy_chat_kind_flags(void *context, const struct gy_chat_flags *flags, struct gy_error *error)
{
    struct chat_block *server = context;
    struct gy_error why = {0};
    int code = 0;
    server->store = flags->store;
    server->chat.name = flags->name != NULL ? flags->name : server->chat.name;
    server->chat.lobby = flags->lobby != NULL ? flags->lobby : server->chat.lobby;
    server->chat.hub.guests = flags->no_guests ? GY_CHAT_NOBODY : server->chat.hub.guests;
    server->chat.hub.registering =
        flags->no_registering ? GY_CHAT_NOBODY : server->chat.hub.registering;
    server->tls_flag = flags->tls;
    for (uint32_t i = 0; i < flags->web.count && code == 0; i++) {
        code = chat_add_web(&server->web_addresses[0], flags->web.items[i], &why);
    }
    for (uint32_t i = 0; i < flags->web_tls.count && code == 0; i++) {
        code = chat_add_web(&server->web_addresses[1], flags->web_tls.items[i], &why);
    }
    for (uint32_t i = 0; i < flags->operators.count && code == 0; i++) {
        code = gy_chat_server_operator(&server->chat, flags->operators.items[i], &why);
    }
    for (uint32_t i = 0; i < flags->origins.count && code == 0; i++) {
        const char *name = flags->origins.items[i];
        server->any_origin = server->any_origin || strcmp(name, "any") == 0;
        if (strcmp(name, "any") != 0 && !chat_is_origin(name)) {
            code = gy_error_set(&why, GY_EINVAL,
                                "--origin %s: write one like https://example.org, or any", name);
        } else if (strcmp(name, "any") != 0) {
            server->origins[server->origin_count++] = name;
        }
    }
    return code != 0 ? gy_error_set(error, code, "%s", why.message) : 0;
}

/* ---- the kind ---- */

static int chat_begin(void *context, void *owner)
{
    struct chat_block *server = context;
    const struct gy_plan_making *making = owner;
    server->plan = making->plan;
    gy_chat_server_defaults(&server->chat);
    return 0;
}

static int chat_settle(void *context, const struct gy_server_setup *setup,
                       const struct gy_config_directive *at, struct gy_error *error)
{
    struct chat_block *server = context;
    bool certificate = server->tls.files.pair_count > 0;
    bool secure = setup->tls_address_count > 0 || server->web_addresses[1].count > 0;
    server->at = at;
    int code = gy_tls_keys_settle(&server->tls, error);
    if (code == 0 && certificate != secure) {
        code = gy_config_error(certificate ? server->tls.at : at, error,
                               "TLS needs both a certificate and an address of its own; write %s;",
                               certificate ? "listen-tls ADDRESS:PORT, or web-tls ADDRESS:PORT"
                                           : "certificate FILE");
    }
    if (code == 0 && server->store == NULL) {
        code = gy_config_error(at, error,
                               "it does not say where messages are kept; write store FILE; or, to "
                               "forget them when it ends, store memory;");
    }
    return code;
}

/* A listener for browsers: an HTTP server of the plan's. */
static int add_web_server(struct chat_block *server, const struct gy_server_setup *setup, bool tls,
                          struct gy_error *error)
{
    const struct gy_chat_flag_list *addresses = &server->web_addresses[tls];
    if (addresses->count == 0) {
        return 0;
    }
    struct gy_chat_web *web = aligned_alloc(64, (sizeof *web + 63) & ~(size_t)63);
    if (web == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    memset(web, 0, sizeof *web);
    server->webs[tls] = web;
    gy_chat_web_init(web, &server->chat, server->origins, server->origin_count, server->any_origin);
    if (tls) {
        web->http.layer = &gy_tls_layer;
        web->http.layer_context = server->web_tls.config;
    }
    web->http.access_log = server->plan->access_log;
    char *name = server->web_names[tls];
    snprintf(name, sizeof server->web_names[tls], "%s-web%s", setup->name, tls ? "-tls" : "");
    struct gy_serve_server *made = gy_serve_plan_http(server->plan, name, &web->http);
    if (made == NULL) {
        return gy_error_set(error, GY_ELIMIT, "more than %d servers", GY_SERVE_SERVERS_MAX);
    }
    made->secure = tls;
    for (uint32_t i = 0; i < addresses->count; i++) {
        made->addresses[made->address_count++] = addresses->items[i];
    }
    return 0;
}

/* Two servers of one file would wait for each other. */
static int check_alone(const struct chat_block *server, const char *name, struct gy_error *error)
{
    for (uint32_t i = 0; i < server->plan->server_count; i++) {
        const struct gy_serve_server *other = &server->plan->servers[i];
        if (other->kind == NULL || strcmp(other->kind, gy_chat_kind.name) != 0) {
            continue;
        }
        const struct gy_kinds_server *made = other->context;
        const struct chat_block *block = made->memory;
        if (block != server && block->store != NULL && strcmp(block->store, server->store) == 0) {
            return gy_error_set(error, GY_EINVAL,
                                "the server %s: the store %s is that of the server %s, too; give "
                                "each a file of its own",
                                name, server->store, other->name);
        }
    }
    return 0;
}

/* A file's name is relative to where the server was started. */
static int chat_open(void *context, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct chat_block *server = context;
    server->workers = setup->workers;
    server->counts = setup->counts;
    bool memory = strcmp(server->store, "memory") == 0;
    if (!memory && (server->store[0] == '\0' || server->store[0] == ':')) {
        return gy_error_set(error, GY_EINVAL,
                            "the server %s: the store \"%s\" is no file; write its name, or memory",
                            setup->name, server->store);
    }
    int code = memory ? 0 : check_alone(server, setup->name, error);
    code = code == 0 && !memory ? gy_chat_store_check(server->store, error) : code;
    if (code != 0) {
        return code;
    }
    server->chat.store.path = memory ? NULL : server->store;
    if (server->tls_flag == NULL && server->tls.files.pair_count == 0 &&
        (setup->tls_address_count > 0 || server->web_addresses[1].count > 0)) {
        return gy_error_set(error, GY_EINVAL,
                            "the server %s: TLS needs a certificate; give it with --tls FILE, or "
                            "make one with `gyre cert`",
                            setup->name);
    }
    code = gy_tls_keys_open(&server->tls, server->tls_flag, "gyre-chat-1", error);
    code =
        code == 0 ? gy_tls_keys_open(&server->web_tls, server->tls_flag, "http/1.1", error) : code;
    code = code == 0 ? add_web_server(server, setup, false, error) : code;
    return code == 0 ? add_web_server(server, setup, true, error) : code;
}

/* Not for --check. */
static int make_folders(struct chat_block *server, struct gy_error *error)
{
    struct gy_identity identity = {.given = false};
    const struct gy_serve_plan *plan = server->plan;
    if (plan->child == NULL || server->chat.store.path == NULL) {
        return 0;
    }
    int code =
        plan->options.user == NULL ? 0 : gy_identity_find(&identity, plan->options.user, error);
    return code != 0 ? code : gy_chat_store_folders(server->chat.store.path, &identity, error);
}

static int chat_prepare(void *context, struct gy_error *error)
{
    struct chat_block *server = context;
    int code = make_folders(server, error);
    if (code != 0) {
        return code;
    }
    server->chat.store.supervised = server->plan->child != NULL && server->plan->child->supervised;
    code = gy_chat_server_open(&server->chat, server->workers, server->counts, error);
    for (int i = 0; i < 2 && code == 0 && server->chat.pending_memory != NULL; i++) {
        if (server->webs[i] != NULL) {
            server->webs[i]->http.visitors = &server->chat.visitors;
        }
    }
    return code;
}

static void chat_close(void *context)
{
    struct chat_block *server = context;
    gy_chat_server_close(&server->chat);
    gy_tls_keys_close(&server->tls);
    gy_tls_keys_close(&server->web_tls);
    free(server->webs[0]);
    free(server->webs[1]);
}

static int chat_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                            struct gy_error *error)
{
    struct chat_block *server = core->context;
    *state = server;
    return gy_chat_worker_open(&server->chat, worker, error);
}

static void chat_worker_close(struct gy_worker *worker, void *state)
{
    struct chat_block *server = state;
    gy_chat_worker_close(&server->chat, worker);
}

static void chat_fill(void *context, struct gy_server *core)
{
    const struct chat_block *server = context;
    core->limits = gy_chat_stream_limits(&server->chat);
}

static void chat_fill_tls(void *context, struct gy_server *core)
{
    const struct chat_block *server = context;
    gy_assert(server->tls.config != NULL);
    core->layer = &gy_tls_layer;
    core->layer_context = server->tls.config;
    core->admit = server->chat.pending_memory != NULL ? chat_admit : NULL;
    core->left = chat_left;
}

static const struct gy_server_metrics metrics = {
    .rows = gy_chat_rows,
    .row_count = GY_CHAT_ROWS,
    .counts_bytes = sizeof(struct gy_chat_counts),
};

const struct gy_server_kind gy_chat_kind = {
    .name = "chat",
    .server_bytes = sizeof(struct chat_block),
    .keys = chat_keys,
    .key_count = CHAT_KEYS,
    .begin = chat_begin,
    .settle = chat_settle,
    .open = chat_open,
    .close = chat_close,
    .ops = &gy_chat_stream_ops,
    .session_bytes = sizeof(struct chat_connection),
    .worker_open = chat_worker_open,
    .worker_close = chat_worker_close,
    .fill = chat_fill,
    .prepare = chat_prepare,
    .fill_tls = chat_fill_tls,
    .metrics = &metrics,
};
