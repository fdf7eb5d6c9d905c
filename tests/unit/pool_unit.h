/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_UNIT_POOL_UNIT_H
#define GY_TESTS_UNIT_POOL_UNIT_H

/* What the tests of the pool share: a small pool, and completions built by hand. */

#include "core/pool.h"
#include "tests/unit/ring_unit.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#define GROUP  3
#define BYTES  256
#define COUNT  16
#define POSTED 4

struct fixture {
    struct gy_ring *ring;
    struct gy_pool *pool;
    struct gy_slab links;
    struct gy_chain chain;
    _Alignas(GY_SLAB_ALIGN) uint8_t link_memory[32 * 64];
};

static inline int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->ring = ring_open(&(struct gy_ring_options){.entries = 8});
    gy_slab_init(&fixture->links, fixture->link_memory, sizeof fixture->link_memory,
                 sizeof(struct gy_link));
    gy_chain_init(&fixture->chain, &fixture->links);
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    gy_chain_clear(&fixture->chain);
    gy_pool_close(fixture->pool);
    gy_ring_close(fixture->ring);
    free(fixture);
    return 0;
}

static inline void open_pool(struct fixture *fixture, enum gy_receive_mode mode)
{
    const struct gy_pool_options options = {
        .group = GROUP, .buffer_bytes = BYTES, .buffers = COUNT, .posted = POSTED, .mode = mode};
    struct gy_error error = {0};
    if (gy_pool_open(&fixture->pool, fixture->ring, &options, &error) == GY_ENOTSUP) {
        print_message("# the kernel lacks this receive mode\n");
        skip();
    }
    assert_int_equal(error.code, 0);
}

/* "The kernel wrote `result` bytes into buffer `id`." */
static inline int taken(struct fixture *fixture, uint32_t id, int32_t result, uint32_t flags)
{
    const struct gy_completion completion = {
        .token = gy_token(GY_OPERATION_RECEIVE, 1, 1),
        .result = result,
        .flags = GY_COMPLETION_BUFFER | id << 16 | flags,
    };
    return gy_pool_take(fixture->pool, &completion, &fixture->chain);
}

static inline int taken_without_buffer(struct fixture *fixture, int32_t result)
{
    const struct gy_completion completion = {.result = result};
    return gy_pool_take(fixture->pool, &completion, &fixture->chain);
}

static inline void drop_all(struct fixture *fixture)
{
    gy_chain_clear(&fixture->chain);
    gy_pool_refill(fixture->pool);
}

static inline uint64_t misordered(const struct fixture *fixture)
{
    return gy_pool_counters(fixture->pool)->misordered;
}

static volatile uint8_t seen;

/* For expect_poisoned(). */
static inline void read_a_byte(void *byte)
{
    seen = *(volatile uint8_t *)byte;
}

#define GOES_ON (GY_COMPLETION_MORE | GY_COMPLETION_BUFFER_MORE)

#endif
