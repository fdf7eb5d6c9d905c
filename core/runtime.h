/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_RUNTIME_H
#define GY_CORE_RUNTIME_H

/*
 * The runtime: the workers of one serving process, from start to drain.
 *
 * Called in the serving process (core/supervisor.h), on its control thread: starts one thread per
 * worker, says "ready" once all of them accept, waits for what the parent or the signals ask for,
 * passes it on through the workers' mailboxes, and returns when the workers have ended.
 */

#include <stdbool.h>
#include <stdint.h>

#include "listener.h"
#include "ring.h"
#include "supervisor.h"
#include "tables.h"

struct gy_runtime_options {
    uint32_t workers;         /* 0: one for each processor this process may run on */
    bool unpinned;            /* do not pin workers to processors */
    uint32_t connections_max; /* per worker; 0: as the limit on open files allows */
    enum gy_tables tables;    /* whether workers share a table of descriptors (tables.h) */
    int receive_mode;         /* enum gy_receive_mode, or GY_RECEIVE_CHOOSE */
    uint32_t without;         /* ring features to do without (GY_RING_…) */
    const struct gy_server *servers;
    uint32_t server_count;
};

/* The best mode that the boot self-test passes (DESIGN rule 22). */
#define GY_RECEIVE_CHOOSE (-1)

/* How many workers `options` stands for on this host; listening sockets are opened for so many. At
 * least 1. */
uint32_t gy_runtime_workers(uint32_t asked);

/*
 * Serves until told to end. 0 after a drain or a stop; GY_EREFUSED where io_uring is not allowed,
 * or tables that were asked for, GY_ENOMEM, GY_ENOFILE, GY_EIO when a worker's ring broke: then
 * `error` has the sentence, and the process should end with a status other than 0.
 */
int gy_runtime_run(const struct gy_runtime_options *options, struct gy_child *child,
                   struct gy_error *error);

#endif
