/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_FORWARD_SERVICE_H
#define GY_SERVERS_RUDP_FORWARD_SERVICE_H

/*
 * The far end of `gyre rudp forward` on a reliable-UDP server (protocols/forward): every flow that
 * a client opens becomes a TCP connection to one target, which the server's configuration says.
 * `gyre rudp serve --relay`.
 */

#include "../../core/address.h"
#include "../../core/endpoint.h"
#include "rudp_host.h"

/* Read-only while workers run, but for the endpoints. */
struct gy_forward_service {
    struct gy_address target;
    struct gy_endpoint *endpoints[GY_RUDP_WORKERS_MAX]; /* each worker's own entry */
};

/* The context of its host (gy_rudp_host_options) is the service. */
extern const struct gy_rudp_host_ops gy_forward_service_ops;

/* Of one worker, before its host is used, and once that is closed. 0, or GY_ENOMEM. */
int gy_forward_service_open(struct gy_forward_service *service, struct gy_worker *worker,
                            struct gy_error *error);
void gy_forward_service_close(struct gy_forward_service *service, struct gy_worker *worker);

#endif
