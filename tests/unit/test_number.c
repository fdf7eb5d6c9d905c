/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole numbers of flags and files. */

#include "tests/unit/unit.h"

#include "core/number.h"

static bool reads(const char *text)
{
    uint64_t number = 7;
    bool read = gy_number_read(text, 0, UINT64_MAX, &number);
    assert_true(read || number == 7); /* stays as it was */
    return read;
}

static void digits_are_a_number(void **state)
{
    uint64_t number = 0;
    (void)state;
    assert_true(gy_number_read("0", 0, 10, &number) && number == 0);
    assert_true(gy_number_read("0042", 0, 100, &number) && number == 42);
    assert_true(gy_number_read("18446744073709551615", 0, UINT64_MAX, &number));
    assert_true(number == UINT64_MAX);
}

static void nothing_else_is(void **state)
{
    static const char *const texts[] = {"",
                                        "+5",
                                        "-5",
                                        " 5",
                                        "5 ",
                                        "\t5",
                                        "5\n",
                                        "5k",
                                        "5.",
                                        "5e1",
                                        "0x5",
                                        "five",
                                        "18446744073709551616",
                                        "99999999999999999999999"};
    (void)state;
    assert_false(reads(NULL));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(reads(texts[i]));
    }
}

static void bounds_are_kept(void **state)
{
    uint64_t number = 0;
    (void)state;
    assert_true(gy_number_read("3", 3, 5, &number) && gy_number_read("5", 3, 5, &number));
    assert_false(gy_number_read("2", 3, 5, &number));
    assert_false(gy_number_read("6", 3, 5, &number));
    assert_int_equal(number, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_are_a_number),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(bounds_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
