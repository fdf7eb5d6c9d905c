/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_FAN_H
#define GY_BENCH_LOAD_FAN_H

/*
 * --broadcast: one connection sends, and all of them get each message, the sender too. A request is
 * answered when the last has got it. Messages come to everybody in the order in which they were
 * sent; each connection counts its own. The first connection that is ready is the sender.
 *
 * A connection that is lost is an error and does not come back, since nobody could say which
 * messages it is to get; without the sender the run ends.
 */

#include "connection.h"

/* The sender is about to send `count` messages. */
void gy_load_fan_sent(struct gy_load_engine *engine, uint32_t count);

/* A connection has got a message. false: none was sent that it could be. `worst`: what the request
 * came to, when this was its last; GY_LOAD_MORE before. */
bool gy_load_fan_got(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     enum gy_load_progress progress, enum gy_load_progress *worst);

/* A connection that had been ready has gone. Returns how many requests waited for it alone. */
uint32_t gy_load_fan_lost(struct gy_load_engine *engine, struct gy_load_connection *connection);

#endif
