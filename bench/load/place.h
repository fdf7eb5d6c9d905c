/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_PLACE_H
#define GY_BENCH_LOAD_PLACE_H

/*
 * Where many connections come from: an address has some 28,000 ports for one server
 * (net.ipv4.ip_local_port_range), and a table of descriptors as many sockets as RLIMIT_NOFILE says.
 * So there may be several addresses (--source), and each thread has a table of its own.
 */

#include "bench/load/load.h"

/* --source ADDR, without a port: one more. GY_EINVAL, GY_ELIMIT, with a sentence. */
int gy_load_source_add(struct gy_load_options *options, const char *value, struct gy_error *error);

/* Whether they can be used with the rest of the options: GY_EINVAL, with a sentence. */
int gy_load_source_check(const struct gy_load_options *options, struct gy_error *error);

/* The address that dial `number` of thread `thread` comes from, in turns; NULL: the kernel chooses.
 */
const struct gy_address *gy_load_source(const struct gy_load_options *options, uint32_t thread,
                                        uint64_t number);

/* Ports of one address for one server; 0: not known. */
uint32_t gy_load_local_ports(void);

/* What to write for more of them, where that can be known: ", such as …", or "". */
const char *gy_load_source_example(const struct gy_load_options *options);

/* Once the server's address is known: whether its addresses have ports for so many connections.
 * GY_ELIMIT, with a sentence. */
int gy_load_check_ports(const struct gy_load_options *options, struct gy_error *error);

/*
 * On a thread that is to make `connections`, before it opens anything: sees that it may. A table of
 * its own is taken where all threads' connections do not fit into one. GY_ENOFILE, with a sentence.
 */
int gy_load_make_room(const struct gy_load_options *options, uint32_t connections,
                      struct gy_error *error);

#endif
