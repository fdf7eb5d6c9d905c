/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A worker and its completions: how much of what is there a turn takes. */

#include "core/worker_internal.h"

#define REAP_BATCH  256
#define REAPS_AGAIN 4
#define REAP_BYTES  262144 /* in a turn: with more, what is put off may wait */

/* How many there were. */
static uint32_t reap(struct gy_worker *worker)
{
    struct gy_completion batch[REAP_BATCH];
    uint32_t count, all = 0;
    do {
        count = gy_ring_reap(worker->ring, batch, REAP_BATCH);
        for (uint32_t i = 0; i < count; i++) {
            gy_worker_dispatch(worker, &batch[i]);
        }
        all += count;
    } while (count == REAP_BATCH);
    gy_pool_refill(worker->pool);
    return all;
}

/* A receive that came to the end of its buffer goes on at once, but every 33rd time the kernel
 * leaves the rest of what the peer sent for the next enter. Sessions would answer the two parts
 * apart, and a peer that waits for answers would then go on speaking in two parts, at twice the
 * cost. So the ring is asked again, unless so much has come that it is a part anyhow. */
int gy_worker_reap(struct gy_worker *worker)
{
    uint64_t before = gy_counter_read(&worker->counters.received_bytes);
    worker->goes_on = false;
    reap(worker);
    bool more = worker->goes_on;
    for (int i = 0; i < REAPS_AGAIN && more && worker->unfinished > 0; i++) {
        if (gy_counter_read(&worker->counters.received_bytes) - before >= REAP_BYTES) {
            break;
        }
        int code = gy_ring_wait(worker->ring, 0);
        if (code != 0) {
            return code;
        }
        more = reap(worker) > 0;
    }
    return 0;
}
