/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The timing wheel, one behaviour at a time. In random use: test_timer_model.c. */

#include "core/timer.h"
#include "tests/unit/unit.h"

#define HOUR_MS  UINT64_C(3600000)
#define SPAN_MS  (UINT64_C(1) << 32)
#define START_MS UINT64_C(1234567)
#define PLENTY   UINT32_MAX

static struct gy_wheel wheel;

/* Which timers fired, in order. */
static struct gy_timer *fired[64];
static uint32_t fired_count;
static uint64_t fired_now_ms;

static void note(struct gy_timer *timer, uint64_t now_ms)
{
    assert_false(gy_timer_armed(timer));
    assert_true(fired_count < 64);
    fired[fired_count++] = timer;
    fired_now_ms = now_ms;
}

static int set_up(void **state)
{
    (void)state;
    gy_wheel_init(&wheel, START_MS);
    fired_count = 0;
    return 0;
}

static void arm(struct gy_timer *timer, uint64_t due_ms)
{
    gy_timer_init(timer, note);
    gy_timer_arm(&wheel, timer, due_ms);
}

static void an_empty_wheel_has_no_deadline(void **state)
{
    (void)state;
    assert_true(gy_wheel_next_ms(&wheel) == UINT64_MAX);
    assert_false(gy_wheel_advance(&wheel, START_MS + HOUR_MS, 1));
    assert_true(gy_wheel_next_ms(&wheel) == UINT64_MAX);
}

static void a_timer_fires_when_it_is_due_and_not_before(void **state)
{
    (void)state;
    static const uint64_t delays[] = {1,           2,           255,         256,
                                      257,         65535,       65536,       65537,
                                      16777215,    16777216,    16777217,    SPAN_MS,
                                      SPAN_MS - 1, SPAN_MS + 1, 3 * SPAN_MS, 1000 * SPAN_MS};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        set_up(NULL);
        struct gy_timer timer;
        uint64_t due_ms = START_MS + delays[i];
        arm(&timer, due_ms);
        assert_true(gy_timer_armed(&timer));
        assert_true(gy_wheel_next_ms(&wheel) <= due_ms);
        assert_true(gy_wheel_next_ms(&wheel) > START_MS);
        assert_false(gy_wheel_advance(&wheel, due_ms - 1, PLENTY));
        assert_int_equal(fired_count, 0);
        assert_true(gy_wheel_next_ms(&wheel) == due_ms);
        assert_false(gy_wheel_advance(&wheel, due_ms, PLENTY));
        assert_int_equal(fired_count, 1);
        assert_false(gy_timer_armed(&timer));
        assert_true(gy_wheel_next_ms(&wheel) == UINT64_MAX);
    }
}

static void a_timer_fires_once(void **state)
{
    (void)state;
    struct gy_timer timer;
    arm(&timer, START_MS + 10);
    gy_wheel_advance(&wheel, START_MS + 20, PLENTY);
    gy_wheel_advance(&wheel, START_MS + 20, PLENTY);
    gy_wheel_advance(&wheel, START_MS + HOUR_MS, PLENTY);
    assert_int_equal(fired_count, 1);
}

static void the_callback_is_told_the_time_of_the_advance(void **state)
{
    (void)state;
    struct gy_timer timer;
    arm(&timer, START_MS + 10);
    gy_wheel_advance(&wheel, START_MS + 25, PLENTY);
    assert_true(fired_now_ms == START_MS + 25);
}

static void due_now_fires_in_the_next_advance_even_at_the_same_time(void **state)
{
    (void)state;
    struct gy_timer timer;
    arm(&timer, START_MS);
    assert_true(gy_wheel_next_ms(&wheel) <= START_MS);
    assert_false(gy_wheel_advance(&wheel, START_MS, PLENTY));
    assert_int_equal(fired_count, 1);
}

static void due_in_the_past_fires_in_the_next_advance(void **state)
{
    (void)state;
    struct gy_timer timers[3];
    arm(&timers[0], START_MS - 1);
    arm(&timers[1], 0);
    gy_wheel_advance(&wheel, START_MS + 500, PLENTY);
    arm(&timers[2], START_MS + 100);
    assert_true(gy_wheel_next_ms(&wheel) <= START_MS + 500);
    gy_wheel_advance(&wheel, START_MS + 500, PLENTY);
    assert_int_equal(fired_count, 3);
}

static void timers_fire_in_the_order_of_their_due_time(void **state)
{
    (void)state;
    static const uint64_t delays[] = {70000, 3, 300, SPAN_MS + 9, 1, 65536, 20000000, 255, 299, 5};
    struct gy_timer timers[10];
    for (int i = 0; i < 10; i++) {
        arm(&timers[i], START_MS + delays[i]);
    }
    assert_false(gy_wheel_advance(&wheel, START_MS + 2 * SPAN_MS, PLENTY));
    assert_int_equal(fired_count, 10);
    for (int i = 1; i < 10; i++) {
        assert_true(fired[i - 1]->due_ms < fired[i]->due_ms);
    }
}

static void a_disarmed_timer_does_not_fire(void **state)
{
    (void)state;
    static const uint64_t delays[] = {0, 5, 300, 70000, 20000000, SPAN_MS * 2};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        struct gy_timer timer;
        arm(&timer, START_MS + delays[i]);
        gy_timer_disarm(&wheel, &timer);
        assert_false(gy_timer_armed(&timer));
        assert_true(gy_wheel_next_ms(&wheel) == UINT64_MAX);
        assert_int_equal(wheel.armed, 0);
    }
    gy_wheel_advance(&wheel, START_MS + 3 * SPAN_MS, PLENTY);
    assert_int_equal(fired_count, 0);
}

static void disarming_a_timer_that_is_not_armed_does_nothing(void **state)
{
    (void)state;
    struct gy_timer timer;
    gy_timer_init(&timer, note);
    gy_timer_disarm(&wheel, &timer);
    gy_timer_disarm(&wheel, &timer);
    assert_int_equal(wheel.armed, 0);
}

static void disarming_one_of_a_slot_leaves_the_others(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        set_up(NULL);
        struct gy_timer timers[3];
        for (int i = 0; i < 3; i++) {
            arm(&timers[i], START_MS + 1000);
        }
        gy_timer_disarm(&wheel, &timers[which]);
        assert_true(gy_wheel_next_ms(&wheel) <= START_MS + 1000);
        gy_wheel_advance(&wheel, START_MS + 1000, PLENTY);
        assert_int_equal(fired_count, 2);
        assert_false(gy_timer_armed(&timers[0]) || gy_timer_armed(&timers[1]) ||
                     gy_timer_armed(&timers[2]));
    }
}

static void arming_an_armed_timer_moves_it(void **state)
{
    (void)state;
    struct gy_timer timer;
    arm(&timer, START_MS + 10);
    gy_timer_arm(&wheel, &timer, START_MS + 70000);
    assert_int_equal(wheel.armed, 1);
    gy_wheel_advance(&wheel, START_MS + 69999, PLENTY);
    assert_int_equal(fired_count, 0);
    gy_timer_arm(&wheel, &timer, START_MS + 70001);
    gy_wheel_advance(&wheel, START_MS + 70000, PLENTY);
    assert_int_equal(fired_count, 0);
    gy_wheel_advance(&wheel, START_MS + 70001, PLENTY);
    assert_int_equal(fired_count, 1);
}

static void the_budget_bounds_an_advance_and_says_that_more_is_due(void **state)
{
    (void)state;
    struct gy_timer timers[10];
    for (int i = 0; i < 10; i++) {
        arm(&timers[i], START_MS + (uint64_t)i / 3);
    }
    assert_true(gy_wheel_advance(&wheel, START_MS + 5, 4));
    assert_int_equal(fired_count, 4);
    assert_true(gy_wheel_next_ms(&wheel) <= START_MS + 5);
    assert_true(gy_wheel_advance(&wheel, START_MS + 5, 5));
    assert_int_equal(fired_count, 9);
    assert_false(gy_wheel_advance(&wheel, START_MS + 5, 1));
    assert_int_equal(fired_count, 10);
}

static void a_budget_that_is_just_enough_leaves_nothing_due(void **state)
{
    (void)state;
    struct gy_timer timers[3];
    for (int i = 0; i < 3; i++) {
        arm(&timers[i], START_MS);
    }
    assert_false(gy_wheel_advance(&wheel, START_MS, 3));
}

static void moving_timers_down_counts_against_the_budget(void **state)
{
    (void)state;
    struct gy_timer timers[20];
    /* All in one slot of an upper level, none due when that slot is reached. */
    for (int i = 0; i < 20; i++) {
        arm(&timers[i], (START_MS | 0xffff) + 1 + 100);
    }
    uint64_t cascade_ms = gy_wheel_next_ms(&wheel);
    assert_true(cascade_ms < timers[0].due_ms);
    assert_true(gy_wheel_advance(&wheel, cascade_ms, 15));
    assert_true(gy_wheel_next_ms(&wheel) <= cascade_ms);
    /* Half moved: either half can be disarmed, moved and joined. */
    gy_timer_disarm(&wheel, &timers[0]);
    gy_timer_disarm(&wheel, &timers[19]);
    gy_timer_arm(&wheel, &timers[0], cascade_ms + 100);
    assert_false(gy_wheel_advance(&wheel, cascade_ms, 15));
    assert_int_equal(fired_count, 0);
    assert_true(gy_wheel_next_ms(&wheel) == cascade_ms + 100);
    assert_false(gy_wheel_advance(&wheel, cascade_ms + 100, PLENTY));
    assert_int_equal(fired_count, 19);
}

static void a_half_moved_slot_whose_rest_is_disarmed_is_done(void **state)
{
    (void)state;
    struct gy_timer timers[4];
    for (int i = 0; i < 4; i++) {
        arm(&timers[i], (START_MS | 0xffff) + 1 + 100);
    }
    uint64_t cascade_ms = gy_wheel_next_ms(&wheel);
    assert_true(gy_wheel_advance(&wheel, cascade_ms, 1));
    for (int i = 0; i < 4; i++) {
        gy_timer_disarm(&wheel, &timers[i]);
    }
    assert_true(gy_wheel_next_ms(&wheel) == UINT64_MAX);
    assert_false(gy_wheel_advance(&wheel, cascade_ms, 1));
}

static void hours_of_idleness_are_skipped_not_counted_through(void **state)
{
    (void)state;
    struct gy_timer timer;
    arm(&timer, START_MS + 100 * HOUR_MS);
    /* One timer: at most a move per level, and its firing. */
    assert_false(gy_wheel_advance(&wheel, START_MS + 200 * HOUR_MS, GY_WHEEL_LEVELS + 1));
    assert_int_equal(fired_count, 1);
    /* Tick by tick this would not end in a lifetime. */
    assert_false(gy_wheel_advance(&wheel, (UINT64_C(1) << 63) - 1, 1));
}

static void waiting_for_a_far_timer_takes_few_wake_ups(void **state)
{
    (void)state;
    static const uint64_t delays[] = {1, 300, 70000, 20000000, SPAN_MS - 7, SPAN_MS + 12345};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        set_up(NULL);
        struct gy_timer timer;
        arm(&timer, START_MS + delays[i]);
        int wakeups = 0;
        while (fired_count == 0) {
            assert_true(++wakeups <= GY_WHEEL_LEVELS + 1);
            gy_wheel_advance(&wheel, gy_wheel_next_ms(&wheel), PLENTY);
        }
        assert_true(fired_now_ms == START_MS + delays[i]);
    }
}

static void a_timer_far_beyond_the_top_level_keeps_its_place(void **state)
{
    (void)state;
    struct gy_timer never;
    struct gy_timer far;
    arm(&never, UINT64_MAX);
    arm(&far, START_MS + 5 * SPAN_MS);
    for (uint64_t now_ms = START_MS; now_ms < START_MS + 5 * SPAN_MS; now_ms += SPAN_MS / 3) {
        gy_wheel_advance(&wheel, now_ms, PLENTY);
        assert_int_equal(fired_count, 0);
    }
    gy_wheel_advance(&wheel, START_MS + 5 * SPAN_MS, PLENTY);
    assert_int_equal(fired_count, 1);
    assert_ptr_equal(fired[0], &far);
    gy_timer_disarm(&wheel, &never);
    assert_int_equal(wheel.armed, 0);
}

static void sorting_the_far_ones_in_counts_against_the_budget(void **state)
{
    (void)state;
    struct gy_timer timers[10];
    uint64_t span_ms = (START_MS / SPAN_MS + 1) * SPAN_MS;
    for (uint64_t i = 0; i < 10; i++) {
        arm(&timers[i], span_ms + i % 2 * SPAN_MS + 50);
    }
    assert_true(gy_wheel_advance(&wheel, span_ms, 4));
    gy_timer_disarm(&wheel, &timers[0]);
    gy_timer_disarm(&wheel, &timers[9]);
    assert_true(gy_wheel_next_ms(&wheel) <= span_ms);
    assert_false(gy_wheel_advance(&wheel, span_ms, 8));
    assert_true(gy_wheel_next_ms(&wheel) == span_ms + 50);
    gy_wheel_advance(&wheel, span_ms + 50, PLENTY);
    assert_int_equal(fired_count, 4);
    gy_wheel_advance(&wheel, span_ms + SPAN_MS + 50, PLENTY);
    assert_int_equal(fired_count, 8);
}

static void a_clock_that_goes_back_is_taken_as_standing_still(void **state)
{
    (void)state;
    struct gy_timer timer;
    gy_wheel_advance(&wheel, START_MS + 1000, PLENTY);
    arm(&timer, START_MS + 900);
    gy_wheel_advance(&wheel, START_MS, PLENTY);
    assert_int_equal(fired_count, 1);
    assert_true(fired_now_ms == START_MS + 1000);
}

static void rearm_now(struct gy_timer *timer, uint64_t now_ms)
{
    note(timer, now_ms);
    gy_timer_arm(&wheel, timer, now_ms - 5);
}

static void a_timer_that_arms_itself_as_due_fires_once_an_advance(void **state)
{
    (void)state;
    struct gy_timer timer;
    gy_timer_init(&timer, rearm_now);
    gy_timer_arm(&wheel, &timer, START_MS + 10);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_false(gy_wheel_advance(&wheel, START_MS + 100, PLENTY));
        assert_int_equal(fired_count, i);
        assert_true(gy_timer_armed(&timer));
        assert_true(gy_wheel_next_ms(&wheel) <= START_MS + 100);
    }
}

static void rearm_later(struct gy_timer *timer, uint64_t now_ms)
{
    note(timer, now_ms);
    gy_timer_arm(&wheel, timer, now_ms + 1000);
}

static void a_timer_can_arm_itself_again(void **state)
{
    (void)state;
    struct gy_timer timer;
    gy_timer_init(&timer, rearm_later);
    gy_timer_arm(&wheel, &timer, START_MS + 1000);
    for (uint32_t i = 1; i <= 50; i++) {
        gy_wheel_advance(&wheel, START_MS + 1000 * i, PLENTY);
        assert_int_equal(fired_count, i);
    }
}

static void rearm_between(struct gy_timer *timer, uint64_t now_ms)
{
    note(timer, now_ms);
    gy_timer_init(timer, note);
    gy_timer_arm(&wheel, timer, START_MS + 20);
}

static void a_timer_armed_into_a_jump_waits_for_the_next_advance(void **state)
{
    (void)state;
    struct gy_timer first;
    struct gy_timer last;
    gy_timer_init(&first, rearm_between);
    gy_timer_arm(&wheel, &first, START_MS + 10);
    arm(&last, START_MS + 30);
    gy_wheel_advance(&wheel, START_MS + HOUR_MS, PLENTY);
    assert_int_equal(fired_count, 2);
    assert_ptr_equal(fired[1], &last);
    gy_wheel_advance(&wheel, START_MS + HOUR_MS, PLENTY);
    assert_int_equal(fired_count, 3);
    assert_ptr_equal(fired[2], &first);
}

static struct gy_timer victim;

static void disarm_victim(struct gy_timer *timer, uint64_t now_ms)
{
    note(timer, now_ms);
    gy_timer_disarm(&wheel, &victim);
}

static void a_callback_can_disarm_a_timer_that_is_due_too(void **state)
{
    (void)state;
    static const uint64_t victim_delays[] = {10, 11, 5000};
    for (size_t i = 0; i < 3; i++) {
        set_up(NULL);
        struct gy_timer timer;
        arm(&victim, START_MS + victim_delays[i]);
        gy_timer_init(&timer, disarm_victim);
        gy_timer_arm(&wheel, &timer, START_MS + (i == 0 ? 10 : 9));
        gy_wheel_advance(&wheel, START_MS + 10000, PLENTY);
        /* Of two due in the same millisecond either may come first. */
        assert_true(fired_count == 1 || (i == 0 && fired_count == 2));
        assert_false(gy_timer_armed(&victim));
    }
}

static void arm_and_disarm_victim(struct gy_timer *timer, uint64_t now_ms)
{
    note(timer, now_ms);
    gy_timer_arm(&wheel, &victim, now_ms);
    assert_true(gy_wheel_next_ms(&wheel) <= now_ms);
    gy_timer_disarm(&wheel, &victim);
    gy_timer_arm(&wheel, &victim, now_ms);
    gy_timer_arm(&wheel, &victim, now_ms + 7);
}

static void a_callback_can_take_back_what_it_armed_as_due(void **state)
{
    (void)state;
    struct gy_timer timer;
    gy_timer_init(&victim, note);
    gy_timer_init(&timer, arm_and_disarm_victim);
    gy_timer_arm(&wheel, &timer, START_MS + 10);
    assert_false(gy_wheel_advance(&wheel, START_MS + 10, PLENTY));
    assert_int_equal(fired_count, 1);
    assert_true(gy_wheel_next_ms(&wheel) == START_MS + 17);
    gy_wheel_advance(&wheel, START_MS + 17, PLENTY);
    assert_int_equal(fired_count, 2);
}

static void free_it(struct gy_timer *timer, uint64_t now_ms)
{
    note(timer, now_ms);
    free(timer);
}

static void a_callback_can_free_its_timer(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        struct gy_timer *timer = malloc(sizeof *timer);
        gy_timer_init(timer, free_it);
        gy_timer_arm(&wheel, timer, START_MS + i / 2);
    }
    gy_wheel_advance(&wheel, START_MS + 100, PLENTY);
    assert_int_equal(fired_count, 20);
    assert_true(gy_wheel_next_ms(&wheel) == UINT64_MAX);
}

static struct gy_timer *neighbours[2];

static void free_neighbours(struct gy_timer *timer, uint64_t now_ms)
{
    note(timer, now_ms);
    for (int i = 0; i < 2; i++) {
        gy_timer_disarm(&wheel, neighbours[i]);
        free(neighbours[i]);
    }
}

static void a_callback_can_free_the_timers_around_it(void **state)
{
    (void)state;
    struct gy_timer timer;
    /* The slot is a stack: what is armed last fires first. Arm both neighbours before. */
    for (int i = 0; i < 2; i++) {
        neighbours[i] = malloc(sizeof *neighbours[i]);
        arm(neighbours[i], START_MS + 10 + (uint64_t)i);
    }
    gy_timer_init(&timer, free_neighbours);
    gy_timer_arm(&wheel, &timer, START_MS + 9);
    gy_wheel_advance(&wheel, START_MS + 100, PLENTY);
    assert_int_equal(fired_count, 1);
    assert_int_equal(wheel.armed, 0);
}

static void advance_inside(struct gy_timer *timer, uint64_t now_ms)
{
    (void)timer;
    gy_wheel_advance(&wheel, now_ms, 1);
}

static void run_advance_inside(void *timer)
{
    gy_timer_init(timer, advance_inside);
    gy_timer_arm(&wheel, timer, START_MS);
    gy_wheel_advance(&wheel, START_MS, 1);
}

static void run_without_budget(void *unused)
{
    (void)unused;
    gy_wheel_advance(&wheel, START_MS, 0);
}

static void advancing_from_a_callback_or_without_a_budget_is_asserted(void **state)
{
    (void)state;
    struct gy_timer timer;
    expect_assertion(run_advance_inside, &timer, "!wheel->advancing");
    expect_assertion(run_without_budget, NULL, "budget > 0");
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_wheel_has_no_deadline),
        TEST(a_timer_fires_when_it_is_due_and_not_before),
        TEST(a_timer_fires_once),
        TEST(the_callback_is_told_the_time_of_the_advance),
        TEST(due_now_fires_in_the_next_advance_even_at_the_same_time),
        TEST(due_in_the_past_fires_in_the_next_advance),
        TEST(timers_fire_in_the_order_of_their_due_time),
        TEST(a_disarmed_timer_does_not_fire),
        TEST(disarming_a_timer_that_is_not_armed_does_nothing),
        TEST(disarming_one_of_a_slot_leaves_the_others),
        TEST(arming_an_armed_timer_moves_it),
        TEST(the_budget_bounds_an_advance_and_says_that_more_is_due),
        TEST(a_budget_that_is_just_enough_leaves_nothing_due),
        TEST(moving_timers_down_counts_against_the_budget),
        TEST(a_half_moved_slot_whose_rest_is_disarmed_is_done),
        TEST(hours_of_idleness_are_skipped_not_counted_through),
        TEST(waiting_for_a_far_timer_takes_few_wake_ups),
        TEST(a_timer_far_beyond_the_top_level_keeps_its_place),
        TEST(sorting_the_far_ones_in_counts_against_the_budget),
        TEST(a_clock_that_goes_back_is_taken_as_standing_still),
        TEST(a_timer_that_arms_itself_as_due_fires_once_an_advance),
        TEST(a_timer_can_arm_itself_again),
        TEST(a_timer_armed_into_a_jump_waits_for_the_next_advance),
        TEST(a_callback_can_disarm_a_timer_that_is_due_too),
        TEST(a_callback_can_take_back_what_it_armed_as_due),
        TEST(a_callback_can_free_its_timer),
        TEST(a_callback_can_free_the_timers_around_it),
        TEST(advancing_from_a_callback_or_without_a_budget_is_asserted),
    };
    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
