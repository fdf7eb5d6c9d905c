/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_CLIENT_H
#define GY_PROTOCOLS_HTTP_H1_CLIENT_H

/*
 * HTTP/1.1, the client's side of one connection (RFC 9112): requests go out, responses come in. No
 * sockets, no clock, no allocation.
 *
 * The owner keeps two chains, `in` and `out`, exactly as for the server's side (h1.h), and follows
 * the same enum gy_h1_want. A request with its response is a *call*: the caller's memory, linked
 * into the connection from gy_h1_client_send() until its `closed`.
 *
 *     gy_h1_client_init(&client, &env, &stream->out, owner, now_ns);
 *     call.ops = &ops;
 *     gy_h1_client_send(&client, &call, &(struct gy_h1_request){
 *         .method = GY_HTTP_TEXT("GET"), .target = …, .authority = …}, now_ns);
 *     … gy_h1_client_turn(&client, &stream->in, stream->eof, now_ns) whenever something changed
 *
 * Order of callbacks of a call: `informed` for each 1xx, `response`, `body` as it arrives,
 * `trailers`, and `closed` exactly once, last; it may come at any point. From within `closed` the
 * next request may be sent, when gy_h1_client_ready() says so.
 *
 * Pipelining: requests with idempotent methods and without pulled bodies may follow each other
 * before the first is answered, up to env->pipeline of them (RFC 9112 §9.3.2). What was not
 * answered when a connection ended can be told by gy_h1_call_unanswered(), and may be sent again on
 * another one (§9.3.1).
 *
 * Responses are read as strictly as the server reads requests: no bare LF, no folded fields, no
 * repeated Content-Length, no Transfer-Encoding but chunked and none beside Content-Length. Who
 * breaks a rule is cut off; gy_h1_client_breach() says which rule.
 */

#include "h1.h"

/* Beside what gy_h1_refusal names: name, the sentence. */
#define GY_H1_BREACHES(X)                                                                          \
    X(STATUS_LINE, "The status line is not version, status and phrase.")                           \
    X(STATUS_LINE_LIMIT, "The status line is too long.")                                           \
    X(STATUS, "The status is not between 100 and 599.")                                            \
    X(SWITCHED, "The protocol was switched without being asked to.")                               \
    X(INFORMATIONAL_LIMIT, "There are too many informational responses.")                          \
    X(UNASKED, "There are bytes that no request asked for.")                                       \
    X(TRUNCATED_HEAD, "The connection ended within the head of a response.")                       \
    X(TRUNCATED_BODY, "The connection ended within the body of a response.")

enum gy_h1_breach {
    GY_H1_BREACH_FIRST = GY_H1_REFUSAL_COUNT - 1, /* no breach */
#define GY_H1_BREACH_ENUM(name, sentence) GY_H1_BREACH_##name,
    GY_H1_BREACHES(GY_H1_BREACH_ENUM)
#undef GY_H1_BREACH_ENUM
        GY_H1_BREACH_END,
};

struct gy_h1_call;

/* All but `closed` may be NULL. */
struct gy_h1_call_ops {
    /* An informational response (100, 102 to 199) arrived; ask for its fields here only. */
    void (*informed)(struct gy_h1_call *call);

    /* The final response's head is there: gy_h1_call_status() and the fields, which stay valid
     * until `closed` returns (they may move between callbacks). */
    void (*response)(struct gy_h1_call *call);

    /* More of the body, or of a tunnel's bytes. What is left in `bytes` on return is dropped.
     * `end`: that was all (bytes may be empty). Not called for a response without a body. */
    void (*body)(struct gy_h1_call *call, struct gy_chain *bytes, bool end);

    /* The trailers have arrived; before the `body` with `end`. */
    void (*trailers)(struct gy_h1_call *call);

    /* Append at most `budget` (> 0) bytes of the request's pulled body, or of a tunnel's bytes.
     * Returns an enum gy_http_pull or a negative GY_E… code, which cancels the call. */
    int (*pull)(struct gy_h1_call *call, struct gy_chain *out, uint32_t budget);

    /* The call is over, and its memory the caller's again. `reason`: 0, the response came whole;
     * GY_ECLOSED, the connection ended; GY_EPROTO and GY_ELIMIT, the server broke the protocol or
     * a limit; GY_ETIMEOUT; GY_ENOBUFS; or what gy_h1_call_cancel() or `pull` gave. */
    void (*closed)(struct gy_h1_call *call, int reason);
};

/* The caller sets ops and context; all else is filled by gy_h1_client_send(). About 1 KiB. */
struct gy_h1_call {
    const struct gy_h1_call_ops *ops;
    void *context; /* the caller's */

    struct gy_h1_client *client; /* NULL when it is not under way */
    struct gy_h1_call *next;
    const uint8_t *head_data;
    struct gy_buffer *head_buffer;
    struct gy_slice trailers;
    uint64_t content_length;
    uint64_t send_left; /* of the request's body; GY_HTTP_UNKNOWN: in chunks */
    uint32_t head_bytes;
    int reason; /* of a cancellation */
    struct gy_http_span phrase;
    uint16_t status;
    uint16_t field_count;
    uint16_t trailer_count; /* behind the fields in the table */
    uint16_t flags;
    uint8_t method; /* enum gy_http_method */
    uint8_t minor;
    struct gy_http_field fields[GY_HTTP_FIELDS_MAX];
};

/* The request; used during the call of gy_h1_client_send() only. */
struct gy_h1_request {
    struct gy_http_text method;    /* a token */
    struct gy_http_text target;    /* origin-form "/path?query"; "*" for OPTIONS; host:port for
                                      CONNECT (RFC 9112 §3.2) */
    struct gy_http_text authority; /* host[:port], for the Host field */
    struct gy_http_text upgrade;   /* protocols to switch to (RFC 9110 §7.8); or empty */
    const struct gy_http_header *headers; /* not those that frame: Connection, Content-Length,
                                             Expect, Host, Keep-Alive, TE, Trailer,
                                             Transfer-Encoding, Upgrade */
    uint32_t header_count;
    uint8_t kind; /* enum gy_http_body */
    bool close;   /* say that it is the connection's last */
    union {
        struct gy_http_text text; /* copied */
        struct gy_slice slice;    /* taken over, whatever is returned */
        struct gy_chain *chain;   /* emptied, whatever is returned */
        uint64_t length;          /* of a pulled body; GY_HTTP_UNKNOWN: sent in chunks */
    } body;
};

struct gy_h1_client_counters {
    uint64_t connections;
    uint64_t requests;
    uint64_t responses[6]; /* by class; [1] counts informational ones */
    uint64_t failed;       /* calls that ended without a whole response */
    uint64_t body_bytes_in;
    uint64_t copied_bytes;
    uint64_t starved;
};

/* What the connections of one worker share; outlives them. */
struct gy_h1_client_env {
    struct gy_bump *bump;
    /* Something was done outside a turn of this connection: give it a turn soon (never from within
     * this call). */
    void (*wake)(struct gy_h1_client *client);
    /* Of responses: line_bytes, head_bytes, fields, trailer_bytes, chunk_extension_bytes,
     * body_bytes (no limit unless set), output_high; header_timeout_ms (30,000) runs from the
     * request to the end of the response's head, body_timeout_ms and body_progress_bytes as for
     * the server. The others mean nothing here. */
    struct gy_h1_limits limits;
    uint32_t pipeline;      /* requests unanswered at once; 1 (none ahead) unless set */
    uint32_t informational; /* 1xx responses to one request; 16 */
    struct gy_h1_client_counters counters;
    const struct gy_h1_parser *parser;
};

void gy_h1_client_env_init(struct gy_h1_client_env *env, struct gy_bump *bump,
                           void (*wake)(struct gy_h1_client *client));

/* One connection. Embed it in the owner's connection; its members are private. */
struct gy_h1_client {
    struct gy_h1_client_env *env;
    struct gy_chain *out;
    void *owner;
    struct gy_h1_call *first; /* is being answered, or will be next */
    struct gy_h1_call *last;
    uint64_t since_ns;
    struct gy_h1_body body; /* of the first call's response */
    uint32_t progress;      /* body bytes since since_ns */
    struct gy_h1_scan scan;
    uint32_t unanswered; /* calls in the queue */
    uint16_t informed;   /* 1xx responses to the first call */
    uint16_t breach;     /* enum gy_h1_refusal or gy_h1_breach; 0: none */
    uint16_t flags;
    uint8_t phase;
};

/* `out` has the same slab of links as the `in` of gy_h1_client_turn(). */
void gy_h1_client_init(struct gy_h1_client *client, struct gy_h1_client_env *env,
                       struct gy_chain *out, void *owner, uint64_t now_ns);

/* Whether a request with this method can be sent now: the connection will persist, and what is
 * unanswered allows it. `pulled`: its body is pulled, or it may become a tunnel. */
bool gy_h1_client_ready(const struct gy_h1_client *client, enum gy_http_method method, bool pulled);

/* Writes the request and queues the call. 0; GY_ESTATE (not ready), GY_EINVAL (something cannot be
 * sent, or has no place there), GY_ELIMIT (its head is larger than 16 KiB), GY_ENOBUFS (nothing was
 * written). After an error `closed` is not called. Follow the wants afterwards. */
int gy_h1_client_send(struct gy_h1_client *client, struct gy_h1_call *call,
                      const struct gy_h1_request *request, uint64_t now_ns);

/* Does all that can be done now; returns gy_h1_client_wants(). Not from within a callback. */
uint32_t gy_h1_client_turn(struct gy_h1_client *client, struct gy_chain *in, bool eof,
                           uint64_t now_ns);

/* enum gy_h1_want, or'ed. GY_H1_IDLE: no call is under way and the connection persists. */
uint32_t gy_h1_client_wants(const struct gy_h1_client *client);

/* When gy_h1_client_expire() is to be called (ns), or GY_H1_NO_DEADLINE: while the server is
 * waited for. How long an idle connection is kept is its owner's business. */
uint64_t gy_h1_client_deadline(const struct gy_h1_client *client);
void gy_h1_client_expire(struct gy_h1_client *client, uint64_t now_ns);

/* The connection is gone or must go: ends all calls with `reason`. The last call; doing it twice is
 * harmless. Not from within a callback. */
void gy_h1_client_close(struct gy_h1_client *client, int reason);

/* What the server broke, as a sentence; "" when it broke nothing. */
const char *gy_h1_client_breach(const struct gy_h1_client *client);

/* ---- of a call --------------------------------------------------------------------------------
 */

static inline uint16_t gy_h1_call_status(const struct gy_h1_call *call)
{
    return call->status;
}

static inline struct gy_http_text gy_h1_call_phrase(const struct gy_h1_call *call)
{
    return gy_http_span_text(call->head_data, call->phrase);
}

/* HTTP/1.minor as the server said. */
static inline uint8_t gy_h1_call_minor(const struct gy_h1_call *call)
{
    return call->minor;
}

/* The body's length in bytes, 0 without a body, or GY_HTTP_UNKNOWN. For HEAD and 304: 0. */
static inline uint64_t gy_h1_call_length(const struct gy_h1_call *call)
{
    return call->content_length;
}

/* Fields in the order received. index < count. */
static inline uint32_t gy_h1_call_field_count(const struct gy_h1_call *call)
{
    return call->field_count;
}

struct gy_http_text gy_h1_call_field_name(const struct gy_h1_call *call, uint32_t index);
struct gy_http_text gy_h1_call_field_value(const struct gy_h1_call *call, uint32_t index);

/* As gy_http_field_find(). */
struct gy_http_text gy_h1_call_field_find(const struct gy_h1_call *call, const char *name,
                                          uint32_t *from);

/* Once `trailers` was called; index < count. */
static inline uint32_t gy_h1_call_trailer_count(const struct gy_h1_call *call)
{
    return call->trailer_count;
}

struct gy_http_text gy_h1_call_trailer_name(const struct gy_h1_call *call, uint32_t index);
struct gy_http_text gy_h1_call_trailer_value(const struct gy_h1_call *call, uint32_t index);

/* Within `closed`: no byte of a response was seen, so that an idempotent request may be sent again
 * elsewhere without knowing more. */
bool gy_h1_call_unanswered(const struct gy_h1_call *call);

/* The response has turned the connection into a tunnel (101, or 2xx to CONNECT): `body` gets the
 * server's bytes and `pull` is asked for ours; the connection ends with it. */
bool gy_h1_call_is_tunnel(const struct gy_h1_call *call);

/* No more of the body for now; and go on. A paused call stops the connection's reading. */
void gy_h1_call_pause(struct gy_h1_call *call, bool paused);

/* A `pull` that said GY_HTTP_WAIT has more. Harmless at any time. */
void gy_h1_call_wake(struct gy_h1_call *call);

/* Gives the call up, and with it the connection. `closed` comes later, with `reason`. */
void gy_h1_call_cancel(struct gy_h1_call *call, int reason);

#endif
