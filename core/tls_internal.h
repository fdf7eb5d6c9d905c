/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TLS_INTERNAL_H
#define GY_CORE_TLS_INTERNAL_H

/* What the files of core/tls share. wolfSSL's own types are seen in them only. */

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include <pthread.h>

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

/* wolfSSL's source of random bytes: the kernel's generator, which needs no state in this process,
 * or what gy_tls_set_random named. The name is one of wolfSSL's build (ci/sources.sh). 0 or -1. */
int gy_tls_random_block(byte *target, word32 bytes);

/* A certificate as the configuration keeps it. */
struct gy_tls_identity {
    char *label;
    char *chain;
    size_t chain_bytes;
    char *key;
    size_t key_bytes;
    uint8_t *staple; /* what is shown with it; NULL: nothing */
    size_t staple_bytes;
    int64_t staple_until; /* seconds since 1970; 0: nobody knows */
};

/*
 * Tickets that were used for early data not long ago, of all workers: each is good for it once (RFC
 * 8446 §8.1). wolfSSL takes no ticket whose age, as the client has it, is 12 s from what it is
 * (§8.3), so that a copy of a hello is of no use after that time, and neither is what is kept here.
 */
#define GY_TLS_STRIKES_WINDOW_S 16
#define GY_TLS_STRIKES_MAX      32768 /* in a window; beyond it nobody's early data is taken */

struct gy_tls_strikes {
    pthread_mutex_t lock;
    uint32_t maker;    /* in tickets of this process, which knows which of them were used */
    int64_t began_s;   /* what others made was used with them until then, it may be */
    int64_t window_s;  /* when the current window began */
    uint32_t used[2];  /* tickets in each set */
    uint64_t *sets[2]; /* of the current window, and of the one before */
};

/* 0, or GY_ENOMEM. */
int gy_tls_strikes_open(struct gy_tls_strikes *strikes, uint32_t maker, int64_t now_s);
void gy_tls_strikes_close(struct gy_tls_strikes *strikes);

/* Whether a ticket of `maker` may be used for early data still. */
bool gy_tls_strikes_allow(struct gy_tls_strikes *strikes, uint64_t ticket, uint32_t maker,
                          int64_t now_s);

/* It is used now. False: it was before, or there is no room to note it. */
bool gy_tls_strikes_take(struct gy_tls_strikes *strikes, uint64_t ticket, int64_t now_s);

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
    bool status;
    uint32_t early_bytes;
    struct gy_tls_strikes
        *strikes; /* with early_bytes; the one thing that workers share and change */
    struct gy_tls_secret ticket_secret;
    uint64_t memory_bytes;
};

/* The common name in a certificate's subject, cut to fit; "" without one. */
const char *gy_tls_common_name(WOLFSSL_X509 *certificate, char name[GY_TLS_NAME_BYTES]);

/* A wolfSSL context for one identity (GY_TLS_NO_IDENTITY: none), without call-backs; NULL with a
 * sentence. */
#define GY_TLS_NO_IDENTITY UINT32_MAX
WOLFSSL_CTX *gy_tls_context_make(const struct gy_tls_config *config, uint32_t identity,
                                 struct gy_error *error);

/* Whether a group of the registry is one that we have. */
bool gy_tls_group_is_ours(uint16_t group);

/* The identity for a host name; GY_TLS_NO_IDENTITY when none is for it. */
uint32_t gy_tls_identity_for(const struct gy_tls_config *config, const char *host, size_t length);

/* ---- clients' hellos ---- */

/* The alert for what is wrong with a hello of TLS 1.3 (its bytes behind the message's head) and
 * wolfSSL takes all the same: a pre-shared key without the modes to use it in, groups of which we
 * have none. 0: nothing. */
uint8_t gy_tls_hello_breach(const uint8_t *hello, size_t bytes);

struct gy_tls;

/* What a server's wolfSSL is given is shown to this as well, until tls->hello_seen: tls->breach is
 * then what gy_tls_hello_breach() said. */
void gy_tls_hello_see(struct gy_tls *tls, const uint8_t *data, uint32_t bytes);
void gy_tls_hello_end(struct gy_tls *tls);

/* ---- what is stapled ---- */

/* What a response says of itself. */
struct gy_tls_staple_facts {
    const uint8_t *serial; /* of the certificate, big-endian, without leading zeros */
    size_t serial_bytes;
    enum { GY_TLS_STAPLE_GOOD, GY_TLS_STAPLE_REVOKED, GY_TLS_STAPLE_UNKNOWN } status;
    int64_t from_s;  /* seconds since 1970 */
    int64_t until_s; /* 0: nobody knows */
};

/* Reads a response of one certificate (RFC 6960 §4.2.1). 0, or GY_EINVAL. */
int gy_tls_staple_read(const uint8_t *response, size_t bytes, struct gy_tls_staple_facts *facts);

/* Finds the certificates that responses are for. */
int gy_tls_staples_open(struct gy_tls_config *config, const struct gy_tls_options *options,
                        struct gy_error *error);

/* wolfSSL's call-back: gives the connection what belongs to its certificate. */
int gy_tls_staple_callback(WOLFSSL *ssl, void *context);

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
    bool quic;             /* for core/tls_quic */
    bool staple_said;      /* that one is past its time */
    uint8_t gather[16384]; /* where small pieces become one record */
};

/* wolfSSL hands one counter of tickets down a chain of resumed sessions, and fails at 255: before
 * that a full handshake begins a new one. */
#define GY_TLS_RESUMED_MAX 250

struct gy_tls {
    struct gy_layer layer;
    struct gy_tls_worker *worker;
    WOLFSSL *ssl;
    struct gy_tls_hello *hello; /* of a client, while it comes in */
    int error;                  /* wolfSSL's, when it failed */
    int verify_error;
    uint8_t alert; /* received, with alert_received; else sent, if any */
    bool alert_received;
    bool hello_seen;
    bool heard;        /* something came */
    uint8_t breach;    /* of the hello: the alert for it; nothing else is sent */
    uint8_t resumed;   /* how many times in a row its session was, up to GY_TLS_RESUMED_MAX */
    bool enciphers;    /* what is sent is enciphered */
    bool empty;        /* the record that came last has nothing in it */
    bool alerted;      /* a fatal alert was sent before that */
    bool offered;      /* the session of before, if there was one */
    bool early;        /* early data was taken */
    bool replayed;     /* though it should not have been: somebody else took it at the same time */
    uint64_t ticket;   /* that the client has shown; 0: none */
    uint32_t identity; /* of the certificate that is shown */
    char *host;        /* that a client expects; NULL: none */
    char *doubtful;    /* the certificate that did not hold, in words; NULL: none */
    char *subject;     /* the common name in the peer's certificate; NULL: none was shown */
    char *plain;       /* what a server said that speaks no TLS; NULL: it does, or said nothing */
};

/* Whose it is: between opening and closing it has the stream as its context, or, without records,
 * the gy_tls itself. */
struct gy_tls *gy_tls_of(const WOLFSSL *ssl);

/* ---- early data ---- */

/* wolfSSL_accept, by its results, which takes what comes before the handshake is done where the
 * configuration says so: tls->early then, and success once there may be something for a session. */
int gy_tls_accept(struct gy_tls *tls, uint8_t *early, uint32_t room, uint32_t *early_bytes);

/* Whose handshake this thread is in, for gy_tls_session_removed; who was in one before. */
struct gy_tls *gy_tls_early_watch(struct gy_tls *tls);

/* All input is taken: is the handshake done by now? */
void gy_tls_finish_early(struct gy_stream *stream);

/* A ticket that was made has its maker in it; one that is shown may have been used already. `iv`
 * has WOLFSSL_TICKET_IV_SZ bytes, of which GCM's nonce is the first 12. */
void gy_tls_ticket_mark(const WOLFSSL *ssl, uint8_t *iv);
bool gy_tls_ticket_usable(WOLFSSL *ssl, const uint8_t *iv);

/* wolfSSL's call-back. */
void gy_tls_session_removed(WOLFSSL_CTX *context, WOLFSSL_SESSION *session);

/* wolfSSL's call-back for certificates that do not hold; the context is a gy_tls. */
int gy_tls_verify_callback(int holds, WOLFSSL_X509_STORE_CTX *store);

/* The session that clients resume: offered before the handshake, kept at the end. */
void gy_tls_session_offer(struct gy_tls *tls);
void gy_tls_session_keep(struct gy_tls *tls);
void gy_tls_session_drop(struct gy_tls_worker *worker);

/* What the connections of one endpoint share: contexts, and room for so many of `connection_bytes`
 * each. `quic`: for core/tls_quic. 0, or a GY_E… code. */
int gy_tls_worker_open(struct gy_tls_worker **worker, const struct gy_tls_config *config,
                       uint32_t connections_max, size_t connection_bytes, bool quic,
                       struct gy_error *error);
void gy_tls_worker_close(struct gy_tls_worker *worker);

/* gy_tls_layer's attach and detach. */
int gy_tls_attach(struct gy_endpoint *endpoint, const void *context, struct gy_error *error);
void gy_tls_detach(struct gy_endpoint *endpoint);

/* As the calls of tls.h that take a stream; of one with `worker` and `ssl`, whose memory is used.
 */
int gy_tls_name_protocols(struct gy_tls *tls);
int gy_tls_expect_host(struct gy_tls *tls, const char *host);
void gy_tls_facts_in(struct gy_tls *tls, struct gy_tls_facts *facts);
const char *gy_tls_explain(const struct gy_tls *tls, char *text, size_t text_bytes);

extern const struct wolfssl_quic_method_t gy_tls_quic_method;

/* wolfSSL's I/O, between its buffers and the layer's chains; the context is the stream. */
int gy_tls_receive_callback(WOLFSSL *ssl, char *target, int bytes, void *context);
int gy_tls_send_callback(WOLFSSL *ssl, char *data, int bytes, void *context);

#endif
