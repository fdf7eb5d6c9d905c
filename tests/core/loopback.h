/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_LOOPBACK_H
#define GY_TESTS_CORE_LOOPBACK_H

/*
 * A worker on the real ring, in a thread of its own, and clients on plain sockets that talk to it
 * over loopback. What its sessions do is chosen by the first byte that a client sends.
 */

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "tests/core/core_harness.h"

#define LOOPBACK_ECHO 'E' /* sends back what it receives; at the peer's end: flush and close */
#define LOOPBACK_SINK                                                                              \
    'S' /* checks what it receives; at the peer's end: answers its length, closes */
#define LOOPBACK_SOURCE 'G' /* 8 more bytes say how many it is to send; then it closes */
#define LOOPBACK_ANSWER 'A' /* answers 1 byte to each byte */
#define LOOPBACK_LINGER 'L' /* answers "bye", closes, lingers */
#define LOOPBACK_HALF   'H' /* answers "half", shuts its sending side, and is a sink then */
#define LOOPBACK_IGNORE 'I' /* wants to read, but never eats */
#define LOOPBACK_STALL  'Z' /* holds the worker up until `go_on` is set, then closes */

/* The bytes that sources send and sinks expect: position modulo a prime. */
#define PATTERN_PERIOD 65521
extern uint8_t loopback_pattern[PATTERN_PERIOD + 131072];

struct loopback_options {
    enum gy_receive_mode mode;
    uint32_t without;
    struct gy_ring_options ring; /* `without` is taken from above */
    struct gy_pool_options pool; /* all zero: the mode's defaults */
    struct gy_stream_limits limits;
    uint32_t streams_max; /* 0: 4096 */
    uint32_t blocks_max;  /* 0: 64 */
    const struct gy_layer_ops *layer;
    const void *layer_context;
};

struct loopback {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_server server;
    struct gy_worker_options options;
    struct gy_error error;
    pthread_t thread;
    sem_t opened;
    sem_t close; /* posted when nobody posts messages any more */
    int code;
    int listening;
    uint16_t port;
    uint32_t descriptors;     /* before it was opened */
    _Atomic uint64_t sunk;    /* bytes that sinks have checked */
    _Atomic uint64_t wrong;   /* of them */
    _Atomic uint64_t made;    /* bytes that sources have put into `out` */
    _Atomic uint64_t out_max; /* the most that a source's `out` held */
    _Atomic uint64_t in_max;
    _Atomic uint64_t slot_max; /* the highest slot that a stream had */
    _Atomic bool stalls, go_on;
};

/* NULL where this kernel lacks the mode or io_uring: then the test was skipped. */
struct loopback *loopback_open(const struct loopback_options *options);

/* Stops the worker, joins its thread, and checks that no descriptor, slot or buffer leaked. */
void loopback_close(struct loopback *loopback);

/* The same while `clients` sockets of the test are open. */
void loopback_close_with_clients(struct loopback *loopback, uint32_t clients);

/* Waits until the worker has `count` connections open. */
void loopback_await_open(struct loopback *loopback, uint64_t count);

/* ---- clients; all fail the test when nothing happens for 10 seconds ---- */

int client_connect(const struct loopback *loopback);
void client_send(int client, const void *data, size_t bytes);
/* Up to `bytes`, less only at the end of the stream. Returns how many; -1 for a reset. */
ssize_t client_read(int client, void *data, size_t bytes);
/* Closes with a reset. */
void client_reset(int client);

#define loopback_counter(loopback, name) gy_counter_read(&(loopback)->worker.counters.name)

#endif
