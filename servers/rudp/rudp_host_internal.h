/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_HOST_INTERNAL_H
#define GY_SERVERS_RUDP_RUDP_HOST_INTERNAL_H

/* What rudp_host.c (memory, sessions), rudp_host_send.c and rudp_host_receive.c share. */

#include <string.h>

#include "servers/rudp/rudp_host.h"

/* Longer datagrams are not forwarded. */
#define GY_RUDP_FORWARD_BYTES 2048

/* On its way from one worker to another. It is the sender's again once it is not busy. */
struct gy_rudp_forward {
    _Atomic bool busy;
    struct gy_rudp_host *to;
    struct gy_datagram_path path;
    uint32_t bytes;
    uint8_t data[GY_RUDP_FORWARD_BYTES];
};

/* A peer's address, as bytes. */
#define GY_RUDP_PEER_BYTES (1 + 2 + 16)

static inline struct gy_rudp_host *gy_rudp_host_of(const struct gy_datagram_socket *socket)
{
    return socket->endpoint->state;
}

/* The address's bytes; how many. */
size_t gy_rudp_address_bytes(const struct gy_address *address, uint8_t out[GY_RUDP_PEER_BYTES]);

/* The place in host->by_cookie of the connection that was made by a HELLO with that cookie. */
struct gy_rudp_session **gy_rudp_host_by_cookie(struct gy_rudp_host *host,
                                                const uint8_t cookie[GY_RUDP_COOKIE_BYTES]);

/* A session that is in no table yet, and its memory; NULL at the bound. */
struct gy_rudp_session *gy_rudp_session_new(struct gy_rudp_host *host,
                                            struct gy_datagram_socket *socket,
                                            struct gy_rudp_config *config, void **memory);
/* Begins its qlog, too. */
struct gy_rudp_env gy_rudp_session_env(struct gy_rudp_session *session, bool client);

/* One that is in no table. */
void gy_rudp_session_drop(struct gy_rudp_session *session);

/* It will be looked after at the end of this batch. */
void gy_rudp_session_touch(struct gy_rudp_session *session);

/* Hands back messages, sends, sets the timer; frees a session whose connection has ended. */
void gy_rudp_session_progress(struct gy_rudp_session *session);
void gy_rudp_session_free(struct gy_rudp_session *session);

/* Messages that are done with go back to the application; what it did goes into the counts. */
void gy_rudp_session_hand_back(struct gy_rudp_session *session);
void gy_rudp_session_count(struct gy_rudp_session *session);

uint64_t gy_rudp_host_random(struct gy_rudp_host *host);

/* ---- datagrams in ---- */

void gy_rudp_host_receive(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                          uint32_t count);

#endif
