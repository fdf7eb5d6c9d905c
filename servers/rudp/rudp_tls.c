/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/rudp_tls.h"

#include "core/tls_quic.h"

/* Levels of packets and those of TLS. */
static const enum gy_tls_quic_level levels[GY_RUDP_LEVELS] = {
    [GY_RUDP_APPLICATION] = GY_TLS_QUIC_APPLICATION,
    [GY_RUDP_EARLY] = GY_TLS_QUIC_EARLY,
    [GY_RUDP_HANDSHAKE] = GY_TLS_QUIC_HANDSHAKE,
    [GY_RUDP_CLEAR] = GY_TLS_QUIC_INITIAL,
};

/* ---- the handshake ---- */

static int begin(void *keys, bool client, const uint8_t *claims, size_t bytes)
{
    (void)client; /* the configuration says it, too */
    return gy_tls_quic_begin(keys, claims, bytes);
}

static int take(void *keys, enum gy_rudp_level level, const uint8_t *data, size_t bytes)
{
    return gy_tls_quic_take(keys, levels[level], data, bytes);
}

static const uint8_t *said(void *keys, enum gy_rudp_level level, size_t *bytes)
{
    return gy_tls_quic_said(keys, levels[level], bytes);
}

static bool can_send(void *keys, enum gy_rudp_level level)
{
    return gy_tls_quic_can_send(keys, levels[level]);
}

static bool done(void *keys)
{
    return gy_tls_quic_done(keys);
}

static const uint8_t *claims(void *keys, size_t *bytes)
{
    return gy_tls_quic_parameters(keys, bytes);
}

static bool early_taken(void *keys)
{
    return gy_tls_quic_early_taken(keys);
}

static void update(void *keys, bool sending)
{
    gy_tls_quic_update(keys, sending);
}

static void forget(void *keys, enum gy_rudp_level level)
{
    gy_tls_quic_forget(keys, levels[level]);
}

static const char *failure(void *keys)
{
    return gy_tls_quic_failure(keys);
}

static const struct gy_rudp_handshake handshake = {
    .begin = begin,
    .take = take,
    .said = said,
    .can_send = can_send,
    .done = done,
    .claims = claims,
    .early_taken = early_taken,
    .update = update,
    .forget = forget,
    .failure = failure,
    .packets_max = GY_TLS_QUIC_PACKETS_MAX,
    .forgeries_max = GY_TLS_QUIC_FORGERIES_MAX,
};

/* ---- packets ---- */

static void seal(void *keys, uint64_t number, const uint8_t *header, size_t header_bytes,
                 uint8_t *body, size_t bytes)
{
    gy_tls_quic_seal(keys, levels[gy_rudp_level_of(header[0])], number, header, header_bytes, body,
                     bytes);
}

static bool unseal(void *keys, uint32_t generation, uint64_t number, const uint8_t *header,
                   size_t header_bytes, uint8_t *body, size_t bytes)
{
    return gy_tls_quic_unseal(keys, levels[gy_rudp_level_of(header[0])], generation, number, header,
                              header_bytes, body, bytes);
}

static bool mask(void *keys, enum gy_rudp_level level, bool sending, const uint8_t sample[16],
                 uint8_t out[5])
{
    return gy_tls_quic_mask(keys, levels[level], sending, sample, out);
}

/* ---- for hosts ---- */

static int tls_open(void **state, const void *context, uint32_t connections_max,
                    struct gy_error *error)
{
    struct gy_tls_worker *worker = NULL;
    int code = gy_tls_quic_open(&worker, context, connections_max, error);
    if (code == 0) {
        *state = worker;
    }
    return code;
}

static void tls_close(void *state)
{
    gy_tls_quic_close(state);
}

static int tls_make(void *state, const char *host, bool early, struct gy_rudp_seal *out)
{
    struct gy_tls_quic *tls = gy_tls_quic_new(state, host);
    if (tls == NULL) {
        return GY_ENOMEM;
    }
    if (early) {
        gy_tls_quic_offer_early(tls);
    }
    *out = (struct gy_rudp_seal){
        .tag_bytes = 16,
        .seal = seal,
        .open = unseal,
        .mask = mask,
        .keys = tls,
        .handshake = &handshake,
    };
    return 0;
}

static void tls_free(struct gy_rudp_seal *out)
{
    gy_tls_quic_free(out->keys);
    out->keys = NULL;
}

const struct gy_rudp_sealer gy_rudp_tls = {
    .open = tls_open, .close = tls_close, .make = tls_make, .free = tls_free};
