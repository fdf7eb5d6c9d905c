/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_ACCESS_LOG_H
#define GY_SERVERS_HTTP_ACCESS_LOG_H

/*
 * The access log: a line for each request, as it ends.
 *
 * A worker never waits for it. Each worker formats its lines into a bounded queue of its own; one
 * writer thread drains the queues to the file. When a queue is full its line is dropped and
 * counted, and the process's log says how many were. When the file cannot be written (a full disk)
 * that is said once, lines wait in the queues for as long as there is room, and writing is tried
 * again every second.
 *
 *     open (parent, may need rights)  →  fork  →  start, write …, stop (child)  →  close (each)
 *
 * The file is opened for appending, so that it can be moved away at any time; the next process
 * (SIGHUP) opens it anew. What a client sent is escaped: it can neither end a line, nor leave a
 * quoted field, nor drive a terminal.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../core/error.h"
#include "../../protocols/http/http.h"

enum gy_access_format {
    /* PEER - - [31/Jan/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 612 "REFERER" "USER AGENT"
     * Times are UTC. Bytes other than printable ASCII, quotes and backslashes are \xHH. */
    GY_ACCESS_COMBINED,
    /* One object a line: time, peer, method, target, host, protocol, status, bytes, duration_us,
     * referer, user_agent, cut (the response did not end well). Bytes other than printable ASCII
     * are \u00HH. */
    GY_ACCESS_JSON,
};

/* "combined" or "json": 0, or GY_EINVAL. */
int gy_access_format_parse(const char *name, enum gy_access_format *format);

/* The other end of a connection: its IP address. */
struct gy_access_peer {
    uint8_t family; /* AF_INET, AF_INET6, or 0: not known to the kernel any more */
    bool known;     /* was looked up */
    uint8_t address[16];
};

/* Asks the kernel. */
void gy_access_peer_of(struct gy_access_peer *peer, int descriptor);

struct gy_access_entry {
    const struct gy_access_peer *peer;
    const struct gy_http_exchange *exchange; /* NULL: its head could not be read */
    uint64_t body_bytes;
    uint64_t duration_ns;
    uint16_t status; /* 0: it got none */
    uint8_t minor;   /* of HTTP/1.x */
    bool cut;        /* the response did not end well */
};

/* Bytes of a line with its newline; of fields that do not fit, the end is left out. */
#define GY_ACCESS_LINE_BYTES 4096

/* Bytes of the time in a line: "31/Jan/2026:12:00:00 +0000" or "2026-01-31T12:00:00Z". */
#define GY_ACCESS_TIME_BYTES 32

/* Writes the time of `seconds` since the epoch, zero-terminated. */
void gy_access_time(enum gy_access_format format, uint64_t seconds,
                    char time[GY_ACCESS_TIME_BYTES]);

/* Writes the line, newline included. Returns its length. */
size_t gy_access_format_line(char line[GY_ACCESS_LINE_BYTES], enum gy_access_format format,
                             const char *time, const struct gy_access_entry *entry);

struct gy_access_log;

/* One worker's end of it; only that worker uses it. */
struct gy_access_queue;

struct gy_access_options {
    const char *path; /* "-": standard output */
    enum gy_access_format format;
    uint32_t workers;
    uint32_t queue_bytes; /* of each worker; a power of two; 0: 256 KiB */
};

/* Opens the file. 0, or a GY_E… code with a sentence that names the file. */
int gy_access_log_open(struct gy_access_log **log, const struct gy_access_options *options,
                       struct gy_error *error);

/* Starts the writer thread: in the process that serves, before its workers. */
int gy_access_log_start(struct gy_access_log *log, struct gy_error *error);

/* Writes what is queued, for two seconds at most, and ends the writer: after the workers. */
void gy_access_log_stop(struct gy_access_log *log);

/* Gives everything back. NULL is allowed. */
void gy_access_log_close(struct gy_access_log *log);

struct gy_access_queue *gy_access_log_queue(struct gy_access_log *log, uint32_t worker);

/* 0, or GY_ENOBUFS: the queue is full and the line was dropped, and counted. `now_ms` is any steady
 * clock of the caller; the wall clock is read when a second of it has passed. */
int gy_access_queue_write(struct gy_access_queue *queue, const struct gy_access_entry *entry,
                          uint64_t now_ms);

/* The same of a line that somebody else has made, for other protocols: `length` bytes (at most
 * GY_ACCESS_LINE_BYTES) with the newline. */
int gy_access_queue_put(struct gy_access_queue *queue, const char *line, size_t length);

/* Lines dropped so far, by all workers. Any thread. */
uint64_t gy_access_log_dropped(const struct gy_access_log *log);

#endif
