/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_DROP_SERVICE_H
#define GY_SERVERS_RUDP_DROP_SERVICE_H

/*
 * The service of files (protocols/drop) on a reliable-UDP server: what clients send is put into one
 * directory, what they ask for comes out of one; either may be left out. `gyre rudp serve --drop`
 * and `--share`.
 */

#include "rudp_host.h"

struct gy_drop_slot;

/* Transfers of one connection at once; jobs of one worker's helper thread. */
#define GY_DROP_TRANSFERS 16
#define GY_DROP_JOBS      256

/* Read-only while workers run, but for the helpers. */
struct gy_drop_service {
    int drop, share;    /* directories; -1: nothing is taken, nothing is given */
    uint64_t max_bytes; /* of one file that is taken */
    uint64_t keep_free; /* bytes that stay free on its disk */
    bool replace;       /* clients may replace files */
    struct gy_helper *helpers[GY_RUDP_WORKERS_MAX]; /* each worker's own entry */
};

/* The context of its host (gy_rudp_host_options) is the service. */
extern const struct gy_rudp_host_ops gy_drop_service_ops;

/* Of one worker, once its host is open; and before that is closed. 0, or what gy_helper_open()
 * says. */
int gy_drop_service_open(struct gy_drop_service *service, struct gy_worker *worker,
                         struct gy_error *error);
void gy_drop_service_close(struct gy_drop_service *service, struct gy_worker *worker);

#endif
