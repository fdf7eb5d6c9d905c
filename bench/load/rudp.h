/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_RUDP_H
#define GY_BENCH_LOAD_RUDP_H

/* Reliable-UDP connections of an engine, in the place of its streams. */

#include "connection.h"

/* With the worker open. 0, or a code with a sentence in engine->error. */
int gy_load_rudp_open(struct gy_load_engine *engine);

/* Begins one more connection, which counts once it is open. Likewise. */
int gy_load_rudp_dial(struct gy_load_engine *engine);

/* Queues `count` messages, or what there is room for within the budget; returns how many. */
uint32_t gy_load_rudp_send(struct gy_load_engine *engine, struct gy_load_connection *connection,
                           uint32_t count, uint64_t intended_ns, uint64_t now_ns);

/* What was queued between two turns goes to the worker's sockets. */
void gy_load_rudp_flush(struct gy_load_engine *engine);

/* The run is over: what is still under way was not answered in time. */
void gy_load_rudp_give_up(struct gy_load_engine *engine);

/* After the worker has finished, before it is closed. */
void gy_load_rudp_close(struct gy_load_engine *engine);

#endif
