/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/evict.h"

#include "core/endpoint.h"
#include "core/log.h"
#include "core/stream_internal.h"
#include "core/worker.h"

/* When the stream's send in flight began; UINT64_MAX without one. */
static uint64_t send_began_ms(const struct gy_stream *stream)
{
    bool stalled = gy_stream_awaits_peer(stream) && stream->core_deadline_ms != 0 &&
                   (stream->state == GY_STREAM_OPEN || stream->state == GY_STREAM_FLUSHING);
    uint32_t timeout_ms = stream->endpoint->limits.write_timeout_ms;
    return stalled ? stream->core_deadline_ms - timeout_ms : UINT64_MAX;
}

static struct gy_stream *live_stream(struct gy_worker *worker, uint32_t slot)
{
    return worker->generations[slot] & 1 ? gy_slab_at(&worker->streams, slot) : NULL;
}

uint32_t gy_evict_stalled(struct gy_worker *worker)
{
    if (worker->now_ms < worker->evict_due_ms) {
        return 0;
    }
    worker->evict_due_ms = worker->now_ms + GY_EVICT_INTERVAL_MS;
    uint64_t oldest_ms = UINT64_MAX;
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        struct gy_stream *stream = live_stream(worker, slot);
        uint64_t began_ms = stream != NULL ? send_began_ms(stream) : UINT64_MAX;
        oldest_ms = began_ms < oldest_ms ? began_ms : oldest_ms;
    }
    if (oldest_ms == UINT64_MAX || worker->now_ms - oldest_ms < GY_EVICT_STALLED_MS) {
        return 0;
    }
    uint64_t until_ms = oldest_ms + GY_EVICT_INTERVAL_MS;
    uint32_t evicted = 0;
    for (uint32_t slot = 0; slot < worker->streams.fresh && evicted < GY_EVICT_BATCH; slot++) {
        struct gy_stream *stream = live_stream(worker, slot);
        if (stream != NULL && send_began_ms(stream) <= until_ms) {
            gy_stream_abort(stream, GY_CLOSE_LIMIT);
            evicted++;
        }
    }
    /* What they held comes back when their sends are cancelled: nobody else is to blame yet. */
    worker->evict_held_due_ms = worker->now_ms + GY_EVICT_INTERVAL_MS;
    gy_count(&worker->counters.streams_evicted, evicted);
    gy_log_limited(GY_LOG_WARN, "worker",
                   "worker %u: memory is used up; %u connections that do not read their "
                   "answers were ended",
                   worker->options.number, evicted);
    return evicted;
}

/* ---- input ---- */

void gy_evict_add(struct gy_worker *worker, struct gy_holder *holder)
{
    holder->next = worker->holders;
    worker->holders = holder;
}

void gy_evict_remove(struct gy_worker *worker, struct gy_holder *holder)
{
    struct gy_holder **at = &worker->holders;
    while (*at != holder) {
        gy_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = holder->next;
}

static bool is_short(const struct gy_slab *slab)
{
    return slab->capacity - slab->used < slab->capacity / GY_EVICT_HELD_SHARE;
}

bool gy_evict_presses(const struct gy_worker *worker)
{
    return is_short(&worker->blocks) || is_short(&worker->links);
}

/* Ends those that hold the most, or at least half of that. 0: nobody holds enough. */
static uint32_t end_largest(const struct gy_worker *worker, uint64_t until_ns, uint32_t count)
{
    uint32_t most = 0, ended = 0;
    for (struct gy_holder *holder = worker->holders; holder != NULL; holder = holder->next) {
        uint32_t pieces = holder->largest(holder, until_ns);
        most = pieces > most ? pieces : most;
    }
    uint32_t half = most - most / 2;
    uint32_t least = half > GY_EVICT_HELD_LEAST ? half : GY_EVICT_HELD_LEAST;
    for (struct gy_holder *holder = worker->holders; holder != NULL && most >= least;
         holder = holder->next) {
        ended += holder->end(holder, until_ns, least, count - ended);
    }
    gy_assert(ended <= count);
    return ended;
}

uint32_t gy_evict_held(struct gy_worker *worker)
{
    if (worker->holders == NULL || worker->now_ms < worker->evict_held_due_ms) {
        return 0;
    }
    worker->evict_held_due_ms = worker->now_ms + GY_EVICT_INTERVAL_MS;
    uint64_t stalled_ns = GY_EVICT_STALLED_MS * UINT64_C(1000000);
    uint64_t until_ns = worker->now_ns > stalled_ns ? worker->now_ns - stalled_ns : 0;
    uint32_t evicted = 0;
    /* Many may have pieces in one block, which is free when all of them are gone. */
    for (int i = 0; i < GY_EVICT_HELD_ROUNDS && gy_evict_presses(worker); i++) {
        evicted += end_largest(worker, until_ns, GY_EVICT_BATCH - evicted);
    }
    if (evicted > 0) {
        gy_count(&worker->counters.streams_evicted, evicted);
        gy_log_limited(GY_LOG_WARN, "worker",
                       "worker %u: memory is used up; %u connections whose messages were long and "
                       "not whole were ended",
                       worker->options.number, evicted);
    }
    return evicted;
}
