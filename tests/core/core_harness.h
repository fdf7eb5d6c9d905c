/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_HARNESS_H
#define GY_TESTS_CORE_HARNESS_H

/*
 * What the tests of the core share.
 *
 * First what every test needs: cmocka, a deadline for each test, patterns that tell which byte of
 * which stream one is looking at. Then the stage: a worker on the fake ring, with servers whose
 * sessions do what the test tells them.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/worker.h"

/* Ends the process, saying which test hung, unless called again (or with 0) in time. */
void deadline(const char *test, unsigned seconds);

/* recv(2) that goes on where this process was stopped and continued: with SO_RCVTIMEO the call ends
 * with EINTR then (signal(7)). */
ssize_t receive_on(int descriptor, void *data, size_t bytes);

/* The byte at `offset` of stream number `stream`. */
static inline uint8_t pattern_byte(uint32_t stream, uint64_t offset)
{
    uint64_t x =
        (offset + 1) * UINT64_C(0x9e3779b97f4a7c15) + stream * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint8_t)(x >> 56 ^ x >> 24);
}

void pattern_fill(uint8_t *target, uint32_t bytes, uint32_t stream, uint64_t offset);
bool pattern_matches(const uint8_t *data, uint32_t bytes, uint32_t stream, uint64_t offset);

/* xorshift64*; and the seed of a random test: GY_TEST_SEED if it is set, to replay a failure. */
uint64_t random_next(uint64_t *state);
uint64_t random_seed(uint64_t fixed);

/* Open descriptors of this process. */
uint32_t descriptors_open(void);

/* ---- the stage ---- */

#define STAGE_SERVERS  2
#define STAGE_RECEIVED 262144

struct stage;

/* A session: the test sets how it answers, and reads what happened to it. */
struct act {
    struct stage *stage;
    uint32_t wants;        /* answer of every call */
    uint32_t wants_once;   /* if not 0: answer of the next call instead */
    uint32_t eat_bytes;    /* consumes up to so many bytes a turn */
    uint32_t abort_reason; /* 1 + enum gy_close_reason: aborts in its next turn */
    bool echo;             /* what it eats goes to `out` */
    bool eat_on_expire;    /* everything */
    bool wake_itself;
    uint32_t burn_ms; /* a turn takes so long */
    bool saw_eof;
    uint32_t saw_bytes;               /* of `in`, in its last turn */
    uint32_t saw_least;               /* the fewest of any turn */
    const struct gy_stream *saw_next; /* who was to run after it, in its last turn */
    uint32_t turns;
    uint32_t expired;
    uint32_t drained;
};

struct stage {
    struct gy_worker worker;
    struct gy_worker *peers[2];
    struct gy_server servers[STAGE_SERVERS];
    int listening[STAGE_SERVERS];
    struct act act;           /* what new sessions start as */
    struct gy_stream *opened; /* the last one */
    uint32_t closed_count;
    enum gy_close_reason closed_reason; /* of the last one */
    int closed_error;                   /* likewise: stream->error */
    uint8_t received[STAGE_RECEIVED];   /* what sessions ate, all of them */
    uint32_t received_bytes;
    uint32_t turn_order[256]; /* slots, as sessions ran */
    uint32_t turn_count;
};

struct stage_options {
    struct gy_stream_limits limits;
    uint64_t quota_bytes;
    uint32_t connections_max; /* of server 0 */
    uint32_t streams_max;     /* 0: 64 */
    enum gy_receive_mode mode;
    bool mode_given;       /* otherwise multishot */
    uint32_t buffer_bytes; /* 0: 4096 */
    uint32_t buffers;      /* 0: 16 */
    uint32_t posted;       /* 0: 8 */
    uint32_t without;
    uint32_t mailbox_messages;
    uint32_t workers;                 /* 0: 1 */
    const struct gy_layer_ops *layer; /* of server 0 */
    const void *layer_context;
};

struct stage *stage_open(const struct stage_options *options);

/* Ends everything by completing what is in flight, checks that nothing leaked, and frees it. */
void stage_close(struct stage *stage);

/* One turn that does not wait. */
void stage_turn(struct stage *stage);
void stage_turns(struct stage *stage, uint32_t count);

/* A connection for server `number`: returns its stream after the turn in which it was accepted. The
 * client's end is *client. */
struct gy_stream *stage_connect(struct stage *stage, uint32_t number, int *client);

static inline struct act *act_of(struct gy_stream *stream)
{
    return stream->session;
}

/* Data for the stream's armed receive, and a turn. flags: GY_COMPLETION_MORE or 0. */
void stage_data(struct stage *stage, struct gy_stream *stream, const void *data, uint32_t bytes,
                uint32_t flags);

/* Completes the stream's send in flight (result: bytes or a negative errno), and a turn. */
void stage_sent(struct stage *stage, struct gy_stream *stream, int32_t result);

/* The operation in flight, or NULL. */
struct fake_operation *stage_accept_of(struct stage *stage, uint32_t number);
struct fake_operation *stage_receive_of(struct stage *stage, struct gy_stream *stream);
struct fake_operation *stage_send_of(struct stage *stage, struct gy_stream *stream);
/* By token or by descriptor. */
struct fake_operation *stage_cancel_of(struct stage *stage, struct gy_stream *stream);

/* Appends bytes to the stream's `out` as one slice of a buffer of their own (never merged). */
void stage_put(struct stage *stage, struct gy_stream *stream, const void *data, uint32_t bytes);

/* A client that waits in the backlog of the real socket of server `number`. */
int stage_client(struct stage *stage, uint32_t number);

/* The client has seen the end of what we send. */
bool client_sees_end(int client);

#define stage_counter(stage, name) gy_counter_read(&(stage)->worker.counters.name)

/* The ring of a stage of any kind. */
#define ring_of(stage) ((stage)->worker.ring)

#endif
