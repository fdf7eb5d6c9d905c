/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_DIAL_H
#define GY_BENCH_LOAD_DIAL_H

/*
 * Making connections: all of them before the schedule starts, and again those that are lost.
 *
 * Before the start they are made in flights, since tens of thousands that dial at once overflow the
 * queue in which a server's connections wait to be accepted, and the kernel then drops them for a
 * second and more. A flight begins with GY_LOAD_FLIGHT_FIRST connections that are dialled and not
 * ready, of all threads together; each that becomes ready lets one more, up to GY_LOAD_FLIGHT_MAX;
 * one that fails halves it. While the schedule runs, what a connection waits for is part of what is
 * measured, and nothing is held back.
 */

#include "engine.h"

#define GY_LOAD_FLIGHT_FIRST 64
#define GY_LOAD_FLIGHT_MAX   256
#define GY_LOAD_FLIGHT_MIN   4

/* Dials what is missing and may be dialled now. 0, or a code with a sentence in engine->error, and
 * then it has given up. */
int gy_load_dial_missing(struct gy_load_engine *engine, uint64_t now_ns);

/* Until all connections are there. It gives up when for a --timeout no more of them came. A code
 * with a sentence in engine->error. */
int gy_load_dial_all(struct gy_load_engine *engine);

/* A connection is ready. */
void gy_load_dial_worked(struct gy_load_engine *engine);

/* A stream ended before it was ready, for `reason`. It is tried again after a while; when all
 * connections are gone and stay so, the server is taken to be gone too. */
void gy_load_dial_failed(struct gy_load_engine *engine, struct gy_stream *stream,
                         enum gy_close_reason reason);

#endif
