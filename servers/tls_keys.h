/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_TLS_KEYS_H
#define GY_SERVERS_TLS_KEYS_H

/*
 * The keys of a block that say how its server does TLS, the same for every kind of server that can:
 *
 *     certificate FILE [KEY];
 *     client-certificates required AUTHORITIES;
 *     session-tickets on;
 *     stapling-file FILE;
 *     early-data off;
 *
 * A struct gy_tls_keys is zeroed, gets the directives, and is opened; what it opened lives until
 * gy_tls_keys_close. It is read again with each reload, as the plan is made anew then.
 */

#include "../core/config.h"
#include "../core/tls_files.h"

struct gy_tls_keys {
    struct gy_tls_files files;
    struct gy_tls_config *config;         /* once it is open; NULL: there is no certificate */
    const struct gy_config_directive *at; /* one of the keys; NULL: none was there */
};

/* What one connection may send early (RFC 8446 §4.2.10). */
#define GY_TLS_KEYS_EARLY_BYTES 16384

/* Takes one of the keys above. */
int gy_tls_keys_take(struct gy_tls_keys *keys, const struct gy_config_directive *directive,
                     struct gy_error *error);

/* Once all keys are read. 0, or GY_EINVAL with a sentence. */
int gy_tls_keys_settle(const struct gy_tls_keys *keys, struct gy_error *error);

/* Reads the files, and that of a flag `--tls FILE[,KEY]` (NULL: not given). `protocol` is what is
 * agreed on by ALPN. 0, with `config` NULL where there is no certificate; or a GY_E… code. */
int gy_tls_keys_open(struct gy_tls_keys *keys, const char *flag, const char *protocol,
                     struct gy_error *error);

void gy_tls_keys_close(struct gy_tls_keys *keys);

#endif
