/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <stdalign.h>

#include "core/bump.h"

#define BLOCKS 3
#define LINKS  4

struct fixture {
    struct gy_slab blocks;
    struct gy_slab links;
    struct gy_bump bump;
    struct gy_chain chain;
    struct gy_buffer constant;
    uint8_t *blocks_memory;
    size_t blocks_bytes;
    alignas(GY_SLAB_ALIGN) uint8_t links_memory[LINKS * 32];
};

static int set_up(void **state)
{
    struct fixture *fixture = aligned_alloc(GY_SLAB_ALIGN, sizeof *fixture);
    fixture->blocks_bytes = gy_slab_bytes(sizeof(struct gy_bump_block), BLOCKS);
    fixture->blocks_memory = aligned_alloc(GY_SLAB_ALIGN, fixture->blocks_bytes);
    gy_slab_init(&fixture->blocks, fixture->blocks_memory, fixture->blocks_bytes,
                 sizeof(struct gy_bump_block));
    gy_slab_init(&fixture->links, fixture->links_memory, sizeof fixture->links_memory,
                 sizeof(struct gy_link));
    assert_int_equal(fixture->blocks.capacity, BLOCKS);
    assert_int_equal(fixture->links.capacity, LINKS);
    gy_bump_init(&fixture->bump, &fixture->blocks);
    gy_chain_init(&fixture->chain, &fixture->links);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    gy_chain_clear(&fixture->chain);
    gy_bump_close(&fixture->bump);
    bool all_back = fixture->blocks.used == 0 && fixture->links.used == 0;
    gy_unpoison(fixture->blocks_memory, fixture->blocks_bytes);
    gy_unpoison(fixture->links_memory, sizeof fixture->links_memory);
    free(fixture->blocks_memory);
    free(fixture);
    return all_back ? 0 : -1;
}

/* Without the zero. */
static void put(uint8_t *room, const char *text)
{
    while (*text != '\0') {
        *room++ = (uint8_t)*text++;
    }
}

static void write_text(struct fixture *fixture, const char *text)
{
    uint32_t bytes = (uint32_t)strlen(text);
    uint8_t *room = gy_bump_reserve(&fixture->bump, bytes);
    assert_non_null(room);
    put(room, text);
    assert_int_equal(gy_bump_commit(&fixture->bump, &fixture->chain, bytes), 0);
}

static void expect_text(const struct gy_chain *chain, const char *text)
{
    char bytes[256];
    assert_int_equal(chain->length, strlen(text));
    gy_chain_copy(chain, 0, chain->length, bytes);
    assert_memory_equal(bytes, text, chain->length);
}

static void a_new_bump_holds_no_block(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fixture->blocks.used, 0);
    gy_bump_close(&fixture->bump);
    gy_bump_close(&fixture->bump);
}

static void what_is_written_in_a_row_becomes_one_slice(void **state)
{
    struct fixture *fixture = *state;
    write_text(fixture, "HTTP/1.1 ");
    write_text(fixture, "200 ");
    write_text(fixture, "OK\r\n");
    expect_text(&fixture->chain, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(fixture->chain.count, 1);
    assert_int_equal(fixture->blocks.used, 1);
}

static void committing_less_than_reserved_hands_the_rest_out_again(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *room = gy_bump_reserve(&fixture->bump, 100);
    put(room, "ab");
    assert_int_equal(gy_bump_commit(&fixture->bump, &fixture->chain, 2), 0);
    assert_ptr_equal(gy_bump_reserve(&fixture->bump, 100), room + 2);
    assert_ptr_equal(gy_bump_reserve(&fixture->bump, 10), room + 2);
    write_text(fixture, "cd");
    expect_text(&fixture->chain, "abcd");
}

static void the_largest_piece_fits_and_fills_a_block(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *room = gy_bump_reserve(&fixture->bump, GY_BUMP_BLOCK_BYTES);
    assert_non_null(room);
    memset(room, 'x', GY_BUMP_BLOCK_BYTES);
    assert_int_equal(gy_bump_commit(&fixture->bump, &fixture->chain, GY_BUMP_BLOCK_BYTES), 0);
    assert_int_equal(fixture->chain.length, GY_BUMP_BLOCK_BYTES);
    assert_non_null(gy_bump_reserve(&fixture->bump, 1));
    assert_int_equal(fixture->blocks.used, 2);
}

static void reserve_too_much(void *bump)
{
    gy_bump_reserve(bump, GY_BUMP_BLOCK_BYTES + 1);
}

static void a_larger_piece_than_a_block_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    expect_assertion(reserve_too_much, &fixture->bump, "bytes <= GY_BUMP_BLOCK_BYTES");
}

static void commit_too_much(void *argument)
{
    struct fixture *fixture = argument;
    gy_bump_reserve(&fixture->bump, 8);
    gy_bump_commit(&fixture->bump, &fixture->chain, GY_BUMP_BLOCK_BYTES + 1);
}

static void commit_without_reserve(void *argument)
{
    struct fixture *fixture = argument;
    gy_bump_commit(&fixture->bump, &fixture->chain, 1);
}

static void committing_what_was_not_reserved_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    expect_assertion(commit_too_much, fixture, "GY_BUMP_BLOCK_BYTES - bump->fill");
    expect_assertion(commit_without_reserve, fixture, "bump->block != NULL");
}

static void a_block_that_nobody_holds_starts_over(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *first = gy_bump_reserve(&fixture->bump, 10);
    write_text(fixture, "one answer");
    gy_chain_clear(&fixture->chain);
    assert_ptr_equal(gy_bump_reserve(&fixture->bump, 10), first);
    assert_int_equal(fixture->blocks.fresh, 1);
}

static void a_held_block_is_written_on_and_never_over(void **state)
{
    struct fixture *fixture = *state;
    write_text(fixture, "held");
    uint8_t *room = gy_bump_reserve(&fixture->bump, 4);
    memset(room, '#', 4);
    expect_text(&fixture->chain, "held");
    /* The rest of the block is too small: the next one is taken, the held slice stays. */
    assert_non_null(gy_bump_reserve(&fixture->bump, GY_BUMP_BLOCK_BYTES));
    assert_int_equal(fixture->blocks.used, 2);
    expect_text(&fixture->chain, "held");
}

static void a_block_goes_back_when_its_last_slice_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    write_text(fixture, "a");
    struct gy_slice second = gy_slice_of(fixture->chain.head->slice.buffer, 0, 1);
    gy_bump_reserve(&fixture->bump, GY_BUMP_BLOCK_BYTES);
    assert_int_equal(fixture->blocks.used, 2);
    gy_chain_clear(&fixture->chain);
    assert_int_equal(fixture->blocks.used, 2);
    gy_slice_drop(second);
    assert_int_equal(fixture->blocks.used, 1);
}

static void closing_leaves_slices_valid(void **state)
{
    struct fixture *fixture = *state;
    write_text(fixture, "still here");
    gy_bump_close(&fixture->bump);
    assert_int_equal(fixture->blocks.used, 1);
    expect_text(&fixture->chain, "still here");
    gy_chain_clear(&fixture->chain);
    assert_int_equal(fixture->blocks.used, 0);
    write_text(fixture, "and works again");
}

static void reserving_at_the_bound_gives_null_until_a_send_completes(void **state)
{
    struct fixture *fixture = *state;
    struct gy_slice held[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        assert_non_null(gy_bump_reserve(&fixture->bump, GY_BUMP_BLOCK_BYTES));
        held[i] = gy_bump_slice(&fixture->bump, GY_BUMP_BLOCK_BYTES);
    }
    assert_null(gy_bump_reserve(&fixture->bump, 1));
    assert_int_equal(gy_bump_copy(&fixture->bump, &fixture->chain, "x", 1), GY_ENOBUFS);
    assert_true(gy_chain_empty(&fixture->chain));
    assert_int_equal(fixture->blocks.refused, 2);
    gy_slice_drop(held[0]);
    assert_non_null(gy_bump_reserve(&fixture->bump, 1));
    gy_slice_drop(held[1]);
    gy_slice_drop(held[2]);
}

static void a_failed_renewal_keeps_the_block_with_what_room_it_has(void **state)
{
    struct fixture *fixture = *state;
    struct gy_slice held[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        assert_non_null(gy_bump_reserve(&fixture->bump, GY_BUMP_BLOCK_BYTES));
        held[i] = gy_bump_slice(&fixture->bump, i < BLOCKS - 1 ? GY_BUMP_BLOCK_BYTES : 100);
    }
    assert_null(gy_bump_reserve(&fixture->bump, GY_BUMP_BLOCK_BYTES));
    write_text(fixture, "fits the rest");
    expect_text(&fixture->chain, "fits the rest");
    for (int i = 0; i < BLOCKS; i++) {
        gy_slice_drop(held[i]);
    }
}

static void a_slice_of_the_room_is_the_callers(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *room = gy_bump_reserve(&fixture->bump, 4);
    put(room, "abcd");
    struct gy_slice slice = gy_bump_slice(&fixture->bump, 3);
    assert_int_equal(slice.length, 3);
    assert_ptr_equal(gy_slice_data(slice), room);
    assert_int_equal(slice.buffer->refs, 2);
    assert_ptr_equal(gy_bump_reserve(&fixture->bump, 1), room + 3);
    gy_slice_drop(slice);
}

/* Takes all links, with slices that cannot merge. */
static void exhaust_links(struct fixture *fixture)
{
    struct gy_buffer *constant = &fixture->constant;
    gy_buffer_wrap_constant(constant, "0123456789", 10);
    for (uint32_t i = 0; i < LINKS; i++) {
        assert_int_equal(gy_chain_append(&fixture->chain, gy_slice_of(constant, 2 * i, 1)), 0);
    }
}

static void a_commit_without_a_link_appends_nothing_and_takes_no_room(void **state)
{
    struct fixture *fixture = *state;
    exhaust_links(fixture);
    uint8_t *room = gy_bump_reserve(&fixture->bump, 4);
    put(room, "abcd");
    assert_int_equal(gy_bump_commit(&fixture->bump, &fixture->chain, 4), GY_ENOBUFS);
    expect_text(&fixture->chain, "0246");
    assert_int_equal(fixture->bump.block->buffer.refs, 1);
    assert_ptr_equal(gy_bump_reserve(&fixture->bump, 4), room);
    gy_chain_consume(&fixture->chain, 1);
    /* The bytes are still in the room last reserved. */
    assert_int_equal(gy_bump_commit(&fixture->bump, &fixture->chain, 4), 0);
    expect_text(&fixture->chain, "246abcd");
}

static void a_commit_that_failed_gives_its_room_back_in_a_held_block_too(void **state)
{
    struct fixture *fixture = *state;
    exhaust_links(fixture);
    gy_bump_reserve(&fixture->bump, 4);
    struct gy_slice held = gy_bump_slice(&fixture->bump, 4);
    uint8_t *room = gy_bump_reserve(&fixture->bump, 4);
    assert_int_equal(gy_bump_commit(&fixture->bump, &fixture->chain, 4), GY_ENOBUFS);
    assert_ptr_equal(gy_bump_reserve(&fixture->bump, 4), room);
    gy_slice_drop(held);
}

static void copies_are_counted_and_only_those_that_succeed(void **state)
{
    struct fixture *fixture = *state;
    write_text(fixture, "made, not copied");
    assert_int_equal(fixture->bump.copied_bytes, 0);
    assert_int_equal(gy_bump_copy(&fixture->bump, &fixture->chain, "12345", 5), 0);
    assert_int_equal(fixture->bump.copied_bytes, 5);
    assert_int_equal(gy_bump_copy(&fixture->bump, &fixture->chain, "678", 3), 0);
    assert_int_equal(fixture->bump.copied_bytes, 8);
    expect_text(&fixture->chain, "made, not copied12345678");
    gy_chain_clear(&fixture->chain);

    exhaust_links(fixture);
    assert_int_equal(gy_bump_copy(&fixture->bump, &fixture->chain, "9", 1), GY_ENOBUFS);
    assert_int_equal(fixture->bump.copied_bytes, 8);
}

static void copying_nothing_appends_nothing(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(gy_bump_copy(&fixture->bump, &fixture->chain, "", 0), 0);
    assert_true(gy_chain_empty(&fixture->chain));
}

static void read_it(void *data)
{
    (void)*(volatile uint8_t *)data;
}

static void a_block_that_went_back_is_poisoned(void **state)
{
    struct fixture *fixture = *state;
    write_text(fixture, "gone");
    uint8_t *data = fixture->bump.block->data;
    gy_bump_close(&fixture->bump);
    read_it(data);
    gy_chain_clear(&fixture->chain);
    expect_poisoned(read_it, data);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_bump_holds_no_block),
        TEST(what_is_written_in_a_row_becomes_one_slice),
        TEST(committing_less_than_reserved_hands_the_rest_out_again),
        TEST(the_largest_piece_fits_and_fills_a_block),
        TEST(a_larger_piece_than_a_block_is_asserted),
        TEST(committing_what_was_not_reserved_is_asserted),
        TEST(a_block_that_nobody_holds_starts_over),
        TEST(a_held_block_is_written_on_and_never_over),
        TEST(a_block_goes_back_when_its_last_slice_is_dropped),
        TEST(closing_leaves_slices_valid),
        TEST(reserving_at_the_bound_gives_null_until_a_send_completes),
        TEST(a_failed_renewal_keeps_the_block_with_what_room_it_has),
        TEST(a_slice_of_the_room_is_the_callers),
        TEST(a_commit_without_a_link_appends_nothing_and_takes_no_room),
        TEST(a_commit_that_failed_gives_its_room_back_in_a_held_block_too),
        TEST(copies_are_counted_and_only_those_that_succeed),
        TEST(copying_nothing_appends_nothing),
        TEST(a_block_that_went_back_is_poisoned),
    };
    return cmocka_run_group_tests_name("bump", tests, NULL, NULL);
}
