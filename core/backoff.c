/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/backoff.h"

#include "core/error.h"

void gy_backoff_init(struct gy_backoff *backoff, uint32_t base_ms, uint32_t max_ms, uint64_t seed)
{
    gy_assert(base_ms > 0 && base_ms <= max_ms);
    *backoff =
        (struct gy_backoff){.base_ms = base_ms, .max_ms = max_ms, .random = seed != 0 ? seed : 1};
}

/* xorshift64*, Marsaglia and Vigna: good enough to spread clients. */
static uint64_t next_random(struct gy_backoff *backoff)
{
    backoff->random ^= backoff->random >> 12;
    backoff->random ^= backoff->random << 25;
    backoff->random ^= backoff->random >> 27;
    return (backoff->random * UINT64_C(0x2545f4914f6cdd1d)) >> 32;
}

uint32_t gy_backoff_failed(struct gy_backoff *backoff)
{
    uint64_t whole = backoff->max_ms;
    if (backoff->failures < 31 && (uint64_t)backoff->base_ms << backoff->failures < whole) {
        whole = (uint64_t)backoff->base_ms << backoff->failures;
    }
    if (backoff->failures < UINT32_MAX) {
        backoff->failures++;
    }
    uint64_t wait = whole - whole / 2 * next_random(backoff) / UINT32_MAX;
    gy_assert(wait <= whole && wait >= whole / 2);
    return (uint32_t)wait;
}
