/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_TRANSFER_H
#define GY_CLIENTS_RUDP_TRANSFER_H

/*
 * Files to or from a server (protocols/drop), several at once over one connection. When the
 * connection breaks another one is made, and each file goes on where the other end's part of it
 * ends; for as long as `patience_ns` without progress.
 */

#include <stdatomic.h>

#include "target.h"

#define GY_RUDP_TRANSFER_AT_ONCE 4

/* One file, as it was asked for. */
struct gy_rudp_transfer_file {
    const char *path; /* here; "-": standard input or output */
    const char *name; /* there */
};

struct gy_rudp_transfer_options {
    const struct gy_rudp_target *target;
    const struct gy_rudp_transfer_file *files;
    uint32_t count;
    bool receive;
    bool replace;
    bool quiet; /* no line of progress */
    uint64_t patience_ns;
    const atomic_bool *stop; /* set by a signal */
};

/* How many files did not arrive; what was wrong with each has been said on standard error. Or a
 * negative GY_E… code with a sentence where nothing could be begun. */
int gy_rudp_transfer(const struct gy_rudp_transfer_options *options, struct gy_error *error);

#endif
