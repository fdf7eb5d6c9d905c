/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The memory of messages: what is taken never overlaps, and all of it comes back. */

#include "tests/unit/unit.h"

#include "servers/rudp/rudp_memory.h"

#define ARENA (1u << 20)

static void what_is_taken_does_not_overlap(void **state)
{
    static struct {
        uint8_t *data;
        size_t bytes;
        uint8_t mark;
    } held[128];
    struct gy_rudp_memory memory;
    uint64_t random = 1;
    (void)state;
    assert_int_equal(gy_rudp_memory_open(&memory, ARENA), 0);
    for (unsigned step = 0; step < 20000; step++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        unsigned i = (unsigned)(random >> 40) % 128;
        if (held[i].data != NULL) {
            for (size_t at = 0; at < held[i].bytes; at += 61) {
                assert_int_equal(held[i].data[at], held[i].mark);
            }
            gy_rudp_memory_give(&memory, held[i].data);
            held[i].data = NULL;
            continue;
        }
        held[i].bytes = 1 + (random >> 20) % (1u << (random >> 50) % 16);
        held[i].mark = (uint8_t)step;
        held[i].data = gy_rudp_memory_take(&memory, held[i].bytes);
        if (held[i].data != NULL) {
            memset(held[i].data, held[i].mark, held[i].bytes);
        }
    }
    for (unsigned i = 0; i < 128; i++) {
        if (held[i].data != NULL) {
            gy_rudp_memory_give(&memory, held[i].data);
        }
    }
    assert_int_equal(memory.used, 0);
    /* All has joined again. */
    void *all = gy_rudp_memory_take(&memory, ARENA);
    assert_non_null(all);
    assert_null(gy_rudp_memory_take(&memory, 1));
    gy_rudp_memory_give(&memory, all);
    gy_rudp_memory_close(&memory);
}

static void the_bound_is_kept_and_counted(void **state)
{
    struct gy_rudp_memory memory;
    void *pieces[ARENA / GY_RUDP_MEMORY_SMALLEST];
    uint32_t count = 0;
    (void)state;
    assert_int_equal(gy_rudp_memory_open(&memory, ARENA), 0);
    assert_null(gy_rudp_memory_take(&memory, ARENA + 1));
    assert_null(gy_rudp_memory_take(&memory, SIZE_MAX / 2));
    while (count < sizeof pieces / sizeof pieces[0] &&
           (pieces[count] = gy_rudp_memory_take(&memory, 100)) != NULL) {
        count++;
    }
    assert_int_equal(count, ARENA / GY_RUDP_MEMORY_SMALLEST);
    assert_null(gy_rudp_memory_take(&memory, 100));
    assert_int_equal(memory.refused, 3);
    assert_int_equal(memory.used, ARENA);
    while (count > 0) {
        gy_rudp_memory_give(&memory, pieces[--count]);
    }
    gy_rudp_memory_close(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_does_not_overlap),
        cmocka_unit_test(the_bound_is_kept_and_counted),
    };
    return cmocka_run_group_tests_name("rudp_memory", tests, NULL, NULL);
}
