/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/site_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "core/worker.h"
#include "servers/http/site.h"

/* ---- JSON ---- */

/* A comma unless this is the first in its object or list. */
static void separate(struct gy_writer *writer)
{
    if (writer->at > writer->start && writer->at[-1] != '{' && writer->at[-1] != '[') {
        gy_writer_u8(writer, ',');
    }
}

static void write_string(struct gy_writer *writer, const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    gy_writer_u8(writer, '"');
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte >= 0x7f) {
            gy_writer_text(writer, "\\u00");
            gy_writer_u8(writer, (uint8_t)digits[byte >> 4]);
            gy_writer_u8(writer, (uint8_t)digits[byte & 15]);
        } else {
            gy_writer_u8(writer, byte);
        }
    }
    gy_writer_u8(writer, '"');
}

static void write_key(struct gy_writer *writer, const char *name, size_t length)
{
    separate(writer);
    write_string(writer, name, length);
    gy_writer_u8(writer, ':');
}

static void member(struct gy_writer *writer, const char *name)
{
    write_key(writer, name, strlen(name));
}

static void member_text(struct gy_writer *writer, const char *name, const char *text)
{
    member(writer, name);
    write_string(writer, text, strlen(text));
}

static void member_number(struct gy_writer *writer, const char *name, uint64_t value)
{
    member(writer, name);
    gy_writer_decimal(writer, value);
}

/* ---- the process ---- */

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* When this process began, in ms since boot: field 22 of /proc/self/stat, counted from behind the
 * name, which may have spaces and parentheses in it. 0 where there is no /proc. */
static uint64_t process_started_ms(void)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) {
        return 0;
    }
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; field < 22 && at != NULL; field++) {
        at = strchr(at + 1, ' ');
    }
    long ticks = sysconf(_SC_CLK_TCK);
    return at == NULL || ticks <= 0 ? 0 : strtoull(at, NULL, 10) * 1000 / (uint64_t)ticks;
}

/* Looked up at the first request; workers that do so at the same time find the same. */
static uint64_t uptime_ms(struct gy_site *site)
{
    uint64_t now = clock_ms(CLOCK_BOOTTIME);
    uint64_t started = atomic_load_explicit(&site->started_ms, memory_order_relaxed);
    if (started == 0) {
        started = process_started_ms();
        started = started == 0 ? now : started;
        atomic_store_explicit(&site->started_ms, started, memory_order_relaxed);
    }
    return now > started ? now - started : 0;
}

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void write_process(struct gy_writer *writer, struct gy_site *site)
{
    struct utsname host = {0};
    struct rusage usage = {0};
    uname(&host);
    getrusage(RUSAGE_SELF, &usage);
    member_text(writer, "version", GY_VERSION);
    member_number(writer, "pid", (uint64_t)getpid());
    member_number(writer, "uptime_ms", uptime_ms(site));
    member_number(writer, "clock_ms", clock_ms(CLOCK_MONOTONIC));
    member_number(writer, "cpu_us", microseconds(usage.ru_utime) + microseconds(usage.ru_stime));
    member_number(writer, "memory_peak_bytes", (uint64_t)usage.ru_maxrss * 1024);
    member_text(writer, "kernel", host.release);
    member_text(writer, "machine", host.machine);
}

/* ---- the core ---- */

/* What the kernel offers is not all used: some of it belongs to other receive modes, or is off
 * until asked for. */
static const char *feature_state(uint32_t bit, uint32_t offered, enum gy_receive_mode mode)
{
    if ((offered & bit) == 0) {
        return "absent";
    }
    bool used = true;
    switch (bit) {
    case GY_RING_MULTISHOT_RECEIVE:
        used = mode != GY_RECEIVE_ONE_SHOT;
        break;
    case GY_RING_BUFFER_INCREMENTAL:
        used = mode == GY_RECEIVE_INCREMENTAL;
        break;
    case GY_RING_RECEIVE_BUNDLE:
        used = mode == GY_RECEIVE_BUNDLE;
        break;
    case GY_RING_SEND_ZERO_COPY:
        used = false;
        break;
    default:
        break;
    }
    return used ? "used" : "available";
}

static void write_ring(struct gy_writer *writer, const struct gy_worker *worker)
{
    static const struct {
        const char *name, *since, *instead;
        uint32_t bit;
    } features[] = {
#define STATUS_FEATURE(name, bit, since, instead) {#name, since, instead, GY_RING_##name},
        GY_RING_FEATURES(STATUS_FEATURE)
#undef STATUS_FEATURE
    };
    const struct gy_pool_options *pool = gy_pool_options(worker->pool);
    uint32_t offered = gy_ring_features(worker->ring);
    member_text(writer, "receive_mode", gy_receive_mode_name(pool->mode));
    member(writer, "buffers");
    gy_writer_u8(writer, '{');
    member_number(writer, "bytes", pool->buffer_bytes);
    member_number(writer, "count", pool->buffers);
    member_number(writer, "posted", pool->posted);
    gy_writer_u8(writer, '}');
    member(writer, "ring_features");
    gy_writer_u8(writer, '[');
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        separate(writer);
        gy_writer_u8(writer, '{');
        member_text(writer, "name", features[i].name);
        member_text(writer, "state", feature_state(features[i].bit, offered, pool->mode));
        member_text(writer, "since", features[i].since);
        member_text(writer, "instead", features[i].instead);
        gy_writer_u8(writer, '}');
    }
    gy_writer_u8(writer, ']');
}

/* `reason="peer"` is peer's share of the counter: {"peer": …}. */
static void write_label_key(struct gy_writer *writer, const char *label)
{
    const char *open = strchr(label, '"');
    const char *close = strrchr(label, '"');
    gy_assert(open != NULL && close > open);
    write_key(writer, open + 1, (size_t)(close - open) - 1);
}

static void write_counters(struct gy_writer *writer, const void *const *instances, uint32_t count)
{
    member(writer, "counters");
    gy_writer_u8(writer, '{');
    for (size_t i = 0; i < gy_counters_row_count; i++) {
        const struct gy_metric_description *row = &gy_counters_rows[i];
        bool labelled = row->label[0] != '\0';
        bool first = i == 0 || strcmp(row->name, row[-1].name) != 0;
        bool last = i + 1 == gy_counters_row_count || strcmp(row->name, row[1].name) != 0;
        if (first) {
            member(writer, row->name);
        }
        if (labelled && first) {
            gy_writer_u8(writer, '{');
        }
        if (labelled) {
            write_label_key(writer, row->label);
        }
        uint64_t value = gy_metric_value(row, instances, count);
        if (row->kind == GY_METRIC_GAUGE_MIN && value == UINT64_MAX) {
            gy_writer_text(writer, "null");
        } else {
            gy_writer_decimal(writer, value);
        }
        if (labelled && last) {
            gy_writer_u8(writer, '}');
        }
    }
    gy_writer_u8(writer, '}');
}

static void write_worker(struct gy_writer *writer, const struct gy_worker *worker,
                         const struct gy_http_server *http)
{
    const struct gy_counters *counters = &worker->counters;
    separate(writer);
    gy_writer_u8(writer, '{');
    member_number(writer, "number", worker->options.number);
    member(writer, "processor");
    if (worker->options.processor < 0) {
        gy_writer_text(writer, "null");
    } else {
        gy_writer_decimal(writer, (uint64_t)worker->options.processor);
    }
    member_number(writer, "requests",
                  gy_counter_read(&http->counts[worker->options.number].requests));
    member_number(writer, "connections_open", gy_counter_read(&counters->connections_open));
    member_number(writer, "turns", gy_counter_read(&counters->turns));
    member_number(writer, "enters", gy_counter_read(&counters->enters));
    gy_writer_u8(writer, '}');
}

void gy_site_status(struct gy_writer *writer, struct gy_site *site, const struct gy_worker *worker)
{
    /* Another worker's counters may be read at any time; its ring and pool may be closing. */
    const void *instances[GY_HTTP_WORKERS_MAX];
    uint32_t count = worker->options.workers;
    gy_assert(count > 0 && count <= GY_HTTP_WORKERS_MAX && worker->peers != NULL);
    for (uint32_t i = 0; i < count; i++) {
        instances[i] = &worker->peers[i]->counters;
    }
    gy_writer_u8(writer, '{');
    write_process(writer, site);
    member_number(writer, "requests", gy_http_requests(site->http));
    write_ring(writer, worker);
    member(writer, "workers");
    gy_writer_u8(writer, '{');
    member_number(writer, "count", count);
    member(writer, "list");
    gy_writer_u8(writer, '[');
    for (uint32_t i = 0; i < count && i < GY_SITE_WORKERS_LISTED; i++) {
        write_worker(writer, worker->peers[i], site->http);
    }
    gy_writer_text(writer, "]}");
    write_counters(writer, instances, count);
    gy_writer_text(writer, "}\n");
}
