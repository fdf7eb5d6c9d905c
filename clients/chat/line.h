/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_LINE_H
#define GY_CLIENTS_CHAT_LINE_H

/*
 * Chat by lines, for pipes and scripts: a line of standard input is a message, a message that comes
 * is a line of standard output. What is said in the rooms goes through the client's machine
 * (protocols/chat/client.h), so a connection that breaks is dialled again and resumed: nothing is
 * lost, doubled or read twice.
 *
 * At the end of the input it stays until everything is acknowledged, and then wait_ms more without
 * a message.
 */

#include "core/backoff.h"
#include "core/connector.h"
#include "core/helper.h"
#include "core/tls_files.h"
#include "core/worker.h"
#include "protocols/chat/client.h"

#define GY_LINE_ROOMS_MAX   32
#define GY_LINE_READ_BYTES  65536 /* of input, at once */
#define GY_LINE_OUTBOX      (1u << 20)
#define GY_LINE_FOREVER     UINT32_MAX
#define GY_LINE_PORT        7200
#define GY_LINE_TLS_PORT    7201
#define GY_LINE_BACKOFF_MIN 250
#define GY_LINE_BACKOFF_MAX 30000

struct gy_line_options {
    char host[256];
    uint16_t port;
    bool secure;
    struct gy_tls_files tls;
    const char *nick;
    const char *password; /* NULL: a guest */
    bool registers;
    const char *rooms[GY_LINE_ROOMS_MAX];
    uint32_t room_count;
    uint16_t history; /* messages of each room that come first */
    uint32_t wait_ms; /* after the end of the input; GY_LINE_FOREVER: any */
    uint64_t count;   /* messages to get, then it leaves; 0: any number */
    bool json;
    bool raw; /* no line is a command */
    bool quiet;
};

struct gy_line_input {
    struct gy_helper_job job;
    int stop; /* eventfd: no more is to be read */
    bool reading;
    bool ended;
    ssize_t got;
    int error;
    uint32_t used; /* of `data`, which has `bytes` */
    uint32_t bytes;
    uint8_t data[GY_LINE_READ_BYTES];
    char line[GY_CHAT_CONTENTS_MAX + 2]; /* what has come of it */
    uint32_t line_bytes;
    bool too_long; /* the rest of it is dropped */
    uint64_t number;
};

struct gy_line {
    const struct gy_line_options *options;
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_resolver *resolver;
    struct gy_tls_config *tls;
    struct gy_connector connector;
    bool connector_open;
    struct gy_dial dial;
    struct gy_helper *helper;
    struct gy_stream *stream; /* NULL: not there yet, or gone */
    struct gy_timer timer;    /* dialling again, and waiting */
    struct gy_backoff backoff;
    uint64_t redial_ms; /* 0: not waiting to dial */
    uint64_t leave_ms;  /* 0: not waiting to leave */

    struct gy_chat_client_env env;
    struct gy_chat_client client;
    struct gy_chat_client_room rooms[GY_LINE_ROOMS_MAX];
    void *outbox;
    char token[GY_CHAT_TOKEN_MAX];
    uint32_t room; /* where lines go */

    struct gy_line_input input;
    uint64_t received;
    uint64_t lost; /* lines that were not sent, or refused */
    bool was_in;   /* once */
    bool leaving;
    bool over;
    struct gy_error error; /* code 0: all went well */
};

/* Dials. 0, or a GY_E… code with a sentence. The line must not move. */
int gy_line_open(struct gy_line *line, const struct gy_line_options *options,
                 struct gy_error *error);

/* One turn of at most timeout_ms. False when it is over: line->error says how. */
bool gy_line_turn(struct gy_line *line, uint32_t timeout_ms);

/* Leaves, whether or not everything is acknowledged. */
void gy_line_leave(struct gy_line *line);

void gy_line_close(struct gy_line *line);

/* ---- between line.c, line_input.c and line_show.c ---- */

/* Takes what was read into the outbox, and asks for more while there is room for it. */
void gy_line_take_input(struct gy_line *line);
int gy_line_input_open(struct gy_line *line, struct gy_error *error);
void gy_line_input_close(struct gy_line *line);

/* Something was said, or nothing more will be: sends it, or leaves. */
void gy_line_follow(struct gy_line *line);

/* It is over, because of this. Only the first is kept. */
void gy_line_fail(struct gy_line *line, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A message on standard output; false when that cannot be written to. */
bool gy_line_show(struct gy_line *line, const struct gy_chat_client_event *event);

/* Something that a person wants to know, on standard error, unless quiet. */
void gy_line_tell(const struct gy_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Text of others for a terminal: what would drive it, or mislead, is replaced. `to` has room for
 * its bytes and a zero. */
void gy_line_clean(struct gy_chat_text text, char *to);

#endif
