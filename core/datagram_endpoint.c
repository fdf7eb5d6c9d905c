/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What the sockets of one kind share on a worker, and the table that holds all of them. */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/datagram_internal.h"

#define DEFAULT_SOCKETS 4096
#define SENDS_MAX       16384
#define DEFAULT_SENDS   1024
#define BUFFER_BYTES    2048
#define BUFFERS         1024
#define POSTED          64
#define TRAIN_BUFFERS   64
#define TRAIN_POSTED    16
#define GROUPS_MAX      1024

/* ---- modes ---- */

static const char *const mode_names[GY_DATAGRAM_MODE_COUNT] = {
    [GY_DATAGRAM_CHOOSE] = "choose",
    [GY_DATAGRAM_RING] = "ring",
    [GY_DATAGRAM_CALLS] = "calls",
};

const char *gy_datagram_mode_name(enum gy_datagram_mode mode)
{
    gy_assert(mode >= 0 && mode < GY_DATAGRAM_MODE_COUNT);
    return mode_names[mode];
}

int gy_datagram_mode_parse(const char *name, enum gy_datagram_mode *mode)
{
    for (int i = 0; i < GY_DATAGRAM_MODE_COUNT; i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            *mode = (enum gy_datagram_mode)i;
            return 0;
        }
    }
    return GY_EINVAL;
}

static int settle_modes(struct gy_datagram_options *options, uint32_t features,
                        struct gy_error *error)
{
    bool multishot = features & GY_RING_MULTISHOT_RECEIVE;
    if (options->receive_mode == GY_DATAGRAM_RING && !multishot) {
        return gy_error_set(error, GY_ENOTSUP,
                            "preparing %s: this kernel does not receive datagrams on the ring "
                            "(multishot recvmsg, Linux 6.0)",
                            options->name);
    }
    if (options->receive_mode == GY_DATAGRAM_CHOOSE) {
        options->receive_mode = multishot ? GY_DATAGRAM_RING : GY_DATAGRAM_CALLS;
    }
    if (options->send_mode == GY_DATAGRAM_CHOOSE) {
        options->send_mode = multishot ? GY_DATAGRAM_RING : GY_DATAGRAM_CALLS;
    }
    return 0;
}

/* ---- the worker's table ---- */

static int table_open(struct gy_worker *worker, struct gy_error *error)
{
    if (worker->datagrams != NULL) {
        return 0;
    }
    uint32_t sockets =
        worker->options.datagrams_max != 0 ? worker->options.datagrams_max : DEFAULT_SOCKETS;
    gy_assert(sockets <= GY_SLOT_MAX);
    size_t bytes[] = {
        (sizeof(struct gy_datagram_table) + 63) & ~(size_t)63,
        gy_slab_bytes(sizeof(struct gy_datagram_socket), sockets),
        gy_slab_bytes(sizeof(struct gy_datagram_send), SENDS_MAX),
        (sizeof(uint32_t) * sockets + 63) & ~(size_t)63,
        sizeof(uint32_t) * SENDS_MAX,
        sizeof(struct gy_datagram_batch),
    };
    size_t all = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        all += bytes[i];
    }
    void *memory =
        mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return gy_error_set(error, GY_ENOMEM, "preparing for datagrams: out of memory");
    }
    struct gy_datagram_table *table = memory;
    uint8_t *at = memory;
    table->memory = memory;
    table->memory_bytes = all;
    /* Behind those of the listeners' own pools. */
    table->group_next = (uint16_t)(worker->options.pool.group + GY_LISTENERS_MAX);
    gy_slab_init(&table->sockets, at += bytes[0], bytes[1], sizeof(struct gy_datagram_socket));
    gy_slab_init(&table->sends, at += bytes[1], bytes[2], sizeof(struct gy_datagram_send));
    table->generations = (uint32_t *)(void *)(at += bytes[2]);
    table->send_generations = (uint32_t *)(void *)(at += bytes[3]);
    table->batch = (struct gy_datagram_batch *)(void *)(at + bytes[4]);
    TAILQ_INIT(&table->ready);
    TAILQ_INIT(&table->flush);
    worker->datagrams = table;
    return 0;
}

/* ---- endpoints ---- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static struct gy_pool_options settle_buffers(struct gy_datagram_endpoint *endpoint)
{
    struct gy_datagram_options *options = &endpoint->options;
    uint32_t head = gy_datagram_head_bytes(endpoint);
    options->message_bytes = or_default(options->message_bytes, BUFFER_BYTES - head);
    if (options->gro || options->message_bytes > GY_DATAGRAM_BYTES_MAX) {
        options->message_bytes = GY_DATAGRAM_BYTES_MAX;
    }
    options->buffers = or_default(options->buffers, options->gro ? TRAIN_BUFFERS : BUFFERS);
    options->posted = or_default(options->posted, options->gro ? TRAIN_POSTED : POSTED);
    return (struct gy_pool_options){
        .buffer_bytes = (head + options->message_bytes + 63) & ~63u,
        .buffers = options->buffers,
        .posted = options->receive_mode == GY_DATAGRAM_RING ? options->posted : 0,
        .mode = GY_RECEIVE_MULTISHOT,
    };
}

int gy_datagram_endpoint_open(struct gy_datagram_endpoint *endpoint, struct gy_worker *worker,
                              const struct gy_datagram_options *options, struct gy_error *error)
{
    gy_assert(options->ops != NULL && options->ops->receive != NULL);
    *endpoint = (struct gy_datagram_endpoint){
        .worker = worker,
        .ops = options->ops,
        .context = options->context,
        .options = *options,
        .train_bytes_max = options->gso ? GY_DATAGRAM_TRAIN_BYTES_MAX : 0,
        .control_bytes = (uint32_t)(CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                    CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int))),
    };
    TAILQ_INIT(&endpoint->starved);
    int code = settle_modes(&endpoint->options, gy_ring_features(worker->ring), error);
    if (code == 0) {
        code = table_open(worker, error);
    }
    if (code != 0) {
        return code;
    }
    struct gy_datagram_table *table = worker->datagrams;
    endpoint->options.sends_max = or_default(options->sends_max, DEFAULT_SENDS);
    struct gy_pool_options pool = settle_buffers(endpoint);
    pool.group = table->group_next;
    if (table->group_next - worker->options.pool.group - GY_LISTENERS_MAX >= GROUPS_MAX) {
        return gy_error_set(error, GY_ELIMIT, "preparing %s: a worker has at most %d endpoints",
                            options->name, GROUPS_MAX);
    }
    code = gy_pool_open(&endpoint->pool, worker->ring, &pool, error);
    if (code != 0) {
        return code;
    }
    table->group_next++;
    endpoint->next = table->endpoints;
    table->endpoints = endpoint;
    return 0;
}

void gy_datagram_endpoint_close(struct gy_datagram_endpoint *endpoint)
{
    gy_assert(endpoint->sockets == 0 && endpoint->sends == 0);
    struct gy_datagram_endpoint **at = &endpoint->worker->datagrams->endpoints;
    while (*at != endpoint) {
        gy_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = endpoint->next;
    gy_pool_close(endpoint->pool);
    endpoint->pool = NULL;
}
