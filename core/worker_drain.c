/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How a worker ends: the drain, in which what is under way is finished and nothing new is begun,
 * and the finish, which cuts what is left. */

#include "core/log.h"
#include "core/worker_internal.h"

#define CLOSE_PATIENCE_MS 2000 /* since the last connection ended */
#define CLOSE_TURNS_MIN   50   /* and so often looked at: a host may stop us for seconds */
#define FINISH_TURN_NS    10000000u

void gy_worker_drain(struct gy_worker *worker, uint64_t timeout_ms, bool take_waiting)
{
    if (worker->phase != GY_WORKER_SERVING) {
        return;
    }
    worker->phase = GY_WORKER_DRAINING;
    worker->drain_deadline_ms = worker->now_ms + timeout_ms;
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        gy_listener_stop(&worker->listeners[i], take_waiting);
    }
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (worker->generations[slot] & 1) {
            gy_stream_drain(gy_slab_at(&worker->streams, slot));
        }
    }
    gy_datagrams_drain(worker, take_waiting);
    struct gy_worker_hold *next;
    for (struct gy_worker_hold *hold = worker->holds; hold != NULL; hold = next) {
        next = hold->next;
        hold->drain(hold);
    }
}

/* Again and again, for what the ring had no room for. */
static void stop_listeners(struct gy_worker *worker)
{
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        gy_listener_stop(&worker->listeners[i], false);
    }
}

static bool listeners_closed(const struct gy_worker *worker)
{
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        if (!worker->listeners[i].closed) {
            return false;
        }
    }
    return true;
}

void gy_worker_drain_step(struct gy_worker *worker)
{
    stop_listeners(worker);
    uint32_t sockets = gy_datagrams_open(worker);
    if (worker->now_ms >= worker->drain_deadline_ms && (worker->streams_open > 0 || sockets > 0)) {
        gy_log(GY_LOG_WARN, "worker",
               "worker %u: the drain deadline passed with %llu connections and %u UDP sockets "
               "open; they are cut",
               worker->options.number, (unsigned long long)worker->streams_open, sockets);
        worker->phase = GY_WORKER_STOPPED;
    } else if (worker->streams_open == 0 && sockets == 0 && listeners_closed(worker) &&
               (worker->holds == NULL || worker->now_ms >= worker->drain_deadline_ms)) {
        worker->phase = GY_WORKER_STOPPED;
    }
}

static void abort_all(struct gy_worker *worker, enum gy_close_reason reason)
{
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (worker->generations[slot] & 1) {
            gy_stream_abort(gy_slab_at(&worker->streams, slot), reason);
        }
    }
}

/* Everything in flight is cancelled and awaited before its memory goes; connections that are
 * accepted meanwhile share the fate of the others. */
void gy_worker_finish(struct gy_worker *worker)
{
    if (worker->pool == NULL || worker->finished) {
        return;
    }
    worker->finished = true;
    worker->phase = GY_WORKER_STOPPED;
    uint64_t deadline_ms = worker->now_ms + CLOSE_PATIENCE_MS;
    uint64_t open = worker->streams_open;
    uint32_t turns = 0;
    do {
        turns++;
        stop_listeners(worker);
        abort_all(worker, GY_CLOSE_DRAIN);
        gy_datagrams_abort(worker);
        if (gy_worker_turn(worker, FINISH_TURN_NS) != 0) {
            break;
        }
        if (worker->streams_open < open) { /* tens of thousands take their time */
            open = worker->streams_open;
            deadline_ms = worker->now_ms + CLOSE_PATIENCE_MS;
            turns = 0;
        }
    } while ((!gy_flood_stop(worker) || worker->streams_open > 0 ||
              worker->files.operations.used > 0 || gy_datagrams_open(worker) > 0 ||
              !listeners_closed(worker)) &&
             (worker->now_ms < deadline_ms || turns < CLOSE_TURNS_MIN));
    gy_ring_submit(worker->ring); /* the last descriptors are closed by the ring */
}
