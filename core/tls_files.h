/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TLS_FILES_H
#define GY_CORE_TLS_FILES_H

/*
 * A TLS configuration from files in PEM: certificates and keys, and who may sign the peer's. They
 * are read in gy_tls_files_open() and not looked at again. A server reads them when its plan is
 * made, which is before privileges are dropped and again for each reload; so a new certificate
 * serves from the next SIGHUP on, and the connections that are open stay.
 */

#include "tls.h"

struct gy_tls_files_pair {
    char *certificate; /* a file with the chain, the server's own first */
    char
        *key; /* a file; NULL: beside the certificate with ".key" for ".pem", or in the same file */
};

struct gy_tls_files {
    struct gy_tls_files_pair pairs[GY_TLS_CERTIFICATES_MAX];
    uint32_t pair_count;
    char *
        staples[GY_TLS_CERTIFICATES_MAX]; /* files with OCSP responses in DER. A certificate without
                                             one among them has that beside it with ".ocsp" for
                                             ".pem", if there is one */
    uint32_t staple_count;
    bool server;
    enum gy_tls_verify verify;
    char *authorities; /* a file; who may sign the peer's certificate. NULL: as gy_tls_options has
                          it */
    bool no_tickets;
    bool resume;           /* of clients */
    bool status;           /* of clients */
    uint32_t early_bytes;  /* of servers */
    uint64_t memory_bytes; /* 0: as gy_tls_options has it */
    const char *protocols[GY_TLS_PROTOCOLS_MAX];
    uint32_t protocol_count;
};

/* Adds a pair; copies the names. `key` may be NULL. GY_ELIMIT past GY_TLS_CERTIFICATES_MAX. */
int gy_tls_files_add(struct gy_tls_files *files, const char *certificate, const char *key,
                     struct gy_error *error);

/* Likewise, from a flag's value: FILE or FILE,KEY. */
int gy_tls_files_add_flag(struct gy_tls_files *files, const char *value, struct gy_error *error);

/* Adds a file with an OCSP response. GY_ELIMIT past GY_TLS_CERTIFICATES_MAX. */
int gy_tls_files_add_staple(struct gy_tls_files *files, const char *path, struct gy_error *error);

/* Reads everything. `secret` is for session tickets; NULL: random. 0, or a GY_E… code with a
 * sentence that names the file. */
int gy_tls_files_open(struct gy_tls_config **config, const struct gy_tls_files *files,
                      const struct gy_tls_secret *secret, struct gy_error *error);

/* Frees the names. */
void gy_tls_files_close(struct gy_tls_files *files);

#endif
