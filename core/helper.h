/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_HELPER_H
#define GY_CORE_HELPER_H

/*
 * A helper: a thread that does for one worker what would block it (reading a directory), one job
 * after the other. The queue has a bound.
 *
 * The owner of a job makes it, and has it back when `done` is called, on the worker's thread, in
 * the same place of a turn as the owners of files are told. A job that was submitted always comes
 * back. All calls but `run` are for the worker's thread.
 */

#include <stdint.h>

struct gy_error;
struct gy_worker;

struct gy_helper_job {
    void (*run)(struct gy_helper_job *job);  /* on the helper; touches nothing of the worker's */
    void (*done)(struct gy_helper_job *job); /* on the worker; may free the job */
    struct gy_helper_job *next;
};

struct gy_helper;

/* Starts the thread. At most `jobs_max` are waiting or running. 0, GY_ENOMEM, GY_ENOFILE or
 * GY_EREFUSED (no thread could be started). */
int gy_helper_open(struct gy_helper **helper, struct gy_worker *worker, uint32_t jobs_max,
                   struct gy_error *error);

/* 0, or GY_ENOBUFS when jobs_max are under way or the ring is full: the job stays with the caller.
 */
int gy_helper_submit(struct gy_helper *helper, struct gy_helper_job *job);

/* When all jobs have come back. */
void gy_helper_close(struct gy_helper *helper);

#endif
