/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_WINDOW_H
#define GY_BENCH_LOAD_WINDOW_H

/*
 * Requests in flight on one connection whose answers may come in any order, twice, or never.
 *
 * Each takes a place. Its number, and how often the place was used before, go into the request, so
 * that an answer tells which one it belongs to, and that it is not one that was given up long ago.
 * Places are chained in the order of sending: the oldest is the first that can time out.
 */

#include <stdbool.h>
#include <stdint.h>

#define GY_LOAD_NOBODY UINT32_MAX

struct gy_load_place {
    uint32_t use;
    uint32_t subject;       /* the protocol's: what was asked */
    uint32_t before, after; /* in the order of sending; of a free one: `after` is the next free */
    bool waits;
};

struct gy_load_window {
    uint32_t oldest, newest, free; /* GY_LOAD_NOBODY: none */
    uint32_t count;
    struct gy_load_place places[];
};

/* Bytes of one with `count` places. */
static inline uint32_t gy_load_window_bytes(uint32_t count)
{
    return (uint32_t)(sizeof(struct gy_load_window) + count * sizeof(struct gy_load_place));
}

/* All places are free; `count` >= 1. */
void gy_load_window_open(struct gy_load_window *window, uint32_t count);

/* Takes a place: its number. There is a free one. */
uint32_t gy_load_window_take(struct gy_load_window *window);

/* Gives one back that was taken. */
void gy_load_window_give(struct gy_load_window *window, uint32_t number);

#endif
