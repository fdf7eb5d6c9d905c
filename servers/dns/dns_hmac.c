/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_hmac.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/hmac.h>

#include "core/error.h"

_Static_assert(sizeof(Hmac) <= GY_DNS_HMAC_STATE_BYTES, "it fits");

static void hmac_begin(void *state, enum gy_dns_tsig_algorithm algorithm, const uint8_t *secret,
                       size_t secret_bytes)
{
    static const int types[GY_DNS_TSIG_ALGORITHM_COUNT] = {
        [GY_DNS_TSIG_SHA1] = WC_SHA,      [GY_DNS_TSIG_SHA224] = WC_SHA224,
        [GY_DNS_TSIG_SHA256] = WC_SHA256, [GY_DNS_TSIG_SHA384] = WC_SHA384,
        [GY_DNS_TSIG_SHA512] = WC_SHA512,
    };
    Hmac *hmac = state;
    int error = wc_HmacInit(hmac, NULL, INVALID_DEVID);
    /* Secrets of any length: the limit of FIPS 140 is not the protocol's. */
    error = error == 0 ? wc_HmacSetKey_ex(hmac, types[algorithm], secret, (word32)secret_bytes, 1)
                       : error;
    gy_assert(error == 0); /* it can fail by its arguments alone */
}

static void hmac_add(void *state, const void *data, size_t bytes)
{
    int error = wc_HmacUpdate(state, data, (word32)bytes);
    gy_assert(error == 0);
}

static void hmac_end(void *state, uint8_t mac[GY_DNS_MAC_MAX])
{
    int error = wc_HmacFinal(state, mac);
    gy_assert(error == 0);
    wc_HmacFree(state);
}

const struct gy_dns_hmac gy_dns_hmac_wolfcrypt = {hmac_begin, hmac_add, hmac_end};
