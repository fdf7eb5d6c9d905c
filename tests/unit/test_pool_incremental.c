/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The pool with completions built by hand, where receives share a buffer (IOU_PBUF_RING_INC). */

#include "tests/unit/pool_unit.h"

static void incremental_receives_share_a_buffer(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    struct gy_chain other;
    gy_chain_init(&other, &fixture->links);
    const struct gy_completion theirs = {.result = 20,
                                         .flags = GY_COMPLETION_BUFFER | 0u << 16 | GOES_ON};
    assert_int_equal(taken(fixture, 0, 10, GOES_ON), 10);
    assert_int_equal(gy_pool_take(fixture->pool, &theirs, &other), 20);
    assert_int_equal(taken(fixture, 0, 30, GOES_ON), 30);
    assert_int_equal(fixture->chain.head->slice.offset, 0);
    assert_int_equal(fixture->chain.tail->slice.offset, 30);
    assert_int_equal(other.head->slice.offset, 10);
    assert_ptr_equal(other.head->slice.buffer, fixture->chain.head->slice.buffer);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT); /* posted and held at once */
    gy_chain_clear(&other);
}

static void incremental_bytes_that_follow_each_other_are_one_slice(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(taken(fixture, 0, 7, GOES_ON), 7);
    }
    assert_int_equal(fixture->chain.count, 1);
    assert_int_equal(fixture->chain.length, 70);
}

static void an_incremental_buffer_stays_posted_while_its_slices_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(taken(fixture, 0, 7, GOES_ON), 7);
        drop_all(fixture);
    }
    assert_int_equal(gy_pool_counters(fixture->pool)->returned, 0);
    assert_int_equal(taken(fixture, 0, 7, GOES_ON), 7);
    assert_int_equal(fixture->chain.head->slice.offset, 70);
}

static void an_incremental_buffer_ends_when_it_is_full_to_the_byte(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    assert_int_equal(taken(fixture, 0, BYTES - 1, GOES_ON), BYTES - 1);
    assert_int_equal(taken(fixture, 0, 1, GY_COMPLETION_MORE), 1);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT - 1);
    assert_int_equal(taken(fixture, 1, 5, GOES_ON), 5);
    drop_all(fixture);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
    assert_int_equal(misordered(fixture), 0);
}

static void an_incremental_buffer_ends_when_the_kernel_says_so(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    assert_int_equal(taken(fixture, 0, 9, GY_COMPLETION_MORE), 9);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT - 1);
    assert_int_equal(taken(fixture, 1, 9, GOES_ON), 9);
    assert_int_equal(misordered(fixture), 0);
}

static void an_incremental_buffer_that_is_not_the_oldest_is_an_error_and_counted(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    assert_int_equal(taken(fixture, 0, 9, GOES_ON), 9);
    assert_int_equal(taken(fixture, 1, 9, GOES_ON), GY_EIO);
    assert_int_equal(misordered(fixture), 1);
    assert_int_equal(taken(fixture, 0, 9, GOES_ON), 9);
}

static void more_incremental_bytes_than_are_left_are_an_error_and_counted(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    assert_int_equal(taken(fixture, 0, BYTES - 10, GOES_ON), BYTES - 10);
    assert_int_equal(taken(fixture, 0, 11, GOES_ON), GY_EIO);
    assert_int_equal(misordered(fixture), 1);
    assert_int_equal(fixture->chain.length, BYTES - 10);
}

static void an_incremental_buffer_goes_on_after_an_end_when_the_kernel_keeps_it(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    assert_int_equal(taken(fixture, 0, 10, GOES_ON), 10);
    assert_int_equal(taken(fixture, 0, 0, 0), 0); /* without BUFFER_MORE */
    assert_int_equal(taken(fixture, 0, 10, GOES_ON), 10);
    assert_int_equal(taken(fixture, 0, 0, GY_COMPLETION_BUFFER_MORE), 0); /* and with it */
    assert_int_equal(taken(fixture, 0, 10, GOES_ON), 10);
    assert_int_equal(fixture->chain.count, 1);
    assert_int_equal(misordered(fixture), 0);
}

static void an_incremental_buffer_ends_at_an_end_when_the_kernel_moved_on(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    assert_int_equal(taken(fixture, 0, 10, GOES_ON), 10);
    assert_int_equal(taken(fixture, 0, 0, 0), 0);
    assert_int_equal(taken(fixture, 1, 10, GOES_ON), 10);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT - 1);
    drop_all(fixture);
    assert_int_equal(gy_pool_free(fixture->pool), COUNT);
    assert_int_equal(misordered(fixture), 0);
}

static void without_a_link_an_incremental_buffer_goes_on_behind_the_lost_bytes(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    void *links[128] = {NULL};
    uint32_t count = 0;
    while ((links[count] = gy_slab_take(&fixture->links)) != NULL) {
        count++;
    }
    assert_int_equal(taken(fixture, 0, 50, GOES_ON), GY_ENOBUFS);
    while (count > 0) {
        gy_slab_give(&fixture->links, links[--count]);
    }
    assert_int_equal(taken(fixture, 0, 10, GOES_ON), 10);
    assert_int_equal(fixture->chain.head->slice.offset, 50);
}

static void an_incremental_pool_without_the_kernels_support_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct gy_ring *ring =
        ring_open(&(struct gy_ring_options){.entries = 8, .without = GY_RING_BUFFER_INCREMENTAL});
    const struct gy_pool_options options = gy_pool_defaults(GY_RECEIVE_INCREMENTAL, GROUP);
    struct gy_error error = {0};
    assert_int_equal(gy_pool_open(&fixture->pool, ring, &options, &error), GY_ENOTSUP);
    assert_null(fixture->pool);
    gy_ring_close(ring);
}

static void what_the_kernel_may_still_write_of_a_shared_buffer_is_poisoned(void **state)
{
    struct fixture *fixture = *state;
    open_pool(fixture, GY_RECEIVE_INCREMENTAL);
    assert_int_equal(taken(fixture, 0, 96, GOES_ON), 96);
    uint8_t *data = fixture->chain.head->slice.buffer->data;
    read_a_byte(data + 95);
    expect_poisoned(read_a_byte, data + 96);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(incremental_receives_share_a_buffer),
        TEST(incremental_bytes_that_follow_each_other_are_one_slice),
        TEST(an_incremental_buffer_stays_posted_while_its_slices_come_and_go),
        TEST(an_incremental_buffer_ends_when_it_is_full_to_the_byte),
        TEST(an_incremental_buffer_ends_when_the_kernel_says_so),
        TEST(an_incremental_buffer_that_is_not_the_oldest_is_an_error_and_counted),
        TEST(more_incremental_bytes_than_are_left_are_an_error_and_counted),
        TEST(an_incremental_buffer_goes_on_after_an_end_when_the_kernel_keeps_it),
        TEST(an_incremental_buffer_ends_at_an_end_when_the_kernel_moved_on),
        TEST(without_a_link_an_incremental_buffer_goes_on_behind_the_lost_bytes),
        TEST(an_incremental_pool_without_the_kernels_support_is_refused),
        TEST(what_the_kernel_may_still_write_of_a_shared_buffer_is_poisoned),
    };
    return cmocka_run_group_tests_name("pool_incremental", tests, NULL, NULL);
}
