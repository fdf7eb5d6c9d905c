/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_STREAM_H
#define GY_CORE_STREAM_H

/*
 * A stream: one accepted or dialled TCP connection of a worker, between the ring and a protocol.
 *
 * The stream receives into `in` and sends what it finds in `out`; the protocol's session is told by
 * `turn` that something changed, consumes from `in`, appends to `out`, and answers with what it
 * wants next. Nothing is sent while sessions run: at the end of the worker's turn every stream with
 * output makes one gathered send. One send is in flight at a time.
 *
 * Life:  (DIALLING ->) OPEN -> FLUSHING (wants CLOSE: what is in `out` leaves) -> LINGERING (write
 * side shut; what the peer still sends is read and dropped for a bounded time, else a reset would
 * eat the last answer) -> CLOSING (everything in flight is cancelled and awaited) -> gone. A
 * failure or gy_stream_abort goes to CLOSING directly.
 *
 * Backpressure: the stream stops reading while `in` holds receive_high bytes or more, while the
 * server's quota of kept bytes is used up, or while the session does not want READ; it reads again
 * at receive_low. TCP's window then closes. What a session leaves in `in` is copied out of the
 * worker's pool when it is small or the pool is low, so that a slow peer cannot pin the ring's
 * buffers.
 *
 * `out` may have ranges of files among its slices (core/file_range.h), without a layer.
 *
 * A stream of an endpoint with a layer (core/layer.h) is opened when the layer's handshake is done;
 * a handshake that fails ends it with GY_CLOSE_PROTOCOL.
 *
 * All calls are for the owning worker's thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "slice.h"
#include "timer.h"

struct gy_stream;
struct gy_worker;
struct gy_endpoint;
struct gy_layer;

/* What a session wants next: the result of turn, expire and drain. */
enum gy_want {
    GY_WANT_READ = 1u << 0, /* go on receiving; without it the stream stops reading */
    GY_WANT_ROOM =
        1u << 1, /* has more output: turn again once `out` has drained to half of send_high */
    GY_WANT_RETRY = 1u << 2, /* a bounded pool was empty: turn again when something has come back */
    GY_WANT_SHUTDOWN = 1u << 3, /* shut the write side once `out` is sent, and go on reading */
    GY_WANT_CLOSE = 1u << 4,    /* close once `out` is sent */
    GY_WANT_LINGER =
        1u << 5, /* with CLOSE: the peer may still be sending; read on and drop it, bounded */
};

/* Why a stream ended. */
#define GY_CLOSE_REASONS(X)                                                                        \
    X(LOCAL, local, "the session closed it")                                                       \
    X(PEER, peer, "the peer closed it")                                                            \
    X(RESET, reset, "the peer reset it")                                                           \
    X(UNREACHED, unreached, "the peer could not be reached")                                       \
    X(TIMEOUT, timeout, "a deadline passed")                                                       \
    X(PROTOCOL, protocol, "the peer broke the protocol")                                           \
    X(LIMIT, limit, "a limit was reached")                                                         \
    X(DRAIN, drain, "the server drains")                                                           \
    X(ERROR, error, "an error of this host")

enum gy_close_reason {
#define GY_CLOSE_REASON_ENUM(name, member, text) GY_CLOSE_##name,
    GY_CLOSE_REASONS(GY_CLOSE_REASON_ENUM)
#undef GY_CLOSE_REASON_ENUM
};

const char *gy_close_reason_text(enum gy_close_reason reason);

/* What a server brings along; constant. Calls come from the owning worker's thread only. */
struct gy_stream_ops {
    /* A connection is there: accepted, or dialled with success. An accepted one's stream->session
     * is session_bytes of undefined memory. Returns wants.
     */
    uint32_t (*open)(struct gy_stream *stream);

    /* Something changed: bytes in stream->in, stream->eof, room in stream->out, or gy_stream_wake
     * was called. */
    uint32_t (*turn)(struct gy_stream *stream);

    /* The deadline set by gy_stream_set_deadline has passed. */
    uint32_t (*expire)(struct gy_stream *stream);

    /* The server is ending: finish what is under way, begin nothing new. */
    uint32_t (*drain)(struct gy_stream *stream);

    /* The last call: the session's memory is given back after it. */
    void (*closed)(struct gy_stream *stream, enum gy_close_reason reason);
};

/* Bounds of one stream, set per server. 0 means the default beside it. */
struct gy_stream_limits {
    uint32_t receive_high_bytes; /* 262144 */
    uint32_t receive_low_bytes;  /* a quarter of receive_high_bytes */
    uint32_t send_high_bytes;  /* 262144: above it a session should not add; half of it is "room" */
    uint32_t write_timeout_ms; /* 30000: a send that makes no progress for so long (at most twice so
                                  long) ends it */
    uint32_t linger_timeout_ms;    /* 5000 */
    uint32_t handshake_timeout_ms; /* 10000: of a layer's handshake, from the connection on */
    uint32_t linger_bytes;         /* 1 MiB: dropped at most while lingering */
};

TAILQ_HEAD(gy_stream_queue, gy_stream);

/* Bytes that the streams of one server on one worker may keep in `in` across turns, all together.
 */
struct gy_quota {
    uint64_t limit_bytes;
    uint64_t used_bytes;
    struct gy_stream_queue waiting; /* stopped reading because it was used up */
};

enum gy_stream_state {
    GY_STREAM_DIALLING,
    GY_STREAM_OPEN,
    GY_STREAM_FLUSHING,
    GY_STREAM_LINGERING,
    GY_STREAM_CLOSING,
};

enum gy_stream_waiting {
    GY_STREAM_WAITS_FOR_NOTHING,
    GY_STREAM_WAITS_FOR_BUFFERS, /* in worker->starved */
    GY_STREAM_WAITS_FOR_QUOTA,   /* in quota->waiting */
    GY_STREAM_WAITS_FOR_MEMORY,  /* in worker->retrying */
};

/* What the send in flight is. */
enum gy_stream_awaits {
    GY_STREAM_AWAITS_SEND,
    GY_STREAM_AWAITS_ROOM,  /* none: the socket is full, and a range of a file comes next */
    GY_STREAM_AWAITS_PAGES, /* none: the range's pages are being read */
};

/* Sessions use worker, endpoint, session, in, out, eof and ticket; everything else belongs to core.
 */
struct gy_stream {
    struct gy_worker *worker;
    struct gy_endpoint *endpoint;
    void *session;
    struct gy_layer *layer; /* between `in`, `out` and the wire; NULL: none */
    struct gy_chain in;
    struct gy_chain out;

    struct gy_timer timer;
    uint64_t deadline_ms;      /* the session's; 0: none */
    uint64_t core_deadline_ms; /* of a send without progress, or of lingering; 0: none */
    uint64_t acked_bytes;      /* by the peer, when the send's deadline was last looked at */
    uint64_t room_due_ms;      /* when a full socket is looked at again; 0: it is not waited for */
    struct gy_stream *next_ready;
    struct gy_stream *next_flush;
    TAILQ_ENTRY(gy_stream) wait_entry;

    int descriptor;
    uint32_t slot;
    uint32_t generation;
    uint32_t wants;          /* GY_WANT_… as last answered */
    uint32_t charged_bytes;  /* of the quota */
    uint32_t sending_bytes;  /* at the front of `out` (the layer's, if any), with the kernel */
    uint32_t dropped_bytes;  /* while lingering */
    int error;               /* the errno that ended it, if one did */
    uint32_t ticket;         /* that it was let in with (listener.h); 0: none */
    uint32_t seen_bytes;     /* of `in`: shown to the session before, and left there by it */
    uint32_t resident_bytes; /* of the range of a file that comes next; 0: to be looked at */

    uint8_t state;      /* enum gy_stream_state */
    uint8_t waiting;    /* enum gy_stream_waiting */
    uint8_t reason;     /* enum gy_close_reason, once not OPEN */
    uint8_t cancelling; /* enum gy_operation whose cancel is under way; 0: none */
    uint8_t cancelled;  /* 1 << enum gy_operation, of those whose end was asked for */
    uint8_t awaits;     /* enum gy_stream_awaits, while `sending` */
    uint8_t room_looks; /* at a full socket, since it last took something */
    bool eof : 1;       /* the peer has shut its side; what is in `in` is the last */
    bool ready : 1;     /* in the worker's list of sessions to run, or of handshakes */
    bool shakes : 1;    /* it is its turn for a step of its handshake */
    bool flush : 1;     /* in the worker's list of streams to flush */
    bool receiving : 1;
    bool unfinished : 1; /* and goes on by itself: the socket was not emptied (worker.h) */
    bool once : 1;       /* the armed receive ends with its first bytes */
    bool in_flood : 1;   /* it has a place in its endpoint's set (flood.h) */
    bool floods : 1;     /* and waits there to receive */
    bool passed : 1;     /* and was let through, and has not received since */
    bool sending : 1;
    bool sends_long : 1; /* a part of what it sends was longer than GY_SEND_BYTES_MAX */
    bool write_shut : 1;
    bool draining : 1;
    bool paused : 1;    /* reached receive_high; reads again at receive_low */
    bool was_empty : 1; /* the last receive emptied the socket: poll before reading */
    bool connecting : 1;
    bool fresh : 1;       /* `open` is still to be called */
    bool silent : 1;      /* accepted, with a layer, and never opened: `closed` is not called */
    bool nonblocking : 1; /* the socket's flag, which sendfile(2) looks at */
    bool truncated : 1;   /* eof, but the layer was not told so: what came may be cut short */
};

/* Runs the session again in this turn or the next: it has output, or asks to be asked. Cheap,
 * idempotent. */
void gy_stream_wake(struct gy_stream *stream);

/* When `expire` is to be called, in the worker's milliseconds (worker->now_ms); 0: never. Setting
 * it is a store; the timer is moved only when it would be late. Does nothing once the stream is
 * ending. */
void gy_stream_set_deadline(struct gy_stream *stream, uint64_t deadline_ms);

/* Ends the stream without sending what is left. */
void gy_stream_abort(struct gy_stream *stream, enum gy_close_reason reason);

/*
 * Dials `peer` (numeric; core/connector knows names and tries again): the stream exists at once, so
 * that the caller can fill its session, and says `open` when connected, or only `closed`
 * (GY_CLOSE_UNREACHED, GY_CLOSE_TIMEOUT) when not; stream->error then has the errno. `peer` must
 * stay until one of the two: the ring reads it when it is next submitted to. NULL when a bound was
 * reached or no socket could be made: `error`, which may be NULL, says which.
 */
struct gy_address;
struct gy_stream *gy_stream_dial(struct gy_endpoint *endpoint, const struct gy_address *peer,
                                 uint32_t timeout_ms, struct gy_error *error);

/* The same from an address of this host, port 0 for any; NULL: the kernel chooses. */
struct gy_stream *gy_stream_dial_from(struct gy_endpoint *endpoint, const struct gy_address *peer,
                                      const struct gy_address *local, uint32_t timeout_ms,
                                      struct gy_error *error);

/* ---- for core/listener and core/worker ---- */

/* Takes over an accepted descriptor, and the ticket that it was let in with (listener.h; 0: none).
 * NULL when the slab of streams or sessions is at its bound; then both stay with the caller. */
struct gy_stream *gy_stream_open(struct gy_endpoint *endpoint, int descriptor, uint32_t ticket);

struct gy_completion;
void gy_stream_connected(struct gy_stream *stream, const struct gy_completion *completion);
void gy_stream_received(struct gy_stream *stream, const struct gy_completion *completion);
void gy_stream_sent(struct gy_stream *stream, const struct gy_completion *completion);
void gy_stream_cancelled(struct gy_stream *stream, const struct gy_completion *completion);

/* Runs the session, then looks at what it left. */
void gy_stream_run(struct gy_stream *stream);
void gy_stream_run_ended(struct gy_stream *stream); /* which has ended while it was on a list */

/* Does what the stream's state asks for: send, receive, shut down, cancel, close. Frees the stream
 * at its end. */
void gy_stream_progress(struct gy_stream *stream);

/* Asks the session to finish. */
void gy_stream_drain(struct gy_stream *stream);

/* Applies what a session answered. */
void gy_stream_apply(struct gy_stream *stream, uint32_t wants);

/* Puts the stream on the worker's list of streams to flush. */
void gy_stream_flush_later(struct gy_stream *stream);

/* Takes it off the list that it waits in, if any. */
void gy_stream_stop_waiting(struct gy_stream *stream);

#endif
