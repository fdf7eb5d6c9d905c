/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A server's certificate from files, for programs that embed one. */

#include "core/tls_files.h"
#include "servers/rudp/rudp_tls.h"

int gy_rudp_server_encrypt(struct gy_rudp_server *server, const char *certificate, const char *key,
                           struct gy_error *error)
{
    struct gy_tls_files files = {.server = true, .protocols = {GY_RUDP_ALPN}, .protocol_count = 1};
    struct gy_tls_config *config = NULL;
    gy_assert(server->host.sealer == NULL);
    int code = gy_tls_files_add(&files, certificate, key, error);
    if (code == 0) {
        code = gy_tls_files_open(&config, &files, NULL, error);
    }
    gy_tls_files_close(&files);
    if (code == 0) {
        server->host.sealer = &gy_rudp_tls;
        server->host.sealer_context = config;
    }
    return code;
}

void gy_rudp_server_encrypt_end(struct gy_rudp_server *server)
{
    if (server->host.sealer != NULL) {
        gy_tls_config_close((struct gy_tls_config *)(uintptr_t)server->host.sealer_context);
        server->host.sealer = NULL;
        server->host.sealer_context = NULL;
    }
}
