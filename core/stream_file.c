/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Ranges of files in a stream's output (file_range.h). What the page cache has is handed to the
 * socket by a plain call that does not block, at the end of a turn, where other streams' sends are
 * queued: the ring's splice would be done by a thread of the kernel each time. For what the call
 * cannot do, the ring waits: for room in the socket, and for pages to be read. */

#include "core/file_range.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "core/endpoint.h"
#include "core/stream_internal.h"
#include "core/worker.h"

static struct gy_file_range *range_of(struct gy_slice slice)
{
    gy_assert(gy_slice_is_file(slice));
    return (struct gy_file_range *)slice.buffer;
}

/* While streams are flushed: the stream goes on with its new state at once, and so is in no list.
 */
static void end(struct gy_stream *stream, int errno_value)
{
    if (stream->state == GY_STREAM_OPEN) {
        stream->reason = (uint8_t)gy_stream_reason_of(errno_value);
    }
    gy_stream_begin_closing(stream);
}

/* The peer can tell that something is missing. */
static void fail(struct gy_stream *stream)
{
    struct gy_file_range *range = range_of(stream->out.head->slice);
    gy_assert(!stream->sending);
    gy_count(&stream->worker->counters.file_failures, 1);
    if (range->failed != NULL) {
        range->failed(range);
    }
    gy_stream_apply(stream, GY_WANT_CLOSE | GY_WANT_LINGER);
    stream->reason = GY_CLOSE_ERROR;
    gy_chain_clear(&stream->out);
}

/* ---- what the ring waits for ---- */

static void await(struct gy_stream *stream, enum gy_stream_awaits what, int queued)
{
    if (queued != 0) {
        gy_stream_flush_later(stream);
        return;
    }
    stream->sending = true;
    stream->sending_bytes = 0;
    stream->awaits = (uint8_t)what;
    stream->cancelled &= (uint8_t) ~(1u << GY_OPERATION_SEND);
    gy_stream_set_send_deadline(stream);
}

static void await_room(struct gy_stream *stream)
{
    gy_count(&stream->worker->counters.file_waits, 1);
    stream->resident_bytes = 0; /* it may take long */
    await(stream, GY_STREAM_AWAITS_ROOM,
          gy_ring_poll(stream->worker->ring, gy_stream_token(stream, GY_OPERATION_SEND),
                       stream->descriptor, POLLOUT, false));
}

static void await_pages(struct gy_stream *stream, uint32_t bytes)
{
    struct gy_worker *worker = stream->worker;
    struct gy_slice slice = stream->out.head->slice;
    const struct gy_file_range *range = range_of(slice);
    bytes = bytes < GY_FILE_RANGE_READ_BYTES ? bytes : GY_FILE_RANGE_READ_BYTES;
    gy_count(&worker->counters.file_cold_reads, 1);
    await(stream, GY_STREAM_AWAITS_PAGES,
          gy_ring_read(worker->ring, gy_stream_token(stream, GY_OPERATION_SEND), range->descriptor,
                       worker->files.unread, bytes, range->position + slice.offset));
}

/* A poll tells, asked for or not, that the peer has shut its side, and then ends at once for ever.
 * So a send asks over and over, and then has a thread of the kernel go on, which a socket that does
 * not block keeps from waiting there. */
bool gy_stream_found_no_room(const struct gy_stream *stream, const struct gy_completion *completion)
{
    if (stream->state != GY_STREAM_OPEN && stream->state != GY_STREAM_FLUSHING) {
        return false;
    }
    switch ((enum gy_stream_awaits)stream->awaits) {
    case GY_STREAM_AWAITS_ROOM:
        return completion->result > 0 && !(completion->result & (POLLOUT | POLLERR | POLLHUP));
    case GY_STREAM_AWAITS_SEND:
        return completion->result == -EAGAIN && gy_stream_socket_is_full(stream);
    case GY_STREAM_AWAITS_PAGES:
        break;
    }
    return false;
}

void gy_stream_file_ready(struct gy_stream *stream, const struct gy_completion *completion)
{
    bool read = stream->awaits == GY_STREAM_AWAITS_PAGES;
    bool again = completion->result == -EINTR || completion->result == -EAGAIN ||
                 completion->result == -ECANCELED;
    gy_assert(!stream->sending);
    stream->awaits = GY_STREAM_AWAITS_SEND;
    gy_stream_flush_later(stream);
    if (again || stream->state == GY_STREAM_CLOSING) {
        return;
    }
    if (read && completion->result > 0) {
        stream->resident_bytes = (uint32_t)completion->result;
    } else if (read) {
        fail(stream);
    } else if (completion->result < 0) {
        gy_stream_abort(stream, gy_stream_reason_of(-completion->result));
    }
}

/* ---- sending ---- */

/* Once a stream: nothing but this call looks at the flag, the ring's operations wait as before. And
 * the call has none for the signal that a connection which is gone brings about. */
static void prepare(struct gy_stream *stream)
{
    struct gy_worker *worker = stream->worker;
    stream->nonblocking = true;
    fcntl(stream->descriptor, F_SETFL, O_RDWR | O_NONBLOCK);
    if (!worker->pipe_blocked) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        worker->pipe_blocked = true;
    }
}

/* How much of the range at the front may be sent now; 0: none, it is being read. */
static uint32_t sendable_bytes(struct gy_stream *stream, struct gy_slice slice, uint32_t most)
{
    const struct gy_file_range *range = range_of(slice);
    uint32_t bytes = slice.length < most ? slice.length : most;
    if (stream->resident_bytes > 0) {
        return stream->resident_bytes < bytes ? stream->resident_bytes : bytes;
    }
    if (!gy_file_is_resident(range->descriptor, range->position + slice.offset, bytes)) {
        await_pages(stream, slice.length);
        return 0;
    }
    return bytes;
}

/* Sends of the range at the front. Returns bytes sent; fewer than `most`, and the stream waits for
 * something, or is ending, or another piece of output comes next. */
static uint32_t send_front(struct gy_stream *stream, uint32_t most)
{
    struct gy_worker *worker = stream->worker;
    struct gy_slice slice = stream->out.head->slice;
    const struct gy_file_range *range = range_of(slice);
    uint32_t bytes = sendable_bytes(stream, slice, most);
    if (bytes == 0) {
        return 0;
    }
    off_t position = (off_t)(range->position + slice.offset);
    ssize_t sent = sendfile(stream->descriptor, range->descriptor, &position, bytes);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        await_room(stream);
        return 0;
    }
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT)) {
        end(stream, errno);
        return 0;
    }
    if (sent <= 0) {
        fail(stream); /* the file got shorter, or cannot be read */
        return 0;
    }
    gy_assert(sent <= (ssize_t)bytes);
    gy_count(&worker->counters.file_sends, 1);
    gy_count(&worker->counters.file_sent_bytes, (uint64_t)sent);
    stream->resident_bytes = 0;
    gy_stream_took(stream, (uint32_t)sent);
    if ((uint32_t)sent < bytes) {
        await_room(stream);
    }
    return (uint32_t)sent;
}

uint32_t gy_stream_send_file(struct gy_stream *stream, uint32_t most)
{
    uint32_t left = most;
    gy_assert(stream->layer == NULL && !stream->sending);
    if (!stream->nonblocking) {
        prepare(stream);
    }
    while (left > 0 && !stream->sending && stream->out.length > 0 &&
           gy_slice_is_file(stream->out.head->slice)) {
        uint32_t sent = send_front(stream, left);
        if (sent == 0) {
            break;
        }
        left -= sent;
    }
    if (stream->out.length > 0 && !stream->sending && stream->state != GY_STREAM_CLOSING) {
        gy_stream_flush_later(stream);
    }
    return most - left;
}

uint32_t gy_stream_send_before_file(struct gy_stream *stream, const struct msghdr *message,
                                    uint32_t bytes, uint32_t file_bytes)
{
    const struct gy_link *link = stream->out.head;
    gy_assert(stream->layer == NULL && !stream->sending && file_bytes > 0);
    while (!gy_slice_is_file(link->slice)) {
        link = link->next;
    }
    const struct gy_file_range *range = range_of(link->slice);
    uint32_t next = link->slice.length < file_bytes ? link->slice.length : file_bytes;
    if (bytes > GY_STREAM_BEFORE_FILE_MAX ||
        !gy_file_is_resident(range->descriptor, range->position + link->slice.offset, next)) {
        return 0;
    }
    ssize_t sent = sendmsg(stream->descriptor, message, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
    if (sent <= 0) {
        return 0; /* the ring's send waits, or says what is wrong */
    }
    gy_stream_took(stream, (uint32_t)sent);
    stream->resident_bytes = (uint32_t)sent == bytes ? next : 0;
    return (uint32_t)sent;
}
