/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_CHAT_KIND_H
#define GY_SERVERS_CHAT_CHAT_KIND_H

/* The kind `chat` of servers, and what `gyre chat serve` asks for. */

#include "../kind.h"

#define GY_CHAT_FLAG_ADDRESSES_MAX 16
#define GY_CHAT_ADDRESS            "127.0.0.1:7200" /* where nobody said */
#define GY_CHAT_TLS_ADDRESS        "127.0.0.1:7201"

struct gy_chat_flag_list {
    const char *items[GY_CHAT_FLAG_ADDRESSES_MAX];
    uint32_t count;
};

/* What the command line said. */
struct gy_chat_flags {
    const char *store;                      /* a file, or "memory" */
    const char *lobby;                      /* --lobby; NULL: the usual one */
    const char *name;                       /* --name; likewise */
    const char *tls;                        /* --tls FILE[,KEY]; NULL: not given */
    struct gy_chat_flag_list tls_addresses; /* --listen-tls */
    struct gy_chat_flag_list web;           /* --web */
    struct gy_chat_flag_list web_tls;       /* --web-tls */
    struct gy_chat_flag_list operators;     /* --operator */
    struct gy_chat_flag_list origins;       /* --origin */
    bool no_guests, no_registering;
};

extern const struct gy_server_kind gy_chat_kind;

/* Takes the flags into a server of the kind. 0, or a GY_E… code with a sentence. */
int gy_chat_kind_flags(void *server, const struct gy_chat_flags *flags, struct gy_error *error);

#endif
