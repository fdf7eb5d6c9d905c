/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_CHAT_KIND_INTERNAL_H
#define GY_SERVERS_CHAT_CHAT_KIND_INTERNAL_H

/* For chat_kind.c and chat_keys.c: a `chat` block while it is read, and then as it is served. */

#include "servers/chat/chat_kind.h"
#include "servers/chat/chat_server.h"
#include "servers/chat/chat_web.h"
#include "servers/plan_internal.h"
#include "servers/tls_keys.h"

struct chat_block {
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

#define CHAT_KEYS 44
extern const struct gy_config_key chat_keys[CHAT_KEYS];

int chat_add_web(struct gy_chat_flag_list *list, const char *address, struct gy_error *error);
bool chat_is_origin(const char *name);

#endif
