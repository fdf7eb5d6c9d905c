/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_TCP_MODEL_H
#define GY_TESTS_SIM_TCP_MODEL_H

/*
 * A TCP sender and receiver as far as a bottleneck can tell: segments of 1,500 bytes, acknowledged
 * every second one with what SACK would say, CUBIC as Linux has it (RFC 9438; slow start until the
 * first loss), sent on acknowledgements and not paced. Written apart from protocols/rudp, to be
 * measured beside it. No data are kept: what is lost is not sent again, but counts as sent anew.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TCP_MODEL_SEGMENT 1500
#define TCP_MODEL_ACK     60
#define TCP_MODEL_WINDOW  4096 /* segments in flight at most */

struct tcp_model {
    double window, threshold, w_max, k; /* segments, seconds */
    uint64_t epoch_ns, recovery_until;  /* 0: none; segments below belong to the last reduction */
    uint64_t next, oldest, highest;     /* segments */
    uint64_t sent_ns[TCP_MODEL_WINDOW];
    uint8_t state[TCP_MODEL_WINDOW]; /* 1: in flight */
    uint32_t in_flight;
    uint64_t srtt_ns, last_ns;
    /* receiver */
    uint64_t received;
    uint64_t unacknowledged[8];
    uint32_t unacknowledged_count;
    uint64_t ack_ns; /* 0: none is waiting */
};

void tcp_model_init(struct tcp_model *tcp);
/* The sender's next segment, if it may; bytes or 0. `out` holds TCP_MODEL_SEGMENT. */
size_t tcp_model_send(struct tcp_model *tcp, uint8_t *out, uint64_t now_ns);
void tcp_model_acked(struct tcp_model *tcp, const uint8_t *data, size_t bytes, uint64_t now_ns);
/* The receiver took a segment. true: an acknowledgement is due, of TCP_MODEL_ACK bytes. */
bool tcp_model_receive(struct tcp_model *tcp, const uint8_t *data, size_t bytes, uint64_t now_ns);
size_t tcp_model_ack(struct tcp_model *tcp, uint8_t *out);
uint64_t tcp_model_timeout(const struct tcp_model *tcp);
/* true: as of tcp_model_receive. */
bool tcp_model_expire(struct tcp_model *tcp, uint64_t now_ns);

#endif
