/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The pool with completions built by hand: what it makes of everything that a kernel may say of
 * whole buffers and bundles, and its bounds. What is incremental: test_pool_incremental.c. */

#include <errno.h>

#include "tests/unit/pool_unit.h"

/* ---- whole buffers ---- */

static void a_receive_becomes_a_slice_of_the_buffer_it_names(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken(fixture, 0, 100, GY_COMPLETION_MORE), 100);
    assert_int_equal(fixture->chain.length, 100);
    assert_int_equal(fixture->chain.count, 1);
    struct gy_slice slice = fixture->chain.head->slice;
    assert_int_equal(slice.offset, 0);
    assert_int_equal(slice.buffer->capacity, BYTES);
    assert_int_equal(slice.buffer->refs, 1);
    assert_int_equal(gy_pool_counters(fixture->pool)->taken, 1);
}

static void each_receive_has_a_buffer_of_its_own_in_whole_modes(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_ONE_SHOT);
    assert_int_equal(taken(fixture, 0, 3, 0), 3);
    assert_int_equal(taken(fixture, 1, BYTES, 0), BYTES);
    assert_int_equal(fixture->chain.count, 2);
    assert_ptr_equal(fixture->chain.tail->slice.buffer->data,
                     fixture->chain.head->slice.buffer->data + BYTES);
}

static void a_buffer_comes_back_when_its_last_slice_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    taken(fixture, 0, 100, GY_COMPLETION_MORE);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT - 1);
    struct gy_slice second = gy_slice_of(fixture->chain.head->slice.buffer, 10, 20);
    gy_chain_clear(&fixture->chain);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT - 1);
    assert_int_equal(gy_pool_counters(fixture->pool)->returned, 0);
    gy_slice_drop(second);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
    assert_int_equal(gy_pool_counters(fixture->pool)->returned, 1);
}

static void the_spare_used_last_is_posted_first(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    for (uint32_t id = 0; id < 3; id++) {
        assert_int_equal(taken(fixture, id, 1, GY_COMPLETION_MORE), 1);
    }
    gy_chain_consume(&fixture->chain, 3); /* dropped in the order 0, 1, 2 */
    gy_pool_refill(fixture->pool);
    const uint32_t order[] = {3, 2, 1, 0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(taken(fixture, order[i], 1, GY_COMPLETION_MORE), 1);
    }
    assert_int_equal(misordered(fixture), 0);
}

static void held_buffers_exhaust_the_pool_and_a_dropped_one_makes_it_ready(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    for (uint32_t id = 0; id < COUNT; id++) {
        assert_true(gy_pool_ready(fixture->pool));
        assert_int_equal(taken(fixture, id, BYTES, GY_COMPLETION_MORE), BYTES);
        gy_pool_refill(fixture->pool);
    }
    assert_false(gy_pool_ready(fixture->pool));
    assert_int_equal(gy_pool_free(fixture->pool), 0);
    assert_int_equal(gy_pool_counters(fixture->pool)->spares_min, 0);
    assert_int_equal(taken_without_buffer(fixture, -ENOBUFS), 0);
    gy_pool_starved(fixture->pool);
    assert_int_equal(gy_pool_counters(fixture->pool)->starved, 1);
    gy_chain_consume(&fixture->chain, BYTES);
    assert_false(gy_pool_ready(fixture->pool)); /* back, and not yet with the kernel */
    gy_pool_refill(fixture->pool);
    assert_true(gy_pool_ready(fixture->pool));
    assert_int_equal(taken(fixture, 0, 1, GY_COMPLETION_MORE), 1);
}

/* A receive that the kernel moved to another thread may be reported after those that came later. */
static void whole_buffers_may_be_named_in_any_order(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    const uint32_t order[] = {2, 0, 3, 1};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(taken(fixture, order[i], 7, GY_COMPLETION_MORE), 7);
    }
    assert_int_equal(misordered(fixture), 0);
    drop_all(fixture);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
}

static void one_late_buffer_does_not_hold_up_the_others(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    const uint32_t others[] = {1, 2, 3};
    for (int i = 0; i < 40; i++) {
        assert_int_equal(taken(fixture, others[0], 5, GY_COMPLETION_MORE), 5);
        assert_int_equal(taken(fixture, others[1], 5, GY_COMPLETION_MORE), 5);
        assert_int_equal(taken(fixture, others[2], 5, GY_COMPLETION_MORE), 5);
        gy_chain_consume(&fixture->chain, 5);
        gy_chain_consume(&fixture->chain, 5);
        gy_chain_consume(&fixture->chain, 5);
        gy_pool_refill(fixture->pool);
    }
    assert_int_equal(taken(fixture, 0, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(misordered(fixture), 0);
}

static void a_buffer_that_the_kernel_does_not_have_is_an_error_and_counted(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken(fixture, POSTED, 5, GY_COMPLETION_MORE), GY_EIO); /* a spare */
    assert_int_equal(taken(fixture, COUNT, 5, GY_COMPLETION_MORE), GY_EIO);  /* none of ours */
    assert_int_equal(taken(fixture, 0, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(taken(fixture, 0, 5, GY_COMPLETION_MORE), GY_EIO); /* named twice */
    assert_int_equal(misordered(fixture), 3);
    assert_int_equal(fixture->chain.length, 5);
}

static void bytes_without_a_buffer_are_an_error_and_counted(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken_without_buffer(fixture, 5), GY_EIO);
    assert_int_equal(misordered(fixture), 1);
}

static void more_bytes_than_a_buffer_holds_are_an_error_outside_bundles(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken(fixture, 0, BYTES + 1, GY_COMPLETION_MORE), GY_EIO);
    assert_int_equal(misordered(fixture), 1);
    assert_int_equal(fixture->chain.length, 0);
}

/* ---- completions without data that name a buffer ---- */

static void an_end_of_stream_without_a_buffer_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken_without_buffer(fixture, 0), 0);
    assert_int_equal(taken_without_buffer(fixture, -ECONNRESET), 0);
    assert_int_equal(taken(fixture, 0, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(misordered(fixture), 0);
}

static void a_whole_buffer_named_at_an_end_and_used_again_was_never_given_back(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken(fixture, 0, 0, 0), 0);
    gy_pool_refill(fixture->pool);
    assert_int_equal(taken(fixture, 0, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT - 1);
    assert_int_equal(misordered(fixture), 0);
}

static void a_whole_buffer_named_at_an_end_comes_back_when_a_later_one_is_used(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken(fixture, 0, -ECONNRESET, 0), 0);
    assert_int_equal(gy_pool_counters(fixture->pool)->returned, 0);
    assert_int_equal(taken(fixture, 1, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(gy_pool_counters(fixture->pool)->returned, 1);
    gy_pool_refill(fixture->pool); /* it was used last: it is posted again before 4 */
    assert_int_equal(taken(fixture, 2, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(taken(fixture, 3, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(taken(fixture, 0, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(misordered(fixture), 0);
}

static void ends_that_used_every_buffer_up_are_settled_by_starvation(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    for (uint32_t id = 0; id < POSTED; id++) {
        assert_int_equal(taken(fixture, id, 0, 0), 0);
    }
    gy_pool_starved(fixture->pool);
    assert_int_equal(gy_pool_counters(fixture->pool)->returned, POSTED);
    gy_pool_refill(fixture->pool);
    assert_true(gy_pool_ready(fixture->pool));
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
}

static void an_end_that_names_a_buffer_which_is_not_posted_costs_nothing(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(taken(fixture, 0, 5, GY_COMPLETION_MORE), 5);
    assert_int_equal(taken(fixture, 0, 0, 0), 0);
    assert_int_equal(taken(fixture, COUNT + 7, 0, 0), 0);
    assert_int_equal(misordered(fixture), 0);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT - 1);
}

/* ---- bundles ---- */

static void a_bundle_is_cut_into_the_buffers_that_follow_each_other(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_BUNDLE);
    assert_int_equal(taken(fixture, 0, 2 * BYTES + 10, GY_COMPLETION_MORE), 2 * BYTES + 10);
    assert_int_equal(fixture->chain.count, 3);
    assert_int_equal(fixture->chain.head->slice.length, BYTES);
    assert_int_equal(fixture->chain.tail->slice.length, 10);
    assert_int_equal(taken(fixture, 3, BYTES, GY_COMPLETION_MORE), BYTES);
    assert_false(gy_pool_ready(fixture->pool));
    drop_all(fixture);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
}

static void a_bundle_that_fills_its_buffers_to_the_byte_takes_no_more_of_them(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_BUNDLE);
    assert_int_equal(taken(fixture, 0, 2 * BYTES, GY_COMPLETION_MORE), 2 * BYTES);
    assert_int_equal(fixture->chain.count, 2);
    assert_int_equal(taken(fixture, 2, 1, GY_COMPLETION_MORE), 1);
    assert_int_equal(misordered(fixture), 0);
}

static void a_bundle_of_more_than_was_posted_is_an_error_and_loses_no_buffer(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_BUNDLE);
    assert_int_equal(taken(fixture, 0, POSTED * BYTES + 1, GY_COMPLETION_MORE), GY_EIO);
    assert_int_equal(misordered(fixture), 1);
    drop_all(fixture);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
}

static void a_bundle_that_does_not_start_at_the_oldest_buffer_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_BUNDLE);
    assert_int_equal(taken(fixture, 1, 2 * BYTES, GY_COMPLETION_MORE), GY_EIO);
    assert_int_equal(misordered(fixture), 1);
    assert_int_equal(fixture->chain.length, 0);
}

/* ---- bounds ---- */

static void without_a_link_the_bytes_are_lost_but_not_the_buffers(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_BUNDLE);
    void *links[128] = {NULL};
    uint32_t count = 0;
    while ((links[count] = gy_slab_take(&fixture->links)) != NULL) {
        count++;
    }
    gy_slab_give(&fixture->links, links[--count]);
    assert_int_equal(taken(fixture, 0, 3 * BYTES, GY_COMPLETION_MORE), GY_ENOBUFS);
    assert_int_equal(fixture->chain.length, BYTES); /* what there was a link for */
    assert_int_equal(gy_pool_counters(fixture->pool)->returned, 2);
    drop_all(fixture);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
    while (count > 0) {
        gy_slab_give(&fixture->links, links[--count]);
    }
}

static void fewer_than_a_quarter_of_the_buffers_free_is_low(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    for (uint32_t id = 0; id < COUNT - COUNT / 4; id++) {
        assert_false(gy_pool_low(fixture->pool));
        assert_int_equal(taken(fixture, id, 1, GY_COMPLETION_MORE), 1);
        gy_pool_refill(fixture->pool);
    }
    assert_false(gy_pool_low(fixture->pool));
    assert_int_equal(taken(fixture, COUNT - COUNT / 4, 1, GY_COMPLETION_MORE), 1);
    assert_true(gy_pool_low(fixture->pool));
    gy_chain_consume(&fixture->chain, 1);
    assert_false(gy_pool_low(fixture->pool));
}

static void the_low_water_mark_of_spares_is_kept(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    assert_int_equal(gy_pool_counters(fixture->pool)->spares_min, COUNT - POSTED);
    for (uint32_t id = 0; id < 3; id++) {
        taken(fixture, id, 1, GY_COMPLETION_MORE);
    }
    gy_pool_refill(fixture->pool);
    assert_int_equal(gy_pool_counters(fixture->pool)->spares_min, COUNT - POSTED - 3);
    drop_all(fixture);
    assert_int_equal(gy_pool_counters(fixture->pool)->spares_min, COUNT - POSTED - 3);
}

/* ---- lending ---- */

static void a_pool_that_posts_nothing_lends_all_it_has_and_takes_it_back(void **state)
{
    struct fixture *fixture = *state;
    const struct gy_pool_options options = {.buffer_bytes = BYTES, .buffers = 4};
    struct gy_buffer *lent[4];
    assert_int_equal(gy_pool_open(&fixture->pool, fixture->ring, &options, NULL), 0);
    assert_false(gy_pool_ready(fixture->pool));
    for (int i = 0; i < 4; i++) {
        lent[i] = gy_pool_lend(fixture->pool);
        assert_non_null(lent[i]);
        assert_int_equal(lent[i]->refs, 1);
        memset(lent[i]->data, i, BYTES);
    }
    assert_null(gy_pool_lend(fixture->pool));
    assert_int_equal(gy_pool_free(fixture->pool), 0);
    gy_buffer_drop(lent[2]);
    assert_ptr_equal(gy_pool_lend(fixture->pool), lent[2]); /* the hottest */
    for (int i = 0; i < 4; i++) {
        gy_buffer_drop(lent[i]);
    }
    gy_pool_refill(fixture->pool);
    assert_int_equal(gy_pool_free(fixture->pool), 4);
    assert_int_equal(gy_pool_counters(fixture->pool)->spares_min, 0);
}

/* ---- options ---- */

static void options_that_cannot_be_are_refused_with_a_reason(void **state)
{
    struct fixture *fixture = *state;
    const struct gy_pool_options wrong[] = {
        {.buffer_bytes = BYTES, .buffers = 16, .posted = 3},     /* no power of two */
        {.buffer_bytes = BYTES, .buffers = 0, .posted = 0},      /* none */
        {.buffer_bytes = BYTES, .buffers = 4, .posted = 8},      /* more than there are */
        {.buffer_bytes = BYTES, .buffers = 32769, .posted = 64}, /* more than ids */
        {.buffer_bytes = 32, .buffers = 16, .posted = 4},        /* too small */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct gy_error error = {0};
        assert_int_equal(gy_pool_open(&fixture->pool, fixture->ring, &wrong[i], &error), GY_EINVAL);
        assert_null(fixture->pool);
        assert_non_null(strstr(error.message, "must be a power of two"));
    }
}

static void a_group_that_is_taken_is_refused_and_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    const struct gy_pool_options options = *gy_pool_options(fixture->pool);
    struct gy_pool *second;
    struct gy_error error = {0};
    assert_true(gy_pool_open(&second, fixture->ring, &options, &error) < 0);
    assert_null(second);
    assert_int_equal(taken(fixture, 0, 1, GY_COMPLETION_MORE), 1);
}

static void the_defaults_open_in_every_mode_that_the_kernel_has(void **state)
{
    struct fixture *fixture = *state;
    for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
        const struct gy_pool_options options = gy_pool_defaults((enum gy_receive_mode)mode, GROUP);
        assert_int_equal(options.group, GROUP);
        assert_int_equal(options.mode, mode);
        assert_true(options.posted * options.buffer_bytes <= 256 * 1024); /* stays in an L2 */
        struct gy_error error = {0};
        int code = gy_pool_open(&fixture->pool, fixture->ring, &options, &error);
        assert_true(code == 0 || code == GY_ENOTSUP);
        gy_pool_close(fixture->pool);
        fixture->pool = NULL;
    }
}

/* ---- memory that nobody owns ---- */

static void a_buffer_that_nobody_holds_is_poisoned(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    taken(fixture, 0, 100, GY_COMPLETION_MORE);
    uint8_t *data = fixture->chain.head->slice.buffer->data;
    read_a_byte(data); /* held: fine */
    gy_chain_clear(&fixture->chain);
    expect_poisoned(read_a_byte, data);
}

static void a_posted_buffer_is_poisoned(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    taken(fixture, 0, 100, GY_COMPLETION_MORE);
    expect_poisoned(read_a_byte, fixture->chain.head->slice.buffer->data + BYTES);
}

static void close_it(void *pool)
{
    gy_pool_close(pool);
}

static void closing_a_pool_whose_slices_are_held_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_MULTISHOT);
    taken(fixture, 0, 100, GY_COMPLETION_MORE);
    expect_assertion(close_it, fixture->pool, "held == 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_receive_becomes_a_slice_of_the_buffer_it_names),
        TEST(each_receive_has_a_buffer_of_its_own_in_whole_modes),
        TEST(a_buffer_comes_back_when_its_last_slice_is_dropped),
        TEST(the_spare_used_last_is_posted_first),
        TEST(held_buffers_exhaust_the_pool_and_a_dropped_one_makes_it_ready),
        TEST(whole_buffers_may_be_named_in_any_order),
        TEST(one_late_buffer_does_not_hold_up_the_others),
        TEST(a_buffer_that_the_kernel_does_not_have_is_an_error_and_counted),
        TEST(bytes_without_a_buffer_are_an_error_and_counted),
        TEST(more_bytes_than_a_buffer_holds_are_an_error_outside_bundles),
        TEST(an_end_of_stream_without_a_buffer_changes_nothing),
        TEST(a_whole_buffer_named_at_an_end_and_used_again_was_never_given_back),
        TEST(a_whole_buffer_named_at_an_end_comes_back_when_a_later_one_is_used),
        TEST(ends_that_used_every_buffer_up_are_settled_by_starvation),
        TEST(an_end_that_names_a_buffer_which_is_not_posted_costs_nothing),
        TEST(a_bundle_is_cut_into_the_buffers_that_follow_each_other),
        TEST(a_bundle_that_fills_its_buffers_to_the_byte_takes_no_more_of_them),
        TEST(a_bundle_of_more_than_was_posted_is_an_error_and_loses_no_buffer),
        TEST(a_bundle_that_does_not_start_at_the_oldest_buffer_is_an_error),
        TEST(without_a_link_the_bytes_are_lost_but_not_the_buffers),
        TEST(fewer_than_a_quarter_of_the_buffers_free_is_low),
        TEST(the_low_water_mark_of_spares_is_kept),
        TEST(a_pool_that_posts_nothing_lends_all_it_has_and_takes_it_back),
        TEST(options_that_cannot_be_are_refused_with_a_reason),
        TEST(a_group_that_is_taken_is_refused_and_leaves_nothing_behind),
        TEST(the_defaults_open_in_every_mode_that_the_kernel_has),
        TEST(a_buffer_that_nobody_holds_is_poisoned),
        TEST(a_posted_buffer_is_poisoned),
        TEST(closing_a_pool_whose_slices_are_held_is_asserted),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
