/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_SEAL_H
#define GY_PROTOCOLS_RUDP_SEAL_H

/*
 * What protects short packets: the caller's. `header` is the packet up to and with its number;
 * `number` is whole, and never used twice by the same sender.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gy_rudp_seal {
    size_t tag_bytes; /* 0 to 16, appended by `seal` */
    /* Protects body[0..bytes) in place and writes the tag behind it. */
    void (*seal)(void *keys, uint64_t number, const uint8_t *header, size_t header_bytes,
                 uint8_t *body, size_t bytes);
    /* Undoes it; `bytes` includes the tag. false: not what the peer sent. */
    bool (*open)(void *keys, uint64_t number, const uint8_t *header, size_t header_bytes,
                 uint8_t *body, size_t bytes);
    /* The mask of header protection (RFC 9001 §5.4) from 16 bytes that begin 4 bytes behind the
     * number's first: mask[0] is applied to the flags, the rest to the number. NULL: none, and
     * packets may then be shorter. */
    void (*mask)(void *keys, bool sending, const uint8_t sample[16], uint8_t mask[5]);
    void *keys;
};

/* Nothing at all: any packet opens. For benchmarks on a network that is one's own. */
extern const struct gy_rudp_seal gy_rudp_seal_none;

/* A tag of 8 bytes by SipHash with a key that everybody knows: finds damage, proves nothing. For
 * the lab. */
extern const struct gy_rudp_seal gy_rudp_seal_check;

#endif
