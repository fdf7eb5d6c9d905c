/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TLS_KEYS_H
#define GY_CORE_TLS_KEYS_H

/*
 * Keys for packets, from TLS's secrets, as RFC 9001 §5 has them: authenticated encryption with the
 * packet's number as nonce, and the mask that hides the number. The keys' schedules are made once;
 * sealing and opening allocate nothing and change nothing. Internal to core/tls: wolfSSL's types.
 */

#include <wolfssl/options.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wolfssl/wolfcrypt/aes.h>

#define GY_TLS_SECRET_SIZE 32 /* of SHA-256, the hash of both suites */
#define GY_TLS_TAG_BYTES   16

enum gy_tls_aead {
    GY_TLS_AES_128_GCM,
    GY_TLS_CHACHA20_POLY1305,
};

/* One direction and generation. */
struct gy_tls_packet_key {
    enum gy_tls_aead aead;
    uint8_t iv[12];
    uint8_t chacha[32];
    Aes aes;
};

/* The header's: one direction, all generations of a level. */
struct gy_tls_header_key {
    enum gy_tls_aead aead;
    uint8_t chacha[32];
    Aes aes;
};

/* HKDF-Expand-Label of RFC 8446 §7.1 with SHA-256 and no context. */
void gy_tls_expand(const uint8_t secret[GY_TLS_SECRET_SIZE], const char *label, uint8_t *out,
                   size_t bytes);

/* Fill in what is uninitialised; `_clear` before it is used again, or forgotten. */
void gy_tls_packet_key_make(struct gy_tls_packet_key *key, enum gy_tls_aead aead,
                            const uint8_t secret[GY_TLS_SECRET_SIZE]);
void gy_tls_packet_key_clear(struct gy_tls_packet_key *key);
void gy_tls_header_key_make(struct gy_tls_header_key *key, enum gy_tls_aead aead,
                            const uint8_t secret[GY_TLS_SECRET_SIZE]);
void gy_tls_header_key_clear(struct gy_tls_header_key *key);

/* The secret of the next generation (RFC 9001 §6.1), in place. */
void gy_tls_secret_next(uint8_t secret[GY_TLS_SECRET_SIZE]);

/* Enciphers body[0..bytes) in place; the tag goes behind it. */
void gy_tls_packet_seal(struct gy_tls_packet_key *key, uint64_t number, const uint8_t *header,
                        size_t header_bytes, uint8_t *body, size_t bytes);

/* Undoes it; `bytes` has the tag. false: it is not what was sealed, and the body is of no use. */
bool gy_tls_packet_open(struct gy_tls_packet_key *key, uint64_t number, const uint8_t *header,
                        size_t header_bytes, uint8_t *body, size_t bytes);

/* RFC 9001 §5.4.3 and §5.4.4. */
void gy_tls_header_mask(struct gy_tls_header_key *key, const uint8_t sample[16], uint8_t mask[5]);

#endif
