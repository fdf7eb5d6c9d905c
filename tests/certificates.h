/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CERTIFICATES_H
#define GY_TESTS_CERTIFICATES_H

/* Certificates for tests, made on the spot. */

#include "clients/cert/make.h"
#include "core/tls.h"
#include "tests/core/core_harness.h"

/* Of 30 days that begin `begins_days` from now, signed by `by`; NULL: an authority. */
static inline void certificate_make(struct gy_cert_pair *pair, const char *name,
                                    int32_t begins_days, bool client, const struct gy_cert_pair *by)
{
    struct gy_error error = {0};
    struct gy_cert_request request = {
        .names = &name, .name_count = 1, .days = 30, .begins_days = begins_days, .client = client};
    int code = by == NULL ? gy_cert_make_authority(pair, &request, &error)
                          : gy_cert_make(pair, &request, by, &error);
    if (code != 0) {
        fail_msg("%s", error.message);
    }
}

static inline struct gy_tls_certificate certificate_of(const struct gy_cert_pair *pair,
                                                       const char *label)
{
    return (struct gy_tls_certificate){.label = label,
                                       .chain = pair->certificate,
                                       .chain_bytes = strlen(pair->certificate),
                                       .key = pair->key,
                                       .key_bytes = strlen(pair->key)};
}

#endif
