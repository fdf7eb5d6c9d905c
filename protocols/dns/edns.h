/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_EDNS_H
#define GY_PROTOCOLS_DNS_EDNS_H

/*
 * EDNS(0) (RFC 6891): the OPT record and its options. What is read is described, not acted upon:
 * who answers or asks decides.
 */

#include "message.h"

enum gy_dns_option {
    GY_DNS_OPTION_NSID = 3,       /* RFC 5001 */
    GY_DNS_OPTION_SUBNET = 8,     /* RFC 7871 */
    GY_DNS_OPTION_EXPIRE = 9,     /* RFC 7314 */
    GY_DNS_OPTION_COOKIE = 10,    /* RFC 7873 */
    GY_DNS_OPTION_KEEPALIVE = 11, /* RFC 7828 */
    GY_DNS_OPTION_PADDING = 12,   /* RFC 7830 */
    GY_DNS_OPTION_ERROR = 15,     /* RFC 8914 */
};

/* Extended errors (RFC 8914 §4 and its registry). */
enum gy_dns_extended_error {
    GY_DNS_EDE_OTHER = 0,
    GY_DNS_EDE_STALE_ANSWER = 3,
    GY_DNS_EDE_NOT_READY = 14,
    GY_DNS_EDE_BLOCKED = 15,
    GY_DNS_EDE_PROHIBITED = 18,
    GY_DNS_EDE_NOT_AUTHORITATIVE = 20,
    GY_DNS_EDE_NOT_SUPPORTED = 21,
    GY_DNS_EDE_NO_REACHABLE_AUTHORITY = 22,
    GY_DNS_EDE_NETWORK_ERROR = 23,
    GY_DNS_EDE_INVALID_DATA = 24,
};

#define GY_DNS_OPT_BYTES           11 /* an OPT record without options */
#define GY_DNS_EDNS_DO             0x8000u
#define GY_DNS_CLIENT_COOKIE_BYTES 8
#define GY_DNS_SERVER_COOKIE_BYTES 16 /* of ours (RFC 9018 §4); a peer's has 8 to 32 */
#define GY_DNS_COOKIE_MAX          40
#define GY_DNS_COOKIE_SECRET_BYTES 16

/* An OPT record, read. Pointers lead into the message. */
struct gy_dns_edns {
    bool present;
    bool dnssec_ok;
    bool wants_nsid;
    bool has_padding;
    bool has_keepalive;
    uint8_t version;
    uint8_t extended_rcode; /* the upper eight bits */
    uint8_t cookie_bytes;   /* 8 or 16 … 40, 0: none */
    uint16_t udp_bytes;     /* the sender's receive buffer, as it says: may be below 512 */
    uint16_t keepalive;     /* units of 100 ms, when the option has a value; else 0 */
    int32_t error;          /* INFO-CODE of an extended error; -1: none */
    const uint8_t *cookie;
    const uint8_t *error_text; /* not ended by a zero */
    const uint8_t *nsid;
    uint16_t error_text_bytes;
    uint16_t nsid_bytes;
};

/*
 * Reads an OPT record. 0, or GY_EPROTO: options that are cut short, a cookie of a length that
 * cannot be (RFC 7873 §5.2.2), a keepalive of neither 0 nor 2 bytes. `edns->present` is set in
 * either case: a server answers FORMERR with an OPT of its own.
 */
int gy_dns_edns_read(const struct gy_dns_record *opt, struct gy_dns_edns *edns);

/* The next option in the data of an OPT record, for those that are not read above: `*at` begins at
 * 0. 1 and the option; 0 behind the last; GY_EPROTO. */
int gy_dns_option_next(const struct gy_dns_record *opt, size_t *at, uint16_t *code,
                       const uint8_t **data, uint16_t *bytes);

/* An OPT record being made: header first, options behind it, its length last. */
struct gy_dns_opt {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
};

/* Begins one at `out`, where `room` (>= 11) bytes are. `rcode` is the whole 12-bit code, of which
 * the upper eight go here; `flags` is 0 or GY_DNS_EDNS_DO. */
void gy_dns_opt_open(struct gy_dns_opt *opt, uint8_t *out, size_t room, uint16_t udp_bytes,
                     uint16_t rcode, uint16_t flags);

/* 0, or GY_ELIMIT when there is no room: then nothing was added. */
int gy_dns_opt_add(struct gy_dns_opt *opt, uint16_t code, const void *data, size_t bytes);

/* An extended error; `text` may be NULL. */
int gy_dns_opt_add_error(struct gy_dns_opt *opt, uint16_t info_code, const char *text);

/* Padding, so that `message_bytes` (the message up to where this OPT begins) and the OPT together
 * are a multiple of `block` (RFC 8467: 128 for queries, 468 for responses), or as long as there is
 * room. To be added last. */
void gy_dns_opt_pad(struct gy_dns_opt *opt, size_t message_bytes, size_t block);

/* The record's bytes. */
size_t gy_dns_opt_close(struct gy_dns_opt *opt);

/* ---- cookies (RFC 7873, interoperable ones of RFC 9018) ---- */

/* SipHash-2-4 with a key of 16 bytes. */
uint64_t gy_dns_siphash(const uint8_t key[GY_DNS_COOKIE_SECRET_BYTES], const void *data,
                        size_t bytes);

/* The server cookie for a client: version 1, `now` (seconds since 1970), and a hash over the
 * client's cookie and its address (4 or 16 bytes). */
void gy_dns_cookie_make(const uint8_t secret[GY_DNS_COOKIE_SECRET_BYTES],
                        const uint8_t client_cookie[GY_DNS_CLIENT_COOKIE_BYTES],
                        const void *address, size_t address_bytes, uint32_t now,
                        uint8_t cookie[GY_DNS_SERVER_COOKIE_BYTES]);

/*
 * Is it one that we made for this client within the last hour, and at most five minutes ahead (RFC
 * 9018 §4.3)? `cookie` is the whole option: client and server part, `bytes` of it. `renew` is set
 * when it is half an hour old and a fresh one should be sent.
 */
bool gy_dns_cookie_check(const uint8_t secret[GY_DNS_COOKIE_SECRET_BYTES], const uint8_t *cookie,
                         size_t bytes, const void *address, size_t address_bytes, uint32_t now,
                         bool *renew);

#endif
