/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_TLS_H
#define GY_SERVERS_RUDP_RUDP_TLS_H

/*
 * Encryption of reliable UDP by TLS 1.3 (core/tls_quic.h), for the option `sealer` of a host; its
 * context is a gy_tls_config with GY_RUDP_ALPN as the only application protocol. It is a library of
 * its own, gyre-servers-tls, as it needs wolfSSL: pkg-config's name is gyre-tls.
 *
 *     static struct gy_rudp_server server;
 *     gy_rudp_server_init(&server, &my_calls, my_context);
 *     gy_rudp_server_encrypt(&server, "server.pem", NULL, &error);
 *     return gy_rudp_serve(&server, "127.0.0.1:7117");
 */

#include "rudp_server.h"

#define GY_RUDP_ALPN "gyre-rudp/1"

extern const struct gy_rudp_sealer gy_rudp_tls;

/* Before gy_rudp_serve(): whoever connects is shown the certificate in the file (PEM, the chain,
 * the server's own first), and nobody is spoken to in the clear. `key`: the file with its key;
 * NULL: beside the certificate with ".key" for ".pem", or in the same file. Sessions are resumed;
 * nothing is taken early (0-RTT). 0, or a GY_E… code with a sentence that names the file. */
int gy_rudp_server_encrypt(struct gy_rudp_server *server, const char *certificate, const char *key,
                           struct gy_error *error);

/* After gy_rudp_serve() has returned, for who goes on: forgets the key. */
void gy_rudp_server_encrypt_end(struct gy_rudp_server *server);

#endif
