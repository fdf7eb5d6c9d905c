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
 * The child's side needs no parent: gy_child_init_alone makes one that takes the signals itself,
 * for debuggers and tests. The code that serves cannot tell the difference.
 */

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct gy_supervisor_options {
    /* The parent's copies of the listening sockets; may be NULL. When a stop begins the parent
     * closes them and sets each entry to -1, so that from the moment the child closes its own,
     * clients are refused at once rather than left waiting. They are closed when gy_supervisor_run
     * returns an exit status, too, and left alone when it returns an error. */
    int *listen_fds;
    uint32_t listen_fd_count;

    /* Every time below is in milliseconds, and 0 stands for the default beside it. */
    uint32_t ready_timeout_ms; /* 30,000: a child that is not ready by then is killed */
    uint32_t drain_timeout_ms; /* 10,000: what the child is told that its drain may take */
    uint32_t kill_margin_ms;   /* 2,000: after that deadline, or after a stop, until SIGKILL */
    uint32_t backoff_first_ms; /* 50: before the second restart in a row; then it doubles … */
    uint32_t backoff_limit_ms; /* 10,000: … up to this */
    uint32_t stable_after_ms;  /* 10,000: ready for so long, a child's death counts as the first */
};

/* What the serving code is asked to do. Each is reported once, in this order at most; a reader that
 * was late sees the last one. */
enum gy_child_event {
    GY_CHILD_NONE = 0, /* the time ran out, or gy_child_wake was called */
    /* A newer process is serving. Stop accepting, close the listeners (connections that wait in
     * them belong to the newer one), finish what is under way, return. */
    GY_CHILD_REPLACED,
    /* The service ends. Take what waits in the listeners, close them, finish what is under way,
     * return. */
    GY_CHILD_DRAIN,
    /* The parent died; nobody else has the listeners. Treat it as GY_CHILD_DRAIN. The child is
     * ended by SIGALRM if it is still there after drain_timeout_ms + kill_margin_ms. */
    GY_CHILD_PARENT_GONE,
    /* Return without waiting for anybody. */
    GY_CHILD_STOP,
};

/* Seen by the serving code. The first part is for reading; the rest is the module's. */
struct gy_child {
    uint32_t generation;       /* 1 for the first process, one more with each fork */
    uint32_t restarts;         /* children that died unasked before this one */
    uint32_t replacements;     /* SIGHUPs that led to a new child, this one included */
    uint32_t drain_timeout_ms; /* how long a drain may take */
    bool supervised;           /* false after gy_child_init_alone */

    uint32_t kill_margin_ms;
    int control_fd; /* to the parent; -1 without one */
    int signal_fd;
    int wake_fd;
    enum gy_child_event asked; /* the last event reported */
    bool ready;
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

/*
 * The child's side. Everything but gy_child_wake is for one thread, the control thread. The signals
 * are blocked before `serve` is called; threads that it creates inherit that.
 */

/* Makes this very process the child, without a parent: SIGINT, SIGTERM and SIGHUP drain, a second
 * one stops. Call it before any other thread exists. 0, or a GY_E… code with `error` filled (it
 * may be NULL). */
int gy_child_init_alone(struct gy_child *child, uint32_t drain_timeout_ms, struct gy_error *error);

/* Undoes gy_child_init_alone; the signals have their former mask again. */
void gy_child_close(struct gy_child *child);

/* Serving has begun: every listener is being accepted from. Further calls do nothing. */
void gy_child_ready(struct gy_child *child);

/* Waits up to `timeout_ms` (-1: for as long as it takes; 0: only looks) for the next event. */
enum gy_child_event gy_child_wait(struct gy_child *child, int timeout_ms);

/* Makes a gy_child_wait that is under way, or else the next one, return GY_CHILD_NONE at once. Any
 * thread of the child may call it, and a signal handler. */
void gy_child_wake(struct gy_child *child);

#endif
