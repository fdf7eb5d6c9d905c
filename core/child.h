/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_CHILD_H
#define GY_CORE_CHILD_H

/*
 * The serving process's view of its supervisor: who it is, and what it is asked to do.
 *
 * Under a supervisor (core/supervisor.h) the `struct gy_child` is handed to the serving code, and
 * the parent speaks to it over a socket pair. Signals are the parent's business then: SIGTERM,
 * SIGINT and SIGHUP that reach the child as well are dropped. Once the parent is gone, and in a
 * process that is alone from the start (for debuggers and tests), the child takes the signals
 * itself. The code that serves need not know the difference.
 *
 * Everything but gy_child_wake is for one thread, the control thread. The three signals are blocked
 * in it before the serving code runs, and threads that it creates inherit that.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

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
    enum gy_child_event asked; /* what gy_child_wait reported last, the most urgent so far */
    void (*on_ready)(void *ready_context); /* called once by gy_child_ready; NULL: nobody asked */
    void *ready_context;

    uint32_t kill_margin_ms;
    int control_fd; /* to the parent; -1 without one */
    int signal_fd;
    int wake_fd;
    sigset_t former_mask; /* of a process alone */
    bool ready;
};

/* Makes this very process the child, without a parent: SIGINT, SIGTERM and SIGHUP drain, a second
 * SIGINT or SIGTERM stops. Call it before any other thread exists. 0, or a GY_E… code with `error`
 * filled (it may be NULL). */
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

/* ---- for core/supervisor.c ---- */

/* What the two ends of the socket pair say to each other, a byte each. An end that closes has
 * died. */
enum gy_child_message {
    GY_CHILD_MESSAGE_READY = 'r', /* the only one from child to parent */
    GY_CHILD_MESSAGE_REPLACED = 'R',
    GY_CHILD_MESSAGE_DRAIN = 'D',
    GY_CHILD_MESSAGE_STOP = 'S',
};

/* SIGTERM, SIGINT, SIGHUP: what is blocked in a child. */
void gy_child_signals(sigset_t *set);

/* Opens the descriptors of a child whose other members are set, and blocks its signals. 0, or a
 * negative errno value. */
int gy_child_open(struct gy_child *child);

#endif
