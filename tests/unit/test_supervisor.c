/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/service.h"

/* ---- restarts ---- */

static void a_killed_child_is_replaced_and_nobody_is_refused_meanwhile(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    service->options.backoff_first_ms = 1000;
    start_ready(service);
    assert_int_equal(ask(service), 1);
    uint64_t killed_at = now_ms();
    kill(shared->seen[1].pid, SIGKILL);
    assert_int_equal(ask(service), 2); /* the first restart is at once */
    assert_true(now_ms() - killed_at < 500);
    kill(shared->seen[2].pid, SIGKILL);
    await(is_gone(shared->seen[2].pid));
    int waiting = dial(service);
    assert_true(waiting >= 0);
    assert_int_equal(shared->generation, 2); /* nobody is there: it waits in the listener */
    assert_int_equal(answer(waiting), 3);
    assert_true(logged(service, "SIGKILL"));
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void a_child_knows_its_generation_and_what_came_before(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    start_ready(service);
    kill(shared->seen[1].pid, SIGKILL);
    await(shared->seen[2].ready);
    signal_parent(service, SIGHUP);
    await(shared->seen[3].ready);
    assert_int_equal(shared->seen[1].restarts, 0);
    assert_int_equal(shared->seen[2].restarts, 1);
    assert_int_equal(shared->seen[2].replacements, 0);
    assert_int_equal(shared->seen[3].restarts, 1);
    assert_int_equal(shared->seen[3].replacements, 1);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void backoff_doubles_up_to_its_limit_with_half_of_it_spread(void **state)
{
    (void)state;
    const struct gy_supervisor_options options = {.backoff_first_ms = 50, .backoff_limit_ms = 700};
    const struct gy_supervisor_options defaults = {0};
    const uint32_t steps[] = {50, 100, 200, 400, 700, 700};
    assert_int_equal(gy_supervisor_backoff_ms(&options, 1, 12345), 0);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t least = UINT32_MAX, most = 0;
        for (uint32_t random = 0; random < 2000; random++) {
            uint32_t wait = gy_supervisor_backoff_ms(&options, i + 2, random);
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        assert_int_equal(least, steps[i] / 2);
        assert_int_equal(most, steps[i]);
    }
    assert_int_equal(gy_supervisor_backoff_ms(&options, UINT32_MAX, 0), 350);
    assert_int_equal(gy_supervisor_backoff_ms(&defaults, 2, 0), 25);
    assert_int_equal(gy_supervisor_backoff_ms(&defaults, UINT32_MAX, 0), 5000);
}

static void deaths_in_a_row_back_off_and_a_stable_child_resets_that(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    const uint64_t at_least[] = {[3] = 50, [4] = 100, [5] = 200, [6] = 200};
    service->options.backoff_first_ms = 100;
    service->options.backoff_limit_ms = 400;
    service->options.stable_after_ms = 300;
    shared->behaviour[1] = DIES_A_LITTLE_LATER;
    for (unsigned i = 2; i <= 5; i++)
        shared->behaviour[i] = i % 2 == 0 ? DIES_WHEN_READY : DIES_STARTING;
    shared->behaviour[6] = DIES_A_LITTLE_LATER;
    start(service);
    await(shared->seen[7].ready);
    uint64_t gap = shared->seen[2].started_ms - shared->seen[1].started_ms;
    assert_true(gap >= 400); /* it lived so long */
    for (unsigned i = 3; i <= 6; i++) {
        gap = shared->seen[i].started_ms - shared->seen[i - 1].started_ms;
        if (gap < at_least[i])
            fail_msg("generation %u came after %u ms", i, (unsigned)gap);
    }
    assert_false(logged(service, "death 1 in a row"));
    assert_true(logged(service, "death 5 in a row"));
    assert_false(logged(service, "death 6 in a row"));
    assert_int_equal(shared->seen[7].restarts, 6);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void a_restart_that_never_gets_ready_is_killed_and_tried_again(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    service->options.ready_timeout_ms = 600;
    shared->behaviour[1] = DIES_A_LITTLE_LATER;
    shared->behaviour[2] = NEVER_READY;
    start(service);
    await(shared->seen[3].ready);
    assert_true(logged(service, "was not ready in time"));
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

/* ---- the first start ---- */

static void a_failing_first_start_ends_the_service_with_its_status(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = FAILS_TO_START;
    start(service);
    assert_int_equal(ended(service), 3);
    assert_int_equal(service->shared->generation, 1);
    assert_true(logged(service, "could not start: exit status 3"));
}

static void a_first_start_that_dies_of_a_signal_fails(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = DIES_STARTING;
    start(service);
    assert_int_equal(ended(service), 1);
    assert_true(logged(service, "could not start: SIGKILL"));
}

static void a_first_start_that_takes_too_long_fails(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = NEVER_READY;
    service->options.ready_timeout_ms = 200;
    start(service);
    assert_int_equal(ended(service), 1);
    assert_true(logged(service, "was not ready in time"));
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    struct service *service = *state;
    service->options.backoff_first_ms = 500;
    service->options.backoff_limit_ms = 499;
    start(service);
    assert_int_equal(ended(service), REFUSED_START);
    assert_true(logged(service, "above its limit"));
    assert_int_equal(service->shared->generation, 0);
}

/* ---- the end ---- */

static void a_drain_serves_what_waits_then_refuses_and_ends_clean(void **state)
{
    const int signals[] = {SIGTERM, SIGINT};
    for (unsigned i = 0; i < 2; i++) {
        struct service *service = *state;
        service->shared->behaviour[1] = DRAINS_SLOWLY;
        service->shared->seen[1].ready = false;
        start_ready(service);
        kill(service->shared->seen[1].pid, SIGSTOP); /* so that the connection has to wait */
        int waiting = dial(service);
        signal_parent(service, signals[i]);
        await(logged(service, "draining"));
        kill(service->shared->seen[1].pid, SIGCONT);
        assert_int_equal(answer(waiting), 1);
        await(dial(service) == -1);
        assert_false(is_gone(service->shared->seen[1].pid));
        assert_int_equal(ended(service), 0);
        assert_false(was_asked(service, 1, GY_CHILD_STOP));
    }
}

static void what_the_drained_child_returns_is_the_exit_status(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = DRAINS_WITH_7;
    start_ready(service);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 7);
}

static void a_second_signal_stops_at_once(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = DRAINS_FOREVER;
    start_ready(service);
    signal_parent(service, SIGTERM);
    await(was_asked(service, 1, GY_CHILD_DRAIN));
    uint64_t before = now_ms();
    signal_parent(service, SIGINT);
    assert_int_equal(ended(service), 0);
    assert_true(was_asked(service, 1, GY_CHILD_STOP));
    assert_true(now_ms() - before < PATIENCE_MS / 2);
}

static void a_child_that_will_not_stop_is_killed(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = STOPS_FOR_NOTHING;
    service->options.kill_margin_ms = 100;
    start_ready(service);
    signal_parent(service, SIGTERM);
    await(was_asked(service, 1, GY_CHILD_DRAIN));
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 1);
    assert_true(logged(service, "killing it"));
}

static void a_drain_past_its_deadline_is_killed(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = DRAINS_FOREVER;
    service->options.drain_timeout_ms = 100;
    service->options.kill_margin_ms = 100;
    start_ready(service);
    uint64_t before = now_ms();
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 1);
    assert_true(now_ms() - before >= 200);
    assert_false(was_asked(service, 1, GY_CHILD_STOP));
}

static void it_can_end_before_the_first_child_is_ready(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = READY_LATE;
    start(service);
    await(service->shared->generation == 1);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void it_ends_at_once_while_no_child_is_up(void **state)
{
    struct service *service = *state;
    service->options.backoff_first_ms = service->options.backoff_limit_ms = 2 * PATIENCE_MS;
    service->shared->behaviour[1] = service->shared->behaviour[2] = DIES_WHEN_READY;
    start(service);
    await(logged(service, "death 2 in a row"));
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
    assert_int_equal(service->shared->generation, 2);
}

static void a_signal_to_the_whole_group_counts_once(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = DRAINS_SLOWLY;
    start_ready(service);
    kill(-service->parent, SIGINT);
    assert_int_equal(ended(service), 0);
    assert_true(was_asked(service, 1, GY_CHILD_DRAIN));
    assert_false(was_asked(service, 1, GY_CHILD_STOP));
}

static void a_signal_to_the_child_alone_changes_nothing(void **state)
{
    struct service *service = *state;
    start_ready(service);
    kill(service->shared->seen[1].pid, SIGTERM);
    kill(service->shared->seen[1].pid, SIGINT);
    kill(service->shared->seen[1].pid, SIGHUP);
    pause_ms(50);
    assert_int_equal(ask(service), 1);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void time_spent_stopped_does_not_count(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = DRAINS_SLOWLY;
    service->options.drain_timeout_ms = 500;
    service->options.kill_margin_ms = 500;
    start_ready(service);
    signal_parent(service, SIGTERM);
    await(was_asked(service, 1, GY_CHILD_DRAIN));
    kill(-service->parent, SIGSTOP);
    pause_ms(1200);
    kill(-service->parent, SIGCONT);
    assert_int_equal(ended(service), 0);
    assert_false(logged(service, "killing it"));
}

int main(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphans come to this process */
    const struct CMUnitTest tests[] = {
        service_test(a_killed_child_is_replaced_and_nobody_is_refused_meanwhile),
        service_test(a_child_knows_its_generation_and_what_came_before),
        cmocka_unit_test(backoff_doubles_up_to_its_limit_with_half_of_it_spread),
        service_test(deaths_in_a_row_back_off_and_a_stable_child_resets_that),
        service_test(a_restart_that_never_gets_ready_is_killed_and_tried_again),
        service_test(a_failing_first_start_ends_the_service_with_its_status),
        service_test(a_first_start_that_dies_of_a_signal_fails),
        service_test(a_first_start_that_takes_too_long_fails),
        service_test(options_that_contradict_each_other_are_refused),
        service_test(a_drain_serves_what_waits_then_refuses_and_ends_clean),
        service_test(what_the_drained_child_returns_is_the_exit_status),
        service_test(a_second_signal_stops_at_once),
        service_test(a_child_that_will_not_stop_is_killed),
        service_test(a_drain_past_its_deadline_is_killed),
        service_test(it_can_end_before_the_first_child_is_ready),
        service_test(it_ends_at_once_while_no_child_is_up),
        service_test(a_signal_to_the_whole_group_counts_once),
        service_test(a_signal_to_the_child_alone_changes_nothing),
        service_test(time_spent_stopped_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
