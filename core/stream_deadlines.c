/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A stream's deadlines, the session's and the core's, by one timer: when it fires, and what has
 * become due then. */
#include <errno.h>
#include <linux/tcp.h> /* the C library's tcp_info is older */
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "core/endpoint.h"
#include "core/stream_internal.h"
#include "core/worker.h"

/* What `expire` or the end of a handshake is due for; 0: nothing. */
static uint64_t session_deadline(const struct gy_stream *stream)
{
    if (stream->state != GY_STREAM_OPEN) {
        return 0;
    }
    return gy_stream_in_handshake(stream) ? stream->layer->deadline_ms : stream->deadline_ms;
}

void gy_stream_arm_timer(struct gy_stream *stream)
{
    uint64_t due = session_deadline(stream);
    if (due == 0 || (stream->core_deadline_ms != 0 && stream->core_deadline_ms < due)) {
        due = stream->core_deadline_ms;
    }
    if (due == 0 || (stream->room_due_ms != 0 && stream->room_due_ms < due)) {
        due = stream->room_due_ms;
    }
    if (due == 0) {
        return; /* an armed timer finds nothing due and stays off */
    }
    if (!gy_timer_armed(&stream->timer) || stream->timer.due_ms > due) {
        gy_timer_arm(&stream->worker->wheel, &stream->timer, due);
    }
}

void gy_stream_set_deadline(struct gy_stream *stream, uint64_t deadline_ms)
{
    if (stream->state != GY_STREAM_OPEN && stream->state != GY_STREAM_DIALLING) {
        return; /* nothing expires any more, and a timer must not outlive the stream */
    }
    stream->deadline_ms = deadline_ms;
    gy_stream_arm_timer(stream);
}

void gy_stream_set_core_deadline(struct gy_stream *stream, uint32_t timeout_ms)
{
    stream->core_deadline_ms = timeout_ms == 0 ? 0 : stream->worker->now_ms + timeout_ms;
    gy_stream_arm_timer(stream);
}

void gy_stream_set_send_deadline(struct gy_stream *stream)
{
    if (stream->room_looks == 0 || stream->core_deadline_ms == 0) {
        gy_stream_set_core_deadline(stream, stream->endpoint->limits.write_timeout_ms);
    }
}

/* The n-th look at a full socket comes 2^n ms after the one before, but never later than this. */
#define ROOM_LOOK_MAX_MS 128

void gy_stream_await_room_by_time(struct gy_stream *stream)
{
    gy_assert(!stream->sending && gy_stream_unsent(stream) > 0);
    uint32_t wait_ms = stream->room_looks < 7 ? 1u << stream->room_looks : ROOM_LOOK_MAX_MS;
    gy_stream_set_send_deadline(stream);
    stream->room_looks = stream->room_looks < UINT8_MAX ? stream->room_looks + 1 : UINT8_MAX;
    stream->room_due_ms = stream->worker->now_ms + wait_ms;
    gy_stream_arm_timer(stream);
}

/* Whether the peer has acknowledged anything since the last look. A send that waits for all of its
 * bytes does not complete piece by piece, so the connection itself is asked; only when a deadline
 * has passed. */
static bool stream_made_progress(struct gy_stream *stream)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(stream->descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
        length < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked) {
        return false;
    }
    bool progress = info.tcpi_bytes_acked != stream->acked_bytes;
    stream->acked_bytes = info.tcpi_bytes_acked;
    return progress;
}

static void stream_expire_core(struct gy_stream *stream)
{
    struct gy_counters *counters = &stream->worker->counters;
    enum gy_close_reason reason = GY_CLOSE_TIMEOUT;
    if (gy_stream_awaits_peer(stream) && stream->state != GY_STREAM_LINGERING &&
        stream_made_progress(stream)) {
        gy_stream_set_core_deadline(stream, stream->endpoint->limits.write_timeout_ms);
        return;
    }
    stream->core_deadline_ms = 0;
    if (stream->state == GY_STREAM_LINGERING) {
        reason = (enum gy_close_reason)stream->reason;
        gy_count(&counters->timeouts_linger, 1);
    } else if (stream->state == GY_STREAM_DIALLING) {
        stream->error = ETIMEDOUT;
        gy_count(&counters->timeouts_connect, 1);
    } else {
        gy_count(&counters->timeouts_write, 1);
    }
    gy_stream_abort(stream, reason);
}

/* By a call of its own: the ring would ask the socket a hundred times over, and then a thread. */
bool gy_stream_socket_is_full(const struct gy_stream *stream)
{
    struct pollfd socket = {.fd = stream->descriptor, .events = POLLOUT};
    return poll(&socket, 1, 0) == 0;
}

static void look_for_room(struct gy_stream *stream)
{
    stream->room_due_ms = 0;
    if (gy_stream_unsent(stream) > 0 && gy_stream_socket_is_full(stream)) {
        gy_stream_await_room_by_time(stream);
    } else {
        gy_stream_flush_later(stream);
    }
}

/* Timers are moved lazily, so one that fires may be early: it looks at what is really due. */
void gy_stream_timer_fired(struct gy_timer *timer, uint64_t now_ms)
{
    struct gy_stream *stream =
        (struct gy_stream *)((char *)timer - offsetof(struct gy_stream, timer));
    if (stream->state == GY_STREAM_CLOSING) {
        return;
    }
    if (stream->core_deadline_ms != 0 && stream->core_deadline_ms <= now_ms) {
        stream->worker->expired++;
        stream_expire_core(stream);
        return;
    }
    if (stream->room_due_ms != 0 && stream->room_due_ms <= now_ms) {
        look_for_room(stream);
    }
    uint64_t due_ms = session_deadline(stream);
    stream->worker->expired += due_ms != 0 && due_ms <= now_ms;
    if (due_ms != 0 && due_ms <= now_ms && gy_stream_in_handshake(stream)) {
        gy_count(&stream->worker->counters.timeouts_handshake, 1);
        gy_stream_abort(stream, GY_CLOSE_TIMEOUT);
        return;
    }
    if (due_ms != 0 && due_ms <= now_ms) {
        stream->deadline_ms = 0;
        gy_stream_apply(stream, stream->endpoint->ops->expire(stream));
        stream->seen_bytes = stream->in.length;
        gy_stream_settle(stream);
    }
    gy_stream_arm_timer(stream);
}

void gy_stream_begin_handshake(struct gy_stream *stream)
{
    stream->wants = GY_WANT_READ;
    stream->layer->deadline_ms =
        stream->worker->now_ms + stream->endpoint->limits.handshake_timeout_ms;
    gy_stream_arm_timer(stream);
}
