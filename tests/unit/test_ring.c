/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ring against the running kernel: opening, operations, and the turn. */
#include "core/ring.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "tests/unit/ring_unit.h"
#include "tests/unit/seccomp_unit.h"

#define TEST(name) cmocka_unit_test(name)

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- tokens and names ---- */

static void a_token_carries_operation_slot_and_generation(void **state)
{
    (void)state;
    const uint32_t slots[] = {0, 1, 77, GY_SLOT_MAX};
    const uint32_t generations[] = {0, 1, 0x80000001u, UINT32_MAX};
    for (int operation = 0; operation < GY_OPERATION_COUNT; operation++) {
        for (int i = 0; i < 16; i++) {
            uint64_t token =
                gy_token((enum gy_operation)operation, slots[i / 4], generations[i % 4]);
            assert_int_equal(gy_token_operation(token), operation);
            assert_int_equal(gy_token_slot(token), slots[i / 4]);
            assert_int_equal(gy_token_generation(token), generations[i % 4]);
        }
    }
}

static void pack_a_large_slot(void *slot)
{
    gy_token(GY_OPERATION_SEND, *(uint32_t *)slot, 0);
}

static void a_slot_that_does_not_fit_a_token_is_asserted(void **state)
{
    (void)state;
    uint32_t slot = GY_SLOT_MAX + 1;
    expect_assertion(pack_a_large_slot, &slot, "slot <= GY_SLOT_MAX");
}

static void a_receive_mode_and_its_name_lead_to_each_other(void **state)
{
    (void)state;
    enum gy_receive_mode mode;
    for (int i = 0; i < GY_RECEIVE_MODE_COUNT; i++) {
        assert_int_equal(
            gy_receive_mode_parse(gy_receive_mode_name((enum gy_receive_mode)i), &mode), 0);
        assert_int_equal(mode, i);
    }
    assert_int_equal(gy_receive_mode_parse("bundles", &mode), GY_EINVAL);
    assert_int_equal(gy_receive_mode_parse("", &mode), GY_EINVAL);
}

/* ---- features ---- */

/* One message each way, through a buffer group, with whatever the ring has. */
static void send_and_receive(struct gy_ring *ring)
{
    static uint8_t memory[2][64];
    struct gy_ring_buffers *buffers;
    struct gy_error error = {0};
    int ends[2];
    connect_pair(ends);
    assert_int_equal(gy_ring_buffers_open(ring, 9, 2, false, &buffers, &error), 0);
    gy_ring_buffers_add(buffers, memory[0], 64, 0);
    gy_ring_buffers_add(buffers, memory[1], 64, 1);
    gy_ring_buffers_publish(buffers);
    enum gy_receive_mode mode = gy_ring_features(ring) & GY_RING_MULTISHOT_RECEIVE
                                    ? GY_RECEIVE_MULTISHOT
                                    : GY_RECEIVE_ONE_SHOT;
    assert_int_equal(gy_ring_receive(ring, 1, ends[0], 9, mode, false), 0);
    assert_int_equal(gy_ring_send(ring, 2, ends[1], "in the ring", 11), 0);
    struct gy_completion completions[2];
    await_completions(ring, completions, 2);
    const struct gy_completion *received = &completions[completions[0].token == 1 ? 0 : 1];
    const struct gy_completion *sent = &completions[completions[0].token == 1 ? 1 : 0];
    assert_int_equal(sent->token, 2);
    assert_int_equal(sent->result, 11);
    assert_int_equal(received->token, 1);
    assert_int_equal(received->result, 11);
    assert_int_equal(gy_completion_buffer(received), 0);
    assert_memory_equal(memory[0], "in the ring", 11);
    close(ends[0]);
    close(ends[1]);
    gy_ring_buffers_close(buffers);
}

/* `state` points to the bits to do without. */
static void a_ring_works_without(void **state)
{
    uint32_t without = *(const uint32_t *)*state;
    struct gy_ring *ring;
    struct gy_error error = {0};
    int code =
        gy_ring_open(&ring, &(struct gy_ring_options){.entries = 8, .without = without}, &error);
    if (without & GY_RING_NEEDED) {
        assert_int_equal(code, GY_ENOTSUP);
        assert_null(ring);
        assert_non_null(strstr(error.message, "gyre needs Linux"));
        return;
    }
    assert_int_equal(code, 0);
    assert_int_equal(gy_ring_features(ring) & without, 0);
    send_and_receive(ring);
    gy_ring_close(ring);
}

static void a_ring_that_needs_nothing_optional_works(void **state)
{
    (void)state;
    uint32_t optional = ~(uint32_t)GY_RING_NEEDED;
    void *argument = &optional;
    a_ring_works_without(&argument);
}

static void deferred_task_work_is_given_up_with_the_single_issuer_it_needs(void **state)
{
    (void)state;
    struct gy_ring *ring =
        ring_open(&(struct gy_ring_options){.entries = 8, .without = GY_RING_SINGLE_ISSUER});
    assert_int_equal(gy_ring_features(ring) & GY_RING_DEFER_TASKRUN, 0);
    gy_ring_close(ring);
}

/* ---- refusals ---- */

struct refused_open {
    int errno_value;
    int code;
    const char *says;
};

static void open_under_a_filter(void *argument)
{
    const struct refused_open *expected = argument;
    seccomp_refuse(SYS_io_uring_setup, expected->errno_value);
    struct gy_ring *ring;
    struct gy_error error = {0};
    int code = gy_ring_open(&ring, &(struct gy_ring_options){0}, &error);
    bool fine = code == expected->code && ring == NULL &&
                strstr(error.message, "seccomp") != NULL &&
                strstr(error.message, expected->says) != NULL;
    fprintf(stderr, "%d %s", code, error.message);
    _exit(fine ? 0 : 1);
}

static void expect_success_in_child(void (*function)(void *), void *argument)
{
    char output[4096];
    int status = run_in_child(function, argument, output, sizeof output);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("%s", output);
    }
}

static void a_seccomp_filter_that_says_eperm_is_explained(void **state)
{
    (void)state;
    struct refused_open expected = {EPERM, GY_EREFUSED, "profile that allows io_uring_setup"};
    expect_success_in_child(open_under_a_filter, &expected);
}

static void a_seccomp_filter_that_says_enosys_is_explained(void **state)
{
    (void)state;
    struct refused_open expected = {ENOSYS, GY_EREFUSED, "needs Linux 6.1"};
    expect_success_in_child(open_under_a_filter, &expected);
}

static void a_refusal_by_sysctl_names_it_and_the_way_out(void **state)
{
    (void)state;
    char text[512];
    gy_ring_explain_refusal(EPERM, 2, text, sizeof text);
    assert_non_null(strstr(text, "kernel.io_uring_disabled is 2"));
    assert_non_null(strstr(text, "sysctl -w kernel.io_uring_disabled=0"));
    assert_null(strstr(text, "io_uring_group"));
    gy_ring_explain_refusal(EPERM, 1, text, sizeof text);
    assert_non_null(strstr(text, "kernel.io_uring_group"));
    gy_ring_explain_refusal(EPERM, 0, text, sizeof text);
    assert_non_null(strstr(text, "seccomp"));
    gy_ring_explain_refusal(EPERM, -1, text, sizeof text);
    assert_non_null(strstr(text, "seccomp"));
}

static void open_without_descriptors(void *argument)
{
    (void)argument;
    struct rlimit limit = {0, 0};
    struct gy_ring *ring;
    struct gy_error error = {0};
    setrlimit(RLIMIT_NOFILE, &limit);
    int code = gy_ring_open(&ring, &(struct gy_ring_options){0}, &error);
    fprintf(stderr, "%d %s", code, error.message);
    _exit(code == GY_ENOFILE && strstr(error.message, "ulimit -n") != NULL ? 0 : 1);
}

static void a_ring_without_descriptors_left_says_so(void **state)
{
    (void)state;
    expect_success_in_child(open_without_descriptors, NULL);
}

/* ---- submission and completion queues at their bounds ---- */

/* An operation that completes at once: there is nothing to cancel. */
static int queue_trifle(struct gy_ring *ring, uint64_t token)
{
    return gy_ring_cancel_token(ring, token, gy_token(GY_OPERATION_NONE, 12345, 6));
}

static void a_full_submission_queue_is_submitted_and_counted(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(queue_trifle(ring, i), 0);
    }
    assert_true(gy_ring_queued(ring) <= 8);
    struct gy_completion completions[40];
    await_completions(ring, completions, 40);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(completions[i].token, i);
    }
    assert_int_equal(gy_ring_counters(ring)->submissions, 40);
    assert_int_equal(gy_ring_counters(ring)->completions, 40);
    assert_int_equal(gy_ring_counters(ring)->backpressure, 4); /* at the 9th, 17th, 25th, 33rd */
    gy_ring_close(ring);
}

static void fill_while_the_kernel_is_busy(void *argument)
{
    (void)argument;
    struct gy_ring *ring;
    gy_ring_open(&ring, &(struct gy_ring_options){.entries = 8}, NULL);
    seccomp_refuse(SYS_io_uring_enter, EBUSY);
    bool fine = true;
    for (uint64_t i = 0; i < 8; i++) {
        fine = fine && queue_trifle(ring, i) == 0;
    }
    fine = fine && queue_trifle(ring, 8) == GY_ENOBUFS;
    fine = fine && gy_ring_wait(ring, GY_RING_FOREVER) == 0; /* a passing condition */
    fine = fine && gy_ring_queued(ring) == 8;                /* nothing was lost */
    fine = fine && gy_ring_counters(ring)->submissions == 8;
    fine = fine && gy_ring_counters(ring)->backpressure >= 2;
    _exit(fine ? 0 : 1);
}

static void a_full_submission_queue_that_the_kernel_does_not_take_is_backpressure(void **state)
{
    (void)state;
    expect_success_in_child(fill_while_the_kernel_is_busy, NULL);
}

static void wait_on_a_broken_ring(void *argument)
{
    (void)argument;
    struct gy_ring *ring;
    gy_ring_open(&ring, &(struct gy_ring_options){.entries = 8}, NULL);
    seccomp_refuse(SYS_io_uring_enter, EBADF);
    _exit(gy_ring_wait(ring, GY_RING_FOREVER) == GY_EIO && gy_ring_wait(ring, 1) == GY_EIO ? 0 : 1);
}

static void a_ring_that_the_kernel_no_longer_knows_is_an_error(void **state)
{
    (void)state;
    expect_success_in_child(wait_on_a_broken_ring, NULL);
}

static void completions_beyond_the_completion_queue_are_kept_in_order_and_counted(void **state)
{
    (void)state;
    struct gy_ring *ring =
        ring_open(&(struct gy_ring_options){.entries = 8, .completion_entries = 8});
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(queue_trifle(ring, i), 0); /* and nothing is reaped meanwhile */
    }
    assert_int_equal(gy_ring_submit(ring), 0);
    assert_true(gy_ring_counters(ring)->overflows > 0);
    struct gy_completion completions[100];
    await_completions(ring, completions, 100);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(completions[i].token, i);
    }
    expect_quiet(ring);
    gy_ring_close(ring);
}

static void a_failing_submission_loses_none_of_those_behind_it(void **state)
{
    (void)state;
    const uint32_t kinds[] = {0, GY_RING_SUBMIT_ALL};
    for (int kind = 0; kind < 2; kind++) {
        struct gy_ring *ring =
            ring_open(&(struct gy_ring_options){.entries = 8, .without = kinds[kind]});
        struct msghdr wrong = {.msg_iov = (struct iovec *)8, .msg_iovlen = 1};
        int ends[2];
        connect_pair(ends);
        assert_int_equal(queue_trifle(ring, 0), 0);
        assert_int_equal(gy_ring_send_message(ring, 1, ends[0], &wrong), 0);
        assert_int_equal(queue_trifle(ring, 2), 0);
        assert_int_equal(queue_trifle(ring, 3), 0);
        struct gy_completion completions[4];
        await_completions(ring, completions, 4);
        for (uint64_t i = 0; i < 4; i++) {
            assert_int_equal(completions[i].token, i);
            assert_int_equal(completions[i].result == -EFAULT, i == 1);
        }
        close(ends[0]);
        close(ends[1]);
        gy_ring_close(ring);
    }
}

static void reaping_takes_at_most_what_was_asked_for_oldest_first(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    struct gy_completion completions[8];
    for (uint64_t i = 0; i < 5; i++) {
        queue_trifle(ring, i);
    }
    assert_int_equal(gy_ring_queued(ring), 5);
    assert_int_equal(gy_ring_wait(ring, AWAIT_NS), 0);
    assert_int_equal(gy_ring_queued(ring), 0);
    assert_int_equal(gy_ring_reap(ring, completions, 2), 2);
    assert_int_equal(completions[1].token, 1);
    assert_int_equal(gy_ring_reap(ring, completions, 8), 3);
    assert_int_equal(completions[0].token, 2);
    assert_int_equal(gy_ring_reap(ring, completions, 8), 0);
    gy_ring_close(ring);
}

/* ---- waiting ---- */

static void a_wait_ends_at_its_timeout(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    uint64_t start = now_ns();
    assert_int_equal(gy_ring_wait(ring, 20 * UINT64_C(1000000)), 0);
    assert_true(now_ns() - start >= 20 * UINT64_C(1000000));
    assert_int_equal(gy_ring_counters(ring)->enters, 1);
    assert_int_equal(gy_ring_counters(ring)->backpressure, 0);
    gy_ring_close(ring);
}

static void a_wait_of_no_time_submits_and_returns(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    uint64_t start = now_ns();
    assert_int_equal(gy_ring_wait(ring, 0), 0);
    queue_trifle(ring, 7);
    assert_int_equal(gy_ring_wait(ring, 0), 0);
    assert_true(now_ns() - start < UINT64_C(1000000000));
    struct gy_completion completion;
    assert_int_equal(gy_ring_reap(ring, &completion, 1), 1);
    assert_int_equal(completion.token, 7);
    gy_ring_close(ring);
}

static void a_completion_ends_a_wait_before_its_timeout(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    uint64_t start = now_ns();
    queue_trifle(ring, 1);
    assert_int_equal(gy_ring_wait(ring, 60 * UINT64_C(1000000000)), 0);
    assert_true(now_ns() - start < 10 * UINT64_C(1000000000));
    gy_ring_close(ring);
}

/* A wait that ends by a completion leaves a timer that is due `timeout_ns` after its start. */
static void leave_a_timer(struct gy_ring *ring, uint64_t timeout_ns)
{
    struct gy_completion completion;
    queue_trifle(ring, 1);
    assert_int_equal(gy_ring_wait(ring, timeout_ns), 0);
    assert_int_equal(gy_ring_reap(ring, &completion, 1), 1);
    assert_int_equal(completion.token, 1);
}

static void on_signal(int number)
{
    (void)number;
}

/* `timeout_ns` is far beyond the signal's time. */
static void wait_for_a_signal(uint64_t timeout_ns)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    struct gy_ring *ring = small_ring();
    if (timeout_ns != GY_RING_FOREVER) {
        leave_a_timer(ring, timeout_ns); /* so that the wait has nothing to submit */
    }
    struct itimerval soon = {.it_value.tv_usec = 30000};
    struct itimerval never = {0};
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_int_equal(gy_ring_wait(ring, timeout_ns), 0);
    setitimer(ITIMER_REAL, &never, NULL);
    struct gy_completion completion;
    assert_int_equal(gy_ring_reap(ring, &completion, 1), 0);
    assert_int_equal(gy_ring_counters(ring)->backpressure, 1);
    gy_ring_close(ring);
    sigaction(SIGALRM, &before, NULL);
}

static void a_wait_is_not_ended_by_an_earlier_ones_timer(void **state)
{
    (void)state;
    const uint32_t kinds[] = {0, GY_RING_STANDING_TIMER};
    for (int kind = 0; kind < 2; kind++) {
        struct gy_ring *ring =
            ring_open(&(struct gy_ring_options){.entries = 8, .without = kinds[kind]});
        leave_a_timer(ring, 3 * UINT64_C(1000000));
        uint64_t start = now_ns();
        assert_int_equal(gy_ring_wait(ring, 20 * UINT64_C(1000000)), 0);
        assert_true(now_ns() - start >= 20 * UINT64_C(1000000));
        gy_ring_close(ring);
    }
}

static void a_wait_ends_before_an_earlier_ones_timer(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    const uint64_t nearer_ns[] = {20000000, 200000}; /* moved; and too near to be worth that */
    for (int i = 0; i < 2; i++) {
        leave_a_timer(ring, 60 * UINT64_C(1000000000));
        uint64_t start = now_ns();
        assert_int_equal(gy_ring_wait(ring, nearer_ns[i]), 0);
        assert_true(now_ns() - start >= nearer_ns[i]);
        assert_true(now_ns() - start < UINT64_C(30000000000));
    }
    gy_ring_close(ring);
}

static void the_rings_own_timer_is_nobodys_completion(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    struct gy_completion completions[4];
    for (uint64_t i = 0; i < 3; i++) {
        leave_a_timer(ring, 2 * UINT64_C(1000000));
        for (uint64_t until_ns = now_ns() + 4000000; now_ns() < until_ns;) {
        }
        queue_trifle(ring, 7); /* behind the timer's own completion */
        assert_int_equal(gy_ring_wait(ring, 0), 0);
        assert_int_equal(gy_ring_reap(ring, completions, 4), 1);
        assert_int_equal(completions[0].token, 7);
    }
    assert_int_equal(gy_ring_counters(ring)->submissions, 6);
    assert_int_equal(gy_ring_counters(ring)->completions, 6);
    gy_ring_close(ring);
}

static void a_wait_without_end_goes_on_when_the_timer_runs_out(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    leave_a_timer(ring, 2 * UINT64_C(1000000));
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    /* Again and again: one could come before the wait. */
    struct itimerval soon = {.it_value.tv_usec = 30000, .it_interval.tv_usec = 30000};
    struct itimerval never = {0};
    uint64_t start = now_ns();
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_int_equal(gy_ring_wait(ring, GY_RING_FOREVER), 0);
    assert_true(now_ns() - start >= 25 * UINT64_C(1000000));
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    gy_ring_close(ring);
}

static void a_signal_ends_a_wait_without_an_error(void **state)
{
    (void)state;
    wait_for_a_signal(60 * UINT64_C(1000000000));
}

static void a_signal_ends_a_wait_forever_without_an_error(void **state)
{
    (void)state;
    wait_for_a_signal(GY_RING_FOREVER);
}

#define WITHOUT(name, bit, since, instead)                                                         \
    {"a_ring_works_without_" #name, a_ring_works_without, NULL, NULL, &(uint32_t){GY_RING_##name}},

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_carries_operation_slot_and_generation),
        TEST(a_slot_that_does_not_fit_a_token_is_asserted),
        TEST(a_receive_mode_and_its_name_lead_to_each_other),
        GY_RING_FEATURES(WITHOUT) /* */
        TEST(a_ring_that_needs_nothing_optional_works),
        TEST(deferred_task_work_is_given_up_with_the_single_issuer_it_needs),
        TEST(a_seccomp_filter_that_says_eperm_is_explained),
        TEST(a_seccomp_filter_that_says_enosys_is_explained),
        TEST(a_refusal_by_sysctl_names_it_and_the_way_out),
        TEST(a_ring_without_descriptors_left_says_so),
        TEST(a_full_submission_queue_is_submitted_and_counted),
        TEST(a_full_submission_queue_that_the_kernel_does_not_take_is_backpressure),
        TEST(a_ring_that_the_kernel_no_longer_knows_is_an_error),
        TEST(completions_beyond_the_completion_queue_are_kept_in_order_and_counted),
        TEST(a_failing_submission_loses_none_of_those_behind_it),
        TEST(reaping_takes_at_most_what_was_asked_for_oldest_first),
        TEST(a_wait_ends_at_its_timeout),
        TEST(a_wait_of_no_time_submits_and_returns),
        TEST(a_completion_ends_a_wait_before_its_timeout),
        TEST(a_wait_is_not_ended_by_an_earlier_ones_timer),
        TEST(a_wait_ends_before_an_earlier_ones_timer),
        TEST(the_rings_own_timer_is_nobodys_completion),
        TEST(a_wait_without_end_goes_on_when_the_timer_runs_out),
        TEST(a_signal_ends_a_wait_without_an_error),
        TEST(a_signal_ends_a_wait_forever_without_an_error),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
