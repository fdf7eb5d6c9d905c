/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SUPERVISOR_H
#define GY_CORE_SUPERVISOR_H

/*
 * The supervisor: a small parent process that keeps the listening sockets and looks after the
 * process that serves.
 *
 *     parent: opens the listeners, forks, waits; no threads, no ring, next to no memory
 *       └── child: threads, rings, connections; generation 1, 2, 3, …
 *
 * The child inherits the listeners. When it dies the sockets stay open in the parent, so clients
 * that connect meanwhile wait in the backlog, and the next child serves them. The first restart
 * is at once, the following ones back off exponentially, until a child has stayed up for a while.
 *
 * Signals, all sent to the parent:
 *     SIGTERM, SIGINT   drain: finish what is under way, within a deadline, and exit
 *     a second one      stop at once
 *     SIGHUP            replace: start a new child (which reads its configuration afresh), and once
 *                       it is ready, drain the old one. No connection is refused in between. A new
 *                       child that fails leaves the old one serving. While no child is up, SIGHUP
 *                       cuts the wait short. SIGHUP because the terminal went away is a drain.
 *
 * Parent and child speak over a socket pair, not by signals. So it does no harm when a signal
 * reaches both: Ctrl-C in a terminal goes to the whole process group, a service manager may signal
 * every process it sees; neither counts twice. They share a process group, so that Ctrl-Z and
 * `fg` stop and continue both. When the parent dies, however it dies, the child sees the pair
 * close, and drains.
 *
 * The child's side is core/child.h.
 */

#include <stdint.h>

#include "child.h"
#include "error.h"

/* What the service may want to act on, in the parent. */
enum gy_supervisor_event {
    /* A replacement was asked for (SIGHUP) and is about to be forked: time to read the
     * configuration and to open what is new. A negative result calls it off: whatever serves goes
     * on as it is; the hook has said why. */
    GY_SUPERVISOR_REPLACING,
    GY_SUPERVISOR_READY,  /* the child that was forked last serves */
    GY_SUPERVISOR_FAILED, /* the child that was forked last was never ready, and never will be */
    GY_SUPERVISOR_ENDING, /* the service ends: clients are refused from now on */
};

struct gy_supervisor_options {
    /* May be NULL. Called with the `context` of gy_supervisor_run. */
    int (*event)(void *context, enum gy_supervisor_event event);

    /* The parent's copies of the listening sockets; may be NULL. When a stop begins the parent
     * closes them and sets each entry to -1, so that from the moment the child closes its own,
     * clients are refused at once rather than left waiting. They are closed when gy_supervisor_run
     * returns an exit status, too, and left alone when it returns an error. */
    int *listen_fds;
    uint32_t listen_fd_count;

    /* Every time below is in milliseconds, and 0 stands for the default beside it. */
    uint32_t ready_timeout_ms; /* 30,000: a child that is not ready by then is killed */
    uint32_t drain_timeout_ms; /* 10,000: what the child is told that its drain may take */
    uint32_t kill_margin_ms;   /* 5,000: after that deadline, or after a stop, until SIGKILL */
    uint32_t backoff_first_ms; /* 50: before the second restart in a row; then it doubles … */
    uint32_t backoff_limit_ms; /* 10,000: … up to this */
    uint32_t stable_after_ms;  /* 10,000: ready for so long, a child's death counts as the first */
};

/*
 * Runs a service until it is told to end: forks (no exec) and calls `serve(context, child)` in the
 * child, whose return value (0 to 255) becomes that process's exit status, through exit(3). `serve`
 * must call gy_child_ready, and wait by gy_child_wait; it prints its own errors. `child` belongs to
 * the supervisor. Call this from a process with one thread, before any ring exists.
 *
 * Returns the exit status for main:
 *     0          after a clean drain
 *     1          when a child had to be killed, or died of a signal, while the service ended
 *     otherwise  what `serve` returned as the service ended, or, when the very first child gave up
 *                before it was ready, what it returned then (1 if it died of a signal)
 * or, with `error` filled (it may be NULL), GY_EREFUSED, GY_ENOMEM, GY_EAGAIN or GY_ENOFILE when
 * the first child could not even be forked, and GY_EINVAL for options that contradict each other.
 * Once returned, no child is left, the signal mask is what it was, and nothing stays open.
 */
int gy_supervisor_run(const struct gy_supervisor_options *options,
                      int (*serve)(void *context, struct gy_child *child), void *context,
                      struct gy_error *error);

/* The wait before restart number `failure` in a row (1 is the first: no wait). Half of the doubled
 * step is fixed, half is spread by `random`, so that many supervisors do not move in step. */
uint32_t gy_supervisor_backoff_ms(const struct gy_supervisor_options *options, uint32_t failure,
                                  uint32_t random);

#endif
