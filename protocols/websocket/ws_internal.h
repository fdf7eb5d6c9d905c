/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_WEBSOCKET_WS_INTERNAL_H
#define GY_PROTOCOLS_WEBSOCKET_WS_INTERNAL_H

/* What websocket.c (life and deadlines), ws_read.c and ws_write.c share. */

#include "protocols/websocket/websocket.h"
#include "protocols/websocket/ws_deflate.h"
#include "protocols/websocket/ws_mask.h"
#include "protocols/websocket/ws_utf8.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_OPCODE_CLOSE = 8,
    WS_OPCODE_PING = 9,
    WS_OPCODE_PONG = 10,
};

enum ws_state {
    WS_HEAD,    /* reading a frame's head */
    WS_DATA,    /* a data frame's payload */
    WS_CONTROL, /* a control frame's payload */
    WS_OVER,    /* the peer closed or broke a rule: nothing more is read */
};

enum ws_flag {
    WS_CLIENT = 1 << 0,
    WS_FIN = 1 << 1,        /* of this frame */
    WS_CLOSE_SENT = 1 << 2, /* nothing but the stream's end may follow */
    WS_FAILED = 1 << 3,     /* the peer broke a rule */
    WS_PINGED = 1 << 4,     /* and heard nothing since */
    WS_PARTS = 1 << 5,      /* within a message that is sent in parts */
    WS_TAKEN = 1 << 6,      /* the message was shown to the owner */
    WS_GONE = 1 << 7,       /* the stream is to be closed now */
    WS_PACKED = 1 << 8,     /* the message that is being read is compressed */
};

/* Ends it because the peer broke a rule: tells the peer with a Close, and the owner with the event.
 * Returns 1. */
int gy_ws_fail(struct gy_ws *ws, uint16_t code, const char *why, uint64_t now_ns,
               struct gy_ws_event *event);

/* Sends a control frame. 0, or GY_ENOBUFS. */
int gy_ws_send_control(struct gy_ws *ws, enum ws_opcode opcode, const void *data, uint32_t bytes);

#endif
