/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_TIMER_H
#define GY_CORE_TIMER_H

/*
 * A hierarchical timing wheel: the deadlines of one worker, in ticks of one millisecond.
 *
 * Timers are intrusive (they live inside the connection they belong to), so arming, moving and
 * disarming take constant time and no memory. Four levels of 256 slots reach 2^32 ms (49 days)
 * ahead; what is due beyond that waits in a list of its own. Bitmaps of the occupied slots find the
 * next deadline in a few instructions, and an advance over idle hours skips them at once.
 *
 * The caller passes the time, any monotonic count of milliseconds below 2^63; the wheel never asks
 * for it. Not thread-safe: a wheel belongs to one worker. Neither a wheel nor an armed timer may be
 * moved in memory.
 *
 *     static void on_idle(struct gy_timer *timer, uint64_t now_ms) { … }
 *
 *     gy_wheel_init(&wheel, now_ms);
 *     gy_timer_init(&connection->idle, on_idle);
 *     gy_timer_arm(&wheel, &connection->idle, now_ms + 60000);
 *     for (;;) {
 *         wait until an event, or until gy_wheel_next_ms(&wheel);
 *         gy_wheel_advance(&wheel, now_ms, 1024);
 *     }
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GY_WHEEL_LEVELS 4
#define GY_WHEEL_SLOTS  256

struct gy_timer {
    struct gy_timer *next;
    struct gy_timer **link; /* what points at this timer; NULL when it is not armed */
    uint64_t due_ms;
    void (*fire)(struct gy_timer *timer, uint64_t now_ms);
};

_Static_assert(sizeof(struct gy_timer) <= 32, "connections carry several timers");

struct gy_wheel {
    uint64_t tick_ms;   /* everything due before it has fired */
    uint64_t target_ms; /* the `now` of the advance that runs */
    bool advancing;
    uint32_t armed;            /* timers */
    uint64_t fired;            /* timers, since gy_wheel_init */
    struct gy_timer **pending; /* the list whose timers are being moved down; or NULL */
    struct gy_timer *far;      /* due in a later span of 2^32 ms than tick_ms */
    struct gy_timer *sift;     /* was `far`, being sorted in */
    struct gy_timer *late;     /* armed by callbacks as due already: for the next advance */
    uint64_t occupied[GY_WHEEL_LEVELS][GY_WHEEL_SLOTS / 64];
    struct gy_timer *slots[GY_WHEEL_LEVELS][GY_WHEEL_SLOTS];
};

/* An empty wheel that starts at now_ms. The wheel owns no timer: there is nothing to close. */
void gy_wheel_init(struct gy_wheel *wheel, uint64_t now_ms);

/* Must come before anything else is done with a timer. `fire` is called once for each time that the
 * timer was armed and came due; `now_ms` is that of the advance. The timer is disarmed by then: the
 * callback may arm it again, free it, and arm, disarm or free any other timer. */
static inline void gy_timer_init(struct gy_timer *timer,
                                 void (*fire)(struct gy_timer *timer, uint64_t now_ms))
{
    *timer = (struct gy_timer){.fire = fire};
}

static inline bool gy_timer_armed(const struct gy_timer *timer)
{
    return timer->link != NULL;
}

/* Arms the timer, or moves it when it is armed. A time that has passed is allowed: the timer fires
 * in the next advance; when armed so by a callback, never in the advance that is running, so a
 * timer that arms itself as due at once cannot hold up the worker. */
void gy_timer_arm(struct gy_wheel *wheel, struct gy_timer *timer, uint64_t due_ms);

/* Disarms the timer; does nothing when it is not armed. */
void gy_timer_disarm(struct gy_wheel *wheel, struct gy_timer *timer);

/* When gy_wheel_advance must be called next: UINT64_MAX when no timer is armed. It may be early (a
 * point where timers move down a level, and none fires), never late. It is at most the last now_ms
 * exactly when there is something to do at once. */
uint64_t gy_wheel_next_ms(const struct gy_wheel *wheel);

/*
 * Fires what is due at now_ms (due_ms <= now_ms), in order of due_ms; timers of the same
 * millisecond in no particular order, and those that were armed too late count as due when they
 * were armed. A now_ms that lies before the last one counts as the last one.
 *
 * At most `budget` (>= 1) timers are fired or moved down a level. Returns true when that bound
 * stopped it: call again soon, after looking at other work. Must not be called by a callback.
 */
bool gy_wheel_advance(struct gy_wheel *wheel, uint64_t now_ms, uint32_t budget);

#endif
