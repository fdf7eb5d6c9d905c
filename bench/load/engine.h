/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_ENGINE_H
#define GY_BENCH_LOAD_ENGINE_H

/*
 * The engine of one thread: a worker of core that dials, and a loop of its own around its turns.
 *
 *   open      the worker, its memory, its share of the connections; until all of them are connected
 *   run       the schedule, from start_ns on: warm-up, the measured window, then nothing new is
 * sent and what is in flight is awaited, at most for one request's timeout close
 *
 * Connections wait in `idle` while they have room for a request. A closed loop fills them as
 * answers come; an open loop takes one for each request that is due, and counts what is due while
 * none is idle from the time that it was due.
 */

#include <stdatomic.h>
#include <sys/queue.h>

#include "../../core/endpoint.h"
#include "../../core/worker.h"
#include "arrival.h"
#include "histogram.h"
#include "load.h"

struct gy_load_connection;
struct rudp;
TAILQ_HEAD(gy_load_connections, gy_load_connection);

/* --broadcast: some connections send; a request is answered when all have got it. */
struct gy_load_fan {
    struct gy_load_connection *senders[GY_LOAD_PUBLISHERS_MAX];
    uint64_t sent[GY_LOAD_PUBLISHERS_MAX]; /* of each */
    uint32_t members;                      /* connections that were ready */
    uint64_t deliveries;                   /* within the window */
    struct gy_load_wait *waits; /* options->pipeline for each sender: of those on their way */
    uint64_t *got;              /* of each member, from each sender */
};

struct gy_load_engine {
    const struct gy_load_options *options;
    const struct gy_load_protocol *protocol;
    uint32_t number;
    uint32_t connections; /* of this thread */
    uint32_t outstanding; /* likewise: in flight at most; 0: what connections and pipeline allow */
    double rate;          /* of this thread; 0: closed loop */

    struct gy_worker *worker; /* NULL before it is opened */
    struct gy_endpoint endpoint;
    bool endpoint_open;
    struct gy_datagram_endpoint datagrams; /* over UDP */
    bool datagrams_open;
    void *udp_connections;     /* likewise: all of them */
    struct rudp *rudp;         /* over reliable UDP: rudp.c's */
    struct gy_buffer requests; /* the protocol's, for this worker's slices */
    uint32_t request_bytes;
    struct gy_buffer greeting; /* likewise, where it has one */
    uint32_t greeted;          /* connections, by the protocol's greet() */
    char refusal[192];         /* why the last connection was refused */
    char failure[192];         /* why the last dial failed; empty: none did */
    void *state;               /* the protocol's */
    bool state_open;
    uint8_t *gather; /* a message of a stream that lies in several buffers */

    /* Set by the control thread between open and run. */
    uint64_t start_ns;
    uint64_t from_ns; /* the window: from_ns <= t < until_ns */
    uint64_t until_ns;
    uint64_t budget;      /* requests still to be sent */
    _Atomic bool *stop;   /* Ctrl-C, or another thread gave up */
    void (*notify)(void); /* called when the window or the run ends here */

    struct gy_load_schedule schedule;
    struct gy_load_connections idle;
    uint64_t idle_since_ns;             /* when `idle` was last empty */
    struct gy_load_connection *touched; /* have output that is not with the ring yet */
    uint32_t missing;                   /* connections to dial */
    uint32_t connected;
    uint32_t flight;    /* that may be dialled and not ready, before the start */
    uint64_t redial_ns; /* not before */
    uint64_t last_connected_ns;
    uint64_t in_flight; /* requests */
    struct gy_load_fan fan;
    bool running;
    bool ending;    /* nothing new is sent */
    bool finishing; /* the connections that end now are ended by us */

    /* Figures. Read by the control thread after the thread has ended, but for `live`. */
    struct hdr_histogram *latency; /* closed loop: only what timed out; the rest is `service` */
    struct hdr_histogram *service;
    struct hdr_histogram *lateness;
    uint64_t answered;
    uint64_t scheduled;
    uint64_t unsent;
    uint64_t sent_total;
    uint64_t answered_total;
    uint64_t connects, dials;
    uint64_t errors[GY_LOAD_ERROR_COUNT];
    uint64_t dial_errors[GY_LOAD_DIAL_ERROR_COUNT];
    uint64_t tallies[GY_LOAD_TALLIES_MAX];
    char broken[GY_LOAD_WHAT_BYTES];
    char stranger[GY_LOAD_STRANGER_BYTES];
    uint64_t last_answer_ns;
    uint64_t began_ns; /* the window, as it was */
    uint64_t ended_ns;
    uint64_t cpu_ns;   /* within the window */
    uint64_t delay_ns; /* likewise: wanted to run, and had no processor */
    bool gave_up;
    struct gy_error error;
    struct {
        _Atomic uint64_t answered;
        _Atomic uint64_t errors;
        _Atomic uint64_t connected, failed_dials; /* before the start */
    } live;
};

/* On the thread that will run it. 0 when all connections are there; otherwise a code with a
 * sentence in engine->error. */
int gy_load_engine_open(struct gy_load_engine *engine, const void *plan, enum gy_receive_mode mode);

/* 0; or the code of a ring that broke. A server that goes away ends it with gave_up. */
int gy_load_engine_run(struct gy_load_engine *engine);

/* The histograms stay. */
void gy_load_engine_close(struct gy_load_engine *engine);

uint64_t gy_load_now_ns(void);

#endif
