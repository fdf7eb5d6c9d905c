/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TLS_QUIC_H
#define GY_CORE_TLS_QUIC_H

/*
 * TLS 1.3 without records (RFC 9001 §4), by wolfSSL, for protocols of datagrams that carry its
 * bytes and protect their packets themselves: bytes of the handshake go in and out by level, keys
 * come out of it, and packets are sealed and opened with them in place (RFC 9001 §5, with the
 * labels of that RFC). Nothing is allocated for a packet.
 *
 *     gy_tls_quic_open(&worker, config, connections_max, &error);         once for each thread
 *     tls = gy_tls_quic_new(worker, "example.com");
 *     gy_tls_quic_begin(tls, parameters, bytes);                    the peer reads `parameters`
 *     … gy_tls_quic_said() is sent, what the peer said is given to gy_tls_quic_take() …
 *     while (!gy_tls_quic_done(tls)) …
 *
 * The configuration is one of core/tls.h: certificates, authorities, tickets and early data (0-RTT)
 * are as there. X25519 is the only group, so that a server never asks for another ClientHello; of
 * suites there are TLS_AES_128_GCM_SHA256 and TLS_CHACHA20_POLY1305_SHA256, the latter first on a
 * processor without instructions for AES. Compatibility with middle boxes is not played.
 */

#include "tls.h"

enum gy_tls_quic_level {
    GY_TLS_QUIC_INITIAL, /* in the clear: no keys */
    GY_TLS_QUIC_EARLY,
    GY_TLS_QUIC_HANDSHAKE,
    GY_TLS_QUIC_APPLICATION,
};
#define GY_TLS_QUIC_LEVELS 4

/* Packets under one key, and forged ones that may be tried (RFC 9001 §6.6; the lower of both
 * suites', each). */
#define GY_TLS_QUIC_PACKETS_MAX   (UINT64_C(1) << 23)
#define GY_TLS_QUIC_FORGERIES_MAX (UINT64_C(1) << 36)

struct gy_tls_worker;
struct gy_tls_quic;

/* The configuration must outlive it. 0, or a GY_E… code with a sentence. */
int gy_tls_quic_open(struct gy_tls_worker **worker, const struct gy_tls_config *config,
                     uint32_t connections_max, struct gy_error *error);
/* After its last connection is freed. */
void gy_tls_quic_close(struct gy_tls_worker *worker);

/* `host`, for clients: as gy_tls_expect() has it; NULL: the chain alone is verified. NULL when a
 * bound is reached. */
struct gy_tls_quic *gy_tls_quic_new(struct gy_tls_worker *worker, const char *host);
/* Of a client that resumes, the session is kept for the next one to that host. */
void gy_tls_quic_free(struct gy_tls_quic *tls);

/* Clients, before `begin`: offers to send early, if the session that is resumed allows it. */
void gy_tls_quic_offer_early(struct gy_tls_quic *tls);

/* `parameters`: what the peer is told, under the handshake's protection. 0, or GY_EIO. */
int gy_tls_quic_begin(struct gy_tls_quic *tls, const uint8_t *parameters, size_t bytes);

/* The next bytes that the peer said at that level. 0, or GY_EPROTO. */
int gy_tls_quic_take(struct gy_tls_quic *tls, enum gy_tls_quic_level level, const uint8_t *data,
                     size_t bytes);

/* All that is to be said at that level so far, until the next call of the above. */
const uint8_t *gy_tls_quic_said(struct gy_tls_quic *tls, enum gy_tls_quic_level level,
                                size_t *bytes);

bool gy_tls_quic_done(const struct gy_tls_quic *tls);
/* The peer's parameters; NULL: not known yet. */
const uint8_t *gy_tls_quic_parameters(const struct gy_tls_quic *tls, size_t *bytes);
/* A server: that what comes early is to be taken. A client, once done: that it was. */
bool gy_tls_quic_early_taken(const struct gy_tls_quic *tls);
bool gy_tls_quic_can_send(const struct gy_tls_quic *tls, enum gy_tls_quic_level level);
/* Why it failed, a sentence; until the next call. */
const char *gy_tls_quic_failure(struct gy_tls_quic *tls);
/* Once it is done. The texts are valid as long as `tls`. */
void gy_tls_quic_facts(struct gy_tls_quic *tls, struct gy_tls_facts *facts);

/* ---- packets ---- */

/* `generation` counts the keys of APPLICATION for opening, from 0; see gy_tls_quic_update(). */
void gy_tls_quic_seal(struct gy_tls_quic *tls, enum gy_tls_quic_level level, uint64_t number,
                      const uint8_t *header, size_t header_bytes, uint8_t *body, size_t bytes);
bool gy_tls_quic_unseal(struct gy_tls_quic *tls, enum gy_tls_quic_level level, uint32_t generation,
                        uint64_t number, const uint8_t *header, size_t header_bytes, uint8_t *body,
                        size_t bytes);
bool gy_tls_quic_mask(struct gy_tls_quic *tls, enum gy_tls_quic_level level, bool sending,
                      const uint8_t sample[16], uint8_t mask[5]);

/* The next generation of APPLICATION is the current one. For opening, the one before is kept, and
 * the one after is there at any time, so that trying it costs nobody's time more than another. */
void gy_tls_quic_update(struct gy_tls_quic *tls, bool sending);

/* HANDSHAKE: the keys and bytes of it and of all levels before, and of a server all that wolfSSL
 * has of the connection, which takes nothing more then; APPLICATION: the keys of the generation
 * before, for opening. */
void gy_tls_quic_forget(struct gy_tls_quic *tls, enum gy_tls_quic_level level);

#endif
