/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/tls_keys.h"

#include <string.h>

#include "core/error.h"

#include <wolfssl/wolfcrypt/chacha.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/kdf.h>

#define AES_KEY_BYTES 16
#define NONCE_BYTES   12

void gy_tls_expand(const uint8_t secret[GY_TLS_SECRET_SIZE], const char *label, uint8_t *out,
                   size_t bytes)
{
    static const char protocol[] = "tls13 ";
    int error = wc_Tls13_HKDF_Expand_Label(
        out, (word32)bytes, secret, GY_TLS_SECRET_SIZE, (const byte *)protocol, sizeof protocol - 1,
        (const byte *)label, (word32)strlen(label), NULL, 0, WC_SHA256);
    gy_assert(error == 0); /* it needs no memory, and lengths and labels are ours */
}

static void aes_make(Aes *aes, const uint8_t *key, bool gcm)
{
    int error = wc_AesInit(aes, NULL, INVALID_DEVID);
    if (error == 0) {
        error = gcm ? wc_AesGcmSetKey(aes, key, AES_KEY_BYTES)
                    : wc_AesSetKey(aes, key, AES_KEY_BYTES, NULL, AES_ENCRYPTION);
    }
    gy_assert(error == 0);
}

void gy_tls_packet_key_make(struct gy_tls_packet_key *key, enum gy_tls_aead aead,
                            const uint8_t secret[GY_TLS_SECRET_SIZE])
{
    uint8_t bytes[AES_KEY_BYTES];
    memset(key, 0, sizeof *key);
    key->aead = aead;
    gy_tls_expand(secret, "quic iv", key->iv, sizeof key->iv);
    if (aead == GY_TLS_AES_128_GCM) {
        gy_tls_expand(secret, "quic key", bytes, sizeof bytes);
        aes_make(&key->aes, bytes, true);
        explicit_bzero(bytes, sizeof bytes);
    } else {
        gy_tls_expand(secret, "quic key", key->chacha, sizeof key->chacha);
    }
}

void gy_tls_packet_key_clear(struct gy_tls_packet_key *key)
{
    if (key->aead == GY_TLS_AES_128_GCM) {
        wc_AesFree(&key->aes);
    }
    explicit_bzero(key, sizeof *key);
}

void gy_tls_header_key_make(struct gy_tls_header_key *key, enum gy_tls_aead aead,
                            const uint8_t secret[GY_TLS_SECRET_SIZE])
{
    uint8_t bytes[AES_KEY_BYTES];
    memset(key, 0, sizeof *key);
    key->aead = aead;
    if (aead == GY_TLS_AES_128_GCM) {
        gy_tls_expand(secret, "quic hp", bytes, sizeof bytes);
        aes_make(&key->aes, bytes, false);
        explicit_bzero(bytes, sizeof bytes);
    } else {
        gy_tls_expand(secret, "quic hp", key->chacha, sizeof key->chacha);
    }
}

void gy_tls_header_key_clear(struct gy_tls_header_key *key)
{
    if (key->aead == GY_TLS_AES_128_GCM) {
        wc_AesFree(&key->aes);
    }
    explicit_bzero(key, sizeof *key);
}

void gy_tls_secret_next(uint8_t secret[GY_TLS_SECRET_SIZE])
{
    uint8_t next[GY_TLS_SECRET_SIZE];
    gy_tls_expand(secret, "quic ku", next, sizeof next);
    memcpy(secret, next, sizeof next);
    explicit_bzero(next, sizeof next);
}

/* RFC 9001 §5.3 */
static void nonce_of(const struct gy_tls_packet_key *key, uint64_t number,
                     uint8_t nonce[NONCE_BYTES])
{
    memcpy(nonce, key->iv, NONCE_BYTES);
    for (unsigned i = 0; i < 8; i++) {
        nonce[NONCE_BYTES - 1 - i] ^= (uint8_t)(number >> (8 * i));
    }
}

void gy_tls_packet_seal(struct gy_tls_packet_key *key, uint64_t number, const uint8_t *header,
                        size_t header_bytes, uint8_t *body, size_t bytes)
{
    uint8_t nonce[NONCE_BYTES];
    int error;
    nonce_of(key, number, nonce);
    if (key->aead == GY_TLS_AES_128_GCM) {
        error = wc_AesGcmEncrypt(&key->aes, body, body, (word32)bytes, nonce, NONCE_BYTES,
                                 body + bytes, GY_TLS_TAG_BYTES, header, (word32)header_bytes);
    } else {
        error = wc_ChaCha20Poly1305_Encrypt(key->chacha, nonce, header, (word32)header_bytes, body,
                                            (word32)bytes, body, body + bytes);
    }
    gy_assert(error == 0);
}

bool gy_tls_packet_open(struct gy_tls_packet_key *key, uint64_t number, const uint8_t *header,
                        size_t header_bytes, uint8_t *body, size_t bytes)
{
    uint8_t nonce[NONCE_BYTES];
    if (bytes < GY_TLS_TAG_BYTES) {
        return false;
    }
    bytes -= GY_TLS_TAG_BYTES;
    nonce_of(key, number, nonce);
    if (key->aead == GY_TLS_AES_128_GCM) {
        return wc_AesGcmDecrypt(&key->aes, body, body, (word32)bytes, nonce, NONCE_BYTES,
                                body + bytes, GY_TLS_TAG_BYTES, header, (word32)header_bytes) == 0;
    }
    return wc_ChaCha20Poly1305_Decrypt(key->chacha, nonce, header, (word32)header_bytes, body,
                                       (word32)bytes, body + bytes, body) == 0;
}

void gy_tls_header_mask(struct gy_tls_header_key *key, const uint8_t sample[16], uint8_t mask[5])
{
    static const uint8_t zeros[5];
    uint8_t block[16];
    int error;
    if (key->aead == GY_TLS_AES_128_GCM) {
        error = wc_AesEncryptDirect(&key->aes, block, sample);
        memcpy(mask, block, 5);
    } else {
        ChaCha chacha;
        word32 counter = (word32)sample[0] | (word32)sample[1] << 8 | (word32)sample[2] << 16 |
                         (word32)sample[3] << 24;
        error = wc_Chacha_SetKey(&chacha, key->chacha, sizeof key->chacha);
        error = error == 0 ? wc_Chacha_SetIV(&chacha, sample + 4, counter) : error;
        error = error == 0 ? wc_Chacha_Process(&chacha, mask, zeros, sizeof zeros) : error;
        explicit_bzero(&chacha, sizeof chacha);
    }
    gy_assert(error == 0);
}
