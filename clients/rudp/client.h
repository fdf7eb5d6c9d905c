/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_CLIENT_H
#define GY_CLIENTS_RUDP_CLIENT_H

/*
 * What a command that talks to one server by reliable UDP runs on: a worker that the command turns
 * itself, a host, and one connection at a time.
 *
 *     gy_rudp_client_open(&client, &target, &options, &error);
 *     gy_rudp_client_dial(&client, context, &error);
 *     while (… && gy_rudp_client_turn(&client, sleep_ns, &error) == 0) …
 *     gy_rudp_client_close(&client);
 */

#include "../../servers/rudp/rudp_host.h"
#include "target.h"

struct gy_rudp_client_options {
    const struct gy_rudp_host_ops *ops;
    void *context;       /* of the host */
    size_t memory_bytes; /* for messages */
    uint64_t window_bytes;
    uint32_t streams_max; /* TCP connections of the worker */
};

/* Aligned to a cache line: static, or of aligned_alloc(). Must not move. */
struct gy_rudp_client {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_rudp_host host;
    struct gy_datagram_endpoint endpoint;
    struct gy_rudp_counts counts;
    const struct gy_rudp_target *target;
    struct gy_datagram_socket *socket; /* of the last connection */
    bool has_worker, has_host, has_endpoint;
};

/* 0, or a GY_E… code with a sentence; gy_rudp_client_close() in either case. */
int gy_rudp_client_open(struct gy_rudp_client *client, const struct gy_rudp_target *target,
                        const struct gy_rudp_client_options *options, struct gy_error *error);

/* A connection, whose `context` that is; the one before has ended. NULL with a sentence. */
struct gy_rudp_session *gy_rudp_client_dial(struct gy_rudp_client *client, void *context,
                                            struct gy_error *error);

/* Sends what there is, and one turn of the worker. 0, or GY_EIO with a sentence. */
int gy_rudp_client_turn(struct gy_rudp_client *client, uint64_t sleep_ns, struct gy_error *error);

/* Ends what is open, and waits for what is in flight. */
void gy_rudp_client_finish(struct gy_rudp_client *client);

/* The same, and gives everything back. */
void gy_rudp_client_close(struct gy_rudp_client *client);

/* Why a session ended, as a sentence. */
int gy_rudp_client_explain(const struct gy_rudp_client *client,
                           const struct gy_rudp_session *session, bool was_open,
                           struct gy_error *error);

#endif
