/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The store's thread, and the queues between it and the workers. */

#include "servers/chat/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/file_check.h"
#include "core/log.h"
#include "servers/chat/accounts.h"
#include "servers/chat/holder.h"
#include "servers/chat/job.h"
#include "servers/chat/place.h"

#define BATCH_MAX     4096                     /* jobs of one transaction */
#define ANSWERS       (GY_CHAT_STORE_JOBS * 2) /* a power of two that is more than these */
#define WAIT_MS       GY_CHAT_HOLDER_LOOK_MS
#define WAIT_LOG_MS   10000
#define PRUNE_MS      1000 /* between two rounds */
#define PRUNE_STEP_MS 10   /* between two steps of one */

enum {
    MESSAGE_DONE = GY_MESSAGE_USER,
    MESSAGE_READY,
};

/* Of one worker. */
struct desk {
    struct gy_mailbox jobs; /* from the worker */
    struct gy_inlet inlet;  /* to the worker */
    struct gy_message *job_messages, *answer_messages;
    struct gy_chat_store *store;
    struct gy_chat_store_user user;
    uint32_t joined;                              /* by so many listeners */
    uint32_t under_way;                           /* jobs, with the thread */
    struct gy_chat_job *refused, **refused_end;   /* to be collected */
    struct gy_chat_job *finished, **finished_end; /* the thread's, of one batch */
    _Atomic bool released;
};

struct gy_chat_store {
    struct gy_chat_store_options options;
    struct gy_chat_memory *memory;
    struct gy_chat_db *db;
    struct gy_chat_bans *bans;
    uint8_t secret[GY_CHAT_SECRET_BYTES];
    struct gy_chat_store_counts counts;
    struct gy_bell bell;
    int wake; /* eventfd */
    pthread_t thread;
    pthread_mutex_t lock; /* of joining and leaving; never on a data path */
    uint32_t users;       /* workers that have joined and not left */
    bool running;
    _Atomic bool ending;
    _Atomic bool ready;
    uint64_t prune_ms; /* when the next step is due */
    struct desk *desks;
    struct gy_chat_holder holder; /* another process that has the file */
};

static uint64_t now_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void append(struct gy_chat_job ***end, struct gy_chat_job *job)
{
    job->next = NULL;
    **end = job;
    *end = &job->next;
}

/* ---- the thread ---- */

/* Of jobs that come back to nobody. */
static void free_jobs(struct gy_chat_job *job)
{
    while (job != NULL) {
        struct gy_chat_job *next = job->next;
        gy_chat_job_free(job);
        job = next;
    }
}

/* Under the lock, so that the worker is there as long as this takes. False: its mailbox is full. */
static bool tell(struct desk *desk, uint32_t kind, struct gy_chat_job *jobs)
{
    struct gy_message message = {.kind = kind, .pointers = {jobs}};
    if (desk->joined == 0) {
        free_jobs(jobs);
        return true;
    }
    return gy_worker_post_inlet(desk->user.worker, &desk->inlet, &message) == 0;
}

/*
 * A token for whoever may read the store's folder, beside the store: by it `gyre chat admin` logs
 * in on this host. It is sealed with the store's key, so that it says no more than the store does,
 * and has the store's rights.
 */
static void write_operator(const struct gy_chat_store *store)
{
    static const struct gy_chat_text nick = {GY_CHAT_SERVER_NICK, sizeof GY_CHAT_SERVER_NICK - 1};
    char path[PATH_MAX], next[PATH_MAX];
    char token[GY_CHAT_TOKEN_BYTES + 1];
    if (snprintf(path, sizeof path, "%s" GY_CHAT_OPERATOR_SUFFIX, store->options.path) >=
            (int)sizeof path ||
        snprintf(next, sizeof next, "%s.new", path) >= (int)sizeof next) {
        return;
    }
    gy_chat_token_write(store->secret, GY_CHAT_SERVER_USER, nick, 0, INT64_MAX, token);
    token[GY_CHAT_TOKEN_BYTES] = '\n';
    unlink(next);
    int file = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    bool written = file >= 0 && write(file, token, sizeof token) == (ssize_t)sizeof token;
    gy_descriptor_close(file);
    if (!written || rename(next, path) != 0) {
        char why[GY_FILE_WHY_BYTES];
        gy_log(GY_LOG_WARN, "chat",
               "%s cannot be written (%s): only operators with an account can administer the chat",
               path, gy_file_why(why, next, W_OK, errno));
        unlink(next);
    }
    explicit_bzero(token, sizeof token);
}

/* Opens the file, unless another process has it still. 0, GY_EAGAIN or another error. */
static int open_file(void *context, struct gy_error *error)
{
    struct gy_chat_store *store = context;
    struct gy_chat_db_options options = {.path = store->options.path,
                                         .retention = store->options.retention};
    int code = gy_chat_db_open(&store->db, &options, error);
    if (code == 0) {
        gy_chat_db_secret(store->db, store->secret);
        gy_chat_db_bans(store->db, store->bans);
        write_operator(store);
    }
    return code;
}

static void say_ready(struct gy_chat_store *store)
{
    pthread_mutex_lock(&store->lock);
    atomic_store(&store->ready, true);
    for (uint32_t i = 0; i < store->options.workers; i++) {
        bool told = tell(&store->desks[i], MESSAGE_READY, NULL);
        gy_assert(told); /* it is the first message */
    }
    pthread_mutex_unlock(&store->lock);
}

/* Sleeps until a job comes, or for so long. */
static void sleep_until(struct gy_chat_store *store, int timeout_ms)
{
    struct pollfd poll_for = {.fd = store->wake, .events = POLLIN};
    bool nothing = !atomic_load(&store->ending);
    gy_bell_sleep(&store->bell);
    for (uint32_t i = 0; i < store->options.workers && nothing; i++) {
        nothing = gy_mailbox_empty(&store->desks[i].jobs);
    }
    if (nothing && poll(&poll_for, 1, timeout_ms) > 0) {
        uint64_t value;
        ssize_t got = read(store->wake, &value, sizeof value);
        (void)got; /* whoever rang has rung */
    }
    gy_bell_wake(&store->bell);
}

static uint32_t take_jobs(struct gy_chat_store *store, struct gy_chat_job **first)
{
    struct gy_chat_job **end = first;
    struct gy_message message;
    uint32_t count = 0;
    *first = NULL;
    for (uint32_t i = 0; i < store->options.workers; i++) {
        while (count < BATCH_MAX && gy_mailbox_pop(&store->desks[i].jobs, &message)) {
            append(&end, message.pointers[0]);
            count++;
        }
    }
    return count;
}

/* Of each worker's jobs one message. */
static void give_back(struct gy_chat_store *store, struct gy_chat_job *first)
{
    uint64_t failures = 0;
    while (first != NULL) {
        struct gy_chat_job *next = first->next;
        struct desk *desk = &store->desks[first->hub];
        failures +=
            first->result == GY_ENOSPACE || first->result == GY_EIO || first->result == GY_ENOMEM;
        append(&desk->finished_end, first);
        first = next;
    }
    for (uint32_t i = 0; i < store->options.workers; i++) {
        struct desk *desk = &store->desks[i];
        if (desk->finished != NULL) {
            pthread_mutex_lock(&store->lock);
            bool told = tell(desk, MESSAGE_DONE, desk->finished);
            pthread_mutex_unlock(&store->lock);
            gy_assert(told); /* as many messages have room as there can be jobs, and one */
            desk->finished = NULL;
            desk->finished_end = &desk->finished;
        }
    }
    if (failures > 0 && store->db != NULL) {
        gy_count(&store->counts.failures, failures);
        gy_log_limited(GY_LOG_ERROR, "chat", "the store %s failed: %s; senders are told so",
                       store->options.path, gy_chat_db_reason(store->db));
    }
}

/* When the next step of pruning is due; does it if it is now. */
static int prune(struct gy_chat_store *store)
{
    uint64_t now = now_ms(CLOCK_MONOTONIC);
    if (now >= store->prune_ms) {
        bool more = gy_chat_db_prune(store->db, now_ms(CLOCK_REALTIME));
        gy_gauge_set(&store->counts.pruned, gy_chat_db_pruned(store->db));
        store->prune_ms = now + (more ? PRUNE_STEP_MS : PRUNE_MS);
    }
    return (int)(store->prune_ms - now);
}

static bool all_released(const struct gy_chat_store *store)
{
    for (uint32_t i = 0; i < store->options.workers; i++) {
        if (!atomic_load(&store->desks[i].released)) {
            return false;
        }
    }
    return true;
}

static void wait_for_file(struct gy_chat_store *store)
{
    uint64_t said_ms = now_ms(CLOCK_MONOTONIC);
    struct gy_error error = {0};
    while (store->db == NULL && !atomic_load(&store->ending)) {
        int code = open_file(store, &error);
        if (code == 0) {
            break;
        }
        uint64_t now = now_ms(CLOCK_MONOTONIC);
        if (code != GY_EAGAIN || now - said_ms >= WAIT_LOG_MS) {
            gy_log_limited(GY_LOG_WARN, "chat", "%s; waiting for it", error.message);
            said_ms = now;
        }
        sleep_until(store, WAIT_MS);
    }
}

/* After the file was given up nothing is done any more: another process may have it. */
static void do_jobs(struct gy_chat_store *store, struct gy_chat_job *first)
{
    if (store->db != NULL) {
        gy_chat_db_run(store->db, first);
        return;
    }
    for (struct gy_chat_job *job = first; job != NULL; job = job->next) {
        job->result = GY_EAGAIN;
    }
}

static void *run(void *context)
{
    struct gy_chat_store *store = context;
    wait_for_file(store);
    if (store->db != NULL) {
        say_ready(store);
    }
    while (!atomic_load(&store->ending)) {
        struct gy_chat_job *first = NULL;
        uint32_t count = take_jobs(store, &first);
        if (count > 0) {
            do_jobs(store, first);
            gy_count(&store->counts.jobs, count);
            gy_count(&store->counts.transactions, 1);
            if (count > atomic_load(&store->counts.jobs_max)) {
                gy_gauge_set(&store->counts.jobs_max, count);
            }
            give_back(store, first);
        }
        int due_ms = store->db != NULL ? prune(store) : -1;
        if (count == 0 && store->db != NULL && all_released(store)) {
            gy_chat_db_close(store->db);
            store->db = NULL;
        } else if (count == 0) {
            sleep_until(store, due_ms);
        }
    }
    gy_chat_db_close(store->db); /* here: the file is of the descriptors that this thread knows */
    store->db = NULL;
    return NULL;
}

/* ---- workers ---- */

static void on_message(struct gy_inlet *inlet, const struct gy_message *message)
{
    struct desk *desk = (struct desk *)((char *)inlet - offsetof(struct desk, inlet));
    if (message->kind == MESSAGE_READY) {
        desk->user.ready(desk->user.context);
        return;
    }
    struct gy_chat_job *job = message->pointers[0];
    while (job != NULL) {
        struct gy_chat_job *next = job->next;
        gy_assert(desk->under_way > 0);
        desk->under_way--;
        desk->user.done(desk->user.context, job);
        job = next;
    }
}

static int start_thread(struct gy_chat_store *store, struct gy_error *error)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are for the control thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int cause = pthread_create(&store->thread, NULL, run, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cause != 0) {
        return gy_error_set(error, GY_EREFUSED, "starting the thread of the chat's store: %s",
                            strerror(cause));
    }
    store->running = true;
    return 0;
}

/* Under the lock, by the first: what is wrong with the file is told before anybody is served. */
static int start(struct gy_chat_store *store, struct gy_error *error)
{
    if (store->memory != NULL) {
        atomic_store(&store->ready, true);
        return 0;
    }
    int code = gy_chat_holder_await(&store->holder, store->options.path, open_file, store, error);
    if (code != 0 && code != GY_EAGAIN) {
        return code;
    }
    return start_thread(store, error);
}

int gy_chat_store_join(struct gy_chat_store *store, const struct gy_chat_store_user *user,
                       struct gy_error *error)
{
    struct desk *desk = &store->desks[user->worker->options.number];
    int code = 0;
    pthread_mutex_lock(&store->lock);
    gy_assert(desk->joined == 0);
    desk->user = *user;
    desk->joined = 1;
    gy_worker_add_inlet(user->worker, &desk->inlet);
    bool ready = atomic_load(&store->ready);
    if (store->users++ == 0) {
        code = start(store, error);
        ready = store->memory != NULL;
    }
    if (code != 0) {
        store->users--;
        desk->joined = 0;
        gy_worker_remove_inlet(user->worker, &desk->inlet);
        gy_chat_db_close(store->db);
        store->db = NULL;
    }
    pthread_mutex_unlock(&store->lock);
    if (code == 0 && ready) {
        user->ready(user->context);
    }
    return code;
}

/* What comes back to nobody. */
static void free_messages(struct gy_mailbox *mailbox)
{
    struct gy_message message;
    while (gy_mailbox_pop(mailbox, &message)) {
        free_jobs(message.kind == MESSAGE_DONE ? message.pointers[0] : NULL);
    }
}

static void ring(struct gy_chat_store *store)
{
    eventfd_write(store->wake, 1); /* EAGAIN: it is rung already */
}

void gy_chat_store_leave(struct gy_chat_store *store, struct gy_worker *worker)
{
    struct desk *desk = &store->desks[worker->options.number];
    struct gy_message message;
    /* What is under way comes back: the thread is there until the last worker has left. */
    while (gy_chat_store_collect(store, worker) || desk->under_way > 0) {
        if (gy_mailbox_pop(&desk->inlet.mailbox, &message)) {
            on_message(&desk->inlet, &message);
        } else if (desk->under_way > 0) {
            usleep(100);
        }
    }
    pthread_mutex_lock(&store->lock);
    gy_assert(desk->joined == 1 && store->users > 0);
    desk->joined = 0;
    bool last = --store->users == 0;
    pthread_mutex_unlock(&store->lock);
    if (last && store->running) {
        atomic_store(&store->ending, true);
        ring(store);
        pthread_join(store->thread, NULL);
        store->running = false;
    }
    if (last) {
        gy_chat_db_close(store->db);
        store->db = NULL;
    }
    gy_worker_remove_inlet(worker, &desk->inlet);
}

void gy_chat_store_release(struct gy_chat_store *store, struct gy_worker *worker)
{
    struct desk *desk = &store->desks[worker->options.number];
    if (!atomic_exchange(&desk->released, true)) {
        ring(store);
    }
}

void gy_chat_store_submit(struct gy_chat_store *store, struct gy_worker *worker,
                          struct gy_chat_job *job)
{
    struct desk *desk = &store->desks[worker->options.number];
    struct gy_message message = {.kind = MESSAGE_DONE, .pointers = {job}};
    job->next = NULL;
    job->hub = worker->options.number;
    if (store->memory != NULL) {
        gy_chat_memory_run(store->memory, job);
        append(&desk->refused_end, job);
    } else if (!atomic_load(&store->ready) || desk->under_way == GY_CHAT_STORE_JOBS ||
               gy_mailbox_push(&desk->jobs, &message) != 0) {
        job->result = GY_EAGAIN;
        append(&desk->refused_end, job);
    } else {
        atomic_store(&desk->released, false);
        desk->under_way++;
        if (gy_bell_must_ring(&store->bell)) {
            ring(store);
        }
    }
}

bool gy_chat_store_collect(struct gy_chat_store *store, struct gy_worker *worker)
{
    struct desk *desk = &store->desks[worker->options.number];
    struct gy_chat_job *job = desk->refused;
    bool any = job != NULL;
    desk->refused = NULL;
    desk->refused_end = &desk->refused;
    while (job != NULL) {
        struct gy_chat_job *next = job->next;
        desk->user.done(desk->user.context, job);
        job = next;
    }
    return any;
}

struct gy_chat_bans *gy_chat_store_bans(const struct gy_chat_store *store)
{
    return store->bans;
}

const uint8_t *gy_chat_store_secret(const struct gy_chat_store *store)
{
    return store->secret;
}

const struct gy_chat_store_counts *gy_chat_store_counts(const struct gy_chat_store *store)
{
    return &store->counts;
}

/* ---- making it ---- */

static void *lines(size_t bytes)
{
    size_t whole = (bytes + GY_CACHE_LINE_BYTES - 1) & ~(size_t)(GY_CACHE_LINE_BYTES - 1);
    void *memory = aligned_alloc(GY_CACHE_LINE_BYTES, whole);
    if (memory != NULL) {
        memset(memory, 0, whole);
    }
    return memory;
}

static int make_desks(struct gy_chat_store *store)
{
    store->desks = lines(store->options.workers * sizeof *store->desks);
    if (store->desks == NULL) {
        return GY_ENOMEM;
    }
    for (uint32_t i = 0; i < store->options.workers; i++) {
        struct desk *desk = &store->desks[i];
        desk->job_messages = lines(GY_CHAT_STORE_JOBS * sizeof(struct gy_message));
        desk->answer_messages = lines(ANSWERS * sizeof(struct gy_message));
        if (desk->job_messages == NULL || desk->answer_messages == NULL) {
            return GY_ENOMEM;
        }
        gy_mailbox_init(&desk->jobs, desk->job_messages, GY_CHAT_STORE_JOBS);
        gy_mailbox_init(&desk->inlet.mailbox, desk->answer_messages, ANSWERS);
        desk->inlet.on_message = on_message;
        desk->store = store;
        desk->refused_end = &desk->refused;
        desk->finished_end = &desk->finished;
    }
    return 0;
}

int gy_chat_store_make(struct gy_chat_store **made, const struct gy_chat_store_options *options,
                       struct gy_error *error)
{
    struct gy_chat_store *store = lines(sizeof *store);
    gy_assert(options->workers > 0 && options->workers <= GY_CHAT_STORE_WORKERS_MAX);
    if (store == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making the chat's store: out of memory");
    }
    store->options = *options;
    store->holder.supervised = options->supervised;
    store->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    gy_bell_init(&store->bell);
    pthread_mutex_init(&store->lock, NULL);
    int code = store->wake < 0 ? gy_error_from_errno(errno) : make_desks(store);
    store->bans = gy_chat_bans_make();
    code = code == 0 && store->bans == NULL ? GY_ENOMEM : code;
    if (code == 0 && options->path == NULL) {
        store->memory = gy_chat_memory_make(&options->retention);
        bool random =
            getrandom(store->secret, sizeof store->secret, 0) == (ssize_t)sizeof store->secret;
        code = store->memory == NULL ? GY_ENOMEM : random ? 0 : GY_EIO;
    }
    if (code != 0) {
        gy_chat_store_free(store);
        return gy_error_set(error, code, "making the chat's store: %s", gy_error_text(code));
    }
    *made = store;
    return 0;
}

void gy_chat_store_free(struct gy_chat_store *store)
{
    if (store == NULL) {
        return;
    }
    gy_assert(!store->running && store->users == 0);
    for (uint32_t i = 0; store->desks != NULL && i < store->options.workers; i++) {
        struct desk *desk = &store->desks[i];
        if (desk->answer_messages != NULL) {
            free_messages(&desk->jobs);
            free_messages(&desk->inlet.mailbox);
        }
        free_jobs(desk->refused);
        free(desk->job_messages);
        free(desk->answer_messages);
    }
    gy_chat_memory_free(store->memory);
    gy_chat_bans_free(store->bans);
    gy_chat_db_close(store->db);
    gy_descriptor_close(store->wake);
    pthread_mutex_destroy(&store->lock);
    free(store->desks);
    free(store);
}
