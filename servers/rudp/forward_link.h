/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_FORWARD_LINK_H
#define GY_SERVERS_RUDP_FORWARD_LINK_H

/*
 * TCP connections over one session of reliable UDP (protocols/forward), the part that both ends
 * have: streams on one side, messages on the other, flow control both ways.
 *
 * A flow is the session memory of its stream. What of it is held here is bounded: for the stream to
 * send by the credit that was given to the peer, for the peer by the peer's, all together by
 * GY_FORWARD_FLOWS, GY_FORWARD_AHEAD and the host's memory; where that is used up, streams are not
 * read.
 *
 * All calls are for the worker's thread.
 */

#include <sys/queue.h>

#include "../../core/stream.h"
#include "../../protocols/forward/forward.h"
#include "rudp_host.h"

#define GY_FORWARD_FLOWS   256 /* of one link */
#define GY_FORWARD_WINDOW  (256u << 10)
#define GY_FORWARD_BUCKETS 64
/* Bytes of a link's DATA that are not acknowledged yet, whatever credit the peer gives. */
#define GY_FORWARD_AHEAD (8u << 20)

struct gy_forward_link;

struct gy_forward_flow {
    struct gy_forward_link *link; /* NULL: it is over, or not begun */
    struct gy_stream *stream;
    uint32_t number;
    uint32_t send_credit; /* bytes that may be sent */
    uint32_t given;       /* bytes that the peer may send */
    uint32_t held;        /* bytes in the stream's output, as far as is known */
    uint32_t taken;       /* bytes that the stream has sent, not given to the peer anew yet */
    bool opened;          /* both ends are connected */
    bool end_sent, end_received, starved;
    TAILQ_ENTRY(gy_forward_flow) entry;
    TAILQ_ENTRY(gy_forward_flow) bucket_entry;
};

TAILQ_HEAD(gy_forward_flows, gy_forward_flow);

struct gy_forward_link {
    struct gy_rudp_session *session;
    /* Of the end that dials: an OPEN; NULL: the other end, where it is an error. */
    void (*open)(struct gy_forward_link *link, uint32_t flow, uint32_t credit);
    /* A flow was reset by the peer, with its text; may be NULL. */
    void (*reset)(struct gy_forward_link *link, const char *text);
    void *user;
    struct gy_forward_flows flows;
    struct gy_forward_flows buckets[GY_FORWARD_BUCKETS];
    uint32_t count;
    uint32_t ahead; /* bytes, at most GY_FORWARD_AHEAD */
    bool starving;  /* a flow waits for memory, or for `ahead` */
    uint32_t next;  /* number of the next flow, of the end that accepts */
};

void gy_forward_link_init(struct gy_forward_link *link, struct gy_rudp_session *session);

/* Whether another flow may begin. */
bool gy_forward_link_has_room(const struct gy_forward_link *link);

/* As gy_rudp_env.received. */
bool gy_forward_link_received(struct gy_forward_link *link, const uint8_t *data, size_t length);

/* The session is gone: every flow is reset. */
void gy_forward_link_lose(struct gy_forward_link *link);

/* For gy_rudp_host_ops.finished. */
void gy_forward_link_finished(struct gy_forward_link *link, struct gy_rudp_session *session,
                              struct gy_rudp_message *message);

/* A flow into the link, by number; the accepting end says OPEN with it. */
void gy_forward_flow_join(struct gy_forward_flow *flow, struct gy_forward_link *link,
                          struct gy_stream *stream, uint32_t number);
void gy_forward_flow_open(struct gy_forward_flow *flow);

/* The dialling end is connected: says OPENED. */
void gy_forward_flow_opened(struct gy_forward_flow *flow, uint32_t credit);

/* RESET of a flow that has no stream. */
void gy_forward_refuse(struct gy_rudp_session *session, uint32_t flow, const char *text);

/* The stream's calls, for both ends; its session memory is the flow. */
uint32_t gy_forward_flow_turn(struct gy_stream *stream);
uint32_t gy_forward_flow_stop(struct gy_stream *stream); /* expire, drain */
void gy_forward_flow_closed(struct gy_stream *stream, enum gy_close_reason reason);

/* Ends a flow before its time, both ways: the peer is told why, the stream's peer sees a reset. */
void gy_forward_flow_give_up(struct gy_forward_flow *flow, const char *why);

/* Ends a stream so that its peer sees a reset. */
void gy_forward_abort(struct gy_stream *stream);

#endif
