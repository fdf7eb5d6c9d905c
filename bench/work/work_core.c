/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Parts of the core, each by itself. */

#include <string.h>

#include "bench/work/null_ring.h"
#include "bench/work/work.h"
#include "core/bump.h"
#include "core/mailbox.h"
#include "core/pool.h"
#include "core/timer.h"

/* ---- slices and chains ---- */

#define SLICES      32
#define SLICE_BYTES 100

struct chain_work {
    struct gy_slab links;
    struct gy_chain from, to;
    struct gy_buffer buffers[SLICES];
    uint8_t content[SLICE_BYTES];
    uint8_t copy[SLICES * SLICE_BYTES];
    uint64_t copied;
};

static void *chain_open(void)
{
    struct chain_work *work = work_memory(sizeof *work);
    work_slab(&work->links, sizeof(struct gy_link), 2 * SLICES + 2);
    gy_chain_init(&work->from, &work->links);
    gy_chain_init(&work->to, &work->links);
    for (int i = 0; i < SLICES; i++) {
        gy_buffer_wrap_constant(&work->buffers[i], work->content, SLICE_BYTES);
    }
    return work;
}

static void chain_fill(struct chain_work *work)
{
    for (int i = 0; i < SLICES; i++) {
        int error = gy_chain_append(&work->from, gy_slice_of(&work->buffers[i], 0, SLICE_BYTES));
        gy_assert(error == 0);
    }
}

/* Moved in two parts with a cut in the middle of a slice, and consumed in bites that do not fit. */
static void chain_pass(void *state, uint64_t iterations)
{
    struct chain_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        chain_fill(work);
        int error = gy_chain_move(&work->from, &work->to, SLICES * SLICE_BYTES / 2 + 7);
        gy_assert(error == 0);
        error = gy_chain_move(&work->from, &work->to, work->from.length);
        gy_assert(error == 0);
        while (work->to.length > 0) {
            gy_chain_consume(&work->to, work->to.length < 331 ? work->to.length : 331);
        }
    }
}

static void chain_gather(void *state, uint64_t iterations)
{
    struct chain_work *work = state;
    struct iovec vectors[SLICES];
    for (uint64_t i = 0; i < iterations; i++) {
        chain_fill(work);
        uint32_t bytes;
        uint32_t count = gy_chain_vectors(&work->from, vectors, SLICES, UINT32_MAX, &bytes);
        gy_assert(count == SLICES && bytes == work->from.length);
        gy_chain_copy(&work->from, 50, 1000, work->copy);
        work->copied += 1000;
        gy_chain_clear(&work->from);
    }
}

static void chain_count(void *state, struct work_counts *counts)
{
    counts->copied_bytes = ((const struct chain_work *)state)->copied;
}

/* ---- bump and slab ---- */

#define BUMP_PIECES 64

struct bump_work {
    struct gy_slab links, blocks;
    struct gy_bump bump;
    struct gy_chain out;
};

static void *bump_open(void)
{
    struct bump_work *work = work_memory(sizeof *work);
    work_slab(&work->links, sizeof(struct gy_link), 16);
    work_slab(&work->blocks, sizeof(struct gy_bump_block), 4);
    gy_bump_init(&work->bump, &work->blocks);
    gy_chain_init(&work->out, &work->links);
    return work;
}

static void bump_write(void *state, uint64_t iterations)
{
    struct bump_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (int n = 0; n < BUMP_PIECES; n++) {
            uint8_t *room = gy_bump_reserve(&work->bump, 512);
            gy_assert(room != NULL);
            room[0] = (uint8_t)n;
            int error = gy_bump_commit(&work->bump, &work->out, 160);
            gy_assert(error == 0);
        }
        gy_chain_clear(&work->out);
    }
}

#define SLAB_ITEMS 64

struct slab_work {
    struct gy_slab slab;
    void *items[SLAB_ITEMS];
};

static void *slab_open(void)
{
    struct slab_work *work = work_memory(sizeof *work);
    work_slab(&work->slab, 96, SLAB_ITEMS);
    return work;
}

static void slab_churn(void *state, uint64_t iterations)
{
    struct slab_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (int n = 0; n < SLAB_ITEMS; n++) {
            work->items[n] = gy_slab_take(&work->slab);
        }
        for (int n = 0; n < SLAB_ITEMS; n++) {
            gy_slab_give(&work->slab, work->items[n]);
        }
    }
    gy_assert(work->slab.refused == 0);
}

/* ---- timers ---- */

#define TIMERS 1024

struct timer_work {
    struct gy_wheel wheel;
    struct gy_timer timers[TIMERS];
    uint64_t now_ms;
};

static void on_timer(struct gy_timer *timer, uint64_t now_ms)
{
    gy_assert(timer->due_ms <= now_ms);
}

static void *timer_open(void)
{
    struct timer_work *work = work_memory(sizeof *work);
    gy_wheel_init(&work->wheel, 0);
    for (int i = 0; i < TIMERS; i++) {
        gy_timer_init(&work->timers[i], on_timer);
    }
    return work;
}

/* What connections do: each timer is armed, moved on as something happens, and only some fire. */
static void timer_churn(void *state, uint64_t iterations)
{
    struct timer_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (uint32_t n = 0; n < TIMERS; n++) {
            gy_timer_arm(&work->wheel, &work->timers[n], work->now_ms + 60000 + n % 7);
        }
        for (uint32_t n = 0; n < TIMERS; n++) {
            gy_timer_arm(&work->wheel, &work->timers[n], work->now_ms + 10000 + n % 3);
        }
        for (uint32_t n = 0; n < TIMERS; n += 16) {
            gy_timer_disarm(&work->wheel, &work->timers[n]);
        }
        work->now_ms += 1;
        gy_wheel_advance(&work->wheel, work->now_ms, TIMERS);
    }
}

static void timer_fire(void *state, uint64_t iterations)
{
    struct timer_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (uint32_t n = 0; n < TIMERS; n++) {
            gy_timer_arm(&work->wheel, &work->timers[n], work->now_ms + 1 + n % 500);
        }
        while (gy_wheel_next_ms(&work->wheel) != UINT64_MAX) {
            work->now_ms = gy_wheel_next_ms(&work->wheel);
            gy_wheel_advance(&work->wheel, work->now_ms, TIMERS);
        }
    }
}

/* ---- mailbox ---- */

#define MESSAGES 64

struct mailbox_work {
    struct gy_mailbox mailbox;
    struct gy_bell bell;
    struct gy_message ring[2 * MESSAGES];
};

static void *mailbox_open(void)
{
    struct mailbox_work *work = work_memory(sizeof *work);
    gy_mailbox_init(&work->mailbox, work->ring, 2 * MESSAGES);
    gy_bell_init(&work->bell);
    return work;
}

static void mailbox_pass(void *state, uint64_t iterations)
{
    struct mailbox_work *work = state;
    struct gy_message message = {.kind = 1};
    for (uint64_t i = 0; i < iterations; i++) {
        gy_bell_sleep(&work->bell);
        for (uint32_t n = 0; n < MESSAGES; n++) {
            int error = gy_mailbox_push(&work->mailbox, &message);
            gy_assert(error == 0);
        }
        bool rung = gy_bell_must_ring(&work->bell);
        gy_assert(rung && gy_bell_wake(&work->bell));
        for (uint32_t n = 0; n < MESSAGES; n++) {
            bool popped = gy_mailbox_pop(&work->mailbox, &message);
            gy_assert(popped && message.kind == 1);
        }
    }
}

static void mailbox_pass_batch(void *state, uint64_t iterations)
{
    struct mailbox_work *work = state;
    struct gy_message messages[MESSAGES];
    memset(messages, 0, sizeof messages);
    for (uint64_t i = 0; i < iterations; i++) {
        uint32_t count = gy_mailbox_push_batch(&work->mailbox, messages, MESSAGES);
        gy_assert(count == MESSAGES);
        count = gy_mailbox_pop_batch(&work->mailbox, messages, MESSAGES);
        gy_assert(count == MESSAGES);
    }
}

/* ---- pool ---- */

#define RECEIVES 32

struct pool_work {
    struct gy_ring *ring;
    struct gy_pool *pool;
    struct gy_slab links;
    struct gy_chain in;
};

static void *pool_open(enum gy_receive_mode mode)
{
    struct pool_work *work = work_memory(sizeof *work);
    struct gy_pool_options options = gy_pool_defaults(mode, 1);
    struct gy_error error = {0};
    int code = gy_ring_open(&work->ring, &(struct gy_ring_options){0}, &error);
    gy_assert(code == 0);
    code = gy_pool_open(&work->pool, work->ring, &options, &error);
    gy_assert(code == 0);
    work_slab(&work->links, sizeof(struct gy_link), 2 * RECEIVES);
    gy_chain_init(&work->in, &work->links);
    return work;
}

static void *pool_open_whole(void)
{
    return pool_open(GY_RECEIVE_MULTISHOT);
}

static void *pool_open_incremental(void)
{
    return pool_open(GY_RECEIVE_INCREMENTAL);
}

/* A turn: completions become slices, the slices are used up, the pool is filled again. */
static void pool_turn(void *state, uint64_t iterations)
{
    struct pool_work *work = state;
    for (uint64_t i = 0; i < iterations; i++) {
        for (int n = 0; n < RECEIVES; n++) {
            struct gy_completion completion = null_ring_fill(work->ring, 1, 64);
            int taken = gy_pool_take(work->pool, &completion, &work->in);
            gy_assert(taken == 64);
        }
        gy_chain_clear(&work->in);
        gy_pool_refill(work->pool);
    }
}

const struct work work_core_rows[] = {
    {"chain-pass", "a slice appended, moved and consumed", SLICES, chain_open, chain_pass,
     chain_count},
    {"chain-gather", "a slice appended, gathered and dropped", SLICES, chain_open, chain_gather,
     chain_count},
    {"bump-write", "a piece of output reserved and committed", BUMP_PIECES, bump_open, bump_write,
     NULL},
    {"slab-churn", "an item taken and given back", SLAB_ITEMS, slab_open, slab_churn, NULL},
    {"timer-churn", "a timer armed and moved", TIMERS, timer_open, timer_churn, NULL},
    {"timer-fire", "a timer armed and fired", TIMERS, timer_open, timer_fire, NULL},
    {"mailbox-pass", "a message pushed and popped", MESSAGES, mailbox_open, mailbox_pass, NULL},
    {"mailbox-batch", "a message pushed and popped, 64 at once", MESSAGES, mailbox_open,
     mailbox_pass_batch, NULL},
    {"pool-whole", "a receive's completion turned into a slice, whole buffers", RECEIVES,
     pool_open_whole, pool_turn, NULL},
    {"pool-incremental", "a receive's completion turned into a slice, shared buffers", RECEIVES,
     pool_open_incremental, pool_turn, NULL},
};
const uint32_t work_core_row_count = sizeof work_core_rows / sizeof work_core_rows[0];
