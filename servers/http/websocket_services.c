/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What a path of WebSockets may serve without a handler of anybody's: echoes, and a room. */

#include "servers/http/websocket.h"

static void echo_message(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
                         struct gy_chain *bytes)
{
    /* Nothing is read while `out` is above output_high, so that it is below output_max here. */
    if (gy_websocket_send(connection, kind, bytes) == GY_ENOBUFS) {
        gy_websocket_close(connection, GY_WS_TRY_LATER, "no output memory now");
    }
}

const struct gy_websocket_handler gy_websocket_echo = {.message = echo_message};

static void room_message(struct gy_websocket_connection *connection, enum gy_ws_kind kind,
                         struct gy_chain *bytes)
{
    if (gy_websocket_broadcast(connection, kind, bytes) == GY_ENOBUFS) {
        gy_websocket_close(connection, GY_WS_TRY_LATER, "no output memory now");
    }
}

const struct gy_websocket_handler gy_websocket_room = {.message = room_message};
