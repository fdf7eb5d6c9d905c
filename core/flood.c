/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/flood.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/endpoint.h"
#include "core/log.h"
#include "core/share.h"
#include "core/stream_internal.h"
#include "core/worker_internal.h"

void gy_flood_init(struct gy_flood *flood)
{
    *flood = (struct gy_flood){.set = -1};
}

void gy_flood_close(struct gy_flood *flood)
{
    if (flood->set >= 0) {
        gy_assert(flood->members == 0 && flood->waiting == 0);
        close(flood->set);
        flood->set = -1;
    }
}

bool gy_flood_is_on(const struct gy_endpoint *endpoint)
{
    return endpoint->worker->now_ms < endpoint->flood.until_ms;
}

bool gy_flood_holds(const struct gy_stream *stream)
{
    return gy_flood_is_on(stream->endpoint) && (stream->receiving ? !stream->once : stream->ready);
}

/* ---- waiting ---- */

/* Has the set tell of the stream once. */
static bool tell_once(struct gy_flood *flood, struct gy_stream *stream)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
        .data.u64 = gy_stream_token(stream, GY_OPERATION_FLOOD),
    };
    int how = stream->in_flood ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (flood->set < 0) {
        flood->set = epoll_create1(EPOLL_CLOEXEC);
    }
    return flood->set >= 0 && epoll_ctl(flood->set, how, stream->descriptor, &event) == 0;
}

bool gy_flood_awaits(struct gy_stream *stream)
{
    struct gy_flood *flood = &stream->endpoint->flood;
    if (stream->floods) {
        return true;
    }
    if (stream->passed || !gy_flood_is_on(stream->endpoint)) {
        return false;
    }
    if (!tell_once(flood, stream)) {
        gy_log_limited(GY_LOG_WARN, "flood",
                       "%s is flooded, and what it receives cannot be held back: %s",
                       stream->endpoint->name, strerror(errno));
        flood->until_ms = 0; /* it goes on as others do */
        return false;
    }
    flood->members += !stream->in_flood;
    flood->waiting++;
    stream->worker->flood_waiting++;
    flood->more |= !flood->polled; /* the next turn looks at once, and has the ring poll the set */
    stream->in_flood = true;
    stream->floods = true;
    return true;
}

static void stop_waiting(struct gy_stream *stream)
{
    gy_assert(stream->in_flood && stream->endpoint->flood.waiting > 0);
    stream->floods = false;
    stream->endpoint->flood.waiting--;
    stream->worker->flood_waiting--;
}

void gy_flood_leave(struct gy_stream *stream)
{
    struct gy_flood *flood = &stream->endpoint->flood;
    gy_assert(stream->in_flood && flood->set >= 0 && flood->members > 0);
    if (stream->floods) {
        stop_waiting(stream);
    }
    epoll_ctl(flood->set, EPOLL_CTL_DEL, stream->descriptor, NULL);
    flood->members--;
    stream->in_flood = false;
}

/* ---- letting through ---- */

static void pass_some(struct gy_worker *worker, struct gy_flood *flood)
{
    struct epoll_event events[GY_FLOOD_PASSES];
    int count = epoll_wait(flood->set, events, GY_FLOOD_PASSES, 0);
    for (int i = 0; i < count; i++) {
        struct gy_stream *stream = gy_worker_stream(worker, events[i].data.u64);
        if (stream != NULL && stream->floods) {
            stop_waiting(stream);
            stream->passed = true;
            gy_stream_flush_later(stream);
        }
    }
    flood->more = count == GY_FLOOD_PASSES;
    if (count > 0) {
        gy_count(&worker->counters.flood_passes, (uint32_t)count);
    }
    if (flood->more) {
        flood->until_ms = worker->now_ms + GY_FLOOD_MS;
    } else if (!flood->polled && flood->waiting > 0) {
        flood->polled = gy_ring_poll(worker->ring, gy_token(GY_OPERATION_FLOOD, flood->slot, 0),
                                     flood->set, POLLIN, false) == 0;
        flood->more = !flood->polled;
    }
}

void gy_flood_pass(struct gy_worker *worker)
{
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        struct gy_flood *flood = &worker->listeners[i].endpoint.flood;
        if (flood->waiting > 0) {
            pass_some(worker, flood);
        }
    }
}

bool gy_flood_presses(const struct gy_worker *worker)
{
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        const struct gy_flood *flood = &worker->listeners[i].endpoint.flood;
        if (flood->waiting > 0 && flood->more) {
            return true;
        }
    }
    return false;
}

bool gy_flood_polled(struct gy_worker *worker, uint32_t slot)
{
    if (slot >= worker->listener_count || !worker->listeners[slot].endpoint.flood.polled) {
        return false;
    }
    worker->listeners[slot].endpoint.flood.polled = false;
    worker->listeners[slot].endpoint.flood.cancelled = false;
    return true;
}

bool gy_flood_stop(struct gy_worker *worker)
{
    bool stopped = true;
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        struct gy_flood *flood = &worker->listeners[i].endpoint.flood;
        if (flood->polled && !flood->cancelled) {
            flood->cancelled =
                gy_ring_cancel_token(worker->ring, gy_token(GY_OPERATION_NONE, 0, 0),
                                     gy_token(GY_OPERATION_FLOOD, flood->slot, 0)) == 0;
        }
        stopped &= !flood->polled;
    }
    return stopped;
}

/* ---- what is one ---- */

void gy_flood_received(struct gy_stream *stream)
{
    stream->endpoint->flood.receives++;
    if (gy_flood_holds(stream)) {
        gy_stream_flush_later(stream);
    }
}

void gy_flood_judge(struct gy_endpoint *endpoint)
{
    struct gy_worker *worker = endpoint->worker;
    struct gy_flood *flood = &endpoint->flood;
    if (flood->receives == 0) {
        return;
    }
    bool full = flood->receives >= GY_FLOOD_RECEIVES || endpoint->ready_count >= GY_FLOOD_READY;
    bool floods = full && gy_worker_is_crowded(worker) && endpoint->connections >= GY_FLOOD_STREAMS;
    flood->receives = 0;
    flood->turns = floods ? flood->turns + 1 : 0;
    if (flood->turns >= GY_FLOOD_TURNS) {
        gy_count(&worker->counters.floods, gy_flood_is_on(endpoint) ? 0 : 1);
        flood->until_ms = worker->now_ms + GY_FLOOD_MS;
    }
}
