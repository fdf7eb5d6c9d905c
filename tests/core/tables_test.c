/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How many connections a limit on open files allows, and what is said of it: in processes of their
 * own, since a limit that was lowered stays. */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tables.h"
#include "tests/core/core_harness.h"

struct answer {
    struct gy_tables_limit limit;
    bool advised;
    char advice[512];
};

/* unshare(2) fails with EPERM from now on, as containers' default profiles have it. */
static void refuse_unshare(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _exit(2);
    }
}

static struct answer limit_of(rlim_t files, bool refuses, enum gy_tables wanted, uint32_t workers,
                              uint32_t asked)
{
    struct answer answer = {.advised = false};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit limit = {files / 2, files}; /* the soft limit is raised */
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            _exit(1);
        }
        if (refuses) {
            refuse_unshare();
        }
        gy_tables_limit(&answer.limit, wanted, workers, asked);
        answer.advised = gy_tables_advice(&answer.limit, answer.advice, sizeof answer.advice);
        _exit(write(ends[1], &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 3);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &answer, sizeof answer), sizeof answer);
    close(ends[0]);
    close(ends[1]);
    return answer;
}

static void one_worker_has_what_the_limit_leaves(void **state)
{
    static const enum gy_tables all[] = {GY_TABLES_AUTO, GY_TABLES_ONE, GY_TABLES_EACH};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct answer answer = limit_of(1000, false, all[i], 1, 0);
        assert_false(answer.limit.apart);
        assert_int_equal(answer.limit.open_files, 1000);
        assert_int_equal(answer.limit.each, 936);
        assert_int_equal(answer.limit.all, 936);
    }
}

static void workers_share_a_table_that_is_large_enough(void **state)
{
    (void)state;
    struct answer answer = limit_of(1000, false, GY_TABLES_AUTO, 3, 312);
    assert_false(answer.limit.apart);
    assert_int_equal(answer.limit.each, 312);
    assert_int_equal(answer.limit.all, 936);
    assert_false(answer.advised);
}

static void workers_that_want_more_than_one_table_holds_get_one_each(void **state)
{
    (void)state;
    struct answer answer = limit_of(1000, false, GY_TABLES_AUTO, 3, 313);
    assert_true(answer.limit.apart);
    assert_int_equal(answer.limit.each, 313);
    assert_int_equal(answer.limit.all, 939);
    assert_false(answer.advised);
}

static void without_a_number_asked_for_the_limit_holds_for_all_together(void **state)
{
    (void)state;
    struct answer answer = limit_of(1000, false, GY_TABLES_AUTO, 3, 0);
    assert_false(answer.limit.apart);
    assert_int_equal(answer.limit.all, 936);
    assert_true(answer.advised);
    assert_string_equal(answer.advice, "the limit on open files (1000) allows 936 connections; "
                                       "raise `ulimit -n`, or LimitNOFILE= of the service");
    answer = limit_of(1000, false, GY_TABLES_EACH, 3, 0);
    assert_true(answer.limit.apart);
    assert_int_equal(answer.limit.each, 1000 - 64 - 9);
    assert_int_equal(answer.limit.all, 3 * (1000 - 64 - 9));
}

static void a_limit_that_is_not_low_is_not_mentioned(void **state)
{
    (void)state;
    struct rlimit own;
    if (getrlimit(RLIMIT_NOFILE, &own) != 0 || own.rlim_max < GY_TABLES_FEW) {
        skip(); /* a limit that cannot be set */
    }
    assert_true(limit_of(GY_TABLES_FEW - 1, false, GY_TABLES_AUTO, 2, 0).advised);
    assert_false(limit_of(GY_TABLES_FEW, false, GY_TABLES_AUTO, 2, 0).advised);
}

static void more_than_a_table_holds_for_one_worker_is_told(void **state)
{
    (void)state;
    struct answer answer = limit_of(1000, false, GY_TABLES_AUTO, 1, 5000);
    assert_int_equal(answer.limit.each, 936);
    assert_string_equal(answer.advice,
                        "5000 connections a worker were asked for, but the limit on open files "
                        "(1000) allows 936; raise `ulimit -n`, or LimitNOFILE= of the service");
    answer = limit_of(1000, false, GY_TABLES_AUTO, 2, 5000);
    assert_true(answer.limit.apart);
    assert_int_equal(answer.limit.each, 1000 - 64 - 6);
    assert_non_null(strstr(answer.advice, "start more workers"));
}

static void what_one_table_that_was_asked_for_cannot_hold_is_told(void **state)
{
    (void)state;
    struct answer answer = limit_of(1000, false, GY_TABLES_ONE, 3, 500);
    assert_false(answer.limit.apart);
    assert_int_equal(answer.limit.each, 500);
    assert_int_equal(answer.limit.all, 936);
    assert_non_null(strstr(answer.advice, "500 connections on each of 3 workers"));
    assert_non_null(strstr(answer.advice, "descriptor-tables auto"));
}

static void where_the_kernel_refuses_tables_workers_share_one_and_it_is_told(void **state)
{
    (void)state;
    struct answer answer = limit_of(1000, true, GY_TABLES_AUTO, 3, 500);
    assert_false(answer.limit.apart);
    assert_int_equal(answer.limit.refused, EPERM);
    assert_int_equal(answer.limit.all, 936);
    assert_non_null(strstr(answer.advice, "refused each worker a table of its own"));
    answer = limit_of(1000, true, GY_TABLES_AUTO, 3, 300);
    assert_int_equal(answer.limit.refused, 0); /* it was not asked */
    assert_false(answer.advised);
}

static void a_limit_that_leaves_nothing_still_serves_somebody(void **state)
{
    (void)state;
    struct answer answer = limit_of(70, false, GY_TABLES_AUTO, 2, 0);
    assert_int_equal(answer.limit.each, 64);
    assert_int_equal(answer.limit.all, 64);
}

static void shares_of_workers_add_up(void **state)
{
    (void)state;
    struct gy_tables_limit limit = {.workers = 3, .all = 11, .each = 11};
    assert_int_equal(gy_tables_share(&limit, 0), 4);
    assert_int_equal(gy_tables_share(&limit, 1), 4);
    assert_int_equal(gy_tables_share(&limit, 2), 3);
}

/* How many descriptors this process's table holds, as the kernel says. */
static unsigned long table_size(void)
{
    char line[256];
    unsigned long size = 0;
    FILE *status = fopen("/proc/self/status", "re");
    assert_non_null(status);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "FDSize:", 7) == 0) {
            size = strtoul(line + 7, NULL, 10);
        }
    }
    fclose(status);
    return size;
}

static void a_table_is_grown_to_its_connections_and_leaves_nothing_open(void **state)
{
    (void)state;
    struct gy_tables_limit limit = {.open_files = 1u << 20, .workers = 2, .each = 500, .all = 900};
    int before = dup(0);
    close(before);
    gy_tables_grow(&limit);
    unsigned long grown = table_size();
    assert_uint_in_range(grown, 900, 4096);
    limit.all = UINT64_C(1) << 40;
    gy_tables_grow(&limit); /* the bound, or what the limit of this process allows */
    assert_uint_in_range(table_size(), grown, GY_TABLES_GROWN);
    int after = dup(0);
    close(after);
    assert_int_equal(after, before);
}

static void names_are_read(void **state)
{
    enum gy_tables tables = GY_TABLES_ONE;
    (void)state;
    assert_int_equal(gy_tables_parse("per-worker", &tables), 0);
    assert_int_equal(tables, GY_TABLES_EACH);
    assert_int_equal(gy_tables_parse("one", &tables), 0);
    assert_int_equal(tables, GY_TABLES_ONE);
    assert_int_equal(gy_tables_parse("auto", &tables), 0);
    assert_int_equal(tables, GY_TABLES_AUTO);
    assert_int_equal(gy_tables_parse("many", &tables), GY_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_has_what_the_limit_leaves),
        cmocka_unit_test(workers_share_a_table_that_is_large_enough),
        cmocka_unit_test(workers_that_want_more_than_one_table_holds_get_one_each),
        cmocka_unit_test(without_a_number_asked_for_the_limit_holds_for_all_together),
        cmocka_unit_test(a_limit_that_is_not_low_is_not_mentioned),
        cmocka_unit_test(more_than_a_table_holds_for_one_worker_is_told),
        cmocka_unit_test(what_one_table_that_was_asked_for_cannot_hold_is_told),
        cmocka_unit_test(where_the_kernel_refuses_tables_workers_share_one_and_it_is_told),
        cmocka_unit_test(a_limit_that_leaves_nothing_still_serves_somebody),
        cmocka_unit_test(shares_of_workers_add_up),
        cmocka_unit_test(a_table_is_grown_to_its_connections_and_leaves_nothing_open),
        cmocka_unit_test(names_are_read),
    };
    return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
