/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/service.h"

/* ---- replacement ---- */

static void a_replacement_refuses_nobody(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    unsigned open_before, served = 0;
    start_ready(service);
    await(logged(service, "(generation 1) serves")); /* then the fork is behind it */
    open_before = descriptors(service->parent);
    for (uint32_t generation = 2; generation <= 6; generation++) {
        signal_parent(service, SIGHUP);
        uint64_t until = now_ms() + PATIENCE_MS;
        uint32_t by;
        do {
            by = ask(service);
            assert_true(by == generation - 1 || by == generation);
            assert_true(now_ms() < until);
            served++;
        } while (by != generation || !is_gone(shared->seen[generation - 1].pid));
        assert_true(was_asked(service, generation - 1, GY_CHILD_REPLACED));
        assert_false(was_asked(service, generation - 1, GY_CHILD_DRAIN));
    }
    assert_true(served >= 5);
    await(descriptors(service->parent) == open_before);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
    assert_true(was_asked(service, 6, GY_CHILD_DRAIN));
}

static void a_replacement_that_fails_leaves_the_old_child_serving(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    service->options.ready_timeout_ms = 500;
    shared->behaviour[2] = FAILS_TO_START;
    shared->behaviour[3] = NEVER_READY;
    start_ready(service);
    signal_parent(service, SIGHUP);
    await(logged(service, "gave up before it was ready: exit status 3"));
    assert_int_equal(ask(service), 1);
    signal_parent(service, SIGHUP);
    await(logged(service, "gave up before it was ready: SIGKILL"));
    assert_int_equal(ask(service), 1);
    assert_false(was_asked(service, 1, GY_CHILD_REPLACED));
    signal_parent(service, SIGHUP);
    await(shared->seen[4].ready);
    await(ask(service) == 4);
    assert_int_equal(shared->seen[4].restarts, 0);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void the_service_hears_what_becomes_of_its_children(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    shared->behaviour[2] = FAILS_TO_START;
    start_ready(service);
    await(shared->told[GY_SUPERVISOR_READY] == 1);
    assert_int_equal(shared->told[GY_SUPERVISOR_REPLACING], 0); /* the first was not asked for */
    signal_parent(service, SIGHUP);
    await(shared->told[GY_SUPERVISOR_FAILED] == 1);
    signal_parent(service, SIGHUP);
    await(shared->told[GY_SUPERVISOR_READY] == 2);
    assert_int_equal(shared->told[GY_SUPERVISOR_REPLACING], 2);
    assert_int_equal(shared->told[GY_SUPERVISOR_ENDING], 0);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
    assert_int_equal(shared->told[GY_SUPERVISOR_ENDING], 1);
    assert_int_equal(shared->told[GY_SUPERVISOR_FAILED], 1);
}

static void a_replacement_that_the_service_calls_off_is_not_forked(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    shared->refuses = true;
    start_ready(service);
    signal_parent(service, SIGHUP);
    await(shared->told[GY_SUPERVISOR_REPLACING] == 1);
    assert_int_equal(ask(service), 1);
    assert_int_equal(shared->generation, 1);
    assert_int_equal(shared->told[GY_SUPERVISOR_FAILED], 0);
    shared->refuses = false;
    signal_parent(service, SIGHUP);
    await(shared->seen[2].ready);
    await(ask(service) == 2);
    assert_int_equal(shared->seen[2].replacements, 1);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void a_replacement_takes_over_when_the_old_child_dies_first(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    shared->behaviour[2] = READY_LATE;
    start_ready(service);
    signal_parent(service, SIGHUP);
    await(shared->generation == 2);
    kill(shared->seen[1].pid, SIGKILL);
    assert_int_equal(ask(service), 2);
    assert_int_equal(shared->generation, 2);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void a_replacement_asked_for_during_a_start_follows_it(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = READY_LATE;
    start(service);
    await(service->shared->generation == 1);
    signal_parent(service, SIGHUP);
    await(service->shared->seen[2].ready);
    assert_true(service->shared->seen[1].ready);
    assert_int_equal(service->shared->seen[2].replacements, 1);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void a_hangup_cuts_the_backoff_short(void **state)
{
    struct service *service = *state;
    service->options.backoff_first_ms = service->options.backoff_limit_ms = 2 * PATIENCE_MS;
    service->shared->behaviour[1] = service->shared->behaviour[2] = DIES_WHEN_READY;
    start(service);
    await(logged(service, "death 2 in a row"));
    signal_parent(service, SIGHUP);
    assert_int_equal(ask(service), 3);
    pause_ms(50);
    assert_int_equal(service->shared->generation, 3); /* once, not a replacement as well */
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void replacements_wait_while_too_many_old_children_drain(void **state)
{
    struct service *service = *state;
    struct shared *shared = service->shared;
    for (unsigned i = 1; i <= 4; i++)
        shared->behaviour[i] = DRAINS_FOREVER;
    start_ready(service);
    for (unsigned i = 2; i <= 4; i++) {
        signal_parent(service, SIGHUP);
        await(shared->seen[i].ready && was_asked(service, i - 1, GY_CHILD_REPLACED));
    }
    signal_parent(service, SIGHUP);
    await(logged(service, "the replacement waits until one has drained"));
    pause_ms(50);
    assert_int_equal(shared->generation, 4);
    kill(shared->seen[1].pid, SIGKILL);
    await(shared->seen[5].ready);
    signal_parent(service, SIGTERM);
    await(was_asked(service, 5, GY_CHILD_DRAIN));
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

/* ---- the parent's death, and the terminal's ---- */

static void children_of_a_killed_parent_drain_and_go(void **state)
{
    struct service *service = *state;
    int status;
    start_ready(service);
    pid_t child = service->shared->seen[1].pid;
    signal_parent(service, SIGKILL);
    assert_int_equal(ended(service), 128 + SIGKILL);
    await(waitpid(child, &status, WNOHANG) == child);
    assert_int_equal(status, 0);
    assert_true(was_asked(service, 1, GY_CHILD_PARENT_GONE));
    assert_int_equal(dial(service), -1);
}

static void each_of_several_children_sees_the_parent_die(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = service->shared->behaviour[2] = DRAINS_FOREVER;
    start_ready(service);
    signal_parent(service, SIGHUP);
    await(was_asked(service, 1, GY_CHILD_REPLACED));
    signal_parent(service, SIGKILL);
    assert_int_equal(ended(service), 128 + SIGKILL);
    await(was_asked(service, 1, GY_CHILD_PARENT_GONE));
    await(was_asked(service, 2, GY_CHILD_PARENT_GONE));
}

static void an_orphan_that_hangs_is_ended_by_its_alarm(void **state)
{
    struct service *service = *state;
    int status = 0;
    service->shared->behaviour[1] = STOPS_FOR_NOTHING;
    service->options.drain_timeout_ms = 100;
    service->options.kill_margin_ms = 100;
    start_ready(service);
    pid_t child = service->shared->seen[1].pid;
    signal_parent(service, SIGKILL);
    assert_int_equal(ended(service), 128 + SIGKILL);
    await(waitpid(child, &status, WNOHANG) == child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGALRM);
}

static void open_terminal(struct service *service)
{
    service->terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (service->terminal < 0) {
        print_message("# this host has no pseudo-terminals\n");
        skip();
    }
    assert_int_equal(grantpt(service->terminal), 0);
    assert_int_equal(unlockpt(service->terminal), 0);
}

static void close_terminal(struct service *service)
{
    close(service->terminal);
    service->terminal = -1;
}

static void ctrl_c_in_a_terminal_drains_and_counts_once(void **state)
{
    struct service *service = *state;
    service->shared->behaviour[1] = DRAINS_SLOWLY;
    open_terminal(service);
    start_ready(service);
    assert_int_equal(write(service->terminal, "\x03", 1), 1);
    assert_int_equal(ended(service), 0);
    assert_true(was_asked(service, 1, GY_CHILD_DRAIN));
    assert_false(was_asked(service, 1, GY_CHILD_STOP));
}

static void a_terminal_that_goes_away_drains(void **state)
{
    struct service *service = *state;
    open_terminal(service);
    start_ready(service);
    close_terminal(service);
    assert_int_equal(ended(service), 0);
    assert_true(was_asked(service, 1, GY_CHILD_DRAIN));
    assert_int_equal(service->shared->generation, 1);
}

static void a_hangup_within_a_terminal_replaces(void **state)
{
    struct service *service = *state;
    open_terminal(service);
    start_ready(service);
    signal_parent(service, SIGHUP);
    await(service->shared->seen[2].ready);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

static void started_by_nohup_it_outlives_its_terminal(void **state)
{
    struct service *service = *state;
    service->ignores_hangup = true;
    open_terminal(service);
    start_ready(service);
    close_terminal(service);
    pause_ms(100);
    assert_int_equal(ask(service), 1);
    signal_parent(service, SIGHUP); /* and from a person it means what it always means */
    await(ask(service) == 2);
    signal_parent(service, SIGTERM);
    assert_int_equal(ended(service), 0);
}

int main(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphans come to this process */
    signal(SIGHUP, SIG_DFL);          /* the tests themselves may be run by nohup(1) */
    const struct CMUnitTest tests[] = {
        service_test(a_replacement_refuses_nobody),
        service_test(a_replacement_that_fails_leaves_the_old_child_serving),
        service_test(the_service_hears_what_becomes_of_its_children),
        service_test(a_replacement_that_the_service_calls_off_is_not_forked),
        service_test(a_replacement_takes_over_when_the_old_child_dies_first),
        service_test(a_replacement_asked_for_during_a_start_follows_it),
        service_test(a_hangup_cuts_the_backoff_short),
        service_test(replacements_wait_while_too_many_old_children_drain),
        service_test(children_of_a_killed_parent_drain_and_go),
        service_test(each_of_several_children_sees_the_parent_die),
        service_test(an_orphan_that_hangs_is_ended_by_its_alarm),
        service_test(ctrl_c_in_a_terminal_drains_and_counts_once),
        service_test(a_terminal_that_goes_away_drains),
        service_test(a_hangup_within_a_terminal_replaces),
        service_test(started_by_nohup_it_outlives_its_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
