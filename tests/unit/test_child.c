/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "core/child.h"

/* A child under a parent that the test plays, by its end of the socket pair. */
struct fixture {
    struct gy_child child;
    int parent_fd;
    sigset_t mask;
};

static int set_up_supervised(void **state)
{
    int pair[2];
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fixture->parent_fd = pair[0];
    fixture->child = (struct gy_child){.generation = 1,
                                       .supervised = true,
                                       .control_fd = pair[1],
                                       .drain_timeout_ms = 100000,
                                       .kill_margin_ms = 100000};
    sigprocmask(SIG_SETMASK, NULL, &fixture->mask);
    assert_int_equal(gy_child_open(&fixture->child), 0);
    *state = fixture;
    return 0;
}

static int tear_down_supervised(void **state)
{
    struct fixture *fixture = *state;
    alarm(0); /* the one for a parent that is gone */
    close(fixture->child.signal_fd);
    close(fixture->child.wake_fd);
    if (fixture->child.control_fd >= 0)
        close(fixture->child.control_fd);
    if (fixture->parent_fd >= 0)
        close(fixture->parent_fd);
    sigprocmask(SIG_SETMASK, &fixture->mask, NULL);
    free(fixture);
    return 0;
}

static int set_up_alone(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    sigprocmask(SIG_SETMASK, NULL, &fixture->mask);
    assert_int_equal(gy_child_init_alone(&fixture->child, 1234, NULL), 0);
    *state = fixture;
    return 0;
}

static int tear_down_alone(void **state)
{
    struct fixture *fixture = *state;
    gy_child_close(&fixture->child);
    free(fixture);
    return 0;
}

static void say(const struct fixture *fixture, enum gy_child_message message)
{
    char byte = (char)message;
    assert_int_equal(send(fixture->parent_fd, &byte, 1, MSG_NOSIGNAL), 1);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- alone ---- */

static void alone_it_is_the_first_generation(void **state)
{
    struct gy_child *child = &((struct fixture *)*state)->child;
    assert_int_equal(child->generation, 1);
    assert_int_equal(child->restarts, 0);
    assert_int_equal(child->drain_timeout_ms, 1234);
    assert_false(child->supervised);
    gy_child_ready(child);
    assert_int_equal(gy_child_wait(child, 0), GY_CHILD_NONE);
}

static void alone_the_first_signal_drains_and_the_second_stops(void **state)
{
    const int signals[][2] = {{SIGTERM, SIGTERM}, {SIGINT, SIGTERM}, {SIGHUP, SIGINT}};
    struct gy_child *child = &((struct fixture *)*state)->child;
    for (unsigned i = 0; i < 3; i++) {
        child->asked = GY_CHILD_NONE;
        kill(getpid(), signals[i][0]);
        assert_int_equal(gy_child_wait(child, 5000), GY_CHILD_DRAIN);
        assert_int_equal(gy_child_wait(child, 0), GY_CHILD_NONE);
        kill(getpid(), signals[i][1]);
        assert_int_equal(gy_child_wait(child, 5000), GY_CHILD_STOP);
        kill(getpid(), signals[i][1]);
        assert_int_equal(gy_child_wait(child, 10), GY_CHILD_NONE);
    }
}

static void alone_a_terminal_that_hangs_up_repeatedly_does_not_stop(void **state)
{
    struct gy_child *child = &((struct fixture *)*state)->child;
    kill(getpid(), SIGHUP);
    assert_int_equal(gy_child_wait(child, 5000), GY_CHILD_DRAIN);
    kill(getpid(), SIGHUP);
    assert_int_equal(gy_child_wait(child, 10), GY_CHILD_NONE);
}

static void closing_gives_the_signals_back(void **state)
{
    (void)state;
    struct gy_child child;
    sigset_t before, after;
    sigprocmask(SIG_SETMASK, NULL, &before);
    int next = dup(0);
    close(next);
    assert_int_equal(gy_child_init_alone(&child, 0, NULL), 0);
    sigprocmask(SIG_SETMASK, NULL, &after);
    assert_true(sigismember(&after, SIGTERM));
    gy_child_close(&child);
    sigprocmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < SIGRTMIN; number++)
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
    int again = dup(0);
    close(again);
    assert_int_equal(again, next);
}

/* ---- waiting ---- */

static void waits_no_longer_than_asked(void **state)
{
    struct gy_child *child = &((struct fixture *)*state)->child;
    uint64_t before = now_ms();
    assert_int_equal(gy_child_wait(child, 30), GY_CHILD_NONE);
    assert_uint_in_range(now_ms() - before, 30, 30000);
    before = now_ms();
    assert_int_equal(gy_child_wait(child, 0), GY_CHILD_NONE);
    assert_true(now_ms() - before < 30000);
}

static void a_wake_before_the_wait_is_not_lost_and_counts_once(void **state)
{
    struct gy_child *child = &((struct fixture *)*state)->child;
    gy_child_wake(child);
    gy_child_wake(child);
    assert_int_equal(gy_child_wait(child, -1), GY_CHILD_NONE);
    uint64_t before = now_ms();
    assert_int_equal(gy_child_wait(child, 20), GY_CHILD_NONE);
    assert_true(now_ms() - before >= 20);
}

static void *wake_later(void *argument)
{
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    gy_child_wake(argument);
    return NULL;
}

static void another_thread_wakes_a_wait(void **state)
{
    struct gy_child *child = &((struct fixture *)*state)->child;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_later, child), 0);
    assert_int_equal(gy_child_wait(child, -1), GY_CHILD_NONE);
    pthread_join(thread, NULL);
}

static void an_event_is_not_hidden_by_a_wake(void **state)
{
    struct gy_child *child = &((struct fixture *)*state)->child;
    gy_child_wake(child);
    kill(getpid(), SIGTERM);
    assert_int_equal(gy_child_wait(child, 5000), GY_CHILD_DRAIN);
}

/* ---- supervised ---- */

static void each_request_is_reported_once(void **state)
{
    struct fixture *fixture = *state;
    say(fixture, GY_CHILD_MESSAGE_REPLACED);
    assert_int_equal(gy_child_wait(&fixture->child, 5000), GY_CHILD_REPLACED);
    say(fixture, GY_CHILD_MESSAGE_REPLACED);
    assert_int_equal(gy_child_wait(&fixture->child, 10), GY_CHILD_NONE);
    say(fixture, GY_CHILD_MESSAGE_DRAIN);
    assert_int_equal(gy_child_wait(&fixture->child, 5000), GY_CHILD_DRAIN);
    say(fixture, GY_CHILD_MESSAGE_STOP);
    assert_int_equal(gy_child_wait(&fixture->child, 5000), GY_CHILD_STOP);
    say(fixture, GY_CHILD_MESSAGE_DRAIN);
    assert_int_equal(gy_child_wait(&fixture->child, 10), GY_CHILD_NONE);
}

static void a_late_reader_sees_the_most_urgent(void **state)
{
    struct fixture *fixture = *state;
    say(fixture, GY_CHILD_MESSAGE_STOP);
    say(fixture, GY_CHILD_MESSAGE_DRAIN);
    assert_int_equal(gy_child_wait(&fixture->child, 5000), GY_CHILD_STOP);
    assert_int_equal(gy_child_wait(&fixture->child, 10), GY_CHILD_NONE);
}

static void signals_are_the_parents_while_it_lives(void **state)
{
    struct fixture *fixture = *state;
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGINT);
    kill(getpid(), SIGHUP);
    assert_int_equal(gy_child_wait(&fixture->child, 10), GY_CHILD_NONE);
    kill(getpid(), SIGTERM);
    say(fixture, GY_CHILD_MESSAGE_DRAIN);
    assert_int_equal(gy_child_wait(&fixture->child, 5000), GY_CHILD_DRAIN);
}

static void an_orphan_takes_its_own_signals(void **state)
{
    struct fixture *fixture = *state;
    kill(getpid(), SIGTERM); /* in the same turn as the end of the parent: not a second request */
    close(fixture->parent_fd);
    fixture->parent_fd = -1;
    assert_int_equal(gy_child_wait(&fixture->child, 5000), GY_CHILD_PARENT_GONE);
    assert_int_equal(gy_child_wait(&fixture->child, 10), GY_CHILD_NONE);
    kill(getpid(), SIGTERM);
    assert_int_equal(gy_child_wait(&fixture->child, 5000), GY_CHILD_STOP);
}

static void ready_is_said_once_and_to_a_dead_parent_is_harmless(void **state)
{
    struct fixture *fixture = *state;
    char bytes[4];
    gy_child_ready(&fixture->child);
    gy_child_ready(&fixture->child);
    assert_int_equal(recv(fixture->parent_fd, bytes, sizeof bytes, MSG_DONTWAIT), 1);
    assert_int_equal(bytes[0], GY_CHILD_MESSAGE_READY);
    fixture->child.ready = false;
    close(fixture->parent_fd);
    fixture->parent_fd = -1;
    gy_child_ready(&fixture->child);
    assert_true(fixture->child.ready);
}

#define alone(test) cmocka_unit_test_setup_teardown(test, set_up_alone, tear_down_alone)
#define supervised(test)                                                                           \
    cmocka_unit_test_setup_teardown(test, set_up_supervised, tear_down_supervised)

int main(void)
{
    const struct CMUnitTest tests[] = {
        alone(alone_it_is_the_first_generation),
        alone(alone_the_first_signal_drains_and_the_second_stops),
        alone(alone_a_terminal_that_hangs_up_repeatedly_does_not_stop),
        cmocka_unit_test(closing_gives_the_signals_back),
        alone(waits_no_longer_than_asked),
        alone(a_wake_before_the_wait_is_not_lost_and_counts_once),
        alone(another_thread_wakes_a_wait),
        alone(an_event_is_not_hidden_by_a_wake),
        supervised(each_request_is_reported_once),
        supervised(a_late_reader_sees_the_most_urgent),
        supervised(signals_are_the_parents_while_it_lives),
        supervised(an_orphan_takes_its_own_signals),
        supervised(ready_is_said_once_and_to_a_dead_parent_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
