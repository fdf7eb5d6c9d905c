/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_TRANSFER_INTERNAL_H
#define GY_CLIENTS_RUDP_TRANSFER_INTERNAL_H

/* What transfer.c (the connection, what is due), transfer_file.c (one file) and transfer_progress.c
 * share. */

#include "client.h"
#include "core/clock.h"
#include "servers/rudp/drop_give.h"
#include "servers/rudp/drop_take.h"
#include "transfer.h"

enum job_state {
    JOB_WAITING,
    JOB_UNDER_WAY,
    JOB_DONE,
    JOB_FAILED,
};

struct transfers;

struct job {
    struct transfers *transfers;
    const struct gy_rudp_transfer_file *file;
    enum job_state state;
    uint32_t transfer;
    struct gy_drop_give *give; /* under way: one of the two */
    struct gy_drop_take *take;
    int output;      /* a device or pipe that is written to; -1: none */
    int directory;   /* of the file that is written; -1: not open */
    uint64_t due_ns; /* not begun before */
    uint64_t bytes;  /* of it, when it is done */
    bool told;       /* that somebody else is sending it */
    bool spent;      /* something that cannot be read or written again has been begun */
};

struct transfers {
    struct gy_rudp_client client; /* first: aligned */
    const struct gy_rudp_transfer_options *options;
    struct gy_helper *helper;
    struct gy_rudp_session *session; /* NULL: none */
    struct gy_error *error;
    struct job *jobs;
    uint32_t unfinished, under_way, failed;
    uint32_t next_transfer;
    uint64_t began_ns, progress_ns, dial_ns, backoff_ns;
    uint64_t progressed;  /* bytes, when progress was last seen */
    uint64_t resumed;     /* bytes that were there already */
    uint64_t heard_ns;    /* something came of the other end, or nothing was waited for */
    uint64_t heard_bytes; /* of packets, both ways, by then */
    bool open, ever_open;
    bool talks; /* the server has said something of files */
    int code;   /* it cannot go on */
};

/* Begins; the session is open. */
void gy_rudp_job_begin(struct job *job);

/* A message of its transfer. As gy_rudp_env.received. */
bool gy_rudp_job_message(struct job *job, const struct gy_drop_message *message, size_t length);

/* The session is gone. */
void gy_rudp_job_leave(struct job *job);

/* Says what is wrong and counts it. */
void gy_rudp_job_fail(struct job *job, const char *why);

/* Whether it waits for the other end, and not for this end's disk or pipe. */
bool gy_rudp_job_waits(const struct job *job);

/* Bytes of it that are there, and in all (GY_DROP_UNKNOWN: not known). */
uint64_t gy_rudp_job_bytes(const struct job *job, uint64_t *size);

void gy_rudp_transfer_draw(struct transfers *transfers);
void gy_rudp_transfer_wipe(void);

#endif
