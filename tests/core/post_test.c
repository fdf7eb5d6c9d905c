/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Posting to another worker: how it is woken, and what happens when something is full (DESIGN rules
 * 1 and 20). */

#include <errno.h>
#include <sys/eventfd.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

static struct gy_ring *ring_of(struct stage *stage)
{
    return stage->worker.ring;
}

/* The stage's worker, and a second one that sleeps: only what others touch of it is there. */
static int set_up(void **state)
{
    deadline("post", 20);
    struct stage_options options = {.workers = 2};
    struct stage *stage = stage_open(&options);
    *state = stage;
    struct gy_worker *other = calloc(1, sizeof *other + 64);
    assert_non_null(other);
    other->ring = stage->worker.ring; /* only its descriptor is asked for */
    other->options.workers = 2;
    other->options.number = 1;
    other->wake_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    other->inboxes = aligned_alloc(64, 3 * sizeof *other->inboxes);
    other->inbox_messages = aligned_alloc(64, 3 * 4 * sizeof *other->inbox_messages);
    assert_non_null(other->inboxes);
    assert_non_null(other->inbox_messages);
    for (uint32_t i = 0; i < 3; i++) {
        gy_mailbox_init(&other->inboxes[i], other->inbox_messages + (size_t)i * 4, 4);
    }
    gy_bell_init(&other->bell);
    gy_bell_sleep(&other->bell);
    stage->peers[1] = other;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    struct gy_worker *other = stage->peers[1];
    close(other->wake_descriptor);
    free(other->inboxes);
    free(other->inbox_messages);
    free(other);
    stage_close(stage);
    return 0;
}

static uint64_t rung(const struct gy_worker *worker)
{
    uint64_t count = 0;
    return read(worker->wake_descriptor, &count, sizeof count) == sizeof count ? count : 0;
}

static int post_to_other(struct stage *stage)
{
    struct gy_message message = {.kind = GY_MESSAGE_USER};
    return gy_worker_post(&stage->worker, stage->peers[1], &message);
}

static void a_sleeping_worker_is_rung_once_by_the_ring(void **state)
{
    struct stage *stage = *state;
    assert_int_equal(post_to_other(stage), 0);
    assert_int_equal(post_to_other(stage), 0);
    assert_int_equal(fake_total(ring_of(stage), FAKE_MESSAGE), 1);
    assert_int_equal(rung(stage->peers[1]), 0);
    struct fake_operation *ring = fake_first(ring_of(stage), FAKE_MESSAGE);
    assert_int_equal(gy_token_operation(ring->target), GY_OPERATION_MESSAGE);
    stage_turn(stage);
    fake_complete(ring_of(stage), ring, 0, 0);
    stage_turn(stage);
    assert_int_equal(rung(stage->peers[1]), 0);
}

static void a_worker_whose_ring_is_full_is_rung_by_eventfd(void **state)
{
    struct stage *stage = *state;
    assert_int_equal(post_to_other(stage), 0);
    stage_turn(stage);
    fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_MESSAGE), -EOVERFLOW, 0);
    stage_turn(stage);
    assert_int_equal(rung(stage->peers[1]), 1);
}

static void a_worker_is_rung_by_eventfd_when_our_own_ring_is_full(void **state)
{
    struct stage *stage = *state;
    fake_limit_room(ring_of(stage), 0);
    assert_int_equal(post_to_other(stage), 0);
    assert_int_equal(rung(stage->peers[1]), 1);
    fake_limit_room(ring_of(stage), UINT32_MAX);
}

static void a_post_to_a_full_mailbox_is_refused_counted_and_rings_nobody(void **state)
{
    struct stage *stage = *state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(post_to_other(stage), 0);
    }
    assert_int_equal(post_to_other(stage), GY_ENOBUFS);
    assert_int_equal(post_to_other(stage), GY_ENOBUFS);
    assert_int_equal(stage_counter(stage, mailbox_refused), 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_MESSAGE), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sleeping_worker_is_rung_once_by_the_ring),
        TEST(a_worker_whose_ring_is_full_is_rung_by_eventfd),
        TEST(a_worker_is_rung_by_eventfd_when_our_own_ring_is_full),
        TEST(a_post_to_a_full_mailbox_is_refused_counted_and_rings_nobody),
    };
    return cmocka_run_group_tests_name("post", tests, NULL, NULL);
}
