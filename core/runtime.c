/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/runtime.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/selftest.h"
#include "core/worker.h"

#define WORKERS_MAX 1024

/* Of a pool's buffers, so many fewer are with the kernel where each listener has a pool of its own:
 * a turn copies at most 64 KiB into each, while those of others wait. */
#define SHARED_POSTED_DIVISOR 4

struct runtime;

struct runtime_thread {
    struct runtime *runtime;
    struct gy_worker *worker;
    struct gy_worker_options options;
    struct gy_error error;
    pthread_t thread;
    int code;
    bool created;
    bool open;
};

struct runtime {
    const struct gy_runtime_options *options;
    struct gy_child *child;
    struct runtime_thread *threads;
    struct gy_worker **workers;
    struct gy_table *tables; /* where each worker has one of its own */
    uint32_t count;
    struct gy_tables_limit limit;
    sem_t opened;          /* posted by each thread once it has made a step, or failed to */
    sem_t part, go;        /* posted for each thread once all have made the step before */
    sem_t close;           /* posted for each thread once no worker can be posted to any more */
    bool abandoned;        /* one failed: the others close again instead of running */
    _Atomic uint32_t left; /* workers still running */
};

static uint32_t processors(int *list, uint32_t max)
{
    cpu_set_t set;
    uint32_t count = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int i = 0; i < CPU_SETSIZE && count < max; i++) {
            if (CPU_ISSET((size_t)i, &set)) {
                list[count++] = i;
            }
        }
    }
    if (count == 0) {
        list[count++] = -1;
    }
    return count;
}

uint32_t gy_runtime_workers(uint32_t asked)
{
    int list[WORKERS_MAX];
    if (asked == 0) {
        return processors(list, WORKERS_MAX);
    }
    return asked < WORKERS_MAX ? asked : WORKERS_MAX;
}

static int thread_open(struct runtime_thread *thread)
{
    const struct gy_runtime_options *options = thread->runtime->options;
    int code =
        gy_worker_open(thread->worker, &thread->options, thread->runtime->workers, &thread->error);
    if (code != 0) {
        return code;
    }
    thread->open = true;
    for (uint32_t i = 0; i < options->server_count; i++) {
        code = gy_worker_serve(thread->worker, &options->servers[i], &thread->error);
        if (code != 0) {
            return code;
        }
    }
    gy_gauge_set(&thread->worker->counters.connections_limit,
                 gy_tables_share(&thread->runtime->limit, thread->options.number));
    return thread->runtime->tables == NULL
               ? 0
               : gy_tables_note(&thread->runtime->tables[thread->options.number], thread->worker);
}

/* Says how the thread's step went, and waits until all have made theirs. */
static void step_made(struct runtime_thread *thread, int code, sem_t *next)
{
    thread->code = code;
    sem_post(&thread->runtime->opened);
    while (sem_wait(next) != 0) {
    }
}

static void *thread_main(void *argument)
{
    struct runtime_thread *thread = argument;
    struct runtime *runtime = thread->runtime;
    bool apart = runtime->tables != NULL;
    step_made(thread, thread_open(thread), apart ? &runtime->part : &runtime->go);
    if (apart && !runtime->abandoned) {
        step_made(
            thread,
            gy_tables_part(runtime->tables, runtime->count, thread->options.number, &thread->error),
            &runtime->go);
    }
    if (!runtime->abandoned) {
        if (apart) {
            gy_tables_grow(&runtime->limit);
        }
        thread->code = gy_worker_run(thread->worker);
        if (thread->code != 0) {
            gy_error_set(&thread->error, thread->code,
                         "worker %u: its ring broke; the process has to be restarted",
                         thread->options.number);
        }
    }
    if (thread->open) {
        gy_worker_finish(thread->worker);
    }
    atomic_fetch_sub(&runtime->left, 1);
    gy_child_wake(runtime->child);
    while (sem_wait(&runtime->close) != 0) {
    }
    if (thread->open) {
        gy_worker_close(thread->worker);
    }
    return NULL;
}

static int prepare(struct runtime *runtime, enum gy_receive_mode mode)
{
    const struct gy_runtime_options *options = runtime->options;
    int list[WORKERS_MAX];
    uint32_t processor_count = processors(list, WORKERS_MAX);
    runtime->threads = calloc(runtime->count, sizeof *runtime->threads);
    runtime->workers = calloc(runtime->count, sizeof(struct gy_worker *));
    if (runtime->limit.apart) {
        runtime->tables = calloc(runtime->count, sizeof *runtime->tables);
    }
    if (runtime->threads == NULL || runtime->workers == NULL ||
        (runtime->limit.apart && runtime->tables == NULL)) {
        return GY_ENOMEM;
    }
    struct gy_pool_options pool = gy_pool_defaults(mode, 0);
    bool shares = options->server_count > 1;
    if (shares) {
        pool.posted /= SHARED_POSTED_DIVISOR;
    }
    for (uint32_t i = 0; i < runtime->count; i++) {
        runtime->workers[i] = aligned_alloc(GY_CACHE_LINE_BYTES, sizeof(struct gy_worker));
        if (runtime->workers[i] == NULL) {
            return GY_ENOMEM;
        }
        runtime->threads[i] = (struct runtime_thread){
            .runtime = runtime,
            .worker = runtime->workers[i],
            .options =
                {
                    .number = i,
                    .workers = runtime->count,
                    .processor = options->unpinned ? -1 : list[i % processor_count],
                    .streams_max = runtime->limit.each,
                    .shares = shares,
                    .ring.without = options->without,
                    .pool = pool,
                },
        };
    }
    return 0;
}

/* Waits until each of the threads that were created has made its step; then they go on, or, if one
 * failed, give up. */
static int all_step(struct runtime *runtime, uint32_t created, int code, struct gy_error *error)
{
    for (uint32_t i = 0; i < created; i++) {
        while (sem_wait(&runtime->opened) != 0) {
        }
    }
    for (uint32_t i = 0; i < created && code == 0; i++) {
        code = runtime->threads[i].code;
        if (code != 0 && error != NULL) {
            *error = runtime->threads[i].error;
        }
    }
    runtime->abandoned = code != 0;
    return code;
}

static void let_go(sem_t *waiting, uint32_t created)
{
    for (uint32_t i = 0; i < created; i++) {
        sem_post(waiting);
    }
}

/* Starts the threads and waits until each has opened its worker; then lets them run, or, if one
 * failed, close again. */
static int start(struct runtime *runtime, struct gy_error *error)
{
    uint32_t created = 0;
    int code = 0;
    for (uint32_t i = 0; i < runtime->count && code == 0; i++) {
        struct runtime_thread *thread = &runtime->threads[i];
        int result = pthread_create(&thread->thread, NULL, thread_main, thread);
        if (result != 0) {
            code = gy_error_set(error, gy_error_from_errno(result), "starting worker %u: %s", i,
                                strerror(result));
            break;
        }
        thread->created = true;
        created++;
    }
    code = all_step(runtime, created, code, error);
    atomic_store(&runtime->left, created);
    if (runtime->tables != NULL) {
        bool opened = code == 0;
        let_go(&runtime->part, created);
        code = opened ? all_step(runtime, created, 0, error) : code;
        if (code == 0) {
            gy_tables_left(runtime->tables, created);
        }
    }
    let_go(&runtime->go, created);
    return code;
}

static void tell_all(struct runtime *runtime, const struct gy_message *message)
{
    for (uint32_t i = 0; i < runtime->count; i++) {
        while (gy_worker_post(NULL, runtime->workers[i], message) != 0 &&
               atomic_load(&runtime->left) > 0) {
            usleep(1000); /* the control thread can wait; the mailbox is emptied every turn */
        }
    }
}

static bool a_worker_failed(const struct runtime *runtime)
{
    return atomic_load(&runtime->left) < runtime->count;
}

/* Until a reason to end, then until all workers have ended. */
static void control(struct runtime *runtime)
{
    bool ending = false;
    while (atomic_load(&runtime->left) > 0) {
        enum gy_child_event event = gy_child_wait(runtime->child, -1);
        struct gy_message message = {.kind = GY_MESSAGE_DRAIN};
        switch (event) {
        case GY_CHILD_NONE:
            if (ending || !a_worker_failed(runtime)) {
                continue;
            }
            message.kind =
                GY_MESSAGE_STOP; /* one is gone for a reason of its own: the process is not whole */
            break;
        case GY_CHILD_REPLACED:
        case GY_CHILD_DRAIN:
        case GY_CHILD_PARENT_GONE:
            message.numbers[0] = runtime->child->drain_timeout_ms;
            message.numbers[1] = event != GY_CHILD_REPLACED;
            break;
        case GY_CHILD_STOP:
            message.kind = GY_MESSAGE_STOP;
            break;
        }
        ending = true;
        tell_all(runtime, &message);
    }
}

static int finish(struct runtime *runtime, int code, struct gy_error *error)
{
    for (uint32_t i = 0; i < runtime->count; i++) {
        sem_post(&runtime->close);
    }
    for (uint32_t i = 0; runtime->threads != NULL && i < runtime->count; i++) {
        struct runtime_thread *thread = &runtime->threads[i];
        if (thread->created) {
            pthread_join(thread->thread, NULL);
            if (code == 0 && thread->code != 0) {
                code = thread->code;
                if (error != NULL) {
                    *error = thread->error;
                }
            }
        }
    }
    for (uint32_t i = 0; runtime->workers != NULL && i < runtime->count; i++) {
        free(runtime->workers[i]);
    }
    if (runtime->tables != NULL) {
        gy_tables_forget(runtime->tables, runtime->count);
    }
    free(runtime->tables);
    free(runtime->workers);
    free(runtime->threads);
    sem_destroy(&runtime->opened);
    sem_destroy(&runtime->part);
    sem_destroy(&runtime->go);
    sem_destroy(&runtime->close);
    return code;
}

/* GY_EREFUSED where each worker is to have a table of its own, and cannot. */
static int find_limit(struct runtime *runtime, struct gy_error *error)
{
    const struct gy_runtime_options *options = runtime->options;
    struct gy_tables_limit *limit = &runtime->limit;
    char advice[GY_ERROR_MESSAGE_BYTES];
    gy_tables_limit(limit, options->tables, runtime->count, options->connections_max);
    if (limit->refused != 0 && options->tables == GY_TABLES_EACH) {
        return gy_error_set(error, GY_EREFUSED,
                            "giving each worker a table of descriptors of its own: the kernel "
                            "refused: %s; allow unshare(2) in the container's seccomp profile, or "
                            "leave descriptor-tables at auto",
                            strerror(limit->refused));
    }
    if (gy_tables_advice(limit, advice, sizeof advice)) {
        gy_log(limit->asked != 0 ? GY_LOG_WARN : GY_LOG_INFO, "runtime", "%s", advice);
    }
    if (!limit->apart) {
        gy_tables_grow(limit);
    }
    return 0;
}

int gy_runtime_run(const struct gy_runtime_options *options, struct gy_child *child,
                   struct gy_error *error)
{
    gy_assert(options->server_count > 0 && options->servers != NULL);
    enum gy_receive_mode mode = GY_RECEIVE_MULTISHOT;
    int tested;
    if (options->receive_mode == GY_RECEIVE_CHOOSE) {
        tested = gy_selftest_choose(options->without, &mode, error);
    } else {
        mode = (enum gy_receive_mode)options->receive_mode;
        tested = gy_selftest_receive(mode, options->without, error);
    }
    if (tested != 0) {
        return tested;
    }
    struct runtime runtime = {
        .options = options, .child = child, .count = gy_runtime_workers(options->workers)};
    sem_init(&runtime.opened, 0, 0);
    sem_init(&runtime.part, 0, 0);
    sem_init(&runtime.go, 0, 0);
    sem_init(&runtime.close, 0, 0);
    int code = find_limit(&runtime, error);
    if (code != 0) {
        return finish(&runtime, code, NULL);
    }
    code = prepare(&runtime, mode);
    if (code != 0) {
        gy_error_set(error, code, "starting %u workers: %s", runtime.count, gy_error_text(code));
        return finish(&runtime, code, NULL);
    }
    code = start(&runtime, error);
    if (code == 0) {
        gy_log(GY_LOG_DEBUG, "runtime", "%u workers serve, receive mode %s", runtime.count,
               gy_receive_mode_name(mode));
        gy_child_ready(child);
        control(&runtime);
    }
    return finish(&runtime, code, error);
}
