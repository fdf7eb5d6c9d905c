/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_PATH_PATH_H
#define GY_BENCH_PATH_PATH_H

/*
 * What the programs that measure a protocol over a path share: their flags and their report. Each
 * is one end, `--serve`, that takes messages and notes how long each took, or the other, that sends
 * them; each reports what it saw (one JSON object, the server's when the client has gone). Both
 * read the same clock, so a way is one way. A message begins with its number and when it was sent.
 * With `--ping` the server sends each message back, and the client has one on its way at a time.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PATH_DELAYS_MAX 4000000u

struct path_flags {
    bool serve, ping;
    uint16_t port; /* to listen on, or to talk to, at 127.0.0.1 */
    uint32_t bytes;
    double rate;    /* messages a second; 0: as many as go */
    double seconds; /* that messages are sent */
    bool unordered;
    const char *congestion; /* rudp and QUIC: cubic or bbr */
    uint32_t fec;           /* rudp: packets for a repair */
    uint32_t channels;
};

struct path_report {
    uint64_t *delays_ns;
    uint64_t received, bytes;
    uint64_t first_ns, last_ns; /* of receiving */
};

static inline uint64_t path_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline double path_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Exits with 2 for what it does not know. `version` is of what is measured, for `--version`. */
static inline void path_flags_read(struct path_flags *flags, int argc, char **argv,
                                   const char *version)
{
    *flags = (struct path_flags){
        .bytes = 200, .rate = 1000, .seconds = 5, .congestion = "bbr", .channels = 1};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--version") == 0) {
            puts(version);
            exit(0);
        } else if (strcmp(name, "--serve") == 0) {
            flags->serve = true;
            continue;
        } else if (strcmp(name, "--ping") == 0) {
            flags->ping = true;
            continue;
        } else if (strcmp(name, "--unordered") == 0) {
            flags->unordered = true;
            continue;
        } else if (strcmp(name, "--port") == 0) {
            flags->port = (uint16_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--bytes") == 0) {
            flags->bytes = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--rate") == 0) {
            flags->rate = strtod(value, NULL);
        } else if (strcmp(name, "--seconds") == 0) {
            flags->seconds = strtod(value, NULL);
        } else if (strcmp(name, "--congestion") == 0) {
            flags->congestion = value;
        } else if (strcmp(name, "--fec") == 0) {
            flags->fec = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--channels") == 0) {
            flags->channels = (uint32_t)strtoul(value, NULL, 10);
        } else {
            fprintf(stderr, "%s: unknown flag %s\n", argv[0], name);
            exit(2);
        }
        i++;
    }
    if (flags->port == 0 || flags->bytes < 16 || flags->bytes > 65536 || flags->seconds <= 0 ||
        flags->channels < 1 || flags->channels > 16 || flags->fec > 16) {
        fprintf(stderr, "usage: %s [--serve] --port PORT [--bytes N] [--rate N] [--seconds N]\n",
                argv[0]);
        exit(2);
    }
}

static inline void path_received(struct path_report *report, const uint8_t *data, size_t bytes)
{
    uint64_t sent_ns, now_ns = path_now_ns();
    if (bytes < 16) {
        return;
    }
    memcpy(&sent_ns, data + 8, sizeof sent_ns);
    if (report->received < PATH_DELAYS_MAX) {
        report->delays_ns[report->received] = now_ns - sent_ns;
    }
    report->first_ns = report->received == 0 ? now_ns : report->first_ns;
    report->last_ns = now_ns;
    report->received++;
    report->bytes += bytes;
}

static inline int path_compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static inline double path_ms(const struct path_report *report, double quantile)
{
    uint64_t count = report->received < PATH_DELAYS_MAX ? report->received : PATH_DELAYS_MAX;
    return count == 0
               ? 0
               : (double)report->delays_ns[(uint64_t)(quantile * (double)(count - 1) + 0.5)] / 1e6;
}

static inline void path_report_sort(struct path_report *report)
{
    uint64_t count = report->received < PATH_DELAYS_MAX ? report->received : PATH_DELAYS_MAX;
    qsort(report->delays_ns, count, sizeof(uint64_t), path_compare);
}

static inline void path_report_print(struct path_report *report)
{
    double seconds = (double)(report->last_ns - report->first_ns) / 1e9;
    path_report_sort(report);
    printf("{\"received\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"mb_per_second\":%.3f,"
           "\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,\"cpu_seconds\":%.4f}\n",
           (unsigned long long)report->received, (unsigned long long)report->bytes, seconds,
           seconds > 0 ? (double)report->bytes / 1e6 / seconds : 0, path_ms(report, 0.5),
           path_ms(report, 0.99), path_ms(report, 1), path_cpu_seconds());
    fflush(stdout);
}

/* The client's: what it sent, what that cost, and with `--ping` how long a message and its echo
 * took. */
static inline void path_sent_print(uint64_t sent, struct path_report *report)
{
    path_report_sort(report);
    printf("{\"sent\":%llu,\"echoed\":%llu,\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"cpu_seconds\":%.4f}\n",
           (unsigned long long)sent, (unsigned long long)report->received, path_ms(report, 0.5),
           path_ms(report, 0.99), path_cpu_seconds());
    fflush(stdout);
}

/* One message: its number, the time, and what else there is of it as it was. */
static inline void path_message_fill(uint8_t *data, uint64_t number)
{
    uint64_t now_ns = path_now_ns();
    memcpy(data, &number, sizeof number);
    memcpy(data + 8, &now_ns, sizeof now_ns);
}

/*
 * How many messages are due in all, `passed` seconds after the first. `room`: how many more the
 * library is to take, where they go as fast as they may.
 */
static inline uint64_t path_due(const struct path_flags *flags, const struct path_report *report,
                                uint64_t sent, double passed, uint64_t room)
{
    if (flags->ping) {
        return report->received + 1;
    }
    return flags->rate == 0 ? sent + room : (uint64_t)(passed * flags->rate);
}

#endif
