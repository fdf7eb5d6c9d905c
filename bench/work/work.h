/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_WORK_H
#define GY_BENCH_WORK_H

/*
 * Pieces of work in memory: what a protocol or a part of the core does, without a kernel, a clock
 * or a network in it, so that the same number of iterations always costs the same instructions.
 *
 * bench/micro times them; bench/gate counts their instructions, allocations and copies in two
 * revisions and compares. A new protocol adds a file here and its rows to the table in work.c.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/slab.h"

/* A GET as a browser sends it. */
#define WORK_GET_BROWSER                                                                           \
    "GET /search?q=io_uring+server HTTP/1.1\r\nHost: www.example.org\r\n"                          \
    "Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n"                                   \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "          \
    "Chrome/126.0.0.0 Safari/537.36\r\n"                                                           \
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"       \
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"              \
    "Cookie: session=5f2b8c1e9d7a4630a1b2c3d4e5f60718; theme=dark\r\n\r\n"

/* What a work has counted since it was opened. */
struct work_counts {
    uint64_t copied_bytes; /* payload copied in user space */
    uint64_t enters;       /* of the ring; these three only where a worker takes part */
    uint64_t submissions;
    uint64_t completions;
};

struct work {
    const char *name;
    const char *what;    /* one operation, in words */
    uint32_t operations; /* that one iteration does */

    /* Everything that run() needs, allocated; it lives until the process ends. */
    void *(*open)(void);

    void (*run)(void *state, uint64_t iterations);

    /* May be NULL: nothing but zeros to tell. */
    void (*count)(void *state, struct work_counts *counts);
};

/* NULL behind the last. */
const struct work *work_nth(uint32_t index);
const struct work *work_find(const char *name);

/* Zeroed memory on a cache line of its own; stops the program when there is none. */
void *work_memory(size_t bytes);

/* A slab of `count` items in memory of its own. */
void work_slab(struct gy_slab *slab, size_t item_bytes, uint32_t count);

/* The rows, by the file they are in. */
extern const struct work work_h1_rows[];
extern const uint32_t work_h1_row_count;
extern const struct work work_dns_rows[];
extern const uint32_t work_dns_row_count;
extern const struct work work_core_rows[];
extern const uint32_t work_core_row_count;
extern const struct work work_worker_rows[];
extern const uint32_t work_worker_row_count;
extern const struct work work_chat_rows[];
extern const uint32_t work_chat_row_count;

/* Too large to count instructions of, and about caches anyway: for bench/micro alone. */
extern const struct work work_dns_large_rows[];
extern const uint32_t work_dns_large_row_count;

#endif
