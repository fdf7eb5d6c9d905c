/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Session tickets: sealed with AES-256-GCM under a key of the current span of time, opened under
 * that or the one before. */

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/tls_internal.h"

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/memory.h>

#define NONCE_BYTES 12
#define TAG_BYTES   16

static uint64_t epoch_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec / (GY_TLS_TICKET_HOURS * 3600u);
}

/* HMAC-SHA256(secret, label): 32 bytes that tell nothing of the secret, nor of other labels. */
static void derive(const uint8_t *secret, const char *label, uint8_t *target)
{
    Hmac hmac;
    int error = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    if (error == 0) {
        error = wc_HmacSetKey(&hmac, WC_SHA256, secret, GY_TLS_SECRET_BYTES);
    }
    if (error == 0) {
        error = wc_HmacUpdate(&hmac, (const byte *)label, (word32)strlen(label));
    }
    if (error == 0) {
        error = wc_HmacFinal(&hmac, target);
    }
    wc_HmacFree(&hmac);
    gy_assert(error == 0); /* nothing in it can fail but for memory's sake, and it needs none */
}

static void secret_advance_to(struct gy_tls_secret *secret, uint64_t epoch)
{
    while (secret->epoch < epoch) {
        uint8_t next[GY_TLS_SECRET_BYTES];
        derive(secret->bytes, "next", next);
        memcpy(secret->bytes, next, sizeof next);
        explicit_bzero(next, sizeof next);
        secret->epoch++;
    }
}

int gy_tls_secret_make(struct gy_tls_secret *secret, struct gy_error *error)
{
    for (size_t done = 0; done < sizeof secret->bytes;) {
        ssize_t got = getrandom(secret->bytes + done, sizeof secret->bytes - done, 0);
        if (got < 0 && errno != EINTR) {
            return gy_error_set(error, GY_EIO, "making keys for session tickets: no randomness: %s",
                                strerror(errno));
        }
        done += got > 0 ? (size_t)got : 0;
    }
    secret->epoch = epoch_now();
    return 0;
}

void gy_tls_secret_advance(struct gy_tls_secret *secret)
{
    secret_advance_to(secret, epoch_now());
}

static void derive_key(struct gy_tls_tickets *tickets)
{
    struct gy_tls_ticket_key *key = &tickets->keys[tickets->secret.epoch & 1];
    uint8_t name[32];
    derive(tickets->secret.bytes, "name", name);
    memcpy(key->name, name, sizeof key->name);
    derive(tickets->secret.bytes, "key", key->key);
}

void gy_tls_tickets_init(struct gy_tls_tickets *tickets, const struct gy_tls_secret *secret)
{
    tickets->secret = *secret;
    derive_key(tickets);
    /* No ticket of an epoch before: its key is one that nobody has. */
    tickets->keys[~secret->epoch & 1] = tickets->keys[secret->epoch & 1];
}

void gy_tls_tickets_advance(struct gy_tls_tickets *tickets, uint64_t epoch)
{
    while (tickets->secret.epoch < epoch) {
        secret_advance_to(&tickets->secret, tickets->secret.epoch + 1);
        derive_key(tickets);
    }
}

/* The name says which key it was; it, the nonce and the count behind the tag are authenticated with
 * the ticket. */
static int seal_or_open(const struct gy_tls_ticket_key *key, unsigned char *iv, unsigned char *mac,
                        bool seal, unsigned char *ticket, int length)
{
    uint8_t bound[WOLFSSL_TICKET_NAME_SZ + WOLFSSL_TICKET_IV_SZ + 1];
    memcpy(bound, key->name, WOLFSSL_TICKET_NAME_SZ);
    memcpy(bound + WOLFSSL_TICKET_NAME_SZ, iv, WOLFSSL_TICKET_IV_SZ);
    bound[WOLFSSL_TICKET_NAME_SZ + WOLFSSL_TICKET_IV_SZ] = mac[TAG_BYTES];
    Aes aes;
    int error = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (error == 0) {
        error = wc_AesGcmSetKey(&aes, key->key, sizeof key->key);
    }
    if (error == 0 && seal) {
        error = wc_AesGcmEncrypt(&aes, ticket, ticket, (word32)length, iv, NONCE_BYTES, mac,
                                 TAG_BYTES, bound, sizeof bound);
    } else if (error == 0) {
        error = wc_AesGcmDecrypt(&aes, ticket, ticket, (word32)length, iv, NONCE_BYTES, mac,
                                 TAG_BYTES, bound, sizeof bound);
    }
    wc_AesFree(&aes);
    return error;
}

static int fill_random(WOLFSSL *ssl, unsigned char *target, uint32_t bytes)
{
    WC_RNG *random = wolfSSL_GetRNG(ssl);
    return random == NULL ? -1 : wc_RNG_GenerateBlock(random, target, bytes);
}

int gy_tls_ticket_callback(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac,
                           int seal, unsigned char *ticket, int length, int *length_out,
                           void *context)
{
    struct gy_tls_tickets *tickets = context;
    _Static_assert(WOLFSSL_TICKET_IV_SZ == NONCE_BYTES + 4, "a nonce, and who made it");
    gy_tls_tickets_advance(tickets, epoch_now());
    const struct gy_tls_ticket_key *current = &tickets->keys[tickets->secret.epoch & 1];
    *length_out = length;
    if (seal) {
        memcpy(name, current->name, sizeof current->name);
        memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
        mac[TAG_BYTES] = gy_tls_of(ssl)->resumed;
        if (fill_random(ssl, iv, NONCE_BYTES) != 0) {
            return WOLFSSL_TICKET_RET_FATAL;
        }
        gy_tls_ticket_mark(ssl, iv);
        if (seal_or_open(current, iv, mac, true, ticket, length) != 0) {
            return WOLFSSL_TICKET_RET_FATAL;
        }
        return WOLFSSL_TICKET_RET_OK;
    }
    for (uint32_t age = 0; age < 2; age++) {
        const struct gy_tls_ticket_key *key = &tickets->keys[(tickets->secret.epoch - age) & 1];
        if (memcmp(name, key->name, sizeof key->name) == 0) {
            if (seal_or_open(key, iv, mac, false, ticket, length) != 0 ||
                mac[TAG_BYTES] >= GY_TLS_RESUMED_MAX || !gy_tls_ticket_usable(ssl, iv)) {
                return WOLFSSL_TICKET_RET_REJECT;
            }
            gy_tls_of(ssl)->resumed = (uint8_t)(mac[TAG_BYTES] + 1);
            return age == 0 ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_CREATE;
        }
    }
    return WOLFSSL_TICKET_RET_REJECT;
}
