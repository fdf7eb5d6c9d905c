/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/runtime.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/log.h"
#include "core/selftest.h"
#include "core/worker.h"

#define WORKERS_MAX 1024
/* Descriptors that are not connections: rings, eventfds, listeners, log, what libraries open. */
#define DESCRIPTORS_APART   64
#define CONNECTIONS_DEFAULT 1048576u

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
    uint32_t count;
    sem_t opened;          /* posted by each thread once it has opened its worker, or failed to */
    sem_t go;              /* posted for each thread once all have opened */
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

/* Connections are descriptors: the soft limit is raised to the hard one, which is what bounds a
 * worker's slots. */
static uint32_t connections_limit(uint32_t asked)
{
    struct rlimit limit = {0};
    uint64_t open_files = 1024;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        if (limit.rlim_cur < limit.rlim_max) {
            struct rlimit raised = {limit.rlim_max, limit.rlim_max};
            if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
                limit = raised;
            }
        }
        open_files = limit.rlim_cur;
    }
    uint64_t allowed =
        open_files > 2 * DESCRIPTORS_APART ? open_files - DESCRIPTORS_APART : DESCRIPTORS_APART;
    if (allowed > CONNECTIONS_DEFAULT) {
        allowed = CONNECTIONS_DEFAULT;
    }
    if (asked > allowed) {
        gy_log(GY_LOG_WARN, "runtime",
               "%u connections a worker were asked for, but the limit on open files allows %llu; "
               "raise `ulimit -n`",
               asked, (unsigned long long)allowed);
    }
    return asked != 0 && asked < allowed ? asked : (uint32_t)allowed;
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
    return 0;
}

static void *thread_main(void *argument)
{
    struct runtime_thread *thread = argument;
    struct runtime *runtime = thread->runtime;
    thread->code = thread_open(thread);
    sem_post(&runtime->opened);
    while (sem_wait(&runtime->go) != 0) {
    }
    if (!runtime->abandoned) {
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
    uint32_t connections = connections_limit(options->connections_max);
    runtime->threads = calloc(runtime->count, sizeof *runtime->threads);
    runtime->workers = calloc(runtime->count, sizeof(struct gy_worker *));
    if (runtime->threads == NULL || runtime->workers == NULL) {
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
                    .streams_max = connections,
                    .shares = shares,
                    .ring.without = options->without,
                    .pool = pool,
                },
        };
    }
    return 0;
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
    atomic_store(&runtime->left, created);
    for (uint32_t i = 0; i < created; i++) {
        sem_post(&runtime->go);
    }
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
    free(runtime->workers);
    free(runtime->threads);
    sem_destroy(&runtime->opened);
    sem_destroy(&runtime->go);
    sem_destroy(&runtime->close);
    return code;
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
    sem_init(&runtime.go, 0, 0);
    sem_init(&runtime.close, 0, 0);
    int code = prepare(&runtime, mode);
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
