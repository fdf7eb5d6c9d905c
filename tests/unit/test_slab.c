/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <stdalign.h>
#include <sys/mman.h>

#include "core/slab.h"

#define ITEM_BYTES 40 /* rounds up to 48 */
#define CAPACITY   8

struct fixture {
    alignas(GY_SLAB_ALIGN) uint8_t memory[CAPACITY * 48];
    struct gy_slab slab;
};

static int set_up(void **state)
{
    struct fixture *fixture = aligned_alloc(GY_SLAB_ALIGN, sizeof *fixture);
    gy_slab_init(&fixture->slab, fixture->memory, sizeof fixture->memory, ITEM_BYTES);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    gy_unpoison(fixture->memory, sizeof fixture->memory);
    free(fixture);
    return 0;
}

static void sizes_are_rounded_up_to_the_alignment(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fixture->slab.item_bytes, 48);
    assert_int_equal(gy_slab_bytes(40, 8), 8 * 48);
    assert_int_equal(gy_slab_bytes(48, 8), 8 * 48);
    assert_int_equal(gy_slab_bytes(1, 3), 3 * GY_SLAB_ALIGN);
    assert_true(gy_slab_bytes(1 << 20, 1 << 20) == (size_t)1 << 40);
}

static void the_bound_is_what_fits_the_memory(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fixture->slab.capacity, CAPACITY);
    alignas(GY_SLAB_ALIGN) uint8_t memory[48 * 2 + 47];
    struct gy_slab slab;
    gy_slab_init(&slab, memory, sizeof memory, ITEM_BYTES);
    assert_int_equal(slab.capacity, 2);
    gy_unpoison(memory, sizeof memory);
}

static void items_are_aligned_disjoint_and_inside_the_memory(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *items[CAPACITY];
    for (int i = 0; i < CAPACITY; i++) {
        items[i] = gy_slab_take(&fixture->slab);
        assert_non_null(items[i]);
        assert_int_equal((uintptr_t)items[i] % GY_SLAB_ALIGN, 0);
        assert_true(items[i] >= fixture->memory);
        assert_true(items[i] + ITEM_BYTES <= fixture->memory + sizeof fixture->memory);
        memset(items[i], i, ITEM_BYTES);
    }
    for (int i = 0; i < CAPACITY; i++) {
        for (int b = 0; b < ITEM_BYTES; b++) {
            assert_int_equal(items[i][b], i);
        }
    }
}

static void a_take_at_the_bound_is_refused_and_counted(void **state)
{
    struct fixture *fixture = *state;
    void *last = NULL;
    for (int i = 0; i < CAPACITY; i++) {
        last = gy_slab_take(&fixture->slab);
    }
    assert_int_equal(fixture->slab.refused, 0);
    assert_null(gy_slab_take(&fixture->slab));
    assert_null(gy_slab_take(&fixture->slab));
    assert_int_equal(fixture->slab.refused, 2);
    assert_int_equal(fixture->slab.used, CAPACITY);
    gy_slab_give(&fixture->slab, last);
    assert_ptr_equal(gy_slab_take(&fixture->slab), last);
    assert_int_equal(fixture->slab.refused, 2);
}

static void used_and_its_high_water_mark_are_counted(void **state)
{
    struct fixture *fixture = *state;
    void *a = gy_slab_take(&fixture->slab);
    void *b = gy_slab_take(&fixture->slab);
    assert_int_equal(fixture->slab.used, 2);
    gy_slab_give(&fixture->slab, a);
    gy_slab_give(&fixture->slab, b);
    assert_int_equal(fixture->slab.used, 0);
    assert_int_equal(fixture->slab.used_max, 2);
    gy_slab_take(&fixture->slab);
    assert_int_equal(fixture->slab.used_max, 2);
}

static void items_that_came_back_are_reused_hottest_first(void **state)
{
    struct fixture *fixture = *state;
    void *a = gy_slab_take(&fixture->slab);
    void *b = gy_slab_take(&fixture->slab);
    void *c = gy_slab_take(&fixture->slab);
    gy_slab_give(&fixture->slab, a);
    gy_slab_give(&fixture->slab, c);
    gy_slab_give(&fixture->slab, b);
    assert_ptr_equal(gy_slab_take(&fixture->slab), b);
    assert_ptr_equal(gy_slab_take(&fixture->slab), c);
    assert_ptr_equal(gy_slab_take(&fixture->slab), a);
    assert_int_equal(fixture->slab.fresh, 3);
}

static void an_item_and_its_number_lead_to_each_other(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < CAPACITY; i++) {
        void *item = gy_slab_take(&fixture->slab);
        uint32_t index = gy_slab_index(&fixture->slab, item);
        assert_true(index < CAPACITY);
        assert_ptr_equal(gy_slab_at(&fixture->slab, index), item);
    }
}

static void random_takes_and_gives_never_hand_out_an_item_twice(void **state)
{
    struct fixture *fixture = *state;
    uint64_t seed = random_seed(0x51ab);
    uint64_t random = seed;
    uint8_t *held[CAPACITY];
    uint32_t count = 0;
    for (int step = 0; step < 20000; step++) {
        if (random_next(&random) % 2 == 0) {
            uint8_t *item = gy_slab_take(&fixture->slab);
            if ((item == NULL) != (count == CAPACITY)) {
                fail_msg("seed %llu step %d", (unsigned long long)seed, step);
            }
            if (item != NULL) {
                for (uint32_t i = 0; i < count; i++) {
                    assert_ptr_not_equal(held[i], item);
                }
                held[count++] = item;
            }
        } else if (count > 0) {
            uint32_t which = (uint32_t)(random_next(&random) % count);
            gy_slab_give(&fixture->slab, held[which]);
            held[which] = held[--count];
        }
        assert_int_equal(fixture->slab.used, count);
    }
}

static void memory_that_was_never_handed_out_is_not_touched(void **state)
{
    (void)state;
    size_t bytes = (size_t)64 << 20;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    struct gy_slab slab;
    gy_slab_init(&slab, memory, bytes, 4096);
    for (int i = 0; i < 3; i++) {
        *(uint8_t *)gy_slab_take(&slab) = 1;
    }
    long page = sysconf(_SC_PAGESIZE);
    unsigned char *resident = malloc(bytes / (size_t)page);
    assert_int_equal(mincore(memory, bytes, resident), 0);
    size_t pages = 0;
    for (size_t i = 0; i < bytes / (size_t)page; i++) {
        pages += resident[i] & 1;
    }
    free(resident);
    /* One huge page at most, where the system makes them. */
    assert_true(pages <= (2u << 20) / (size_t)page);
    gy_unpoison(memory, bytes);
    munmap(memory, bytes);
}

static void write_to_it(void *item)
{
    *(volatile uint8_t *)item = 1;
}

static void an_item_that_was_given_back_is_poisoned(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *item = gy_slab_take(&fixture->slab);
    write_to_it(item);
    gy_slab_give(&fixture->slab, item);
    expect_poisoned(write_to_it, item);
    expect_poisoned(write_to_it, item + ITEM_BYTES - 1);
}

static void an_item_that_was_never_taken_is_poisoned(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *item = gy_slab_take(&fixture->slab);
    expect_poisoned(write_to_it, item + 48);
}

static void a_large_slab_is_poisoned_ahead_of_what_is_taken(void **state)
{
    (void)state;
#ifdef GY_ASAN
    enum { ITEMS = 4096, BYTES = 4096 };
    uint8_t *memory = mmap(NULL, ITEMS * BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    struct gy_slab slab;
    gy_slab_init(&slab, memory, ITEMS * BYTES, BYTES);
    for (int i = 0; i < ITEMS; i++) {
        uint8_t *item = gy_slab_take(&slab);
        assert_ptr_equal(item, memory + (size_t)i * BYTES);
        assert_null(__asan_region_is_poisoned(item, BYTES));
        /* 256 KiB, and the end of the memory. */
        for (int ahead = i + 1; ahead < ITEMS && ahead <= i + 64; ahead++) {
            assert_true(__asan_address_is_poisoned(memory + (size_t)ahead * BYTES));
            assert_true(__asan_address_is_poisoned(memory + (size_t)ahead * BYTES + BYTES - 1));
        }
    }
    assert_null(__asan_region_is_poisoned(memory, ITEMS * BYTES));
    gy_slab_give(&slab, memory);
    assert_true(__asan_address_is_poisoned(memory));
    gy_unpoison(memory, ITEMS * BYTES);
    assert_null(__asan_region_is_poisoned(memory, ITEMS * BYTES));
    munmap(memory, ITEMS * BYTES);
#else
    print_message("# only with the address sanitizer\n");
    skip();
#endif
}

static void unpoisoning_what_is_large_leaves_what_is_around_it_alone(void **state)
{
    (void)state;
#ifdef GY_ASAN
    enum { ALL = 16 << 20, BEFORE = 3 * 4096 + 8, AFTER = 5 * 4096 + 16 };
    uint8_t *memory = mmap(NULL, ALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    gy_poison(memory, ALL);
    gy_unpoison(memory + BEFORE, ALL - BEFORE - AFTER);
    assert_null(__asan_region_is_poisoned(memory + BEFORE, ALL - BEFORE - AFTER));
    for (size_t i = 0; i < BEFORE; i += 8) {
        assert_true(__asan_address_is_poisoned(memory + i));
    }
    for (size_t i = ALL - AFTER; i < ALL; i += 8) {
        assert_true(__asan_address_is_poisoned(memory + i));
    }
    gy_unpoison(memory, ALL);
    assert_null(__asan_region_is_poisoned(memory, ALL));
    munmap(memory, ALL);
#else
    print_message("# only with the address sanitizer\n");
    skip();
#endif
}

struct give {
    struct gy_slab *slab;
    void *item;
};

static void give_it(void *argument)
{
    struct give *give = argument;
    gy_slab_give(give->slab, give->item);
}

static void giving_the_same_item_twice_in_a_row_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    gy_slab_take(&fixture->slab);
    struct give give = {&fixture->slab, gy_slab_take(&fixture->slab)};
    give_it(&give);
    expect_assertion(give_it, &give, "item != slab->free");
}

static void giving_to_a_slab_of_which_nothing_is_held_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    struct give give = {&fixture->slab, gy_slab_take(&fixture->slab)};
    give_it(&give);
    expect_assertion(give_it, &give, "slab->used > 0");
}

static void giving_what_is_no_item_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *item = gy_slab_take(&fixture->slab);
    struct give inside = {&fixture->slab, item + 16};
    expect_assertion(give_it, &inside, "offset % slab->item_bytes == 0");
    struct give never_taken = {&fixture->slab, item + 48};
    expect_assertion(give_it, &never_taken, "< slab->fresh");
    struct give before = {&fixture->slab, item - 48};
    expect_assertion(give_it, &before, "slab->base");
}

static void init_with_room_for_none(void *argument)
{
    struct gy_slab slab;
    gy_slab_init(&slab, argument, 47, ITEM_BYTES);
}

static void init_unaligned(void *argument)
{
    struct gy_slab slab;
    gy_slab_init(&slab, (uint8_t *)argument + 8, 96, ITEM_BYTES);
}

static void a_slab_without_room_or_alignment_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    expect_assertion(init_with_room_for_none, fixture->memory, "capacity > 0");
    expect_assertion(init_unaligned, fixture->memory, "GY_SLAB_ALIGN");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_rounded_up_to_the_alignment),
        TEST(the_bound_is_what_fits_the_memory),
        TEST(items_are_aligned_disjoint_and_inside_the_memory),
        TEST(a_take_at_the_bound_is_refused_and_counted),
        TEST(used_and_its_high_water_mark_are_counted),
        TEST(items_that_came_back_are_reused_hottest_first),
        TEST(an_item_and_its_number_lead_to_each_other),
        TEST(random_takes_and_gives_never_hand_out_an_item_twice),
        TEST(memory_that_was_never_handed_out_is_not_touched),
        TEST(an_item_that_was_given_back_is_poisoned),
        TEST(an_item_that_was_never_taken_is_poisoned),
        TEST(a_large_slab_is_poisoned_ahead_of_what_is_taken),
        TEST(unpoisoning_what_is_large_leaves_what_is_around_it_alone),
        TEST(giving_the_same_item_twice_in_a_row_is_asserted),
        TEST(giving_to_a_slab_of_which_nothing_is_held_is_asserted),
        TEST(giving_what_is_no_item_is_asserted),
        TEST(a_slab_without_room_or_alignment_is_asserted),
    };
    return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
