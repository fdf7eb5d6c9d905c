/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/share.h"

#include <time.h>

#include "core/endpoint.h"
#include "core/evict.h"
#include "core/stream_internal.h"
#include "core/worker_internal.h"

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What an endpoint has used is of this turn. */
static void begin_turn(struct gy_endpoint *endpoint)
{
    uint64_t turn = gy_counter_read(&endpoint->worker->counters.turns) + 1;
    if (endpoint->turn != turn) {
        endpoint->turn = turn;
        endpoint->spent_ns = 0;
        endpoint->sent_bytes = 0;
    }
}

/* Shows the session the first bytes of its input alone, and says how many it took. False: all of it
 * was shown, as there was no more, or no link to cut it with. */
static bool run_piece(struct gy_stream *stream, uint32_t *used)
{
    struct gy_chain rest, piece;
    gy_chain_init(&piece, stream->in.links);
    if (stream->in.length <= GY_SHARE_INPUT_BYTES ||
        gy_chain_move(&stream->in, &piece, GY_SHARE_INPUT_BYTES) != 0) {
        gy_stream_run_session(stream);
        return false;
    }
    bool eof = stream->eof;
    rest = stream->in;
    stream->in = piece;
    stream->eof = false; /* not yet */
    gy_stream_run_session(stream);
    stream->eof = eof;
    gy_assert(stream->in.length <= GY_SHARE_INPUT_BYTES);
    *used = GY_SHARE_INPUT_BYTES - stream->in.length;
    if (stream->state == GY_STREAM_OPEN) {
        int error = gy_chain_move(&rest, &stream->in, rest.length);
        gy_assert(error == 0); /* whole slices need no link */
    }
    gy_chain_clear(&rest);
    return true;
}

/* Runs a stream until its input or the time is used up. Returns the time by then. */
static uint64_t run_stream(struct gy_stream *stream, uint64_t until_ns)
{
    uint64_t now_ns;
    bool more;
    gy_assert(stream->state == GY_STREAM_OPEN);
    if (stream->layer != NULL && !gy_stream_run_layer(stream)) {
        return clock_ns();
    }
    do {
        uint32_t used = 0;
        more = run_piece(stream, &used);
        if (more && stream->state == GY_STREAM_OPEN && used == 0) {
            gy_stream_run_session(stream); /* it takes more than a piece to go on */
            more = false;
        }
        more = more && stream->state == GY_STREAM_OPEN && stream->in.length > 0 &&
               stream->waiting != GY_STREAM_WAITS_FOR_MEMORY;
        now_ns = clock_ns();
    } while (more && now_ns < until_ns);
    gy_stream_settle(stream);
    if (more) {
        gy_stream_wake(stream);
    }
    return now_ns;
}

void gy_share_run(struct gy_worker *worker, struct gy_stream *head)
{
    uint64_t now_ns = clock_ns();
    uint64_t end_ns = now_ns + GY_SHARE_SLICE_NS;
    while (head != NULL) {
        struct gy_stream *stream = head;
        struct gy_endpoint *endpoint = stream->endpoint;
        head = stream->next_ready;
        stream->ready = false;
        if (stream->state != GY_STREAM_OPEN) {
            continue;
        }
        begin_turn(endpoint);
        if (now_ns >= end_ns && endpoint->spent_ns >= GY_SHARE_LEAST_NS) {
            gy_worker_ready(worker, stream);
            gy_count(&worker->counters.put_off, 1);
            continue;
        }
        uint64_t until_ns = now_ns < end_ns ? end_ns : now_ns + GY_SHARE_LEAST_NS;
        uint64_t began_ns = now_ns;
        now_ns = run_stream(stream, until_ns);
        endpoint->spent_ns += now_ns - began_ns;
    }
}

/* ---- sends ---- */

bool gy_share_defers_send(struct gy_endpoint *endpoint, uint32_t bytes)
{
    struct gy_worker *worker = endpoint->worker;
    begin_turn(endpoint);
    if (worker->turn_sent_bytes >= GY_SHARE_SEND_BYTES &&
        endpoint->sent_bytes >= GY_SHARE_SEND_LEAST_BYTES) {
        gy_count(&worker->counters.put_off, 1);
        return true;
    }
    worker->turn_sent_bytes += bytes;
    endpoint->sent_bytes += bytes;
    return false;
}

/* ---- pools ---- */

/* Receives that ended for want of a buffer are armed again, as many in a turn as there are buffers
 * posted. */
void gy_share_resume(struct gy_worker *worker, struct gy_pool *pool,
                     const struct gy_stream_queue *starved)
{
    gy_pool_refill(pool);
    if (!gy_pool_ready(pool)) {
        gy_evict_stalled(worker); /* what they sent and nobody answers holds the buffers */
        return;
    }
    uint32_t room = gy_pool_options(pool)->posted;
    for (struct gy_stream *stream; room > 0 && (stream = TAILQ_FIRST(starved)) != NULL; room--) {
        gy_stream_stop_waiting(stream);
        gy_stream_flush_later(stream);
    }
}

void gy_share_end(struct gy_worker *worker)
{
    struct gy_counters *counters = &worker->counters;
    uint64_t posted = gy_pool_posted(worker->pool);
    worker->others_starved = false;
    worker->turn_sent_bytes = 0;
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        const struct gy_listener *listener = &worker->listeners[i];
        if (listener->pool == NULL) {
            continue;
        }
        if (!TAILQ_EMPTY(&listener->starved)) {
            gy_share_resume(worker, listener->pool, &listener->starved);
            worker->others_starved |= !TAILQ_EMPTY(&listener->starved);
        } else {
            gy_pool_refill(listener->pool);
        }
        posted += gy_pool_posted(listener->pool);
        gy_gauge_lower(&counters->buffers_free_min, gy_pool_free(listener->pool));
    }
    gy_gauge_set(&counters->buffers_posted, posted);
}
