/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_STREAM_INTERNAL_H
#define GY_CORE_STREAM_INTERNAL_H

/* What stream.c (a stream's life and its session), stream_deadlines.c (its timer), stream_io.c (its
 * operations on the ring) and stream_file.c (files in its output) share. */

#include <sys/socket.h>

#include "core/layer.h"
#include "core/ring.h"
#include "core/stream.h"

static inline uint64_t gy_stream_token(const struct gy_stream *stream, enum gy_operation operation)
{
    return gy_token(operation, stream->slot, stream->generation);
}

/* What the ring receives into. */
static inline struct gy_chain *gy_stream_wire_in(struct gy_stream *stream)
{
    return stream->layer == NULL ? &stream->in : &stream->layer->in;
}

/* What the ring sends from. */
static inline struct gy_chain *gy_stream_wire_out(struct gy_stream *stream)
{
    return stream->layer == NULL ? &stream->out : &stream->layer->out;
}

/* Bytes received and not consumed, whatever their form. */
static inline uint32_t gy_stream_unread(const struct gy_stream *stream)
{
    return stream->in.length + (stream->layer == NULL ? 0 : stream->layer->in.length);
}

/* Bytes that are still to leave, whatever their form. */
static inline uint32_t gy_stream_unsent(const struct gy_stream *stream)
{
    return stream->out.length + (stream->layer == NULL ? 0 : stream->layer->out.length);
}

/* Whether nothing more will come from the wire. */
static inline bool gy_stream_ended(const struct gy_stream *stream)
{
    return stream->layer == NULL ? stream->eof : stream->layer->eof;
}

/* Whether the session that the wants are for is still to be opened by its layer. */
static inline bool gy_stream_in_handshake(const struct gy_stream *stream)
{
    return stream->layer != NULL && !stream->layer->established;
}

/* Puts the stream into the queue of those who wait for `reason`. */
void gy_stream_wait(struct gy_stream *stream, enum gy_stream_waiting reason);

/* What a stream's timer calls: whichever deadline has passed is seen to. */
void gy_stream_timer_fired(struct gy_timer *timer, uint64_t now_ms);

/* Sees that the timer fires by the nearer of the two deadlines. */
void gy_stream_arm_timer(struct gy_stream *stream);

/* The connection is there, and the layer's handshake begins: it has so long. */
void gy_stream_begin_handshake(struct gy_stream *stream);

/* The deadline of a connect, a send or lingering: in timeout_ms; 0: none. */
void gy_stream_set_core_deadline(struct gy_stream *stream, uint32_t timeout_ms);

/* A send begins: its deadline, unless the one before it took nothing and has its own. */
void gy_stream_set_send_deadline(struct gy_stream *stream);

/* The socket is full, and the ring does not wait for room in it: it is looked at again in a while,
 * which gets longer each time. The send's deadline stays. */
void gy_stream_await_room_by_time(struct gy_stream *stream);

/* Whether there is no room in the socket, asked now. */
bool gy_stream_socket_is_full(const struct gy_stream *stream);

/* Whether output waits for the peer, with the ring or by time. */
static inline bool gy_stream_awaits_peer(const struct gy_stream *stream)
{
    return stream->sending || stream->room_due_ms != 0;
}

/* Whether the server has used its quota up, and this stream has a part in it. */
bool gy_stream_over_quota(const struct gy_stream *stream);

/* Before it, for a stream with a layer: the layer takes what has come. Whether the session is to
 * run. */
bool gy_stream_run_layer(struct gy_stream *stream);

/* A turn of an OPEN stream's session, and what follows once the session has seen all that it is to
 * see: what it left is accounted for, its wishes are looked at. */
void gy_stream_run_session(struct gy_stream *stream);
void gy_stream_settle(struct gy_stream *stream);

/* While OPEN: whether more input is wanted. */
bool gy_stream_wants_input(const struct gy_stream *stream);

/* What a connection ended for, whose operation failed with this errno. */
enum gy_close_reason gy_stream_reason_of(int errno_value);

/* The kernel took so many bytes from the front of what is on its way out. */
void gy_stream_took(struct gy_stream *stream, uint32_t bytes);

/* ---- files in the output: streams without a layer ---- */

/* What precedes a file in the output goes by a call of its own, with the file right behind it, if
 * it is no longer than this. */
#define GY_STREAM_BEFORE_FILE_MAX 16384

/* A range of a file is at the front: at most so much of it, and of those behind it, is sent now.
 * Returns how much was; the stream then waits, is on the flush list, or has no output left. */
uint32_t gy_stream_send_file(struct gy_stream *stream, uint32_t most);

/* Behind `bytes` that the message shows, the next `file_bytes` (> 0) begin with a range of a file:
 * sends the message now, if the range can go at once as well. Returns how much of the message was
 * sent; 0: the two do not go together. */
uint32_t gy_stream_send_before_file(struct gy_stream *stream, const struct msghdr *message,
                                    uint32_t bytes, uint32_t file_bytes);

/* Whether the completion of a send, or of what it awaited, says that the socket is full, and that
 * asking the ring again would say so at once. */
bool gy_stream_found_no_room(const struct gy_stream *stream,
                             const struct gy_completion *completion);

/* The ring says that what the stream awaited for a file's sake is there, or failed. */
void gy_stream_file_ready(struct gy_stream *stream, const struct gy_completion *completion);

/* The layer failed: what it has to say about it is sent, nothing else. */
void gy_stream_fail_layer(struct gy_stream *stream);

/* From any state: what is in flight is cancelled and awaited from now on. */
void gy_stream_begin_closing(struct gy_stream *stream);

/* The end: nothing is in flight, and the stream is in no list of ready or flushing ones. */
void gy_stream_free(struct gy_stream *stream);

#endif
