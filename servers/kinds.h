/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_KINDS_H
#define GY_SERVERS_KINDS_H

/*
 * The servers of a plan, each of a kind (kind.h): those of the program and those of plug-ins.
 *
 * A plan goes through it in this order: gy_kinds_init; gy_kinds_keys, whose result is applied to
 * the file; gy_kinds_add for what the command line asks for; gy_kinds_open, once the options are
 * settled. In the serving process, and for --check, each server's `prepare` follows. gy_kinds_close
 * at the end.
 *
 * The names of what plug-ins serve are known only once these are loaded, and that is not done in
 * the process that keeps the sockets: code stays in a process, and that one outlives many reloads.
 * So where a file loads something, each block of a name that is none of the program's is taken for
 * a plug-in's; of its keys `listen` is read at once, and all others by `prepare`.
 */

#include "kind.h"
#include "serve.h"

#define GY_KINDS_LOADS_MAX  16
#define GY_KINDS_NAME_BYTES 32

/* One server. */
struct gy_kinds_server {
    const struct gy_server_kind *kind;    /* NULL: a plug-in's, before `prepare` */
    const struct gy_config_directive *at; /* NULL: from the command line */
    struct gy_serve_server *server;       /* in the plan */
    struct gy_serve_server *twin;         /* the same over UDP; NULL: TCP alone */
    struct gy_serve_server *secure;       /* the same over TLS; NULL: nowhere */
    struct gy_kinds *kinds;
    char name[GY_KINDS_NAME_BYTES];
    struct gy_server_setup setup;
    void *memory; /* what the kind calls `server` */
    bool begun;
    bool listens; /* its `listen` lines are taken in */
};

struct gy_kinds {
    struct gy_serve_plan *plan;
    const struct gy_server_kind *const *table; /* the program's, NULL at its end */
    const struct gy_config_key *keys;          /* those that are no server's */
    size_t key_count;
    void *owner;        /* what `begin` of the program's kinds gets */
    const char *folder; /* of the file, with its slash; "" for here */
    const struct gy_config_directive *loads[GY_KINDS_LOADS_MAX];
    const struct gy_plugin *plugins[GY_KINDS_LOADS_MAX]; /* where `loaded` */
    uint32_t load_count;
    bool loaded;
    struct gy_kinds_server *servers[GY_SERVE_SERVERS_MAX];
    uint32_t server_count;
};

/* `table` ends with NULL; `owner` is what its kinds' `begin` gets; `config` is the path of the
 * file, or NULL. 0 or GY_ENOMEM. */
int gy_kinds_init(struct gy_kinds *kinds, struct gy_serve_plan *plan,
                  const struct gy_server_kind *const *table, void *owner, const char *config,
                  struct gy_error *error);

/* Fills `all` with `keys`, which are no server's, and one key for each kind: those of the table,
 * and, after a `load`, those of blocks in the list `first` that nobody knows. Their `take` is
 * `take`, which calls gy_kinds_take. Returns how many. */
size_t gy_kinds_keys(struct gy_kinds *kinds, const struct gy_config_directive *first,
                     const struct gy_config_key *keys, size_t key_count,
                     int (*take)(void *, const struct gy_config_directive *, struct gy_error *),
                     struct gy_config_key all[GY_CONFIG_KEYS_MAX]);

/* Takes `load PATH;` in. */
int gy_kinds_load(struct gy_kinds *kinds, const struct gy_config_directive *directive,
                  struct gy_error *error);

/* Takes a server's block in. */
int gy_kinds_take(struct gy_kinds *kinds, const struct gy_config_directive *directive,
                  struct gy_error *error);

/* Adds a server that no block stands for; it listens nowhere yet. NULL: out of memory or places. */
struct gy_kinds_server *gy_kinds_add(struct gy_kinds *kinds, const struct gy_server_kind *kind,
                                     const char *name);

/* It listens on `address` for TLS, too. 0; GY_ELIMIT at a bound; GY_EINVAL for a kind that cannot.
 * The address is known to be one. */
int gy_kinds_listen_tls(struct gy_kinds_server *made, const char *address, struct gy_error *error);

/* Takes `listen ADDRESS:PORT;` or `listen-tls` of its block in. 0, or GY_EINVAL: it is no address,
 * or one of the plan's servers listens on it, or on a part of it, by the same transport. */
int gy_kinds_listen(struct gy_kinds_server *made, const struct gy_config_directive *directive,
                    struct gy_error *error);

/* Opens the servers of the program's own kinds. The plan's `workers` is settled by then. */
int gy_kinds_open(struct gy_kinds *kinds, struct gy_error *error);

/* Loads the plug-ins, once; for --check also those that no block uses. 0, or the error of one. */
int gy_kinds_load_all(struct gy_kinds *kinds, struct gy_error *error);

void gy_kinds_close(struct gy_kinds *kinds);

#endif
