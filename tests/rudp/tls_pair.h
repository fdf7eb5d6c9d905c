/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_RUDP_TLS_PAIR_H
#define GY_TESTS_RUDP_TLS_PAIR_H

/* A pair (pair.h) that encrypts: an authority, a certificate for `server.test`, and what wolfSSL
 * keeps for a server and for a client. */

#include "tests/rudp/pair.h"

#include "clients/cert/make.h"
#include "core/tls.h"
#include "servers/rudp/rudp_tls.h"

struct tls_side {
    struct gy_tls_config *config;
    void *state;
    struct gy_rudp_seal seal;
};

struct tls_pair {
    struct pair pair;
    struct gy_cert_pair authority, certificate;
    struct tls_side client, server;
};

static inline void tls_side_open(struct tls_side *side, const struct gy_tls_options *options)
{
    struct gy_error error = {0};
    if (gy_tls_config_open(&side->config, options, &error) != 0 ||
        gy_rudp_tls.open(&side->state, side->config, 4, &error) != 0) {
        fail_msg("%s", error.message);
    }
}

static inline void tls_pair_certificate(struct gy_cert_pair *pair, const char *name,
                                        const struct gy_cert_pair *by)
{
    struct gy_error error = {0};
    struct gy_cert_request request = {.names = &name, .name_count = 1, .days = 30};
    int code = by == NULL ? gy_cert_make_authority(pair, &request, &error)
                          : gy_cert_make(pair, &request, by, &error);
    if (code != 0) {
        fail_msg("%s", error.message);
    }
}

/* `trusted`: whose certificates the client takes; NULL: those of the server's authority. */
static inline void tls_pair_init(struct tls_pair *tls, const struct gy_cert_pair *trusted)
{
    memset(tls, 0, sizeof *tls);
    tls_pair_certificate(&tls->authority, "an authority", NULL);
    tls_pair_certificate(&tls->certificate, "server.test", &tls->authority);
    struct gy_tls_certificate shown = {
        .label = "server.pem",
        .chain = tls->certificate.certificate,
        .chain_bytes = strlen(tls->certificate.certificate),
        .key = tls->certificate.key,
        .key_bytes = strlen(tls->certificate.key),
    };
    struct gy_tls_options server = {
        .server = true,
        .certificates = &shown,
        .certificate_count = 1,
        .protocols = {GY_RUDP_ALPN},
        .protocol_count = 1,
        .early_bytes = 1200,
    };
    trusted = trusted != NULL ? trusted : &tls->authority;
    struct gy_tls_options client = {
        .verify = GY_TLS_VERIFY_REQUIRED,
        .authorities = trusted->certificate,
        .authorities_bytes = strlen(trusted->certificate),
        .authorities_label = "ca.pem",
        .protocols = {GY_RUDP_ALPN},
        .protocol_count = 1,
        .resume = true,
    };
    tls_side_open(&tls->server, &server);
    tls_side_open(&tls->client, &client);
}

/* The client has said nothing yet. `remembered`: what the server said before; NULL: nothing. */
static inline void tls_pair_begin(struct tls_pair *tls, const struct gy_rudp_config *from,
                                  const char *host, const struct gy_rudp_parameters *remembered)
{
    struct gy_rudp_config config = *from;
    assert_int_equal(
        gy_rudp_tls.make(tls->client.state, host, remembered != NULL, &tls->client.seal), 0);
    assert_int_equal(gy_rudp_tls.make(tls->server.state, NULL, false, &tls->server.seal), 0);
    if (remembered != NULL) {
        config.remembered = *remembered;
    }
    config.seal = &tls->client.seal;
    pair_begin(&tls->pair, &config);
    tls->pair.config = *from;
    tls->pair.config.seal = &tls->server.seal;
}

/* Up to the server's having taken the ClientHello. */
static inline void tls_pair_admit(struct tls_pair *tls)
{
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    struct pair *pair = &tls->pair;
    assert_int_equal(pair_hello(pair, answer, &bytes), GY_RUDP_ANSWER);
    gy_rudp_receive(&pair->client.conn, answer, bytes, pair->now_ns);
    assert_int_equal(pair_hello(pair, answer, &bytes), GY_RUDP_ADMIT);
}

static inline void tls_pair_open(struct tls_pair *tls, const struct gy_rudp_config *config)
{
    tls_pair_begin(tls, config, "server.test", NULL);
    tls_pair_admit(tls);
    pair_run(&tls->pair, 20);
    assert_int_equal(tls->pair.client.conn.state, GY_RUDP_OPEN);
    assert_int_equal(tls->pair.server.conn.state, GY_RUDP_OPEN);
}

/* The connection's end; what was learnt stays for the next one. */
static inline void tls_pair_end(struct tls_pair *tls)
{
    pair_end(&tls->pair);
    gy_rudp_tls.free(&tls->client.seal);
    if (tls->server.seal.keys != NULL) {
        gy_rudp_tls.free(&tls->server.seal);
    }
}

static inline void tls_pair_close(struct tls_pair *tls)
{
    gy_rudp_tls.close(tls->client.state);
    gy_rudp_tls.close(tls->server.state);
    gy_tls_config_close(tls->client.config);
    gy_tls_config_close(tls->server.config);
}

#endif
