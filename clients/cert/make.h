/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CERT_MAKE_H
#define GY_CLIENTS_CERT_MAKE_H

/*
 * Certificates for development and tests: an authority of one's own, and what it signs. All keys
 * are EC P-256, all signatures ECDSA with SHA-256 (RFC 5480, RFC 5280).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../core/error.h"

#define GY_CERT_PEM_BYTES 8192
#define GY_CERT_NAMES_MAX 32

/* A certificate and its key, as PEM text with a zero at its end. */
struct gy_cert_pair {
    char certificate[GY_CERT_PEM_BYTES];
    char key[GY_CERT_PEM_BYTES];
};

struct gy_cert_request {
    /* Hosts ("localhost", "*.example.org") and addresses ("127.0.0.1", "::1"); the first one is the
     * common name, too. For a client or an authority: one name, of any kind. */
    const char *const *names;
    uint32_t name_count;
    uint32_t days;       /* from an hour ago on (clocks differ) */
    int32_t begins_days; /* the days begin so many days from now; may be negative */
    bool client;         /* for a client to show, not a server */
};

/* An authority that signs itself. 0; GY_EINVAL for names that do not fit; GY_EIO when wolfSSL
 * cannot. */
int gy_cert_make_authority(struct gy_cert_pair *authority, const struct gy_cert_request *request,
                           struct gy_error *error);

/* A certificate signed by `authority`. The same errors, and GY_EINVAL for an authority that cannot
 * be read. */
int gy_cert_make(struct gy_cert_pair *pair, const struct gy_cert_request *request,
                 const struct gy_cert_pair *authority, struct gy_error *error);

#endif
