/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/site_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "core/json.h"
#include "core/worker.h"
#include "servers/http/site.h"

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
    gy_json_text(writer, "version", GY_VERSION);
    gy_json_number(writer, "pid", (uint64_t)getpid());
    gy_json_number(writer, "uptime_ms", uptime_ms(site));
    gy_json_number(writer, "clock_ms", clock_ms(CLOCK_MONOTONIC));
    gy_json_number(writer, "cpu_us", microseconds(usage.ru_utime) + microseconds(usage.ru_stime));
    gy_json_number(writer, "memory_peak_bytes", (uint64_t)usage.ru_maxrss * 1024);
    gy_json_text(writer, "kernel", host.release);
    gy_json_text(writer, "machine", host.machine);
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
    gy_json_text(writer, "receive_mode", gy_receive_mode_name(pool->mode));
    gy_json_member(writer, "buffers");
    gy_writer_u8(writer, '{');
    gy_json_number(writer, "bytes", pool->buffer_bytes);
    gy_json_number(writer, "count", pool->buffers);
    gy_json_number(writer, "posted", pool->posted);
    gy_writer_u8(writer, '}');
    gy_json_member(writer, "ring_features");
    gy_writer_u8(writer, '[');
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        gy_json_next(writer);
        gy_writer_u8(writer, '{');
        gy_json_text(writer, "name", features[i].name);
        gy_json_text(writer, "state", feature_state(features[i].bit, offered, pool->mode));
        gy_json_text(writer, "since", features[i].since);
        gy_json_text(writer, "instead", features[i].instead);
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
    gy_json_key(writer, open + 1, (size_t)(close - open) - 1);
}

void gy_site_status_rows(struct gy_writer *writer, const struct gy_metric_description *rows,
                         size_t row_count, const void *const *instances, uint32_t count)
{
    gy_writer_u8(writer, '{');
    for (size_t i = 0; i < row_count; i++) {
        const struct gy_metric_description *row = &rows[i];
        bool labelled = row->label[0] != '\0';
        bool first = i == 0 || strcmp(row->name, row[-1].name) != 0;
        bool last = i + 1 == row_count || strcmp(row->name, row[1].name) != 0;
        if (first) {
            gy_json_member(writer, row->name);
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

static uint64_t requests_of(const struct gy_site *site, uint32_t worker)
{
    return site->requests != NULL ? site->requests(site, worker)
                                  : gy_counter_read(&site->http->counts[worker].requests);
}

/* Each worker's thread has a clock that any thread of the process can read; 0 once it has ended. */
static uint64_t cpu_us(const struct gy_worker *worker)
{
    struct timespec used;
    return clock_gettime(worker->cpu_clock, &used) != 0
               ? 0
               : (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

static void write_worker(struct gy_writer *writer, const struct gy_worker *worker,
                         const struct gy_site *site)
{
    const struct gy_counters *counters = &worker->counters;
    gy_json_next(writer);
    gy_writer_u8(writer, '{');
    gy_json_number(writer, "number", worker->options.number);
    gy_json_member(writer, "processor");
    if (worker->options.processor < 0) {
        gy_writer_text(writer, "null");
    } else {
        gy_writer_decimal(writer, (uint64_t)worker->options.processor);
    }
    gy_json_number(writer, "cpu_us", cpu_us(worker));
    gy_json_number(writer, "requests", requests_of(site, worker->options.number));
    gy_json_number(writer, "connections_open", gy_counter_read(&counters->connections_open));
    gy_json_number(writer, "turns", gy_counter_read(&counters->turns));
    gy_json_number(writer, "enters", gy_counter_read(&counters->enters));
    gy_writer_u8(writer, '}');
}

void gy_site_status_members(struct gy_writer *writer, struct gy_site *site,
                            const struct gy_worker *worker)
{
    /* Another worker's counters may be read at any time; its ring and pool may be closing. */
    const void *instances[GY_HTTP_WORKERS_MAX];
    uint32_t count = worker->options.workers;
    uint64_t requests = 0;
    gy_assert(count > 0 && count <= GY_HTTP_WORKERS_MAX && worker->peers != NULL);
    for (uint32_t i = 0; i < count; i++) {
        instances[i] = &worker->peers[i]->counters;
        requests += requests_of(site, i);
    }
    write_process(writer, site);
    gy_json_number(writer, "requests", requests);
    write_ring(writer, worker);
    gy_json_member(writer, "workers");
    gy_writer_u8(writer, '{');
    gy_json_number(writer, "count", count);
    gy_json_member(writer, "list");
    gy_writer_u8(writer, '[');
    for (uint32_t i = 0; i < count && i < GY_SITE_WORKERS_LISTED; i++) {
        write_worker(writer, worker->peers[i], site);
    }
    gy_writer_text(writer, "]}");
    gy_json_member(writer, "counters");
    gy_site_status_rows(writer, gy_counters_rows, gy_counters_row_count, instances, count);
}

void gy_site_status(struct gy_writer *writer, struct gy_site *site, const struct gy_worker *worker)
{
    gy_writer_u8(writer, '{');
    gy_site_status_members(writer, site, worker);
    gy_writer_text(writer, "}\n");
}
