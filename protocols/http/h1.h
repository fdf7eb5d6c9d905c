/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_H
#define GY_PROTOCOLS_HTTP_H1_H

/*
 * HTTP/1.1, the server's side of one connection (RFC 9112): bytes and the time go in, requests go
 * to a handler (http.h), bytes come out. No sockets, no clock, no allocation.
 *
 * The owner of a connection (a server on core's streams, a simulator, a fuzzer) keeps
 *
 *   in    the chain of bytes received and not yet consumed. What gy_h1_turn() leaves in it stays
 *         there and is offered again, more bytes behind it. It may be compacted between turns.
 *   out   the chain of bytes to send: the connection appends, the owner sends and consumes. Bytes
 *         in flight may stay in it until their completion: its length is the measure of
 *         backpressure.
 *
 * and calls gy_h1_turn() whenever there is something to do:
 *
 *   - bytes arrived, or the peer shut its side (eof)
 *   - `out` drained, and the last turn said GY_H1_ROOM
 *   - env->wake() was called for it
 *   - a little later, when the last turn said GY_H1_RETRY
 *
 * One turn parses all complete pipelined requests, calls handlers, pulls responses, until it needs
 * more input, more room or a handler. Then the owner sends `out`, and follows what
 * gy_h1_wants() says. The timer: arm gy_h1_deadline(), call gy_h1_expire() when it has passed.
 *
 * An idle connection is this struct and nothing else; while a request is active it also has an
 * exchange from the worker's slab. A request whose head lies in one slice is parsed where it was
 * received; when it outlives the turn, its head is copied out, so that a slow handler does not pin
 * the receive buffers.
 *
 * Every refusal is in GY_H1_REFUSALS: its status, and the sentence the peer gets. All of them close
 * the connection but those marked KEEP.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/bump.h"
#include "../../core/slab.h"
#include "../../core/slice.h"
#include "http.h"

#define GY_H1_NO_DEADLINE UINT64_MAX

/* The largest head (and trailer section) that limits can allow, in bytes: one that arrived in
 * pieces must fit one block of the bump. */
#define GY_H1_HEAD_MAX GY_BUMP_BLOCK_BYTES

/* name, status, what happens to the connection, the sentence */
#define GY_H1_REFUSALS(X)                                                                          \
    X(BARE_LF, 400, CLOSE, "A line ends in LF without CR.")                                        \
    X(BARE_CR, 400, CLOSE, "There is a CR that no LF follows.")                                    \
    X(EMPTY_LINES, 400, CLOSE, "There are too many empty lines before the request.")               \
    X(METHOD, 400, CLOSE, "The method is not a token.")                                            \
    X(REQUEST_LINE, 400, CLOSE, "The request line is not method, target and version.")             \
    X(TARGET, 400, CLOSE, "The request target is not valid.")                                      \
    X(TARGET_FORM, 400, CLOSE, "The form of the request target does not fit the method.")          \
    X(VERSION, 505, CLOSE, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")                          \
    X(LINE_LIMIT, 414, CLOSE, "The request line is too long.")                                     \
    X(FIELD_NAME, 400, CLOSE, "A field name is empty or not a token.")                             \
    X(FIELD_SPACE, 400, CLOSE, "There is whitespace between a field name and its colon.")          \
    X(FIELD_FOLD, 400, CLOSE, "A field is folded over several lines, or the first line is.")       \
    X(FIELD_VALUE, 400, CLOSE, "A field value has a control character.")                           \
    X(HEAD_LIMIT, 431, CLOSE, "The header section is too large.")                                  \
    X(FIELD_LIMIT, 431, CLOSE, "There are too many header fields.")                                \
    X(HOST_MISSING, 400, CLOSE, "There is no Host field.")                                         \
    X(HOST_REPEATED, 400, CLOSE, "There is more than one Host field.")                             \
    X(HOST_INVALID, 400, CLOSE, "The Host field is not valid.")                                    \
    X(SCHEME, 421, CLOSE, "The scheme of the request target is not the one served here.")          \
    X(LENGTH_INVALID, 400, CLOSE, "The Content-Length is not one decimal number.")                 \
    X(LENGTH_REPEATED, 400, CLOSE, "There is more than one Content-Length.")                       \
    X(LENGTH_AND_CODING, 400, CLOSE, "There are both Transfer-Encoding and Content-Length.")       \
    X(CODING_VERSION, 400, CLOSE, "Transfer-Encoding needs HTTP/1.1.")                             \
    X(CODING_FINAL, 400, CLOSE,                                                                    \
      "The last transfer coding is not chunked, or it is applied twice.")                          \
    X(CODING_UNKNOWN, 501, CLOSE, "Only the transfer coding chunked is known here.")               \
    X(BODY_UNEXPECTED, 400, CLOSE, "This method cannot have a body.")                              \
    X(BODY_LIMIT, 413, CLOSE, "The body is too large.")                                            \
    X(EXPECTATION, 417, CLOSE, "Only the expectation 100-continue is known here.")                 \
    X(CHUNK_SIZE, 400, CLOSE, "A chunk size is not a hexadecimal number that can be kept.")        \
    X(CHUNK_EXTENSION, 400, CLOSE, "A chunk extension is not valid, or too long.")                 \
    X(CHUNK_END, 400, CLOSE, "A chunk is not followed by CR LF.")                                  \
    X(TRAILER_LIMIT, 431, CLOSE, "The trailer section is too large.")                              \
    X(INCOMPLETE, 400, CLOSE, "The connection was shut in the middle of the request.")             \
    X(TIMEOUT, 408, CLOSE, "The request did not arrive in time.")                                  \
    X(METHOD_CONNECT, 501, CLOSE, "CONNECT is not served here.")                                   \
    X(METHOD_TRACE, 501, KEEP, "TRACE is not served here.")                                        \
    X(HANDLER, 500, CLOSE, "The server made a mistake.")                                           \
    X(BUSY, 503, CLOSE, "The server has no room for another request now.")

enum gy_h1_refusal {
    GY_H1_REFUSED_NOT, /* no refusal */
#define GY_H1_REFUSAL_ENUM(name, status, connection, sentence) GY_H1_REFUSED_##name,
    GY_H1_REFUSALS(GY_H1_REFUSAL_ENUM)
#undef GY_H1_REFUSAL_ENUM
        GY_H1_REFUSAL_COUNT,
};

/* A refusal's name ("BARE_LF"), status and sentence. GY_H1_REFUSED_NOT has "NOT", 0 and "". */
const char *gy_h1_refusal_name(enum gy_h1_refusal refusal);
uint16_t gy_h1_refusal_status(enum gy_h1_refusal refusal);
const char *gy_h1_refusal_text(enum gy_h1_refusal refusal);

/* Defaults are set by gy_h1_env_init(); change what differs, before the first connection. */
struct gy_h1_limits {
    uint32_t line_bytes;            /* request line, CR LF included: 8192 */
    uint32_t head_bytes;            /* request line and header section: 16384 = GY_H1_HEAD_MAX */
    uint32_t fields;                /* 100 = GY_HTTP_FIELDS_MAX */
    uint32_t trailer_bytes;         /* 4096 */
    uint32_t chunk_extension_bytes; /* of one chunk: 256; of a body: 16 times that */
    uint64_t body_bytes;            /* 1 MiB; a handler's body_max replaces it */
    uint32_t body_window;           /* body bytes delivered and not given back: 65536 */
    uint32_t drain_bytes;           /* body read and discarded behind an early answer: 65536 */
    uint32_t output_high;           /* `out` longer than this: no parsing, no pulling: 65536 */
    uint32_t output_memory;         /* the same, for pulling a body that is in memory in any case,
                                       while at least half of the links are free, and where it is
                                       more than output_high: 0 */
    uint32_t pipeline_bytes;        /* unparsed input kept while an answer is awaited: 16384 */
    uint32_t copy_bytes;            /* bodies up to this are copied behind their head: 512 */
    uint32_t header_timeout_ms;     /* from a request's first byte to its head's end: 10,000 */
    uint32_t idle_timeout_ms;       /* between requests: 60,000 */
    uint32_t body_timeout_ms;       /* for body_progress_bytes more of a body: 30,000 */
    uint32_t body_progress_bytes;   /* 256 */
    uint32_t requests;              /* on one connection; 0: any number, which is the default */
};

/* The values above, for those who change some of them. */
struct gy_h1_limits gy_h1_limits_defaults(void);

struct gy_h1_counters {
    uint64_t connections;  /* initialised */
    uint64_t requests;     /* given to the handler */
    uint64_t responses[6]; /* final ones by class: [2] is 2xx; [1] counts informational */
    uint64_t refused[GY_H1_REFUSAL_COUNT];
    uint64_t copied_bytes;  /* payload and heads copied: small bodies, heads kept or joined */
    uint64_t heads_joined;  /* heads that straddled slices */
    uint64_t heads_kept;    /* heads that outlived their turn */
    uint64_t body_bytes_in; /* given to handlers, or discarded */
    uint64_t cancelled;     /* exchanges that ended without a whole response */
    uint64_t starved;       /* turns cut short for want of memory */
    uint64_t tunnels;
};

struct gy_h1;
struct gy_h1_heads;

/* What is known of a request that is over. */
struct gy_h1_record {
    const struct gy_h1 *connection;
    /* NULL when no head could be read: then the transport refused what came. */
    const struct gy_http_exchange *exchange;
    uint64_t begun_ns;   /* the `now_ns` of the turn that parsed its head */
    uint64_t body_bytes; /* of the response, as far as it was handed over; framing is not counted */
    uint16_t status;     /* of the final response; 0: the exchange ended without one */
    uint8_t minor;       /* of HTTP/1.x */
    int reason;          /* as `closed` has it: 0, the response was handed over whole */
};

/*
 * What the connections of one worker share. Everything pointed to outlives them.
 */
struct gy_h1_env {
    const struct gy_http_handler *handler;
    void *context; /* the handler's */
    struct gy_slab *exchanges;
    /* Set it behind gy_h1_env_init(). For requests that may become tunnels, which last: items half
     * the size. Without it (NULL), or when it is at its bound, they are as the others. */
    struct gy_slab *tunnels;
    struct gy_bump *bump;
    /* Set it behind gy_h1_env_init(). Without it (NULL) heads are kept in output memory, which is
     * for tests: peers who send heads and no bodies could hold all of it. */
    struct gy_h1_heads *heads;
    /* A handler did something outside a turn of this connection: give it a turn soon (never from
     * within this call). May be called repeatedly. */
    void (*wake)(struct gy_h1 *connection);
    /* A request is over: for logs and histograms. Texts of the exchange are valid during the call.
     * NULL (at first): nobody wants to know. */
    void (*over)(struct gy_h1_env *env, const struct gy_h1_record *record);
    struct gy_h1_limits limits;
    struct gy_h1_counters counters;
    const struct gy_h1_parser *parser; /* chosen by gy_h1_env_init() for this processor */
    char common[128];                  /* the Date and Server lines */
    uint32_t common_bytes;
    uint32_t date_bytes; /* of them, the Date line */
};

/* The bytes of a slab item that an active request needs: gy_slab_init(…, gy_h1_exchange_bytes()).
 * The slab's capacity bounds the requests active at once; past it requests get 503. */
uint32_t gy_h1_exchange_bytes(void);

/* Likewise of env->tunnels. */
uint32_t gy_h1_tunnel_bytes(void);

/* `server` is the Server field's value: a token and versions, at most 64 bytes; NULL for no such
 * field. 0, or GY_EINVAL for a name that cannot be sent. */
int gy_h1_env_init(struct gy_h1_env *env, const struct gy_http_handler *handler, void *context,
                   struct gy_slab *exchanges, struct gy_bump *bump,
                   void (*wake)(struct gy_h1 *connection), const char *server);

/* The current date for the Date field, as gy_http_date() writes it. Call it before the first turn
 * and once a second. */
void gy_h1_env_date(struct gy_h1_env *env, const char date[GY_HTTP_DATE_BYTES]);

/* How far the search for the end of a head has come in `in`. Before a head: all zero. */
struct gy_h1_scan {
    uint32_t scanned; /* bytes passed */
    uint8_t state;
};

/* Where in a body the reading is. Private to protocols/http. */
struct gy_h1_body {
    uint64_t left;            /* bytes of the body, or of the chunk, still to come */
    uint64_t seen;            /* bytes of chunks announced so far */
    uint64_t max;             /* bytes it may have */
    uint32_t extension_bytes; /* of this chunk's extensions */
    uint32_t extension_total;
    uint32_t extension_max; /* of one chunk; of a body 16 times that */
    uint8_t state;          /* enum gy_h1_body_state */
    uint8_t size_digits;
};

/* One connection. Embed it in the owner's connection; its members are private. */
struct gy_h1 {
    struct gy_h1_env *env;
    struct gy_chain *out;
    struct gy_h1_exchange *exchange; /* NULL unless a request is active */
    void *owner;                     /* gy_http_connection() */
    uint64_t since_ns;               /* when the wait that is timed now began */
    struct gy_h1_scan scan;          /* the search for the head's end */
    uint32_t requests;               /* whose heads were read */
    uint32_t patience_ms;            /* while draining: with a peer who was not told */
    uint16_t flags;
    uint8_t phase;
    uint8_t empty_lines;
};

/* `out` has the same slab of links as the `in` of gy_h1_turn(). `secure`: requests are https.
 * `owner` is what handlers get from gy_http_connection(); may be NULL. */
void gy_h1_init(struct gy_h1 *connection, struct gy_h1_env *env, struct gy_chain *out, void *owner,
                bool secure, uint64_t now_ns);

/* What the owner is to do. Several at once. */
enum gy_h1_want {
    GY_H1_READ = 1 << 0,     /* go on receiving; without it, stop: the peer must wait */
    GY_H1_ROOM = 1 << 1,     /* more output is waiting: turn again when `out` has drained to half of
                                output_high, or less */
    GY_H1_RETRY = 1 << 2,    /* no output memory, no links: turn again when some sends completed */
    GY_H1_SHUTDOWN = 1 << 3, /* when `out` is sent, shut the sending side and read on (a tunnel) */
    GY_H1_CLOSE = 1 << 4,    /* when `out` is sent, close; call gy_h1_close() then */
    GY_H1_LINGER = 1 << 5,   /* with CLOSE: shut the sending side, read and discard for a bounded
                                while, then close (RFC 9112 §9.6) */
    GY_H1_IDLE = 1 << 6,     /* between requests: may be closed at will */
};

/*
 * Does all that can be done now. `eof`: nothing will come behind `in` (and stays true from then
 * on). Returns gy_h1_wants(). Not to be called from within a handler.
 */
uint32_t gy_h1_turn(struct gy_h1 *connection, struct gy_chain *in, bool eof, uint64_t now_ns);

/* Or'ed enum gy_h1_want, as after the last turn; `in` is what is left there now. */
uint32_t gy_h1_wants(const struct gy_h1 *connection, const struct gy_chain *in);

/* When gy_h1_expire() is to be called (ns, on the clock of now_ns), or GY_H1_NO_DEADLINE. Changes
 * with every turn; a timer that fires early only needs to ask again. */
uint64_t gy_h1_deadline(const struct gy_h1 *connection);

/* The deadline has passed: answers 408 where a request has begun, and closes. Does nothing before
 * the deadline. Follow gy_h1_wants() afterwards, as after a turn. */
void gy_h1_expire(struct gy_h1 *connection, uint64_t now_ns);

/* The server is leaving: the next response whose head is written says "Connection: close", and is
 * the last one. A peer who was not told so, as its connection idles or the response under way has
 * begun, may send one more request until `patience_ms` after now, or after that response: who is
 * just about to use the connection is answered rather than cut off. With patience 0 it wants to
 * close at once, or behind that response. Requests behind the last one are not answered. Follow
 * gy_h1_wants() and gy_h1_deadline() afterwards. A tunnel goes on: close it when patience ends. */
void gy_h1_drain(struct gy_h1 *connection, uint64_t now_ns, uint32_t patience_ms);

/* The connection is gone or must go (reset, write deadline, after GY_H1_CLOSE was followed): ends
 * an active exchange with `reason` (GY_E… code) and gives all memory back. `in` and `out` are the
 * owner's to clear. The last call; doing it twice is harmless. Not from within a handler. */
void gy_h1_close(struct gy_h1 *connection, int reason);

#endif
