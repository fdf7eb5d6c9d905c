/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/worker.h"

#include <string.h>
#include <unistd.h>

#include "core/evict.h"
#include "core/log.h"
#include "core/share.h"
#include "core/worker_internal.h"

#define TIMERS_PER_TURN      4096
#define RETRY_MS             10
#define NANOSECONDS_PER_MS   1000000u
#define HANDSHAKES_LOOKED_AT 256 /* in a turn: those that have ended meanwhile are let go */
#define LINKS_SPARE          64  /* with fewer, sessions may be waiting for links */

int gy_worker_serve(struct gy_worker *worker, const struct gy_server *server,
                    struct gy_error *error)
{
    if (server->datagrams != NULL) {
        return gy_datagram_serve(worker, server, error);
    }
    if (worker->listener_count == GY_LISTENERS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "adding a listener for %s: a worker has at most %d",
                            server->name, GY_LISTENERS_MAX);
    }
    uint32_t slot = worker->listener_count;
    int code = gy_listener_open(&worker->listeners[slot], worker, server, slot, error);
    if (code == 0) {
        worker->listener_count++;
        gy_listener_arm(&worker->listeners[slot]);
    }
    return code;
}

/* ---- messages of core's own ---- */

void gy_worker_take(struct gy_worker *worker, const struct gy_message *message)
{
    switch (message->kind) {
    case GY_MESSAGE_DRAIN:
        gy_worker_drain(worker, message->numbers[0], message->numbers[1] != 0);
        break;
    case GY_MESSAGE_STOP:
        worker->phase = GY_WORKER_STOPPED;
        break;
    case GY_MESSAGE_CALL:
        gy_worker_called(worker, message);
        break;
    default:
        gy_assert(message->kind >= GY_MESSAGE_USER && worker->on_message != NULL);
        worker->on_message(worker, message);
        break;
    }
}

/* ---- completions ---- */

/* What a completion names is gone: give back what it carries. */
static void drop_stale(struct gy_worker *worker, const struct gy_completion *completion)
{
    gy_count(&worker->counters.completions_stale, 1);
    enum gy_operation operation = gy_token_operation(completion->token);
    if (operation == GY_OPERATION_RECEIVE && !worker->options.shares) {
        struct gy_chain chain; /* with several pools nobody knows whose buffer it has */
        gy_chain_init(&chain, &worker->links);
        gy_pool_take(worker->pool, completion, &chain);
        gy_chain_clear(&chain);
    } else if (operation == GY_OPERATION_ACCEPT && completion->result >= 0) {
        gy_worker_close_descriptor(worker, completion->result);
    }
}

static void dispatch_stream(struct gy_worker *worker, const struct gy_completion *completion)
{
    struct gy_stream *stream = gy_worker_stream(worker, completion->token);
    switch (gy_token_operation(completion->token)) {
    case GY_OPERATION_RECEIVE:
        if (stream != NULL && stream->receiving) {
            gy_stream_received(stream, completion);
            return;
        }
        break;
    case GY_OPERATION_SEND:
        if (stream != NULL && stream->sending) {
            gy_stream_sent(stream, completion);
            return;
        }
        break;
    case GY_OPERATION_CONNECT:
        if (stream != NULL && stream->connecting) {
            gy_stream_connected(stream, completion);
            return;
        }
        break;
    case GY_OPERATION_CANCEL:
        if (stream != NULL && stream->cancelling != GY_OPERATION_NONE) {
            gy_stream_cancelled(stream, completion);
            return;
        }
        break;
    default:
        gy_assert(false);
    }
    drop_stale(worker, completion);
}

void gy_worker_dispatch(struct gy_worker *worker, const struct gy_completion *completion)
{
    uint32_t slot = gy_token_slot(completion->token);
    switch (gy_token_operation(completion->token)) {
    case GY_OPERATION_CONNECT:
    case GY_OPERATION_RECEIVE:
    case GY_OPERATION_SEND:
    case GY_OPERATION_CANCEL:
        dispatch_stream(worker, completion);
        break;
    case GY_OPERATION_ACCEPT:
        if (slot < worker->listener_count && worker->listeners[slot].armed > 0) {
            gy_listener_accepted(&worker->listeners[slot], completion);
        } else {
            drop_stale(worker, completion);
        }
        break;
    case GY_OPERATION_CLOSE:
        if (completion->result < 0) {
            gy_log_limited(GY_LOG_WARN, "worker", "closing a descriptor: %s",
                           strerror(-completion->result));
        }
        break;
    case GY_OPERATION_RUNG:
        if (completion->result < 0 && slot < worker->options.workers) {
            gy_worker_ring_by_eventfd(
                worker->peers[slot]); /* its completion queue is full, or it is not ready */
        }
        break;
    case GY_OPERATION_WAKE:
        worker->wake_armed = false;
        break;
    case GY_OPERATION_FILE:
        if (!gy_file_completed(worker, completion)) {
            drop_stale(worker, completion);
        }
        break;
    case GY_OPERATION_DATAGRAM_RECEIVE:
    case GY_OPERATION_DATAGRAM_SEND:
    case GY_OPERATION_DATAGRAM_WRITABLE:
    case GY_OPERATION_DATAGRAM_CANCEL:
        if (!gy_datagram_completed(worker, completion)) {
            drop_stale(worker, completion);
        }
        break;
    case GY_OPERATION_FLOOD:
        if (!gy_flood_polled(worker, slot)) {
            drop_stale(worker, completion);
        }
        break;
    case GY_OPERATION_MESSAGE: /* waking was all it was for */
    case GY_OPERATION_NONE:
        break;
    case GY_OPERATION_COUNT:
    default:
        drop_stale(worker, completion);
        break;
    }
}

void gy_worker_close_descriptor(struct gy_worker *worker, int descriptor)
{
    if (gy_ring_close_descriptor(worker->ring, gy_token(GY_OPERATION_CLOSE, 0, 0), descriptor) !=
        0) {
        close(descriptor);
    }
}

/* ---- lists ---- */

void gy_worker_ready(struct gy_worker *worker, struct gy_stream *stream)
{
    gy_assert(!stream->ready);
    stream->ready = true;
    stream->next_ready = NULL;
    if (worker->options.shares) {
        gy_share_ready(stream);
        return;
    }
    if (worker->ready_head == NULL) {
        worker->ready_head = stream;
    } else {
        worker->ready_tail->next_ready = stream;
    }
    worker->ready_tail = stream;
}

void gy_worker_shake_later(struct gy_worker *worker, struct gy_stream *stream)
{
    gy_assert(!stream->ready && !stream->shakes);
    stream->ready = true;
    stream->next_ready = NULL;
    if (worker->handshakes_head == NULL) {
        worker->handshakes_head = stream;
    } else {
        worker->handshakes_tail->next_ready = stream;
    }
    worker->handshakes_tail = stream;
}

/* The first of those that wait have the turn's steps. Apart: in most turns nobody waits. */
static __attribute__((noinline)) void give_handshakes(struct gy_worker *worker)
{
    for (uint32_t n = 0;
         n < HANDSHAKES_LOOKED_AT && worker->handshakes_left > 0 && worker->handshakes_head != NULL;
         n++) {
        struct gy_stream *stream = worker->handshakes_head;
        worker->handshakes_head = stream->next_ready;
        stream->ready = false;
        if (stream->state != GY_STREAM_OPEN) {
            gy_stream_run_ended(stream);
            continue;
        }
        stream->shakes = true;
        worker->handshakes_left--;
        worker->handshakes_due++;
        gy_worker_ready(worker, stream);
    }
}

/* Sessions that are woken while others run wait for the next turn: one that wakes itself cannot
 * hold the worker up. */
struct gy_stream *gy_worker_next_ready(const struct gy_stream *running)
{
    const struct gy_endpoint *endpoint = running->endpoint;
    if (!running->worker->options.shares) {
        return running->worker->ready_next;
    }
    return endpoint->ready_count > 0 ? endpoint->ready_head : NULL;
}

static void run_ready(struct gy_worker *worker)
{
    struct gy_stream *stream = worker->ready_head;
    worker->ready_head = NULL;
    if (!TAILQ_EMPTY(&worker->busy)) {
        gy_share_run(worker);
    }
    while (stream != NULL) {
        struct gy_stream *next = stream->next_ready;
        worker->ready_next = next;
        stream->ready = false;
        gy_stream_run(stream);
        stream = next;
    }
}

static void flush(struct gy_worker *worker)
{
    if (gy_ring_queued(worker->ring) == 0) {
        worker->vectors_used = 0;
        worker->messages_used = 0;
    }
    struct gy_stream *stream = worker->flush_head;
    worker->flush_head = NULL;
    worker->turn_long_bytes = 0;
    if (worker->options.shares) {
        gy_share_flush(worker, stream);
        return;
    }
    while (stream != NULL) {
        struct gy_stream *next = stream->next_flush;
        stream->flush = false;
        gy_stream_progress(stream);
        stream = next;
    }
}

/* Whether the slab has no more than a few items: a session that needs several at once gives up
 * before there is none. */
static bool is_used_up(const struct gy_slab *slab, uint32_t spare)
{
    return slab->capacity - slab->used < spare;
}

/* Sessions that found a bounded pool empty are asked again. */
static void resume_retrying(struct gy_worker *worker)
{
    if (!TAILQ_EMPTY(&worker->retrying) &&
        (is_used_up(&worker->blocks, 1) || is_used_up(&worker->links, LINKS_SPARE))) {
        if (gy_evict_stalled(worker) == 0) {
            gy_evict_held(worker);
        }
    }
    for (struct gy_stream *stream; (stream = TAILQ_FIRST(&worker->retrying)) != NULL;) {
        gy_stream_stop_waiting(stream);
        gy_stream_wake(stream);
        gy_stream_flush_later(stream);
    }
}

/* ---- the turn ---- */

/* Whether there is something to do that no completion announces. */
static bool must_not_sleep(const struct gy_worker *worker)
{
    if (worker->ready_head != NULL || worker->handshakes_head != NULL ||
        !TAILQ_EMPTY(&worker->busy) || !TAILQ_EMPTY(&worker->closing) ||
        worker->flush_head != NULL || !worker->wake_armed || gy_datagrams_busy(worker) ||
        (worker->flood_waiting > 0 && gy_flood_presses(worker))) {
        return true;
    }
    if (!TAILQ_EMPTY(&worker->starved) && gy_pool_free(worker->pool) > 0) {
        return true; /* buffers came back as streams were flushed */
    }
    for (uint32_t i = 0; worker->phase != GY_WORKER_SERVING && i < worker->listener_count; i++) {
        if (worker->listeners[i].armed > 0 && !worker->listeners[i].cancelled) {
            return true; /* the ring had no room for the cancel */
        }
    }
    return false;
}

static uint64_t wait_ns(struct gy_worker *worker, uint64_t timeout_ns)
{
    if (must_not_sleep(worker)) {
        return 0;
    }
    uint64_t next_ms = gy_wheel_next_ms(&worker->wheel);
    if (worker->phase == GY_WORKER_DRAINING && worker->drain_deadline_ms < next_ms) {
        next_ms = worker->drain_deadline_ms;
    }
    if (!TAILQ_EMPTY(&worker->retrying) && worker->now_ms + RETRY_MS < next_ms) {
        next_ms = worker->now_ms + RETRY_MS;
    }
    if ((!TAILQ_EMPTY(&worker->starved) || worker->others_starved) &&
        worker->now_ms + GY_EVICT_INTERVAL_MS < next_ms) {
        next_ms = worker->now_ms + GY_EVICT_INTERVAL_MS;
    }
    if (next_ms == UINT64_MAX) {
        return timeout_ns;
    }
    uint64_t until_ns =
        next_ms <= worker->now_ms ? 0 : (next_ms - worker->now_ms) * NANOSECONDS_PER_MS;
    return until_ns < timeout_ns ? until_ns : timeout_ns;
}

static int wait_for_completions(struct gy_worker *worker, uint64_t timeout_ns)
{
    uint64_t wait = wait_ns(worker, timeout_ns);
    if (wait == 0) {
        return gy_ring_wait(worker->ring, 0);
    }
    gy_bell_sleep(&worker->bell);
    int code = gy_ring_wait(worker->ring, gy_worker_mailboxes_empty(worker) ? wait : 0);
    gy_bell_wake(&worker->bell);
    return code;
}

int gy_worker_turn(struct gy_worker *worker, uint64_t timeout_ns)
{
    gy_worker_arm_wake(worker);
    int code = wait_for_completions(worker, timeout_ns);
    if (code != 0) {
        return code;
    }
    gy_worker_read_clock(worker);
    gy_assert(worker->handshakes_due <= GY_HANDSHAKES_PER_TURN);
    worker->handshakes_left = GY_HANDSHAKES_PER_TURN - worker->handshakes_due;
    if (worker->handshakes_head != NULL) {
        give_handshakes(worker);
    }
    code = gy_worker_reap(worker);
    if (code != 0) {
        return code;
    }
    gy_worker_read_mailboxes(worker);
    gy_worker_read_inlets(worker);
    gy_file_run(worker);
    resume_retrying(worker);
    gy_datagrams_run(worker);
    run_ready(worker);
    gy_share_advance(worker, TIMERS_PER_TURN);
    if (worker->phase == GY_WORKER_DRAINING) {
        gy_worker_drain_step(worker);
    }
    if (!TAILQ_EMPTY(&worker->starved)) {
        /* After the sessions, which are what gives buffers back. */
        gy_share_resume(worker, worker->pool, &worker->starved);
    }
    if (worker->flood_waiting > 0) {
        gy_flood_pass(worker);
    }
    if (!TAILQ_EMPTY(&worker->closing)) {
        gy_share_close(worker);
    }
    flush(worker);
    gy_datagrams_flush(worker);
    gy_worker_count(worker);
    if (worker->options.shares) {
        gy_share_end(worker);
    }
    return 0;
}

int gy_worker_run(struct gy_worker *worker)
{
    int code = 0;
    while (code == 0 && worker->phase != GY_WORKER_STOPPED) {
        code = gy_worker_turn(worker, GY_RING_FOREVER);
    }
    return code;
}

void gy_worker_count(struct gy_worker *worker)
{
    const struct gy_ring_counters *ring = gy_ring_counters(worker->ring);
    struct gy_counters *counters = &worker->counters;
    gy_count(&counters->turns, 1);
    gy_gauge_set(&counters->enters, ring->enters);
    gy_gauge_set(&counters->submissions, ring->submissions);
    gy_gauge_set(&counters->completions, ring->completions);
    gy_gauge_set(&counters->cq_overflows, ring->overflows);
    gy_count(&counters->copied_bytes, worker->bump.copied_bytes - worker->bump_counted);
    worker->bump_counted = worker->bump.copied_bytes;
    gy_gauge_set(&counters->buffers_posted, gy_pool_posted(worker->pool));
    gy_gauge_lower(&counters->buffers_free_min, gy_pool_free(worker->pool));
}
