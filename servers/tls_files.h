/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_TLS_FILES_H
#define GY_SERVERS_TLS_FILES_H

/*
 * A server's TLS from files: certificates and keys in PEM, and who may sign those of clients. They
 * are read when a plan is made, which is before privileges are dropped and again for each reload;
 * so a new certificate serves from the next SIGHUP on, and the connections that are open stay.
 */

#include "../core/tls.h"

struct gy_tls_files_pair {
    char *certificate; /* a file with the chain, the server's own first */
    char
        *key; /* a file; NULL: beside the certificate with ".key" for ".pem", or in the same file */
};

struct gy_tls_files {
    struct gy_tls_files_pair pairs[GY_TLS_CERTIFICATES_MAX];
    uint32_t pair_count;
    enum gy_tls_verify clients;
    char *authorities; /* a file; who may sign clients' certificates */
    bool no_tickets;
    const char *protocols[GY_TLS_PROTOCOLS_MAX];
    uint32_t protocol_count;
};

/* Adds a pair; copies the names. `key` may be NULL. GY_ELIMIT past GY_TLS_CERTIFICATES_MAX. */
int gy_tls_files_add(struct gy_tls_files *files, const char *certificate, const char *key,
                     struct gy_error *error);

/* Reads everything. `secret` is for session tickets; NULL: random. 0, or a GY_E… code with a
 * sentence that names the file. */
int gy_tls_files_open(struct gy_tls_config **config, const struct gy_tls_files *files,
                      const struct gy_tls_secret *secret, struct gy_error *error);

/* Frees the names. */
void gy_tls_files_close(struct gy_tls_files *files);

#endif
