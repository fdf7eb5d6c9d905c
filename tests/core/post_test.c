/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Posting to another worker: how it is woken, and what happens when something is full (DESIGN rules
 * 1 and 20). */

#include <errno.h>
#include <sys/eventfd.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

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

static void note_call(struct gy_worker *worker, void *argument)
{
    *(struct gy_worker **)argument = worker;
}

static void a_call_runs_on_the_worker_it_is_for(void **state)
{
    struct stage *stage = *state;
    struct gy_worker *called = NULL;
    assert_int_equal(gy_worker_call(NULL, &stage->worker, note_call, &called), 0);
    assert_null(called);
    stage_turns(stage, 2);
    assert_ptr_equal(called, &stage->worker);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(gy_worker_call(&stage->worker, stage->peers[1], note_call, &called), 0);
    }
    assert_int_equal(gy_worker_call(&stage->worker, stage->peers[1], note_call, &called),
                     GY_ENOBUFS);
}

/* ---- helper threads ---- */

struct letterbox {
    struct gy_inlet inlet; /* first */
    struct gy_message messages[4];
    uint64_t taken[8];
    uint32_t count;
    struct gy_worker *leaves; /* removes itself when it is handed something */
};

static void on_letter(struct gy_inlet *inlet, const struct gy_message *message)
{
    struct letterbox *box = (struct letterbox *)inlet;
    box->taken[box->count++] = message->numbers[0];
    if (box->leaves != NULL) {
        gy_worker_remove_inlet(box->leaves, inlet);
    }
}

static struct letterbox *letterbox_open(struct gy_worker *worker)
{
    struct letterbox *box = aligned_alloc(64, (sizeof *box + 63) & ~(size_t)63);
    assert_non_null(box);
    memset(box, 0, sizeof *box);
    box->inlet.on_message = on_letter;
    gy_mailbox_init(&box->inlet.mailbox, box->messages, 4);
    gy_worker_add_inlet(worker, &box->inlet);
    return box;
}

static int post_letter(struct gy_worker *worker, struct letterbox *box, uint64_t number)
{
    struct gy_message message = {.kind = GY_MESSAGE_USER, .numbers = {number}};
    return gy_worker_post_inlet(worker, &box->inlet, &message);
}

static void what_a_helper_posts_is_handed_over_in_order(void **state)
{
    struct stage *stage = *state;
    struct letterbox *one = letterbox_open(&stage->worker);
    struct letterbox *two = letterbox_open(&stage->worker);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(post_letter(&stage->worker, one, i), 0);
    }
    assert_int_equal(post_letter(&stage->worker, two, 9), 0);
    stage_turns(stage, 3);
    assert_int_equal(one->count, 3);
    assert_int_equal(two->count, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(one->taken[i - 1], i);
    }
    gy_worker_remove_inlet(&stage->worker, &one->inlet);
    gy_worker_remove_inlet(&stage->worker, &two->inlet);
    free(one);
    free(two);
}

static void a_sleeping_worker_is_rung_by_a_helper(void **state)
{
    struct stage *stage = *state;
    struct gy_worker *other = stage->peers[1];
    struct letterbox *box = letterbox_open(other);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(post_letter(other, box, i), 0);
    }
    assert_int_equal(post_letter(other, box, 5), GY_ENOBUFS);
    assert_int_equal(rung(other), 1);
    gy_worker_remove_inlet(other, &box->inlet);
    free(box);
}

static void an_inlet_may_be_removed_by_what_it_brings(void **state)
{
    struct stage *stage = *state;
    struct letterbox *kept = letterbox_open(&stage->worker);
    struct letterbox *leaves = letterbox_open(&stage->worker);
    leaves->leaves = &stage->worker;
    post_letter(&stage->worker, kept, 1);
    post_letter(&stage->worker, leaves, 1);
    post_letter(&stage->worker, leaves, 2);
    stage_turns(stage, 2);
    assert_int_equal(kept->count, 1);
    assert_int_equal(leaves->count, 1);
    gy_worker_remove_inlet(&stage->worker, &kept->inlet);
    free(kept);
    free(leaves);
}

/* ---- workers ---- */

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
        TEST(a_call_runs_on_the_worker_it_is_for),
        TEST(what_a_helper_posts_is_handed_over_in_order),
        TEST(a_sleeping_worker_is_rung_by_a_helper),
        TEST(an_inlet_may_be_removed_by_what_it_brings),
        TEST(a_sleeping_worker_is_rung_once_by_the_ring),
        TEST(a_worker_whose_ring_is_full_is_rung_by_eventfd),
        TEST(a_worker_is_rung_by_eventfd_when_our_own_ring_is_full),
        TEST(a_post_to_a_full_mailbox_is_refused_counted_and_rings_nobody),
    };
    return cmocka_run_group_tests_name("post", tests, NULL, NULL);
}
