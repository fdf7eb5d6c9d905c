/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PLUGIN_H
#define GY_SERVERS_PLUGIN_H

/*
 * A plug-in: a shared object with kinds of servers (kind.h) in it.
 *
 *     #include <gyre/servers/plugin.h>
 *
 *     static const struct gy_server_kind echo_kind = {.name = "echo", …};
 *     GY_PLUGIN(&echo_kind);
 *
 *     cc -shared -fPIC $(pkg-config --cflags gyre) -o echo.so echo.c
 *
 * It links to nothing of Gyre: the functions of the installed headers are found in the `gyre` that
 * loads it. What it needs besides goes on that line. The same file is not for two releases: what is
 * inlined from the headers has the layout of the core's structures in it, so a plug-in is built
 * anew for each, and one that was not is refused with both releases named.
 *
 * A plug-in is code of the serving process, with all its rights: load only what you would run.
 */

#include "../core/endpoint.h"
#include "../core/stream.h"
#include "../core/worker.h"
#include "kind.h"

/* Of the headers; the build sees to it that it is the project's. */
#define GY_PLUGIN_RELEASE "0.1.0"

/* One more with every change that a plug-in could see and that sizes do not show: the meaning of a
 * call, the order of members. */
#define GY_PLUGIN_ABI 1u

#define GY_PLUGIN_KINDS_MAX 16

/* The sizes of what both sides look into. */
#define GY_PLUGIN_MIX(sum, type) ((sum)*1000003u + sizeof(type))
#define GY_PLUGIN_LAYOUT_CORE                                                                      \
    GY_PLUGIN_MIX(                                                                                 \
        GY_PLUGIN_MIX(GY_PLUGIN_MIX(GY_PLUGIN_MIX(GY_PLUGIN_MIX((uint64_t)1, struct gy_stream),    \
                                                  struct gy_worker),                               \
                                    struct gy_endpoint),                                           \
                      struct gy_server),                                                           \
        struct gy_chain)
#define GY_PLUGIN_LAYOUT                                                                           \
    GY_PLUGIN_MIX(GY_PLUGIN_MIX(GY_PLUGIN_MIX(GY_PLUGIN_MIX(GY_PLUGIN_MIX(GY_PLUGIN_LAYOUT_CORE,   \
                                                                          struct gy_link),         \
                                                            struct gy_buffer),                     \
                                              struct gy_config_directive),                         \
                                struct gy_config_key),                                             \
                  struct gy_server_metrics)

/* What the host looks for in a shared object, by the name `gy_plugin`. The first three members stay
 * what they are. */
struct gy_plugin {
    uint32_t abi;        /* GY_PLUGIN_ABI */
    uint32_t bytes;      /* of this struct */
    const char *release; /* GY_PLUGIN_RELEASE */
    uint64_t layout;     /* GY_PLUGIN_LAYOUT */
    uint32_t kind_bytes; /* of struct gy_server_kind */
    uint32_t kind_count; /* 1 to GY_PLUGIN_KINDS_MAX */
    const struct gy_server_kind *const *kinds;
};

/* The one thing that a plug-in exports; its arguments are pointers to its kinds. */
#define GY_PLUGIN(...)                                                                             \
    static const struct gy_server_kind *const gy_plugin_kinds[] = {__VA_ARGS__};                   \
    extern const struct gy_plugin gy_plugin;                                                       \
    __attribute__((visibility("default"))) const struct gy_plugin gy_plugin = {                    \
        .abi = GY_PLUGIN_ABI,                                                                      \
        .bytes = sizeof(struct gy_plugin),                                                         \
        .release = GY_PLUGIN_RELEASE,                                                              \
        .layout = GY_PLUGIN_LAYOUT,                                                                \
        .kind_bytes = sizeof(struct gy_server_kind),                                               \
        .kind_count = sizeof gy_plugin_kinds / sizeof gy_plugin_kinds[0],                          \
        .kinds = gy_plugin_kinds,                                                                  \
    }

#endif
