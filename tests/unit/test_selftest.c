/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The boot self-test: it passes on a kernel that works, and fails on one that does not. The second
 * kind is made by putting faults between the ring and the self-test, so its source is compiled in
 * here with two of the calls that it makes going through this file. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <time.h>

#include "core/pool.h"
#include "core/ring.h"
#include "tests/unit/seccomp_unit.h"
#include "tests/unit/unit.h"

static uint32_t faulty_reap(struct gy_ring *ring, struct gy_completion *completions, uint32_t max);
static int faulty_take(struct gy_pool *pool, const struct gy_completion *completion,
                       struct gy_chain *chain);

#define gy_ring_reap faulty_reap
#define gy_pool_take faulty_take
#include "core/selftest.c" /* NOLINT(bugprone-suspicious-include) */
#undef gy_ring_reap
#undef gy_pool_take

#define TEST(name) cmocka_unit_test_setup(name, no_fault)

enum fault {
    FAULT_NONE,
    FAULT_LOST,       /* a completion never comes */
    FAULT_BYTE,       /* a byte is not the one that was sent */
    FAULT_BUFFER,     /* a completion names the buffer after its own */
    FAULT_LENGTH,     /* a completion tells of one byte less */
    FAULT_SWAPPED,    /* two completions of one connection change places */
    FAULT_ENDLESS,    /* the end of a stream says that more will come */
    FAULT_NO_ENOBUFS, /* want of buffers is told as a reset */
    FAULT_STOPPED,    /* none: the process is stopped for longer than a self-test waits */
};

static enum fault fault;
static int countdown; /* completions until the fault */

static int no_fault(void **state)
{
    (void)state;
    fault = FAULT_NONE;
    return 0;
}

static bool due(void)
{
    return fault != FAULT_NONE && countdown-- == 0;
}

static uint32_t faulty_reap(struct gy_ring *ring, struct gy_completion *completions, uint32_t max)
{
    uint32_t count = gy_ring_reap(ring, completions, max);
    for (uint32_t i = 0; i < count; i++) {
        struct gy_completion *completion = &completions[i];
        bool data = completion->result > 1;
        if (fault == FAULT_LOST && data && due()) {
            memmove(completion, completion + 1, (count - i - 1) * sizeof *completion);
            return count - 1;
        }
        if (fault == FAULT_STOPPED && data && due()) {
            usleep(1200000);
        }
        if (fault == FAULT_BUFFER && data && due()) {
            completion->flags += 1u << 16;
        }
        if (fault == FAULT_LENGTH && data && due()) {
            completion->result--;
        }
        if (fault == FAULT_SWAPPED && data && i + 1 < count &&
            completion[1].token == completion->token && completion[1].result > 1 && due()) {
            struct gy_completion first = *completion;
            *completion = completion[1];
            completion[1] = first;
        }
        if (fault == FAULT_ENDLESS && completion->result == 0 && due()) {
            completion->flags |= GY_COMPLETION_MORE;
        }
        if (fault == FAULT_NO_ENOBUFS && completion->result == -ENOBUFS && due()) {
            completion->result = -ECONNRESET;
        }
    }
    return count;
}

static int faulty_take(struct gy_pool *pool, const struct gy_completion *completion,
                       struct gy_chain *chain)
{
    int taken = gy_pool_take(pool, completion, chain);
    if (fault == FAULT_BYTE && taken > 0 && due()) {
        struct gy_slice last = chain->tail->slice;
        last.buffer->data[last.offset + last.length - 1] ^= 1;
    }
    return taken;
}

static uint64_t elapsed_ms(uint64_t start_ns)
{
    return (gy_clock_ns() - start_ns) / 1000000;
}

static int count_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* ---- a kernel that works ---- */

static void every_mode_that_the_kernel_has_passes(void **state)
{
    (void)state;
    for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
        struct gy_error error = {0};
        int code = gy_selftest_receive((enum gy_receive_mode)mode, 0, &error);
        if (code != 0 && code != GY_ENOTSUP) {
            fail_msg("%s", error.message);
        }
    }
}

static void every_mode_passes_with_each_feature_absent(void **state)
{
    (void)state;
    for (int bit = 0; bit < 32; bit++) {
        uint32_t without = 1u << bit;
        for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
            struct gy_error error = {0};
            int code = gy_selftest_receive((enum gy_receive_mode)mode, without, &error);
            if (code != 0 && code != GY_ENOTSUP) {
                fail_msg("without bit %d: %s", bit, error.message);
            }
            if (code == 0) {
                assert_int_equal(mode_needs[mode] & without, 0);
            }
        }
    }
}

static void a_mode_whose_feature_is_absent_is_not_supported(void **state)
{
    (void)state;
    struct gy_error error = {0};
    assert_int_equal(
        gy_selftest_receive(GY_RECEIVE_INCREMENTAL, GY_RING_BUFFER_INCREMENTAL, &error),
        GY_ENOTSUP);
    assert_non_null(strstr(error.message, "incremental"));
    assert_int_equal(gy_selftest_receive(GY_RECEIVE_MULTISHOT, GY_RING_MULTISHOT_RECEIVE, NULL),
                     GY_ENOTSUP);
    assert_int_equal(gy_selftest_receive(GY_RECEIVE_BUNDLE, GY_RING_RECEIVE_BUNDLE, NULL),
                     GY_ENOTSUP);
}

static void it_leaves_no_descriptor_behind(void **state)
{
    (void)state;
    int before = count_descriptors();
    for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
        gy_selftest_receive((enum gy_receive_mode)mode, 0, NULL);
    }
    fault = FAULT_BYTE;
    countdown = 3;
    gy_selftest_receive(GY_RECEIVE_MULTISHOT, 0, NULL);
    assert_int_equal(count_descriptors(), before);
}

/* ---- a kernel that does not ---- */

/* Every mode that passes without a fault fails with it, at the first completions and later. */
static void expect_caught(enum fault kind, const char *says)
{
    const int when[] = {0, 2, 11};
    uint32_t tried = 0;
    for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
        fault = FAULT_NONE;
        if (gy_selftest_receive((enum gy_receive_mode)mode, 0, NULL) != 0) {
            continue;
        }
        for (int i = 0; i < 3; i++) {
            struct gy_error error = {0};
            fault = kind;
            countdown = when[i];
            int code = gy_selftest_receive((enum gy_receive_mode)mode, 0, &error);
            if (countdown >= 0) {
                continue; /* there were not that many in this mode */
            }
            tried++;
            if (code != GY_EIO) {
                fail_msg("%s passed with fault %d",
                         gy_receive_mode_name((enum gy_receive_mode)mode), (int)kind);
            }
            assert_non_null(strstr(error.message, "self-test of"));
            if (says != NULL) {
                assert_non_null(strstr(error.message, says));
            }
        }
    }
    assert_true(tried > 0);
}

static void a_byte_that_was_not_sent_is_caught(void **state)
{
    (void)state;
    expect_caught(FAULT_BYTE, "a byte arrived that was not sent");
}

static void a_wrong_buffer_is_caught(void **state)
{
    (void)state;
    expect_caught(FAULT_BUFFER, NULL);
}

static void a_wrong_length_is_caught(void **state)
{
    (void)state;
    fault = FAULT_LENGTH; /* one mode, since it may take until the deadline */
    countdown = 2;
    assert_int_equal(gy_selftest_receive(GY_RECEIVE_ONE_SHOT, 0, NULL), GY_EIO);
}

static void completions_in_the_wrong_order_are_caught(void **state)
{
    (void)state;
    expect_caught(FAULT_SWAPPED, NULL);
}

static void a_receive_that_goes_on_after_its_end_is_caught(void **state)
{
    (void)state;
    expect_caught(FAULT_ENDLESS, "went on after the end of stream");
}

static void a_stream_that_breaks_off_for_want_of_buffers_is_caught(void **state)
{
    (void)state;
    expect_caught(FAULT_NO_ENOBUFS, "a stream ended before its last byte");
}

static void a_completion_that_never_comes_is_caught_within_its_second(void **state)
{
    (void)state;
    struct gy_error error = {0};
    uint64_t start = gy_clock_ns();
    fault = FAULT_LOST;
    countdown = 5;
    assert_int_equal(gy_selftest_receive(GY_RECEIVE_ONE_SHOT, 0, &error), GY_EIO);
    assert_non_null(strstr(error.message, "did not arrive within a second"));
    assert_true(elapsed_ms(start) >= 900 && elapsed_ms(start) < 30000);
}

static void a_process_that_was_stopped_for_a_second_does_not_blame_the_ring(void **state)
{
    (void)state;
    struct gy_error error = {0};
    fault = FAULT_STOPPED;
    countdown = 5;
    assert_int_equal(gy_selftest_receive(GY_RECEIVE_ONE_SHOT, 0, &error), 0);
    assert_true(countdown <= 0); /* it was stopped */
}

/* ---- choosing ---- */

static void expect_choice(uint32_t without, enum gy_receive_mode expected)
{
    enum gy_receive_mode mode = GY_RECEIVE_MODE_COUNT;
    struct gy_error error = {0};
    if (gy_selftest_receive(expected, without, NULL) == GY_ENOTSUP) {
        print_message("# this kernel has no better mode\n");
        skip();
    }
    if (gy_selftest_choose(without, &mode, &error) != 0) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(mode, expected);
}

static void the_best_mode_that_passes_is_chosen(void **state)
{
    (void)state;
    expect_choice(0, GY_RECEIVE_INCREMENTAL);
}

static void without_incremental_buffers_multishot_is_chosen(void **state)
{
    (void)state;
    expect_choice(GY_RING_BUFFER_INCREMENTAL, GY_RECEIVE_MULTISHOT);
}

static void without_multishot_one_shot_is_chosen(void **state)
{
    (void)state;
    expect_choice(GY_RING_MULTISHOT_RECEIVE, GY_RECEIVE_ONE_SHOT);
}

static void choose_with_a_fault(void *argument)
{
    (void)argument;
    enum gy_receive_mode mode = GY_RECEIVE_MODE_COUNT;
    fault = FAULT_BYTE;
    countdown = 0; /* strikes once, in the first mode that is tried */
    int code = gy_selftest_choose(0, &mode, NULL);
    fprintf(stderr, "chosen=%d,%s", code, code == 0 ? gy_receive_mode_name(mode) : "none");
}

static void a_mode_that_fails_is_stepped_down_from_and_logged_with_the_reason(void **state)
{
    (void)state;
    if (gy_selftest_receive(GY_RECEIVE_INCREMENTAL, 0, NULL) == GY_ENOTSUP) {
        print_message("# this kernel has no better mode\n");
        skip();
    }
    char output[4096];
    run_in_child(choose_with_a_fault, NULL, output, sizeof output);
    assert_non_null(strstr(output, "chosen=0,multishot"));
    assert_non_null(strstr(output, "WARN"));
    assert_non_null(strstr(output, "mode=incremental"));
    assert_non_null(strstr(output, "a byte arrived that was not sent"));
}

static void choose_without_a_ring(void *argument)
{
    (void)argument;
    enum gy_receive_mode mode;
    struct gy_error error = {0};
    seccomp_refuse(SYS_io_uring_setup, EPERM);
    int code = gy_selftest_choose(0, &mode, &error);
    fprintf(stderr, "code=%d %s", code, error.message);
}

static void a_refused_ring_ends_the_choice_at_once(void **state)
{
    (void)state;
    char output[4096];
    run_in_child(choose_without_a_ring, NULL, output, sizeof output);
    assert_non_null(strstr(output, "code=-9 opening a ring: io_uring is refused"));
    assert_null(strstr(output, "passed over"));
}

static void kernels_known_to_be_bad_are_told_by_their_release(void **state)
{
    (void)state;
    const char *bad[] = {"6.13.11", "6.13.12-1-amd64", "6.14", "6.14.8", "6.14.3-arch1"};
    const char *good[] = {"6.13.10", "6.12.99", "6.14.9", "6.15.0", "6.1.0-18-amd64", "7.0", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *why = gy_selftest_known_bad_in(GY_RECEIVE_BUNDLE, bad[i]);
        assert_non_null(why);
        assert_non_null(strstr(why, "wrong order"));
        assert_null(gy_selftest_known_bad_in(GY_RECEIVE_MULTISHOT, bad[i]));
        assert_null(gy_selftest_known_bad_in(GY_RECEIVE_ONE_SHOT, bad[i]));
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_null(gy_selftest_known_bad_in(GY_RECEIVE_BUNDLE, good[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_mode_that_the_kernel_has_passes),
        TEST(every_mode_passes_with_each_feature_absent),
        TEST(a_mode_whose_feature_is_absent_is_not_supported),
        TEST(it_leaves_no_descriptor_behind),
        TEST(a_byte_that_was_not_sent_is_caught),
        TEST(a_wrong_buffer_is_caught),
        TEST(a_wrong_length_is_caught),
        TEST(completions_in_the_wrong_order_are_caught),
        TEST(a_receive_that_goes_on_after_its_end_is_caught),
        TEST(a_stream_that_breaks_off_for_want_of_buffers_is_caught),
        TEST(a_completion_that_never_comes_is_caught_within_its_second),
        TEST(a_process_that_was_stopped_for_a_second_does_not_blame_the_ring),
        TEST(the_best_mode_that_passes_is_chosen),
        TEST(without_incremental_buffers_multishot_is_chosen),
        TEST(without_multishot_one_shot_is_chosen),
        TEST(a_mode_that_fails_is_stepped_down_from_and_logged_with_the_reason),
        TEST(a_refused_ring_ends_the_choice_at_once),
        TEST(kernels_known_to_be_bad_are_told_by_their_release),
    };
    return cmocka_run_group_tests_name("selftest", tests, NULL, NULL);
}
