/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_INTERNAL_H
#define GY_PROTOCOLS_HTTP_H1_INTERNAL_H

/*
 * What the parts of the HTTP/1.1 connection share:
 *
 *   h1.c           the turn: which phase does what, deadlines, closing
 *   h1_request.c   the head: finding, joining, checking, calling the handler
 *   h1_heads.c     heads that outlive their turn
 *   h1_body.c      the request's body: by length, chunked, trailers; flow control
 *   h1_response.c  what handlers call
 *   h1_head_impl.h response heads, as they are written
 *   h1_output.c    pulled bodies and tunnels
 *   h1_refuse.c    refusals
 *   h1_framing.c   what the client's side does too: heads, chunks, trailers
 */

#include "protocols/http/h1.h"
#include "protocols/http/h1_framing.h"
#include "protocols/http/h1_parse.h"
#include "protocols/http/syntax.h"

/* Room in the output, and links, without which no request is started: so that a handler which
 * answers at once with an ordinary head cannot fail. */
#define GY_H1_ROOM_BYTES 2048
#define GY_H1_ROOM_LINKS 4

/* Empty lines (CR LF) that are skipped before a request line (RFC 9112 §2.2). */
#define GY_H1_EMPTY_LINES 2

enum gy_h1_phase {
    GY_H1_PHASE_HEAD,     /* between requests, or within a head */
    GY_H1_PHASE_EXCHANGE, /* a request is active */
    GY_H1_PHASE_TUNNEL,   /* the exchange is a tunnel */
    GY_H1_PHASE_CLOSING,  /* nothing more is answered; input is discarded */
    GY_H1_PHASE_CLOSED,   /* gy_h1_close() was called */
};

enum gy_h1_flag {
    GY_H1_SECURE = 1 << 0,
    GY_H1_IN_TURN = 1 << 1, /* handlers are called from here: no need to wake the owner */
    GY_H1_EOF = 1 << 2,
    GY_H1_DRAINING = 1 << 3, /* the server is leaving */
    GY_H1_LAST = 1 << 4,     /* this response is the connection's last */
    GY_H1_LINGERS = 1 << 5,  /* the peer may still be sending: close in stages */
    GY_H1_STARVED = 1 << 6,  /* the turn stopped for want of memory */
    GY_H1_BLOCKED = 1 << 7,  /* the turn stopped because `out` is full */
    GY_H1_BEGUN = 1 << 8,    /* part of a head has arrived */
    GY_H1_RETIME = 1 << 9,   /* the body's wait begins anew with the next turn */
};

enum gy_h1_answer_state {
    GY_H1_ANSWER_NONE,
    GY_H1_ANSWER_PULL, /* the head is written, the body is being pulled */
    GY_H1_ANSWER_TUNNEL,
    GY_H1_ANSWER_DONE,
};

enum gy_h1_exchange_flag {
    GY_H1_X_ACTIVE = 1 << 0,     /* holds a request; otherwise kept for the turn's next one */
    GY_H1_X_HANDLED = 1 << 1,    /* the handler knows it, and is owed `closed` */
    GY_H1_X_OVER = 1 << 2,       /* `closed` was called; the rest of the body is discarded */
    GY_H1_X_CANCELLED = 1 << 3,  /* the handler gave it up: see reason */
    GY_H1_X_BORROWED = 1 << 4,   /* the head lies where it cannot stay beyond the turn */
    GY_H1_X_CONTINUE = 1 << 5,   /* 100 (Continue) is owed */
    GY_H1_X_DEFERRED = 1 << 6,   /* no body is wanted yet */
    GY_H1_X_CHUNKED = 1 << 7,    /* the response's body is chunked */
    GY_H1_X_WAITING = 1 << 8,    /* `pull` said WAIT */
    GY_H1_X_HUNGRY = 1 << 9,     /* the body needs input to go on */
    GY_H1_X_IN_ENDED = 1 << 10,  /* tunnel: the peer's direction is closed */
    GY_H1_X_OUT_ENDED = 1 << 11, /* tunnel: ours is */
    GY_H1_X_IN_MEMORY = 1 << 12, /* the response's body is, in any case */
};

/* Fields that a small exchange has room for: browsers send 12 to 14 with an upgrade. */
#define GY_H1_SMALL_FIELDS 16

struct gy_h1_exchange {
    struct gy_h1 *connection;
    struct gy_h1_body body;
    uint64_t credit;          /* body bytes that may be delivered now */
    uint64_t drained;         /* bytes discarded since the exchange was over */
    uint64_t answer_left;     /* promised and not yet pulled; GY_HTTP_UNKNOWN */
    uint64_t answer_bytes;    /* of its body, handed over */
    uint64_t begun_ns;        /* the turn that parsed the head */
    struct gy_chain trailers; /* lines to send behind the body */
    struct gy_h1_head head;
    uint32_t progress; /* body bytes since connection->since_ns */
    int reason;        /* of a cancellation */
    uint16_t flags;
    uint16_t status; /* of the response; 0: none yet */
    uint8_t answer_state;
    bool small;                   /* of env->tunnels: base.fields ends where the memory does */
    struct gy_http_exchange base; /* last, its table of fields at its end */
};

/* Gives its memory back. */
void gy_h1_exchange_give(struct gy_h1 *connection);

extern const struct gy_http_transport gy_h1_transport;

static inline struct gy_h1_exchange *gy_h1_exchange_of(struct gy_http_exchange *exchange)
{
    gy_assert(exchange->transport->under == &gy_h1_transport);
    return (struct gy_h1_exchange *)(void *)((char *)exchange -
                                             offsetof(struct gy_h1_exchange, base));
}

static inline bool gy_h1_active(const struct gy_h1 *connection)
{
    return connection->exchange != NULL && (connection->exchange->flags & GY_H1_X_ACTIVE) != 0;
}

/* Whether more of the body may come in now. Without credit what frames chunks still may: a body
 * that has just used up the credit also has its end. */
static inline bool gy_h1_body_wanted(const struct gy_h1_exchange *exchange)
{
    if ((exchange->flags & GY_H1_X_OVER) != 0 || exchange->credit > 0) {
        return true;
    }
    return (exchange->flags & GY_H1_X_DEFERRED) == 0 && exchange->body.state != GY_H1_BODY_LENGTH &&
           exchange->body.state != GY_H1_BODY_DATA;
}

/* ---- steps of a turn: true when something changed and the turn goes on ------------------------
 */

bool gy_h1_head_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns);
bool gy_h1_body_step(struct gy_h1 *connection, struct gy_chain *in, uint64_t now_ns);
bool gy_h1_pull_step(struct gy_h1 *connection);
bool gy_h1_tunnel_step(struct gy_h1 *connection, struct gy_chain *in);

/* ---- ends ------------------------------------------------------------------------------------ */

/* Tells the handler, once, that the exchange is over. */
void gy_h1_tell_closed(struct gy_h1_exchange *exchange, int reason);

/* Gives back what the exchange holds, and goes on to the next request or closes. */
void gy_h1_finish(struct gy_h1 *connection, uint64_t now_ns);

/* No more answers. `lingers`: the peer may still be sending. */
void gy_h1_close_soon(struct gy_h1 *connection, bool lingers);

/* Answers with the refusal's status where that is still possible, ends an active exchange, closes.
 */
void gy_h1_refuse(struct gy_h1 *connection, enum gy_h1_refusal refusal);

/* ---- output ---------------------------------------------------------------------------------- */

/* Sends 100 (Continue) if it is owed and the body is wanted. */
void gy_h1_continue(struct gy_h1_exchange *exchange);

/* The answer that the transport itself gives: a line of text, or nothing where `text` is empty.
 * Works without an exchange. 0 or GY_ENOBUFS. */
int gy_h1_answer_plain(struct gy_h1 *connection, uint16_t status, struct gy_http_text text,
                       bool close, bool head_only);

#endif
