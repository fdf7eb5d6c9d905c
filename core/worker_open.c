/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A worker's memory, ring and buffers: how they are had, and given back. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/asan.h"
#include "core/descriptor.h"
#include "core/log.h"
#include "core/worker_internal.h"

#define DEFAULT_BLOCKS   4096
#define DEFAULT_MAILBOX  1024
#define LINKS_PER_STREAM 4
#define KEEPS_PER_STREAM 2 /* one that is full, one that is begun */
#define LINKS_BASE       8192

_Static_assert(sizeof(struct gy_keep_block) <= GY_KEEP_BYTES, "a kept leftover is two kibibytes");

/* One reservation for all slabs; pages are touched only when items are first used. */
static int open_memory(struct gy_worker *worker)
{
    const struct gy_worker_options *options = &worker->options;
    uint32_t streams = options->streams_max;
    size_t bytes[] = {
        gy_slab_bytes(sizeof(struct gy_stream), streams),
        gy_slab_bytes(sizeof(struct gy_link), streams * LINKS_PER_STREAM + LINKS_BASE),
        gy_slab_bytes(sizeof(struct gy_bump_block), options->blocks_max),
        gy_slab_bytes(sizeof(struct gy_keep_block), streams * KEEPS_PER_STREAM),
        (sizeof(uint32_t) * streams + 63) & ~(size_t)63,
        gy_file_table_bytes(),
    };
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        worker->memory_bytes += bytes[i];
    }
    worker->memory = mmap(NULL, worker->memory_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (worker->memory == MAP_FAILED) {
        worker->memory = NULL;
        return GY_ENOMEM;
    }
    uint8_t *at = worker->memory;
    gy_slab_init(&worker->streams, at, bytes[0], sizeof(struct gy_stream));
    gy_slab_init(&worker->links, at += bytes[0], bytes[1], sizeof(struct gy_link));
    gy_slab_init(&worker->blocks, at += bytes[1], bytes[2], sizeof(struct gy_bump_block));
    gy_slab_init(&worker->keeps, at += bytes[2], bytes[3], sizeof(struct gy_keep_block));
    worker->generations = (uint32_t *)(at += bytes[3]);
    gy_file_table_init(&worker->files, at + bytes[4]);
    gy_bump_init(&worker->bump, &worker->blocks);
    worker->vectors = calloc(GY_TURN_VECTORS, sizeof *worker->vectors);
    worker->messages = calloc(GY_TURN_MESSAGES, sizeof *worker->messages);
    return worker->vectors == NULL || worker->messages == NULL ? GY_ENOMEM : 0;
}

static void pin(const struct gy_worker *worker)
{
    if (worker->options.processor < 0) {
        return;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)worker->options.processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        gy_log(GY_LOG_WARN, "worker",
               "worker %u could not be pinned to processor %d: %s; it runs unpinned",
               worker->options.number, worker->options.processor, strerror(errno));
    }
}

/* A mode that was forced may be one that this kernel lacks: said now, not by every receive. */
static int check_mode(const struct gy_worker *worker, struct gy_error *error)
{
    static const uint32_t needed[GY_RECEIVE_MODE_COUNT] = {
        [GY_RECEIVE_MULTISHOT] = GY_RING_MULTISHOT_RECEIVE,
        [GY_RECEIVE_INCREMENTAL] = GY_RING_MULTISHOT_RECEIVE | GY_RING_BUFFER_INCREMENTAL,
        [GY_RECEIVE_BUNDLE] = GY_RING_MULTISHOT_RECEIVE | GY_RING_RECEIVE_BUNDLE,
    };
    enum gy_receive_mode mode = worker->options.pool.mode;
    gy_assert(mode >= 0 && mode < GY_RECEIVE_MODE_COUNT);
    if ((needed[mode] & ~gy_ring_features(worker->ring)) == 0) {
        return 0;
    }
    return gy_error_set(error, GY_ENOTSUP,
                        "starting worker %u: receive mode %s is not offered by this kernel; "
                        "`gyre doctor` shows the modes that are",
                        worker->options.number, gy_receive_mode_name(mode));
}

int gy_worker_open(struct gy_worker *worker, const struct gy_worker_options *options,
                   struct gy_worker *const *peers, struct gy_error *error)
{
    gy_assert(options->workers > 0 && options->number < options->workers);
    gy_assert(options->streams_max > 0 && options->streams_max <= GY_SLOT_MAX);
    *worker = (struct gy_worker){
        .options = *options, .peers = peers, .wake_descriptor = -1, .reserve_descriptor = -1};
    worker->options.blocks_max = options->blocks_max == 0 ? DEFAULT_BLOCKS : options->blocks_max;
    worker->options.mailbox_messages =
        options->mailbox_messages == 0 ? DEFAULT_MAILBOX : options->mailbox_messages;
    TAILQ_INIT(&worker->starved);
    TAILQ_INIT(&worker->retrying);
    TAILQ_INIT(&worker->busy);
    TAILQ_INIT(&worker->closing);
    gy_counters_init(&worker->counters);
    if (pthread_getcpuclockid(pthread_self(), &worker->cpu_clock) != 0) {
        worker->cpu_clock = CLOCK_PROCESS_CPUTIME_ID;
    }
    gy_worker_read_clock(worker);
    gy_wheel_init(&worker->wheel, worker->now_ms);
    pin(worker);
    int code = open_memory(worker);
    if (code == 0) {
        code = gy_worker_open_mailboxes(worker);
    }
    if (code != 0) {
        gy_error_set(error, code, "starting worker %u: %s", options->number, gy_error_text(code));
        goto fail;
    }
    code = gy_ring_open(&worker->ring, &options->ring, error);
    if (code != 0) {
        goto fail;
    }
    code = check_mode(worker, error);
    if (code != 0) {
        goto fail;
    }
    code = gy_pool_open(&worker->pool, worker->ring, &options->pool, error);
    if (code != 0) {
        goto fail;
    }
    worker->reserve_descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
fail:
    gy_worker_close(worker);
    return code;
}

void gy_worker_close(struct gy_worker *worker)
{
    if (worker->pool != NULL) {
        gy_worker_finish(worker);
        if (worker->streams_open > 0 || worker->files.operations.used > 0 ||
            gy_datagrams_open(worker) > 0) {
            gy_log(GY_LOG_ERROR, "worker",
                   "worker %u: %llu connections, %u UDP sockets and %u file operations did not "
                   "end; their memory is left to the system",
                   worker->options.number, (unsigned long long)worker->streams_open,
                   gy_datagrams_open(worker), worker->files.operations.used);
            return; /* the kernel may still write to it */
        }
        for (uint32_t i = 0; i < worker->listener_count; i++) {
            gy_listener_close(&worker->listeners[i]);
        }
        gy_datagrams_close(worker);
        gy_bump_close(&worker->bump);
        gy_pool_close(worker->pool);
    }
    gy_ring_close(worker->ring);
    gy_descriptor_close(worker->wake_descriptor);
    gy_descriptor_close(worker->reserve_descriptor);
    free(worker->inboxes);
    free(worker->inbox_messages);
    free(worker->vectors);
    free(worker->messages);
    if (worker->memory != NULL) {
        gy_unpoison(worker->memory, worker->memory_bytes);
        munmap(worker->memory, worker->memory_bytes);
    }
    worker->pool = NULL;
    worker->ring = NULL;
}
