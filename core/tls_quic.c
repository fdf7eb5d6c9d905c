/* SPDX-License-Identifier: GPL-3.0-or-later */

/* One connection: wolfSSL's QUIC interface, and the keys it hands out. */

#include "core/tls_quic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tls_internal.h"
#include "core/tls_keys.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/quic.h>

#define SAID_BYTES_MAX  65536u
#define PARAMETERS_CODE 0x39 /* RFC 9001 §8.2 */
#define GENERATIONS     3    /* before, current, next */

_Static_assert((int)GY_TLS_QUIC_INITIAL == wolfssl_encryption_initial &&
                   (int)GY_TLS_QUIC_EARLY == wolfssl_encryption_early_data &&
                   (int)GY_TLS_QUIC_HANDSHAKE == wolfssl_encryption_handshake &&
                   (int)GY_TLS_QUIC_APPLICATION == wolfssl_encryption_application,
               "levels have wolfSSL's numbers");

struct said {
    uint8_t *data;
    size_t bytes, room;
};

/* Of one level and direction. */
struct keys {
    struct gy_tls_header_key header;
    struct gy_tls_packet_key packets[GENERATIONS]; /* by generation; but APPLICATION's: the first */
};

struct gy_tls_quic {
    struct gy_tls tls; /* first */
    bool done;
    bool offers_early;
    uint8_t sent_alert;
    struct said said[GY_TLS_QUIC_LEVELS];
    struct keys *opening[GY_TLS_QUIC_LEVELS], *sealing[GY_TLS_QUIC_LEVELS]; /* NULL: none */
    uint8_t open_secret[GY_TLS_SECRET_SIZE]; /* of the generation after the current one */
    uint8_t seal_secret[GY_TLS_SECRET_SIZE]; /* of the current one */
    uint32_t generation;                     /* of opening */
    bool before;                             /* there are keys of the generation before */
    uint8_t *parameters;                     /* the peer's */
    size_t parameters_bytes;
    struct gy_tls_facts facts;                  /* once it is done */
    char protocol[32], host[GY_TLS_NAME_BYTES]; /* of the facts */
    char failure[256];
};

static struct gy_tls_quic *quic_of(const WOLFSSL *ssl)
{
    return (struct gy_tls_quic *)gy_tls_of(ssl);
}

/* ---- wolfSSL's call-backs ---- */

static enum gy_tls_aead aead_of(WOLFSSL *ssl, enum gy_tls_quic_level level)
{
    /* Nothing is agreed on yet: the session says it. */
    const char *name = level == GY_TLS_QUIC_EARLY
                           ? wolfSSL_SESSION_CIPHER_get_name(wolfSSL_get_session(ssl))
                           : wolfSSL_get_cipher_name(ssl);
    return name != NULL && strstr(name, "CHACHA20") != NULL ? GY_TLS_CHACHA20_POLY1305
                                                            : GY_TLS_AES_128_GCM;
}

static struct keys *keys_make(enum gy_tls_aead aead, enum gy_tls_quic_level level,
                              const uint8_t secret[GY_TLS_SECRET_SIZE])
{
    struct keys *keys = XMALLOC(sizeof *keys, NULL, DYNAMIC_TYPE_TMP_BUFFER);
    (void)level;
    if (keys != NULL) {
        memset(keys, 0, sizeof *keys);
        gy_tls_header_key_make(&keys->header, aead, secret);
        gy_tls_packet_key_make(&keys->packets[0], aead, secret);
    }
    return keys;
}

static void keys_free(struct keys **keys)
{
    if (*keys != NULL) {
        gy_tls_header_key_clear(&(*keys)->header);
        for (unsigned i = 0; i < GENERATIONS; i++) {
            gy_tls_packet_key_clear(&(*keys)->packets[i]);
        }
        XFREE(*keys, NULL, DYNAMIC_TYPE_TMP_BUFFER);
        *keys = NULL;
    }
}

/* The keys that follow those in use for opening. */
static void prepare_next(struct gy_tls_quic *quic)
{
    struct keys *keys = quic->opening[GY_TLS_QUIC_APPLICATION];
    struct gy_tls_packet_key *next = &keys->packets[(quic->generation + 1) % GENERATIONS];
    gy_tls_packet_key_clear(next);
    gy_tls_packet_key_make(next, keys->header.aead, quic->open_secret);
    gy_tls_secret_next(quic->open_secret);
}

static int set_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL number, const uint8_t *read_secret,
                       const uint8_t *write_secret, size_t bytes)
{
    struct gy_tls_quic *quic = quic_of(ssl);
    enum gy_tls_quic_level level = (enum gy_tls_quic_level)number;
    enum gy_tls_aead aead = aead_of(ssl, level);
    bool server = quic->tls.worker->config->server;
    if (bytes != GY_TLS_SECRET_SIZE) {
        return 0;
    }
    /* What is early goes one way. */
    if (read_secret != NULL && (level != GY_TLS_QUIC_EARLY || server)) {
        keys_free(&quic->opening[level]);
        quic->opening[level] = keys_make(aead, level, read_secret);
        if (quic->opening[level] == NULL) {
            return 0;
        }
        if (level == GY_TLS_QUIC_APPLICATION) {
            memcpy(quic->open_secret, read_secret, bytes);
            gy_tls_secret_next(quic->open_secret);
            prepare_next(quic);
        }
    }
    if (write_secret != NULL && (level != GY_TLS_QUIC_EARLY || !server)) {
        keys_free(&quic->sealing[level]);
        quic->sealing[level] = keys_make(aead, level, write_secret);
        if (quic->sealing[level] == NULL) {
            return 0;
        }
        if (level == GY_TLS_QUIC_APPLICATION) {
            memcpy(quic->seal_secret, write_secret, bytes);
        }
    }
    return 1;
}

static int add_data(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *data, size_t bytes)
{
    struct gy_tls_quic *quic = quic_of(ssl);
    struct said *said = &quic->said[level];
    if (bytes > SAID_BYTES_MAX - said->bytes) {
        return 0;
    }
    if (said->bytes + bytes > said->room) {
        size_t room = said->room == 0 ? 1024 : said->room;
        while (room < said->bytes + bytes) {
            room *= 2;
        }
        uint8_t *grown = XREALLOC(said->data, room, NULL, DYNAMIC_TYPE_TMP_BUFFER);
        if (grown == NULL) {
            return 0;
        }
        said->data = grown;
        said->room = room;
    }
    memcpy(said->data + said->bytes, data, bytes);
    said->bytes += bytes;
    return 1;
}

static int flush(WOLFSSL *ssl)
{
    (void)ssl; /* whoever asks is told all there is */
    return 1;
}

static int send_alert(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, uint8_t alert)
{
    (void)level;
    quic_of(ssl)->sent_alert = alert; /* the protocol closes the connection */
    return 1;
}

const WOLFSSL_QUIC_METHOD gy_tls_quic_method = {
    .set_encryption_secrets = set_secrets,
    .add_handshake_data = add_data,
    .flush_flight = flush,
    .send_alert = send_alert,
};

/* ---- life ---- */

int gy_tls_quic_open(struct gy_tls_worker **worker, const struct gy_tls_config *config,
                     uint32_t connections_max, struct gy_error *error)
{
    return gy_tls_worker_open(worker, config, connections_max, sizeof(struct gy_tls_quic), true,
                              error);
}

void gy_tls_quic_close(struct gy_tls_worker *worker)
{
    if (worker != NULL) {
        gy_assert(worker->connections.used == 0);
        gy_tls_worker_close(worker);
    }
}

struct gy_tls_quic *gy_tls_quic_new(struct gy_tls_worker *worker, const char *host)
{
    struct gy_tls_quic *quic = gy_slab_take(&worker->connections);
    if (quic == NULL) {
        return NULL;
    }
    memset(quic, 0, sizeof *quic);
    quic->tls.worker = worker;
    struct gy_tls_memory *before = gy_tls_memory_use(&worker->memory);
    WOLFSSL *ssl = wolfSSL_new(worker->contexts[0]);
    quic->tls.ssl = ssl;
    if (ssl != NULL) {
        wolfSSL_SetIOReadCtx(ssl, quic);
        wolfSSL_SetCertCbCtx(ssl, &quic->tls);
        wolfSSL_set_quic_transport_version(ssl, PARAMETERS_CODE);
    }
    bool fine = ssl != NULL && gy_tls_name_protocols(&quic->tls) == 0 &&
                (host == NULL || gy_tls_expect_host(&quic->tls, host) == 0);
    gy_tls_memory_use(before);
    if (!fine) {
        gy_tls_quic_free(quic);
        return NULL;
    }
    return quic;
}

static void said_free(struct said *said)
{
    XFREE(said->data, NULL, DYNAMIC_TYPE_TMP_BUFFER);
    *said = (struct said){0};
}

/* wolfSSL's own part, once nothing is asked of it any more. */
static void ssl_free(struct gy_tls_quic *quic)
{
    wolfSSL_free(quic->tls.ssl);
    quic->tls.ssl = NULL;
}

void gy_tls_quic_free(struct gy_tls_quic *quic)
{
    struct gy_tls_worker *worker = quic->tls.worker;
    struct gy_tls_memory *before = gy_tls_memory_use(&worker->memory);
    if (worker->config->resume && quic->tls.ssl != NULL) {
        gy_tls_session_keep(&quic->tls);
    }
    ssl_free(quic);
    for (unsigned i = 0; i < GY_TLS_QUIC_LEVELS; i++) {
        said_free(&quic->said[i]);
        keys_free(&quic->opening[i]);
        keys_free(&quic->sealing[i]);
    }
    XFREE(quic->parameters, NULL, DYNAMIC_TYPE_TMP_BUFFER);
    gy_tls_memory_use(before);
    free(quic->tls.host);
    free(quic->tls.doubtful);
    free(quic->tls.subject);
    explicit_bzero(quic, sizeof *quic);
    gy_slab_give(&worker->connections, quic);
}

/* ---- the handshake ---- */

static int fail(struct gy_tls_quic *quic, int error)
{
    WOLFSSL_ALERT_HISTORY alerts = {0};
    quic->tls.layer.failed = true;
    quic->tls.error = error;
    if (quic->tls.ssl != NULL) {
        wolfSSL_get_alert_history(quic->tls.ssl, &alerts);
        quic->tls.alert_received = alerts.last_rx.code > close_notify;
        quic->tls.alert =
            quic->tls.alert_received ? (uint8_t)alerts.last_rx.code : quic->sent_alert;
    }
    gy_tls_session_drop(quic->tls.worker);
    return GY_EPROTO;
}

/* Copied, as it stays longer than wolfSSL's part of a server's connection. */
static int note_parameters(struct gy_tls_quic *quic)
{
    const uint8_t *data;
    size_t bytes;
    if (quic->parameters != NULL) {
        return 0;
    }
    wolfSSL_get_peer_quic_transport_params(quic->tls.ssl, &data, &bytes);
    if (data == NULL || bytes == 0) {
        return 0;
    }
    quic->parameters = XMALLOC(bytes, NULL, DYNAMIC_TYPE_TMP_BUFFER);
    if (quic->parameters == NULL) {
        return GY_ENOMEM;
    }
    memcpy(quic->parameters, data, bytes);
    quic->parameters_bytes = bytes;
    return 0;
}

static bool waits(struct gy_tls_quic *quic, int result, int *error)
{
    *error = wolfSSL_get_error(quic->tls.ssl, result);
    return *error == WOLFSSL_ERROR_WANT_READ;
}

static void finished(struct gy_tls_quic *quic)
{
    quic->done = true;
    quic->tls.layer.established = true;
    gy_tls_facts_in(&quic->tls, &quic->facts);
    snprintf(quic->protocol, sizeof quic->protocol, "%s", quic->facts.protocol);
    snprintf(quic->host, sizeof quic->host, "%s", quic->facts.host);
    quic->facts.protocol = quic->protocol;
    quic->facts.host = quic->host;
    if (!quic->tls.worker->config->server) {
        quic->tls.early =
            wolfSSL_get_early_data_status(quic->tls.ssl) == WOLFSSL_EARLY_DATA_ACCEPTED;
        quic->facts.early = quic->tls.early;
    }
}

/* As far as what is there takes it. */
static int step(struct gy_tls_quic *quic)
{
    int error = 0;
    if (!quic->done) {
        struct gy_tls *other = gy_tls_early_watch(&quic->tls);
        int result = wolfSSL_quic_do_handshake(quic->tls.ssl);
        gy_tls_early_watch(other);
        if (quic->tls.replayed) {
            return fail(quic, SESSION_TICKET_EXPECT_E);
        }
        if (note_parameters(quic) != 0 ||
            (result != WOLFSSL_SUCCESS && !waits(quic, result, &error))) {
            return fail(quic, error);
        }
        if (result == WOLFSSL_SUCCESS) {
            finished(quic);
        }
    }
    if (quic->done) {
        int result = wolfSSL_process_quic_post_handshake(quic->tls.ssl);
        if (result != WOLFSSL_SUCCESS && !waits(quic, result, &error)) {
            return fail(quic, error);
        }
    }
    return 0;
}

void gy_tls_quic_offer_early(struct gy_tls_quic *quic)
{
    quic->offers_early = true;
}

int gy_tls_quic_begin(struct gy_tls_quic *quic, const uint8_t *parameters, size_t bytes)
{
    struct gy_tls_worker *worker = quic->tls.worker;
    const struct gy_tls_config *config = worker->config;
    struct gy_tls_memory *before = gy_tls_memory_use(&worker->memory);
    int code =
        wolfSSL_set_quic_transport_params(quic->tls.ssl, parameters, bytes) == WOLFSSL_SUCCESS
            ? 0
            : GY_EIO;
    if (config->server) {
        wolfSSL_set_max_early_data(quic->tls.ssl, config->strikes != NULL ? UINT32_MAX : 0);
    } else {
        if (config->resume) {
            gy_tls_session_offer(&quic->tls);
        }
        wolfSSL_set_max_early_data(quic->tls.ssl, quic->offers_early ? UINT32_MAX : 0);
    }
    if (code == 0 && !config->server && step(quic) != 0) {
        code = GY_EIO;
    }
    gy_tls_memory_use(before);
    return code;
}

int gy_tls_quic_take(struct gy_tls_quic *quic, enum gy_tls_quic_level level, const uint8_t *data,
                     size_t bytes)
{
    if (quic->tls.layer.failed || quic->tls.ssl == NULL) {
        return GY_EPROTO;
    }
    struct gy_tls_memory *before = gy_tls_memory_use(&quic->tls.worker->memory);
    int code = wolfSSL_provide_quic_data(quic->tls.ssl, (WOLFSSL_ENCRYPTION_LEVEL)level, data,
                                         bytes) == WOLFSSL_SUCCESS
                   ? step(quic)
                   : fail(quic, OUT_OF_ORDER_E);
    gy_tls_memory_use(before);
    return code;
}

const uint8_t *gy_tls_quic_said(struct gy_tls_quic *quic, enum gy_tls_quic_level level,
                                size_t *bytes)
{
    *bytes = quic->said[level].bytes;
    return quic->said[level].data;
}

bool gy_tls_quic_done(const struct gy_tls_quic *quic)
{
    return quic->done;
}

const uint8_t *gy_tls_quic_parameters(const struct gy_tls_quic *quic, size_t *bytes)
{
    *bytes = quic->parameters_bytes;
    return quic->parameters;
}

bool gy_tls_quic_early_taken(const struct gy_tls_quic *quic)
{
    return quic->tls.early && !quic->tls.replayed;
}

bool gy_tls_quic_can_send(const struct gy_tls_quic *quic, enum gy_tls_quic_level level)
{
    return quic->sealing[level] != NULL;
}

const char *gy_tls_quic_failure(struct gy_tls_quic *quic)
{
    return quic->tls.layer.failed ? gy_tls_explain(&quic->tls, quic->failure, sizeof quic->failure)
                                  : "a message of TLS where there is no place for one";
}

void gy_tls_quic_facts(struct gy_tls_quic *quic, struct gy_tls_facts *facts)
{
    gy_assert(quic->done);
    *facts = quic->facts;
}

/* ---- packets ---- */

void gy_tls_quic_seal(struct gy_tls_quic *quic, enum gy_tls_quic_level level, uint64_t number,
                      const uint8_t *header, size_t header_bytes, uint8_t *body, size_t bytes)
{
    gy_assert(quic->sealing[level] != NULL);
    gy_tls_packet_seal(&quic->sealing[level]->packets[0], number, header, header_bytes, body,
                       bytes);
}

bool gy_tls_quic_unseal(struct gy_tls_quic *quic, enum gy_tls_quic_level level, uint32_t generation,
                        uint64_t number, const uint8_t *header, size_t header_bytes, uint8_t *body,
                        size_t bytes)
{
    struct keys *keys = quic->opening[level];
    if (keys == NULL) {
        return false;
    }
    if (level != GY_TLS_QUIC_APPLICATION) {
        generation = 0;
    } else if (generation + 1 < quic->generation || generation > quic->generation + 1 ||
               (generation < quic->generation && !quic->before)) {
        return false;
    }
    return gy_tls_packet_open(&keys->packets[generation % GENERATIONS], number, header,
                              header_bytes, body, bytes);
}

bool gy_tls_quic_mask(struct gy_tls_quic *quic, enum gy_tls_quic_level level, bool sending,
                      const uint8_t sample[16], uint8_t mask[5])
{
    struct keys *keys = sending ? quic->sealing[level] : quic->opening[level];
    if (keys == NULL) {
        return false;
    }
    gy_tls_header_mask(&keys->header, sample, mask);
    return true;
}

void gy_tls_quic_update(struct gy_tls_quic *quic, bool sending)
{
    struct gy_tls_memory *before = gy_tls_memory_use(&quic->tls.worker->memory);
    if (sending) {
        struct keys *keys = quic->sealing[GY_TLS_QUIC_APPLICATION];
        gy_tls_secret_next(quic->seal_secret);
        gy_tls_packet_key_clear(&keys->packets[0]);
        gy_tls_packet_key_make(&keys->packets[0], keys->header.aead, quic->seal_secret);
    } else {
        quic->generation++;
        quic->before = true;
        prepare_next(quic); /* where the one before the last was */
    }
    gy_tls_memory_use(before);
}

void gy_tls_quic_forget(struct gy_tls_quic *quic, enum gy_tls_quic_level level)
{
    struct gy_tls_memory *before = gy_tls_memory_use(&quic->tls.worker->memory);
    if (level == GY_TLS_QUIC_APPLICATION) {
        if (quic->before) {
            struct keys *keys = quic->opening[GY_TLS_QUIC_APPLICATION];
            struct gy_tls_packet_key *old =
                &keys->packets[(quic->generation + GENERATIONS - 1) % GENERATIONS];
            gy_tls_packet_key_clear(old);
            quic->before = false;
        }
    } else {
        for (unsigned i = 0; i <= GY_TLS_QUIC_HANDSHAKE; i++) {
            said_free(&quic->said[i]);
            keys_free(&quic->opening[i]);
            keys_free(&quic->sealing[i]);
        }
        /* A client waits for tickets; a server has nothing more to hear. */
        if (quic->done && quic->tls.worker->config->server) {
            ssl_free(quic);
        }
    }
    gy_tls_memory_use(before);
}
