/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "servers/plugin_load.h"

#define MEMORY_ALIGN 64

int gy_kinds_init(struct gy_kinds *kinds, struct gy_serve_plan *plan,
                  const struct gy_server_kind *const *table, void *owner, const char *config,
                  struct gy_error *error)
{
    const char *slash = config != NULL ? strrchr(config, '/') : NULL;
    char *folder = slash != NULL ? strndup(config, (size_t)(slash - config) + 1) : strdup("./");
    *kinds = (struct gy_kinds){.plan = plan, .table = table, .owner = owner, .folder = folder};
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

size_t gy_kinds_keys(struct gy_kinds *kinds, const struct gy_config_directive *first,
                     const struct gy_config_key *keys, size_t key_count,
                     int (*take)(void *, const struct gy_config_directive *, struct gy_error *),
                     struct gy_config_key all[GY_CONFIG_KEYS_MAX])
{
    size_t count = key_count;
    bool loads = false;
    gy_assert(key_count < GY_CONFIG_KEYS_MAX);
    kinds->keys = keys;
    kinds->key_count = key_count;
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

static int prepare(struct gy_serve_server *server, struct gy_error *error);

static bool is_own(const struct gy_kinds_server *made)
{
    return made->server->prepare != prepare;
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
        /* Of a plug-in's the program tells nothing. */
        return made->kind->begin(made->memory, is_own(made) ? made->kinds->owner : NULL);
    }
    return 0;
}

static int prepare_own(struct gy_serve_server *server, struct gy_error *error)
{
    struct gy_kinds_server *made = server->context;
    return made->kind->prepare(made->memory, error);
}

static int load_own(struct gy_serve_server *server, struct gy_error *error)
{
    struct gy_kinds_server *made = server->context;
    return made->kind->load(made->memory, error);
}

/* Over UDP and nothing else. */
static bool is_of_datagrams(const struct gy_server_kind *kind)
{
    return kind->datagrams != NULL && kind->ops == NULL;
}

struct gy_kinds_server *gy_kinds_add(struct gy_kinds *kinds, const struct gy_server_kind *kind,
                                     const char *name)
{
    uint32_t places = kind != NULL && kind->datagrams != NULL && kind->ops != NULL ? 2 : 1;
    /* One is for the admin listener. */
    if (kinds->plan->server_count + places + 1 > GY_SERVE_SERVERS_MAX) {
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
    if (kind != NULL) {
        made->server->kind = kind->name;
        made->server->prepare = kind->prepare != NULL ? prepare_own : NULL;
        made->server->load = kind->load != NULL ? load_own : NULL;
        made->server->datagrams = is_of_datagrams(kind);
        if (places == 2) {
            made->twin = gy_serve_plan_add(kinds->plan, made->name, NULL, made);
            gy_assert(made->twin != NULL);
            made->twin->kind = kind->name;
            made->twin->datagrams = made->twin->twin = true;
        }
        if (begin(made) != 0) {
            return NULL; /* it is closed with the others */
        }
    }
    return made;
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
        .datagrams = is_of_datagrams(kind) ? kind->datagrams(made->memory) : NULL,
    };
    if (kind->fill != NULL) {
        kind->fill(made->memory, core);
    }
}

static void fill_secure(struct gy_server *core, void *context, const int *descriptors)
{
    struct gy_kinds_server *made = context;
    fill(core, context, descriptors);
    made->kind->fill_tls(made->memory, core);
}

static void fill_twin(struct gy_server *core, void *context, const int *descriptors)
{
    struct gy_kinds_server *made = context;
    *core = (struct gy_server){
        .name = made->name,
        .context = made->memory,
        .descriptors = descriptors,
        .datagrams = made->kind->datagrams(made->memory),
    };
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

/* Whether a sentence begins with a place in the configuration: that of a key is better than that of
 * the block. */
static bool says_where(const struct gy_kinds_server *made, const char *sentence)
{
    size_t length = strlen(made->at->file);
    return is_own(made) && strncmp(sentence, made->at->file, length) == 0 &&
           sentence[length] == ':';
}

/* All its keys are read. */
static int open_server(struct gy_kinds_server *made, struct gy_error *error)
{
    struct gy_error why = {0};
    made->setup.name = made->name;
    made->setup.addresses = made->server->addresses;
    made->setup.address_count = made->server->address_count;
    made->setup.tls_address_count = made->secure != NULL ? made->secure->address_count : 0;
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
    if (made->secure != NULL) {
        made->secure->fill = fill_secure;
    }
    if (made->twin != NULL) {
        made->twin->fill = fill_twin;
        made->twin->address_count = made->server->address_count;
        memcpy(made->twin->addresses, made->server->addresses, sizeof made->server->addresses);
    }
    if (code == 0) {
        struct gy_server core;
        fill(&core, made, NULL);
        made->server->secure = core.layer != NULL;
        return 0;
    }
    const char *sentence = why.message[0] != '\0' ? why.message : gy_error_text(code);
    return made->at != NULL && !says_where(made, sentence)
               ? gy_config_error(made->at, error, "%s", sentence)
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

/* A key of the block: the host's or the kind's. */
static int take_key(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct gy_kinds_server *made = context;
    if (strcmp(directive->key, "listen") == 0 || strcmp(directive->key, "listen-tls") == 0) {
        return made->listens ? 0 : gy_kinds_listen(made, directive, error);
    }
    uint32_t i = 0;
    while (i < made->kind->key_count && strcmp(made->kind->keys[i].name, directive->key) != 0) {
        i++;
    }
    gy_assert(i < made->kind->key_count);
    return made->kind->keys[i].take(made->memory, directive, error);
}

static int apply_keys(struct gy_kinds_server *made, struct gy_error *error)
{
    const struct gy_server_kind *kind = made->kind;
    struct gy_config_key keys[GY_CONFIG_KEYS_MAX] = {
        {"listen", 1, 1, GY_CONFIG_PLAIN, false, take_key, "ADDRESS:PORT"}};
    uint32_t count = 1;
    gy_assert(kind->key_count + 2 <= GY_CONFIG_KEYS_MAX);
    if (kind->fill_tls != NULL) {
        keys[count++] = (struct gy_config_key){
            "listen-tls", 1, 1, GY_CONFIG_PLAIN, false, take_key, "ADDRESS:PORT"};
    }
    for (uint32_t i = 0; i < kind->key_count; i++) {
        keys[count] = kind->keys[i];
        keys[count++].take = take_key;
    }
    int code = gy_config_apply(made->at->block, keys, count, made, error);
    made->setup.name = made->name;
    made->setup.addresses = made->server->addresses;
    made->setup.address_count = made->server->address_count;
    made->setup.tls_address_count = made->secure != NULL ? made->secure->address_count : 0;
    return code == 0 && kind->settle != NULL
               ? kind->settle(made->memory, &made->setup, made->at, error)
               : code;
}

/* Of a plug-in's block what can be known before that is loaded. */
static int apply_listen(struct gy_kinds_server *made, struct gy_error *error)
{
    int code = 0;
    for (const struct gy_config_directive *at = made->at->block; at != NULL && code == 0;
         at = at->next) {
        if (strcmp(at->key, "listen") == 0) {
            code = gy_kinds_listen(made, at, error);
        }
    }
    return code;
}

/* `http { }` is named http, then http-2, http-3; `http NAME { }` is named NAME. */
static int choose_name(const struct gy_kinds *kinds, const struct gy_config_directive *directive,
                       char name[GY_KINDS_NAME_BYTES], struct gy_error *error)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < kinds->server_count; i++) {
        const struct gy_kinds_server *other = kinds->servers[i];
        same += other->at != NULL && strcmp(other->at->key, directive->key) == 0;
    }
    const char *given = directive->value_count == 1 ? directive->values[0] : directive->key;
    bool numbered = directive->value_count == 0 && same > 0;
    int length = numbered ? snprintf(name, GY_KINDS_NAME_BYTES, "%s-%u", given, same + 1)
                          : snprintf(name, GY_KINDS_NAME_BYTES, "%s", given);
    if (length <= 0 || length >= GY_KINDS_NAME_BYTES) {
        return gy_config_error(directive, error,
                               "a server's name has 1 to %d bytes; give it another one",
                               GY_KINDS_NAME_BYTES - 1);
    }
    if (strcmp(name, "admin") == 0) {
        return gy_config_error(directive, error,
                               "admin is the admin listener's name; give it another one");
    }
    for (uint32_t i = 0; i < kinds->server_count; i++) {
        const struct gy_kinds_server *other = kinds->servers[i];
        if (other->at != NULL && strcmp(other->name, name) == 0) {
            return gy_config_error(directive, error,
                                   "there is a server of the name %s already, at "
                                   "%s:%u; metrics tell servers apart by name",
                                   name, other->at->file, other->at->line);
        }
    }
    return 0;
}

int gy_kinds_take(struct gy_kinds *kinds, const struct gy_config_directive *directive,
                  struct gy_error *error)
{
    char name[GY_KINDS_NAME_BYTES];
    int code = choose_name(kinds, directive, name, error);
    if (code != 0) {
        return code;
    }
    struct gy_kinds_server *made = gy_kinds_add(kinds, find_own(kinds, directive->key), name);
    if (made == NULL) {
        return gy_config_error(directive, error, "there can be %d servers, and memory for them",
                               GY_SERVE_SERVERS_MAX - 1);
    }
    made->at = directive;
    made->server->kind = directive->key;
    if (made->kind == NULL) {
        made->server->prepare = prepare;
        code = apply_listen(made, error);
    } else {
        code = apply_keys(made, error);
    }
    made->listens = true;
    if (code == 0 && made->server->address_count == 0) {
        code = gy_config_error(directive, error,
                               "it listens nowhere; write listen ADDRESS:PORT; in its block");
    }
    return code;
}

/* ---- plug-ins, in the process that is going to serve ---- */

/* Kinds of the plug-in that was loaded as number `end`, whose names are taken. */
static int check_names(const struct gy_kinds *kinds, uint32_t end, struct gy_error *error)
{
    const struct gy_plugin *plugin = kinds->plugins[end];
    for (uint32_t k = 0; k < plugin->kind_count; k++) {
        const char *name = plugin->kinds[k]->name;
        uint32_t other;
        bool own = find_own(kinds, name) != NULL;
        for (size_t i = 0; i < kinds->key_count; i++) {
            own = own || strcmp(kinds->keys[i].name, name) == 0;
        }
        if (own) {
            return gy_config_error(
                kinds->loads[end], error,
                "%.128s has a kind of the name %s, which is a key of gyre's own; "
                "it needs another name",
                kinds->loads[end]->values[0], name);
        }
        if (find_loaded(kinds, end, name, &other) != NULL) {
            return gy_config_error(kinds->loads[end], error,
                                   "%.128s has a kind of the name %s, as %.128s has, at %s:%u; "
                                   "load one of them",
                                   kinds->loads[end]->values[0], name,
                                   kinds->loads[other]->values[0], kinds->loads[other]->file,
                                   kinds->loads[other]->line);
        }
        for (uint32_t i = 0; i < k; i++) {
            if (strcmp(plugin->kinds[i]->name, name) == 0) {
                return gy_config_error(kinds->loads[end], error,
                                       "%.128s has two kinds of the name %s; one needs another",
                                       kinds->loads[end]->values[0], name);
            }
        }
    }
    return 0;
}

int gy_kinds_load_all(struct gy_kinds *kinds, struct gy_error *error)
{
    for (uint32_t i = 0; i < kinds->load_count && !kinds->loaded; i++) {
        const struct gy_config_directive *load = kinds->loads[i];
        char path[4096];
        struct gy_error why = {0};
        const char *folder = load->values[0][0] == '/' ? "" : kinds->folder;
        /* With a slash in it: dlopen(3) would look for a bare name where libraries are. */
        int length = snprintf(path, sizeof path, "%s%s", folder, load->values[0]);
        if (length < 0 || (size_t)length >= sizeof path) {
            return gy_config_error(load, error, "the path is longer than %zu bytes",
                                   sizeof path - 1);
        }
        if (gy_plugin_load(&kinds->plugins[i], path, &why) != 0) {
            return gy_config_error(load, error, "%s", why.message);
        }
        int code = check_names(kinds, i, error);
        if (code != 0) {
            return code;
        }
    }
    kinds->loaded = true;
    return 0;
}

static int unknown(const struct gy_kinds_server *made, struct gy_error *error)
{
    const struct gy_kinds *kinds = made->kinds;
    const char *names[GY_KINDS_LOADS_MAX * GY_PLUGIN_KINDS_MAX + GY_CONFIG_KEYS_MAX];
    char all[256] = "";
    size_t count = 0;
    size_t length = 0;
    for (uint32_t i = 0; i < kinds->load_count; i++) {
        for (uint32_t k = 0; k < kinds->plugins[i]->kind_count; k++) {
            names[count] = kinds->plugins[i]->kinds[k]->name;
            int more = snprintf(all + length, sizeof all - length, "%s%s", count > 0 ? ", " : "",
                                names[count]);
            length += more > 0 && length + (size_t)more < sizeof all ? (size_t)more : 0;
            count++;
        }
    }
    all[length] = '\0';
    for (const struct gy_server_kind *const *kind = kinds->table; *kind != NULL; kind++) {
        gy_assert(count < sizeof names / sizeof names[0]);
        names[count++] = (*kind)->name;
    }
    const char *nearest = gy_config_nearest(made->at->key, names, count);
    return gy_config_error(made->at, error,
                           "there is no such key here, and what is loaded serves %s; %s%s%s", all,
                           nearest != NULL ? "did you mean " : "load what serves it",
                           nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
}

static int prepare(struct gy_serve_server *server, struct gy_error *error)
{
    struct gy_kinds_server *made = server->context;
    struct gy_kinds *kinds = made->kinds;
    uint32_t load;
    gy_assert(made->kind == NULL && !made->begun);
    int code = gy_kinds_load_all(kinds, error);
    if (code != 0) {
        return code;
    }
    made->kind = find_loaded(kinds, kinds->load_count, made->at->key, &load);
    if (made->kind == NULL) {
        return unknown(made, error);
    }
    code = begin(made);
    if (code != 0) {
        made->kind = NULL;
        return gy_error_set(error, code, "preparing the server %s: out of memory", made->name);
    }
    code = apply_keys(made, error);
    return code == 0 ? open_server(made, error) : code;
}
