/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/accounts.h"

#include <wolfssl/options.h>

#include <string.h>
#include <sys/random.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/memory.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

#define SCRYPT_R    8
#define SCRYPT_P    1
#define HASH_BYTES  32
#define SALT_BYTES  16
#define PLAIN_BYTES 24 /* of a token: user, until, epoch */

/* In a time that does not depend on what they are. */
static bool equal(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    volatile uint8_t different = 0;
    for (size_t i = 0; i < bytes; i++) {
        different = (uint8_t)(different | (a[i] ^ b[i]));
    }
    return different == 0;
}

static void wipe(void *memory, size_t bytes)
{
    explicit_bzero(memory, bytes);
}

/* ---- passwords ---- */

static int scrypt(const struct gy_chat_check *check, const char *password, uint32_t bytes,
                  uint8_t hash[HASH_BYTES])
{
    int code = wc_scrypt(hash, (const byte *)password, (int)bytes, check->salt, SALT_BYTES,
                         check->cost_log2, SCRYPT_R, SCRYPT_P, HASH_BYTES);
    return code == 0 ? 0 : code == MEMORY_E ? GY_ENOMEM : GY_EREFUSED;
}

static bool is_none(const uint8_t hash[HASH_BYTES])
{
    static const uint8_t none[HASH_BYTES];
    return equal(hash, none, HASH_BYTES);
}

void gy_chat_password_run(struct gy_chat_check *check, uint8_t cost_log2)
{
    char prepared[GY_CHAT_PASSWORD_PREPARED_MAX];
    uint8_t hash[HASH_BYTES] = {0};
    uint32_t bytes = 0;
    struct gy_chat_text password = {check->password, check->password_bytes};
    bool none = !check->make && is_none(check->hash);
    check->why = NULL;
    check->cost_log2 = check->make || none ? cost_log2 : check->cost_log2;
    check->result = gy_chat_password_prepare(password, prepared, &bytes, &check->why);
    if (check->result == 0 && check->make &&
        getrandom(check->salt, sizeof check->salt, 0) != (ssize_t)sizeof check->salt) {
        check->result = GY_EIO;
    }
    if (check->result == 0 &&
        (check->cost_log2 < GY_CHAT_COST_MIN || check->cost_log2 > GY_CHAT_COST_MAX)) {
        check->result = GY_EREFUSED; /* no hash of ours */
    }
    if (check->result == 0) {
        check->result = scrypt(check, prepared, bytes, hash);
    }
    if (check->result == 0 && check->make) {
        memcpy(check->hash, hash, sizeof hash);
    } else if (check->result == 0 && (none || !equal(check->hash, hash, HASH_BYTES))) {
        check->result = GY_EREFUSED;
    }
    wipe(prepared, sizeof prepared);
    wipe(hash, sizeof hash);
    wipe(check->password, sizeof check->password);
}

/* ---- tokens ---- */

static void put_number(uint8_t *target, uint64_t number)
{
    for (int i = 0; i < 8; i++) {
        target[i] = (uint8_t)(number >> (56 - 8 * i));
    }
}

static uint64_t get_number(const uint8_t *from)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 8 | from[i];
    }
    return number;
}

static void seal(const uint8_t secret[32], const uint8_t plain[PLAIN_BYTES],
                 struct gy_chat_text nick, uint8_t mac[HASH_BYTES])
{
    static const char purpose[] = "gyre chat token 2";
    Hmac hmac;
    int error = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    error = error == 0 ? wc_HmacSetKey(&hmac, WC_SHA256, secret, 32) : error;
    error = error == 0 ? wc_HmacUpdate(&hmac, (const byte *)purpose, sizeof purpose) : error;
    error = error == 0 ? wc_HmacUpdate(&hmac, plain, PLAIN_BYTES) : error;
    error = error == 0 ? wc_HmacUpdate(&hmac, (const byte *)nick.bytes, nick.length) : error;
    error = error == 0 ? wc_HmacFinal(&hmac, mac) : error;
    gy_assert(error == 0); /* it can fail by its arguments alone */
    wc_HmacFree(&hmac);
}

uint32_t gy_chat_token_write(const uint8_t secret[32], uint64_t user, struct gy_chat_text nick,
                             uint32_t epoch, uint64_t until_ms, char *token)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[PLAIN_BYTES + HASH_BYTES];
    put_number(bytes, user);
    put_number(bytes + 8, until_ms);
    put_number(bytes + 16, epoch);
    seal(secret, bytes, nick, bytes + PLAIN_BYTES);
    for (size_t i = 0; i < sizeof bytes; i++) {
        token[2 * i] = digits[bytes[i] >> 4];
        token[2 * i + 1] = digits[bytes[i] & 15];
    }
    _Static_assert(2 * sizeof bytes == GY_CHAT_TOKEN_BYTES, "two digits each");
    return GY_CHAT_TOKEN_BYTES;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int gy_chat_token_read(const uint8_t secret[32], struct gy_chat_text token,
                       struct gy_chat_text nick, uint64_t now_ms, uint64_t *user, uint32_t *epoch)
{
    uint8_t bytes[PLAIN_BYTES + HASH_BYTES];
    uint8_t mac[HASH_BYTES];
    if (token.length != GY_CHAT_TOKEN_BYTES) {
        return GY_EREFUSED;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        int high = digit_of(token.bytes[2 * i]);
        int low = digit_of(token.bytes[2 * i + 1]);
        if (high < 0 || low < 0) {
            return GY_EREFUSED;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    seal(secret, bytes, nick, mac);
    if (!equal(mac, bytes + PLAIN_BYTES, HASH_BYTES) || get_number(bytes + 8) <= now_ms) {
        return GY_EREFUSED;
    }
    *user = get_number(bytes);
    *epoch = (uint32_t)get_number(bytes + 16);
    return 0;
}

void gy_chat_key_derive(const uint8_t secret[32], const char *purpose, uint8_t *key, uint32_t bytes)
{
    uint8_t mac[HASH_BYTES];
    Hmac hmac;
    gy_assert(bytes <= sizeof mac);
    int error = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    error = error == 0 ? wc_HmacSetKey(&hmac, WC_SHA256, secret, 32) : error;
    error = error == 0 ? wc_HmacUpdate(&hmac, (const byte *)purpose, (word32)strlen(purpose) + 1)
                       : error;
    error = error == 0 ? wc_HmacFinal(&hmac, mac) : error;
    gy_assert(error == 0); /* it can fail by its arguments alone */
    wc_HmacFree(&hmac);
    memcpy(key, mac, bytes);
    wipe(mac, sizeof mac);
}
