/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_STREAM_RIG_H
#define GY_TESTS_CORE_STREAM_RIG_H

/*
 * What tests of streams on the real ring share: the receive mode and the ring that a run of a
 * program is for, and clients whose echoes are compared with what they sent.
 */

#include "tests/core/loopback.h"

/* Waits for what the worker's thread does in its time. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        for (int tries = 0; tries < 20000 && !(condition); tries++) {                              \
            usleep(1000);                                                                          \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

/* Of this run. */
extern enum gy_receive_mode forced_mode;
extern uint32_t forced_without; /* a feature of the ring, or 0 */

/* Reads MODE [without FEATURE] into these; false, and says how `program` is called, where that is
 * not what is there. */
bool forced_read(const char *program, int argc, char **argv);

/* A server in that mode, on a ring without that feature. */
struct loopback *open_with(struct loopback_options options);

/* Likewise, with a deadline of half a minute for the test. */
struct loopback *open_default(const char *test);

/* Sends about `bytes_each` on each of so many connections, in pieces of odd sizes, while it reads
 * and compares what comes back; then ends them. */
void echo_many(struct loopback *loopback, uint32_t connections, uint64_t bytes_each, uint64_t seed);

#endif
