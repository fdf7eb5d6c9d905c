/* SPDX-License-Identifier: GPL-3.0-or-later */

/* One run: threads with an engine each, from connecting to the sum of their figures. */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/engine.h"
#include "bench/load/place.h"
#include "bench/load/process.h"
#include "core/selftest.h"

#define TICK_NS UINT64_C(200000000)
#define LEAD_NS UINT64_C(2000000) /* from "go" to the first request */
#define WAKE    SIGUSR1

struct run;

struct run_thread {
    struct run *run;
    struct gy_load_engine engine;
    pthread_t thread;
    bool created;
    int code;
};

struct run {
    const struct gy_load_options *options;
    const void *plan;
    enum gy_receive_mode mode;
    struct run_thread *threads;
    sem_t opened;
    sem_t go;
    _Atomic bool stop;
    _Atomic uint32_t left;
    uint64_t began_ns; /* to connect */
    double connect_s;
    uint64_t start_ns, from_ns, until_ns;
    uint64_t wall_ms; /* since 1970, at from_ns */
    double server_from_s, server_until_s;
    uint64_t server_from_answered, server_until_answered;
    bool server_from_read, server_until_read;
    struct gy_load_counters counters_from, counters_until;
    struct gy_error server_error; /* of the first reading that failed */
    uint64_t shown_ns, shown_answered;
};

static bool interrupted;
static pthread_t control_thread;

bool gy_load_interrupted(void)
{
    return interrupted;
}

static void notify(void)
{
    pthread_kill(control_thread, WAKE);
}

static void *thread_main(void *argument)
{
    struct run_thread *thread = argument;
    struct run *run = thread->run;
    thread->code =
        gy_load_make_room(run->options, thread->engine.connections, &thread->engine.error);
    if (thread->code == 0) {
        thread->code = gy_load_engine_open(&thread->engine, run->plan, run->mode);
    }
    if (thread->code != 0) {
        atomic_store(&run->stop, true); /* the others need not go on */
    }
    sem_post(&run->opened);
    notify();
    while (sem_wait(&run->go) != 0) {
    }
    if (thread->code == 0 && !atomic_load(&run->stop)) {
        thread->code = gy_load_engine_run(&thread->engine);
    }
    atomic_fetch_sub(&run->left, 1);
    notify();
    gy_load_engine_close(&thread->engine);
    return NULL;
}

/* ---- signals and progress ---- */

static void stop_all(struct run *run)
{
    atomic_store(&run->stop, true);
}

/* Sleeps until a thread has news, a signal came, or `until_ns`. */
static void wait_until(struct run *run, uint64_t until_ns)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, WAKE);
    uint64_t now_ns = gy_load_now_ns();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec left = {(time_t)(left_ns / 1000000000u), (long)(left_ns % 1000000000u)};
    int signal = sigtimedwait(&set, NULL, &left);
    if (signal == SIGINT || signal == SIGTERM) {
        interrupted = true;
        stop_all(run);
    }
}

static uint64_t live_answered(struct run *run)
{
    uint64_t answered = 0;
    for (uint32_t i = 0; i < run->options->threads; i++) {
        answered += gy_counter_read(&run->threads[i].engine.live.answered);
    }
    return answered;
}

/* Of all threads. */
static uint64_t live_connected(struct run *run, uint64_t *failed)
{
    uint64_t connected = 0;
    *failed = 0;
    for (uint32_t i = 0; i < run->options->threads; i++) {
        connected += gy_counter_read(&run->threads[i].engine.live.connected);
        *failed += gy_counter_read(&run->threads[i].engine.live.failed_dials);
    }
    return connected;
}

static bool shows(const struct run *run)
{
    return isatty(STDERR_FILENO) && !run->options->quiet;
}

/* Before the start. Quick ones are not shown. */
static void show_connecting(struct run *run, uint64_t now_ns)
{
    uint64_t failed;
    uint64_t connected = live_connected(run, &failed);
    fprintf(stderr, "\r\033[Kconnecting %5.1f s  %llu of %u",
            (double)(now_ns - run->began_ns) / 1e9, (unsigned long long)connected,
            run->options->connections);
    if (failed > 0) {
        fprintf(stderr, "  %llu dials failed", (unsigned long long)failed);
    }
}

static void show_progress(struct run *run, uint64_t now_ns)
{
    uint64_t answered = live_answered(run);
    uint64_t errors = 0;
    for (uint32_t i = 0; i < run->options->threads; i++) {
        errors += gy_counter_read(&run->threads[i].engine.live.errors);
    }
    double seconds = (double)(now_ns - run->shown_ns) / 1e9;
    double rate = seconds > 0 ? (double)(answered - run->shown_answered) / seconds : 0;
    fprintf(stderr, "\r\033[K%s %5.1f s  %9.0f/s  %llu answered  %llu errors",
            now_ns < run->from_ns ? "warming up" : "measuring ",
            (double)(now_ns - run->start_ns) / 1e9, rate, (unsigned long long)answered,
            (unsigned long long)errors);
    run->shown_ns = now_ns;
    run->shown_answered = answered;
}

/* ---- the server's CPU time, at the edges of the window ---- */

/* Its own counters, and its CPU time: from the process where it is of this host, else as it tells.
 * Each reading comes with the answers up to then: however late this thread is to run, what was
 * answered and what it cost belong together. */
static void read_edge(struct run *run, struct gy_load_counters *counters, double *cpu_s,
                      uint64_t *answered)
{
    const struct gy_load_options *options = run->options;
    *cpu_s = -1;
    if (options->server_admin_given) {
        bool first = run->server_error.message[0] == '\0';
        gy_load_admin_read(&options->server_admin, counters, first ? &run->server_error : NULL);
        *cpu_s = counters->known ? counters->cpu_s : -1;
    }
    if (options->server_pid != 0) {
        *cpu_s = gy_load_process_cpu_s(options->server_pid);
    }
    *answered = live_answered(run);
}

static void read_first_edge(struct run *run)
{
    if (!run->server_from_read) {
        run->server_from_read = true;
        read_edge(run, &run->counters_from, &run->server_from_s, &run->server_from_answered);
    }
}

static void read_server(struct run *run, uint64_t now_ns)
{
    if (now_ns >= run->from_ns) {
        read_first_edge(run);
    }
    bool ended = now_ns >= run->until_ns || atomic_load(&run->left) == 0 || atomic_load(&run->stop);
    if (run->server_from_read && !run->server_until_read && ended) {
        run->server_until_read = true;
        read_edge(run, &run->counters_until, &run->server_until_s, &run->server_until_answered);
    }
}

static uint64_t next_event(const struct run *run, uint64_t now_ns)
{
    uint64_t next_ns = now_ns + TICK_NS;
    if (now_ns < run->from_ns && run->from_ns < next_ns) {
        next_ns = run->from_ns;
    }
    if (now_ns < run->until_ns && run->until_ns < next_ns) {
        next_ns = run->until_ns;
    }
    return next_ns;
}

/* A thread that ends before its time and its share of requests found no server. */
static bool one_gave_up(const struct run *run)
{
    return run->options->requests == 0 && gy_load_now_ns() < run->until_ns &&
           atomic_load(&run->left) < run->options->threads;
}

static void control(struct run *run)
{
    bool show = shows(run);
    uint64_t shown_ns = 0;
    while (atomic_load(&run->left) > 0) {
        uint64_t now_ns = gy_load_now_ns();
        read_server(run, now_ns);
        if (show && now_ns >= shown_ns + TICK_NS && now_ns > run->start_ns) {
            shown_ns = now_ns;
            show_progress(run, now_ns);
        }
        wait_until(run, next_event(run, now_ns));
        if (one_gave_up(run)) {
            stop_all(run);
        }
    }
    read_server(run, gy_load_now_ns());
    if (show) {
        fprintf(stderr, "\r\033[K");
    }
}

/* Why the server's time is not known, though it was asked for. */
static void explain_server(const struct run *run, struct gy_load_result *result)
{
    const struct gy_load_options *options = run->options;
    if (result->server_cpu_s >= 0 || (!options->server_admin_given && options->server_pid == 0)) {
        return;
    }
    if (run->server_error.message[0] != '\0') {
        result->server_error = run->server_error;
    } else if (run->server_until_answered <= run->server_from_answered) {
        gy_error_set(&result->server_error, GY_EAGAIN,
                     "nothing was answered between the two readings of it: measure for longer");
    } else if (options->server_pid != 0) {
        gy_error_set(&result->server_error, GY_ECLOSED, "process %d has ended",
                     options->server_pid);
    } else {
        gy_error_set(&result->server_error, GY_ECLOSED,
                     "another process served in the end than at first");
    }
}

/* ---- threads ---- */

static uint64_t share_of(uint64_t total, uint32_t parts, uint32_t number)
{
    return total / parts + (number < total % parts);
}

/* Until so many threads have made theirs, or given up. */
static void wait_for_connections(struct run *run, uint32_t threads)
{
    uint64_t shown_ns = run->began_ns;
    bool shown = false;
    for (uint32_t i = 0; i < threads;) {
        uint64_t now_ns = gy_load_now_ns();
        if (sem_trywait(&run->opened) == 0) {
            i++;
            continue;
        }
        if (shows(run) && now_ns >= shown_ns + TICK_NS) {
            shown_ns = now_ns;
            shown = true;
            show_connecting(run, now_ns);
        }
        wait_until(run, now_ns + TICK_NS);
    }
    if (shown) {
        fprintf(stderr, "\r\033[K");
    }
    run->connect_s = (double)(gy_load_now_ns() - run->began_ns) / 1e9;
}

static int start_threads(struct run *run, struct gy_error *error)
{
    const struct gy_load_options *options = run->options;
    uint32_t created = 0;
    int code = 0;
    for (uint32_t i = 0; i < options->threads && code == 0; i++) {
        struct run_thread *thread = &run->threads[i];
        uint32_t connections = (uint32_t)share_of(options->connections, options->threads, i);
        *thread = (struct run_thread){
            .run = run,
            .engine =
                {
                    .options = options,
                    .protocol = options->protocol,
                    .number = i,
                    .connections = connections,
                    .outstanding = (uint32_t)share_of(options->outstanding, options->threads, i),
                    .rate = options->rate / options->threads,
                    .budget = options->requests != 0
                                  ? share_of(options->requests, options->threads, i)
                                  : UINT64_MAX,
                    .stop = &run->stop,
                    .notify = notify,
                },
        };
        int result = pthread_create(&thread->thread, NULL, thread_main, thread);
        if (result != 0) {
            code = gy_error_set(error, gy_error_from_errno(result), "starting thread %u: %s", i,
                                strerror(result));
            break;
        }
        thread->created = true;
        created++;
    }
    if (code != 0) {
        stop_all(run);
    }
    wait_for_connections(run, created);
    atomic_store(&run->left, created);
    return code;
}

static void let_go(struct run *run)
{
    const struct gy_load_options *options = run->options;
    struct timespec wall;
    if (options->warmup_ns == 0) {
        read_first_edge(run); /* a short run would be over before it was read beside it */
    }
    clock_gettime(CLOCK_REALTIME, &wall);
    run->start_ns = gy_load_now_ns() + LEAD_NS;
    run->shown_ns = run->start_ns;
    run->from_ns = run->start_ns + options->warmup_ns;
    run->until_ns =
        options->duration_ns != 0 ? run->from_ns + options->duration_ns : UINT64_MAX / 2;
    run->wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000 +
                   options->warmup_ns / 1000000;
    for (uint32_t i = 0; i < options->threads; i++) {
        struct gy_load_engine *engine = &run->threads[i].engine;
        engine->start_ns = run->start_ns;
        engine->from_ns = run->from_ns;
        engine->until_ns = run->until_ns;
    }
    /* Only now: which thread takes which post is not said. */
    for (uint32_t i = 0; i < options->threads; i++) {
        sem_post(&run->go);
    }
}

/* ---- the sum ---- */

static void add_engine(struct gy_load_result *result, const struct gy_load_engine *engine,
                       bool bounded)
{
    result->answered += engine->answered;
    result->deliveries += engine->fan.deliveries;
    result->scheduled += engine->scheduled;
    result->unsent += engine->unsent;
    result->sent_total += engine->sent_total;
    result->answered_total += engine->answered_total;
    result->connects += engine->connects;
    for (unsigned i = 0; i < GY_LOAD_ERROR_COUNT; i++) {
        result->errors[i] += engine->errors[i];
    }
    for (unsigned i = 0; i < GY_LOAD_DIAL_ERROR_COUNT; i++) {
        result->dial_errors[i] += engine->dial_errors[i];
    }
    for (unsigned i = 0; i < GY_LOAD_TALLIES_MAX; i++) {
        result->tallies[i] += engine->tallies[i];
    }
    if (result->broken[0] == '\0') {
        memcpy(result->broken, engine->broken, sizeof result->broken);
    }
    if (result->stranger[0] == '\0') {
        memcpy(result->stranger, engine->stranger, sizeof result->stranger);
    }
    if (engine->latency != NULL && engine->service != NULL && engine->lateness != NULL) {
        hdr_add(result->latency, engine->latency);
        hdr_add(result->service, engine->service);
        hdr_add(result->lateness, engine->lateness);
        if (engine->rate == 0) {
            hdr_add(result->latency, engine->service);
        }
    }
    if (engine->gave_up && !result->gave_up) {
        result->gave_up = true;
        result->error = engine->error;
    }
    if (engine->began_ns == 0 || engine->ended_ns <= engine->began_ns) {
        return;
    }
    uint64_t ended_ns = engine->ended_ns;
    if (bounded && engine->last_answer_ns > engine->began_ns && engine->last_answer_ns < ended_ns) {
        ended_ns = engine->last_answer_ns; /* what came after it was waiting for nothing */
    }
    double seconds = (double)(ended_ns - engine->began_ns) / 1e9;
    double wall_s = (double)(engine->ended_ns - engine->began_ns) / 1e9;
    double busy = (double)(engine->cpu_ns + engine->delay_ns) / 1e9 / wall_s;
    result->seconds = seconds > result->seconds ? seconds : result->seconds;
    result->busy_max = busy > result->busy_max ? busy : result->busy_max;
    result->generator_cpu_s += (double)engine->cpu_ns / 1e9;
}

/* Why the first thread that could not begin could not, and how far all had come. */
static void explain(struct run *run, const struct gy_error *why, struct gy_error *error)
{
    uint64_t failed;
    uint64_t connected = live_connected(run, &failed);
    *error = *why;
    if (connected > 0 && run->start_ns == 0) {
        gy_error_set(error, why->code, "%llu of %u connections are made, then: %s",
                     (unsigned long long)connected, run->options->connections, why->message);
    }
}

static int collect(struct run *run, struct gy_load_result *result, struct gy_error *error)
{
    int code = 0;
    for (uint32_t i = 0; i < run->options->threads; i++) {
        struct run_thread *thread = &run->threads[i];
        if (!thread->created) {
            continue;
        }
        pthread_join(thread->thread, NULL);
        add_engine(result, &thread->engine, run->options->requests != 0);
        if (thread->code != 0 && code == 0) {
            code = thread->code;
            if (error != NULL) {
                explain(run, &thread->engine.error, error);
            }
        }
        hdr_close(thread->engine.latency);
        hdr_close(thread->engine.service);
        hdr_close(thread->engine.lateness);
    }
    result->interrupted = interrupted;
    result->began_wall_ms = run->wall_ms;
    result->connect_s = run->connect_s;
    bool some = run->server_until_answered > run->server_from_answered; /* else it is of nothing */
    if (run->server_from_read && run->server_until_read && run->server_from_s >= 0 &&
        run->server_until_s >= 0 && some) {
        result->server_cpu_s = run->server_until_s - run->server_from_s;
        result->server_answered = run->server_until_answered - run->server_from_answered;
    }
    result->counters = gy_load_counters_between(&run->counters_from, &run->counters_until);
    if (run->options->server_pid == 0 && !result->counters.known) {
        result->server_cpu_s = -1; /* of another process than at first */
    }
    explain_server(run, result);
    /* A server that went away while it was measured is a finding, not a failure to begin. */
    return result->gave_up && result->connects > 0 && run->start_ns != 0 ? 0 : code;
}

static int choose_mode(struct run *run, struct gy_error *error)
{
    static int chosen = -1; /* it stays what it is while this program runs */
    if (run->options->receive_mode >= 0) {
        run->mode = (enum gy_receive_mode)run->options->receive_mode;
        return 0;
    }
    if (chosen < 0) {
        int code = gy_selftest_choose(0, &run->mode, error);
        if (code != 0) {
            return code;
        }
        chosen = (int)run->mode;
    }
    run->mode = (enum gy_receive_mode)chosen;
    return 0;
}

int gy_load_run(const struct gy_load_options *options, const void *plan,
                struct gy_load_result *result, struct gy_error *error)
{
    *result = (struct gy_load_result){.server_cpu_s = -1};
    result->latency = gy_load_histogram_open();
    result->service = gy_load_histogram_open();
    result->lateness = gy_load_histogram_open();
    struct run run = {.options = options, .plan = plan, .began_ns = gy_load_now_ns()};
    int code = choose_mode(&run, error);
    if (code != 0) {
        return code;
    }
    run.threads = aligned_alloc(64, (sizeof *run.threads * options->threads + 63) & ~(size_t)63);
    if (run.threads == NULL || result->latency == NULL || result->service == NULL ||
        result->lateness == NULL) {
        free(run.threads);
        return gy_error_set(error, GY_ENOMEM, "starting %u threads: out of memory",
                            options->threads);
    }
    memset(run.threads, 0, sizeof *run.threads * options->threads);
    control_thread = pthread_self();
    sem_init(&run.opened, 0, 0);
    sem_init(&run.go, 0, 0);
    code = start_threads(&run, error);
    for (uint32_t i = 0; i < options->threads; i++) {
        if (run.threads[i].created && run.threads[i].code != 0) {
            stop_all(&run); /* the others need not begin */
        }
    }
    if (code == 0 && !atomic_load(&run.stop)) {
        let_go(&run);
        control(&run);
    } else {
        for (uint32_t i = 0; i < options->threads; i++) {
            sem_post(&run.go);
        }
    }
    int found = collect(&run, result, code == 0 ? error : NULL);
    sem_destroy(&run.opened);
    sem_destroy(&run.go);
    free(run.threads);
    return code != 0 ? code : found;
}

void gy_load_result_free(struct gy_load_result *result)
{
    hdr_close(result->latency);
    hdr_close(result->service);
    hdr_close(result->lateness);
    *result = (struct gy_load_result){0};
}
