/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/datagram_internal.h"
#include "core/descriptor.h"
#include "core/worker.h"

/* Descriptors that are not connections: rings, eventfds, listeners, log, what libraries open. */
#define DESCRIPTORS_APART   64
#define CONNECTIONS_DEFAULT 1048576u
/* In each worker's own table, of every worker: ring, eventfd, reserve. */
#define DESCRIPTORS_A_WORKER 3
#define WAY_OUT              "raise `ulimit -n`, or LimitNOFILE= of the service"

/* ---- how many ---- */

static uint64_t open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit = raised;
        }
    }
    return limit.rlim_cur;
}

static void *try_apart(void *refused)
{
    *(int *)refused = unshare(CLONE_FILES) == 0 ? 0 : errno;
    return NULL;
}

/* errno of the refusal, or 0. */
static int refusal(void)
{
    pthread_t thread;
    int refused = 0;
    int failed = pthread_create(&thread, NULL, try_apart, &refused);
    if (failed != 0) {
        return failed;
    }
    pthread_join(thread, NULL);
    return refused;
}

static uint64_t allowed(uint64_t files, uint64_t apart)
{
    uint64_t left = files > 2 * apart ? files - apart : apart;
    return left < CONNECTIONS_DEFAULT ? left : CONNECTIONS_DEFAULT;
}

void gy_tables_limit(struct gy_tables_limit *limit, enum gy_tables wanted, uint32_t workers,
                     uint32_t asked)
{
    gy_assert(workers > 0);
    *limit = (struct gy_tables_limit){
        .wanted = wanted, .workers = workers, .asked = asked, .open_files = open_files()};
    uint64_t together = allowed(limit->open_files, DESCRIPTORS_APART);
    uint64_t wish = (uint64_t)asked * workers;
    bool wants = wanted == GY_TABLES_EACH || (wanted == GY_TABLES_AUTO && wish > together);
    if (wants && workers > 1) {
        limit->refused = refusal();
        limit->apart = limit->refused == 0;
    }
    uint64_t most = limit->apart ? allowed(limit->open_files,
                                           DESCRIPTORS_APART + DESCRIPTORS_A_WORKER * workers)
                                 : together;
    limit->each = asked != 0 && asked < most ? asked : (uint32_t)most;
    limit->all = (uint64_t)limit->each * workers;
    if (!limit->apart && limit->all > together) {
        limit->all = together;
    }
    gy_assert(limit->each > 0 && limit->all >= limit->each);
}

uint64_t gy_tables_share(const struct gy_tables_limit *limit, uint32_t number)
{
    gy_assert(number < limit->workers);
    return limit->all / limit->workers + (number < limit->all % limit->workers);
}

bool gy_tables_advice(const struct gy_tables_limit *limit, char *text, size_t bytes)
{
    unsigned long long files = limit->open_files;
    unsigned long long all = limit->all;
    if (limit->asked > limit->each) {
        snprintf(text, bytes,
                 "%u connections a worker were asked for, but the limit on open files (%llu) "
                 "allows %u; " WAY_OUT "%s",
                 limit->asked, files, limit->each,
                 limit->apart ? ", or start more workers: each has a table of its own" : "");
    } else if ((uint64_t)limit->asked * limit->workers > limit->all) {
        const char *way = limit->refused != 0
                              ? "; the kernel refused each worker a table of its own: "
                              : ", or give each worker a table of its own: descriptor-tables auto";
        snprintf(text, bytes,
                 "%u connections on each of %u workers were asked for, but the limit on open files "
                 "(%llu) allows %llu in all; " WAY_OUT "%s%s",
                 limit->asked, limit->workers, files, all, way,
                 limit->refused != 0 ? strerror(limit->refused) : "");
    } else if (limit->asked == 0 && limit->open_files < GY_TABLES_FEW) {
        snprintf(text, bytes, "the limit on open files (%llu) allows %llu connections; " WAY_OUT,
                 files, all);
    } else {
        return false;
    }
    return true;
}

void gy_tables_grow(const struct gy_tables_limit *limit)
{
    uint64_t wish = (limit->apart ? limit->each : limit->all) + DESCRIPTORS_APART;
    wish = wish < limit->open_files ? wish : limit->open_files;
    int most = (int)(wish < GY_TABLES_GROWN ? wish : GY_TABLES_GROWN);
    int any = eventfd(0, EFD_CLOEXEC);
    int last = any < 0 ? -1 : fcntl(any, F_DUPFD_CLOEXEC, most - 1);
    gy_descriptor_close(last);
    gy_descriptor_close(any);
}

int gy_tables_parse(const char *name, enum gy_tables *tables)
{
    static const char *const names[] = {
        [GY_TABLES_AUTO] = "auto", [GY_TABLES_ONE] = "one", [GY_TABLES_EACH] = "per-worker"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *tables = (enum gy_tables)i;
            return 0;
        }
    }
    return GY_EINVAL;
}

/* ---- parting ---- */

static uint32_t sockets_of(const struct gy_worker *worker, int *sockets)
{
    const struct gy_datagram_table *datagrams = worker->datagrams;
    uint32_t count = 0;
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        sockets[count++] = worker->listeners[i].descriptor;
    }
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (worker->generations[slot] & 1) {
            const struct gy_stream *stream = gy_slab_at(&worker->streams, slot);
            sockets[count++] = stream->descriptor;
        }
    }
    for (uint32_t slot = 0; datagrams != NULL && slot < datagrams->sockets.fresh; slot++) {
        if (datagrams->generations[slot] & 1) {
            const struct gy_datagram_socket *socket = gy_slab_at(&datagrams->sockets, slot);
            sockets[count++] = socket->descriptor;
        }
    }
    return count;
}

int gy_tables_note(struct gy_table *table, const struct gy_worker *worker)
{
    *table = (struct gy_table){.ring = gy_ring_descriptor(worker->ring),
                               .wake = worker->wake_descriptor,
                               .reserve = worker->reserve_descriptor};
    size_t most = (size_t)worker->listener_count + worker->streams.fresh +
                  (worker->datagrams != NULL ? worker->datagrams->sockets.fresh : 0);
    table->sockets = calloc(most + 1, sizeof *table->sockets);
    if (table->sockets == NULL) {
        return GY_ENOMEM;
    }
    table->socket_count = sockets_of(worker, table->sockets);
    gy_assert(table->socket_count <= most);
    return 0;
}

static void close_sockets(const struct gy_table *table)
{
    for (uint32_t i = 0; i < table->socket_count; i++) {
        gy_descriptor_close(table->sockets[i]);
    }
}

int gy_tables_part(const struct gy_table *tables, uint32_t count, uint32_t number,
                   struct gy_error *error)
{
    gy_assert(number < count);
    if (unshare(CLONE_FILES) != 0) {
        return gy_error_set(error, gy_error_from_errno(errno),
                            "giving worker %u a table of descriptors of its own: %s; without "
                            "(descriptor-tables one) all workers share the limit on open files",
                            number, strerror(errno));
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i != number) {
            close_sockets(&tables[i]);
        }
    }
    return 0;
}

void gy_tables_left(struct gy_table *tables, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct gy_table *table = &tables[i];
        close_sockets(table);
        table->socket_count = 0;
        close(table->ring);
        gy_descriptor_close(table->reserve);
        table->ring = table->reserve = -1;
    }
}

void gy_tables_forget(struct gy_table *tables, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct gy_table *table = &tables[i];
        bool parted = table->sockets != NULL && table->ring < 0;
        if (parted) {
            close(table->wake);
        }
        free(table->sockets);
        *table = (struct gy_table){.ring = -1, .wake = -1, .reserve = -1};
    }
}
