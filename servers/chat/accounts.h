/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_ACCOUNTS_H
#define GY_SERVERS_CHAT_ACCOUNTS_H

/*
 * Passwords and tokens, by wolfSSL.
 *
 * Passwords are hashed by scrypt (RFC 7914) with r = 8 and p = 1, and a salt for each. A hash with
 * N = 2^17, which is what OWASP's page on storing passwords asks for (2024), takes 128 MiB and some
 * tenths of a second: so it is done by a helper thread, one at a time for each worker.
 *
 * A token stands for a login of earlier: whose it is and until when, sealed by HMAC-SHA-256 (RFC
 * 2104) with a key that lies in the store.
 */

#include "../../protocols/chat/hub.h"

#define GY_CHAT_COST_USUAL 17
#define GY_CHAT_COST_MIN   10
#define GY_CHAT_COST_MAX   20

/* Hashes, or compares (in constant time), and fills check->result. A hash that is made, or that is
 * compared with none at all because there is no such account, costs `cost_log2`, so that the time
 * does not tell which nicks have accounts. Any thread; blocks. */
void gy_chat_password_run(struct gy_chat_check *check, uint8_t cost_log2);

/* Bytes of a token's text. */
#define GY_CHAT_TOKEN_BYTES 112

/* Writes a token for the nick (canonical) of a user; returns GY_CHAT_TOKEN_BYTES. */
uint32_t gy_chat_token_write(const uint8_t secret[32], uint64_t user, struct gy_chat_text nick,
                             uint32_t epoch, uint64_t until_ms, char *token);

/* 0, whose it is, and of which epoch; GY_EREFUSED: it is none of that nick's, or too old. */
int gy_chat_token_read(const uint8_t secret[32], struct gy_chat_text token,
                       struct gy_chat_text nick, uint64_t now_ms, uint64_t *user, uint32_t *epoch);

/* A key for another purpose, of at most 32 bytes. */
void gy_chat_key_derive(const uint8_t secret[32], const char *purpose, uint8_t *key,
                        uint32_t bytes);

#endif
