/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TLS_INTERNAL_H
#define GY_CORE_TLS_INTERNAL_H

/* What the files of core/tls share. wolfSSL's own types are seen in them only. */

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include "core/slab.h"
#include "core/tls.h"

/* What a worker's wolfSSL may allocate; written by its thread alone. */
struct gy_tls_memory {
    uint64_t limit_bytes;
    uint64_t used_bytes;
    uint64_t used_max_bytes;
    uint64_t refused;
};

/* From now on this thread allocates from `memory`; NULL: unbounded, for what the process shares.
 * Returns what it was. */
struct gy_tls_memory *gy_tls_memory_use(struct gy_tls_memory *memory);

/* A certificate as the configuration keeps it. */
struct gy_tls_identity {
    char *label;
    char *chain;
    size_t chain_bytes;
    char *key;
    size_t key_bytes;
};

/* A name of a certificate: lower case; `wildcard` when it stood behind "*.". */
struct gy_tls_name {
    char host[GY_TLS_NAME_BYTES];
    uint32_t identity;
    bool wildcard;
};

struct gy_tls_config {
    bool server;
    bool no_tickets;
    bool resume;
    enum gy_tls_verify verify;
    struct gy_tls_identity *identities;
    uint32_t identity_count;
    struct gy_tls_name *names;
    uint32_t name_count;
    char *authorities_label;
    char *authorities;
    size_t authorities_bytes;
    char protocols[GY_TLS_PROTOCOLS_MAX][32];
    uint32_t protocol_count;
    struct gy_tls_secret ticket_secret;
    uint64_t memory_bytes;
};

/* A wolfSSL context for one identity (GY_TLS_NO_IDENTITY: none), without call-backs; NULL with a
 * sentence. */
#define GY_TLS_NO_IDENTITY UINT32_MAX
WOLFSSL_CTX *gy_tls_context_make(const struct gy_tls_config *config, uint32_t identity,
                                 struct gy_error *error);

/* The identity for a host name; GY_TLS_NO_IDENTITY when none is for it. */
uint32_t gy_tls_identity_for(const struct gy_tls_config *config, const char *host, size_t length);

/* ---- tickets ---- */

/* Keys of the current epoch and the one before. */
struct gy_tls_ticket_key {
    uint8_t name[16];
    uint8_t key[32];
};

struct gy_tls_tickets {
    struct gy_tls_secret secret;      /* of the current epoch */
    struct gy_tls_ticket_key keys[2]; /* keys[epoch & 1] is the current one */
};

void gy_tls_tickets_init(struct gy_tls_tickets *tickets, const struct gy_tls_secret *secret);

/* Moves on to `epoch`, forgetting what is older than the one before it. */
void gy_tls_tickets_advance(struct gy_tls_tickets *tickets, uint64_t epoch);

/* wolfSSL's call-back; its context is a gy_tls_tickets. */
int gy_tls_ticket_callback(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac,
                           int seal, unsigned char *ticket, int length, int *length_out,
                           void *context);

/* ---- per worker and endpoint ---- */

struct gy_tls_worker {
    const struct gy_tls_config *config;
    struct gy_tls_memory memory;
    struct gy_tls_tickets tickets;
    WOLFSSL_CTX **contexts; /* by identity; at least one */
    uint32_t context_count;
    struct gy_slab connections; /* of struct gy_tls */
    size_t slab_bytes;
    WOLFSSL_SESSION *session; /* of clients that come back, with session_host; NULL: none */
    char session_host[GY_TLS_NAME_BYTES];
    uint8_t gather[16384]; /* where small pieces become one record */
};

struct gy_tls {
    struct gy_layer layer;
    struct gy_tls_worker *worker;
    WOLFSSL *ssl;
    int error; /* wolfSSL's, when it failed */
    int verify_error;
    uint8_t alert; /* received, with alert_received; else sent, if any */
    bool alert_received;
    bool spoke;     /* something was sent */
    bool offered;   /* the session of before, if there was one */
    char *host;     /* that a client expects; NULL: none */
    char *doubtful; /* the certificate that did not hold, in words; NULL: none */
};

/* wolfSSL's call-back for certificates that do not hold; the context is a gy_tls. */
int gy_tls_verify_callback(int holds, WOLFSSL_X509_STORE_CTX *store);

/* The session that clients resume: offered before the handshake, kept at the end. */
void gy_tls_session_offer(struct gy_tls *tls);
void gy_tls_session_keep(struct gy_tls *tls);
void gy_tls_session_drop(struct gy_tls_worker *worker);

/* gy_tls_layer's attach and detach. */
int gy_tls_attach(struct gy_endpoint *endpoint, const void *context, struct gy_error *error);
void gy_tls_detach(struct gy_endpoint *endpoint);

/* wolfSSL's I/O, between its buffers and the layer's chains; the context is the stream. */
int gy_tls_receive_callback(WOLFSSL *ssl, char *target, int bytes, void *context);
int gy_tls_send_callback(WOLFSSL *ssl, char *data, int bytes, void *context);

#endif
