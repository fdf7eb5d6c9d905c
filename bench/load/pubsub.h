/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_PUBSUB_H
#define GY_BENCH_LOAD_PUBSUB_H

/*
 * What chat, NATS and Redis have in common for gyre-load: some connections publish, all of them,
 * the publishers too, get each message (--broadcast, fan.h), byte by byte, and those of a publisher
 * in their order. Where there are several, a message's first byte says whose it is.
 */

#include "load.h"

struct gy_pubsub_plan {
    char channel[65]; /* room, subject: the URL's path */
    char *greeting;
    size_t greeting_bytes;
    uint32_t message_bytes;
    uint32_t request_bytes;
    uint32_t publishers;
    uint32_t count; /* messages of each; all have their own bytes */
    uint8_t *expected;
    uint8_t *requests;
};

/* What every session begins with: how much has come of which message. */
struct gy_pubsub_message {
    uint32_t received; /* of it */
    bool differs;
    bool publishes;                         /* this connection, */
    uint8_t own;                            /* with this number */
    uint8_t from;                           /* whose message it is, or the last was */
    uint16_t slots[GY_LOAD_PUBLISHERS_MAX]; /* of each, which one of plan->expected comes next */
};

/* For the protocols' table: a session is told that it publishes; whose message was the last. */
void gy_pubsub_appoint(void *session, uint32_t publisher);
uint32_t gy_pubsub_publisher(const void *session);

/* Makes a plan whose requests are `head`, a message and `tail`. */
int gy_pubsub_prepare(const struct gy_load_options *options, const void *head, uint32_t head_bytes,
                      const void *tail, uint32_t tail_bytes, struct gy_pubsub_plan **plan,
                      struct gy_error *error);
void gy_pubsub_finish(void *plan);

/* The URL's path as a channel: letters, digits, '-', '_' and '.', at most 64; "load" where it is
 * empty. */
int gy_pubsub_channel(const struct gy_load_options *options, char channel[65],
                      struct gy_error *error);

const void *gy_pubsub_requests(const void *plan, uint32_t *request_bytes);
const void *gy_pubsub_greeting(const void *plan, uint32_t *bytes);

/* A state is a pointer to the plan. */
void gy_pubsub_state_open(void *state, const void *plan, const struct gy_load_options *options,
                          uint32_t thread);
void gy_pubsub_state_close(void *state);

/* Compares what came of the payload of the next message. Returns how many bytes it took: all, or
 * up to its end. */
uint32_t gy_pubsub_take(struct gy_pubsub_message *message, const struct gy_pubsub_plan *plan,
                        const uint8_t *data, uint32_t bytes);

/* It is whole: ANSWER or BAD_BODY; the next one begins. */
enum gy_load_progress gy_pubsub_end(struct gy_pubsub_message *message,
                                    const struct gy_pubsub_plan *plan);

/* A message of its own that does not come back (it is acknowledged). */
void gy_pubsub_skip(struct gy_pubsub_message *message, const struct gy_pubsub_plan *plan);

/* Lines that end in CRLF, of text protocols. */
#define GY_PUBSUB_LINE_MAX 1024
struct gy_pubsub_line {
    uint16_t have;
    bool whole; /* `text` is one, without its end, terminated */
    char text[GY_PUBSUB_LINE_MAX];
};

/* Takes bytes up to the end of a line; returns how many. What is longer than the room is cut. */
uint32_t gy_pubsub_read_line(struct gy_pubsub_line *line, const uint8_t *data, uint32_t bytes);

/* What sessions of text protocols begin with. */
struct gy_pubsub_text {
    struct gy_pubsub_message message;
    struct gy_pubsub_line line;
    bool payload; /* comes now, and a CRLF behind it */
    uint8_t tail; /* bytes of that CRLF still to come */
};

/* A payload follows the line; its length is what the line says, in decimal. MORE, or BAD_BYTES. */
enum gy_load_progress gy_pubsub_expect(struct gy_pubsub_text *text,
                                       const struct gy_pubsub_plan *plan, const char *length);

/* Lines go to `take_line`, which calls gy_pubsub_expect() before a payload. As the protocol's
 * receive(). */
enum gy_load_progress gy_pubsub_receive(
    struct gy_pubsub_text *text, const struct gy_pubsub_plan *plan,
    enum gy_load_progress (*take_line)(void *session, const struct gy_pubsub_plan *plan),
    const uint8_t *data, uint32_t bytes, uint32_t *used);

#endif
