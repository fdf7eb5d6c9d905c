/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/engine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/connection.h"
#include "bench/load/dial.h"
#include "bench/load/fan.h"
#include "bench/load/rudp.h"
#include "bench/load/udp.h"

/* Timers are of milliseconds: the last deadline has passed by then. */
#define GRACE_NS    UINT64_C(50000000)
#define SLOTS_APART 64
/* What a length of two bytes can say. */
#define MESSAGE_BYTES_MAX 65535
/* How soon `stop` is seen by a thread that nothing else wakes. */
#define NAP_NS UINT64_C(100000000)

uint64_t gy_load_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Time that this thread wanted to run and had no processor; 0 where the kernel does not tell
 * (proc(5): schedstat). */
static uint64_t thread_delay_ns(void)
{
    unsigned long long ran, waited = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &ran, &waited) != 2) {
            waited = 0;
        }
        fclose(file);
    }
    return waited;
}

/* ---- opening ---- */

static int out_of_memory(struct gy_load_engine *engine)
{
    return gy_error_set(&engine->error, GY_ENOMEM, "starting thread %u: out of memory",
                        engine->number);
}

static int open_memory(struct gy_load_engine *engine, const void *plan)
{
    engine->latency = gy_load_histogram_open();
    engine->service = gy_load_histogram_open();
    engine->lateness = gy_load_histogram_open();
    engine->state = calloc(1, engine->protocol->state_bytes);
    engine->worker = aligned_alloc(GY_CACHE_LINE_BYTES, sizeof(struct gy_worker));
    if (engine->latency == NULL || engine->service == NULL || engine->lateness == NULL ||
        engine->state == NULL || engine->worker == NULL || gy_load_fan_open(engine) != 0) {
        free(engine->worker);
        engine->worker = NULL;
        return out_of_memory(engine);
    }
    const struct gy_load_protocol *protocol = engine->protocol;
    if (protocol->make != NULL && !protocol->datagrams &&
        (engine->gather = malloc(MESSAGE_BYTES_MAX)) == NULL) {
        return out_of_memory(engine);
    }
    protocol->state_open(engine->state, plan, engine->options, engine->number);
    engine->state_open = true;
    if (protocol->requests != NULL) {
        const void *data = protocol->requests(plan, &engine->request_bytes);
        uint32_t copies = protocol->datagrams ? 1 : engine->options->pipeline;
        copies *= protocol->appoint != NULL ? engine->options->publishers : 1;
        gy_buffer_wrap_constant(&engine->requests, data, engine->request_bytes * copies);
    }
    if (protocol->greeting != NULL) {
        uint32_t bytes;
        const void *greeting = protocol->greeting(plan, &bytes);
        gy_buffer_wrap_constant(&engine->greeting, greeting, bytes);
    }
    return 0;
}

static int open_worker(struct gy_load_engine *engine, enum gy_receive_mode mode)
{
    struct gy_worker_options options = {
        .number = 0, /* workers of a generator send each other nothing */
        .workers = 1,
        .processor = -1,
        .streams_max = engine->connections + SLOTS_APART,
        .datagrams_max = gy_load_udp_sockets_max(engine),
        .pool = gy_pool_defaults(mode, 0),
    };
    int code = gy_worker_open(engine->worker, &options, &engine->worker, &engine->error);
    if (code != 0) {
        free(engine->worker);
        engine->worker = NULL;
        return code;
    }
    if (engine->protocol->datagrams) {
        return engine->protocol->reliable ? gy_load_rudp_open(engine) : gy_load_udp_open(engine);
    }
    struct gy_endpoint_options endpoint = {
        .name = engine->protocol->scheme,
        .ops = &gy_load_connection_ops,
        .context = engine,
        .session_bytes = gy_load_connection_bytes(engine),
        .connections_max = options.streams_max,
        .layer = engine->protocol->secure ? &gy_tls_layer : NULL,
        .layer_context = engine->options->tls_config,
        .limits.write_timeout_ms = (uint32_t)(engine->options->timeout_ns / 1000000 + 1),
    };
    code = gy_endpoint_open(&engine->endpoint, engine->worker, &endpoint, &engine->error);
    engine->endpoint_open = code == 0;
    return code;
}

static bool stopped(const struct gy_load_engine *engine)
{
    return atomic_load_explicit(engine->stop, memory_order_relaxed) || engine->gave_up;
}

int gy_load_engine_open(struct gy_load_engine *engine, const void *plan, enum gy_receive_mode mode)
{
    prctl(PR_SET_TIMERSLACK, 1UL); /* a request that is due is not to wait for others */
    TAILQ_INIT(&engine->idle);
    int code = open_memory(engine, plan);
    if (code == 0) {
        code = open_worker(engine, mode);
    }
    return code != 0 ? code : gy_load_dial_all(engine);
}

/* ---- the schedule ---- */

void gy_load_connection_touch(struct gy_load_engine *engine, struct gy_load_connection *connection)
{
    if (!connection->touched && connection->stream != NULL) {
        connection->touched = true;
        connection->next_touched = engine->touched;
        engine->touched = connection;
    }
}

/* Hands what was written between two turns to the ring, so that the next enter takes it along. */
static void flush_touched(struct gy_load_engine *engine)
{
    if (engine->protocol->reliable) {
        gy_load_rudp_flush(engine);
    }
    gy_datagrams_flush(engine->worker);
    struct gy_load_connection *connection = engine->touched;
    engine->touched = NULL;
    while (connection != NULL) {
        struct gy_load_connection *next = connection->next_touched;
        connection->touched = false;
        if (!connection->stream->flush) {
            gy_stream_progress(connection->stream);
        }
        connection = next;
    }
}

static uint32_t send_on(struct gy_load_engine *engine, struct gy_load_connection *connection,
                        uint32_t count, uint64_t intended_ns, uint64_t now_ns)
{
    if (engine->protocol->reliable) {
        return gy_load_rudp_send(engine, connection, count, intended_ns, now_ns);
    }
    return engine->protocol->datagrams
               ? gy_load_udp_send(engine, connection, count, intended_ns, now_ns)
               : gy_load_connection_send(engine, connection, count, intended_ns, now_ns);
}

/* Sends what is due while connections have room. Lateness is what this program adds: from when a
 * request was due and a connection was there to when it was sent. */
static void send_due(struct gy_load_engine *engine, uint64_t now_ns)
{
    struct gy_load_connection *connection;
    while (engine->budget > 0 && (connection = TAILQ_FIRST(&engine->idle)) != NULL) {
        uint64_t due_ns = gy_load_schedule_next_ns(&engine->schedule);
        if (due_ns > now_ns || due_ns >= engine->until_ns) {
            break;
        }
        if (send_on(engine, connection, 1, due_ns, now_ns) == 0) {
            break;
        }
        gy_load_connection_busy(engine, connection);
        gy_load_connection_rest(engine, connection);
        gy_load_connection_touch(engine, connection);
        if (due_ns >= engine->from_ns) {
            uint64_t could_ns = due_ns > engine->idle_since_ns ? due_ns : engine->idle_since_ns;
            gy_load_record(engine->lateness, now_ns - could_ns, 1);
            engine->scheduled++;
        }
        gy_load_schedule_take(&engine->schedule);
    }
}

/* What is due and was not sent counts with the time it has waited. */
static void count_unsent(struct gy_load_engine *engine, uint64_t now_ns)
{
    uint64_t due_ns;
    while (engine->budget > 0 &&
           (due_ns = gy_load_schedule_next_ns(&engine->schedule)) < engine->until_ns &&
           due_ns <= now_ns) {
        if (due_ns >= engine->from_ns) {
            gy_load_record(engine->latency, now_ns - due_ns, 1);
            engine->scheduled++;
            engine->unsent++;
        }
        engine->budget--;
        gy_load_schedule_take(&engine->schedule);
    }
}

/* How many more a closed loop may have in flight on this connection. */
static uint32_t closed_room(const struct gy_load_engine *engine,
                            const struct gy_load_connection *connection)
{
    uint32_t room = engine->options->pipeline - connection->in_flight;
    if (engine->outstanding == 0) {
        return room;
    }
    uint64_t left =
        engine->in_flight < engine->outstanding ? engine->outstanding - engine->in_flight : 0;
    return left < room ? (uint32_t)left : room;
}

/* Those that are idle in turns: the one that has waited longest first. */
static void start_closed_loop(struct gy_load_engine *engine, uint64_t now_ns)
{
    struct gy_load_connection *connection;
    while (engine->budget > 0 && (connection = TAILQ_FIRST(&engine->idle)) != NULL) {
        uint32_t room = closed_room(engine, connection);
        if (room == 0) {
            break;
        }
        gy_load_connection_busy(engine, connection);
        uint32_t sent = send_on(engine, connection, room, now_ns, now_ns);
        gy_load_connection_touch(engine, connection);
        if (engine->outstanding > 0 || (engine->protocol->datagrams && sent < room)) {
            gy_load_connection_rest(engine, connection); /* in its turn, or when sends have ended */
        }
        if (sent < room && (engine->outstanding > 0 || engine->protocol->datagrams)) {
            break;
        }
    }
}

/* ---- phases ---- */

static void window_begins(struct gy_load_engine *engine, uint64_t now_ns)
{
    engine->began_ns = now_ns;
    engine->cpu_ns = thread_cpu_ns();
    engine->delay_ns = thread_delay_ns();
    engine->notify();
}

static void window_ends(struct gy_load_engine *engine, uint64_t now_ns)
{
    engine->ending = true;
    if (engine->rate > 0) {
        count_unsent(engine, now_ns);
    }
    if (now_ns < engine->until_ns) {
        engine->until_ns = now_ns;
    }
    engine->ended_ns = now_ns;
    if (engine->began_ns != 0) {
        engine->cpu_ns = thread_cpu_ns() - engine->cpu_ns;
        engine->delay_ns = thread_delay_ns() - engine->delay_ns;
    }
    engine->notify();
}

/* Enough was sent, and all of it has come back or was lost. */
static bool budget_is_used(const struct gy_load_engine *engine)
{
    return engine->budget == 0 && engine->in_flight == 0;
}

/* false: the run is over. */
static bool step_phases(struct gy_load_engine *engine, uint64_t now_ns)
{
    if (engine->began_ns == 0 && now_ns >= engine->from_ns) {
        window_begins(engine, now_ns);
    }
    bool stop = stopped(engine);
    if (!engine->ending && (stop || now_ns >= engine->until_ns || budget_is_used(engine))) {
        window_ends(engine, now_ns);
    }
    if (!engine->ending) {
        return true;
    }
    return !stop && engine->in_flight > 0 &&
           now_ns < engine->until_ns + engine->options->timeout_ns + GRACE_NS;
}

/* How long a turn may sleep. Completions and deadlines wake it by themselves. */
static uint64_t sleep_ns(const struct gy_load_engine *engine, uint64_t now_ns)
{
    uint64_t next_ns = engine->ending ? engine->until_ns + engine->options->timeout_ns + GRACE_NS
                                      : engine->until_ns;
    if (engine->began_ns == 0 && engine->from_ns < next_ns) {
        next_ns = engine->from_ns;
    }
    if (engine->missing > 0 && engine->redial_ns < next_ns) {
        next_ns = engine->redial_ns;
    }
    if (engine->rate > 0 && !engine->ending && engine->budget > 0 && !TAILQ_EMPTY(&engine->idle)) {
        uint64_t due_ns = gy_load_schedule_next_ns(&engine->schedule);
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    uint64_t left_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    return left_ns < NAP_NS ? left_ns : NAP_NS;
}

static void publish(struct gy_load_engine *engine)
{
    uint64_t errors = 0;
    for (unsigned i = 0; i < GY_LOAD_ERROR_COUNT; i++) {
        errors += engine->errors[i];
    }
    gy_gauge_set(&engine->live.answered, engine->answered_total);
    gy_gauge_set(&engine->live.errors, errors);
}

/* All threads begin together. */
static int wait_for_start(struct gy_load_engine *engine)
{
    int code = 0;
    for (uint64_t now_ns; code == 0 && (now_ns = gy_load_now_ns()) < engine->start_ns;) {
        code = gy_worker_turn(engine->worker, engine->start_ns - now_ns);
    }
    return code;
}

int gy_load_engine_run(struct gy_load_engine *engine)
{
    if (wait_for_start(engine) != 0) {
        return gy_error_set(&engine->error, GY_EIO, "thread %u: its ring broke", engine->number);
    }
    uint64_t now_ns = gy_load_now_ns();
    engine->running = true;
    engine->idle_since_ns = engine->start_ns;
    engine->last_answer_ns = engine->start_ns;
    if (engine->rate > 0) {
        gy_load_schedule_init(&engine->schedule, engine->rate,
                              engine->options->arrivals == GY_LOAD_POISSON,
                              engine->options->seed + engine->number,
                              (double)engine->number / engine->options->threads, engine->start_ns);
    } else {
        start_closed_loop(engine, now_ns);
    }
    while (step_phases(engine, now_ns)) {
        if (!engine->ending && gy_load_dial_missing(engine, now_ns) != 0) {
            continue; /* gave up: the next step ends it */
        }
        if (engine->rate > 0 && !engine->ending) {
            send_due(engine, now_ns);
        } else if ((engine->protocol->datagrams || engine->outstanding > 0) && !engine->ending) {
            start_closed_loop(engine, now_ns); /* those that found no room before, or in turns */
        }
        flush_touched(engine);
        int code = gy_worker_turn(engine->worker, sleep_ns(engine, now_ns));
        if (code != 0) {
            window_ends(engine, gy_load_now_ns());
            return gy_error_set(&engine->error, code, "thread %u: its ring broke", engine->number);
        }
        publish(engine);
        /* A schedule wants the time that it is; a closed loop does with that of the turn. */
        now_ns = engine->rate > 0 ? gy_load_now_ns() : engine->worker->now_ns;
    }
    if (engine->protocol->reliable && !stopped(engine)) {
        gy_load_rudp_give_up(engine);
    }
    return engine->gave_up ? engine->error.code : 0;
}

static void close_state(struct gy_load_engine *engine)
{
    const struct gy_load_protocol *protocol = engine->protocol;
    if (protocol->tallies != NULL) {
        const uint64_t *tallies = protocol->tallies(engine->state);
        for (uint32_t i = 0; protocol->tally_name(i) != NULL; i++) {
            gy_assert(i < GY_LOAD_TALLIES_MAX);
            engine->tallies[i] = tallies[i];
        }
    }
    if (protocol->stranger != NULL) {
        snprintf(engine->stranger, sizeof engine->stranger, "%s",
                 protocol->stranger(engine->state));
    }
    if (protocol->broken != NULL) {
        snprintf(engine->broken, sizeof engine->broken, "%s", protocol->broken(engine->state));
    }
    protocol->state_close(engine->state);
    engine->state_open = false;
}

void gy_load_engine_close(struct gy_load_engine *engine)
{
    engine->finishing = true;
    /* What the last step wrote and no turn followed for is not sent any more. */
    for (struct gy_load_connection *connection; (connection = engine->touched) != NULL;) {
        engine->touched = connection->next_touched;
        connection->touched = false;
    }
    if (engine->worker != NULL) {
        gy_worker_finish(engine->worker);
        if (engine->endpoint_open && engine->endpoint.connections == 0) {
            gy_endpoint_close(&engine->endpoint);
        }
        if (engine->protocol->reliable) {
            gy_load_rudp_close(engine);
        } else {
            gy_load_udp_close(engine);
        }
        gy_worker_close(engine->worker);
        free(engine->worker);
        engine->worker = NULL;
    }
    gy_load_fan_close(engine);
    free(engine->udp_connections);
    engine->udp_connections = NULL;
    free(engine->gather);
    engine->gather = NULL;
    if (engine->state_open) {
        close_state(engine);
    }
    free(engine->state);
    engine->state = NULL;
}
