/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_DROP_DISK_H
#define GY_SERVERS_RUDP_DROP_DISK_H

/*
 * What is done to names for a file that is being received, each a job of a helper thread
 * (core/helper.h), since each may wait for a disk. Reading, writing and syncing are the ring's.
 *
 * The part lies beside its target as ".NAME.part". Whoever writes to it holds its lock (flock(2)),
 * so that of several senders, workers and processes one has it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/helper.h"
#include "../../protocols/drop/drop.h"

/* Where a file is to go. */
struct gy_drop_target {
    int directory;
    const char *name; /* of one component */
    uint64_t size;    /* of what is to come, or GY_DROP_UNKNOWN */
    uint64_t keep_free;
    bool replace; /* a file of that name */
};

enum gy_drop_disk_work {
    GY_DROP_DISK_OPEN,    /* or makes the part, and locks it */
    GY_DROP_DISK_EMPTY,   /* the part */
    GY_DROP_DISK_NAME,    /* gives it its name */
    GY_DROP_DISK_LOOK,    /* whether `keep_free` is still free */
    GY_DROP_DISK_DISCARD, /* removes the part */
};

struct gy_drop_disk {
    struct gy_helper_job job; /* first */
    enum gy_drop_disk_work work;
    int directory;
    int descriptor; /* of the part, or of the file that is there; -1: not open */
    bool replace;
    bool whole; /* OPEN: there is a file of that name already, perhaps the same: it is what is open
                 */
    uint64_t size, keep_free;
    uint64_t have;   /* OPEN: bytes that are there */
    unsigned result; /* enum gy_drop_result */
    char name[GY_DROP_COMPONENT_BYTES + 1];
    char part[GY_DROP_COMPONENT_BYTES + 8];
    char text[GY_DROP_TEXT_BYTES]; /* where result is not DONE */
};

void gy_drop_disk_init(struct gy_drop_disk *disk, const struct gy_drop_target *target);

/* Does `work`; for job.run. */
void gy_drop_disk_run(struct gy_helper_job *job);

#endif
