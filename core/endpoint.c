/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/endpoint.h"

#include <sys/mman.h>

#include "core/asan.h"
#include "core/worker.h"

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

/* Half of what can be kept before the pool is empty: half of the blocks that leftovers are copied
 * to once the pool is low (each stream's last one is not full), and three eighths of the pool (what
 * is kept before that, where each slice holds a buffer of up to twice its size). So two servers
 * that are flooded leave buffers to all others. */
static uint64_t default_quota_bytes(const struct gy_worker *worker)
{
    const struct gy_pool_options *pool = gy_pool_options(worker->pool);
    uint64_t pool_bytes = (uint64_t)pool->buffers * pool->buffer_bytes;
    return ((uint64_t)worker->keeps.capacity / 2 * GY_KEEP_BYTES + pool_bytes / 8 * 3) / 2;
}

static void sessions_close(struct gy_endpoint *endpoint)
{
    size_t bytes = (size_t)endpoint->sessions.item_bytes * endpoint->sessions.capacity;
    gy_unpoison(endpoint->sessions.base, bytes);
    munmap(endpoint->sessions.base, bytes);
    endpoint->sessions.base = NULL;
}

int gy_endpoint_open(struct gy_endpoint *endpoint, struct gy_worker *worker,
                     const struct gy_endpoint_options *options, struct gy_error *error)
{
    const struct gy_stream_ops *ops = options->ops;
    gy_assert(ops->open != NULL && ops->turn != NULL && ops->expire != NULL && ops->drain != NULL &&
              ops->closed != NULL);
    gy_assert(options->session_bytes > 0);
    const struct gy_stream_limits *limits = &options->limits;
    uint32_t receive_high_bytes = or_default(limits->receive_high_bytes, 262144);
    *endpoint = (struct gy_endpoint){
        .worker = worker,
        .ops = ops,
        .name = options->name,
        .context = options->context,
        .pool = worker->pool,
        .starved = &worker->starved,
        .limits =
            {
                .receive_high_bytes = receive_high_bytes,
                .receive_low_bytes = or_default(limits->receive_low_bytes, receive_high_bytes / 4),
                .send_high_bytes = or_default(limits->send_high_bytes, 262144),
                .write_timeout_ms = or_default(limits->write_timeout_ms, 30000),
                .linger_timeout_ms = or_default(limits->linger_timeout_ms, 5000),
                .handshake_timeout_ms = or_default(limits->handshake_timeout_ms, 10000),
                .linger_bytes = or_default(limits->linger_bytes, 1u << 20),
            },
        .quota.limit_bytes =
            options->quota_bytes != 0 ? options->quota_bytes : default_quota_bytes(worker),
        .connections_max = or_default(options->connections_max, worker->options.streams_max),
        .layer = options->layer,
    };
    gy_flood_init(&endpoint->flood);
    gy_assert(endpoint->limits.receive_low_bytes < endpoint->limits.receive_high_bytes);
    TAILQ_INIT(&endpoint->quota.waiting);
    size_t bytes = gy_slab_bytes(options->session_bytes, endpoint->connections_max);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return gy_error_set(
            error, GY_ENOMEM,
            "preparing %s for %u connections: out of memory; lower the number of connections",
            options->name, endpoint->connections_max);
    }
    gy_slab_init(&endpoint->sessions, memory, bytes, options->session_bytes);
    if (endpoint->layer != NULL) {
        int code = endpoint->layer->attach(endpoint, options->layer_context, error);
        if (code != 0) {
            sessions_close(endpoint);
            return code;
        }
    }
    return 0;
}

void gy_endpoint_close(struct gy_endpoint *endpoint)
{
    gy_assert(endpoint->connections == 0);
    gy_flood_close(&endpoint->flood);
    if (endpoint->layer != NULL) {
        endpoint->layer->detach(endpoint);
    }
    sessions_close(endpoint);
}
