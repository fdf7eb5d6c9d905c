/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_WS_TALK_H
#define GY_CLIENTS_WS_TALK_H

/*
 * A conversation over one WebSocket: lines (or bytes) of standard input go out as messages, and
 * what comes in is written to standard output.
 *
 * At the end of the input a Ping is sent: once its Pong is there, the server has read all of it.
 * Then the conversation is closed when nothing has come for wait_ms, so that `echo hello | gyre ws
 * URL` prints the answer of a server that takes its time, too.
 */

#include "clients/get/url.h"
#include "core/connector.h"
#include "core/helper.h"
#include "core/tls_files.h"
#include "core/worker.h"
#include "protocols/http/h1_client.h"
#include "protocols/websocket/handshake.h"
#include "protocols/websocket/websocket.h"

#define GY_TALK_HEADERS_MAX      32
#define GY_TALK_SUBPROTOCOLS_MAX 16
#define GY_TALK_READ_BYTES       65536      /* of input, at once */
#define GY_TALK_LINE_MAX         (1u << 20) /* of a line, which is a message */
#define GY_TALK_LIST_BYTES       1024       /* of all subprotocols */
#define GY_TALK_WAIT_MS          500
#define GY_TALK_FOREVER          UINT32_MAX

struct gy_talk_options {
    struct gy_url url;
    bool binary;   /* input as it is read, in binary messages; output as it came */
    bool compress; /* offer permessage-deflate (RFC 7692) */
    bool quiet;    /* nothing but what failed on standard error */
    uint32_t connect_timeout_ms;
    uint32_t ping_ms;        /* of silence until a Ping; 0: never */
    uint32_t wait_ms;        /* of silence after the end of the input; GY_TALK_FOREVER: any */
    uint64_t count;          /* messages to get, then it is closed; 0: any number */
    struct gy_tls_files tls; /* --ca, --insecure */
    const char *origin;
    const char *subprotocols[GY_TALK_SUBPROTOCOLS_MAX];
    uint32_t subprotocol_count;
    struct gy_http_header headers[GY_TALK_HEADERS_MAX];
    uint32_t header_count;
};

struct gy_talk_input {
    struct gy_helper_job job;
    int stop; /* eventfd: no more is to be read */
    bool reading;
    bool ended;
    bool closing; /* the Ping behind the end was answered */
    ssize_t got;
    int error; /* errno of the last read */
    uint8_t data[GY_TALK_READ_BYTES];
};

struct gy_talk {
    const struct gy_talk_options *options;
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_resolver *resolver;
    struct gy_tls_config *tls;
    struct gy_connector connector;
    bool connector_open;
    struct gy_dial dial;
    struct gy_helper *helper;
    struct gy_stream *stream; /* NULL: not there yet, or gone */

    struct gy_h1_client_env http;
    struct gy_h1_client client;
    struct gy_h1_call call;
    struct gy_ws_asks asks;
    struct gy_ws_env env;
    struct gy_ws ws;
    struct gy_chain in, out;
    struct gy_timer timer;
    uint64_t wait_until_ms; /* 0: not waiting */
    bool open;              /* the handshake is done */
    bool client_begun;
    bool paused;
    bool server_ended; /* its side of the stream */

    struct gy_talk_input input;
    uint8_t *line; /* what has come of it */
    uint32_t line_bytes;
    uint64_t line_number;
    uint64_t received;

    bool over;
    bool we_closed;
    bool peer_closed;
    struct gy_error error; /* code 0: all went well */
};

/* Dials. 0, or a GY_E… code with a sentence. The talk must not move. */
int gy_talk_open(struct gy_talk *talk, const struct gy_talk_options *options,
                 struct gy_error *error);

/* One turn of at most timeout_ms. False when it is over: talk->error says how. */
bool gy_talk_turn(struct gy_talk *talk, uint32_t timeout_ms);

/* Begins to close, politely. */
void gy_talk_stop(struct gy_talk *talk, uint16_t code);

void gy_talk_close(struct gy_talk *talk);

/* ---- talk_input.c and talk_text.c, for talk.c ---- */

/* Asks for more input, where there is room for what it becomes. */
void gy_talk_read_input(struct gy_talk *talk);
int gy_talk_input_open(struct gy_talk *talk, struct gy_error *error);
void gy_talk_input_close(struct gy_talk *talk);

/* Messages were put into talk->out. */
void gy_talk_follow(struct gy_talk *talk);

/* It is over, because of this. Only the first is kept. */
void gy_talk_fail(struct gy_talk *talk, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes a message to standard output. False when that cannot be written to. */
bool gy_talk_show(struct gy_talk *talk, enum gy_ws_kind kind, const struct gy_chain *message);

/* What a status code of a Close means, with the server as its subject. */
const char *gy_talk_code_text(uint16_t code);

#endif
