/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Where the servers of a plan listen: `listen` and `listen-tls` of their blocks. */

#include <string.h>

#include "core/address.h"
#include "servers/kinds.h"

int gy_kinds_listen_tls(struct gy_kinds_server *made, const char *address, struct gy_error *error)
{
    gy_assert(made->kind != NULL && made->kind->fill_tls != NULL);
    struct gy_serve_plan *plan = made->kinds->plan;
    if (made->secure == NULL && plan->server_count + 2 <= GY_SERVE_SERVERS_MAX) {
        made->secure = gy_serve_plan_add(plan, made->name, NULL, made);
        gy_assert(made->secure != NULL);
        made->secure->kind = made->kind->name;
        made->secure->secure = made->secure->twin = true;
    }
    if (made->secure == NULL) {
        return gy_error_set(error, GY_ELIMIT, "there can be %d servers", GY_SERVE_SERVERS_MAX - 1);
    }
    if (made->secure->address_count == GY_SERVE_ADDRESSES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "a server listens on at most %d addresses",
                            GY_SERVE_ADDRESSES_MAX);
    }
    made->secure->addresses[made->secure->address_count++] = address;
    return 0;
}

/* Whether a server of the plan listens over UDP, or else over TCP. */
static bool listens_over(const struct gy_kinds *kinds, const struct gy_serve_server *server,
                         bool datagrams)
{
    bool both = false;
    for (uint32_t i = 0; i < kinds->server_count; i++) {
        const struct gy_kinds_server *made = kinds->servers[i];
        both = both || (made->server == server && made->twin != NULL);
    }
    return both || server->datagrams == datagrams;
}

/* That nobody listens on what `address` is or has in it, over UDP or else TCP. The kernel would
 * refuse it when all of the file is read, and without its line. */
static int check_free(const struct gy_kinds *kinds, const struct gy_config_directive *directive,
                      const struct gy_address *address, bool datagrams, struct gy_error *error)
{
    const struct gy_serve_plan *plan = kinds->plan;
    for (uint32_t s = 0; s < plan->server_count; s++) {
        const struct gy_serve_server *server = &plan->servers[s];
        bool same = listens_over(kinds, server, datagrams);
        for (uint32_t a = 0; a < server->address_count && same; a++) {
            struct gy_address other;
            if (gy_address_parse(&other, server->addresses[a], NULL) != 0 ||
                !gy_address_overlap(&other, address)) {
                continue;
            }
            if (gy_address_equal(&other, address)) {
                return gy_config_error(directive, error,
                                       "%s is listened on already, by the server %s; one address "
                                       "is for one server",
                                       directive->values[0], server->name);
            }
            return gy_config_error(directive, error,
                                   "%s and %s, where the server %s listens, overlap; one address "
                                   "is for one server",
                                   directive->values[0], server->addresses[a], server->name);
        }
    }
    return 0;
}

int gy_kinds_listen(struct gy_kinds_server *made, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    struct gy_serve_server *server = made->server;
    bool secure = strcmp(directive->key, "listen-tls") == 0;
    struct gy_address address;
    struct gy_error why = {0};
    if (directive->value_count != 1 || directive->has_block) {
        return gy_config_error(directive, error, "it takes one address; write %s ADDRESS:PORT;",
                               directive->key);
    }
    if (gy_address_parse(&address, directive->values[0], &why) != 0) {
        return gy_config_error(directive, error, "%s", why.message);
    }
    if (server->address_count == GY_SERVE_ADDRESSES_MAX) {
        return gy_config_error(directive, error, "a server listens on at most %d addresses",
                               GY_SERVE_ADDRESSES_MAX);
    }
    bool streams = secure || !server->datagrams;
    bool datagrams = !secure && (server->datagrams || made->twin != NULL);
    int code = streams ? check_free(made->kinds, directive, &address, false, error) : 0;
    if (code == 0 && datagrams) {
        code = check_free(made->kinds, directive, &address, true, error);
    }
    if (code != 0) {
        return code;
    }
    if (secure) {
        code = gy_kinds_listen_tls(made, directive->values[0], &why);
        return code == 0 ? 0 : gy_config_error(directive, error, "%s", why.message);
    }
    server->addresses[server->address_count++] = directive->values[0];
    return 0;
}
