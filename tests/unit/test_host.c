/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is read of a host: from this one, and from trees made up here. */
#include "core/host.h"

#include <ftw.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "tests/unit/seccomp_unit.h"
#include "tests/unit/unit.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int setup(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char *root = malloc(PATH_MAX);
    snprintf(root, PATH_MAX, "%s/gyre-host-XXXXXX", temporary != NULL ? temporary : "/tmp");
    *state = root;
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static int teardown(void **state)
{
    nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return 0;
}

/* Writes a file below the made-up root, with the folders above it. */
static void put(void **state, const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", (const char *)*state, path);
    for (char *slash = full + strlen(*state) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct gy_host read_made_up(void **state)
{
    struct gy_host host;
    gy_host_read_below(&host, *state);
    return host;
}

static void this_host_is_what_the_kernel_says_it_is(void **state)
{
    (void)state;
    struct gy_host host;
    struct utsname system;
    struct rlimit limit;
    gy_host_read(&host);
    uname(&system);
    assert_string_equal(host.release, system.release);
    assert_string_equal(host.machine, system.machine);
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(host.files_soft, limit.rlim_cur);
    assert_int_equal(host.files_hard, limit.rlim_max);
    assert_true(host.processors >= 1 && host.processors_online >= 1);
    assert_true(host.listen_backlog_max > 0);
    assert_true(host.seccomp != GY_HOST_SECCOMP_UNKNOWN);
}

static void what_is_not_there_is_unknown(void **state)
{
    struct gy_host host = read_made_up(state);
    assert_int_equal(host.io_uring_disabled, GY_HOST_UNKNOWN);
    assert_int_equal(host.io_uring_group, -1);
    assert_int_equal(host.seccomp, GY_HOST_SECCOMP_UNKNOWN);
    assert_int_equal(host.listen_backlog_max, GY_HOST_UNKNOWN);
    assert_int_equal(host.mitigations, 0);
    assert_string_equal(host.container, "");
}

static void what_is_no_number_is_unknown(void **state)
{
    put(state, "/proc/sys/kernel/io_uring_disabled", "yes\n");
    put(state, "/proc/sys/net/core/somaxconn", "");
    struct gy_host host = read_made_up(state);
    assert_int_equal(host.io_uring_disabled, GY_HOST_UNKNOWN);
    assert_int_equal(host.listen_backlog_max, GY_HOST_UNKNOWN);
}

static void the_settings_of_io_uring_are_read(void **state)
{
    put(state, "/proc/sys/kernel/io_uring_disabled", "1\n");
    put(state, "/proc/sys/kernel/io_uring_group", "1007\n");
    put(state, "/proc/sys/net/core/somaxconn", "128\n");
    struct gy_host host = read_made_up(state);
    assert_int_equal(host.io_uring_disabled, 1);
    assert_int_equal(host.io_uring_group, 1007);
    assert_int_equal(host.listen_backlog_max, 128);
}

static void the_seccomp_mode_is_read(void **state)
{
    put(state, "/proc/self/status", "Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n");
    assert_int_equal(read_made_up(state).seccomp, GY_HOST_SECCOMP_FILTER);
    put(state, "/proc/self/status", "Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n");
    assert_int_equal(read_made_up(state).seccomp, GY_HOST_SECCOMP_OFF);
    put(state, "/proc/self/status", "Name:\tx\n");
    assert_int_equal(read_made_up(state).seccomp, GY_HOST_SECCOMP_UNKNOWN);
}

static void read_under_a_filter(void *argument)
{
    struct gy_host host;
    (void)argument;
    seccomp_refuse(SYS_io_uring_setup, 1);
    gy_host_read(&host);
    _exit(host.seccomp == GY_HOST_SECCOMP_FILTER ? 0 : 1);
}

static void a_real_seccomp_filter_is_seen(void **state)
{
    (void)state;
    char output[256];
    int status = run_in_child(read_under_a_filter, NULL, output, sizeof output);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void processor_flaws_that_are_worked_around_are_counted(void **state)
{
    put(state, "/sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
    put(state, "/sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected\n");
    put(state, "/sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable\n");
    put(state, "/sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Retpolines\n");
    assert_int_equal(read_made_up(state).mitigations, 2);
}

static void containers_are_guessed_from_what_their_runtimes_leave(void **state)
{
    put(state, "/proc/1/cgroup", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-7.scope\n");
    assert_string_equal(read_made_up(state).container, "kubernetes");
    put(state, "/proc/1/cgroup", "0::/system.slice/docker-7.scope\n");
    assert_string_equal(read_made_up(state).container, "docker");
    put(state, "/proc/1/cgroup", "0::/init.scope\n");
    assert_string_equal(read_made_up(state).container, "");
    put(state, "/run/systemd/container", "systemd-nspawn\n");
    assert_string_equal(read_made_up(state).container, "systemd-nspawn");
    put(state, "/.dockerenv", "");
    assert_string_equal(read_made_up(state).container, "docker");
    put(state, "/run/.containerenv", "");
    assert_string_equal(read_made_up(state).container, "podman");
}

static void a_release_is_read_as_its_first_two_numbers(void **state)
{
    (void)state;
    assert_int_equal(gy_host_release_number("6.1.0-18-amd64"), 0x0601);
    assert_int_equal(gy_host_release_number("6.18.44"), 0x0612);
    assert_int_equal(gy_host_release_number("5.19"), 0x0513);
    assert_int_equal(gy_host_release_number("10.300"), 0x0aff);
    assert_int_equal(gy_host_release_number("6"), 0);
    assert_int_equal(gy_host_release_number("unknown"), 0);
    assert_true(gy_host_release_number("6.9") < gy_host_release_number("6.10"));
}

static void each_seccomp_mode_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(gy_host_seccomp_name(GY_HOST_SECCOMP_OFF), "off");
    assert_string_equal(gy_host_seccomp_name(GY_HOST_SECCOMP_STRICT), "strict");
    assert_string_equal(gy_host_seccomp_name(GY_HOST_SECCOMP_FILTER), "filter");
    assert_string_equal(gy_host_seccomp_name(GY_HOST_SECCOMP_UNKNOWN), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(this_host_is_what_the_kernel_says_it_is),
        TEST(what_is_not_there_is_unknown),
        TEST(what_is_no_number_is_unknown),
        TEST(the_settings_of_io_uring_are_read),
        TEST(the_seccomp_mode_is_read),
        TEST(a_real_seccomp_filter_is_seen),
        TEST(processor_flaws_that_are_worked_around_are_counted),
        TEST(containers_are_guessed_from_what_their_runtimes_leave),
        TEST(a_release_is_read_as_its_first_two_numbers),
        TEST(each_seccomp_mode_has_a_name),
    };
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
