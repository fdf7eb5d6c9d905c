/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_HTTP_H
#define GY_PROTOCOLS_HTTP_HTTP_H

/*
 * HTTP as a handler sees it: one request, one response, whatever version carries them.
 *
 * An exchange is one request with its response (RFC 9110 §3.4). A transport (HTTP/1.1 here; HTTP/2
 * and HTTP/3 beside it) makes one when a request's head is complete, calls the handler, and carries
 * out what the handler asks of the exchange. A handler never learns which version that is.
 *
 *     static void hello(struct gy_http_exchange *exchange)
 *     {
 *         gy_http_answer(exchange, 200, "text/plain", "Hello, world!", 13);
 *     }
 *     static const struct gy_http_handler handler = {.request = hello};
 *
 * is a complete server. A handler answers within `request`, or keeps the exchange and answers
 * later, from the same worker: the transport then notices by itself.
 *
 * Life: `request` first, then `body` and `trailers` as they arrive, `pull` whenever there is room
 * for more of the response, and `closed` exactly once, last. Until `closed` returns the exchange is
 * valid; calls that no longer make sense return GY_ESTATE and do nothing. The exchange ends when
 * its response is complete (what is left of the request's body is then the transport's to discard),
 * when it is cancelled, or when the connection is lost.
 *
 * Everything here belongs to one worker; nothing is shared, nothing blocks, nothing allocates.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../core/error.h"
#include "../../core/slice.h"

struct gy_http_exchange;

/* Characters that somebody else owns. Not terminated by a zero. */
struct gy_http_text {
    const char *data;
    size_t length; /* bytes */
};

#define GY_HTTP_TEXT(literal) ((struct gy_http_text){"" literal "", sizeof(literal) - 1})

static inline struct gy_http_text gy_http_text_of(const char *zero_terminated)
{
    return (struct gy_http_text){zero_terminated, strlen(zero_terminated)};
}

/* Equal byte for byte; equal when ASCII letters' case is ignored. */
bool gy_http_text_equal(struct gy_http_text a, struct gy_http_text b);
bool gy_http_text_equal_nocase(struct gy_http_text a, struct gy_http_text b);

/* ---- the handler ----------------------------------------------------------------------------- */

/* What `pull` says. A negative GY_E… code instead cancels the exchange for that reason. */
enum gy_http_pull {
    GY_HTTP_MORE = 1,  /* there is more now: ask again when there is room */
    GY_HTTP_WAIT = 2,  /* there will be more: I shall call gy_http_wake() */
    GY_HTTP_END = 3,   /* that was all (trailers set by gy_http_trailers follow) */
    GY_HTTP_RETRY = 4, /* a bounded pool of memory was empty: ask again when some has come back */
};

/* Requests that a transport answers itself with 501 (or, server-wide OPTIONS, with 204) unless the
 * handler takes them. */
enum gy_http_takes {
    GY_HTTP_TAKES_CONNECT = 1 << 0,        /* CONNECT without :protocol: a proxy's tunnel */
    GY_HTTP_TAKES_TRACE = 1 << 1,          /* TRACE (RFC 9110 §9.3.8) */
    GY_HTTP_TAKES_SERVER_OPTIONS = 1 << 2, /* "OPTIONS *" (RFC 9110 §9.3.7) */
};

/* All but `request` may be NULL. */
struct gy_http_handler {
    /* The head is complete. Texts got from the exchange are valid until the callback returns; ask
     * again in a later callback (they may have moved). */
    void (*request)(struct gy_http_exchange *exchange);

    /*
     * More of the request's body, or of a tunnel's bytes, has arrived. `end`: that was all (bytes
     * may be empty); in a tunnel it says that the peer will send no more.
     * What is left in `bytes` on return is dropped, and its flow-control credit given back. What
     * the handler moves out (gy_chain_move) it owns, and gives the credit back with
     * gy_http_consume() when it is done with it. Slices kept past the callback pin the worker's
     * receive buffers: keep them briefly, or copy.
     * NULL: bodies are read and discarded.
     */
    void (*body)(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end);

    /* The request's trailer section has arrived (gy_http_trailer…). Called after the last `body`
     * with bytes and before the one with `end`; not called when there are no trailers. */
    void (*trailers)(struct gy_http_exchange *exchange);

    /*
     * Append at most `budget` (> 0) bytes of the response's body, or of a tunnel's bytes, to `out`.
     * Returns an enum gy_http_pull, or a negative GY_E… code. More bytes than the budget, or than
     * the length that was promised, cancels the exchange; so does ending short of that length.
     */
    int (*pull)(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget);

    /* The exchange is over, and no longer valid when this returns. `reason`: 0, the response was
     * handed over whole; GY_ECLOSED, the peer went away; GY_ETIMEOUT; GY_EPROTO and GY_ELIMIT, the
     * body broke the protocol or a limit; or what gy_http_cancel() was given. */
    void (*closed)(struct gy_http_exchange *exchange, int reason);

    /* The server is leaving, and the exchange is a tunnel, which may have no end of its own: bring
     * it to one. It is cut off when the drain's time is over. */
    void (*drain)(struct gy_http_exchange *exchange);

    uint64_t body_max; /* bytes a request's body may have; 0: the transport's limit */
    uint32_t takes;    /* enum gy_http_takes, or'ed */
};

/* ---- what the request says ------------------------------------------------------------------- */

/* The methods of RFC 9110 §9 and RFC 5789, so that a handler can switch. */
enum gy_http_method {
    GY_HTTP_OTHER, /* any other token: see gy_http_method_name() */
    GY_HTTP_GET,
    GY_HTTP_HEAD,
    GY_HTTP_POST,
    GY_HTTP_PUT,
    GY_HTTP_DELETE,
    GY_HTTP_CONNECT,
    GY_HTTP_OPTIONS,
    GY_HTTP_TRACE,
    GY_HTTP_PATCH,
};

/* Fields a request may have, trailers included: the size of the exchange's table. */
#define GY_HTTP_FIELDS_MAX 100

/* The length of a body that nobody knows yet. */
#define GY_HTTP_UNKNOWN UINT64_MAX

/* A piece of the head: positions from its first byte, so that the head can move. A head is at most
 * 64 KiB - 1. */
struct gy_http_span {
    uint16_t offset;
    uint16_t length;
};

struct gy_http_field {
    struct gy_http_span name; /* as the peer wrote it; compare without regard to case */
    struct gy_http_span value;
};

/*
 * The exchange. Handlers use the functions below, never the members. A transport makes it the first
 * member of its own structure, fills it when the head is complete, and keeps the rest of its state
 * behind it.
 */
struct gy_http_exchange {
    const struct gy_http_transport *transport;
    const struct gy_http_handler *handler;
    void *context;               /* what the handler was registered with */
    void *connection;            /* what the server said of the connection */
    void *state;                 /* the handler's own, NULL at first */
    const uint8_t *head_data;    /* where spans of the head point */
    const uint8_t *trailer_data; /* where spans of trailers point */
    struct gy_buffer *head_buffer;
    struct gy_buffer *trailer_buffer;
    uint64_t content_length; /* GY_HTTP_UNKNOWN when the peer does not say */
    struct gy_http_span method_name;
    struct gy_http_span authority;
    struct gy_http_span target;
    struct gy_http_span protocol;
    uint16_t field_count;
    uint16_t trailer_count; /* behind the header fields in the table */
    uint8_t method;         /* enum gy_http_method */
    bool secure;            /* scheme https */
    bool has_body;          /* a body follows or may follow (it may turn out empty) */
    bool peer_expects_more; /* the peer waits for 100 (Continue) */
    struct gy_http_field fields[GY_HTTP_FIELDS_MAX];
};

static inline struct gy_http_text gy_http_span_text(const uint8_t *data, struct gy_http_span span)
{
    return (struct gy_http_text){(const char *)data + span.offset, span.length};
}

/* What the handler was registered with, and the handler's own pointer for this exchange. */
static inline void *gy_http_context(const struct gy_http_exchange *exchange)
{
    return exchange->context;
}

/* What the server attached to the connection that carries the exchange (see the server: the peer's
 * address, say), the same for every version; may be NULL. */
static inline void *gy_http_connection(const struct gy_http_exchange *exchange)
{
    return exchange->connection;
}

static inline void *gy_http_state(const struct gy_http_exchange *exchange)
{
    return exchange->state;
}

static inline void gy_http_set_state(struct gy_http_exchange *exchange, void *state)
{
    exchange->state = state;
}

static inline enum gy_http_method gy_http_method(const struct gy_http_exchange *exchange)
{
    return (enum gy_http_method)exchange->method;
}

static inline struct gy_http_text gy_http_method_name(const struct gy_http_exchange *exchange)
{
    return gy_http_span_text(exchange->head_data, exchange->method_name);
}

/* "http" or "https". */
static inline struct gy_http_text gy_http_scheme(const struct gy_http_exchange *exchange)
{
    return exchange->secure ? GY_HTTP_TEXT("https") : GY_HTTP_TEXT("http");
}

/* host[:port] of the target URI (RFC 9110 §7.1): already checked; this, not the Host field, is what
 * to route by. Empty only for HTTP/1.0 requests that name none. */
static inline struct gy_http_text gy_http_authority(const struct gy_http_exchange *exchange)
{
    return gy_http_span_text(exchange->head_data, exchange->authority);
}

/* Path and query as sent, percent-encoding untouched, always beginning with "/"; "*" for
 * server-wide OPTIONS; empty for CONNECT without :protocol. Characters 0x21 to 0x7e but '#'. */
static inline struct gy_http_text gy_http_target(const struct gy_http_exchange *exchange)
{
    return gy_http_span_text(exchange->head_data, exchange->target);
}

/*
 * The protocol that the peer asks to speak over this exchange (":protocol" of RFC 8441 and 9220;
 * the Upgrade field of HTTP/1.1, RFC 9110 §7.8), or empty. A handler that wants it calls
 * gy_http_tunnel(); one that does not answers as if it were not there. It may be a list: use
 * gy_http_list_has(). The method is then whatever the version asks with, GET or CONNECT.
 */
static inline struct gy_http_text gy_http_protocol(const struct gy_http_exchange *exchange)
{
    return gy_http_span_text(exchange->head_data, exchange->protocol);
}

/* Header fields in the order received. index < count. */
static inline uint32_t gy_http_field_count(const struct gy_http_exchange *exchange)
{
    return exchange->field_count;
}

struct gy_http_text gy_http_field_name(const struct gy_http_exchange *exchange, uint32_t index);
struct gy_http_text gy_http_field_value(const struct gy_http_exchange *exchange, uint32_t index);

/* The first field of this name (any case), or a text with data NULL. Fields that are lists may have
 * further lines: pass the index to go on from, 0 at first; it is moved behind the one found. `from`
 * may be NULL. */
struct gy_http_text gy_http_field_find(const struct gy_http_exchange *exchange, const char *name,
                                       uint32_t *from);

/* Trailer fields, once `trailers` has been called. Fields that must not come in trailers (RFC 9110
 * §6.5.1) were dropped. */
static inline uint32_t gy_http_trailer_count(const struct gy_http_exchange *exchange)
{
    return exchange->trailer_count;
}

struct gy_http_text gy_http_trailer_name(const struct gy_http_exchange *exchange, uint32_t index);
struct gy_http_text gy_http_trailer_value(const struct gy_http_exchange *exchange, uint32_t index);

/* The request's body length in bytes: 0 without one, GY_HTTP_UNKNOWN when the peer does not say. */
static inline uint64_t gy_http_content_length(const struct gy_http_exchange *exchange)
{
    return exchange->content_length;
}

/* A text of this exchange's head as a slice: the caller holds it, however long it likes. */
struct gy_slice gy_http_text_slice(const struct gy_http_exchange *exchange,
                                   struct gy_http_text text);

/* Whether a comma-separated list (RFC 9110 §5.6.1) has this token, without regard to case;
 * parameters behind ';' are ignored. */
bool gy_http_list_has(struct gy_http_text list, const char *token);

/* ---- what the handler answers ---------------------------------------------------------------- */

/* A field to send. The name is a token, the value has no CR, LF, NUL or other control characters
 * but HTAB; both are checked (nothing a handler passes on can split a response). The transport
 * writes Date, Server, and all that frames a message: Connection, Content-Length, Keep-Alive,
 * Transfer-Encoding, Upgrade. Naming one of those is an error, but for Date and Server, which then
 * replace the transport's, and for Upgrade in a 426. */
struct gy_http_header {
    struct gy_http_text name;
    struct gy_http_text value;
};

#define GY_HTTP_HEADER(name, value)                                                                \
    ((struct gy_http_header){GY_HTTP_TEXT(name), GY_HTTP_TEXT(value)})

enum gy_http_body {
    GY_HTTP_BODY_NONE,  /* no body (Content-Length: 0 where the status may have one) */
    GY_HTTP_BODY_TEXT,  /* bytes that are copied at once: small ones */
    GY_HTTP_BODY_SLICE, /* one slice: taken over, sent without copying unless small */
    GY_HTTP_BODY_CHAIN, /* a chain: emptied into the response */
    GY_HTTP_BODY_PULL,  /* the handler's `pull` is asked for it */
};

struct gy_http_response {
    uint16_t status; /* 200 to 599 */
    uint8_t kind;    /* enum gy_http_body */
    /* 1: all of a pulled body is in memory in any case, so that a peer who does not read holds
     * nothing by it, and more of it may lie in the output, to leave in fewer, longer sends. */
    uint8_t in_memory;
    uint32_t header_count;
    const struct gy_http_header *headers; /* used during the call only */
    union {
        struct gy_http_text text;
        struct gy_slice slice;
        struct gy_chain *chain;
        uint64_t length; /* of a pulled body, in bytes, or GY_HTTP_UNKNOWN */
    } body;
};

/*
 * Sends the response. For HEAD, 204, 205 and 304 the body is dropped (HEAD and 304 still say its
 * length). The slice or chain is taken over whatever is returned.
 * 0, or GY_ESTATE (already answered, over), GY_EINVAL (status or field not allowed: the peer gets a
 * 500), GY_ENOBUFS (no output memory: the exchange is cancelled). After an error other than
 * GY_ESTATE `closed` follows by itself, so that a handler may ignore what this returns.
 */
int gy_http_respond(struct gy_http_exchange *exchange, const struct gy_http_response *response);

/* Sends a small response with a Content-Type (NULL: none) and bytes that are copied. Errors as
 * above. */
int gy_http_answer(struct gy_http_exchange *exchange, uint16_t status, const char *content_type,
                   const void *body, size_t body_bytes);

/* Sends an informational response (RFC 9110 §15.2): 103 with its fields, or 100. Not 101, see
 * gy_http_tunnel(). Quietly does nothing where the peer could not understand it (HTTP/1.0). 0,
 * GY_ESTATE once the final response was given, GY_EINVAL, GY_ENOBUFS (nothing was sent). */
int gy_http_inform(struct gy_http_exchange *exchange, uint16_t status,
                   const struct gy_http_header *headers, uint32_t header_count);

/* Trailers to send behind a pulled body of unknown length: call before `pull` returns GY_HTTP_END.
 * They are dropped where the version or the peer cannot take them. 0, GY_ESTATE, GY_EINVAL,
 * GY_ENOBUFS (nothing kept). Calling it again adds more. */
int gy_http_trailers(struct gy_http_exchange *exchange, const struct gy_http_header *headers,
                     uint32_t header_count);

/* A pulled body (or tunnel) that said GY_HTTP_WAIT has more, or its end. Harmless at any time. */
void gy_http_wake(struct gy_http_exchange *exchange);

/* Gives back flow-control credit for body bytes that were moved out of the chain in `body`. */
void gy_http_consume(struct gy_http_exchange *exchange, uint32_t bytes);

/*
 * Called within `request`: nothing of the body is wanted yet. No 100 (Continue) is sent and no body
 * delivered until gy_http_consume() gives the first credit (of as many bytes as wanted). Without
 * this call the body starts to flow, and a waiting peer is told to go on, when `request` returns
 * without having answered.
 */
void gy_http_defer_body(struct gy_http_exchange *exchange);

/*
 * Turns the exchange into a two-way tunnel: answers 101 with Upgrade `protocol` (HTTP/1.1) or 200
 * (CONNECT), with these fields. From then on `body` gets the peer's bytes and `pull` is asked for
 * ours; GY_HTTP_END closes our direction, `end` the peer's, and when both are closed `closed` is
 * called with 0. `protocol` is one that gy_http_protocol() listed, and empty (data NULL) for plain
 * CONNECT. 0; GY_ESTATE when answered already, not asked for by the peer, or while a request body
 * is still to be read; GY_EINVAL, GY_ENOBUFS as for gy_http_respond().
 */
int gy_http_tunnel(struct gy_http_exchange *exchange, struct gy_http_text protocol,
                   const struct gy_http_header *headers, uint32_t header_count);

/* Gives the exchange up. Before a response was given the peer gets a 500; after that the message
 * is cut off so that the peer can tell it is incomplete. `reason` (negative GY_E… code) comes back
 * in `closed`, which is called later, not from here. */
void gy_http_cancel(struct gy_http_exchange *exchange, int reason);

/* ---- helpers --------------------------------------------------------------------------------- */

#define GY_HTTP_DATE_BYTES 29

/* Writes a date as HTTP does (IMF-fixdate, RFC 9110 §5.6.7), 29 bytes without a zero.
 * unix_seconds: 0 to the end of the year 9999. */
void gy_http_date(uint64_t unix_seconds, char date[GY_HTTP_DATE_BYTES]);

/* The reason phrase of a status (RFC 9110 §15 and the IANA registry), "" when it has none. */
const char *gy_http_reason(uint16_t status);

/* ---- for transports -------------------------------------------------------------------------- */

/* What a version does for an exchange. Arguments and returns are those of the calls above. */
struct gy_http_transport {
    /* Itself. A table that a handler puts before it, into an exchange that it got, keeps this: its
     * calls may do something first (change a response), and then call those of `under`. The handler
     * puts the transport itself back when the exchange is closed. */
    const struct gy_http_transport *under;
    int (*respond)(struct gy_http_exchange *exchange, const struct gy_http_response *response);
    int (*inform)(struct gy_http_exchange *exchange, uint16_t status,
                  const struct gy_http_header *headers, uint32_t header_count);
    int (*trailers)(struct gy_http_exchange *exchange, const struct gy_http_header *headers,
                    uint32_t header_count);
    int (*tunnel)(struct gy_http_exchange *exchange, struct gy_http_text protocol,
                  const struct gy_http_header *headers, uint32_t header_count);
    void (*wake)(struct gy_http_exchange *exchange);
    void (*consume)(struct gy_http_exchange *exchange, uint32_t bytes);
    void (*defer_body)(struct gy_http_exchange *exchange);
    void (*cancel)(struct gy_http_exchange *exchange, int reason);
};

#endif
