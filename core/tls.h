/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TLS_H
#define GY_CORE_TLS_H

/*
 * TLS 1.3 and 1.2 (RFC 8446, RFC 5246), by wolfSSL, as a layer of streams (core/layer.h): sessions
 * see plaintext and do not change.
 *
 * A configuration is made once, from files that were read before, and only read afterwards; each
 * worker builds wolfSSL's own objects from it when an endpoint is opened, so nothing is shared
 * between threads. wolfSSL allocates through an allocator of the worker that counts and is bounded.
 *
 *     struct gy_tls_config *config;
 *     gy_tls_config_open(&config, &options, &error);
 *     server.layer = &gy_tls_layer;
 *     server.layer_context = config;
 *
 * Copies of payload that the library forces, each counted in copied_bytes: receiving, a record from
 * the ring's buffers into wolfSSL's, where it is deciphered in place, and out of there into a block
 * of the worker; sending, small pieces into one record, and the record into the block that is sent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "layer.h"

#define GY_TLS_CERTIFICATES_MAX 256
#define GY_TLS_PROTOCOLS_MAX    8
#define GY_TLS_NAME_BYTES       256 /* of a host, with its zero (RFC 1035 §2.3.4) */

struct gy_stream;

/* PEM text; the caller's until gy_tls_config_open returns. The chain begins with the server's own
 * certificate, which its key belongs to (RFC 8446 §4.4.2). */
struct gy_tls_certificate {
    const char *label; /* for errors: the file's name */
    const char *chain;
    size_t chain_bytes;
    const char *key;
    size_t key_bytes;
};

/*
 * What an authority said about a certificate not long ago (an OCSP response, RFC 6960 §4.2, in
 * DER), to be shown with it to clients that ask (stapling, RFC 6066 §8): they need not ask the
 * authority then, nor tell it where they go. It belongs to the certificate of the same serial
 * number.
 */
struct gy_tls_staple {
    const char *label; /* for errors: the file's name */
    const uint8_t *response;
    size_t response_bytes;
};

#define GY_TLS_STAPLE_BYTES_MAX 32768

/*
 * What ticket keys are derived from. It becomes another one every GY_TLS_TICKET_HOURS by a one-way
 * function, everywhere at the same time, so that tickets older than two such spans cannot be opened
 * by who takes hold of it later.
 */
#define GY_TLS_TICKET_HOURS 12
#define GY_TLS_SECRET_BYTES 32

struct gy_tls_secret {
    uint64_t epoch; /* spans since 1970 */
    uint8_t bytes[GY_TLS_SECRET_BYTES];
};

enum gy_tls_verify {
    GY_TLS_VERIFY_NONE,     /* peers are not asked who they are; for clients: trusts anybody */
    GY_TLS_VERIFY_OPTIONAL, /* servers: a client may show a certificate, which then must hold */
    GY_TLS_VERIFY_REQUIRED,
};

struct gy_tls_options {
    bool server;
    enum gy_tls_verify verify;

    /* Servers need one at least; the first one is for clients that name no host, or one that no
     * certificate is for. Others are chosen by the names in them (SNI, RFC 6066 §3), a wildcard for
     * one label (RFC 9525 §6.3). Clients show the first, if there is one, when asked. */
    const struct gy_tls_certificate *certificates;
    uint32_t certificate_count;

    /* Servers: what is stapled to which of them. One that is past its time is not shown to anybody,
     * which the log says once. Clients ask for one where `status` is set; one that is shown must
     * hold then, and not say that the certificate was revoked. */
    const struct gy_tls_staple *staples;
    uint32_t staple_count;
    bool status;

    /* PEM: who may sign the peer's certificate. NULL: the system's authorities, for clients. The
     * label is for errors, as a certificate's is. */
    const char *authorities_label;
    const char *authorities;
    size_t authorities_bytes;

    /* Application protocols (ALPN, RFC 7301), for clients the preferred first: "http/1.1". A server
     * takes the first that a client offers of them, and refuses one that offers others only. None:
     * the extension is not used. */
    const char *protocols[GY_TLS_PROTOCOLS_MAX];
    uint32_t protocol_count;

    /* Session tickets (RFC 8446 §4.6.1) are sealed with keys derived from this; whoever is given
     * the same one resumes the others' sessions. NULL: a random one, so that sessions are resumed
     * by this configuration's workers alone. */
    const struct gy_tls_secret *ticket_secret;
    bool no_tickets;

    /* Clients: sessions are resumed (RFC 8446 §2.2). Each worker keeps one for the endpoint, that
     * of the host it spoke with last, whose certificate was verified then; it is offered to that
     * host again, and dropped when a handshake with it fails. */
    bool resume;

    /* Servers: how much a client that comes back may send before the handshake is done (0-RTT, RFC
     * 8446 §2.3); 0: nothing. What was sent so can be sent again by somebody else. A ticket is good
     * for it once within the process; and no longer than 16 s after another process may have taken
     * it (RFC 8446 §8). But the session is to take it for nothing that changes anything
     * (`unproven` in core/layer.h, RFC 8470). */
    uint32_t early_bytes;

    /* Of wolfSSL's memory, per worker and endpoint; 0: by the connections that the endpoint may
     * have, as gy_tls_memory_for() has it. Past it handshakes fail. */
    uint64_t memory_bytes;
};

struct gy_tls_config;

/* Initialises wolfSSL for this process, with the allocator of above; the calls below do it by
 * themselves. A program that uses wolfSSL itself calls this before anything of wolfSSL's. 0, or
 * GY_EIO. */
int gy_tls_init(struct gy_error *error);

/* A process that outlives those that serve makes one, and brings it up to date before each of them
 * starts. 0, or GY_EIO when there is no randomness to be had. */
int gy_tls_secret_make(struct gy_tls_secret *secret, struct gy_error *error);
void gy_tls_secret_advance(struct gy_tls_secret *secret);

/* 0; GY_EINVAL for a certificate or key that cannot be used; GY_ENOMEM. The sentence names the
 * certificate's label. */
int gy_tls_config_open(struct gy_tls_config **config, const struct gy_tls_options *options,
                       struct gy_error *error);

/* Whether one of the certificates is for `host`. */
bool gy_tls_config_names(const struct gy_tls_config *config, const char *host);

/* After the last endpoint that uses it is closed. NULL is allowed. */
void gy_tls_config_close(struct gy_tls_config *config);

/* The layer; its context is a gy_tls_config. */
extern const struct gy_layer_ops gy_tls_layer;

/* Bytes of wolfSSL's that so many connections may take: all of them at rest, and a thousand of them
 * with handshakes or whole records under way. */
uint64_t gy_tls_memory_for(uint32_t connections);

/* ---- one connection ---- */

/*
 * Clients, between gy_stream_dial and `open`: the host that is meant. It is told to the server,
 * and must be among the names of the server's certificate; a numeric address is not told, and is
 * looked for among the certificate's addresses (RFC 6125, RFC 9525). A stream that was not given a
 * name verifies the chain alone. 0; GY_EINVAL for a name that is too long; GY_ENOMEM.
 */
int gy_tls_expect(struct gy_stream *stream, const char *host);

struct gy_tls_facts {
    const char *version;  /* "TLSv1.3" */
    const char *cipher;   /* "TLS_AES_128_GCM_SHA256" */
    const char *protocol; /* chosen by ALPN; "" for none */
    const char *host;     /* that the client named; "" for none */
    bool resumed;
    bool early;         /* its first bytes came before the handshake was done */
    bool peer_verified; /* it showed a certificate, now or in the session resumed, and that held */
    char subject[GY_TLS_NAME_BYTES]; /* its common name, cut to fit; "" without a certificate */
};

/* What was agreed on; once the stream is open. The texts are valid as long as the stream. */
void gy_tls_facts_of(struct gy_stream *stream, struct gy_tls_facts *facts);

/* Why the stream's TLS failed, as a sentence with its cause and, where there is one, a remedy; for
 * use in `closed`, or by whoever was told GY_CLOSE_PROTOCOL. "" when it did not fail. */
const char *gy_tls_failure(struct gy_stream *stream, char *text, size_t text_bytes);

/* ---- for tests and simulations ---- */

/* Where randomness comes from, for the whole process: fills `bytes`, returns 0 or -1. Called from
 * any thread that does TLS. NULL: the kernel again. */
void gy_tls_set_random(int (*fill)(uint8_t *target, uint32_t bytes));

#endif
