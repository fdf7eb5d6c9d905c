/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/address.h"
#include "servers/plugin_load.h"

#define MEMORY_ALIGN 64

int gy_kinds_init(struct gy_kinds *kinds, struct gy_serve_plan *plan,
                  const struct gy_server_kind *const *table, const char *config,
                  struct gy_error *error)
{
    const char *slash = config != NULL ? strrchr(config, '/') : NULL;
    char *folder = strndup(slash != NULL ? config : "", slash != NULL ? slash - config + 1 : 0);
    *kinds = (struct gy_kinds){.plan = plan, .table = table, .folder = folder};
    return folder != NULL ? 0 : gy_error_set(error, GY_ENOMEM, "out of memory");
}

/* ---- names ---- */

static const struct gy_server_kind *find_own(const struct gy_kinds *kinds, const char *name)
{
    for (const struct gy_server_kind *const *kind = kinds->table; *kind != NULL; kind++) {
        if (strcmp((*kind)->name, name) == 0) {
            return *kind;
        }
    }
    return NULL;
}

/* A kind of the plug-ins before number `end`, and which one it is in. */
static const struct gy_server_kind *find_loaded(const struct gy_kinds *kinds, uint32_t end,
                                                const char *name, uint32_t *load)
{
    for (uint32_t i = 0; i < end; i++) {
        for (uint32_t k = 0; k < kinds->plugins[i]->kind_count; k++) {
            if (strcmp(kinds->plugins[i]->kinds[k]->name, name) == 0) {
                *load = i;
                return kinds->plugins[i]->kinds[k];
            }
        }
    }
    return NULL;
}

size_t gy_kinds_keys(const struct gy_kinds *kinds, const struct gy_config_directive *first,
                     const struct gy_config_key *keys, size_t key_count,
                     int (*take)(void *, const struct gy_config_directive *, struct gy_error *),
                     struct gy_config_key all[GY_CONFIG_KEYS_MAX])
{
    size_t count = key_count;
    bool loads = false;
    gy_assert(key_count < GY_CONFIG_KEYS_MAX);
    memcpy(all, keys, key_count * sizeof *keys);
    struct gy_config_key key = {
        .values_max = 1, .kind = GY_CONFIG_BLOCK, .take = take, .values = "[NAME]"};
    for (const struct gy_server_kind *const *kind = kinds->table; *kind != NULL; kind++) {
        gy_assert(count < GY_CONFIG_KEYS_MAX);
        key.name = (*kind)->name;
        all[count++] = key;
    }
    for (const struct gy_config_directive *at = first; at != NULL; at = at->next) {
        loads = loads || strcmp(at->key, "load") == 0;
    }
    for (const struct gy_config_directive *at = first; loads && at != NULL; at = at->next) {
        bool known = !at->has_block || count == GY_CONFIG_KEYS_MAX;
        for (size_t i = 0; i < count && !known; i++) {
            known = strcmp(all[i].name, at->key) == 0;
        }
        if (!known) {
            key.name = at->key;
            all[count++] = key;
        }
    }
    return count;
}

int gy_kinds_load(struct gy_kinds *kinds, const struct gy_config_directive *directive,
                  struct gy_error *error)
{
    if (kinds->load_count == GY_KINDS_LOADS_MAX) {
        return gy_config_error(directive, error, "at most %d files can be loaded",
                               GY_KINDS_LOADS_MAX);
    }
    kinds->loads[kinds->load_count++] = directive;
    return 0;
}

/* ---- servers ---- */

struct gy_kinds_server *gy_kinds_add(struct gy_kinds *kinds, const struct gy_server_kind *kind,
                                     const char *name)
{
    if (kinds->server_count + 1 >= GY_SERVE_SERVERS_MAX) { /* one is for the admin listener */
        return NULL;
    }
    struct gy_kinds_server *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->kinds = kinds;
    made->kind = kind;
    snprintf(made->name, sizeof made->name, "%s", name);
    kinds->servers[kinds->server_count++] = made;
    made->server = gy_serve_plan_add(kinds->plan, made->name, NULL, made);
    gy_assert(made->server != NULL);
    return made;
}

/* Its memory, with defaults. */
static int begin(struct gy_kinds_server *made)
{
    size_t bytes = (made->kind->server_bytes + MEMORY_ALIGN - 1) & ~(size_t)(MEMORY_ALIGN - 1);
    gy_assert(!made->begun && made->kind->server_bytes > 0);
    made->memory = aligned_alloc(MEMORY_ALIGN, bytes);
    if (made->memory == NULL) {
        return GY_ENOMEM;
    }
    memset(made->memory, 0, bytes);
    made->begun = true;
    if (made->kind->begin != NULL) {
        made->kind->begin(made->memory);
    }
    return 0;
}

static void fill(struct gy_server *core, void *context, const int *descriptors)
{
    struct gy_kinds_server *made = context;
    const struct gy_server_kind *kind = made->kind;
    gy_assert(kind != NULL && made->begun);
    *core = (struct gy_server){
        .name = made->name,
        .ops = kind->ops,
        .context = made->memory,
        .session_bytes = kind->session_bytes,
        .worker_open = kind->worker_open,
        .worker_close = kind->worker_close,
        .descriptors = descriptors,
    };
    if (kind->fill != NULL) {
        kind->fill(made->memory, core);
    }
}

static int open_counts(struct gy_kinds_server *made)
{
    const struct gy_server_kind *kind = made->kind;
    struct gy_serve_server *server = made->server;
    server->metrics = kind->metrics;
    if (kind->metrics == NULL) {
        return 0;
    }
    if (kind->counts != NULL) {
        server->counts = kind->counts(made->memory);
        return 0;
    }
    gy_assert(made->setup.counts == NULL && kind->metrics->counts_bytes % MEMORY_ALIGN == 0);
    size_t bytes = kind->metrics->counts_bytes * made->setup.workers;
    made->setup.counts = aligned_alloc(MEMORY_ALIGN, bytes);
    server->counts = made->setup.counts;
    if (made->setup.counts == NULL) {
        return GY_ENOMEM;
    }
    memset(made->setup.counts, 0, bytes);
    return 0;
}

/* All its keys are read. */
static int open_server(struct gy_kinds_server *made, struct gy_error *error)
{
    struct gy_error why = {0};
    made->setup.name = made->name;
    made->setup.workers = made->kinds->plan->workers;
    gy_assert(made->setup.workers > 0);
    int code = open_counts(made);
    if (code != 0) {
        return gy_error_set(error, code, "preparing the server %s: out of memory", made->name);
    }
    if (made->kind->open != NULL) {
        code = made->kind->open(made->memory, &made->setup, &why);
    }
    made->server->fill = fill;
    if (code == 0) {
        return 0;
    }
    const char *sentence = why.message[0] != '\0' ? why.message : gy_error_text(code);
    return made->at != NULL ? gy_config_error(made->at, error, "%s", sentence)
                            : gy_error_set(error, code, "%s", sentence);
}

int gy_kinds_open(struct gy_kinds *kinds, struct gy_error *error)
{
    for (uint32_t i = 0; i < kinds->server_count; i++) {
        struct gy_kinds_server *made = kinds->servers[i];
        if (made->kind == NULL) {
            continue;
        }
        int code = open_server(made, error);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

void gy_kinds_close(struct gy_kinds *kinds)
{
    for (uint32_t i = 0; i < kinds->server_count; i++) {
        struct gy_kinds_server *made = kinds->servers[i];
        if (made->begun && made->kind->close != NULL) {
            made->kind->close(made->memory);
        }
        free(made->setup.counts);
        free(made->memory);
        free(made);
    }
    kinds->server_count = 0;
    free((char *)kinds->folder);
    kinds->folder = NULL;
}

/* ---- blocks ---- */

static int take_listen(struct gy_kinds_server *made, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    struct gy_serve_server *server = made->server;
    const struct gy_serve_plan *plan = made->kinds->plan;
    struct gy_address address;
    struct gy_error why = {0};
    if (directive->value_count != 1 || directive->has_block) {
        return gy_config_error(directive, error, "it takes one address; write listen ADDRESS:PORT;");
    }
    if (gy_address_parse(&address, directive->values[0], &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    if (server->address_count == GY_SERVE_ADDRESSES_MAX) {
        return gy_config_error(directive, error, "a server listens on at most %d addresses",
                               GY_SERVE_ADDRESSES_MAX);
    }
    for (uint32_t s = 0; s < plan->server_count && gy_address_port(&address) != 0; s++) {
        for (uint32_t a = 0; a < plan->servers[s].address_count; a++) {
            if (strcmp(plan->servers[s].addresses[a], directive->values[0]) == 0) {
                return gy_config_error(directive, error,
                                       "%s is listened on already, by the server %s; one address "
                                       "is for one server",
                                       directive->values[0], plan->servers[s].name);
            }
        }
    }
    server->addresses[server->address_count++] = directive->values[0];
    return 0;
}

/* A block's directives but `listen`: those are linked past for the time of `apply`. */
static int apply_keys(struct gy_kinds_server *made, struct gy_error *error)
{
    const struct gy_server_kind *kind = made->kind;
    for (const struct gy_config_directive *at = made->at->block; at != NULL; at = at->next) {
        if (strcmp(at->key, "listen") == 0) {
            continue;
        }
        struct gy_config_key keys[GY_CONFIG_KEYS_MAX];
        gy_assert(kind->key_count < GY_CONFIG_KEYS_MAX);
        (void)keys;
    }
    (void)error;
    return 0;
}
