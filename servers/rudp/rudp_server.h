/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_SERVER_H
#define GY_SERVERS_RUDP_RUDP_SERVER_H

/*
 * A reliable-UDP server: an application's calls (rudp_host.h) on every worker.
 *
 *     static struct gy_rudp_server server;
 *     gy_rudp_server_init(&server, &my_calls, my_context);
 *     return gy_rudp_serve(&server, "127.0.0.1:7117");
 *
 * Two applications are here, to measure a path with, and for `gyre rudp ping`: gy_rudp_echo sends
 * every message back, with its guarantee and on its channel; gy_rudp_sink takes them all. Of an
 * echo a reliable message counts against its sender's window until its way back has been
 * acknowledged, so a client that does not read its echoes stops itself. Where there is no memory
 * for one, an unreliable message is left out (counted), and a connection that sent a reliable one
 * is closed with the code GY_RUDP_HOST_NO_MEMORY.
 */

#include "rudp_host.h"

extern const struct gy_rudp_host_ops gy_rudp_echo;
extern const struct gy_rudp_host_ops gy_rudp_sink;

/* Read-only while workers run, but for what is marked. */
struct gy_rudp_server {
    const struct gy_rudp_host_ops *ops;
    void *context;                    /* the application's: session->host->options.context */
    struct gy_rudp_host_options host; /* config, connections_max, memory_bytes, key, process */
    struct gy_rudp_counts *counts;    /* of each worker */
    struct gy_rudp_host *_Atomic hosts[GY_RUDP_WORKERS_MAX]; /* each worker's own entry */
};

/* Defaults into zeroed memory. */
void gy_rudp_server_init(struct gy_rudp_server *server, const struct gy_rudp_host_ops *ops,
                         void *context);

/* Serves on one address, without encryption, until told to end: workers, signals and restarts as of
 * `gyre rudp serve`. Returns main's exit status; errors are printed. */
int gy_rudp_serve(struct gy_rudp_server *server, const char *address);

/* For the core's server of datagrams, whose context is the server; `key`, `process` and `counts`
 * are set by then. */
int gy_rudp_server_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                               struct gy_error *error);
void gy_rudp_server_worker_close(struct gy_worker *worker, void *state);

#endif
