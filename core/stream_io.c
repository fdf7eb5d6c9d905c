/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A stream and the ring: what completions say goes into the stream's state; at the end of the turn
 * the state says which operations follow. No session runs here. */

#include "core/stream.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/endpoint.h"
#include "core/file_range.h"
#include "core/share.h"
#include "core/stream_internal.h"
#include "core/worker.h"

/* ---- completions: into the stream's state; no session runs here ---- */

enum gy_close_reason gy_stream_reason_of(int errno_value)
{
    switch (errno_value) {
    case ETIMEDOUT: /* retransmission or keep-alive gave up */
    case EHOSTUNREACH:
    case ENETUNREACH:
        return GY_CLOSE_TIMEOUT;
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case EPIPE:
        return GY_CLOSE_RESET;
    default:
        return GY_CLOSE_ERROR;
    }
}

static void stream_receive_ended(struct gy_stream *stream, const struct gy_completion *completion)
{
    gy_stream_flush_later(stream);
    switch (-completion->result) {
    case ENOBUFS:
        gy_pool_starved(stream->endpoint->pool);
        gy_count(&stream->worker->counters.enobufs, 1);
        if (stream->state == GY_STREAM_OPEN || stream->state == GY_STREAM_LINGERING) {
            gy_stream_wait(stream, GY_STREAM_WAITS_FOR_BUFFERS);
        }
        break;
    case ECANCELED:
    case EINTR:
    case EAGAIN:
        break;
    default:
        if (stream->worker->options.shares) {
            gy_flood_received(stream); /* resets come in floods as bytes do */
        }
        gy_stream_abort(stream, gy_stream_reason_of(-completion->result));
        break;
    }
}

void gy_stream_connected(struct gy_stream *stream, const struct gy_completion *completion)
{
    gy_assert(stream->connecting);
    stream->connecting = false;
    gy_stream_flush_later(stream);
    if (stream->state != GY_STREAM_DIALLING) {
        return; /* given up meanwhile */
    }
    stream->core_deadline_ms = 0;
    if (completion->result < 0) {
        stream->error = -completion->result;
        gy_stream_abort(stream, GY_CLOSE_UNREACHED);
        return;
    }
    stream->state = GY_STREAM_OPEN;
    stream->fresh = true;
    if (stream->layer != NULL) {
        gy_stream_begin_handshake(stream);
    }
    gy_stream_arm_timer(stream);
    gy_stream_wake(stream);
}

/* Whether the receive goes on by itself, as the socket was not emptied: where the kernel does so at
 * once, the next completion of this reap takes it back. */
static void note_unfinished(struct gy_stream *stream, const struct gy_completion *completion)
{
    const uint32_t both = GY_COMPLETION_MORE | GY_COMPLETION_NONEMPTY;
    bool unfinished = completion->result > 0 && (completion->flags & both) == both;
    if (unfinished != stream->unfinished) {
        gy_assert(unfinished || stream->worker->unfinished > 0);
        stream->worker->unfinished += unfinished ? 1 : UINT32_MAX;
        stream->unfinished = unfinished;
    }
    stream->worker->goes_on |= unfinished;
}

void gy_stream_received(struct gy_stream *stream, const struct gy_completion *completion)
{
    struct gy_worker *worker = stream->worker;
    gy_assert(stream->receiving);
    int taken = gy_pool_take(stream->endpoint->pool, completion, gy_stream_wire_in(stream));
    stream->receiving = completion->flags & GY_COMPLETION_MORE;
    note_unfinished(stream, completion);
    if (taken < 0) {
        gy_stream_abort(stream, GY_CLOSE_ERROR);
        return;
    }
    if (completion->result < 0) {
        stream_receive_ended(stream, completion);
        return;
    }
    if (completion->result == 0 && stream->layer != NULL && stream->state == GY_STREAM_OPEN) {
        stream->layer->eof = true; /* the layer knows whether it was to be expected */
    } else if (completion->result == 0) {
        stream->eof = true;
    }
    stream->was_empty = !(completion->flags & GY_COMPLETION_NONEMPTY);
    if (!stream->receiving) {
        gy_stream_flush_later(stream);
    }
    gy_count(&worker->counters.received_bytes, (uint64_t)completion->result);
    if (worker->options.shares) {
        gy_flood_received(stream);
    }
    if (stream->state == GY_STREAM_OPEN) {
        gy_stream_wake(stream);
    } else {
        if (stream->state == GY_STREAM_LINGERING) {
            stream->dropped_bytes += gy_stream_wire_in(stream)->length;
        }
        gy_chain_clear(gy_stream_wire_in(stream));
        gy_stream_flush_later(stream);
    }
}

void gy_stream_took(struct gy_stream *stream, uint32_t bytes)
{
    gy_count(&stream->worker->counters.sent_bytes, bytes);
    gy_chain_consume(gy_stream_wire_out(stream), bytes);
    if (stream->room_looks > 0) {
        stream->room_looks = 0;
        stream->core_deadline_ms = 0; /* it was of waiting for room; what is next has its own */
    }
    if (gy_stream_unsent(stream) == 0) {
        stream->sends_long = false;
    }
    if ((stream->wants & GY_WANT_ROOM) &&
        stream->out.length <= stream->endpoint->limits.send_high_bytes / 2) {
        gy_stream_wake(stream);
    }
}

void gy_stream_sent(struct gy_stream *stream, const struct gy_completion *completion)
{
    struct gy_worker *worker = stream->worker;
    gy_assert(stream->sending);
    stream->sending = false;
    if (__builtin_expect(gy_stream_found_no_room(stream, completion), 0)) {
        stream->awaits = GY_STREAM_AWAITS_SEND;
        gy_stream_await_room_by_time(stream);
        return;
    }
    if (stream->state != GY_STREAM_LINGERING) {
        stream->core_deadline_ms = 0;
    }
    if (__builtin_expect(stream->awaits != GY_STREAM_AWAITS_SEND, 0)) {
        gy_stream_file_ready(stream, completion);
        return;
    }
    if (completion->result < 0) {
        int error = -completion->result;
        if (error != ECANCELED && error != EINTR && error != EAGAIN) {
            gy_stream_abort(stream, gy_stream_reason_of(error));
        }
        gy_stream_flush_later(stream);
        return;
    }
    uint32_t sent = (uint32_t)completion->result;
    gy_assert(sent <= stream->sending_bytes);
    if (sent < stream->sending_bytes) {
        gy_count(&worker->counters.short_sends, 1);
    }
    gy_stream_took(stream, sent);
    if (gy_stream_unsent(stream) > 0 || stream->state != GY_STREAM_OPEN ||
        (stream->wants & GY_WANT_SHUTDOWN)) {
        gy_stream_flush_later(stream);
    }
}

void gy_stream_cancelled(struct gy_stream *stream, const struct gy_completion *completion)
{
    gy_assert(stream->cancelling != GY_OPERATION_NONE);
    /* The operation's own completion tells what became of it. Where the cancel found none, which is
     * to say that it was just being started, it is asked for again. */
    if (completion->result <= 0) {
        stream->cancelled &= (uint8_t) ~(1u << stream->cancelling);
    }
    stream->cancelling = GY_OPERATION_NONE;
    gy_stream_flush_later(stream);
}

/* ---- doing what the state asks for ---- */

/* How much one send takes of output that is longer than GY_SEND_BYTES_MAX. What a layer made is
 * copies in memory of its own bound, which is to come back soon. */
static uint32_t long_send_bytes(const struct gy_stream *stream, uint32_t out_bytes)
{
    if (stream->layer != NULL) {
        return GY_SEND_BYTES_MAX;
    }
    return out_bytes <= GY_SEND_LONG_MAX_BYTES ? out_bytes : GY_SEND_LONG_BYTES;
}

/* Whether a send longer than GY_SEND_BYTES_MAX waits for the next turn; if not, it is counted. */
static bool defers_long_send(struct gy_worker *worker, uint32_t bytes)
{
    uint64_t most =
        worker->now_ms < worker->short_until_ms ? GY_TURN_LONG_BYTES : GY_TURN_LONG_ALONE_BYTES;
    if (worker->turn_long_bytes >= most) {
        gy_count(&worker->counters.put_off, 1);
        return true;
    }
    worker->turn_long_bytes += bytes;
    return false;
}

/* Whether a send of so many bytes of output, by a server that is alone at work, waits for the next
 * turn. What a long output leaves over is not short. */
static bool defers_send(struct gy_stream *stream, uint32_t bytes)
{
    if (__builtin_expect(bytes > GY_SEND_BYTES_MAX, 0)) {
        stream->sends_long = true;
        return defers_long_send(stream->worker, bytes);
    }
    if (!stream->sends_long) {
        stream->worker->short_until_ms = stream->worker->now_ms + GY_TURN_LONG_ALONE_MS;
    }
    return false;
}

/* A send that was let go as so long was that much shorter. */
static void give_time_back(struct gy_worker *worker, uint32_t most, uint32_t sent)
{
    if (most > GY_SEND_BYTES_MAX) {
        gy_assert(sent <= most && worker->turn_long_bytes >= most);
        worker->turn_long_bytes -= most - sent;
    }
}

/* A file follows what the message shows. False: they do not go together. */
static bool stream_send_with_file(struct gy_stream *stream, struct msghdr *message, uint32_t most)
{
    uint32_t bytes = stream->sending_bytes;
    uint32_t sent = gy_stream_send_before_file(stream, message, bytes, most - bytes);
    if (sent == 0) {
        return false;
    }
    if (sent == bytes) {
        sent += gy_stream_send_file(stream, most - bytes);
    } else {
        gy_stream_flush_later(stream); /* the socket is full: the ring waits with the next send */
    }
    give_time_back(stream->worker, most, sent);
    return true;
}

/* Queues a send of the front of `out`. Without room for it now (time, ring, vectors) the stream
 * stays on the flush list. */
static void stream_send(struct gy_stream *stream)
{
    struct gy_worker *worker = stream->worker;
    struct gy_chain *out = gy_stream_wire_out(stream);
    uint64_t token = gy_stream_token(stream, GY_OPERATION_SEND);
    uint32_t most = out->length;
    int error;
    bool crowded = worker->options.shares && gy_share_is_crowded(stream->endpoint);
    if (__builtin_expect(most > GY_SEND_BYTES_MAX, 0)) {
        most = crowded ? GY_SEND_BYTES_MAX : long_send_bytes(stream, most);
    }
    if (crowded ? (most = gy_share_send(stream->endpoint, most)) == 0 : defers_send(stream, most)) {
        gy_stream_flush_later(stream);
        return;
    }
    if (__builtin_expect(gy_slice_is_file(out->head->slice), 0)) {
        give_time_back(worker, most, gy_stream_send_file(stream, most));
        return;
    }
    if (out->head->slice.length >= most) {
        stream->sending_bytes = most;
        error = gy_ring_send(worker->ring, token, stream->descriptor,
                             gy_slice_data(out->head->slice), most);
    } else {
        struct iovec *vectors = worker->vectors + worker->vectors_used;
        uint32_t room = GY_TURN_VECTORS - worker->vectors_used;
        if (room < GY_SEND_VECTORS_MAX || worker->messages_used == GY_TURN_MESSAGES) {
            gy_stream_flush_later(stream);
            return;
        }
        uint32_t count =
            gy_chain_vectors(out, vectors, GY_SEND_VECTORS_MAX, most, &stream->sending_bytes);
        struct msghdr *message = &worker->messages[worker->messages_used];
        *message = (struct msghdr){.msg_iov = vectors, .msg_iovlen = count};
        if (__builtin_expect(stream->sending_bytes < most && count < GY_SEND_VECTORS_MAX, 0) &&
            stream_send_with_file(stream, message, most)) {
            return;
        }
        error = gy_ring_send_message(worker->ring, token, stream->descriptor, message);
        if (error == 0) {
            worker->vectors_used += count;
            worker->messages_used++;
        }
    }
    if (error != 0) {
        gy_stream_flush_later(stream);
        return;
    }
    stream->sending = true;
    stream->cancelled &= (uint8_t) ~(1u << GY_OPERATION_SEND);
    gy_stream_set_send_deadline(stream);
}

/* Arms a receive, once for so many bytes, or (0) to go on as the pool's mode is. */
static int arm_receive(struct gy_stream *stream, uint32_t bytes)
{
    const struct gy_pool_options *pool = gy_pool_options(stream->endpoint->pool);
    uint64_t token = gy_stream_token(stream, GY_OPERATION_RECEIVE);
    if (bytes > 0) {
        return gy_ring_receive_once(stream->worker->ring, token, stream->descriptor, pool->group,
                                    bytes);
    }
    return gy_ring_receive(stream->worker->ring, token, stream->descriptor, pool->group, pool->mode,
                           stream->was_empty);
}

static void stream_receive(struct gy_stream *stream)
{
    struct gy_worker *worker = stream->worker;
    uint32_t bytes = 0;
    if (worker->options.shares && gy_flood_awaits(stream)) {
        return;
    }
    if (!gy_pool_ready(stream->endpoint->pool)) {
        gy_stream_wait(stream, GY_STREAM_WAITS_FOR_BUFFERS);
        return;
    }
    if (worker->options.shares) {
        enum gy_share_receive how = gy_share_receive(stream);
        if (how == GY_SHARE_RECEIVE_LATER) {
            return;
        }
        bytes = how == GY_SHARE_RECEIVE_A_PART ? GY_SHARE_RECEIVE_BYTES : 0;
    }
    if (arm_receive(stream, bytes) != 0) {
        gy_stream_flush_later(stream);
        return;
    }
    if (stream->waiting != GY_STREAM_WAITS_FOR_MEMORY) {
        gy_stream_stop_waiting(stream);
    }
    stream->receiving = true;
    stream->once = bytes > 0;
    stream->passed = false;
    stream->cancelled &= (uint8_t) ~(1u << GY_OPERATION_RECEIVE);
}

/* Cancels one operation in flight, found by its token: looking for a descriptor's operations, the
 * kernel would go through those of all connections. One cancel is under way at a time, and one is
 * enough: what was cancelled ends behind new submissions, so thousands of streams that ask again
 * every turn would keep each other from ending. */
static void stream_cancel(struct gy_stream *stream, enum gy_operation operation)
{
    gy_assert(stream->cancelling == GY_OPERATION_NONE);
    if (gy_ring_cancel_token(stream->worker->ring, gy_stream_token(stream, GY_OPERATION_CANCEL),
                             gy_stream_token(stream, operation)) != 0) {
        gy_stream_flush_later(stream);
        return;
    }
    stream->cancelling = (uint8_t)operation;
    stream->cancelled |= (uint8_t)(1u << operation);
}

/* Stops an armed receive: its last completion, without MORE, follows. */
static void stream_stop_receiving(struct gy_stream *stream)
{
    bool asked = stream->cancelled & 1u << GY_OPERATION_RECEIVE;
    if (stream->cancelling == GY_OPERATION_NONE && !asked) {
        stream_cancel(stream, GY_OPERATION_RECEIVE);
    }
}

/* Makes output of what the session wrote; at its end the peer is told so, once. Without memory it
 * is asked again when some has come back. */
static void stream_run_layer_output(struct gy_stream *stream)
{
    struct gy_layer *layer = stream->layer;
    if (stream->sending || layer->failed || !layer->established) {
        return;
    }
    if (stream->out.length > 0 && layer->out.length < GY_SEND_BYTES_MAX &&
        layer->ops->output(stream, GY_SEND_BYTES_MAX - layer->out.length) != 0) {
        gy_stream_wait(stream, GY_STREAM_WAITS_FOR_MEMORY);
    }
    if (layer->failed && stream->state == GY_STREAM_OPEN) {
        gy_stream_fail_layer(stream);
        return;
    }
    bool last = stream->state == GY_STREAM_FLUSHING || (stream->wants & GY_WANT_SHUTDOWN);
    if (last && stream->out.length == 0 && !layer->shut) {
        layer->shut = true;
        layer->ops->shutdown(stream);
    }
}

/* Sends what there is, unless a send is in flight. */
static void stream_output(struct gy_stream *stream)
{
    if (stream->layer != NULL) {
        stream_run_layer_output(stream);
    }
    if (gy_stream_wire_out(stream)->length > 0 && !gy_stream_awaits_peer(stream)) {
        stream_send(stream);
    }
}

static void stream_progress_open(struct gy_stream *stream)
{
    const struct gy_worker *worker = stream->worker;
    stream_output(stream);
    if ((stream->wants & GY_WANT_SHUTDOWN) && gy_stream_unsent(stream) == 0 && !stream->sending &&
        !stream->write_shut) {
        stream->write_shut = true;
        shutdown(stream->descriptor, SHUT_WR);
    }
    bool input =
        gy_stream_wants_input(stream) && !(worker->options.shares && gy_flood_holds(stream));
    if (input && !stream->receiving && stream->cancelling == GY_OPERATION_NONE) {
        stream_receive(stream);
    } else if (!input && stream->receiving && !gy_stream_ended(stream)) {
        stream_stop_receiving(stream);
    }
    if (!input && stream->waiting == GY_STREAM_WAITS_FOR_NOTHING && gy_stream_over_quota(stream)) {
        gy_count(&stream->worker->counters.paused_quota, 1);
        gy_stream_wait(stream, GY_STREAM_WAITS_FOR_QUOTA);
    }
}

static void stream_begin_lingering(struct gy_stream *stream)
{
    if (!stream->write_shut) {
        stream->write_shut = true;
        if (shutdown(stream->descriptor, SHUT_WR) != 0) {
            stream->eof = true; /* the connection is gone: there is nobody to wait for */
        }
    }
    stream->state = GY_STREAM_LINGERING;
    stream->eof = stream->eof || gy_stream_ended(stream);
    gy_assert(gy_stream_unread(stream) == 0 && stream->charged_bytes == 0);
    gy_stream_set_core_deadline(stream, stream->endpoint->limits.linger_timeout_ms);
}

static void stream_progress_flushing(struct gy_stream *stream)
{
    stream_output(stream);
    if (gy_stream_unsent(stream) > 0) {
        return;
    }
    gy_assert(!stream->sending);
    if (stream->wants & GY_WANT_LINGER) {
        stream_begin_lingering(stream);
    } else {
        gy_stream_begin_closing(stream);
    }
}

static void stream_progress_lingering(struct gy_stream *stream)
{
    if (stream->eof || stream->dropped_bytes > stream->endpoint->limits.linger_bytes) {
        gy_stream_begin_closing(stream);
    } else if (!stream->receiving && stream->cancelling == GY_OPERATION_NONE) {
        stream_receive(stream);
    }
}

/* What is in flight and was not cancelled yet. */
static enum gy_operation left_to_cancel(const struct gy_stream *stream)
{
    uint32_t in_flight = (uint32_t)stream->connecting << GY_OPERATION_CONNECT |
                         (uint32_t)stream->receiving << GY_OPERATION_RECEIVE |
                         (uint32_t)stream->sending << GY_OPERATION_SEND;
    uint32_t left = in_flight & ~(uint32_t)stream->cancelled;
    return left == 0 ? GY_OPERATION_NONE : (enum gy_operation)__builtin_ctz(left);
}

static void stream_progress_closing(struct gy_stream *stream)
{
    bool cancelling = stream->cancelling != GY_OPERATION_NONE;
    if (!stream->receiving && !stream->sending && !cancelling && !stream->connecting) {
        if (stream->ready) {
            return; /* it leaves that list first, and comes back here */
        }
        if (stream->worker->options.shares && gy_share_closes_later(stream)) {
            return;
        }
        gy_stream_free(stream);
        return;
    }
    enum gy_operation left = left_to_cancel(stream);
    if (!cancelling && left != GY_OPERATION_NONE) {
        stream_cancel(stream, left);
    }
}

/* A state may lead to the next one at once. */
void gy_stream_progress(struct gy_stream *stream)
{
    gy_assert(!stream->flush);
    if (stream->state == GY_STREAM_OPEN) {
        stream_progress_open(stream);
    }
    if (stream->state == GY_STREAM_FLUSHING) {
        stream_progress_flushing(stream);
    }
    if (stream->state == GY_STREAM_LINGERING) {
        stream_progress_lingering(stream);
    }
    if (stream->state == GY_STREAM_CLOSING) {
        stream_progress_closing(stream);
    }
}
