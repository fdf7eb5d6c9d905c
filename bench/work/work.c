/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/work/work.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/mailbox.h"

const struct work *work_nth(uint32_t index)
{
    const struct {
        const struct work *rows;
        uint32_t count;
    } tables[] = {
        {work_h1_rows, work_h1_row_count},     {work_dns_rows, work_dns_row_count},
        {work_core_rows, work_core_row_count}, {work_worker_rows, work_worker_row_count},
        {work_chat_rows, work_chat_row_count},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        if (index < tables[i].count) {
            return &tables[i].rows[index];
        }
        index -= tables[i].count;
    }
    return NULL;
}

const struct work *work_find(const char *name)
{
    const struct work *work;
    for (uint32_t i = 0; (work = work_nth(i)) != NULL; i++) {
        if (strcmp(work->name, name) == 0) {
            return work;
        }
    }
    return NULL;
}

void *work_memory(size_t bytes)
{
    size_t whole = (bytes + GY_CACHE_LINE_BYTES - 1) & ~(size_t)(GY_CACHE_LINE_BYTES - 1);
    void *memory = aligned_alloc(GY_CACHE_LINE_BYTES, whole);
    gy_assert(memory != NULL);
    memset(memory, 0, whole);
    return memory;
}

void work_slab(struct gy_slab *slab, size_t item_bytes, uint32_t count)
{
    size_t bytes = gy_slab_bytes(item_bytes, count);
    gy_slab_init(slab, work_memory(bytes), bytes, item_bytes);
}
