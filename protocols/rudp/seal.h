/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_SEAL_H
#define GY_PROTOCOLS_RUDP_SEAL_H

/*
 * What protects short packets: the caller's. `header` is the packet up to and with its number, as
 * it is before header protection; its first byte says the level (gy_rudp_level_of). `number` is
 * whole, and never used twice by the same sender, whatever the level.
 *
 * A seal with a handshake is the version that is encrypted: keys come level by level, those of
 * GY_RUDP_APPLICATION in generations 0, 1, 2 …, of which the low bit is the key phase. One without
 * it is the version PLAIN.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* Most bytes that an end says in its handshake at one level. */
#define GY_RUDP_CRYPTO_MAX 65536u
/* Of them, what is kept of the peer's that came out of order. */
#define GY_RUDP_CRYPTO_AHEAD 16384u

/* TLS, or what stands for it. `keys` is the seal's. */
struct gy_rudp_handshake {
    /* Begins, with what the other end is to know for sure (struct gy_rudp_claims). The client's
     * ClientHello is said then. 0, or a GY_E… code. */
    int (*begin)(void *keys, bool client, const uint8_t *claims, size_t bytes);

    /* What the peer said at that level (CLEAR: in its HELLO or ACCEPT), in order, some of it. 0, or
     * GY_EPROTO: the handshake has failed. */
    int (*take)(void *keys, enum gy_rudp_level level, const uint8_t *data, size_t bytes);

    /* All that is said at that level so far; it stays until the next call that is not `said`. */
    const uint8_t *(*said)(void *keys, enum gy_rudp_level level, size_t *bytes);

    bool (*can_send)(void *keys, enum gy_rudp_level level);
    bool (*done)(void *keys);
    const uint8_t *(*claims)(void *keys, size_t *bytes); /* the peer's; NULL: not known yet */

    /* The server's: whether what came at the level EARLY is to be taken. The client's, once done:
     * whether the server did. */
    bool (*early_taken)(void *keys);

    /* The next generation of the keys to send, or to open, packets of APPLICATION with. When
     * opening, those of the one before stay until the next call, or `forget`. */
    void (*update)(void *keys, bool sending);

    /* Keys, and what was said, are not needed any more: HANDSHAKE with EARLY and CLEAR; or, for
     * APPLICATION, keys of the generation before. */
    void (*forget)(void *keys, enum gy_rudp_level level);

    /* Why it failed, a sentence. */
    const char *(*failure)(void *keys);

    /* Packets of one generation: none is sent past it (RFC 9001 §6.6); and failed attempts to open
     * one, after which the connection ends. */
    uint64_t packets_max, forgeries_max;
};

struct gy_rudp_seal {
    size_t tag_bytes; /* 0 to 16, appended by `seal` */
    /* Protects body[0..bytes) in place and writes the tag behind it. */
    void (*seal)(void *keys, uint64_t number, const uint8_t *header, size_t header_bytes,
                 uint8_t *body, size_t bytes);
    /* Undoes it; `bytes` includes the tag. `generation`: that of the keys, the current one, the one
     * before, or the next. false: not what the peer sent, or there are no such keys. */
    bool (*open)(void *keys, uint32_t generation, uint64_t number, const uint8_t *header,
                 size_t header_bytes, uint8_t *body, size_t bytes);
    /* The mask of header protection (RFC 9001 §5.4) from 16 bytes that begin 4 bytes behind the
     * number's first: mask[0] is applied to the low four bits of the flags, the rest to the number.
     * false: there are no keys of that level. NULL: no header protection, and packets may then be
     * shorter. */
    bool (*mask)(void *keys, enum gy_rudp_level level, bool sending, const uint8_t sample[16],
                 uint8_t mask[5]);
    void *keys;
    const struct gy_rudp_handshake *handshake; /* NULL: none */
};

/* Nothing at all: any packet opens. For benchmarks on a network that is one's own. */
extern const struct gy_rudp_seal gy_rudp_seal_none;

/* A tag of 8 bytes by SipHash with a key that everybody knows: finds damage, proves nothing. For
 * the lab. */
extern const struct gy_rudp_seal gy_rudp_seal_check;

#endif
