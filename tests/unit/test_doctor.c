/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `gyre doctor` as a person or a program runs it. */
#include "servers/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>

#include "core/runtime.h"
#include "servers/doctor_print.h"
#include "tests/unit/seccomp_unit.h"
#include "tests/unit/unit.h"

#define TEST(name) cmocka_unit_test(name)

#define OUTPUT_BYTES 65536

struct run {
    const char *arguments[6];
    int refused_with;     /* errno of io_uring_setup; 0: not refused */
    const char *terminal; /* run on a pseudo-terminal, with NO_COLOR as this says; NULL: a pipe */
    int status;
    char output[OUTPUT_BYTES]; /* of both streams */
};

static void take_terminal(const char *no_colour)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        _exit(98);
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    int copy = dup(STDERR_FILENO);
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", no_colour, 1);
    pid_t child = fork();
    if (child != 0) { /* passes on what the terminal shows */
        char piece[4096];
        ssize_t got;
        int status = 0;
        close(slave);
        while ((got = read(master, piece, sizeof piece)) > 0) {
            if (write(copy, piece, (size_t)got) < 0) {
                break;
            }
        }
        waitpid(child, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    dup2(slave, STDOUT_FILENO);
}

static void run_here(void *argument)
{
    struct run *run = argument;
    char words[8][80];
    char *argv[8];
    int argc = 1;
    argv[0] = strcpy(words[0], "doctor");
    for (; run->arguments[argc - 1] != NULL; argc++) {
        snprintf(words[argc], sizeof words[argc], "%s", run->arguments[argc - 1]);
        argv[argc] = words[argc];
    }
    if (run->terminal != NULL) {
        take_terminal(run->terminal);
    } else {
        dup2(STDERR_FILENO, STDOUT_FILENO);
    }
    if (run->refused_with != 0) {
        seccomp_refuse(SYS_io_uring_setup, run->refused_with);
    }
    int status = gy_doctor_main(argc, argv);
    fflush(stdout);
    _exit(status);
}

static void run_doctor(struct run *run)
{
    int status = run_in_child(run_here, run, run->output, sizeof run->output);
    assert_true(WIFEXITED(status));
    run->status = WEXITSTATUS(status);
}

static void expect(const struct run *run, const char *text)
{
    if (strstr(run->output, text) == NULL) {
        fail_msg("no `%s` in:\n%s", text, run->output);
    }
}

/* ---- JSON: checked by a reader of our own, RFC 8259 ---- */

static const char *skip_json(const char *at);

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
    assert_int_equal(*at, '"');
    for (at++; *at != '"'; at++) {
        assert_true((unsigned char)*at >= 0x20);
        if (*at == '\\') {
            at++;
            assert_non_null(strchr("\"\\/bfnrtu", *at));
        }
    }
    return at + 1;
}

/* The members of an object or the items of an array. */
static const char *skip_items(const char *at, char end, bool named)
{
    at = skip_space(at + 1);
    while (*at != end) {
        if (named) {
            at = skip_space(skip_string(at));
            assert_int_equal(*at, ':');
            at++;
        }
        at = skip_space(skip_json(at));
        assert_true(*at == ',' || *at == end);
        if (*at == ',') {
            at = skip_space(at + 1);
            assert_true(*at != end);
        }
    }
    return at + 1;
}

static const char *skip_json(const char *at)
{
    at = skip_space(at);
    if (*at == '{' || *at == '[') {
        return skip_items(at, *at == '{' ? '}' : ']', *at == '{');
    }
    if (*at == '"') {
        return skip_string(at);
    }
    size_t letters = strspn(at, "abcdefghijklmnopqrstuvwxyz");
    if (letters > 0) {
        assert_true(strncmp(at, "true", letters) == 0 || strncmp(at, "false", letters) == 0 ||
                    strncmp(at, "null", letters) == 0);
        return at + letters;
    }
    char *end;
    strtod(at, &end);
    assert_true(end > at);
    return end;
}

static void expect_one_json_object(const char *text)
{
    assert_int_equal(text[0], '{');
    assert_string_equal(skip_space(skip_json(text)), "");
}

/* ---- where servers can run ---- */

static void the_report_names_every_feature_and_receive_mode(void **state)
{
    (void)state;
    struct run run = {.arguments = {NULL}};
    run_doctor(&run);
    assert_int_equal(run.status, 0);
    expect(&run, "Servers can run here.");
    expect(&run, "io_uring_disabled");
    expect(&run, "seccomp");
    expect(&run, "open files");
    expect(&run, "locked memory");
#define EXPECT_FEATURE(name, bit, since, instead) expect(&run, " " #name " ");
    GY_RING_FEATURES(EXPECT_FEATURE)
#undef EXPECT_FEATURE
    for (int mode = 0; mode < GY_RECEIVE_MODE_COUNT; mode++) {
        expect(&run, gy_receive_mode_name((enum gy_receive_mode)mode));
    }
    expect(&run, "chosen: the best that passes");
}

static void lines_fit_the_screen_and_have_no_spaces_at_the_end(void **state)
{
    (void)state;
    struct run run = {.arguments = {"--without", "SUBMIT_ALL,NO_IOWAIT,SINGLE_ISSUER", NULL}};
    run_doctor(&run);
    for (char *line = strtok(run.output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        size_t length = strlen(line);
        assert_true(length <= 100);
        assert_true(line[length - 1] != ' ');
    }
}

static void a_pipe_gets_no_colour(void **state)
{
    (void)state;
    struct run run = {.arguments = {NULL}};
    run_doctor(&run);
    assert_null(strchr(run.output, '\033'));
}

static void a_terminal_gets_colour_unless_no_color_is_set(void **state)
{
    (void)state;
    struct run coloured = {.arguments = {NULL}, .terminal = ""};
    struct run plain = {.arguments = {NULL}, .terminal = "1"};
    run_doctor(&coloured);
    if (coloured.status == 98) {
        print_message("# this host has no pseudo-terminals\n");
        skip();
    }
    assert_int_equal(coloured.status, 0);
    expect(&coloured, "\033[32mServers can run here.\033[0m");
    run_doctor(&plain);
    assert_int_equal(plain.status, 0);
    expect(&plain, "Servers can run here.");
    assert_null(strchr(plain.output, '\033'));
}

static void json_is_one_object_with_the_documented_members(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"fine\":true",
        "\"problem\":null",
        "\"kernel\":{\"release\":",
        "\"container\":",
        "\"processors\":{",
        "\"io_uring\":{\"allowed\":true",
        "\"sysctl_disabled\":",
        "\"sysctl_group\":",
        "\"seccomp\":\"",
        "\"open_files\":{\"soft\":",
        "\"locked_bytes\":",
        "\"listen_backlog\":",
        "\"features\":[",
        "\"receive_modes\":[",
        "\"receive_mode\":\"",
        "\"receive_mode_why\":",
        "\"name\":\"BUFFER_RING\",\"state\":\"used\",\"since\":\"5.19\"",
        "\"name\":\"multishot\",\"result\":\"passed\",\"ms\":",
    };
    struct run run = {.arguments = {"--json", NULL}};
    run_doctor(&run);
    assert_int_equal(run.status, 0);
    expect_one_json_object(run.output);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        expect(&run, members[i]);
    }
}

static void json_escapes_what_it_quotes(void **state)
{
    (void)state;
    static struct gy_doctor_report report = {.chosen = -1};
    strcpy(report.host.container, "a\"b\\c\nd");
    strcpy(report.problem, "tab\there");
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    gy_doctor_print_json(out, &report);
    fclose(out);
    expect_one_json_object(text);
    assert_non_null(strstr(text, "\"a\\\"b\\\\c\\u000ad\""));
    assert_non_null(strstr(text, "\"tab\\u0009here\""));
    free(text);
}

static void unlimited_and_unknown_are_null_in_json(void **state)
{
    (void)state;
    static struct gy_doctor_report report = {
        .chosen = -1,
        .host = {.memlock_soft = GY_HOST_UNLIMITED,
                 .memlock_hard = GY_HOST_UNLIMITED,
                 .io_uring_disabled = GY_HOST_UNKNOWN,
                 .io_uring_group = GY_HOST_UNKNOWN,
                 .listen_backlog_max = GY_HOST_UNKNOWN},
    };
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    gy_doctor_print_json(out, &report);
    fclose(out);
    expect_one_json_object(text);
    assert_non_null(strstr(text, "\"locked_bytes\":{\"soft\":null,\"hard\":null}"));
    assert_non_null(strstr(text, "\"sysctl_disabled\":null,\"sysctl_group\":null"));
    assert_non_null(strstr(text, "\"listen_backlog\":null"));
    free(text);
}

/* ---- what servers with flags would do ---- */

static void a_forced_mode_is_the_one_chosen(void **state)
{
    (void)state;
    struct run run = {.arguments = {"--receive-mode=one-shot", "--json", NULL}};
    run_doctor(&run);
    assert_int_equal(run.status, 0);
    expect(&run, "\"receive_mode\":\"one-shot\"");
    expect(&run, "asked for by --receive-mode");
    expect(&run, "\"name\":\"MULTISHOT_RECEIVE\",\"state\":\"available\"");
}

static void a_forced_mode_that_does_not_work_is_a_failure_with_the_way_out(void **state)
{
    (void)state;
    struct run run = {
        .arguments = {"--receive-mode", "incremental", "--without", "BUFFER_INCREMENTAL", NULL}};
    run_doctor(&run);
    assert_int_equal(run.status, 1);
    expect(&run, "Servers cannot run here.");
    expect(&run, "receive mode incremental was asked for");
    expect(&run, "leave --receive-mode away");
}

static void a_feature_that_is_switched_off_says_so_and_what_is_used_instead(void **state)
{
    (void)state;
    struct run run = {.arguments = {"--without=buffer_incremental,SINGLE_ISSUER", "--json", NULL}};
    run_doctor(&run);
    assert_int_equal(run.status, 0);
    expect(&run, "\"receive_mode\":\"multishot\"");
    expect(&run, "switched off by --without; instead: whole buffers, one per receive");
    expect(&run, "needs SINGLE_ISSUER; instead: completions interrupt the worker");
}

static void without_what_is_needed_servers_cannot_run(void **state)
{
    (void)state;
    struct run run = {.arguments = {"--without", "BUFFER_RING", "--json", NULL}};
    run_doctor(&run);
    assert_int_equal(run.status, 1);
    expect_one_json_object(run.output);
    expect(&run, "\"fine\":false");
    expect(&run, "\"allowed\":true");
    expect(&run, "gyre needs Linux 6.1 or newer");
}

/* ---- where io_uring is refused ---- */

static void expect_refusal(int errno_value, const char *says)
{
    struct run text = {.arguments = {NULL}, .refused_with = errno_value};
    struct run json = {.arguments = {"--json", NULL}, .refused_with = errno_value};
    run_doctor(&text);
    assert_int_equal(text.status, 1);
    expect(&text, "Servers cannot run here.");
    expect(&text, says);
    expect(&text, "untested");
    run_doctor(&json);
    assert_int_equal(json.status, 1);
    expect_one_json_object(json.output);
    expect(&json, "\"fine\":false");
    expect(&json, "\"allowed\":false");
    expect(&json, "\"seccomp\":\"filter\"");
    expect(&json, "\"result\":\"untested\",\"ms\":null");
    expect(&json, "\"receive_mode\":null");
}

static void a_profile_that_refuses_io_uring_is_told_with_the_way_out(void **state)
{
    (void)state;
    expect_refusal(EPERM, "seccomp profile");
}

static void a_profile_that_hides_io_uring_is_told_with_the_way_out(void **state)
{
    (void)state;
    expect_refusal(ENOSYS, "Linux 6.1");
}

/* ---- flags ---- */

static void wrong_use_is_status_2_and_says_how_to_go_on(void **state)
{
    (void)state;
    static const char *const wrong[][3] = {
        {"--colour", NULL},           {"extra", NULL},
        {"--receive-mode", NULL},     {"--receive-mode", "fast", NULL},
        {"--without", "MAGIC", NULL}, {"--withoutx", "BUFFER_RING", NULL},
        {"--listen", ":80", NULL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct run run = {.arguments = {wrong[i][0], wrong[i][1], NULL}};
        run_doctor(&run);
        assert_int_equal(run.status, 2);
        expect(&run, "gyre doctor: ");
        expect(&run, "Try `gyre doctor --help`.");
    }
}

static void help_fits_a_screen(void **state)
{
    (void)state;
    struct run run = {.arguments = {"--help", NULL}};
    run_doctor(&run);
    assert_int_equal(run.status, 0);
    expect(&run, "Usage: gyre doctor");
    int lines = 0;
    for (char *line = strtok(run.output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        assert_true(strlen(line) <= 80);
        lines++;
    }
    assert_true(lines <= 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_report_names_every_feature_and_receive_mode),
        TEST(lines_fit_the_screen_and_have_no_spaces_at_the_end),
        TEST(a_pipe_gets_no_colour),
        TEST(a_terminal_gets_colour_unless_no_color_is_set),
        TEST(json_is_one_object_with_the_documented_members),
        TEST(json_escapes_what_it_quotes),
        TEST(unlimited_and_unknown_are_null_in_json),
        TEST(a_forced_mode_is_the_one_chosen),
        TEST(a_forced_mode_that_does_not_work_is_a_failure_with_the_way_out),
        TEST(a_feature_that_is_switched_off_says_so_and_what_is_used_instead),
        TEST(without_what_is_needed_servers_cannot_run),
        TEST(a_profile_that_refuses_io_uring_is_told_with_the_way_out),
        TEST(a_profile_that_hides_io_uring_is_told_with_the_way_out),
        TEST(wrong_use_is_status_2_and_says_how_to_go_on),
        TEST(help_fits_a_screen),
    };
    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
