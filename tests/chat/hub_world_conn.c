/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The members' side of connections: what the hub sends is read as a client would. */

#include "tests/chat/hub_world_internal.h"

#include <stdlib.h>

#include "protocols/chat/session.h"

void conn_open(struct world *world, struct world_conn *conn, uint32_t worker,
               enum gy_chat_encoding encoding)
{
    *conn = (struct world_conn){.world = world, .worker = worker, .next = world->conns};
    world->conns = conn;
    gy_chain_init(&conn->out, &world->links[worker]);
    int code = gy_chat_hub_attach(world->hubs[worker], &conn->member, &conn->out, encoding,
                                  GY_CHAT_FEATURE_TYPING | GY_CHAT_FEATURE_PRESENCE);
    gy_assert(code == 0);
    conn->attached = true;
}

void conn_close(struct world_conn *conn)
{
    gy_assert(conn->attached);
    gy_chat_hub_detach(&conn->member);
    gy_chain_clear(&conn->out);
    conn->attached = false;
    struct world_conn **at = &conn->world->conns;
    while (*at != conn) {
        at = &(*at)->next;
    }
    *at = conn->next;
    free(conn->in);
    conn->in = NULL;
}

void conn_read(struct world_conn *conn, uint32_t bytes)
{
    uint32_t taken = bytes < conn->out.length ? bytes : conn->out.length;
    if (conn->in_bytes + taken > conn->in_capacity) {
        conn->in_capacity = (conn->in_bytes + taken) * 2;
        conn->in = realloc(conn->in, conn->in_capacity);
        gy_assert(conn->in != NULL);
    }
    if (taken > 0) {
        gy_chain_copy(&conn->out, 0, taken, conn->in + conn->in_bytes);
        gy_chain_consume(&conn->out, taken);
        conn->in_bytes += taken;
    }
    const struct gy_chat_hub_config *config = &conn->world->config;
    uint32_t mark = config->mark_bytes == 0 ? 131072 : config->mark_bytes;
    uint32_t low = config->low_bytes == 0 ? mark / 4 : config->low_bytes;
    if (conn->member.lagging > 0 && conn->out.length <= low && !conn->ended) {
        gy_chat_hub_room(&conn->member);
    }
}

static bool next_of_book(struct world_conn *conn, struct gy_chat_frame *frame)
{
    const uint8_t *at = conn->in + conn->at;
    uint32_t left = conn->in_bytes - conn->at;
    if (left < 5) {
        return false;
    }
    uint32_t from = (uint32_t)at[1] << 8 | at[2];
    if (left < 5 + from) {
        return false;
    }
    uint32_t contents = (uint32_t)at[3 + from] << 8 | at[4 + from];
    if (left < 5 + from + contents) {
        return false;
    }
    gy_assert(at[0] == 0x02);
    *frame = (struct gy_chat_frame){
        .type = GY_CHAT_MESSAGE,
        .body.message = {.from = {(const char *)at + 3, from},
                         .contents = {(const char *)at + 5 + from, contents}}};
    conn->at += 5 + from + contents;
    return true;
}

/* Takes the head of a message away, when one begins here; false: it is not whole. */
static bool past_head(struct world_conn *conn)
{
    if (conn->member.encoding != GY_CHAT_OVER_WEBSOCKET || conn->message_end != 0) {
        return true;
    }
    const uint8_t *at = conn->in + conn->at;
    uint32_t left = conn->in_bytes - conn->at;
    if (left < 4) {
        return false;
    }
    gy_assert(at[0] == 0x82 && at[1] <= 126);
    uint32_t head = at[1] == 126 ? 4 : 2;
    uint32_t bytes = at[1] == 126 ? (uint32_t)at[2] << 8 | at[3] : at[1];
    if (left < head + bytes) {
        return false;
    }
    conn->at += head;
    conn->message_end = conn->at + bytes;
    return true;
}

bool conn_next(struct world_conn *conn, struct gy_chat_frame *frame)
{
    if (conn->member.encoding == GY_CHAT_OVER_BOOK) {
        return next_of_book(conn, frame);
    }
    if (conn->in_bytes == conn->at || !past_head(conn)) {
        return false;
    }
    int64_t bytes =
        gy_chat_frame_bytes(conn->in + conn->at, conn->in_bytes - conn->at, GY_CHAT_FRAME_MAX);
    gy_assert(bytes >= 0);
    if (bytes == 0 || bytes > conn->in_bytes - conn->at) {
        return false;
    }
    int code = gy_chat_decode(conn->in + conn->at, (uint32_t)bytes, frame, NULL);
    gy_assert(code == 0);
    conn->at += (uint32_t)bytes;
    if (conn->message_end != 0) {
        gy_assert(conn->at <= conn->message_end);
        if (conn->at == conn->message_end) {
            conn->message_end = 0;
        }
    }
    return true;
}

void conn_forget(struct world_conn *conn)
{
    if (conn->at == conn->in_bytes) {
        conn->at = 0;
        conn->in_bytes = 0;
    }
}
