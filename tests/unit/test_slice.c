/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Slices and the buffers that they hold. Chains of them: test_chain.c. */

#include "tests/unit/slice_unit.h"

static void the_last_drop_releases_and_only_the_last(void **state)
{
    struct fixture *fixture = *state;
    gy_buffer_hold(&fixture->a);
    gy_buffer_hold(&fixture->a);
    gy_buffer_drop(&fixture->a);
    gy_buffer_drop(&fixture->a);
    assert_int_equal(released_a, 0);
    assert_int_equal(fixture->a.refs, 1);
    gy_buffer_drop(&fixture->a);
    assert_int_equal(released_a, 1);
}

static void a_buffer_without_release_is_dropped_quietly(void **state)
{
    struct fixture *fixture = *state;
    fixture->a.release = NULL;
    gy_buffer_drop(&fixture->a);
    assert_int_equal(fixture->a.refs, 0);
    assert_int_equal(released_a, 0);
}

static void a_slice_shows_its_part_and_holds_the_buffer(void **state)
{
    struct fixture *fixture = *state;
    struct gy_slice slice = gy_slice_of(&fixture->a, 3, 5);
    assert_int_equal(fixture->a.refs, 2);
    assert_int_equal(slice.length, 5);
    assert_memory_equal(gy_slice_data(slice), "DEFGH", 5);
    gy_slice_drop(slice);
    assert_int_equal(fixture->a.refs, 1);
}

static void a_slice_may_reach_the_end_of_its_buffer_and_be_empty_there(void **state)
{
    struct fixture *fixture = *state;
    gy_slice_drop(gy_slice_of(&fixture->a, 0, 64));
    gy_slice_drop(gy_slice_of(&fixture->a, 64, 0));
    assert_int_equal(fixture->a.refs, 1);
}

static void slice_past_the_end(void *buffer)
{
    gy_slice_of(buffer, 60, 5);
}

static void slice_that_wraps(void *buffer)
{
    gy_slice_of(buffer, 1, UINT32_MAX);
}

static void slice_from_past_the_end(void *buffer)
{
    gy_slice_of(buffer, 65, 0);
}

static void a_slice_outside_its_buffer_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    expect_assertion(slice_past_the_end, &fixture->a, "buffer->capacity");
    expect_assertion(slice_that_wraps, &fixture->a, "buffer->capacity");
    expect_assertion(slice_from_past_the_end, &fixture->a, "buffer->capacity");
}

static void drop_it(void *buffer)
{
    gy_buffer_drop(buffer);
}

static void hold_it(void *buffer)
{
    gy_buffer_hold(buffer);
}

static void a_buffer_that_nobody_holds_can_be_neither_held_nor_dropped(void **state)
{
    struct fixture *fixture = *state;
    gy_buffer_drop(&fixture->a);
    expect_assertion(drop_it, &fixture->a, "buffer->refs > 0");
    expect_assertion(hold_it, &fixture->a, "buffer->refs > 0");
}

static void a_count_cannot_wrap(void **state)
{
    struct fixture *fixture = *state;
    fixture->a.refs = UINT32_MAX;
    expect_assertion(hold_it, &fixture->a, "UINT32_MAX");
}

static void a_wrapped_constant_is_shown_and_never_released(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK";
    struct gy_buffer buffer;
    gy_buffer_wrap_constant(&buffer, text, sizeof text - 1);
    assert_int_equal(buffer.refs, 1);
    assert_int_equal(buffer.capacity, sizeof text - 1);
    assert_null(buffer.release);
    struct gy_slice slice = gy_slice_of(&buffer, 9, 3);
    assert_ptr_equal(gy_slice_data(slice), text + 9);
    gy_slice_drop(slice);
    assert_int_equal(buffer.refs, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_drop_releases_and_only_the_last),
        TEST(a_buffer_without_release_is_dropped_quietly),
        TEST(a_slice_shows_its_part_and_holds_the_buffer),
        TEST(a_slice_may_reach_the_end_of_its_buffer_and_be_empty_there),
        TEST(a_slice_outside_its_buffer_is_asserted),
        TEST(a_buffer_that_nobody_holds_can_be_neither_held_nor_dropped),
        TEST(a_count_cannot_wrap),
        TEST(a_wrapped_constant_is_shown_and_never_released),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
