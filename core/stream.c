/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/address.h"
#include "core/endpoint.h"
#include "core/keep.h"
#include "core/stream_internal.h"
#include "core/worker.h"

const char *gy_close_reason_text(enum gy_close_reason reason)
{
    static const char *const texts[] = {
#define GY_CLOSE_REASON_TEXT(name, member, text) text,
        GY_CLOSE_REASONS(GY_CLOSE_REASON_TEXT)
#undef GY_CLOSE_REASON_TEXT
    };
    gy_assert((size_t)reason < sizeof texts / sizeof texts[0]);
    return texts[reason];
}

static void count_closed(struct gy_stream *stream)
{
    struct gy_counters *counters = &stream->worker->counters;
    switch ((enum gy_close_reason)stream->reason) {
#define GY_CLOSE_REASON_COUNT(name, member, text)                                                  \
    case GY_CLOSE_##name:                                                                          \
        gy_count(&counters->closed_##member, 1);                                                   \
        break;
        GY_CLOSE_REASONS(GY_CLOSE_REASON_COUNT)
#undef GY_CLOSE_REASON_COUNT
    }
}

/* ---- lists ---- */

void gy_stream_wake(struct gy_stream *stream)
{
    if (stream->state == GY_STREAM_OPEN && !stream->ready) {
        gy_worker_ready(stream->worker, stream);
    }
}

void gy_stream_flush_later(struct gy_stream *stream)
{
    if (stream->flush) {
        return;
    }
    struct gy_worker *worker = stream->worker;
    stream->flush = true;
    stream->next_flush = NULL;
    if (worker->flush_head == NULL) {
        worker->flush_head = stream;
    } else {
        worker->flush_tail->next_flush = stream;
    }
    worker->flush_tail = stream;
}

static struct gy_stream_queue *waiting_queue(struct gy_stream *stream)
{
    switch ((enum gy_stream_waiting)stream->waiting) {
    case GY_STREAM_WAITS_FOR_BUFFERS:
        return stream->endpoint->starved;
    case GY_STREAM_WAITS_FOR_QUOTA:
        return &stream->endpoint->quota.waiting;
    case GY_STREAM_WAITS_FOR_MEMORY:
        return &stream->worker->retrying;
    case GY_STREAM_WAITS_FOR_NOTHING:
        break;
    }
    return NULL;
}

void gy_stream_stop_waiting(struct gy_stream *stream)
{
    struct gy_stream_queue *queue = waiting_queue(stream);
    if (queue != NULL) {
        TAILQ_REMOVE(queue, stream, wait_entry);
        stream->waiting = GY_STREAM_WAITS_FOR_NOTHING;
    }
}

/* Waiting for memory comes first: it ends in a turn of the session, and after that the stream looks
 * again at what it may receive. */
void gy_stream_wait(struct gy_stream *stream, enum gy_stream_waiting reason)
{
    if (stream->waiting == reason || stream->waiting == GY_STREAM_WAITS_FOR_MEMORY) {
        return;
    }
    gy_stream_stop_waiting(stream);
    stream->waiting = (uint8_t)reason;
    TAILQ_INSERT_TAIL(waiting_queue(stream), stream, wait_entry);
}

/* ---- the quota of kept bytes ---- */

/* Whether the server has used its quota up, and this stream has a part in it. */
bool gy_stream_over_quota(const struct gy_stream *stream)
{
    const struct gy_quota *quota = &stream->endpoint->quota;
    return quota->used_bytes > quota->limit_bytes && gy_stream_unread(stream) > 0;
}

/* Those who wait go on as soon as the quota is kept, not at some mark below it: what is left may be
 * the shares of those very streams, each waiting for the rest of a message. */
static void quota_charge(struct gy_stream *stream, uint32_t bytes)
{
    struct gy_quota *quota = &stream->endpoint->quota;
    gy_assert(quota->used_bytes >= stream->charged_bytes);
    quota->used_bytes = quota->used_bytes - stream->charged_bytes + bytes;
    stream->charged_bytes = bytes;
    if (quota->used_bytes <= quota->limit_bytes) {
        for (struct gy_stream *waiting; (waiting = TAILQ_FIRST(&quota->waiting)) != NULL;) {
            gy_stream_stop_waiting(waiting);
            gy_stream_flush_later(waiting);
        }
    }
}

/* ---- opening and ending ---- */

/* A stream on `descriptor`, with a session, in no list; NULL at a bound. */
static struct gy_stream *stream_make(struct gy_endpoint *endpoint, int descriptor)
{
    gy_assert(descriptor >= 0);
    struct gy_worker *worker = endpoint->worker;
    struct gy_stream *stream = gy_slab_take(&worker->streams);
    if (stream == NULL) {
        return NULL;
    }
    void *session = gy_slab_take(&endpoint->sessions);
    if (session == NULL) {
        gy_slab_give(&worker->streams, stream);
        return NULL;
    }
    uint32_t slot = gy_slab_index(&worker->streams, stream);
    uint32_t generation = ++worker->generations[slot];
    gy_assert(generation & 1);
    *stream = (struct gy_stream){
        .worker = worker,
        .endpoint = endpoint,
        .session = session,
        .descriptor = descriptor,
        .slot = slot,
        .generation = generation,
        .state = GY_STREAM_OPEN,
        .was_empty = true,
    };
    gy_chain_init(&stream->in, &worker->links);
    gy_chain_init(&stream->out, &worker->links);
    gy_timer_init(&stream->timer, gy_stream_timer_fired);
    worker->streams_open++;
    gy_endpoint_count(endpoint, 1);
    gy_gauge_set(&worker->counters.connections_open, worker->streams_open);
    return stream;
}

static void stream_begin(struct gy_stream *stream)
{
    gy_stream_apply(stream, stream->endpoint->ops->open(stream));
    gy_stream_settle(stream);
    gy_stream_flush_later(stream);
}

/* Takes back what stream_make gave; the descriptor stays open. */
static void stream_unmake(struct gy_stream *stream)
{
    struct gy_worker *worker = stream->worker;
    struct gy_endpoint *endpoint = stream->endpoint;
    gy_slab_give(&endpoint->sessions, stream->session);
    worker->generations[stream->slot]++;
    gy_slab_give(&worker->streams, stream);
    gy_assert(worker->streams_open > 0 && endpoint->connections > 0);
    worker->streams_open--;
    gy_endpoint_count(endpoint, -1);
    gy_gauge_set(&worker->counters.connections_open, worker->streams_open);
}

struct gy_stream *gy_stream_open(struct gy_endpoint *endpoint, int descriptor, uint32_t ticket)
{
    gy_assert(ticket == 0 || endpoint->left != NULL);
    struct gy_stream *stream = stream_make(endpoint, descriptor);
    if (stream == NULL) {
        return NULL;
    }
    stream->ticket = ticket;
    if (endpoint->layer != NULL && endpoint->layer->open(stream, false) != 0) {
        stream_unmake(stream);
        return NULL;
    }
    gy_count(&stream->worker->counters.connections_accepted, 1);
    if (stream->layer == NULL) {
        stream_begin(stream);
    } else {
        stream->fresh = true;
        stream->silent = true;
        gy_stream_begin_handshake(stream);
        gy_stream_flush_later(stream);
    }
    return stream;
}

struct gy_stream *gy_stream_dial(struct gy_endpoint *endpoint, const struct gy_address *peer,
                                 uint32_t timeout_ms, struct gy_error *error)
{
    return gy_stream_dial_from(endpoint, peer, NULL, timeout_ms, error);
}

/* A socket for it; negative after a sentence. */
static int dial_socket(const struct gy_address *peer, const struct gy_address *local,
                       struct gy_error *error)
{
    char text[GY_ADDRESS_TEXT_BYTES];
    int one = 1;
    int descriptor = socket(peer->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        int errno_value = errno;
        gy_error_set(error, gy_error_from_errno(errno_value), "connecting to %s: no socket: %s%s",
                     gy_address_format(peer, text, sizeof text), strerror(errno_value),
                     errno_value == EMFILE ? "; raise the limit on open files (`ulimit -n`)" : "");
        return -1;
    }
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (local == NULL) {
        return descriptor;
    }
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* The port is chosen as it connects, when only the pair of addresses has to be free. */
    int later = gy_address_port(local) == 0;
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &later, sizeof later);
    if (bind(descriptor, &local->any, local->length) != 0) {
        int errno_value = errno;
        close(descriptor);
        gy_error_set(error, gy_error_from_errno(errno_value), "connecting from %s: %s",
                     gy_address_format(local, text, sizeof text), strerror(errno_value));
        return -1;
    }
    return descriptor;
}

struct gy_stream *gy_stream_dial_from(struct gy_endpoint *endpoint, const struct gy_address *peer,
                                      const struct gy_address *local, uint32_t timeout_ms,
                                      struct gy_error *error)
{
    struct gy_worker *worker = endpoint->worker;
    char text[GY_ADDRESS_TEXT_BYTES];
    if (!gy_endpoint_has_room(endpoint)) {
        gy_error_set(error, GY_ELIMIT,
                     "connecting to %s: %u connections are open, which is the limit",
                     gy_address_format(peer, text, sizeof text), endpoint->connections);
        return NULL;
    }
    int descriptor = dial_socket(peer, local, error);
    if (descriptor < 0) {
        return NULL;
    }
    struct gy_stream *stream = stream_make(endpoint, descriptor);
    if (stream == NULL) {
        close(descriptor);
        gy_error_set(error, GY_ELIMIT, "connecting to %s: this worker has no slot left",
                     gy_address_format(peer, text, sizeof text));
        return NULL;
    }
    stream->state = GY_STREAM_DIALLING;
    if (endpoint->layer != NULL && endpoint->layer->open(stream, true) != 0) {
        stream_unmake(stream);
        close(descriptor);
        gy_error_set(error, GY_ELIMIT, "connecting to %s: no memory for a secure connection",
                     gy_address_format(peer, text, sizeof text));
        return NULL;
    }
    gy_count(&worker->counters.connections_dialled, 1);
    if (gy_ring_connect(worker->ring, gy_stream_token(stream, GY_OPERATION_CONNECT), descriptor,
                        &peer->any, peer->length) == 0) {
        stream->connecting = true;
        gy_stream_set_core_deadline(stream, timeout_ms);
    } else {
        stream->error = ENOBUFS;
        gy_stream_abort(stream, GY_CLOSE_UNREACHED);
    }
    return stream;
}

/* Nothing is in flight any more: the descriptor can be closed, and no completion will name this
 * generation. */
void gy_stream_free(struct gy_stream *stream)
{
    struct gy_worker *worker = stream->worker;
    gy_assert(!stream->receiving && !stream->sending && stream->cancelling == GY_OPERATION_NONE &&
              !stream->connecting);
    gy_assert(!stream->ready && !stream->flush);
    gy_stream_stop_waiting(stream);
    if (stream->in_flood) {
        gy_flood_leave(stream);
    }
    gy_timer_disarm(&worker->wheel, &stream->timer);
    if (!stream->silent) {
        stream->endpoint->ops->closed(stream, (enum gy_close_reason)stream->reason);
    }
    gy_chain_clear(&stream->in);
    gy_chain_clear(&stream->out);
    struct gy_layer *layer = stream->layer;
    if (layer != NULL) {
        gy_chain_clear(&layer->in);
        gy_chain_clear(&layer->out);
        layer->ops->close(stream);
        gy_assert(stream->layer == NULL);
    }
    quota_charge(stream, 0);
    count_closed(stream);
    if (stream->ticket != 0) {
        stream->endpoint->left(stream->endpoint, stream->ticket);
    }
    gy_worker_close_descriptor(worker, stream->descriptor);
    stream_unmake(stream);
}

void gy_stream_begin_closing(struct gy_stream *stream)
{
    stream->state = GY_STREAM_CLOSING;
    gy_stream_stop_waiting(stream);
}

void gy_stream_abort(struct gy_stream *stream, enum gy_close_reason reason)
{
    if (stream->state == GY_STREAM_CLOSING) {
        return;
    }
    if (stream->state == GY_STREAM_OPEN || stream->state == GY_STREAM_DIALLING) {
        stream->reason = (uint8_t)reason;
    }
    gy_stream_begin_closing(stream);
    gy_stream_flush_later(stream);
}

void gy_stream_apply(struct gy_stream *stream, uint32_t wants)
{
    if (stream->state != GY_STREAM_OPEN) {
        return;
    }
    stream->wants = wants;
    if (wants & GY_WANT_CLOSE) {
        stream->state = GY_STREAM_FLUSHING;
        stream->deadline_ms = 0;
        stream->reason = stream->draining ? GY_CLOSE_DRAIN
                         : stream->eof    ? GY_CLOSE_PEER
                                          : GY_CLOSE_LOCAL;
        gy_stream_stop_waiting(stream);
        gy_chain_clear(gy_stream_wire_in(stream));
        gy_chain_clear(&stream->in); /* nobody reads it, and a slow peer may take the answer */
    } else if (wants & GY_WANT_RETRY) {
        gy_stream_wait(stream, GY_STREAM_WAITS_FOR_MEMORY);
    }
}

void gy_stream_drain(struct gy_stream *stream)
{
    if (stream->state == GY_STREAM_OPEN && stream->silent) {
        stream->draining = true; /* its handshake may end yet; its deadline is near */
    } else if (stream->state == GY_STREAM_OPEN && !stream->fresh && !stream->draining) {
        stream->draining = true;
        gy_stream_apply(stream, stream->endpoint->ops->drain(stream));
        stream->seen_bytes = stream->in.length;
        gy_stream_settle(stream);
    } else if (stream->state == GY_STREAM_DIALLING || stream->fresh) {
        gy_stream_abort(stream, GY_CLOSE_DRAIN);
    }
}

/* ---- running the session ---- */

/* While OPEN: whether more input is wanted. Between the marks a stream goes on with what it was
 * doing. */
bool gy_stream_wants_input(const struct gy_stream *stream)
{
    const struct gy_stream_limits *limits = &stream->endpoint->limits;
    uint32_t mark = stream->paused ? limits->receive_low_bytes + 1 : limits->receive_high_bytes;
    return !gy_stream_ended(stream) && (stream->wants & GY_WANT_READ) &&
           gy_stream_unread(stream) < mark && !gy_stream_over_quota(stream);
}

/* Accounts for what a session left in `in`, and sees to it that its wishes are looked at. */
void gy_stream_settle(struct gy_stream *stream)
{
    struct gy_chain *received = gy_stream_wire_in(stream);
    uint32_t unread = gy_stream_unread(stream);
    if (received->length > 0) {
        gy_keep_leftover(stream->endpoint, received);
    }
    if (unread != stream->charged_bytes) {
        quota_charge(stream, unread);
    }
    bool paused = unread >= stream->endpoint->limits.receive_high_bytes ||
                  (stream->paused && unread > stream->endpoint->limits.receive_low_bytes);
    if (paused && !stream->paused) {
        gy_count(&stream->worker->counters.paused_high_water, 1);
    }
    stream->paused = paused;
    if (gy_stream_unsent(stream) > 0 || stream->state != GY_STREAM_OPEN || !stream->receiving ||
        !gy_stream_wants_input(stream) || (stream->wants & GY_WANT_SHUTDOWN)) {
        gy_stream_flush_later(stream);
    }
    if ((stream->wants & GY_WANT_ROOM) && stream->out.length == 0) {
        gy_stream_wake(stream); /* there is room already, and no send's end to tell it */
    }
}

void gy_stream_fail_layer(struct gy_stream *stream)
{
    /* Who dialled is to hear of it at once. */
    gy_stream_apply(stream,
                    GY_WANT_CLOSE | (stream->fresh && !stream->silent ? 0 : GY_WANT_LINGER));
    stream->reason = GY_CLOSE_PROTOCOL;
    gy_chain_clear(&stream->out);
}

/* Handshakes are dear, so a turn has time for a few of their steps only; the others wait in a queue
 * for a later one. */
static bool may_shake_hands(struct gy_stream *stream)
{
    struct gy_worker *worker = stream->worker;
    if (stream->shakes) {
        stream->shakes = false;
        worker->handshakes_due--;
        return true;
    }
    if (worker->handshakes_left == 0 || worker->handshakes_head != NULL) {
        gy_worker_shake_later(worker, stream);
        return false;
    }
    worker->handshakes_left--;
    return true;
}

/* Whether the session is to run. */
bool gy_stream_run_layer(struct gy_stream *stream)
{
    struct gy_layer *layer = stream->layer;
    if (!layer->established && !may_shake_hands(stream)) {
        return false;
    }
    if (stream->waiting == GY_STREAM_WAITS_FOR_MEMORY) {
        gy_stream_stop_waiting(stream);
    }
    if (layer->ops->input(stream) != 0 && stream->state == GY_STREAM_OPEN) {
        gy_stream_wait(stream, GY_STREAM_WAITS_FOR_MEMORY);
    }
    if (layer->failed) {
        gy_stream_fail_layer(stream);
    } else if (layer->established) {
        return true;
    } else if (layer->eof) {
        gy_stream_abort(stream, GY_CLOSE_PEER);
    }
    gy_stream_settle(stream);
    return false;
}

/* What came with the end of the handshake is for `turn`; a drain that began meanwhile is told now;
 * and input that found no room is taken when the session has made some. */
static void after_layer(struct gy_stream *stream, bool fresh)
{
    const struct gy_stream_ops *ops = stream->endpoint->ops;
    if (fresh) {
        gy_stream_arm_timer(stream);
    }
    if (fresh && (stream->in.length > 0 || stream->eof)) {
        gy_stream_wake(stream);
    }
    if (fresh && stream->draining) {
        gy_stream_apply(stream, ops->drain(stream));
    }
    if (stream->layer->more && stream->in.length < stream->endpoint->limits.receive_high_bytes) {
        gy_stream_wake(stream);
    }
}

void gy_stream_run_session(struct gy_stream *stream)
{
    if (stream->waiting == GY_STREAM_WAITS_FOR_MEMORY && stream->layer == NULL) {
        gy_stream_stop_waiting(stream);
    }
    const struct gy_stream_ops *ops = stream->endpoint->ops;
    bool fresh = stream->fresh;
    stream->fresh = false;
    stream->silent = false;
    gy_stream_apply(stream, fresh ? ops->open(stream) : ops->turn(stream));
    stream->seen_bytes = stream->in.length;
    if (stream->layer != NULL && stream->state == GY_STREAM_OPEN) {
        after_layer(stream, fresh);
    }
}

/* It leaves the list of those to run before it goes. */
void gy_stream_run_ended(struct gy_stream *stream)
{
    gy_assert(stream->state != GY_STREAM_OPEN && !stream->ready);
    if (stream->shakes) {
        stream->shakes = false;
        stream->worker->handshakes_due--;
    }
    gy_stream_flush_later(stream);
}

void gy_stream_run(struct gy_stream *stream)
{
    if (stream->state != GY_STREAM_OPEN) {
        gy_stream_run_ended(stream);
        return;
    }
    if (stream->layer == NULL || gy_stream_run_layer(stream)) {
        gy_stream_run_session(stream);
        gy_stream_settle(stream);
    }
}
