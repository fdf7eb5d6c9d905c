/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_TSIG_H
#define GY_PROTOCOLS_DNS_TSIG_H

/*
 * Transaction signatures (RFC 8945): messages of two parties that share a secret.
 *
 * The one who is asked:
 *
 *     rcode = gy_dns_tsig_check_request(&tsig, &hmac, find, keys, message, bytes, at, now)
 *     … an answer; for an rcode other than 0 one with rcode gy_dns_tsig_rcode(rcode)
 *     bytes = gy_dns_tsig_sign_answer(&tsig, answer, bytes, room, now)       each message of it
 *
 * The one who asks:
 *
 *     bytes = gy_dns_tsig_sign_request(&tsig, &hmac, &key, message, bytes, room, now)
 *     code = gy_dns_tsig_check_answer(&tsig, answer, bytes, now)             each message of it
 *
 * A record is put behind a message that is complete, so whatever made it need not know of keys but
 * for the room that gy_dns_tsig_bytes() tells. An answer of several messages (a transfer, §5.3.1)
 * goes on with the same struct; all of ours are signed, and of those received up to
 * GY_DNS_TSIG_UNSIGNED_MAX in a row need not be, but for the first and the last.
 *
 * Only whole MACs are taken (BADTRUNC for shorter ones). The hash functions come from the caller;
 * `now` is seconds since 1970.
 */

#include "message.h"

#define GY_DNS_TSIG_FUDGE        300 /* seconds that clocks may differ (§10) */
#define GY_DNS_TSIG_UNSIGNED_MAX 99  /* §5.3.1 */
#define GY_DNS_MAC_MAX           64
#define GY_DNS_SECRET_MAX        256
#define GY_DNS_HMAC_STATE_BYTES  2048

/* X(member, text as in configurations, name on the wire, bytes of the MAC). HMAC-MD5 is left out:
 * §6 says not to. */
#define GY_DNS_TSIG_ALGORITHMS(X)                                                                  \
    X(SHA1, "hmac-sha1", "\011hmac-sha1", 20)                                                      \
    X(SHA224, "hmac-sha224", "\013hmac-sha224", 28)                                                \
    X(SHA256, "hmac-sha256", "\013hmac-sha256", 32)                                                \
    X(SHA384, "hmac-sha384", "\013hmac-sha384", 48)                                                \
    X(SHA512, "hmac-sha512", "\013hmac-sha512", 64)

enum gy_dns_tsig_algorithm {
#define GY_DNS_TSIG_ENUM(name, text, wire, bytes) GY_DNS_TSIG_##name,
    GY_DNS_TSIG_ALGORITHMS(GY_DNS_TSIG_ENUM)
#undef GY_DNS_TSIG_ENUM
        GY_DNS_TSIG_ALGORITHM_COUNT
};

/* The algorithm of a text, in any case; GY_EINVAL. Its text. */
int gy_dns_tsig_algorithm_parse(const char *text);
const char *gy_dns_tsig_algorithm_text(enum gy_dns_tsig_algorithm algorithm);

/* HMAC (RFC 2104), from whoever has it. `state` is GY_DNS_HMAC_STATE_BYTES, aligned to 16. What is
 * begun is always ended. */
struct gy_dns_hmac {
    void (*begin)(void *state, enum gy_dns_tsig_algorithm algorithm, const uint8_t *secret,
                  size_t secret_bytes);
    void (*add)(void *state, const void *data, size_t bytes);
    void (*end)(void *state, uint8_t mac[GY_DNS_MAC_MAX]);
};

struct gy_dns_key {
    enum gy_dns_tsig_algorithm algorithm;
    uint16_t secret_bytes;
    uint8_t name_bytes;
    uint8_t name[GY_DNS_NAME_MAX]; /* lower case */
    uint8_t secret[GY_DNS_SECRET_MAX];
};

/* The key of a name in lower case, or NULL. */
typedef const struct gy_dns_key *gy_dns_key_find(const void *keys, const uint8_t *name);

/* A conversation under a key. All of it is private but for `key` and `error`. */
struct gy_dns_tsig {
    _Alignas(16) uint8_t state[GY_DNS_HMAC_STATE_BYTES];
    const struct gy_dns_hmac *hmac;
    const struct gy_dns_key *key; /* NULL: the request's is not known */
    uint16_t error;          /* what is wrong with the request: 0, or an rcode from BADSIG on */
    uint16_t unsigned_count; /* of the answer's messages since the last that was signed */
    bool adding;             /* a MAC has been begun */
    bool later;              /* the answer's first message is signed */
    uint8_t mac_bytes;
    uint8_t mac[GY_DNS_MAC_MAX]; /* of the message before */
    uint64_t request_time;
    uint8_t algorithm_bytes; /* of a request whose key is not known: as it named them */
    uint8_t name_bytes;
    uint8_t algorithm[GY_DNS_NAME_MAX];
    uint8_t name[GY_DNS_NAME_MAX];
};

/* Bytes of the record under a key at most, with the other data of BADTIME. */
size_t gy_dns_tsig_bytes(const struct gy_dns_key *key);

/* Where the TSIG record of a message begins: the last of all, and the only one. 0: there is none;
 * GY_EPROTO: the message is malformed, or it stands elsewhere (§5.1). */
int gy_dns_tsig_find(const uint8_t *message, size_t bytes);

/* Gives a conversation up: what its hash function holds goes back. Harmless when nothing does, and
 * on zeros. */
void gy_dns_tsig_close(struct gy_dns_tsig *tsig);

/* ---- being asked ---- */

/* Bad signatures have rcode 16, which without a TSIG record is BADVERS. */
#define GY_DNS_RCODE_BADSIG 16

/*
 * Checks a request whose TSIG record begins at `at`. 0, or FORMERR (then nothing is signed),
 * BADKEY, BADSIG, BADTIME, BADTRUNC (§5.2). `tsig` is good for signing the answer, unless it is
 * FORMERR.
 */
uint16_t gy_dns_tsig_check_request(struct gy_dns_tsig *tsig, const struct gy_dns_hmac *hmac,
                                   gy_dns_key_find *find, const void *keys, const uint8_t *message,
                                   size_t bytes, size_t at, uint64_t now);

/* The header's code for what gy_dns_tsig_check_request returned: NOTAUTH for all but FORMERR. */
static inline uint16_t gy_dns_tsig_rcode(uint16_t error)
{
    return error == 0 || error == GY_DNS_RCODE_FORMERR ? error : GY_DNS_RCODE_NOTAUTH;
}

/* Bytes that gy_dns_tsig_sign_answer adds at most. */
size_t gy_dns_tsig_answer_bytes(const struct gy_dns_tsig *tsig);

/* Puts the record behind an answer, or behind the next message of one. Its bytes, or GY_ELIMIT when
 * it does not fit into `room`. */
int gy_dns_tsig_sign_answer(struct gy_dns_tsig *tsig, uint8_t *message, size_t bytes, size_t room,
                            uint64_t now);

/* ---- asking ---- */

/* Puts the record behind a request. Its bytes, or GY_ELIMIT. `key` and `hmac` outlive `tsig`. */
int gy_dns_tsig_sign_request(struct gy_dns_tsig *tsig, const struct gy_dns_hmac *hmac,
                             const struct gy_dns_key *key, uint8_t *message, size_t bytes,
                             size_t room, uint64_t now);

/*
 * Checks the answer, or the next message of one. 1: signed, and right; 0: not signed, which is
 * right if a later message is; else GY_EPROTO (malformed, another key, or too many in a row without
 * a signature), GY_EREFUSED: the MAC is wrong, or none is there where one has to be; GY_ETIMEOUT:
 * its time is off by more than its fudge. When the peer sent an error under the key, tsig->error
 * has it, and GY_EREFUSED is returned for BADKEY, BADSIG, BADTRUNC, which are not signed. Of a
 * transfer the last message has to give 1.
 */
int gy_dns_tsig_check_answer(struct gy_dns_tsig *tsig, const uint8_t *message, size_t bytes,
                             uint64_t now);

#endif
