/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/file_check.h"
#include "core/log.h"
#include "core/mailbox.h"

#define QUEUE_BYTES_DEFAULT (256u << 10)
/* Lines are gathered for so long before the writer looks again: the workers wake it this often at
 * most. */
#define GATHER_MS 10
#define RETRY_MS  1000
#define SAY_MS    10000
#define STOP_MS   2000

/* Whole lines, as bytes. Positions count from the start and do not wrap. */
struct gy_access_queue {
    struct gy_access_log *log;
    char *bytes;
    uint64_t head_seen;      /* the writer has taken at least so much */
    uint64_t second_over_ms; /* on the worker's clock: when `time` is out of date */
    char time[GY_ACCESS_TIME_BYTES];
    alignas(GY_CACHE_LINE_BYTES) _Atomic uint64_t tail;
    _Atomic uint64_t dropped;
    alignas(GY_CACHE_LINE_BYTES) _Atomic uint64_t head;
};

struct gy_access_log {
    char *path; /* behind the queues */
    int fd;
    bool owned; /* fd is closed with the log */
    enum gy_access_format format;
    uint32_t workers;
    uint32_t queue_bytes;
    size_t memory_bytes;
    pthread_t writer;
    bool started;
    _Atomic uint64_t stop_by_ms; /* 0: run on */

    /* The writer's. */
    bool failing;        /* said, and not yet over */
    uint64_t retry_ms;   /* while failing */
    uint64_t said_ms;    /* when drops were last spoken of */
    uint64_t said_drops; /* how many had been by then */
    uint32_t next;       /* the queue that is written next */
    struct gy_bell bell;
    struct gy_access_queue queues[];
};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int open_file(struct gy_access_log *log, const char *path, struct gy_error *error)
{
    if (strcmp(path, "-") == 0) {
        log->fd = STDOUT_FILENO;
        return 0;
    }
    log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (log->fd < 0) {
        char why[GY_FILE_WHY_BYTES];
        int cause = errno;
        return gy_error_set(error, gy_error_from_errno(cause), "opening the access log %.200s: %s",
                            path, gy_file_why(why, path, W_OK, cause));
    }
    log->owned = true;
    return 0;
}

int gy_access_log_open(struct gy_access_log **opened, const struct gy_access_options *options,
                       struct gy_error *error)
{
    uint32_t bytes = options->queue_bytes != 0 ? options->queue_bytes : QUEUE_BYTES_DEFAULT;
    gy_assert(options->workers > 0 && (bytes & (bytes - 1)) == 0 && bytes >= GY_ACCESS_LINE_BYTES);
    size_t path_bytes = strlen(options->path) + 1;
    size_t path_at =
        sizeof(struct gy_access_log) + options->workers * sizeof(struct gy_access_queue);
    size_t head = path_at + path_bytes;
    head = (head + 4095) & ~(size_t)4095;
    size_t total = head + (size_t)options->workers * bytes;
    /* Pages of it are used as lines come. */
    struct gy_access_log *log = mmap(NULL, total, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (log == MAP_FAILED) {
        return gy_error_set(error, GY_ENOMEM, "opening the access log %s: out of memory",
                            options->path);
    }
    log->memory_bytes = total;
    log->format = options->format;
    log->workers = options->workers;
    log->queue_bytes = bytes;
    log->path = (char *)log + path_at;
    memcpy(log->path, options->path, path_bytes);
    int code = open_file(log, options->path, error);
    if (code != 0) {
        munmap(log, total);
        return code;
    }
    gy_bell_init(&log->bell);
    for (uint32_t i = 0; i < log->workers; i++) {
        log->queues[i].log = log;
        log->queues[i].bytes = (char *)log + head + (size_t)i * bytes;
    }
    *opened = log;
    return 0;
}

void gy_access_log_close(struct gy_access_log *log)
{
    if (log == NULL || log->started) {
        return; /* its writer hangs in the file and still uses it */
    }
    if (log->owned) {
        close(log->fd);
    }
    munmap(log, log->memory_bytes);
}

struct gy_access_queue *gy_access_log_queue(struct gy_access_log *log, uint32_t worker)
{
    gy_assert(worker < log->workers);
    return &log->queues[worker];
}

uint64_t gy_access_log_dropped(const struct gy_access_log *log)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < log->workers; i++) {
        sum += atomic_load_explicit(&log->queues[i].dropped, memory_order_relaxed);
    }
    return sum;
}

/* ---- the worker's side ---- */

static void wake_writer(struct gy_access_log *log)
{
    if (gy_bell_must_ring(&log->bell)) {
        syscall(SYS_futex, &log->bell.state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static bool push(struct gy_access_queue *queue, const char *line, size_t length)
{
    uint32_t size = queue->log->queue_bytes;
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    if (size - (tail - queue->head_seen) < length) {
        queue->head_seen = atomic_load_explicit(&queue->head, memory_order_acquire);
        if (size - (tail - queue->head_seen) < length) {
            return false;
        }
    }
    size_t at = tail & (size - 1);
    size_t first = length < size - at ? length : size - at;
    memcpy(queue->bytes + at, line, first);
    memcpy(queue->bytes, line + first, length - first);
    atomic_store_explicit(&queue->tail, tail + length, memory_order_release);
    return true;
}

int gy_access_queue_put(struct gy_access_queue *queue, const char *line, size_t length)
{
    gy_assert(length <= GY_ACCESS_LINE_BYTES);
    bool taken = push(queue, line, length);
    if (!taken) {
        uint64_t dropped = atomic_load_explicit(&queue->dropped, memory_order_relaxed);
        atomic_store_explicit(&queue->dropped, dropped + 1, memory_order_relaxed);
    }
    wake_writer(queue->log);
    return taken ? 0 : GY_ENOBUFS;
}

int gy_access_queue_write(struct gy_access_queue *queue, const struct gy_access_entry *entry,
                          uint64_t now_ms)
{
    char line[GY_ACCESS_LINE_BYTES];
    struct gy_access_log *log = queue->log;
    line[0] = '\0';
    if (now_ms >= queue->second_over_ms) {
        uint64_t wall_ms = clock_ms(CLOCK_REALTIME);
        gy_access_time(log->format, wall_ms / 1000, queue->time);
        queue->second_over_ms = now_ms + 1000 - wall_ms % 1000;
    }
    return gy_access_queue_put(queue, line,
                               gy_access_format_line(line, log->format, queue->time, entry));
}

/* ---- the writer ---- */

static bool all_empty(const struct gy_access_log *log)
{
    for (uint32_t i = 0; i < log->workers; i++) {
        if (atomic_load_explicit(&log->queues[i].tail, memory_order_acquire) !=
            atomic_load_explicit(&log->queues[i].head, memory_order_relaxed)) {
            return false;
        }
    }
    return true;
}

/* What the queue holds, as vectors. */
static int gather(const struct gy_access_queue *queue, struct iovec vectors[2])
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&queue->tail, memory_order_acquire) - head;
    size_t at = head & (queue->log->queue_bytes - 1);
    size_t before_wrap = queue->log->queue_bytes - at;
    size_t piece = bytes < before_wrap ? bytes : before_wrap;
    vectors[0] = (struct iovec){queue->bytes + at, piece};
    vectors[1] = (struct iovec){queue->bytes, bytes - piece};
    return bytes == 0 ? 0 : bytes > piece ? 2 : 1;
}

static void say_failure(struct gy_access_log *log, int cause)
{
    log->retry_ms = clock_ms(CLOCK_MONOTONIC) + RETRY_MS;
    if (!log->failing) {
        log->failing = true;
        gy_log(GY_LOG_ERROR, "access-log",
               "%s cannot be written: %s. Lines wait in memory, and are dropped when that is full; "
               "it is tried again every second",
               log->path, strerror(cause));
    }
}

static void say_recovery(struct gy_access_log *log)
{
    if (log->failing) {
        log->failing = false;
        uint64_t dropped = gy_access_log_dropped(log);
        gy_log(GY_LOG_INFO, "access-log", "%s can be written again; %llu lines were dropped",
               log->path, (unsigned long long)(dropped - log->said_drops));
        log->said_drops = dropped;
    }
}

static void say_drops(struct gy_access_log *log)
{
    uint64_t dropped = gy_access_log_dropped(log);
    uint64_t now = clock_ms(CLOCK_MONOTONIC);
    if (dropped == log->said_drops || log->failing || now < log->said_ms + SAY_MS) {
        return;
    }
    gy_log(GY_LOG_WARN, "access-log",
           "%llu lines were dropped: they come faster than %s takes them",
           (unsigned long long)(dropped - log->said_drops), log->path);
    log->said_drops = dropped;
    log->said_ms = now;
}

/* What is queued. False when the file takes nothing, or not all of it, now. */
static bool write_queue(struct gy_access_log *log, struct gy_access_queue *queue)
{
    struct iovec vectors[2];
    int used = gather(queue, vectors);
    if (used == 0) {
        return true;
    }
    ssize_t written = writev(log->fd, vectors, used);
    if (written < 0 && errno == EINTR) {
        return false;
    }
    if (written < 0 && errno == EAGAIN) {
        struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
        poll(&ready, 1, GATHER_MS);
        return false;
    }
    if (written <= 0) {
        say_failure(log, written < 0 ? errno : ENOSPC);
        return false;
    }
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    atomic_store_explicit(&queue->head, head + (uint64_t)written, memory_order_release);
    say_recovery(log);
    return (size_t)written == vectors[0].iov_len + (used == 2 ? vectors[1].iov_len : 0);
}

/* Every queue in turn. After a short write the same queue goes on, lest another's line get into the
 * middle of one of its own. */
static void drain(struct gy_access_log *log)
{
    for (uint32_t i = 0; i < log->workers; i++) {
        if (!write_queue(log, &log->queues[log->next])) {
            break;
        }
        log->next = (log->next + 1) % log->workers;
    }
    say_drops(log);
}

static void pause_ms(uint64_t ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void sleep_until_rung(struct gy_access_log *log)
{
    gy_bell_sleep(&log->bell);
    if (all_empty(log) && atomic_load(&log->stop_by_ms) == 0) {
        syscall(SYS_futex, &log->bell.state, FUTEX_WAIT_PRIVATE, GY_BELL_SLEEPING, NULL, NULL, 0);
    }
    gy_bell_wake(&log->bell);
}

static void *writer_main(void *argument)
{
    struct gy_access_log *log = argument;
    for (;;) {
        uint64_t stop_by = atomic_load(&log->stop_by_ms);
        uint64_t now = clock_ms(CLOCK_MONOTONIC);
        if (stop_by != 0 && (all_empty(log) || now >= stop_by)) {
            return NULL;
        }
        if (!log->failing || now >= log->retry_ms || stop_by != 0) {
            drain(log);
        }
        if (all_empty(log) && stop_by == 0) {
            sleep_until_rung(log);
        }
        pause_ms(GATHER_MS);
    }
}

int gy_access_log_start(struct gy_access_log *log, struct gy_error *error)
{
    gy_assert(!log->started);
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    int result = pthread_create(&log->writer, NULL, writer_main, log);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (result != 0) {
        return gy_error_set(error, gy_error_from_errno(result),
                            "starting the writer of the access log %s: %s", log->path,
                            strerror(result));
    }
    log->started = true;
    return 0;
}

void gy_access_log_stop(struct gy_access_log *log)
{
    if (!log->started) {
        return;
    }
    struct timespec until;
    atomic_store(&log->stop_by_ms, clock_ms(CLOCK_MONOTONIC) + STOP_MS);
    wake_writer(log);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_MS / 1000 + 1;
    if (pthread_timedjoin_np(log->writer, NULL, &until) != 0) {
        gy_log(GY_LOG_WARN, "access-log", "%s does not take what is left: it is lost", log->path);
        return; /* it hangs in its write; the process ends, and it with it */
    }
    log->started = false;
    if (!all_empty(log)) {
        gy_log(GY_LOG_WARN, "access-log", "%s could not be written: what was left is lost",
               log->path);
    }
}
