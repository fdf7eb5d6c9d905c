/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/log.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/log_line.h"
#include "core/mailbox.h"

#define QUEUE_LINES_DEFAULT 512
#define QUEUE_LINES_MAX     (1u << 16)

/* What is written at once: a pipe that polls as writable takes so much without waiting. */
#define BATCH_BYTES 4096

#define POLL_MS 50

/*
 * The queue: any number of producers, one consumer. A place's sequence says whose turn it is: equal
 * to the position, a producer's; one more, the consumer's; a round later, the next producer's. A
 * producer owns a place once it has moved `tail` past it, and never waits for another.
 */
struct place {
    alignas(GY_CACHE_LINE_BYTES) _Atomic uint32_t sequence;
    uint32_t length;
    char text[GY_LOG_LINE_BYTES];
};

static struct {
    int fd;
    bool json;
    bool colour;
    uint32_t queue_lines;

    /* While the writer runs. Whoever pushes counts itself in `pushing` before it looks at `queued`,
     * so that gy_log_stop knows when the last line is in. */
    _Atomic bool queued;
    _Atomic uint32_t pushing;
    _Atomic uint64_t stop_by_ms; /* 0: run on */
    pthread_t writer;
    bool stuck; /* a writer never came back from write() */
    struct place *places;
    struct gy_bell bell; /* the writer sleeps on its state */
    alignas(GY_CACHE_LINE_BYTES) _Atomic uint32_t tail;
    alignas(GY_CACHE_LINE_BYTES) uint32_t head;

    _Atomic uint64_t dropped;
    uint64_t dropped_said; /* what the writer has told of them */
} the_log = {.fd = STDERR_FILENO, .queue_lines = QUEUE_LINES_DEFAULT};

_Atomic int gy_log_level_now = GY_LOG_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

const char *gy_log_level_name(enum gy_log_level level)
{
    gy_assert(level <= GY_LOG_DEBUG);
    return level_names[level];
}

int gy_log_level_parse(const char *name, enum gy_log_level *level)
{
    for (unsigned i = 0; i <= GY_LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum gy_log_level)i;
            return 0;
        }
    }
    return GY_EINVAL;
}

void gy_log_set_level(enum gy_log_level level)
{
    gy_assert(level <= GY_LOG_DEBUG);
    atomic_store_explicit(&gy_log_level_now, (int)level, memory_order_relaxed);
}

uint64_t gy_log_dropped(void)
{
    return atomic_load_explicit(&the_log.dropped, memory_order_relaxed);
}

static void drop(uint64_t lines)
{
    atomic_fetch_add_explicit(&the_log.dropped, lines, memory_order_relaxed);
}

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t gy_log_now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC_COARSE);
}

static bool wants_colour(int fd)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return (no_colour == NULL || no_colour[0] == '\0') &&
           (terminal == NULL || strcmp(terminal, "dumb") != 0) && isatty(fd);
}

int gy_log_configure(const struct gy_log_settings *settings, struct gy_error *error)
{
    uint32_t lines = settings->queue_lines == 0 ? QUEUE_LINES_DEFAULT : settings->queue_lines;
    if (atomic_load(&the_log.queued)) {
        return gy_error_set(error, GY_ESTATE, "changing the log's settings: its writer is running");
    }
    if (settings->fd < 0 || settings->level > GY_LOG_DEBUG) {
        return gy_error_set(error, GY_EINVAL,
                            "changing the log's settings: there is no descriptor %d or level %d",
                            settings->fd, (int)settings->level);
    }
    if ((lines & (lines - 1)) != 0 || lines > QUEUE_LINES_MAX) {
        return gy_error_set(error, GY_EINVAL,
                            "changing the log's settings: a queue of %u lines is not possible; use "
                            "a power of two up to %u",
                            lines, QUEUE_LINES_MAX);
    }
    the_log.fd = settings->fd;
    the_log.json = settings->json;
    the_log.colour =
        settings->colour == GY_LOG_COLOUR_AUTO && !settings->json && wants_colour(settings->fd);
    the_log.queue_lines = lines;
    gy_log_set_level(settings->level);
    return 0;
}

/* Writes bytes of whole lines. Waits for the descriptor until `deadline_ms` (monotonic), or while
 * it is zero. Returns how many bytes were not written. */
static size_t write_out(const char *data, size_t bytes, const _Atomic uint64_t *deadline_ms)
{
    while (bytes > 0) {
        uint64_t deadline = atomic_load(deadline_ms);
        bool late = deadline != 0 && clock_ms(CLOCK_MONOTONIC) >= deadline;
        struct pollfd ready = {.fd = the_log.fd, .events = POLLOUT};
        int count = poll(&ready, 1, late ? 0 : POLL_MS);
        if (count > 0) {
            ssize_t written = write(the_log.fd, data, bytes);
            if (written >= 0) {
                data += written;
                bytes -= (size_t)written;
                continue;
            }
        }
        if (late || (count != 0 && errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    return bytes;
}

static void write_lines(const char *data, size_t bytes, const _Atomic uint64_t *deadline_ms)
{
    size_t lost = write_out(data, bytes, deadline_ms);
    uint64_t lines = 0;
    for (size_t i = bytes - lost; i < bytes; i++) {
        lines += data[i] == '\n';
    }
    if (lines > 0) {
        drop(lines);
    }
}

static bool queue_push(const char *line, uint32_t length)
{
    uint32_t mask = the_log.queue_lines - 1;
    uint32_t position = atomic_load_explicit(&the_log.tail, memory_order_relaxed);
    for (;;) {
        struct place *place = &the_log.places[position & mask];
        uint32_t sequence = atomic_load_explicit(&place->sequence, memory_order_acquire);
        if (sequence == position) {
            if (atomic_compare_exchange_weak_explicit(&the_log.tail, &position, position + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
                memcpy(place->text, line, length);
                place->length = length;
                atomic_store_explicit(&place->sequence, position + 1, memory_order_release);
                return true;
            }
        } else if ((int32_t)(sequence - position) < 0) {
            return false;
        } else {
            position = atomic_load_explicit(&the_log.tail, memory_order_relaxed);
        }
    }
}

static bool queue_empty(void)
{
    const struct place *place = &the_log.places[the_log.head & (the_log.queue_lines - 1)];
    return atomic_load_explicit(&place->sequence, memory_order_acquire) != the_log.head + 1;
}

/* Takes as many lines as fit; returns their bytes. */
static size_t queue_pop(char *batch, size_t bytes)
{
    size_t fill = 0;
    while (!queue_empty()) {
        struct place *place = &the_log.places[the_log.head & (the_log.queue_lines - 1)];
        gy_assert(place->length > 0 && place->length <= GY_LOG_LINE_BYTES);
        if (place->length > bytes - fill) {
            break;
        }
        memcpy(batch + fill, place->text, place->length);
        fill += place->length;
        atomic_store_explicit(&place->sequence, the_log.head + the_log.queue_lines,
                              memory_order_release);
        the_log.head++;
    }
    return fill;
}

static void say_dropped(void)
{
    uint64_t dropped = gy_log_dropped();
    if (dropped == the_log.dropped_said) {
        return;
    }
    struct gy_log_field field = gy_number("lines", (int64_t)(dropped - the_log.dropped_said));
    char line[GY_LOG_LINE_BYTES];
    struct gy_log_line parts = {
        .time_ms = clock_ms(CLOCK_REALTIME),
        .level = GY_LOG_WARN,
        .component = "log",
        .message =
            "lines were dropped: they could not be written as fast as they came, or not at all",
        .fields = {&field, 1},
    };
    size_t length = gy_log_line_render(&parts, the_log.json, the_log.colour, line);
    if (write_out(line, length, &the_log.stop_by_ms) == 0) {
        the_log.dropped_said = dropped;
    }
}

static void *writer_run(void *unused)
{
    (void)unused;
    char batch[BATCH_BYTES];
    for (;;) {
        bool stop = atomic_load(&the_log.stop_by_ms) != 0;
        size_t bytes = queue_pop(batch, sizeof batch);
        if (bytes > 0) {
            write_lines(batch, bytes, &the_log.stop_by_ms);
            continue;
        }
        say_dropped();
        if (stop) {
            return NULL;
        }
        gy_bell_sleep(&the_log.bell);
        if (queue_empty() && atomic_load(&the_log.stop_by_ms) == 0) {
            syscall(SYS_futex, &the_log.bell.state, FUTEX_WAIT_PRIVATE, GY_BELL_SLEEPING, NULL,
                    NULL, 0);
        }
        gy_bell_wake(&the_log.bell);
    }
}

static void writer_wake(void)
{
    if (gy_bell_must_ring(&the_log.bell)) {
        syscall(SYS_futex, &the_log.bell.state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* In the child of a fork no writer runs, and who was pushing is not there. */
static void forget_writer(void)
{
    atomic_store(&the_log.queued, false);
    atomic_store(&the_log.pushing, 0);
    the_log.stuck = false;
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forget_writer);
}

int gy_log_start(struct gy_error *error)
{
    if (atomic_load(&the_log.queued) || the_log.stuck) {
        return gy_error_set(error, GY_ESTATE, "starting the log's writer: %s",
                            the_log.stuck ? "the last one still waits for its descriptor"
                                          : "it is running");
    }
    pthread_once(&fork_once, watch_forks);
    free(the_log.places); /* a parent's, after fork */
    the_log.places =
        aligned_alloc(GY_CACHE_LINE_BYTES, sizeof(struct place) * (size_t)the_log.queue_lines);
    if (the_log.places == NULL) {
        return gy_error_set(error, GY_ENOMEM,
                            "starting the log's writer: no memory for a queue of %u lines",
                            the_log.queue_lines);
    }
    for (uint32_t i = 0; i < the_log.queue_lines; i++) {
        atomic_init(&the_log.places[i].sequence, i);
    }
    the_log.head = 0;
    atomic_store(&the_log.tail, 0);
    atomic_store(&the_log.stop_by_ms, 0);
    gy_bell_init(&the_log.bell);

    /* Signals are for the threads that expect them. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&the_log.writer, NULL, writer_run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        free(the_log.places);
        the_log.places = NULL;
        errno = failed;
        return gy_error_set(error, gy_error_from_errno(failed),
                            "starting the log's writer: the system gave no thread (%m); raise the "
                            "limit on processes and threads");
    }
    atomic_store(&the_log.queued, true);
    return 0;
}

void gy_log_stop(void)
{
    if (!atomic_exchange(&the_log.queued, false)) {
        return;
    }
    while (atomic_load(&the_log.pushing) > 0) {
        sched_yield();
    }
    atomic_store(&the_log.stop_by_ms, clock_ms(CLOCK_MONOTONIC) + GY_LOG_STOP_MS);
    writer_wake();

    /* It drops what it cannot write in time, unless a descriptor that polled as writable holds it
     * in write(). Then it is left behind with its queue, and ends when it is let go. */
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GY_LOG_STOP_MS / 1000 + 1;
    if (pthread_timedjoin_np(the_log.writer, NULL, &until) != 0) {
        pthread_detach(the_log.writer);
        the_log.stuck = true;
        return;
    }
    free(the_log.places);
    the_log.places = NULL;
}

static void put(const char *line, size_t length)
{
    atomic_fetch_add(&the_log.pushing, 1);
    bool queued = atomic_load(&the_log.queued);
    bool pushed = queued && queue_push(line, (uint32_t)length);
    if (pushed) {
        writer_wake();
    }
    atomic_fetch_sub(&the_log.pushing, 1);
    if (!queued) {
        _Atomic uint64_t deadline_ms = clock_ms(CLOCK_MONOTONIC) + GY_LOG_STOP_MS;
        write_lines(line, length, &deadline_ms);
    } else if (!pushed) {
        drop(1);
    }
}

void gy_log_write(enum gy_log_level level, const char *component, struct gy_log_fields fields,
                  const char *format, ...)
{
    gy_assert(component != NULL && format != NULL);
    gy_assert(level <= GY_LOG_DEBUG);
    int errno_before = errno;
    char message[GY_LOG_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    struct gy_log_line parts = {
        .time_ms = clock_ms(CLOCK_REALTIME),
        .level = level,
        .component = component,
        .message = length < 0 ? "a message that cannot be printed" : message,
        .cut = length >= (int)sizeof message,
        .fields = fields,
    };
    char line[GY_LOG_LINE_BYTES];
    put(line, gy_log_line_render(&parts, the_log.json, the_log.colour, line));
    errno = errno_before;
}

bool gy_log_limit_pass(struct gy_log_limit *limit, uint64_t now_ms, uint32_t interval_ms,
                       uint64_t *suppressed)
{
    uint64_t next_ms = atomic_load_explicit(&limit->next_ms, memory_order_relaxed);
    if (now_ms < next_ms ||
        !atomic_compare_exchange_strong_explicit(&limit->next_ms, &next_ms, now_ms + interval_ms,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
        return false;
    }
    *suppressed = atomic_exchange_explicit(&limit->suppressed, 0, memory_order_relaxed);
    return true;
}
