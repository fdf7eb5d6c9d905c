/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_CLIENT_INTERNAL_H
#define GY_PROTOCOLS_HTTP_H1_CLIENT_INTERNAL_H

/*
 * What the parts of the client's connection share:
 *
 *   h1_client.c       the turn, deadlines, ends, what callers ask
 *   h1_client_send.c  requests: heads, bodies, tunnels' outward side
 *   h1_client_read.c  responses: heads, bodies, tunnels' inward side
 */

#include "protocols/http/h1_client.h"
#include "protocols/http/h1_framing.h"
#include "protocols/http/syntax.h"

enum gy_h1_client_phase {
    GY_H1_CLIENT_HEAD,    /* between responses, or within a head */
    GY_H1_CLIENT_BODY,    /* within the first call's body */
    GY_H1_CLIENT_TUNNEL,  /* the first call is a tunnel */
    GY_H1_CLIENT_CLOSING, /* over: no call is left */
    GY_H1_CLIENT_CLOSED,  /* gy_h1_client_close() was called */
};

enum gy_h1_client_flag {
    GY_H1_CLIENT_IN_TURN = 1 << 0,
    GY_H1_CLIENT_EOF = 1 << 1,
    GY_H1_CLIENT_LAST = 1 << 2,    /* nothing can be sent behind what is under way */
    GY_H1_CLIENT_STARVED = 1 << 3, /* the turn stopped for want of memory */
    GY_H1_CLIENT_BLOCKED = 1 << 4, /* the turn stopped because `out` is full */
    GY_H1_CLIENT_BEGUN = 1 << 5,   /* part of the first call's response has arrived */
};

enum gy_h1_call_flag {
    GY_H1_CALL_IDEMPOTENT = 1 << 0,
    GY_H1_CALL_SENDING = 1 << 1,   /* its body is being pulled */
    GY_H1_CALL_WAITING = 1 << 2,   /* `pull` said WAIT */
    GY_H1_CALL_CANCELLED = 1 << 3, /* see client->reason */
    GY_H1_CALL_PAUSED = 1 << 4,
    GY_H1_CALL_BEGUN = 1 << 5,    /* of its response, a byte was seen */
    GY_H1_CALL_BORROWED = 1 << 6, /* the head lies in the receive buffer */
    GY_H1_CALL_UPGRADE = 1 << 7,  /* asked to switch protocols */
    GY_H1_CALL_TUNNEL = 1 << 8,
    GY_H1_CALL_OUT_ENDED = 1 << 9, /* tunnel: our direction is closed */
    GY_H1_CALL_IN_ENDED = 1 << 10,
};

/* ---- steps of a turn: true when something changed ----------------------------------------------
 */

bool gy_h1_client_push_step(struct gy_h1_client *client);
bool gy_h1_client_head_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns);
bool gy_h1_client_body_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns);
bool gy_h1_client_tunnel_step(struct gy_h1_client *client, struct gy_chain *in, uint64_t now_ns);

/* ---- ends --------------------------------------------------------------------------------------
 */

/* The first call's response is whole: on to the next. */
void gy_h1_client_finish(struct gy_h1_client *client, uint64_t now_ns);

/* Ends all calls, the first with `reason`, those behind it with GY_ECLOSED; wants to close. */
void gy_h1_client_fail(struct gy_h1_client *client, int reason);

/* The server broke a rule (enum gy_h1_refusal or gy_h1_breach). */
void gy_h1_client_broken(struct gy_h1_client *client, int breach);

#endif
