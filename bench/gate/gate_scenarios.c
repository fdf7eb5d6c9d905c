/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The gate's scenarios, a process each, to be run under valgrind's callgrind:
 *
 *   gate-scenarios                    the names, one a line
 *   gate-scenarios NAME ITERATIONS    runs it, and prints what was counted as one line of JSON
 *
 * The gate runs each scenario with two numbers of iterations and divides differences, so that what
 * start-up costs falls out. Linked with --wrap for the allocators, so that every allocation of ours
 * is seen.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/work/work.h"

static uint64_t allocations;

#define COUNTED(type, name, parameters, arguments)                                                 \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        allocations++;                                                                             \
        return __real_##name arguments;                                                            \
    }

COUNTED(void *, malloc, (size_t bytes), (bytes))
COUNTED(void *, calloc, (size_t count, size_t bytes), (count, bytes))
COUNTED(void *, realloc, (void *memory, size_t bytes), (memory, bytes))
COUNTED(void *, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes))
COUNTED(int, posix_memalign, (void **memory, size_t alignment, size_t bytes),
        (memory, alignment, bytes))
COUNTED(char *, strdup, (const char *text), (text))
COUNTED(void *, mmap, (void *at, size_t bytes, int protection, int flags, int fd, off_t offset),
        (at, bytes, protection, flags, fd, offset))

static int list(void)
{
    const struct work *work;
    for (uint32_t i = 0; (work = work_nth(i)) != NULL; i++) {
        printf("%s\n", work->name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        return list();
    }
    const struct work *work = work_find(argv[1]);
    char *end = NULL;
    uint64_t iterations = argc == 3 ? strtoull(argv[2], &end, 10) : 0;
    if (work == NULL || end == NULL || *end != 0 || iterations == 0) {
        fprintf(stderr, "usage: gate-scenarios [NAME ITERATIONS]; without, the names are listed\n");
        return 2;
    }
    static void *state; /* lives on, as work.h has it */
    state = work->open();
    work->run(state, iterations);
    uint64_t allocated = allocations;
    struct work_counts counts = {0};
    if (work->count != NULL) {
        work->count(state, &counts);
    }
    printf("{\"scenario\": \"%s\", \"what\": \"%s\", \"operations\": %" PRIu64
           ", \"allocations\": %" PRIu64 ", \"copied_bytes\": %" PRIu64 ", \"enters\": %" PRIu64
           ", \"submissions\": %" PRIu64 ", \"completions\": %" PRIu64 "}\n",
           work->name, work->what, iterations * work->operations, allocated, counts.copied_bytes,
           counts.enters, counts.submissions, counts.completions);
    return 0;
}
