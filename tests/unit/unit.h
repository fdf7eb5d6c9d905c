/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_UNIT_UNIT_H
#define GY_TESTS_UNIT_UNIT_H

/* What every unit test includes: cmocka with the headers that it asks for, and assertions about
 * code that must stop the process. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/asan.h"

/* Runs `function` in a child whose stderr goes to `output`; returns how it ended, as waitpid says.
 */
static inline int run_in_child(void (*function)(void *), void *argument, char *output,
                               size_t output_bytes)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        function(argument);
        _exit(0);
    }
    close(ends[1]);
    size_t fill = 0;
    char scrap[512] = {0};
    for (;;) {
        size_t room = output_bytes - 1 - fill;
        ssize_t got =
            read(ends[0], room > 0 ? output + fill : scrap, room > 0 ? room : sizeof scrap);
        if (got <= 0) {
            break;
        }
        fill += room > 0 ? (size_t)got : 0;
    }
    output[fill] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* `function` ends in gy_assert, and the message names the expression. */
static inline void expect_assertion(void (*function)(void *), void *argument,
                                    const char *expression)
{
    char output[4096];
    int status = run_in_child(function, argument, output, sizeof output);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(output, "assertion `"));
    assert_non_null(strstr(output, expression));
}

/* `function` touches memory that nobody owns. Skips where the address sanitizer is not built in. */
static inline void expect_poisoned(void (*function)(void *), void *argument)
{
#ifdef GY_ASAN
    char output[16384];
    int status = run_in_child(function, argument, output, sizeof output);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(output, "AddressSanitizer: use-after-poison"));
#else
    (void)function;
    (void)argument;
    print_message("# only with the address sanitizer\n");
    skip();
#endif
}

/* xorshift64*: the same numbers from the same seed on every machine. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* The seed of a random test: GY_TEST_SEED if it is set, to replay a failure, or `fixed`. */
static inline uint64_t random_seed(uint64_t fixed)
{
    const char *text = getenv("GY_TEST_SEED");
    uint64_t seed = text == NULL ? fixed : strtoull(text, NULL, 0);
    return seed == 0 ? 1 : seed;
}

#endif
