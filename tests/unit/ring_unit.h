/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_UNIT_RING_UNIT_H
#define GY_TESTS_UNIT_RING_UNIT_H

/* What the tests of ring and pool share: rings, connections, and waiting for completions. */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ring.h"
#include "tests/unit/unit.h"

/* A ring, or a failed test with the reason. */
static inline struct gy_ring *ring_open(const struct gy_ring_options *options)
{
    struct gy_ring *ring = NULL;
    struct gy_error error = {0};
    if (gy_ring_open(&ring, options, &error) != 0) {
        fail_msg("%s", error.message);
    }
    assert_non_null(ring);
    return ring;
}

static inline struct gy_ring *small_ring(void)
{
    return ring_open(&(struct gy_ring_options){.entries = 8, .completion_entries = 64});
}

/* Both ends of a TCP connection: [0] accepted, [1] connected. */
static inline void connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(ends[1] >= 0);
    assert_int_equal(connect(ends[1], (struct sockaddr *)&address, bytes), 0);
    ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(ends[0] >= 0);
    assert_int_equal(setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    close(listener);
}

#define AWAIT_NS      UINT64_C(20000000)
#define AWAIT_TURNS   250 /* 5 s in all */
#define AWAIT_NOTHING UINT64_C(30000000)

/* Waits until `count` completions are there and takes exactly those. */
static inline void await_completions(struct gy_ring *ring, struct gy_completion *completions,
                                     uint32_t count)
{
    uint32_t got = 0;
    for (int i = 0; i < AWAIT_TURNS && got < count; i++) {
        got += gy_ring_reap(ring, completions + got, count - got);
        if (got < count) {
            assert_int_equal(gy_ring_wait(ring, AWAIT_NS), 0);
        }
    }
    assert_int_equal(got, count);
}

static inline struct gy_completion await_one(struct gy_ring *ring)
{
    struct gy_completion completion;
    await_completions(ring, &completion, 1);
    return completion;
}

/* Nothing more comes. */
static inline void expect_quiet(struct gy_ring *ring)
{
    struct gy_completion completion;
    assert_int_equal(gy_ring_wait(ring, AWAIT_NOTHING), 0);
    assert_int_equal(gy_ring_reap(ring, &completion, 1), 0);
}

#endif
