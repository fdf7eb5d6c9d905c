/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_FAN_H
#define GY_BENCH_LOAD_FAN_H

/*
 * --broadcast: some connections send (--publishers), and all of them get each message, its sender
 * too. A request is answered when the last has got it. Messages of one sender come to everybody in
 * the order in which it sent them; each connection counts them by sender. The first connections
 * that are ready are the senders.
 *
 * A connection that is lost is an error and does not come back, since nobody could say which
 * messages it is to get; without a sender the run ends.
 */

#include "connection.h"

/* 0 or GY_ENOMEM. */
int gy_load_fan_open(struct gy_load_engine *engine);
void gy_load_fan_close(struct gy_load_engine *engine);

/* A connection is ready, and may be made a sender. */
void gy_load_fan_join(struct gy_load_engine *engine, struct gy_load_connection *connection);

/* A sender is about to send `count` messages. */
void gy_load_fan_sent(struct gy_load_engine *engine, const struct gy_load_connection *connection,
                      uint32_t count);

/* A connection has got a message of sender `from`. false: none was sent that it could be. `worst`:
 * what the request came to, when this was its last; GY_LOAD_MORE before. */
bool gy_load_fan_got(struct gy_load_engine *engine, struct gy_load_connection *connection,
                     uint32_t from, enum gy_load_progress progress, enum gy_load_progress *worst);

/* A connection that had been ready has gone. Returns how many requests of sender `from` waited for
 * it alone. */
uint32_t gy_load_fan_lost(struct gy_load_engine *engine, struct gy_load_connection *connection,
                          uint32_t from);

/* A sender has gone: the run ends. */
void gy_load_fan_ends(struct gy_load_engine *engine, const struct gy_load_connection *connection);

#endif
