/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The keys of a `chat` block. */

#include <string.h>

#include "core/address.h"
#include "servers/chat/chat_kind_internal.h"

#define DAY_MS      UINT64_C(86400000)
#define TIME_MAX_MS (UINT64_C(3650) * DAY_MS)
#define COUNT_MAX   (UINT64_C(1) << 40)
#define BYTES_MAX   (UINT64_C(1) << 50)
#define NAME_MAX    64

static int take_store(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct chat_block *server = context;
    (void)error;
    server->store = directive->values[0];
    return 0;
}

static int take_name(void *context, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct chat_block *server = context;
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
    struct chat_block *server = context;
    struct gy_chat_retention *keep = &server->chat.store.retention;
    if (strcmp(directive->key, "keep-age") == 0) {
        return gy_config_time(directive, 0, TIME_MAX_MS, &keep->age_ms, error);
    }
    if (strcmp(directive->key, "keep-guest-rooms") == 0) {
        int code = gy_config_time(directive, 0, TIME_MAX_MS, &keep->temporary_ms, error);
        keep->temporary_ms = keep->temporary_ms != 0 ? keep->temporary_ms : 1;
        return code;
    }
    if (strcmp(directive->key, "keep-inbox") == 0) {
        return gy_config_number(directive, 0, 1, COUNT_MAX, &keep->inbox_count, error);
    }
    return strcmp(directive->key, "keep-messages") == 0
               ? gy_config_number(directive, 0, 1, COUNT_MAX, &keep->count, error)
               : gy_config_bytes(directive, 0, 1, BYTES_MAX, &keep->bytes, error);
}

static int take_who(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct chat_block *server = context;
    struct gy_chat_hub_config *hub = &server->chat.hub;
    const char *value = directive->values[0];
    bool on = false;
    if (strcmp(directive->key, "make-rooms") != 0) {
        int code = gy_config_switch(directive, 0, &on, error);
        uint8_t who = on ? GY_CHAT_EVERYBODY : GY_CHAT_NOBODY;
        *(strcmp(directive->key, "guests") == 0 ? &hub->guests : &hub->registering) = who;
        return code;
    }
    static const struct {
        const char *name;
        enum gy_chat_who who;
    } words[] = {{"nobody", GY_CHAT_NOBODY},
                 {"operators", GY_CHAT_OPERATORS},
                 {"accounts", GY_CHAT_ACCOUNTS},
                 {"guests", GY_CHAT_EVERYBODY},
                 {"everybody", GY_CHAT_EVERYBODY}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(value, words[i].name) == 0) {
            hub->make_rooms = (uint8_t)words[i].who;
            return 0;
        }
    }
    return gy_config_error(directive, error, "%.64s: write guests, accounts, operators or nobody",
                           value);
}

/* Rooms that are the server's own. */
static int take_rooms(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct chat_block *server = context;
    struct gy_error why = {0};
    for (uint32_t i = 0; i < directive->value_count; i++) {
        if (gy_chat_server_room(&server->chat, directive->values[i], &why) != 0) {
            return gy_config_error(directive, error, "%s", why.message);
        }
    }
    return 0;
}

/* registrations 10, of one address in an hour. */
static int take_registrations(void *context, const struct gy_config_directive *directive,
                              struct gy_error *error)
{
    struct chat_block *server = context;
    uint64_t number = 0;
    int code = 0;
    if (strcmp(directive->values[0], "off") != 0) {
        code = gy_config_number(directive, 0, 1, 1000000, &number, error);
    }
    server->chat.registrations = (uint32_t)number;
    return code;
}

/* pending-per-address 256, or off; pending-logins 8192, or off. */
static int take_pending(void *context, const struct gy_config_directive *directive,
                        struct gy_error *error)
{
    struct gy_chat_server *chat = &((struct chat_block *)context)->chat;
    bool of_address = strcmp(directive->key, "pending-per-address") == 0;
    uint64_t number = 0;
    int code = 0;
    if (strcmp(directive->values[0], "off") != 0) {
        code = gy_config_number(directive, 0, 1, 1u << 24, &number, error);
    }
    *(of_address ? &chat->pending_per_address : &chat->pending_max) = (uint32_t)number;
    chat->pending_given = chat->pending_given || of_address;
    return code;
}

/* Numbers with bounds. */
static int take_number(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_chat_server *chat = &((struct chat_block *)context)->chat;
    const struct {
        const char *key;
        uint32_t *target;
        uint64_t min, max;
    } numbers[] = {
        {"max-members", &chat->hub.members_max, 1, 1u << 24},
        {"max-rooms", &chat->hub.rooms_max, 1, 1u << 24},
        {"rooms-per-member", &chat->hub.rooms_per_member, 1, 4096},
        {"rooms-per-account", &chat->hub.rooms_per_account, 1, 1u << 24},
        {"rooms-per-address", &chat->hub.rooms_per_origin, 1, 1u << 20},
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
    struct gy_chat_server *chat = &((struct chat_block *)context)->chat;
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
    struct gy_chat_server *chat = &((struct chat_block *)context)->chat;
    uint64_t ms = 0;
    int code = gy_config_time(directive, 0, TIME_MAX_MS, &ms, error);
    uint32_t short_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
    if (strcmp(directive->key, "ping") == 0) {
        chat->limits.ping_ms = short_ms;
    } else if (strcmp(directive->key, "ping-timeout") == 0) {
        chat->limits.pong_ms = short_ms;
    } else if (strcmp(directive->key, "login-timeout") == 0) {
        chat->limits.login_ms = short_ms;
        if (code == 0 && short_ms == 0) {
            code = gy_config_error(directive, error, "nobody can log in within no time; write 30s");
        }
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
    struct gy_chat_server *chat = &((struct chat_block *)context)->chat;
    struct gy_chat_limits *limits = &chat->limits;
    bool requests = strcmp(directive->key, "input") != 0;
    struct gy_chat_rate *shared =
        strcmp(directive->key, "address-requests") == 0   ? &chat->address_rate
        : strcmp(directive->key, "account-requests") == 0 ? &chat->account_rate
                                                          : NULL;
    uint64_t values[2] = {0, 0};
    int code = 0;
    if (strcmp(directive->values[0], "off") != 0) {
        for (uint32_t i = 0; i < directive->value_count && code == 0; i++) {
            code = requests ? gy_config_number(directive, i, 1, 1000000, &values[i], error)
                            : gy_config_bytes(directive, i, 1024, 1u << 30, &values[i], error);
        }
        values[1] = directive->value_count > 1 ? values[1] : values[0] * 3;
    }
    if (shared != NULL) {
        *shared = (struct gy_chat_rate){(uint32_t)values[0], (uint32_t)values[1], true};
        return code;
    }
    *(requests ? &limits->requests_per_s : &limits->bytes_per_s) = (uint32_t)values[0];
    *(requests ? &limits->requests_burst : &limits->bytes_burst) = (uint32_t)values[1];
    return code;
}

static int take_move_to(void *context, const struct gy_config_directive *directive,
                        struct gy_error *error)
{
    struct chat_block *server = context;
    server->chat.move_to = directive->values[0];
    return strlen(directive->values[0]) > 255
               ? gy_config_error(directive, error, "an address of at most 255 bytes")
               : 0;
}

static int take_operators(void *context, const struct gy_config_directive *directive,
                          struct gy_error *error)
{
    struct chat_block *server = context;
    struct gy_error why = {0};
    for (uint32_t i = 0; i < directive->value_count; i++) {
        if (gy_chat_server_operator(&server->chat, directive->values[i], &why) != 0) {
            return gy_config_error(directive, error, "%s", why.message);
        }
    }
    return 0;
}

int chat_add_web(struct gy_chat_flag_list *list, const char *address, struct gy_error *error)
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
    struct chat_block *server = context;
    struct gy_error why = {0};
    bool tls = strcmp(directive->key, "web-tls") == 0;
    int code = chat_add_web(&server->web_addresses[tls], directive->values[0], &why);
    return code != 0 ? gy_config_error(directive, error, "%s", why.message) : 0;
}

bool chat_is_origin(const char *name)
{
    const char *host = strstr(name, "://");
    return host != NULL && strchr(host + 3, '/') == NULL;
}

static int take_origin(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct chat_block *server = context;
    for (uint32_t i = 0; i < directive->value_count; i++) {
        const char *name = directive->values[i];
        if (strcmp(name, "any") == 0) {
            server->any_origin = true;
        } else if (!chat_is_origin(name)) {
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
    struct chat_block *server = context;
    int code = gy_tls_keys_take(&server->tls, directive, error);
    return code == 0 ? gy_tls_keys_take(&server->web_tls, directive, error) : code;
}

const struct gy_config_key chat_keys[CHAT_KEYS] = {
    {"store", 1, 1, GY_CONFIG_PLAIN, true, take_store, "FILE or memory"},
    {"name", 1, 1, GY_CONFIG_PLAIN, true, take_name, "NAME"},
    {"lobby", 1, 1, GY_CONFIG_PLAIN, true, take_name, "ROOM"},
    {"keep-age", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "24h"},
    {"keep-messages", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "N"},
    {"keep-bytes", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "100m"},
    {"keep-guest-rooms", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "1h"},
    {"keep-inbox", 1, 1, GY_CONFIG_PLAIN, true, take_retention, "N"},
    {"make-rooms", 1, 1, GY_CONFIG_PLAIN, true, take_who, "guests, accounts, operators or nobody"},
    {"rooms", 1, 16, GY_CONFIG_PLAIN, false, take_rooms, "ROOM..."},
    {"registrations", 1, 1, GY_CONFIG_PLAIN, true, take_registrations, "N, or off"},
    {"pending-per-address", 1, 1, GY_CONFIG_PLAIN, true, take_pending, "N, or off"},
    {"pending-logins", 1, 1, GY_CONFIG_PLAIN, true, take_pending, "N, or off"},
    {"guests", 1, 1, GY_CONFIG_PLAIN, true, take_who, "on or off"},
    {"registering", 1, 1, GY_CONFIG_PLAIN, true, take_who, "on or off"},
    {"max-members", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"max-rooms", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"rooms-per-member", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"rooms-per-account", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
    {"rooms-per-address", 1, 1, GY_CONFIG_PLAIN, true, take_number, "N"},
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
    {"address-requests", 1, 2, GY_CONFIG_PLAIN, true, take_rate, "100 [300], or off"},
    {"account-requests", 1, 2, GY_CONFIG_PLAIN, true, take_rate, "40 [120], or off"},
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
