/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A `chat` block: its keys, and its listeners. */

#include "servers/chat/chat_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/address.h"
#include "core/tls.h"
#include "servers/chat/chat_internal.h"
#include "servers/chat/chat_web.h"
#include "servers/plan_internal.h"
#include "servers/tls_keys.h"

#define DAY_MS      UINT64_C(86400000)
#define TIME_MAX_MS (UINT64_C(3650) * DAY_MS)
#define COUNT_MAX   (UINT64_C(1) << 40)
#define BYTES_MAX   (UINT64_C(1) << 50)
#define NAME_MAX    64

struct server {
    struct gy_chat_server chat;
    struct gy_serve_plan *plan;
    const struct gy_config_directive *at; /* NULL: of no block */
    const char *store;                    /* its file, or "memory" */

    struct gy_tls_keys tls;     /* of the native protocol, */
    struct gy_tls_keys web_tls; /* and of the page, which agree on other protocols */
    const char *tls_flag;
    struct gy_chat_flag_list web_addresses[2]; /* plain, TLS */
    struct gy_chat_web *webs[2];
    char web_names[2][GY_KINDS_NAME_BYTES + 8];
    const char *origins[GY_CHAT_ORIGINS_MAX];
    uint32_t origin_count;
    bool any_origin;
    uint32_t workers;
    struct gy_chat_counts *counts;
};

/* ---- keys ---- */

static int take_store(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct server *server = context;
    (void)error;
    server->store = directive->values[0];
    return 0;
}

static int take_name(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct server *server = context;
    const char *name = directive->values[0];
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes > NAME_MAX) {
        return gy_config_error(directive, error, "from 1 to %d bytes", NAME_MAX);
    }
    if (strcmp(directive->key, "name") == 0) {
        server->chat.name = name;
        return 0;
    }
    struct gy_chat_canonical canonical;
    const char *why = NULL;
    if (gy_chat_room_check((struct gy_chat_text){name, (uint32_t)bytes}, &canonical, &why) != 0) {
        return gy_config_error(directive, error, "%s: %s", name, why);
    }
    server->chat.lobby = name;
    return 0;
}

static int take_retention(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error)
{
    struct server *server = context;
    struct gy_chat_retention *keep = &server->chat.store.retention;
    if (strcmp(directive->key, "keep-age") == 0) {
        return gy_config_time(directive, 0, TIME_MAX_MS, &keep->age_ms, error);
    }
    return strcmp(directive->key, "keep-messages") == 0
               ? gy_config_number(directive, 0, 1, COUNT_MAX, &keep->count, error)
               : gy_config_bytes(directive, 0, 1, BYTES_MAX, &keep->bytes, error);
}

static int take_who(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct server *server = context;
    struct gy_chat_hub_config *hub = &server->chat.hub;
    const char *value = directive->values[0];
    bool on = false;
    if (strcmp(directive->key, "make-rooms") != 0) {
        int code = gy_config_switch(directive, 0, &on, error);
        uint8_t who = on ? GY_CHAT_EVERYBODY : GY_CHAT_NOBODY;
        *(strcmp(directive->key, "guests") == 0 ? &hub->guests : &hub->registering) = who;
        return code;
    }
    hub->make_rooms = strcmp(value, "nobody") == 0     ? GY_CHAT_NOBODY
                      : strcmp(value, "accounts") == 0 ? GY_CHAT_ACCOUNTS
                                                       : GY_CHAT_EVERYBODY;
    return hub->make_rooms == GY_CHAT_EVERYBODY && strcmp(value, "everybody") != 0
               ? gy_config_error(directive, error, "%.64s: write everybody, accounts or nobody",
                                 value)
               : 0;
}

/* Numbers with bounds. */
static int take_number(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_chat_server *chat = &((struct server *)context)->chat;
    const struct {
        const char *key;
        uint32_t *target;
        uint64_t min, max;
    } numbers[] = {
        {"max-members", &chat->hub.members_max, 1, 1u << 24},
        {"max-rooms", &chat->hub.rooms_max, 1, 1u << 24},
        {"rooms-per-member", &chat->hub.rooms_per_member, 1, 4096},
        {"quiet-members", &chat->hub.quiet_members, 1, 1u << 24},
        {"history-page", &chat->hub.page_max, 1, 10000},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(directive->key, numbers[i].key) == 0) {
            uint64_t number = 0;
            int code =
                gy_config_number(directive, 0, numbers[i].min, numbers[i].max, &number, error);
            *numbers[i].target = (uint32_t)number;
            return code;
        }
    }
    uint64_t cost = 0;
    int code = gy_config_number(directive, 0, GY_CHAT_COST_MIN, GY_CHAT_COST_MAX, &cost, error);
    chat->cost_log2 = (uint8_t)cost;
    return code;
}

static int take_bytes(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_chat_server *chat = &((struct server *)context)->chat;
    uint64_t bytes = 0;
    int code;
    if (strcmp(directive->key, "max-message") == 0) {
        code = gy_config_bytes(directive, 0, 1, GY_CHAT_CONTENTS_MAX, &bytes, error);
        chat->limits.contents_max = (uint32_t)bytes;
    } else if (strcmp(directive->key, "slow-bytes") == 0) {
        code = gy_config_bytes(directive, 0, 32768, 1u << 26, &bytes, error);
        chat->hub.mark_bytes = (uint32_t)bytes;
        chat->hub.low_bytes = (uint32_t)bytes / 4;
        if (chat->limits.output_max < bytes * 2) {
            chat->limits.output_max = (uint32_t)bytes * 2;
        }
    } else {
        code = gy_config_bytes(directive, 0, 1u << 20, BYTES_MAX, &bytes, error);
        chat->hub.memory_max = bytes;
    }
    return code;
}

static int take_time(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_chat_server *chat = &((struct server *)context)->chat;
    uint64_t ms = 0;
    int code = gy_config_time(directive, 0, TIME_MAX_MS, &ms, error);
    uint32_t short_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
    if (strcmp(directive->key, "ping") == 0) {
        chat->limits.ping_ms = short_ms;
    } else if (strcmp(directive->key, "ping-timeout") == 0) {
        chat->limits.pong_ms = short_ms;
    } else if (strcmp(directive->key, "login-timeout") == 0) {
        chat->limits.login_ms = short_ms;
    } else if (strcmp(directive->key, "token-lifetime") == 0) {
        chat->token_ms = ms;
    } else {
        chat->move_ms = short_ms;
    }
    return code;
}

/* requests 20 60; input 32k 128k: a second, and at once after a rest. */
static int take_rate(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct gy_chat_limits *limits = &((struct server *)context)->chat.limits;
    bool requests = strcmp(directive->key, "requests") == 0;
    uint64_t values[2] = {0, 0};
    int code = 0;
    if (strcmp(directive->values[0], "off") != 0) {
        for (uint32_t i = 0; i < directive->value_count && code == 0; i++) {
            code = requests ? gy_config_number(directive, i, 1, 1000000, &values[i], error)
                            : gy_config_bytes(directive, i, 1024, 1u << 30, &values[i], error);
        }
        values[1] = directive->value_count > 1 ? values[1] : values[0] * 3;
    }
    *(requests ? &limits->requests_per_s : &limits->bytes_per_s) = (uint32_t)values[0];
    *(requests ? &limits->requests_burst : &limits->bytes_burst) = (uint32_t)values[1];
    return code;
}

static int take_move_to(void *context, const struct gy_config_directive *directive,
                        struct gy_error *error)
{
    struct server *server = context;
    server->chat.move_to = directive->values[0];
    return strlen(directive->values[0]) > 255
               ? gy_config_error(directive, error, "an address of at most 255 bytes")
               : 0;
}

static int take_operators(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error)
{
    struct server *server = context;
    struct gy_error why = {0};
    for (uint32_t i = 0; i < directive->value_count; i++) {
        if (gy_chat_server_operator(&server->chat, directive->values[i], &why) != 0) {
            return gy_config_error(directive, error, "%s", why.message);
        }
    }
    return 0;
}

static int add_web(struct gy_chat_flag_list *list, const char *address, struct gy_error *error)
{
    struct gy_address parsed;
    int code = gy_address_parse(&parsed, address, error);
    if (code == 0 && list->count == GY_CHAT_FLAG_ADDRESSES_MAX) {
        code = gy_error_set(error, GY_EINVAL, "at most %d addresses", GY_CHAT_FLAG_ADDRESSES_MAX);
    }
    if (code == 0) {
        list->items[list->count++] = address;
    }
    return code;
}

static int take_web(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct server *server = context;
    struct gy_error why = {0};
    bool tls = strcmp(directive->key, "web-tls") == 0;
    int code = add_web(&server->web_addresses[tls], directive->values[0], &why);
    return code != 0 ? gy_config_error(directive, error, "%s", why.message) : 0;
}

static bool is_origin(const char *name)
{
    const char *host = strstr(name, "://");
    return host != NULL && strchr(host + 3, '/') == NULL;
}

static int take_origin(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct server *server = context;
    for (uint32_t i = 0; i < directive->value_count; i++) {
        const char *name = directive->values[i];
        if (strcmp(name, "any") == 0) {
            server->any_origin = true;
        } else if (!is_origin(name)) {
            return gy_config_error(directive, error,
                                   "%.64s is no origin; write one like https://example.org, with "
                                   "no path behind it, or any",
                                   name);
        } else if (server->origin_count == GY_CHAT_ORIGINS_MAX) {
            return gy_config_error(directive, error, "there can be %d at most",
                                   GY_CHAT_ORIGINS_MAX);
        } else {
            server->origins[server->origin_count++] = name;
        }
    }
    return 0;
}

static int take_tls(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct server *server = context;
    int code = gy_tls_keys_take(&server->tls, directive, error);
    return code == 0 ? gy_tls_keys_take(&server->web_tls, directive, error) : code;
}

static const struct gy_config_key keys[] = {
    {"store", 1, 1, GY_CONFIG_PLAIN, true, take_store, "FILE or memory"},
    {"name", 1, 1, GY_CONFIG_PLAIN, true, take_name, "NAME"},
    {"lobby", 1, 1, GY_CONFIG_PLAIN, true, take_name, "ROOM"},
    {"keep-age", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "24h"},
    {"keep-messages", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "N"},
    {"keep-bytes", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "100m"},
    {"make-rooms", 1, 1, GY_CONFIG_PLAIN, true, take_who, "everybody, accounts or nobody"},
    {"guests", 1, 1, GY_CONFIG_PLAIN, true, take_who, "on or off"},
    {"registering", 1, 1, GY_CONFIG_PLAIN, true, take_who, "on or off"},
    {"max-members", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"max-rooms", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"rooms-per-member", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"quiet-members", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"history-page", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"password-cost", 1, 1, GY_CONFIG_PLAIN, true, take_number, "17"},
    {"max-message", 1, 1, GY_CONFIG_PLAIN, true, take_bytes, "4k"},
    {"slow-bytes", 1, 1, GY_CONFIG_PLAIN, true, take_bytes, "128k"},
    {"memory", 1, 1, GY_CONFIG_PLAIN, true, take_bytes, "1g"},
    {"ping", 1, 1, GY_CONFIG_PLAIN, true, take_time, "60s"},
    {"ping-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_time, "20s"},
    {"login-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_time, "30s"},
    {"token-lifetime", 1, 1, GY_CONFIG_PLAIN, true, take_time, "720h"},
    {"move-time", 1, 1, GY_CONFIG_PLAIN, true, take_time, "1s"},
    {"move-to", 1, 1, GY_CONFIG_PLAIN, true, take_move_to, "ADDRESS"},
    {"requests", 1, 2, GY_CONFIG_PLAIN, true, take_rate, "20 [60], or off"},
    {"input", 1, 2, GY_CONFIG_PLAIN, true, take_rate, "32k [128k], or off"},
    {"operators", 1, 16, GY_CONFIG_PLAIN, false, take_operators, "NICK..."},
    {"web", 1, 1, GY_CONFIG_PLAIN, false, take_web, "ADDRESS:PORT"},
    {"web-tls", 1, 1, GY_CONFIG_PLAIN, false, take_web, "ADDRESS:PORT"},
    {"origin", 1, GY_CHAT_ORIGINS_MAX, GY_CONFIG_PLAIN, false, take_origin, "any, or ORIGIN..."},
    {"certificate", 1, 2, GY_CONFIG_PLAIN, false, take_tls, "FILE [KEY]"},
    {"client-certificates", 2, 2, GY_CONFIG_PLAIN, true, take_tls,
     "required or optional, AUTHORITIES"},
    {"session-tickets", 1, 1, GY_CONFIG_PLAIN, true, take_tls, "on or off"},
    {"stapling-file", 1, 1, GY_CONFIG_PLAIN, false, take_tls, "FILE"},
};

int gy_chat_kind_flags(void *context, const struct gy_chat_flags *flags, struct gy_error *error)
{
    struct server *server = context;
    struct gy_error why = {0};
    int code = 0;
    server->store = flags->store != NULL ? flags->store : GY_CHAT_STORE;
    server->chat.name = flags->name != NULL ? flags->name : server->chat.name;
    server->chat.lobby = flags->lobby != NULL ? flags->lobby : server->chat.lobby;
    server->chat.hub.guests = flags->no_guests ? GY_CHAT_NOBODY : server->chat.hub.guests;
    server->chat.hub.registering =
        flags->no_registering ? GY_CHAT_NOBODY : server->chat.hub.registering;
    server->tls_flag = flags->tls;
    for (uint32_t i = 0; i < flags->web.count && code == 0; i++) {
        code = add_web(&server->web_addresses[0], flags->web.items[i], &why);
    }
    for (uint32_t i = 0; i < flags->web_tls.count && code == 0; i++) {
        code = add_web(&server->web_addresses[1], flags->web_tls.items[i], &why);
    }
    for (uint32_t i = 0; i < flags->operators.count && code == 0; i++) {
        code = gy_chat_server_operator(&server->chat, flags->operators.items[i], &why);
    }
    for (uint32_t i = 0; i < flags->origins.count && code == 0; i++) {
        const char *name = flags->origins.items[i];
        server->any_origin = server->any_origin || strcmp(name, "any") == 0;
        if (strcmp(name, "any") != 0 && !is_origin(name)) {
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
    struct server *server = context;
    const struct gy_plan_making *making = owner;
    server->plan = making->plan;
    gy_chat_server_defaults(&server->chat);
    return 0;
}

static int chat_settle(void *context, const struct gy_server_setup *setup,
                       const struct gy_config_directive *at, struct gy_error *error)
{
    struct server *server = context;
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
static int add_web_server(struct server *server, const struct gy_server_setup *setup, bool tls,
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

/* A file's name is relative to where the server was started. */
static int chat_open(void *context, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct server *server = context;
    server->workers = setup->workers;
    server->counts = setup->counts;
    bool memory = strcmp(server->store, "memory") == 0;
    if (!memory && (server->store[0] == '\0' || server->store[0] == ':')) {
        return gy_error_set(error, GY_EINVAL,
                            "the server %s: the store \"%s\" is no file; write its name, or memory",
                            setup->name, server->store);
    }
    server->chat.store.path = memory ? NULL : server->store;
    if (server->tls_flag == NULL && server->tls.files.pair_count == 0 &&
        (setup->tls_address_count > 0 || server->web_addresses[1].count > 0)) {
        return gy_error_set(error, GY_EINVAL,
                            "the server %s: TLS needs a certificate; give it with --tls FILE, or "
                            "make one with `gyre cert`",
                            setup->name);
    }
    int code = gy_tls_keys_open(&server->tls, server->tls_flag, "gyre-chat-1", error);
    code =
        code == 0 ? gy_tls_keys_open(&server->web_tls, server->tls_flag, "http/1.1", error) : code;
    code = code == 0 ? add_web_server(server, setup, false, error) : code;
    return code == 0 ? add_web_server(server, setup, true, error) : code;
}

static int chat_prepare(void *context, struct gy_error *error)
{
    struct server *server = context;
    return gy_chat_server_open(&server->chat, server->workers, server->counts, error);
}

static void chat_close(void *context)
{
    struct server *server = context;
    gy_chat_server_close(&server->chat);
    gy_tls_keys_close(&server->tls);
    gy_tls_keys_close(&server->web_tls);
    free(server->webs[0]);
    free(server->webs[1]);
}

static int chat_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                            struct gy_error *error)
{
    struct server *server = core->context;
    *state = server;
    return gy_chat_worker_open(&server->chat, worker, error);
}

static void chat_worker_close(struct gy_worker *worker, void *state)
{
    struct server *server = state;
    gy_chat_worker_close(&server->chat, worker);
}

static void chat_fill(void *context, struct gy_server *core)
{
    const struct server *server = context;
    core->limits = gy_chat_stream_limits(&server->chat);
}

static void chat_fill_tls(void *context, struct gy_server *core)
{
    const struct server *server = context;
    gy_assert(server->tls.config != NULL);
    core->layer = &gy_tls_layer;
    core->layer_context = server->tls.config;
}

static const struct gy_server_metrics metrics = {
    .rows = gy_chat_rows,
    .row_count = GY_CHAT_ROWS,
    .counts_bytes = sizeof(struct gy_chat_counts),
};

const struct gy_server_kind gy_chat_kind = {
    .name = "chat",
    .server_bytes = sizeof(struct server),
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
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
