/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_UDP_H
#define GY_BENCH_LOAD_UDP_H

/* UDP sockets of an engine, in the place of its streams. */

#include "connection.h"

/* UDP sockets that the engine's worker must have room for. */
uint32_t gy_load_udp_sockets_max(const struct gy_load_engine *engine);

/* With the worker open. 0, or a code with a sentence in engine->error. */
int gy_load_udp_open(struct gy_load_engine *engine);

/* One more socket. Likewise. */
int gy_load_udp_dial(struct gy_load_engine *engine);

/* Queues `count` datagrams, or what there is room for within the budget; returns how many. */
uint32_t gy_load_udp_send(struct gy_load_engine *engine, struct gy_load_connection *connection,
                          uint32_t count, uint64_t intended_ns, uint64_t now_ns);

/* After the worker has finished, before it is closed. */
void gy_load_udp_close(struct gy_load_engine *engine);

#endif
