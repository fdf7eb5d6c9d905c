/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/meter.h"

/* Two independent places: of the key's lower bits, and of its upper ones. */
static _Atomic uint64_t *cell_of(struct gy_chat_meter *meter, uint64_t key, int which)
{
    return &meter->cells[(which == 0 ? key : key >> 32) & (GY_CHAT_METER_CELLS - 1)];
}

/* Not back, whatever another thread has done meanwhile. */
static void raise_to(_Atomic uint64_t *cell, uint64_t until_ns)
{
    uint64_t now = atomic_load_explicit(cell, memory_order_relaxed);
    while (now < until_ns &&
           !atomic_compare_exchange_weak_explicit(cell, &now, until_ns, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

uint64_t gy_chat_meter_take(struct gy_chat_meter *meter, uint64_t key, uint64_t cost_ns,
                            uint64_t burst_ns, uint64_t now_ns)
{
    if (cost_ns == 0) {
        return 0;
    }
    uint64_t first = atomic_load_explicit(cell_of(meter, key, 0), memory_order_relaxed);
    uint64_t second = atomic_load_explicit(cell_of(meter, key, 1), memory_order_relaxed);
    uint64_t until_ns = first < second ? first : second;
    uint64_t ahead_ns = (until_ns > now_ns ? until_ns - now_ns : 0) + cost_ns;
    if (ahead_ns > burst_ns) {
        return ahead_ns - burst_ns;
    }
    /* Only what is below is raised: the other cell is higher for somebody else's sake. */
    raise_to(cell_of(meter, key, 0), now_ns + ahead_ns);
    raise_to(cell_of(meter, key, 1), now_ns + ahead_ns);
    return 0;
}
