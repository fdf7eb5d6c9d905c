/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_GATE_H
#define GY_PROTOCOLS_RUDP_GATE_H

/*
 * Reliable UDP, a server's door: what arrives and belongs to no connection. Nothing is remembered
 * about a peer until it has sent back a cookie and so proved its address; no answer is longer than
 * what it answers. One gate serves any number of connections, and gates with equal keys are equal,
 * so that several workers can share them.
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
    uint64_t retries, accepts, resets, versions, dropped;
};

enum gy_rudp_verdict {
    GY_RUDP_DROP,
    GY_RUDP_ANSWER, /* send the answer */
    GY_RUDP_ADMIT,  /* hello is filled in, and points into the datagram: gy_rudp_accept() */
};

/* Room for any answer. */
#define GY_RUDP_ANSWER_MAX 64

/* Deals with a datagram from `address`, whatever bytes name it: the same for the same peer. */
enum gy_rudp_verdict gy_rudp_gate_take(struct gy_rudp_gate *gate, const void *address,
                                       size_t address_bytes, const void *data, size_t bytes,
                                       uint64_t now_ns, struct gy_rudp_long *hello,
                                       uint8_t answer[GY_RUDP_ANSWER_MAX], size_t *answer_bytes);

/* The token of the connection that is called `cid` here, for gy_rudp_accept(). */
void gy_rudp_gate_token(const struct gy_rudp_gate *gate, const struct gy_rudp_cid *cid,
                        uint8_t token[GY_RUDP_TOKEN_BYTES]);

#endif
