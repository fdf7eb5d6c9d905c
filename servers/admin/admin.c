/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/child.h"
#include "core/log.h"
#include "core/stream.h"
#include "core/worker.h"
#include "servers/admin/admin_status.h"
#include "servers/http/vhosts.h"

#define TEXT_BYTES        (64u << 10)
#define TEXT_SERVER_BYTES (64u << 10) /* for each server's counters and histogram */
#define TEXT_HOST_BYTES   (4u << 10)  /* for each host of them */
#define TEXT_WORKER_BYTES 64u

#define TEXT_TYPE "text/plain; charset=utf-8"

/* ---- what is not a table ---- */

static void write_head(struct gy_writer *writer, const char *name, const char *kind,
                       const char *help)
{
    gy_writer_text(writer, "# HELP ");
    gy_writer_text(writer, name);
    gy_writer_text(writer, " ");
    gy_writer_text(writer, help);
    gy_writer_text(writer, "\n# TYPE ");
    gy_writer_text(writer, name);
    gy_writer_text(writer, " ");
    gy_writer_text(writer, kind);
    gy_writer_text(writer, "\n");
}

static void write_number(struct gy_writer *writer, const char *name, const char *kind,
                         const char *help, uint64_t value)
{
    write_head(writer, name, kind, help);
    gy_writer_text(writer, name);
    gy_writer_text(writer, " ");
    gy_writer_decimal(writer, value);
    gy_writer_text(writer, "\n");
}

/* Seconds, to the microsecond. */
static void write_seconds(struct gy_writer *writer, uint64_t us)
{
    char text[32];
    snprintf(text, sizeof text, " %llu.%06llu\n", (unsigned long long)us / 1000000,
             (unsigned long long)us % 1000000);
    gy_writer_text(writer, text);
}

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*u %llu", &pages) != 1) {
        pages = 0;
    }
    fclose(file);
    long page_bytes = sysconf(_SC_PAGESIZE);
    return pages * (page_bytes > 0 ? (uint64_t)page_bytes : 4096);
}

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void write_process(struct gy_writer *writer, const struct gy_admin *admin)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    write_head(writer, "process_cpu_seconds_total", "counter",
               "Processor time of this process, user and system.");
    gy_writer_text(writer, "process_cpu_seconds_total");
    write_seconds(writer, microseconds(usage.ru_utime) + microseconds(usage.ru_stime));
    write_number(writer, "process_resident_memory_bytes", "gauge", "Resident memory.",
                 resident_bytes());
    const struct gy_child *child = admin->plan->child;
    const struct gy_access_log *access_log = admin->plan->access_log;
    if (child != NULL) {
        write_number(writer, "gyre_generation", "gauge",
                     "1 for the first serving process, one more with each that was started.",
                     child->generation);
        write_number(writer, "gyre_restarts_total", "counter",
                     "Serving processes that died unasked before this one.", child->restarts);
        write_number(writer, "gyre_replacements_total", "counter",
                     "Reloads that led to a new serving process.", child->replacements);
    }
    write_number(writer, "gyre_log_dropped_total", "counter",
                 "Lines that the process's log dropped.", gy_log_dropped());
    if (access_log != NULL) {
        write_number(writer, "gyre_access_log_dropped_total", "counter",
                     "Lines that the access log dropped.", gy_access_log_dropped(access_log));
    }
}

/* Each worker's thread has a clock that any thread of the process can read. */
static void write_workers(struct gy_writer *writer, const struct gy_worker *worker)
{
    write_head(writer, "gyre_worker_cpu_seconds_total", "counter",
               "Processor time of a worker's thread.");
    for (uint32_t i = 0; i < worker->options.workers; i++) {
        struct timespec used;
        if (clock_gettime(worker->peers[i]->cpu_clock, &used) != 0) {
            continue; /* it has ended */
        }
        gy_writer_text(writer, "gyre_worker_cpu_seconds_total{worker=\"");
        gy_writer_decimal(writer, i);
        gy_writer_text(writer, "\"}");
        write_seconds(writer, (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000);
    }
}

/* The core's figures of each server. */
static int write_listeners(struct gy_writer *writer, const struct gy_admin *admin,
                           const struct gy_worker *worker)
{
    static const struct gy_metric_description row = {
        "server_connections_open", "", "Connections open now, by server.", GY_METRIC_GAUGE, 0};
    const struct gy_serve_plan *plan = admin->plan;
    _Atomic uint64_t open[GY_SERVE_SERVERS_MAX];
    const void *instances[GY_SERVE_SERVERS_MAX];
    struct gy_metric_set sets[GY_SERVE_SERVERS_MAX];
    struct gy_metric_label labels[GY_SERVE_SERVERS_MAX][2];
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->server_count; s++) {
        const struct gy_serve_server *server = &plan->servers[s];
        if (server->twin) {
            continue;
        }
        gy_gauge_set(&open[count], gy_admin_connections(server, worker));
        instances[count] = &open[count];
        labels[count][0] = (struct gy_metric_label){"server", server->name};
        labels[count][1] = (struct gy_metric_label){"kind", server->kind};
        sets[count] = (struct gy_metric_set){&instances[count], 1, labels[count], 2};
        count++;
    }
    return gy_metrics_render(writer, &row, 1, sets, count);
}

/* The counters of one kind: all of its servers, one after the other. */
static int write_kind(struct gy_writer *writer, const struct gy_serve_plan *plan,
                      const struct gy_server_metrics *metrics)
{
    struct gy_metric_set sets[GY_SERVE_SERVERS_MAX];
    struct gy_metric_label labels[GY_SERVE_SERVERS_MAX];
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->server_count; s++) {
        const struct gy_serve_server *server = &plan->servers[s];
        if (server->metrics == metrics) {
            labels[count] = (struct gy_metric_label){"server", server->name};
            sets[count] =
                (struct gy_metric_set){server->instances, plan->workers, &labels[count], 1};
            count++;
        }
    }
    int code = gy_metrics_render(writer, metrics->rows, metrics->row_count, sets, count);
    if (code != 0 || metrics->latency_name == NULL) {
        return code;
    }
    return gy_histogram_render(writer, metrics->latency_name, metrics->latency_help,
                               metrics->latency_offset, sets, count);
}

static int write_servers(struct gy_writer *writer, const struct gy_admin *admin,
                         const struct gy_worker *worker)
{
    const struct gy_serve_plan *plan = admin->plan;
    int code = write_listeners(writer, admin, worker);
    for (uint32_t s = 0; s < plan->server_count && code == 0; s++) {
        const struct gy_server_metrics *metrics = plan->servers[s].metrics;
        bool done = metrics == NULL;
        for (uint32_t before = 0; before < s && !done; before++) {
            done = plan->servers[before].metrics == metrics;
        }
        code = done ? 0 : write_kind(writer, plan, metrics);
    }
    return code;
}

static int write_metrics(struct gy_writer *writer, struct gy_admin *admin,
                         const struct gy_worker *worker)
{
    const void *instances[GY_HTTP_WORKERS_MAX];
    uint32_t workers = worker->options.workers;
    gy_assert(workers <= GY_HTTP_WORKERS_MAX);
    for (uint32_t i = 0; i < workers; i++) {
        instances[i] = &worker->peers[i]->counters;
    }
    struct gy_metric_set all = {instances, workers, NULL, 0};
    write_process(writer, admin);
    write_workers(writer, worker);
    int code = gy_metrics_render(writer, gy_counters_rows, gy_counters_row_count, &all, 1);
    code = code == 0 ? write_servers(writer, admin, worker) : code;
    return code != 0 || admin->host_count == 0
               ? code
               : gy_metrics_render(writer, gy_vhost_rows, gy_vhost_row_count, admin->hosts,
                                   admin->host_count);
}

/* ---- requests ---- */

/* What `write` puts into the room of the worker that was asked. */
static void answer_text(struct gy_admin *admin, struct gy_http_exchange *exchange, const char *type,
                        int (*write)(struct gy_writer *, struct gy_admin *,
                                     const struct gy_worker *))
{
    const struct gy_http_header headers[] = {
        {GY_HTTP_TEXT("Content-Type"), gy_http_text_of(type)},
        GY_HTTP_HEADER("Cache-Control", "no-store"),
        GY_HTTP_HEADER("X-Content-Type-Options", "nosniff"),
        GY_HTTP_HEADER("Cross-Origin-Resource-Policy", "same-origin"),
    };
    const struct gy_worker *worker = gy_http_stream(exchange)->worker;
    char *text = admin->text + worker->options.number * admin->text_bytes;
    struct gy_writer writer = gy_writer_on(text, admin->text_bytes);
    if (write(&writer, admin, worker) != 0) {
        gy_http_answer(exchange, 500, TEXT_TYPE, "too many metrics\n", 17);
        return;
    }
    struct gy_http_response response = {
        .status = 200,
        .kind = GY_HTTP_BODY_TEXT,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body.text = {text, gy_writer_length(&writer)},
    };
    gy_http_respond(exchange, &response);
}

static void answer_health(struct gy_http_exchange *exchange)
{
    if (gy_http_stream(exchange)->worker->phase == GY_WORKER_SERVING) {
        gy_http_answer(exchange, 200, TEXT_TYPE, "serving\n", 8);
    } else {
        gy_http_answer(exchange, 503, TEXT_TYPE, "draining\n", 9);
    }
}

static void answer_method(struct gy_http_exchange *exchange)
{
    static const struct gy_http_header allow[] = {{{"Allow", 5}, {"GET, HEAD", 9}}};
    struct gy_http_response response = {.status = 405, .headers = allow, .header_count = 1};
    gy_http_respond(exchange, &response);
}

static void admin_request(struct gy_http_exchange *exchange)
{
    struct gy_admin *admin = gy_http_context(exchange);
    struct gy_http_text path = gy_embedded_path(exchange);
    const struct gy_embedded_file *page = gy_embedded_find(&gy_admin_page, path);
    bool metrics = gy_http_text_equal(path, GY_HTTP_TEXT("/metrics"));
    bool status = gy_http_text_equal(path, GY_HTTP_TEXT("/status.json"));
    if (page == NULL && !metrics && !status &&
        !gy_http_text_equal(path, GY_HTTP_TEXT("/healthz"))) {
        gy_site_handler.request(exchange);
        return;
    }
    enum gy_http_method method = gy_http_method(exchange);
    if (method != GY_HTTP_GET && method != GY_HTTP_HEAD) {
        answer_method(exchange);
    } else if (page != NULL) {
        gy_embedded_answer(&admin->page, &gy_admin_page, page, exchange);
    } else if (metrics) {
        answer_text(admin, exchange, "text/plain; version=0.0.4; charset=utf-8", write_metrics);
    } else if (status) {
        answer_text(admin, exchange, "application/json", gy_admin_status);
    } else {
        answer_health(exchange);
    }
}

static const struct gy_http_handler admin_handler = {.request = admin_request};

/* ---- what users call ---- */

int gy_admin_init(struct gy_admin *admin, const struct gy_serve_plan *plan, struct gy_error *error)
{
    uint32_t workers = plan->workers;
    gy_assert(workers > 0 && workers <= GY_HTTP_WORKERS_MAX);
    admin->text_bytes = TEXT_BYTES + GY_SERVE_SERVERS_MAX * TEXT_SERVER_BYTES +
                        GY_ADMIN_HOSTS_MAX * TEXT_HOST_BYTES + workers * TEXT_WORKER_BYTES;
    /* Pages of it are used as metrics are asked for. */
    admin->text = mmap(NULL, admin->text_bytes * workers, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    admin->workers = workers;
    if (admin->text == MAP_FAILED) {
        admin->text = NULL;
        return gy_error_set(error, GY_ENOMEM, "preparing the admin listener: out of memory");
    }
    admin->plan = plan;
    admin->http.handler = &admin_handler;
    admin->http.context = admin;
    admin->site.http = &admin->http;
    admin->site.requests = gy_admin_requests;
    return 0;
}

/* What a set of one host points to, in one piece: its labels are the first. */
struct host_set {
    struct gy_metric_label labels[2];
    const void *instances[];
};

int gy_admin_add_hosts(struct gy_admin *admin, const char *name, const struct gy_vhosts *vhosts)
{
    if (vhosts->count > GY_ADMIN_HOSTS_MAX - admin->host_count) {
        return GY_ELIMIT;
    }
    struct gy_metric_set *hosts =
        realloc(admin->hosts, (admin->host_count + vhosts->count) * sizeof *hosts);
    if (hosts == NULL) {
        return GY_ENOMEM;
    }
    admin->hosts = hosts;
    for (uint32_t i = 0; i < vhosts->count; i++) {
        const struct gy_vhost *vhost = vhosts->list[i];
        struct host_set *set = malloc(sizeof *set + admin->workers * sizeof set->instances[0]);
        if (set == NULL) {
            return GY_ENOMEM;
        }
        set->labels[0] = (struct gy_metric_label){"server", name};
        set->labels[1] = (struct gy_metric_label){"host", vhost->name};
        for (uint32_t w = 0; w < admin->workers; w++) {
            set->instances[w] = &vhost->counts[w];
        }
        hosts[admin->host_count++] =
            (struct gy_metric_set){set->instances, admin->workers, set->labels, 2};
    }
    return 0;
}

void gy_admin_close(struct gy_admin *admin)
{
    for (uint32_t i = 0; i < admin->host_count; i++) {
        free((void *)(uintptr_t)admin->hosts[i].labels);
    }
    free(admin->hosts);
    admin->hosts = NULL;
    admin->host_count = 0;
    if (admin->text != NULL) {
        munmap(admin->text, admin->text_bytes * admin->workers);
    }
    admin->text = NULL;
}
