/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_GATE_H
#define GY_PROTOCOLS_RUDP_GATE_H

/*
 * Reliable UDP, a server's door: what arrives and belongs to no connection. Nothing is remembered
 * about a peer until it has sent back a cookie and so proved its address; no answer is longer than
 * what it answers. One gate serves any number of connections, and gates with equal keys are equal,
 * so that several workers can share them.
 *
 * Who comes back need not send a cookie: a connection ends its handshake with an address token
 * (RFC 9000 §8.1.3), which stands where a cookie does in the HELLO of the next one. It is good for
 * the same address (the port may be another), for GY_RUDP_TOKEN_LIFE_S at most, once for each gate
 * that has the key, and only for gates of the same `generation`. What is not good gets a RETRY, as
 * if it had not been there.
 *
 * The owner first looks for a connection: a short packet by its `to`; a long one by the peer's
 * address and its `from` (gy_rudp_packet_peek). What belongs to none comes here.
 */

#include "../../core/siphash.h"
#include "wire.h"

struct gy_rudp_gate {
    struct gy_siphash_key key; /* random, secret; a stateless reset works for as long as it stays */
    uint64_t cookie_ns;        /* how long a cookie is good, more than 0 */
    size_t cid_bytes;          /* of the connection ids that the owner gives out, 0 to 8 */
    uint32_t version;          /* GY_RUDP_VERSION or GY_RUDP_VERSION_PLAIN; never both */
    /* Address tokens, where `used` is not NULL: that of each token taken, by a hash, 0 at first; a
     * power of two of them, the owner's. A token that is not newer than the last one of its place
     * is refused: so none is taken twice, and of those that share a place now and then one costs a
     * RETRY that it need not have. */
    uint32_t *used;
    uint32_t used_count;
    uint64_t generation; /* of the serving process: what another one took is not known here */
    size_t port_bytes;   /* so many last bytes of an address are the port */
    uint64_t retries, accepts, resets, versions, dropped;
    uint64_t tokens, tokens_refused; /* of the accepts; of the retries */
};

enum gy_rudp_verdict {
    GY_RUDP_DROP,
    GY_RUDP_ANSWER, /* send the answer */
    GY_RUDP_ADMIT,  /* hello is filled in, and points into the datagram: gy_rudp_accept() */
};

/* An address token is good for one period of its key and a part of the next. */
#define GY_RUDP_TOKEN_PERIOD_S (12 * 3600)
#define GY_RUDP_TOKEN_LIFE_S   (24 * 3600)

/* Room for any answer. */
#define GY_RUDP_ANSWER_MAX 64

/* Deals with a datagram from `address`, whatever bytes name it: the same for the same peer. */
enum gy_rudp_verdict gy_rudp_gate_take(struct gy_rudp_gate *gate, const void *address,
                                       size_t address_bytes, const void *data, size_t bytes,
                                       uint64_t now_ns, struct gy_rudp_long *hello,
                                       uint8_t answer[GY_RUDP_ANSWER_MAX], size_t *answer_bytes);

/* A token for the peer's next connection, for gy_rudp_config.address_token; `random`:
 * unpredictable. Needs `used`. */
void gy_rudp_gate_address_token(const struct gy_rudp_gate *gate, const void *address,
                                size_t address_bytes, uint32_t random, uint64_t now_ns,
                                uint8_t token[GY_RUDP_COOKIE_BYTES]);

/* The token of the connection that is called `cid` here, for gy_rudp_accept(). */
void gy_rudp_gate_token(const struct gy_rudp_gate *gate, const struct gy_rudp_cid *cid,
                        uint8_t token[GY_RUDP_TOKEN_BYTES]);

#endif
