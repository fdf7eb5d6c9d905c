/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The log: who writes when, queues and their bounds, limits. How a line looks: test_log_line.c. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/log_line.h"
#include "tests/unit/json_unit.h"

static char text[1 << 20];

/* The thread sanitizer ends a child that starts a thread. */
#if defined(__SANITIZE_THREAD__)
#define THREADS_IN_CHILD 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS_IN_CHILD 0
#endif
#endif
#ifndef THREADS_IN_CHILD
#define THREADS_IN_CHILD 1
#endif

static int ends[2];

static int set_up(void **state)
{
    (void)state;
    struct gy_log_settings settings = {.level = GY_LOG_DEBUG};
    assert_int_equal(pipe(ends), 0);
    settings.fd = ends[1];
    assert_int_equal(gy_log_configure(&settings, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gy_log_stop();
    struct gy_log_settings settings = {.fd = STDERR_FILENO, .level = GY_LOG_INFO};
    assert_int_equal(gy_log_configure(&settings, NULL), 0);
    if (ends[0] >= 0) {
        close(ends[0]);
    }
    close(ends[1]);
    return 0;
}

/* What lies in the pipe, without waiting. */
static const char *written(void)
{
    size_t fill = 0;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (;;) {
        ssize_t got = read(ends[0], text + fill, sizeof text - 1 - fill);
        if (got <= 0) {
            break;
        }
        fill += (size_t)got;
    }
    text[fill] = '\0';
    return text;
}

/* Times that `part` occurs in what was written. */
static uint64_t times(const char *part)
{
    uint64_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

static void a_line_is_written_at_once_while_no_writer_runs(void **state)
{
    (void)state;
    gy_log(GY_LOG_INFO, "test", "%d and %s", 1, "two");
    written();
    assert_non_null(strstr(text, "Z INFO  test: 1 and two\n"));
    gy_log_with(GY_LOG_ERROR, "test", gy_fields(gy_text("key", "value"), gy_number("n", 5)),
                "three");
    written();
    assert_non_null(strstr(text, "Z ERROR test: three key=value n=5\n"));
}

static void a_text_that_is_null_is_empty(void **state)
{
    (void)state;
    gy_log_with(GY_LOG_INFO, "test", gy_fields(gy_text("key", NULL)), "m");
    assert_non_null(strstr(written(), "test: m key=\"\"\n"));
}

static int evaluated;

static int evaluate(void)
{
    return ++evaluated;
}

static void less_important_levels_are_neither_written_nor_evaluated(void **state)
{
    (void)state;
    gy_log_set_level(GY_LOG_WARN);
    evaluated = 0;
    gy_log(GY_LOG_INFO, "test", "%d", evaluate());
    gy_log_with(GY_LOG_DEBUG, "test", gy_fields(gy_number("n", evaluate())), "m");
    gy_log_limited(GY_LOG_INFO, "test", "%d", evaluate());
    assert_string_equal(written(), "");
    assert_int_equal(evaluated, 0);
    gy_log(GY_LOG_WARN, "test", "%d", evaluate());
    gy_log(GY_LOG_ERROR, "test", "%d", evaluate());
    written();
    assert_int_equal(times("\n"), 2);
    assert_int_equal(evaluated, 2);
}

static void level_names_are_parsed_back(void **state)
{
    (void)state;
    for (int level = GY_LOG_ERROR; level <= GY_LOG_DEBUG; level++) {
        enum gy_log_level parsed = GY_LOG_ERROR;
        assert_int_equal(gy_log_level_parse(gy_log_level_name((enum gy_log_level)level), &parsed),
                         0);
        assert_int_equal(parsed, level);
    }
    enum gy_log_level parsed = GY_LOG_INFO;
    assert_int_equal(gy_log_level_parse("Loud", &parsed), GY_EINVAL);
    assert_int_equal(gy_log_level_parse("", &parsed), GY_EINVAL);
    assert_int_equal(parsed, GY_LOG_INFO);
}

static void settings_that_make_no_sense_change_nothing(void **state)
{
    (void)state;
    struct gy_error error;
    struct gy_log_settings settings = {.fd = -1, .level = GY_LOG_INFO};
    assert_int_equal(gy_log_configure(&settings, &error), GY_EINVAL);
    settings = (struct gy_log_settings){.fd = 2, .queue_lines = 3, .json = true};
    assert_int_equal(gy_log_configure(&settings, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, "power of two"));
    settings = (struct gy_log_settings){.fd = 2, .level = (enum gy_log_level)9};
    assert_int_equal(gy_log_configure(&settings, &error), GY_EINVAL);
    gy_log(GY_LOG_DEBUG, "test", "as before");
    assert_non_null(strstr(written(), "DEBUG test: as before\n"));
}

static void json_is_a_switch(void **state)
{
    (void)state;
    struct gy_log_settings settings = {.fd = ends[1], .level = GY_LOG_INFO, .json = true};
    assert_int_equal(gy_log_configure(&settings, NULL), 0);
    gy_log_with(GY_LOG_INFO, "test", gy_fields(gy_number("n", 1)), "m");
    written();
    assert_true(is_json_object(text));
    assert_non_null(strstr(text, "\"component\":\"test\",\"message\":\"m\",\"n\":1}\n"));
}

static void errno_survives_a_line(void **state)
{
    (void)state;
    errno = ENOTTY;
    gy_log(GY_LOG_INFO, "test", "m");
    assert_int_equal(errno, ENOTTY);
    close(ends[0]);
    ends[0] = -1;
    signal(SIGPIPE, SIG_IGN);
    errno = ENOTTY;
    gy_log(GY_LOG_INFO, "test", "m");
    assert_int_equal(errno, ENOTTY);
    signal(SIGPIPE, SIG_DFL);
}

/* The line that a terminal gets, with the given environment. */
static const char *on_a_terminal(const char *no_colour, const char *terminal_name, bool json)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    assert_int_equal(grantpt(terminal), 0);
    assert_int_equal(unlockpt(terminal), 0);
    int fd = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    no_colour == NULL ? unsetenv("NO_COLOR") : setenv("NO_COLOR", no_colour, 1);
    setenv("TERM", terminal_name, 1);
    struct gy_log_settings settings = {.fd = fd, .level = GY_LOG_INFO, .json = json};
    assert_int_equal(gy_log_configure(&settings, NULL), 0);
    gy_log(GY_LOG_INFO, "test", "m");
    ssize_t got = read(terminal, text, sizeof text - 1);
    assert_true(got > 0);
    text[got] = '\0';
    settings.fd = ends[1];
    assert_int_equal(gy_log_configure(&settings, NULL), 0);
    close(fd);
    close(terminal);
    return text;
}

static void colour_is_for_terminals_that_want_it(void **state)
{
    (void)state;
    assert_non_null(strstr(on_a_terminal(NULL, "xterm", false), "\x1b[32mINFO"));
    assert_non_null(strstr(on_a_terminal("", "xterm", false), "\x1b[32mINFO"));
    assert_null(strchr(on_a_terminal("1", "xterm", false), '\x1b'));
    assert_null(strchr(on_a_terminal(NULL, "dumb", false), '\x1b'));
    assert_null(strchr(on_a_terminal(NULL, "xterm", true), '\x1b'));
    unsetenv("NO_COLOR");
    gy_log(GY_LOG_INFO, "test", "m");
    assert_null(strchr(written(), '\x1b'));
}

static void the_writer_writes_what_was_queued_before_it_stops(void **state)
{
    (void)state;
    assert_int_equal(gy_log_start(NULL), 0);
    for (int i = 0; i < 300; i++) {
        gy_log(GY_LOG_INFO, "test", "line %d.", i);
    }
    gy_log_stop();
    written();
    assert_int_equal(times("test: line"), 300);
    const char *at = text;
    for (int i = 0; i < 300; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "test: line %d.\n", i);
        at = strstr(at, expected);
        assert_non_null(at);
    }
    gy_log(GY_LOG_INFO, "test", "direct again");
    assert_non_null(strstr(written(), "direct again"));
}

static void the_writer_wakes_for_a_single_line(void **state)
{
    (void)state;
    assert_int_equal(gy_log_start(NULL), 0);
    for (int i = 0; i < 200; i++) {
        gy_log(GY_LOG_INFO, "test", "line %d.", i);
        /* Blocks for ever if the writer sleeps on. */
        char byte;
        do {
            assert_int_equal(read(ends[0], &byte, 1), 1);
        } while (byte != '\n');
    }
}

static void starting_twice_or_changing_a_running_log_is_refused(void **state)
{
    (void)state;
    struct gy_error error;
    assert_int_equal(gy_log_start(&error), 0);
    assert_int_equal(gy_log_start(&error), GY_ESTATE);
    struct gy_log_settings settings = {.fd = 2, .level = GY_LOG_INFO};
    assert_int_equal(gy_log_configure(&settings, &error), GY_ESTATE);
    gy_log_stop();
    gy_log_stop();
    assert_int_equal(gy_log_start(&error), 0);
    gy_log(GY_LOG_INFO, "test", "second life");
    gy_log_stop();
    assert_non_null(strstr(written(), "second life"));
}

static void a_full_queue_drops_counts_and_says_how_many(void **state)
{
    (void)state;
    struct gy_log_settings settings = {.fd = ends[1], .level = GY_LOG_INFO, .queue_lines = 16};
    assert_int_equal(gy_log_configure(&settings, NULL), 0);
    uint64_t before = gy_log_dropped();
    assert_int_equal(gy_log_start(NULL), 0);
    /* More than pipe, writer and queue hold; nobody reads, and no call below waits. */
    for (int i = 0; i < 2000; i++) {
        gy_log(GY_LOG_INFO, "test", "line %d %0500d", i, 0);
    }
    uint64_t dropped = gy_log_dropped() - before;
    assert_true(dropped > 1000);
    /* The writer may say it in parts: each time that it finds the queue empty. */
    size_t fill = 0;
    uint64_t said = 0;
    while (said < dropped) {
        ssize_t got = read(ends[0], text + fill, sizeof text - 1 - fill);
        assert_true(got > 0);
        fill += (size_t)got;
        text[fill] = '\0';
        said = 0;
        for (const char *at = text; (at = strstr(at, " lines=")) != NULL; at++) {
            said += strchr(at, '\n') == NULL ? 0 : strtoull(at + 7, NULL, 10);
        }
    }
    assert_int_equal(said, dropped);
    assert_int_equal(gy_log_dropped() - before, dropped);
    assert_non_null(strstr(text, "Z WARN  log: lines were dropped"));
    assert_int_equal(times("test: line"), 2000 - dropped);
}

static void stopping_gives_up_on_a_descriptor_that_takes_nothing(void **state)
{
    (void)state;
    uint64_t before = gy_log_dropped();
    assert_int_equal(gy_log_start(NULL), 0);
    for (int i = 0; i < 400; i++) {
        gy_log(GY_LOG_INFO, "test", "%0700d", i);
    }
    struct timespec start;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    gy_log_stop();
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - start.tv_sec <= GY_LOG_STOP_MS / 1000 + 20);
    written();
    assert_true(gy_log_dropped() > before);
    /* Lines whole, and each either written or counted. */
    assert_int_equal(times("test: 0") + (gy_log_dropped() - before), 400);
    assert_int_equal(times("\n"), times("test: 0"));
}

static void a_broken_descriptor_costs_its_lines_only(void **state)
{
    (void)state;
    uint64_t before = gy_log_dropped();
    close(ends[0]);
    ends[0] = -1;
    assert_int_equal(gy_log_start(NULL), 0);
    /* SIGPIPE has its default action here: the writer has it blocked. */
    gy_log(GY_LOG_INFO, "test", "into nothing");
    gy_log(GY_LOG_INFO, "test", "into nothing");
    gy_log_stop();
    assert_int_equal(gy_log_dropped() - before, 2);
}

static void the_writer_takes_no_signals(void **state)
{
    (void)state;
    sigset_t usr1;
    sigset_t pending;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    assert_int_equal(gy_log_start(NULL), 0);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    kill(getpid(), SIGUSR1);
    gy_log(GY_LOG_INFO, "test", "m");
    gy_log_stop();
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
    signal(SIGUSR1, SIG_DFL);
}

#define LOGGERS      4
#define LOGGER_LINES 1500

static void *log_many(void *argument)
{
    for (int i = 0; i < LOGGER_LINES; i++) {
        gy_log_with(GY_LOG_INFO, "test", gy_fields(gy_number("line", i)), "of %s",
                    (char *)argument);
    }
    return NULL;
}

static void *read_all(void *argument)
{
    size_t *fill = argument;
    ssize_t got;
    while ((got = read(ends[0], text + *fill, sizeof text - 1 - *fill)) > 0) {
        *fill += (size_t)got;
    }
    text[*fill] = '\0';
    return NULL;
}

static void lines_of_many_threads_stay_whole_and_in_order(void **state)
{
    (void)state;
    static char names[LOGGERS][8] = {"zero", "one", "two", "three"};
    uint64_t before = gy_log_dropped();
    size_t fill = 0;
    pthread_t reader;
    pthread_t loggers[LOGGERS];
    assert_int_equal(gy_log_start(NULL), 0);
    pthread_create(&reader, NULL, read_all, &fill);
    for (int i = 0; i < LOGGERS; i++) {
        pthread_create(&loggers[i], NULL, log_many, names[i]);
    }
    /* Stopping and starting in the middle loses no line either. */
    gy_log_stop();
    assert_int_equal(gy_log_start(NULL), 0);
    for (int i = 0; i < LOGGERS; i++) {
        pthread_join(loggers[i], NULL);
    }
    gy_log_stop();
    int write_end = ends[1];
    ends[1] = open("/dev/null", O_WRONLY);
    close(write_end);
    pthread_join(reader, NULL);

    uint64_t lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strstr(line, "lines were dropped") != NULL) {
            continue;
        }
        char name[8];
        int number = -1;
        const char *rest = strstr(line, "Z INFO  test: of ");
        assert_non_null(rest);
        assert_int_equal(sscanf(rest, "Z INFO  test: of %7s line=%d", name, &number), 2);
        assert_true(number >= 0 && number < LOGGER_LINES);
        lines++;
    }
    assert_int_equal(lines + (gy_log_dropped() - before), LOGGERS * LOGGER_LINES);
}

static void a_child_writes_directly_until_it_starts_a_writer_of_its_own(void **state)
{
    (void)state;
    if (!THREADS_IN_CHILD) {
        print_message("# fork is not for the thread sanitizer\n");
        skip();
    }
    assert_int_equal(gy_log_start(NULL), 0);
    gy_log(GY_LOG_INFO, "test", "parent before");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        gy_log(GY_LOG_INFO, "test", "child direct");
        if (gy_log_start(NULL) != 0) {
            _exit(1);
        }
        gy_log(GY_LOG_INFO, "test", "child queued");
        gy_log_stop();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    gy_log(GY_LOG_INFO, "test", "parent after");
    gy_log_stop();
    written();
    assert_int_equal(times("parent before"), 1);
    assert_int_equal(times("child direct"), 1);
    assert_int_equal(times("child queued"), 1);
    assert_int_equal(times("parent after"), 1);
}

static void a_limit_lets_one_event_an_interval_through_and_counts_the_others(void **state)
{
    (void)state;
    struct gy_log_limit limit = {0};
    uint64_t suppressed = 99;
    assert_true(gy_log_limit_pass(&limit, 5000, 1000, &suppressed));
    assert_int_equal(suppressed, 0);
    for (uint64_t now_ms = 5000; now_ms < 6000; now_ms += 100) {
        assert_false(gy_log_limit_pass(&limit, now_ms, 1000, &suppressed));
    }
    assert_true(gy_log_limit_pass(&limit, 6000, 1000, &suppressed));
    assert_int_equal(suppressed, 10);
    assert_false(gy_log_limit_pass(&limit, 6999, 1000, &suppressed));
    assert_true(gy_log_limit_pass(&limit, 9000, 1000, &suppressed));
    assert_int_equal(suppressed, 1);
    assert_true(gy_log_limit_pass(&limit, 10000, 1000, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void log_from_here(void)
{
    gy_log_limited(GY_LOG_WARN, "test", "a peer did %s", "it");
}

static void a_limited_line_is_limited_where_it_stands(void **state)
{
    (void)state;
    const struct timespec pause = {.tv_sec = GY_LOG_LIMIT_MS / 1000, .tv_nsec = 50000000};
    uint64_t took_ms = GY_LOG_LIMIT_MS;
    /* Twice and more where this process is held up for so long that a second line is due. */
    for (int tries = 0; tries < 5 && took_ms >= GY_LOG_LIMIT_MS; tries++) {
        if (tries > 0) {
            nanosleep(&pause, NULL);
            log_from_here(); /* tells what was left out before */
            nanosleep(&pause, NULL);
            written();
        }
        uint64_t began_ms = gy_clock_ms();
        for (int i = 0; i < 20; i++) {
            log_from_here();
        }
        gy_log_limited(GY_LOG_WARN, "test", "elsewhere");
        took_ms = gy_clock_ms() - began_ms;
    }
    assert_true(took_ms < GY_LOG_LIMIT_MS);
    written();
    assert_int_equal(times("a peer did it\n"), 1);
    assert_int_equal(times("elsewhere\n"), 1);
    nanosleep(&pause, NULL);
    log_from_here();
    log_from_here();
    written();
    assert_int_equal(times("a peer did it suppressed=19\n"), 1);
}

static void a_message_longer_than_the_bound_is_cut(void **state)
{
    (void)state;
    gy_log(GY_LOG_INFO, "test", "%0900d", 0);
    written();
    assert_non_null(strstr(text, "0…\n"));
    assert_true(strlen(text) > GY_LOG_MESSAGE_BYTES && strlen(text) <= GY_LOG_LINE_BYTES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_written_at_once_while_no_writer_runs),
        TEST(a_text_that_is_null_is_empty),
        TEST(less_important_levels_are_neither_written_nor_evaluated),
        cmocka_unit_test(level_names_are_parsed_back),
        TEST(settings_that_make_no_sense_change_nothing),
        TEST(json_is_a_switch),
        TEST(errno_survives_a_line),
        TEST(colour_is_for_terminals_that_want_it),
        TEST(the_writer_writes_what_was_queued_before_it_stops),
        TEST(the_writer_wakes_for_a_single_line),
        TEST(starting_twice_or_changing_a_running_log_is_refused),
        TEST(a_full_queue_drops_counts_and_says_how_many),
        TEST(stopping_gives_up_on_a_descriptor_that_takes_nothing),
        TEST(a_broken_descriptor_costs_its_lines_only),
        TEST(the_writer_takes_no_signals),
        TEST(lines_of_many_threads_stay_whole_and_in_order),
        TEST(a_child_writes_directly_until_it_starts_a_writer_of_its_own),
        TEST(a_limit_lets_one_event_an_interval_through_and_counts_the_others),
        TEST(a_limited_line_is_limited_where_it_stands),
        TEST(a_message_longer_than_the_bound_is_cut),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
