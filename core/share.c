/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/share.h"

#include "core/clock.h"
#include "core/endpoint.h"
#include "core/evict.h"
#include "core/stream_internal.h"
#include "core/worker_internal.h"

/* What an endpoint has used is of this turn. */
void gy_share_at_work(struct gy_endpoint *endpoint)
{
    struct gy_worker *worker = endpoint->worker;
    uint64_t turn = gy_counter_read(&worker->counters.turns) + 1;
    if (endpoint->turn != turn) {
        if (worker->last_at_work != NULL && worker->last_at_work != endpoint &&
            worker->now_ms < worker->last_at_work_ms + GY_SHARE_CROWD_MS) {
            worker->crowded_until_ms = worker->now_ms + GY_SHARE_CROWD_MS;
        }
        worker->last_at_work = endpoint;
        worker->last_at_work_ms = worker->now_ms;
        endpoint->turn = turn;
        endpoint->sent_bytes = 0;
        endpoint->closed = 0;
    }
}

/* Shows the session the first bytes of its input alone, always more than it has seen of it before.
 * What it left as it was not enough to go on is doubled, so that a session which looks at it anew
 * each time has no more than twice the work. False: all of it was shown, as there was no more, or
 * no link to cut it with. */
static bool run_piece(struct gy_stream *stream)
{
    struct gy_chain rest, piece;
    uint32_t seen = stream->seen_bytes;
    uint32_t bytes = seen + (seen > GY_SHARE_INPUT_BYTES ? seen : GY_SHARE_INPUT_BYTES);
    gy_chain_init(&piece, stream->in.links);
    if (stream->in.length <= bytes || gy_chain_move(&stream->in, &piece, bytes) != 0) {
        gy_stream_run_session(stream);
        return false;
    }
    bool eof = stream->eof;
    rest = stream->in;
    stream->in = piece;
    stream->eof = false; /* not yet */
    gy_stream_run_session(stream);
    stream->eof = eof;
    gy_assert(stream->in.length <= bytes);
    if (stream->state == GY_STREAM_OPEN) {
        int error = gy_chain_move(&rest, &stream->in, rest.length);
        gy_assert(error == 0); /* whole slices need no link */
    }
    gy_chain_clear(&rest);
    return true;
}

/* Whether more input would get the session on. One that waits for room, for memory or for anything
 * else is turned when it comes, and is to find the rest of its input unseen. */
static bool goes_on(const struct gy_stream *stream)
{
    return stream->state == GY_STREAM_OPEN && stream->in.length > 0 &&
           (stream->wants & (GY_WANT_READ | GY_WANT_ROOM)) == GY_WANT_READ &&
           stream->waiting != GY_STREAM_WAITS_FOR_MEMORY;
}

/* Runs a stream until its input or the time is used up. Returns the time by then. */
static uint64_t run_stream(struct gy_stream *stream, uint64_t until_ns)
{
    uint64_t now_ns;
    bool more;
    gy_assert(stream->state == GY_STREAM_OPEN);
    if (stream->layer != NULL && !gy_stream_run_layer(stream)) {
        return gy_clock_ns();
    }
    do {
        more = run_piece(stream) && goes_on(stream);
        now_ns = gy_clock_ns();
    } while (more && now_ns < until_ns);
    gy_stream_settle(stream);
    if (more && !stream->ready) {
        gy_stream_wake(stream);
        stream->endpoint->ready_left++; /* there may be time left for it in this turn */
    }
    return now_ns;
}

void gy_share_ready(struct gy_stream *stream)
{
    struct gy_endpoint *endpoint = stream->endpoint;
    gy_assert(stream->ready && stream->next_ready == NULL);
    if (endpoint->ready_count++ == 0) {
        endpoint->ready_head = stream;
    } else {
        endpoint->ready_tail->next_ready = stream;
    }
    endpoint->ready_tail = stream;
    if (!endpoint->busy) {
        endpoint->busy = true;
        TAILQ_INSERT_TAIL(&stream->worker->busy, endpoint, busy_entry);
    }
}

static struct gy_stream *take_ready(struct gy_endpoint *endpoint)
{
    struct gy_stream *stream = endpoint->ready_head;
    gy_assert(stream->ready && endpoint->ready_count > 0 && endpoint->ready_left > 0);
    endpoint->ready_head = stream->next_ready;
    endpoint->ready_count--;
    endpoint->ready_left--;
    stream->ready = false;
    return stream;
}

/* Runs streams of the endpoint until the time is used up. Returns the time by then. */
static uint64_t run_endpoint(struct gy_endpoint *endpoint, uint64_t now_ns, uint64_t until_ns)
{
    uint32_t ended = 0;
    gy_share_at_work(endpoint);
    while (endpoint->ready_left > 0 && now_ns < until_ns && ended < GY_SHARE_ENDED_MAX) {
        struct gy_stream *stream = take_ready(endpoint);
        if (stream->state == GY_STREAM_OPEN) {
            now_ns = run_stream(stream, until_ns);
        } else {
            gy_stream_run_ended(stream);
            ended++;
        }
    }
    return now_ns;
}

void gy_share_run(struct gy_worker *worker)
{
    struct gy_endpoint *endpoint, *next;
    uint64_t now_ns = gy_clock_ns();
    uint64_t end_ns =
        now_ns + (gy_worker_is_crowded(worker) ? GY_SHARE_CROWD_SLICE_NS : GY_SHARE_SLICE_NS);
    TAILQ_FOREACH(endpoint, &worker->busy, busy_entry)
    {
        endpoint->ready_left = endpoint->ready_count;
    }
    if (TAILQ_NEXT(TAILQ_FIRST(&worker->busy), busy_entry) != NULL) {
        TAILQ_FOREACH(endpoint, &worker->busy, busy_entry)
        {
            now_ns = run_endpoint(endpoint, now_ns, now_ns + GY_SHARE_LEAST_NS);
        }
    }
    TAILQ_FOREACH(endpoint, &worker->busy, busy_entry)
    {
        now_ns = run_endpoint(endpoint, now_ns, end_ns);
    }
    endpoint = TAILQ_FIRST(&worker->busy); /* another comes first in the next turn */
    TAILQ_REMOVE(&worker->busy, endpoint, busy_entry);
    TAILQ_INSERT_TAIL(&worker->busy, endpoint, busy_entry);
    for (endpoint = TAILQ_FIRST(&worker->busy); endpoint != NULL; endpoint = next) {
        next = TAILQ_NEXT(endpoint, busy_entry);
        gy_count(&worker->counters.put_off, endpoint->ready_left);
        if (endpoint->ready_count == 0) {
            endpoint->busy = false;
            TAILQ_REMOVE(&worker->busy, endpoint, busy_entry);
        }
    }
}

/* ---- sends and receives ---- */

/* What the endpoint may still send in this turn whatever others do. */
static uint32_t least_left(const struct gy_endpoint *endpoint)
{
    return endpoint->sent_bytes < GY_SHARE_SEND_LEAST_BYTES
               ? GY_SHARE_SEND_LEAST_BYTES - (uint32_t)endpoint->sent_bytes
               : 0;
}

bool gy_share_is_crowded(struct gy_endpoint *endpoint)
{
    gy_share_at_work(endpoint);
    return gy_worker_is_crowded(endpoint->worker);
}

uint32_t gy_share_send(struct gy_endpoint *endpoint, uint32_t bytes)
{
    struct gy_worker *worker = endpoint->worker;
    gy_assert(bytes > 0);
    gy_share_at_work(endpoint);
    uint32_t left = worker->turn_sent_bytes < GY_SHARE_SEND_BYTES
                        ? GY_SHARE_SEND_BYTES - (uint32_t)worker->turn_sent_bytes
                        : 0;
    if (left < least_left(endpoint)) {
        left = least_left(endpoint);
    }
    if (left == 0) {
        gy_count(&worker->counters.put_off, 1);
        return 0;
    }
    if (bytes > left) {
        bytes = left;
    }
    worker->turn_sent_bytes += bytes;
    endpoint->sent_bytes += bytes;
    return bytes;
}

enum gy_share_receive gy_share_receive(struct gy_stream *stream)
{
    struct gy_worker *worker = stream->worker;
    if (stream->passed) {
        return GY_SHARE_RECEIVE_A_PART;
    }
    if (stream->was_empty || !gy_share_is_crowded(stream->endpoint)) {
        return GY_SHARE_RECEIVE_ALL;
    }
    if (stream->ready) {
        return GY_SHARE_RECEIVE_LATER;
    }
    if (worker->turn_received) {
        gy_count(&worker->counters.put_off, 1);
        gy_stream_flush_later(stream);
        return GY_SHARE_RECEIVE_LATER;
    }
    worker->turn_received = true;
    return GY_SHARE_RECEIVE_A_PART;
}

/* Whether what the stream has to send comes after what others have. */
static bool yields(const struct gy_stream *stream)
{
    if (gy_stream_awaits_peer(stream) || gy_stream_unsent(stream) == 0) {
        return false;
    }
    gy_share_at_work(stream->endpoint);
    return gy_stream_unsent(stream) > least_left(stream->endpoint);
}

void gy_share_flush(struct gy_worker *worker, struct gy_stream *head)
{
    struct gy_stream *later = NULL, **last = &later;
    gy_assert(worker->flush_head == NULL);
    while (head != NULL) {
        struct gy_stream *stream = head;
        head = stream->next_flush;
        if (yields(stream)) {
            stream->next_flush = NULL;
            *last = stream;
            last = &stream->next_flush;
            continue;
        }
        stream->flush = false;
        gy_stream_progress(stream);
    }
    while (later != NULL) {
        struct gy_stream *stream = later;
        later = stream->next_flush;
        stream->flush = false;
        gy_stream_progress(stream);
    }
}

/* ---- ends ---- */

bool gy_share_closes_later(struct gy_stream *stream)
{
    struct gy_endpoint *endpoint = stream->endpoint;
    gy_assert(stream->state == GY_STREAM_CLOSING && !stream->flush && !stream->ready);
    if (!gy_share_is_crowded(endpoint)) {
        return false;
    }
    if (endpoint->closed < GY_SHARE_CLOSED_MAX && endpoint->closing_head == NULL) {
        endpoint->closed++;
        return false;
    }
    stream->flush = true; /* in a list of its own, of which nothing but its turn takes it */
    stream->next_flush = NULL;
    if (endpoint->closing_head == NULL) {
        endpoint->closing_head = stream;
        TAILQ_INSERT_TAIL(&stream->worker->closing, endpoint, closing_entry);
    } else {
        endpoint->closing_tail->next_flush = stream;
    }
    endpoint->closing_tail = stream;
    gy_count(&stream->worker->counters.closings_put_off, 1);
    return true;
}

void gy_share_close(struct gy_worker *worker)
{
    struct gy_endpoint *endpoint, *next;
    for (endpoint = TAILQ_FIRST(&worker->closing); endpoint != NULL; endpoint = next) {
        next = TAILQ_NEXT(endpoint, closing_entry);
        gy_share_at_work(endpoint);
        while (endpoint->closing_head != NULL && endpoint->closed < GY_SHARE_CLOSED_MAX) {
            struct gy_stream *stream = endpoint->closing_head;
            endpoint->closing_head = stream->next_flush;
            endpoint->closed++;
            stream->flush = false;
            gy_stream_free(stream);
        }
        if (endpoint->closing_head == NULL) {
            TAILQ_REMOVE(&worker->closing, endpoint, closing_entry);
        }
    }
}

/* Most timers that come due are of deadlines that were moved meanwhile, and cost nothing. */
void gy_share_advance(struct gy_worker *worker, uint32_t budget)
{
    worker->expired = 0;
    for (uint32_t used = 0; used < budget; used += GY_SHARE_EXPIRED_MAX) {
        if (!gy_wheel_advance(&worker->wheel, worker->now_ms, GY_SHARE_EXPIRED_MAX)) {
            return;
        }
        if (worker->expired >= GY_SHARE_EXPIRED_MAX) {
            gy_count(&worker->counters.expiries_put_off, 1);
            return;
        }
    }
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
    worker->turn_received = false;
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        struct gy_listener *listener = &worker->listeners[i];
        gy_flood_judge(&listener->endpoint);
        gy_listener_arm(listener); /* behind the turn's sends: the kernel begins with accepting */
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
