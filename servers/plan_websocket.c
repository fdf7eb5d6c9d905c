/* SPDX-License-Identifier: GPL-3.0-or-later */

/* `websocket` in an `http` or `host` block. */

#include <stdlib.h>
#include <string.h>

#include "core/sha1.h"
#include "servers/plan_internal.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define NAMES_MAX         16 /* origins, and subprotocols */
#define MESSAGE_BYTES_MAX (UINT64_C(1) << 26)
#define CONNECTIONS_MAX   1000000
#define TIME_MAX_MS       86400000

/* For compression, of each worker: 200 connections' with the largest windows, 2,300 with 2^10. */
#define COMPRESS_BYTES     (UINT64_C(64) << 20)
#define COMPRESS_BYTES_MAX (UINT64_C(1) << 40)

/* One `websocket` block. */
struct gy_plan_socket {
    struct gy_websocket socket;
    struct gy_plan_socket *next;
    const struct gy_config_directive *at;
    const char *origins[NAMES_MAX];
    const char *subprotocols[NAMES_MAX];
};

static int take_service(void *context, const struct gy_config_directive *directive,
                        struct gy_error *error)
{
    struct gy_plan_socket *made = context;
    bool room = strcmp(directive->key, "broadcast") == 0;
    if (made->socket.handler != NULL) {
        return gy_config_error(directive, error, "a websocket is echo or broadcast, not both");
    }
    made->socket.handler = room ? &gy_websocket_room : &gy_websocket_echo;
    return 0;
}

static int take_names(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_plan_socket *made = context;
    struct gy_ws_rules *rules = &made->socket.rules;
    bool origin = strcmp(directive->key, "origin") == 0;
    const char **names = origin ? made->origins : made->subprotocols;
    uint32_t *count = origin ? &rules->origin_count : &rules->subprotocol_count;
    for (uint32_t i = 0; i < directive->value_count; i++) {
        const char *name = directive->values[i];
        if (origin && strcmp(name, "any") == 0) {
            rules->any_origin = true;
            continue;
        }
        const char *host = origin ? strstr(name, "://") : name;
        if (host == NULL || (origin && strchr(host + 3, '/') != NULL)) {
            return gy_config_error(directive, error,
                                   "%.64s is no origin; write one like https://example.org, with "
                                   "no path behind it, or any",
                                   name);
        }
        if (!origin && strpbrk(name, " \t,;\"()<>@:\\/[]?={}") != NULL) {
            return gy_config_error(directive, error,
                                   "%.64s cannot be a subprotocol: its name is a token, like "
                                   "chat.v1",
                                   name);
        }
        if (*count == NAMES_MAX) {
            return gy_config_error(directive, error, "there can be %d at most", NAMES_MAX);
        }
        names[(*count)++] = name;
    }
    return 0;
}

static int take_limit(void *context, const struct gy_config_directive *directive,
                      struct gy_error *error)
{
    struct gy_websocket *socket = &((struct gy_plan_socket *)context)->socket;
    uint64_t number = 0;
    if (strcmp(directive->key, "max-message") == 0) {
        int code = gy_config_bytes(directive, 0, 1, MESSAGE_BYTES_MAX, &number, error);
        socket->limits.message_max = (uint32_t)number;
        socket->limits.frame_max = number;
        return code;
    }
    if (strcmp(directive->key, "max-connections") == 0) {
        int code = gy_config_number(directive, 0, 1, CONNECTIONS_MAX, &number, error);
        socket->connections_max = (uint32_t)number;
        return code;
    }
    int code = gy_config_time(directive, 0, TIME_MAX_MS, &number, error);
    if (strcmp(directive->key, "ping") == 0) {
        socket->limits.ping_ms = (uint32_t)number;
    } else {
        socket->limits.pong_ms = (uint32_t)number;
    }
    return code;
}

static int take_compression(void *context, const struct gy_config_directive *directive,
                            struct gy_error *error)
{
    struct gy_websocket *socket = &((struct gy_plan_socket *)context)->socket;
    uint64_t number = 0;
    bool on = false;
    int code;
    if (strcmp(directive->key, "compress-window") == 0) {
        code = gy_config_number(directive, 0, GY_WS_BITS_MIN, GY_WS_BITS_MAX, &number, error);
        socket->terms.server_bits = socket->terms.client_bits = (uint8_t)number;
        return code;
    }
    if (strcmp(directive->key, "compress-memory") == 0) {
        return gy_config_bytes(directive, 0, 1, COMPRESS_BYTES_MAX, &socket->compress_bytes, error);
    }
    code = gy_config_switch(directive, 0, &on, error);
    if (strcmp(directive->key, "compress-context") == 0) {
        socket->terms.server_no_takeover = socket->terms.client_no_takeover = !on;
        return code;
    }
    socket->compress = on;
    return code == 0 && on && !gy_ws_have_deflate()
               ? gy_config_error(directive, error, "this gyre was built without zlib")
               : code;
}

int gy_plan_take_websocket(void *context, const struct gy_config_directive *directive,
                           struct gy_error *error)
{
    static const struct gy_config_key keys[] = {
        {"echo", 0, 0, GY_CONFIG_PLAIN, true, take_service, ""},
        {"broadcast", 0, 0, GY_CONFIG_PLAIN, true, take_service, ""},
        {"origin", 1, NAMES_MAX, GY_CONFIG_PLAIN, false, take_names, "any, or ORIGIN..."},
        {"subprotocol", 1, NAMES_MAX, GY_CONFIG_PLAIN, false, take_names, "NAME..."},
        {"max-message", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "1m"},
        {"max-connections", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "N"},
        {"compress", 1, 1, GY_CONFIG_PLAIN, true, take_compression, "on | off"},
        {"compress-window", 1, 1, GY_CONFIG_PLAIN, true, take_compression, "9 to 15"},
        {"compress-context", 1, 1, GY_CONFIG_PLAIN, true, take_compression, "on | off"},
        {"compress-memory", 1, 1, GY_CONFIG_PLAIN, true, take_compression, "64m"},
        {"ping", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "30s"},
        {"ping-timeout", 1, 1, GY_CONFIG_PLAIN, true, take_limit, "20s"},
    };
    struct gy_plan_host *host = ((struct gy_plan_making *)context)->host;
    struct gy_vhost *vhost = host->vhost;
    const char *path = directive->values[0];
    if (path[0] != '/' || strpbrk(path, "?#* ") != NULL) {
        return gy_config_error(directive, error, "%.64s is no path; write one like /chat", path);
    }
    for (const struct gy_plan_socket *there = host->sockets; there != NULL; there = there->next) {
        if (strcmp(there->socket.path, path) == 0) {
            return gy_config_error(directive, error, "%.64s is a websocket already, at %s:%u", path,
                                   there->at->file, there->at->line);
        }
    }
    struct gy_plan_socket *made = calloc(1, sizeof *made);
    if (made == NULL || vhost->socket_count == GY_VHOST_SOCKETS_MAX) {
        free(made);
        return gy_config_error(directive, error,
                               "a host has at most %d websockets, and memory for them",
                               GY_VHOST_SOCKETS_MAX);
    }
    made->at = directive;
    made->next = host->sockets;
    host->sockets = made;
    made->socket.path = path;
    made->socket.limits = gy_websocket_limits_default();
    made->socket.terms =
        (struct gy_ws_terms){.server_bits = GY_WS_BITS_MAX, .client_bits = GY_WS_BITS_MAX};
    made->socket.compress_bytes = COMPRESS_BYTES;
    made->socket.rules.sha1 = gy_sha1;
    made->socket.rules.origins = made->origins;
    made->socket.rules.subprotocols = made->subprotocols;
    vhost->sockets[vhost->socket_count++] = &made->socket;
    int code = gy_config_apply(directive->block, keys, COUNT(keys), made, error);
    if (code == 0 && made->socket.handler == NULL) {
        return gy_config_error(directive, error,
                               "it does not say what it is for; write echo; or broadcast; in it");
    }
    return code;
}

void gy_plan_free_websockets(struct gy_plan_host *host)
{
    while (host->sockets != NULL) {
        struct gy_plan_socket *made = host->sockets;
        host->sockets = made->next;
        free(made);
    }
}
