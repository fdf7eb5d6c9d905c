/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Chains of slices. */

#include "tests/unit/slice_unit.h"

static void append(struct gy_chain *chain, struct gy_buffer *buffer, uint32_t offset,
                   uint32_t length)
{
    assert_int_equal(gy_chain_append(chain, gy_slice_of(buffer, offset, length)), 0);
}

/* The chain's links agree with its sums, and its bytes are `text`. */
static void expect_bytes(const struct gy_chain *chain, const char *text)
{
    uint32_t length = 0;
    uint32_t count = 0;
    const struct gy_link *last = NULL;
    for (const struct gy_link *link = chain->head; link != NULL; link = link->next) {
        assert_true(link->slice.length > 0);
        length += link->slice.length;
        count++;
        last = link;
    }
    assert_int_equal(length, chain->length);
    assert_int_equal(count, chain->count);
    if (last != NULL) {
        assert_ptr_equal(last, chain->tail);
    }
    assert_int_equal(chain->length, strlen(text));
    char bytes[256];
    assert_true(chain->length < sizeof bytes);
    gy_chain_copy(chain, 0, chain->length, bytes);
    bytes[chain->length] = '\0';
    assert_string_equal(bytes, text);
    assert_int_equal(gy_chain_empty(chain), length == 0);
}

static void a_new_chain_is_empty_and_holds_no_memory(void **state)
{
    struct fixture *fixture = *state;
    assert_true(gy_chain_empty(&fixture->chain));
    assert_int_equal(fixture->links.used, 0);
    uint32_t length = 7;
    assert_null(gy_chain_front(&fixture->chain, &length));
    assert_int_equal(length, 0);
    expect_bytes(&fixture->chain, "");
}

static void appended_slices_keep_their_order(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 3);
    append(&fixture->chain, &fixture->b, 0, 2);
    append(&fixture->chain, &fixture->a, 10, 1);
    expect_bytes(&fixture->chain, "ABCabK");
    assert_int_equal(fixture->chain.count, 3);
    assert_int_equal(fixture->a.refs, 3);
}

static void a_slice_that_continues_the_last_one_is_merged(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 3);
    append(&fixture->chain, &fixture->a, 3, 4);
    expect_bytes(&fixture->chain, "ABCDEFG");
    assert_int_equal(fixture->chain.count, 1);
    assert_int_equal(fixture->a.refs, 2);
    assert_int_equal(fixture->links.used, 1);
}

static void a_slice_with_a_gap_an_overlap_or_another_buffer_is_not_merged(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 3);
    append(&fixture->chain, &fixture->a, 4, 1);
    append(&fixture->chain, &fixture->a, 4, 1);
    append(&fixture->chain, &fixture->b, 5, 1);
    assert_int_equal(fixture->chain.count, 4);
    expect_bytes(&fixture->chain, "ABCEEf");
}

static void an_empty_slice_is_dropped_not_queued(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 5, 0);
    assert_true(gy_chain_empty(&fixture->chain));
    assert_int_equal(gy_chain_prepend(&fixture->chain, gy_slice_of(&fixture->a, 5, 0)), 0);
    assert_true(gy_chain_empty(&fixture->chain));
    assert_int_equal(fixture->a.refs, 1);
    assert_int_equal(fixture->links.used, 0);
}

static void an_append_without_a_link_leaves_the_count_with_the_caller(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < LINKS; i++) {
        append(&fixture->chain, &fixture->a, 2 * i, 1);
    }
    struct gy_slice slice = gy_slice_of(&fixture->b, 0, 1);
    assert_int_equal(gy_chain_append(&fixture->chain, slice), GY_ENOBUFS);
    assert_int_equal(gy_chain_prepend(&fixture->chain, slice), GY_ENOBUFS);
    assert_int_equal(fixture->b.refs, 2);
    assert_int_equal(fixture->links.refused, 2);
    expect_bytes(&fixture->chain, "ACEGIKMO");
    gy_slice_drop(slice);
}

static void a_merge_needs_no_link(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < LINKS; i++) {
        append(&fixture->chain, &fixture->a, 2 * i, 1);
    }
    append(&fixture->chain, &fixture->a, 2 * (LINKS - 1) + 1, 1);
    expect_bytes(&fixture->chain, "ACEGIKMOP");
}

static void a_prepended_slice_comes_first_and_is_not_merged(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(gy_chain_prepend(&fixture->chain, gy_slice_of(&fixture->a, 3, 2)), 0);
    assert_int_equal(gy_chain_prepend(&fixture->chain, gy_slice_of(&fixture->a, 0, 3)), 0);
    assert_int_equal(fixture->chain.count, 2);
    expect_bytes(&fixture->chain, "ABCDE");
    append(&fixture->chain, &fixture->b, 0, 1);
    expect_bytes(&fixture->chain, "ABCDEa");
}

static void consuming_drops_what_is_used_up_and_trims_the_rest(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    append(&fixture->chain, &fixture->b, 0, 4);
    gy_chain_consume(&fixture->chain, 0);
    expect_bytes(&fixture->chain, "ABCDabcd");
    gy_chain_consume(&fixture->chain, 1);
    expect_bytes(&fixture->chain, "BCDabcd");
    gy_chain_consume(&fixture->chain, 5);
    expect_bytes(&fixture->chain, "cd");
    assert_int_equal(fixture->a.refs, 1);
    assert_int_equal(fixture->b.refs, 2);
    gy_chain_consume(&fixture->chain, 2);
    expect_bytes(&fixture->chain, "");
    assert_int_equal(fixture->b.refs, 1);
}

static void consuming_exactly_one_slice_leaves_the_next_whole(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    append(&fixture->chain, &fixture->b, 0, 4);
    gy_chain_consume(&fixture->chain, 4);
    assert_int_equal(fixture->chain.count, 1);
    expect_bytes(&fixture->chain, "abcd");
}

static void a_chain_works_again_after_it_was_emptied(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    gy_chain_consume(&fixture->chain, 4);
    /* It would continue a slice that is gone. */
    append(&fixture->chain, &fixture->a, 4, 2);
    expect_bytes(&fixture->chain, "EF");
    gy_chain_clear(&fixture->chain);
    expect_bytes(&fixture->chain, "");
    assert_int_equal(gy_chain_prepend(&fixture->chain, gy_slice_of(&fixture->b, 0, 1)), 0);
    append(&fixture->chain, &fixture->b, 1, 1);
    expect_bytes(&fixture->chain, "ab");
}

static void clearing_drops_everything(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    append(&fixture->chain, &fixture->b, 0, 4);
    gy_buffer_drop(&fixture->a);
    assert_int_equal(released_a, 0);
    gy_chain_clear(&fixture->chain);
    assert_int_equal(released_a, 1);
    assert_int_equal(released_b, 0);
    assert_int_equal(fixture->links.used, 0);
    gy_chain_clear(&fixture->chain);
}

static void consume_too_much(void *chain)
{
    gy_chain_consume(chain, 5);
}

static void copy_too_much(void *chain)
{
    char bytes[8];
    gy_chain_copy(chain, 3, 2, bytes);
}

static void copy_from_beyond(void *chain)
{
    char bytes[8];
    gy_chain_copy(chain, UINT32_MAX, 2, bytes);
}

static void asking_for_more_than_the_chain_holds_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    expect_assertion(consume_too_much, &fixture->chain, "bytes <= chain->length");
    expect_assertion(copy_too_much, &fixture->chain, "bytes <= chain->length - offset");
    expect_assertion(copy_from_beyond, &fixture->chain, "offset <= chain->length");
}

static void moving_whole_slices_takes_their_counts_along(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    append(&fixture->chain, &fixture->b, 0, 4);
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 4), 0);
    expect_bytes(&fixture->chain, "abcd");
    expect_bytes(&fixture->other, "ABCD");
    assert_int_equal(fixture->a.refs, 2);
    assert_int_equal(fixture->links.used, 2);
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 4), 0);
    expect_bytes(&fixture->chain, "");
    expect_bytes(&fixture->other, "ABCDabcd");
    assert_int_equal(fixture->links.used, 2);
}

static void moving_part_of_a_slice_holds_it_twice(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->b, 0, 2);
    append(&fixture->chain, &fixture->a, 0, 4);
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 3), 0);
    expect_bytes(&fixture->chain, "BCD");
    expect_bytes(&fixture->other, "abA");
    assert_int_equal(fixture->a.refs, 3);
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 2), 0);
    expect_bytes(&fixture->chain, "D");
    expect_bytes(&fixture->other, "abABC");
    assert_int_equal(fixture->other.count, 2);
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 1), 0);
    assert_int_equal(fixture->a.refs, 2);
    assert_int_equal(fixture->other.count, 2);
}

static void moving_nothing_does_nothing(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 0), 0);
    expect_bytes(&fixture->chain, "ABCD");
    expect_bytes(&fixture->other, "");
}

static void a_move_without_a_link_for_its_cut_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    append(&fixture->chain, &fixture->b, 0, 4);
    struct gy_link *held[LINKS];
    uint32_t count = 0;
    while (fixture->links.used < LINKS) {
        held[count++] = gy_slab_take(&fixture->links);
    }
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 6), GY_ENOBUFS);
    expect_bytes(&fixture->other, "ABCD");
    expect_bytes(&fixture->chain, "abcd");
    assert_int_equal(fixture->a.refs, 2);
    assert_int_equal(fixture->b.refs, 2);
    while (count > 0) {
        gy_slab_give(&fixture->links, held[--count]);
    }
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, 2), 0);
    expect_bytes(&fixture->other, "ABCDab");
}

static void whole_slices_move_even_when_the_slab_is_at_its_bound(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < LINKS; i++) {
        append(&fixture->chain, &fixture->a, 2 * i, 1);
    }
    assert_int_equal(gy_chain_move(&fixture->chain, &fixture->other, LINKS), 0);
    expect_bytes(&fixture->other, "ACEGIKMO");
}

static void move_to_itself(void *chain)
{
    gy_chain_move(chain, chain, 1);
}

static void moving_a_chain_to_itself_is_asserted(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 4);
    expect_assertion(move_to_itself, &fixture->chain, "from != to");
}

static void the_front_is_the_first_slice(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 2, 3);
    append(&fixture->chain, &fixture->b, 0, 4);
    uint32_t length = 0;
    assert_ptr_equal(gy_chain_front(&fixture->chain, &length), fixture->a_data + 2);
    assert_int_equal(length, 3);
}

static void copying_from_any_offset_crosses_slices_and_keeps_them(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 3);
    append(&fixture->chain, &fixture->b, 0, 1);
    append(&fixture->chain, &fixture->a, 10, 4);
    const char *all = "ABCaKLMN";
    for (uint32_t offset = 0; offset <= 8; offset++) {
        for (uint32_t bytes = 0; bytes <= 8 - offset; bytes++) {
            char copy[9];
            memset(copy, '#', sizeof copy);
            gy_chain_copy(&fixture->chain, offset, bytes, copy);
            assert_memory_equal(copy, all + offset, bytes);
            assert_int_equal(copy[bytes], '#');
        }
    }
    expect_bytes(&fixture->chain, all);
}

static void vectors_describe_the_front_up_to_both_bounds(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 3);
    append(&fixture->chain, &fixture->b, 0, 4);
    append(&fixture->chain, &fixture->a, 10, 5);
    struct iovec vectors[4];
    uint32_t bytes = 7;

    assert_int_equal(gy_chain_vectors(&fixture->chain, vectors, 4, UINT32_MAX, &bytes), 3);
    assert_int_equal(bytes, 12);
    assert_ptr_equal(vectors[0].iov_base, fixture->a_data);
    assert_int_equal(vectors[0].iov_len, 3);
    assert_ptr_equal(vectors[2].iov_base, fixture->a_data + 10);
    assert_int_equal(vectors[2].iov_len, 5);

    assert_int_equal(gy_chain_vectors(&fixture->chain, vectors, 2, UINT32_MAX, &bytes), 2);
    assert_int_equal(bytes, 7);

    assert_int_equal(gy_chain_vectors(&fixture->chain, vectors, 4, 5, &bytes), 2);
    assert_int_equal(bytes, 5);
    assert_int_equal(vectors[1].iov_len, 2);

    /* A bound at the end of a slice makes no empty vector. */
    assert_int_equal(gy_chain_vectors(&fixture->chain, vectors, 4, 7, &bytes), 2);
    assert_int_equal(bytes, 7);
    expect_bytes(&fixture->chain, "ABCabcdKLMNO");
}

static void an_empty_chain_or_bound_gives_no_vectors(void **state)
{
    struct fixture *fixture = *state;
    struct iovec vectors[2];
    uint32_t bytes = 7;
    assert_int_equal(gy_chain_vectors(&fixture->chain, vectors, 2, 100, &bytes), 0);
    assert_int_equal(bytes, 0);
    append(&fixture->chain, &fixture->a, 0, 3);
    assert_int_equal(gy_chain_vectors(&fixture->chain, vectors, 0, 100, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(gy_chain_vectors(&fixture->chain, vectors, 2, 0, &bytes), 0);
    assert_int_equal(bytes, 0);
}

static void read_front(void *chain)
{
    struct gy_link *head = *(struct gy_link **)chain;
    (void)*(volatile uint32_t *)&head->slice.length;
}

static void a_link_that_was_given_back_is_poisoned(void **state)
{
    struct fixture *fixture = *state;
    append(&fixture->chain, &fixture->a, 0, 3);
    struct gy_link *head = fixture->chain.head;
    gy_chain_consume(&fixture->chain, 3);
    expect_poisoned(read_front, &head);
}

#define MODEL_BYTES 1024

static void text_append(char *text, const void *more, size_t bytes)
{
    size_t before = strlen(text);
    assert_true(before + bytes < MODEL_BYTES);
    memcpy(text + before, more, bytes);
    text[before + bytes] = '\0';
}

/* Against the same bytes in a plain array. */
static void random_use_agrees_with_a_plain_array(void **state)
{
    struct fixture *fixture = *state;
    uint64_t seed = random_seed(0x511ce);
    uint64_t random = seed;
    char model[2][MODEL_BYTES] = {"", ""};
    struct gy_chain *chains[2] = {&fixture->chain, &fixture->other};
    for (int step = 0; step < 20000; step++) {
        size_t which = random_next(&random) % 2;
        struct gy_chain *chain = chains[which];
        char *text = model[which];
        struct gy_buffer *buffer = random_next(&random) % 2 == 0 ? &fixture->a : &fixture->b;
        uint32_t offset = (uint32_t)(random_next(&random) % 60);
        uint32_t length = (uint32_t)(random_next(&random) % 5);
        uint32_t part = (uint32_t)(random_next(&random) % (chain->length + 1));
        struct gy_slice slice;
        switch (random_next(&random) % 4) {
        case 0:
            slice = gy_slice_of(buffer, offset, length);
            if (gy_chain_append(chain, slice) == 0) {
                text_append(text, buffer->data + offset, length);
            } else {
                gy_slice_drop(slice);
            }
            break;
        case 1:
            slice = gy_slice_of(buffer, offset, length);
            if (gy_chain_prepend(chain, slice) == 0) {
                memmove(text + length, text, strlen(text) + 1);
                memcpy(text, buffer->data + offset, length);
            } else {
                gy_slice_drop(slice);
            }
            break;
        case 2:
            gy_chain_consume(chain, part);
            memmove(text, text + part, strlen(text + part) + 1);
            break;
        default: {
            uint32_t before = chain->length;
            int error = gy_chain_move(chain, chains[1 - which], part);
            uint32_t moved = before - chain->length;
            if (error == 0 ? moved != part : moved >= part) {
                fail_msg("seed %llu step %d: moved %u of %u", (unsigned long long)seed, step, moved,
                         part);
            }
            text_append(model[1 - which], text, moved);
            memmove(text, text + moved, strlen(text + moved) + 1);
            break;
        }
        }
        expect_bytes(&fixture->chain, model[0]);
        expect_bytes(&fixture->other, model[1]);
        if (fixture->links.used != fixture->chain.count + fixture->other.count ||
            fixture->a.refs + fixture->b.refs != 2 + fixture->links.used) {
            fail_msg("seed %llu step %d: counts", (unsigned long long)seed, step);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_chain_is_empty_and_holds_no_memory),
        TEST(appended_slices_keep_their_order),
        TEST(a_slice_that_continues_the_last_one_is_merged),
        TEST(a_slice_with_a_gap_an_overlap_or_another_buffer_is_not_merged),
        TEST(an_empty_slice_is_dropped_not_queued),
        TEST(an_append_without_a_link_leaves_the_count_with_the_caller),
        TEST(a_merge_needs_no_link),
        TEST(a_prepended_slice_comes_first_and_is_not_merged),
        TEST(consuming_drops_what_is_used_up_and_trims_the_rest),
        TEST(consuming_exactly_one_slice_leaves_the_next_whole),
        TEST(a_chain_works_again_after_it_was_emptied),
        TEST(clearing_drops_everything),
        TEST(asking_for_more_than_the_chain_holds_is_asserted),
        TEST(moving_whole_slices_takes_their_counts_along),
        TEST(moving_part_of_a_slice_holds_it_twice),
        TEST(moving_nothing_does_nothing),
        TEST(a_move_without_a_link_for_its_cut_loses_nothing),
        TEST(whole_slices_move_even_when_the_slab_is_at_its_bound),
        TEST(moving_a_chain_to_itself_is_asserted),
        TEST(the_front_is_the_first_slice),
        TEST(copying_from_any_offset_crosses_slices_and_keeps_them),
        TEST(vectors_describe_the_front_up_to_both_bounds),
        TEST(an_empty_chain_or_bound_gives_no_vectors),
        TEST(a_link_that_was_given_back_is_poisoned),
        TEST(random_use_agrees_with_a_plain_array),
    };
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
