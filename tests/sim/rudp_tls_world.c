/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "tests/sim/rudp_tls_world.h"

#include <stdio.h>
#include <string.h>

#include "clients/cert/make.h"
#include "core/tls.h"
#include "servers/rudp/rudp_tls.h"

static struct gy_tls_config *client, *server;
static struct sim_random randomness;

static int fill(uint8_t *target, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        target[i] = (uint8_t)(sim_random(&randomness) >> 32);
    }
    return 0;
}

static int open_configs(struct gy_error *error)
{
    static struct gy_cert_pair authority, pair;
    static const char *const names[] = {"the simulator", "server.test"};
    struct gy_cert_request request = {.names = &names[0], .name_count = 1, .days = 30};
    int code = gy_cert_make_authority(&authority, &request, error);
    request.names = &names[1];
    code = code == 0 ? gy_cert_make(&pair, &request, &authority, error) : code;
    struct gy_tls_certificate shown = {"server.pem", pair.certificate, strlen(pair.certificate),
                                       pair.key, strlen(pair.key)};
    struct gy_tls_options options = {
        .server = true,
        .certificates = &shown,
        .certificate_count = 1,
        .protocols = {GY_RUDP_ALPN},
        .protocol_count = 1,
    };
    code = code == 0 ? gy_tls_config_open(&server, &options, error) : code;
    options = (struct gy_tls_options){
        .verify = GY_TLS_VERIFY_REQUIRED,
        .authorities = authority.certificate,
        .authorities_bytes = strlen(authority.certificate),
        .protocols = {GY_RUDP_ALPN},
        .protocol_count = 1,
    };
    return code == 0 ? gy_tls_config_open(&client, &options, error) : code;
}

int world_tls_open(void)
{
    struct gy_error error = {0};
    randomness.state = 1;
    gy_tls_set_random(fill);
    world_crypto.sealer = &gy_rudp_tls;
    if (open_configs(&error) != 0 ||
        gy_rudp_tls.open(&world_crypto.client, client, WORLD_CLIENTS_MAX, &error) != 0 ||
        gy_rudp_tls.open(&world_crypto.server, server, WORLD_CLIENTS_MAX, &error) != 0) {
        fprintf(stderr, "%s\n", error.message);
        return -1;
    }
    return 0;
}

void world_tls_close(void)
{
    gy_rudp_tls.close(world_crypto.client);
    gy_rudp_tls.close(world_crypto.server);
    gy_tls_config_close(client);
    gy_tls_config_close(server);
    gy_tls_set_random(NULL);
    memset(&world_crypto, 0, sizeof world_crypto);
}

int world_tls_run(struct world *world, uint64_t seed, struct world_totals *totals)
{
    randomness.state = seed;
    return world_run(world, seed, totals);
}
