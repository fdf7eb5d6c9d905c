/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include "bench/load/admin.h"

static const char answer[] = "# HELP gyre_generation 1 for the first serving process.\n"
                             "# TYPE gyre_generation gauge\n"
                             "gyre_generation 2\n"
                             "process_cpu_seconds_total 1.5\n"
                             "gyre_worker_cpu_seconds_total{worker=\"0\"} 99\n"
                             "gyre_enters_total{worker=\"0\"} 10\n"
                             "gyre_enters_total{worker=\"1\"} 20\n"
                             "gyre_enters_totally 1000\n"
                             "gyre_submissions_total 40\n"
                             "gyre_completions_total 80\n"
                             "gyre_turns_total 30\n"
                             "gyre_received_bytes_total 1e3\n"
                             "gyre_sent_bytes_total 2000\n"
                             "gyre_copied_bytes_total 5\n"
                             "gyre_http_copied_bytes_total{server=\"http\"} 7\n"
                             "gyre_http_copied_bytes_total{server=\"admin\"} 1";

static void counters_are_added_up_over_their_labels(void **state)
{
    (void)state;
    struct gy_load_counters counters;
    assert_int_equal(gy_load_admin_parse(answer, &counters), 0);
    assert_true(counters.known);
    assert_true(counters.generation == 2 && counters.cpu_s == 1.5);
    assert_true(counters.enters == 30 && counters.turns == 30);
    assert_true(counters.submissions == 40 && counters.completions == 80);
    assert_true(counters.received_bytes == 1000 && counters.sent_bytes == 2000);
}

static void copied_bytes_are_those_of_core_and_of_every_protocol(void **state)
{
    (void)state;
    struct gy_load_counters counters;
    assert_int_equal(gy_load_admin_parse(answer, &counters), 0);
    assert_true(counters.copied_bytes == 13);
}

static void what_is_not_of_gyre_is_refused(void **state)
{
    (void)state;
    static const char *const others[] = {"",
                                         "\n\n",
                                         "<html>hello</html>\n",
                                         "gyre_generation\n",
                                         "#gyre_generation 1\n",
                                         "node_load1 0.5\n"};
    struct gy_load_counters counters;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(gy_load_admin_parse(others[i], &counters), GY_EINVAL);
        assert_false(counters.known);
    }
}

static void two_readings_give_what_lies_between_them(void **state)
{
    (void)state;
    struct gy_load_counters from, until;
    assert_int_equal(gy_load_admin_parse(answer, &from), 0);
    until = from;
    until.enters += 3;
    until.cpu_s += 0.25;
    struct gy_load_counters between = gy_load_counters_between(&from, &until);
    assert_true(between.known && between.enters == 3 && between.cpu_s == 0.25);
    assert_true(between.completions == 0);
}

static void another_serving_process_makes_them_unknown(void **state)
{
    (void)state;
    struct gy_load_counters from, until, none = {0};
    assert_int_equal(gy_load_admin_parse(answer, &from), 0);
    until = from;
    until.generation++;
    assert_false(gy_load_counters_between(&from, &until).known);
    assert_false(gy_load_counters_between(&from, &none).known);
    assert_false(gy_load_counters_between(&none, &from).known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_added_up_over_their_labels),
        cmocka_unit_test(copied_bytes_are_those_of_core_and_of_every_protocol),
        cmocka_unit_test(what_is_not_of_gyre_is_refused),
        cmocka_unit_test(two_readings_give_what_lies_between_them),
        cmocka_unit_test(another_serving_process_makes_them_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
