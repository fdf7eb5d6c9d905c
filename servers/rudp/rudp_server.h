/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_SERVER_H
#define GY_SERVERS_RUDP_RUDP_SERVER_H

/*
 * A reliable-UDP server that sends every message back, with its guarantee and on its channel
 * (echo), or takes them all (sink): to measure a path with, and for `gyre rudp ping`.
 *
 * A reliable message counts against its sender's window until its echo has been acknowledged, so a
 * client that does not read its echoes stops itself. Where there is no memory for an echo, an
 * unreliable one is left out (counted), and a connection that sent a reliable one is closed with
 * the code GY_RUDP_HOST_NO_MEMORY.
 */

#include "rudp_host.h"

enum gy_rudp_service {
    GY_RUDP_ECHO,
    GY_RUDP_SINK,
};

/* Read-only while workers run, but for what is marked. */
struct gy_rudp_server {
    enum gy_rudp_service service;
    struct gy_rudp_host_options host; /* config, connections_max, memory_bytes, key, process */
    uint32_t workers;
    struct gy_rudp_counts *counts;                           /* of each worker */
    struct gy_rudp_host *_Atomic hosts[GY_RUDP_WORKERS_MAX]; /* each worker's own entry */
};

/* Defaults into zeroed memory. */
void gy_rudp_server_init(struct gy_rudp_server *server);

/* What a connection may take, all told, in bytes; for a person to see. */
size_t gy_rudp_server_connection_bytes(const struct gy_rudp_server *server);

/* For the core's server of datagrams, whose context is the server. */
int gy_rudp_server_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                               struct gy_error *error);
void gy_rudp_server_worker_close(struct gy_worker *worker, void *state);

#endif
