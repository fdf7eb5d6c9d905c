/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_PING_H
#define GY_CLIENTS_RUDP_PING_H

/*
 * Round trips of messages over one reliable-UDP connection to a server that echoes: of each
 * guarantee asked for, `count` messages, one every `interval_ns`, or the next as soon as the last
 * one is back.
 */

#include <stdatomic.h>

#include "target.h"

#define GY_RUDP_PING_COUNT_MAX 10000000u
#define GY_RUDP_PING_BYTES_MIN 16
#define GY_RUDP_PING_BYTES_MAX 65536
#define GY_RUDP_GUARANTEES     4

struct gy_rudp_ping_options {
    const struct gy_rudp_target *target;
    uint32_t count;
    uint32_t bytes;       /* of one message */
    uint64_t interval_ns; /* 0: the next when the last one is back */
    bool guarantees[GY_RUDP_GUARANTEES];
    /* With tls: a first connection gets a ticket and ends, and what is measured is the next one,
     * whose first messages go with its first packet (0-RTT). */
    bool early;
    bool *early_taken;       /* with early: filled in; whether the server took them so */
    const atomic_bool *stop; /* set by a signal */
};

struct gy_rudp_ping_result {
    uint64_t *rtt_ns; /* `received`, sorted */
    uint32_t sent, received;
};

/* 0 with the results, which gy_rudp_ping_free frees, also when some messages did not come back; a
 * code with the sentence when there was no connection, or it ended. */
int gy_rudp_ping(const struct gy_rudp_ping_options *options,
                 struct gy_rudp_ping_result results[GY_RUDP_GUARANTEES], struct gy_error *error);
void gy_rudp_ping_free(struct gy_rudp_ping_result results[GY_RUDP_GUARANTEES]);

#endif
