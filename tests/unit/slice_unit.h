/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_UNIT_SLICE_UNIT_H
#define GY_TESTS_UNIT_SLICE_UNIT_H

/* What the tests of slices and chains share: two buffers that tell when they are released, and two
 * chains on a small slab of links. */

#include <stdalign.h>

#include "core/slice.h"
#include "tests/unit/unit.h"

#define LINKS 8

struct fixture {
    alignas(GY_SLAB_ALIGN) uint8_t memory[LINKS * 32];
    struct gy_slab links;
    struct gy_chain chain;
    struct gy_chain other;
    struct gy_buffer a;
    struct gy_buffer b;
    uint8_t a_data[64];
    uint8_t b_data[64];
};

static int released_a;
static int released_b;

static inline void release_a(struct gy_buffer *buffer)
{
    assert_int_equal(buffer->refs, 0);
    released_a++;
}

static inline void release_b(struct gy_buffer *buffer)
{
    assert_int_equal(buffer->refs, 0);
    released_b++;
}

static inline int set_up(void **state)
{
    struct fixture *fixture = aligned_alloc(GY_SLAB_ALIGN, sizeof *fixture);
    assert_true(sizeof(struct gy_link) <= 32);
    gy_slab_init(&fixture->links, fixture->memory, sizeof fixture->memory, sizeof(struct gy_link));
    assert_int_equal(fixture->links.capacity, LINKS);
    gy_chain_init(&fixture->chain, &fixture->links);
    gy_chain_init(&fixture->other, &fixture->links);
    for (int i = 0; i < 64; i++) {
        fixture->a_data[i] = (uint8_t)('A' + i % 26);
        fixture->b_data[i] = (uint8_t)('a' + i % 26);
    }
    fixture->a = (struct gy_buffer){fixture->a_data, 64, 1, release_a};
    fixture->b = (struct gy_buffer){fixture->b_data, 64, 1, release_b};
    released_a = 0;
    released_b = 0;
    *state = fixture;
    return 0;
}

/* Every test leaves the chains as it likes: cleared, they must hold nothing. */
static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    gy_chain_clear(&fixture->chain);
    gy_chain_clear(&fixture->other);
    bool all_back = fixture->links.used == 0;
    gy_unpoison(fixture->memory, sizeof fixture->memory);
    free(fixture);
    return all_back ? 0 : -1;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

#endif
