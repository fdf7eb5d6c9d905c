/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/forward_link.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/worker.h"

#define CODE_MESSAGE (GY_RUDP_CLOSE_APPLICATION + 1)
#define CHANNELS     16u

/* Bytes of a stream on their way. */
struct piece {
    struct gy_rudp_message message;
    uint8_t data[];
};

_Static_assert(sizeof(struct piece) + GY_FORWARD_DATA_HEAD + GY_FORWARD_DATA_BYTES <= 32768,
               "a piece fits in a block of the memory");

static uint8_t channel_of(const struct gy_rudp_session *session, uint32_t flow)
{
    uint32_t theirs = session->conn.theirs.channels;
    uint32_t mine = session->conn.config.channels;
    uint32_t channels = theirs < mine ? theirs : mine;
    channels = channels < 1 ? 1 : channels < CHANNELS ? channels : CHANNELS;
    return (uint8_t)(flow % channels);
}

static void say(struct gy_rudp_session *session, const struct gy_forward_message *message)
{
    uint8_t out[GY_FORWARD_MESSAGE_BYTES];
    size_t bytes = gy_forward_encode(message, out);
    int code = gy_rudp_host_send_copy(session, channel_of(session, message->flow), GY_RUDP_ORDERED,
                                      out, bytes);
    if (code == GY_ENOMEM) {
        gy_rudp_host_end(session, GY_RUDP_HOST_NO_MEMORY, "no memory for the message");
    }
}

void gy_forward_refuse(struct gy_rudp_session *session, uint32_t flow, const char *text)
{
    say(session,
        &(struct gy_forward_message){.type = GY_FORWARD_RESET,
                                     .flow = flow,
                                     .data = (const uint8_t *)text,
                                     .length = (uint32_t)strnlen(text, GY_FORWARD_TEXT_BYTES)});
}

/* ---- flows of a link ---- */

void gy_forward_link_init(struct gy_forward_link *link, struct gy_rudp_session *session)
{
    *link = (struct gy_forward_link){.session = session};
    TAILQ_INIT(&link->flows);
    for (unsigned i = 0; i < GY_FORWARD_BUCKETS; i++) {
        TAILQ_INIT(&link->buckets[i]);
    }
}

bool gy_forward_link_has_room(const struct gy_forward_link *link)
{
    return link->count < GY_FORWARD_FLOWS;
}

static struct gy_forward_flow *find(struct gy_forward_link *link, uint32_t number)
{
    for (struct gy_forward_flow *flow = TAILQ_FIRST(&link->buckets[number % GY_FORWARD_BUCKETS]);
         flow != NULL; flow = TAILQ_NEXT(flow, bucket_entry)) {
        if (flow->number == number) {
            return flow;
        }
    }
    return NULL;
}

void gy_forward_flow_join(struct gy_forward_flow *flow, struct gy_forward_link *link,
                          struct gy_stream *stream, uint32_t number)
{
    gy_assert(gy_forward_link_has_room(link));
    *flow = (struct gy_forward_flow){
        .link = link, .stream = stream, .number = number, .given = GY_FORWARD_WINDOW};
    TAILQ_INSERT_TAIL(&link->flows, flow, entry);
    TAILQ_INSERT_TAIL(&link->buckets[number % GY_FORWARD_BUCKETS], flow, bucket_entry);
    link->count++;
}

static void leave(struct gy_forward_flow *flow)
{
    struct gy_forward_link *link = flow->link;
    gy_assert(link->count > 0);
    TAILQ_REMOVE(&link->flows, flow, entry);
    TAILQ_REMOVE(&link->buckets[flow->number % GY_FORWARD_BUCKETS], flow, bucket_entry);
    link->count--;
    flow->link = NULL;
}

void gy_forward_flow_open(struct gy_forward_flow *flow)
{
    say(flow->link->session, &(struct gy_forward_message){.type = GY_FORWARD_OPEN,
                                                          .flow = flow->number,
                                                          .credit = GY_FORWARD_WINDOW});
}

void gy_forward_flow_opened(struct gy_forward_flow *flow, uint32_t credit)
{
    flow->opened = true;
    flow->send_credit = credit;
    say(flow->link->session, &(struct gy_forward_message){.type = GY_FORWARD_OPENED,
                                                          .flow = flow->number,
                                                          .credit = GY_FORWARD_WINDOW});
}

void gy_forward_abort(struct gy_stream *stream)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    gy_stream_abort(stream, GY_CLOSE_RESET);
}

void gy_forward_link_lose(struct gy_forward_link *link)
{
    struct gy_forward_flow *flow;
    while ((flow = TAILQ_FIRST(&link->flows)) != NULL) {
        leave(flow);
        gy_forward_abort(flow->stream);
    }
    link->session = NULL;
}

/* ---- from the stream ---- */

/* What the stream has sent meanwhile is the peer's to send anew. */
static void give_credit(struct gy_forward_flow *flow)
{
    struct gy_stream *stream = flow->stream;
    gy_assert(flow->held >= stream->out.length);
    flow->taken += flow->held - stream->out.length;
    flow->held = stream->out.length;
    if (flow->taken >= GY_FORWARD_WINDOW / 4 && !flow->end_received) {
        say(flow->link->session, &(struct gy_forward_message){.type = GY_FORWARD_CREDIT,
                                                              .flow = flow->number,
                                                              .credit = flow->taken});
        flow->given += flow->taken;
        flow->taken = 0;
    }
}

/* Sends what credit and memory allow. */
static void send_input(struct gy_forward_flow *flow)
{
    struct gy_stream *stream = flow->stream;
    struct gy_rudp_session *session = flow->link->session;
    flow->starved = false;
    while (stream->in.length > 0 && flow->send_credit > 0) {
        uint32_t bytes =
            stream->in.length < flow->send_credit ? stream->in.length : flow->send_credit;
        bytes = bytes < GY_FORWARD_DATA_BYTES ? bytes : GY_FORWARD_DATA_BYTES;
        bool room = bytes <= GY_FORWARD_AHEAD - flow->link->ahead;
        struct piece *piece =
            room ? gy_rudp_memory_take(&session->host->memory,
                                       sizeof *piece + GY_FORWARD_DATA_HEAD + bytes)
                 : NULL;
        if (piece == NULL) {
            flow->starved = flow->link->starving = true;
            return;
        }
        gy_forward_encode_data(flow->number, piece->data);
        gy_chain_copy(&stream->in, 0, bytes, piece->data + GY_FORWARD_DATA_HEAD);
        gy_count(&stream->worker->counters.copied_bytes, bytes);
        piece->message = (struct gy_rudp_message){
            .data = piece->data,
            .length = GY_FORWARD_DATA_HEAD + bytes,
            .channel = channel_of(session, flow->number),
            .guarantee = GY_RUDP_ORDERED,
        };
        if (gy_rudp_host_send(session, &piece->message) != 0) { /* closing */
            gy_rudp_memory_give(&session->host->memory, piece);
            return;
        }
        gy_chain_consume(&stream->in, bytes);
        flow->send_credit -= bytes;
        flow->link->ahead += bytes;
    }
}

/* Of a flow that is open at both ends. */
static uint32_t turn(struct gy_forward_flow *flow)
{
    struct gy_stream *stream = flow->stream;
    uint32_t wants = 0;
    give_credit(flow);
    send_input(flow);
    if (stream->eof && stream->in.length == 0 && !flow->end_sent) {
        flow->end_sent = true;
        say(flow->link->session,
            &(struct gy_forward_message){.type = GY_FORWARD_END, .flow = flow->number});
    }
    if (flow->end_sent && flow->end_received) {
        leave(flow);
        return GY_WANT_CLOSE;
    }
    if (flow->send_credit > 0 && !flow->starved && !stream->eof) {
        wants |= GY_WANT_READ;
    }
    if (flow->end_received) {
        wants |= GY_WANT_SHUTDOWN;
    } else if (stream->out.length > 0) {
        wants |= GY_WANT_ROOM;
    }
    return wants;
}

uint32_t gy_forward_flow_turn(struct gy_stream *stream)
{
    struct gy_forward_flow *flow = stream->session;
    if (flow->link == NULL || !flow->opened) {
        return 0; /* being ended, or waiting for the far end */
    }
    struct gy_rudp_host *host = flow->link->session->host;
    uint32_t wants = turn(flow);
    gy_rudp_host_flush(host); /* nothing else in this turn may; it may end the stream */
    return wants;
}

uint32_t gy_forward_flow_stop(struct gy_stream *stream)
{
    struct gy_forward_flow *flow = stream->session;
    if (flow->link != NULL) {
        struct gy_rudp_host *host = flow->link->session->host;
        gy_forward_refuse(flow->link->session, flow->number, "this end goes away");
        leave(flow);
        gy_rudp_host_flush(host);
    }
    return GY_WANT_CLOSE;
}

void gy_forward_flow_give_up(struct gy_forward_flow *flow, const char *why)
{
    struct gy_stream *stream = flow->stream;
    struct gy_rudp_host *host = flow->link->session->host;
    gy_forward_refuse(flow->link->session, flow->number, why);
    leave(flow);
    gy_forward_abort(stream);
    gy_rudp_host_flush(host);
}

void gy_forward_flow_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct gy_forward_flow *flow = stream->session;
    char text[GY_FORWARD_TEXT_BYTES];
    if (flow->link == NULL) {
        return;
    }
    snprintf(text, sizeof text, "%s%s%s", gy_close_reason_text(reason),
             stream->error != 0 ? ": " : "", stream->error != 0 ? strerror(stream->error) : "");
    struct gy_rudp_host *host = flow->link->session->host;
    gy_forward_refuse(flow->link->session, flow->number, text);
    leave(flow);
    gy_rudp_host_flush(host);
}

/* ---- from the peer ---- */

static void offend(struct gy_forward_link *link, const char *reason)
{
    gy_rudp_host_end(link->session, CODE_MESSAGE, reason);
}

/* Into the stream's output. */
static void take_data(struct gy_forward_flow *flow, const struct gy_forward_message *message)
{
    struct gy_stream *stream = flow->stream;
    const uint8_t *data = message->data;
    if (!flow->opened || flow->end_received || message->length > flow->given) {
        offend(flow->link, "DATA that there was no credit for");
        return;
    }
    give_credit(flow);
    flow->given -= message->length;
    for (uint32_t left = message->length; left > 0;) {
        uint32_t part = left < GY_BUMP_BLOCK_BYTES ? left : GY_BUMP_BLOCK_BYTES;
        if (gy_bump_copy(&stream->worker->bump, &stream->out, data, part) != 0) {
            gy_forward_refuse(flow->link->session, flow->number, "no memory at the far end");
            leave(flow);
            gy_forward_abort(stream);
            return;
        }
        data += part;
        left -= part;
    }
    flow->held = stream->out.length;
    gy_stream_wake(stream);
}

static void take_credit(struct gy_forward_flow *flow, uint32_t credit, bool opened)
{
    bool dialled = flow->link->open != NULL; /* here: it is the other end that is told */
    if (flow->opened != !opened || (dialled && opened) ||
        credit > GY_FORWARD_CREDIT_MAX - flow->send_credit) {
        offend(flow->link, "credit that makes no sense");
        return;
    }
    flow->opened = true;
    flow->send_credit += credit;
    gy_stream_set_deadline(flow->stream, 0); /* the accepting end's, see forward_command.c */
    gy_stream_wake(flow->stream);
}

static void take_reset(struct gy_forward_flow *flow, const struct gy_forward_message *message)
{
    struct gy_forward_link *link = flow->link;
    char text[GY_FORWARD_TEXT_BYTES + 1];
    for (uint32_t i = 0; i < message->length; i++) { /* for a terminal */
        uint8_t c = message->data[i];
        text[i] = (char)(c >= ' ' && c < 0x7f ? c : '?');
    }
    text[message->length] = '\0';
    leave(flow);
    gy_forward_abort(flow->stream);
    if (link->reset != NULL) {
        link->reset(link, text);
    }
}

bool gy_forward_link_received(struct gy_forward_link *link, const uint8_t *data, size_t length)
{
    struct gy_forward_message message;
    if (gy_forward_decode(&message, data, length) != 0) {
        offend(link, "a message that cannot be read");
        return true;
    }
    struct gy_forward_flow *flow = find(link, message.flow);
    if (message.type == GY_FORWARD_OPEN) {
        if (link->open == NULL || flow != NULL) {
            offend(link, "OPEN out of place");
        } else {
            link->open(link, message.flow, message.credit);
        }
        return true;
    }
    if (flow == NULL) {
        gy_count(&link->session->host->options.counts->ignored, 1);
        return true; /* it has ended here meanwhile */
    }
    switch (message.type) {
    case GY_FORWARD_OPENED:
    case GY_FORWARD_CREDIT:
        take_credit(flow, message.credit, message.type == GY_FORWARD_OPENED);
        break;
    case GY_FORWARD_DATA:
        take_data(flow, &message);
        break;
    case GY_FORWARD_END:
        flow->end_received = true;
        gy_stream_wake(flow->stream);
        break;
    case GY_FORWARD_RESET:
        take_reset(flow, &message);
        break;
    case GY_FORWARD_OPEN:
        break;
    }
    return true;
}

void gy_forward_link_finished(struct gy_forward_link *link, struct gy_rudp_session *session,
                              struct gy_rudp_message *message)
{
    uint32_t bytes = message->length - GY_FORWARD_DATA_HEAD;
    gy_rudp_memory_give(&session->host->memory, message);
    if (link == NULL) {
        return;
    }
    gy_assert(link->ahead >= bytes);
    link->ahead -= bytes;
    if (!link->starving || link->ahead > GY_FORWARD_AHEAD / 2) {
        return;
    }
    link->starving = false;
    for (struct gy_forward_flow *flow = TAILQ_FIRST(&link->flows); flow != NULL;
         flow = TAILQ_NEXT(flow, entry)) {
        if (flow->starved) {
            flow->starved = false;
            gy_stream_wake(flow->stream);
        }
    }
}
