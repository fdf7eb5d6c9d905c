/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_LOG_H
#define GY_CORE_LOG_H

/*
 * The log of the process: lines with a time, a level, the component that speaks, a message, and
 * key=value pairs.
 *
 *     2026-01-31T12:00:00.123Z WARN  listener: out of file descriptors address=127.0.0.1:8080
 *     {"time":"2026-01-31T12:00:00.123Z","level":"warn","component":"listener","message":…}
 *
 *     gy_log(GY_LOG_INFO, "runtime", "%u workers", workers);
 *     gy_log_with(GY_LOG_WARN, "listener", gy_fields(gy_text("address", name)), "%s", why);
 *     gy_log_limited(GY_LOG_WARN, "stream", "a peer broke the protocol");
 *
 * A worker never waits for the log: between gy_log_start and gy_log_stop its lines go into a
 * bounded queue that one writer thread drains to the descriptor; when the queue is full the line is
 * dropped and counted, and the writer says how many were. Before the start and after the stop, and
 * in a child after fork, a line is written by the thread that logs it, which may wait for the
 * descriptor.
 *
 * Safe from any thread; not from a signal handler. A descriptor that is a closed pipe raises
 * SIGPIPE in a thread that writes directly, so ignore it, as the runtime does. Control bytes,
 * backslashes, bidirectional overrides and bytes that are not UTF-8 are escaped, so text from
 * outside can neither forge a line nor drive a terminal.
 *
 * fork: only the forking thread lives on in the child. Lines still queued are the parent's; the
 * child writes directly until it calls gy_log_start itself. So fork first and start the writer in
 * each process, as the runtime does.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum gy_log_level {
    GY_LOG_ERROR, /* something does not work, and a person has to act */
    GY_LOG_WARN,  /* something is worse than it should be, and gyre copes */
    GY_LOG_INFO,  /* what a person wants to see of a process that works */
    GY_LOG_DEBUG,
};

enum gy_log_colour {
    GY_LOG_COLOUR_AUTO, /* on a terminal, unless NO_COLOR is set or TERM is "dumb" */
    GY_LOG_COLOUR_NEVER,
};

/* Bytes of a line with its newline. What does not fit is cut, and "…" says so. */
#define GY_LOG_LINE_BYTES 1000

/* Bytes of the message before escaping. */
#define GY_LOG_MESSAGE_BYTES 768

/* Bytes of a component's or a key's name at most. */
#define GY_LOG_NOUN_BYTES 32

struct gy_log_settings {
    int fd;                  /* not closed by the log */
    enum gy_log_level level; /* the least important that is written */
    enum gy_log_colour colour;
    bool json;            /* one JSON object a line */
    uint32_t queue_lines; /* the queue's bound, a power of two; 0: 512 */
};

/* Where lines go and how they look; stderr, info, human form without colour until it is called.
 * Call it while no other thread logs. 0, GY_EINVAL, or GY_ESTATE (the writer is running); after an
 * error nothing has changed. */
int gy_log_configure(const struct gy_log_settings *settings, struct gy_error *error);

/* Starts the writer thread, with all signals blocked in it. 0, GY_ENOMEM, GY_ESTATE (already
 * started, or the last writer still hangs in its descriptor), or what starting a thread reported.
 * One thread at a time calls this and gy_log_stop. */
int gy_log_start(struct gy_error *error);

/* Writes what is queued, then ends the writer; lines are written directly again. Gives up on lines
 * that the descriptor does not take within GY_LOG_STOP_MS, and counts them as dropped. Does nothing
 * when the writer is not running. */
void gy_log_stop(void);

#define GY_LOG_STOP_MS 2000

/* Lines dropped since the process began: queue full, or the descriptor failed. */
uint64_t gy_log_dropped(void);

/* Changes the level at any time, from any thread. */
void gy_log_set_level(enum gy_log_level level);

/* "error", "warn", "info", "debug". */
const char *gy_log_level_name(enum gy_log_level level);

/* 0 and the level, or GY_EINVAL for a name that is none of the four. */
int gy_log_level_parse(const char *name, enum gy_log_level *level);

/* One key=value pair. Keys are constants of ours: lower-case letters, digits and '_'. */
struct gy_log_field {
    const char *key;
    const char *text; /* NULL: it is a number */
    int64_t number;
};

struct gy_log_fields {
    const struct gy_log_field *items;
    size_t count;
};

static inline struct gy_log_field gy_text(const char *key, const char *text)
{
    return (struct gy_log_field){key, text == NULL ? "" : text, 0};
}

static inline struct gy_log_field gy_number(const char *key, int64_t number)
{
    return (struct gy_log_field){key, NULL, number};
}

/* gy_fields(gy_text("peer", name), gy_number("bytes", n)): lives until the end of the block. */
#define gy_fields(...)                                                                             \
    ((struct gy_log_fields){(const struct gy_log_field[]){__VA_ARGS__},                            \
                            sizeof((const struct gy_log_field[]){__VA_ARGS__}) /                   \
                                sizeof(struct gy_log_field)})

/* Use the macros below, which look at the level before they evaluate anything. */
void gy_log_write(enum gy_log_level level, const char *component, struct gy_log_fields fields,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

extern _Atomic int gy_log_level_now;

static inline bool gy_log_enabled(enum gy_log_level level)
{
    return (int)level <= atomic_load_explicit(&gy_log_level_now, memory_order_relaxed);
}

/* A line; the format and its arguments come after the component, a noun from DESIGN's map. */
#define gy_log(level, component, ...)                                                              \
    gy_log_with(level, component, ((struct gy_log_fields){NULL, 0}), __VA_ARGS__)

/* A line with key=value pairs: gy_fields(…). */
#define gy_log_with(level, component, fields, ...)                                                 \
    do {                                                                                           \
        if (gy_log_enabled(level)) {                                                               \
            gy_log_write((level), (component), (fields), __VA_ARGS__);                             \
        }                                                                                          \
    } while (0)

/* Lets one event through per interval, and counts those between. Zeroed at first. Any thread. */
struct gy_log_limit {
    _Atomic uint64_t next_ms;    /* nothing passes before */
    _Atomic uint64_t suppressed; /* since the last that passed */
};

#define GY_LOG_LIMIT_MS 1000

/* True when the event may be logged; then `suppressed` is how many were not since the last one. */
bool gy_log_limit_pass(struct gy_log_limit *limit, uint64_t now_ms, uint32_t interval_ms,
                       uint64_t *suppressed);

/* Coarse monotonic milliseconds, for gy_log_limit_pass. */
uint64_t gy_log_now_ms(void);

/* A line about something that can happen on every packet: at most one a second from this place in
 * the code, with suppressed=N when there were others. */
#define gy_log_limited(level, component, ...)                                                      \
    do {                                                                                           \
        static struct gy_log_limit gy_log_limit_here;                                              \
        uint64_t gy_log_suppressed;                                                                \
        if (gy_log_enabled(level) && gy_log_limit_pass(&gy_log_limit_here, gy_log_now_ms(),        \
                                                       GY_LOG_LIMIT_MS, &gy_log_suppressed)) {     \
            struct gy_log_field gy_log_field_here =                                                \
                gy_number("suppressed", (int64_t)gy_log_suppressed);                               \
            gy_log_write((level), (component),                                                     \
                         (struct gy_log_fields){&gy_log_field_here, gy_log_suppressed > 0},        \
                         __VA_ARGS__);                                                             \
        }                                                                                          \
    } while (0)

#endif
