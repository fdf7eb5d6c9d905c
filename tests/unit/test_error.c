/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <errno.h>

#include "core/error.h"

static const struct {
    int code;
    const char *name;
} codes[] = {
#define ROW(name, value, text) {name, #name},
    GY_ERRORS(ROW)
#undef ROW
};

#define CODES (sizeof codes / sizeof codes[0])

static void every_code_is_negative_and_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < CODES; i++) {
        assert_true(codes[i].code < 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes[i].code, codes[j].code);
        }
    }
}

static void every_code_has_its_name_and_a_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < CODES; i++) {
        assert_string_equal(gy_error_name(codes[i].code), codes[i].name);
        assert_true(strlen(gy_error_text(codes[i].code)) > 0);
        assert_string_not_equal(gy_error_text(codes[i].code), "unknown");
    }
    assert_string_equal(gy_error_text(GY_EADDRINUSE), "the address is in use");
}

static void a_foreign_number_is_unknown(void **state)
{
    (void)state;
    const int foreign[] = {0, 1, -100, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        assert_string_equal(gy_error_name(foreign[i]), "unknown");
        assert_string_equal(gy_error_text(foreign[i]), "unknown");
    }
}

static void every_errno_becomes_one_of_the_codes(void **state)
{
    (void)state;
    for (int number = -1; number < 200; number++) {
        int code = gy_error_from_errno(number);
        assert_true(code < 0);
        assert_string_not_equal(gy_error_name(code), "unknown");
    }
}

static void errno_values_become_the_code_that_fits(void **state)
{
    (void)state;
    static const struct {
        int number;
        int code;
    } pairs[] = {
        {ENOMEM, GY_ENOMEM},      {ENOBUFS, GY_ENOBUFS},      {EINVAL, GY_EINVAL},
        {EPIPE, GY_ECLOSED},      {ECONNRESET, GY_ECLOSED},   {ETIMEDOUT, GY_ETIMEOUT},
        {ETIME, GY_ETIMEOUT},     {EAGAIN, GY_EAGAIN},        {EINTR, GY_EAGAIN},
        {EPERM, GY_EREFUSED},     {ENOSYS, GY_EREFUSED},      {EACCES, GY_EREFUSED},
        {EOPNOTSUPP, GY_ENOTSUP}, {EAFNOSUPPORT, GY_ENOTSUP}, {EADDRINUSE, GY_EADDRINUSE},
        {EMFILE, GY_ENOFILE},     {ENFILE, GY_ENOFILE},       {EIO, GY_EIO},
        {EBADF, GY_ECLOSED},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(gy_error_from_errno(pairs[i].number), pairs[i].code);
    }
}

static void setting_an_error_keeps_code_and_message_and_returns_the_code(void **state)
{
    (void)state;
    struct gy_error error = {0};
    assert_int_equal(gy_error_set(&error, GY_EADDRINUSE, "binding %s:%u", "127.0.0.1", 8080u),
                     GY_EADDRINUSE);
    assert_int_equal(error.code, GY_EADDRINUSE);
    assert_string_equal(error.message, "binding 127.0.0.1:8080");
}

static void setting_an_error_without_a_place_for_it_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(gy_error_set(NULL, GY_EIO, "%s", "nobody reads this"), GY_EIO);
}

static void a_long_message_is_cut_and_ends_in_zero(void **state)
{
    (void)state;
    char text[2 * GY_ERROR_MESSAGE_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct {
        struct gy_error error;
        char after;
    } guarded = {.after = 7};
    gy_error_set(&guarded.error, GY_ELIMIT, "%s", text);
    assert_int_equal(strlen(guarded.error.message), GY_ERROR_MESSAGE_BYTES - 1);
    assert_int_equal(guarded.after, 7);
}

static void set_a_success(void *argument)
{
    gy_error_set(argument, 0, "%s", "all is well");
}

static void success_is_not_an_error(void **state)
{
    (void)state;
    struct gy_error error;
    expect_assertion(set_a_success, &error, "code < 0");
}

static void assert_what_is_passed(void *argument)
{
    int one = *(int *)argument;
    gy_assert(one == 1);
}

static void a_failed_assertion_aborts_and_says_where(void **state)
{
    (void)state;
    int two = 2;
    char output[1024];
    int status = run_in_child(assert_what_is_passed, &two, output, sizeof output);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(output, "`one == 1`"));
    assert_non_null(strstr(output, "test_error.c:"));
    assert_non_null(strstr(output, "assert_what_is_passed"));
}

static void an_assertion_that_holds_evaluates_its_expression_once(void **state)
{
    (void)state;
    int one = 1;
    assert_what_is_passed(&one);
    int times = 0;
    gy_assert(++times == 1);
    assert_int_equal(times, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_negative_and_its_own),
        cmocka_unit_test(every_code_has_its_name_and_a_text),
        cmocka_unit_test(a_foreign_number_is_unknown),
        cmocka_unit_test(every_errno_becomes_one_of_the_codes),
        cmocka_unit_test(errno_values_become_the_code_that_fits),
        cmocka_unit_test(setting_an_error_keeps_code_and_message_and_returns_the_code),
        cmocka_unit_test(setting_an_error_without_a_place_for_it_returns_the_code),
        cmocka_unit_test(a_long_message_is_cut_and_ends_in_zero),
        cmocka_unit_test(success_is_not_an_error),
        cmocka_unit_test(a_failed_assertion_aborts_and_says_where),
        cmocka_unit_test(an_assertion_that_holds_evaluates_its_expression_once),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
