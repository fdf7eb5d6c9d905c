/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A whole worker with an HTTP server on the null ring: what one request costs on its way from the
 * completion of a receive to that of its send. */

#include <string.h>

#include "bench/work/null_ring.h"
#include "bench/work/work.h"
#include "core/worker.h"
#include "servers/http/http_server.h"

#define CONNECTIONS 16
#define DEPTH       16
#define STALE       256
#define REQUEST     "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"

struct worker_work {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_http_server http;
    struct gy_server server;
    int listening[1];
    uint32_t depth; /* requests in a delivery */
    uint8_t input[DEPTH * sizeof REQUEST];
    uint32_t input_bytes;
};

static void hello(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", "Hello, world!", 13);
}

static const struct gy_http_handler handler = {.request = hello};

static void turn(struct worker_work *work)
{
    int error = gy_worker_turn(&work->worker, 0);
    gy_assert(error == 0);
}

static void *open_worker(uint32_t depth)
{
    struct worker_work *work = work_memory(sizeof *work);
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 64,
        .blocks_max = 64,
        .pool = gy_pool_defaults(GY_RECEIVE_INCREMENTAL, 1),
    };
    struct gy_error error = {0};
    work->peers[0] = &work->worker;
    work->listening[0] = NULL_RING_DESCRIPTOR_FIRST - 1; /* only the ring ever sees it */
    work->http = (struct gy_http_server){.handler = &handler, .exchanges_max = 64};
    gy_http_server_init(&work->server, &work->http, work->listening);
    int code = gy_worker_open(&work->worker, &options, work->peers, &error);
    gy_assert(code == 0);
    code = gy_worker_serve(&work->worker, &work->server, &error);
    gy_assert(code == 0);
    for (uint32_t i = 0; i < depth; i++) {
        memcpy(work->input + work->input_bytes, REQUEST, sizeof REQUEST - 1);
        work->input_bytes += sizeof REQUEST - 1;
    }
    work->depth = depth;
    turn(work);
    for (int i = 0; i < CONNECTIONS; i++) {
        null_ring_connect(work->worker.ring);
    }
    turn(work);
    turn(work);
    gy_assert(work->worker.streams_open == CONNECTIONS);
    return work;
}

static void *open_single(void)
{
    return open_worker(1);
}

static void *open_pipeline(void)
{
    return open_worker(DEPTH);
}

static void serve(void *state, uint64_t iterations)
{
    struct worker_work *work = state;
    uint64_t before = gy_http_requests(&work->http);
    for (uint64_t i = 0; i < iterations; i++) {
        for (int n = 0; n < CONNECTIONS; n++) {
            null_ring_deliver(work->worker.ring, NULL_RING_DESCRIPTOR_FIRST + n, work->input,
                              work->input_bytes);
        }
        turn(work);
    }
    turn(work); /* the last sends complete */
    uint64_t answered = gy_http_requests(&work->http) - before;
    gy_assert(answered == iterations * CONNECTIONS * work->depth);
}

/* Completions of streams that are gone. */
static void dispatch_stale(void *state, uint64_t iterations)
{
    struct worker_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (uint32_t n = 0; n < STALE; n++) {
            struct gy_completion completion = {
                gy_token(GY_OPERATION_SEND, n % CONNECTIONS, UINT32_MAX), 1, 0};
            gy_worker_dispatch(&work->worker, &completion);
        }
    }
}

static void turn_idle(void *state, uint64_t iterations)
{
    for (uint64_t i = 0; i < iterations; i++) {
        turn(state);
    }
}

static void count(void *state, struct work_counts *counts)
{
    struct worker_work *work = state;
    const struct gy_ring_counters *ring = gy_ring_counters(work->worker.ring);
    counts->copied_bytes =
        gy_counter_read(&work->worker.counters.copied_bytes) + work->worker.bump.copied_bytes;
    counts->enters = ring->enters;
    counts->submissions = ring->submissions;
    counts->completions = ring->completions;
}

const struct work work_worker_rows[] = {
    {"worker-get", "a small GET on one of 16 connections", CONNECTIONS, open_single, serve, count},
    {"worker-pipeline16", "a small GET, 16 in a receive on each of 16 connections",
     CONNECTIONS *DEPTH, open_pipeline, serve, count},
    {"worker-stale", "a completion whose stream is gone", STALE, open_single, dispatch_stale,
     count},
    {"worker-idle", "a turn without anything to do", 1, open_single, turn_idle, count},
};
const uint32_t work_worker_row_count = sizeof work_worker_rows / sizeof work_worker_rows[0];
