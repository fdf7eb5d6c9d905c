/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_HTTP_RIG_H
#define GY_TESTS_HTTP_RIG_H

/*
 * An HTTP/1.1 connection on a bench: its memory, its clock and its wire are the test's.
 *
 * Every piece of input lies in a heap buffer of exactly its size, which is freed when the last
 * slice of it drops: reading past a piece, or using it too late, is an error that the address
 * sanitizer sees. rig_close() checks that everything was given back.
 */

#include "protocols/http/h1.h"

struct rig {
    struct gy_slab links;
    struct gy_slab exchanges;
    struct gy_slab blocks;
    struct gy_bump bump;
    struct gy_h1_env env;
    struct gy_h1 h1;
    struct gy_chain in;
    struct gy_chain out;
    uint64_t now_ns;
    uint32_t wants;   /* of the last turn */
    uint32_t wakes;   /* calls of env.wake */
    uint32_t buffers; /* input buffers not yet freed */
    bool eof;
    bool holds_output; /* leave `out` alone: a peer that does not read */
    bool woken;        /* since the last turn */
    char *sent;        /* all output so far, with a zero behind it */
    size_t sent_bytes;
};

#define RIG_SECOND UINT64_C(1000000000)

/* The date that the rig's connections send. */
#define RIG_DATE "Sun, 06 Nov 1994 08:49:37 GMT"

/* Memory for `exchanges` active requests, `blocks` blocks of output, `links` slices. */
struct rig_size {
    uint32_t exchanges;
    uint32_t blocks;
    uint32_t links;
};

/* A connection at time 0, with ordinary amounts of memory or those given. Change rig->env.limits
 * before the first input. */
void rig_open(struct rig *rig, const struct gy_http_handler *handler, void *context);
void rig_open_sized(struct rig *rig, const struct gy_http_handler *handler, void *context,
                    struct rig_size size);

/* Puts bytes into the input without a turn: a piece of its own. */
void rig_append(struct rig *rig, const void *bytes, size_t length);

/* Gives the connection turns until it has nothing more to say, and takes what it sends. */
uint32_t rig_turn(struct rig *rig);

/* rig_append() and rig_turn(); a text; the end of the peer's direction. */
uint32_t rig_feed(struct rig *rig, const void *bytes, size_t length);
uint32_t rig_say(struct rig *rig, const char *text);
uint32_t rig_end(struct rig *rig);

/* Takes what has been sent so far, so that the next look sees only what is new. */
void rig_forget(struct rig *rig);

/* Closes the connection and checks that no memory is missing. */
void rig_close(struct rig *rig);

/* A body of `length` bytes as a slice of a heap buffer, which the rig counts. */
struct gy_slice rig_slice(struct rig *rig, const void *bytes, size_t length);

/* The statuses of the responses in `sent`, blanks between them ("100 200"); "?" where the bytes are
 * no whole response. `statuses` has room for `room` bytes. Bodies are found by Content-Length or
 * chunked; a response to HEAD must have Content-Length 0. */
void rig_statuses(const struct rig *rig, char *statuses, size_t room);

#endif
