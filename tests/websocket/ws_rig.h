/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_WEBSOCKET_WS_RIG_H
#define GY_TESTS_WEBSOCKET_WS_RIG_H

/*
 * A WebSocket connection with the memory it needs: bytes in, and what happened as text.
 *
 *     ws_rig_open(&rig, false)         a server; true: a client
 *     ws_rig_say(&rig, bytes, length)  the peer's bytes, in pieces of rig.piece
 *     rig.told                         "text Hello|ping|close 1000 |" …
 *     rig.sent, rig.sent_bytes         our bytes
 */

#include <stdio.h>

#include "protocols/websocket/websocket.h"
#include "tests/chain_rig.h"

#define WS_RIG_BYTES (1u << 18)

struct ws_rig {
    struct gy_ws ws;
    struct gy_ws_env env;
    struct gy_slab links, blocks;
    struct gy_bump bump;
    struct gy_chain in, out;
    uint32_t piece; /* 0: whole */
    uint64_t now_ns;
    bool echoes;       /* messages are sent back */
    bool holds_output; /* `out` is not sent */
    int last;          /* what gy_ws_read() last said */
    int sends;         /* what the last echo said */
    uint32_t key;      /* the next one of a client */
    uint32_t buffers;  /* received and not given back */
    char told[WS_RIG_BYTES];
    uint32_t told_bytes;
    uint8_t sent[WS_RIG_BYTES];
    uint32_t sent_bytes;
};

static inline uint32_t ws_rig_random(void *context)
{
    return ((struct ws_rig *)context)->key;
}

static inline void ws_rig_open_sized(struct ws_rig *rig, bool client, uint32_t blocks,
                                     uint32_t links)
{
    memset(rig, 0, sizeof *rig);
    chain_rig_open(CHAIN_RIG(rig), blocks, links);
    gy_ws_env_init(&rig->env, &rig->bump, &rig->links);
    rig->env.random = ws_rig_random;
    rig->env.random_context = rig;
    memcpy(&rig->key, "\x37\xfa\x21\x3d", 4); /* of the examples in RFC 6455 §5.7 */
    gy_ws_init(&rig->ws, &rig->env, &rig->out, client, rig->now_ns);
}

static inline void ws_rig_open(struct ws_rig *rig, bool client)
{
    ws_rig_open_sized(rig, client, 16, 4096);
}

static inline void ws_rig_tell(struct ws_rig *rig, const void *bytes, size_t length)
{
    size_t room = WS_RIG_BYTES - 1 - rig->told_bytes;
    length = length < room ? length : room;
    if (length > 0) {
        memcpy(rig->told + rig->told_bytes, bytes, length);
    }
    rig->told_bytes += (uint32_t)length;
    rig->told[rig->told_bytes] = 0;
}

static inline void ws_rig_note(struct ws_rig *rig, struct gy_ws_event *event)
{
    char code[48];
    switch (event->type) {
    case GY_WS_MESSAGE:
        ws_rig_tell(rig, event->kind == GY_WS_TEXT ? "text " : "binary ",
                    event->kind == GY_WS_TEXT ? 5 : 7);
        for (const struct gy_link *link = event->message->head; link != NULL; link = link->next) {
            ws_rig_tell(rig, gy_slice_data(link->slice), link->slice.length);
        }
        if (rig->echoes) {
            rig->sends = gy_ws_send(&rig->ws, event->kind, event->message);
        }
        break;
    case GY_WS_PING:
    case GY_WS_PONG:
        ws_rig_tell(rig, event->type == GY_WS_PING ? "ping " : "pong ", 5);
        ws_rig_tell(rig, event->data, event->bytes);
        break;
    case GY_WS_CLOSED:
        ws_rig_tell(rig, code,
                    (size_t)snprintf(code, sizeof code, "%s %u ", event->failed ? "fail" : "close",
                                     event->code));
        if (!event->failed) {
            ws_rig_tell(rig, event->data, event->bytes);
        }
        break;
    }
    ws_rig_tell(rig, "|", 1);
}

static inline void ws_rig_flush(struct ws_rig *rig)
{
    uint32_t room = WS_RIG_BYTES - rig->sent_bytes;
    uint32_t length = rig->out.length < room ? rig->out.length : room;
    gy_chain_copy(&rig->out, 0, length, rig->sent + rig->sent_bytes);
    rig->sent_bytes += length;
    gy_chain_clear(&rig->out);
}

static inline void ws_rig_turn(struct ws_rig *rig)
{
    struct gy_ws_event event = {0};
    for (uint32_t turns = 0;; turns++) {
        gy_assert(turns < 1000000);
        rig->last = gy_ws_read(&rig->ws, &rig->in, rig->now_ns, &event);
        if (rig->last == 1) {
            ws_rig_note(rig, &event);
        }
        bool room = rig->last == GY_EAGAIN && !rig->holds_output;
        if (!rig->holds_output) {
            ws_rig_flush(rig);
        }
        if (rig->last != 1 && !room) {
            return;
        }
    }
}

static inline void ws_rig_say(struct ws_rig *rig, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint32_t piece = rig->piece != 0 ? rig->piece : (uint32_t)length;
    for (size_t done = 0; done < length; done += piece) {
        uint32_t now = length - done < piece ? (uint32_t)(length - done) : piece;
        chain_rig_append(CHAIN_RIG(rig), at + done, now);
        ws_rig_turn(rig);
    }
}

/* A frame as the peer sends it: masked for a server. Returns its bytes. */
static inline size_t ws_rig_frame(uint8_t *to, uint8_t first, const void *payload, size_t length,
                                  bool masked)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t at = 0;
    to[at++] = first;
    if (length < 126) {
        to[at++] = (uint8_t)length;
    } else if (length < 65536) {
        to[at++] = 126;
        to[at++] = (uint8_t)(length >> 8);
        to[at++] = (uint8_t)length;
    } else {
        to[at++] = 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            to[at++] = (uint8_t)((uint64_t)length >> shift);
        }
    }
    if (masked) {
        to[1] |= 0x80;
        memcpy(to + at, key, 4);
        at += 4;
    }
    for (size_t i = 0; i < length; i++) {
        to[at + i] = (uint8_t)(((const uint8_t *)payload)[i] ^ (masked ? key[i & 3] : 0));
    }
    return at + length;
}

static inline void ws_rig_close(struct ws_rig *rig)
{
    gy_ws_end(&rig->ws);
    chain_rig_close(CHAIN_RIG(rig));
}

#endif
